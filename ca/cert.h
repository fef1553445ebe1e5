// Certificates: reading, what they say, and whether a chain holds.
#ifndef CA_CERT_H
#define CA_CERT_H

#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "base/vec.h"

#define PD_CERTS_MAX 256 // certificates of one PEM file

// A list in the order of the file. All-zero is empty; release with pd_certs_free.
struct pd_certs {
	PD_VEC(X509 *) v;
};
void pd_certs_free(struct pd_certs *);
// Takes a reference of its own.
void pd_certs_add(struct pd_certs *, X509 *);
bool pd_certs_contain(const struct pd_certs *, const X509 *); // the same bytes

// One or more blocks "CERTIFICATE" ("TRUSTED CERTIFICATE" is none); text between blocks is allowed (RFC 7468 §2). Appends to
// `out`, nothing on failure. PD_E_PARSE: no block, a damaged one, bytes behind a certificate; PD_E_LIMIT: PD_PEM_INPUT_MAX,
// PD_CERTS_MAX.
int pd_certs_from_pem(const char *pem, size_t n, struct pd_certs *out, struct pd_buf *why) PD_MUST_CHECK;
void pd_cert_to_pem(const X509 *, struct pd_buf *out);
void pd_certs_to_pem(const struct pd_certs *, struct pd_buf *out); // one after the other

// Seconds since 1970.
int64_t pd_cert_not_before(const X509 *);
int64_t pd_cert_not_after(const X509 *);
// The subject as one line, for logs: "O = cluster.local".
void pd_cert_subject(const X509 *, struct pd_buf *out);

// May this certificate sign others? PD_E_INVALID: not a CA (basicConstraints), key usage without certificate signing, expired
// or not yet valid at `now_s`, a signature or key that is too weak (SHA-1, MD5, RSA below 2048).
int pd_cert_check_ca(X509 *, int64_t now_s, struct pd_buf *why) PD_MUST_CHECK;
// Do certificate and private key belong together? PD_E_INVALID.
int pd_cert_check_key(const X509 *, const EVP_PKEY *, struct pd_buf *why) PD_MUST_CHECK;
// Is there a chain of valid signatures from `cert` over `intermediates` to one of `roots` at `now_s`? PD_E_INVALID.
int pd_cert_check_chain(X509 *cert, const struct pd_certs *intermediates, const struct pd_certs *roots, int64_t now_s,
			struct pd_buf *why) PD_MUST_CHECK;

#endif
