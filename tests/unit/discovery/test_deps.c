// Tokens and units against a naive model, and the race that record() must notice.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "discovery/deps.h"

enum { UNITS = 20, TOKENS = 15, ROUNDS = 2000 };

static struct pd_unit units[UNITS];
static unsigned hits[UNITS];

static void hit(struct pd_unit *u, void *arg)
{
	(void)arg;
	hits[u - units]++;
}

static int next_random(void)
{
	static uint64_t seed = 7;
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (int)(seed >> 33);
}

static void random_operations(void **state)
{
	(void)state;
	struct pd_deps *d = pd_deps_new();
	static char model[UNITS][TOKENS];
	for (uint64_t g = 1; g <= ROUNDS; g++) {
		int u = next_random() % UNITS;
		pd_token v[6];
		size_t n = (size_t)next_random() % 6;
		for (size_t i = 0; i < n; i++)
			v[i] = (pd_token)(next_random() % TOKENS) + 1;
		switch (next_random() % 3) {
		case 0:
			pd_deps_record(d, &units[u], v, n, g);
			for (size_t i = 0; i < n; i++)
				model[u][v[i] - 1] = 1;
			break;
		case 1:
			pd_deps_clear(d, &units[u]);
			for (int t = 0; t < TOKENS; t++)
				model[u][t] = 0;
			break;
		default:
			for (int i = 0; i < UNITS; i++)
				hits[i] = 0;
			pd_deps_changed(d, v, n, g, hit, NULL);
			for (int i = 0; i < UNITS; i++) {
				unsigned want = 0;
				for (size_t k = 0; k < n; k++)
					want |= (unsigned)model[i][v[k] - 1];
				assert_int_equal(hits[i], want); // once each, however many tokens
			}
		}
	}
	for (int i = 0; i < UNITS; i++)
		pd_deps_clear(d, &units[i]);
	pd_deps_forget(d, ROUNDS);
	assert_int_equal(pd_deps_count(d), 0); // nothing is kept for nobody
	pd_deps_free(&d);
}

// Many tokens whose low bits are equal, so that the table grows and shrinks and its runs are long.
static void tables_of_any_size(void **state)
{
	enum { MANY = 3000, EACH = 7 };
	(void)state;
	struct pd_deps *d = pd_deps_new();
	struct pd_unit *v = pd_xcalloc(MANY, sizeof(*v));
	for (uint64_t i = 0; i < MANY; i++) {
		pd_token t[EACH];
		for (uint64_t k = 0; k < EACH; k++)
			t[k] = (i + k * k) % MANY << (i % 2 ? 7 : 0);
		assert_false(pd_deps_record(d, &v[i], t, EACH, 1));
	}
	// Out of order, every other one first.
	for (uint64_t round = 0; round < 2; round++) {
		for (uint64_t i = round; i < MANY; i += 2)
			pd_deps_clear(d, &v[(i * 7) % MANY / 2 * 2 + round]);
		for (uint64_t i = 0; i < MANY; i++)
			assert_true(!v[i].n_tokens || i % 2 > round);
	}
	assert_int_equal(pd_deps_count(d), 0);
	pd_deps_free(&d);
	free(v);
}

static void a_change_during_the_computation_makes_it_stale(void **state)
{
	(void)state;
	struct pd_deps *d = pd_deps_new();
	struct pd_unit u = {0};
	const pd_token seven = 7, eight = 8;
	// The computation reads generation 3; generation 4 changes token 7 before it is recorded.
	pd_deps_changed(d, &seven, 1, 4, hit, NULL);
	assert_true(pd_deps_record(d, &u, &seven, 1, 3));
	assert_false(pd_deps_record(d, &u, &eight, 1, 3));
	assert_false(pd_deps_record(d, &u, &seven, 1, 4)); // one that read generation 4 is right
	pd_deps_forget(d, 4);
	assert_false(pd_deps_record(d, &u, &seven, 1, 3)); // forgotten: no computation is that old any more
	pd_deps_clear(d, &u);
	pd_deps_free(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_operations),
		cmocka_unit_test(tables_of_any_size),
		cmocka_unit_test(a_change_during_the_computation_makes_it_stale),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
