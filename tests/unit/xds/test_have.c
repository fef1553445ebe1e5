// Versions that clients have: shared where they are equal, right whatever happens.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "xds/have.h"

#define N 40

static struct pd_names_table *t;
static struct pd_names *names;

static int setup(void **state)
{
	struct pd_span v[N];
	static char text[N][16];

	(void)state;
	for (int i = 0; i < N; i++) {
		snprintf(text[i], sizeof(text[i]), "n%02d", i);
		v[i] = (struct pd_span){text[i], 3};
	}
	t = pd_names_table_new();
	return pd_names_get(t, v, N, &names);
}

static int teardown(void **state)
{
	(void)state;
	pd_names_unref(t, names);
	pd_names_table_free(&t);
	return 0;
}

static uint64_t sum_of(const uint64_t *v)
{
	uint64_t sum = 0;

	for (int i = 0; i < N; i++)
		if (v[i] != PD_HAVE_NOTHING)
			sum += pd_weight(names->v[i], v[i]);
	return sum;
}

static void expect(const struct pd_have *h, const uint64_t *want)
{
	for (size_t i = 0; i < N; i++)
		assert_true(pd_have_get(h, i) == want[i]);
	assert_true(h->sum == sum_of(want));
}

static void test_shared(void **state)
{
	struct pd_have a = {0}, b = {0};
	uint64_t want[N] = {0};

	(void)state;
	expect(&a, want);
	for (size_t i = 0; i < N; i++) {
		want[i] = i + 100;
		pd_have_set(&a, names, i, want[i]);
		pd_have_set(&b, names, N - 1 - i, N - 1 - i + 100);
	}
	pd_have_settle(&a, t, names);
	pd_have_settle(&b, t, names);
	assert_ptr_equal(a.base, b.base);
	assert_null(a.own);
	expect(&a, want);
	pd_have_set(&a, names, 3, 7); // one differs for a while
	want[3] = 7;
	pd_have_settle(&a, t, names);
	assert_ptr_equal(a.base, b.base);
	expect(&a, want);
	pd_have_set(&b, names, 3, 7);
	expect(&b, want);
	for (int round = 0; round < 3; round++) // more than the changes that are kept apart
		for (size_t i = 0; i < N; i++) {
			want[i] = i + 1000 * (unsigned)round;
			pd_have_set(&a, names, i, want[i]);
			pd_have_set(&b, names, i, want[i]);
		}
	pd_have_settle(&a, t, names);
	pd_have_settle(&b, t, names);
	assert_ptr_equal(a.base, b.base);
	expect(&b, want);
	pd_have_clear(&a, t);
	expect(&b, want);
	memset(want, 0, sizeof(want));
	expect(&a, want);
	pd_have_clear(&b, t);
	assert_null(names->bases);
}

static void test_random(void **state)
{
	struct pd_have h[4] = {{0}};
	uint64_t want[4][N] = {{0}};
	unsigned seed = 1;

	(void)state;
	for (int step = 0; step < 50000; step++) {
		int k = rand_r(&seed) % 4;
		size_t i = (size_t)rand_r(&seed) % N;

		switch (rand_r(&seed) % 50) {
		case 0:
			pd_have_clear(&h[k], t);
			memset(want[k], 0, sizeof(want[k]));
			break;
		case 1:
		case 2:
		case 3:
			pd_have_settle(&h[k], t, names);
			break;
		default:
			want[k][i] = rand_r(&seed) % 4 ? (uint64_t)rand_r(&seed) % 3 : PD_HAVE_REMOVED;
			pd_have_set(&h[k], names, i, want[k][i]);
		}
		if (step % 10 == 0)
			expect(&h[k], want[k]);
	}
	for (int k = 0; k < 4; k++) {
		expect(&h[k], want[k]);
		pd_have_clear(&h[k], t);
	}
	assert_null(names->bases);
}

// The version that makes pd_weight(name, version) come out as `weight`.
static uint64_t forge(const char *name, uint64_t weight)
{
	uint64_t m = 0xff51afd7ed558ccdull, inverse = m, a = pd_intern_hash(name), x = weight ^ weight >> 33;

	for (int i = 0; i < 6; i++)
		inverse *= 2 - m * inverse;
	return (a ^ x * inverse) - (0x9e3779b97f4a7c15ull + (a << 6) + (a >> 2));
}

static void test_forged_sum_is_not_shared(void **state)
{
	struct pd_have good = {0}, evil = {0};
	uint64_t rest;

	(void)state;
	pd_have_set(&good, names, 0, 111);
	pd_have_set(&good, names, 1, 222);
	rest = good.sum - pd_weight(names->v[0], 666);
	pd_have_set(&evil, names, 0, 666);
	pd_have_set(&evil, names, 1, forge(names->v[1], rest));
	assert_true(good.sum == evil.sum);
	pd_have_settle(&evil, t, names);
	pd_have_settle(&good, t, names);
	assert_ptr_not_equal(good.base, evil.base);
	assert_true(pd_have_get(&good, 0) == 111 && pd_have_get(&good, 1) == 222);
	pd_have_clear(&good, t);
	pd_have_clear(&evil, t);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {T(test_shared), T(test_random), T(test_forged_sum_is_not_shared)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
