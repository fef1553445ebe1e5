// TokenReviews by the client of an API server: one call per question, no repetition (who asks comes back).
#ifndef K8S_TOKEN_REVIEW_H
#define K8S_TOKEN_REVIEW_H

#include "base/token_review.h"
#include "k8s/client.h"

#define PD_TOKEN_REVIEWS_MAX 4096       // questions that are not answered; one more is PD_E_LIMIT
#define PD_TOKEN_REVIEW_TIMEOUT_MS 5000 // of a question, the wait for a place among the client's calls included
#define PD_TOKEN_REVIEW_ITEMS_MAX 256   // groups, and audiences, that are read; further ones are left out

struct pd_k8s_reviewer;
// `client` is borrowed until it is freed itself; questions that are open then end with PD_E_CLOSED. `cluster` is another name
// under which the reviewer is asked (the cluster's id) and may be NULL; any third one is PD_E_NOTFOUND. Copied.
struct pd_k8s_reviewer *pd_k8s_reviewer_new(struct pd_k8s_client *client, const char *cluster);
// No question is open and none will come: the client is gone, or nobody asks any more. NULL is fine.
void pd_k8s_reviewer_free(struct pd_k8s_reviewer **);
// For whoever asks; lives as long as the reviewer. `done` is called on the client's loop, or at once.
struct pd_token_reviewer pd_k8s_reviewer_interface(struct pd_k8s_reviewer *);

#endif
