// Keys and PEM: what is taken, what is refused and why.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ca/key.h"
#include "ca/pem.h"
#include "tests/unit/ca/fixtures.h"

static void expect_refused(const char *pem, int code, const char *reason)
{
	struct pd_buf why = {0};
	EVP_PKEY *k;

	assert_int_equal(pd_key_from_pem(pem, strlen(pem), &k, &why), code);
	assert_null(k);
	assert_non_null(strstr(why.p, reason));
	pd_buf_free(&why);
}

static void test_round_trip(void **state)
{
	static const struct {
		enum pd_key_type type;
		unsigned bits;
	} kinds[] = {{PD_KEY_P256, 0}, {PD_KEY_P384, 0}, {PD_KEY_P521, 0}, {PD_KEY_RSA, 2048}, {PD_KEY_ED25519, 0}};
	struct pd_buf why = {0};
	(void)state;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		EVP_PKEY *k = pd_key_generate(kinds[i].type, kinds[i].bits), *back;
		char *pem = fix_key_pem(k);
		assert_int_equal(pd_key_from_pem(pem, strlen(pem), &back, &why), PD_OK);
		assert_int_equal(EVP_PKEY_eq(k, back), 1);
		assert_int_equal(pd_key_type(back), kinds[i].type);
		EVP_PKEY_free(k);
		EVP_PKEY_free(back);
		free(pem);
	}
}

static char *traditional(EVP_PKEY *k, const char *label)
{
	struct pd_buf out = {0};
	unsigned char *der = NULL;
	int n = i2d_PrivateKey(k, &der);

	pd_pem_write(&out, label, der, (size_t)n);
	OPENSSL_free(der);
	return out.p;
}

static void test_older_forms(void **state)
{
	EVP_PKEY *ec = pd_key_generate(PD_KEY_P256, 0), *rsa = pd_key_generate(PD_KEY_RSA, 2048), *back;
	char *e = traditional(ec, "EC PRIVATE KEY"), *r = traditional(rsa, "RSA PRIVATE KEY");
	struct pd_buf why = {0}, with_parameters = {0};
	(void)state;

	assert_int_equal(pd_key_from_pem(r, strlen(r), &back, &why), PD_OK);
	assert_int_equal(EVP_PKEY_eq(rsa, back), 1);
	EVP_PKEY_free(back);
	// as "openssl ecparam -genkey" writes it
	pd_pem_write(&with_parameters, "EC PARAMETERS", (const uint8_t *)"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07",
		     10);
	pd_buf_adds(&with_parameters, e);
	assert_int_equal(pd_key_from_pem(with_parameters.p, with_parameters.n, &back, &why), PD_OK);
	assert_int_equal(EVP_PKEY_eq(ec, back), 1);
	EVP_PKEY_free(back);
	EVP_PKEY_free(ec);
	EVP_PKEY_free(rsa);
	pd_buf_free(&with_parameters);
	free(e);
	free(r);
}

static void test_refused(void **state)
{
	EVP_PKEY *k = pd_key_generate(PD_KEY_P256, 0), *weak = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)1024);
	char *pem = fix_key_pem(k), *weak_pem = fix_key_pem(weak);
	struct pd_buf two = {0}, tail = {0};
	unsigned char *der = NULL, longer[512];
	int n = i2d_PrivateKey(k, &der);
	(void)state;

	expect_refused("", PD_E_PARSE, "no private key");
	expect_refused("hello", PD_E_PARSE, "no private key");
	expect_refused("-----BEGIN PRIVATE KEY-----\nAAAA\n", PD_E_PARSE, "no end");
	expect_refused("-----BEGIN PRIVATE KEY-----\n!!!!\n-----END PRIVATE KEY-----\n", PD_E_PARSE, "not base64");
	expect_refused("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", PD_E_PARSE, "damaged");
	expect_refused("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END CERTIFICATE-----\n", PD_E_PARSE, "does not match");
	expect_refused("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n", PD_E_PARSE, "empty");
	expect_refused("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n", PD_E_PARSE,
		       "encrypted");
	expect_refused(
		"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n",
		PD_E_PARSE, "encrypted");
	expect_refused("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", PD_E_PARSE,
		       "not a private key");
	expect_refused(weak_pem, PD_E_INVALID, "1024 bits");
	pd_buf_printf(&two, "%s%s", pem, pem);
	expect_refused(two.p, PD_E_PARSE, "more than one");

	memcpy(longer, der, (size_t)n);
	longer[n] = 0;
	pd_pem_write(&tail, "EC PRIVATE KEY", longer, (size_t)n + 1);
	expect_refused(tail.p, PD_E_PARSE, "damaged");

	OPENSSL_free(der);
	pd_buf_free(&tail);
	pd_buf_free(&two);
	free(pem);
	free(weak_pem);
	EVP_PKEY_free(k);
	EVP_PKEY_free(weak);
}

static void test_too_long(void **state)
{
	char *text = calloc(1, PD_PEM_INPUT_MAX + 2);
	(void)state;

	memset(text, ' ', PD_PEM_INPUT_MAX + 1);
	expect_refused(text, PD_E_LIMIT, "too many");
	free(text);
}

// Padding of every length, and bits that are set where none may be.
static void test_base64(void **state)
{
	static const char *const bodies[] = {"QUJD", "QUI=", "QQ==", " Q Q = = ", "QUJDQQ=="};
	static const char *const wants[] = {"ABC", "AB", "A", "A", "ABCA"};
	static const char *const bad[] = {"QQ=", "QQ", "Q", "QR==", "QUJ=", "Q=Q=", "QQ===", "QU-_", "QQ==QUJD"};
	struct pd_buf why = {0};
	(void)state;

	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		char *text = pd_xasprintf("x-----BEGIN X-----\n%s\n-----END X-----", bodies[i]);
		const char *at = text;
		struct pd_pem b;
		assert_int_equal(pd_pem_next(&at, text + strlen(text), &b, &why), PD_OK);
		assert_true(b.text_before && pd_pem_is(&b, "X") && *at == '\0');
		assert_int_equal(b.n, strlen(wants[i]));
		assert_memory_equal(b.der, wants[i], b.n);
		pd_pem_free(&b);
		assert_int_equal(pd_pem_next(&at, text + strlen(text), &b, &why), PD_E_NOTFOUND);
		free(text);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char *text = pd_xasprintf("-----BEGIN X-----\n%s\n-----END X-----", bad[i]);
		const char *at = text;
		struct pd_pem b;
		assert_int_equal(pd_pem_next(&at, text + strlen(text), &b, &why), PD_E_PARSE);
		assert_null(b.der);
		free(text);
	}
	pd_buf_free(&why);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip), cmocka_unit_test(test_older_forms), cmocka_unit_test(test_refused),
		cmocka_unit_test(test_too_long),   cmocka_unit_test(test_base64),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
