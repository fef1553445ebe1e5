#include "proxy/csr.h"

#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "ca/key.h"
#include "ca/pem.h"

// Critical, because the subject is empty (RFC 5280 §4.2.1.6).
static X509_EXTENSION *alternative_name(const char *uri)
{
	GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_IA5STRING *text = ASN1_IA5STRING_new();
	PD_ASSERT(names && name && text && ASN1_STRING_set(text, uri, (int)strlen(uri)));
	GENERAL_NAME_set0_value(name, GEN_URI, text);
	PD_ASSERT(sk_GENERAL_NAME_push(names, name));
	X509_EXTENSION *e = X509V3_EXT_i2d(NID_subject_alt_name, 1, names);
	PD_ASSERT(e);
	sk_GENERAL_NAME_pop_free(names, GENERAL_NAME_free);
	return e;
}

void pd_csr_write(EVP_PKEY *key, const char *spiffe_id, struct pd_buf *out)
{
	X509_REQ *req = X509_REQ_new();
	STACK_OF(X509_EXTENSION) *extensions = sk_X509_EXTENSION_new_null();
	unsigned char *der = NULL;
	PD_ASSERT(req && extensions && sk_X509_EXTENSION_push(extensions, alternative_name(spiffe_id)));
	PD_ASSERT(X509_REQ_set_version(req, 0) && X509_REQ_set_pubkey(req, key) &&
		  X509_REQ_add_extensions(req, extensions) && X509_REQ_sign(req, key, pd_key_digest(key)));
	int n = i2d_X509_REQ(req, &der);
	PD_ASSERT(n > 0);
	pd_pem_write(out, "CERTIFICATE REQUEST", der, (size_t)n);
	OPENSSL_free(der);
	sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
	X509_REQ_free(req);
}
