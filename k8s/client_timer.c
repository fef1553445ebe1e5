// Timers and posted functions of the loop.
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "k8s/client_impl.h"

uint64_t pd_k8s_after(struct pd_k8s_client *c, uint64_t ms, void (*fn)(void *user), void *user)
{
	struct pd_k8s_timer t = {.id = ++c->last_id, .due_ms = pd_now_ms() + ms, .fn = fn, .user = user};
	size_t at;

	PD_ASSERT(pd_k8s_on_loop(c));
	PD_ASSERT(c->timers.n < PD_K8S_TIMERS_MAX);
	pd_vec_push(&c->timers, t);
	// Sorted with the next one last; of two for the same time the older one runs first.
	for (at = c->timers.n - 1; at && c->timers.v[at - 1].due_ms <= t.due_ms; at--)
		c->timers.v[at] = c->timers.v[at - 1];
	c->timers.v[at] = t;
	return t.id;
}

void pd_k8s_timer_cancel(struct pd_k8s_client *c, uint64_t timer)
{
	PD_ASSERT(pd_k8s_on_loop(c));
	for (size_t i = 0; i < c->timers.n; i++) {
		if (c->timers.v[i].id != timer)
			continue;
		c->timers.n--;
		memmove(c->timers.v + i, c->timers.v + i + 1, (c->timers.n - i) * sizeof(*c->timers.v));
		return;
	}
}

void pd_k8s_timers_run(struct pd_k8s_client *c)
{
	uint64_t now = pd_now_ms(), newest = c->last_id;

	// What a timer sets for "at once" runs in the next turn.
	while (c->timers.n) {
		struct pd_k8s_timer t = c->timers.v[c->timers.n - 1];

		if (t.due_ms > now || t.id > newest)
			return;
		c->timers.n--;
		c->progress = true;
		t.fn(t.user);
	}
}

void pd_k8s_timers_poll(const struct pd_k8s_client *c, int *timeout_ms)
{
	uint64_t now = pd_now_ms(), due;

	if (!c->timers.n)
		return;
	due = c->timers.v[c->timers.n - 1].due_ms;
	if (due <= now)
		*timeout_ms = 0;
	else if (due - now < (uint64_t)*timeout_ms)
		*timeout_ms = (int)(due - now);
}

int pd_k8s_post(struct pd_k8s_client *c, void (*fn)(void *user), void *user)
{
	struct pd_k8s_posted *p = pd_xmalloc(sizeof(*p));
	bool stopping;

	*p = (struct pd_k8s_posted){.fn = fn, .user = user};
	pthread_mutex_lock(&c->lock);
	stopping = c->stopping;
	if (!stopping) {
		*c->posted_end = p;
		c->posted_end = &p->next;
	}
	pthread_mutex_unlock(&c->lock);
	if (stopping) {
		free(p);
		return PD_E_CLOSED;
	}
	curl_multi_wakeup(c->multi);
	return PD_OK;
}

void pd_k8s_posted_run(struct pd_k8s_client *c)
{
	struct pd_k8s_posted *p, *next;

	pthread_mutex_lock(&c->lock);
	p = c->posted;
	c->posted = NULL;
	c->posted_end = &c->posted;
	pthread_mutex_unlock(&c->lock);
	for (; p; p = next) {
		next = p->next;
		c->progress = true;
		p->fn(p->user);
		free(p);
	}
}
