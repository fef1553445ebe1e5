// A thread's alarm clock: sleeps that others can end, for good or once.
#ifndef PROXY_TICKER_H
#define PROXY_TICKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct pd_ticker {
	pthread_mutex_t mu;
	pthread_cond_t cond;
	bool awake;          // guarded by mu: a wake that nobody has slept through yet
	atomic_bool stopped; // for calls that look at it while they wait for something else
};
void pd_ticker_init(struct pd_ticker *);
void pd_ticker_destroy(struct pd_ticker *);
// Sleeps until the time is over or somebody wakes it. False: it is to stop.
bool pd_ticker_wait(struct pd_ticker *, uint64_t ms);
void pd_ticker_wake(struct pd_ticker *);
void pd_ticker_stop(struct pd_ticker *); // wakes, for good

// How long to wait before the next try after `failures` of them (at least 1): doubles from `first_ms` to `last_ms`; a random
// half of it is taken off, so that many clients do not come at once.
uint64_t pd_backoff_ms(unsigned failures, uint64_t first_ms, uint64_t last_ms);

#endif
