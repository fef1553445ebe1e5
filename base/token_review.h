// Asking an API server about a token (TokenReview, authentication.k8s.io/v1), seen from both sides: the layer that has a client
// (k8s/) and the layer that wants to know (ca/). Neither includes the other; cmd/ hands the reviewer over.
#ifndef BASE_TOKEN_REVIEW_H
#define BASE_TOKEN_REVIEW_H

#include <stdbool.h>
#include <stddef.h>

// What the API server says about a token. Borrowed during the callback. All-zero: it does not know it.
struct pd_token_review {
	int err;          // PD_OK: the rest counts. PD_E_NOTFOUND: no such cluster. Else it could not be asked
	const char *text; // reason of an error, or status.error; NULL = none. Holds no token
	bool authenticated;
	const char *username; // "system:serviceaccount:NS:SA"; NULL = none
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

#endif
