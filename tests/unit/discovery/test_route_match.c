// Matches of HTTP routes: what of a request they look at, and for which clients they are made at all.
#include "tests/unit/discovery/route_fixture.h"

#define GO "route: [{destination: {host: web}}]"
#define MATCH(m) "[{match: [" m "], " GO "}]"

static void paths(void **state)
{
	(void)state;
	assert_web_is("[{" GO "}]", "routes/0/match", "{\"prefix\":\"/\"}");
	assert_web_is(MATCH("{uri: {exact: /a}}"), "routes/0/match", "{\"path\":\"/a\",\"case_sensitive\":true}");
	assert_web_is(MATCH("{uri: {prefix: /a}}"), "routes/0/match", "{\"prefix\":\"/a\",\"case_sensitive\":true}");
	assert_web_is(MATCH("{uri: {prefix: /a/}}"), "routes/0/match/prefix", "\"/a/\"");
	assert_web_is(MATCH("{uri: {regex: '/a.*'}}"), "routes/0/match",
		      "{\"case_sensitive\":true,\"safe_regex\":{\"regex\":\"/a.*\"}}");
	assert_web_is(MATCH("{uri: {prefix: /a}, ignoreUriCase: true}"), "routes/0/match/case_sensitive", "false");
	// A match without uri takes every path.
	assert_web_is(MATCH("{method: {exact: GET}}"), "routes/0/match/prefix", "\"/\"");
}

static void headers(void **state)
{
	struct fixture f;
	(void)state;
	web_init(&f, MATCH("{headers: {b: {exact: '1'}, a: {prefix: x}, d: {}, c: {regex: 'r.*'}, e: {regex: '*'}}, "
			   "scheme: {exact: https}, authority: {prefix: w}, method: {regex: 'G.*'}}"));
	// By name, then method, authority, scheme.
	assert_web(&f, "routes/0/match/headers/0", "{\"name\":\"a\",\"string_match\":{\"prefix\":\"x\"}}");
	assert_web(&f, "routes/0/match/headers/1", "{\"name\":\"b\",\"string_match\":{\"exact\":\"1\"}}");
	assert_web(&f, "routes/0/match/headers/2",
		   "{\"name\":\"c\",\"string_match\":{\"safe_regex\":{\"regex\":\"r.*\"}}}");
	assert_web(&f, "routes/0/match/headers/3", "{\"name\":\"d\",\"present_match\":true}");
	assert_web(&f, "routes/0/match/headers/4", "{\"name\":\"e\",\"present_match\":true}");
	assert_web(&f, "routes/0/match/headers/5/name", "\":method\"");
	assert_web(&f, "routes/0/match/headers/6/name", "\":authority\"");
	assert_web(&f, "routes/0/match/headers/7/name", "\":scheme\"");
	assert_web(&f, "routes/0/match/headers/8", "");
	fixture_free(&f);
	// An empty value is a value; an empty prefix is none.
	assert_web_is(MATCH("{headers: {a: {exact: ''}}}"), "routes/0/match/headers",
		      "[{\"name\":\"a\",\"string_match\":{\"exact\":\"\"}}]");
	assert_web_is(MATCH("{headers: {a: {prefix: ''}}}"), "routes/0/match/headers",
		      "[{\"name\":\"a\",\"present_match\":true}]");
}

static void without_headers(void **state)
{
	(void)state;
	assert_web_is(MATCH("{withoutHeaders: {a: {exact: '1'}}}"), "routes/0/match/headers/0",
		      "{\"name\":\"a\",\"invert_match\":true,\"string_match\":{\"exact\":\"1\"},"
		      "\"treat_missing_header_as_empty\":true}");
	// Absence: "missing counts as empty" would make it match never.
	assert_web_is(MATCH("{withoutHeaders: {a: {}}}"), "routes/0/match/headers/0",
		      "{\"name\":\"a\",\"present_match\":true,\"invert_match\":true}");
}

static void query(void **state)
{
	(void)state;
	assert_web_is(MATCH("{queryParams: {q: {exact: x}}}"), "routes/0/match/query_parameters",
		      "[{\"name\":\"q\",\"string_match\":{\"exact\":\"x\"}}]");
	assert_web_is(MATCH("{queryParams: {q: {regex: '*'}}}"), "routes/0/match/query_parameters",
		      "[{\"name\":\"q\",\"present_match\":true}]");
}

static void claims(void **state)
{
	struct fixture f;
	(void)state;
	web_init(&f, MATCH("{headers: {'@request.auth.claims.group.id': {exact: dev}}}"));
	assert_web(&f, "routes/0/match/headers", "");
	assert_web(&f, "routes/0/match/dynamic_metadata/0/filter", "\"envoy.filters.http.jwt_authn\"");
	assert_web(&f, "routes/0/match/dynamic_metadata/0/path",
		   "[{\"key\":\"payload\"},{\"key\":\"group\"},{\"key\":\"id\"}]");
	// A string, or a list with that string.
	assert_web(&f, "routes/0/match/dynamic_metadata/0/value/or_match/value_matchers",
		   "[{\"list_match\":{\"one_of\":{\"string_match\":{\"exact\":\"dev\"}}}},"
		   "{\"string_match\":{\"exact\":\"dev\"}}]");
	assert_web(&f, "routes/0/match/dynamic_metadata/0/invert", "");
	fixture_free(&f);
	// In brackets names may hold dots.
	assert_web_is(MATCH("{headers: {'@request.auth.claims[a.b][c]': {exact: x}}}"),
		      "routes/0/match/dynamic_metadata/0/path",
		      "[{\"key\":\"payload\"},{\"key\":\"a.b\"},{\"key\":\"c\"}]");
	assert_web_is(MATCH("{headers: {'@request.auth.claims.a[b]': {exact: x}}}"),
		      "routes/0/match/dynamic_metadata/0/path", "[{\"key\":\"payload\"},{\"key\":\"a[b]\"}]");
	assert_web_is(MATCH("{withoutHeaders: {'@request.auth.claims.a': {exact: x}}}"),
		      "routes/0/match/dynamic_metadata/0/invert", "true");
	assert_web_is(MATCH("{headers: {'@request.auth.claims.a': {}}}"), "routes/0/match/dynamic_metadata/0/value",
		      "{\"present_match\":true}");
	// What only looks like one is a header.
	assert_web_is(MATCH("{headers: {'@request.auth.claims': {exact: x}}}"), "routes/0/match/headers/0/name",
		      "\"@request.auth.claims\"");
	assert_web_is(MATCH("{headers: {'@request.auth.claims[a': {exact: x}}}"), "routes/0/match/headers/0/name",
		      "\"@request.auth.claims[a\"");
}

static void for_which_port(void **state)
{
	(void)state;
	assert_web_is("[{name: other, match: [{port: 81}], " GO "}, {name: mine, match: [{port: 80}], " GO "}]",
		      "routes/0/name", "\"mine\"");
}

static void for_which_gateway(void **state)
{
	(void)state;
	assert_web_is("[{name: other, match: [{gateways: [gw]}], " GO
		      "}, {name: mine, match: [{gateways: [gw, mesh]}], " GO "}]",
		      "routes/0/name", "\"mine\"");
	// Where gateways are named, labels are not looked at.
	assert_web_is("[{name: mine, match: [{gateways: [mesh], sourceLabels: {app: nobody}}], " GO "}]",
		      "routes/0/name", "\"mine\"");
}

static void for_which_client(void **state)
{
	struct fixture f;
	const struct pd_label labels[] = {{"app", "shop"}, {"tier", "web"}};
	(void)state;
	web_init(&f, "[{name: ns, match: [{sourceNamespace: shop}], " GO "}, "
		     "{name: both, match: [{sourceLabels: {app: shop, tier: web}, sourceNamespace: default}], " GO "}, "
		     "{name: label, match: [{sourceLabels: {app: shop}}], " GO "}, {name: rest, " GO "}]");
	assert_web(&f, "routes/0/name", "\"rest\"");
	f.key.labels = (struct pd_labels){1, labels};
	assert_web(&f, "routes/0/name", "\"label\"");
	f.key.labels.n = 2;
	assert_web(&f, "routes/0/name", "\"both\"");
	f.key.ns = "shop";
	assert_web(&f, "routes/0/name", "\"ns\"");
	fixture_free(&f);
}

static void catch_all_ends_the_list(void **state)
{
	struct fixture f;
	(void)state;
	web_init(&f, "[{name: a, match: [{uri: {prefix: /a}}, {uri: {prefix: /}}, {uri: {exact: /never}}], " GO
		     "}, {name: never, " GO "}]");
	assert_web(&f, "routes/1/match/prefix", "\"/\"");
	assert_web(&f, "routes/2", "");
	fixture_free(&f);
	web_init(&f, "[{name: a, match: [{uri: {regex: '.*'}}], " GO "}, {name: never, " GO "}]");
	assert_web(&f, "routes/1", "");
	fixture_free(&f);
	// Everything with a header is not everything.
	web_init(&f, "[{match: [{uri: {prefix: /}, headers: {a: {}}}], " GO "}, {match: [{queryParams: {q: {}}}], " GO
		     "}, {match: [{headers: {'@request.auth.claims.a': {}}}], " GO "}, {name: last, " GO "}]");
	assert_web(&f, "routes/3/name", "\"last\"");
	fixture_free(&f);
	// A catch-all for other clients does not count.
	web_init(&f, "[{match: [{sourceLabels: {app: x}}], " GO "}, {name: last, " GO "}]");
	assert_web(&f, "routes/0/name", "\"last\"");
	fixture_free(&f);
}

static void names(void **state)
{
	(void)state;
	assert_web_is("[{name: r, match: [{name: m, uri: {exact: /}}], " GO "}]", "routes/0/name", "\"r.m\"");
	assert_web_is("[{match: [{name: m, uri: {exact: /}}], " GO "}]", "routes/0/name", "\".m\"");
	assert_web_is("[{" GO "}]", "routes/0/name", "");
	assert_web_is("[{match: [{statPrefix: p, uri: {exact: /}}], " GO "}]", "routes/0/stat_prefix", "\"p\"");
	assert_web_is("[{" GO "}]", "routes/0/metadata/filter_metadata/istio/config",
		      "\"/apis/networking.istio.io/v1/namespaces/default/virtual-service/rules\"");
}

// The paths of Gateway API routes, and of Ingress, are taken by element.
static void by_element(void **state)
{
	static const char *const semantics[] = {"gateway", "ingress"};
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct fixture f;
		struct pd_buf b = {0};
		pd_buf_printf(
			&b,
			"%s---\napiVersion: networking.istio.io/v1\nkind: VirtualService\n"
			"metadata: {name: r, namespace: default, annotations: "
			"{internal.istio.io/route-semantics: %s}}\n"
			"spec: {hosts: [web.default.svc.cluster.local], http: [{match: [{uri: {prefix: /a/}}], " GO
			"}, {match: [{uri: {prefix: /}}], " GO "}]}\n",
			SVC("default", "web", "10.0.0.1", HTTP_80), semantics[i]);
		fixture_init(&f, "", b.p);
		assert_web(&f, "routes/0/match/path_separated_prefix", "\"/a\"");
		assert_web(&f, "routes/1/match/prefix", "\"/\"");
		fixture_free(&f);
		pd_buf_free(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths),
		cmocka_unit_test(headers),
		cmocka_unit_test(without_headers),
		cmocka_unit_test(query),
		cmocka_unit_test(claims),
		cmocka_unit_test(for_which_port),
		cmocka_unit_test(for_which_gateway),
		cmocka_unit_test(for_which_client),
		cmocka_unit_test(catch_all_ends_the_list),
		cmocka_unit_test(names),
		cmocka_unit_test(by_element),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
