#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/str.h"

static int fd;
static char text[4 * PD_LOG_MESSAGE_MAX];

// What was logged since the last call.
static const char *logged(void)
{
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	assert_true(n >= 0);
	text[n] = 0;
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return text;
}

static int setup(void **state)
{
	(void)state;
	fd = memfd_create("log", MFD_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_APPEND), 0); // two threads must not write at one place
	pd_log_set_fd(fd);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	pd_log_set_fd(STDERR_FILENO);
	close(fd);
	return 0;
}

static int reset(void **state)
{
	(void)state;
	pd_log_set_json(false);
	assert_int_equal(pd_log_set_levels(""), PD_OK);
	logged();
	return 0;
}

static void test_layout(void **state)
{
	char stamp[32];
	int64_t ns;

	(void)state;
	pd_info("ads", "push %d", 7);
	logged();
	assert_string_equal(text + 27, "\tinfo\tads\tpush 7\n");
	memcpy(stamp, text, 27);
	stamp[27] = 0;
	assert_int_equal(stamp[19], '.');
	assert_int_equal(stamp[26], 'Z');
	assert_int_equal(pd_parse_time(stamp, &ns), PD_OK);
	assert_true(llabs(pd_wall_ns() - ns) < 60000000000);
	pd_error("config", "e");
	pd_warn("config", "w");
	pd_debug("config", "not shown");
	logged();
	assert_non_null(strstr(text, "\terror\tconfig\te\n"));
	assert_non_null(strstr(text, "\twarn\tconfig\tw\n"));
	assert_null(strstr(text, "not shown"));
}

static void test_json(void **state)
{
	(void)state;
	pd_log_set_json(true);
	pd_warn("ads", "a \"name\"\nwith\x01");
	logged();
	assert_true(pd_has_prefix(text, "{\"level\":\"warn\",\"time\":\"2"));
	assert_true(pd_has_suffix(text, "Z\",\"scope\":\"ads\",\"msg\":\"a \\\"name\\\"\\nwith\\u0001\"}\n"));
}

// A name from outside cannot forge a line.
static void test_control_characters(void **state)
{
	(void)state;
	pd_info("x", "%s", "a\nb\tc\x1b[2J\r\x7f");
	assert_true(pd_has_suffix(logged(), "\tinfo\tx\ta\\nb\tc\\x1b[2J\\x0d\\x7f\n"));
}

static void test_long_message(void **state)
{
	char *big = calloc(1, PD_LOG_MESSAGE_MAX + 2);

	(void)state;
	memset(big, 'x', PD_LOG_MESSAGE_MAX);
	pd_info("x", "%s", big);
	assert_true(pd_has_suffix(logged(), "xx\n"));
	big[PD_LOG_MESSAGE_MAX] = 'x';
	pd_info("x", "%s", big);
	assert_true(pd_has_suffix(logged(), "xx... (truncated)\n"));
	assert_int_equal(strlen(text), 27 + strlen("\tinfo\tx\t") + PD_LOG_MESSAGE_MAX + strlen("... (truncated)\n"));
	free(big);
}

static void test_levels(void **state)
{
	(void)state;
	assert_int_equal(pd_log_set_levels("default:warn,xds:debug,ads:none"), PD_OK);
	assert_true(pd_log_enabled(PD_LOG_DEBUG, "xds") && pd_log_enabled(PD_LOG_WARN, "other"));
	assert_false(pd_log_enabled(PD_LOG_INFO, "other") || pd_log_enabled(PD_LOG_ERROR, "ads"));
	assert_false(pd_log_enabled(PD_LOG_NONE, "xds"));
	// Nothing of a bad spec takes effect.
	assert_int_equal(pd_log_set_levels("xds:info,other:loud"), PD_E_INVALID);
	assert_int_equal(pd_log_set_levels("x:"), PD_E_INVALID);
	assert_int_equal(pd_log_set_levels(":info"), PD_E_INVALID);
	assert_int_equal(pd_log_set_levels("info,,debug"), PD_E_INVALID);
	assert_int_equal(pd_log_set_levels("a-scope-name-that-is-much-too-long:info"), PD_E_INVALID);
	assert_true(pd_log_enabled(PD_LOG_DEBUG, "xds"));
	// A new spec replaces the old one.
	assert_int_equal(pd_log_set_levels("error"), PD_OK);
	assert_false(pd_log_enabled(PD_LOG_WARN, "xds"));
	assert_true(pd_log_enabled(PD_LOG_ERROR, "ads"));
	assert_int_equal(pd_log_set_levels("all:debug"), PD_OK);
	assert_true(pd_log_enabled(PD_LOG_DEBUG, "xds") && pd_log_enabled(PD_LOG_DEBUG, "anything"));
	assert_int_equal(pd_log_set_levels(NULL), PD_OK);
	assert_true(pd_log_enabled(PD_LOG_INFO, "xds") && !pd_log_enabled(PD_LOG_DEBUG, "xds"));
}

static void test_scope_limit(void **state)
{
	struct pd_buf spec = {0};
	int i;

	(void)state;
	for (i = 0; i <= PD_LOG_MAX_SCOPES; i++)
		pd_buf_printf(&spec, "%ss%d:info", i ? "," : "", i);
	assert_int_equal(pd_log_set_levels(spec.p), PD_E_LIMIT);
	pd_buf_reset(&spec);
	for (i = 0; i < PD_LOG_MAX_SCOPES; i++)
		pd_buf_printf(&spec, "%st%d:debug", i ? "," : "", i);
	assert_int_equal(pd_log_set_levels(spec.p), PD_E_LIMIT); // others have been named before
	assert_true(pd_log_enabled(PD_LOG_DEBUG, "t0"));
	pd_buf_free(&spec);
}

static void test_errno_is_kept(void **state)
{
	(void)state;
	pd_log_set_fd(-1);
	errno = ENOTTY;
	pd_info("x", "into nothing");
	assert_int_equal(errno, ENOTTY);
	pd_log_set_fd(fd);
}

static void *talk(void *arg)
{
	int i;

	for (i = 0; i < 200; i++) {
		pd_info("thread", "%s", (const char *)arg);
		if (i % 50 == 0)
			assert_int_equal(pd_log_set_levels(i % 100 ? "default:info,thread:info" : "info"), PD_OK);
	}
	return NULL;
}

static void test_threads(void **state)
{
	pthread_t t[4];
	const char *line, *end;
	int i, n = 0;

	(void)state;
	for (i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, talk, (void *)(uintptr_t) "same text"), 0);
	for (i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	for (line = logged(); (end = strchr(line, '\n')); line = end + 1, n++)
		assert_memory_equal(line + 27, "\tinfo\tthread\tsame text\n", 23);
	assert_int_equal(n, 800);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_layout, reset),
		cmocka_unit_test_setup(test_json, reset),
		cmocka_unit_test_setup(test_control_characters, reset),
		cmocka_unit_test_setup(test_long_message, reset),
		cmocka_unit_test_setup(test_levels, reset),
		cmocka_unit_test_setup(test_errno_is_kept, reset),
		cmocka_unit_test_setup(test_threads, reset),
		cmocka_unit_test_setup(test_scope_limit, reset),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
