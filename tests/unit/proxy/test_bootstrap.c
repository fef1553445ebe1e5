// The bootstrap configuration and the node in it, from what a pod, a VM or a laptop has.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "api/codec.h"
#include "base/addr.h"
#include "base/mem.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb-c.h"
#include "proxy/bootstrap.h"
#include "proxy/node.h"
#include "proxy/proxy_config.h"
#include "tests/unit/proxy/rig.h"

// Every field is one that Envoy has.
static void check_fields(const struct pd_buf *text)
{
	struct pd_arena a = {0};
	struct pd_codec codec = {.arena = &a, .policy = PD_CODEC_STRICT};
	struct pd_buf errors = {0};
	void *m;
	if (pd_codec_decode_text(&codec, text->p, text->n, &envoy__config__bootstrap__v3__bootstrap__descriptor, &m) !=
	    PD_OK) {
		pd_codec_print_errors(&errors, &codec);
		fail_msg("%s", errors.p);
	}
	pd_arena_free(&a);
}

static json_t *write(const struct pd_bootstrap *b)
{
	struct pd_buf text = {0}, err = {0};
	if (pd_bootstrap_write(b, &text, &err) != PD_OK)
		fail_msg("%s", err.p);
	check_fields(&text);
	json_t *o = json_loads(text.p, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(o);
	pd_buf_free(&text);
	return o;
}

// The value at a path of keys and numbers: "static_resources/clusters/0/name".
static json_t *at(json_t *o, const char *path)
{
	char *copy = pd_xstrdup(path), *save;
	for (char *w = strtok_r(copy, "/", &save); w && o; w = strtok_r(NULL, "/", &save))
		o = json_is_array(o) ? json_array_get(o, (size_t)strtoul(w, NULL, 10)) : json_object_get(o, w);
	free(copy);
	return o;
}

static void check(json_t *o, const char *path, const char *want)
{
	json_t *v = at(o, path);
	if (!json_is_string(v))
		fail_msg("%s: no text", path);
	assert_string_equal(json_string_value(v), want);
}

static json_t *named(json_t *o, const char *list, const char *name)
{
	size_t i;
	json_t *v;
	json_array_foreach(at(o, list), i,
			   v) if (strcmp(json_string_value(json_object_get(v, "name")), name) == 0) return v;
	return NULL;
}

static void test_plaintext(void **state)
{
	json_t *meta = json_object();
	(void)state;
	json_t *o = write(&(struct pd_bootstrap){
		.id = "sidecar~1.2.3.4~a.b~b.svc.cluster.local",
		.cluster = "a.b",
		.metadata = meta,
		.xds = "127.0.0.1:15010",
		.protocol = "sotw",
		.sds = "./socket",
	});
	check(o, "node/id", "sidecar~1.2.3.4~a.b~b.svc.cluster.local");
	check(o, "dynamic_resources/ads_config/api_type", "GRPC");
	json_t *xds = named(o, "static_resources/clusters", "xds-grpc");
	assert_null(json_object_get(xds, "transport_socket"));
	check(xds, "type", "STATIC");
	json_t *sds = named(o, "static_resources/clusters", "sds-grpc");
	check(sds, "load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/pipe/path", "./socket");
	assert_int_equal(json_array_size(at(o, "static_resources/clusters")), 2);
	assert_int_equal(json_array_size(at(o, "static_resources/listeners")), 0);
	assert_null(json_object_get(o, "admin"));
	assert_null(json_object_get(o, "tracing"));
	assert_null(json_object_get(o, "stats_config"));
	json_decref(o);
	json_decref(meta);
}

static const char *const prefixes[] = {"http.", NULL}, *const regexes[] = {".*rq.*", NULL};

static void test_all_of_it(void **state)
{
	json_t *meta = json_object();
	(void)state;
	json_t *o = write(&(struct pd_bootstrap){
		.id = "router~1.2.3.4~a.b~b.svc.cluster.local",
		.cluster = "a.b",
		.metadata = meta,
		.region = "eu",
		.xds = "istiod.istio-system.svc:15012",
		.protocol = "delta",
		.server_name = "istiod.istio-system.svc",
		.root_secret = "file-root:root.pem",
		.sds = "socket",
		.admin_port = 15000,
		.readiness_port = 15021,
		.prometheus_port = 15090,
		.agent_port = 15020,
		.agent_host = "10.0.0.1",
		.zipkin = "zipkin.example:9411",
		.stats_prefixes = prefixes,
		.stats_regexes = regexes,
	});
	check(o, "node/locality/region", "eu");
	check(o, "dynamic_resources/ads_config/api_type", "DELTA_GRPC");
	json_t *xds = named(o, "static_resources/clusters", "xds-grpc");
	check(xds, "type", "STRICT_DNS");
	json_t *tls = at(xds, "transport_socket/typed_config");
	check(tls, "sni", "istiod.istio-system.svc");
	json_t *common = json_object_get(tls, "common_tls_context");
	check(common, "tls_certificate_sds_secret_configs/0/name", "default");
	check(common, "combined_validation_context/validation_context_sds_secret_config/name", "file-root:root.pem");
	check(common,
	      "combined_validation_context/default_validation_context/match_typed_subject_alt_names/0/matcher/exact",
	      "istiod.istio-system.svc");
	json_t *agent = named(o, "static_resources/clusters", "agent");
	check(agent, "load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/socket_address/address", "10.0.0.1");
	assert_non_null(named(o, "static_resources/clusters", "prometheus_stats"));
	assert_non_null(named(o, "static_resources/clusters", "zipkin"));
	check(o, "tracing/http/name", "envoy.tracers.zipkin");
	check(o, "admin/address/socket_address/address", "127.0.0.1");
	assert_int_equal(json_array_size(at(o, "static_resources/listeners")), 2);
	check(o, "static_resources/listeners/0/address/socket_address/address", "0.0.0.0");
	check(o, "stats_config/stats_matcher/inclusion_list/patterns/0/prefix", "http.");
	check(o, "stats_config/stats_matcher/inclusion_list/patterns/1/safe_regex/regex", ".*rq.*");
	check(o, "stats_config/stats_matcher/inclusion_list/patterns/2/prefix", "cluster_manager."); // for readiness
	json_decref(o);
	json_decref(meta);
}

static void test_bad_address(void **state)
{
	struct pd_buf text = {0}, err = {0};
	json_t *meta = json_object();
	struct pd_bootstrap b =
		{.id = "i", .cluster = "c", .metadata = meta, .xds = "host", .protocol = "delta", .sds = "s"};
	(void)state;
	assert_int_equal(pd_bootstrap_write(&b, &text, &err), PD_E_INVALID);
	assert_string_equal(err.p, "xds-grpc: host is not HOST:PORT");
	b.xds = "h:1";
	b.datadog = "h:0";
	pd_buf_reset(&err);
	assert_int_equal(pd_bootstrap_write(&b, &text, &err), PD_E_INVALID);
	assert_string_equal(err.p, "datadog_agent: h:0 is not HOST:PORT");
	json_decref(meta);
	pd_buf_free(&text);
	pd_buf_free(&err);
}

// ---- the node --------------------------------------------------------------------------------------------------------------

static int node(char **env, const char *labels, json_t **out, struct pd_buf *err)
{
	return pd_node_metadata(&(struct pd_node_input){.env = env,
							.name = "pod",
							.ns = "ns",
							.account = "sa",
							.ip = "10.0.0.7",
							.cluster_id = "one",
							.mesh_id = "",
							.network = "",
							.labels = labels,
							.podinfo = "podinfo",
							.proxy_config = "{\"concurrency\": 2}",
							.readiness_port = 15021},
				out, err);
}

static void test_metadata(void **state)
{
	char *env[] = {"PATH=/bin",
		       "ISTIO_META_INTERCEPTION_MODE=REDIRECT",
		       "ISTIO_META_=x",
		       "ISTIO_META_CLUSTER_ID=two",
		       "ISTIO_METAJSON_ANYTHING={\"HTTP10\": \"1\"}",
		       "NOTHING",
		       NULL};
	struct pd_buf err = {0};
	json_t *m;
	(void)state;
	assert_int_equal(mkdir("podinfo", 0700), 0);
	rig_write("podinfo/labels", "app=\"web\"\nversion=\"v\\\"1\\\"\"\nbroken\n");
	assert_int_equal(node(env, "tier=front", &m, &err), PD_OK);
	check(m, "NAME", "pod");
	check(m, "NAMESPACE", "ns");
	check(m, "SERVICE_ACCOUNT", "sa");
	check(m, "CLUSTER_ID", "two"); // what ISTIO_META_ says counts
	check(m, "INTERCEPTION_MODE", "REDIRECT");
	check(m, "HTTP10", "1");
	check(m, "LABELS/app", "web");
	check(m, "LABELS/version", "v\"1\"");
	check(m, "LABELS/tier", "front");
	assert_int_equal(json_integer_value(at(m, "PROXY_CONFIG/concurrency")), 2);
	assert_int_equal(json_integer_value(at(m, "ENVOY_STATUS_PORT")), 15021);
	assert_null(json_object_get(m, "MESH_ID"));
	assert_null(json_object_get(m, ""));
	assert_true(pd_has_prefix(json_string_value(at(m, "INSTANCE_IPS")), "10.0.0.7"));
	char *cluster = pd_node_cluster("", m);
	assert_string_equal(cluster, "web.ns");
	free(cluster);
	cluster = pd_node_cluster("mine", m);
	assert_string_equal(cluster, "mine");
	free(cluster);
	json_decref(m);
	pd_buf_free(&err);
}

// A VM: labels and the rest come by the environment.
static void test_vm(void **state)
{
	char *env[] = {"ISTIO_METAJSON_LABELS={\"app\": \"db\", \"istio-locality\": \"eu.west.a.b\"}", NULL};
	char *bad[] = {"ISTIO_METAJSON_LABELS=[1]", NULL}, *region, *zone, *sub_zone;
	struct pd_buf err = {0};
	json_t *m;
	(void)state;
	assert_int_equal(node(env, "", &m, &err), PD_OK);
	check(m, "LABELS/app", "db");
	check(m, "STATIC_LABELS/app", "db");
	pd_node_locality(m, &region, &zone, &sub_zone);
	assert_string_equal(region, "eu");
	assert_string_equal(zone, "west");
	assert_string_equal(sub_zone, "a.b");
	free(region);
	free(zone);
	free(sub_zone);
	json_decref(m);
	assert_int_equal(node(bad, "", &m, &err), PD_E_PARSE);
	assert_non_null(strstr(err.p, "ISTIO_METAJSON_LABELS"));
	char *ip = pd_own_ip();
	assert_true(pd_is_ip(ip));
	free(ip);
	pd_buf_free(&err);
}

static void test_proxy_config(void **state)
{
	static const char text[] =
		"{\"discoveryAddress\": \"pilot:15012\", \"concurrency\": 0, \"proxyAdminPort\": 1, \"statusPort\": 2,"
		" \"drainDuration\": \"7s\", \"terminationDrainDuration\": \"9s\", \"unknown\": 1,"
		" \"controlPlaneAuthPolicy\": \"NONE\", \"tracing\": {\"zipkin\": {\"address\": \"z:9411\"}},"
		" \"proxyMetadata\": {\"PD_TEST_VARIABLE\": \"set\"},"
		" \"proxyStatsMatcher\": {\"inclusionPrefixes\": [\"a\", \"b\"]}}";
	struct pd_arena a = {0};
	struct pd_proxy_config c;
	struct pd_buf err = {0};
	(void)state;
	assert_int_equal(pd_proxy_config_read(&a, NULL, &c, &err), PD_OK);
	assert_int_equal(c.concurrency, -1);
	assert_int_equal(c.drain_ns, 45000000000);
	assert_false(c.no_auth);
	assert_int_equal(pd_proxy_config_read(&a, text, &c, &err), PD_OK);
	assert_string_equal(c.discovery, "pilot:15012");
	assert_int_equal(c.concurrency, 0);
	assert_int_equal(c.admin_port, 1);
	assert_int_equal(c.status_port, 2);
	assert_int_equal(c.drain_ns, 7000000000);
	assert_int_equal(c.termination_ns, 9000000000);
	assert_true(c.no_auth);
	assert_string_equal(c.zipkin, "z:9411");
	assert_string_equal(c.stats_prefixes[1], "b");
	assert_null(c.stats_prefixes[2]);
	assert_string_equal(getenv("PD_TEST_VARIABLE"), "set");
	assert_int_equal(pd_proxy_config_read(&a, "{", &c, &err), PD_E_PARSE);
	pd_buf_reset(&err);
	assert_int_equal(pd_proxy_config_read(&a, "{\"concurrency\": \"many\"}", &c, &err), PD_E_INVALID);
	assert_non_null(strstr(err.p, "concurrency"));
	pd_arena_free(&a);
	pd_buf_free(&err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plaintext), cmocka_unit_test(test_all_of_it), cmocka_unit_test(test_bad_address),
		cmocka_unit_test(test_metadata),  cmocka_unit_test(test_vm),        cmocka_unit_test(test_proxy_config),
	};
	return cmocka_run_group_tests(tests, rig_setup, rig_teardown);
}
