// Certificate signing requests (PKCS #10, RFC 2986): who asks proves that it holds a key; nothing else that it writes counts.
//
// Reading is by hand (ca/der.h) and not by d2i_X509_REQ, which takes longer to decode the key than verifying its signature
// takes, and which lets through what we want to refuse.
#ifndef CA_CSR_H
#define CA_CSR_H

#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "ca/der.h"
#include "ca/key.h"

#define PD_CSR_PEM_MAX (64u << 10) // bytes of a request as PEM

// A request whose signature was checked. Release with pd_csr_free.
struct pd_csr {
	enum pd_key_type type; // P-256, P-384, RSA of 2048 to 8192 bits, Ed25519
	unsigned bits;
	bool wants_common_name; // its subject has a common name that is not empty (which one does not matter)
	struct pd_der algorithm_parameters; // of the public key, in `der`: the curve, NULL, or nothing
	struct pd_der key_bits;             // the public key, in `der`
	EVP_PKEY *key;
	uint8_t *der; // owned
};

// Exactly one block "CERTIFICATE REQUEST" or "NEW CERTIFICATE REQUEST" with nothing but blanks around it. `why` gets the
// reason of a refusal. PD_E_LIMIT: longer than PD_CSR_PEM_MAX; PD_E_PARSE: not a request, bytes behind it; PD_E_INVALID: a
// kind of key or signature that we do not take, a weak key, a signature that is not of this key.
int pd_csr_parse(const char *pem, size_t n, struct pd_csr *out, struct pd_buf *why) PD_MUST_CHECK;
void pd_csr_free(struct pd_csr *);

// Makes the request's key that of a certificate under construction. (X509_set_pubkey would encode the key and decode it again,
// five times the cost of signing.)
void pd_csr_set_pubkey(const struct pd_csr *, X509 *cert);

#endif
