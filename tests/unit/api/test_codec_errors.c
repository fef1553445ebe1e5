// What a user is told: path, reason, line, limits.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "api/pb.h"
#include "tests/unit/api/codec_util.h"

#define NET "istio.networking.v1alpha3."
#define VS NET "VirtualService"

static void all_errors_with_path_and_line(void **state)
{
	(void)state;
	struct pd_arena a = {0};
	struct pd_codec c = {.arena = &a, .policy = PD_CODEC_STRICT, .path = "spec"};
	struct pd_buf out = {0};
	const char *text = "{\n"
			   "  \"hosts\": [\"a\", 5],\n"
			   "  \"http\": [{\n"
			   "    \"retrys\": {},\n"
			   "    \"route\": [{\"weight\": 1}, {\n"
			   "      \"weight\": \"abc\"}],\n"
			   "    \"timeout\": \"soon\"\n"
			   "  }]\n"
			   "}";
	void *m;

	assert_int_equal(pd_codec_decode_text(&c, text, strlen(text), pb_find(VS), &m), PD_E_INVALID);
	pd_codec_print_errors(&out, &c);
	assert_string_equal(out.p,
			    "spec.hosts[1]: expected string, got number 5 (line 2)\n"
			    "spec.http[0].retrys: unknown field (did you mean \"retries\"?) (line 4)\n"
			    "spec.http[0].route[1].weight: expected int32, got string \"abc\" (line 6)\n"
			    "spec.http[0].timeout: expected duration like \"1.5s\", got string \"soon\" (line 7)\n");
	// What could be read is there all the same.
	pd_buf_reset(&out);
	assert_int_equal(pd_codec_encode(&out, m, 0), PD_OK);
	assert_string_equal(out.p, "{\"hosts\":[\"a\"],\"http\":[{\"route\":[{\"weight\":1},{}]}]}");
	pd_buf_free(&out);
	pd_arena_free(&a);
}

static void errors_of_several_decodes_add_up(void **state)
{
	(void)state;
	struct pd_arena a = {0};
	struct pd_codec c = {.arena = &a, .policy = PD_CODEC_STRICT, .path = "metadata"};
	void *m;

	assert_int_equal(pd_codec_decode_text(&c, "{\"x\":1}", 7, pb_find("k8s.ObjectMeta"), &m), PD_E_INVALID);
	c.path = "spec";
	assert_int_equal(pd_codec_decode_text(&c, "{}", 2, pb_find(VS), &m), PD_OK);
	assert_int_equal(pd_codec_decode_text(&c, "{\"y\":1}", 7, pb_find(VS), &m), PD_E_INVALID);
	assert_int_equal(pd_codec_decode_text(&c, "7", 1, pb_find(VS), &m), PD_E_INVALID);
	assert_null(m);
	assert_int_equal(pd_codec_decode_text(&c, "{]", 2, pb_find(VS), &m), PD_E_PARSE);
	assert_int_equal(c.n_errors, 4);
	assert_string_equal(c.errors[0].path, "metadata.x");
	assert_string_equal(c.errors[1].path, "spec.y");
	assert_string_equal(c.errors[2].path, "spec");
	assert_string_equal(c.errors[3].reason, "unexpected character ']' at column 2");
	pd_arena_free(&a);
}

static void number_of_errors_is_limited(void **state)
{
	(void)state;
	struct pd_arena a = {0};
	struct pd_codec c = {.arena = &a, .policy = PD_CODEC_STRICT};
	struct pd_buf text = {0}, out = {0};
	void *m;

	pd_buf_adds(&text, "{\"hosts\":[0");
	for (int i = 0; i < PD_CODEC_MAX_ERRORS + 9; i++)
		pd_buf_adds(&text, ",1");
	pd_buf_adds(&text, "]}");
	assert_int_equal(pd_codec_decode_text(&c, text.p, text.n, pb_find(VS), &m), PD_E_INVALID);
	assert_int_equal(c.n_errors, PD_CODEC_MAX_ERRORS);
	assert_int_equal(c.errors_dropped, 10);
	pd_codec_print_errors(&out, &c);
	assert_non_null(strstr(out.p, "\n10 more errors\n"));
	// With the list full a bad message is still an error.
	assert_int_equal(pd_codec_decode_text(&c, "{\"x\":1}", 7, pb_find(VS), &m), PD_E_INVALID);
	pd_buf_free(&text);
	pd_buf_free(&out);
	pd_arena_free(&a);
}

static void odd_names(void **state)
{
	(void)state;
	struct pd_arena a = {0};
	struct pd_codec c = {.arena = &a, .policy = PD_CODEC_STRICT};
	struct pd_buf text = {0};
	void *m;

	refuses(VS, "{\"a b\":1}", "[\"a b\"]: unknown field (line 1)\n");
	refuses(VS, "{\"\":1}", "[\"\"]: unknown field (line 1)\n");
	refuses(VS, "{\"\xff\":1}", "[\"\xef\xbf\xbd\"]: unknown field (line 1)\n");
	refuses("k8s.ObjectMeta", "{\"labels\":{\"a.b/c\":1}}",
		"labels[\"a.b/c\"]: expected string, got number 1 (line 1)\n");
	refuses("google.protobuf.BoolValue",
		"\"0123456789012345678901234567890123456789012345678901234567890123456789\"",
		"expected bool, got string \"0123456789012345678901234567890123456789012345678901234567890123\"… (line 1)\n");

	pd_buf_adds(&text, "{\"");
	for (int i = 0; i < 2000; i++)
		pd_buf_adds(&text, "ä");
	pd_buf_adds(&text, "\":1}");
	assert_int_equal(pd_codec_decode_text(&c, text.p, text.n, pb_find(VS), &m), PD_E_INVALID);
	assert_true(strlen(c.errors[0].path) < 100);
	pd_buf_free(&text);
	pd_arena_free(&a);
}

static void long_paths_are_cut(void **state)
{
	(void)state;
	struct pd_arena a = {0};
	struct pd_codec c = {.arena = &a, .policy = PD_CODEC_STRICT};
	struct pd_buf text = {0};
	void *m;

	for (int i = 0; i < 30; i++)
		pd_buf_adds(&text, "{\"a-member-with-a-long-name-to-fill-the-path\":");
	pd_buf_adds(&text, "\"\\u0000\"");
	for (int i = 0; i < 30; i++)
		pd_buf_adds(&text, "}");
	assert_int_equal(pd_codec_decode_text(&c, text.p, text.n, pb_find("google.protobuf.Struct"), &m), PD_E_INVALID);
	assert_true(strlen(c.errors[0].path) <= PD_CODEC_MAX_PATH);
	assert_memory_equal(c.errors[0].path, "…", strlen("…"));
	pd_buf_free(&text);
	pd_arena_free(&a);
}

static void depth_is_limited(void **state)
{
	(void)state;
	struct pd_arena a = {0};
	struct pd_codec c = {.arena = &a, .policy = PD_CODEC_STRICT};
	struct pd_json *deep = pd_json_object(&a);
	void *m;

	// Struct, entry and Value: 33 levels of objects are 99 messages.
	for (int i = 0; i < 33; i++) {
		struct pd_json *outer = pd_json_object(&a);
		pd_json_add(&a, outer, "x", deep);
		deep = outer;
	}
	assert_int_equal(pd_codec_decode(&c, deep, pb_find("google.protobuf.Struct"), &m), PD_OK);
	// What the codec lets pass can be unpacked again.
	ProtobufCBinaryData bytes = pb_pack_arena(&a, m);
	assert_int_equal(pb_unpack(&a, pb_find("google.protobuf.Struct"), bytes.data, bytes.len, &m, NULL), PD_OK);

	for (int i = 0; i < 100000; i++) {
		struct pd_json *outer = pd_json_object(&a);
		pd_json_add(&a, outer, "x", deep);
		deep = outer;
	}
	assert_int_equal(pd_codec_decode(&c, deep, pb_find("google.protobuf.Struct"), &m), PD_E_INVALID);
	assert_int_equal(c.n_errors, 1);
	assert_string_equal(c.errors[0].reason, "nested more than 100 messages deep");
	pd_arena_free(&a);
}

static void suggestions(void **state)
{
	(void)state;
	refuses(VS, "{\"host\":[]}", "host: unknown field (did you mean \"hosts\"?) (line 1)\n");
	refuses(VS, "{\"qqqqq\":[]}", "qqqqq: unknown field (line 1)\n");
	refuses("envoy.config.cluster.v3.Cluster", "{\"lbPolicy\":\"RUOND_ROBIN\"}",
		"lbPolicy: expected one of ROUND_ROBIN, LEAST_REQUEST, RING_HASH, RANDOM, MAGLEV, CLUSTER_PROVIDED, "
		"LOAD_BALANCING_POLICY_CONFIG, got string \"RUOND_ROBIN\" (line 1)\n");
	refuses("envoy.config.accesslog.v3.ComparisonFilter", "{\"op\":{}}",
		"op: expected name or number of an enum, got object (line 1)\n");
	refuses("envoy.type.v3.HttpStatus", "{\"code\":\"Ok\"}",
		"code: expected a name of envoy.type.v3.StatusCode (did you mean \"OK\"?), got string \"Ok\" (line 1)\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_errors_with_path_and_line),
		cmocka_unit_test(errors_of_several_decodes_add_up),
		cmocka_unit_test(number_of_errors_is_limited),
		cmocka_unit_test(odd_names),
		cmocka_unit_test(long_paths_are_cut),
		cmocka_unit_test(depth_is_limited),
		cmocka_unit_test(suggestions),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
