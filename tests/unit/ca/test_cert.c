// Certificates: files with several, CA checks, chains.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ca/cert.h"
#include "ca/pem.h"
#include "tests/unit/ca/fixtures.h"

static void test_several(void **state)
{
	struct pd_signer *a = fix_root("a"), *b = fix_root("b");
	struct pd_certs in = {0}, out = {0};
	struct pd_buf pem = {0}, why = {0};
	(void)state;

	pd_certs_add(&in, a->cert);
	pd_certs_add(&in, b->cert);
	pd_buf_adds(&pem, "Roots of everything:\n");
	pd_certs_to_pem(&in, &pem);
	assert_int_equal(pd_certs_from_pem(pem.p, pem.n, &out, &why), PD_OK);
	assert_int_equal(out.v.n, 2);
	assert_true(pd_certs_contain(&out, a->cert) && pd_certs_contain(&out, b->cert));
	assert_int_equal(pd_cert_not_after(out.v.v[0]), FIX_NOW + PD_CA_TTL_S);
	assert_int_equal(pd_cert_not_before(out.v.v[0]), FIX_NOW - PD_CLOCK_SKEW_S);
	pd_cert_subject(out.v.v[1], &why);
	assert_string_equal(why.p, "O = b");
	pd_certs_free(&in);
	pd_certs_free(&out);
	pd_signer_unref(&a);
	pd_signer_unref(&b);
	pd_buf_free(&pem);
	pd_buf_free(&why);
}

static void expect_refused(const char *pem, int code, const char *reason)
{
	struct pd_certs out = {0};
	struct pd_buf why = {0};

	assert_int_equal(pd_certs_from_pem(pem, strlen(pem), &out, &why), code);
	assert_int_equal(out.v.n, 0);
	assert_non_null(strstr(why.p, reason));
	pd_certs_free(&out);
	pd_buf_free(&why);
}

static void test_refused(void **state)
{
	struct pd_signer *a = fix_root("a");
	char *pem = fix_pem(a->cert);
	struct pd_buf tail = {0}, many = {0};
	unsigned char *der = NULL;
	int n = i2d_X509(a->cert, &der);
	(void)state;

	expect_refused("", PD_E_PARSE, "no certificate");
	expect_refused("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", PD_E_PARSE, "damaged");
	expect_refused("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", PD_E_PARSE, "PRIVATE KEY");
	der = OPENSSL_realloc(der, (size_t)n + 1);
	der[n] = 1;
	pd_pem_write(&tail, "CERTIFICATE", der, (size_t)n + 1);
	expect_refused(tail.p, PD_E_PARSE, "behind certificate 1");
	for (int i = 0; i < PD_CERTS_MAX; i++)
		pd_buf_adds(&many, pem);
	pd_buf_adds(&many, pem);
	expect_refused(many.p, PD_E_LIMIT, "more than 256");
	// what was read before a damaged one is not left behind
	pd_buf_reset(&tail);
	pd_buf_printf(&tail, "%s-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", pem);
	expect_refused(tail.p, PD_E_PARSE, "certificate 2 is damaged");
	OPENSSL_free(der);
	free(pem);
	pd_buf_free(&tail);
	pd_buf_free(&many);
	pd_signer_unref(&a);
}

static void expect_ca(X509 *cert, int64_t now, const char *reason)
{
	struct pd_buf why = {0};
	int rc = pd_cert_check_ca(cert, now, &why);

	if (reason) {
		assert_int_equal(rc, PD_E_INVALID);
		assert_non_null(strstr(why.p, reason));
	} else {
		assert_int_equal(rc, PD_OK);
	}
	pd_buf_free(&why);
}

static void test_ca_checks(void **state)
{
	struct pd_signer *root = fix_root("a"), *good = fix_intermediate(root, true, 30),
			 *leaf = fix_intermediate(root, false, 30), *old = fix_intermediate(root, true, -1);
	EVP_PKEY *weak = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)1024);
	X509 *weak_root = pd_root_new(weak, "weak", FIX_DAY, FIX_NOW);
	struct pd_buf why = {0};
	(void)state;

	expect_ca(root->cert, FIX_NOW, NULL);
	expect_ca(good->cert, FIX_NOW, NULL);
	expect_ca(good->cert, FIX_NOW - 101 * FIX_DAY, "not valid yet");
	expect_ca(leaf->cert, FIX_NOW, "not a CA");
	expect_ca(old->cert, FIX_NOW, "expired");
	expect_ca(weak_root, FIX_NOW, "less than 2048");
	assert_int_equal(pd_cert_check_key(good->cert, good->key, &why), PD_OK);
	assert_int_equal(pd_cert_check_key(good->cert, root->key, &why), PD_E_INVALID);
	pd_buf_free(&why);
	X509_free(weak_root);
	EVP_PKEY_free(weak);
	pd_signer_unref(&root);
	pd_signer_unref(&good);
	pd_signer_unref(&leaf);
	pd_signer_unref(&old);
}

static void test_chain(void **state)
{
	struct pd_signer *root = fix_root("same name"), *other = fix_root("same name"),
			 *mid = fix_intermediate(root, true, 30);
	struct pd_certs none = {0}, right = {0}, wrong = {0}, both = {0};
	struct pd_buf why = {0};
	(void)state;

	pd_certs_add(&right, root->cert);
	pd_certs_add(&wrong, other->cert);
	pd_certs_add(&both, other->cert);
	pd_certs_add(&both, root->cert);
	assert_int_equal(pd_cert_check_chain(mid->cert, &none, &right, FIX_NOW, &why), PD_OK);
	assert_int_equal(pd_cert_check_chain(mid->cert, &none, &both, FIX_NOW, &why), PD_OK);
	assert_int_equal(pd_cert_check_chain(mid->cert, &none, &wrong, FIX_NOW, &why), PD_E_INVALID);
	assert_non_null(strstr(why.p, "does not end at a root"));
	assert_int_equal(pd_cert_check_chain(mid->cert, &none, &right, FIX_NOW + 31 * FIX_DAY, &why), PD_E_INVALID);
	pd_certs_free(&right);
	pd_certs_free(&wrong);
	pd_certs_free(&both);
	pd_buf_free(&why);
	pd_signer_unref(&root);
	pd_signer_unref(&other);
	pd_signer_unref(&mid);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_several),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_ca_checks),
		cmocka_unit_test(test_chain),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
