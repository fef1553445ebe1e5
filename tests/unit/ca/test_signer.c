// Issued certificates: every field, the rules for lifetimes, and what verifies them.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/x509v3.h>

#include "ca/signer.h"
#include "tests/unit/ca/fixtures.h"

#define ID "spiffe://cluster.local/ns/foo/sa/bar"

static const char *const one[] = {ID};

static X509 *issue(const struct pd_signer *s, EVP_PKEY *key, const struct pd_leaf *leaf)
{
	char *pem = fix_csr_of(key);
	struct pd_buf out = {0}, why = {0};
	struct pd_csr csr;
	int64_t end;
	X509 *cert;

	assert_int_equal(pd_csr_parse(pem, strlen(pem), &csr, &why), PD_OK);
	if (pd_signer_issue(s, &csr, leaf, &out, &end, &why) != PD_OK)
		fail_msg("%s", why.p);
	cert = fix_cert(out.p);
	assert_int_equal(pd_cert_not_after(cert), end);
	pd_csr_free(&csr);
	pd_buf_free(&out);
	free(pem);
	return cert;
}

static void check_extensions(X509 *cert, const struct pd_signer *s)
{
	static const struct {
		int nid, critical;
	} want[] = {{NID_key_usage, 1},
		    {NID_ext_key_usage, 0},
		    {NID_basic_constraints, 1},
		    {NID_authority_key_identifier, 0},
		    {NID_subject_alt_name, 1}};

	assert_int_equal(X509_get_ext_count(cert), 5);
	for (int i = 0; i < 5; i++) {
		X509_EXTENSION *e = X509_get_ext(cert, i);
		assert_int_equal(OBJ_obj2nid(X509_EXTENSION_get_object(e)), want[i].nid);
		assert_int_equal(X509_EXTENSION_get_critical(e), want[i].critical);
	}
	assert_int_equal(X509_get_key_usage(cert), KU_DIGITAL_SIGNATURE | KU_KEY_ENCIPHERMENT);
	assert_int_equal(X509_get_extended_key_usage(cert), XKU_SSL_SERVER | XKU_SSL_CLIENT);
	assert_int_equal(X509_check_ca(cert), 0);
	assert_int_equal(ASN1_OCTET_STRING_cmp(X509_get0_authority_key_id(cert), X509_get0_subject_key_id(s->cert)), 0);
}

static void check_fields(struct pd_signer *s, EVP_PKEY *key)
{
	const struct pd_leaf leaf = {one, 1, FIX_DAY, FIX_NOW, false};
	X509 *cert = issue(s, key, &leaf), *other = issue(s, key, &leaf);
	BIGNUM *serial = ASN1_INTEGER_to_BN(X509_get0_serialNumber(cert), NULL);
	struct pd_certs none = {0}, roots = {0};
	struct pd_buf why = {0};

	assert_int_equal(X509_get_version(cert), X509_VERSION_3);
	assert_int_equal(X509_NAME_entry_count(X509_get_subject_name(cert)), 0);
	assert_int_equal(X509_NAME_cmp(X509_get_issuer_name(cert), X509_get_subject_name(s->cert)), 0);
	assert_int_equal(pd_cert_not_before(cert), FIX_NOW - 120);
	assert_int_equal(pd_cert_not_after(cert), FIX_NOW + FIX_DAY);
	assert_true(BN_num_bits(serial) > 64 && BN_num_bits(serial) <= 128);
	assert_int_not_equal(ASN1_INTEGER_cmp(X509_get0_serialNumber(cert), X509_get0_serialNumber(other)), 0);
	check_extensions(cert, s);
	assert_string_equal(fix_sans(cert), "URI:" ID);
	assert_int_equal(EVP_PKEY_eq(X509_get0_pubkey(cert), key), 1);
	pd_certs_add(&roots, s->cert);
	if (pd_cert_check_chain(cert, &none, &roots, FIX_NOW, &why) != PD_OK)
		fail_msg("%s", why.p);
	pd_certs_free(&roots);
	BN_free(serial);
	X509_free(cert);
	X509_free(other);
}

static struct pd_signer *root_with(enum pd_key_type type, unsigned bits)
{
	EVP_PKEY *key = pd_key_generate(type, bits);
	X509 *cert = pd_root_new(key, "cluster.local", PD_CA_TTL_S, FIX_NOW);
	struct pd_signer *s = pd_signer_new(cert, key, &(struct pd_certs){0});

	X509_free(cert);
	EVP_PKEY_free(key);
	return s;
}

// Every kind of key in the request under every kind of signing key.
static void test_fields(void **state)
{
	static const struct {
		enum pd_key_type type;
		unsigned bits;
	} kinds[] = {{PD_KEY_P256, 0}, {PD_KEY_P384, 0}, {PD_KEY_RSA, 2048}, {PD_KEY_ED25519, 0}};
	EVP_PKEY *keys[4];
	(void)state;

	for (int i = 0; i < 4; i++)
		keys[i] = pd_key_generate(kinds[i].type, kinds[i].bits);
	for (int i = 0; i < 4; i++) {
		struct pd_signer *s = root_with(kinds[i].type, kinds[i].bits);
		for (int k = 0; k < 4; k++)
			check_fields(s, keys[k]);
		pd_signer_unref(&s);
	}
	for (int i = 0; i < 4; i++)
		EVP_PKEY_free(keys[i]);
}

static void test_names(void **state)
{
	static const char *const sans[] = {ID, "istiod.istio-system.svc", "10.1.2.3", "fd00::1"};
	struct pd_signer *s = fix_root("a");
	EVP_PKEY *key = pd_key_generate(PD_KEY_P256, 0);
	X509 *cert = issue(s, key, &(struct pd_leaf){sans, 4, 60, FIX_NOW, true});
	struct pd_buf subject = {0};
	(void)state;

	assert_string_equal(fix_sans(cert), "URI:" ID ", DNS:istiod.istio-system.svc, IP Address:10.1.2.3, "
					    "IP Address:FD00:0:0:0:0:0:0:1");
	pd_cert_subject(cert, &subject);
	assert_string_equal(subject.p, "CN = " ID);
	pd_buf_free(&subject);
	X509_free(cert);
	EVP_PKEY_free(key);
	pd_signer_unref(&s);
}

static void test_long_common_name_is_left_out(void **state)
{
	static const char *const sans[] = {"spiffe://cluster.local/ns/a-namespace-with-a-long-name/sa/"
					   "a-service-account-with-a-long-name"};
	struct pd_signer *s = fix_root("a");
	EVP_PKEY *key = pd_key_generate(PD_KEY_P256, 0);
	X509 *cert = issue(s, key, &(struct pd_leaf){sans, 1, 60, FIX_NOW, true});
	(void)state;

	assert_int_equal(X509_NAME_entry_count(X509_get_subject_name(cert)), 0);
	X509_free(cert);
	EVP_PKEY_free(key);
	pd_signer_unref(&s);
}

static void test_end_is_cut(void **state)
{
	struct pd_signer *root = fix_root("a"), *mid = fix_intermediate(root, true, 2);
	EVP_PKEY *key = pd_key_generate(PD_KEY_P256, 0);
	X509 *cert = issue(mid, key, &(struct pd_leaf){one, 1, 10 * FIX_DAY, FIX_NOW, false});
	(void)state;

	assert_int_equal(pd_cert_not_after(cert), FIX_NOW + 2 * FIX_DAY);
	assert_int_equal(mid->chain_not_after, FIX_NOW + 2 * FIX_DAY);
	X509_free(cert);
	EVP_PKEY_free(key);
	pd_signer_unref(&mid);
	pd_signer_unref(&root);
}

static void expect_refused(const struct pd_signer *s, const struct pd_leaf *leaf, int code, const char *reason)
{
	EVP_PKEY *key = pd_key_generate(PD_KEY_ED25519, 0);
	struct pd_buf out = {0}, why = {0};

	assert_int_equal(pd_signer_issue_own(s, key, leaf, &out, NULL, &why), code);
	assert_int_equal(out.n, 0);
	assert_non_null(strstr(why.p, reason));
	pd_buf_free(&why);
	EVP_PKEY_free(key);
}

static void test_refused(void **state)
{
	static const char *const empty[] = {""}, *const newline[] = {"a\nb"}, *const utf8[] = {"\xc3\xa4"};
	const char *many[PD_SANS_MAX + 1];
	struct pd_signer *root = fix_root("a"), *expired = fix_intermediate(root, true, -1);
	(void)state;

	for (int i = 0; i <= PD_SANS_MAX; i++)
		many[i] = ID;
	expect_refused(expired, &(struct pd_leaf){one, 1, 60, FIX_NOW, false}, PD_E_INVALID, "expired");
	expect_refused(root, &(struct pd_leaf){one, 1, 0, FIX_NOW, false}, PD_E_INVALID, "expired");
	expect_refused(root, &(struct pd_leaf){empty, 1, 60, FIX_NOW, false}, PD_E_INVALID, "empty");
	expect_refused(root, &(struct pd_leaf){newline, 1, 60, FIX_NOW, false}, PD_E_INVALID, "characters");
	expect_refused(root, &(struct pd_leaf){utf8, 1, 60, FIX_NOW, false}, PD_E_INVALID, "characters");
	expect_refused(root, &(struct pd_leaf){one, 0, 60, FIX_NOW, false}, PD_E_LIMIT, "0 names");
	expect_refused(root, &(struct pd_leaf){many, PD_SANS_MAX + 1, 60, FIX_NOW, false}, PD_E_LIMIT, "65 names");
	pd_signer_unref(&root);
	pd_signer_unref(&expired);
}

static void test_ttl(void **state)
{
	const struct pd_ttl_rules rules = {PD_DEFAULT_TTL_S, PD_MAX_TTL_S};
	struct pd_buf why = {0};
	int64_t ttl;
	(void)state;

	assert_int_equal(pd_ttl_pick(&rules, 0, PD_CA_TTL_S, &ttl, &why), PD_OK);
	assert_int_equal(ttl, 86400);
	assert_int_equal(pd_ttl_pick(&rules, -5, PD_CA_TTL_S, &ttl, &why), PD_OK);
	assert_int_equal(ttl, 86400);
	assert_int_equal(pd_ttl_pick(&rules, 0, 3600, &ttl, &why), PD_OK);
	assert_int_equal(ttl, 3600);
	assert_int_equal(pd_ttl_pick(&rules, 7200, 3600, &ttl, &why), PD_OK);
	assert_int_equal(ttl, 7200);
	assert_int_equal(pd_ttl_pick(&rules, PD_MAX_TTL_S, PD_CA_TTL_S, &ttl, &why), PD_OK);
	assert_int_equal(pd_ttl_pick(&rules, PD_MAX_TTL_S + 1, PD_CA_TTL_S, &ttl, &why), PD_E_LIMIT);
	assert_non_null(strstr(why.p, "maximum is 7776000 s"));
	assert_int_equal(pd_ttl_pick(&rules, INT64_MAX, PD_CA_TTL_S, &ttl, &why), PD_E_LIMIT);
	pd_buf_free(&why);
}

// Who trusts only the old root takes a leaf of the new one through the cross certificate.
static void test_cross(void **state)
{
	struct pd_signer *old = fix_root("cluster.local"), *new = fix_root("cluster.local");
	X509 *cross = pd_root_cross(new->cert, old, FIX_NOW);
	struct pd_certs between = {0}, none = {0}, old_only = {0}, new_only = {0};
	EVP_PKEY *key = pd_key_generate(PD_KEY_P256, 0);
	X509 *leaf = issue(new, key, &(struct pd_leaf){one, 1, 60, FIX_NOW, false});
	struct pd_buf why = {0};
	(void)state;

	pd_certs_add(&between, cross);
	pd_certs_add(&old_only, old->cert);
	pd_certs_add(&new_only, new->cert);
	assert_int_equal(pd_cert_check_chain(leaf, &between, &old_only, FIX_NOW, &why), PD_OK);
	assert_int_equal(pd_cert_check_chain(leaf, &between, &new_only, FIX_NOW, &why), PD_OK);
	assert_int_equal(pd_cert_check_chain(leaf, &none, &new_only, FIX_NOW, &why), PD_OK);
	assert_int_equal(pd_cert_check_chain(leaf, &none, &old_only, FIX_NOW, &why), PD_E_INVALID);
	pd_buf_free(&why);
	pd_certs_free(&between);
	pd_certs_free(&old_only);
	pd_certs_free(&new_only);
	X509_free(leaf);
	X509_free(cross);
	EVP_PKEY_free(key);
	pd_signer_unref(&old);
	pd_signer_unref(&new);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_long_common_name_is_left_out),
		cmocka_unit_test(test_end_is_cut),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_ttl),
		cmocka_unit_test(test_cross),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
