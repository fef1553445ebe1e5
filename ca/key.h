// Private keys, and what kind of key a public one is. OpenSSL erases private numbers when it frees them; text that held one is
// erased by us (pd_pem_wipe). Nothing here ever logs or prints a key.
#ifndef CA_KEY_H
#define CA_KEY_H

#include <openssl/evp.h>
#include <stddef.h>

#include "base/err.h"
#include "base/str.h"

#define PD_RSA_BITS_MIN 2048
#define PD_RSA_BITS_MAX 8192 // verifying with more costs too much to do it for everyone who asks

enum pd_key_type {
	PD_KEY_OTHER, // what we do not take
	PD_KEY_P256,
	PD_KEY_P384,
	PD_KEY_P521,
	PD_KEY_RSA,
	PD_KEY_ED25519,
};
enum pd_key_type pd_key_type(const EVP_PKEY *);
// "ECDSA P-256", "RSA"
const char *pd_key_type_name(enum pd_key_type);
// The digest to sign with; NULL for Ed25519, which has its own.
const EVP_MD *pd_key_digest(const EVP_PKEY *);

// One unencrypted private key: PKCS #8 ("PRIVATE KEY"), "EC PRIVATE KEY" (a block "EC PARAMETERS" before it is skipped) or
// "RSA PRIVATE KEY". Caller frees with EVP_PKEY_free. PD_E_PARSE: not that, bytes behind it, more than one; PD_E_INVALID: a
// kind of key that we do not take, RSA below PD_RSA_BITS_MIN or above PD_RSA_BITS_MAX, public and private half do not fit;
// PD_E_LIMIT: longer than PD_PEM_INPUT_MAX. `why` gets the reason.
int pd_key_from_pem(const char *pem, size_t n, EVP_PKEY **out, struct pd_buf *why) PD_MUST_CHECK;
// As PKCS #8. The caller erases the buffer with pd_pem_wipe.
void pd_key_to_pem(const EVP_PKEY *, struct pd_buf *out);
// A new key; `bits` for RSA only. Never NULL: failure means that the system has no randomness, and we stop.
EVP_PKEY *pd_key_generate(enum pd_key_type, unsigned bits);

#endif
