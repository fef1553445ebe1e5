// Parts of every cluster: names, type, metadata, the final packing.
#include <stdio.h>

#include "base/str.h"
#include "discovery/cluster/cluster.h"
#include "udpa/type/v1/typed_struct.pb-c.h"

#define HTTP_OPTIONS_KEY "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

void pd_cluster_init(struct cluster *c, struct pd_tx *tx, const char *name, cluster_type type)
{
	*c = (struct cluster){.tx = tx};
	c->msg = PB_NEW(tx->arena, EnvoyCluster, envoy__config__cluster__v3__cluster);
	c->msg->name = (char *)name;
	c->msg->alt_stat_name = pd_arena_printf(tx->arena, "%s;", name);
	c->msg->connect_timeout = tx_mesh(tx)->connect_timeout;
	pd_cluster_set_type(c, type);
}

void pd_cluster_set_type(struct cluster *c, cluster_type type)
{
	c->msg->cluster_discovery_type_case = ENVOY__CONFIG__CLUSTER__V3__CLUSTER__CLUSTER_DISCOVERY_TYPE_TYPE;
	c->msg->type = type;
}

// ---- stat names ----------------------------------------------------------------------------------------------------------

static const char *stat_value(const struct cluster *c, const char *what, size_t n, const char *subset, uint32_t target)
{
	struct pd_arena *a = c->tx->arena;
	const struct pd_service *s = c->svc;
#define IS(text) (n == sizeof(text) - 1 && memcmp(what, text, n) == 0)
	if (IS("%SERVICE%"))
		return s->kubernetes ? pd_arena_printf(a, "%s.%s", s->name, s->ns) : s->host;
	if (IS("%SERVICE_NAME%"))
		return s->kubernetes ? s->name : s->host;
	if (IS("%SERVICE_FQDN%"))
		return s->host;
	if (IS("%SUBSET_NAME%"))
		return pd_or(subset, "");
	if (IS("%TARGET_PORT%"))
		return pd_arena_printf(a, "%u", target);
	if (IS("%SERVICE_PORT%"))
		return pd_arena_printf(a, "%u", c->port->port);
	if (IS("%SERVICE_PORT_NAME%"))
		return c->port->name;
#undef IS
	return NULL;
}

void pd_cluster_set_stat_name(struct cluster *c, const char *pattern, const char *subset, uint32_t target)
{
	if (pd_empty(pattern))
		return;
	struct pd_buf out = {0};
	while (*pattern) {
		const char *end = *pattern == '%' ? strchr(pattern + 1, '%') : NULL;
		const char *value = end ? stat_value(c, pattern, (size_t)(end - pattern) + 1, subset, target) : NULL;
		if (value) {
			pd_buf_adds(&out, value);
			pattern = end + 1;
		} else {
			pd_buf_addc(&out, *pattern++);
		}
	}
	pd_buf_addc(&out, ';');
	c->msg->alt_stat_name = pd_arena_strdup(c->tx->arena, out.p);
	pd_buf_free(&out);
}

// ---- metadata ------------------------------------------------------------------------------------------------------------

Google__Protobuf__Struct *pd_cluster_istio_metadata(struct cluster *c)
{
	if (!c->istio)
		c->istio = pb_struct_new(c->tx->arena);
	return c->istio;
}

void pd_cluster_add_service(struct cluster *c, const struct pd_service *svc)
{
	struct pd_arena *a = c->tx->arena;
	Google__Protobuf__Struct *s = pb_struct_new(a), *istio = pd_cluster_istio_metadata(c);
	pb_struct_set_string(a, s, "host", svc->host);
	pb_struct_set_string(a, s, "name", svc->name);
	pb_struct_set_string(a, s, "namespace", svc->ns);
	Google__Protobuf__Value *services = pb_struct_get(istio, "services");
	if (!services) {
		services = pb_value_list(a, pb_list_new(a));
		pb_struct_set(a, istio, "services", services);
	}
	pb_list_add(a, services->list_value, pb_value_struct(a, s));
}

void pd_cluster_add_config(struct cluster *c, const struct pd_object *rule)
{
	const char *path =
		pd_arena_printf(c->tx->arena, "/apis/networking.istio.io/v1/namespaces/%s/destination-rule/%s",
				rule->key.ns, rule->key.name);
	pb_struct_set_string(c->tx->arena, pd_cluster_istio_metadata(c), "config", path);
}

void pd_cluster_add_metadata_exchange(struct cluster *c)
{
	struct pd_arena *a = c->tx->arena;
	if (!(c->tx->key->caps & PD_CAP_METADATA_EXCHANGE_NETWORK))
		return;
	Udpa__Type__V1__TypedStruct *config = PB_NEW(a, Udpa__Type__V1__TypedStruct, udpa__type__v1__typed_struct);
	config->type_url = PB_TYPE_PREFIX "envoy.tcp.metadataexchange.config.MetadataExchange";
	config->value = pb_struct_new(a);
	pb_struct_set_bool(a, config->value, "enable_discovery", true);
	pb_struct_set_string(a, config->value, "protocol", "istio-peer-exchange");
	Envoy__Config__Cluster__V3__Filter *f =
		PB_NEW(a, Envoy__Config__Cluster__V3__Filter, envoy__config__cluster__v3__filter);
	f->name = "istio.metadata_exchange";
	f->typed_config = pb_any(a, config);
	PB_PUSH(a, c->msg, filters, f);
}

// ---- the end -------------------------------------------------------------------------------------------------------------

static void finish_http(struct cluster *c)
{
	struct pd_arena *a = c->tx->arena;
	// Envoy wants a protocol to be named: HTTP/1 then, as without options.
	if (c->http->upstream_protocol_options_case == 0) {
		Envoy__Extensions__Upstreams__Http__V3__HttpProtocolOptions__ExplicitHttpConfig *x = pb_new(
			a,
			&envoy__extensions__upstreams__http__v3__http_protocol_options__explicit_http_config__descriptor);
		x->protocol_config_case =
			ENVOY__EXTENSIONS__UPSTREAMS__HTTP__V3__HTTP_PROTOCOL_OPTIONS__EXPLICIT_HTTP_CONFIG__PROTOCOL_CONFIG_HTTP_PROTOCOL_OPTIONS;
		x->http_protocol_options = PB_NEW(a, Envoy__Config__Core__V3__Http1ProtocolOptions,
						  envoy__config__core__v3__http1_protocol_options);
		c->http->upstream_protocol_options_case =
			ENVOY__EXTENSIONS__UPSTREAMS__HTTP__V3__HTTP_PROTOCOL_OPTIONS__UPSTREAM_PROTOCOL_OPTIONS_EXPLICIT_HTTP_CONFIG;
		c->http->explicit_http_config = x;
	}
	Envoy__Config__Cluster__V3__Cluster__TypedExtensionProtocolOptionsEntry *e =
		pb_new(a, &envoy__config__cluster__v3__cluster__typed_extension_protocol_options_entry__descriptor);
	e->key = HTTP_OPTIONS_KEY;
	e->value = pb_any(a, c->http);
	PB_PUSH(a, c->msg, typed_extension_protocol_options, e);
}

EnvoyCluster *pd_cluster_finish(struct cluster *c)
{
	struct pd_arena *a = c->tx->arena;
	if (c->http)
		finish_http(c);
	if (c->dynamic)
		pd_cluster_finish_dynamic_proxy(c);
	if (c->istio) {
		Envoy__Config__Core__V3__Metadata__FilterMetadataEntry *e =
			pb_new(a, &envoy__config__core__v3__metadata__filter_metadata_entry__descriptor);
		e->key = "istio";
		e->value = c->istio;
		c->msg->metadata = PB_NEW(a, EnvoyMetadata, envoy__config__core__v3__metadata);
		PB_PUSH(a, c->msg->metadata, filter_metadata, e);
	}
	return c->msg;
}
