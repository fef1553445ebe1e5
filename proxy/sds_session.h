// What one SDS stream of an Envoy has asked for and was told: the protocol, without the connection. Both forms: state of the
// world (StreamSecrets) and incremental (DeltaSecrets), as in Envoy's xDS protocol description.
//
// A name that nobody has set yet stays subscribed without an answer: Envoy waits. A rejection (NACK) is logged; the secret is
// sent again when it changes. Not thread-safe: the owner locks.
#ifndef PROXY_SDS_SESSION_H
#define PROXY_SDS_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "base/vec.h"
#include "proxy/secrets.h"

// All-zero but for `secrets` and `delta` is a new stream; release with pd_sds_session_free.
struct pd_sds_session {
	struct pd_secrets *secrets; // borrowed
	bool delta;
	void (*wanted)(const char *name, void *arg); // called for each new name before it is looked up; may be NULL
	void *arg;

	PD_VEC(struct pd_sds_sub {
		char *name;
		char sent[PD_SECRET_VERSION]; // "" = nothing yet
	})
	subs;           // at most PD_SECRETS_MAX
	bool answer;    // state of the world: the names have changed, all of them are due
	uint64_t nonce; // of the last response; 0 = none
};
void pd_sds_session_free(struct pd_sds_session *);

// Takes one request. PD_E_PARSE: malformed, or not about secrets; PD_E_LIMIT: too many or too long names. The stream should
// then end with INVALID_ARGUMENT and the text in `why`.
int pd_sds_request(struct pd_sds_session *, const void *bytes, size_t n, struct pd_buf *why) PD_MUST_CHECK;

// The encoded response that is due, or NULL. It holds keys: caller frees with pd_free_secret(response, *n).
uint8_t *pd_sds_response(struct pd_sds_session *, size_t *n);

#endif
