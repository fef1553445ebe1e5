// Callers whose client certificate a gateway of ours has verified: it says so in x-forwarded-client-cert (XFCC), as Envoy
// writes it. Anybody can write such a header, so it counts from trusted addresses only.
#ifndef CA_AUTH_XFCC_H
#define CA_AUTH_XFCC_H

#include <stddef.h>

#include "base/addr.h"
#include "base/str.h"
#include "base/vec.h"
#include "ca/auth.h"
#include "ca/auth_trust.h"

#define PD_AUTH_XFCC_NAME "XFCC"
#define PD_XFCC_ELEMENTS_MAX 32 // certificates in one header
#define PD_XFCC_CIDRS_MAX 256

// Address ranges, all-zero is empty; free with pd_vec_free.
struct pd_auth_cidrs {
	PD_VEC(struct pd_cidr) v;
};
// Reads "10.0.0.0/8,fd00::/8" (TRUSTED_GATEWAY_CIDR); blanks around the commas are fine. PD_E_PARSE and PD_E_LIMIT with a line in
// `err`; *out is then empty.
int pd_auth_cidrs_parse(const char *text, struct pd_auth_cidrs *out, struct pd_buf *err) PD_MUST_CHECK;

// Takes the ranges; `trust` is borrowed for the authenticator's life. Loopback addresses are trusted too. The identity is the
// URI of the last certificate in the header, which the gateway itself has seen (those before it are hearsay): exactly one, a
// SPIFFE ID of our trust domain or an alias. Answers at once.
struct pd_authenticator pd_auth_xfcc(struct pd_auth_cidrs *trusted, struct pd_trust *trust);

// The URIs of the last element, appended to `uris` with a NUL behind each; *n says how many. PD_E_PARSE: not an XFCC header;
// PD_E_LIMIT: PD_XFCC_ELEMENTS_MAX.
int pd_xfcc_last_uris(const char *header, struct pd_buf *uris, size_t *n) PD_MUST_CHECK;

#endif
