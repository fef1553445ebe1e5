// Gateways: which apply, how their servers merge, what hosts they route.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "discovery/gateway/gateway.h"
#include "tests/unit/discovery/engine_world.h"

static const char gateway_node[] = "router~10.1.0.9~gw-1.edge~edge.svc.cluster.local";
static const char gateway_meta[] =
	"{\"NAMESPACE\": \"edge\", \"CLUSTER_ID\": \"Kubernetes\", \"INSTANCE_IPS\": \"10.1.0.9\", "
	"\"ISTIO_VERSION\": \"1.31.0\", \"LABELS\": {\"app\": \"gw\", \"istio\": \"gw\"}}";
static const char unprivileged_meta[] =
	"{\"NAMESPACE\": \"edge\", \"CLUSTER_ID\": \"Kubernetes\", \"INSTANCE_IPS\": \"10.1.0.9\", "
	"\"ISTIO_VERSION\": \"1.31.0\", \"LABELS\": {\"app\": \"gw\", \"istio\": \"gw\"}, \"UNPRIVILEGED_POD\": \"true\"}";

static const char service[] = "apiVersion: v1\n"
			      "kind: Service\n"
			      "metadata: {name: gw, namespace: edge, creationTimestamp: '2026-08-01T00:00:00Z'}\n"
			      "spec:\n"
			      "  clusterIP: 10.96.0.9\n"
			      "  selector: {app: gw}\n"
			      "  ports:\n"
			      "  - {name: http, port: 80, targetPort: 8080}\n"
			      "  - {name: https, port: 443, targetPort: 8443}\n"
			      "  - {name: tcp, port: 9000, targetPort: 9000}\n"
			      "---\n"
			      "apiVersion: v1\n"
			      "kind: Service\n"
			      "metadata: {name: web, namespace: default, creationTimestamp: '2026-08-01T00:00:01Z'}\n"
			      "spec: {clusterIP: 10.96.0.1, ports: [{name: http, port: 80, targetPort: 8080}]}\n";

// ---- helpers -------------------------------------------------------------------------------------------------------------

struct fixture {
	struct engine_world w;
	struct pd_view *view;
};

static int setup(void **state)
{
	struct fixture *f = pd_xcalloc(1, sizeof(*f));
	engine_world_init(&f->w);
	engine_world_apply(&f->w, service);
	f->view = engine_world_view(&f->w, gateway_node, gateway_meta);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	engine_world_view_free(&f->w, f->view);
	engine_world_free(&f->w);
	free(f);
	return 0;
}

// A Gateway in `ns`; `second` orders them by age.
static void gateway(struct fixture *f, const char *ns, const char *name, unsigned second, const char *servers)
{
	struct pd_buf b = {0};
	pd_buf_printf(&b,
		      "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: %s, namespace: %s, "
		      "creationTimestamp: '2026-08-01T00:01:%02uZ'}\nspec:\n  selector: {istio: gw}\n  servers:\n%s",
		      name, ns, second, servers);
	engine_world_apply(&f->w, b.p);
	pd_buf_free(&b);
}

static void virtual_service(struct fixture *f, const char *ns, const char *name, const char *spec)
{
	struct pd_buf b = {0};
	pd_buf_printf(&b,
		      "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: %s, namespace: %s, "
		      "creationTimestamp: '2026-08-01T00:02:00Z'}\nspec:\n%s",
		      name, ns, spec);
	engine_world_apply(&f->w, b.p);
	pd_buf_free(&b);
}

static void expect_in(struct fixture *f, enum pd_type type, const char *name, const char *part)
{
	char *json = engine_world_json(&f->w, f->view, type, name);
	if (!json || !strstr(json, part))
		fail_msg("%s: no %s in %s", name, part, json ? json : "(nothing)");
	free(json);
}

static void expect_not_in(struct fixture *f, enum pd_type type, const char *name, const char *part)
{
	char *json = engine_world_json(&f->w, f->view, type, name);
	assert_non_null(json);
	if (strstr(json, part))
		fail_msg("%s: %s in %s", name, part, json);
	free(json);
}

static void expect_listener(struct fixture *f, const char *name, bool there)
{
	char *json = engine_world_json(&f->w, f->view, PD_LDS, name);
	assert_int_equal(json != NULL, there);
	free(json);
}

#define HTTP_80 "  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ['*.example.com']}\n"
#define TO_WEB "  http: [{route: [{destination: {host: web.default.svc.cluster.local}}]}]\n"

// ---- tests ---------------------------------------------------------------------------------------------------------------

static void unknown_route_is_named_only(void **state)
{
	struct fixture *f = *state;
	char *json = engine_world_json(&f->w, f->view, PD_RDS, "http.1234");
	assert_string_equal(json, "{\"name\":\"http.1234\",\"validate_clusters\":false}");
	free(json);
}

static void without_virtual_services_all_is_404(void **state)
{
	struct fixture *f = *state;
	gateway(f, "edge", "g", 0, HTTP_80);
	expect_in(f, PD_RDS, "http.8080", "{\"name\":\"blackhole:80\",\"domains\":[\"*\"]}");
}

static void target_port_is_that_of_the_service(void **state)
{
	struct fixture *f = *state;
	gateway(f, "edge", "g", 0, HTTP_80 "  - {port: {number: 7777, name: odd, protocol: HTTP}, hosts: ['*']}\n");
	expect_listener(f, "0.0.0.0_8080", true);
	expect_listener(f, "0.0.0.0_80", false);
	expect_listener(f, "0.0.0.0_7777", true); // no service has it: taken as it is
}

static void named_target_port_is_what_endpoints_say(void **state)
{
	struct fixture *f = *state;
	engine_world_apply(&f->w, "apiVersion: v1\nkind: Service\n"
				  "metadata: {name: gw, namespace: edge, creationTimestamp: '2026-08-01T00:00:00Z'}\n"
				  "spec: {clusterIP: 10.96.0.9, selector: {app: gw}, ports: [{name: http, port: 80, "
				  "targetPort: web}]}\n"
				  "---\n"
				  "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
				  "metadata: {name: gw-1, namespace: edge, labels: {kubernetes.io/service-name: gw}}\n"
				  "addressType: IPv4\nendpoints: [{addresses: [10.1.0.9]}]\n"
				  "ports: [{name: http, port: 8088, protocol: TCP}]\n");
	gateway(f, "edge", "g", 0, HTTP_80);
	expect_listener(f, "0.0.0.0_8088", true);
}

static void service_may_opt_out_of_translation(void **state)
{
	struct fixture *f = *state;
	engine_world_apply(&f->w, "apiVersion: v1\nkind: Service\n"
				  "metadata: {name: gw, namespace: edge, creationTimestamp: '2026-08-01T00:00:00Z', "
				  "labels: {experimental.istio.io/disable-gateway-port-translation: 'true'}}\n"
				  "spec: {clusterIP: 10.96.0.9, selector: {app: gw}, ports: [{name: http, port: 80, "
				  "targetPort: 8080}]}\n");
	gateway(f, "edge", "g", 0, HTTP_80);
	expect_listener(f, "0.0.0.0_80", true);
	expect_listener(f, "0.0.0.0_8080", false);
}

static void low_ports_need_privilege(void **state)
{
	struct fixture *f = *state;
	struct pd_view *privileged = f->view;
	gateway(f, "edge", "g", 0, HTTP_80 "  - {port: {number: 81, name: low, protocol: HTTP}, hosts: ['*']}\n");
	expect_listener(f, "0.0.0.0_81", true);
	f->view = engine_world_view(&f->w, gateway_node, unprivileged_meta);
	expect_listener(f, "0.0.0.0_81", false);
	expect_listener(f, "0.0.0.0_8080", true);
	engine_world_view_free(&f->w, f->view);
	f->view = privileged;
}

static void selector_must_match_wholly(void **state)
{
	struct fixture *f = *state;
	engine_world_apply(&f->w, "apiVersion: networking.istio.io/v1\nkind: Gateway\n"
				  "metadata: {name: other, namespace: edge}\n"
				  "spec: {selector: {app: gw, zone: far}, servers: [{port: {number: 80, name: http, "
				  "protocol: HTTP}, hosts: ['*']}]}\n");
	expect_listener(f, "0.0.0.0_8080", false);
	engine_world_apply(&f->w,
			   "apiVersion: networking.istio.io/v1\nkind: Gateway\n"
			   "metadata: {name: everybody, namespace: edge}\n"
			   "spec: {servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]}\n");
	expect_listener(f, "0.0.0.0_8080", true);
}

static void older_protocol_keeps_the_port(void **state)
{
	struct fixture *f = *state;
	gateway(f, "edge", "newer", 9, "  - {port: {number: 9000, name: tcp, protocol: TCP}, hosts: ['*']}\n");
	virtual_service(f, "edge", "tcp",
			"  hosts: ['*']\n  gateways: [newer, older]\n  tcp: [{route: [{destination: {host: "
			"web.default.svc.cluster.local, port: {number: 80}}}]}]\n");
	expect_in(f, PD_LDS, "0.0.0.0_9000", "tcp_proxy");
	gateway(f, "edge", "older", 1, "  - {port: {number: 9000, name: http, protocol: HTTP}, hosts: ['*']}\n");
	expect_in(f, PD_LDS, "0.0.0.0_9000", "http.9000");
	expect_not_in(f, PD_LDS, "0.0.0.0_9000", "tcp_proxy");
	assert_true(pd_issues_count(f->w.issues) > 0); // the loser is told
}

static void binds_are_listeners_of_their_own(void **state)
{
	struct fixture *f = *state;
	gateway(f, "edge", "g", 0,
		HTTP_80 "  - {bind: 10.1.0.9, port: {number: 80, name: tcp, protocol: TCP}, hosts: ['*']}\n"
			"  - {bind: 10.1.0.10, port: {number: 80, name: http-b, protocol: HTTP}, hosts: ['*']}\n");
	virtual_service(f, "edge", "tcp",
			"  hosts: ['*']\n  gateways: [g]\n  tcp: [{route: [{destination: {host: "
			"web.default.svc.cluster.local, port: {number: 80}}}]}]\n");
	expect_listener(f, "0.0.0.0_8080", true);
	expect_in(f, PD_LDS, "10.1.0.9_8080", "tcp_proxy");
	expect_in(f, PD_LDS, "10.1.0.10_8080", "http.8080.10.1.0.10");
}

static void tls_hosts_are_served_once(void **state)
{
	struct fixture *f = *state;
	gateway(f, "edge", "g", 0,
		"  - {port: {number: 443, name: a, protocol: HTTPS}, hosts: [a.example.com], tls: {mode: SIMPLE, "
		"credentialName: a}}\n"
		"  - {port: {number: 443, name: b, protocol: HTTPS}, hosts: [a.example.com, b.example.com], tls: {mode: "
		"SIMPLE, credentialName: b}}\n"
		"  - {port: {number: 443, name: c, protocol: HTTPS}, hosts: ['edge/c.example.com'], tls: {mode: "
		"SIMPLE, credentialName: c}}\n");
	expect_in(f, PD_LDS, "0.0.0.0_8443", "https.443.a.g.edge");
	expect_in(f, PD_LDS, "0.0.0.0_8443", "\"server_names\":[\"c.example.com\"]");
	expect_not_in(f, PD_LDS, "0.0.0.0_8443", "https.443.b.g.edge");
}

static void chains_never_match_the_same(void **state)
{
	struct fixture *f = *state;
	gateway(f, "edge", "g", 0,
		"  - {port: {number: 443, name: a, protocol: HTTPS}, hosts: ['edge/a.example.com'], tls: {mode: SIMPLE, "
		"credentialName: a}}\n"
		"  - {port: {number: 443, name: b, protocol: HTTPS}, hosts: ['default/a.example.com'], tls: {mode: SIMPLE, "
		"credentialName: b}}\n"
		"  - {port: {number: 443, name: p, protocol: TLS}, hosts: ['*.example.com'], tls: {mode: PASSTHROUGH}}\n");
	virtual_service(
		f, "edge", "tls",
		"  hosts: ['*.example.com']\n  gateways: [g]\n  tls:\n"
		"  - {match: [{sniHosts: [a.example.com]}], route: [{destination: {host: one.example.com, port: {number: "
		"1}}}]}\n"
		"  - {match: [{sniHosts: [b.example.com]}], route: [{destination: {host: two.example.com, port: {number: "
		"2}}}]}\n"
		"  - {match: [{sniHosts: [b.example.com]}], route: [{destination: {host: three.example.com, port: {number: "
		"3}}}]}\n");
	expect_in(f, PD_LDS, "0.0.0.0_8443", "https.443.a.g.edge");
	expect_in(f, PD_LDS, "0.0.0.0_8443", "outbound|2||two.example.com");
	expect_not_in(f, PD_LDS, "0.0.0.0_8443", "https.443.b.g.edge");
	expect_not_in(f, PD_LDS, "0.0.0.0_8443", "one.example.com");
	expect_not_in(f, PD_LDS, "0.0.0.0_8443", "three.example.com");
}

static void plain_text_may_join_tls(void **state)
{
	struct fixture *f = *state;
	gateway(f, "edge", "g", 0,
		"  - {port: {number: 443, name: a, protocol: HTTPS}, hosts: [a.example.com], tls: {mode: SIMPLE, "
		"credentialName: a}}\n"
		"  - {port: {number: 443, name: h, protocol: HTTP}, hosts: ['*']}\n");
	expect_in(f, PD_LDS, "0.0.0.0_8443", "https.443.a.g.edge");
	expect_in(f, PD_LDS, "0.0.0.0_8443", "http.8443");
}

static void hosts_are_those_in_common(void **state)
{
	struct fixture *f = *state;
	gateway(f, "edge", "g", 0,
		"  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ['*.example.com', 'default/only.example.org', "
		"'./own.example.net']}\n");
	virtual_service(f, "edge", "narrow",
			"  hosts: [a.example.com, b.example.org, only.example.org]\n  gateways: [g]\n" TO_WEB);
	virtual_service(f, "default", "wide", "  hosts: ['*']\n  gateways: [edge/g]\n" TO_WEB);
	expect_in(f, PD_RDS, "http.8080", "\"a.example.com:80\"");
	expect_in(f, PD_RDS, "http.8080", "\"*.example.com\"");
	expect_in(f, PD_RDS, "http.8080", "\"only.example.org\""); // of the wide one: its namespace may
	expect_not_in(f, PD_RDS, "http.8080", "b.example.org");
	expect_not_in(f, PD_RDS, "http.8080", "own.example.net");
}

static void equal_routes_share_a_virtual_host(void **state)
{
	struct fixture *f = *state;
	gateway(f, "edge", "g", 0, HTTP_80);
	virtual_service(f, "edge", "v",
			"  hosts: [A.example.com, bb.example.com, '*.c.example.com']\n  gateways: [g]\n" TO_WEB);
	expect_in(
		f, PD_RDS, "http.8080",
		"\"name\":\"bb.example.com:80\",\"domains\":[\"bb.example.com\",\"a.example.com\",\"*.c.example.com\"]");
}

static void catch_all_goes_last(void **state)
{
	struct fixture *f = *state;
	gateway(f, "edge", "g", 0, HTTP_80);
	virtual_service(f, "edge", "a", "  hosts: [x.example.com]\n  gateways: [g]\n" TO_WEB);
	virtual_service(
		f, "edge", "b",
		"  hosts: [x.example.com]\n  gateways: [g]\n  http: [{name: late, match: [{uri: {prefix: /late}}], "
		"route: [{destination: {host: web.default.svc.cluster.local}}]}]\n");
	char *json = engine_world_json(&f->w, f->view, PD_RDS, "http.8080");
	char *late = strstr(json, "\"/late\""), *all = strstr(json, "\"prefix\":\"/\"");
	assert_non_null(late);
	assert_non_null(all);
	assert_true(late < all);
	free(json);
}

static void redirect_needs_no_virtual_service(void **state)
{
	struct fixture *f = *state;
	gateway(f, "edge", "g", 0,
		"  - {port: {number: 80, name: http, protocol: HTTP}, hosts: [bare.example.com], tls: {httpsRedirect: "
		"true}}\n");
	expect_in(f, PD_RDS, "http.8080",
		  "\"name\":\"bare.example.com:80\",\"domains\":[\"bare.example.com\"],\"require_tls\":\"ALL\"");
}

static void routes_follow_changes(void **state)
{
	struct fixture *f = *state;
	gateway(f, "edge", "g", 0, HTTP_80);
	virtual_service(f, "edge", "v", "  hosts: [x.example.com]\n  gateways: [g]\n" TO_WEB);
	expect_in(f, PD_RDS, "http.8080", "x.example.com");
	engine_world_delete(&f->w, PD_KIND_VIRTUAL_SERVICE, "edge", "v");
	expect_not_in(f, PD_RDS, "http.8080", "x.example.com");
	engine_world_delete(&f->w, PD_KIND_GATEWAY, "edge", "g");
	expect_listener(f, "0.0.0.0_8080", false);
}

static void tls_options(void **state)
{
	struct fixture *f = *state;
	gateway(f, "edge", "g", 0,
		"  - {port: {number: 443, name: a, protocol: HTTPS}, hosts: [a.example.com], tls: {mode: MUTUAL, "
		"credentialNames: [rsa, ecdsa], subjectAltNames: [client], minProtocolVersion: TLSV1_3, cipherSuites: "
		"[AES256-SHA, AES256-SHA, NONSENSE]}}\n"
		"  - {port: {number: 443, name: b, protocol: HTTPS}, hosts: [b.example.com], tls: {mode: SIMPLE, "
		"tlsCertificates: [{serverCertificate: /c1, privateKey: /k1}, {serverCertificate: /c2, privateKey: "
		"/k2}]}}\n"
		"  - {port: {number: 443, name: c, protocol: TLS}, hosts: [c.example.com], tls: {mode: ISTIO_MUTUAL}}\n");
	virtual_service(f, "edge", "tcp",
			"  hosts: ['*']\n  gateways: [g]\n  tcp: [{route: [{destination: {host: "
			"web.default.svc.cluster.local, port: {number: 80}}}]}]\n");
	expect_in(f, PD_LDS, "0.0.0.0_8443", "\"kubernetes://rsa\"");
	expect_in(f, PD_LDS, "0.0.0.0_8443", "\"kubernetes://ecdsa\"");
	expect_in(f, PD_LDS, "0.0.0.0_8443", "\"kubernetes://rsa-cacert\"");
	expect_in(f, PD_LDS, "0.0.0.0_8443", "\"cipher_suites\":[\"AES256-SHA\"]");
	expect_in(f, PD_LDS, "0.0.0.0_8443", "\"tls_minimum_protocol_version\":\"TLSv1_3\"");
	expect_in(f, PD_LDS, "0.0.0.0_8443", "\"file-cert:/c2~/k2\"");
	expect_in(f, PD_LDS, "0.0.0.0_8443", "\"istio-peer-exchange\",\"h2\",\"http/1.1\"");
}

static void https_routes_go_by_name(void **state)
{
	struct fixture *f = *state;
	gateway(f, "edge", "g.h", 0,
		"  - {port: {number: 443, name: a, protocol: HTTPS}, hosts: [a.example.com], tls: {mode: SIMPLE, "
		"credentialName: a}}\n"
		"  - {port: {number: 443, name: a.g, protocol: HTTPS}, bind: 10.1.0.9, hosts: [b.example.com], tls: {mode: "
		"SIMPLE, credentialName: a}}\n");
	virtual_service(f, "edge", "v", "  hosts: ['*']\n  gateways: [g.h.edge.svc, edge/g.h]\n" TO_WEB);
	expect_in(f, PD_RDS, "https.443.a.g.h.edge", "a.example.com");
	expect_not_in(f, PD_RDS, "https.443.a.g.h.edge", "b.example.com");
	expect_in(f, PD_RDS, "https.443.a.g.g.h.edge.10.1.0.9", "b.example.com");
	expect_not_in(f, PD_RDS, "https.443.a.g.h.edge.10.1.0.9", "virtual_hosts");
	expect_not_in(f, PD_RDS, "https.44.a.g.h.edge", "virtual_hosts");
	expect_not_in(f, PD_RDS, "https.443.a", "virtual_hosts");
}

static void host_patterns(void **state)
{
	const char *hosts[] = {"*", "a.b", "*.b", "long.b", "*.x.b", "b.b"};
	const char *const sorted[] = {"long.b", "a.b", "b.b", "*.x.b", "*.b", "*"};
	(void)state;
	qsort(hosts, 6, sizeof(hosts[0]), pd_host_cmp_specific);
	for (int i = 0; i < 6; i++)
		assert_string_equal(hosts[i], sorted[i]);
	assert_true(pd_host_overlaps("*.b", "a.b"));
	assert_true(pd_host_overlaps("*.x.b", "*.b"));
	assert_false(pd_host_overlaps("*.x.b", "a.b"));
}

static void text_sets_grow(void **state)
{
	struct pd_arena a = {0};
	struct pd_text_set set = {0};
	(void)state;
	assert_false(pd_text_set_has(&set, "0"));
	for (int twice = 0; twice < 2; twice++)
		for (int i = 0; i < 1000; i++)
			pd_text_set_add(&a, &set, pd_arena_printf(&a, "%d", i));
	assert_int_equal(set.n, 1000);
	assert_true(pd_text_set_has(&set, "999"));
	assert_false(pd_text_set_has(&set, "1000"));
	pd_arena_free(&a);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(unknown_route_is_named_only),
		TEST(without_virtual_services_all_is_404),
		TEST(target_port_is_that_of_the_service),
		TEST(named_target_port_is_what_endpoints_say),
		TEST(service_may_opt_out_of_translation),
		TEST(low_ports_need_privilege),
		TEST(selector_must_match_wholly),
		TEST(older_protocol_keeps_the_port),
		TEST(binds_are_listeners_of_their_own),
		TEST(tls_hosts_are_served_once),
		TEST(chains_never_match_the_same),
		TEST(plain_text_may_join_tls),
		TEST(hosts_are_those_in_common),
		TEST(equal_routes_share_a_virtual_host),
		TEST(catch_all_goes_last),
		TEST(redirect_needs_no_virtual_service),
		TEST(routes_follow_changes),
		TEST(tls_options),
		TEST(https_routes_go_by_name),
		cmocka_unit_test(host_patterns),
		cmocka_unit_test(text_sets_grow),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
