// Jobs: streams that have something to do. A stream is queued at most once, however often it is pushed. Streams whose client
// asked for something go before those that get a push; a push that is overtaken by a request moves to the front row.
#ifndef XDS_QUEUE_H
#define XDS_QUEUE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pd_urgency { PD_JOB_NONE, PD_JOB_PUSH, PD_JOB_REQUEST };

// Embedded in what is queued. Guarded by the queue.
struct pd_job {
	struct pd_job *next, *prev;
	enum pd_urgency urgency; // PD_JOB_NONE: not queued
	uint64_t queued_ns;
};

struct pd_queue {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct pd_job *head[PD_JOB_REQUEST + 1], *tail[PD_JOB_REQUEST + 1];
	size_t n;         // queued
	size_t pushes;    // queued or running with urgency PD_JOB_PUSH
	unsigned waiting; // workers
	bool closed;
	void (*drained)(void *arg); // called when `pushes` falls to 0; must not block, must not call back
	void *drained_arg;
};
void pd_queue_init(struct pd_queue *);
void pd_queue_free(struct pd_queue *);
// True if the job was not queued before (the queue keeps it: the caller gives it a reference).
bool pd_queue_push(struct pd_queue *, struct pd_job *, enum pd_urgency);
// Waits. NULL when the queue is closed; what is still in it is then left to pd_queue_pop_rest. Call pd_queue_done after.
struct pd_job *pd_queue_pop(struct pd_queue *, enum pd_urgency *, uint64_t *queued_ns);
void pd_queue_done(struct pd_queue *, enum pd_urgency);
struct pd_job *pd_queue_pop_rest(struct pd_queue *);
void pd_queue_close(struct pd_queue *);
bool pd_queue_idle(struct pd_queue *); // no pushes queued or running
size_t pd_queue_length(struct pd_queue *);

#endif
