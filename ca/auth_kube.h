// Callers with a token of a Kubernetes service account: the API server of their cluster is asked (TokenReview,
// authentication.k8s.io/v1) whether it is genuine, current, and meant for us (its audience).
//
//   authorization: Bearer TOKEN, clusterid: C ─► cache ─► reviewer(C) ─► system:serviceaccount:NS:SA, pod
//
// Who accepted a token a moment ago need not ask again: a proxy comes with the same token for its certificate and for its
// stream. So what was accepted is kept for a short time under the token's SHA-256; tokens themselves are never kept.
#ifndef CA_AUTH_KUBE_H
#define CA_AUTH_KUBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ca/auth.h"
#include "ca/auth_trust.h"

#define PD_AUTH_KUBE_NAME "KubernetesJWT"
#define PD_AUTH_KUBE_CACHE_MS 30000      // a token is not asked for again for so long, and never beyond its expiry
#define PD_AUTH_KUBE_CACHE_ENTRIES 16384 // accepted tokens that are remembered
#define PD_AUTH_KUBE_TOKEN_MAX 16384     // bytes of a token

// What the API server says about a token. Borrowed during the callback. All-zero: it does not know it.
struct pd_token_review {
	int err;          // PD_OK: the rest counts. PD_E_NOTFOUND: no such cluster. Else it could not be asked
	const char *text; // reason of an error, or status.error; NULL = none. Holds no token
	bool authenticated;
	const char *username; // "system:serviceaccount:NS:SA"
	const char *const *groups;
	size_t n_groups;
	const char *const *audiences; // of those asked for, which the token is for
	size_t n_audiences;
	const char *pod_name, *pod_uid, *node_name; // extra authentication.kubernetes.io/…; NULL = not said
};
typedef void (*pd_token_reviewed)(const struct pd_token_review *, void *arg);

// Who can ask. `review` must not block; it calls `done` exactly once, in bounded time, at once or later, on any thread. `cluster`
// is NULL for our own, else an id that the caller gave (do not trust it: an unknown one is PD_E_NOTFOUND). Strings are
// borrowed until `done` is called.
struct pd_token_reviewer {
	void (*review)(void *self, const char *cluster, const char *token, const char *const *audiences,
		       size_t n_audiences, pd_token_reviewed done, void *arg);
	void *self;
};

struct pd_auth_kube_config {
	struct pd_token_reviewer reviewer;
	struct pd_trust *trust;       // borrowed for the authenticator's life
	const char *const *audiences; // TOKEN_AUDIENCES; one of them must be the token's. Copied, like the rest
	size_t n_audiences;
	const char *cluster; // our own id
	const char *const *cluster_aliases;
	size_t n_cluster_aliases;
	int64_t cache_ms; // 0 = PD_AUTH_KUBE_CACHE_MS; negative: nothing is remembered
};
struct pd_authenticator pd_auth_kube(const struct pd_auth_kube_config *);

#endif
