#include "tests/unit/api/codec_util.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "api/pb.h"

void accepts(const char *type, enum pd_codec_policy policy, const char *json, const char *expected)
{
	struct pd_arena a = {0};
	struct pd_codec c = {.arena = &a, .policy = policy};
	struct pd_buf text = {0};
	const ProtobufCMessageDescriptor *d = pb_find(type);
	void *m;

	assert_non_null(d);
	if (pd_codec_decode_text(&c, json, strlen(json), d, &m)) {
		pd_codec_print_errors(&text, &c);
		fail_msg("%s: %s", json, text.p);
	}
	assert_int_equal(c.n_errors, 0);
	assert_int_equal(pd_codec_encode(&text, m, 0), PD_OK);
	assert_string_equal(text.p, expected ? expected : json);
	pd_buf_free(&text);
	pd_arena_free(&a);
}

void rejects(const char *type, enum pd_codec_policy policy, const char *json, const char *errors)
{
	struct pd_arena a = {0};
	struct pd_codec c = {.arena = &a, .policy = policy};
	struct pd_buf text = {0};
	const ProtobufCMessageDescriptor *d = pb_find(type);
	void *m;

	assert_non_null(d);
	assert_int_not_equal(pd_codec_decode_text(&c, json, strlen(json), d, &m), PD_OK);
	pd_codec_print_errors(&text, &c);
	assert_string_equal(text.p, errors);
	pd_buf_free(&text);
	pd_arena_free(&a);
}
