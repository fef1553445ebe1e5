#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "api/pb.h"
#include "base/str.h"
#include "discovery/build.h"
#include "discovery/listener/tcp_filters.h"
#include "tests/unit/discovery/fixture.h"

// ---- inputs: written in order of age -----------------------------------------------------------------------------------------

#define META(kind, api, name, age)                                                                                     \
	"apiVersion: " api "\nkind: " kind "\nmetadata: {name: " name                                                  \
	", namespace: default, creationTimestamp: '2026-01-01T00:00:" age "Z'}\n"
#define SERVICE(name, age, ip, port)                                                                                   \
	META("Service", "v1", name, age) "spec: {clusterIP: " ip ", ports: [" port "]}\n---\n"
#define ENTRY(name, age, spec) META("ServiceEntry", "networking.istio.io/v1", name, age) "spec: " spec "\n---\n"
#define VIRTUAL(name, age, spec) META("VirtualService", "networking.istio.io/v1", name, age) "spec: " spec "\n---\n"
#define RULE(name, age, spec) META("DestinationRule", "networking.istio.io/v1", name, age) "spec: " spec "\n---\n"

#define MAX_SERVICES 2048

static int cmp_age(const void *x, const void *y)
{
	const struct pd_service *a = *(const struct pd_service *const *)x, *b = *(const struct pd_service *const *)y;
	return (a->created_ns > b->created_ns) - (a->created_ns < b->created_ns);
}

struct all {
	uint32_t port;
	const struct pd_service *v[MAX_SERVICES];
	size_t n;
};

static void collect(struct pd_tx *tx, const struct pd_service *svc, void *arg)
{
	struct all *all = arg;
	(void)tx;
	if (pd_service_port(svc, all->port)) {
		assert_true(all->n < MAX_SERVICES);
		all->v[all->n++] = svc;
	}
}

// The listeners of a port, as the engine asks for them.
static struct pd_template_vec build(struct fixture *f, uint32_t port)
{
	static struct all all;
	struct pd_template_vec out = {0};
	struct pd_tx *tx = fixture_scope(f);
	all = (struct all){.port = port};
	tx_each_service(tx, collect, &all);
	qsort(all.v, all.n, sizeof(all.v[0]), cmp_age);
	pd_build_port_listeners(tx, port, all.v, all.n, &out);
	return out;
}

static const struct pd_listener_template *named(const struct pd_template_vec *v, const char *name)
{
	for (size_t i = 0; i < v->n; i++)
		if (pd_streq(v->v[i].msg->name, name))
			return &v->v[i];
	return NULL;
}

#define CLUSTER(path) path "/filters/0/typed_config/cluster"

// ---- protocols -----------------------------------------------------------------------------------------------------------------

static void test_http_services_share_a_listener(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "",
		     SERVICE("a", "01", "10.0.0.1", "{port: 80, name: http}")
			     SERVICE("b", "02", "10.0.0.2", "{port: 80, name: grpc-b}"));
	struct pd_template_vec v = build(&f, 80);
	assert_int_equal(v.n, 1);
	assert_string_equal(v.v[0].msg->name, "0.0.0.0_80");
	assert_int_equal(v.v[0].n_http, 1);
	assert_string_equal(v.v[0].http[0].route_name, "80");
	assert_string_equal(v.v[0].http[0].stat_prefix, "outbound_0.0.0.0_80;");
	assert_int_equal(v.v[0].http[0].chain, 0);
	assert_json(&f, v.v[0].msg, "filter_chains/0/filters",
		    "[{\"name\":\"envoy.filters.network.http_connection_manager\"}]");
	assert_json(&f, v.v[0].msg, "filter_chains/0/filter_chain_match/application_protocols",
		    "[\"http/1.1\",\"h2c\"]");
	assert_json(&f, v.v[0].msg, "default_filter_chain/name", "\"PassthroughFilterChain\"");
	assert_json(&f, v.v[0].msg, CLUSTER("default_filter_chain"), "\"PassthroughCluster\"");
	assert_json(&f, v.v[0].msg, "listener_filters/0/name", "\"envoy.filters.listener.http_inspector\"");
	assert_json(&f, v.v[0].msg, "bind_to_port", "false");
	fixture_free(&f);
}

static void test_detected_service_has_its_own(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "protocolDetectionTimeout: 3s", SERVICE("a", "01", "10.0.0.1", "{port: 7000}"));
	struct pd_template_vec v = build(&f, 7000);
	assert_int_equal(v.n, 1);
	assert_string_equal(v.v[0].msg->name, "10.0.0.1_7000");
	assert_string_equal(v.v[0].http[0].route_name, "a.default.svc.cluster.local:7000");
	assert_json(&f, v.v[0].msg, CLUSTER("default_filter_chain"), "\"outbound|7000||a.default.svc.cluster.local\"");
	assert_json(&f, v.v[0].msg, "listener_filters_timeout", "\"3s\"");
	fixture_free(&f);
}

// Codecs need the setting and the proxy's consent.
static void test_codecs(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "",
		     SERVICE("a", "01", "10.0.0.1",
			     "{port: 1, name: mongo}, {port: 2, name: redis}, {port: 3, name: mysql}"));
	struct pd_template_vec v = build(&f, 1);
	assert_json(&f, v.v[0].msg, "filter_chains/0/filters/0/name", "\"envoy.filters.network.mongo_proxy\"");
	assert_json(&f, v.v[0].msg, "filter_chains/0/filters/1/name", "\"envoy.filters.network.tcp_proxy\"");
	f.key.caps &= ~(uint32_t)PD_CAP_MONGO;
	v = build(&f, 1);
	assert_json(&f, v.v[0].msg, "filter_chains/0/filters/0/name", "\"envoy.filters.network.tcp_proxy\"");
	v = build(&f, 2);
	assert_json(&f, v.v[0].msg, "filter_chains/0/filters/0/name", "\"envoy.filters.network.tcp_proxy\"");
	f.settings.redis_filter = f.settings.mysql_filter = true;
	v = build(&f, 2);
	assert_int_equal(v.v[0].msg->filter_chains[0]->n_filters, 1);
	assert_json(&f, v.v[0].msg, "filter_chains/0/filters/0/typed_config/prefix_routes/catch_all_route/cluster",
		    "\"outbound|2||a.default.svc.cluster.local\"");
	v = build(&f, 3);
	const Envoy__Config__Listener__V3__Filter *mysql = v.v[0].msg->filter_chains[0]->filters[0];
	assert_string_equal(pb_any_type(mysql->typed_config),
			    "envoy.extensions.filters.network.mysql_proxy.v3.MySQLProxy");
	assert_int_equal(mysql->typed_config->value.len, 2 + strlen("outbound|3||a.default.svc.cluster.local"));
	assert_int_equal(v.v[0].msg->filter_chains[0]->n_filters, 2);
	fixture_free(&f);
}

// ---- services that meet on one listener ------------------------------------------------------------------------------------------

#define NO_ADDRESS(name, age, protocol)                                                                                \
	ENTRY(name, age,                                                                                               \
	      "{hosts: [" name ".test], resolution: NONE, ports: [{number: 9000, name: p, protocol: " protocol "}]}")

static void test_http_then_tcp(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "", NO_ADDRESS("a", "01", "HTTP") NO_ADDRESS("b", "02", "TCP"));
	struct pd_template_vec v = build(&f, 9000);
	assert_int_equal(v.n, 1);
	assert_int_equal(v.v[0].msg->n_filter_chains, 1);
	assert_int_equal(v.v[0].n_http, 1);
	assert_json(&f, v.v[0].msg, CLUSTER("default_filter_chain"), "\"outbound|9000||b.test\"");
	fixture_free(&f);
}

static void test_tcp_then_http_then_detected(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "", NO_ADDRESS("a", "01", "TCP") NO_ADDRESS("b", "02", "HTTP") NO_ADDRESS("c", "03", "\"\""));
	struct pd_template_vec v = build(&f, 9000);
	assert_int_equal(v.n, 1);
	assert_int_equal(v.v[0].n_http, 1);
	assert_string_equal(v.v[0].http[0].route_name, "9000");
	assert_json(&f, v.v[0].msg, CLUSTER("default_filter_chain"), "\"outbound|9000||a.test\"");
	assert_int_equal(pd_issues_count(f.issues), 1); // c's TCP half has no place
	fixture_free(&f);
}

static void test_older_tcp_wins(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "", NO_ADDRESS("b", "02", "TCP") NO_ADDRESS("a", "01", "TCP"));
	struct pd_template_vec v = build(&f, 9000);
	assert_int_equal(v.v[0].msg->n_filter_chains, 1);
	assert_json(&f, v.v[0].msg, CLUSTER("filter_chains/0"), "\"outbound|9000||a.test\"");
	assert_int_equal(pd_issues_count(f.issues), 1);
	fixture_free(&f);
}

static void test_mongo_stays_alone(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "", NO_ADDRESS("a", "01", "MONGO") NO_ADDRESS("b", "02", "HTTP"));
	struct pd_template_vec v = build(&f, 9000);
	assert_int_equal(v.v[0].n_http, 0);
	assert_int_equal(v.v[0].msg->n_listener_filters, 0);
	assert_int_equal(pd_issues_count(f.issues), 1);
	fixture_free(&f);
}

#define RANGES(name, age, list)                                                                                        \
	ENTRY(name, age,                                                                                               \
	      "{hosts: [" name ".test], addresses: [" list                                                             \
	      "], resolution: NONE, ports: [{number: 9000, name: p, protocol: TCP}]}")

static void test_ranges(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "",
		     RANGES("a", "01", "10.1.0.0/16") RANGES("b", "02", "10.2.0.0/16, 192.0.2.7/32")
			     RANGES("c", "03", "10.2.9.9/16"));
	struct pd_template_vec v = build(&f, 9000);
	assert_int_equal(v.n, 2); // each address of an entry is a service of its own
	assert_non_null(named(&v, "192.0.2.7_9000"));
	const struct pd_listener_template *t = named(&v, "0.0.0.0_9000");
	assert_int_equal(t->msg->n_filter_chains, 2); // c's range is b's
	assert_json(&f, t->msg, "filter_chains/1/filter_chain_match/prefix_ranges",
		    "[{\"address_prefix\":\"10.2.0.0\",\"prefix_len\":16}]");
	assert_json(&f, t->msg, "default_filter_chain/name", "\"PassthroughFilterChain\"");
	fixture_free(&f);
}

static void test_a_thousand_services(void **state)
{
	struct fixture f;
	struct pd_buf y = {0};
	(void)state;
	for (int i = 0; i < 1000; i++)
		pd_buf_printf(&y,
			      "apiVersion: v1\nkind: Service\nmetadata: {name: s%d, namespace: default}\n"
			      "spec: {clusterIP: 10.0.%d.%d, ports: [{port: 9000, name: tcp}]}\n---\n",
			      i, i / 250, i % 250 + 1);
	fixture_init(&f, "", y.p);
	pd_buf_free(&y);
	struct pd_template_vec v = build(&f, 9000);
	assert_int_equal(v.n, 1000);
	const struct pd_listener_template *t = named(&v, "10.0.3.250_9000");
	assert_json(&f, t->msg, CLUSTER("filter_chains/0"), "\"outbound|9000||s999.default.svc.cluster.local\"");
	fixture_free(&f);
}

// ---- addresses -----------------------------------------------------------------------------------------------------------------

#define HEADLESS                                                                                                       \
	SERVICE("db", "01", "None", "{port: 7000, name: tcp}, {port: 80, name: http}, {port: 443, name: https}")       \
	"apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: db-1, namespace: default, labels: "    \
	"{kubernetes.io/service-name: db}}\naddressType: IPv4\nports: [{name: tcp, port: 7070}, {name: http, port: "   \
	"8080}]\nendpoints: [{addresses: [10.1.0.1]}, {addresses: [10.1.0.2], conditions: {ready: false}}]\n---\n"

static void test_headless(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "", HEADLESS);
	struct pd_template_vec v = build(&f, 7000);
	assert_int_equal(v.n, 2); // one for each pod, ready or not
	const struct pd_listener_template *t = named(&v, "10.1.0.2_7000");
	assert_json(&f, t->msg, CLUSTER("filter_chains/0"), "\"outbound|7000||db.default.svc.cluster.local\"");
	assert_true(fixture_depends(&f, PD_IX_ENDPOINTS, "db.default.svc.cluster.local"));
	v = build(&f, 80); // HTTP goes by names
	assert_int_equal(v.n, 1);
	assert_string_equal(v.v[0].msg->name, "0.0.0.0_80");
	assert_false(fixture_depends(&f, PD_IX_ENDPOINTS, "db.default.svc.cluster.local"));
	v = build(&f, 443);
	assert_string_equal(v.v[0].msg->name, "0.0.0.0_443");
	assert_json(&f, v.v[0].msg, "filter_chains/0/filter_chain_match/server_names",
		    "[\"db.default.svc.cluster.local\"]");
	assert_json(&f, v.v[0].msg, "listener_filters/0/name", "\"envoy.filters.listener.tls_inspector\"");
	fixture_free(&f);
}

static void test_families(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "",
		     META("Service", "v1", "a",
			  "01") "spec: {clusterIP: 10.0.0.1, clusterIPs: [10.0.0.1, 'fd00::1'], ports: "
				"[{port: 9000, name: tcp}, {port: 80, name: http}]}\n---\n");
	f.key.ipv4 = false;
	f.key.ipv6 = true;
	struct pd_template_vec v = build(&f, 9000);
	assert_string_equal(v.v[0].msg->name, "fd00::1_9000");
	v = build(&f, 80);
	assert_string_equal(v.v[0].msg->name, "::_80");
	assert_string_equal(v.v[0].http[0].route_name, "80");
	f.key.ipv4 = true;
	f.settings.dual_stack = true;
	v = build(&f, 9000);
	assert_string_equal(v.v[0].msg->name, "10.0.0.1_9000");
	assert_json(&f, v.v[0].msg, "additional_addresses/0/address/socket_address/address", "\"fd00::1\"");
	fixture_free(&f);
}

static void test_no_interception(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "",
		     SERVICE("a", "01", "10.0.0.1", "{port: 9000, name: http}")
			     SERVICE("b", "02", "10.0.0.2", "{port: 9000, name: tcp}"));
	f.key.interception = PD_INTERCEPT_NONE;
	struct pd_template_vec v = build(&f, 9000);
	assert_int_equal(v.n, 1);
	assert_string_equal(v.v[0].msg->name, "127.0.0.1_9000");
	assert_int_equal(v.v[0].msg->n_filter_chains, 1);
	assert_null(v.v[0].msg->default_filter_chain);
	assert_int_equal(v.v[0].n_http, 1);
	assert_json(&f, v.v[0].msg, "max_connections_to_accept_per_socket_event", "1");
	assert_json(&f, v.v[0].msg, "bind_to_port", "");
	fixture_free(&f);
}

static void test_ports_of_the_proxy(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(
		&f, "",
		SERVICE("a", "01", "10.0.0.1",
			"{port: 15001, name: http}, {port: 15006, name: tcp}, {port: 53, name: dns, protocol: UDP}"));
	assert_int_equal(build(&f, 15001).n, 0); // would be on all addresses
	assert_int_equal(build(&f, 15006).n, 1); // has an address of its own
	assert_int_equal(build(&f, 53).n, 0);
	fixture_free(&f);
}

static void test_registry_only(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "outboundTrafficPolicy: {mode: REGISTRY_ONLY}",
		     SERVICE("a", "01", "10.0.0.1", "{port: 80, name: http}"));
	struct pd_template_vec v = build(&f, 80);
	assert_json(&f, v.v[0].msg, CLUSTER("default_filter_chain"), "\"BlackHoleCluster\"");
	assert_true(fixture_depends(&f, PD_IX_MESH, ""));
	fixture_free(&f);
}

// ---- VirtualServices -----------------------------------------------------------------------------------------------------------

#define TO(subset) "{destination: {host: a.default.svc.cluster.local, subset: " subset "}}"

static void test_tcp_routes(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(
		&f, "",
		SERVICE("a", "01", "10.0.0.1", "{port: 9000, name: tcp}, {port: 9001, name: tcp-b}") VIRTUAL(
			"v", "02",
			"{hosts: [a.default.svc.cluster.local], tcp: ["
			"{match: [{sourceLabels: {app: x}}], route: [" TO(
				"labelled") "]},"
					    "{match: [{sourceNamespace: other}], route: [" TO(
						    "other") "]},"
							     "{match: [{gateways: [default/gw]}], route: [" TO(
								     "gateway") "]},"
										"{match: [{port: 9000, destinationSubnets: [10.9.0.0/16]}], route: [" TO(
											"subnet") "]},"
												  "{match: [{port: 9000}], route: [{destination: {host: a.default.svc.cluster.local, subset: sx}, weight: 30}, {destination: {host: a.default.svc.cluster.local, subset: sy}, weight: 0}, {destination: {host: a.default.svc.cluster.local, subset: sz}, weight: 70}]},"
												  "{match: [{port: 9000}], route: [" TO(
													  "late") "]}]}"));
	struct pd_template_vec v = build(&f, 9000);
	assert_json(&f, v.v[0].msg, CLUSTER("filter_chains/0"), "\"outbound|9000|subnet|a.default.svc.cluster.local\"");
	assert_int_equal(v.v[0].msg->n_filter_chains, 1);
	assert_json(&f, v.v[0].msg, "default_filter_chain/filters/0/typed_config/weighted_clusters/clusters",
		    "[{\"name\":\"outbound|9000|sx|a.default.svc.cluster.local\",\"weight\":30},"
		    "{\"name\":\"outbound|9000|sz|a.default.svc.cluster.local\",\"weight\":70}]");
	assert_json(&f, v.v[0].msg, "default_filter_chain/filters/0/typed_config/stat_prefix", "\"v.default\"");
	assert_json(&f, v.v[0].msg, "default_filter_chain/metadata/filter_metadata/istio/config",
		    "\"/apis/networking.istio.io/v1/namespaces/default/virtual-service/v\"");
	assert_true(fixture_used(&f, PD_KIND_VIRTUAL_SERVICE, "default", "v"));
	v = build(&f, 9001);
	assert_json(&f, v.v[0].msg, CLUSTER("filter_chains/0"), "\"outbound|9001||a.default.svc.cluster.local\"");
	struct pd_label label = {"app", "x"};
	f.key.labels = (struct pd_labels){1, &label};
	v = build(&f, 9001);
	assert_json(&f, v.v[0].msg, CLUSTER("filter_chains/0"),
		    "\"outbound|9001|labelled|a.default.svc.cluster.local\"");
	fixture_free(&f);
}

// What made it (Gateway API, say) may want no traffic at all.
static void test_weights_of_zero(void **state)
{
	struct fixture f;
	struct pd_filter_vec out = {0};
	(void)state;
	fixture_init(&f, "", VIRTUAL("v", "01", "{hosts: [a.test], tcp: [{route: [{destination: {host: a.test}}]}]}"));
	struct pd_tx *tx = fixture_scope(&f);
	Istio__Destination d = ISTIO__DESTINATION__INIT;
	Istio__RouteDestination zero = ISTIO__ROUTE_DESTINATION__INIT, *both[] = {&zero, &zero};
	d.host = "a.test";
	zero.destination = &d;
	struct pd_vs_list list = tx_mesh_vs_for_host(tx, "a.test");
	struct pd_tcp_chain c = {.port = 9000, .vs = list.v[0], .destinations = both, .n_destinations = 2};
	pd_tcp_filters(tx, &c, &out);
	assert_int_equal(out.n, 1);
	assert_json(&f, out.v[0], "typed_config/cluster", "\"BlackHoleCluster\"");
	assert_json(&f, out.v[0], "typed_config/stat_prefix", "\"v.default\"");
	fixture_free(&f);
}

static void test_tls_routes(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(
		&f, "",
		SERVICE("a", "01", "10.0.0.1", "{port: 443, name: https}") VIRTUAL(
			"v", "02",
			"{hosts: [a.default.svc.cluster.local], tls: ["
			"{match: [{sniHosts: [one.test], sourceLabels: {app: x}}], route: [" TO(
				"labelled") "]},"
					    "{match: [{sniHosts: [two.test, one.test]}, {sniHosts: [three.test]}], route: [" TO(
						    "first") "]},"
							     "{match: [{sniHosts: [three.test]}], route: [" TO(
								     "late") "]}]}"));
	struct pd_template_vec v = build(&f, 443);
	assert_int_equal(v.v[0].msg->n_filter_chains, 2);
	assert_json(&f, v.v[0].msg, "filter_chains/0/filter_chain_match/server_names", "[\"one.test\",\"two.test\"]");
	assert_json(&f, v.v[0].msg, CLUSTER("filter_chains/1"), "\"outbound|443|first|a.default.svc.cluster.local\"");
	assert_json(&f, v.v[0].msg, "default_filter_chain/name", "\"PassthroughFilterChain\"");
	fixture_free(&f);
}

// A host below a service's wildcard may have routes of its own.
static void test_wildcard_service(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(
		&f, "",
		ENTRY("w", "01",
		      "{hosts: ['*.wild.test'], resolution: NONE, ports: [{number: 443, name: tls, protocol: TLS}]}")
			VIRTUAL("v", "02",
				"{hosts: [x.wild.test], tls: [{match: [{sniHosts: [x.wild.test]}], route: [{destination: {host: other.test, port: {number: 8443}}}]}]}"));
	struct pd_template_vec v = build(&f, 443);
	assert_int_equal(v.v[0].msg->n_filter_chains, 1);
	assert_json(&f, v.v[0].msg, CLUSTER("filter_chains/0"), "\"outbound|8443||other.test\"");
	fixture_free(&f);
}

// ---- DestinationRules ----------------------------------------------------------------------------------------------------------

static void test_rule_shapes_the_proxy(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(
		&f, "outboundClusterStatName: '%SERVICE_NAME%_%SERVICE_PORT%_%UNKNOWN%'",
		SERVICE("a", "01", "10.0.0.1", "{port: 9000, name: tcp}") RULE(
			"r", "02",
			"{host: a.default.svc.cluster.local, trafficPolicy: {connectionPool: {tcp: {idleTimeout: 7s, maxConnectionDuration: 8s}}, loadBalancer: {consistentHash: {useSourceIp: true}}, tunnel: {protocol: CONNECT, targetHost: 'fd00::1', targetPort: 443}}}"));
	struct pd_template_vec v = build(&f, 9000);
	const void *m = v.v[0].msg;
	assert_json(&f, m, "filter_chains/0/filters/0/typed_config/idle_timeout", "\"7s\"");
	assert_json(&f, m, "filter_chains/0/filters/0/typed_config/max_downstream_connection_duration", "\"8s\"");
	assert_json(&f, m, "filter_chains/0/filters/0/typed_config/hash_policy", "[{\"source_ip\":{}}]");
	assert_json(&f, m, "filter_chains/0/filters/0/typed_config/tunneling_config/hostname", "\"[fd00::1]:443\"");
	assert_json(&f, m, "filter_chains/0/filters/0/typed_config/stat_prefix", "\"a_9000_%UNKNOWN%\"");
	assert_true(fixture_used(&f, PD_KIND_DESTINATION_RULE, "default", "r"));
	fixture_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_http_services_share_a_listener),
		cmocka_unit_test(test_detected_service_has_its_own),
		cmocka_unit_test(test_codecs),
		cmocka_unit_test(test_http_then_tcp),
		cmocka_unit_test(test_tcp_then_http_then_detected),
		cmocka_unit_test(test_older_tcp_wins),
		cmocka_unit_test(test_mongo_stays_alone),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_a_thousand_services),
		cmocka_unit_test(test_headless),
		cmocka_unit_test(test_families),
		cmocka_unit_test(test_no_interception),
		cmocka_unit_test(test_ports_of_the_proxy),
		cmocka_unit_test(test_registry_only),
		cmocka_unit_test(test_tcp_routes),
		cmocka_unit_test(test_weights_of_zero),
		cmocka_unit_test(test_tls_routes),
		cmocka_unit_test(test_wildcard_service),
		cmocka_unit_test(test_rule_shapes_the_proxy),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
