// The parser of requests: well-formed, malformed and hostile bytes.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "envoy/service/discovery/v3/discovery.pb-c.h"
#include "xds/request.h"

static struct pb_error err;

static void field(struct pd_buf *b, unsigned number, const char *text, size_t n)
{
	uint8_t head[12], *p = pd_put_varint(head, number << 3 | 2);

	p = pd_put_varint(p, n);
	pd_buf_add(b, head, (size_t)(p - head));
	pd_buf_add(b, text, n);
}

static void text_field(struct pd_buf *b, unsigned number, const char *text)
{
	field(b, number, text, strlen(text));
}

static int parse(struct pd_request *r, bool delta, const struct pd_buf *b)
{
	return pd_request_parse(r, delta, b->p, b->n, &err);
}

static void assert_span(struct pd_span s, const char *want)
{
	assert_int_equal(s.n, strlen(want));
	assert_memory_equal(s.p, want, s.n);
}

static void test_sotw(void **state)
{
	struct pd_buf b = {0}, status = {0};
	struct pd_span names[2];
	struct pd_request r;

	(void)state;
	text_field(&b, 1, "v1");
	text_field(&b, 2, "node-bytes");
	text_field(&b, 3, "one");
	text_field(&b, 3, "two");
	text_field(&b, 4, "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment");
	text_field(&b, 5, "nonce");
	pd_buf_add(&status, "\x08\x0d", 2);
	text_field(&status, 2, "bad");
	field(&b, 6, status.p, status.n);
	text_field(&b, 99, "unknown");
	assert_int_equal(parse(&r, false, &b), PD_OK);
	assert_int_equal(r.type, PD_EDS);
	assert_span(r.version, "v1");
	assert_span(r.nonce, "nonce");
	assert_span(r.node, "node-bytes");
	assert_true(r.has_error && r.has_node);
	assert_int_equal(r.error_code, 13);
	assert_span(r.error, "bad");
	assert_int_equal(r.n_names, 2);
	assert_int_equal(r.raw.n, 10);
	assert_int_equal(pd_request_names(&r, names, &err), PD_OK);
	assert_span(names[0], "one");
	assert_span(names[1], "two");
	pd_buf_free(&b);
	pd_buf_free(&status);
}

static void test_delta(void **state)
{
	struct pd_buf b = {0}, entry = {0};
	struct pd_span names[1], gone[1], keys[2], versions[2];
	struct pd_request r;

	(void)state;
	text_field(&b, 1, "node");
	text_field(&b, 2, "type.googleapis.com/nobody.knows");
	text_field(&b, 3, "one");
	text_field(&b, 4, "two");
	text_field(&entry, 1, "key");
	text_field(&entry, 2, "0123456789abcdef");
	field(&b, 5, entry.p, entry.n);
	field(&b, 5, "", 0);
	text_field(&b, 6, "nonce");
	assert_int_equal(parse(&r, true, &b), PD_OK);
	assert_int_equal(r.type, PD_TYPE_COUNT);
	assert_span(r.nonce, "nonce");
	assert_int_equal(r.n_names, 1);
	assert_int_equal(r.n_unsubscribe, 1);
	assert_int_equal(r.n_initial, 2);
	assert_int_equal(pd_request_names(&r, names, &err), PD_OK);
	assert_int_equal(pd_request_unsubscribe(&r, gone, &err), PD_OK);
	assert_int_equal(pd_request_initial(&r, keys, versions, &err), PD_OK);
	assert_span(names[0], "one");
	assert_span(gone[0], "two");
	assert_span(keys[0], "key");
	assert_span(versions[0], "0123456789abcdef");
	assert_span(keys[1], "");
	pd_buf_free(&b);
	pd_buf_free(&entry);
}

static void test_scattered_names(void **state)
{
	struct pd_buf b = {0};
	struct pd_span names[2];
	struct pd_request r;

	(void)state;
	text_field(&b, 3, "one");
	text_field(&b, 5, "nonce");
	text_field(&b, 3, "two");
	assert_int_equal(parse(&r, false, &b), PD_OK);
	assert_null(r.raw.p);
	assert_int_equal(r.n_names, 2);
	assert_int_equal(pd_request_names(&r, names, &err), PD_OK);
	assert_span(names[1], "two");
	pd_buf_free(&b);
}

static void expect_bad(bool delta, const void *bytes, size_t n, int want)
{
	struct pd_request r;
	char *copy = malloc(n ? n : 1); // so that ASan sees a read past the end

	memcpy(copy, bytes, n);
	err.text[0] = 0;
	assert_int_equal(pd_request_parse(&r, delta, copy, n, &err), want);
	assert_true(strlen(err.text) > 0);
	free(copy);
}

static void test_malformed(void **state)
{
	(void)state;
	expect_bad(false, "\x0a", 1, PD_E_PARSE); // no length
	expect_bad(false,
		   "\x0a\x05"
		   "ab",
		   4, PD_E_PARSE);                                                     // too short
	expect_bad(false, "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 10, PD_E_PARSE); // length of 2^63
	expect_bad(false, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11, PD_E_PARSE);
	expect_bad(false, "\x0b", 1, PD_E_PARSE);         // a group
	expect_bad(false, "\x0d\x01\x02", 3, PD_E_PARSE); // fixed32 cut
	expect_bad(false, "\x09\x01\x02", 3, PD_E_PARSE); // fixed64 cut
	expect_bad(false, "\x02\x00", 2, PD_E_PARSE);     // field number 0
	expect_bad(false, "\x32\x01\x0a", 3, PD_E_PARSE); // a bad Status inside
	expect_bad(true, "\x3a\x01\x0a", 3, PD_E_PARSE);
}

static void test_texts(void **state)
{
	struct pd_buf b = {0};
	char big[PD_NAME_LEN_MAX + 2];
	struct pd_span one[1];
	struct pd_request r;

	(void)state;
	field(&b, 4, "a\0b", 3);
	expect_bad(false, b.p, b.n, PD_E_PARSE);
	pd_buf_reset(&b);
	text_field(&b, 5, "\xff\xfe");
	expect_bad(false, b.p, b.n, PD_E_PARSE);
	pd_buf_reset(&b);
	memset(big, 'x', sizeof(big));
	field(&b, 5, big, PD_REQUEST_TEXT_MAX + 1);
	expect_bad(false, b.p, b.n, PD_E_LIMIT);
	pd_buf_reset(&b);
	field(&b, 3, "a\0b", 3);
	assert_int_equal(parse(&r, false, &b), PD_OK);
	assert_int_equal(pd_request_names(&r, one, &err), PD_E_PARSE);
	pd_buf_reset(&b);
	text_field(&b, 3, "\xc3");
	assert_int_equal(parse(&r, true, &b), PD_OK);
	assert_int_equal(pd_request_names(&r, one, &err), PD_E_PARSE);
	pd_buf_reset(&b);
	field(&b, 3, big, PD_NAME_LEN_MAX + 1);
	assert_int_equal(parse(&r, true, &b), PD_OK);
	assert_int_equal(pd_request_names(&r, one, &err), PD_E_LIMIT);
	pd_buf_free(&b);
}

static void test_initial_texts(void **state)
{
	struct pd_buf b = {0};
	struct pd_span key[1], version[1];
	struct pd_request r;

	(void)state;
	field(&b, 5,
	      "\x0a\x02"
	      "a\0",
	      4);
	assert_int_equal(parse(&r, true, &b), PD_OK);
	assert_int_equal(pd_request_initial(&r, key, version, &err), PD_E_PARSE);
	pd_buf_reset(&b);
	field(&b, 5, "\x0a\x05", 2);
	assert_int_equal(parse(&r, true, &b), PD_OK);
	assert_int_equal(pd_request_initial(&r, key, version, &err), PD_E_PARSE);
	pd_buf_free(&b);
}

static void test_limits(void **state)
{
	struct pd_buf b = {0};
	char *text = malloc(PD_REQUEST_ERROR_MAX + 100);
	struct pd_buf status = {0};
	struct pd_request r;

	(void)state;
	memset(text, 'e', PD_REQUEST_ERROR_MAX + 100);
	field(&status, 2, text, PD_REQUEST_ERROR_MAX + 100);
	field(&b, 6, status.p, status.n);
	assert_int_equal(parse(&r, false, &b), PD_OK);
	assert_int_equal(r.error.n, PD_REQUEST_ERROR_MAX);
	for (unsigned number = 3; number <= 5; number++) {
		pd_buf_reset(&b);
		for (int i = 0; i < PD_NAMES_MAX; i++)
			field(&b, number, "", 0);
		assert_int_equal(parse(&r, true, &b), PD_OK);
		field(&b, number, "", 0);
		expect_bad(true, b.p, b.n, PD_E_LIMIT);
	}
	pd_buf_free(&b);
	pd_buf_free(&status);
	free(text);
}

// Any bytes: never a crash, and what is accepted can be read.
static void test_random_bytes(void **state)
{
	static struct pd_span spans[3][256];
	uint8_t bytes[256];
	struct pd_request r;

	(void)state;
	srandom(1);
	for (int i = 0; i < 200000; i++) {
		size_t n = (size_t)random() % 60;
		uint8_t *copy = malloc(n + 1);

		for (size_t k = 0; k < n; k++)
			bytes[k] = (uint8_t)(random() % 3 ? random() % 64 : random());
		memcpy(copy, bytes, n);
		if (pd_request_parse(&r, i & 1, copy, n, &err) == PD_OK) {
			(void)!pd_request_names(&r, spans[0], &err);
			(void)!pd_request_unsubscribe(&r, spans[0], &err);
			(void)!pd_request_initial(&r, spans[1], spans[2], &err);
		}
		free(copy);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sotw),
		cmocka_unit_test(test_delta),
		cmocka_unit_test(test_scattered_names),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_initial_texts),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_random_bytes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
