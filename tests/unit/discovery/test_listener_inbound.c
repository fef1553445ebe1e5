#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "api/pb.h"
#include "base/str.h"
#include "discovery/build.h"
#include "discovery/envoy.h"
#include "tests/unit/discovery/fixture.h"

#define META(kind, api, name, age)                                                                                     \
	"apiVersion: " api "\nkind: " kind "\nmetadata: {name: " name                                                  \
	", namespace: default, creationTimestamp: '2026-01-01T00:00:" age "Z'}\n"
#define SERVICE(name, age, ports)                                                                                      \
	META("Service", "v1", name, age)                                                                               \
	"spec: {clusterIP: 10.0.0.1" age ", selector: {app: web}, ports: [" ports "]}\n---\n"
#define POLICY(name, age, spec) META("PeerAuthentication", "security.istio.io/v1", name, age) "spec: " spec "\n---\n"

#define NODE(meta)                                                                                                     \
	"{\"id\":\"sidecar~10.1.0.1~x.default~default.svc.cluster.local\",\"metadata\":{\"NAMESPACE\":\"default\","    \
	"\"LABELS\":{\"app\":\"web\"}" meta "}}"
#define ISTIO ",\"ISTIO_VERSION\":\"1.31.0\""

static EnvoyListener *listener(struct fixture *f, const char *node, const char *name)
{
	struct pd_listener_vec v = {0};
	pd_build_view_listeners(fixture_view(f, node), &v);
	for (size_t i = 0; i < v.n; i++)
		if (pd_streq(v.v[i]->name, name))
			return v.v[i];
	return NULL;
}

static EnvoyListener *inbound(struct fixture *f)
{
	return listener(f, NODE(ISTIO), "virtualInbound");
}

// The chains of a port, one word each: what they match, "+" where the proxy ends TLS, and the kind.
static const char *chains(struct fixture *f, const EnvoyListener *l, uint32_t port)
{
	struct pd_buf b = {0};
	for (size_t i = 0; i < l->n_filter_chains; i++) {
		const EnvoyFilterChain *c = l->filter_chains[i];
		const EnvoyFilterChainMatch *m = c->filter_chain_match;
		if ((m->destination_port ? m->destination_port->value : 0) != port)
			continue;
		pd_buf_printf(&b, "%s%s", b.n ? " " : "", m->transport_protocol[0] == 't' ? "tls" : "raw");
		for (size_t k = 0; k < m->n_application_protocols; k++)
			pd_buf_printf(&b, "%c%s", k ? ',' : '[', m->application_protocols[k]);
		pd_buf_printf(&b, "%s%s:%s", m->n_application_protocols ? "]" : "", c->transport_socket ? "+" : "",
			      pd_has_suffix(c->filters[c->n_filters - 1]->name, "manager") ? "http" : "tcp");
	}
	const char *text = pd_arena_strdup(&f->arena, b.p ? b.p : "");
	pd_buf_free(&b);
	return text;
}

#define MESH_HTTP "[istio-http/1.0,istio-http/1.1,istio-h2]"
#define MESH_ALL "[istio,istio-peer-exchange,istio-http/1.0,istio-http/1.1,istio-h2]"
#define PORTS                                                                                                          \
	"{port: 80, name: http, targetPort: 8080}, {port: 90, name: tcp, targetPort: 9090}, {port: 70, targetPort: 7070}"

// ---- chain sets ----------------------------------------------------------------------------------------------------------------

static void test_permissive(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "", SERVICE("web", "01", PORTS));
	EnvoyListener *l = inbound(&f);
	const char *detected =
		"tls" MESH_HTTP "+:http raw[http/1.1,h2c]:http tls[istio-peer-exchange,istio]+:tcp raw:tcp tls:tcp";
	assert_string_equal(chains(&f, l, 8080), "tls" MESH_ALL "+:http raw:http");
	assert_string_equal(chains(&f, l, 9090), "tls" MESH_ALL "+:tcp tls:tcp raw:tcp");
	assert_string_equal(chains(&f, l, 7070), detected);
	assert_string_equal(chains(&f, l, 0), detected);
	// In order: the listener's own port, everything else, then the ports.
	assert_json(&f, l, "filter_chains/0/name", "\"virtualInbound-blackhole\"");
	assert_json(&f, l, "filter_chains/1/name", "\"virtualInbound-catchall-http\"");
	assert_json(&f, l, "filter_chains/3/name", "\"virtualInbound\"");
	assert_json(&f, l, "filter_chains/6/name", "\"0.0.0.0_7070\"");
	fixture_free(&f);
}

static void test_strict(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "", SERVICE("web", "01", PORTS) POLICY("p", "02", "{mtls: {mode: STRICT}}"));
	EnvoyListener *l = inbound(&f);
	assert_string_equal(chains(&f, l, 8080), "tls+:http");
	assert_string_equal(chains(&f, l, 9090), "tls+:tcp");
	assert_string_equal(chains(&f, l, 0), "tls" MESH_HTTP "+:http tls+:tcp");
	assert_int_equal(l->n_listener_filters, 2); // nothing is plain: no look for HTTP
	fixture_free(&f);
}

static void test_disabled(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "", SERVICE("web", "01", PORTS) POLICY("p", "02", "{mtls: {mode: DISABLE}}"));
	EnvoyListener *l = inbound(&f);
	assert_string_equal(chains(&f, l, 8080), "raw:http");
	assert_string_equal(chains(&f, l, 9090), "raw:tcp");
	assert_string_equal(chains(&f, l, 0), "raw[http/1.1,h2c]:http raw:tcp");
	assert_int_equal(l->n_listener_filters, 2);
	assert_json(&f, l, "listener_filters/1/name", "\"envoy.filters.listener.http_inspector\"");
	fixture_free(&f);
}

#define PORT(from, to) "{\"destination_port_range\":{\"start\":" from ",\"end\":" to "}}"

static void test_policy_by_port(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(
		&f, "",
		SERVICE("web", "01", PORTS) POLICY(
			"p", "02",
			"{selector: {matchLabels: {app: web}}, mtls: {mode: DISABLE}, portLevelMtls: {8080: {mode: STRICT}, "
			"9999: {mode: STRICT}, 5555: {mode: PERMISSIVE}}}")
			POLICY("later", "03",
			       "{selector: {matchLabels: {app: web}}, portLevelMtls: {4444: {mode: STRICT}}}"));
	EnvoyListener *l = inbound(&f);
	assert_string_equal(chains(&f, l, 8080), "tls+:http");
	assert_string_equal(chains(&f, l, 9090), "raw:tcp");
	assert_string_equal(chains(&f, l, 9999), "tls" MESH_HTTP "+:http tls+:tcp"); // no service has it
	assert_string_equal(chains(&f, l, 4444), "");
	// Everything else needs no look for TLS, so the filter is on for these ports only.
	assert_json(&f, l, "listener_filters/1/filter_disabled/not_match/or_match/rules",
		    "[" PORT("5555", "5556") "," PORT("8080", "8081") "," PORT("9999", "10000") "]");
	assert_json(&f, l, "listener_filters/2/filter_disabled/or_match/rules",
		    "[" PORT("8080", "8081") "," PORT("9090", "9091") "," PORT("9999", "10000") "," PORT("15006",
													 "15007") "]");
	fixture_free(&f);
}

// ---- ports ---------------------------------------------------------------------------------------------------------------------

static void test_oldest_service_owns_a_port(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "inboundClusterStatName: '%SERVICE%_%SERVICE_PORT%'",
		     SERVICE("b", "02", "{port: 80, name: http, targetPort: 8080}") SERVICE(
			     "a", "01",
			     "{port: 90, name: tcp, targetPort: 8080}, {port: 15, name: tcp-s, targetPort: 15006}"));
	EnvoyListener *l = inbound(&f);
	assert_string_equal(chains(&f, l, 8080), "tls" MESH_ALL "+:tcp tls:tcp raw:tcp");
	const EnvoyFilterChain *last = l->filter_chains[l->n_filter_chains - 1];
	assert_json(&f, last, "filters/1/typed_config/stat_prefix", "\"a.default_90\"");
	assert_json(&f, last, "filters/1/typed_config/cluster", "\"inbound|8080||\"");
	assert_string_equal(chains(&f, l, 15006), "raw:tcp"); // the blackhole alone
	fixture_free(&f);
}

static void test_named_target(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(
		&f, "",
		SERVICE("web", "01",
			"{port: 80, name: http, targetPort: web}, {port: 81, name: tcp, targetPort: gone}") "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: web-1, namespace: default, labels: "
													    "{kubernetes.io/service-name: web}}\naddressType: IPv4\nports: [{name: http, port: 8123}]\n"
													    "endpoints: [{addresses: [10.1.0.1]}]\n");
	EnvoyListener *l = inbound(&f);
	assert_string_equal(chains(&f, l, 8123), "tls" MESH_ALL "+:http raw:http");
	assert_json(&f, l->filter_chains[l->n_filter_chains - 1],
		    "filters/1/typed_config/route_config/virtual_hosts/0/name", "\"inbound|http|80\"");
	fixture_free(&f);
}

static void test_routes(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "", SERVICE("web", "01", "{port: 80, name: http}, {port: 81, name: grpc}"));
	EnvoyListener *l = inbound(&f);
	const EnvoyFilterChain *grpc = l->filter_chains[l->n_filter_chains - 1];
	const EnvoyFilterChain *http = l->filter_chains[l->n_filter_chains - 3];
#define ROUTE "filters/1/typed_config/route_config/virtual_hosts/0/routes/0"
	assert_json(&f, http, ROUTE "/route/retry_policy", "{\"retry_on\":\"reset-before-request\",\"num_retries\":2}");
	assert_json(&f, http, ROUTE "/decorator/operation", "\"web.default.svc.cluster.local:80/*\"");
	assert_json(&f, http, "filters/1/typed_config/http2_protocol_options", "");
	assert_json(&f, grpc, ROUTE "/route/retry_policy", "");
	assert_json(&f, grpc, "filters/1/typed_config/http2_protocol_options", "{}");
	fixture_free(&f);
}

// ---- modes of the proxy ----------------------------------------------------------------------------------------------------------

static void test_stock_envoy(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "", SERVICE("web", "01", PORTS));
	EnvoyListener *l = listener(&f, NODE(""), "virtualInbound");
	// Istio's clients are told by their ALPN all the same, but are not promised what is not there.
	assert_string_equal(chains(&f, l, 9090), "tls" MESH_ALL "+:tcp tls:tcp raw:tcp");
	for (size_t i = 0; i < l->n_filter_chains; i++) {
		const EnvoyFilterChain *c = l->filter_chains[i];
		assert_int_equal(c->n_filters, 1);
		if (c->transport_socket)
			assert_json(&f, c, "transport_socket/typed_config/common_tls_context/alpn_protocols",
				    "[\"h2\",\"http/1.1\"]");
	}
	fixture_free(&f);
}

static void test_tproxy(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "", "");
	const char *node = NODE(ISTIO ",\"INTERCEPTION_MODE\":\"TPROXY\"");
	EnvoyListener *l = listener(&f, node, "virtualInbound");
	assert_json(&f, l, "transparent", "true");
	assert_json(&f, l, "listener_filters/1/typed_config/mark", "1337");
	l = listener(&f, node, "virtualOutbound");
	assert_json(&f, l, "transparent", "true");
	assert_int_equal(l->n_listener_filters, 0);
	fixture_free(&f);
}

static void test_no_interception(void **state)
{
	struct fixture f;
	struct pd_listener_vec v = {0};
	(void)state;
	fixture_init(&f, "proxyHttpPort: 15002", SERVICE("web", "01", PORTS));
	pd_build_view_listeners(fixture_view(&f, NODE(ISTIO ",\"INTERCEPTION_MODE\":\"NONE\"")), &v);
	assert_int_equal(v.n, 1);
	assert_string_equal(v.v[0]->name, "127.0.0.1_15002");
	assert_json(&f, v.v[0], "filter_chains/0/filters/0/typed_config/rds/route_config_name", "\"http_proxy\"");
	assert_json(&f, v.v[0], "filter_chains/0/filters/0/typed_config/http_protocol_options/allow_absolute_url",
		    "true");
	fixture_free(&f);
}

static void test_virtual_outbound(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f,
		     "outboundTrafficPolicy: {mode: REGISTRY_ONLY}\nproxyListenPort: 16001\naccessLogFile: /dev/stdout",
		     "");
	EnvoyListener *l = listener(&f, NODE(ISTIO), "virtualOutbound");
	assert_json(&f, l, "address/socket_address/port_value", "16001");
	assert_json(&f, l, "filter_chains/0/filter_chain_match/destination_port", "16001");
	assert_json(&f, l, "filter_chains/0/filters/0/typed_config/access_log", "");
	assert_json(&f, l, "filter_chains/1/filters/0/typed_config/cluster", "\"BlackHoleCluster\"");
	assert_json(&f, l, "filter_chains/1/filters/0/typed_config/access_log/0/name", "\"envoy.access_loggers.file\"");
	assert_json(&f, l, "access_log/0/filter/response_flag_filter/flags", "[\"NR\"]");
	fixture_free(&f);
}

static void test_families(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "", SERVICE("web", "01", PORTS));
	const char *six = NODE(ISTIO ",\"INSTANCE_IPS\":\"fd00::1\""),
		   *both = NODE(ISTIO ",\"INSTANCE_IPS\":\"10.1.0.1,fd00::1\"");
	EnvoyListener *l = listener(&f, six, "virtualInbound");
	assert_json(&f, l, "address/socket_address/address", "\"::\"");
	assert_json(&f, l->filter_chains[l->n_filter_chains - 1], "name", "\"::_9090\"");
	l = listener(&f, both, "virtualInbound");
	assert_int_equal(l->n_additional_addresses, 0);
	f.settings.dual_stack = true;
	l = listener(&f, both, "virtualInbound");
	assert_json(&f, l, "additional_addresses/0/address/socket_address/address", "\"::\"");
	fixture_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_permissive),
		cmocka_unit_test(test_strict),
		cmocka_unit_test(test_disabled),
		cmocka_unit_test(test_policy_by_port),
		cmocka_unit_test(test_oldest_service_owns_a_port),
		cmocka_unit_test(test_named_target),
		cmocka_unit_test(test_routes),
		cmocka_unit_test(test_stock_envoy),
		cmocka_unit_test(test_tproxy),
		cmocka_unit_test(test_no_interception),
		cmocka_unit_test(test_virtual_outbound),
		cmocka_unit_test(test_families),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
