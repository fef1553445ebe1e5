// AuthorizationPolicies of a proxy as filters: which of them hold, in which order, on trial, by external authorization.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "api/pb.h"
#include "base/str.h"
#include "discovery/policy/policy_filters.h"
#include "tests/unit/discovery/fixture.h"

#define WEB                                                                                                                  \
	"{\"id\": \"sidecar~10.1.0.1~web-1.default~default.svc.cluster.local\", \"metadata\": {\"NAMESPACE\": \"default\", " \
	"\"CLUSTER_ID\": \"Kubernetes\", \"ISTIO_VERSION\": \"1.31.0\", \"LABELS\": {\"app\": \"web\"}}}"
#define GATEWAY                                                                                                                    \
	"{\"id\": \"router~10.1.0.2~gw-1.default~default.svc.cluster.local\", \"metadata\": {\"NAMESPACE\": \"default\", "         \
	"\"CLUSTER_ID\": \"Kubernetes\", \"ISTIO_VERSION\": \"1.31.0\", \"LABELS\": {\"gateway.networking.k8s.io/gateway-name\": " \
	"\"gw\", \"app\": \"gw\"}}}"

static const char *policy(struct pd_arena *a, const char *ns, const char *name, int age, const char *spec)
{
	return pd_arena_printf(a,
			       "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n"
			       "metadata: {name: %s, namespace: %s, creationTimestamp: '2026-01-01T00:00:%02dZ'}\n"
			       "spec: %s\n---\n",
			       name, ns, age, spec);
}

// The filters' configurations as messages.
struct got {
	struct fixture f;
	size_t n;
	const char *names[8];
	void *configs[8];
};

static void unpack(struct got *g, const struct pd_policy_filters *filters)
{
	for (size_t i = 0; i < filters->n; i++) {
		assert_true(g->n < 8);
		g->names[g->n] = filters->v[i].name;
		assert_int_equal(pb_any_unpack(&g->f.arena, filters->v[i].config, &g->configs[g->n++], NULL), PD_OK);
	}
}

static void build(struct got *g, const char *mesh, const char *yaml, const char *node, bool tcp)
{
	memset(g, 0, sizeof(*g));
	fixture_init(&g->f, mesh, yaml);
	const struct pd_policy_set *set = pd_policy_set(fixture_view(&g->f, node));
	assert_ptr_equal(set, pd_policy_set(&g->f.tx)); // made once
	unpack(g, tcp ? &set->tcp_custom : &set->http_custom);
	unpack(g, tcp ? &set->tcp_authz : &set->http_authz);
}

static const char *get(struct got *g, size_t i, const char *path)
{
	assert_true(i < g->n);
	return fixture_get(&g->f, g->configs[i], path);
}

static bool has_policy(struct got *g, size_t i, const char *rules, const char *key)
{
	return *get(g, i, pd_arena_printf(&g->f.arena, "%s/policies/%s", rules, key)) != 0;
}

// ---- which and in which order ------------------------------------------------------------------------------------------------

static void test_none(void **state)
{
	struct got g;
	(void)state;
	build(&g, "", "", WEB, false);
	assert_int_equal(g.n, 0);
	assert_true(fixture_depends(&g.f, PD_IX_AUTHZ_BY_NS, "default")); // one that comes later is noticed
	assert_true(fixture_depends(&g.f, PD_IX_AUTHZ_BY_NS, "istio-system"));
	assert_true(fixture_depends(&g.f, PD_IX_REQUEST_AUTHN_BY_NS, "default"));
	assert_false(fixture_depends(&g.f, PD_IX_AUTHZ_BY_NS, "other"));
	fixture_free(&g.f);
}

static void test_actions_in_order(void **state)
{
	struct got g;
	struct pd_arena a = {0};
	struct pd_buf y = {0};
	(void)state;
	pd_buf_adds(&y, policy(&a, "default", "allow", 1, "{rules: [{}]}"));
	pd_buf_adds(&y, policy(&a, "default", "deny", 2, "{action: DENY, rules: [{}, {}]}"));
	pd_buf_adds(&y, policy(&a, "istio-system", "root", 3, "{action: DENY, rules: [{}]}"));
	pd_buf_adds(&y, policy(&a, "default", "audit", 4, "{action: AUDIT, rules: [{}]}"));
	pd_buf_adds(&y, policy(&a, "default", "nothing", 5, "{}"));
	pd_buf_adds(&y, policy(&a, "other", "far", 6, "{action: DENY, rules: [{}]}"));
	pd_buf_adds(&y, policy(&a, "default", "api", 7, "{selector: {matchLabels: {app: api}}, rules: [{}]}"));
	pd_buf_adds(&y,
		    policy(&a, "default", "named", 8,
			   "{targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: gw}], rules: [{}]}"));
	build(&g, "", y.p, WEB, false);
	assert_int_equal(g.n, 3);
	for (size_t i = 0; i < g.n; i++) {
		assert_string_equal(g.names[i], "envoy.filters.http.rbac");
		assert_string_equal(get(&g, i, "shadow_rules_stat_prefix"), "\"istio_dry_run_allow_\"");
	}
	assert_string_equal(get(&g, 0, "rules/action"), "\"LOG\"");
	assert_string_equal(get(&g, 1, "rules/action"), "\"DENY\"");
	assert_true(has_policy(&g, 1, "rules", "ns[default]-policy[deny]-rule[1]"));
	assert_true(has_policy(&g, 1, "rules", "ns[istio-system]-policy[root]-rule[0]"));
	assert_false(has_policy(&g, 1, "rules", "ns[other]-policy[far]-rule[0]"));
	assert_true(has_policy(&g, 2, "rules", "ns[default]-policy[nothing]-rule[0]"));
	assert_false(has_policy(&g, 2, "rules", "ns[default]-policy[api]-rule[0]"));
	assert_false(has_policy(&g, 2, "rules", "ns[default]-policy[named]-rule[0]"));
	assert_true(fixture_used(&g.f, PD_KIND_AUTHORIZATION_POLICY, "istio-system", "root"));
	assert_false(fixture_used(&g.f, PD_KIND_AUTHORIZATION_POLICY, "default", "api"));
	fixture_free(&g.f);
	pd_buf_free(&y);
	pd_arena_free(&a);
}

static void test_gateways(void **state)
{
	struct got g;
	struct pd_arena a = {0};
	struct pd_buf y = {0};
	(void)state;
#define REF(kind, name) "{group: gateway.networking.k8s.io, kind: " kind ", name: " name "}"
	pd_buf_adds(&y, policy(&a, "default", "named", 1, "{targetRefs: [" REF("Gateway", "gw") "], rules: [{}]}"));
	pd_buf_adds(&y, policy(&a, "default", "old", 2, "{targetRef: " REF("Gateway", "gw") ", rules: [{}]}"));
	pd_buf_adds(&y, policy(&a, "default", "other", 3, "{targetRefs: [" REF("Gateway", "x") "], rules: [{}]}"));
	pd_buf_adds(&y, policy(&a, "default", "kind", 4, "{targetRefs: [" REF("HTTPRoute", "gw") "], rules: [{}]}"));
	pd_buf_adds(&y, policy(&a, "default", "core", 5, "{targetRefs: [{kind: Gateway, name: gw}], rules: [{}]}"));
	pd_buf_adds(&y, policy(&a, "istio-system", "root", 6, "{targetRefs: [" REF("Gateway", "gw") "], rules: [{}]}"));
	pd_buf_adds(&y, policy(&a, "istio-system", "class", 7,
			       "{targetRefs: [" REF("GatewayClass", "istio-waypoint") "], rules: [{}]}"));
	pd_buf_adds(&y, policy(&a, "default", "selected", 8, "{selector: {matchLabels: {app: gw}}, rules: [{}]}"));
	build(&g, "", y.p, GATEWAY, false);
	assert_int_equal(g.n, 1);
	static const char *const hold[] = {"named", "old", "selected"}, *const not [] = {"other", "kind", "core"};
	for (size_t i = 0; i < 3; i++) {
		assert_true(has_policy(&g, 0, "rules", pd_arena_printf(&a, "ns[default]-policy[%s]-rule[0]", hold[i])));
		assert_false(
			has_policy(&g, 0, "rules", pd_arena_printf(&a, "ns[default]-policy[%s]-rule[0]", not [i])));
	}
	assert_false(has_policy(&g, 0, "rules", "ns[istio-system]-policy[root]-rule[0]"));
	assert_false(has_policy(&g, 0, "rules", "ns[istio-system]-policy[class]-rule[0]"));
	fixture_free(&g.f);
	pd_buf_free(&y);
	pd_arena_free(&a);
}

// Nothing is left of an ALLOW that speaks of HTTP alone: the filter stays, and lets nobody in.
static void test_http_rules_on_tcp(void **state)
{
	struct got g;
	struct pd_arena a = {0};
	(void)state;
	build(&g, "", policy(&a, "default", "get", 1, "{rules: [{to: [{operation: {methods: [GET]}}]}]}"), WEB, true);
	assert_int_equal(g.n, 1);
	assert_string_equal(g.names[0], "envoy.filters.network.rbac");
	assert_string_equal(get(&g, 0, "rules"), "{}");
	assert_string_equal(get(&g, 0, "stat_prefix"), "\"tcp.\"");
	assert_int_equal(pd_issues_count(g.f.issues), 0); // that is how it is meant to be
	fixture_free(&g.f);
	pd_arena_free(&a);
}

static void test_mistakes_are_reported(void **state)
{
	struct got g;
	struct pd_arena a = {0};
	(void)state;
	build(&g, "", policy(&a, "default", "bad", 1, "{rules: [{from: [{source: {ipBlocks: [x]}}]}, {}]}"), WEB,
	      false);
	assert_false(has_policy(&g, 0, "rules", "ns[default]-policy[bad]-rule[0]"));
	assert_true(has_policy(&g, 0, "rules", "ns[default]-policy[bad]-rule[1]"));
	assert_int_equal(pd_issues_count(g.f.issues), 1);
	fixture_free(&g.f);
	pd_arena_free(&a);
}

// ---- on trial ------------------------------------------------------------------------------------------------------------------

static void test_on_trial(void **state)
{
	struct got g;
	struct pd_arena a = {0};
	struct pd_buf y = {0};
	(void)state;
	pd_buf_adds(&y, policy(&a, "default", "deny, annotations: {istio.io/dry-run: 'true'}", 1,
			       "{action: DENY, rules: [{}]}"));
	pd_buf_adds(&y, policy(&a, "default", "real, annotations: {istio.io/dry-run: 'maybe'}", 2,
			       "{action: DENY, rules: [{}]}"));
	pd_buf_adds(&y, policy(&a, "default", "audit, annotations: {istio.io/dry-run: 'T'}", 3,
			       "{action: AUDIT, rules: [{}]}"));
	build(&g, "", y.p, WEB, false);
	assert_int_equal(g.n, 2);
	assert_string_equal(get(&g, 0, "rules"), "");
	assert_string_equal(get(&g, 0, "shadow_rules/action"), "\"LOG\"");
	assert_string_equal(get(&g, 0, "shadow_rules_stat_prefix"), "");
	assert_true(has_policy(&g, 1, "rules", "ns[default]-policy[real]-rule[0]"));
	assert_true(has_policy(&g, 1, "shadow_rules", "ns[default]-policy[deny]-rule[0]"));
	assert_string_equal(get(&g, 1, "shadow_rules_stat_prefix"), "\"istio_dry_run_deny_\"");
	fixture_free(&g.f);
	pd_buf_free(&y);
	pd_arena_free(&a);
}

// ---- external authorization ----------------------------------------------------------------------------------------------------

#define SERVICE                                                                                                        \
	"apiVersion: v1\nkind: Service\nmetadata: {name: ask, namespace: auth}\n"                                      \
	"spec: {clusterIP: 10.0.0.1, ports: [{name: grpc, port: 9000}]}\n---\n"
#define ASK "ask.auth.svc.cluster.local"
#define PROVIDERS(grpc, http)                                                                                          \
	"extensionProviders:\n- {name: asker, envoyExtAuthzGrpc: {" grpc "}}\n"                                        \
	"- {name: web, envoyExtAuthzHttp: {" http "}}\n"
#define GRPC "service: " ASK ", port: 9000"
#define HTTP "service: auth/" ASK ", port: 8000, timeout: 2s"
#define CUSTOM(provider) "{action: CUSTOM, provider: {name: " provider "}, rules: [{to: [{operation: {paths: [/a]}}]}]}"

static void build_custom(struct got *g, const char *mesh, const char *spec, bool tcp)
{
	struct pd_arena a = {0};
	build(g, mesh, pd_arena_printf(&a, "%s%s", SERVICE, policy(&a, "default", "p", 1, spec)), WEB, tcp);
	pd_arena_free(&a);
}

static void test_grpc_provider(void **state)
{
	struct got g;
	(void)state;
	build_custom(&g, PROVIDERS(GRPC, HTTP), CUSTOM("asker"), false);
	assert_int_equal(g.n, 2);
	assert_string_equal(get(&g, 0, "rules"), "");
	assert_true(has_policy(&g, 0, "shadow_rules", "istio-ext-authz-asker-ns[default]-policy[p]-rule[0]"));
	assert_string_equal(get(&g, 0, "shadow_rules/action"), "\"DENY\"");
	assert_string_equal(g.names[1], "envoy.filters.http.ext_authz");
	assert_string_equal(get(&g, 1, "grpc_service/envoy_grpc"),
			    "{\"cluster_name\":\"outbound|9000||" ASK "\",\"authority\":\"" ASK "\"}");
	assert_string_equal(get(&g, 1, "grpc_service/timeout"), "\"600s\"");
	assert_string_equal(get(&g, 1, "filter_enabled_metadata/value/string_match/prefix"),
			    "\"istio-ext-authz-asker\"");
	assert_true(fixture_depends(&g.f, PD_IX_SERVICE, ASK));
	fixture_free(&g.f);
	build_custom(&g, PROVIDERS(GRPC, HTTP), CUSTOM("asker"), true);
	assert_int_equal(g.n, 2);
	assert_string_equal(g.names[1], "envoy.filters.network.ext_authz");
	fixture_free(&g.f);
}

static void test_http_provider(void **state)
{
	struct got g;
	(void)state;
	build_custom(&g,
		     PROVIDERS(GRPC,
			       HTTP ", pathPrefix: /check, statusOnError: '503', failOpen: true, "
				    "includeHeadersInCheck: [a], includeAdditionalHeadersInCheck: {z: '1', b: '2'}"),
		     CUSTOM("web"), false);
	assert_string_equal(get(&g, 1, "http_service/server_uri"),
			    "{\"uri\":\"http://" ASK "\",\"cluster\":\"outbound|8000||" ASK "\",\"timeout\":\"2s\"}");
	assert_string_equal(get(&g, 1, "http_service/authorization_request/headers_to_add"),
			    "[{\"key\":\"b\",\"value\":\"2\"},{\"key\":\"z\",\"value\":\"1\"}]");
	assert_string_equal(get(&g, 1, "allowed_headers/patterns/0/exact"), "\"a\"");
	assert_string_equal(get(&g, 1, "status_on_error/code"), "\"ServiceUnavailable\"");
	assert_string_equal(get(&g, 1, "failure_mode_allow"), "true");
	fixture_free(&g.f);
	build_custom(&g, PROVIDERS(GRPC, HTTP), CUSTOM("web"), true); // it cannot be asked about connections
	assert_int_equal(g.n, 0);
	fixture_free(&g.f);
}

static void check_denied(const char *mesh, const char *provider_spec, bool tcp)
{
	struct got g;
	build_custom(&g, mesh, provider_spec, tcp);
	assert_int_equal(g.n, 1);
	assert_string_equal(get(&g, 0, "rules/action"), "\"DENY\"");
	assert_non_null(strstr(get(&g, 0, "rules/policies"), "-deny-due-to-bad-CUSTOM-action"));
	assert_string_equal(get(&g, 0, "shadow_rules_stat_prefix"), "");
	assert_int_equal(pd_issues_count(g.f.issues), 1);
	fixture_free(&g.f);
}

static void test_useless_providers_deny(void **state)
{
	(void)state;
	check_denied("", CUSTOM("asker"), false);
	check_denied("", "{action: CUSTOM, rules: [{}]}", false);
	check_denied(PROVIDERS(GRPC, HTTP), CUSTOM("nobody"), true);
	check_denied(PROVIDERS("service: " ASK ", port: 0", HTTP), CUSTOM("asker"), false);
	check_denied(PROVIDERS("service: gone.auth.svc.cluster.local, port: 9000", HTTP), CUSTOM("asker"), false);
	check_denied(PROVIDERS("service: other/" ASK ", port: 9000", HTTP), CUSTOM("asker"), true);
	check_denied(PROVIDERS(GRPC ", statusOnError: '999'", HTTP), CUSTOM("asker"), false);
	check_denied(PROVIDERS(GRPC, HTTP ", statusOnError: 'x'"), CUSTOM("web"), true);
	check_denied(PROVIDERS(GRPC, HTTP ", pathPrefix: check"), CUSTOM("web"), false);
	check_denied(PROVIDERS(GRPC, HTTP ", headersToUpstreamOnAllow: ['*']"), CUSTOM("web"), false);
	check_denied("extensionProviders: [{name: Asker, envoyExtAuthzGrpc: {" GRPC "}}]", CUSTOM("Asker"), false);
	check_denied("extensionProviders: [{name: log, envoyFileAccessLog: {path: /dev/null}}]", CUSTOM("log"), false);
}

// A host name that two namespaces have has to be told by its namespace.
static void test_same_host_twice(void **state)
{
	struct got g;
	struct pd_arena a = {0};
	struct pd_buf y = {0};
	(void)state;
	for (int i = 0; i < 2; i++)
		pd_buf_printf(
			&y,
			"apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: se, namespace: ns%d}\n"
			"spec: {hosts: [ask.example.com], ports: [{number: 9000, name: grpc, protocol: GRPC}], "
			"resolution: DNS}\n---\n",
			i);
	pd_buf_adds(&y, policy(&a, "default", "p", 1, CUSTOM("asker")));
	build(&g, PROVIDERS("service: ask.example.com, port: 9000", HTTP), y.p, WEB, false);
	assert_int_equal(g.n, 1);
	fixture_free(&g.f);
	build(&g, PROVIDERS("service: ns1/ask.example.com, port: 9000", HTTP), y.p, WEB, false);
	assert_int_equal(g.n, 2);
	fixture_free(&g.f);
	pd_buf_free(&y);
	pd_arena_free(&a);
}

static void test_several_providers(void **state)
{
	struct got g;
	struct pd_arena a = {0};
	struct pd_buf y = {0};
	(void)state;
	pd_buf_adds(&y, SERVICE);
	pd_buf_adds(&y, policy(&a, "default", "second", 1, CUSTOM("web")));
	pd_buf_adds(&y, policy(&a, "default", "first", 2, CUSTOM("asker")));
	build(&g, PROVIDERS(GRPC, HTTP), y.p, WEB, false);
	assert_int_equal(g.n, 2); // one denial each
	assert_string_equal(get(&g, 0, "rules/action"), "\"DENY\"");
	assert_string_equal(get(&g, 1, "rules/action"), "\"DENY\"");
	struct pd_policy_filters filters = {0};
	g.f.settings.multiple_custom_providers = true;
	struct pd_tx *tx = fixture_view(&g.f, WEB);
	struct pd_authz_policies all = pd_authz_select(tx);
	pd_authz_custom(tx, &all, false, &filters);
	g.n = 0;
	unpack(&g, &filters);
	assert_int_equal(g.n, 4); // by the providers' names
	assert_true(has_policy(&g, 0, "shadow_rules", "istio-ext-authz-asker-ns[default]-policy[first]-rule[0]"));
	assert_string_equal(get(&g, 3, "filter_enabled_metadata/value/string_match/prefix"), "\"istio-ext-authz-web\"");
	fixture_free(&g.f);
	pd_buf_free(&y);
	pd_arena_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_actions_in_order),
		cmocka_unit_test(test_gateways),
		cmocka_unit_test(test_http_rules_on_tcp),
		cmocka_unit_test(test_mistakes_are_reported),
		cmocka_unit_test(test_on_trial),
		cmocka_unit_test(test_grpc_provider),
		cmocka_unit_test(test_http_provider),
		cmocka_unit_test(test_useless_providers_deny),
		cmocka_unit_test(test_same_host_twice),
		cmocka_unit_test(test_several_providers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
