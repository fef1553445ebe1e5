// Key sets: keys of each type, keys that are left out, and texts that are none.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ca/jwks.h"
#include "tests/unit/ca/jwt_maker.h"

// Parses and wants success.
static struct pd_jwks *parse(const char *text)
{
	struct pd_buf why = {0};
	struct pd_jwks *k = NULL;

	if (pd_jwks_parse(text, strlen(text), &k, &why) != PD_OK)
		fail_msg("%s", why.p);
	return k;
}

static void expect_refused(const char *text, size_t n, int code, const char *part)
{
	struct pd_jwks *k = NULL;
	struct pd_buf why = {0};

	assert_int_equal(pd_jwks_parse(text, n, &k, &why), code);
	assert_null(k);
	assert_non_null(strstr(why.p, part));
	pd_buf_free(&why);
}

static void test_all_types(void **state)
{
	static const enum pd_key_type types[] = {PD_KEY_RSA, PD_KEY_P256, PD_KEY_P384, PD_KEY_P521, PD_KEY_ED25519};
	EVP_PKEY *made[5];
	struct pd_jwks *k;
	char *text = NULL;
	(void)state;

	for (int i = 0; i < 5; i++) {
		made[i] = pd_key_generate(types[i], 2048);
		text = jwk_add(text, made[i], i % 2 ? "odd" : NULL, i == 0 ? "RS256" : NULL, ",\"use\":\"sig\"");
	}
	text = jwks_close(text);
	k = parse(text);
	assert_int_equal(k->keys.n, 5);
	assert_int_equal(k->skipped, 0);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(k->keys.v[i].type, types[i]);
		assert_int_equal(EVP_PKEY_eq(k->keys.v[i].key, made[i]), 1);
		EVP_PKEY_free(made[i]);
	}
	assert_string_equal(k->keys.v[0].alg, "RS256");
	assert_null(k->keys.v[0].kid);
	assert_string_equal(k->keys.v[1].kid, "odd");
	pd_jwks_unref(pd_jwks_ref(k));
	pd_jwks_unref(k);
	free(text);
}

// A key of RFC 7515 appendix A.3, and variants of it that nobody should use.
#define X "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
#define Y "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
#define EC "\"kty\":\"EC\",\"crv\":\"P-256\""
#define GOOD "{" EC ",\"x\":\"" X "\",\"y\":\"" Y "\"}"

static void test_left_out(void **state)
{
	static const char *const bad[] = {
		"null",
		"7",
		"{}",
		"{\"kty\":\"oct\",\"k\":\"c2VjcmV0\",\"alg\":\"HS256\"}",
		"{\"kty\":\"EC\",\"crv\":\"P-256\"}",
		"{" EC ",\"x\":\"" X "\"}",
		"{" EC ",\"x\":\"" Y "\",\"y\":\"" X "\"}",                           // not on the curve
		"{" EC ",\"x\":\"" X "\",\"y\":\"AAAA\"}",                            // too short
		"{" EC ",\"x\":\"" X "\",\"y\":\"" Y "!\"}",                          // no base64
		"{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"" X "\",\"y\":\"" Y "\"}", // another curve's
		"{\"kty\":\"EC\",\"crv\":\"secp256k1\",\"x\":\"" X "\",\"y\":\"" Y "\"}",
		"{" EC ",\"x\":\"" X "\",\"y\":\"" Y "\",\"use\":\"enc\"}",
		"{" EC ",\"x\":\"" X "\",\"y\":\"" Y "\",\"use\":1}",
		"{" EC ",\"x\":\"" X "\",\"y\":\"" Y "\",\"key_ops\":[\"sign\"]}",
		"{" EC ",\"x\":\"" X "\",\"y\":\"" Y "\",\"key_ops\":\"verify\"}",
		"{" EC ",\"x\":\"" X "\",\"y\":\"" Y "\",\"kid\":5}",
		"{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}", // 17 bits
		"{\"kty\":\"RSA\",\"n\":\"\",\"e\":\"\"}",
		"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAA\"}",
		"{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"" X "\"}",
	};
	struct pd_jwks *k;
	struct pd_buf all = {0};
	(void)state;

	pd_buf_adds(&all, "{\"keys\":[");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char *one = pd_xasprintf("{\"keys\":[%s]}", bad[i]);

		expect_refused(one, strlen(one), PD_E_NOTFOUND, "none of its 1 keys");
		free(one);
		pd_buf_printf(&all, "%s,", bad[i]);
	}
	pd_buf_adds(&all, GOOD "]}");
	k = parse(all.p);
	assert_int_equal(k->keys.n, 1);
	assert_int_equal(k->skipped, sizeof(bad) / sizeof(bad[0]));
	pd_jwks_unref(k);
	pd_buf_free(&all);
}

static void test_rsa_sizes(void **state)
{
	static const struct {
		size_t bytes; // of the modulus
		bool ok;
	} sizes[] = {{255, false}, {256, true}, {1024, true}, {1025, false}};
	(void)state;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint8_t *n = pd_xmalloc(sizes[i].bytes);
		char *s, *text;

		memset(n, 0xff, sizes[i].bytes);
		s = b64url(n, sizes[i].bytes);
		text = pd_xasprintf("{\"keys\":[{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"AQAB\"}]}", s);
		if (sizes[i].ok)
			pd_jwks_unref(parse(text));
		else
			expect_refused(text, strlen(text), PD_E_NOTFOUND, "none of its");
		free(n);
		free(s);
		free(text);
	}
}

static void test_no_key_set(void **state)
{
	static const char *const bad[] = {"",         "{",     "[]", "{}", "{\"keys\":{}}", "{\"keys\":[]} x",
					  "\"keys\"", "<html>"};
	char *huge = pd_xcalloc(1, PD_JWKS_MAX + 2);
	struct pd_buf many = {0};
	(void)state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		expect_refused(bad[i], strlen(bad[i]), PD_E_PARSE, "not a key set");
	expect_refused("{\"keys\":[]}", 11, PD_E_NOTFOUND, "none of its 0 keys");
	memset(huge, ' ', PD_JWKS_MAX + 1);
	expect_refused(huge, PD_JWKS_MAX + 1, PD_E_LIMIT, "at most");
	free(huge);
	pd_buf_adds(&many, "{\"keys\":[" GOOD);
	for (int i = 0; i < PD_JWKS_KEYS_MAX; i++)
		pd_buf_adds(&many, "," GOOD);
	pd_buf_adds(&many, "]}");
	expect_refused(many.p, many.n, PD_E_LIMIT, "101 keys");
	pd_buf_free(&many);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_types),
		cmocka_unit_test(test_left_out),
		cmocka_unit_test(test_rsa_sizes),
		cmocka_unit_test(test_no_key_set),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
