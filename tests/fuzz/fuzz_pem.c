// Files of certificates and keys: whatever is taken survives being written and read again.
#include <stddef.h>
#include <stdint.h>

#include "ca/cert.h"
#include "ca/key.h"
#include "ca/pem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void certificates(const char *pem, size_t n)
{
	struct pd_certs certs = {0}, again = {0};
	struct pd_buf why = {0}, text = {0};
	int rc = pd_certs_from_pem(pem, n, &certs, &why);

	PD_ASSERT((rc == PD_OK) == (certs.v.n > 0));
	PD_ASSERT(rc == PD_OK || why.n > 0);
	if (rc == PD_OK) {
		pd_certs_to_pem(&certs, &text);
		PD_ASSERT(pd_certs_from_pem(text.p, text.n, &again, &why) == PD_OK && again.v.n == certs.v.n);
		(void)pd_cert_check_ca(certs.v.v[0], 1800000000, &why);
		(void)pd_cert_check_chain(certs.v.v[0], &certs, &again, 1800000000, &why);
	}
	pd_certs_free(&certs);
	pd_certs_free(&again);
	pd_buf_free(&why);
	pd_buf_free(&text);
}

static void key(const char *pem, size_t n)
{
	struct pd_buf why = {0}, text = {0};
	EVP_PKEY *k, *again;
	int rc = pd_key_from_pem(pem, n, &k, &why);

	PD_ASSERT((rc == PD_OK) == (k != NULL));
	PD_ASSERT(rc == PD_OK || why.n > 0);
	if (k) {
		pd_key_to_pem(k, &text);
		PD_ASSERT(pd_key_from_pem(text.p, text.n, &again, &why) == PD_OK && EVP_PKEY_eq(k, again) == 1);
		EVP_PKEY_free(again);
	}
	EVP_PKEY_free(k);
	pd_pem_wipe(&text);
	pd_buf_free(&why);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const labels[] = {"CERTIFICATE", "PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"};
	struct pd_buf pem = {0};

	certificates((const char *)data, size);
	key((const char *)data, size);
	if (size == 0)
		return 0;
	// The first byte chooses what the rest claims to be.
	pd_pem_write(&pem, labels[data[0] % 4], data + 1, size - 1);
	if (data[0] % 4 == 0)
		certificates(pem.p, pem.n);
	else
		key(pem.p, pem.n);
	pd_buf_free(&pem);
	return 0;
}
