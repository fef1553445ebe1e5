// Gateway API, rule by rule; the recordings cover what goes right, this what goes wrong or is left out.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/str.h"
#include "discovery/gwapi/gwapi.h"
#include "tests/unit/discovery/engine_world.h"

static const char node[] = "router~10.1.0.9~gw-istio-1.edge~edge.svc.cluster.local";
static const char meta[] = "{\"NAMESPACE\": \"edge\", \"CLUSTER_ID\": \"Kubernetes\", \"INSTANCE_IPS\": \"10.1.0.9\", "
			   "\"ISTIO_VERSION\": \"1.31.0\", \"LABELS\": {\"app\": \"gw\"}}";

static const char base[] =
	"apiVersion: v1\nkind: Service\nmetadata: {name: gw-istio, namespace: edge}\n"
	"spec: {clusterIP: 10.96.0.9, selector: {app: gw}, ports: [{name: http, port: 80}, {name: alt, "
	"port: 81}, {name: tls, port: 443}]}\n"
	"---\n"
	"apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: edge}\n"
	"spec: {clusterIP: 10.96.0.1, ports: [{name: http, port: 80}]}\n"
	"---\n"
	"apiVersion: v1\nkind: Service\nmetadata: {name: far, namespace: other}\n"
	"spec: {clusterIP: 10.96.0.2, ports: [{name: http, port: 80}]}\n";

struct fixture {
	struct engine_world w;
	struct pd_view *view;
};

static int setup(void **state)
{
	struct fixture *f = pd_xcalloc(1, sizeof(*f));
	engine_world_init(&f->w);
	engine_world_apply(&f->w, base);
	f->view = engine_world_view(&f->w, node, meta);
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

static void apply(struct fixture *f, const char *kind, const char *ns, const char *name, const char *spec)
{
	struct pd_buf b = {0};
	pd_buf_printf(&b,
		      "apiVersion: gateway.networking.k8s.io/%s\nkind: %s\nmetadata: {name: %s, namespace: %s, "
		      "creationTimestamp: '2026-08-01T00:01:00Z'}\nspec:\n%s",
		      strcmp(kind, "ReferenceGrant") ? "v1" : "v1beta1", kind, name, ns, spec);
	engine_world_apply(&f->w, b.p);
	pd_buf_free(&b);
}

#define GATEWAY_SPEC "  gatewayClassName: istio\n  listeners:\n"
#define ANY_HTTP "  - {name: http, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}\n"
#define TO_GATEWAY "  parentRefs: [{name: gw, namespace: edge}]\n"
#define TO_WEB "backendRefs: [{name: web, port: 80}]"

static void gateway(struct fixture *f, const char *listeners)
{
	struct pd_buf b = {0};
	pd_buf_printf(&b, GATEWAY_SPEC "%s", listeners);
	apply(f, "Gateway", "edge", "gw", b.p);
	pd_buf_free(&b);
}

static void route(struct fixture *f, const char *rules)
{
	struct pd_buf b = {0};
	pd_buf_printf(&b, TO_GATEWAY "  rules:\n%s", rules);
	apply(f, "HTTPRoute", "edge", "r", b.p);
	pd_buf_free(&b);
}

static char *routes_json(struct fixture *f)
{
	return engine_world_json(&f->w, f->view, PD_RDS, "http.80");
}

static void expect(struct fixture *f, const char *part, bool there)
{
	char *json = routes_json(f);
	assert_non_null(json);
	if ((strstr(json, part) != NULL) != there)
		fail_msg("%s: %s in %s", part, there ? "not" : "is", json);
	free(json);
}

// ---- Gateways --------------------------------------------------------------------------------------------------------------

static void class_of_others_is_left_alone(void **state)
{
	struct fixture *f = *state;
	gateway(f, ANY_HTTP);
	assert_int_not_equal(engine_world_version(&f->w, f->view, PD_LDS, "0.0.0.0_80"), 0);
	engine_world_apply(&f->w, "apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\n"
				  "metadata: {name: istio}\nspec: {controllerName: example.com/other}\n");
	assert_int_equal(engine_world_version(&f->w, f->view, PD_LDS, "0.0.0.0_80"), 0);
	engine_world_delete(&f->w, PD_KIND_GATEWAY_CLASS, "", "istio");
	assert_int_not_equal(engine_world_version(&f->w, f->view, PD_LDS, "0.0.0.0_80"), 0);
}

static void port_must_be_one_of_the_service(void **state)
{
	struct fixture *f = *state;
	gateway(f, "  - {name: a, port: 80, protocol: HTTP}\n  - {name: b, port: 8888, protocol: HTTP}\n");
	assert_int_not_equal(engine_world_version(&f->w, f->view, PD_LDS, "0.0.0.0_80"), 0);
	assert_int_equal(engine_world_version(&f->w, f->view, PD_LDS, "0.0.0.0_8888"), 0);
}

static void address_names_the_service(void **state)
{
	struct fixture *f = *state;
	apply(f, "Gateway", "edge", "manual",
	      "  gatewayClassName: istio\n  addresses: [{type: Hostname, value: gw-istio}]\n  listeners:\n" ANY_HTTP);
	assert_int_not_equal(engine_world_version(&f->w, f->view, PD_LDS, "0.0.0.0_80"), 0);
	apply(f, "Gateway", "edge", "manual",
	      "  gatewayClassName: istio\n  addresses: [{type: Hostname, value: gw-istio}, {type: Hostname, value: "
	      "elsewhere.example.com}]\n  listeners:\n" ANY_HTTP);
	assert_int_not_equal(engine_world_version(&f->w, f->view, PD_LDS, "0.0.0.0_80"), 0);
	apply(f, "Gateway", "edge", "manual",
	      "  gatewayClassName: istio\n  addresses: [{type: Hostname, value: elsewhere}]\n  listeners:\n" ANY_HTTP);
	assert_int_equal(engine_world_version(&f->w, f->view, PD_LDS, "0.0.0.0_80"), 0);
}

static void listeners_in_conflict_lose(void **state)
{
	struct fixture *f = *state;
	gateway(f, ANY_HTTP "  - {name: again, port: 80, protocol: HTTP}\n"
			    "  - {name: tcp, port: 80, protocol: TCP}\n"
			    "  - {name: udp, port: 81, protocol: UDP}\n");
	apply(f, "HTTPRoute", "edge", "r",
	      "  parentRefs: [{name: gw, sectionName: again}]\n  hostnames: [again.example.com]\n  rules: [{" TO_WEB
	      "}]\n");
	expect(f, "again.example.com", false);
	assert_int_equal(engine_world_version(&f->w, f->view, PD_LDS, "0.0.0.0_81"), 0);
}

// ---- certificates ------------------------------------------------------------------------------------------------------------

#define HTTPS "  - {name: s, port: 443, protocol: HTTPS, hostname: a.example.com, tls: "

static void secret(struct fixture *f, const char *ns, const char *certificate)
{
	struct pd_buf b = {0};
	pd_buf_printf(&b,
		      "apiVersion: v1\nkind: Secret\nmetadata: {name: cert, namespace: %s}\nstringData:\n  tls.crt: "
		      "'%s'\n  tls.key: '-----BEGIN RSA PRIVATE KEY-----\n    x\n    -----END RSA PRIVATE KEY-----'\n",
		      ns, certificate);
	engine_world_apply(&f->w, b.p);
	pd_buf_free(&b);
}

#define PEM "-----BEGIN CERTIFICATE-----\n    x\n    -----END CERTIFICATE-----"

static void certificate_must_be_there_and_granted(void **state)
{
	struct fixture *f = *state;
	gateway(f, HTTPS "{certificateRefs: [{name: cert}]}}\n");
	assert_int_equal(engine_world_version(&f->w, f->view, PD_LDS, "0.0.0.0_443"), 0);
	secret(f, "edge", "not PEM");
	assert_int_equal(engine_world_version(&f->w, f->view, PD_LDS, "0.0.0.0_443"), 0);
	secret(f, "edge", PEM);
	assert_int_not_equal(engine_world_version(&f->w, f->view, PD_LDS, "0.0.0.0_443"), 0);
	gateway(f, HTTPS "{certificateRefs: [{name: cert, namespace: other}]}}\n");
	secret(f, "other", PEM);
	assert_int_equal(engine_world_version(&f->w, f->view, PD_LDS, "0.0.0.0_443"), 0);
	apply(f, "ReferenceGrant", "other", "g",
	      "  from: [{group: gateway.networking.k8s.io, kind: Gateway, namespace: edge}]\n"
	      "  to: [{group: '', kind: Secret, name: cert}]\n");
	assert_int_not_equal(engine_world_version(&f->w, f->view, PD_LDS, "0.0.0.0_443"), 0);
	engine_world_delete(&f->w, PD_KIND_REFERENCE_GRANT, "other", "g");
	assert_int_equal(engine_world_version(&f->w, f->view, PD_LDS, "0.0.0.0_443"), 0);
}

static void client_certificates(void **state)
{
	struct fixture *f = *state;
	secret(f, "edge", PEM);
	engine_world_apply(&f->w, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ca, namespace: edge}\n"
				  "data: {ca.crt: '-----BEGIN CERTIFICATE----- x -----END CERTIFICATE-----'}\n");
	apply(f, "Gateway", "edge", "gw",
	      "  tls: {frontend: {default: {validation: {caCertificateRefs: [{group: '', kind: ConfigMap, name: ca}], mode: "
	      "AllowInsecureFallback}}}}\n" GATEWAY_SPEC HTTPS "{certificateRefs: [{name: cert}]}}\n");
	char *json = engine_world_json(&f->w, f->view, PD_LDS, "0.0.0.0_443");
	assert_non_null(json);
	assert_non_null(strstr(json, "\"configmap://edge/ca-cacert\""));
	assert_non_null(strstr(json, "\"trust_chain_verification\":\"ACCEPT_UNTRUSTED\""));
	assert_non_null(strstr(json, "\"require_client_certificate\":false"));
	free(json);
	engine_world_delete(&f->w, PD_KIND_CONFIG_MAP, "edge", "ca");
	assert_int_equal(engine_world_version(&f->w, f->view, PD_LDS, "0.0.0.0_443"), 0);
}

// ---- routes ------------------------------------------------------------------------------------------------------------------

static void defaults_need_no_api_server(void **state)
{
	struct fixture *f = *state;
	gateway(f, ANY_HTTP);
	route(f, "  - {" TO_WEB "}\n"
		 "  - {matches: [{headers: [{name: x, value: v}]}], filters: [{type: RequestRedirect, requestRedirect: "
		 "{hostname: b.example.com}}]}\n");
	expect(f, "\"prefix\":\"/\"", true);
	expect(f, "\"response_code\":\"FOUND\"", true);
}

static void one_bad_filter_takes_the_route_down(void **state)
{
	struct fixture *f = *state;
	gateway(f, ANY_HTTP);
	route(f, "  - {matches: [{path: {value: /good}}], " TO_WEB "}\n");
	expect(f, "/good", true);
	route(f, "  - {matches: [{path: {value: /good}}], " TO_WEB "}\n"
		 "  - {filters: [{type: ExtensionRef, extensionRef: {group: g, kind: k, name: z}}], " TO_WEB "}\n");
	expect(f, "/good", false);
	route(f,
	      "  - {filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: a, value: \"x\\ny\"}]}}], "
	      "matches: [{path: {value: /good}}], " TO_WEB "}\n");
	expect(f, "/good", false);
}

static void backends_that_cannot_be_used_fail(void **state)
{
	struct fixture *f = *state;
	gateway(f, ANY_HTTP);
	route(f, "  - {matches: [{path: {value: /far}}], backendRefs: [{name: far, namespace: other, port: 80}]}\n");
	expect(f, "\"cluster\":\"UnknownService\"", true);
	apply(f, "ReferenceGrant", "other", "g",
	      "  from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: edge}]\n"
	      "  to: [{group: '', kind: Service}]\n");
	expect(f, "outbound|80||far.other.svc.cluster.local", true);
	route(f, "  - {matches: [{path: {value: /none}}], backendRefs: [{name: web, port: 80, weight: 0}]}\n");
	expect(f, "\"direct_response\":{\"status\":500}", true);
	route(f, "  - {matches: [{path: {value: /portless}}], backendRefs: [{name: web}]}\n");
	expect(f, "/portless", false);
}

static void mirror_to_nowhere_is_left_out(void **state)
{
	struct fixture *f = *state;
	gateway(f, ANY_HTTP);
	route(f,
	      "  - {matches: [{path: {value: /m}}], filters: [{type: RequestMirror, requestMirror: {backendRef: {name: "
	      "late, port: 80}}}], " TO_WEB "}\n");
	expect(f, "/m", true);
	expect(f, "request_mirror_policies", false);
	engine_world_apply(&f->w, "apiVersion: v1\nkind: Service\nmetadata: {name: late, namespace: edge}\n"
				  "spec: {clusterIP: 10.96.0.3, ports: [{name: http, port: 80}]}\n");
	expect(f, "request_mirror_policies", true);
}

static void header_names_are_folded(void **state)
{
	struct fixture *f = *state;
	gateway(f, ANY_HTTP);
	route(f,
	      "  - {filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: X-A, value: first}, {name: "
	      "x-a, value: second}]}}], " TO_WEB "}\n");
	expect(f, "\"key\":\"x-a\",\"value\":\"first\"", true);
	expect(f, "second", false);
}

static void origins(void **state)
{
	struct fixture *f = *state;
	gateway(f, ANY_HTTP);
	route(f, "  - {filters: [{type: CORS, cors: {allowOrigins: ['*', 'https://a.b*', 'https://*.c.d']}}], " TO_WEB
		 "}\n");
	char *json = routes_json(f);
	assert_non_null(strstr(json, "^[a-zA-Z][a-zA-Z0-9+.-]*://[^/\\\\s?#]+$"));
	assert_non_null(strstr(json, "\"prefix\":\"https://a.b\""));
	assert_non_null(strstr(json, "^https://.*\\\\.c\\\\.d$"));
	assert_non_null(strstr(json, "\"max_age\":\"5\""));
	free(json);
}

static void timeouts(void **state)
{
	struct fixture *f = *state;
	gateway(f, ANY_HTTP);
	route(f, "  - {timeouts: {request: 9s, backendRequest: 1500ms}, " TO_WEB "}\n");
	expect(f, "\"timeout\":\"1.500s\"", true); // without retries: one try
	route(f, "  - {timeouts: {request: 9s, backendRequest: 1500ms}, retry: {attempts: 0, codes: [500]}, " TO_WEB
		 "}\n");
	expect(f, "\"timeout\":\"9s\"", true);
	expect(f, "retry_policy", false);
}

static void http_and_grpc_share_a_host(void **state)
{
	struct fixture *f = *state;
	gateway(f, ANY_HTTP);
	route(f, "  - {matches: [{path: {value: /http}}], " TO_WEB "}\n");
	apply(f, "GRPCRoute", "edge", "g",
	      TO_GATEWAY "  rules: [{matches: [{method: {service: s, method: m}}], " TO_WEB "}]\n");
	char *json = routes_json(f);
	char *exact = strstr(json, "\"path\":\"/s/m\""), *prefix = strstr(json, "\"path_separated_prefix\":\"/http\"");
	assert_true(exact && prefix && exact < prefix);
	free(json);
	engine_world_delete(&f->w, PD_KIND_GRPC_ROUTE, "edge", "g");
	expect(f, "/s/m", false);
	expect(f, "/http", true);
}

static void namespaces_are_told_apart_by_labels(void **state)
{
	struct fixture *f = *state;
	gateway(f,
		"  - {name: http, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: Selector, selector: "
		"{matchExpressions: [{key: team, operator: Exists}, {key: kubernetes.io/metadata.name, operator: NotIn, "
		"values: [bad]}]}}}}\n");
	apply(f, "HTTPRoute", "other", "r",
	      TO_GATEWAY "  hostnames: [x.example.com]\n  rules: [{backendRefs: [{name: far, port: "
			 "80}]}]\n");
	expect(f, "x.example.com", false);
	engine_world_apply(&f->w, "apiVersion: v1\nkind: Namespace\nmetadata: {name: other, labels: {team: a}}\n");
	expect(f, "x.example.com", true);
	engine_world_apply(&f->w, "apiVersion: v1\nkind: Namespace\nmetadata: {name: other, labels: {tea: a}}\n");
	expect(f, "x.example.com", false);
}

static void long_names_are_cut(void **state)
{
	struct pd_arena a = {0};
	char name[400];
	(void)state;
	memset(name, 'x', sizeof(name));
	name[sizeof(name) - 1] = 0;
	const char *cut = pd_gw_object_name(&a, name);
	assert_int_equal(strlen(cut), PD_NAME_MAX);
	name[398] = 'y';
	assert_string_not_equal(cut, pd_gw_object_name(&a, name));
	assert_string_equal(pd_gw_object_name(&a, "short"), "short");
	pd_arena_free(&a);
}

static void a_long_gateway_name_works(void **state)
{
	struct fixture *f = *state;
	struct pd_buf b = {0}, svc = {0};
	char name[250];
	memset(name, 'g', sizeof(name));
	name[247] = 0;
	pd_buf_printf(
		&svc,
		"apiVersion: v1\nkind: Service\nmetadata: {name: %s-istio, namespace: edge}\nspec: {clusterIP: 10.96.0.8, "
		"selector: {app: gw}, ports: [{name: http, port: 80}]}\n",
		name);
	engine_world_apply(&f->w, svc.p);
	apply(f, "Gateway", "edge", name, GATEWAY_SPEC ANY_HTTP);
	pd_buf_printf(&b, "  parentRefs: [{name: %s}]\n  hostnames: [www.example.com]\n  rules: [{" TO_WEB "}]\n",
		      name);
	apply(f, "HTTPRoute", "edge", "r", b.p);
	expect(f, "www.example.com", true);
	pd_buf_free(&b);
	pd_buf_free(&svc);
}

static void bindings_are_limited(void **state)
{
	struct fixture *f = *state;
	struct pd_buf b = {0}, r = {0};
	enum { LISTENERS = 600, HOSTS = 16 };
	for (int i = 0; i < LISTENERS; i++)
		pd_buf_printf(&b,
			      "  - {name: l%d, port: 80, protocol: HTTP, hostname: '*.l%d.example.com', allowedRoutes: "
			      "{namespaces: {from: All}}}\n",
			      i, i);
	gateway(f, b.p);
	pd_buf_printf(&r, TO_GATEWAY "  hostnames: [");
	for (int i = 0; i < HOSTS; i++)
		pd_buf_printf(&r, "%s'*.com'", i ? ", " : "");
	pd_buf_printf(&r, "]\n  rules: [{" TO_WEB "}]\n");
	apply(f, "HTTPRoute", "edge", "r", r.p);
	expect(f, "*.l599.example.com", false);
	expect(f, "*.l5.example.com", true);
	pd_buf_free(&b);
	pd_buf_free(&r);
}

static void strangers_are_kept_from_managed_gateways(void **state)
{
	struct fixture *f = *state;
	gateway(f, ANY_HTTP);
	static const char plain[] =
		"apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: plain, namespace: %s}\n"
		"spec: {selector: {app: gw}, servers: [{port: {number: 81, name: http, protocol: HTTP}, "
		"hosts: ['*']}]}\n";
	struct pd_buf b = {0};
	pd_buf_printf(&b, plain, "other");
	engine_world_apply(&f->w, b.p);
	assert_int_equal(engine_world_version(&f->w, f->view, PD_LDS, "0.0.0.0_81"), 0);
	pd_buf_reset(&b);
	pd_buf_printf(&b, plain, "edge");
	engine_world_apply(&f->w, b.p);
	assert_int_not_equal(engine_world_version(&f->w, f->view, PD_LDS, "0.0.0.0_81"), 0);
	pd_buf_free(&b);
}

static void what_concerns_nobody_changes_nothing(void **state)
{
	struct fixture *f = *state;
	gateway(f, ANY_HTTP);
	route(f, "  - {" TO_WEB "}\n");
	uint64_t before = engine_world_version(&f->w, f->view, PD_RDS, "http.80");
	apply(f, "ReferenceGrant", "other", "g",
	      "  from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: edge}]\n"
	      "  to: [{group: '', kind: Service}]\n");
	apply(f, "HTTPRoute", "edge", "elsewhere", "  parentRefs: [{name: nobody}]\n  rules: [{" TO_WEB "}]\n");
	assert_int_equal(engine_world_version(&f->w, f->view, PD_RDS, "http.80"), before);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(class_of_others_is_left_alone),
		TEST(port_must_be_one_of_the_service),
		TEST(address_names_the_service),
		TEST(listeners_in_conflict_lose),
		TEST(certificate_must_be_there_and_granted),
		TEST(client_certificates),
		TEST(defaults_need_no_api_server),
		TEST(one_bad_filter_takes_the_route_down),
		TEST(backends_that_cannot_be_used_fail),
		TEST(mirror_to_nowhere_is_left_out),
		TEST(header_names_are_folded),
		TEST(origins),
		TEST(timeouts),
		TEST(http_and_grpc_share_a_host),
		TEST(namespaces_are_told_apart_by_labels),
		cmocka_unit_test(long_names_are_cut),
		TEST(a_long_gateway_name_works),
		TEST(bindings_are_limited),
		TEST(strangers_are_kept_from_managed_gateways),
		TEST(what_concerns_nobody_changes_nothing),
	};
	if (pd_log_set_levels("gwapi:none") != PD_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
