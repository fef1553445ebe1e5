// Tokens: every algorithm, every way to be refused, and what an attacker would try.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/pem.h>
#include <cmocka.h>

#include "api/json.h"
#include "ca/jwt.h"
#include "tests/unit/ca/jwt_maker.h"

#define NOW 1700000000
#define CLAIMS                                                                                                         \
	"{\"iss\":\"https://issuer\",\"aud\":[\"other\",\"istio-ca\"],\"exp\":1700000600,\"nbf\":1699999990,"          \
	"\"iat\":1699999990,\"sub\":\"system:serviceaccount:ns:sa\"}"

static EVP_PKEY *rsa, *p256, *p384, *p521, *ed, *stranger;
static struct pd_jwks *keys;

static int setup(void **state)
{
	struct pd_buf why = {0};
	char *text = NULL;
	(void)state;

	rsa = pd_key_generate(PD_KEY_RSA, 2048);
	p256 = pd_key_generate(PD_KEY_P256, 0);
	p384 = pd_key_generate(PD_KEY_P384, 0);
	p521 = pd_key_generate(PD_KEY_P521, 0);
	ed = pd_key_generate(PD_KEY_ED25519, 0);
	stranger = pd_key_generate(PD_KEY_RSA, 2048);
	text = jwk_add(text, rsa, "rsa", NULL, NULL);
	text = jwk_add(text, p256, "p256", NULL, NULL);
	text = jwk_add(text, p384, "p384", NULL, NULL);
	text = jwk_add(text, p521, "p521", NULL, NULL);
	text = jwk_add(text, ed, "ed", NULL, NULL);
	text = jwk_add(text, p256, "es256 only", "ES256", NULL);
	text = jwks_close(text);
	assert_int_equal(pd_jwks_parse(text, strlen(text), &keys, &why), PD_OK);
	free(text);
	return 0;
}

static int teardown(void **state)
{
	EVP_PKEY *all[] = {rsa, p256, p384, p521, ed, stranger};
	(void)state;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		EVP_PKEY_free(all[i]);
	pd_jwks_unref(keys);
	return 0;
}

// Parse, verify, check; the reason is in *why.
static enum pd_jwt_fault judge(const char *token, struct pd_buf *why)
{
	static const char *const audiences[] = {"istio-ca", "second"};
	const struct pd_jwt_rules rules = {"https://issuer", audiences, 2, NOW};
	// A copy of exact size, so that reading beyond it is seen.
	char *copy = pd_xmalloc(strlen(token) + 1);
	struct pd_jwt t;
	enum pd_jwt_fault f;

	memcpy(copy, token, strlen(token));
	f = pd_jwt_parse(copy, strlen(token), &t, why);
	if (!f) {
		f = pd_jwt_verify(&t, keys, why);
		if (!f)
			f = pd_jwt_check(&t, &rules, why);
		pd_jwt_free(&t);
	}
	free(copy);
	return f;
}

static void expect(char *token, enum pd_jwt_fault want, const char *part)
{
	struct pd_buf why = {0};
	enum pd_jwt_fault f = judge(token, &why);

	if (f != want || (part && !strstr(pd_or(why.p, ""), part)))
		fail_msg("%s (%s), not %s (%s), for %s", pd_jwt_fault_label(f), pd_or(why.p, ""),
			 pd_jwt_fault_label(want), part, token);
	// The reason is one line and holds nothing of the signature.
	assert_null(strchr(pd_or(why.p, ""), '\n'));
	pd_buf_free(&why);
	free(token);
}

static void expect_claims(const char *claims, enum pd_jwt_fault want, const char *part)
{
	expect(jwt_sign("ES256", p256, "p256", claims), want, part);
}

// ---- signatures --------------------------------------------------------------------------------------------------------

static void test_algorithms(void **state)
{
	const struct {
		const char *alg, *kid;
		EVP_PKEY *key;
	} all[] = {
		{"RS256", "rsa", rsa},   {"RS384", "rsa", rsa}, {"RS512", "rsa", rsa},   {"PS256", "rsa", rsa},
		{"PS384", "rsa", rsa},   {"PS512", "rsa", rsa}, {"ES256", "p256", p256}, {"ES384", "p384", p384},
		{"ES512", "p521", p521}, {"EdDSA", "ed", ed},
	};
	(void)state;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		char *damaged;
		size_t at;

		assert_true(pd_jwt_alg_known(all[i].alg));
		expect(jwt_sign(all[i].alg, all[i].key, all[i].kid, CLAIMS), PD_JWT_OK, NULL);
		expect(jwt_sign(all[i].alg, all[i].key, NULL, CLAIMS), PD_JWT_OK, NULL);
		damaged = jwt_sign(all[i].alg, all[i].key, all[i].kid, CLAIMS);
		at = strlen(damaged) - 10;
		damaged[at] = damaged[at] == 'A' ? 'B' : 'A';
		expect(damaged, PD_JWT_SIGNATURE, "signature is wrong");
	}
}

// The example of RFC 7515 appendix A.3: not made by our own signer.
static void test_known_answer(void **state)
{
	static const char jwk[] = "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\","
				  "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
				  "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}";
	static const char token[] =
		"eyJhbGciOiJFUzI1NiJ9"
		".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
		".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
	struct pd_buf why = {0};
	struct pd_jwks *k;
	struct pd_jwt t;
	(void)state;

	assert_int_equal(pd_jwks_parse(jwk, strlen(jwk), &k, &why), PD_OK);
	assert_int_equal(pd_jwt_parse(token, strlen(token), &t, &why), PD_JWT_OK);
	assert_int_equal(pd_jwt_verify(&t, k, &why), PD_JWT_OK);
	assert_string_equal(pd_json_get_string(t.claims, "iss"), "joe");
	assert_int_equal(pd_jwt_expiry(&t), 1300819380);
	pd_jwt_free(&t);
	pd_jwks_unref(k);
}

static void test_wrong_key(void **state)
{
	(void)state;

	expect(jwt_sign("RS256", stranger, "rsa", CLAIMS), PD_JWT_SIGNATURE, "signature is wrong");
	expect(jwt_sign("RS256", stranger, NULL, CLAIMS), PD_JWT_SIGNATURE, "signature is wrong");
	expect(jwt_sign("RS256", stranger, "newer", CLAIMS), PD_JWT_UNKNOWN_KEY, "no RS256 key with the id \"newer\"");
	// A key of another type, or one that is for another algorithm only, is not used.
	expect(jwt_sign("RS256", rsa, "p256", CLAIMS), PD_JWT_UNKNOWN_KEY, NULL);
	expect(jwt_make("ES384", p384, NULL, "{\"alg\":\"ES384\",\"kid\":\"es256 only\"}", CLAIMS), PD_JWT_UNKNOWN_KEY,
	       NULL);
	// Claims of one token, signature of another.
	{
		char *a = jwt_sign("ES256", p256, "p256", CLAIMS),
		     *b = jwt_sign("ES256", p256, "p256", "{\"iss\":\"x\"}");
		char *mixed = pd_xasprintf("%.*s%s", (int)(strrchr(b, '.') - b), b, strrchr(a, '.'));

		free(a);
		free(b);
		expect(mixed, PD_JWT_SIGNATURE, "signature is wrong");
	}
}

static void test_none(void **state)
{
	static const char *const names[] = {"none", "None", "NONE", "nOnE", ""};
	(void)state;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char *header = pd_xasprintf("{\"alg\":\"%s\"}", names[i]);

		expect(jwt_make("none", NULL, NULL, header, CLAIMS), PD_JWT_ALGORITHM, "is not accepted");
		expect(jwt_make("ES256", p256, NULL, header, CLAIMS), PD_JWT_ALGORITHM, "is not accepted");
		free(header);
	}
	// Without a signature, whatever the algorithm.
	expect(jwt_make("none", NULL, NULL, "{\"alg\":\"RS256\",\"kid\":\"rsa\"}", CLAIMS), PD_JWT_SIGNATURE, NULL);
	expect(jwt_make("none", NULL, NULL, "{\"alg\":\"ES256\",\"kid\":\"p256\"}", CLAIMS), PD_JWT_SIGNATURE, NULL);
	expect(jwt_make("none", NULL, NULL, "{\"alg\":\"EdDSA\",\"kid\":\"ed\"}", CLAIMS), PD_JWT_SIGNATURE, NULL);
}

// The public key, as everybody can read it, used as the secret of an HMAC.
static void test_hmac_confusion(void **state)
{
	struct pd_buf pem = {0};
	BIO *bio = BIO_new(BIO_s_mem());
	char *jwk = jwks_close(jwk_add(NULL, rsa, "rsa", NULL, NULL)), *data;
	long n;
	(void)state;

	assert_int_equal(PEM_write_bio_PUBKEY(bio, rsa), 1);
	n = BIO_get_mem_data(bio, &data);
	pd_buf_add(&pem, data, (size_t)n);
	BIO_free(bio);
	expect(jwt_make("HS256", NULL, pem.p, "{\"alg\":\"HS256\",\"kid\":\"rsa\"}", CLAIMS), PD_JWT_ALGORITHM,
	       "\"HS256\" is not accepted");
	expect(jwt_make("HS256", NULL, jwk, "{\"alg\":\"HS256\",\"kid\":\"rsa\"}", CLAIMS), PD_JWT_ALGORITHM, NULL);
	expect(jwt_make("HS256", NULL, pem.p, "{\"alg\":\"RS256\",\"kid\":\"rsa\"}", CLAIMS), PD_JWT_SIGNATURE, NULL);
	free(jwk);
	pd_buf_free(&pem);
}

// Keys that the token brings along are not trusted.
static void test_own_key(void **state)
{
	char *jwk = jwk_add(NULL, stranger, NULL, NULL, NULL);
	char *header =
		pd_xasprintf("{\"alg\":\"RS256\",\"jwk\":%s,\"jku\":\"https://evil/jwks\"}", strchr(jwk, '[') + 1);
	(void)state;

	expect(jwt_make("RS256", stranger, NULL, header, CLAIMS), PD_JWT_SIGNATURE, NULL);
	free(header);
	free(jwk);
	expect(jwt_make("ES256", p256, NULL, "{\"alg\":\"ES256\",\"crit\":[\"b64\"],\"b64\":false}", CLAIMS),
	       PD_JWT_MALFORMED, "extensions");
}

// ---- claims ------------------------------------------------------------------------------------------------------------

#define BASIC "\"iss\":\"https://issuer\",\"aud\":\"istio-ca\""

static void test_times(void **state)
{
	(void)state;

	expect_claims("{" BASIC ",\"exp\":1700000001}", PD_JWT_OK, NULL);
	expect_claims("{" BASIC ",\"exp\":1700000001.75}", PD_JWT_OK, NULL);
	expect_claims("{" BASIC ",\"exp\":1699999941}", PD_JWT_OK, NULL); // within the skew
	expect_claims("{" BASIC ",\"exp\":1699999940}", PD_JWT_EXPIRED, "expired 60 s ago");
	expect_claims("{" BASIC ",\"exp\":0}", PD_JWT_EXPIRED, NULL);
	expect_claims("{" BASIC ",\"exp\":-1e300}", PD_JWT_EXPIRED, NULL);
	expect_claims("{" BASIC "}", PD_JWT_EXPIRED, "no expiry");
	expect_claims("{" BASIC ",\"exp\":\"1900000000\"}", PD_JWT_MALFORMED, "a time is not a number");
	expect_claims("{" BASIC ",\"exp\":null}", PD_JWT_MALFORMED, NULL);
	expect_claims("{" BASIC ",\"exp\":1900000000,\"nbf\":1700000060}", PD_JWT_OK, NULL);
	expect_claims("{" BASIC ",\"exp\":1900000000,\"nbf\":1700000061}", PD_JWT_NOT_YET, "not valid yet");
	expect_claims("{" BASIC ",\"exp\":1900000000,\"iat\":1700000061}", PD_JWT_NOT_YET, NULL);
	expect_claims("{" BASIC ",\"exp\":1900000000,\"nbf\":true}", PD_JWT_MALFORMED, NULL);
	expect_claims("{" BASIC ",\"exp\":18446744073709551615}", PD_JWT_OK, NULL);
}

static void test_audience_and_issuer(void **state)
{
	struct pd_buf many = {0};
	(void)state;

#define EXP ",\"exp\":1900000000}"
	expect_claims("{\"iss\":\"https://issuer\",\"aud\":\"second\"" EXP, PD_JWT_OK, NULL);
	expect_claims("{\"iss\":\"https://issuer\",\"aud\":\"istio-cb\"" EXP, PD_JWT_AUDIENCE,
		      "audience \"istio-cb\",");
	expect_claims("{\"iss\":\"https://issuer\",\"aud\":[\"a\",\"b\"]" EXP, PD_JWT_AUDIENCE, "\"a\" and others");
	expect_claims("{\"iss\":\"https://issuer\",\"aud\":[]" EXP, PD_JWT_AUDIENCE, "has no audience");
	expect_claims("{\"iss\":\"https://issuer\"" EXP, PD_JWT_AUDIENCE, "has no audience");
	expect_claims("{\"iss\":\"https://issuer\",\"aud\":[7,null,{}]" EXP, PD_JWT_AUDIENCE, NULL);
	expect_claims("{\"iss\":\"https://issuer\",\"aud\":{}" EXP, PD_JWT_MALFORMED, "neither");
	expect_claims("{\"iss\":\"https://issuer\",\"aud\":\"istio-ca\\u0000\"" EXP, PD_JWT_AUDIENCE, NULL);
	expect_claims("{\"iss\":\"https://issuer/\",\"aud\":\"istio-ca\"" EXP, PD_JWT_ISSUER, "\"https://issuer/\"");
	expect_claims("{\"iss\":[\"https://issuer\"],\"aud\":\"istio-ca\"" EXP, PD_JWT_ISSUER, NULL);
	expect_claims("{\"aud\":\"istio-ca\"" EXP, PD_JWT_ISSUER, NULL);
	pd_buf_adds(&many, "{\"iss\":\"https://issuer\",\"aud\":[\"istio-ca\"");
	for (int i = 0; i < PD_JWT_AUDIENCES_MAX; i++)
		pd_buf_adds(&many, ",\"x\"");
	pd_buf_adds(&many, "]" EXP);
	expect_claims(many.p, PD_JWT_MALFORMED, "too many audiences");
	pd_buf_free(&many);
}

// ---- form --------------------------------------------------------------------------------------------------------------

static void test_malformed(void **state)
{
	static const char *const bad[] = {
		"",
		".",
		"..",
		"...",
		"a.b.c",
		"eyJhbGciOiJFUzI1NiJ9",
		"eyJhbGciOiJFUzI1NiJ9.e30",
		"e30.e30.e30",
		"eyJhbGciOiJFUzI1NiJ9.e30.AA.AA",
		"eyJhbGciOiJFUzI1NiJ9.e30.A",
		"eyJhbGciOiJFUzI1NiJ9.e30.AA==",
		"eyJhbGciOiJFUzI1NiJ9.e30.A+A/",
		"eyJhbGciOiJFUzI1NiJ9.e30. AAA",
		"eyJhbGciOiJFUzI1NiJ9.e3 0.AAAA",
		" eyJhbGciOiJFUzI1NiJ9.e30.AAAA",
		"eyJhbGciOiJFUzI1NiJ9..AAAA",
		"eyJhbGciOiJFUzI1NiJ9.W10.AAAA",
		"W10.e30.AAAA",
		"bnVsbA.e30.AAAA",
	};
	struct pd_buf many = {0};
	(void)state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		expect(pd_xstrdup(bad[i]), PD_JWT_MALFORMED, "malformed");
	// Two values of one name: which one would others read?
	expect(jwt_make("ES256", p256, NULL, "{\"alg\":\"ES256\",\"alg\":\"none\"}", CLAIMS), PD_JWT_MALFORMED, NULL);
	expect_claims("{" BASIC ",\"exp\":1900000000,\"sub\":\"a\",\"sub\":\"b\"}", PD_JWT_MALFORMED, NULL);
	expect(jwt_make("ES256", p256, NULL, "{\"alg\":256}", CLAIMS), PD_JWT_MALFORMED, "no algorithm");
	expect(jwt_make("ES256", p256, NULL, "{\"alg\":\"ES256\",\"kid\":1}", CLAIMS), PD_JWT_MALFORMED, "key id");
	pd_buf_adds(&many, "{\"a0\":0");
	for (int i = 1; i <= PD_JWT_MEMBERS_MAX; i++)
		pd_buf_printf(&many, ",\"a%d\":0", i);
	pd_buf_addc(&many, '}');
	expect_claims(many.p, PD_JWT_MALFORMED, NULL);
	pd_buf_free(&many);
}

static void test_huge(void **state)
{
	char *huge = pd_xcalloc(1, PD_JWT_MAX + 2), *deep;
	(void)state;

	memset(huge, 'A', PD_JWT_MAX);
	expect(pd_xstrdup(huge), PD_JWT_MALFORMED, NULL);
	huge[PD_JWT_MAX] = 'A';
	expect(huge, PD_JWT_TOO_LARGE, "at most");
	deep = pd_xcalloc(1, 8001);
	memset(deep, '[', 8000);
	expect_claims(deep, PD_JWT_MALFORMED, NULL);
	free(deep);
}

// More keys without an id than are tried: the cost of a bad token is bounded.
static void test_tries(void **state)
{
	struct pd_buf why = {0};
	struct pd_jwks *k;
	char *text = NULL, *token = jwt_sign("ES256", p256, NULL, CLAIMS);
	struct pd_jwt t;
	(void)state;

	for (int i = 0; i < PD_JWT_TRIES_MAX; i++) {
		EVP_PKEY *other = pd_key_generate(PD_KEY_P256, 0);

		text = jwk_add(text, other, NULL, NULL, NULL);
		EVP_PKEY_free(other);
	}
	text = jwks_close(jwk_add(text, p256, NULL, NULL, NULL));
	assert_int_equal(pd_jwks_parse(text, strlen(text), &k, &why), PD_OK);
	assert_int_equal(pd_jwt_parse(token, strlen(token), &t, &why), PD_JWT_OK);
	assert_int_equal(pd_jwt_verify(&t, k, &why), PD_JWT_SIGNATURE);
	pd_jwt_free(&t);
	pd_jwks_unref(k);
	pd_buf_free(&why);
	free(token);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_algorithms),     cmocka_unit_test(test_known_answer),
		cmocka_unit_test(test_wrong_key),      cmocka_unit_test(test_none),
		cmocka_unit_test(test_hmac_confusion), cmocka_unit_test(test_own_key),
		cmocka_unit_test(test_times),          cmocka_unit_test(test_audience_and_issuer),
		cmocka_unit_test(test_malformed),      cmocka_unit_test(test_huge),
		cmocka_unit_test(test_tries),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
