// Messages as they are put together, in particular large ones, of which the parts are kept and shared.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>

#include "api/pb.h"
#include "base/clock.h"
#include "base/str.h"
#include "tests/unit/xds/fake_engine.h"
#include "xds/response.h"

#define TEXT_BYTES 2000

static struct pd_session_env env;
static struct pd_bodies *bodies;

static int setup(void **state)
{
	(void)state;
	env = (struct pd_session_env){.nonce_prefix = "test"};
	bodies = pd_bodies_new();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	pd_bodies_free(&bodies);
	return 0;
}

static struct pd_answer answer_of(int n)
{
	struct pd_answer a = {.type = PD_EDS, .send = true, .version = 1};
	char name[32], text[TEXT_BYTES + 1];

	memset(text, 'x', TEXT_BYTES);
	text[TEXT_BYTES] = 0;
	for (int i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "r%d", i);
		pd_vec_push(&a.res, fake_resource(PD_EDS, name, text));
	}
	return a;
}

static void drop(struct pd_answer *a)
{
	for (size_t i = 0; i < a->res.n; i++)
		pd_resource_unref(a->res.v[i]);
	pd_vec_free(&a->res);
}

// The message's last bytes must be the resources' as they are.
static void check(const struct pd_answer *a, bool delta)
{
	size_t bytes, want = 0, at;
	grpc_byte_buffer *buffer = pd_response_build(bodies, &env, delta, a, 7, &bytes);
	grpc_byte_buffer_reader reader;
	grpc_slice all;

	assert_int_equal(grpc_byte_buffer_length(buffer), bytes);
	assert_true(grpc_byte_buffer_reader_init(&reader, buffer));
	all = grpc_byte_buffer_reader_readall(&reader);
	for (size_t i = 0; i < a->res.n; i++)
		want += a->res.v[i]->delta_len - (delta ? 0 : a->res.v[i]->sotw_off);
	assert_true(want < bytes && bytes - want < 200);
	at = bytes - want;
	for (size_t i = 0; i < a->res.n; i++) {
		for (uint32_t k = 0; k < a->res.v[i]->n_parts; k++) {
			const struct pd_blob *b = a->res.v[i]->parts[k];
			size_t off = k || delta ? 0 : a->res.v[i]->sotw_off;

			assert_memory_equal(GRPC_SLICE_START_PTR(all) + at, b->data + off, b->len - off);
			at += b->len - off;
		}
	}
	grpc_slice_unref(all);
	grpc_byte_buffer_reader_destroy(&reader);
	grpc_byte_buffer_destroy(buffer);
}

static struct pd_bodies_stats stats(void)
{
	struct pd_bodies_stats s;

	pd_bodies_stats(bodies, &s);
	return s;
}

static void test_few_pieces_are_not_kept(void **state)
{
	struct pd_answer a = answer_of(PD_BODY_PIECES_MIN - 1);

	(void)state;
	check(&a, true);
	assert_int_equal(stats().n, 0);
	drop(&a);
}

static void test_an_answer_is_packed_once(void **state)
{
	struct pd_answer a = answer_of(100), same = answer_of(100);

	(void)state;
	check(&a, true);
	check(&same, true);
	assert_int_equal(stats().misses, 1);
	assert_int_equal(stats().hits, 1);
	check(&a, false); // other bytes
	assert_int_equal(stats().misses, 2);
	assert_int_equal(pd_bodies_expire(bodies, pd_now_ns()), 0);
	pd_bodies_expire(bodies, pd_now_ns() + PD_BODY_IDLE_NS + 1);
	assert_int_equal(stats().bytes, 0);
	drop(&a);
	drop(&same);
}

static void test_a_large_answer_is_several_bodies(void **state)
{
	struct pd_answer a = answer_of(3 * PD_BODY_BYTES_MAX / TEXT_BYTES);

	(void)state;
	check(&a, true);
	assert_int_equal(stats().n, 4);
	assert_int_equal(stats().misses, 4);
	check(&a, true);
	assert_int_equal(stats().hits, 4);
	check(&a, false);
	assert_true(stats().n > 6);
	drop(&a);
}

static void test_a_long_rope_is_cut_inside(void **state)
{
	size_t n = 2 * PD_BODY_BYTES_MAX / TEXT_BYTES + 1;
	struct pd_blob **children = pd_xmalloc(n * sizeof(struct pd_blob *));
	struct pd_provenance *prov = pd_xcalloc(1, sizeof(*prov));
	struct pd_answer a = {.type = PD_RDS, .send = true};
	char text[TEXT_BYTES + 1];
	struct pd_arena arena = {0};

	(void)state;
	pd_obj_init(&prov->obj, (void (*)(struct pd_obj *))free);
	for (size_t i = 0; i < n; i++) {
		snprintf(text, sizeof(text), "%0*zu", TEXT_BYTES, i);
		children[i] = pd_field_blob(2, &pb_string(&arena, text)->base);
	}
	pd_vec_push(&a.res,
		    pd_resource_new_rope(PD_RDS, "r", &pb_string(&arena, "head")->base, children, n, NULL, prov));
	check(&a, true);
	assert_int_equal(stats().misses, 3);
	check(&a, true);
	assert_int_equal(stats().hits, 3);
	drop(&a);
	for (size_t i = 0; i < n; i++)
		pd_blob_unref(children[i]);
	free(children);
	pd_obj_unref(prov);
	pd_arena_free(&arena);
}

static void test_what_is_kept_is_bounded(void **state)
{
	struct pd_answer a = answer_of(PD_BODIES_BYTES_MAX / TEXT_BYTES + 5000);

	(void)state;
	check(&a, true); // more than is kept altogether: complete all the same
	assert_true(stats().bytes <= PD_BODIES_BYTES_MAX);
	assert_true(stats().bytes > PD_BODIES_BYTES_MAX / 2);
	drop(&a);
	for (int i = 0; i < PD_BODIES_MAX + 10; i++) {
		a = answer_of(PD_BODY_PIECES_MIN + i);
		check(&a, true);
		drop(&a);
	}
	assert_int_equal(stats().n, PD_BODIES_MAX);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_few_pieces_are_not_kept),          T(test_an_answer_is_packed_once),
		T(test_a_large_answer_is_several_bodies), T(test_a_long_rope_is_cut_inside),
		T(test_what_is_kept_is_bounded),
	};
	int rc;

	grpc_init();
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	grpc_shutdown();
	return rc;
}
