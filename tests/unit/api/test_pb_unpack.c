// Bytes of any origin: what pb_unpack takes, and what it refuses.
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "api/pb.h"
#include "base/str.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb-c.h"
#include "envoy/config/core/v3/base.pb-c.h"
#include "k8s/core.pb-c.h"

#define NODE (&envoy__config__core__v3__node__descriptor)
typedef Envoy__Config__Core__V3__Node Node;

static int unpack(struct pd_arena *a, const ProtobufCMessageDescriptor *d, const char *bytes, size_t n, void *out,
		  struct pb_error *err)
{
	return pb_unpack(a, d, bytes, n, out, err);
}

static void bad(const ProtobufCMessageDescriptor *d, const char *bytes, size_t n, int code, const char *why)
{
	struct pd_arena a = {0};
	struct pb_error err = {{0}};
	void *m = &a;

	assert_int_equal(unpack(&a, d, bytes, n, &m, &err), code);
	assert_null(m);
	assert_string_equal(err.text, why);
	pd_arena_free(&a);
}

static void broken(void **state)
{
	(void)state;
	bad(NODE, "\x0a", 1, PD_E_PARSE, "envoy.config.core.v3.Node: broken bytes");
	bad(NODE,
	    "\x0a\x05"
	    "ab",
	    4, PD_E_PARSE, "envoy.config.core.v3.Node: broken bytes");
	bad(NODE, "\x02\x00", 2, PD_E_PARSE, "envoy.config.core.v3.Node: broken bytes"); // field 0
	bad(NODE, "\x0b\x0c", 2, PD_E_PARSE, "envoy.config.core.v3.Node: broken bytes"); // group
	bad(NODE, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, PD_E_PARSE,
	    "envoy.config.core.v3.Node: broken bytes");
	bad(NODE, "\x0a\x02\xff\xff", 4, PD_E_PARSE, "envoy.config.core.v3.Node.id: string is not UTF-8");
	bad(NODE,
	    "\x0a\x03"
	    "a\0b",
	    5, PD_E_PARSE, "envoy.config.core.v3.Node.id: string has a NUL byte");
	bad(NODE, "\x52\x01\xff", 3, PD_E_PARSE, "envoy.config.core.v3.Node.client_features: string is not UTF-8");
	bad(NODE, "\x22\x03\x0a\x01\xc0", 5, PD_E_PARSE, "envoy.config.core.v3.Locality.region: string is not UTF-8");
}

static void accepted(void **state)
{
	(void)state;
	struct pd_arena a = {0};
	Node *n;

	assert_int_equal(unpack(&a, NODE, NULL, 0, &n, NULL), PD_OK);
	assert_string_equal(n->id, "");
	// Twice: the last string wins, messages merge.
	assert_int_equal(unpack(&a, NODE,
				"\x0a\x01"
				"a"
				"\x0a\x01"
				"b"
				"\x22\x03\x0a\x01"
				"r"
				"\x22\x03\x12\x01"
				"z",
				16, &n, NULL),
			 PD_OK);
	assert_string_equal(n->id, "b");
	assert_string_equal(n->locality->region, "r");
	assert_string_equal(n->locality->zone, "z");
	// A known number with another wire type and an unknown number are kept and packed again.
	const char odd[] = "\x08\x05\xfa\x3f\x01x";
	assert_int_equal(unpack(&a, NODE, odd, sizeof(odd) - 1, &n, NULL), PD_OK);
	assert_int_equal(n->base.n_unknown_fields, 2);
	ProtobufCBinaryData again = pb_pack_arena(&a, n);
	assert_int_equal(again.len, sizeof(odd) - 1);
	assert_memory_equal(again.data, odd, again.len);
	pd_arena_free(&a);
}

static void lists_of_numbers(void **state)
{
	(void)state;
	struct pd_arena a = {0};
	const ProtobufCMessageDescriptor *d = pb_find("google.protobuf.SourceCodeInfo.Location");
	struct {
		ProtobufCMessage base;
		size_t n_path;
		int32_t *path;
	} * m;

	// Packed, then one by one, then packed: one list.
	assert_int_equal(unpack(&a, d, "\x0a\x02\x01\x02\x08\x03\x0a\x01\x04", 9, &m, NULL), PD_OK);
	assert_int_equal(m->n_path, 4);
	for (int i = 0; i < 4; i++)
		assert_int_equal(m->path[i], i + 1);
	bad(d, "\x0a\x02\x01\x80", 4, PD_E_PARSE, "google.protobuf.SourceCodeInfo.Location.path: broken list");
	pd_arena_free(&a);
}

static void entries_are_complete(void **state)
{
	(void)state;
	struct pd_arena a = {0};
	Google__Protobuf__Struct *s;
	K8s__ObjectMeta *meta;

	assert_int_equal(unpack(&a, &google__protobuf__struct__descriptor, "\x0a\x00", 2, &s, NULL), PD_OK);
	assert_string_equal(s->fields[0]->key, "");
	assert_non_null(s->fields[0]->value);
	assert_int_equal(unpack(&a, &k8s__object_meta__descriptor, "\x5a\x00", 2, &meta, NULL), PD_OK);
	assert_string_equal(meta->labels[0]->key, "");
	assert_string_equal(meta->labels[0]->value, "");
	pd_arena_free(&a);
}

// A ListValue in a Value in a ListValue …, `levels` messages.
static struct pd_buf nested(size_t levels)
{
	struct pd_buf inner = {0};

	for (size_t i = 1; i < levels; i++) {
		struct pd_buf outer = {0};
		uint8_t head[11] = {i % 2 ? 0x32 : 0x0a};
		size_t n = 1;
		for (size_t left = inner.n; n == 1 || left; n++, left >>= 7)
			head[n] = (uint8_t)((left & 0x7f) | (left > 0x7f ? 0x80 : 0));
		pd_buf_add(&outer, head, n);
		pd_buf_add(&outer, inner.p ? inner.p : "", inner.n);
		pd_buf_free(&inner);
		inner = outer;
	}
	return inner;
}

static void *deep(void *arg)
{
	struct pd_arena a = {0};
	struct pb_error err = {{0}};
	struct pd_buf *bytes = arg;
	void *m;

	assert_int_equal(unpack(&a, &google__protobuf__list_value__descriptor, bytes->p, bytes->n, &m, &err),
			 PD_E_LIMIT);
	assert_string_equal(err.text, "nested more than 100 messages deep");
	pd_arena_free(&a);
	return NULL;
}

static void depth(void **state)
{
	(void)state;
	struct pd_arena a = {0};
	struct pd_buf bytes = nested(99);
	pthread_attr_t small;
	pthread_t thread;
	void *m;

	assert_int_equal(unpack(&a, &google__protobuf__list_value__descriptor, bytes.p, bytes.n, &m, NULL), PD_OK);
	assert_true(pb_equal(m, pb_copy(&a, m)));
	pd_buf_free(&bytes);
	bytes = nested(101);
	deep(&bytes);
	pd_buf_free(&bytes);

	// 40 KB of nesting would kill the 8 MB stack of protobuf-c's own unpack; here a quarter of a megabyte is plenty.
	bytes = nested(20001);
	assert_true(bytes.n > 40000);
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 256 << 10);
	assert_int_equal(pthread_create(&thread, &small, deep, &bytes), 0);
	pthread_join(thread, NULL);
	pthread_attr_destroy(&small);
	pd_buf_free(&bytes);
	pd_arena_free(&a);
}

static void memory(void **state)
{
	(void)state;
	// Empty messages: 2 bytes on the wire, hundreds in memory.
	size_t n = 2u << 20;
	char *bytes = malloc(n);
	struct pd_arena a = {0};
	void *m;

	for (size_t i = 0; i < n; i += 2) {
		bytes[i] = 0x12; // clusters
		bytes[i + 1] = 0;
	}
	bad(&envoy__config__bootstrap__v3__bootstrap__static_resources__descriptor, bytes, n, PD_E_LIMIT,
	    "message would take more than 268435456 bytes of memory");
	// Fields that nobody knows count as well, but cost less.
	for (size_t i = 0; i < n; i += 2)
		bytes[i] = 0x7a;
	assert_int_equal(unpack(&a, &google__protobuf__struct__descriptor, bytes, n, &m, NULL), PD_OK);
	assert_true(a.used > n / 2 * sizeof(ProtobufCMessageUnknownField));
	pd_arena_free(&a);
	free(bytes);
}

static void size(void **state)
{
	(void)state;
	size_t n = (size_t)PB_MAX_BYTES + 1;
	char *bytes = calloc(1, n);

	bad(NODE, bytes, n, PD_E_LIMIT, "envoy.config.core.v3.Node: more than 67108864 bytes");
	free(bytes);
}

static void flags(void **state)
{
	// name "a", namespace "", managedFields (17, which k8s.ObjectMeta leaves out), label "x" without value
	static const char bytes[] = "\x0a\x01"
				    "a\x1a\x00\x8a\x01\x02hi\x5a\x05\x0a\x01"
				    "x\x12\x00";
	struct pd_arena a = {0};
	void *out;

	(void)state;
	assert_int_equal(pb_unpack_with(&a, &k8s__object_meta__descriptor, bytes, sizeof(bytes) - 1,
					PB_UNPACK_SKIP_UNKNOWN | PB_UNPACK_SKIP_EMPTY, &out, NULL),
			 PD_OK);
	const K8s__ObjectMeta *m = out;
	assert_string_equal(m->name, "a");
	assert_null(m->namespace_);
	assert_int_equal(m->base.n_unknown_fields, 0);
	assert_int_equal(m->n_labels, 1);
	assert_string_equal(m->labels[0]->value, "");
	assert_int_equal(pb_unpack(&a, &k8s__object_meta__descriptor, bytes, sizeof(bytes) - 1, &out, NULL), PD_OK);
	m = out;
	assert_string_equal(m->namespace_, "");
	assert_int_equal(m->base.n_unknown_fields, 1);
	pd_arena_free(&a);
}

static void walk(void **state)
{
	static const uint8_t bytes[] = {0x0a, 1, 'a', 0x10, 0x96, 1, 0x1d, 1, 0, 0, 0};
	const uint8_t *p = bytes, *end = bytes + sizeof(bytes);
	struct pb_wire f;
	uint64_t v;

	(void)state;
	p = pb_wire_field(p, end, &f);
	assert_true(f.id == 1 && f.wire == PB_WIRE_BYTES && f.len == 1 && *f.data == 'a');
	p = pb_wire_field(p, end, &f);
	assert_true(f.id == 2 && f.wire == PB_WIRE_VARINT && f.number == 150);
	assert_null(pb_wire_field(p, end - 1, &f));
	p = pb_wire_field(p, end, &f);
	assert_true(p == end && f.id == 3 && f.wire == PB_WIRE_32 && f.number == 1);
	assert_null(pb_wire_varint(bytes + 4, bytes + 5, &v));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(broken),
		cmocka_unit_test(accepted),
		cmocka_unit_test(lists_of_numbers),
		cmocka_unit_test(entries_are_complete),
		cmocka_unit_test(depth),
		cmocka_unit_test(memory),
		cmocka_unit_test(size),
		cmocka_unit_test(flags),
		cmocka_unit_test(walk),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
