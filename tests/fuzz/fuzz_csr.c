// Certificate signing requests: as PEM, and as DER put into PEM, where mutations reach further.
#include <stddef.h>
#include <stdint.h>

#include "ca/csr.h"
#include "ca/pem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void parse(const char *pem, size_t n)
{
	struct pd_buf why = {0};
	struct pd_csr csr;
	int rc = pd_csr_parse(pem, n, &csr, &why);

	PD_ASSERT((rc == PD_OK) == (csr.key != NULL));
	PD_ASSERT(rc == PD_OK || why.n > 0);
	if (rc == PD_OK) {
		X509 *cert = X509_new();
		pd_csr_set_pubkey(&csr, cert);
		PD_ASSERT(EVP_PKEY_get_bits(csr.key) == (int)csr.bits || csr.type == PD_KEY_ED25519);
		X509_free(cert);
	}
	pd_csr_free(&csr);
	pd_buf_free(&why);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pd_buf pem = {0};

	parse((const char *)data, size);
	pd_pem_write(&pem, "CERTIFICATE REQUEST", data, size);
	parse(pem.p, pem.n);
	pd_buf_free(&pem);
	return 0;
}
