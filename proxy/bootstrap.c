#include "proxy/bootstrap.h"

#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/mem.h"
#include "proxy/bootstrap_impl.h"

json_t *pd_json_add_pairs(json_t *o, const char *text)
{
	for (const char *s = text; *s;) {
		size_t n = strcspn(s, ","), k = strcspn(s, "=");
		if (k < n)
			json_object_setn_new(o, s, k, json_stringn(s + k + 1, n - k - 1));
		s += n + (s[n] == ',');
	}
	return o;
}

char *pd_node_id(const char *type, const char *ip, const char *name, const char *ns, const char *dns_domain)
{
	return pd_xasprintf("%s~%s~%s.%s~%s", type, ip, name, ns, dns_domain);
}

static json_t *node(const struct pd_bootstrap *b)
{
	json_t *o = json_pack("{s:s, s:s, s:O}", "id", b->id, "cluster", b->cluster, "metadata", b->metadata);
	if (!pd_empty(b->region))
		json_object_set_new(o, "locality",
				    json_pack("{s:s, s:s, s:s}", "region", b->region, "zone", pd_or(b->zone, ""),
					      "sub_zone", pd_or(b->sub_zone, "")));
	return o;
}

json_t *pd_json_address(const char *host, unsigned port)
{
	return json_pack("{s:{s:s, s:i}}", "socket_address", "address", host, "port_value", (int)port);
}

json_t *pd_json_cluster(const char *name, const char *type, json_t *address)
{
	json_t *endpoints = json_pack("[{s:[{s:{s:o}}]}]", "lb_endpoints", "endpoint", "address", address);
	return json_pack("{s:s, s:s, s:s, s:{s:s, s:o}}", "name", name, "type", type, "connect_timeout", "1s",
			 "load_assignment", "cluster_name", name, "endpoints", endpoints);
}

// gRPC needs HTTP/2; keepalive finds connections that died silently.
static json_t *grpc_cluster(json_t *c)
{
	json_t *http2 = json_pack("{s:{s:s, s:{s:{}}}}", "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
				  "@type", "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
				  "explicit_http_config", "http2_protocol_options");
	json_object_set_new(c, "typed_extension_protocol_options", http2);
	json_object_set_new(c, "upstream_connection_options",
			    json_pack("{s:{s:i, s:i}}", "tcp_keepalive", "keepalive_time", 300, "keepalive_interval",
				      60));
	return c;
}

int pd_json_cluster_at(const char *name, const char *address, json_t **out, struct pd_buf *err)
{
	struct pd_addr a;
	if (pd_addr_parse(address, &a) != PD_OK || !a.port) {
		pd_buf_printf(err, "%s: %s is not HOST:PORT", name, address);
		return PD_E_INVALID;
	}
	const char *host = pd_or(a.host, "127.0.0.1");
	*out = pd_json_cluster(name, pd_is_ip(host) ? "STATIC" : "STRICT_DNS", pd_json_address(host, a.port));
	return PD_OK;
}

// A secret of ours, by SDS.
static json_t *sds_secret(const char *name)
{
	return json_pack("{s:s, s:{s:s, s:s, s:{s:s, s:s, s:b, s:[{s:{s:s}}]}}}", "name", name, "sds_config",
			 "resource_api_version", "V3", "initial_fetch_timeout", "0s", "api_config_source", "api_type",
			 "GRPC", "transport_api_version", "V3", "set_node_on_first_message_only", 1, "grpc_services",
			 "envoy_grpc", "cluster_name", "sds-grpc");
}

// TLS to pilotd: our certificate, its name, roots from a file that may change.
static json_t *tls_to_pilotd(const struct pd_bootstrap *b)
{
	json_t *san = json_pack("[{s:s, s:{s:s}}]", "san_type", "DNS", "matcher", "exact", b->server_name);
	json_t *common =
		json_pack("{s:{s:s}, s:[s], s:[o], s:{s:{s:o}, s:o}}", "tls_params", "tls_minimum_protocol_version",
			  "TLSv1_2", "alpn_protocols", "h2", "tls_certificate_sds_secret_configs",
			  sds_secret("default"), "combined_validation_context", "default_validation_context",
			  "match_typed_subject_alt_names", san, "validation_context_sds_secret_config",
			  sds_secret(b->root_secret));
	return json_pack("{s:s, s:{s:s, s:s, s:o}}", "name", "envoy.transport_sockets.tls", "typed_config", "@type",
			 "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext", "sni",
			 b->server_name, "common_tls_context", common);
}

static json_t *dynamic_resources(const char *protocol)
{
	const char *api = strcmp(protocol, "sotw") == 0 ? "GRPC" : "DELTA_GRPC";
	return json_pack("{s:{s:{}, s:s, s:s}, s:{s:{}, s:s, s:s}, s:{s:s, s:s, s:b, s:[{s:{s:s}}]}}", "cds_config",
			 "ads", "resource_api_version", "V3", "initial_fetch_timeout", "0s", "lds_config", "ads",
			 "resource_api_version", "V3", "initial_fetch_timeout", "0s", "ads_config", "api_type", api,
			 "transport_api_version", "V3", "set_node_on_first_message_only", 1, "grpc_services",
			 "envoy_grpc", "cluster_name", "xds-grpc");
}

static int clusters(const struct pd_bootstrap *b, json_t *list, struct pd_buf *err)
{
	json_t *xds;
	int rc = pd_json_cluster_at("xds-grpc", b->xds, &xds, err);
	if (rc != PD_OK)
		return rc;
	if (b->server_name)
		json_object_set_new(xds, "transport_socket", tls_to_pilotd(b));
	json_array_append_new(list, grpc_cluster(xds));
	json_array_append_new(list, grpc_cluster(pd_json_cluster("sds-grpc", "STATIC",
								 json_pack("{s:{s:s}}", "pipe", "path", b->sds))));
	return pd_bootstrap_extras(b, list, err);
}

int pd_bootstrap_write(const struct pd_bootstrap *b, struct pd_buf *out, struct pd_buf *err)
{
	json_t *all = json_pack("{s:o, s:o, s:{s:[]}}", "node", node(b), "dynamic_resources",
				dynamic_resources(b->protocol), "static_resources", "clusters");
	json_t *resources = json_object_get(all, "static_resources");
	json_t *listeners = pd_bootstrap_listeners(b), *tracing = pd_bootstrap_tracing(b);
	json_t *stats = pd_bootstrap_stats(b);
	int rc = clusters(b, json_object_get(resources, "clusters"), err);
	if (b->admin_port)
		json_object_set_new(all, "admin",
				    json_pack("{s:o}", "address",
					      pd_json_address(pd_or(b->admin_host, "127.0.0.1"), b->admin_port)));
	json_object_set_new(resources, "listeners", listeners);
	if (tracing)
		json_object_set_new(all, "tracing", tracing);
	if (stats)
		json_object_set_new(all, "stats_config", stats);
	if (rc == PD_OK) {
		char *text = json_dumps(all, JSON_INDENT(2));
		PD_ASSERT(text);
		pd_buf_adds(out, text);
		pd_buf_addc(out, '\n');
		free(text);
	}
	json_decref(all);
	return rc;
}
