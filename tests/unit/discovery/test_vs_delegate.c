// Delegates of VirtualServices: who may be one, how matches and fields are put together, what is reported.
#include "tests/unit/discovery/route_fixture.h"

#define WEB SVC("default", "web", "10.0.0.1", HTTP_80)
#define ROOT(http) VS("default", "root", "00", "{hosts: [web], http: " http "}")
#define GO "route: [{destination: {host: web.default.svc.cluster.local}}]"
#define RATINGS(ns) "\"outbound|80||ratings." ns ".svc.cluster.local\""

static void fields(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "",
		     WEB ROOT("[{name: root, delegate: {name: part, namespace: team}, timeout: 9s, fault: {abort: "
			      "{httpStatus: 500}}, headers: {request: {set: {r: '1'}}}, retries: {attempts: 3}}, "
			      "{name: last, " GO "}]")
			     VS("team", "part", "01",
				"{http: [{name: a, match: [{uri: {prefix: /a}}], " GO
				", timeout: 2s, headers: {request: {set: {d: '2'}}}}, "
				"{match: [{uri: {prefix: /b}}], " GO ", corsPolicy: {allowMethods: [GET]}}]}"));
	assert_web(&f, "routes/0/name", "\"root-a\"");
	assert_web(&f, "routes/0/match/prefix", "\"/a\"");
	// The delegate's fields win, each as a whole; the root's fill.
	assert_web(&f, "routes/0/route/timeout", "\"2s\"");
	assert_web(&f, "routes/0/request_headers_to_add/0/header/key", "\"d\"");
	assert_web(&f, "routes/0/request_headers_to_add/1", "");
	assert_web(&f, "routes/0/route/retry_policy/num_retries", "3");
	assert_web(&f, "routes/0/typed_per_filter_config/envoy.filters.http.fault/abort/http_status", "500");
	assert_web(&f, "routes/1/name", "\"root\"");
	assert_web(&f, "routes/1/route/timeout", "\"9s\"");
	assert_web(&f, "routes/1/request_headers_to_add/0/header/key", "\"r\"");
	assert_web(&f, "routes/1/typed_per_filter_config/envoy.filters.http.cors/allow_methods", "\"GET\"");
	assert_web(&f, "routes/2/name", "\"last\"");
	// They are routes of the root.
	assert_web(&f, "routes/0/metadata/filter_metadata/istio/config",
		   "\"/apis/networking.istio.io/v1/namespaces/default/virtual-service/root\"");
	assert_true(fixture_used(&f, PD_KIND_VIRTUAL_SERVICE, "default", "root"));
	assert_true(fixture_used(&f, PD_KIND_VIRTUAL_SERVICE, "team", "part"));
	assert_true(fixture_depends(&f, PD_INDEX_OBJECT, "VirtualService/Kubernetes/team/part"));
	assert_int_equal(pd_issues_count(f.issues), 0);
	fixture_free(&f);
}

// The match of the only route, for one match of the root and one of the delegate; "" if they conflict.
static void expect_match(const char *root, const char *leaf, const char *want)
{
	struct fixture f;
	struct pd_buf b = {0};
	pd_buf_printf(&b,
		      "%s---\napiVersion: networking.istio.io/v1\nkind: VirtualService\n"
		      "metadata: {name: root, namespace: default}\n"
		      "spec: {hosts: [web], http: [{delegate: {name: part}, match: [%s]}]}\n"
		      "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\n"
		      "metadata: {name: part, namespace: default}\nspec: {http: [{match: [%s], " GO "}]}\n",
		      WEB, root, leaf);
	fixture_init(&f, "", b.p);
	// Without routes of its own the service has the default route.
	assert_web(&f, *want ? "routes/0/match" : "routes/0/name", *want ? want : "\"default\"");
	assert_int_equal(pd_issues_count(f.issues), !*want);
	fixture_free(&f);
	pd_buf_free(&b);
}

static void paths(void **state)
{
	(void)state;
	expect_match("{uri: {prefix: /a}}", "{uri: {prefix: /a/b}}", "{\"prefix\":\"/a/b\",\"case_sensitive\":true}");
	expect_match("{uri: {prefix: /a}}", "{uri: {exact: /a/b}}", "{\"path\":\"/a/b\",\"case_sensitive\":true}");
	expect_match("{uri: {prefix: /a}}", "{uri: {prefix: /b}}", "");
	expect_match("{uri: {prefix: /a/b}}", "{uri: {prefix: /a}}", "");
	expect_match("{uri: {exact: /a}}", "{uri: {exact: /a}}", "{\"path\":\"/a\",\"case_sensitive\":true}");
	expect_match("{uri: {exact: /a}}", "{uri: {prefix: /a}}", "");
	expect_match("{uri: {exact: /a}}", "{uri: {exact: /b}}", "");
	// Regular expressions cannot be compared, not even equal ones.
	expect_match("{uri: {regex: '/a'}}", "{uri: {regex: '/a'}}", "");
	expect_match("{uri: {prefix: /a}}", "{uri: {regex: '/a'}}", "");
	expect_match(
		"{uri: {regex: '/a'}}", "{method: {exact: GET}}",
		"{\"case_sensitive\":true,\"headers\":[{\"name\":\":method\",\"string_match\":{\"exact\":\"GET\"}}],"
		"\"safe_regex\":{\"regex\":\"/a\"}}");
	expect_match("{uri: {prefix: /a}, ignoreUriCase: true}", "{uri: {prefix: /a}}", "");
}

static void other_parts(void **state)
{
	(void)state;
	expect_match(
		"{headers: {a: {exact: '1'}, c: {exact: '3'}}}", "{headers: {b: {exact: '2'}, a: {exact: '1'}}}",
		"{\"prefix\":\"/\",\"case_sensitive\":true,\"headers\":["
		"{\"name\":\"a\",\"string_match\":{\"exact\":\"1\"}},{\"name\":\"b\",\"string_match\":{\"exact\":\"2\"}},"
		"{\"name\":\"c\",\"string_match\":{\"exact\":\"3\"}}]}");
	expect_match("{headers: {a: {exact: '1'}}}", "{headers: {a: {exact: '2'}}}", "");
	expect_match("{withoutHeaders: {a: {exact: '1'}}}", "{withoutHeaders: {a: {exact: '2'}}}", "");
	expect_match("{queryParams: {q: {prefix: x}}}", "{queryParams: {q: {exact: w}}}", "");
	expect_match("{queryParams: {q: {prefix: x}}}", "{queryParams: {q: {exact: xy}}}",
		     "{\"prefix\":\"/\",\"case_sensitive\":true,"
		     "\"query_parameters\":[{\"name\":\"q\",\"string_match\":{\"exact\":\"xy\"}}]}");
	expect_match("{method: {exact: GET}}", "{method: {exact: POST}}", "");
	expect_match("{authority: {prefix: a}}", "{authority: {exact: b}}", "");
	expect_match("{scheme: {exact: http}}", "{scheme: {exact: https}}", "");
	expect_match("{port: 80}", "{port: 81}", "");
	expect_match("{port: 80}", "{uri: {exact: /}}", "{\"path\":\"/\",\"case_sensitive\":true}");
	expect_match("{sourceLabels: {a: b}}", "{sourceLabels: {a: c}}", "");
	expect_match("{sourceNamespace: default}", "{sourceNamespace: default, uri: {exact: /}}",
		     "{\"path\":\"/\",\"case_sensitive\":true}");
	// A delegate that names no namespace is not within one: istiod's rule.
	expect_match("{sourceNamespace: default}", "{uri: {exact: /}}", "");
	expect_match("{gateways: [mesh]}", "{gateways: [mesh, other/gw]}", "");
	expect_match("{gateways: [mesh, gw]}", "{gateways: [default/gw, mesh], uri: {exact: /}}",
		     "{\"path\":\"/\",\"case_sensitive\":true}");
	expect_match("{gateways: [mesh]}", "{uri: {exact: /}}", "{\"path\":\"/\",\"case_sensitive\":true}");
}

// Every match of the delegate has to be within one of the root: else the route drops out as a whole.
static void several_matches(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(
		&f, "",
		WEB ROOT(
			"[{name: r, delegate: {name: part}, match: [{name: m1, uri: {prefix: /a}}, {uri: {prefix: /a/b}}]}]")
			VS("default", "part", "01",
			   "{http: [{match: [{uri: {prefix: /a}}, {uri: {prefix: /x}}], " GO "}, "
			   "{name: two, match: [{name: m2, uri: {prefix: /a/b/c}}], " GO "}]}"));
	assert_web(&f, "routes/0/name", "\"r-two.m1-m2\"");
	assert_web(&f, "routes/1/name", "\"r-two.m2\"");
	assert_web(&f, "routes/2", "");
	assert_true(route_reported(&f, "http[0] matches what default/root does not hand over"));
	fixture_free(&f);
	// A delegate without match takes all of the root's.
	fixture_init(&f, "",
		     WEB ROOT("[{delegate: {name: part}, match: [{uri: {prefix: /a}}, {uri: {prefix: /b}}]}]")
			     VS("default", "part", "01", "{http: [{" GO "}]}"));
	assert_web(&f, "routes/0/match/prefix", "\"/a\"");
	assert_web(&f, "routes/1/match/prefix", "\"/b\"");
	fixture_free(&f);
}

// Short names mean services of the namespace in which they are written.
static void short_names(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "",
		     WEB ROOT("[{delegate: {name: part, namespace: team}, mirrors: [{destination: {host: ratings}}]}]")
			     VS("team", "part", "01",
				"{http: [{match: [{uri: {exact: /own}}], route: [{destination: {host: ratings}}], "
				"mirror: {host: ratings}}, {route: [{destination: {host: ratings}, weight: 1}, "
				"{destination: {host: ratings.far}, weight: 1}]}]}"));
	assert_web(&f, "routes/0/route/cluster", RATINGS("team"));
	assert_web(&f, "routes/0/route/request_mirror_policies/0/cluster", RATINGS("team"));
	assert_web(&f, "routes/1/route/weighted_clusters/clusters/0/name", RATINGS("team"));
	assert_web(&f, "routes/1/route/weighted_clusters/clusters/1/name", "\"outbound|80||ratings.far\"");
	assert_web(&f, "routes/1/route/request_mirror_policies/0/cluster", RATINGS("default"));
	fixture_free(&f);
}

static void expect_refused(const char *mesh, const char *part, const char *reason)
{
	struct fixture f;
	struct pd_buf b = {0};
	pd_buf_printf(&b, "%s%s", WEB ROOT("[{delegate: {name: part, namespace: team}}, {name: last, " GO "}]"), part);
	fixture_init(&f, mesh, b.p);
	assert_web(&f, "routes/0/name", *reason ? "\"last\"" : "");
	if (*reason)
		assert_true(route_reported(&f, reason));
	else
		assert_int_equal(pd_issues_count(f.issues), 0);
	// It may be put right by another object alone.
	assert_true(fixture_depends(&f, PD_INDEX_OBJECT, "VirtualService/Kubernetes/team/part"));
	fixture_free(&f);
	pd_buf_free(&b);
}

static void who_may_be_a_delegate(void **state)
{
#define PART(rest) VS("team", "part", "01", "{http: [{" GO "}]" rest "}")
	(void)state;
	expect_refused("", PART(""), "");
	expect_refused("", PART(", exportTo: [default]"), "");
	expect_refused("", PART(", exportTo: ['*']"), "");
	expect_refused("", PART(", exportTo: ['.']"), "is not exported to default");
	expect_refused("", PART(", exportTo: [other]"), "is not exported to default");
	expect_refused("defaultVirtualServiceExportTo: ['.']", PART(""), "is not exported to default");
	expect_refused("defaultVirtualServiceExportTo: ['.']", PART(", exportTo: ['*']"), "");
	expect_refused("", "", "there is no VirtualService team/part");
	expect_refused("", VS("team", "part", "01", "{hosts: [x.test], http: [{" GO "}]}"), "has hosts");
}

static void one_level_only(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "",
		     WEB ROOT("[{delegate: {name: part}}]")
			     VS("default", "part", "01", "{http: [{delegate: {name: deeper}}, {name: last, " GO "}]}")
				     VS("default", "deeper", "02", "{http: [{" GO "}]}"));
	assert_web(&f, "routes/0/name", "\"last\"");
	assert_true(route_reported(&f, "a delegate cannot delegate"));
	fixture_free(&f);
}

// A delegate has no hosts, so it governs nothing by itself.
static void alone(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "", WEB VS("default", "part", "01", "{http: [{name: x, " GO "}]}"));
	assert_web(&f, "routes/0/name", "\"default\"");
	fixture_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields),         cmocka_unit_test(paths),
		cmocka_unit_test(other_parts),    cmocka_unit_test(several_matches),
		cmocka_unit_test(short_names),    cmocka_unit_test(who_may_be_a_delegate),
		cmocka_unit_test(one_level_only), cmocka_unit_test(alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
