#include "certs.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "base/mem.h"

static char *take(BIO *bio)
{
	char *p;
	long n = BIO_get_mem_data(bio, &p);
	char *s = pd_xstrndup(p, (size_t)n);

	BIO_free(bio);
	return s;
}

static void extend(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *e;

	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	PD_ASSERT(e && X509_add_ext(x, e, -1));
	X509_EXTENSION_free(e);
}

static void parse(const struct tc_pair *p, X509 **x, EVP_PKEY **k)
{
	BIO *cert = BIO_new_mem_buf(p->cert, -1), *key = BIO_new_mem_buf(p->key, -1);

	*x = PEM_read_bio_X509(cert, NULL, NULL, NULL);
	*k = PEM_read_bio_PrivateKey(key, NULL, NULL, NULL);
	PD_ASSERT(*x && *k);
	BIO_free(cert);
	BIO_free(key);
}

struct tc_pair tc_make(const struct tc_pair *ca, const char *common_name, const char *san)
{
	static long serial = 1;
	EVP_PKEY *key = EVP_EC_gen("P-256"), *ca_key = key;
	X509 *x = X509_new(), *ca_cert = x;
	BIO *cert_pem = BIO_new(BIO_s_mem()), *key_pem = BIO_new(BIO_s_mem());

	if (ca)
		parse(ca, &ca_cert, &ca_key);
	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), serial++);
	X509_gmtime_adj(X509_getm_notBefore(x), -60);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)common_name, -1,
				   -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(ca_cert));
	X509_set_pubkey(x, key);
	extend(x, ca_cert, NID_basic_constraints, ca ? "critical,CA:FALSE" : "critical,CA:TRUE");
	if (san)
		extend(x, ca_cert, NID_subject_alt_name, san);
	PD_ASSERT(X509_sign(x, ca_key, EVP_sha256()) > 0);
	PD_ASSERT(PEM_write_bio_X509(cert_pem, x) && PEM_write_bio_PrivateKey(key_pem, key, NULL, NULL, 0, NULL, NULL));
	if (ca) {
		X509_free(ca_cert);
		EVP_PKEY_free(ca_key);
	}
	X509_free(x);
	EVP_PKEY_free(key);
	return (struct tc_pair){take(cert_pem), take(key_pem)};
}

void tc_free(struct tc_pair *p)
{
	free(p->cert);
	free(p->key);
	*p = (struct tc_pair){0};
}
