// Metrics in Prometheus' text format.
//
// Each layer owns a static table of struct pd_metric and registers it once at start; a metric is used through its address:
//
//	static struct pd_metric metrics[] = {
//		[PUSHES] = {.name = "pilot_xds_pushes", .help = "Pushes by type.", .type = PD_COUNTER, .labels = {"type"}},
//		[CLIENTS] = {.name = "pilot_xds", .help = "Connected proxies.", .type = PD_GAUGE},
//	};
//	pd_metrics_register(metrics, sizeof(metrics) / sizeof(*metrics));
//	pd_metric_inc(&metrics[PUSHES], "cds");
//	pd_metric_set(&metrics[CLIENTS], 12);
//
// Series (one per combination of label values) live as long as the process, so a caller may keep the pointer that
// pd_metric_at returns. Updates take no lock; looking up a series takes none either, except when it is made.
#ifndef BASE_METRICS_H
#define BASE_METRICS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

#define PD_METRICS_MAX 512             // metrics of the process
#define PD_METRIC_LABELS 4             // labels of a metric
#define PD_METRIC_SERIES 256           // series of a metric unless it says otherwise
#define PD_METRIC_SERIES_MAX 65536     // what it may say
#define PD_METRIC_VALUE_MAX 256        // bytes of a label value; longer ones are cut
#define PD_METRIC_BUCKETS 32           // buckets of a histogram, +Inf not counted
#define PD_METRIC_OVERFLOW "_overflow" // every label value of the series that takes what exceeds the limit

#define PD_METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

enum pd_metric_type { PD_COUNTER, PD_GAUGE, PD_HISTOGRAM };

struct pd_series;
struct pd_metric_out;
struct pd_metric_state;

struct pd_metric {
	const char *name, *help;
	enum pd_metric_type type;
	const char *labels[PD_METRIC_LABELS]; // label names, NULL-terminated unless all are used
	const double *buckets;                // histogram: upper bounds, ascending, without +Inf
	size_t n_buckets;
	uint32_t max_series; // 0 = PD_METRIC_SERIES

	// For values that are kept elsewhere: called at each scrape, on the scraping thread, instead of keeping series. `read`
	// is for a metric without labels, `collect` calls pd_metric_emit once per combination. Not for histograms.
	double (*read)(void *arg);
	void (*collect)(struct pd_metric_out *out, void *arg);
	void *arg;

	_Atomic(struct pd_metric_state *) state; // private
};

// The table is borrowed for the life of the process. Illegal or duplicate names, too many metrics or bad buckets are bugs
// of ours: asserted. Metrics may be used before they are registered; they are only shown after.
void pd_metrics_register(struct pd_metric *table, size_t n);
// process_cpu_seconds_total, process_resident_memory_bytes, process_virtual_memory_bytes, process_open_fds,
// process_max_fds, process_start_time_seconds. May be called again without effect.
void pd_metrics_register_process(void);

// Appends all registered metrics, sorted by name, with HELP and TYPE.
void pd_metrics_write(struct pd_buf *out);

// The series with these label values: never NULL. `n` must be the number of labels. NULL counts as "". What is not UTF-8
// is replaced. Beyond the limit it is the overflow series, whose label values are all PD_METRIC_OVERFLOW.
struct pd_series *pd_metric_series(struct pd_metric *m, const char *const *values, size_t n);
#define PD_METRIC_VALUES_(...) ((const char *const[]){NULL, ##__VA_ARGS__})
#define pd_metric_at(m, ...)                                                                                           \
	pd_metric_series((m), PD_METRIC_VALUES_(__VA_ARGS__) + 1,                                                      \
			 sizeof(PD_METRIC_VALUES_(__VA_ARGS__)) / sizeof(char *) - 1)

void pd_series_add(struct pd_series *s, double v);     // counter (v >= 0) or gauge
void pd_series_set(struct pd_series *s, double v);     // gauge
void pd_series_observe(struct pd_series *s, double v); // histogram
double pd_series_get(struct pd_series *s); // counter or gauge: the value; histogram: the number of observations
static inline void pd_series_inc(struct pd_series *s)
{
	pd_series_add(s, 1);
}

// The same in one step: pd_metric_inc(m, labels...), pd_metric_add(m, value, labels...), ...
#define pd_metric_inc(m, ...) pd_series_add(pd_metric_at((m), ##__VA_ARGS__), 1)
#define pd_metric_add(m, v, ...) pd_series_add(pd_metric_at((m), ##__VA_ARGS__), (v))
#define pd_metric_set(m, v, ...) pd_series_set(pd_metric_at((m), ##__VA_ARGS__), (v))
#define pd_metric_observe(m, v, ...) pd_series_observe(pd_metric_at((m), ##__VA_ARGS__), (v))
#define pd_metric_get(m, ...) pd_series_get(pd_metric_at((m), ##__VA_ARGS__))

// For `collect`: one line; combinations must be distinct. `n` values as for pd_metric_series. Values beyond the limit are
// summed into one line whose label values are all PD_METRIC_OVERFLOW.
void pd_metric_emit(struct pd_metric_out *out, double v, const char *const *values, size_t n);

#endif
