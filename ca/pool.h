// A few threads that work off a queue, so that signing does not stall connections. The queue's length is bounded by whoever
// owns the jobs.
#ifndef CA_POOL_H
#define CA_POOL_H

#include <stddef.h>

// Embedded in what it is about.
struct pd_pool_job {
	void (*run)(struct pd_pool_job *);
	struct pd_pool_job *next;
};

struct pd_pool;
struct pd_pool *pd_pool_new(unsigned threads);
// First in, first out. The job is the pool's until `run` is called, which may free it.
void pd_pool_push(struct pd_pool *, struct pd_pool_job *);
// Works off what is queued, then stops. NULL is fine.
void pd_pool_free(struct pd_pool **);

#endif
