// JSON web tokens (RFC 7519) in the compact serialization of a signature (RFC 7515): reading, verifying, checking claims.
//
//   text ─ pd_jwt_parse ─► header and claims, believed by nobody yet ─ pd_jwt_verify ─► signed by the issuer
//                                                                    ─ pd_jwt_check  ─► for us, and now
//
// Algorithms: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA (Ed25519). All are asymmetric: "none" and
// the HMAC family are refused by name, and an algorithm is used with keys of its own type only, so that no public key can ever
// serve as a secret (RFC 8725 §2.1, §3.1). Keys inside tokens (jwk, jku, x5c, x5u) are not looked at.
//
// Reasons go into `why`: one line for logs. Nothing of a token but names (algorithm, key id, issuer, audience) is ever in it.
#ifndef CA_JWT_H
#define CA_JWT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "ca/jwks.h"

#define PD_JWT_MAX (16 * 1024)  // bytes of a token
#define PD_JWT_MEMBERS_MAX 128  // members of the header, and of the claims
#define PD_JWT_AUDIENCES_MAX 64 // in a token
#define PD_JWT_TRIES_MAX 8      // keys tried for a token that does not name one, or whose key id several have
#define PD_JWT_SKEW_S 60        // clocks may differ by so much

enum pd_jwt_fault {
	PD_JWT_OK,
	PD_JWT_TOO_LARGE,
	PD_JWT_MALFORMED,
	PD_JWT_ALGORITHM,   // one that is not accepted
	PD_JWT_UNKNOWN_KEY, // the key set has no key of this id and type: it may be out of date
	PD_JWT_SIGNATURE,
	PD_JWT_ISSUER,
	PD_JWT_AUDIENCE,
	PD_JWT_EXPIRED, // or without an expiry
	PD_JWT_NOT_YET, // not valid yet, or issued in the future
};
// A word for metrics: "expired".
const char *pd_jwt_fault_label(enum pd_jwt_fault);

struct pd_json;

// All-zero is none; release with pd_jwt_free.
struct pd_jwt {
	const char *alg, *kid;        // kid: NULL = none
	const struct pd_json *claims; // an object without duplicate members
	const char *input;            // what is signed; borrowed from the token's text
	size_t input_len;
	const uint8_t *signature;
	size_t signature_len;
	struct pd_arena arena; // erased when freed
};

// Reads without verifying: PD_JWT_OK, PD_JWT_TOO_LARGE or PD_JWT_MALFORMED. Strict: three parts in base64url without padding,
// two JSON objects without duplicate members, no `crit`. `token` is borrowed as long as *out is used.
enum pd_jwt_fault pd_jwt_parse(const char *token, size_t n, struct pd_jwt *out, struct pd_buf *why) PD_MUST_CHECK;
void pd_jwt_free(struct pd_jwt *);

// PD_JWT_OK, PD_JWT_ALGORITHM, PD_JWT_UNKNOWN_KEY or PD_JWT_SIGNATURE.
enum pd_jwt_fault pd_jwt_verify(const struct pd_jwt *, const struct pd_jwks *, struct pd_buf *why) PD_MUST_CHECK;
// Is this the name of an algorithm that is accepted?
bool pd_jwt_alg_known(const char *alg);

// What a token must say. All strings are borrowed for the call.
struct pd_jwt_rules {
	const char *issuer;           // equal to `iss`
	const char *const *audiences; // one of them in `aud` (a string or a list)
	size_t n_audiences;
	int64_t now_s;
};
// `exp` is required; `nbf` and `iat` count where present. PD_JWT_OK, PD_JWT_ISSUER, PD_JWT_AUDIENCE, PD_JWT_EXPIRED,
// PD_JWT_NOT_YET, or PD_JWT_MALFORMED: a claim is of the wrong type.
enum pd_jwt_fault pd_jwt_check(const struct pd_jwt *, const struct pd_jwt_rules *, struct pd_buf *why) PD_MUST_CHECK;
// `exp` in seconds since 1970; 0 = none, or not a number.
int64_t pd_jwt_expiry(const struct pd_jwt *);

#endif
