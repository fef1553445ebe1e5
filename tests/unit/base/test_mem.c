#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/vec.h"

static void test_malloc_wrappers(void **state)
{
	char *p = pd_xmalloc(0), *s;
	int *zeros = pd_xcalloc(10, sizeof(int)), i;

	(void)state;
	assert_non_null(p);
	p = pd_xrealloc(p, 100);
	assert_non_null(p);
	free(p);
	for (i = 0; i < 10; i++)
		assert_int_equal(zeros[i], 0);
	free(zeros);
	s = pd_xstrdup("hello");
	assert_string_equal(s, "hello");
	free(s);
	s = pd_xstrndup("hello", 2);
	assert_string_equal(s, "he");
	free(s);
	s = pd_xstrndup(NULL, 0);
	assert_string_equal(s, "");
	free(s);
	s = pd_xasprintf("%d-%s", 7, "x");
	assert_string_equal(s, "7-x");
	free(s);
}

static void test_arena_pieces_do_not_overlap(void **state)
{
	struct pd_arena a = {0};
	unsigned char *p[2000];
	size_t n[2000], sum = 0, i, j;

	(void)state;
	for (i = 0; i < 2000; i++) {
		n[i] = i * 37 % 300;
		p[i] = i % 2 ? pd_arena_alloc(&a, n[i]) : (unsigned char *)pd_arena_bytes(&a, n[i]);
		assert_non_null(p[i]);
		if (i % 2)
			assert_int_equal((uintptr_t)p[i] % 16, 0);
		memset(p[i], (int)(i & 255), n[i]);
		sum += n[i];
	}
	for (i = 0; i < 2000; i++)
		for (j = 0; j < n[i]; j++)
			assert_int_equal(p[i][j], i & 255);
	assert_int_equal(a.used, sum);
	assert_true(a.reserved >= sum && a.reserved < sum + 512 * 1024);
	pd_arena_free(&a);
	assert_int_equal(a.used + a.reserved, 0);
	pd_arena_free(&a);
	assert_string_equal(pd_arena_strdup(&a, "again"), "again");
	pd_arena_free(&a);
}

static void test_arena_text(void **state)
{
	struct pd_arena a = {0};
	char longer[2000];
	int *zeros, i;

	(void)state;
	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = 0;
	assert_string_equal(pd_arena_strdup(&a, ""), "");
	assert_string_equal(pd_arena_strndup(&a, "abcdef", 3), "abc");
	assert_string_equal(pd_arena_printf(&a, "%s:%d", "port", 80), "port:80");
	assert_string_equal(pd_arena_printf(&a, "%s", longer), longer);
	zeros = PD_NEWN(&a, int, 100);
	for (i = 0; i < 100; i++)
		assert_int_equal(zeros[i], 0);
	pd_arena_free(&a);
}

// A large piece gets a chunk of its own and does not waste the space of the present one.
static void test_arena_large(void **state)
{
	struct pd_arena a = {0};
	char *first, *next;

	(void)state;
	first = pd_arena_bytes(&a, 100);
	memset(pd_arena_alloc(&a, 10 * 1024 * 1024), 1, 10 * 1024 * 1024);
	next = pd_arena_bytes(&a, 100);
	assert_true(next > first && next < first + 400);
	assert_true(a.reserved < 10 * 1024 * 1024 + 8192);
	pd_arena_free(&a);
	memset(pd_arena_alloc(&a, 10 * 1024 * 1024), 1, 10 * 1024 * 1024); // as the very first piece
	pd_arena_bytes(&a, 100);
	assert_true(a.reserved < 10 * 1024 * 1024 + 300 * 1024);
	pd_arena_free(&a);
}

static void test_arena_reset_keeps_one_chunk(void **state)
{
	struct pd_arena a = {.first_chunk = 1024};
	size_t reserved;
	int i, round;

	(void)state;
	pd_arena_reset(&a);
	for (i = 0; i < 1000; i++)
		pd_arena_alloc(&a, 100);
	reserved = a.reserved;
	pd_arena_reset(&a);
	assert_int_equal(a.used, 0);
	assert_true(a.reserved > 0 && a.reserved < reserved);
	reserved = a.reserved;
	for (round = 0; round < 50; round++) {
		for (i = 0; i < 100; i++)
			memset(pd_arena_alloc(&a, 100), round, 100);
		assert_int_equal(a.reserved, reserved); // fits what was kept
		pd_arena_reset(&a);
	}
	pd_arena_free(&a);
}

static void test_secret_arena_is_wiped(void **state)
{
	struct pd_arena a = {.secret = true};
	char *p = pd_arena_strdup(&a, "hunter2"), *q;

	(void)state;
	pd_arena_reset(&a);
	q = pd_arena_bytes(&a, 8);
	assert_ptr_equal(p, q);
	assert_memory_equal(q, "\0\0\0\0\0\0\0", 8);
	pd_arena_free(&a);
	assert_true(a.secret);
	pd_free_secret(NULL, 5);
	pd_free_secret(pd_xstrdup("hunter2"), 7);
}

static void test_vec(void **state)
{
	PD_VEC(int) v = {0};
	PD_VEC(int) w = {0};
	struct pd_arena a = {0};
	int i;

	(void)state;
	for (i = 0; i < 1000; i++) {
		pd_vec_push(&v, i);
		pd_vec_push_a(&a, &w, i * 2);
	}
	assert_int_equal(v.n, 1000);
	for (i = 0; i < 1000; i++) {
		assert_int_equal(v.v[i], i);
		assert_int_equal(w.v[i], i * 2);
	}
	pd_vec_free(&v);
	assert_null(v.v);
	assert_int_equal(v.n + v.cap, 0);
	pd_arena_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_malloc_wrappers),
		cmocka_unit_test(test_arena_pieces_do_not_overlap),
		cmocka_unit_test(test_arena_text),
		cmocka_unit_test(test_arena_large),
		cmocka_unit_test(test_arena_reset_keeps_one_chunk),
		cmocka_unit_test(test_secret_arena_is_wiped),
		cmocka_unit_test(test_vec),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
