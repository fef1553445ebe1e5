// Requests: every kind of key that is taken, and every reason to refuse one.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "ca/csr.h"
#include "ca/pem.h"
#include "tests/unit/ca/fixtures.h"

static void expect_taken(EVP_PKEY *key, const EVP_MD *digest, enum pd_key_type type, unsigned bits)
{
	char *pem = fix_csr(&(struct fix_csr){.key = key, .digest = digest, .san = "DNS:ignored"});
	struct pd_buf why = {0};
	struct pd_csr csr;

	if (pd_csr_parse(pem, strlen(pem), &csr, &why) != PD_OK)
		fail_msg("%s", why.p);
	assert_int_equal(csr.type, type);
	assert_int_equal(csr.bits, bits);
	assert_int_equal(EVP_PKEY_eq(csr.key, key), 1);
	assert_false(csr.wants_common_name);
	pd_csr_free(&csr);
	free(pem);
	EVP_PKEY_free(key);
}

static void test_kinds(void **state)
{
	(void)state;
	expect_taken(pd_key_generate(PD_KEY_P256, 0), NULL, PD_KEY_P256, 256);
	expect_taken(pd_key_generate(PD_KEY_P256, 0), EVP_sha512(), PD_KEY_P256, 256);
	expect_taken(pd_key_generate(PD_KEY_P384, 0), NULL, PD_KEY_P384, 384);
	expect_taken(pd_key_generate(PD_KEY_P384, 0), EVP_sha256(), PD_KEY_P384, 384);
	expect_taken(pd_key_generate(PD_KEY_RSA, 2048), NULL, PD_KEY_RSA, 2048);
	expect_taken(pd_key_generate(PD_KEY_RSA, 3072), EVP_sha384(), PD_KEY_RSA, 3072);
	expect_taken(pd_key_generate(PD_KEY_ED25519, 0), NULL, PD_KEY_ED25519, 256);
}

static void test_common_name(void **state)
{
	EVP_PKEY *key = pd_key_generate(PD_KEY_P256, 0);
	char *pem = fix_csr(&(struct fix_csr){.key = key, .common_name = "me"});
	struct pd_buf why = {0};
	struct pd_csr csr;
	(void)state;

	assert_int_equal(pd_csr_parse(pem, strlen(pem), &csr, &why), PD_OK);
	assert_true(csr.wants_common_name);
	pd_csr_free(&csr);
	free(pem);
	EVP_PKEY_free(key);
}

static void expect_refused_n(const char *pem, size_t n, int code, const char *reason)
{
	struct pd_buf why = {0};
	struct pd_csr csr;
	int rc = pd_csr_parse(pem, n, &csr, &why);

	if (rc != code || !why.p || !strstr(why.p, reason))
		fail_msg("%d (%s), expected %d (%s)", rc, why.p ? why.p : "", code, reason);
	assert_null(csr.key);
	assert_null(csr.der);
	pd_buf_free(&why);
}

static void expect_refused(char *pem, int code, const char *reason)
{
	expect_refused_n(pem, strlen(pem), code, reason);
	free(pem);
}

static void expect_key_refused(EVP_PKEY *key, const EVP_MD *digest, const char *reason)
{
	assert_non_null(key);
	expect_refused(fix_csr(&(struct fix_csr){.key = key, .digest = digest}), PD_E_INVALID, reason);
	EVP_PKEY_free(key);
}

static EVP_PKEY *rsa_with_exponent(unsigned e)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	BIGNUM *n = BN_new();
	EVP_PKEY *key = NULL;

	BN_set_word(n, e);
	assert_int_equal(EVP_PKEY_keygen_init(ctx), 1);
	EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, 2048);
	EVP_PKEY_CTX_set1_rsa_keygen_pubexp(ctx, n);
	assert_int_equal(EVP_PKEY_generate(ctx, &key), 1);
	BN_free(n);
	EVP_PKEY_CTX_free(ctx);
	return key;
}

static void test_keys_refused(void **state)
{
	EVP_PKEY *three = rsa_with_exponent(3);
	(void)state;

	expect_key_refused(EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)1024), NULL, "less than 2048");
	expect_key_refused(EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2040), NULL, "less than 2048");
	expect_key_refused(EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-224"), NULL, "neither P-256 nor P-384");
	expect_key_refused(EVP_PKEY_Q_keygen(NULL, NULL, "EC", "secp256k1"), NULL, "neither P-256 nor P-384");
	expect_key_refused(pd_key_generate(PD_KEY_P521, 0), NULL, "neither P-256 nor P-384");
	expect_key_refused(EVP_PKEY_Q_keygen(NULL, NULL, "ED448"), NULL, "neither ECDSA");
	expect_key_refused(pd_key_generate(PD_KEY_P256, 0), EVP_sha1(), "signature algorithm");
	expect_key_refused(pd_key_generate(PD_KEY_RSA, 2048), EVP_sha1(), "signature algorithm");
	expect_key_refused(pd_key_generate(PD_KEY_RSA, 2048), EVP_md5(), "signature algorithm");
	expect_taken(three, NULL, PD_KEY_RSA, 2048); // weak only from 1 on
}

static void test_signature_refused(void **state)
{
	EVP_PKEY *a = pd_key_generate(PD_KEY_P256, 0), *b = pd_key_generate(PD_KEY_P256, 0),
		 *rsa = pd_key_generate(PD_KEY_RSA, 2048);
	(void)state;

	expect_refused(fix_csr(&(struct fix_csr){.key = a, .signer = b}), PD_E_INVALID, "does not verify");
	expect_refused(fix_csr(&(struct fix_csr){.key = a, .signer = rsa}), PD_E_INVALID, "signature algorithm");
	expect_refused(fix_csr(&(struct fix_csr){.key = rsa, .signer = a}), PD_E_INVALID, "signature algorithm");
	EVP_PKEY_free(a);
	EVP_PKEY_free(b);
	EVP_PKEY_free(rsa);
}

static void test_text_refused(void **state)
{
	EVP_PKEY *key = pd_key_generate(PD_KEY_P256, 0);
	char *pem = fix_csr_of(key), *big;
	struct pd_buf b = {0};
	(void)state;

	expect_refused(pd_xstrdup(""), PD_E_PARSE, "no certificate request");
	expect_refused(pd_xasprintf("%s%s", pem, pem), PD_E_PARSE, "something besides");
	expect_refused(pd_xasprintf("x%s", pem), PD_E_PARSE, "something besides");
	expect_refused(pd_xasprintf("%sx", pem), PD_E_PARSE, "something besides");
	expect_refused(pd_xstrdup("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), PD_E_PARSE,
		       "not a certificate request");
	expect_refused(pd_xstrdup("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"),
		       PD_E_PARSE, "PKCS #10");
	expect_refused_n(pem, strlen(pem) - 5, PD_E_PARSE, "does not match");

	// 1 MB, as a client might send
	for (int i = 0; b.n < 1000000; i++)
		pd_buf_printf(&b, "%s\n", "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB");
	big = pd_xasprintf("-----BEGIN CERTIFICATE REQUEST-----\n%s-----END CERTIFICATE REQUEST-----\n", b.p);
	expect_refused(big, PD_E_LIMIT, "limit");
	pd_buf_free(&b);

	free(pem);
	EVP_PKEY_free(key);
}

static char *der_as_pem(const uint8_t *der, size_t n)
{
	struct pd_buf b = {0};

	pd_pem_write(&b, "CERTIFICATE REQUEST", der, n);
	return b.p;
}

// Every byte flipped, every length cut: never taken, never out of bounds.
static void test_every_byte_counts(void **state)
{
	EVP_PKEY *key = pd_key_generate(PD_KEY_P256, 0);
	char *pem = fix_csr_of(key);
	const char *at = pem;
	struct pd_buf why = {0};
	struct pd_pem block;
	struct pd_csr csr;
	(void)state;

	assert_int_equal(pd_pem_next(&at, pem + strlen(pem), &block, &why), PD_OK);
	for (size_t i = 0; i < block.n; i++) {
		block.der[i] ^= 0x40;
		char *flipped = der_as_pem(block.der, block.n);
		block.der[i] ^= 0x40;
		assert_int_not_equal(pd_csr_parse(flipped, strlen(flipped), &csr, &why), PD_OK);
		free(flipped);
	}
	for (size_t n = 1; n < block.n; n++) {
		uint8_t *exact = malloc(n); // so that ASan sees a byte too many
		memcpy(exact, block.der, n);
		char *cut = der_as_pem(exact, n);
		assert_int_equal(pd_csr_parse(cut, strlen(cut), &csr, &why), PD_E_PARSE);
		free(cut);
		free(exact);
	}
	uint8_t *longer = malloc(block.n + 1);
	memcpy(longer, block.der, block.n);
	longer[block.n] = 0;
	expect_refused(der_as_pem(longer, block.n + 1), PD_E_PARSE, "bytes behind");
	free(longer);
	pd_pem_free(&block);
	pd_buf_free(&why);
	free(pem);
	EVP_PKEY_free(key);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds),        cmocka_unit_test(test_common_name),
		cmocka_unit_test(test_keys_refused), cmocka_unit_test(test_signature_refused),
		cmocka_unit_test(test_text_refused), cmocka_unit_test(test_every_byte_counts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
