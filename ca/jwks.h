// Key sets (JWK Set, RFC 7517): the public keys that tokens of an issuer are signed with.
#ifndef CA_JWKS_H
#define CA_JWKS_H

#include <openssl/evp.h>
#include <stddef.h>

#include "base/err.h"
#include "base/ref.h"
#include "base/str.h"
#include "base/vec.h"
#include "ca/key.h"

#define PD_JWKS_MAX (256 * 1024) // bytes of a document
#define PD_JWKS_KEYS_MAX 100     // keys in it, those that we cannot use included
#define PD_JWK_TEXT_MAX 256      // bytes of kid and alg

struct pd_jwk {
	const char *kid;       // NULL = none; owned
	const char *alg;       // the only algorithm that it is for; NULL = any that fits its type; owned
	enum pd_key_type type; // RSA of 2048 to 8192 bits, P-256, P-384, P-521, Ed25519
	EVP_PKEY *key;
};

// Immutable once parsed; shared by reference, read on any thread.
struct pd_jwks {
	pd_ref ref;
	PD_VEC(struct pd_jwk) keys; // at least one
	size_t skipped;             // keys that cannot be used: see pd_jwks_parse
};

// Keys that nobody could verify a token with are left out and counted, as RFC 7517 §5 wants it: other types (symmetric ones
// included), `use` other than "sig", `key_ops` without "verify", missing or malformed members, weak or huge RSA keys, points
// that are not on their curve. Private members are not looked at. *out gets one reference. Otherwise `why` gets the reason:
// PD_E_PARSE: not a JWK set; PD_E_LIMIT: a limit above; PD_E_NOTFOUND: no usable key.
int pd_jwks_parse(const char *text, size_t n, struct pd_jwks **out, struct pd_buf *why) PD_MUST_CHECK;
static inline struct pd_jwks *pd_jwks_ref(struct pd_jwks *k)
{
	pd_ref_take(&k->ref);
	return k;
}
// NULL is fine.
void pd_jwks_unref(struct pd_jwks *);

#endif
