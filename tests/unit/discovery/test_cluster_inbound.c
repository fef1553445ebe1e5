#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/str.h"
#include "discovery/build.h"
#include "tests/unit/discovery/fixture.h"

#define SERVICE(name, second, ports)                                                                                   \
	"apiVersion: v1\nkind: Service\n"                                                                              \
	"metadata: {name: " name ", namespace: prod, creationTimestamp: '2026-01-01T00:00:0" #second "Z'}\n"           \
	"spec: {clusterIP: 10.0.0." #second ", selector: {app: web}, ports: [" ports "]}\n---\n"
#define POD                                                                                                            \
	"apiVersion: v1\nkind: Pod\nmetadata: {name: p1, namespace: prod, labels: {app: web}}\n"                       \
	"spec: {containers: [{name: c, ports: [{name: app-port, containerPort: 7070}]}]}\n"                            \
	"status: {phase: Running, podIP: 10.1.0.1, podIPs: [{ip: 10.1.0.1}]}\n---\n"
#define NODE(type, extra)                                                                                              \
	"{\"id\": \"" type                                                                                             \
	"~10.1.0.1~p1.prod~prod.svc.cluster.local\", \"metadata\": {\"NAMESPACE\": \"prod\", \"CLUSTER_ID\": "         \
	"\"Kubernetes\", \"ISTIO_VERSION\": \"1.31.0\", \"INSTANCE_IPS\": \"10.1.0.1\"" extra "}}"
#define SIDECAR NODE("sidecar", "")

static struct fixture f;
static struct pd_cluster_vec out;

static int teardown(void **state)
{
	(void)state;
	fixture_free(&f);
	return 0;
}

static void build(const char *node)
{
	struct pd_tx *tx = fixture_view(&f, node);
	out = (struct pd_cluster_vec){0};
	pd_build_inbound_clusters(tx, &out);
}

static const char *names(void)
{
	struct pd_buf b = {0};
	for (size_t i = 0; i < out.n; i++)
		pd_buf_printf(&b, "%s ", out.v[i]->name);
	const char *text = pd_arena_strdup(&f.arena, b.n ? b.p : "");
	pd_buf_free(&b);
	return text;
}

static void test_ports(void **state)
{
	(void)state;
	fixture_init(&f, "",
		     POD SERVICE("newer", 2, "{name: http, port: 80, targetPort: 8080}")
			     SERVICE("older", 1,
				     "{name: grpc, port: 80, targetPort: 8080}, {name: tcp, port: 70, "
				     "targetPort: 6000}, {name: same, port: 5000}")
				     SERVICE("other-port", 3, "{name: http, port: 81, targetPort: 8080}"));
	build(SIDECAR);
	assert_string_equal(names(), "inbound|5000|| inbound|6000|| inbound|8080|| InboundPassthroughCluster ");
	const void *c = out.v[2]; // the oldest service owns the port; those with the same port of their own are named
	assert_json(&f, c, "metadata/filter_metadata/istio/services/0/name", "\"older\"");
	assert_json(&f, c, "metadata/filter_metadata/istio/services/1/name", "\"newer\"");
	assert_json(&f, c, "metadata/filter_metadata/istio/services/2", "");
	assert_string_not_equal(
		fixture_get(&f, c,
			    "typed_extension_protocol_options/envoy.extensions.upstreams.http.v3.HttpProtocolOptions/"
			    "explicit_http_config/http2_protocol_options"),
		"");
	assert_json(&f, c, "type", "\"ORIGINAL_DST\"");
	assert_json(&f, c, "cleanup_interval", "\"9223372035s\"");
	assert_json(&f, c, "upstream_bind_config/source_address", "{\"address\":\"127.0.0.6\",\"port_value\":0}");
	assert_json(&f, c, "alt_stat_name", "\"inbound|8080||;\"");
	assert_json(&f, c, "filters", "");
}

static void test_named_target_port(void **state)
{
	(void)state;
	fixture_init(
		&f, "",
		POD SERVICE(
			"web", 1,
			"{name: http, port: 80, targetPort: app-port}, {name: gone, port: 81, "
			"targetPort: no-such-port}") "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: web-1, namespace: prod, "
						     "labels: {kubernetes.io/service-name: web}}\naddressType: IPv4\nports: [{name: http, port: "
						     "7070}]\nendpoints:\n- {addresses: [10.1.0.1], targetRef: {kind: Pod, name: p1, namespace: "
						     "prod}}\n");
	build(SIDECAR);
	assert_string_equal(names(), "inbound|7070|| InboundPassthroughCluster ");
}

static void test_policy_is_pool_alone(void **state)
{
	(void)state;
	fixture_init(
		&f, "inboundClusterStatName: '%SERVICE_NAME%_%TARGET_PORT%'",
		POD SERVICE(
			"web", 1,
			"{name: http, port: 80, targetPort: 8080}") "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: r, namespace: prod}\nspec: "
								    "{host: web, trafficPolicy: {connectionPool: {tcp: {maxConnections: 3}}, outlierDetection: "
								    "{consecutive5xxErrors: 1}, tls: {mode: ISTIO_MUTUAL}, loadBalancer: {simple: RANDOM}}}\n");
	build(SIDECAR);
	assert_json(&f, out.v[0], "circuit_breakers/thresholds/0/max_connections", "3");
	assert_json(&f, out.v[0], "outlier_detection", "");
	assert_json(&f, out.v[0], "transport_socket", "");
	assert_json(&f, out.v[0], "lb_policy", "\"CLUSTER_PROVIDED\"");
	assert_json(&f, out.v[0], "common_lb_config", "{}");
	assert_json(&f, out.v[0], "alt_stat_name", "\"web_8080;\"");
	assert_json(&f, out.v[0], "metadata/filter_metadata/istio/config",
		    "\"/apis/networking.istio.io/v1/namespaces/prod/destination-rule/r\"");
}

static void test_localhost_mode(void **state)
{
	(void)state;
	fixture_init(&f, "inboundTrafficPolicy: {mode: LOCALHOST}",
		     POD SERVICE("web", 1, "{name: http, port: 80, targetPort: 8080}"));
	build(SIDECAR);
	assert_json(&f, out.v[0], "type", "\"STATIC\"");
	assert_json(&f, out.v[0], "load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/socket_address",
		    "{\"address\":\"127.0.0.1\",\"port_value\":8080}");
	assert_json(&f, out.v[0], "upstream_bind_config", "");
}

static void test_without_interception(void **state)
{
	(void)state;
	fixture_init(&f, "", POD SERVICE("web", 1, "{name: http, port: 80, targetPort: 8080}"));
	build(NODE("sidecar", ", \"INTERCEPTION_MODE\": \"NONE\""));
	assert_string_equal(names(), "InboundPassthroughCluster ");
	build(NODE("router", ""));
	assert_string_equal(names(), "");
}

static void test_address_families(void **state)
{
	(void)state;
	fixture_init(&f, "", POD SERVICE("web", 1, "{name: http, port: 80, targetPort: 8080}"));
	build("{\"id\": \"sidecar~10.1.0.1~p1.prod~prod.svc.cluster.local\", \"metadata\": {\"NAMESPACE\": \"prod\", "
	      "\"INSTANCE_IPS\": \"10.1.0.1,fd00::1\", \"CLUSTER_ID\": \"Kubernetes\"}}");
	assert_json(&f, out.v[0], "upstream_bind_config/extra_source_addresses", ""); // without dual stack
	assert_json(&f, out.v[1], "upstream_bind_config/extra_source_addresses/0/address/address", "\"::6\"");
	f.settings.dual_stack = true;
	build("{\"id\": \"sidecar~10.1.0.1~p1.prod~prod.svc.cluster.local\", \"metadata\": {\"NAMESPACE\": \"prod\", "
	      "\"INSTANCE_IPS\": \"10.1.0.1,fd00::1\", \"CLUSTER_ID\": \"Kubernetes\"}}");
	assert_json(&f, out.v[0], "upstream_bind_config/extra_source_addresses/0/address/address", "\"::6\"");
	build("{\"id\": \"sidecar~fd00::1~p2.prod~prod.svc.cluster.local\", \"metadata\": {\"NAMESPACE\": \"prod\", "
	      "\"CLUSTER_ID\": \"Kubernetes\", \"LABELS\": {\"app\": \"web\"}}}");
	assert_json(&f, out.v[0], "upstream_bind_config/source_address/address", "\"::6\"");
}

// ---- clusters of no service ------------------------------------------------------------------------------------------------

static void build_static(void)
{
	out = (struct pd_cluster_vec){0};
	pd_build_static_clusters(fixture_scope(&f), &out);
}

static void test_static(void **state)
{
	(void)state;
	fixture_init(&f, "defaultTrafficPolicy: {connectionPool: {tcp: {maxConnections: 4}}}", "");
	build_static();
	assert_string_equal(names(), "BlackHoleCluster PassthroughCluster ");
	assert_json(&f, out.v[0], "circuit_breakers", "");
	assert_json(&f, out.v[1], "circuit_breakers/thresholds/0/max_connections", "4");
	assert_json(&f, out.v[1],
		    "typed_extension_protocol_options/envoy.extensions.upstreams.http.v3.HttpProtocolOptions/"
		    "common_http_protocol_options",
		    "{\"idle_timeout\":\"300s\"}");
	f.key.type = PD_NODE_ROUTER;
	build_static();
	assert_string_equal(names(), "BlackHoleCluster ");
}

static void test_allow_any_dynamic_dns(void **state)
{
	(void)state;
	fixture_init(&f, "outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS}", "");
	build_static();
	assert_string_equal(names(), "BlackHoleCluster PassthroughCluster AllowAnyDynamicDNSCluster ");
	assert_json(&f, out.v[2], "cluster_type/typed_config/allow_insecure_cluster_options", "true");
	assert_json(&f, out.v[2], "cluster_type/typed_config/dns_cache_config/max_hosts", "1024");
	fixture_free(&f);
	fixture_init(&f, "outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS, tls: {mode: SIMPLE}}", "");
	build_static();
	assert_json(&f, out.v[2], "cluster_type/typed_config/allow_insecure_cluster_options", "");
	assert_json(&f, out.v[2], "transport_socket/name", "\"envoy.transport_sockets.tls\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_ports, teardown),
		cmocka_unit_test_teardown(test_named_target_port, teardown),
		cmocka_unit_test_teardown(test_policy_is_pool_alone, teardown),
		cmocka_unit_test_teardown(test_localhost_mode, teardown),
		cmocka_unit_test_teardown(test_without_interception, teardown),
		cmocka_unit_test_teardown(test_address_families, teardown),
		cmocka_unit_test_teardown(test_static, teardown),
		cmocka_unit_test_teardown(test_allow_any_dynamic_dns, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
