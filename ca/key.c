#include "ca/key.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/x509.h>
#include <string.h>

#include "ca/pem.h"

enum pd_key_type pd_key_type(const EVP_PKEY *k)
{
	char group[32] = "";
	size_t n;

	if (EVP_PKEY_is_a(k, "RSA"))
		return PD_KEY_RSA;
	if (EVP_PKEY_is_a(k, "ED25519"))
		return PD_KEY_ED25519;
	if (!EVP_PKEY_is_a(k, "EC") || !EVP_PKEY_get_group_name(k, group, sizeof(group), &n))
		return PD_KEY_OTHER;
	if (strcmp(group, "prime256v1") == 0 || strcmp(group, "P-256") == 0)
		return PD_KEY_P256;
	if (strcmp(group, "secp384r1") == 0 || strcmp(group, "P-384") == 0)
		return PD_KEY_P384;
	return strcmp(group, "secp521r1") == 0 || strcmp(group, "P-521") == 0 ? PD_KEY_P521 : PD_KEY_OTHER;
}

const char *pd_key_type_name(enum pd_key_type t)
{
	static const char *const names[] = {
		[PD_KEY_OTHER] = "unsupported key", [PD_KEY_P256] = "ECDSA P-256", [PD_KEY_P384] = "ECDSA P-384",
		[PD_KEY_P521] = "ECDSA P-521",      [PD_KEY_RSA] = "RSA",          [PD_KEY_ED25519] = "Ed25519",
	};

	return names[t];
}

const EVP_MD *pd_key_digest(const EVP_PKEY *k)
{
	switch (pd_key_type(k)) {
	case PD_KEY_ED25519:
		return NULL;
	case PD_KEY_P384:
		return EVP_sha384();
	case PD_KEY_P521:
		return EVP_sha512();
	default:
		return EVP_sha256();
	}
}

static int check(EVP_PKEY *k, struct pd_buf *why)
{
	enum pd_key_type t = pd_key_type(k);
	int bits = EVP_PKEY_get_bits(k);
	EVP_PKEY_CTX *ctx;
	int ok;

	if (t == PD_KEY_OTHER) {
		pd_buf_adds(why, "the private key is neither RSA nor ECDSA (P-256, P-384, P-521) nor Ed25519");
		return PD_E_INVALID;
	}
	if (t == PD_KEY_RSA && (bits < PD_RSA_BITS_MIN || bits > PD_RSA_BITS_MAX)) {
		pd_buf_printf(why, "the private RSA key has %d bits, %d to %d are accepted", bits, PD_RSA_BITS_MIN,
			      PD_RSA_BITS_MAX);
		return PD_E_INVALID;
	}
	ctx = EVP_PKEY_CTX_new_from_pkey(NULL, k, NULL);
	ok = ctx && EVP_PKEY_pairwise_check(ctx) == 1;
	EVP_PKEY_CTX_free(ctx);
	if (ok)
		return PD_OK;
	pd_buf_adds(why, "the halves of the private key do not fit");
	return PD_E_INVALID;
}

static EVP_PKEY *decode(const struct pd_pem *b)
{
	const unsigned char *p = b->der;
	PKCS8_PRIV_KEY_INFO *p8;
	EVP_PKEY *k = NULL;

	if (pd_pem_is(b, "EC PRIVATE KEY"))
		k = d2i_PrivateKey(EVP_PKEY_EC, NULL, &p, (long)b->n);
	else if (pd_pem_is(b, "RSA PRIVATE KEY"))
		k = d2i_PrivateKey(EVP_PKEY_RSA, NULL, &p, (long)b->n);
	else if ((p8 = d2i_PKCS8_PRIV_KEY_INFO(NULL, &p, (long)b->n))) {
		k = EVP_PKCS82PKEY(p8);
		PKCS8_PRIV_KEY_INFO_free(p8);
	}
	if (k && p == b->der + b->n)
		return k;
	EVP_PKEY_free(k);
	return NULL;
}

static bool is_key(const struct pd_pem *b)
{
	return pd_pem_is(b, "PRIVATE KEY") || pd_pem_is(b, "EC PRIVATE KEY") || pd_pem_is(b, "RSA PRIVATE KEY");
}

static int read_blocks(const char *at, const char *end, EVP_PKEY **out, struct pd_buf *why)
{
	struct pd_pem b;
	int rc;

	while ((rc = pd_pem_next(&at, end, &b, why)) == PD_OK) {
		const char *fault = NULL;
		if (pd_pem_is(&b, "EC PARAMETERS") && !*out)
			;
		else if (!is_key(&b))
			fault = pd_pem_is(&b, "ENCRYPTED PRIVATE KEY") ? "the private key is encrypted"
								       : "a PEM block is not a private key";
		else if (*out)
			fault = "there is more than one private key";
		else if (!(*out = decode(&b)))
			fault = "the private key is damaged";
		pd_pem_free(&b);
		if (fault) {
			pd_buf_adds(why, fault);
			return PD_E_PARSE;
		}
	}
	if (rc == PD_E_NOTFOUND && *out)
		return PD_OK;
	if (rc == PD_E_NOTFOUND)
		pd_buf_adds(why, "there is no private key in PEM");
	return PD_E_PARSE;
}

int pd_key_from_pem(const char *pem, size_t n, EVP_PKEY **out, struct pd_buf *why)
{
	int rc;

	*out = NULL;
	if (n > PD_PEM_INPUT_MAX) {
		pd_buf_printf(why, "%zu bytes are too many for a key", n);
		return PD_E_LIMIT;
	}
	rc = read_blocks(pem, pem + n, out, why);
	if (rc == PD_OK)
		rc = check(*out, why);
	if (rc != PD_OK) {
		EVP_PKEY_free(*out);
		*out = NULL;
	}
	return rc;
}

void pd_key_to_pem(const EVP_PKEY *k, struct pd_buf *out)
{
	PKCS8_PRIV_KEY_INFO *p8 = EVP_PKEY2PKCS8(k);
	unsigned char *der = NULL;
	int n = p8 ? i2d_PKCS8_PRIV_KEY_INFO(p8, &der) : -1;

	PD_ASSERT(n > 0);
	pd_pem_write(out, "PRIVATE KEY", der, (size_t)n);
	OPENSSL_clear_free(der, (size_t)n);
	PKCS8_PRIV_KEY_INFO_free(p8);
}

EVP_PKEY *pd_key_generate(enum pd_key_type t, unsigned bits)
{
	EVP_PKEY *k = NULL;

	if (t == PD_KEY_RSA)
		k = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)bits);
	else if (t == PD_KEY_ED25519)
		k = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	else
		k = EVP_PKEY_Q_keygen(NULL, NULL, "EC",
				      t == PD_KEY_P256   ? "P-256"
				      : t == PD_KEY_P384 ? "P-384"
							 : "P-521");
	PD_ASSERT(k);
	return k;
}
