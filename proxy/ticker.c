#include "proxy/ticker.h"

#include <stdlib.h>
#include <time.h>

#include "base/clock.h"

void pd_ticker_init(struct pd_ticker *t)
{
	pthread_condattr_t a;
	pthread_condattr_init(&a);
	pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
	pthread_cond_init(&t->cond, &a);
	pthread_condattr_destroy(&a);
	pthread_mutex_init(&t->mu, NULL);
	t->awake = false;
	atomic_init(&t->stopped, false);
}

void pd_ticker_destroy(struct pd_ticker *t)
{
	pthread_cond_destroy(&t->cond);
	pthread_mutex_destroy(&t->mu);
}

bool pd_ticker_wait(struct pd_ticker *t, uint64_t ms)
{
	uint64_t until = pd_now_ns() + ms * 1000000;
	struct timespec ts = {(time_t)(until / 1000000000), (long)(until % 1000000000)};
	pthread_mutex_lock(&t->mu);
	while (!t->awake && !t->stopped)
		if (pthread_cond_timedwait(&t->cond, &t->mu, &ts) != 0)
			break;
	t->awake = false;
	pthread_mutex_unlock(&t->mu);
	return !t->stopped;
}

void pd_ticker_wake(struct pd_ticker *t)
{
	pthread_mutex_lock(&t->mu);
	t->awake = true;
	pthread_cond_signal(&t->cond);
	pthread_mutex_unlock(&t->mu);
}

void pd_ticker_stop(struct pd_ticker *t)
{
	t->stopped = true;
	pd_ticker_wake(t);
}

uint64_t pd_backoff_ms(unsigned failures, uint64_t first_ms, uint64_t last_ms)
{
	uint64_t ms = first_ms;
	for (unsigned i = 1; i < failures && ms < last_ms; i++)
		ms *= 2;
	if (ms > last_ms)
		ms = last_ms;
	return ms - arc4random_uniform((uint32_t)(ms / 2 + 1));
}
