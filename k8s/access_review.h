// SubjectAccessReviews: whether a service account may list the Secrets of its namespace.
#ifndef K8S_ACCESS_REVIEW_H
#define K8S_ACCESS_REVIEW_H

#include <stdbool.h>

#include "k8s/client.h"

#define PD_K8S_ACCESS_REVIEWS_MAX 1024 // questions that are not answered; one more is not asked

struct pd_k8s_access_reviewer;
// `answer` is called on the client's loop. A question that fails is logged and has no answer: it is asked again by whoever
// wants to know. `client` is borrowed until it is freed itself.
struct pd_k8s_access_reviewer *pd_k8s_access_reviewer_new(struct pd_k8s_client *client,
							  void (*answer)(void *arg, const char *ns, const char *account,
									 bool allowed),
							  void *arg);
// No question is open and none will come: the client is gone. NULL is fine.
void pd_k8s_access_reviewer_free(struct pd_k8s_access_reviewer **);
// Any thread.
void pd_k8s_review_access(struct pd_k8s_access_reviewer *, const char *ns, const char *account);

#endif
