// Defaults and the user's document are merged as trees, before decoding: so a value that is given as zero or false overrides,
// which a message could not tell from absence.
#include "config/mesh_impl.h"

#include <stdio.h>
#include <stdlib.h>

#include "api/codec.h"
#include "api/pb.h"
#include "base/str.h"
#include "config/semhash.h"
#include "config/validate_impl.h"

// DefaultMeshConfig and DefaultProxyConfig of istiod.
static const char defaults[] =
	"{\"rootNamespace\":\"istio-system\",\"trustDomain\":\"cluster.local\","
	"\"proxyListenPort\":15001,\"proxyInboundListenPort\":15006,"
	"\"connectTimeout\":\"10s\",\"dnsRefreshRate\":\"60s\",\"protocolDetectionTimeout\":\"0s\","
	"\"enableTracing\":true,\"enableAutoMtls\":true,\"enablePrometheusMerge\":true,"
	"\"ingressControllerMode\":\"STRICT\",\"ingressClass\":\"istio\",\"ingressService\":\"istio-ingressgateway\","
	"\"accessLogEncoding\":\"TEXT\","
	"\"outboundTrafficPolicy\":{\"mode\":\"ALLOW_ANY\"},\"inboundTrafficPolicy\":{\"mode\":\"PASSTHROUGH\"},"
	"\"localityLbSetting\":{\"enabled\":true},"
	"\"defaultServiceExportTo\":[\"*\"],\"defaultVirtualServiceExportTo\":[\"*\"],"
	"\"defaultDestinationRuleExportTo\":[\"*\"],"
	"\"extensionProviders\":[{\"name\":\"prometheus\",\"prometheus\":{}},"
	"{\"name\":\"stackdriver\",\"stackdriver\":{}},"
	"{\"name\":\"envoy\",\"envoyFileAccessLog\":{\"path\":\"/dev/stdout\"}}],"
	"\"defaultProviders\":{},"
	"\"defaultConfig\":{\"configPath\":\"./etc/istio/proxy\",\"binaryPath\":\"/usr/local/bin/envoy\","
	"\"serviceCluster\":\"istio-proxy\",\"drainDuration\":\"45s\",\"terminationDrainDuration\":\"5s\","
	"\"proxyAdminPort\":15000,\"statusPort\":15020,\"discoveryAddress\":\"istiod.istio-system.svc:15012\","
	"\"controlPlaneAuthPolicy\":\"MUTUAL_TLS\",\"statNameLength\":189}}";

// ---- merging trees --------------------------------------------------------------------------------------------------

static struct pd_json *node_copy(struct mesh_load *l, const struct pd_json *j)
{
	struct pd_json *c = pd_json_null(&l->arena);

	*c = *j; // shares the children
	c->next = NULL;
	return c;
}

static void remove_member(struct pd_json *object, const char *key)
{
	struct pd_json **at = &object->first, *last = NULL;

	while (*at) {
		if (!strcmp((*at)->key, key)) {
			*at = (*at)->next;
			object->n--;
			continue;
		}
		last = *at;
		at = &last->next;
	}
	object->last = last;
}

// Sets a member by its camelCase name. Of a oneof only the new member stays.
static void override(struct mesh_load *l, struct pd_json *into, const struct pd_json *member,
		     const ProtobufCMessageDescriptor *d)
{
	const ProtobufCFieldDescriptor *f = pb_field_by_name(d, member->key, member->key_len);

	if (!f || member->type == PD_JSON_NULL)
		return;
	for (unsigned i = 0; (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) && i < d->n_fields; i++)
		if ((d->fields[i].flags & PROTOBUF_C_FIELD_FLAG_ONEOF) &&
		    d->fields[i].quantifier_offset == f->quantifier_offset)
			remove_member(into, pb_field_json_name(d, &d->fields[i]));
	pd_json_set(&l->arena, into, pb_field_json_name(d, f), node_copy(l, member));
}

// All members of `from`, one by one.
static void override_all(struct mesh_load *l, struct pd_json *into, const struct pd_json *from,
			 const ProtobufCMessageDescriptor *d)
{
	for (const struct pd_json *m = from->first; m; m = m->next)
		override(l, into, m, d);
}

static void merge_proxy_config(struct mesh_load *l, struct pd_json *into, const struct pd_json *from)
{
	struct pd_json *metadata = pd_json_get(into, "proxyMetadata"), *merged;
	const struct pd_json *own;

	override_all(l, into, from, &istio__proxy_config__descriptor);
	own = pd_json_get(into, "proxyMetadata");
	if (!metadata || own == metadata)
		return;
	merged = pd_json_copy(&l->arena, metadata);
	for (const struct pd_json *m = own->first; m; m = m->next)
		pd_json_set(&l->arena, merged, m->key, node_copy(l, m));
	pd_json_set(&l->arena, into, "proxyMetadata", merged);
}

// A provider replaces the one of its name, or comes behind.
static void merge_providers(struct mesh_load *l, struct pd_json *into, const struct pd_json *from)
{
	struct pd_json *merged = pd_json_array(&l->arena), *old = pd_json_get(into, "extensionProviders");

	for (const struct pd_json *o = old->first; o; o = o->next) {
		const struct pd_json *use = o;

		for (const struct pd_json *p = from->first; p; p = p->next)
			if (pd_streq(pd_json_get_string(p, "name"), pd_json_get_string(o, "name")))
				use = p;
		pd_json_append(merged, node_copy(l, use));
	}
	for (const struct pd_json *p = from->first; p; p = p->next) {
		const struct pd_json *o = old->first;

		while (o && !pd_streq(pd_json_get_string(p, "name"), pd_json_get_string(o, "name")))
			o = o->next;
		if (!o)
			pd_json_append(merged, node_copy(l, p));
	}
	pd_json_set(&l->arena, into, "extensionProviders", merged);
}

static void merge(struct mesh_load *l, struct pd_json *into, const struct pd_json *from)
{
	const ProtobufCMessageDescriptor *d = &istio__mesh_config__descriptor;

	for (const struct pd_json *m = from->first; m; m = m->next) {
		const ProtobufCFieldDescriptor *f = pb_field_by_name(d, m->key, m->key_len);
		const char *name = f ? f->name : "";

		if (m->type == PD_JSON_NULL)
			continue;
		if (!strcmp(name, "default_config"))
			merge_proxy_config(l, pd_json_get(into, "defaultConfig"), m);
		else if (!strcmp(name, "default_providers"))
			override_all(l, pd_json_get(into, "defaultProviders"), m,
				     &istio__mesh_config__default_providers__descriptor);
		else if (!strcmp(name, "extension_providers"))
			merge_providers(l, into, m);
		else
			override(l, into, m, d);
	}
}

// ---- the message ----------------------------------------------------------------------------------------------------

static void check_values(struct mesh_load *l, const Istio__MeshConfig *m)
{
	struct pd_validation v = {.arena = &l->arena};

	pd_check_port(&v, PD_AT(NULL, "proxyListenPort"), (uint32_t)m->proxy_listen_port);
	pd_check_port(&v, PD_AT(NULL, "proxyInboundListenPort"), (uint32_t)m->proxy_inbound_listen_port);
	if (m->proxy_http_port)
		pd_check_port(&v, PD_AT(NULL, "proxyHttpPort"), (uint32_t)m->proxy_http_port);
	pd_check_duration(&v, PD_AT(NULL, "connectTimeout"), m->connect_timeout, true);
	pd_check_duration(&v, PD_AT(NULL, "dnsRefreshRate"), m->dns_refresh_rate, true);
	pd_check_duration(&v, PD_AT(NULL, "protocolDetectionTimeout"), m->protocol_detection_timeout, false);
	for (size_t i = 0; i < m->n_extension_providers; i++) {
		const struct pd_at *at = PD_AT_I(NULL, "extensionProviders", i);

		if (pd_empty(m->extension_providers[i]->name))
			pd_find_error(&v, PD_AT(at, "name"), "a name is required");
		for (size_t j = 0; j < i; j++)
			if (pd_streq(m->extension_providers[i]->name, m->extension_providers[j]->name)) {
				pd_find_error(&v, PD_AT(at, "name"), "\"%.60s\" is there twice",
					      m->extension_providers[i]->name);
				break;
			}
	}
	for (size_t i = 0; i < v.found.n; i++)
		pd_mesh_report(l, v.found.v[i].severity, 0, v.found.v[i].field, v.found.v[i].reason);
}

static void mesh_release(struct pd_obj *obj)
{
	struct pd_arena arena = ((struct pd_mesh *)obj)->arena;

	pd_obj_unref(((struct pd_mesh *)obj)->networks);
	pd_arena_free(&arena);
}

static struct pd_mesh *mesh_new(struct mesh_load *l, const struct pd_json *root)
{
	struct pd_arena arena = {0};
	struct pd_codec c = {.arena = &arena, .policy = PD_CODEC_LENIENT};
	struct pd_mesh *mesh = PD_NEW(&arena, struct pd_mesh);
	void *config;

	if (pd_codec_decode(&c, root, &istio__mesh_config__descriptor, &config) != PD_OK) {
		for (uint32_t i = 0; i < c.n_errors; i++)
			pd_mesh_report(l, PD_ISSUE_ERROR, c.errors[i].line, c.errors[i].path, c.errors[i].reason);
		pd_arena_free(&arena);
		return NULL;
	}
	check_values(l, config);
	pd_obj_init(&mesh->obj, mesh_release);
	mesh->config = config;
	mesh->root_namespace = pd_or(mesh->config->root_namespace, "istio-system");
	mesh->trust_domain = pd_or(mesh->config->trust_domain, "cluster.local");
	mesh->domain_suffix = "cluster.local";
	mesh->hash = pd_message_hash(&mesh->config->base);
	mesh->arena = arena;
	return mesh;
}

int pd_mesh_parse(const char *text, size_t len, const char *origin, struct pd_issues *issues, struct pd_mesh **out)
{
	struct mesh_load l = {.origin = origin, .object = "MeshConfig", .issues = issues};
	struct pd_json *root, *merged;
	struct pd_mesh *mesh = NULL;

	PD_ASSERT(pd_json_parse(&l.arena, defaults, strlen(defaults), &merged, NULL) == PD_OK);
	root = pd_mesh_read(&l, text, len);
	if (root && !l.failed)
		pd_mesh_check(&l, root, &istio__mesh_config__descriptor);
	if (root && !l.failed)
		merge(&l, merged, root);
	if (!l.failed)
		mesh = mesh_new(&l, merged);
	if (l.failed && mesh) {
		pd_obj_unref(mesh);
		mesh = NULL;
	}
	pd_arena_free(&l.arena);
	if (!mesh)
		return PD_E_PARSE;
	*out = mesh;
	return PD_OK;
}
