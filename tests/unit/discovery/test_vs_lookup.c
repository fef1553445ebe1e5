// Which VirtualService governs a host: names in short form, wildcards, who may see it, and which comes first.
#include "tests/unit/discovery/route_fixture.h"

#define WEB "web.default.svc.cluster.local"
#define WEB_SVC SVC("default", "web", "10.0.0.1", HTTP_80)
#define NAMED(name) "[{name: " name ", route: [{destination: {host: " WEB "}}]}]"
#define HOSTS(ns, name, second, hosts) VS(ns, name, second, "{hosts: [" hosts "], http: " NAMED(name) "}")

// The VirtualService (all are named as their routes) that governs a service on port 80; "default" = none does.
static const char *governs(struct fixture *f, const char *host)
{
	return route_get(f, host, "80", "routes/0/name");
}

// ---- short names -----------------------------------------------------------------------------------------------------------

static void hosts_expand_in_the_own_namespace(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "",
		     WEB_SVC SVC("other", "web", "10.0.0.2", HTTP_80) SVC("other", "db", "10.0.0.3", HTTP_80)
			     HOSTS("default", "a", "00", "web") HOSTS("other", "b", "01", "db"));
	assert_string_equal(governs(&f, WEB), "\"a\"");
	assert_string_equal(governs(&f, "web.other.svc.cluster.local"), "\"default\"");
	assert_string_equal(governs(&f, "db.other.svc.cluster.local"), "\"b\"");
	fixture_free(&f);
}

// A name with a dot is complete: it is no service, though it looks like one.
static void names_with_dots_stay(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "",
		     WEB_SVC HOSTS("default", "a", "00", "web.default") HOSTS("default", "b", "01", "web.default.svc"));
	assert_string_equal(governs(&f, WEB), "\"default\"");
	assert_string_equal(governs(&f, "web.default"), "\"a\"");
	assert_route(&f, "web.default", "80", "domains", "[\"web.default\"]");
	assert_route(&f, "web.default.svc", "80", "domains", "[\"web.default.svc\"]");
	fixture_free(&f);
}

// Destinations, mirrors and gateways of a rule as well: its namespace counts, not the client's.
static void everything_in_a_rule_expands(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(
		&f, "",
		WEB_SVC VS(
			"other", "rules", "00",
			"{hosts: [" WEB "], http: [{match: [{gateways: [gw]}], name: gw, route: "
			"[{destination: {host: v}}]}, {name: mesh, route: [{destination: {host: v, subset: s}, weight: 1}, "
			"{destination: {host: v.far}, weight: 1}, {destination: {host: 10.1.1.1}, weight: 1}], "
			"mirror: {host: m}}]}"));
	assert_string_equal(governs(&f, WEB), "\"mesh\"");
	assert_web(&f, "routes/0/route/weighted_clusters/clusters/0/name",
		   "\"outbound|80|s|v.other.svc.cluster.local\"");
	assert_web(&f, "routes/0/route/weighted_clusters/clusters/1/name", "\"outbound|80||v.far\"");
	assert_web(&f, "routes/0/route/weighted_clusters/clusters/2/name", "\"outbound|80||10.1.1.1\"");
	assert_web(&f, "routes/0/route/request_mirror_policies/0/cluster",
		   "\"outbound|80||m.other.svc.cluster.local\"");
	fixture_free(&f);
}

static bool bound(struct fixture *f, const char *gateway)
{
	return tx_gateway_vs(fixture_scope(f), gateway).n == 1;
}

static void gateways_expand(void **state)
{
	static const struct {
		const char *written, *means;
	} cases[] = {
		{"gw", "default/gw"},
		{"./gw", "default/gw"},
		{"other/gw", "other/gw"},
		{"gw.other", "other/gw"},
		{"gw.other.svc.cluster.local", "other/gw"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture f;
		struct pd_buf b = {0};
		pd_buf_printf(
			&b,
			"apiVersion: networking.istio.io/v1\nkind: VirtualService\n"
			"metadata: {name: a, namespace: default}\n"
			"spec: {hosts: [a.test], gateways: [%s], http: [{match: [{gateways: [%s], uri: {exact: /}}], "
			"route: [{destination: {host: b}}]}]}\n",
			cases[i].written, cases[i].written);
		fixture_init(&f, "", b.p);
		assert_true(bound(&f, cases[i].means));
		struct pd_vs_list list = tx_gateway_vs(&f.tx, cases[i].means);
		struct pd_route_ctx ctx = {.tx = &f.tx,
					   .vs = list.v[0],
					   .port = 80,
					   .gateways = &cases[i].means,
					   .n_gateways = 1};
		struct pd_route_vec routes = {0};
		pd_routes_build(&ctx, &routes);
		assert_int_equal(routes.n, 1);
		// Not bound to the mesh.
		assert_int_equal(tx_mesh_vs_for_host(fixture_scope(&f), "a.test").n, 0);
		fixture_free(&f);
		pd_buf_free(&b);
	}
}

// The host of a DestinationRule expands in the rule's namespace too.
static void destination_rules_expand(void **state)
{
#define HASH "trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: x}}}"
	struct fixture f;
	(void)state;
	fixture_init(&f, "", WEB_SVC DR("default", "d", "{host: web, " HASH "}"));
	assert_web(&f, "routes/0/route/hash_policy/0/header/header_name", "\"x\"");
	fixture_free(&f);
	fixture_init(&f, "", WEB_SVC DR("default", "d", "{host: web.default, " HASH "}"));
	assert_web(&f, "routes/0/route/hash_policy", "");
	fixture_free(&f);
	fixture_init(&f, "", WEB_SVC DR("other", "d", "{host: web, " HASH "}"));
	assert_web(&f, "routes/0/route/hash_policy", "");
	fixture_free(&f);
}

// ---- which comes first ---------------------------------------------------------------------------------------------------------

static void oldest_wins(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "",
		     WEB_SVC HOSTS("default", "young", "02", "web") HOSTS("default", "old", "01", "web")
			     HOSTS("default", "older-wildcard", "00", "'*.default.svc.cluster.local'"));
	assert_string_equal(governs(&f, WEB), "\"old\"");
	fixture_free(&f);
	// Of the same second: by name, then namespace.
	fixture_init(&f, "",
		     WEB_SVC HOSTS("a", "x2", "01", WEB) HOSTS("z", "x1", "01", WEB) HOSTS("y", "x1", "01", WEB));
	assert_string_equal(governs(&f, WEB), "\"x1\"");
	assert_web(&f, "routes/0/metadata/filter_metadata/istio/config",
		   "\"/apis/networking.istio.io/v1/namespaces/y/virtual-service/x1\"");
	fixture_free(&f);
}

// If the first has no routes for this client the next that names the host does it; wildcards do not.
static void next_in_line(void **state)
{
#define FOR_OTHERS(name, second, host)                                                                                 \
	VS("default", name, second,                                                                                    \
	   "{hosts: [" host "], http: [{name: " name ", match: [{sourceLabels: {app: other}}], route: "                \
	   "[{destination: {host: " WEB "}}]}]}")
#define ALL_SERVICES "'*.default.svc.cluster.local'"
	struct fixture f;
	(void)state;
	fixture_init(&f, "", WEB_SVC FOR_OTHERS("a", "00", "web") HOSTS("default", "b", "01", "web"));
	assert_string_equal(governs(&f, WEB), "\"b\"");
	fixture_free(&f);
	fixture_init(&f, "", WEB_SVC FOR_OTHERS("a", "00", "web") HOSTS("default", "b", "01", ALL_SERVICES));
	assert_string_equal(governs(&f, WEB), "\"default\"");
	fixture_free(&f);
	fixture_init(&f, "", WEB_SVC FOR_OTHERS("a", "00", ALL_SERVICES) HOSTS("default", "b", "01", ALL_SERVICES));
	assert_string_equal(governs(&f, WEB), "\"default\"");
	fixture_free(&f);
}

static void longest_wildcard_wins(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "",
		     WEB_SVC SVC("far", "web", "10.0.0.2", HTTP_80)
			     HOSTS("default", "cluster", "01", "'*.cluster.local'")
				     HOSTS("default", "own", "02", "'*.default.svc.cluster.local'")
					     HOSTS("default", "part", "03", "'*b.default.svc.cluster.local'"));
	assert_string_equal(governs(&f, WEB), "\"part\"");
	assert_string_equal(governs(&f, "web.far.svc.cluster.local"), "\"cluster\"");
	fixture_free(&f);
}

// ---- who sees it -----------------------------------------------------------------------------------------------------------------

static void export_to(void **state)
{
#define EXPORT(ns, to) WEB_SVC VS(ns, "a", "00", "{hosts: [" WEB "], exportTo: [" to "], http: " NAMED("a") "}")
	static const struct {
		const char *yaml;
		bool here;
	} cases[] = {
		{EXPORT("default", "'.'"), true},    {EXPORT("other", "'.'"), false},
		{EXPORT("other", "'*'"), true},      {EXPORT("other", "default"), true},
		{EXPORT("other", "third"), false},   {EXPORT("default", "other"), false},
		{EXPORT("default", "'~'"), false},   {EXPORT("other", "default, '~'"), false},
		{EXPORT("other", "'~', '*'"), true}, {EXPORT("other", "third, '*'"), true},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture f;
		fixture_init(&f, "", cases[i].yaml);
		assert_string_equal(governs(&f, WEB), cases[i].here ? "\"a\"" : "\"default\"");
		fixture_free(&f);
	}
}

static void default_export_to(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "defaultVirtualServiceExportTo: ['.']",
		     WEB_SVC HOSTS("other", "a", "00", WEB) HOSTS("default", "b", "01", WEB));
	assert_string_equal(governs(&f, WEB), "\"b\"");
	f.key.ns = "other";
	assert_string_equal(governs(&f, WEB), "\"a\"");
	fixture_free(&f);
}

// What is kept to the namespace comes before what is exported to it, and that before what all may see; age counts within.
static void the_closer_the_better(void **state)
{
#define WITH(ns, name, second, to) VS(ns, name, second, "{hosts: [" WEB "], exportTo: [" to "], http: " NAMED(name) "}")
	struct fixture f;
	(void)state;
	fixture_init(&f, "",
		     WEB_SVC WITH("other", "public", "00", "'*'") WITH("other", "exported", "01", "default")
			     WITH("default", "private", "02", "'.'"));
	assert_string_equal(governs(&f, WEB), "\"private\"");
	f.key.ns = "third";
	assert_string_equal(governs(&f, WEB), "\"public\"");
	fixture_free(&f);
	fixture_init(&f, "", WEB_SVC WITH("other", "public", "00", "'*'") WITH("other", "exported", "01", "default"));
	assert_string_equal(governs(&f, WEB), "\"exported\"");
	fixture_free(&f);
}

static void gateways_in_order(void **state)
{
#define BOUND(ns, name, second, to)                                                                                    \
	VS(ns, name, second, "{hosts: [a.test], gateways: [default/gw], exportTo: [" to "], http: " NAMED(name) "}")
	struct fixture f;
	(void)state;
	fixture_init(&f, "",
		     BOUND("other", "public", "00", "'*'") BOUND("other", "exported", "01", "default")
			     BOUND("default", "private", "02", "'.'") BOUND("other", "hidden", "03", "'.'"));
	f.key.type = PD_NODE_ROUTER;
	struct pd_vs_list list = tx_gateway_vs(fixture_scope(&f), "default/gw");
	assert_int_equal(list.n, 3);
	assert_string_equal(list.v[0]->object->key.name, "private");
	assert_string_equal(list.v[1]->object->key.name, "exported");
	assert_string_equal(list.v[2]->object->key.name, "public");
	assert_true(fixture_depends(&f, PD_IX_VS_BY_GATEWAY, "default/gw"));
	fixture_free(&f);
}

// Routes of the Gateway API are for their own namespace's clients and services, and come first among those clients.
static void gateway_api(void **state)
{
#define MESH_ROUTE(ns, name, second)                                                                                   \
	"---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: " name ", namespace: " ns     \
	", creationTimestamp: '2026-08-01T00:00:" second "Z', annotations: {internal.istio.io/route-semantics: "       \
	"gateway}}\nspec: {hosts: [" WEB "], http: " NAMED(name) "}\n"
	struct fixture f;
	(void)state;
	fixture_init(&f, "", WEB_SVC MESH_ROUTE("default", "producer", "00") MESH_ROUTE("client", "consumer", "01"));
	assert_string_equal(governs(&f, WEB), "\"producer\"");
	f.key.ns = "client";
	assert_string_equal(governs(&f, WEB), "\"consumer\"");
	f.key.ns = "third";
	assert_string_equal(governs(&f, WEB), "\"producer\"");
	fixture_free(&f);
	fixture_init(&f, "", WEB_SVC MESH_ROUTE("client", "consumer", "01"));
	assert_string_equal(governs(&f, WEB), "\"default\"");
	fixture_free(&f);
}

// A wildcard is found by where it ends, so that one of them concerns what it covers and not the whole mesh.
static void dependencies_on_wildcards(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "", WEB_SVC);
	governs(&f, WEB);
	assert_true(fixture_depends(&f, PD_IX_VS_WILDCARD, "")); // that there is none
	assert_false(fixture_depends(&f, PD_IX_VS_BY_HOST, "*.default.svc.cluster.local"));
	fixture_free(&f);
	fixture_init(&f, "",
		     WEB_SVC HOSTS("default", "a", "00", "'*.a.test'") HOSTS("default", "part", "01", "'*b.a.test'")
			     HOSTS("default", "name", "02", "'*eb'"));
	assert_string_equal(governs(&f, WEB), "\"name\"");
	assert_false(fixture_depends(&f, PD_IX_VS_WILDCARD, ""));
	assert_true(fixture_depends(&f, PD_IX_VS_BY_HOST, "*.default.svc.cluster.local"));
	assert_true(fixture_depends(&f, PD_IX_VS_BY_HOST, "*.svc.cluster.local"));
	assert_true(fixture_depends(&f, PD_IX_VS_BY_HOST, "*.cluster.local"));
	assert_true(fixture_depends(&f, PD_IX_VS_BY_HOST, "*.local"));
	assert_true(fixture_depends(&f, PD_IX_VS_BY_HOST, "*"));
	// The part of a label is found beside whole ones, and is not taken for them.
	assert_int_equal(tx_mesh_vs_for_host(fixture_scope(&f), "b.a.test").n, 2);
	assert_string_equal(tx_mesh_vs_for_host(fixture_scope(&f), "b.a.test").v[0]->object->key.name, "part");
	assert_int_equal(tx_mesh_vs_for_host(fixture_scope(&f), "*.a.test").n, 1);
	assert_int_equal(tx_mesh_vs_for_host(fixture_scope(&f), "*b.a.test").n, 2);
	assert_int_equal(tx_mesh_vs_for_host(fixture_scope(&f), "a.test").n, 0);
	// Short for "*eb.default.svc.cluster.local".
	assert_int_equal(tx_mesh_vs_for_host(fixture_scope(&f), WEB).n, 1);
	assert_int_equal(tx_mesh_vs_for_host(fixture_scope(&f), "web.other.svc.cluster.local").n, 0);
	assert_int_equal(tx_mesh_vs_for_host(fixture_scope(&f), "x.local").n, 0);
	fixture_free(&f);
}

static void dependencies(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "", WEB_SVC);
	assert_string_equal(governs(&f, WEB), "\"default\"");
	assert_true(fixture_depends(&f, PD_IX_VS_BY_HOST, WEB));
	assert_true(fixture_depends(&f, PD_IX_SERVICE, WEB));
	assert_true(fixture_depends(&f, PD_IX_MESH, ""));
	// A service is not stale with every change of another.
	assert_false(fixture_depends(&f, PD_IX_SERVICE, ""));
	fixture_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hosts_expand_in_the_own_namespace),
		cmocka_unit_test(names_with_dots_stay),
		cmocka_unit_test(everything_in_a_rule_expands),
		cmocka_unit_test(gateways_expand),
		cmocka_unit_test(destination_rules_expand),
		cmocka_unit_test(oldest_wins),
		cmocka_unit_test(next_in_line),
		cmocka_unit_test(longest_wildcard_wins),
		cmocka_unit_test(export_to),
		cmocka_unit_test(default_export_to),
		cmocka_unit_test(the_closer_the_better),
		cmocka_unit_test(gateways_in_order),
		cmocka_unit_test(gateway_api),
		cmocka_unit_test(dependencies),
		cmocka_unit_test(dependencies_on_wildcards),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
