#include "tests/unit/ca/jwt_maker.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/base64.h"
#include "ca/key.h"

char *b64url(const void *p, size_t n)
{
	struct pd_buf b = {0};

	pd_base64_encode(&b, p, n);
	while (b.n && b.p[b.n - 1] == '=')
		b.p[--b.n] = '\0';
	for (size_t i = 0; i < b.n; i++)
		b.p[i] = (char)(b.p[i] == '+' ? '-' : b.p[i] == '/' ? '_' : b.p[i]);
	return b.p ? b.p : pd_xstrdup("");
}

static void add_number(struct pd_buf *b, const char *name, const EVP_PKEY *key, const char *param, size_t len)
{
	uint8_t bytes[1024];
	BIGNUM *n = NULL;
	char *text;

	PD_ASSERT(EVP_PKEY_get_bn_param(key, param, &n));
	if (!len)
		len = (size_t)BN_num_bytes(n);
	PD_ASSERT(len <= sizeof(bytes) && BN_bn2binpad(n, bytes, (int)len) == (int)len);
	text = b64url(bytes, len);
	pd_buf_printf(b, ",\"%s\":\"%s\"", name, text);
	free(text);
	BN_free(n);
}

static void add_ec(struct pd_buf *b, const EVP_PKEY *key, const char *crv, size_t len)
{
	pd_buf_printf(b, "\"kty\":\"EC\",\"crv\":\"%s\"", crv);
	add_number(b, "x", key, OSSL_PKEY_PARAM_EC_PUB_X, len);
	add_number(b, "y", key, OSSL_PKEY_PARAM_EC_PUB_Y, len);
}

static void add_key(struct pd_buf *b, const EVP_PKEY *key)
{
	uint8_t raw[32];
	size_t n = sizeof(raw);
	char *text;

	switch (pd_key_type(key)) {
	case PD_KEY_RSA:
		pd_buf_adds(b, "\"kty\":\"RSA\"");
		add_number(b, "n", key, OSSL_PKEY_PARAM_RSA_N, 0);
		add_number(b, "e", key, OSSL_PKEY_PARAM_RSA_E, 0);
		return;
	case PD_KEY_P256:
		add_ec(b, key, "P-256", 32);
		return;
	case PD_KEY_P384:
		add_ec(b, key, "P-384", 48);
		return;
	case PD_KEY_P521:
		add_ec(b, key, "P-521", 66);
		return;
	default:
		PD_ASSERT(EVP_PKEY_get_raw_public_key(key, raw, &n));
		text = b64url(raw, n);
		pd_buf_printf(b, "\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"%s\"", text);
		free(text);
	}
}

char *jwk_add(char *keys, const EVP_PKEY *key, const char *kid, const char *alg, const char *extra)
{
	struct pd_buf b = {0};

	pd_buf_adds(&b, keys ? keys : "{\"keys\":[");
	pd_buf_adds(&b, keys ? ",{" : "{");
	free(keys);
	add_key(&b, key);
	if (kid)
		pd_buf_printf(&b, ",\"kid\":\"%s\"", kid);
	if (alg)
		pd_buf_printf(&b, ",\"alg\":\"%s\"", alg);
	pd_buf_adds(&b, extra ? extra : "");
	pd_buf_addc(&b, '}');
	return b.p;
}

char *jwks_close(char *keys)
{
	char *out = pd_xasprintf("%s]}", keys ? keys : "{\"keys\":[");

	free(keys);
	return out;
}

static size_t der_to_raw(const uint8_t *der, size_t n, size_t part, uint8_t *raw)
{
	ECDSA_SIG *s = d2i_ECDSA_SIG(NULL, &der, (long)n);

	PD_ASSERT(s && BN_bn2binpad(ECDSA_SIG_get0_r(s), raw, (int)part) == (int)part &&
		  BN_bn2binpad(ECDSA_SIG_get0_s(s), raw + part, (int)part) == (int)part);
	ECDSA_SIG_free(s);
	return 2 * part;
}

static size_t sign(const char *alg, EVP_PKEY *key, const char *input, uint8_t *out, size_t max)
{
	static const char *const digests[] = {"SHA256", "SHA384", "SHA512"};
	size_t size = (size_t)strtoul(alg + 2, NULL, 10), n = max, part = size == 512 ? 66 : size / 8;
	const char *digest = strcmp(alg, "EdDSA") == 0 ? NULL : digests[size / 128 - 2];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t der[256];
	EVP_PKEY_CTX *p;

	PD_ASSERT(EVP_DigestSignInit_ex(ctx, &p, digest, NULL, NULL, key, NULL) > 0);
	if (alg[0] == 'P')
		PD_ASSERT(EVP_PKEY_CTX_set_rsa_padding(p, RSA_PKCS1_PSS_PADDING) > 0 &&
			  EVP_PKEY_CTX_set_rsa_pss_saltlen(p, RSA_PSS_SALTLEN_DIGEST) > 0);
	PD_ASSERT(EVP_DigestSign(ctx, out, &n, (const uint8_t *)input, strlen(input)) > 0);
	EVP_MD_CTX_free(ctx);
	if (strncmp(alg, "ES", 2) == 0) {
		PD_ASSERT(n <= sizeof(der));
		memcpy(der, out, n);
		n = der_to_raw(der, n, part, out);
	}
	return n;
}

char *jwt_make(const char *alg, EVP_PKEY *key, const char *secret, const char *header, const char *claims)
{
	char *h = b64url(header, strlen(header)), *c = b64url(claims, strlen(claims));
	char *input = pd_xasprintf("%s.%s", h, c), *s, *out;
	uint8_t sig[1024];
	size_t n = 0;
	unsigned len = 0;

	if (strcmp(alg, "HS256") == 0) {
		HMAC(EVP_sha256(), secret, (int)strlen(secret), (const uint8_t *)input, strlen(input), sig, &len);
		n = len;
	} else if (strcmp(alg, "none") != 0) {
		n = sign(alg, key, input, sig, sizeof(sig));
	}
	s = b64url(sig, n);
	out = pd_xasprintf("%s.%s", input, s);
	free(h);
	free(c);
	free(input);
	free(s);
	return out;
}

char *jwt_sign(const char *alg, EVP_PKEY *key, const char *kid, const char *claims)
{
	char *header = kid ? pd_xasprintf("{\"alg\":\"%s\",\"typ\":\"JWT\",\"kid\":\"%s\"}", alg, kid)
			   : pd_xasprintf("{\"alg\":\"%s\"}", alg);
	char *out = jwt_make(alg, key, NULL, header, claims);

	free(header);
	return out;
}
