#include "base/metrics.h"

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"

static double answer(void *arg)
{
	return *(double *)arg;
}

static int queues = 2;
static void collect_queues(struct pd_metric_out *out, void *arg)
{
	char name[16];
	int i;

	for (i = 0; i < *(int *)arg; i++) {
		snprintf(name, sizeof(name), "q%d", i);
		pd_metric_emit(out, i + 1, (const char *const[]){name}, 1);
	}
}

static double answer_value = 42.5;
static const double seconds[] = {0.1, 1, 10};

enum { PUSHES, CLIENTS, TIME, ANSWER, QUEUES, LIMITED, CLEAN, LATENCY };
static struct pd_metric metrics[] = {
	[PUSHES] = {.name = "t_pushes", .help = "Pushes\nby \\ type.", .type = PD_COUNTER, .labels = {"type", "code"}},
	[CLIENTS] = {.name = "t_clients", .help = "Clients.", .type = PD_GAUGE},
	[TIME] = {.name = "t_time", .help = "Time.", .type = PD_HISTOGRAM, .buckets = seconds, .n_buckets = 3},
	[ANSWER] = {.name = "t_answer", .help = "Read.", .type = PD_GAUGE, .read = answer, .arg = &answer_value},
	[QUEUES] = {.name = "t_queues",
		    .help = "Queues.",
		    .type = PD_GAUGE,
		    .labels = {"q"},
		    .collect = collect_queues,
		    .arg = &queues,
		    .max_series = 3},
	[LIMITED] = {.name = "t_limited", .help = "Limited.", .type = PD_COUNTER, .labels = {"a"}, .max_series = 10},
	[CLEAN] = {.name = "t_clean", .help = "Clean.", .type = PD_GAUGE, .labels = {"a"}},
	[LATENCY] = {.name = "t_latency",
		     .help = "Latency.",
		     .type = PD_HISTOGRAM,
		     .labels = {"a"},
		     .buckets = seconds,
		     .n_buckets = 3},
};

static struct pd_buf text;

static int setup(void **state)
{
	(void)state;
	assert_int_equal(pd_log_set_levels("none"), PD_OK);
	pd_metrics_register(metrics, sizeof(metrics) / sizeof(*metrics));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	pd_buf_free(&text);
	return 0;
}

// The part of the exposition that belongs to one metric.
static const char *shown(const char *name)
{
	char start[64];
	char *from, *to;

	pd_buf_reset(&text);
	pd_metrics_write(&text);
	snprintf(start, sizeof(start), "# HELP %s ", name);
	from = strstr(text.p, start);
	assert_non_null(from);
	to = strstr(from + 1, "# HELP");
	if (to)
		*to = 0;
	return from;
}

static void test_counter(void **state)
{
	(void)state;
	pd_metric_inc(&metrics[PUSHES], "cds", "ok");
	pd_metric_add(&metrics[PUSHES], 2.5, "cds", "ok");
	pd_metric_inc(&metrics[PUSHES], "a\"b\\c\nd", NULL);
	assert_true(fabs(pd_metric_get(&metrics[PUSHES], "cds", "ok") - 3.5) < 1e-12);
	assert_ptr_equal(pd_metric_at(&metrics[PUSHES], "cds", "ok"), pd_metric_at(&metrics[PUSHES], "cds", "ok"));
	assert_ptr_not_equal(pd_metric_at(&metrics[PUSHES], "cds", "ok"), pd_metric_at(&metrics[PUSHES], "cdso", "k"));
	assert_string_equal(shown("t_pushes"), "# HELP t_pushes Pushes\\nby \\\\ type.\n"
					       "# TYPE t_pushes counter\n"
					       "t_pushes{type=\"cds\",code=\"ok\"} 3.5\n"
					       "t_pushes{type=\"a\\\"b\\\\c\\nd\",code=\"\"} 1\n"
					       "t_pushes{type=\"cdso\",code=\"k\"} 0\n");
}

static void test_gauge(void **state)
{
	struct pd_series *s = pd_metric_at(&metrics[CLIENTS]);

	(void)state;
	assert_string_equal(shown("t_clients"), "# HELP t_clients Clients.\n# TYPE t_clients gauge\nt_clients 0\n");
	pd_series_set(s, 1e6);
	pd_series_add(s, -1);
	assert_true(strstr(shown("t_clients"), "\nt_clients 999999\n"));
	pd_series_set(s, INFINITY);
	assert_true(strstr(shown("t_clients"), "\nt_clients +Inf\n"));
	pd_series_set(s, -INFINITY);
	assert_true(strstr(shown("t_clients"), "\nt_clients -Inf\n"));
	pd_series_set(s, NAN);
	assert_true(strstr(shown("t_clients"), "\nt_clients NaN\n"));
	pd_series_set(s, 0.1);
	assert_true(strstr(shown("t_clients"), "\nt_clients 0.1\n"));
	pd_series_set(s, 1e300);
	assert_true(strstr(shown("t_clients"), "\nt_clients 1e+300\n"));
}

static void test_histogram(void **state)
{
	(void)state;
	pd_metric_observe(&metrics[TIME], 0.1); // a bound belongs to its bucket
	pd_metric_observe(&metrics[TIME], 0.5);
	pd_metric_observe(&metrics[TIME], 100);
	pd_metric_observe(&metrics[TIME], NAN);
	assert_true(fabs(pd_metric_get(&metrics[TIME]) - 3) < 1e-12);
	assert_string_equal(shown("t_time"), "# HELP t_time Time.\n"
					     "# TYPE t_time histogram\n"
					     "t_time_bucket{le=\"0.1\"} 1\n"
					     "t_time_bucket{le=\"1\"} 2\n"
					     "t_time_bucket{le=\"10\"} 2\n"
					     "t_time_bucket{le=\"+Inf\"} 3\n"
					     "t_time_sum 100.6\n"
					     "t_time_count 3\n");
	pd_metric_observe(&metrics[LATENCY], 5, "x");
	assert_true(strstr(shown("t_latency"), "\nt_latency_bucket{a=\"x\",le=\"10\"} 1\n"));
	assert_true(strstr(shown("t_latency"), "\nt_latency_count{a=\"x\"} 1\n"));
}

static void test_callbacks(void **state)
{
	(void)state;
	assert_true(strstr(shown("t_answer"), "\nt_answer 42.5\n"));
	answer_value = 7;
	assert_true(strstr(shown("t_answer"), "\nt_answer 7\n"));
	assert_string_equal(
		shown("t_queues"),
		"# HELP t_queues Queues.\n# TYPE t_queues gauge\nt_queues{q=\"q0\"} 1\nt_queues{q=\"q1\"} 2\n");
	queues = 3;
	assert_null(strstr(shown("t_queues"), PD_METRIC_OVERFLOW));
	queues = 5;
	assert_true(strstr(shown("t_queues"), "t_queues{q=\"q2\"} 3\nt_queues{q=\"_overflow\"} 9\n"));
	assert_null(strstr(shown("t_queues"), "q3"));
}

static void test_series_limit(void **state)
{
	struct pd_series *over;
	char value[16];
	int i;

	(void)state;
	for (i = 0; i < 1000; i++) {
		snprintf(value, sizeof(value), "v%d", i);
		pd_metric_inc(&metrics[LIMITED], value);
	}
	over = pd_metric_at(&metrics[LIMITED], "yet another");
	assert_ptr_equal(over, pd_metric_at(&metrics[LIMITED], "v999"));
	assert_true(fabs(pd_series_get(over) - 990) < 1e-9);
	assert_true(fabs(pd_metric_get(&metrics[LIMITED], "v9") - 1) < 1e-9);
	assert_true(strstr(shown("t_limited"), "\nt_limited{a=\"_overflow\"} 990\n"));
	assert_null(strstr(shown("t_limited"), "\"v10\""));
}

static void test_values_are_cleaned(void **state)
{
	char longer[PD_METRIC_VALUE_MAX + 50], other[sizeof(longer)];

	(void)state;
	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = 0;
	memcpy(other, longer, sizeof(longer));
	other[sizeof(other) - 2] = 'y';
	// Both are cut to the same text, so they must be one series: two lines with equal labels spoil a scrape.
	assert_ptr_equal(pd_metric_at(&metrics[CLEAN], longer), pd_metric_at(&metrics[CLEAN], other));
	longer[PD_METRIC_VALUE_MAX] = 0;
	assert_ptr_equal(pd_metric_at(&metrics[CLEAN], longer), pd_metric_at(&metrics[CLEAN], other));
	// Never cut inside a character.
	other[PD_METRIC_VALUE_MAX - 1] = (char)0xc3;
	other[PD_METRIC_VALUE_MAX] = (char)0xa9;
	longer[PD_METRIC_VALUE_MAX - 1] = 0;
	assert_ptr_equal(pd_metric_at(&metrics[CLEAN], longer), pd_metric_at(&metrics[CLEAN], other));
	pd_metric_set(&metrics[CLEAN], 3, "a\xff\xfe z");
	assert_true(strstr(shown("t_clean"), "\nt_clean{a=\"a?? z\"} 3\n"));
	pd_metric_set(&metrics[CLEAN], 5, PD_METRIC_OVERFLOW);
	assert_true(strstr(shown("t_clean"), "\nt_clean{a=\"_overflow_\"} 5\n"));
	pd_metric_set(&metrics[CLEAN], 4, "gr\xc3\xbcn");
	assert_true(strstr(shown("t_clean"), "\nt_clean{a=\"gr\xc3\xbcn\"} 4\n"));
}

static double shown_value(const char *name)
{
	const char *s = shown(name), *line = strrchr(s, ' ');

	return strtod(line, NULL);
}

static void test_process(void **state)
{
	double now = (double)pd_wall_ns() / 1e9, before;
	volatile unsigned work = 0;
	int fd;

	(void)state;
	pd_metrics_register_process();
	pd_metrics_register_process();
	while (work < 30000000)
		work++;
	assert_true(shown_value("process_cpu_seconds_total") > 0);
	assert_true(shown_value("process_resident_memory_bytes") > 100000);
	assert_true(shown_value("process_virtual_memory_bytes") >= shown_value("process_resident_memory_bytes"));
	assert_true(shown_value("process_max_fds") >= 16);
	assert_true(fabs(shown_value("process_start_time_seconds") - now) < 120);
	before = shown_value("process_open_fds");
	fd = dup(0);
	assert_true(fabs(shown_value("process_open_fds") - before - 1) < 0.5);
	close(fd);
}

#define THREADS 4
#define ROUNDS 20000
static struct pd_metric shared[] = {
	{.name = "t_shared", .help = "Shared.", .type = PD_COUNTER, .labels = {"a"}, .max_series = 20},
	{.name = "t_shared_time", .help = "Shared.", .type = PD_HISTOGRAM, .buckets = seconds, .n_buckets = 3},
};

static void *hammer(void *arg)
{
	char value[16];
	int i;

	for (i = 0; i < ROUNDS; i++) {
		snprintf(value, sizeof(value), "v%d", i % 40);
		pd_metric_inc(&shared[0], value);
		pd_metric_observe(&shared[1], i % 20);
		if (i % 4096 == 0) {
			struct pd_buf b = {0};

			pd_metrics_write(&b);
			pd_buf_free(&b);
		}
	}
	return arg;
}

static void test_threads(void **state)
{
	pthread_t t[THREADS];
	double total = 0;
	char value[16];
	int i;

	(void)state;
	pd_metrics_register(shared, 2);
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, hammer, NULL), 0);
	for (i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	assert_true(fabs(pd_metric_get(&shared[1]) - THREADS * ROUNDS) < 1e-9);
	// 20 of the 40 values got a series of their own, all others share one; nothing is lost.
	total = pd_metric_get(&shared[0], "certainly new");
	for (i = 0; i < 40; i++) {
		snprintf(value, sizeof(value), "v%d", i);
		if (pd_metric_at(&shared[0], value) != pd_metric_at(&shared[0], "certainly new"))
			total += pd_metric_get(&shared[0], value);
	}
	assert_true(fabs(total - THREADS * ROUNDS) < 1e-9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counter),      cmocka_unit_test(test_gauge),
		cmocka_unit_test(test_histogram),    cmocka_unit_test(test_callbacks),
		cmocka_unit_test(test_series_limit), cmocka_unit_test(test_values_are_cleaned),
		cmocka_unit_test(test_process),      cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
