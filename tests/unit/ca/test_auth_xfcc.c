// Forwarded client certificates: from whom they are taken, and which of them counts.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ca/auth_xfcc.h"
#include "tests/unit/ca/auth_outcome.h"

#define URI "URI=spiffe://td/ns/a/sa/b"
#define ID "spiffe://td/ns/a/sa/b"

static struct pd_trust *trust;
static struct pd_authenticator xfcc;

static int setup(void **state)
{
	static const char *const aliases[] = {"old-td"};
	struct pd_auth_cidrs cidrs;
	struct pd_buf err = {0};
	(void)state;

	trust = pd_trust_new("td", aliases, 1);
	assert_int_equal(pd_auth_cidrs_parse("10.0.0.0/8, fd00::/8 ,192.168.1.1", &cidrs, &err), PD_OK);
	assert_int_equal(cidrs.v.n, 3);
	xfcc = pd_auth_xfcc(&cidrs, trust);
	assert_int_equal(cidrs.v.n, 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	xfcc.free(xfcc.self);
	pd_trust_free(&trust);
	return 0;
}

static const char *ask(const char *address, const char *header)
{
	return auth_ask(&xfcc, &(struct auth_ask){.address = address, .xfcc = header});
}

static void test_addresses(void **state)
{
	static const char *const good[] = {"10.1.2.3:5", "127.0.0.1:1", "[::1]:1", "[fd00::1]:1", "192.168.1.1:80"};
	static const char *const bad[] = {"11.0.0.1:5", "192.168.1.2:1", "[fe80::1]:1", "unix:/run/x", "", NULL};
	(void)state;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_string_equal(ask(good[i], URI), ID);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_string_equal(ask(bad[i], URI),
				    "refused: forwarded certificates are not taken from this address");
	assert_string_equal(ask("10.1.2.3:5", NULL), "none: no forwarded certificate");
}

static void test_header(void **state)
{
	static const char *const good[] = {
		URI,
		"By=spiffe://td/ns/g/sa/g;Hash=ab;Subject=\"CN=x,O=\\\"y;URI=z\\\"\";" URI ";DNS=a.b;DNS=c",
		"uri=spiffe://td/ns/a/sa/b",
		"URI=\"spiffe://td/ns/a/sa/b\"",
		"URI=spiffe://td/ns/evil/sa/x, By=g;" URI, // an earlier hop's word
		"URI=spiffe://td/ns/e/sa/x,URI=spiffe://evil/ns/a/sa/b," URI,
	};
	static const char *const bad[] = {
		"", "URI", "=", ";" URI, URI ";", URI ",", "Subject=\"a;" URI, "Subject=\"a\"b;" URI, ",", "URI=\"",
	};
	static const char *const none[] = {"Hash=ab",
					   URI "\"",
					   "URI=;Hash=ab",
					   "URI=http://td/ns/a/sa/b",
					   URI ";" URI,
					   URI ",Hash=x",
					   "Subject=\"URI=spiffe://td/ns/a/sa/b\"",
					   "URI=spiffe://td/ns/a/sa/b/c"};
	struct pd_buf many = {0};
	(void)state;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_string_equal(ask("127.0.0.1:1", good[i]), ID);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_string_equal(ask("127.0.0.1:1", bad[i]), "refused: the header is malformed");
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		assert_string_equal(ask("127.0.0.1:1", none[i]),
				    "refused: the forwarded certificate does not have one SPIFFE ID of a workload");
	for (int i = 0; i < PD_XFCC_ELEMENTS_MAX; i++)
		pd_buf_adds(&many, URI ",");
	pd_buf_adds(&many, URI);
	assert_string_equal(ask("127.0.0.1:1", many.p), "refused: the header is malformed");
	pd_buf_free(&many);
}

static void test_trust_domain(void **state)
{
	(void)state;

	assert_string_equal(ask("127.0.0.1:1", "URI=spiffe://old-td/ns/a/sa/b"), "spiffe://old-td/ns/a/sa/b");
	assert_string_equal(ask("127.0.0.1:1", "URI=spiffe://evil/ns/a/sa/b"),
			    "refused: the forwarded certificate is of another trust domain");
}

static void test_ranges(void **state)
{
	struct pd_auth_cidrs cidrs;
	struct pd_buf err = {0}, many = {0};
	(void)state;

	assert_int_equal(pd_auth_cidrs_parse("", &cidrs, &err), PD_OK);
	assert_int_equal(cidrs.v.n, 0);
	assert_int_equal(pd_auth_cidrs_parse("10.0.0.0/8,10.0.0.0/33", &cidrs, &err), PD_E_PARSE);
	assert_string_equal(err.p, "\"10.0.0.0/33\" is not an address range");
	assert_int_equal(cidrs.v.n, 0);
	for (int i = 0; i <= PD_XFCC_CIDRS_MAX; i++)
		pd_buf_adds(&many, "10.0.0.0/8,");
	assert_int_equal(pd_auth_cidrs_parse(many.p, &cidrs, &err), PD_E_LIMIT);
	pd_buf_free(&many);
	pd_buf_free(&err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_header),
		cmocka_unit_test(test_trust_domain),
		cmocka_unit_test(test_ranges),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
