// Bugs of ours stop the process and name the place: each broken contract runs in a child of its own.
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/flags.h"
#include "base/http.h"
#include "base/metrics.h"
#include "base/ref.h"

// Runs `broken` in a child and returns what it wrote on stderr before it was stopped.
static const char *stopped_by(void (*broken)(void))
{
	static char text[4096];
	size_t used = 0;
	ssize_t n;
	int p[2], status;
	pid_t pid;

	assert_int_equal(pipe(p), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		sigaction(SIGABRT, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
		dup2(p[1], STDERR_FILENO);
		broken();
		_exit(0);
	}
	close(p[1]);
	while ((n = read(p[0], text + used, sizeof(text) - 1 - used)) > 0)
		used += (size_t)n;
	text[used] = 0;
	close(p[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) != 0);
	return text;
}

static void plain(void)
{
	PD_ASSERT(1 + 1 == 3);
}

static void unreachable(void)
{
	PD_UNREACHABLE();
}

static void test_message(void **state)
{
	(void)state;
	assert_non_null(strstr(stopped_by(plain), "test_assert.c:"));
	assert_non_null(strstr(stopped_by(plain), ": assertion failed: 1 + 1 == 3\n"));
	assert_non_null(strstr(stopped_by(unreachable), "assertion failed: unreachable"));
}

static void too_many_drops(void)
{
	pd_ref r;

	pd_ref_init(&r);
	if (pd_ref_drop(&r) && pd_ref_drop(&r))
		_exit(0);
}

static void test_reference_counts(void **state)
{
	(void)state;
	assert_non_null(strstr(stopped_by(too_many_drops), "before > 0"));
}

static void twice_the_same_metric(void)
{
	static struct pd_metric m[] = {{.name = "same", .help = "h"}, {.name = "same", .help = "h"}};

	pd_metrics_register(m, 2);
}

static void bad_metric_name(void)
{
	static struct pd_metric m[] = {{.name = "1st-thing", .help = "h"}};

	pd_metrics_register(m, 1);
}

static void descending_buckets(void)
{
	static const double buckets[] = {2, 1};
	static struct pd_metric m[] = {
		{.name = "h", .help = "h", .type = PD_HISTOGRAM, .buckets = buckets, .n_buckets = 2}};

	pd_metrics_register(m, 1);
}

static void too_many_metrics(void)
{
	static struct pd_metric m[PD_METRICS_MAX + 1];
	static char names[PD_METRICS_MAX + 1][16];
	int i;

	for (i = 0; i <= PD_METRICS_MAX; i++) {
		snprintf(names[i], sizeof(names[i]), "m%d", i);
		m[i].name = m[i].help = names[i];
		pd_metrics_register(&m[i], 1);
	}
}

static struct pd_metric labelled = {.name = "labelled", .help = "h", .labels = {"a", "b"}};

static void wrong_number_of_labels(void)
{
	pd_metric_inc(&labelled, "one");
}

static void falling_counter(void)
{
	pd_metric_add(&labelled, -1, "x", "y");
}

static void test_metrics(void **state)
{
	(void)state;
	assert_non_null(strstr(stopped_by(twice_the_same_metric), "c != 0"));
	assert_non_null(strstr(stopped_by(bad_metric_name), "name_ok"));
	assert_non_null(strstr(stopped_by(descending_buckets), "buckets"));
	assert_non_null(strstr(stopped_by(too_many_metrics), "PD_METRICS_MAX"));
	assert_non_null(strstr(stopped_by(wrong_number_of_labels), "pd_metric_label_count"));
	assert_non_null(strstr(stopped_by(falling_counter), "v >= 0"));
}

static void handler(const struct pd_http_request *r, struct pd_http_response *out, void *arg)
{
	(void)r;
	(void)arg;
	out->status = 204;
}

static void twice_the_same_route(void)
{
	static const struct pd_http_route r[] = {{.path = "/a", .handler = handler},
						 {.path = "/a", .handler = handler}};

	pd_http_add_routes(pd_http_new(&(struct pd_http_options){0}), r, 2, NULL);
}

static void too_many_routes(void)
{
	static struct pd_http_route r[PD_HTTP_ROUTES_MAX + 1];
	static char paths[PD_HTTP_ROUTES_MAX + 1][16];
	int i;

	for (i = 0; i <= PD_HTTP_ROUTES_MAX; i++) {
		snprintf(paths[i], sizeof(paths[i]), "/%d", i);
		r[i] = (struct pd_http_route){.path = paths[i], .handler = handler};
	}
	pd_http_add_routes(pd_http_new(&(struct pd_http_options){0}), r, PD_HTTP_ROUTES_MAX + 1, NULL);
}

static void header_injection(void)
{
	struct pd_http_response r = {0};

	pd_http_set_header(&r, "X-Name", "a\r\nSet-Cookie: b");
}

static void too_many_headers(void)
{
	struct pd_http_response r = {0};
	int i;

	for (i = 0; i <= PD_HTTP_RESPONSE_HEADERS; i++)
		pd_http_set_header(&r, "X-Name", "value");
}

static void test_http(void **state)
{
	(void)state;
	assert_non_null(strstr(stopped_by(twice_the_same_route), "c != 0"));
	assert_non_null(strstr(stopped_by(too_many_routes), "PD_HTTP_ROUTES_MAX"));
	assert_non_null(strstr(stopped_by(header_injection), ">= 0x20"));
	assert_non_null(strstr(stopped_by(too_many_headers), "PD_HTTP_RESPONSE_HEADERS"));
}

static int64_t number;

static void twice_the_same_flag(void)
{
	static const struct pd_flag f[] = {{.name = "a", .type = PD_FLAG_INT, .target = &number, .help = "h"},
					   {.name = "a", .type = PD_FLAG_INT, .target = &number, .help = "h"}};
	struct pd_flag_set set = {0};

	pd_flag_set_add(&set, f, 2);
}

static void illegal_default(void)
{
	static const struct pd_flag f[] = {
		{.name = "a", .type = PD_FLAG_INT, .target = &number, .def = "9", .min = 1, .max = 5, .help = "h"}};
	struct pd_flag_set set = {0};

	pd_flag_set_add(&set, f, 1);
}

static void test_flags(void **state)
{
	(void)state;
	assert_non_null(strstr(stopped_by(twice_the_same_flag), "c != 0"));
	assert_non_null(strstr(stopped_by(illegal_default), "set_value"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_message), cmocka_unit_test(test_reference_counts),
		cmocka_unit_test(test_metrics), cmocka_unit_test(test_http),
		cmocka_unit_test(test_flags),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
