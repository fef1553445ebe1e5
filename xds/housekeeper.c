// What happens because time passes: admission of new streams, clients that take no bytes or acknowledge nothing, the drain,
// bodies and memory that nobody needs any more.
#include <malloc.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "xds/server_impl.h"

#define TICK_MS 1000 // and never slower than a quarter of the shortest time that is watched
#define DRAIN_TICK_MS 20
#define TRIM_MIN (2u << 20)   // bytes of churn that are worth a trim
#define TRIM_MAX (512u << 20) // and that are too much to wait for quiet

struct pd_stream **pd_xds_streams(struct pd_xds *x, size_t *n)
{
	struct pd_stream **v, *s;

	pthread_mutex_lock(&x->lock);
	v = pd_xmalloc((x->n_streams + 1) * sizeof(*v));
	*n = 0;
	for (s = x->streams; s; s = s->next)
		v[(*n)++] = pd_stream_ref(s);
	pthread_mutex_unlock(&x->lock);
	return v;
}

// ---- admission ---------------------------------------------------------------------------------------------------------

void pd_housekeeper_admit(struct pd_xds *x, struct pd_stream *s)
{
	struct pd_stream **at;

	pthread_mutex_lock(&x->housekeeper.lock);
	// Streams come nearly in order; two threads may swap.
	if (!x->housekeeper.first || s->admit_ns >= x->housekeeper.last->admit_ns) {
		at = x->housekeeper.first ? &x->housekeeper.last->next_admission : &x->housekeeper.first;
		x->housekeeper.last = s;
		s->next_admission = NULL;
	} else {
		for (at = &x->housekeeper.first; (*at)->admit_ns <= s->admit_ns;)
			at = &(*at)->next_admission;
		s->next_admission = *at;
	}
	*at = s;
	pthread_cond_signal(&x->housekeeper.wake);
	pthread_mutex_unlock(&x->housekeeper.lock);
}

// The next stream whose time has come; *next_ns is when the one after that is due.
static struct pd_stream *admissible(struct pd_xds *x, uint64_t now, uint64_t *next_ns)
{
	struct pd_stream *s;

	pthread_mutex_lock(&x->housekeeper.lock);
	s = x->housekeeper.first;
	if (s && s->admit_ns <= now)
		x->housekeeper.first = s->next_admission;
	else
		s = NULL;
	*next_ns = x->housekeeper.first ? x->housekeeper.first->admit_ns : UINT64_MAX;
	pthread_mutex_unlock(&x->housekeeper.lock);
	return s;
}

static uint64_t admit_due(struct pd_xds *x, uint64_t now)
{
	struct pd_stream *s;
	uint64_t next;

	while ((s = admissible(x, now, &next))) {
		pd_stream_admitted(s);
		pd_stream_unref(s);
	}
	return next;
}

// ---- streams -----------------------------------------------------------------------------------------------------------

static void look_after(struct pd_xds *x, struct pd_stream *s, uint64_t now)
{
	uint64_t patience = x->config.ack_patience_ms * 1000000, timeout = x->config.send_timeout_ms * 1000000;
	bool stuck, drained;
	uint32_t give_up = 0;

	pthread_mutex_lock(&s->mu);
	stuck = s->sending && now > s->send_started_ns + timeout;
	drained = s->drain_ns && now >= s->drain_ns && !s->ended;
	for (enum pd_type t = 0; t < PD_TYPE_COUNT; t++)
		if (s->blocked & 1u << t && s->sent_ns[t] && now > s->sent_ns[t] + patience)
			give_up |= 1u << t;
	s->give_up |= give_up;
	s->blocked &= ~give_up;
	pthread_mutex_unlock(&s->mu);
	if (stuck) {
		atomic_fetch_add(&x->send_timeouts, 1);
		pd_count_refused(x, PD_REFUSED_TIMEOUT);
		pd_info("ads", "stream %llu from %s takes no bytes: cut off", (unsigned long long)s->id, s->peer);
		pd_stream_cut(s, GRPC_STATUS_UNAVAILABLE, "client does not read");
	} else if (drained) {
		pd_stream_end(s, GRPC_STATUS_UNAVAILABLE, "server is draining");
	}
	if (give_up)
		pd_stream_queue(s, PD_JOB_PUSH);
}

static void look_after_all(struct pd_xds *x, uint64_t now)
{
	size_t n;
	struct pd_stream **v = pd_xds_streams(x, &n);

	for (size_t i = 0; i < n; i++) {
		look_after(x, v[i], now);
		pd_stream_unref(v[i]);
	}
	free(v);
}

// ---- memory ------------------------------------------------------------------------------------------------------------

struct trim {
	uint64_t churn, quiet_since, last;
};

static void trim(struct pd_xds *x, struct trim *t, uint64_t now)
{
	uint64_t churn = atomic_load(&x->churn);

	if (churn != t->churn) {
		t->churn = churn;
		t->quiet_since = now;
	}
	if (churn < TRIM_MIN || now < t->last + x->config.trim_interval_ms * 1000000)
		return;
	if (churn < TRIM_MAX && now < t->quiet_since + x->config.trim_after_ms * 1000000)
		return;
	atomic_fetch_sub(&x->churn, churn);
	t->churn = 0;
	t->last = now;
	malloc_trim(0);
	atomic_fetch_add(&x->trims, 1);
}

void pd_xds_note_churn(struct pd_xds *x, size_t weight)
{
	atomic_fetch_add_explicit(&x->churn, weight, memory_order_relaxed);
}

// ---- the thread --------------------------------------------------------------------------------------------------------

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t tick_ns(struct pd_xds *x)
{
	uint64_t ms = TICK_MS;
	bool draining;

	pthread_mutex_lock(&x->lock);
	draining = x->draining;
	pthread_mutex_unlock(&x->lock);
	if (draining)
		return DRAIN_TICK_MS * 1000000ull;
	ms = min_u64(ms, x->config.send_timeout_ms / 4);
	ms = min_u64(ms, x->config.ack_patience_ms / 4);
	ms = min_u64(ms, x->config.call_timeout_ms / 4);
	ms = min_u64(ms, x->config.trim_after_ms / 2);
	return (ms < 10 ? 10 : ms) * 1000000;
}

// Sleeps until `until_ns` or until woken. False: stop.
static bool nap(struct pd_xds *x, uint64_t until_ns)
{
	struct timespec at = {.tv_sec = (time_t)(until_ns / 1000000000), .tv_nsec = (long)(until_ns % 1000000000)};
	bool going;

	pthread_mutex_lock(&x->housekeeper.lock);
	going = !x->housekeeper.stop;
	if (going && !(x->housekeeper.first && x->housekeeper.first->admit_ns < until_ns))
		pthread_cond_timedwait(&x->housekeeper.wake, &x->housekeeper.lock, &at);
	pthread_mutex_unlock(&x->housekeeper.lock);
	return going;
}

static void *housekeeper_main(void *arg)
{
	struct pd_xds *x = arg;
	uint64_t now = pd_now_ns(), next_admission, next_round = now;
	struct trim t = {.quiet_since = now};

	do {
		now = pd_now_ns();
		next_admission = admit_due(x, now);
		if (now < next_round)
			continue;
		next_round = now + tick_ns(x);
		look_after_all(x, now);
		pd_unary_expire(x, now);
		pd_xds_note_churn(x, pd_bodies_expire(x->bodies, now));
		trim(x, &t, now);
	} while (nap(x, min_u64(next_admission, next_round)));
	return NULL;
}

void pd_housekeeper_start(struct pd_xds *x)
{
	PD_ASSERT(pthread_create(&x->housekeeper.thread, NULL, housekeeper_main, x) == 0);
}

void pd_housekeeper_stop(struct pd_xds *x)
{
	struct pd_stream *s;
	uint64_t next;

	pthread_mutex_lock(&x->housekeeper.lock);
	x->housekeeper.stop = true;
	pthread_cond_signal(&x->housekeeper.wake);
	pthread_mutex_unlock(&x->housekeeper.lock);
	pthread_join(x->housekeeper.thread, NULL);
	while ((s = admissible(x, UINT64_MAX, &next)))
		pd_stream_unref(s);
}
