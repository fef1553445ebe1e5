// JSON Web Key Sets (RFC 7517): the keys by which proxies check tokens, fetched for them.
#ifndef CONFIG_JWKS_H
#define CONFIG_JWKS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

// Who fetches them where a RequestAuthentication gives a URI.
enum pd_jwks_mode {
	PD_JWKS_ISTIOD, // we
	PD_JWKS_HYBRID, // the proxy if the host is a service of the mesh, else we
	PD_JWKS_ENVOY,  // the proxy
};
// The value of PILOT_JWT_ENABLE_REMOTE_JWKS: "istiod" or "false", "hybrid" or "true", "envoy"; without regard to case.
// PD_E_INVALID: none of these.
int pd_jwks_mode_parse(const char *text, enum pd_jwks_mode *out) PD_MUST_CHECK;

// The name of the object (PD_KIND_JSON_WEB_KEY_SET) with the document at `uri`, or, if that is empty, with the one that the
// issuer's OpenID configuration names. In the arena.
const char *pd_jwks_name(struct pd_arena *a, const char *issuer, const char *uri);

// Host and port of an http or https URI; the scheme's port if it has none.
struct pd_jwks_place {
	const char *host; // in the arena
	uint16_t port;
};
// PD_E_PARSE: it is none.
int pd_jwks_place(struct pd_arena *a, const char *uri, struct pd_jwks_place *out) PD_MUST_CHECK;

// Whether the text is a JSON object with a list of "keys". Anything else must not reach a proxy: who writes a RequestAuthentication
// may name any address that we can reach, and would read there what is none of his business.
bool pd_jwks_ok(const char *text, size_t n);
// Whether one of the keys looks like one that Envoy can use (RSA, EC, OKP, oct; RFC 7518 section 6). It refuses a whole listener
// for a set without.
bool pd_jwks_usable(const char *text, size_t n);

#endif
