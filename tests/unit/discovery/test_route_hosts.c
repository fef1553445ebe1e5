// Which virtual hosts a host contributes to which route configurations of sidecars.
#include "tests/unit/discovery/route_fixture.h"

#define WEB "web.default.svc.cluster.local"
#define WEB_SVC SVC("default", "web", "10.0.0.1", HTTP_80)
#define DB "db.default.svc.cluster.local"
#define DB_SVC SVC("default", "db", "10.0.0.2", "{name: http, port: 9000}")
#define TCP_SVC SVC("default", "raw", "10.0.0.3", "{name: tcp, port: 9000}")

static bool has(struct fixture *f, const char *host, const char *route_name)
{
	return route_vhost(f, host, route_name) != NULL;
}

static size_t count(struct fixture *f, const char *host)
{
	struct pd_vhost_vec out = {0};
	pd_build_host_routes(fixture_scope(f), host, &out);
	return out.n;
}

// ---- services ----------------------------------------------------------------------------------------------------------------

static void by_port_and_protocol(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(
		&f, "",
		SVC("default", "web", "10.0.0.1",
		    "{name: http, port: 80}, {name: grpc, port: 81}, {name: tcp, port: 82}, {name: https, port: 83}, "
		    "{name: x, port: 84}, {name: udp, port: 85, protocol: UDP}, {name: http2, port: 86}"));
	assert_true(has(&f, WEB, "80"));
	assert_true(has(&f, WEB, "81"));
	assert_false(has(&f, WEB, "82"));
	assert_false(has(&f, WEB, "83"));
	assert_true(has(&f, WEB, "84"));
	assert_true(has(&f, WEB, WEB ":84")); // detected: its listener is its own
	assert_false(has(&f, WEB, "85"));
	assert_true(has(&f, WEB, "86"));
	assert_int_equal(count(&f, WEB), 5);
	assert_route(&f, WEB, "81", "name", "\"" WEB ":81\"");
	assert_route(&f, WEB, "81", "routes/0/route/cluster", "\"outbound|81||" WEB "\"");
	assert_route(&f, WEB, "81", "routes/0/decorator/operation", "\"" WEB ":81/*\"");
	assert_route(&f, WEB, WEB ":84", "domains", "[\"*\"]");
	assert_route(&f, WEB, WEB ":84", "name", "\"" WEB ":84\"");
	fixture_free(&f);
}

// Of two ports with one number the first counts.
static void same_number_twice(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "",
		     SVC("default", "web", "10.0.0.1",
			 "{name: udp, port: 80, protocol: UDP}, {name: http, port: 80}, {name: http-a, port: 81}, "
			 "{name: http-b, port: 81, protocol: UDP}"));
	assert_false(has(&f, WEB, "80"));
	assert_true(has(&f, WEB, "81"));
	fixture_free(&f);
}

static void headless_and_detected(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "", SVC("default", "web", "None", "{name: x, port: 80}"));
	assert_true(has(&f, WEB, WEB ":80")); // for the listeners on the addresses of its pods
	fixture_free(&f);
}

// One VirtualService governs all of its services, on each of their ports.
static void every_port(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "",
		     SVC("default", "web", "10.0.0.1", HTTP_80 ", {name: x, port: 81}")
			     VS("default", "a", "00",
				"{hosts: [web], http: [{name: it, route: [{destination: {host: web}}]}]}"));
	assert_route(&f, WEB, "80", "routes/0/name", "\"it\"");
	assert_route(&f, WEB, "81", "routes/0/name", "\"it\"");
	assert_route(&f, WEB, WEB ":81", "routes/0/name", "\"it\"");
	assert_route(&f, WEB, "81", "routes/0/route/cluster", "\"outbound|81||" WEB "\"");
	fixture_free(&f);
}

// ---- destinations ---------------------------------------------------------------------------------------------------------------

// A listener knows the services that have its port, and of these that port alone.
static void port_of_a_destination(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "",
		     WEB_SVC DB_SVC ALIAS("default", "alias", WEB) VS(
			     "default", "a", "00",
			     "{hosts: [web], http: [{match: [{uri: {exact: /1}}], route: [{destination: {host: db}}]}, "
			     "{match: [{uri: {exact: /2}}], route: [{destination: {host: db, port: {number: 9000}}}]}, "
			     "{match: [{uri: {exact: /3}}], route: [{destination: {host: alias}}]}, "
			     "{route: [{destination: {host: nosuch}}]}]}"));
	assert_web(&f, "routes/0/route/cluster", "\"outbound|80||" DB "\"");
	assert_web(&f, "routes/1/route/cluster", "\"outbound|9000||" DB "\"");
	assert_web(&f, "routes/2/route/cluster", "\"outbound|80||" WEB "\"");
	assert_web(&f, "routes/3/route/cluster", "\"outbound|80||nosuch.default.svc.cluster.local\"");
	// Services that may come later count.
	assert_true(fixture_depends(&f, PD_IX_SERVICE, "nosuch.default.svc.cluster.local"));
	fixture_free(&f);
}

// Gateways look at all ports of a service.
static void port_of_a_destination_at_a_gateway(void **state)
{
	static const char *const gateway = "default/gw";
	struct pd_route_vec routes = {0};
	struct fixture f;
	(void)state;
	fixture_init(&f, "", DB_SVC VS("default", "a", "00", "{hosts: [a.test], gateways: [gw], http: " TO("db") "}"));
	f.key.type = PD_NODE_ROUTER;
	struct pd_vs_list list = tx_gateway_vs(fixture_scope(&f), gateway);
	struct pd_route_ctx ctx = {.tx = &f.tx, .vs = list.v[0], .port = 80, .gateways = &gateway, .n_gateways = 1};
	pd_routes_build(&ctx, &routes);
	assert_json(&f, routes.v[0], "route/cluster", "\"outbound|9000||" DB "\"");
	fixture_free(&f);
}

// ---- bare hosts ------------------------------------------------------------------------------------------------------------------

// On port 80 every host of a VirtualService appears, be it known or not.
static void port_80(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "", DB_SVC VS("default", "a", "00", "{hosts: [a.test, db, short], http: " TO("db") "}"));
	assert_true(has(&f, "a.test", "80"));
	assert_route(&f, "a.test", "80", "domains", "[\"a.test\"]");
	assert_route(&f, "a.test", "80", "name", "\"a.test:80\"");
	assert_true(has(&f, "short.default.svc.cluster.local", "80"));
	// A service without port 80 by its full name only.
	assert_route(&f, DB, "80", "domains", "[\"" DB "\"]");
	assert_true(has(&f, DB, "9000"));
	fixture_free(&f);
}

// Elsewhere those of a VirtualService that governs a service with the port.
static void other_ports(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "",
		     WEB_SVC DB_SVC TCP_SVC VS("default", "a", "00",
					       "{hosts: [a.test, db, web, raw], http: " TO("db") "}")
			     VS("default", "b", "01", "{hosts: [b.test, raw], http: " TO("db") "}"));
	assert_true(has(&f, "a.test", "9000"));
	assert_true(has(&f, "a.test", "80"));
	assert_true(has(&f, WEB, "9000")); // bare there
	assert_route(&f, WEB, "9000", "domains", "[\"" WEB "\"]");
	// A service with the port is none that is bare on it, whatever its protocol is.
	assert_false(has(&f, "raw.default.svc.cluster.local", "9000"));
	assert_true(has(&f, "raw.default.svc.cluster.local", "80"));
	// It governs no service with HTTP.
	assert_false(has(&f, "b.test", "9000"));
	assert_true(has(&f, "b.test", "80"));
	fixture_free(&f);
}

static void several_name_a_bare_host(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(
		&f, "",
		DB_SVC VS(
			"default", "a", "00",
			"{hosts: [a.test], http: [{name: a, match: [{port: 80}], route: [{destination: {host: db}}]}]}")
			VS("default", "b", "01",
			   "{hosts: [a.test, db], http: [{name: b, route: [{destination: {host: db}}]}]}"));
	assert_route(&f, "a.test", "80", "routes/0/name", "\"a\"");
	assert_route(&f, "a.test", "9000", "routes/0/name", "\"b\"");
	fixture_free(&f);
}

// A VirtualService's wildcard that covers a service governs it, so that its other hosts appear on that port.
static void governed_by_wildcard(void **state)
{
#define STAR "'*.default.svc.cluster.local'"
	struct fixture f;
	(void)state;
	fixture_init(&f, "", DB_SVC VS("default", "a", "00", "{hosts: [a.test, " STAR "], http: " TO("db") "}"));
	assert_true(has(&f, "a.test", "9000"));
	fixture_free(&f);
	// Unless a better one does.
	fixture_init(&f, "",
		     DB_SVC VS("default", "a", "00", "{hosts: [a.test, " STAR "], http: " TO("db") "}")
			     VS("default", "b", "01", "{hosts: [db], http: " TO("db") "}"));
	assert_false(has(&f, "a.test", "9000"));
	fixture_free(&f);
}

static void wildcard_hosts(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "",
		     WEB_SVC VS("default", "a", "00", "{hosts: ['*.a.test'], http: " TO("web") "}")
			     VS("default", "b", "01", "{hosts: ['*.default.svc.cluster.local'], http: " TO("web") "}"));
	assert_route(&f, "*.a.test", "80", "domains", "[\"*.a.test\"]");
	assert_true(fixture_depends(&f, PD_IX_SERVICE, "")); // until a service comes that it covers
	// It stands for the services that it covers.
	assert_false(has(&f, "*.default.svc.cluster.local", "80"));
	fixture_free(&f);
	// On a port where it covers none it is a name.
	fixture_init(&f, "", DB_SVC VS("default", "a", "00", "{hosts: [" STAR ", a.test], http: " TO("db") "}"));
	assert_true(has(&f, "*.default.svc.cluster.local", "80"));
	assert_false(has(&f, "*.default.svc.cluster.local", "9000"));
	fixture_free(&f);
}

// A VirtualService of an alias has a virtual host for it; without one its names are domains of the target.
static void aliases(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "",
		     WEB_SVC ALIAS("default", "www", WEB) ALIAS("default", "plain", WEB)
			     VS("default", "a", "00",
				"{hosts: [www], http: [{name: it, route: [{destination: {host: web}}]}]}"));
	assert_route(&f, "www.default.svc.cluster.local", "80", "routes/0/name", "\"it\"");
	assert_int_equal(count(&f, "plain.default.svc.cluster.local"), 0);
	fixture_free(&f);
}

static void nothing(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(
		&f, "",
		WEB_SVC VS("other", "a", "00",
			   "{hosts: [a.test], exportTo: ['.'], http: " TO(
				   "web") "}") VS("default", "b", "00",
						  "{hosts: [b.test], gateways: [gw], http: " TO("web") "}")
			VS("default", "c", "00",
			   "{hosts: [c.test], http: [{match: [{port: 81}], route: [{destination: {host: web}}]}]}"));
	assert_int_equal(count(&f, "a.test"), 0);
	assert_int_equal(count(&f, "b.test"), 0);
	assert_int_equal(count(&f, "c.test"), 0);
	assert_int_equal(count(&f, "nosuch.test"), 0);
	fixture_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_port_and_protocol),
		cmocka_unit_test(same_number_twice),
		cmocka_unit_test(headless_and_detected),
		cmocka_unit_test(every_port),
		cmocka_unit_test(port_of_a_destination),
		cmocka_unit_test(port_of_a_destination_at_a_gateway),
		cmocka_unit_test(port_80),
		cmocka_unit_test(other_ports),
		cmocka_unit_test(several_name_a_bare_host),
		cmocka_unit_test(governed_by_wildcard),
		cmocka_unit_test(wildcard_hosts),
		cmocka_unit_test(aliases),
		cmocka_unit_test(nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
