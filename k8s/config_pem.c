// Checks of PEM texts, so that a mistake is found where it was made and not as a failed TLS handshake.
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "k8s/config.h"

static BIO *memory(const char *p, size_t len)
{
	BIO *bio = len <= PD_K8S_PEM_MAX_BYTES ? BIO_new_mem_buf(p, (int)len) : NULL;

	PD_ASSERT(bio);
	return bio;
}

// OpenSSL would ask the terminal for a passphrase.
static int no_passphrase(char *buf, int size, int rwflag, void *user)
{
	(void)buf, (void)size, (void)rwflag, (void)user;
	return 0;
}

static X509 *first_certificate(const char *pem, size_t len)
{
	BIO *bio = memory(pem, len);
	X509 *x = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);

	BIO_free(bio);
	return x;
}

static int too_large(struct pd_buf *err)
{
	pd_buf_printf(err, "larger than %d bytes", PD_K8S_PEM_MAX_BYTES);
	return PD_E_INVALID;
}

int pd_k8s_check_ca(const char *pem, size_t len, struct pd_buf *err)
{
	X509 *x;

	if (len > PD_K8S_PEM_MAX_BYTES)
		return too_large(err);
	x = first_certificate(pem, len);
	ERR_clear_error();
	if (!x) {
		pd_buf_adds(err, "no certificate in PEM form in it");
		return PD_E_INVALID;
	}
	X509_free(x);
	return PD_OK;
}

int pd_k8s_check_pair(const char *cert, size_t cert_len, const char *key, size_t key_len, struct pd_buf *err)
{
	EVP_PKEY *k = NULL;
	X509 *x = NULL;
	BIO *bio;
	int rc = PD_E_INVALID;

	if (cert_len > PD_K8S_PEM_MAX_BYTES || key_len > PD_K8S_PEM_MAX_BYTES)
		return too_large(err);
	x = first_certificate(cert, cert_len);
	bio = memory(key, key_len);
	k = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
	BIO_free(bio);
	if (!x)
		pd_buf_adds(err, "no client certificate in PEM form");
	else if (!k)
		pd_buf_adds(err, "no private key in PEM form, or it has a passphrase");
	else if (!X509_check_private_key(x, k))
		pd_buf_adds(err, "the key does not belong to the certificate");
	else
		rc = PD_OK;
	ERR_clear_error();
	X509_free(x);
	EVP_PKEY_free(k);
	return rc;
}
