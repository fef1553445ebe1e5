#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"

#define S 1000000000ll

static const struct {
	const char *text;
	int64_t ns;
} times[] = {
	{"1970-01-01T00:00:00Z", 0},
	{"2026-08-01T00:00:00Z", 1785542400 * S},
	{"2026-08-01T12:34:56.789Z", 1785587696 * S + 789000000},
	{"2000-02-29T23:59:59.000000001Z", 951868799 * S + 1},
	{"1969-12-31T23:59:59.5Z", -S / 2},
	{"2262-04-11T23:47:16.854775807Z", INT64_MAX},
};

static void test_format_and_parse(void **state)
{
	char out[36];
	int64_t ns;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(times) / sizeof(*times); i++) {
		pd_format_time(times[i].ns, out);
		assert_string_equal(out, times[i].text);
		assert_int_equal(pd_parse_time(times[i].text, &ns), PD_OK);
		assert_int_equal(ns, times[i].ns);
	}
	pd_format_time(INT64_MIN, out);
	assert_string_equal(out, "1677-09-21T00:12:43.145224192Z");
}

static int64_t parsed(const char *s)
{
	int64_t ns = 0;

	assert_int_equal(pd_parse_time(s, &ns), PD_OK);
	return ns;
}

static void test_parse_forms(void **state)
{
	(void)state;
	assert_int_equal(parsed("1970-01-01T01:30:00+01:30"), 0);
	assert_int_equal(parsed("1969-12-31T19:00:00-05:00"), 0);
	assert_int_equal(parsed("1970-01-01t00:00:00z"), 0);
	assert_int_equal(parsed("1970-01-01T00:00:00.1234567899Z"), 123456789);
	assert_int_equal(parsed("2024-02-29T00:00:00Z"), 1709164800 * S);
}

static void test_parse_refuses(void **state)
{
	static const char *const bad[] = {NULL,
					  "",
					  "2026",
					  "2026-08-01",
					  "2026-08-01T00:00:00",
					  "2026-08-01 00:00:00Z",
					  "2026-13-01T00:00:00Z",
					  "2026-00-01T00:00:00Z",
					  "2026-02-29T00:00:00Z",
					  "1900-02-29T00:00:00Z",
					  "2026-08-32T00:00:00Z",
					  "2026-08-01T24:00:00Z",
					  "2026-08-01T00:60:00Z",
					  "2026-08-01T00:00:60Z",
					  "2026-08-01T00:00:00.Z",
					  "2026-08-01T00:00:00Zx",
					  "2026-08-01T00:00:00+1:00",
					  "2026-08-01T00:00:00+24:00",
					  "2026-08-01T00:00:00+00:60",
					  "2026-8-1T00:00:00Z",
					  "+026-08-01T00:00:00Z",
					  "3000-01-01T00:00:00Z"};
	int64_t ns;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(pd_parse_time(bad[i], &ns), PD_E_PARSE);
}

static void test_clocks(void **state)
{
	uint64_t a = pd_now_ns(), b = pd_now_ns();

	(void)state;
	assert_true(b >= a);
	assert_true(pd_now_ms() >= a / 1000000);
	assert_true(pd_wall_ns() > 1700000000 * S);
}

static void test_every_code_has_a_text(void **state)
{
	int code;

	(void)state;
	for (code = PD_OK; code >= PD_E_AGAIN; code--)
		assert_string_not_equal(pd_strerror(code), "unknown error");
	assert_string_equal(pd_strerror(PD_E_AGAIN - 1), "unknown error");
	assert_string_equal(pd_strerror(1), "unknown error");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_format_and_parse),      cmocka_unit_test(test_parse_forms),
		cmocka_unit_test(test_parse_refuses),         cmocka_unit_test(test_clocks),
		cmocka_unit_test(test_every_code_has_a_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
