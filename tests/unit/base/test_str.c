#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_null_is_empty(void **state)
{
	(void)state;
	assert_true(pd_streq(NULL, NULL) && pd_streq(NULL, "") && pd_streq("a", "a"));
	assert_false(pd_streq("a", NULL) || pd_streq("a", "b") || pd_streq("a", "ab"));
	assert_int_equal(pd_strcmp(NULL, ""), 0);
	assert_true(pd_strcmp("a", "b") < 0 && pd_strcmp("b", NULL) > 0);
	assert_true(pd_has_prefix("abc", "ab") && pd_has_prefix("abc", "") && pd_has_prefix(NULL, NULL));
	assert_false(pd_has_prefix("ab", "abc") || pd_has_prefix(NULL, "a"));
	assert_true(pd_has_suffix("abc", "bc") && pd_has_suffix("abc", NULL) && pd_has_suffix("abc", "abc"));
	assert_false(pd_has_suffix("bc", "abc") || pd_has_suffix(NULL, "a"));
	assert_true(pd_empty(NULL) && pd_empty("") && !pd_empty("a"));
	assert_string_equal(pd_or(NULL, "x"), "x");
	assert_string_equal(pd_or("y", "x"), "y");
}

static bool utf8(const char *s)
{
	return pd_utf8_ok(s, strlen(s));
}

static void test_utf8(void **state)
{
	static const char *const good[] = {"",
					   "a",
					   "plain ASCII of more than eight bytes",
					   "gr\xc3\xbcn",
					   "\xe2\x82\xac",
					   "\xf0\x9f\x98\x80",
					   "\xf4\x8f\xbf\xbf",
					   "\xed\x9f\xbf",
					   "\xee\x80\x80",
					   "\xc2\x80",
					   "\xe0\xa0\x80",
					   "\xf0\x90\x80\x80",
					   "1234567\xc3\xbc",
					   "12345678\xc3\xbc"};
	static const char *const bad[] =
		{"\x80",         "\xc3",         "\xc0\x80",         "\xc1\xbf",         "\xe0\x9f\xbf",
		 "\xed\xa0\x80", "\xed\xbf\xbf", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
		 "\xff",         "\xe2\x82",     "\xe2\x28\xa1",     "\xf0\x9f\x98",     "12345678\xff",
		 "1234567\xff",  "a\xc3(",       "\xe2\x82\x28"};
	char text[40];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(*good); i++)
		assert_true(utf8(good[i]));
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_false(utf8(bad[i]));
	// A NUL or a bad byte is found at each place, however the bytes are grouped.
	for (i = 0; i < sizeof(text); i++) {
		memset(text, 'a', sizeof(text));
		assert_true(pd_utf8_ok(text, sizeof(text)));
		text[i] = 0;
		assert_false(pd_utf8_ok(text, sizeof(text)));
		text[i] = (char)0x80;
		assert_false(pd_utf8_ok(text, sizeof(text)));
		text[i] = 1;
		assert_true(pd_utf8_ok(text, sizeof(text)));
	}
	assert_false(pd_utf8_ok("\xe2\x82\xac", 2)); // never looks beyond the end
}

static void test_buf(void **state)
{
	struct pd_buf b = {0};
	char longer[500];
	int i;

	(void)state;
	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = 0;
	pd_buf_reset(&b);
	pd_buf_add(&b, NULL, 0);
	assert_string_equal(b.p, "");
	pd_buf_adds(&b, "ab");
	pd_buf_adds(&b, NULL);
	pd_buf_addc(&b, 'c');
	pd_buf_printf(&b, "%d", 12);
	assert_string_equal(b.p, "abc12");
	assert_int_equal(b.n, 5);
	pd_buf_printf(&b, "%s", longer);
	assert_int_equal(b.n, 504);
	assert_string_equal(b.p + 5, longer);
	pd_buf_reset(&b);
	assert_string_equal(b.p, "");
	for (i = 0; i < 10000; i++)
		pd_buf_addc(&b, (char)('a' + i % 26));
	assert_int_equal(strlen(b.p), 10000);
	pd_buf_free(&b);
	assert_null(b.p);
	pd_buf_free(&b);
}

static void json(const char *in, const char *expected)
{
	struct pd_buf b = {0};

	pd_buf_json(&b, in);
	assert_string_equal(b.p, expected);
	pd_buf_free(&b);
}

static void test_json(void **state)
{
	struct pd_buf b = {0};

	(void)state;
	json(NULL, "\"\"");
	json("", "\"\"");
	json("plain", "\"plain\"");
	json("a\"b\\c\nd\re\tf\bg\x7f", "\"a\\\"b\\\\c\\nd\\re\\tf\\u0008g\\u007f\"");
	json("gr\xc3\xbcn \xf0\x9f\x98\x80", "\"gr\xc3\xbcn \xf0\x9f\x98\x80\"");
	json("bad \xff\xfe end", "\"bad \\ufffd\\ufffd end\"");
	json("\xe2\x82", "\"\\ufffd\\ufffd\"");
	pd_buf_json_n(&b, "a\0b", 3);
	assert_string_equal(b.p, "\"a\\u0000b\"");
	pd_buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_null_is_empty),
		cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_buf),
		cmocka_unit_test(test_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
