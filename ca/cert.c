#include "ca/cert.h"

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <time.h>

#include "ca/key.h"
#include "ca/pem.h"

// ---- lists ---------------------------------------------------------------------------------------------------------------

static void truncate_to(struct pd_certs *c, size_t n)
{
	while (c->v.n > n)
		X509_free(c->v.v[--c->v.n]);
}

void pd_certs_free(struct pd_certs *c)
{
	truncate_to(c, 0);
	pd_vec_free(&c->v);
}

void pd_certs_add(struct pd_certs *c, X509 *cert)
{
	X509_up_ref(cert);
	pd_vec_push(&c->v, cert);
}

bool pd_certs_contain(const struct pd_certs *c, const X509 *cert)
{
	for (size_t i = 0; i < c->v.n; i++)
		if (X509_cmp(c->v.v[i], cert) == 0)
			return true;
	return false;
}

// ---- PEM -----------------------------------------------------------------------------------------------------------------

static int read_one(const struct pd_pem *b, struct pd_certs *out, struct pd_buf *why)
{
	const unsigned char *p = b->der;
	X509 *cert;

	if (!pd_pem_is(b, "CERTIFICATE")) {
		pd_buf_printf(why, "a PEM block is not a certificate but \"%.*s\"", (int)b->label_len, b->label);
		return PD_E_PARSE;
	}
	if (out->v.n == PD_CERTS_MAX) {
		pd_buf_printf(why, "more than %d certificates", PD_CERTS_MAX);
		return PD_E_LIMIT;
	}
	cert = d2i_X509(NULL, &p, (long)b->n);
	if (!cert || p != b->der + b->n) {
		pd_buf_printf(why, cert ? "there are bytes behind certificate %zu" : "certificate %zu is damaged",
			      out->v.n + 1);
		X509_free(cert);
		ERR_clear_error();
		return PD_E_PARSE;
	}
	pd_vec_push(&out->v, cert);
	return PD_OK;
}

int pd_certs_from_pem(const char *pem, size_t n, struct pd_certs *out, struct pd_buf *why)
{
	const char *at = pem;
	size_t before = out->v.n;
	struct pd_pem b;
	int rc = PD_OK;

	if (n > PD_PEM_INPUT_MAX) {
		pd_buf_printf(why, "%zu bytes are too many for certificates", n);
		return PD_E_LIMIT;
	}
	while (rc == PD_OK) {
		rc = pd_pem_next(&at, pem + n, &b, why);
		if (rc == PD_OK) {
			rc = read_one(&b, out, why);
			pd_pem_free(&b);
		}
	}
	if (rc == PD_E_NOTFOUND && out->v.n > before)
		return PD_OK;
	if (rc == PD_E_NOTFOUND) {
		pd_buf_adds(why, "there is no certificate in PEM");
		rc = PD_E_PARSE;
	}
	truncate_to(out, before);
	return rc;
}

void pd_cert_to_pem(const X509 *cert, struct pd_buf *out)
{
	unsigned char *der = NULL;
	int n = i2d_X509(cert, &der);

	PD_ASSERT(n > 0);
	pd_pem_write(out, "CERTIFICATE", der, (size_t)n);
	OPENSSL_free(der);
}

void pd_certs_to_pem(const struct pd_certs *c, struct pd_buf *out)
{
	for (size_t i = 0; i < c->v.n; i++)
		pd_cert_to_pem(c->v.v[i], out);
}

// ---- what it says --------------------------------------------------------------------------------------------------------

static int64_t seconds(const ASN1_TIME *t)
{
	struct tm tm;

	return ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

int64_t pd_cert_not_before(const X509 *cert)
{
	return seconds(X509_get0_notBefore(cert));
}

int64_t pd_cert_not_after(const X509 *cert)
{
	return seconds(X509_get0_notAfter(cert));
}

void pd_cert_subject(const X509 *cert, struct pd_buf *out)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *p;
	long n;

	PD_ASSERT(bio);
	X509_NAME_print_ex(bio, X509_get_subject_name(cert), 0, XN_FLAG_ONELINE & ~ASN1_STRFLGS_ESC_MSB);
	n = BIO_get_mem_data(bio, &p);
	pd_buf_add(out, p, (size_t)n);
	BIO_free(bio);
}

// ---- checks --------------------------------------------------------------------------------------------------------------

static const char *weakness(X509 *cert)
{
	EVP_PKEY *k = X509_get0_pubkey(cert);
	int digest;

	if (!k || pd_key_type(k) == PD_KEY_OTHER)
		return "has an unsupported key";
	if (pd_key_type(k) == PD_KEY_RSA && EVP_PKEY_get_bits(k) < PD_RSA_BITS_MIN)
		return "has an RSA key of less than 2048 bits";
	if (!X509_get_signature_info(cert, &digest, NULL, NULL, NULL))
		return "has an unsupported signature";
	if (digest == NID_sha1 || digest == NID_md5)
		return "is signed with a weak digest";
	return NULL;
}

static const char *ca_fault(X509 *cert, int64_t now_s)
{
	uint32_t flags = X509_get_extension_flags(cert);

	if (flags & EXFLAG_INVALID)
		return "has invalid extensions";
	if (!(flags & EXFLAG_CA))
		return "is not a CA";
	if (flags & EXFLAG_KUSAGE && !(X509_get_key_usage(cert) & KU_KEY_CERT_SIGN))
		return "may not sign certificates (key usage)";
	if (now_s > pd_cert_not_after(cert))
		return "has expired";
	if (now_s < pd_cert_not_before(cert))
		return "is not valid yet";
	return weakness(cert);
}

int pd_cert_check_ca(X509 *cert, int64_t now_s, struct pd_buf *why)
{
	const char *fault = ca_fault(cert, now_s);

	if (!fault)
		return PD_OK;
	pd_buf_adds(why, "certificate \"");
	pd_cert_subject(cert, why);
	pd_buf_printf(why, "\" %s", fault);
	return PD_E_INVALID;
}

int pd_cert_check_key(const X509 *cert, const EVP_PKEY *key, struct pd_buf *why)
{
	if (X509_check_private_key(cert, key) == 1)
		return PD_OK;
	ERR_clear_error();
	pd_buf_adds(why, "the private key does not belong to the certificate");
	return PD_E_INVALID;
}

static STACK_OF(X509) * stack_of(const struct pd_certs *c)
{
	STACK_OF(X509) *s = sk_X509_new_null();

	PD_ASSERT(s);
	for (size_t i = 0; i < c->v.n; i++)
		sk_X509_push(s, c->v.v[i]);
	return s;
}

int pd_cert_check_chain(X509 *cert, const struct pd_certs *intermediates, const struct pd_certs *roots, int64_t now_s,
			struct pd_buf *why)
{
	STACK_OF(X509) *untrusted = stack_of(intermediates);
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	X509_STORE *store = X509_STORE_new();
	int ok;

	PD_ASSERT(ctx && store);
	for (size_t i = 0; i < roots->v.n; i++)
		X509_STORE_add_cert(store, roots->v.v[i]);
	PD_ASSERT(X509_STORE_CTX_init(ctx, store, cert, untrusted) == 1);
	// A root of the bundle need not be self-signed: trust ends wherever it begins.
	X509_VERIFY_PARAM_set_flags(X509_STORE_CTX_get0_param(ctx), X509_V_FLAG_PARTIAL_CHAIN);
	X509_VERIFY_PARAM_set_time(X509_STORE_CTX_get0_param(ctx), (time_t)now_s);
	ok = X509_verify_cert(ctx) == 1;
	if (!ok)
		pd_buf_printf(why, "the chain does not end at a root: %s (at depth %d)",
			      X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)),
			      X509_STORE_CTX_get_error_depth(ctx));
	ERR_clear_error();
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	sk_X509_free(untrusted);
	return ok ? PD_OK : PD_E_INVALID;
}
