#include "xds/queue.h"

#include <string.h>

#include "base/clock.h"
#include "base/err.h"

void pd_queue_init(struct pd_queue *q)
{
	memset(q, 0, sizeof(*q));
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->wake, NULL);
}

void pd_queue_free(struct pd_queue *q)
{
	PD_ASSERT(!q->n);
	pthread_mutex_destroy(&q->lock);
	pthread_cond_destroy(&q->wake);
}

static void append(struct pd_queue *q, struct pd_job *j, enum pd_urgency u)
{
	j->urgency = u;
	j->next = NULL;
	j->prev = q->tail[u];
	if (j->prev)
		j->prev->next = j;
	else
		q->head[u] = j;
	q->tail[u] = j;
	q->n++;
	q->pushes += u == PD_JOB_PUSH;
}

static void unlink_job(struct pd_queue *q, struct pd_job *j)
{
	enum pd_urgency u = j->urgency;

	if (j->prev)
		j->prev->next = j->next;
	else
		q->head[u] = j->next;
	if (j->next)
		j->next->prev = j->prev;
	else
		q->tail[u] = j->prev;
	j->urgency = PD_JOB_NONE;
	q->n--;
}

static void less_pushes(struct pd_queue *q)
{
	PD_ASSERT(q->pushes);
	if (--q->pushes == 0 && q->drained)
		q->drained(q->drained_arg);
}

bool pd_queue_push(struct pd_queue *q, struct pd_job *j, enum pd_urgency u)
{
	bool added;

	pthread_mutex_lock(&q->lock);
	added = j->urgency == PD_JOB_NONE;
	if (added) {
		j->queued_ns = pd_now_ns();
		append(q, j, u);
		if (q->waiting)
			pthread_cond_signal(&q->wake);
	} else if (j->urgency < u) {
		unlink_job(q, j);
		append(q, j, u);
		less_pushes(q);
	}
	pthread_mutex_unlock(&q->lock);
	return added;
}

struct pd_job *pd_queue_pop(struct pd_queue *q, enum pd_urgency *u, uint64_t *queued_ns)
{
	struct pd_job *j = NULL;

	pthread_mutex_lock(&q->lock);
	while (!q->closed && !q->n) {
		q->waiting++;
		pthread_cond_wait(&q->wake, &q->lock);
		q->waiting--;
	}
	if (!q->closed) {
		j = q->head[PD_JOB_REQUEST] ? q->head[PD_JOB_REQUEST] : q->head[PD_JOB_PUSH];
		*u = j->urgency;
		*queued_ns = j->queued_ns;
		unlink_job(q, j);
	}
	pthread_mutex_unlock(&q->lock);
	return j;
}

void pd_queue_done(struct pd_queue *q, enum pd_urgency u)
{
	if (u != PD_JOB_PUSH)
		return;
	pthread_mutex_lock(&q->lock);
	less_pushes(q);
	pthread_mutex_unlock(&q->lock);
}

struct pd_job *pd_queue_pop_rest(struct pd_queue *q)
{
	struct pd_job *j;

	pthread_mutex_lock(&q->lock);
	j = q->head[PD_JOB_REQUEST] ? q->head[PD_JOB_REQUEST] : q->head[PD_JOB_PUSH];
	if (j) {
		if (j->urgency == PD_JOB_PUSH)
			q->pushes--;
		unlink_job(q, j);
	}
	pthread_mutex_unlock(&q->lock);
	return j;
}

void pd_queue_close(struct pd_queue *q)
{
	pthread_mutex_lock(&q->lock);
	q->closed = true;
	pthread_cond_broadcast(&q->wake);
	pthread_mutex_unlock(&q->lock);
}

bool pd_queue_idle(struct pd_queue *q)
{
	bool idle;

	pthread_mutex_lock(&q->lock);
	idle = q->pushes == 0;
	pthread_mutex_unlock(&q->lock);
	return idle;
}

size_t pd_queue_length(struct pd_queue *q)
{
	size_t n;

	pthread_mutex_lock(&q->lock);
	n = q->n;
	pthread_mutex_unlock(&q->lock);
	return n;
}
