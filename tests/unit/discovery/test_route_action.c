// What routes do: destinations, timeouts, rewrites, mirrors, redirects, direct responses, header operations.
#include "api/codec.h"
#include "tests/unit/discovery/route_fixture.h"

#define GO "route: [{destination: {host: web}}]"
#define RULE(rest) "[{" GO ", " rest "}]"
#define WEB "web.default.svc.cluster.local"

static void one_destination(void **state)
{
	struct fixture f;
	(void)state;
	web_init(&f, "[{" GO "}]");
	assert_web(&f, "name", "\"" WEB ":80\"");
	assert_web(&f, "include_request_attempt_count", "true");
	assert_web(&f, "routes/0/route/cluster", "\"outbound|80||" WEB "\"");
	assert_web(&f, "routes/0/route/cluster_not_found_response_code", "");
	assert_web(&f, "routes/0/decorator/operation", "\"" WEB ":80/*\"");
	assert_true(fixture_used(&f, PD_KIND_VIRTUAL_SERVICE, "default", "rules"));
	fixture_free(&f);
	// A single destination goes whatever its weight is.
	assert_web_is("[{route: [{destination: {host: web}, weight: 0}]}]", "routes/0/route/cluster",
		      "\"outbound|80||" WEB "\"");
	assert_web_is("[{route: [{destination: {host: web, subset: v1, port: {number: 81}}}]}]",
		      "routes/0/route/cluster", "\"outbound|81|v1|" WEB "\"");
}

static void several_destinations(void **state)
{
	struct fixture f;
	(void)state;
	web_init(&f, "[{route: [{destination: {host: web, subset: v1}, weight: 95, headers: {request: "
		     "{set: {host: b.test, x: '1'}}, response: {remove: [r]}}}, "
		     "{destination: {host: web, subset: v0}, weight: 0}, "
		     "{destination: {host: web, subset: v2}, weight: 5}]}]");
	assert_web(&f, "routes/0/route/weighted_clusters/clusters/0/name", "\"outbound|80|v1|" WEB "\"");
	assert_web(&f, "routes/0/route/weighted_clusters/clusters/0/weight", "95");
	assert_web(&f, "routes/0/route/weighted_clusters/clusters/0/host_rewrite_literal", "\"b.test\"");
	assert_web(&f, "routes/0/route/weighted_clusters/clusters/0/request_headers_to_add/0/header",
		   "{\"key\":\"x\",\"value\":\"1\"}");
	assert_web(&f, "routes/0/route/weighted_clusters/clusters/0/response_headers_to_remove", "[\"r\"]");
	assert_web(&f, "routes/0/route/weighted_clusters/clusters/1/name", "\"outbound|80|v2|" WEB "\"");
	assert_web(&f, "routes/0/route/weighted_clusters/clusters/2", "");
	assert_web(&f, "routes/0/request_headers_to_add", "");
	// The operation cannot name a host: it names the rule.
	assert_web(&f, "routes/0/decorator/operation", "\"rules:80/*\"");
	fixture_free(&f);
}

// The routes of a VirtualService that validation would have refused.
static struct pd_route_vec unchecked(struct fixture *f, const char *spec)
{
	struct pd_codec codec = {.arena = &f->arena, .policy = PD_CODEC_STRICT};
	struct pd_route_vec out = {0};
	void *msg;
	struct pd_tx *tx = fixture_scope(f);
	assert_int_equal(pd_codec_decode_text(&codec, spec, strlen(spec), &istio__virtual_service__descriptor, &msg),
			 PD_OK);
	struct pd_vs vs = {tx_object(tx, PD_KIND_VIRTUAL_SERVICE, "default", "rules"), msg};
	struct pd_route_ctx ctx = {.tx = tx, .vs = &vs, .port = 80, .by_port = true};
	pd_routes_build(&ctx, &out);
	return out;
}

// Envoy refuses a configuration with a route that goes nowhere. Requests for it fail instead, and it is reported.
static void nowhere(void **state)
{
	static const char *const specs[] = {
		"{\"http\": [{\"route\": [{\"destination\": {\"host\": \"a\"}}, {\"destination\": {\"host\": \"b\"}}]}]}",
		"{\"http\": [{\"name\": \"r\", \"timeout\": \"1s\"}]}",
		"{\"http\": [{\"redirect\": {\"redirectCode\": 305}}]}",
	};
	(void)state;
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		struct fixture f;
		web_init(&f, "[{" GO "}]");
		struct pd_route_vec routes = unchecked(&f, specs[i]);
		assert_int_equal(routes.n, 1);
		assert_json(&f, routes.v[0], "direct_response", "{\"status\":500}");
		assert_json(&f, routes.v[0], "route", "");
		assert_true(route_reported(&f, "has no destination"));
		fixture_free(&f);
	}
}

static void without_host(void **state)
{
	struct fixture f;
	(void)state;
	web_init(&f, "[{" GO "}]");
	struct pd_route_vec routes = unchecked(&f, "{\"http\": [{\"route\": [{\"destination\": {}}]}]}");
	assert_json(&f, routes.v[0], "route/cluster", "\"UnknownService\"");
	routes = unchecked(&f, "{\"http\": [{\"route\": [{}]}]}");
	assert_json(&f, routes.v[0], "route/cluster", "\"UnknownService\"");
	fixture_free(&f);
}

static void timeouts(void **state)
{
	(void)state;
	// None is 0s: Envoy's default would be 15 s.
	assert_web_is("[{" GO "}]", "routes/0/route/timeout", "\"0s\"");
	assert_web_is("[{" GO "}]", "routes/0/route/max_grpc_timeout", "\"0s\"");
	assert_web_is(RULE("timeout: 1.5s"), "routes/0/route/timeout", "\"1.500s\"");
	assert_web_is(RULE("timeout: 1.5s"), "routes/0/route/max_grpc_timeout", "\"1.500s\"");
}

static void rewrites(void **state)
{
	(void)state;
	assert_web_is(RULE("rewrite: {uri: /b}"), "routes/0/route/prefix_rewrite", "\"/b\"");
	assert_web_is(RULE("rewrite: {uri: /}"), "routes/0/route/prefix_rewrite", "\"/\"");
	assert_web_is(RULE("rewrite: {authority: b.test}"), "routes/0/route/host_rewrite_literal", "\"b.test\"");
	assert_web_is(RULE("rewrite: {authority: b.test}"), "routes/0/route/prefix_rewrite", "");
	assert_web_is(RULE("rewrite: {uriRegexRewrite: {match: '^/a(.*)', rewrite: '/b\\1'}}"),
		      "routes/0/route/regex_rewrite",
		      "{\"pattern\":{\"regex\":\"^/a(.*)\"},\"substitution\":\"/b\\\\1\"}");
}

// The rewrite wins, then what the route's headers say, then what those of its only destination say.
static void authority(void **state)
{
	(void)state;
#define DESTINATION "route: [{destination: {host: web}, headers: {request: {set: {':authority': dest}}}}]"
	assert_web_is("[{" DESTINATION "}]", "routes/0/route/host_rewrite_literal", "\"dest\"");
	assert_web_is("[{" DESTINATION ", headers: {request: {set: {Host: route}}}}]",
		      "routes/0/route/host_rewrite_literal", "\"route\"");
	assert_web_is("[{" DESTINATION ", headers: {request: {set: {host: route}}}, rewrite: {authority: rewrite}}]",
		      "routes/0/route/host_rewrite_literal", "\"rewrite\"");
	assert_web_is("[{" DESTINATION ", rewrite: {authority: rewrite}}]", "routes/0/route/host_rewrite_literal",
		      "\"rewrite\"");
	assert_web_is(RULE("headers: {request: {add: {host: added}}}"), "routes/0/route/host_rewrite_literal",
		      "\"added\"");
	assert_web_is(RULE("headers: {request: {add: {host: added}, set: {host: set}}}"),
		      "routes/0/route/host_rewrite_literal", "\"set\"");
	assert_web_is("[{" DESTINATION "}]", "routes/0/request_headers_to_add", "");
#undef DESTINATION
}

static void header_operations(void **state)
{
	struct fixture f;
	(void)state;
	web_init(&f, "[{route: [{destination: {host: web}, headers: {request: {add: {z: '9'}, remove: [zz]}}}], "
		     "headers: {request: {set: {b: '1', a: '2'}, add: {d: '3', c: '4'}, "
		     "remove: [e, Host]}, response: {set: {s: '5'}, remove: [r]}}}]");
	assert_web(&f, "routes/0/request_headers_to_add/0",
		   "{\"header\":{\"key\":\"a\",\"value\":\"2\"},\"append_action\":\"OVERWRITE_IF_EXISTS_OR_ADD\"}");
	assert_web(&f, "routes/0/request_headers_to_add/1/header/key", "\"b\"");
	// Added ones behind those set. Appending is the default action, so not written.
	assert_web(&f, "routes/0/request_headers_to_add/2", "{\"header\":{\"key\":\"c\",\"value\":\"4\"}}");
	assert_web(&f, "routes/0/request_headers_to_add/3/header/key", "\"d\"");
	// Those of the only destination go to the route, behind its own.
	assert_web(&f, "routes/0/request_headers_to_add/4/header/key", "\"z\"");
	assert_web(&f, "routes/0/request_headers_to_add/5", "");
	assert_web(&f, "routes/0/request_headers_to_remove", "[\"e\",\"zz\"]");
	assert_web(&f, "routes/0/response_headers_to_add/0/header", "{\"key\":\"s\",\"value\":\"5\"}");
	assert_web(&f, "routes/0/response_headers_to_remove", "[\"r\"]");
	fixture_free(&f);
}

static void mirrors(void **state)
{
	struct fixture f;
	(void)state;
	web_init(&f, RULE("mirror: {host: web, subset: v2}, mirrorPercentage: {value: 0.57}"));
	assert_web(&f, "routes/0/route/request_mirror_policies/0/cluster", "\"outbound|80|v2|" WEB "\"");
	// 0.57 * 10000 is a little less than 5700: cut off, as istiod does.
	assert_web(&f, "routes/0/route/request_mirror_policies/0/runtime_fraction/default_value",
		   "{\"numerator\":5699,\"denominator\":\"MILLION\"}");
	assert_web(&f, "routes/0/route/request_mirror_policies/0/trace_sampled", "false");
	assert_web(&f, "routes/0/route/request_mirror_policies/0/disable_shadow_host_suffix_append", "true");
	fixture_free(&f);
	web_init(&f, RULE("mirrors: [{destination: {host: web}}, {destination: {host: web}, percentage: {value: 0}}, "
			  "{destination: {host: other}, percentage: {value: 100}}]"));
	assert_web(&f, "routes/0/route/request_mirror_policies/0/runtime_fraction/default_value",
		   "{\"numerator\":100}");
	assert_web(&f, "routes/0/route/request_mirror_policies/1/cluster",
		   "\"outbound|80||other.default.svc.cluster.local\"");
	assert_web(&f, "routes/0/route/request_mirror_policies/2", "");
	fixture_free(&f);
	assert_web_is(RULE("mirror: {host: web}, mirrorPercent: 7"),
		      "routes/0/route/request_mirror_policies/0/runtime_fraction/default_value", "{\"numerator\":7}");
	assert_web_is(RULE("mirror: {host: web}, mirrorPercent: 0"), "routes/0/route/request_mirror_policies", "");
	assert_web_is(RULE("mirror: {host: web}, mirrorPercentage: {value: 0}, mirrorPercent: 7"),
		      "routes/0/route/request_mirror_policies", "");
}

static void redirects(void **state)
{
	static const struct {
		const char *redirect, *want;
	} cases[] = {
		{"{}", "{\"path_redirect\":\"\"}"},
		{"{uri: /b, authority: b.test}", "{\"host_redirect\":\"b.test\",\"path_redirect\":\"/b\"}"},
		{"{redirectCode: 302}", "{\"path_redirect\":\"\",\"response_code\":\"FOUND\"}"},
		{"{redirectCode: 303}", "{\"path_redirect\":\"\",\"response_code\":\"SEE_OTHER\"}"},
		{"{redirectCode: 307}", "{\"path_redirect\":\"\",\"response_code\":\"TEMPORARY_REDIRECT\"}"},
		{"{redirectCode: 308}", "{\"path_redirect\":\"\",\"response_code\":\"PERMANENT_REDIRECT\"}"},
		{"{port: 8080, scheme: https}",
		 "{\"path_redirect\":\"\",\"scheme_redirect\":\"https\",\"port_redirect\":8080}"},
		// A port that the scheme implies is left out.
		{"{port: 443, scheme: https}", "{\"path_redirect\":\"\",\"scheme_redirect\":\"https\"}"},
		{"{port: 80}", "{\"path_redirect\":\"\"}"},
		{"{port: 443}", "{\"path_redirect\":\"\",\"port_redirect\":443}"},
		{"{derivePort: FROM_REQUEST_PORT, scheme: https}",
		 "{\"path_redirect\":\"\",\"scheme_redirect\":\"https\",\"port_redirect\":80}"},
		{"{derivePort: FROM_REQUEST_PORT}", "{\"path_redirect\":\"\"}"},
		{"{derivePort: FROM_PROTOCOL_DEFAULT, scheme: https}",
		 "{\"path_redirect\":\"\",\"scheme_redirect\":\"https\"}"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture f;
		struct pd_buf b = {0};
		pd_buf_printf(&b, "[{redirect: %s}]", cases[i].redirect);
		web_init(&f, b.p);
		assert_web(&f, "routes/0/redirect", cases[i].want);
		assert_web(&f, "routes/0/decorator/operation", "\"rules:80/*\"");
		fixture_free(&f);
		pd_buf_free(&b);
	}
}

static void direct_responses(void **state)
{
	(void)state;
	assert_web_is("[{directResponse: {status: 503}}]", "routes/0/direct_response", "{\"status\":503}");
	assert_web_is("[{directResponse: {status: 200, body: {string: hi}}}]", "routes/0/direct_response",
		      "{\"status\":200,\"body\":{\"inline_string\":\"hi\"}}");
	assert_web_is("[{directResponse: {status: 200, body: {bytes: aGk=}}}]", "routes/0/direct_response",
		      "{\"status\":200,\"body\":{\"inline_bytes\":\"aGk=\"}}");
	assert_web_is("[{directResponse: {status: 200}, headers: {response: {set: {a: b}}}}]",
		      "routes/0/response_headers_to_add/0/header", "{\"key\":\"a\",\"value\":\"b\"}");
}

static void operations(void **state)
{
	(void)state;
	assert_web_is("[{match: [{uri: {prefix: /a}}], " GO "}]", "routes/0/decorator/operation", "\"" WEB ":80/a*\"");
	assert_web_is("[{match: [{uri: {exact: /a}}], " GO "}]", "routes/0/decorator/operation", "\"" WEB ":80/a\"");
	assert_web_is("[{match: [{uri: {regex: '/a.?'}}], " GO "}]", "routes/0/decorator/operation",
		      "\"" WEB ":80/a.?\"");
}

// Made from the Gateway API: what goes with a backend that is missing, and a rewrite that takes the prefix away.
static void gateway_api(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(
		&f, "",
		SVC("default", "web", "10.0.0.1",
		    HTTP_80) "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: r, namespace: "
			     "default, annotations: {internal.istio.io/route-semantics: gateway}}\nspec: {hosts: [" WEB
			     "], http: ["
			     "{match: [{uri: {prefix: /a.b}}], rewrite: {uri: /}, route: [{destination: {host: " WEB
			     "}}]}, "
			     "{match: [{uri: {prefix: /c}}], rewrite: {uri: /d}, route: [{destination: {host: UnknownService}}]}, "
			     "]}\n");
	assert_web(&f, "routes/0/route/regex_rewrite",
		   "{\"pattern\":{\"regex\":\"^/a\\\\.b(/?)(.*)\"},\"substitution\":\"/\\\\2\"}");
	assert_web(&f, "routes/0/route/cluster_not_found_response_code", "\"INTERNAL_SERVER_ERROR\"");
	assert_web(&f, "routes/0/decorator/operation", "\"" WEB ":80/*\"");
	assert_web(&f, "routes/1/route/prefix_rewrite", "\"/d\"");
	assert_web(&f, "routes/1/route/cluster", "\"UnknownService\"");
	fixture_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_destination),  cmocka_unit_test(several_destinations),
		cmocka_unit_test(nowhere),          cmocka_unit_test(without_host),
		cmocka_unit_test(timeouts),         cmocka_unit_test(rewrites),
		cmocka_unit_test(authority),        cmocka_unit_test(header_operations),
		cmocka_unit_test(mirrors),          cmocka_unit_test(redirects),
		cmocka_unit_test(direct_responses), cmocka_unit_test(operations),
		cmocka_unit_test(gateway_api),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
