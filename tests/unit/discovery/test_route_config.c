// Route configurations of sidecars but for the hosts in them: head, catch-all, the HTTP proxy's, header policies.
#include "tests/unit/discovery/route_fixture.h"

#define WEB "web.default.svc.cluster.local"
#define WEB_SVC SVC("default", "web", "10.0.0.1", HTTP_80)
#define CATCH_ALL(name) "{\"name\":\"" name "\",\"domains\":[\"*\"],\"routes\":[{\"match\":{\"prefix\":\"/\"},"

static const char *catch_all(struct fixture *f, const char *route_name)
{
	EnvVirtualHost *vh = pd_build_catch_all(fixture_scope(f), route_name);
	return vh ? fixture_json(f, vh) : "";
}

static void expect_catch_all(const char *mesh, const char *want)
{
	struct fixture f;
	fixture_init(&f, mesh, "");
	assert_string_equal(catch_all(&f, "80"), want);
	assert_string_equal(catch_all(&f, "http_proxy"), want);
	assert_string_equal(catch_all(&f, WEB ":80"), ""); // has one virtual host, for everything
	f.key.type = PD_NODE_ROUTER;
	assert_string_equal(catch_all(&f, "80"), "");
	fixture_free(&f);
}

static void everything_else(void **state)
{
	(void)state;
	expect_catch_all("", CATCH_ALL("allow_any") "\"route\":{\"cluster\":\"PassthroughCluster\",\"timeout\":\"0s\","
						    "\"max_grpc_timeout\":\"0s\"},\"name\":\"allow_any\"}],"
						    "\"include_request_attempt_count\":true}");
	expect_catch_all("outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS}",
			 CATCH_ALL("allow_any_dynamic_dns") "\"route\":{\"cluster\":\"AllowAnyDynamicDNSCluster\","
							    "\"timeout\":\"0s\",\"max_grpc_timeout\":\"0s\"},"
							    "\"name\":\"allow_any_dynamic_dns\"}],"
							    "\"include_request_attempt_count\":true}");
	expect_catch_all("outboundTrafficPolicy: {mode: REGISTRY_ONLY}",
			 CATCH_ALL("block_all") "\"direct_response\":{\"status\":502},\"name\":\"block_all\"}],"
						"\"include_request_attempt_count\":true}");
}

static void head(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "", "");
	assert_string_equal(fixture_json(&f, pd_build_route_head(fixture_scope(&f), "80")),
			    "{\"name\":\"80\",\"validate_clusters\":false,"
			    "\"max_direct_response_body_size_bytes\":1048576,\"ignore_port_in_host_matching\":true}");
	fixture_free(&f);
}

// ---- ProxyConfig.proxyHeaders ---------------------------------------------------------------------------------------------------

#define REWRITE                                                                                                        \
	VS("default", "a", "00", "{hosts: [web], http: [{rewrite: {uri: /b}, route: [{destination: {host: web}}]}]}")

static void attempts(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "defaultConfig: {proxyHeaders: {attemptCount: {disabled: true}}}", WEB_SVC);
	assert_route(&f, WEB, "80", "include_request_attempt_count", "");
	assert_json(&f, pd_build_catch_all(fixture_scope(&f), "80"), "include_request_attempt_count", "");
	// What the proxy says stands for the mesh's as a whole.
	f.key.proxy_config = "{\"concurrency\":2}";
	assert_route(&f, WEB, "80", "include_request_attempt_count", "true");
	f.key.proxy_config = "{\"proxyHeaders\":{\"attemptCount\":{\"disabled\":true}}}";
	assert_route(&f, WEB, "80", "include_request_attempt_count", "");
	f.key.proxy_config = "";
	assert_route(&f, WEB, "80", "include_request_attempt_count", "");
	fixture_free(&f);
}

static void forwarded_host(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "defaultConfig: {proxyHeaders: {xForwardedHost: {enabled: true}}}",
		     WEB_SVC REWRITE SVC("default", "plain", "10.0.0.2", HTTP_80));
	assert_route(&f, WEB, "80", "routes/0/route/append_x_forwarded_host", "true");
	assert_route(&f, "plain.default.svc.cluster.local", "80", "routes/0/route/append_x_forwarded_host", "");
	assert_json(&f, pd_build_catch_all(fixture_scope(&f), "80"), "routes/0/route/append_x_forwarded_host", "true");
	f.key.proxy_config = "{\"concurrency\":2}";
	assert_route(&f, WEB, "80", "routes/0/route/append_x_forwarded_host", "");
	fixture_free(&f);
}

// ---- the HTTP proxy's configuration -----------------------------------------------------------------------------------------------

static void none_without_the_port(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "", WEB_SVC);
	assert_null(route_vhost(&f, WEB, "http_proxy"));
	fixture_free(&f);
}

// One virtual host for each port.
static void services_by_port(void **state)
{
	struct fixture f;
	struct pd_vhost_vec out = {0};
	EnvVirtualHost *vh[2];
	size_t n = 0;
	(void)state;
	fixture_init(&f, "proxyHttpPort: 15002",
		     SVC("default", "web", "10.0.0.1",
			 "{name: http-b, port: 8080}, " HTTP_80 ", {name: tcp, port: 82}"));
	f.key.dns_domain = "other.svc.cluster.local";
	pd_build_host_routes(fixture_scope(&f), WEB, &out);
	for (size_t i = 0; i < out.n; i++)
		if (pd_streq(out.v[i].route_name, "http_proxy"))
			vh[n++] = out.v[i].msg;
	assert_int_equal(n, 2);
	assert_json(&f, vh[0], "name", "\"" WEB ":8080\"");
	assert_json(&f, vh[0], "domains",
		    "[\"" WEB ":8080\",\"" WEB
		    ".:8080\",\"web.default:8080\",\"web.default.svc:8080\",\"10.0.0.1:8080\"]");
	assert_json(&f, vh[0], "routes/0/route/cluster", "\"outbound|8080||" WEB "\"");
	// Port 80 is what a name without port means.
	assert_json(&f, vh[1], "domains",
		    "[\"" WEB "\",\"" WEB ":80\",\"" WEB ".\",\"" WEB
		    ".:80\",\"web.default\",\"web.default:80\",\"web.default.svc\",\"web.default.svc:80\","
		    "\"10.0.0.1\",\"10.0.0.1:80\"]");
	fixture_free(&f);
}

// The listener has no port that matches could name; a destination's port is that of its only one.
static void rules(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(
		&f, "proxyHttpPort: 15002",
		WEB_SVC SVC("default", "db", "10.0.0.2", "{name: http, port: 9000}") VS(
			"default", "a", "00",
			"{hosts: [web, a.test], http: [{match: [{port: 80}], name: never, route: [{destination: {host: web}}]}, "
			"{name: it, route: [{destination: {host: db}}]}]}")
			VS("default", "b", "00", "{hosts: [b.test, db], http: " TO("db") "}"));
	assert_route(&f, WEB, "http_proxy", "routes/0/name", "\"it\"");
	assert_route(&f, WEB, "http_proxy", "routes/0/route/cluster",
		     "\"outbound|9000||db.default.svc.cluster.local\"");
	// A bare host means port 80: it appears with a VirtualService that governs a service there.
	assert_route(&f, "a.test", "http_proxy", "domains", "[\"a.test\"]");
	assert_null(route_vhost(&f, "b.test", "http_proxy"));
	fixture_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_else),
		cmocka_unit_test(head),
		cmocka_unit_test(attempts),
		cmocka_unit_test(forwarded_host),
		cmocka_unit_test(none_without_the_port),
		cmocka_unit_test(services_by_port),
		cmocka_unit_test(rules),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
