// A certificate signing request of our own (PKCS #10, RFC 2986).
#ifndef PROXY_CSR_H
#define PROXY_CSR_H

#include <openssl/evp.h>

#include "base/str.h"

// Appends a request as PEM: empty subject, critical subject alternative name URI:`spiffe_id`, signed with `key`.
void pd_csr_write(EVP_PKEY *key, const char *spiffe_id, struct pd_buf *out);

#endif
