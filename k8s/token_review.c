#include "k8s/token_review.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "api/json.h"
#include "base/mem.h"

#define PATH "/apis/authentication.k8s.io/v1/tokenreviews"
#define EXTRA "authentication.kubernetes.io/"
#define ESCAPED_MAX 6 // bytes that one byte of a string may take in JSON

struct pd_k8s_reviewer {
	struct pd_k8s_client *client;
	char *cluster;
	atomic_uint open;
};

struct question {
	struct pd_k8s_reviewer *r;
	struct pd_buf body; // has its final size from the start, so that the token is nowhere else; erased
	pd_token_reviewed done;
	void *arg;
	uint64_t call, timer;
};

static void erase_body(struct question *q)
{
	pd_free_secret(q->body.p, q->body.cap);
	q->body = (struct pd_buf){0};
}

static void finish(struct question *q, const struct pd_token_review *answer)
{
	q->done(answer, q->arg);
	atomic_fetch_sub(&q->r->open, 1);
	erase_body(q);
	free(q);
}

static void fail(struct question *q, int err, const char *text)
{
	finish(q, &(struct pd_token_review){.err = err, .text = text});
}

// ---- the answer --------------------------------------------------------------------------------------------------------

// The strings of a list in the arena.
static const char *const *strings(struct pd_arena *a, const struct pd_json *list, size_t *n)
{
	const char **v;

	*n = 0;
	if (!list || list->type != PD_JSON_ARRAY)
		return NULL;
	v = pd_arena_alloc(a, (list->n + 1) * sizeof(*v));
	for (const struct pd_json *j = list->first; j && *n < PD_TOKEN_REVIEW_ITEMS_MAX; j = j->next)
		if (j->type == PD_JSON_STRING && strlen(j->s) == j->n)
			v[(*n)++] = j->s;
	return v;
}

// The first value of a key of status.user.extra.
static const char *extra(const struct pd_json *user, const char *key)
{
	const struct pd_json *list = pd_json_get(pd_json_get(user, "extra"), key);

	if (!list || list->type != PD_JSON_ARRAY || !list->first || list->first->type != PD_JSON_STRING)
		return NULL;
	return list->first->s;
}

static void read_status(struct pd_arena *a, const struct pd_json *status, struct pd_token_review *out)
{
	const struct pd_json *user = pd_json_get(status, "user"), *yes = pd_json_get(status, "authenticated");

	out->authenticated = yes && yes->type == PD_JSON_BOOL && yes->b;
	out->text = pd_json_get_string(status, "error");
	out->username = pd_json_get_string(user, "username");
	out->groups = strings(a, pd_json_get(user, "groups"), &out->n_groups);
	out->audiences = strings(a, pd_json_get(status, "audiences"), &out->n_audiences);
	out->pod_name = extra(user, EXTRA "pod-name");
	out->pod_uid = extra(user, EXTRA "pod-uid");
	out->node_name = extra(user, EXTRA "node-name");
}

static void on_done(void *user, const struct pd_k8s_result *result)
{
	struct pd_arena arena = {.secret = true}; // the answer repeats the token
	struct pd_token_review answer = {0};
	struct question *q = user;
	struct pd_json *root;

	pd_k8s_timer_cancel(q->r->client, q->timer);
	if (result->err) {
		// Not found is for clusters that nobody knows.
		answer.err = result->err == PD_E_NOTFOUND ? PD_E_INVALID : result->err;
		answer.text = result->status.message;
	} else if (pd_json_parse(&arena, result->body, result->body_len, &root, NULL) != PD_OK) {
		answer.err = PD_E_PARSE;
		answer.text = "its answer cannot be read";
	} else {
		read_status(&arena, pd_json_get(root, "status"), &answer);
	}
	finish(q, &answer);
	pd_arena_free(&arena);
}

// ---- the question ------------------------------------------------------------------------------------------------------

static void on_time(void *user)
{
	struct question *q = user;

	pd_k8s_cancel(q->r->client, q->call);
	fail(q, PD_E_TIMEOUT, "no answer in time");
}

static void begin(void *user)
{
	struct question *q = user;
	const struct pd_k8s_request req = {
		.method = "POST",
		.path = PATH,
		.body = q->body.p,
		.body_len = q->body.n,
		.timeout_ms = PD_TOKEN_REVIEW_TIMEOUT_MS,
		.on_done = on_done,
		.user = q,
	};

	q->timer = pd_k8s_after(q->r->client, PD_TOKEN_REVIEW_TIMEOUT_MS, on_time, q);
	q->call = pd_k8s_call(q->r->client, &req);
	erase_body(q); // the call has a copy, which it erases too
}

static void write_body(struct pd_buf *b, const char *token, const char *const *audiences, size_t n)
{
	size_t room = 256 + ESCAPED_MAX * strlen(token);

	for (size_t i = 0; i < n; i++)
		room += 8 + ESCAPED_MAX * strlen(audiences[i]);
	*b = (struct pd_buf){.p = pd_xmalloc(room), .cap = room};
	pd_buf_adds(b, "{\"apiVersion\":\"authentication.k8s.io/v1\",\"kind\":\"TokenReview\",\"spec\":{\"token\":");
	pd_buf_json(b, token);
	pd_buf_adds(b, ",\"audiences\":[");
	for (size_t i = 0; i < n; i++) {
		if (i)
			pd_buf_addc(b, ',');
		pd_buf_json(b, audiences[i]);
	}
	pd_buf_adds(b, "]}}");
	PD_ASSERT(b->cap == room); // it did not move
}

static void review(void *self, const char *cluster, const char *token, const char *const *audiences, size_t n,
		   pd_token_reviewed done, void *arg)
{
	struct pd_k8s_reviewer *r = self;
	struct question *q;

	if (cluster && !pd_streq(cluster, r->cluster)) {
		done(&(struct pd_token_review){.err = PD_E_NOTFOUND}, arg);
		return;
	}
	if (atomic_fetch_add(&r->open, 1) >= PD_TOKEN_REVIEWS_MAX) {
		atomic_fetch_sub(&r->open, 1);
		done(&(struct pd_token_review){.err = PD_E_LIMIT, .text = "too many questions are open"}, arg);
		return;
	}
	q = pd_xcalloc(1, sizeof(*q));
	*q = (struct question){.r = r, .done = done, .arg = arg};
	write_body(&q->body, token, audiences, n);
	if (pd_k8s_post(r->client, begin, q) != PD_OK)
		fail(q, PD_E_CLOSED, "shutting down");
}

struct pd_k8s_reviewer *pd_k8s_reviewer_new(struct pd_k8s_client *client, const char *cluster)
{
	struct pd_k8s_reviewer *r = pd_xcalloc(1, sizeof(*r));

	r->client = client;
	r->cluster = cluster ? pd_xstrdup(cluster) : NULL;
	return r;
}

void pd_k8s_reviewer_free(struct pd_k8s_reviewer **rp)
{
	struct pd_k8s_reviewer *r = *rp;

	if (!r)
		return;
	*rp = NULL;
	PD_ASSERT(atomic_load(&r->open) == 0);
	free(r->cluster);
	free(r);
}

struct pd_token_reviewer pd_k8s_reviewer_interface(struct pd_k8s_reviewer *r)
{
	return (struct pd_token_reviewer){review, r};
}
