// Signatures of tokens (RFC 7518 §3, RFC 8037 §3.1).
#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <string.h>

#include "ca/jwt.h"

#define NAME_SHOWN 100
#define ECDSA_DER_MAX 160 // bytes of a signature with P-521

struct algorithm {
	const char *name;
	enum pd_key_type key;
	const char *digest; // NULL: the algorithm has its own
	bool pss;
	size_t part; // ECDSA: bytes of r and of s
};
static const struct algorithm algorithms[] = {
	{"RS256", PD_KEY_RSA, "SHA256", false, 0},   {"RS384", PD_KEY_RSA, "SHA384", false, 0},
	{"RS512", PD_KEY_RSA, "SHA512", false, 0},   {"PS256", PD_KEY_RSA, "SHA256", true, 0},
	{"PS384", PD_KEY_RSA, "SHA384", true, 0},    {"PS512", PD_KEY_RSA, "SHA512", true, 0},
	{"ES256", PD_KEY_P256, "SHA256", false, 32}, {"ES384", PD_KEY_P384, "SHA384", false, 48},
	{"ES512", PD_KEY_P521, "SHA512", false, 66}, {"EdDSA", PD_KEY_ED25519, NULL, false, 0},
};

static const struct algorithm *find_algorithm(const char *name)
{
	for (size_t i = 0; i < sizeof(algorithms) / sizeof(algorithms[0]); i++)
		if (strcmp(algorithms[i].name, name) == 0)
			return &algorithms[i];
	return NULL;
}

bool pd_jwt_alg_known(const char *alg)
{
	return find_algorithm(alg) != NULL;
}

// r and s side by side → DER. Returns the length in `der`, 0: not a signature.
static size_t ecdsa_to_der(const uint8_t *sig, size_t n, size_t part, uint8_t der[ECDSA_DER_MAX])
{
	ECDSA_SIG *s;
	uint8_t *p = der;
	int len = 0;

	if (n != 2 * part)
		return 0;
	s = ECDSA_SIG_new();
	PD_ASSERT(s);
	PD_ASSERT(ECDSA_SIG_set0(s, BN_bin2bn(sig, (int)part, NULL), BN_bin2bn(sig + part, (int)part, NULL)));
	len = i2d_ECDSA_SIG(s, NULL);
	if (len > 0 && len <= ECDSA_DER_MAX)
		len = i2d_ECDSA_SIG(s, &p);
	else
		len = 0;
	ECDSA_SIG_free(s);
	return len > 0 ? (size_t)len : 0;
}

static bool holds(const struct pd_jwt *t, const struct algorithm *alg, EVP_PKEY *key)
{
	uint8_t der[ECDSA_DER_MAX];
	const uint8_t *sig = t->signature;
	size_t n = t->signature_len;
	EVP_MD_CTX *ctx;
	EVP_PKEY_CTX *pctx;
	bool ok;

	if (alg->part) {
		n = ecdsa_to_der(sig, n, alg->part, der);
		sig = der;
	}
	if (!n)
		return false;
	ctx = EVP_MD_CTX_new();
	PD_ASSERT(ctx);
	ok = EVP_DigestVerifyInit_ex(ctx, &pctx, alg->digest, NULL, NULL, key, NULL) > 0;
	if (ok && alg->pss)
		ok = EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) > 0 &&
		     EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST) > 0;
	ok = ok && EVP_DigestVerify(ctx, sig, n, (const uint8_t *)t->input, t->input_len) == 1;
	EVP_MD_CTX_free(ctx);
	ERR_clear_error();
	return ok;
}

static bool fits(const struct pd_jwt *t, const struct algorithm *alg, const struct pd_jwk *k)
{
	return k->type == alg->key && (!k->alg || strcmp(k->alg, alg->name) == 0) &&
	       (!t->kid || (k->kid && strcmp(k->kid, t->kid) == 0));
}

enum pd_jwt_fault pd_jwt_verify(const struct pd_jwt *t, const struct pd_jwks *keys, struct pd_buf *why)
{
	const struct algorithm *alg = find_algorithm(t->alg);
	unsigned tried = 0;

	if (!alg) {
		pd_buf_printf(why, "the token's algorithm \"%.*s\" is not accepted", NAME_SHOWN, t->alg);
		return PD_JWT_ALGORITHM;
	}
	for (size_t i = 0; i < keys->keys.n && tried < PD_JWT_TRIES_MAX; i++) {
		if (!fits(t, alg, &keys->keys.v[i]))
			continue;
		tried++;
		if (holds(t, alg, keys->keys.v[i].key))
			return PD_JWT_OK;
	}
	if (tried) {
		pd_buf_adds(why, "the token's signature is wrong");
		return PD_JWT_SIGNATURE;
	}
	pd_buf_printf(why, "no %s key", alg->name);
	if (t->kid)
		pd_buf_printf(why, " with the id \"%.*s\"", NAME_SHOWN, t->kid);
	pd_buf_adds(why, " is known");
	return PD_JWT_UNKNOWN_KEY;
}
