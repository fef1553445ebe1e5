// What metrics.c (updates) and metrics_text.c (registry, exposition) share. Private to base/.
#ifndef BASE_METRICS_IMPL_H
#define BASE_METRICS_IMPL_H

#include "base/metrics.h"

// One combination of label values; never moves, never freed. The label values follow the buckets as consecutive
// NUL-terminated strings.
struct pd_series {
	struct pd_metric *metric;
	uint64_t hash;
	_Atomic double value;      // histogram: the sum
	_Atomic uint64_t bucket[]; // histogram: n_buckets + 1 numbers, each of its bucket alone
};

static inline const char *pd_series_values(const struct pd_series *s)
{
	return (const char *)&s->bucket[s->metric->type == PD_HISTOGRAM ? s->metric->n_buckets + 1 : 0];
}

unsigned pd_metric_label_count(const struct pd_metric *m);
// Series that it may have, the overflow series not counted.
uint32_t pd_metric_limit(const struct pd_metric *m);
// Makes a legal label value of any bytes: UTF-8, at most PD_METRIC_VALUE_MAX bytes, cut between characters. `out` holds
// PD_METRIC_VALUE_MAX + 1 bytes. Returns `value` itself where nothing had to be done.
const char *pd_metric_clean(const char *value, char *out);
// Series made so far, oldest first.
unsigned pd_metric_series_count(struct pd_metric *m);
struct pd_series *pd_metric_series_at(struct pd_metric *m, unsigned i);

#endif
