// Registry and exposition of metrics: https://prometheus.io/docs/instrumenting/exposition_formats/, version 0.0.4.
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/metrics_impl.h"

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct pd_metric *registry[PD_METRICS_MAX]; // under the lock; sorted by name
static size_t registry_n;

struct pd_metric_out {
	struct pd_buf *buf;
	const struct pd_metric *metric;
	uint32_t n;  // lines so far
	double rest; // sum of what came beyond the limit
};

// [a-zA-Z_:][a-zA-Z0-9_:]*; labels without ':'.
static bool name_ok(const char *s, bool colon)
{
	size_t i;

	for (i = 0; s[i]; i++)
		if (!(s[i] == '_' || (s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z') ||
		      (i && s[i] >= '0' && s[i] <= '9') || (colon && s[i] == ':')))
			return false;
	return i > 0;
}

static void check(const struct pd_metric *m)
{
	unsigned n = pd_metric_label_count(m), i, j;

	PD_ASSERT(m->name && m->help && name_ok(m->name, true));
	for (i = 0; i < n; i++) {
		PD_ASSERT(name_ok(m->labels[i], false) && !pd_has_prefix(m->labels[i], "__"));
		PD_ASSERT(m->type != PD_HISTOGRAM || strcmp(m->labels[i], "le") != 0);
		for (j = 0; j < i; j++)
			PD_ASSERT(strcmp(m->labels[i], m->labels[j]) != 0);
	}
	PD_ASSERT(!m->read || (n == 0 && !m->collect));
	PD_ASSERT((m->type == PD_HISTOGRAM) == (m->n_buckets > 0) && m->n_buckets <= PD_METRIC_BUCKETS);
	PD_ASSERT(m->type != PD_HISTOGRAM || (!m->read && !m->collect));
	for (i = 1; i < m->n_buckets; i++)
		PD_ASSERT(m->buckets[i - 1] < m->buckets[i]);
}

static void insert(struct pd_metric *m)
{
	size_t at;
	int c;

	PD_ASSERT(registry_n < PD_METRICS_MAX);
	for (at = registry_n++; at > 0; at--) {
		c = strcmp(registry[at - 1]->name, m->name);
		PD_ASSERT(c != 0);
		if (c < 0)
			break;
		registry[at] = registry[at - 1];
	}
	registry[at] = m;
}

void pd_metrics_register(struct pd_metric *table, size_t n)
{
	size_t i;

	pthread_mutex_lock(&registry_lock);
	for (i = 0; i < n; i++) {
		check(&table[i]);
		insert(&table[i]);
	}
	pthread_mutex_unlock(&registry_lock);
}

static void add_number(struct pd_buf *b, double v)
{
	char text[32];
	int digits;

	if (isnan(v) || isinf(v)) {
		pd_buf_adds(b, isnan(v) ? "NaN" : v > 0 ? "+Inf" : "-Inf");
		return;
	}
	// The shortest form that reads back as the same number; whole numbers without an exponent.
	if (v == floor(v) && fabs(v) < 1e15) {
		pd_buf_printf(b, "%.0f", v);
		return;
	}
	for (digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, v);
		if (strtod(text, NULL) == v)
			break;
	}
	pd_buf_adds(b, text);
}

static void add_escaped(struct pd_buf *b, const char *s, bool quotes)
{
	for (; *s; s++) {
		if (*s == '\\')
			pd_buf_adds(b, "\\\\");
		else if (*s == '\n')
			pd_buf_adds(b, "\\n");
		else if (*s == '"' && quotes)
			pd_buf_adds(b, "\\\"");
		else
			pd_buf_addc(b, *s);
	}
}

// The labels of a series (consecutive strings) and, if not NULL, one more, `le`.
static void add_labels(struct pd_buf *b, const struct pd_metric *m, const char *values, const double *le)
{
	unsigned n = pd_metric_label_count(m), i;

	if (!n && !le)
		return;
	pd_buf_addc(b, '{');
	for (i = 0; i < n; i++, values += strlen(values) + 1) {
		pd_buf_printf(b, "%s%s=\"", i ? "," : "", m->labels[i]);
		add_escaped(b, values, true);
		pd_buf_addc(b, '"');
	}
	if (le) {
		pd_buf_adds(b, n ? ",le=\"" : "le=\"");
		add_number(b, *le);
		pd_buf_addc(b, '"');
	}
	pd_buf_addc(b, '}');
}

static void add_line(struct pd_buf *b, const struct pd_metric *m, const char *suffix, const char *values,
		     const double *le, double v)
{
	pd_buf_printf(b, "%s%s", m->name, suffix);
	add_labels(b, m, values, le);
	pd_buf_addc(b, ' ');
	add_number(b, v);
	pd_buf_addc(b, '\n');
}

// Buckets are read once, so that they ascend and the count equals +Inf whatever happens meanwhile.
static void add_histogram(struct pd_buf *b, struct pd_series *s)
{
	const struct pd_metric *m = s->metric;
	const char *values = pd_series_values(s);
	double le, total = 0;
	size_t i;

	for (i = 0; i <= m->n_buckets; i++) {
		total += (double)atomic_load_explicit(&s->bucket[i], memory_order_relaxed);
		le = i < m->n_buckets ? m->buckets[i] : INFINITY;
		add_line(b, m, "_bucket", values, &le, total);
	}
	add_line(b, m, "_sum", values, NULL, atomic_load_explicit(&s->value, memory_order_relaxed));
	add_line(b, m, "_count", values, NULL, total);
}

// Packed as consecutive strings, like the values of a series.
#define OVERFLOW_VALUES PD_METRIC_OVERFLOW "\0" PD_METRIC_OVERFLOW "\0" PD_METRIC_OVERFLOW "\0" PD_METRIC_OVERFLOW

static void add_collected(struct pd_buf *b, struct pd_metric *m)
{
	struct pd_metric_out out = {.buf = b, .metric = m};

	m->collect(&out, m->arg);
	if (out.n > pd_metric_limit(m))
		add_line(b, m, "", OVERFLOW_VALUES, NULL, out.rest);
}

static void add_metric(struct pd_buf *b, struct pd_metric *m)
{
	static const char *const types[] =
		{[PD_COUNTER] = "counter", [PD_GAUGE] = "gauge", [PD_HISTOGRAM] = "histogram"};
	struct pd_series *s;
	unsigned n, i;

	pd_buf_printf(b, "# HELP %s ", m->name);
	add_escaped(b, m->help, false);
	pd_buf_printf(b, "\n# TYPE %s %s\n", m->name, types[m->type]);
	if (m->collect) {
		add_collected(b, m);
		return;
	}
	if (m->read) {
		add_line(b, m, "", "", NULL, m->read(m->arg));
		return;
	}
	if (pd_metric_label_count(m) == 0)
		pd_metric_at(m); // shown as 0 before its first use
	for (n = pd_metric_series_count(m), i = 0; i < n; i++) {
		s = pd_metric_series_at(m, i);
		if (m->type == PD_HISTOGRAM)
			add_histogram(b, s);
		else
			add_line(b, m, "", pd_series_values(s), NULL, pd_series_get(s));
	}
}

void pd_metrics_write(struct pd_buf *out)
{
	struct pd_metric *all[PD_METRICS_MAX];
	size_t n, i;

	pthread_mutex_lock(&registry_lock);
	n = registry_n;
	memcpy(all, registry, n * sizeof(*all));
	pthread_mutex_unlock(&registry_lock);
	for (i = 0; i < n; i++)
		add_metric(out, all[i]);
}

void pd_metric_emit(struct pd_metric_out *out, double v, const char *const *values, size_t n)
{
	char buf[PD_METRIC_VALUE_MAX + 1];
	struct pd_buf packed = {0};
	const char *value;
	size_t i;

	PD_ASSERT(n == pd_metric_label_count(out->metric));
	if (out->n++ >= pd_metric_limit(out->metric)) {
		out->rest += v;
		return;
	}
	for (i = 0; i < n; i++) {
		value = pd_metric_clean(values[i], buf);
		pd_buf_add(&packed, value, strlen(value) + 1);
	}
	add_line(out->buf, out->metric, "", n ? packed.p : "", NULL, v);
	pd_buf_free(&packed);
}
