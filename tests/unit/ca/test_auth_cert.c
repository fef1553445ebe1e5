// Client certificates: which names make an identity, and whose trust domain is ours.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/x509v3.h>
#include <cmocka.h>

#include "ca/auth_cert.h"
#include "tests/unit/ca/auth_outcome.h"
#include "tests/unit/ca/fixtures.h"

#define OURS "URI:spiffe://td/ns/a/sa/b"

static struct pd_trust *trust;
static struct pd_authenticator cert;
static EVP_PKEY *key;

static int setup(void **state)
{
	static const char *const aliases[] = {"old-td", "older-td"};
	(void)state;

	trust = pd_trust_new("td", aliases, 2);
	cert = pd_auth_cert(trust);
	key = pd_key_generate(PD_KEY_P256, 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	cert.free(cert.self);
	EVP_PKEY_free(key);
	pd_trust_free(&trust);
	return 0;
}

// A certificate with these names (as openssl.cnf writes them; NULL: none), valid from `from_s` to `to_s` seconds from now. As
// PEM; caller frees. Who signed it does not matter here: TLS has seen to that.
static char *make(const char *names, long from_s, long to_s)
{
	X509 *x = X509_new();
	X509_EXTENSION *san;
	char *pem;

	X509_set_version(x, 2);
	X509_gmtime_adj(X509_getm_notBefore(x), from_s);
	X509_gmtime_adj(X509_getm_notAfter(x), to_s);
	X509_set_pubkey(x, key);
	if (names) {
		san = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);
		assert_non_null(san);
		X509_add_ext(x, san, -1);
		X509_EXTENSION_free(san);
	}
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	pem = fix_pem(x);
	X509_free(x);
	return pem;
}

static const char *ask(const char *names, long from_s, long to_s)
{
	char *pem = make(names, from_s, to_s);
	const char *said = auth_ask(&cert, &(struct auth_ask){.cert_pem = pem});

	free(pem);
	return said;
}

static void test_accepted(void **state)
{
	char *pem = make("DNS:b.a.svc, IP:10.0.0.1, IP:fd00::1, email:x@y, " OURS, -60, 600);
	struct auth_outcome o;
	(void)state;

	assert_string_equal(ask(OURS, -60, 600), "spiffe://td/ns/a/sa/b");
	auth_begin(&cert, &(struct auth_ask){.cert_pem = pem}, &o);
	auth_wait(&o);
	assert_non_null(o.caller);
	assert_int_equal(o.caller->identities.n, 4);
	assert_string_equal(o.caller->identities.v[0], "b.a.svc");
	assert_string_equal(o.caller->identities.v[1], "10.0.0.1");
	assert_string_equal(o.caller->identities.v[2], "fd00::1");
	assert_string_equal(o.caller->identities.v[3], "spiffe://td/ns/a/sa/b");
	assert_string_equal(o.caller->namespace_, "a");
	assert_string_equal(o.caller->service_account, "b");
	assert_null(o.caller->pod_name);
	auth_end(&o);
	free(pem);
}

static void test_trust_domains(void **state)
{
	static const char *const other[] = {"other"};
	(void)state;

	assert_string_equal(ask("URI:spiffe://older-td/ns/a/sa/b", -60, 600), "spiffe://older-td/ns/a/sa/b");
	assert_string_equal(ask("URI:spiffe://evil/ns/a/sa/b", -60, 600), "refused: \"evil\" is not our trust domain");
	assert_string_equal(ask("URI:spiffe://td.evil/ns/a/sa/b", -60, 600),
			    "refused: \"td.evil\" is not our trust domain");
	pd_trust_set(trust, "new-td", other, 1); // the mesh configuration has changed
	assert_string_equal(ask(OURS, -60, 600), "refused: \"td\" is not our trust domain");
	assert_string_equal(ask("URI:spiffe://new-td/ns/a/sa/b", -60, 600), "spiffe://new-td/ns/a/sa/b");
	pd_trust_set(trust, "td", NULL, 0);
}

static void test_names(void **state)
{
	static const char *const not_a_workload[] = {"URI:spiffe://td", "URI:https://td/ns/a/sa/b",
						     "URI:spiffe://td/ns/a/sa/b/c", "URI:spiffe://td/ns/a%2f/sa/b"};
	struct pd_buf many = {0};
	(void)state;

	assert_string_equal(ask(NULL, -60, 600), "refused: the certificate has no names");
	assert_string_equal(ask("DNS:a", -60, 600), "refused: the certificate has no URI");
	assert_string_equal(ask(OURS ", URI:spiffe://td/ns/x/sa/y", -60, 600),
			    "refused: the certificate has more than one URI");
	assert_string_equal(ask(OURS ", DNS:spiffe://td/ns/x/sa/y", -60, 600),
			    "refused: the certificate has a malformed name");
	for (size_t i = 0; i < sizeof(not_a_workload) / sizeof(not_a_workload[0]); i++)
		assert_string_equal(ask(not_a_workload[i], -60, 600),
				    "refused: its URI is not the SPIFFE ID of a workload");
	pd_buf_adds(&many, OURS);
	for (int i = 0; i < PD_CALLER_IDENTITIES; i++)
		pd_buf_printf(&many, ",DNS:h%d", i);
	assert_string_equal(ask(many.p, -60, 600), "refused: the certificate has too many names");
	pd_buf_free(&many);
}

static void test_times(void **state)
{
	(void)state;

	assert_string_equal(ask(OURS, -600, -60), "refused: the certificate has expired");
	assert_string_equal(ask(OURS, 60, 600), "refused: the certificate is not valid yet");
}

static void test_no_certificate(void **state)
{
	char *one = make(OURS, -60, 600), *two = pd_xasprintf("%s%s", one, one);
	(void)state;

	assert_string_equal(auth_ask(&cert, &(struct auth_ask){.bearer = "t"}), "none: no client certificate");
	assert_string_equal(auth_ask(&cert, &(struct auth_ask){.cert_pem = "x"}),
			    "refused: the certificate cannot be read");
	assert_string_equal(auth_ask(&cert, &(struct auth_ask){.cert_pem = two}),
			    "refused: the certificate cannot be read");
	free(one);
	free(two);
}

// What was read from a certificate is remembered, but not beyond its end, and the trust domain is asked each time.
static void test_remembered(void **state)
{
	char *pem = make(OURS ",DNS:x", -60, 2);
	struct timespec nap = {.tv_sec = 3};
	(void)state;

	for (int i = 0; i < 3; i++)
		assert_string_equal(auth_ask(&cert, &(struct auth_ask){.cert_pem = pem}), "spiffe://td/ns/a/sa/b");
	nanosleep(&nap, NULL);
	assert_string_equal(auth_ask(&cert, &(struct auth_ask){.cert_pem = pem}),
			    "refused: the certificate has expired");
	free(pem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accepted),       cmocka_unit_test(test_trust_domains),
		cmocka_unit_test(test_names),          cmocka_unit_test(test_times),
		cmocka_unit_test(test_no_certificate), cmocka_unit_test(test_remembered),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
