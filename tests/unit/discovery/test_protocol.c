#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "discovery/registry.h"

static void test_port_names(void **state)
{
	static const struct {
		const char *name;
		enum pd_protocol want;
	} cases[] = {
		{"http", PD_PROTO_HTTP},
		{"HTTP-web", PD_PROTO_HTTP},
		{"http2", PD_PROTO_HTTP2},
		{"http2-a-b", PD_PROTO_HTTP2},
		{"grpc", PD_PROTO_GRPC},
		{"grpc-api", PD_PROTO_GRPC},
		{"grpc-web", PD_PROTO_GRPC_WEB},
		{"Grpc-Web-x", PD_PROTO_GRPC_WEB},
		{"grpc-webby", PD_PROTO_GRPC_WEB},
		{"https", PD_PROTO_HTTPS},
		{"tls-x", PD_PROTO_TLS},
		{"tcp", PD_PROTO_TCP},
		{"mongo", PD_PROTO_MONGO},
		{"redis-1", PD_PROTO_REDIS},
		{"mysql", PD_PROTO_MYSQL},
		{"http_proxy", PD_PROTO_HTTP_PROXY},
		{"udp", PD_PROTO_UDP},
		{"hbone", PD_PROTO_SNIFF},
		{"httpx", PD_PROTO_SNIFF},
		{"web-http", PD_PROTO_SNIFF},
		{"", PD_PROTO_SNIFF},
		{NULL, PD_PROTO_SNIFF},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(pd_protocol_of("TCP", NULL, cases[i].name, 80), cases[i].want);
}

static void test_app_protocol_wins(void **state)
{
	(void)state;
	assert_int_equal(pd_protocol_of("TCP", "kubernetes.io/h2c", "http", 80), PD_PROTO_HTTP2);
	assert_int_equal(pd_protocol_of("TCP", "kubernetes.io/ws", "tcp", 80), PD_PROTO_HTTP);
	assert_int_equal(pd_protocol_of("TCP", "kubernetes.io/wss", "tcp", 80), PD_PROTO_HTTPS);
	assert_int_equal(pd_protocol_of("TCP", "grpc", "http", 80), PD_PROTO_GRPC);
	assert_int_equal(pd_protocol_of(NULL, "redis", NULL, 80), PD_PROTO_REDIS);
	assert_int_equal(pd_protocol_of("TCP", "example.com/x", "http", 80), PD_PROTO_SNIFF);
	// A port cannot have such a name, and it would not mean anything.
	assert_int_equal(pd_protocol_of("TCP", NULL, "kubernetes.io/h2c", 80), PD_PROTO_SNIFF);
}

static void test_transport_and_known_ports(void **state)
{
	(void)state;
	assert_int_equal(pd_protocol_of("UDP", "http", "http", 53), PD_PROTO_UDP);
	assert_int_equal(pd_protocol_of("TCP", NULL, "db", 3306), PD_PROTO_TCP);
	assert_int_equal(pd_protocol_of("TCP", NULL, "", 25), PD_PROTO_TCP);
	assert_int_equal(pd_protocol_of(NULL, NULL, NULL, 53), PD_PROTO_TCP);
	assert_int_equal(pd_protocol_of("TCP", NULL, "x", 27017), PD_PROTO_TCP);
	assert_int_equal(pd_protocol_of("TCP", NULL, "http", 3306), PD_PROTO_HTTP);
	assert_int_equal(pd_protocol_of("TCP", NULL, "x", 6379), PD_PROTO_SNIFF);
}

static void test_declared(void **state)
{
	(void)state;
	assert_int_equal(pd_protocol_parse("HTTP"), PD_PROTO_HTTP);
	assert_int_equal(pd_protocol_parse("GRPC-Web"), PD_PROTO_GRPC_WEB);
	assert_int_equal(pd_protocol_parse("HTTP_PROXY"), PD_PROTO_HTTP_PROXY);
	assert_int_equal(pd_protocol_parse("HBONE"), PD_PROTO_HBONE);
	assert_int_equal(pd_protocol_parse("TLS"), PD_PROTO_TLS);
	assert_int_equal(pd_protocol_parse("HTTP-x"), PD_PROTO_SNIFF);
	assert_int_equal(pd_protocol_parse(""), PD_PROTO_SNIFF);
	assert_int_equal(pd_protocol_parse(NULL), PD_PROTO_SNIFF);
}

static void test_classes(void **state)
{
	(void)state;
	assert_true(pd_protocol_is_http(PD_PROTO_HTTP_PROXY) && pd_protocol_is_http(PD_PROTO_GRPC_WEB));
	assert_false(pd_protocol_is_http(PD_PROTO_HTTPS) || pd_protocol_is_http(PD_PROTO_SNIFF));
	assert_true(pd_protocol_is_http2(PD_PROTO_GRPC) && !pd_protocol_is_http2(PD_PROTO_HTTP));
	assert_true(pd_protocol_is_tls(PD_PROTO_HTTPS) && pd_protocol_is_tls(PD_PROTO_TLS));
	assert_true(pd_protocol_is_tcp(PD_PROTO_MYSQL) && !pd_protocol_is_tcp(PD_PROTO_TLS));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_port_names),
		cmocka_unit_test(test_app_protocol_wins),
		cmocka_unit_test(test_transport_and_known_ports),
		cmocka_unit_test(test_declared),
		cmocka_unit_test(test_classes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
