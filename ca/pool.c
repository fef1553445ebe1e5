#include "ca/pool.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/vec.h"

struct pd_pool {
	PD_VEC(pthread_t) threads;
	pthread_mutex_t mu; // guards what follows
	pthread_cond_t wake;
	struct pd_pool_job *first, *last;
	bool stop;
};

static struct pd_pool_job *next_job(struct pd_pool *p)
{
	struct pd_pool_job *j;

	pthread_mutex_lock(&p->mu);
	while (!p->first && !p->stop)
		pthread_cond_wait(&p->wake, &p->mu);
	j = p->first;
	if (j)
		p->first = j->next;
	pthread_mutex_unlock(&p->mu);
	return j;
}

static void *work(void *arg)
{
	struct pd_pool_job *j;

	while ((j = next_job(arg)))
		j->run(j);
	return NULL;
}

struct pd_pool *pd_pool_new(unsigned threads)
{
	struct pd_pool *p = pd_xcalloc(1, sizeof(*p));

	pthread_mutex_init(&p->mu, NULL);
	pthread_cond_init(&p->wake, NULL);
	for (unsigned i = 0; i < threads; i++) {
		pthread_t t;
		PD_ASSERT(pthread_create(&t, NULL, work, p) == 0);
		pd_vec_push(&p->threads, t);
	}
	return p;
}

void pd_pool_push(struct pd_pool *p, struct pd_pool_job *j)
{
	j->next = NULL;
	pthread_mutex_lock(&p->mu);
	if (p->first)
		p->last->next = j;
	else
		p->first = j;
	p->last = j;
	pthread_cond_signal(&p->wake);
	pthread_mutex_unlock(&p->mu);
}

void pd_pool_free(struct pd_pool **pp)
{
	struct pd_pool *p = *pp;

	if (!p)
		return;
	*pp = NULL;
	pthread_mutex_lock(&p->mu);
	p->stop = true;
	pthread_cond_broadcast(&p->wake);
	pthread_mutex_unlock(&p->mu);
	for (size_t i = 0; i < p->threads.n; i++)
		pthread_join(p->threads.v[i], NULL);
	pd_vec_free(&p->threads);
	pthread_mutex_destroy(&p->mu);
	pthread_cond_destroy(&p->wake);
	free(p);
}
