#include <string.h>

#include "proxy/bootstrap_impl.h"

#define TYPE(name) "type.googleapis.com/" name

int pd_bootstrap_extras(const struct pd_bootstrap *b, json_t *clusters, struct pd_buf *err)
{
	json_t *c;
	int rc;
	if (b->admin_port && b->prometheus_port)
		json_array_append_new(clusters, pd_json_cluster("prometheus_stats", "STATIC",
								pd_json_address("127.0.0.1", b->admin_port)));
	if (b->agent_port)
		json_array_append_new(clusters, pd_json_cluster("agent", "STATIC",
								pd_json_address(pd_or(b->agent_host, "127.0.0.1"),
										b->agent_port)));
	if (b->zipkin) {
		if ((rc = pd_json_cluster_at("zipkin", b->zipkin, &c, err)) != PD_OK)
			return rc;
		json_array_append_new(clusters, c);
	}
	if (b->datadog) {
		if ((rc = pd_json_cluster_at("datadog_agent", b->datadog, &c, err)) != PD_OK)
			return rc;
		json_array_append_new(clusters, c);
	}
	return PD_OK;
}

// One path, forwarded to one cluster; anything else is 404.
static json_t *listener(const char *host, unsigned port, const char *path, const char *cluster)
{
	json_t *routes = json_pack("{s:[{s:s, s:[s], s:[{s:{s:s}, s:{s:s}}]}]}", "virtual_hosts", "name", "backend",
				   "domains", "*", "routes", "match", "path", path, "route", "cluster", cluster);
	json_t *manager = json_pack("{s:s, s:s, s:o, s:[{s:s, s:{s:s}}]}", "@type",
				    TYPE("envoy.extensions.filters.network.http_connection_manager.v3."
					 "HttpConnectionManager"),
				    "stat_prefix", "agent", "route_config", routes, "http_filters", "name",
				    "envoy.filters.http.router", "typed_config", "@type",
				    TYPE("envoy.extensions.filters.http.router.v3.Router"));
	return json_pack("{s:o, s:[{s:[{s:s, s:o}]}]}", "address", pd_json_address(host, port), "filter_chains",
			 "filters", "name", "envoy.filters.network.http_connection_manager", "typed_config", manager);
}

json_t *pd_bootstrap_listeners(const struct pd_bootstrap *b)
{
	json_t *list = json_array();
	const char *host = pd_or(b->listen_host, "0.0.0.0");
	if (b->prometheus_port && b->admin_port)
		json_array_append_new(list,
				      listener(host, b->prometheus_port, "/stats/prometheus", "prometheus_stats"));
	if (b->readiness_port && b->agent_port)
		json_array_append_new(list, listener(host, b->readiness_port, "/healthz/ready", "agent"));
	return list;
}

json_t *pd_bootstrap_tracing(const struct pd_bootstrap *b)
{
	if (b->zipkin)
		return json_pack("{s:{s:s, s:{s:s, s:s, s:s, s:s, s:b, s:b}}}", "http", "name", "envoy.tracers.zipkin",
				 "typed_config", "@type", TYPE("envoy.config.trace.v3.ZipkinConfig"),
				 "collector_cluster", "zipkin", "collector_endpoint", "/api/v2/spans",
				 "collector_endpoint_version", "HTTP_JSON", "trace_id_128bit", 1, "shared_span_context",
				 0);
	if (b->datadog)
		return json_pack("{s:{s:s, s:{s:s, s:s, s:s}}}", "http", "name", "envoy.tracers.datadog",
				 "typed_config", "@type", TYPE("envoy.config.trace.v3.DatadogConfig"),
				 "collector_cluster", "datadog_agent", "service_name", b->cluster);
	return NULL;
}

static void add_patterns(json_t *list, const char *kind, const char *const *v)
{
	for (; v && *v; v++)
		json_array_append_new(list, strcmp(kind, "safe_regex") == 0 ? json_pack("{s:{s:s}}", kind, "regex", *v)
									    : json_pack("{s:s}", kind, *v));
}

// istio-proxy keeps few of Envoy's statistics, because its own filter counts requests; a stock Envoy has only these, so all are
// kept unless the user names some.
json_t *pd_bootstrap_stats(const struct pd_bootstrap *b)
{
	static const char *const needed[] = {"cluster_manager.", "listener_manager.", "server.", "cluster.xds-grpc.",
					     NULL};
	json_t *list = json_array();
	add_patterns(list, "prefix", b->stats_prefixes);
	add_patterns(list, "suffix", b->stats_suffixes);
	add_patterns(list, "safe_regex", b->stats_regexes);
	if (!json_array_size(list)) {
		json_decref(list);
		return NULL;
	}
	add_patterns(list, "prefix", needed);
	return json_pack("{s:{s:{s:o}}}", "stats_matcher", "inclusion_list", "patterns", list);
}
