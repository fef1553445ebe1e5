// Series are found in an open-addressing table of atomic pointers that never shrinks and never moves: readers probe it
// without a lock, and only making a series takes the metric's mutex. The table is twice as large as the limit on series,
// so probes stay short and always find a gap.
#include "base/metrics.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/metrics_impl.h"

struct pd_metric_state {
	pthread_mutex_t lock; // for making series
	uint32_t slots;       // power of two
	uint32_t limit;       // series without the overflow series
	atomic_uint count;    // series made, in order[]
	struct pd_series *overflow;
	_Atomic(struct pd_series *) *order;
	_Atomic(struct pd_series *) table[];
};

unsigned pd_metric_label_count(const struct pd_metric *m)
{
	unsigned n = 0;

	while (n < PD_METRIC_LABELS && m->labels[n])
		n++;
	return n;
}

uint32_t pd_metric_limit(const struct pd_metric *m)
{
	PD_ASSERT(m->max_series <= PD_METRIC_SERIES_MAX);
	if (pd_metric_label_count(m) == 0)
		return 1;
	return m->max_series ? m->max_series : PD_METRIC_SERIES;
}

static struct pd_metric_state *state_new(const struct pd_metric *m)
{
	uint32_t limit = pd_metric_limit(m), slots = 4;
	struct pd_metric_state *st;

	while (slots < 2 * limit)
		slots *= 2;
	st = pd_xcalloc(1, sizeof(*st) + slots * sizeof(st->table[0]));
	pthread_mutex_init(&st->lock, NULL);
	st->slots = slots;
	st->limit = limit;
	st->order = pd_xcalloc(limit + 1, sizeof(st->order[0]));
	return st;
}

// The state is made at first use. The loser of a race throws its own away.
static struct pd_metric_state *state_of(struct pd_metric *m)
{
	struct pd_metric_state *st = atomic_load_explicit(&m->state, memory_order_acquire), *fresh;

	if (st)
		return st;
	fresh = state_new(m);
	if (atomic_compare_exchange_strong(&m->state, &st, fresh))
		return fresh;
	pthread_mutex_destroy(&fresh->lock);
	free(fresh->order);
	free(fresh);
	return st;
}

const char *pd_metric_clean(const char *value, char *out)
{
	size_t n = value ? strlen(value) : 0, i;

	if (!n)
		return "";
	if (strcmp(value, PD_METRIC_OVERFLOW) == 0)
		return PD_METRIC_OVERFLOW "_"; // the real one is ours alone: equal lines would spoil the scrape
	if (n <= PD_METRIC_VALUE_MAX && pd_utf8_ok(value, n))
		return value;
	if (n > PD_METRIC_VALUE_MAX)
		for (n = PD_METRIC_VALUE_MAX; n > PD_METRIC_VALUE_MAX - 3 && ((unsigned char)value[n] & 0xc0) == 0x80;)
			n--;
	memcpy(out, value, n);
	out[n] = 0;
	if (!pd_utf8_ok(out, n))
		for (i = 0; i < n; i++)
			if ((unsigned char)out[i] >= 0x80)
				out[i] = '?';
	return out;
}

static uint64_t hash_values(const char *const *values, size_t n)
{
	uint64_t h = n;
	size_t i;

	for (i = 0; i < n; i++)
		h = pd_hash_mix(h, pd_hash_str(values[i]));
	return h;
}

static bool same_values(const struct pd_series *s, const char *const *values, size_t n)
{
	const char *own = pd_series_values(s);
	size_t i, len;

	for (i = 0; i < n; i++, own += len) {
		len = strlen(own) + 1;
		if (strcmp(own, values[i]) != 0)
			return false;
	}
	return true;
}

// Finds the series, or the free slot where it belongs.
static struct pd_series *probe(struct pd_metric_state *st, uint64_t hash, const char *const *values, size_t n,
			       uint32_t *at)
{
	struct pd_series *s;

	for (*at = (uint32_t)hash & (st->slots - 1);; *at = (*at + 1) & (st->slots - 1)) {
		s = atomic_load_explicit(&st->table[*at], memory_order_acquire);
		if (!s || (s->hash == hash && same_values(s, values, n)))
			return s;
	}
}

static struct pd_series *series_new(struct pd_metric *m, uint64_t hash, const char *const *values, size_t n)
{
	size_t bytes = sizeof(struct pd_series), numbers = m->type == PD_HISTOGRAM ? m->n_buckets + 1 : 0, i, len;
	struct pd_series *s;
	char *p;

	bytes += numbers * sizeof(s->bucket[0]);
	for (i = 0; i < n; i++)
		bytes += strlen(values[i]) + 1;
	s = pd_xcalloc(1, bytes);
	s->metric = m;
	s->hash = hash;
	for (p = (char *)&s->bucket[numbers], i = 0; i < n; i++, p += len) {
		len = strlen(values[i]) + 1;
		memcpy(p, values[i], len);
	}
	return s;
}

static void publish(struct pd_metric_state *st, struct pd_series *s)
{
	unsigned n = atomic_load_explicit(&st->count, memory_order_relaxed);

	atomic_store_explicit(&st->order[n], s, memory_order_relaxed);
	atomic_store_explicit(&st->count, n + 1, memory_order_release);
}

static struct pd_series *overflow(struct pd_metric *m, struct pd_metric_state *st, size_t n)
{
	static const char *const values[PD_METRIC_LABELS] = {PD_METRIC_OVERFLOW, PD_METRIC_OVERFLOW, PD_METRIC_OVERFLOW,
							     PD_METRIC_OVERFLOW};

	if (!st->overflow) {
		st->overflow = series_new(m, 0, values, n);
		publish(st, st->overflow);
		pd_warn("metrics",
			"%s has reached its limit of %u series: further ones are counted as " PD_METRIC_OVERFLOW,
			m->name, st->limit);
	}
	return st->overflow;
}

struct pd_series *pd_metric_series(struct pd_metric *m, const char *const *values, size_t n)
{
	struct pd_metric_state *st = state_of(m);
	char buf[PD_METRIC_LABELS][PD_METRIC_VALUE_MAX + 1];
	const char *v[PD_METRIC_LABELS];
	struct pd_series *s;
	uint64_t hash;
	uint32_t at;
	size_t i;

	PD_ASSERT(n == pd_metric_label_count(m));
	for (i = 0; i < n; i++)
		v[i] = pd_metric_clean(values[i], buf[i]);
	hash = hash_values(v, n);
	s = probe(st, hash, v, n, &at);
	if (s)
		return s;
	pthread_mutex_lock(&st->lock);
	s = probe(st, hash, v, n, &at);
	if (!s && atomic_load_explicit(&st->count, memory_order_relaxed) >= st->limit) {
		s = overflow(m, st, n);
	} else if (!s) {
		s = series_new(m, hash, v, n);
		publish(st, s);
		atomic_store_explicit(&st->table[at], s, memory_order_release);
	}
	pthread_mutex_unlock(&st->lock);
	return s;
}

unsigned pd_metric_series_count(struct pd_metric *m)
{
	struct pd_metric_state *st = atomic_load_explicit(&m->state, memory_order_acquire);

	return st ? atomic_load_explicit(&st->count, memory_order_acquire) : 0;
}

struct pd_series *pd_metric_series_at(struct pd_metric *m, unsigned i)
{
	struct pd_metric_state *st = atomic_load_explicit(&m->state, memory_order_acquire);

	return atomic_load_explicit(&st->order[i], memory_order_relaxed);
}

static void add_double(_Atomic double *to, double v)
{
	double old = atomic_load_explicit(to, memory_order_relaxed);

	while (!atomic_compare_exchange_weak_explicit(to, &old, old + v, memory_order_relaxed, memory_order_relaxed))
		;
}

void pd_series_add(struct pd_series *s, double v)
{
	PD_ASSERT(s->metric->type == PD_GAUGE || (s->metric->type == PD_COUNTER && v >= 0));
	add_double(&s->value, v);
}

void pd_series_set(struct pd_series *s, double v)
{
	PD_ASSERT(s->metric->type == PD_GAUGE);
	atomic_store_explicit(&s->value, v, memory_order_relaxed);
}

void pd_series_observe(struct pd_series *s, double v)
{
	size_t i = 0;

	PD_ASSERT(s->metric->type == PD_HISTOGRAM);
	if (isnan(v))
		return; // would spoil the sum for good
	while (i < s->metric->n_buckets && v > s->metric->buckets[i])
		i++;
	atomic_fetch_add_explicit(&s->bucket[i], 1, memory_order_relaxed);
	add_double(&s->value, v);
}

double pd_series_get(struct pd_series *s)
{
	uint64_t n = 0;
	size_t i;

	if (s->metric->type != PD_HISTOGRAM)
		return atomic_load_explicit(&s->value, memory_order_relaxed);
	for (i = 0; i <= s->metric->n_buckets; i++)
		n += atomic_load_explicit(&s->bucket[i], memory_order_relaxed);
	return (double)n;
}
