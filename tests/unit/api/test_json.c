#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "api/json.h"

static struct pd_json *parse(struct pd_arena *a, const char *text)
{
	struct pd_json_error err = {0};
	struct pd_json *j = NULL;

	if (pd_json_parse(a, text, strlen(text), &j, &err))
		fail_msg("%s: %u:%u %s", text, err.line, err.column, err.text);
	return j;
}

// Parses and prints; expected NULL means the same text.
static void same(const char *text, const char *expected)
{
	struct pd_arena a = {0};
	struct pd_buf out = {0};

	pd_json_print(&out, parse(&a, text), false);
	assert_string_equal(out.p, expected ? expected : text);
	pd_buf_free(&out);
	pd_arena_free(&a);
}

static void bad(const char *text, int code, unsigned line, unsigned column, const char *why)
{
	struct pd_arena a = {0};
	struct pd_json_error err = {0};
	struct pd_json *j = NULL;

	assert_int_equal(pd_json_parse(&a, text, strlen(text), &j, &err), code);
	assert_null(j);
	assert_string_equal(err.text, why);
	assert_int_equal(err.line, line);
	assert_int_equal(err.column, column);
	pd_arena_free(&a);
}

static void values(void **state)
{
	(void)state;
	same("null", NULL);
	same(" [ true , false,{} ,[]] ", "[true,false,{},[]]");
	same("{\"a\":{\"b\":[1,\"x\"]},\"a\":2}", NULL);
	same("9223372036854775807", NULL);
	same("-9223372036854775808", NULL);
	same("18446744073709551615", NULL);
	same("18446744073709551616", "1.8446744073709552e+19");
	same("-9223372036854775809", "-9.223372036854776e+18");
	same("[0.1,1e2,1E-7,-0,-0.0,123456789.125,1e22]", "[0.1,100,1e-07,-0.0,-0.0,123456789.125,1e+22]");
}

static void strings(void **state)
{
	(void)state;
	same("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\\"\\\\/\\u0008\\u000c\\n\\r\\t\"");
	same("\"\\u0041\\u00e4\\u20AC\\ud834\\udd1e\"", "\"Aä€𝄞\"");
	same("\"a\\u0000b\"", NULL);
	same("\"\\ud800x\"", "\"\xef\xbf\xbdx\"");
	same("\"\\ud800\\u0041\"", "\"\xef\xbf\xbd"
				   "A\"");
	same("\"\\udc00\"", "\"\xef\xbf\xbd\"");
	same("\"\xff\xc0\x80\xed\xa0\x80\xf4\x90\x80\x80|\"",
	     "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
	     "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd|\"");
}

static void errors(void **state)
{
	(void)state;
	bad("", PD_E_PARSE, 1, 1, "unexpected end");
	bad("{\"a\":1,\n \"b\" 2}", PD_E_PARSE, 2, 6, "unexpected character '2'");
	bad("[1,]", PD_E_PARSE, 1, 4, "unexpected character ']'");
	bad("[1 2]", PD_E_PARSE, 1, 4, "unexpected character '2'");
	bad("{,}", PD_E_PARSE, 1, 2, "unexpected character ','");
	bad("{\"a\":1,}", PD_E_PARSE, 1, 8, "unexpected character '}'");
	bad("{\"a\":1", PD_E_PARSE, 1, 7, "unexpected end");
	bad("1 x", PD_E_PARSE, 1, 3, "unexpected character 'x'");
	bad("nul", PD_E_PARSE, 1, 1, "unexpected character 'n'");
	bad("\x01", PD_E_PARSE, 1, 1, "unexpected byte 0x01");
	bad("01", PD_E_PARSE, 1, 2, "unexpected character '1'");
	bad("-", PD_E_PARSE, 1, 1, "bad number");
	bad("1.", PD_E_PARSE, 1, 1, "bad number");
	bad("1e", PD_E_PARSE, 1, 1, "bad number");
	bad("+1", PD_E_PARSE, 1, 1, "unexpected character '+'");
	bad("NaN", PD_E_PARSE, 1, 1, "unexpected character 'N'");
	bad("1e999", PD_E_PARSE, 1, 1, "number out of range");
	bad("\"a", PD_E_PARSE, 1, 3, "unexpected end in a string");
	bad("\"a\\", PD_E_PARSE, 1, 4, "unexpected end in a string");
	bad("\"a\nb\"", PD_E_PARSE, 1, 3, "control character 0x0a in a string");
	bad("\"a\\x\"", PD_E_PARSE, 1, 3, "bad escape in a string");
	bad("\"\\u12\"", PD_E_PARSE, 1, 2, "bad escape in a string");
}

static void limits(void **state)
{
	(void)state;
	char text[2 * PD_JSON_MAX_DEPTH + 4];
	struct pd_arena a = {0};
	struct pd_json *j = NULL;
	struct pd_json_error err;
	size_t n = PD_JSON_MAX_DEPTH;

	memset(text, '[', n);
	memset(text + n, ']', n);
	assert_int_equal(pd_json_parse(&a, text, 2 * n, &j, &err), PD_OK);
	text[n] = '[';
	assert_int_equal(pd_json_parse(&a, text, n + 1, &j, &err), PD_E_LIMIT);
	assert_string_equal(err.text, "nested more than 100 levels deep");

	size_t big = (size_t)PD_JSON_MAX_BYTES + 1;
	char *spaces = pd_xmalloc(big);
	memset(spaces, ' ', big);
	assert_int_equal(pd_json_parse(&a, spaces, big, &j, &err), PD_E_LIMIT);
	assert_int_equal(pd_json_parse(&a, spaces, big - 1, &j, &err), PD_E_PARSE);
	for (size_t i = 0; i < big - 1; i++)
		spaces[i] = i % 2 ? ',' : '1';
	spaces[0] = '[';
	assert_int_equal(pd_json_parse(&a, spaces, big - 1, &j, &err), PD_E_PARSE); // "[,1,1": broken at once
	spaces[1] = '1';
	assert_int_equal(pd_json_parse(&a, spaces, big - 1, &j, &err), PD_E_LIMIT);
	assert_string_equal(err.text, "more than 4194304 values");
	memset(spaces, '1', 600);
	assert_int_equal(pd_json_parse(&a, spaces, 600, &j, &err), PD_E_LIMIT);
	free(spaces);
	pd_arena_free(&a);
}

static void lines(void **state)
{
	(void)state;
	struct pd_arena a = {0};
	struct pd_json *j = parse(&a, "\n{\"a\":\n [1,\n2],\r\n\"b\": {}}");

	assert_int_equal(j->line, 2);
	assert_int_equal(pd_json_get(j, "a")->line, 2);
	assert_int_equal(pd_json_get(j, "a")->first->line, 3);
	assert_int_equal(pd_json_get(j, "a")->last->line, 4);
	assert_int_equal(pd_json_get(j, "b")->line, 5);
	pd_arena_free(&a);
}

static void building(void **state)
{
	(void)state;
	struct pd_arena a = {0};
	struct pd_buf out = {0};
	struct pd_json *o = pd_json_object(&a), *list = pd_json_array(&a);

	pd_json_append(list, pd_json_null(&a));
	pd_json_append(list, pd_json_real(&a, NAN));
	pd_json_append(list, pd_json_real(&a, -INFINITY));
	pd_json_append(list, pd_json_uint(&a, 7));
	pd_json_append(list, pd_json_uint(&a, UINT64_MAX));
	pd_json_add(&a, o, "list", list);
	pd_json_set(&a, o, "x", pd_json_bool(&a, false));
	pd_json_set(&a, o, "y", pd_json_string(&a, "old"));
	pd_json_set(&a, o, "y", pd_json_string(&a, "new"));
	pd_json_set(&a, o, "list", pd_json_copy(&a, list));
	pd_json_print(&out, o, true);
	assert_string_equal(out.p, "{\n  \"list\": [\n    null,\n    \"NaN\",\n    \"-Infinity\",\n    7,\n"
				   "    18446744073709551615\n  ],\n  \"x\": false,\n  \"y\": \"new\"\n}");
	assert_int_equal(o->n, 3);
	assert_int_equal(list->first->next->next->next->type, PD_JSON_INT);
	assert_string_equal(pd_json_get_string(o, "y"), "new");
	assert_null(pd_json_get_string(o, "x"));
	assert_null(pd_json_get(o, "z"));
	assert_null(pd_json_get(NULL, "z"));
	assert_null(pd_json_get(list, "z"));
	pd_json_set(&a, o, "y", pd_json_string_n(&a, "a\0b", 3));
	assert_null(pd_json_get_string(o, "y"));
	pd_buf_free(&out);
	pd_arena_free(&a);
}

static bool equal(const char *x, const char *y)
{
	struct pd_arena a = {0};
	struct pd_json *one = parse(&a, x), *other = parse(&a, y);
	bool same_value = pd_json_equal(one, other);

	assert_int_equal(same_value, pd_json_equal(other, one));
	assert_true(pd_json_equal(one, pd_json_copy(&a, one)));
	pd_arena_free(&a);
	return same_value;
}

static void equality(void **state)
{
	(void)state;
	assert_true(equal("{\"a\":1,\"b\":[2]}", "{\"b\":[2.0],\"a\":1}"));
	assert_true(equal("{\"a\":0,\"a\":1}", "{\"a\":1}"));
	assert_true(equal("18446744073709551615", "18446744073709551615"));
	assert_true(equal("9007199254740992", "9007199254740992.0"));
	assert_false(equal("9007199254740993", "9007199254740992.0"));
	assert_false(equal("9223372036854775807", "9223372036854775808.0"));
	assert_false(equal("18446744073709551615", "18446744073709551616.0"));
	assert_false(equal("{\"a\":1}", "{\"a\":1,\"b\":null}"));
	assert_false(equal("[1,2]", "[2,1]"));
	assert_false(equal("[1]", "[1,1]"));
	assert_false(equal("\"a\"", "\"a\\u0000\""));
	assert_false(equal("true", "false"));
	assert_false(equal("null", "false"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values),   cmocka_unit_test(strings), cmocka_unit_test(errors),
		cmocka_unit_test(limits),   cmocka_unit_test(lines),   cmocka_unit_test(building),
		cmocka_unit_test(equality),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
