// Credentials of a client as they are now: read from files or fetched from a plugin, kept fresh, given to calls as immutable
// snapshots. All functions run on the client's loop.
//
// States: nothing yet -> fresh -> stale (a minute old for files, near its end for a plugin's, or refused by the server) ->
// renewed. Files are read in between two calls; a plugin runs while calls wait. What cannot be renewed stays in force as
// long as it is not expired or refused: a file that is half written must not cut us off.
#ifndef K8S_CLIENT_AUTH_H
#define K8S_CLIENT_AUTH_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "k8s/config.h"

#define PD_K8S_FILES_MS 60000 // files are read again when they are older
#define PD_K8S_EXPIRY_MARGIN_MS                                                                                        \
	10000                     // a plugin's credential is renewed so long before its end (or a fifth of its life)
#define PD_K8S_EXEC_RETRY_MS 1000 // a failed plugin runs again no sooner, doubling
#define PD_K8S_EXEC_RETRY_MAX_MS 30000

struct pd_k8s_pem {
	char *p; // NULL = none
	size_t len;
};

// Immutable, counted; on the loop only.
struct pd_k8s_creds {
	unsigned refs;
	uint64_t generation; // 1, 2, …
	struct pd_k8s_pem ca, cert, key;
	char *authorization; // whole header line "Authorization: Bearer …"; NULL = none
	int64_t expires;     // wall clock in ns; 0 = never
};
void pd_k8s_creds_unref(struct pd_k8s_creds *); // overwrites and frees; NULL is fine

struct pd_k8s_auth;
// Takes the config over.
struct pd_k8s_auth *pd_k8s_auth_new(struct pd_k8s_config *config);
void pd_k8s_auth_free(struct pd_k8s_auth **);

// A new reference to credentials to be used now. PD_E_AGAIN: a plugin runs, ask again when pd_k8s_auth_step said so.
// PD_E_DENIED: there are none to be had at present; *err says why.
int pd_k8s_auth_get(struct pd_k8s_auth *, struct pd_k8s_creds **out, struct pd_buf *err) PD_MUST_CHECK;
// The server refused (401) a call that used this generation. True if trying once more with new credentials makes sense.
bool pd_k8s_auth_refused(struct pd_k8s_auth *, uint64_t generation);
// For the loop's poll: descriptors of a running plugin (0 to 2); lowers *timeout_ms where need be.
unsigned pd_k8s_auth_poll(const struct pd_k8s_auth *, struct pollfd fds[2], int *timeout_ms);
void pd_k8s_auth_step(struct pd_k8s_auth *);
uint64_t pd_k8s_auth_renewals(const struct pd_k8s_auth *); // credentials that differ from those before

#endif
