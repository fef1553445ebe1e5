#include "base/addr.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static void parses(const char *text, const char *host, unsigned port)
{
	struct pd_addr a;

	assert_int_equal(pd_addr_parse(text, &a), PD_OK);
	assert_string_equal(a.host, host);
	assert_int_equal(a.port, port);
}

static void test_parse(void **state)
{
	static const char *const bad[] = {NULL,           "",        "host",         "host:",        ":65536",
					  ":99999999999", ":-1",     ":+1",          ":1 ",          "::1:80",
					  "[::1]",        "[::1:80", "[1.2.3.4]:80", "[]:80",        "[x]:80",
					  "a b:80",       "a/b:80",  "http://a:80",  "[::1%eth0]:80"};
	char longest[300];
	struct pd_addr a;
	size_t i;

	(void)state;
	parses("localhost:8080", "localhost", 8080);
	parses(":15010", "", 15010);
	parses(":0", "", 0);
	parses("[::1]:80", "::1", 80);
	parses("[::]:65535", "::", 65535);
	parses("127.0.0.1:1", "127.0.0.1", 1);
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(pd_addr_parse(bad[i], &a), PD_E_PARSE);

	memset(longest, 'a', sizeof(longest));
	memcpy(longest + PD_HOST_MAX - 1, ":80", 4);
	assert_int_equal(pd_addr_parse(longest, &a), PD_OK);
	memset(longest, 'a', sizeof(longest));
	memcpy(longest + PD_HOST_MAX, ":80", 4);
	assert_int_equal(pd_addr_parse(longest, &a), PD_E_PARSE);
}

static void test_format(void **state)
{
	static const char *const texts[] = {"localhost:8080", ":15010", "[::1]:80", "1.2.3.4:0"};
	char out[PD_ADDR_TEXT];
	struct pd_addr a;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		assert_int_equal(pd_addr_parse(texts[i], &a), PD_OK);
		pd_addr_format(&a, out);
		assert_string_equal(out, texts[i]);
	}
}

static bool loopback(const char *s)
{
	struct pd_addr a;

	assert_int_equal(pd_addr_parse(s, &a), PD_OK);
	return pd_addr_is_loopback(&a);
}

static void test_loopback(void **state)
{
	(void)state;
	assert_true(loopback("localhost:1"));
	assert_true(loopback("127.9.9.9:1"));
	assert_true(loopback("[::1]:1"));
	assert_false(loopback(":1"));
	assert_false(loopback("0.0.0.0:1"));
	assert_false(loopback("[::2]:1"));
	assert_false(loopback("example.com:1"));
}

static void test_ip(void **state)
{
	static const char *const bad[] = {NULL,       "",     "1.2.3",  "1.2.3.4.5", "01.2.3.4", "256.1.1.1",
					  "1.2.3.4 ", " ::1", "::1%lo", ":::",       "1::2::3",  "12345::"};
	char out[PD_IP_TEXT];
	struct pd_ip ip, other;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(pd_ip_parse(bad[i], &ip), PD_E_PARSE);
		assert_int_equal(ip.len, 0);
	}
	assert_true(pd_is_ipv4("10.0.0.1") && !pd_is_ipv6("10.0.0.1") && pd_is_ip("10.0.0.1"));
	assert_true(pd_is_ipv6("fd00::1") && !pd_is_ipv4("fd00::1") && pd_is_ip("fd00::1"));
	assert_true(pd_is_ipv6("::ffff:1.2.3.4"));
	assert_false(pd_is_ip("name"));
	assert_int_equal(pd_ip_parse("FD00:0:0:0:0:0:0:1", &ip), PD_OK);
	pd_ip_format(&ip, out);
	assert_string_equal(out, "fd00::1");
	assert_int_equal(pd_ip_parse("fd00::1", &other), PD_OK);
	assert_true(pd_ip_equal(&ip, &other));
	assert_int_equal(pd_ip_parse("0.0.0.0", &other), PD_OK);
	assert_false(pd_ip_equal(&ip, &other));
	assert_true(pd_ip_is_unspecified(&other));
	assert_false(pd_ip_is_unspecified(&ip));
	ip = (struct pd_ip){0};
	assert_false(pd_ip_is_unspecified(&ip));
	assert_false(pd_ip_is_loopback(&ip));
	pd_ip_format(&ip, out);
	assert_string_equal(out, "");
}

static bool contains(const char *range, const char *ip)
{
	struct pd_cidr c;
	struct pd_ip i;

	assert_int_equal(pd_cidr_parse(range, &c), PD_OK);
	assert_int_equal(pd_ip_parse(ip, &i), PD_OK);
	return pd_cidr_contains(&c, &i);
}

static bool covers(const char *outer, const char *inner)
{
	struct pd_cidr o, i;

	assert_int_equal(pd_cidr_parse(outer, &o), PD_OK);
	assert_int_equal(pd_cidr_parse(inner, &i), PD_OK);
	return pd_cidr_covers(&o, &i);
}

static void test_cidr(void **state)
{
	static const char *const bad[] = {NULL,
					  "",
					  "/8",
					  "10.0.0.0/",
					  "10.0.0.0/33",
					  "10.0.0.0/-1",
					  "10.0.0.0/08",
					  "10.0.0.0/8x",
					  "10.0.0.0/8/8",
					  "::/129",
					  "::/1000",
					  "x/8",
					  "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000/8"};
	char out[PD_IP_TEXT];
	struct pd_cidr c;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(pd_cidr_parse(bad[i], &c), PD_E_PARSE);
	assert_true(contains("10.0.0.0/8", "10.255.1.2"));
	assert_false(contains("10.0.0.0/8", "11.0.0.0"));
	assert_true(contains("10.1.2.3/9", "10.127.0.0"));
	assert_false(contains("10.1.2.3/9", "10.128.0.0"));
	assert_true(contains("1.2.3.4", "1.2.3.4"));
	assert_false(contains("1.2.3.4", "1.2.3.5"));
	assert_true(contains("0.0.0.0/0", "255.255.255.255"));
	assert_false(contains("0.0.0.0/0", "::"));
	assert_true(contains("::/0", "ffff::"));
	assert_true(contains("fd00::/7", "fdff::1"));
	assert_false(contains("fd00::/8", "fe00::"));
	assert_true(contains("::1/128", "::1"));
	assert_true(covers("10.0.0.0/8", "10.4.0.0/16") && !covers("10.4.0.0/16", "10.0.0.0/8"));
	assert_true(covers("10.0.0.0/8", "10.0.0.0/8") && !covers("0.0.0.0/0", "::/0"));

	assert_int_equal(pd_cidr_parse("10.129.2.3/9", &c), PD_OK);
	pd_ip_format(&c.ip, out);
	assert_string_equal(out, "10.129.2.3");
	pd_cidr_mask(&c);
	pd_ip_format(&c.ip, out);
	assert_string_equal(out, "10.128.0.0");
	assert_int_equal(c.bits, 9);
}

static void test_listen(void **state)
{
	struct pd_addr a = {.host = "127.0.0.1"};
	struct pd_buf err = {0};
	char expected[128];
	uint16_t port = 0;
	int fd, second;

	(void)state;
	assert_int_equal(pd_addr_listen(&a, 8, &fd, &port, &err), PD_OK);
	assert_int_not_equal(port, 0);
	a.port = port;
	assert_int_equal(pd_addr_listen(&a, 8, &second, NULL, &err), PD_E_IO);
	assert_int_equal(second, -1);
	snprintf(expected, sizeof(expected), "cannot listen on 127.0.0.1:%u: Address already in use", port);
	assert_string_equal(err.p, expected);
	pd_buf_reset(&err);
	// Also where the other one listens on all interfaces.
	a.host[0] = 0;
	assert_int_equal(pd_addr_listen(&a, 8, &second, NULL, &err), PD_E_IO);
	close(fd);
	pd_buf_reset(&err);
	assert_int_equal(pd_addr_listen(&a, 8, &fd, NULL, &err), PD_OK);
	close(fd);
	a = (struct pd_addr){.host = "no.such.host.invalid", .port = 1};
	assert_int_equal(pd_addr_listen(&a, 8, &fd, NULL, &err), PD_E_IO);
	assert_true(pd_has_prefix(err.p, "cannot listen on no.such.host.invalid:1: "));
	pd_buf_free(&err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse), cmocka_unit_test(test_format), cmocka_unit_test(test_loopback),
		cmocka_unit_test(test_ip),    cmocka_unit_test(test_cidr),   cmocka_unit_test(test_listen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
