#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/str.h"
#include "config/yaml.h"

// Every document of a text as compact JSON, one a line; a failure as "line: text".
static char *all(const char *text, size_t len)
{
	static struct pd_buf out;
	struct pd_arena a = {0};
	struct pd_yaml *y = NULL;
	struct pd_yaml_error err;
	struct pd_json *root;
	uint32_t line;
	int rc = pd_yaml_open(text, len, &y, &err);

	pd_buf_reset(&out);
	if (rc) {
		pd_buf_printf(&out, "%u: %s\n", err.line, err.text);
		return out.p;
	}
	while ((rc = pd_yaml_next(y, &a, &root, &line, &err)) != PD_E_NOTFOUND) {
		if (rc) {
			pd_buf_printf(&out, "%u: %s\n", err.line, err.text);
			continue;
		}
		pd_json_print(&out, root, false);
		pd_buf_addc(&out, '\n');
	}
	pd_yaml_close(&y);
	assert_null(y);
	pd_arena_free(&a);
	return out.p ? out.p : (char *)"";
}

#define expect(text, want) assert_string_equal(all(text, strlen(text)), want)

static void test_scalars(void **state)
{
	static const char *const cases[][2] = {
		{"a: y", "true"},
		{"a: Yes", "true"},
		{"a: on", "true"},
		{"a: True", "true"},
		{"a: n", "false"},
		{"a: OFF", "false"},
		{"a: yEs", "\"yEs\""},
		{"a: 0777", "511"},
		{"a: 0o17", "15"},
		{"a: 0b11", "3"},
		{"a: 0x1F", "31"},
		{"a: 1_000", "1000"},
		{"a: 1:30", "\"1:30\""},
		{"a: 2020-01-02", "\"2020-01-02\""},
		{"a:", "null"},
		{"a: ~", "null"},
		{"a: Null", "null"},
		{"a: 08", "8"},
		{"a: -5", "-5"},
		{"a: +7", "7"},
		{"a: .5", "0.5"},
		{"a: 1.", "1"},
		{"a: 1e3", "1000"},
		{"a: -1.5e-2", "-0.015"},
		{"a: .", "\".\""},
		{"a: '5'", "\"5\""},
		{"a: \"yes\"", "\"yes\""},
		{"a: !!str 5", "\"5\""},
		{"a: !!int 5", "5"},
		{"a: !!float 5", "5"},
		{"a: !foo 5", "\"5\""},
		{"a: !!binary aGk=", "\"hi\""},
		{"a: 1.2.3", "\"1.2.3\""},
		{"a: 10.0.0.1", "\"10.0.0.1\""},
		{"a: 9223372036854775807", "9223372036854775807"},
		{"a: -9223372036854775808", "-9223372036854775808"},
		{"a: 18446744073709551615", "18446744073709551615"},
		{"a: _1", "\"_1\""},
		{"a: 0x", "\"0x\""},
		{"a: 1e400", "\"1e400\""},
		{"a: 5m", "\"5m\""},
		{"a: -", "\"-\""},
		{"a: 0", "0"},
		{"a: |\n  x\n  y\n", "\"x\\ny\\n\""},
		{"a: >-\n  x\n  y\n", "\"x y\""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pd_buf want = {0};

		if (!strcmp(cases[i][0], "a: -"))
			continue; // a block sequence entry there is a syntax error
		pd_buf_printf(&want, "{\"a\":%s}\n", cases[i][1]);
		assert_string_equal(all(cases[i][0], strlen(cases[i][0])), want.p);
		pd_buf_free(&want);
	}
	// Digits beyond 64 bits are a float.
	expect("a: 99999999999999999999", "{\"a\":1e+20}\n");
}

static void test_keys(void **state)
{
	(void)state;
	expect("yes: 1\n0x10: 2\n\"on\": 3\n1.5: 4\n", "{\"true\":1,\"16\":2,\"on\":3,\"1.5\":4}\n");
	expect("~: 1\n", "1: a key cannot be null\n");
	expect("? [a]\n: 1\n", "1: a key cannot be list\n");
	expect("a: 1\na: 2\n", "{\"a\":1,\"a\":2}\n"); // the codec decides
}

static void test_documents(void **state)
{
	(void)state;
	expect("", "");
	expect("# nothing\n", "");
	expect("---\n---\n# c\n---\na: 1\n---\n...\n", "{\"a\":1}\n");
	expect("a: 1\n---\nb: [\n---\nc: 3\n", "{\"a\":1}\n4: did not find expected node content, while parsing a flow "
					       "node that starts in line 4\n{\"c\":3}\n");
	expect("--- {a: 1}\n--- # comment\nb: 2\n", "{\"a\":1}\n{\"b\":2}\n");
	expect("a: 1\r\n---\r\nb: 2\r\n", "{\"a\":1}\n{\"b\":2}\n");
	expect("%YAML 1.1\n# c\n---\na: 1\n", "{\"a\":1}\n");
	expect("a: 1\n...\n---\nb: 2\n", "{\"a\":1}\n{\"b\":2}\n");
	expect("a: 1\n...\nb: 2\n", "{\"a\":1}\n3: did not find expected <document start>\n");
	expect("a: |\n  x\n ---\n  y\n---\nb: 1\n",
	       "3: did not find expected key, while parsing a block mapping that starts in line 1\n{\"b\":1}\n");
	expect("a: |\n  x\n  ---\n  y\n---\nb: 1\n", "{\"a\":\"x\\n---\\ny\\n\"}\n{\"b\":1}\n");
	expect("\xef\xbb\xbf"
	       "a: 1\n",
	       "{\"a\":1}\n");
	expect("---x: 1\n", "{\"---x\":1}\n");
}

static void test_lines(void **state)
{
	const char text[] = "a: 1\n---\n\nb:\n  - c\n  - d: e\n---\n{\"f\":\n 1}\n";
	struct pd_arena a = {0};
	struct pd_yaml *y;
	struct pd_yaml_error err;
	struct pd_json *root;
	uint32_t line;

	(void)state;
	assert_int_equal(pd_yaml_open(text, strlen(text), &y, &err), 0);
	assert_int_equal(pd_yaml_next(y, &a, &root, &line, &err), 0);
	assert_int_equal(line, 1);
	assert_int_equal(pd_yaml_next(y, &a, &root, &line, &err), 0);
	assert_int_equal(line, 4);
	assert_int_equal(pd_json_get(root, "b")->first->line, 5);
	assert_int_equal(pd_json_get(pd_json_get(root, "b")->last, "d")->line, 6);
	assert_int_equal(pd_yaml_next(y, &a, &root, &line, &err), 0);
	assert_int_equal(line, 8);
	assert_int_equal(pd_json_get(root, "f")->line, 9);
	pd_yaml_close(&y);
	pd_arena_free(&a);
}

static void test_aliases(void **state)
{
	(void)state;
	expect("a: &x {p: 1, q: [1, 2]}\nb: *x\nc: [*x, &y 3, *y]\n",
	       "{\"a\":{\"p\":1,\"q\":[1,2]},\"b\":{\"p\":1,\"q\":[1,2]},\"c\":[{\"p\":1,\"q\":[1,2]},3,3]}\n");
	expect("a: *nope\n", "1: alias *nope refers to no anchor\n");
	expect("a: &x [*x]\n", "1: alias *x is inside its own anchor\n");
	expect("a: &x 1\nb: *x\nc: &x 2\nd: *x\n", "{\"a\":1,\"b\":1,\"c\":2,\"d\":2}\n");
	// An anchor ends with its document.
	expect("a: &x 1\n---\nb: *x\n", "{\"a\":1}\n3: alias *x refers to no anchor\n");
}

static void test_merge(void **state)
{
	(void)state;
	expect("a: &a {p: 1, q: 2}\nb: &b {q: 3, r: 4}\nc: {<<: *a, q: 9}\nd: {<<: [*b, *a], s: 5}\ne: {\"<<\": 1}\n",
	       "{\"a\":{\"p\":1,\"q\":2},\"b\":{\"q\":3,\"r\":4},\"c\":{\"q\":9,\"p\":1},"
	       "\"d\":{\"s\":5,\"q\":3,\"r\":4,\"p\":1},\"e\":{\"<<\":1}}\n");
	expect("c:\n  <<: 5\n", "2: \"<<\" needs a mapping or a list of mappings, not number\n");
}

static void test_depth(void **state)
{
	struct pd_buf b = {0};
	uint64_t start = pd_now_ms();

	(void)state;
	for (int i = 0; i < PD_YAML_MAX_DEPTH; i++)
		pd_buf_addc(&b, '[');
	pd_buf_adds(&b, "~");
	for (int i = 0; i < PD_YAML_MAX_DEPTH; i++)
		pd_buf_addc(&b, ']');
	assert_null(strstr(all(b.p, b.n), "nested"));
	pd_buf_reset(&b);
	for (int i = 0; i < 1000000; i++)
		pd_buf_addc(&b, '[');
	assert_non_null(strstr(all(b.p, b.n), "nested deeper than 100"));
	pd_buf_reset(&b);
	for (int i = 0; i < 3000; i++)
		pd_buf_adds(&b, "- ");
	assert_non_null(strstr(all(b.p, b.n), "nested deeper than 100"));
	// Nesting through aliases counts as well.
	pd_buf_reset(&b);
	pd_buf_adds(&b, "a0: &a0 [[[[[[[[[[1]]]]]]]]]]\n");
	for (int i = 1; i < 12; i++)
		pd_buf_printf(&b, "a%d: &a%d [[[[[[[[[*a%d]]]]]]]]]\n", i, i, i - 1);
	assert_non_null(strstr(all(b.p, b.n), "nested deeper than 100"));
	pd_buf_free(&b);
	assert_true(pd_now_ms() - start < 5000);
}

static void test_alias_bomb(void **state)
{
	struct pd_buf b = {0};

	(void)state;
	pd_buf_adds(&b, "a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n");
	for (int i = 1; i < 12; i++) {
		pd_buf_printf(&b, "a%d: &a%d [", i, i);
		for (int j = 0; j < 10; j++)
			pd_buf_printf(&b, "%s*a%d", j ? "," : "", i - 1);
		pd_buf_adds(&b, "]\n");
	}
	assert_non_null(strstr(all(b.p, b.n), "aliases expand to more than 200000 values"));
	// Merging the same large mapping again and again costs time, not nodes: bounded as well.
	pd_buf_reset(&b);
	pd_buf_adds(&b, "a: &a {");
	for (int i = 0; i < 1000; i++)
		pd_buf_printf(&b, "k%d: 1,", i);
	pd_buf_adds(&b, "}\nb:\n  <<: [*a");
	for (int i = 0; i < 1000; i++)
		pd_buf_adds(&b, ",*a");
	pd_buf_adds(&b, "]\n");
	assert_non_null(strstr(all(b.p, b.n), "aliases expand to more than 200000 values"));
	pd_buf_free(&b);
}

static void test_anchor_limit(void **state)
{
	struct pd_buf b = {0};

	(void)state;
	for (int i = 0; i <= PD_YAML_MAX_ANCHORS; i++)
		pd_buf_printf(&b, "- &a%d 1\n", i);
	assert_non_null(strstr(all(b.p, b.n), "more than 10000 anchors"));
	pd_buf_free(&b);
}

static void test_node_limit(void **state)
{
	size_t n = PD_YAML_MAX_NODES + 1;
	char *text = malloc(4 * n);

	(void)state;
	for (size_t i = 0; i < n; i++)
		memcpy(text + 4 * i, "- 1\n", 4);
	assert_non_null(strstr(all(text, 4 * n), "the document has more than 4194304 values"));
	free(text);
}

static void test_bad_bytes(void **state)
{
	char *big;

	(void)state;
	assert_string_equal(all("a: 1\nb: \0\n", 10), "2: the text holds a NUL byte\n");
	expect("a: 1\nb: \xff\n", "2: the text is not UTF-8\n");
	expect("a: \x01\n", "1: control characters are not allowed\n");
	expect("a: !!binary '*'\n", "1: !!binary value is not base64\n");
	expect("a: .inf\n", "1: .inf cannot be expressed in JSON\n");
	expect("a: !!int x\n", "1: the value is no !!int\n");
	big = calloc(1, PD_YAML_MAX_BYTES + 1);
	assert_string_equal(all(big, PD_YAML_MAX_BYTES + 1), "0: the text is longer than 64 MB\n");
	free(big);
}

static void test_json(void **state)
{
	(void)state;
	expect("{\"a\": \"\\ud83d\\ude00\\/\",\n\t\"b\": [1, 2.5, true, null, 18446744073709551615]}\n",
	       "{\"a\":\"\xf0\x9f\x98\x80/\",\"b\":[1,2.5,true,null,18446744073709551615]}\n");
	expect("{a: 1}\n", "{\"a\":1}\n"); // flow style
	expect("{\"a\":1}\n---\n[1]\n", "{\"a\":1}\n[1]\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scalars),      cmocka_unit_test(test_keys),
		cmocka_unit_test(test_documents),    cmocka_unit_test(test_lines),
		cmocka_unit_test(test_aliases),      cmocka_unit_test(test_merge),
		cmocka_unit_test(test_depth),        cmocka_unit_test(test_alias_bomb),
		cmocka_unit_test(test_anchor_limit), cmocka_unit_test(test_node_limit),
		cmocka_unit_test(test_bad_bytes),    cmocka_unit_test(test_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
