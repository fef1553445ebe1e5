// Callers with a token of a Kubernetes service account: the API server of their cluster is asked (TokenReview,
// authentication.k8s.io/v1) whether it is genuine, current, and meant for us (its audience).
//
//   authorization: Bearer TOKEN, clusterid: C ─► cache ─► reviewer(C) ─► system:serviceaccount:NS:SA, pod
//
// Who accepted a token a moment ago need not ask again: a proxy comes with the same token for its certificate and for its
// stream. So what was accepted is kept for a short time under the token's SHA-256; tokens themselves are never kept.
#ifndef CA_AUTH_KUBE_H
#define CA_AUTH_KUBE_H

#include <stddef.h>
#include <stdint.h>

#include "base/token_review.h"
#include "ca/auth.h"
#include "ca/auth_trust.h"

#define PD_AUTH_KUBE_NAME "KubernetesJWT"
#define PD_AUTH_KUBE_CACHE_MS 30000      // a token is not asked for again for so long, and never beyond its expiry
#define PD_AUTH_KUBE_CACHE_ENTRIES 16384 // accepted tokens that are remembered
#define PD_AUTH_KUBE_TOKEN_MAX 16384     // bytes of a token

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
