// Callers with a token of an OpenID Connect provider: JWTs that we verify ourselves with the provider's published keys
// (OpenID Connect Discovery 1.0; RFC 7517). The claim `sub` names the account: "system:serviceaccount:NS:SA".
//
//   token ─ parse ─ issuer ours? ─ verify ─┬─ signed ─ claims ─► caller
//                                          └─ key unknown, or no keys yet ─ wait for one load of the keys ─ verify again
//
// Keys are loaded at once, then every `refresh_ms`; a failed load is retried with a growing delay and the last good keys stay in
// force. A token with an unknown key causes a load out of turn, PD_OIDC_RELOAD_MS apart at least, so that a key of today is
// accepted today and a flood of made-up tokens does not become a flood on the provider.
#ifndef CA_OIDC_H
#define CA_OIDC_H

#include <stddef.h>
#include <stdint.h>

#include "base/fetch.h"
#include "base/str.h"
#include "base/vec.h"
#include "ca/auth.h"
#include "ca/auth_trust.h"

#define PD_OIDC_NAME "OIDC"
#define PD_OIDC_REFRESH_MS 1200000 // 20 min
#define PD_OIDC_RELOAD_MS 10000    // between loads out of turn
#define PD_OIDC_RETRY_MIN_MS 1000  // after a failed load; doubles
#define PD_OIDC_RETRY_MAX_MS 60000
#define PD_OIDC_WAITING_MAX 4096 // callers that wait for keys; further ones are refused
#define PD_OIDC_AUDIENCES_MAX 64
#define PD_OIDC_RULE_MAX (512 * 1024) // bytes of a rule as text; it may hold a key set

// All-zero is none; release with pd_oidc_rule_free.
struct pd_oidc_rule {
	char *issuer;
	char *jwks_uri; // NULL: what ISSUER/.well-known/openid-configuration says
	char *jwks;     // the keys themselves instead; NULL = none
	PD_VEC(char *) audiences;
};
// Reads JSON as istiod's JWT_RULE has it: {"issuer":"…","jwks_uri":"…","audiences":["…"]}; also jwksUri, jwks. URLs are http,
// https or file:///. PD_E_PARSE, PD_E_INVALID (a member is missing, of another type, or no URL) and PD_E_LIMIT with a line
// in `err`. Unknown members are ignored, as there.
int pd_oidc_rule_parse(const char *json, struct pd_oidc_rule *out, struct pd_buf *err) PD_MUST_CHECK;
void pd_oidc_rule_free(struct pd_oidc_rule *);

struct pd_oidc_config {
	struct pd_oidc_rule rule;   // taken over
	struct pd_fetcher *fetcher; // borrowed, as is `trust`, for the authenticator's life
	struct pd_trust *trust;
	uint64_t refresh_ms, reload_ms; // 0 = the defaults above
};
// Begins loading keys. PD_E_INVALID with a line in `err`: the rule's own keys cannot be used. The rule is taken in any case.
int pd_oidc_new(const struct pd_oidc_config *, struct pd_authenticator *out, struct pd_buf *err) PD_MUST_CHECK;

#endif
