#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/str.h"

static void test_equal_strings_are_one(void **state)
{
	char text[] = "hello";
	const char *a = pd_intern(text), *b, *c;

	(void)state;
	text[0] = 'j';
	assert_string_equal(a, "hello");
	b = pd_intern("hello");
	c = pd_intern_n("hello world", 5);
	assert_ptr_equal(a, b);
	assert_ptr_equal(a, c);
	assert_ptr_equal(pd_intern_ref(a), a);
	assert_int_equal(pd_intern_count(), 1);
	assert_int_equal(pd_intern_hash(a), pd_hash_str("hello"));
	pd_unintern(a);
	pd_unintern(b);
	pd_unintern(c);
	assert_int_equal(pd_intern_count(), 1);
	pd_unintern(a);
	assert_int_equal(pd_intern_count(), 0);
}

static void test_odd_values(void **state)
{
	const char *empty = pd_intern(""), *a = pd_intern_n("x\0y", 3), *b = pd_intern("x");

	(void)state;
	assert_null(pd_intern(NULL));
	assert_null(pd_intern_ref(NULL));
	pd_unintern(NULL);
	assert_string_equal(empty, "");
	assert_ptr_not_equal(a, b);
	assert_memory_equal(a, "x\0y", 4);
	pd_unintern(empty);
	pd_unintern(a);
	pd_unintern(b);
	assert_int_equal(pd_intern_count(), 0);
}

#define MANY 50000

static void test_many(void **state)
{
	const char **v = calloc(MANY, sizeof(*v));
	char text[32];
	int i;

	(void)state;
	for (i = 0; i < MANY; i++) {
		snprintf(text, sizeof(text), "name-%d", i);
		v[i] = pd_intern(text);
	}
	assert_int_equal(pd_intern_count(), MANY);
	// Tables shrink on the way down; what is left must still be found.
	for (i = 0; i < MANY; i++)
		if (i % 100)
			pd_unintern(v[i]);
	assert_int_equal(pd_intern_count(), MANY / 100);
	for (i = 0; i < MANY; i += 100) {
		snprintf(text, sizeof(text), "name-%d", i);
		assert_ptr_equal(pd_intern(text), v[i]);
		pd_unintern(v[i]);
		pd_unintern(v[i]);
	}
	assert_int_equal(pd_intern_count(), 0);
	free(v);
}

// Threads make and drop the last reference to few strings all the time: an entry must never be found half-way out.
static atomic_int wrong;

static void *churn(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;
	char text[16];
	const char *a, *b;
	int i;

	for (i = 0; i < 30000; i++) {
		seed = seed * 1103515245 + 12345;
		snprintf(text, sizeof(text), "c%u", seed >> 16 & 3);
		a = pd_intern(text);
		b = seed & 0x100000 ? pd_intern_ref(a) : pd_intern(text);
		if (a != b || strcmp(a, text) != 0)
			atomic_fetch_add(&wrong, 1);
		pd_unintern(a);
		pd_unintern(b);
	}
	return NULL;
}

static void test_threads(void **state)
{
	pthread_t t[4];
	uintptr_t i;

	(void)state;
	for (i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, churn, (void *)(i + 1)), 0);
	for (i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(atomic_load(&wrong), 0);
	assert_int_equal(pd_intern_count(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_equal_strings_are_one),
		cmocka_unit_test(test_odd_values),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
