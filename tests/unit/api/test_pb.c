// Making, packing and comparing messages; Any; Struct.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "api/pb.h"
#include "envoy/config/cluster/v3/cluster.pb-c.h"
#include "envoy/config/core/v3/base.pb-c.h"
#include "k8s/core.pb-c.h"

typedef Envoy__Config__Cluster__V3__Cluster Cluster;
typedef Envoy__Config__Core__V3__Node Node;

static Cluster *cluster(struct pd_arena *a, const char *name)
{
	Cluster *c = PB_NEW(a, Cluster, envoy__config__cluster__v3__cluster);
	c->name = pd_arena_strdup(a, name);
	return c;
}

static void pushing(void **state)
{
	(void)state;
	struct pd_arena a = {0};
	Node *n = PB_NEW(&a, Node, envoy__config__core__v3__node), *back;
	char text[16];
	void *m;

	for (int i = 0; i < 1000; i++) {
		snprintf(text, sizeof(text), "f%d", i);
		PB_PUSH(&a, n, client_features, pd_arena_strdup(&a, text));
	}
	assert_int_equal(n->n_client_features, 1000);
	assert_string_equal(n->client_features[999], "f999");

	// After unpacking, at every length, pushing must not write behind the array.
	for (size_t len = 0; len < 70; len++) {
		n->n_client_features = len;
		ProtobufCBinaryData bytes = pb_pack_arena(&a, n);
		assert_int_equal(pb_unpack(&a, n->base.descriptor, bytes.data, bytes.len, &m, NULL), PD_OK);
		back = pb_copy(&a, m);
		PB_PUSH(&a, back, client_features, (char *)"end");
		PB_PUSH(&a, (Node *)m, client_features, (char *)"end");
		assert_int_equal(back->n_client_features, len + 1);
		assert_true(pb_equal(back, m));
	}
	assert_int_equal(pb_capacity(0), 0);
	assert_int_equal(pb_capacity(5), 8);
	pd_arena_free(&a);
}

static void packing(void **state)
{
	(void)state;
	struct pd_arena a = {0};
	Cluster *c = cluster(&a, "outbound|80||a.b");
	uint8_t buffer[64];

	size_t n = pb_pack(c, buffer);
	assert_int_equal(n, pb_packed_size(c));
	struct pd_blob *b = pb_pack_blob(c);
	assert_int_equal(b->len, n);
	assert_memory_equal(b->data, buffer, n);
	assert_true(b->hash != 0);
	pd_blob_unref(b);
	pd_arena_free(&a);
}

static void any(void **state)
{
	(void)state;
	struct pd_arena a = {0};
	struct pb_error err;
	Cluster *c = cluster(&a, "x");
	Google__Protobuf__Any *any = pb_any(&a, c), bare = GOOGLE__PROTOBUF__ANY__INIT;
	void *m;

	assert_string_equal(any->type_url, "type.googleapis.com/envoy.config.cluster.v3.Cluster");
	assert_string_equal(pb_any_type(any), "envoy.config.cluster.v3.Cluster");
	assert_true(pb_any_is(any, c->base.descriptor));
	assert_int_equal(pb_any_unpack(&a, any, &m, &err), PD_OK);
	assert_true(pb_equal(m, c));
	assert_true(
		pb_equal(any, pb_any_bytes(&a, "envoy.config.cluster.v3.Cluster", any->value.data, any->value.len)));
	assert_int_equal(pb_any_unpack(&a, pb_any_bytes(&a, "no.Such", "", 0), &m, &err), PD_E_NOTFOUND);
	assert_string_equal(err.text, "unknown type type.googleapis.com/no.Such");
	assert_null(m);
	assert_string_equal(pb_any_type(&bare), "");
	assert_string_equal(pb_any_type(NULL), "");
	assert_ptr_equal(pb_find("envoy.config.cluster.v3.Cluster"), c->base.descriptor);
	assert_null(pb_find("envoy.config.cluster.v3.Cluste"));
	assert_null(pb_find(""));
	assert_null(pb_find(NULL));
	pd_arena_free(&a);
}

static void wrappers(void **state)
{
	(void)state;
	struct pd_arena a = {0};
	Google__Protobuf__Duration huge = {.seconds = INT64_MAX};

	assert_int_equal(pb_u32(&a, UINT32_MAX)->value, UINT32_MAX);
	assert_true(pb_u64(&a, UINT64_MAX)->value == UINT64_MAX);
	assert_int_equal(pb_i32(&a, -1)->value, -1);
	assert_true(pb_i64(&a, INT64_MIN)->value == INT64_MIN);
	assert_true(pb_bool(&a, true)->value);
	assert_true(pb_double(&a, 0.5)->value == 0.5);
	assert_string_equal(pb_string(&a, "x")->value, "x");
	assert_int_equal(pb_duration_ms(&a, 1500)->seconds, 1);
	assert_int_equal(pb_duration_ms(&a, 1500)->nanos, 500000000);
	assert_int_equal(pb_duration_ms(&a, -1)->nanos, -1000000);
	assert_int_equal(pb_duration_ns(pb_duration(&a, 1, 5)), 1000000005);
	assert_int_equal(pb_duration_ns(NULL), 0);
	assert_true(pb_duration_ns(&huge) == INT64_MAX);
	assert_int_equal(pb_timestamp(&a, 9, 8)->nanos, 8);
	pd_arena_free(&a);
}

static void structs(void **state)
{
	(void)state;
	struct pd_arena a = {0};
	Google__Protobuf__Struct *s = pb_struct_new(&a), *inner = pb_struct_new(&a);
	Google__Protobuf__ListValue *l = pb_list_new(&a);

	pb_struct_set_string(&a, s, "m", "1");
	pb_struct_set_number(&a, s, "z", 2);
	pb_struct_set_bool(&a, s, "a", true);
	pb_struct_set_struct(&a, s, "k", inner);
	pb_struct_set_list(&a, s, "l", l);
	pb_list_add(&a, l, pb_value_null(&a));
	pb_struct_set_string(&a, s, "m", "again");
	pb_struct_set_string(&a, inner, "x", "y");
	assert_int_equal(s->n_fields, 5);
	const char *order = "aklmz";
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(s->fields[i]->key[0], order[i]);
	assert_string_equal(pb_struct_get_string(s, "m"), "again");
	assert_null(pb_struct_get_string(s, "z"));
	assert_null(pb_struct_get(s, "none"));
	assert_null(pb_struct_get(NULL, "none"));
	assert_ptr_equal(pb_struct_get_struct(s, "k"), inner);
	assert_null(pb_struct_get_struct(s, "l"));
	// Setting in any order gives the same bytes.
	Google__Protobuf__Struct *t = pb_struct_new(&a);
	for (size_t i = s->n_fields; i-- > 0;)
		pb_struct_set(&a, t, s->fields[i]->key, s->fields[i]->value);
	ProtobufCBinaryData x = pb_pack_arena(&a, s), y = pb_pack_arena(&a, t);
	assert_int_equal(x.len, y.len);
	assert_memory_equal(x.data, y.data, x.len);
	pd_arena_free(&a);
}

static K8s__ObjectMeta__LabelsEntry *label(struct pd_arena *a, const char *key, const char *value)
{
	K8s__ObjectMeta__LabelsEntry *e = PB_NEW(a, K8s__ObjectMeta__LabelsEntry, k8s__object_meta__labels_entry);
	e->key = pd_arena_strdup(a, key);
	e->value = pd_arena_strdup(a, value);
	return e;
}

static void equality_and_order(void **state)
{
	(void)state;
	struct pd_arena a = {0};
	K8s__ObjectMeta *x = PB_NEW(&a, K8s__ObjectMeta, k8s__object_meta),
			*y = PB_NEW(&a, K8s__ObjectMeta, k8s__object_meta);

	assert_true(pb_equal(NULL, NULL));
	assert_false(pb_equal(x, NULL));
	assert_false(pb_equal(x, pb_struct_new(&a)));
	PB_PUSH(&a, x, labels, label(&a, "b", "2"));
	PB_PUSH(&a, x, labels, label(&a, "a", "old"));
	PB_PUSH(&a, x, labels, label(&a, "a", "1"));
	PB_PUSH(&a, y, labels, label(&a, "a", "1"));
	PB_PUSH(&a, y, labels, label(&a, "b", "2"));
	assert_true(pb_equal(x, y));
	pb_canonicalise(x);
	assert_int_equal(x->n_labels, 2);
	assert_string_equal(x->labels[0]->value, "1");
	assert_true(pb_equal(x, y));
	y->labels[1]->value = pd_arena_strdup(&a, "3");
	assert_false(pb_equal(x, y));
	// The order of a list matters; proto2 tells an empty string from an absent one.
	PB_PUSH(&a, x, finalizers, (char *)"1");
	PB_PUSH(&a, x, finalizers, (char *)"2");
	y = pb_copy(&a, x);
	assert_true(pb_equal(x, y));
	y->finalizers[0] = x->finalizers[1];
	y->finalizers[1] = x->finalizers[0];
	assert_false(pb_equal(x, y));
	y = pb_copy(&a, x);
	y->name = pd_arena_strdup(&a, "");
	assert_false(pb_equal(x, y));
	pd_arena_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pushing),  cmocka_unit_test(packing), cmocka_unit_test(any),
		cmocka_unit_test(wrappers), cmocka_unit_test(structs), cmocka_unit_test(equality_and_order),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
