#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/str.h"
#include "discovery/build.h"
#include "tests/unit/discovery/fixture.h"

#define HOST "web.prod.svc.cluster.local"
#define SERVICE(more, ports)                                                                                           \
	"apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: prod" more "}\n"                              \
	"spec: {clusterIP: 10.0.0.1, ports: [" ports "]}\n---\n"
#define HTTP "{name: http, port: 80}"
#define ENTRY(host, more)                                                                                              \
	"apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: se, namespace: prod}\n"              \
	"spec: {hosts: ['" host "'], " more "}\n---\n"
#define RULE(host, spec)                                                                                               \
	"apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: r, namespace: prod}\n"            \
	"spec: {host: '" host "', " spec "}\n---\n"
#define POLICY(p) RULE(HOST, "trafficPolicy: {" p "}")
#define OPTIONS "typed_extension_protocol_options/envoy.extensions.upstreams.http.v3.HttpProtocolOptions/"
#define THRESHOLDS "circuit_breakers/thresholds/0/"

static struct fixture f;
static struct pd_cluster_vec out;

static int teardown(void **state)
{
	(void)state;
	fixture_free(&f);
	return 0;
}

static void build(const char *host)
{
	struct pd_tx *tx = fixture_scope(&f);
	const struct pd_service *svc = tx_service(tx, host);
	assert_non_null(svc);
	out = (struct pd_cluster_vec){0};
	pd_build_outbound_clusters(tx, svc, &out);
}

static const void *cluster(const char *name)
{
	for (size_t i = 0; i < out.n; i++)
		if (pd_streq(out.v[i]->name, name))
			return out.v[i];
	fail_msg("no cluster %s", name);
	return NULL;
}

static const void *web(void)
{
	build(HOST);
	return cluster("outbound|80||" HOST);
}

// ---- types -----------------------------------------------------------------------------------------------------------------

static void test_names_and_order(void **state)
{
	(void)state;
	fixture_init(&f, "",
		     SERVICE("", HTTP ", {name: tcp, port: 90}, {name: dns, port: 53, protocol: UDP}")
			     RULE(HOST, "subsets: [{name: v2}, {name: v1}]"));
	build(HOST);
	static const char *const want[] = {"outbound|80||" HOST, "outbound|80|v2|" HOST, "outbound|80|v1|" HOST,
					   "outbound|90||" HOST, "outbound|90|v2|" HOST, "outbound|90|v1|" HOST};
	assert_int_equal(out.n, 6); // no UDP
	for (size_t i = 0; i < out.n; i++)
		assert_string_equal(out.v[i]->name, want[i]);
	assert_json(&f, out.v[1], "eds_cluster_config/service_name", "\"outbound|80|v2|" HOST "\"");
	assert_json(&f, out.v[1], "alt_stat_name", "\"outbound|80|v2|" HOST ";\"");
	assert_json(
		&f, out.v[1], "metadata/filter_metadata/istio",
		"{\"config\":\"/apis/networking.istio.io/v1/namespaces/prod/destination-rule/r\",\"services\":[{\"host\":"
		"\"" HOST "\",\"name\":\"web\",\"namespace\":\"prod\"}],\"subset\":\"v2\"}");
}

static void test_headless(void **state)
{
	(void)state;
	fixture_init(&f, "",
		     "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: prod}\n"
		     "spec: {clusterIP: None, selector: {a: b}, ports: [" HTTP "]}\n");
	assert_json(&f, web(), "type", "\"ORIGINAL_DST\"");
	assert_json(&f, web(), "lb_policy", "\"CLUSTER_PROVIDED\"");
	assert_json(&f, web(), "eds_cluster_config", "");
	f.key.type = PD_NODE_ROUTER;
	assert_json(&f, web(), "type", "\"EDS\"");
	f.key.type = PD_NODE_SIDECAR;
	f.settings.eds_for_headless = true;
	assert_json(&f, web(), "type", "\"EDS\"");
}

static void test_service_entries(void **state)
{
	(void)state;
	fixture_init(&f, "",
		     ENTRY("api.example.com", "location: MESH_EXTERNAL, resolution: DNS, ports: [{number: 443, name: "
					      "tls, protocol: TLS}], endpoints: [{address: a.example.com}, {address: "
					      "b.example.com}]"));
	build("api.example.com");
	const void *c = cluster("outbound|443||api.example.com");
	assert_json(&f, c, "type", "\"STRICT_DNS\"");
	assert_json(&f, c, "dns_lookup_family", "\"V4_ONLY\"");
	assert_json(&f, c, "load_assignment/endpoints/0/lb_endpoints/1/endpoint/address/socket_address/address",
		    "\"b.example.com\"");
	assert_json(&f, c, "transport_socket_matches", ""); // not in the mesh: no mTLS by itself
	assert_json(&f, c, "metadata/filter_metadata/istio/external", "true");
	f.key.ipv4 = false;
	f.key.ipv6 = true;
	build("api.example.com");
	assert_json(&f, out.v[0], "dns_lookup_family", "\"V6_ONLY\"");
}

#define VM(name, host)                                                                                                 \
	"apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: " name ", namespace: prod}\n"       \
	"spec: {address: " host ", labels: {app: vm}}\n---\n"

// Envoy would refuse a cluster with two.
static void test_logical_dns_has_one_endpoint(void **state)
{
	(void)state;
	fixture_init(&f, "",
		     ENTRY("one.example.com", "resolution: DNS_ROUND_ROBIN, ports: [{number: 80, name: http, protocol: "
					      "HTTP}], workloadSelector: {labels: {app: vm}}") VM("a", "a.example.com")
			     VM("b", "b.example.com"));
	build("one.example.com");
	assert_json(&f, out.v[0], "type", "\"LOGICAL_DNS\"");
	assert_json(&f, out.v[0], "load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/socket_address/address",
		    "\"a.example.com\"");
	assert_json(&f, out.v[0], "load_assignment/endpoints/0/lb_endpoints/1", "");
	assert_json(&f, out.v[0], "load_assignment/endpoints/0/load_balancing_weight", "1");
}

static void test_passthrough_entry_with_target_port(void **state)
{
	(void)state;
	fixture_init(&f, "",
		     ENTRY("*.wild.example", "resolution: NONE, ports: [{number: 80, targetPort: 8080, name: http, "
					     "protocol: HTTP}, {number: 81, name: http2, protocol: HTTP}]"));
	build("*.wild.example");
	assert_json(&f, out.v[0], "original_dst_lb_config/upstream_port_override", "8080");
	assert_json(&f, out.v[1], "original_dst_lb_config", "");
}

static void test_dynamic_dns(void **state)
{
	(void)state;
	fixture_init(
		&f, "",
		ENTRY("*.dyn.example",
		      "location: MESH_EXTERNAL, resolution: DYNAMIC_DNS, ports: [{number: 80, name: http, protocol: "
		      "HTTP}, {number: 443, name: tls, protocol: TLS}, {number: 9000, name: tcp, protocol: TCP}]")
			RULE("*.dyn.example", "subsets: [{name: v1}]"));
	build("*.dyn.example");
	assert_int_equal(out.n, 2); // neither TCP nor subsets
	assert_json(&f, out.v[0], "cluster_type/typed_config/dns_cache_config/name", "\"*.dyn.example_dfp_dns_cache\"");
	assert_json(&f, out.v[0], "lb_policy", "\"CLUSTER_PROVIDED\"");
	assert_json(&f, out.v[0], "common_lb_config", "");
}

static void test_external_name_has_none(void **state)
{
	(void)state;
	fixture_init(&f, "",
		     "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: prod}\n"
		     "spec: {type: ExternalName, externalName: example.com, ports: [" HTTP "]}\n");
	build(HOST);
	assert_int_equal(out.n, 0);
}

// ---- HTTP ------------------------------------------------------------------------------------------------------------------

static void test_protocols(void **state)
{
	(void)state;
	fixture_init(&f, "",
		     SERVICE("", HTTP ", {name: grpc-x, port: 81}, {name: odd, port: 82}, {name: tcp, port: 83}"));
	build(HOST);
	assert_json(&f, out.v[0], "typed_extension_protocol_options", "");
	assert_json(&f, out.v[1], OPTIONS "explicit_http_config", "{\"http2_protocol_options\":{}}");
	assert_json(&f, out.v[2], OPTIONS "use_downstream_protocol_config",
		    "{\"http_protocol_options\":{},\"http2_protocol_options\":{}}");
	assert_json(&f, out.v[3], "typed_extension_protocol_options", "");
	f.key.type = PD_NODE_ROUTER; // what a gateway's client speaks says nothing about the service
	build(HOST);
	assert_json(&f, out.v[2], "typed_extension_protocol_options", "");
}

static void test_h2_upgrade(void **state)
{
	static const struct {
		const char *mesh, *http, *declared, *sniffed; // what http and unnamed ports get
	} cases[] = {
		{"h2UpgradePolicy: UPGRADE", NULL, "h2", "down"},
		{"h2UpgradePolicy: UPGRADE", "h2UpgradePolicy: DO_NOT_UPGRADE", "", "down"},
		{"", "h2UpgradePolicy: UPGRADE", "h2", "down"},
		{"h2UpgradePolicy: UPGRADE", "useClientProtocol: true", "down", "down"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char yaml[1024];
		snprintf(yaml, sizeof(yaml), "%s%s%s%s", SERVICE("", HTTP ", {name: odd, port: 82}"),
			 cases[i].http
				 ? "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: r, "
				   "namespace: prod}\nspec: {host: " HOST ", trafficPolicy: {connectionPool: {http: {"
				 : "",
			 cases[i].http ? cases[i].http : "", cases[i].http ? "}}}}\n" : "");
		fixture_init(&f, cases[i].mesh, yaml);
		build(HOST);
		const char *const want[] = {cases[i].declared, cases[i].sniffed};
		for (size_t k = 0; k < 2; k++) {
			bool h2 = *fixture_get(&f, out.v[k], OPTIONS "explicit_http_config/http2_protocol_options");
			bool down = *fixture_get(&f, out.v[k], OPTIONS "use_downstream_protocol_config");
			assert_string_equal(h2 ? "h2" : down ? "down" : "", want[k]);
		}
		if (i + 1 < sizeof(cases) / sizeof(cases[0]))
			fixture_free(&f);
	}
}

// ---- policies ----------------------------------------------------------------------------------------------------------------

static void test_defaults(void **state)
{
	(void)state;
	fixture_init(&f, "connectTimeout: 3s", SERVICE("", HTTP));
	const void *c = web();
	assert_json(&f, c, "connect_timeout", "\"3s\"");
	assert_json(&f, c, THRESHOLDS "max_retries", "4294967295");
	assert_json(&f, c, THRESHOLDS "max_connections", "4294967295");
	assert_json(&f, c, "lb_policy", "\"LEAST_REQUEST\"");
	assert_json(&f, c, "common_lb_config", "{\"healthy_panic_threshold\":{}}");
	f.settings.send_unhealthy = false;
	assert_json(&f, web(), "common_lb_config", "{}");
}

static void test_connection_pool(void **state)
{
	(void)state;
	fixture_init(&f, "tcpKeepalive: {probes: 9, time: 30s}",
		     SERVICE("", HTTP) POLICY(
			     "connectionPool: {tcp: {maxConnections: 5, connectTimeout: 700ms, idleTimeout: 7s, "
			     "tcpKeepalive: {time: 60s}}, http: {http1MaxPendingRequests: 2, "
			     "maxRequestsPerConnection: 3, maxConcurrentStreams: 4}}, retryBudget: {percent: 25}"));
	const void *c = web();
	assert_json(&f, c, THRESHOLDS "max_connections", "5");
	assert_json(&f, c, THRESHOLDS "max_pending_requests", "2");
	assert_json(&f, c, THRESHOLDS "max_requests", "4294967295");
	assert_json(&f, c, THRESHOLDS "retry_budget",
		    "{\"budget_percent\":{\"value\":25},\"min_retry_concurrency\":3}");
	assert_json(&f, c, "connect_timeout", "\"0.700s\"");
	assert_json(&f, c, "upstream_connection_options/tcp_keepalive",
		    "{\"keepalive_probes\":9,\"keepalive_time\":60}");
	assert_json(&f, c, OPTIONS "common_http_protocol_options",
		    "{\"idle_timeout\":\"7s\",\"max_requests_per_connection\":3}");
	assert_json(&f, c, OPTIONS "explicit_http_config", "{\"http_protocol_options\":{}}"); // streams: HTTP/2 alone
}

static void test_mesh_default_policy(void **state)
{
	(void)state;
	fixture_init(&f,
		     "defaultTrafficPolicy: {connectionPool: {tcp: {maxConnections: 8}}, outlierDetection: "
		     "{consecutive5xxErrors: 2}}",
		     SERVICE("", HTTP)
			     RULE(HOST, "trafficPolicy: {outlierDetection: {consecutiveGatewayErrors: 0}}, subsets: "
					"[{name: v1, trafficPolicy: {connectionPool: {tcp: {maxConnections: 1}}}}]"));
	const void *c = web();
	assert_json(&f, c, THRESHOLDS "max_connections", "8");
	assert_json(&f, c, "outlier_detection/consecutive_5xx", ""); // the rule has a block of its own
	assert_json(&f, c, "outlier_detection/enforcing_consecutive_gateway_failure", "0");
	assert_json(&f, c, "outlier_detection/enforcing_success_rate", "0");
	assert_json(&f, cluster("outbound|80|v1|" HOST), THRESHOLDS "max_connections", "1");
}

static void test_outlier_error_codes(void **state)
{
	(void)state;
	fixture_init(&f, "",
		     SERVICE("", HTTP) POLICY("outlierDetection: {consecutive5xxErrors: 3, minHealthPercent: 30, "
					      "outlierDetectionHttpErrorCodes: [500, 429]}"));
	const void *c = web();
	assert_json(&f, c, "common_lb_config/healthy_panic_threshold/value", "30");
	assert_json(&f, c,
		    OPTIONS "outlier_detection/error_matcher/or_match/rules/1/http_response_headers_match/headers/0/"
			    "string_match/exact",
		    "\"429\"");
}

static void test_load_balancers(void **state)
{
	static const struct {
		const char *settings, *path, *want;
	} cases[] = {
		{"simple: ROUND_ROBIN", "lb_policy", ""}, // Envoy's zero
		{"simple: RANDOM", "lb_policy", "\"RANDOM\""},
		{"simple: LEAST_CONN", "lb_policy", "\"LEAST_REQUEST\""},
		{"simple: PASSTHROUGH", "type", "\"ORIGINAL_DST\""},
		{"simple: PASSTHROUGH", "eds_cluster_config", ""},
		{"simple: ROUND_ROBIN, warmupDurationSecs: 30s", "round_robin_lb_config",
		 "{\"slow_start_config\":{\"slow_start_window\":\"30s\"}}"},
		{"warmup: {duration: 10s}", "least_request_lb_config/slow_start_config",
		 "{\"slow_start_window\":\"10s\",\"aggression\":{\"default_value\":1,\"runtime_key\":\"(\"},"
		 "\"min_weight_percent\":{\"value\":10}}"},
		{"consistentHash: {useSourceIp: true}", "ring_hash_lb_config/minimum_ring_size", "\"1024\""},
		{"consistentHash: {useSourceIp: true, ringHash: {}}", "ring_hash_lb_config", ""},
		{"consistentHash: {useSourceIp: true, maglev: {tableSize: 101}}", "maglev_lb_config/table_size",
		 "\"101\""},
		{"consistentHash: {useSourceIp: true, maglev: {}}", "lb_policy", "\"MAGLEV\""},
		{"localityLbSetting: {distribute: [{from: a, to: {b: 100}}]}", "common_lb_config",
		 "{\"healthy_panic_threshold\":{},\"locality_weighted_lb_config\":{}}"},
		{"localityLbSetting: {failoverPriority: [x]}", "common_lb_config", // nobody would ever fail over
		 "{\"healthy_panic_threshold\":{}}"},
		{"zoneAwareLbSetting: {minClusterSize: 3}", "common_lb_config/zone_aware_lb_config",
		 "{\"min_cluster_size\":\"3\"}"},
		{"zoneAwareLbSetting: {enabled: false}", "common_lb_config/zone_aware_lb_config",
		 "{\"routing_enabled\":{}}"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char yaml[1024];
		if (i)
			fixture_free(&f);
		snprintf(yaml, sizeof(yaml),
			 "%sapiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: r, namespace: "
			 "prod}\nspec: {host: " HOST ", trafficPolicy: {loadBalancer: {%s}}}\n",
			 SERVICE("", HTTP), cases[i].settings);
		fixture_init(&f, "", yaml);
		assert_json(&f, web(), cases[i].path, cases[i].want);
	}
}

static void test_stat_name_pattern(void **state)
{
	(void)state;
	fixture_init(
		&f,
		"outboundClusterStatName: '%SERVICE%_%SERVICE_FQDN%_%SERVICE_PORT%_%SERVICE_PORT_NAME%_%SUBSET_NAME%_%x%'",
		SERVICE("", HTTP) RULE(HOST, "subsets: [{name: v1}]"));
	build(HOST);
	assert_json(&f, out.v[0], "alt_stat_name", "\"web.prod_" HOST "_80_http__%x%;\"");
	assert_json(&f, out.v[1], "alt_stat_name", "\"web.prod_" HOST "_80_http_v1_%x%;\"");
}

static void test_equal_input_equal_bytes(void **state)
{
	(void)state;
	fixture_init(&f, "", SERVICE("", HTTP) POLICY("outlierDetection: {consecutive5xxErrors: 3}"));
	const char *first = fixture_json(&f, web());
	assert_string_equal(first, fixture_json(&f, web()));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_names_and_order, teardown),
		cmocka_unit_test_teardown(test_headless, teardown),
		cmocka_unit_test_teardown(test_service_entries, teardown),
		cmocka_unit_test_teardown(test_logical_dns_has_one_endpoint, teardown),
		cmocka_unit_test_teardown(test_passthrough_entry_with_target_port, teardown),
		cmocka_unit_test_teardown(test_dynamic_dns, teardown),
		cmocka_unit_test_teardown(test_external_name_has_none, teardown),
		cmocka_unit_test_teardown(test_protocols, teardown),
		cmocka_unit_test_teardown(test_h2_upgrade, teardown),
		cmocka_unit_test_teardown(test_defaults, teardown),
		cmocka_unit_test_teardown(test_connection_pool, teardown),
		cmocka_unit_test_teardown(test_mesh_default_policy, teardown),
		cmocka_unit_test_teardown(test_outlier_error_codes, teardown),
		cmocka_unit_test_teardown(test_load_balancers, teardown),
		cmocka_unit_test_teardown(test_stat_name_pattern, teardown),
		cmocka_unit_test_teardown(test_equal_input_equal_bytes, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
