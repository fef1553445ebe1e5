#include "ca/jwks.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "api/base64.h"
#include "api/json.h"
#include "base/mem.h"

#define EC_COORDINATE_MAX 66 // bytes: P-521
#define RSA_EXPONENT_BITS 64 // longer public exponents only cost time
#define ED25519_KEY 32       // bytes

static bool member_bytes(struct pd_arena *a, const struct pd_json *jwk, const char *name, ProtobufCBinaryData *out)
{
	const char *s = pd_json_get_string(jwk, name);

	return s && *s && pd_base64_decode(a, s, strlen(s), out);
}

static EVP_PKEY *from_params(const char *type, OSSL_PARAM_BLD *b)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(b);
	EVP_PKEY *key = NULL;

	PD_ASSERT(ctx && params);
	if (EVP_PKEY_fromdata_init(ctx) <= 0 || EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) <= 0)
		key = NULL;
	OSSL_PARAM_free(params);
	EVP_PKEY_CTX_free(ctx);
	return key;
}

// RFC 7518 §6.3.
static EVP_PKEY *rsa_key(struct pd_arena *a, const struct pd_json *jwk)
{
	ProtobufCBinaryData n_bytes, e_bytes;
	EVP_PKEY *key = NULL;
	OSSL_PARAM_BLD *b;
	BIGNUM *n, *e;

	if (!member_bytes(a, jwk, "n", &n_bytes) || !member_bytes(a, jwk, "e", &e_bytes) ||
	    n_bytes.len > PD_RSA_BITS_MAX / 8 + 1 || e_bytes.len > PD_RSA_BITS_MAX / 8)
		return NULL;
	b = OSSL_PARAM_BLD_new();
	n = BN_bin2bn(n_bytes.data, (int)n_bytes.len, NULL);
	e = BN_bin2bn(e_bytes.data, (int)e_bytes.len, NULL);
	PD_ASSERT(b && n && e);
	if (BN_num_bits(n) >= PD_RSA_BITS_MIN && BN_num_bits(n) <= PD_RSA_BITS_MAX && BN_is_odd(n) && BN_is_odd(e) &&
	    !BN_is_one(e) && BN_num_bits(e) <= RSA_EXPONENT_BITS) {
		OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_N, n);
		OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_E, e);
		key = from_params("RSA", b);
	}
	BN_free(n);
	BN_free(e);
	OSSL_PARAM_BLD_free(b);
	return key;
}

// RFC 7518 §6.2: coordinates have exactly the length of the field. OpenSSL refuses points that are not on the curve.
static EVP_PKEY *ec_key(struct pd_arena *a, const struct pd_json *jwk)
{
	static const struct {
		const char *crv, *group;
		size_t len;
	} curves[] = {{"P-256", "prime256v1", 32}, {"P-384", "secp384r1", 48}, {"P-521", "secp521r1", 66}};
	uint8_t point[1 + 2 * EC_COORDINATE_MAX] = {POINT_CONVERSION_UNCOMPRESSED};
	const char *crv = pd_json_get_string(jwk, "crv");
	ProtobufCBinaryData x, y;
	EVP_PKEY *key = NULL;
	OSSL_PARAM_BLD *b;

	if (!crv || !member_bytes(a, jwk, "x", &x) || !member_bytes(a, jwk, "y", &y))
		return NULL;
	for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]) && !key; i++) {
		if (strcmp(crv, curves[i].crv) != 0 || x.len != curves[i].len || y.len != curves[i].len)
			continue;
		memcpy(point + 1, x.data, x.len);
		memcpy(point + 1 + x.len, y.data, y.len);
		b = OSSL_PARAM_BLD_new();
		PD_ASSERT(b);
		OSSL_PARAM_BLD_push_utf8_string(b, OSSL_PKEY_PARAM_GROUP_NAME, curves[i].group, 0);
		OSSL_PARAM_BLD_push_octet_string(b, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + x.len + y.len);
		key = from_params("EC", b);
		OSSL_PARAM_BLD_free(b);
	}
	return key;
}

// RFC 8037 §2.
static EVP_PKEY *okp_key(struct pd_arena *a, const struct pd_json *jwk)
{
	ProtobufCBinaryData x;

	if (!pd_streq(pd_json_get_string(jwk, "crv"), "Ed25519") || !member_bytes(a, jwk, "x", &x) ||
	    x.len != ED25519_KEY)
		return NULL;
	return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, x.data, x.len);
}

// May the key verify signatures (RFC 7517 §4.2, §4.3)?
static bool is_for_signatures(const struct pd_json *jwk)
{
	const struct pd_json *use = pd_json_get(jwk, "use"), *ops = pd_json_get(jwk, "key_ops");

	if (use && !pd_streq(pd_json_get_string(jwk, "use"), "sig"))
		return false;
	if (!ops)
		return true;
	if (ops->type != PD_JSON_ARRAY)
		return false;
	for (const struct pd_json *op = ops->first; op; op = op->next)
		if (op->type == PD_JSON_STRING && strcmp(op->s, "verify") == 0)
			return true;
	return false;
}

// Absent is fine; otherwise a string within limits.
static bool optional_text(const struct pd_json *jwk, const char *name, const char **out)
{
	*out = pd_json_get_string(jwk, name);
	return *out ? strlen(*out) <= PD_JWK_TEXT_MAX : !pd_json_get(jwk, name);
}

static bool jwk_read(struct pd_arena *a, const struct pd_json *jwk, struct pd_jwk *out)
{
	const char *kty = pd_json_get_string(jwk, "kty"), *kid, *alg;
	EVP_PKEY *key = NULL;

	if (!kty || !optional_text(jwk, "kid", &kid) || !optional_text(jwk, "alg", &alg) || !is_for_signatures(jwk))
		return false;
	if (strcmp(kty, "RSA") == 0)
		key = rsa_key(a, jwk);
	else if (strcmp(kty, "EC") == 0)
		key = ec_key(a, jwk);
	else if (strcmp(kty, "OKP") == 0)
		key = okp_key(a, jwk);
	if (!key)
		return false;
	*out = (struct pd_jwk){kid ? pd_xstrdup(kid) : NULL, alg ? pd_xstrdup(alg) : NULL, pd_key_type(key), key};
	return true;
}

static int read_keys(struct pd_arena *a, const struct pd_json *root, struct pd_jwks *k, struct pd_buf *why)
{
	const struct pd_json *keys = pd_json_get(root, "keys");
	struct pd_jwk jwk;

	if (!keys || keys->type != PD_JSON_ARRAY) {
		pd_buf_adds(why, "not a key set: no list \"keys\"");
		return PD_E_PARSE;
	}
	if (keys->n > PD_JWKS_KEYS_MAX) {
		pd_buf_printf(why, "%u keys; at most %d are taken", keys->n, PD_JWKS_KEYS_MAX);
		return PD_E_LIMIT;
	}
	for (const struct pd_json *j = keys->first; j; j = j->next) {
		if (jwk_read(a, j, &jwk))
			pd_vec_push(&k->keys, jwk);
		else
			k->skipped++;
	}
	if (k->keys.n)
		return PD_OK;
	pd_buf_printf(why, "none of its %u keys can be used", keys->n);
	return PD_E_NOTFOUND;
}

int pd_jwks_parse(const char *text, size_t n, struct pd_jwks **out, struct pd_buf *why)
{
	struct pd_json_error err = {0};
	struct pd_arena arena = {0};
	struct pd_json *root;
	struct pd_jwks *k;
	int rc;

	if (n > PD_JWKS_MAX) {
		pd_buf_printf(why, "a key set of %zu bytes; at most %d are taken", n, PD_JWKS_MAX);
		return PD_E_LIMIT;
	}
	k = pd_xcalloc(1, sizeof(*k));
	pd_ref_init(&k->ref);
	rc = pd_json_parse(&arena, text, n, &root, &err);
	if (rc)
		pd_buf_printf(why, "not a key set: line %u: %s", err.line, err.text);
	else
		rc = read_keys(&arena, root, k, why);
	pd_arena_free(&arena);
	ERR_clear_error(); // of keys that OpenSSL did not take
	if (rc)
		pd_jwks_unref(k);
	else
		*out = k;
	return rc;
}

void pd_jwks_unref(struct pd_jwks *k)
{
	if (!k || !pd_ref_drop(&k->ref))
		return;
	for (size_t i = 0; i < k->keys.n; i++) {
		free((char *)k->keys.v[i].kid);
		free((char *)k->keys.v[i].alg);
		EVP_PKEY_free(k->keys.v[i].key);
	}
	pd_vec_free(&k->keys);
	free(k);
}
