// What tests of the CA are made of: keys, requests of all kinds, certificates, a folder for files.
#ifndef TESTS_UNIT_CA_FIXTURES_H
#define TESTS_UNIT_CA_FIXTURES_H

#include <openssl/x509.h>

#include "base/str.h"
#include "ca/cert.h"
#include "ca/key.h"
#include "ca/signer.h"

#define FIX_NOW 1760000000 // seconds since 1970; a day in 2025: what lives for ten years from then is valid now too
#define FIX_DAY 86400

// A request for `key`, signed by `signer` (NULL: by `key`) with `digest` (NULL: the usual one). Caller frees the text.
struct fix_csr {
	EVP_PKEY *key, *signer;
	const EVP_MD *digest;
	const char *common_name;
	const char *san; // "URI:spiffe://…"
};
char *fix_csr(const struct fix_csr *);
char *fix_csr_of(EVP_PKEY *key);

// A self-signed root with a P-256 key, valid for 10 years from FIX_NOW.
struct pd_signer *fix_root(const char *organization);
// An intermediate CA under it; its chain is itself. `ca` false: not a CA, `days`: lifetime (negative: expired).
struct pd_signer *fix_intermediate(struct pd_signer *root, bool ca, int days);

// The first certificate of a PEM text. Caller frees.
X509 *fix_cert(const char *pem);
char *fix_pem(const X509 *);
char *fix_key_pem(const EVP_PKEY *);
// The names of a certificate's SAN: "URI:spiffe://a, DNS:b, IP:1.2.3.4"; borrowed until the next call.
const char *fix_sans(const X509 *);

// A new folder below the system's folder for temporary files; fix_folder_free removes it with all files in it.
char *fix_folder(void);
void fix_folder_free(char *);
void fix_write(const char *folder, const char *name, const char *text);
char *fix_read(const char *folder, const char *name);

#endif
