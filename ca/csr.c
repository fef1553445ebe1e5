#include "ca/csr.h"

#include <openssl/err.h>
#include <openssl/objects.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/mem.h"
#include "ca/pem.h"

// The parts of a request, all inside of its DER.
struct parts {
	struct pd_der info;          // what is signed
	struct pd_der subject, spki; // spki with tag and length
	struct pd_der algorithm, parameters, key_bits;
	struct pd_der signature_algorithm, signature_parameters, signature;
};

// ---- structure -------------------------------------------------------------------------------------------------------------

// AlgorithmIdentifier: OID and what follows it.
static bool take_algorithm(struct pd_der *in, struct pd_der *oid, struct pd_der *parameters)
{
	struct pd_der seq;

	if (!pd_der_take(in, PD_DER_SEQUENCE, &seq, NULL) || !pd_der_take(&seq, PD_DER_OID, oid, NULL))
		return false;
	*parameters = seq;
	return true;
}

static bool take_spki(struct pd_der *in, struct parts *r)
{
	struct pd_der seq;

	return pd_der_take(in, PD_DER_SEQUENCE, &seq, &r->spki) &&
	       take_algorithm(&seq, &r->algorithm, &r->parameters) && pd_der_take_bits(&seq, &r->key_bits) &&
	       seq.n == 0;
}

static bool take_info(struct pd_der *in, struct parts *r)
{
	struct pd_der info, version, attributes;

	if (!pd_der_take(in, PD_DER_SEQUENCE, &info, &r->info) || !pd_der_take(&info, PD_DER_INTEGER, &version, NULL) ||
	    !pd_der_equal(&version, "\0", 1) || !pd_der_take(&info, PD_DER_SEQUENCE, &r->subject, NULL) ||
	    !take_spki(&info, r))
		return false;
	// The standard has attributes always; some leave the empty ones out.
	return info.n == 0 || (pd_der_take(&info, PD_DER_CONTEXT_0, &attributes, NULL) && info.n == 0);
}

static bool split(struct pd_der der, struct parts *r, const char **fault)
{
	struct pd_der seq;

	*fault = "it is not a certificate request (PKCS #10)";
	if (!pd_der_take(&der, PD_DER_SEQUENCE, &seq, NULL))
		return false;
	if (der.n != 0) {
		*fault = "there are bytes behind the request";
		return false;
	}
	return take_info(&seq, r) && take_algorithm(&seq, &r->signature_algorithm, &r->signature_parameters) &&
	       pd_der_take_bits(&seq, &r->signature) && seq.n == 0;
}

// Does the subject hold a common name (2.5.4.3) that is not empty? False also if it is malformed: it is ignored anyway.
static bool has_common_name(struct pd_der name)
{
	static const uint8_t common_name[] = {0x55, 0x04, 0x03};
	struct pd_der rdn, attribute, oid, value;
	uint8_t tag;

	while (pd_der_take(&name, PD_DER_SET, &rdn, NULL))
		while (pd_der_take(&rdn, PD_DER_SEQUENCE, &attribute, NULL))
			if (pd_der_take(&attribute, PD_DER_OID, &oid, NULL) &&
			    pd_der_equal(&oid, common_name, sizeof(common_name)) &&
			    pd_der_take_any(&attribute, &tag, &value) && value.n > 0)
				return true;
	return false;
}

// ---- keys ------------------------------------------------------------------------------------------------------------------

static const uint8_t oid_ec[] = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01};
static const uint8_t oid_rsa[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01};
static const uint8_t oid_ed25519[] = {0x2b, 0x65, 0x70};
static const uint8_t oid_p256[] = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
static const uint8_t oid_p384[] = {0x2b, 0x81, 0x04, 0x00, 0x22};

// Keys whose curves new ones copy: taking one from the curve's name costs as much as half a verification.
static EVP_PKEY *curve_p256, *curve_p384;
static pthread_once_t curves_once = PTHREAD_ONCE_INIT;

static void free_curves(void)
{
	EVP_PKEY_free(curve_p256);
	EVP_PKEY_free(curve_p384);
}

static void make_curves(void)
{
	curve_p256 = pd_key_generate(PD_KEY_P256, 0);
	curve_p384 = pd_key_generate(PD_KEY_P384, 0);
	OPENSSL_atexit(free_curves);
}

static EVP_PKEY *ec_key(enum pd_key_type t, const struct pd_der *point)
{
	size_t coordinate = t == PD_KEY_P256 ? 32 : 48;
	EVP_PKEY *k;

	if (point->n != 1 + 2 * coordinate || point->p[0] != 4) // uncompressed
		return NULL;
	pthread_once(&curves_once, make_curves);
	k = EVP_PKEY_new();
	PD_ASSERT(k && EVP_PKEY_copy_parameters(k, t == PD_KEY_P256 ? curve_p256 : curve_p384) == 1);
	if (EVP_PKEY_set1_encoded_public_key(k, point->p, point->n) == 1) // checks that the point is on the curve
		return k;
	EVP_PKEY_free(k);
	return NULL;
}

static const char *take_ec(struct pd_csr *c)
{
	struct pd_der rest = c->algorithm_parameters, curve;

	if (!pd_der_take(&rest, PD_DER_OID, &curve, NULL) || rest.n != 0)
		return "its elliptic curve has no name";
	if (pd_der_equal(&curve, oid_p256, sizeof(oid_p256)))
		c->type = PD_KEY_P256;
	else if (pd_der_equal(&curve, oid_p384, sizeof(oid_p384)))
		c->type = PD_KEY_P384;
	else
		return "its elliptic curve is neither P-256 nor P-384";
	c->bits = c->type == PD_KEY_P256 ? 256 : 384;
	c->key = ec_key(c->type, &c->key_bits);
	return c->key ? NULL : "its public key is not a point of the curve";
}

// Modulus of 2048 to 8192 bits, an odd exponent of at least 3 and at most 64 bits.
static const char *rsa_fault(const struct pd_der *key, unsigned *bits)
{
	struct pd_der outer = *key, seq, n, e;

	if (!pd_der_take(&outer, PD_DER_SEQUENCE, &seq, NULL) || outer.n != 0 ||
	    !pd_der_take(&seq, PD_DER_INTEGER, &n, NULL) || !pd_der_take(&seq, PD_DER_INTEGER, &e, NULL) ||
	    seq.n != 0 || n.n < 2 || e.n < 1)
		return "its RSA key is damaged";
	if (n.p[0] == 0) {
		n.p++;
		n.n--;
	}
	*bits = n.n > PD_RSA_BITS_MAX ? UINT32_MAX : (unsigned)n.n * 8 - (unsigned)__builtin_clz(n.p[0] | 1u) + 24;
	if (*bits < PD_RSA_BITS_MIN)
		return "its RSA key has less than 2048 bits";
	if (*bits > PD_RSA_BITS_MAX)
		return "its RSA key has more than 8192 bits";
	if (e.n > 8 || e.p[0] >= 0x80 || !(e.p[e.n - 1] & 1) || (e.n == 1 && e.p[0] < 3))
		return "its RSA exponent is weak";
	return NULL;
}

static const char *take_rsa(struct pd_csr *c, const struct pd_der *spki)
{
	const uint8_t *p = spki->p;
	const char *fault;

	if (!pd_der_equal(&c->algorithm_parameters, "\x05", 2))
		return "its RSA key has parameters";
	fault = rsa_fault(&c->key_bits, &c->bits);
	if (fault)
		return fault;
	c->type = PD_KEY_RSA;
	c->key = d2i_PUBKEY(NULL, &p, (long)spki->n);
	return c->key ? NULL : "its RSA key is damaged";
}

static const char *take_ed25519(struct pd_csr *c)
{
	if (c->algorithm_parameters.n != 0 || c->key_bits.n != 32)
		return "its Ed25519 key is damaged";
	c->type = PD_KEY_ED25519;
	c->bits = 256;
	c->key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, c->key_bits.p, c->key_bits.n);
	return c->key ? NULL : "its Ed25519 key is damaged";
}

static const char *take_key(struct pd_csr *c, const struct parts *r)
{
	c->algorithm_parameters = r->parameters;
	c->key_bits = r->key_bits;
	if (pd_der_equal(&r->algorithm, oid_ec, sizeof(oid_ec)))
		return take_ec(c);
	if (pd_der_equal(&r->algorithm, oid_rsa, sizeof(oid_rsa)))
		return take_rsa(c, &r->spki);
	if (pd_der_equal(&r->algorithm, oid_ed25519, sizeof(oid_ed25519)))
		return take_ed25519(c);
	return "its key is neither ECDSA (P-256, P-384) nor RSA nor Ed25519";
}

// ---- signature -------------------------------------------------------------------------------------------------------------

// How a request may be signed: the last byte of ecdsa-with-SHA2 (1.2.840.10045.4.3.x) and of SHA2-with-RSA
// (1.2.840.113549.1.1.x) tells the digest.
static bool digest_of(const struct pd_csr *c, const struct parts *r, const EVP_MD **md)
{
	static const uint8_t ecdsa_sha2[] = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03};
	static const uint8_t rsa_pkcs1[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01};
	const struct pd_der *a = &r->signature_algorithm;
	bool rsa = c->type == PD_KEY_RSA;
	const uint8_t *prefix = rsa ? rsa_pkcs1 : ecdsa_sha2;
	size_t n = rsa ? sizeof(rsa_pkcs1) : sizeof(ecdsa_sha2);

	*md = NULL;
	if (c->type == PD_KEY_ED25519)
		return pd_der_equal(a, oid_ed25519, sizeof(oid_ed25519)) && r->signature_parameters.n == 0;
	if (a->n != n + 1 || memcmp(a->p, prefix, n) != 0)
		return false;
	if (r->signature_parameters.n != 0 && !(rsa && pd_der_equal(&r->signature_parameters, "\x05", 2)))
		return false;
	switch (a->p[n] - (rsa ? 11 : 2)) {
	case 0:
		*md = EVP_sha256();
		return true;
	case 1:
		*md = EVP_sha384();
		return true;
	case 2:
		*md = EVP_sha512();
		return true;
	default:
		return false;
	}
}

static bool verify(const struct pd_csr *c, const struct parts *r, const EVP_MD *md)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok;

	PD_ASSERT(ctx);
	ok = EVP_DigestVerifyInit(ctx, NULL, md, NULL, c->key) == 1 &&
	     EVP_DigestVerify(ctx, r->signature.p, r->signature.n, r->info.p, r->info.n) == 1;
	EVP_MD_CTX_free(ctx);
	return ok;
}

static const char *check(struct pd_csr *c, const struct parts *r)
{
	const char *fault = take_key(c, r);
	const EVP_MD *md;

	if (fault)
		return fault;
	if (!digest_of(c, r, &md))
		return "its signature algorithm is not supported (SHA-256, SHA-384, SHA-512 with the kind of its key)";
	return verify(c, r, md) ? NULL : "its signature does not verify";
}

// ---- all of it -------------------------------------------------------------------------------------------------------------

static int read_pem(const char *pem, size_t n, struct pd_pem *block, struct pd_buf *why)
{
	const char *at = pem;
	int rc = pd_pem_next(&at, pem + n, block, why);

	if (rc == PD_E_NOTFOUND) {
		pd_buf_adds(why, "there is no certificate request in PEM");
		return PD_E_PARSE;
	}
	if (rc != PD_OK)
		return rc;
	if (!pd_pem_is(block, "CERTIFICATE REQUEST") && !pd_pem_is(block, "NEW CERTIFICATE REQUEST"))
		pd_buf_adds(why, "the PEM block is not a certificate request");
	else if (block->text_before || !pd_pem_only_blanks(at, pem + n))
		pd_buf_adds(why, "there is something besides the certificate request");
	else
		return PD_OK;
	pd_pem_free(block);
	return PD_E_PARSE;
}

int pd_csr_parse(const char *pem, size_t n, struct pd_csr *out, struct pd_buf *why)
{
	struct pd_pem block;
	struct parts r;
	const char *fault;
	int rc;

	*out = (struct pd_csr){0};
	if (n > PD_CSR_PEM_MAX) {
		pd_buf_printf(why, "the certificate request has %zu bytes (limit %u)", n, PD_CSR_PEM_MAX);
		return PD_E_LIMIT;
	}
	rc = read_pem(pem, n, &block, why);
	if (rc != PD_OK)
		return rc;
	out->der = block.der;
	if (!split((struct pd_der){block.der, block.n}, &r, &fault)) {
		rc = PD_E_PARSE;
	} else {
		out->wants_common_name = has_common_name(r.subject);
		fault = check(out, &r);
		rc = fault ? PD_E_INVALID : PD_OK;
	}
	if (rc != PD_OK) {
		pd_buf_printf(why, "the certificate request is refused: %s", fault);
		pd_csr_free(out);
	}
	ERR_clear_error();
	return rc;
}

void pd_csr_free(struct pd_csr *c)
{
	EVP_PKEY_free(c->key);
	free(c->der);
	*c = (struct pd_csr){0};
}

void pd_csr_set_pubkey(const struct pd_csr *c, X509 *cert)
{
	static const struct {
		int algorithm, curve;
	} nid[] = {
		[PD_KEY_P256] = {NID_X9_62_id_ecPublicKey, NID_X9_62_prime256v1},
		[PD_KEY_P384] = {NID_X9_62_id_ecPublicKey, NID_secp384r1},
		[PD_KEY_RSA] = {NID_rsaEncryption, NID_undef},
		[PD_KEY_ED25519] = {NID_ED25519, NID_undef},
	};
	int type = c->type == PD_KEY_RSA ? V_ASN1_NULL : c->type == PD_KEY_ED25519 ? V_ASN1_UNDEF : V_ASN1_OBJECT;
	void *curve = type == V_ASN1_OBJECT ? OBJ_nid2obj(nid[c->type].curve) : NULL; // static: not freed
	unsigned char *bits = OPENSSL_memdup(c->key_bits.p, c->key_bits.n);

	PD_ASSERT(bits);
	PD_ASSERT(X509_PUBKEY_set0_param(X509_get_X509_PUBKEY(cert), OBJ_nid2obj(nid[c->type].algorithm), type, curve,
					 bits, (int)c->key_bits.n) == 1);
}
