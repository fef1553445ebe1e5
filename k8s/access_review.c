#include "k8s/access_review.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "api/json.h"
#include "base/log.h"
#include "base/mem.h"

#define PATH "/apis/authorization.k8s.io/v1/subjectaccessreviews"
#define TIMEOUT_MS 5000

struct pd_k8s_access_reviewer {
	struct pd_k8s_client *client;
	void (*answer)(void *arg, const char *ns, const char *account, bool allowed);
	void *arg;
	atomic_uint open;
};

struct question {
	struct pd_k8s_access_reviewer *r;
	char *ns, *account;
};

static void question_free(struct question *q)
{
	atomic_fetch_sub(&q->r->open, 1);
	free(q->ns);
	free(q->account);
	free(q);
}

static void on_done(void *user, const struct pd_k8s_result *result)
{
	struct question *q = user;
	struct pd_arena arena = {0};
	struct pd_json *root;
	const struct pd_json *allowed;

	if (result->err) {
		pd_warn("k8s", "may %s/%s read Secrets? The API server does not say: %s", q->ns, q->account,
			result->status.message);
	} else if (pd_json_parse(&arena, result->body, result->body_len, &root, NULL) != PD_OK) {
		pd_warn("k8s", "may %s/%s read Secrets? The API server's answer cannot be read", q->ns, q->account);
	} else {
		allowed = pd_json_get(pd_json_get(root, "status"), "allowed");
		q->r->answer(q->r->arg, q->ns, q->account, allowed && allowed->type == PD_JSON_BOOL && allowed->b);
	}
	pd_arena_free(&arena);
	question_free(q);
}

static void begin(void *user)
{
	struct question *q = user;
	struct pd_buf body = {0};
	char *name = pd_xasprintf("system:serviceaccount:%s:%s", q->ns, q->account);

	pd_buf_adds(&body, "{\"apiVersion\":\"authorization.k8s.io/v1\",\"kind\":\"SubjectAccessReview\",\"spec\":{"
			   "\"resourceAttributes\":{\"verb\":\"list\",\"resource\":\"secrets\",\"namespace\":");
	pd_buf_json(&body, q->ns);
	pd_buf_adds(&body, "},\"user\":");
	pd_buf_json(&body, name);
	pd_buf_adds(&body, ",\"groups\":[\"system:serviceaccounts\",");
	free(name);
	name = pd_xasprintf("system:serviceaccounts:%s", q->ns);
	pd_buf_json(&body, name);
	pd_buf_adds(&body, "]}}");
	free(name);
	pd_k8s_call(q->r->client, &(struct pd_k8s_request){.method = "POST",
							   .path = PATH,
							   .body = body.p,
							   .body_len = body.n,
							   .timeout_ms = TIMEOUT_MS,
							   .on_done = on_done,
							   .user = q});
	pd_buf_free(&body);
}

struct pd_k8s_access_reviewer *pd_k8s_access_reviewer_new(struct pd_k8s_client *client,
							  void (*answer)(void *arg, const char *ns, const char *account,
									 bool allowed),
							  void *arg)
{
	struct pd_k8s_access_reviewer *r = pd_xcalloc(1, sizeof(*r));

	r->client = client;
	r->answer = answer;
	r->arg = arg;
	return r;
}

void pd_k8s_access_reviewer_free(struct pd_k8s_access_reviewer **rp)
{
	if (!*rp)
		return;
	PD_ASSERT(atomic_load(&(*rp)->open) == 0);
	free(*rp);
	*rp = NULL;
}

void pd_k8s_review_access(struct pd_k8s_access_reviewer *r, const char *ns, const char *account)
{
	struct question *q;

	if (atomic_fetch_add(&r->open, 1) >= PD_K8S_ACCESS_REVIEWS_MAX) {
		atomic_fetch_sub(&r->open, 1);
		pd_warn("k8s", "may %s/%s read Secrets? Too many questions are open", ns, account);
		return;
	}
	q = pd_xcalloc(1, sizeof(*q));
	*q = (struct question){.r = r, .ns = pd_xstrdup(ns), .account = pd_xstrdup(account)};
	if (pd_k8s_post(r->client, begin, q) != PD_OK)
		question_free(q);
}
