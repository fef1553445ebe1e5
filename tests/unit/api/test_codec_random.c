// Round trips over every message type in the registry: bytes, JSON in both styles, copy, merge.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "api/codec.h"
#include "api/pb.h"
#include "api/pb_internal.h"
#include "tests/unit/api/random_message.h"

#define PER_TYPE 42
#define DEPTH 7

static void to_json(struct pd_buf *out, const void *m, unsigned flags)
{
	pd_buf_reset(out);
	assert_int_equal(pd_codec_encode(out, m, flags), PD_OK);
}

static void *from_json(struct pd_arena *a, const struct pd_buf *text, const ProtobufCMessageDescriptor *d)
{
	struct pd_codec c = {.arena = a, .policy = PD_CODEC_STRICT};
	struct pd_buf errors = {0};
	void *m;

	if (pd_codec_decode_text(&c, text->p, text->n, d, &m)) {
		pd_codec_print_errors(&errors, &c);
		fail_msg("%s: %s%.3000s", d->name, errors.p, text->p);
	}
	return m;
}

static void check_json(struct pd_arena *a, const ProtobufCMessage *m)
{
	static const unsigned styles[] = {0, PD_ENCODE_INDENT, PD_ENCODE_PROTO_NAMES, PD_ENCODE_INT64_NUMBERS,
					  PD_ENCODE_DEFAULTS | PD_ENCODE_INDENT};
	struct pd_buf text = {0}, again = {0};

	for (size_t i = 0; i < sizeof(styles) / sizeof(styles[0]); i++) {
		to_json(&text, m, styles[i]);
		void *back = from_json(a, &text, m->descriptor);
		to_json(&again, back, styles[i]);
		assert_string_equal(text.p, again.p);
		if (!pb_equal(m, back))
			fail_msg("%s differs after JSON: %.3000s", m->descriptor->name, text.p);
	}
	pd_buf_free(&text);
	pd_buf_free(&again);
}

static void check_bytes(struct pd_arena *a, const ProtobufCMessage *m)
{
	ProtobufCBinaryData bytes = pb_pack_arena(a, m), again;
	struct pb_error err = {{0}};
	void *back;

	if (pb_unpack(a, m->descriptor, bytes.data, bytes.len, &back, &err))
		fail_msg("%s: %s", m->descriptor->name, err.text);
	assert_true(pb_equal(m, back));
	again = pb_pack_arena(a, back);
	assert_int_equal(again.len, bytes.len);
	assert_memory_equal(again.data, bytes.data, bytes.len);

	// protobuf-c's own reader must see the same.
	ProtobufCMessage *theirs = protobuf_c_message_unpack(m->descriptor, NULL, bytes.len, bytes.data);
	assert_non_null(theirs);
	assert_true(pb_equal(m, theirs));
	protobuf_c_message_free_unpacked(theirs, NULL);
}

static void check_copy(struct pd_arena *a, const ProtobufCMessage *m)
{
	ProtobufCMessage *copy = pb_copy(a, m), *merged = pb_new(a, m->descriptor);

	assert_true(pb_equal(m, copy));
	pb_canonicalise(copy);
	assert_true(pb_equal(m, copy));
	// Into an empty message merging is copying; a second time it changes no map.
	pb_merge(a, merged, m, 0);
	assert_true(pb_equal(m, merged));
	pb_merge(a, merged, m, PB_MERGE_REPLACE_LISTS);
	pb_merge(a, merged, m, PB_MERGE_REPLACE_LISTS);
	if (pb_info(m->descriptor)->special == PB_PLAIN && !pb_equal(m, merged))
		fail_msg("%s differs after merging it into itself", m->descriptor->name);
}

static void all_types(void **state)
{
	(void)state;
	size_t n;
	const ProtobufCMessageDescriptor *const *types = pb_types(&n);
	struct random r = {.state = 20261123};

	assert_true(n > 1500);
	for (size_t i = 0; i < n; i++) {
		for (int j = 0; j < PER_TYPE; j++) {
			struct pd_arena a = {0};
			ProtobufCMessage *m = random_message(&a, &r, types[i], j % DEPTH);
			check_bytes(&a, m);
			check_json(&a, m);
			check_copy(&a, m);
			pd_arena_free(&a);
		}
	}
}

// Whatever is done to the bytes of a message: an error or a message, no crash, and what was read can be written again.
static void damaged_bytes(void **state)
{
	(void)state;
	size_t n, read = 0;
	const ProtobufCMessageDescriptor *const *types = pb_types(&n);
	struct random r = {.state = 7};

	for (size_t i = 0; i < n; i += 3) {
		struct pd_arena a = {0};
		ProtobufCBinaryData bytes = pb_pack_arena(&a, random_message(&a, &r, types[i], DEPTH));
		for (int j = 0; j < 20 && bytes.len; j++) {
			size_t len = random_below(&r, bytes.len + 1);
			void *m, *again;
			bytes.data[random_below(&r, bytes.len)] ^= (uint8_t)(1u << random_below(&r, 8));
			if (pb_unpack(&a, types[i], bytes.data, len, &m, NULL))
				continue;
			read++;
			struct pd_buf text = {0};
			assert_int_equal(pd_codec_encode(&text, m, 0), PD_OK);
			pd_buf_free(&text);
			ProtobufCBinaryData packed = pb_pack_arena(&a, m);
			assert_int_equal(pb_unpack(&a, types[i], packed.data, packed.len, &again, NULL), PD_OK);
			assert_true(pb_equal(m, again));
		}
		pd_arena_free(&a);
	}
	assert_true(read > 100);
}

// No two fields of a message may share a name in JSON, and every name finds its field.
static void names(void **state)
{
	(void)state;
	size_t n;
	const ProtobufCMessageDescriptor *const *types = pb_types(&n);

	for (size_t i = 0; i < n; i++) {
		assert_ptr_equal(pb_find(types[i]->name), types[i]);
		assert_true(i == 0 || strcmp(types[i - 1]->name, types[i]->name) < 0);
		for (unsigned j = 0; j < types[i]->n_fields; j++) {
			const ProtobufCFieldDescriptor *f = &types[i]->fields[j];
			const char *json = pb_field_json_name(types[i], f);
			if (pb_info(types[i])->fields[j].shape == PB_INLINE)
				continue;
			assert_ptr_equal(pb_field_by_name(types[i], f->name, strlen(f->name)), f);
			assert_ptr_equal(pb_field_by_name(types[i], json, strlen(json)), f);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),
		cmocka_unit_test(all_types),
		cmocka_unit_test(damaged_bytes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
