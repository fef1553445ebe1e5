#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "k8s/write_impl.h"

void pd_k8s_bucket_init(struct pd_k8s_bucket *b, unsigned qps, unsigned burst, uint64_t now_ns)
{
	*b = (struct pd_k8s_bucket){.tokens = burst, .burst = burst, .per_ns = qps / 1e9, .at_ns = now_ns};
}

uint64_t pd_k8s_bucket_take(struct pd_k8s_bucket *b, uint64_t now_ns)
{
	b->tokens += (double)(now_ns - b->at_ns) * b->per_ns;
	if (b->tokens > b->burst)
		b->tokens = b->burst;
	b->at_ns = now_ns;
	if (b->tokens < 1)
		return (uint64_t)((1 - b->tokens) / b->per_ns / 1e6) + 1;
	b->tokens -= 1;
	return 0;
}

uint64_t pd_k8s_backoff_ms(unsigned n, uint64_t first, uint64_t max)
{
	uint64_t ms = first;

	for (; n > 1 && ms < max; n--)
		ms *= 2;
	if (ms > max)
		ms = max;
	return ms / 2 + arc4random_uniform((uint32_t)(ms / 2) + 1);
}

void pd_k8s_result_text(struct pd_k8s_result *r, const char *message)
{
	snprintf(r->status.message, sizeof(r->status.message), "%s", message);
}

struct pd_json *pd_k8s_json_object(struct pd_arena *a, struct pd_json *parent, const char *key)
{
	const struct pd_json *j = pd_json_get(parent, key);

	if (!j || j->type != PD_JSON_OBJECT)
		pd_json_set(a, parent, key, pd_json_object(a));
	return pd_json_get(parent, key);
}

struct errand {
	void (*fn)(void *user);
	void *user;
	pthread_mutex_t lock;
	pthread_cond_t over;
	bool done; // under lock
};

static void run(void *user)
{
	struct errand *e = user;

	e->fn(e->user);
	pthread_mutex_lock(&e->lock);
	e->done = true;
	pthread_cond_signal(&e->over);
	pthread_mutex_unlock(&e->lock);
}

void pd_k8s_run_wait(struct pd_k8s_client *c, void (*fn)(void *user), void *user)
{
	struct errand e = {.fn = fn, .user = user};
	int rc;

	PD_ASSERT(!pd_k8s_on_loop(c));
	pthread_mutex_init(&e.lock, NULL);
	pthread_cond_init(&e.over, NULL);
	rc = pd_k8s_post(c, run, &e);
	PD_ASSERT(!rc);
	pthread_mutex_lock(&e.lock);
	while (!e.done)
		pthread_cond_wait(&e.over, &e.lock);
	pthread_mutex_unlock(&e.lock);
	pthread_mutex_destroy(&e.lock);
	pthread_cond_destroy(&e.over);
}
