#include "base/blob.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"

static atomic_int released;

static void release(void *p)
{
	free(p);
	atomic_fetch_add(&released, 1);
}

static void test_content_and_hash(void **state)
{
	struct pd_blob *a = pd_blob_new("hello", 5), *b = pd_blob_alloc(5), *empty = pd_blob_new(NULL, 0);

	(void)state;
	memcpy(b->data, "hello", 5);
	pd_blob_seal(b);
	assert_int_equal(a->len, 5);
	assert_memory_equal(a->data, "hello", 5);
	assert_int_equal(a->hash, pd_hash("hello", 5));
	assert_int_equal(a->hash, b->hash);
	assert_int_equal(empty->len, 0);
	assert_int_equal(empty->hash, pd_hash("", 0));
	assert_ptr_equal(pd_blob_ref(a), a);
	pd_blob_unref(a);
	assert_memory_equal(a->data, "hello", 5);
	pd_blob_unref(a);
	pd_blob_unref(b);
	pd_blob_unref(empty);
	pd_blob_unref(NULL);
}

// Resource versions of a running fleet depend on these: they may not change between builds.
static void test_hash_is_fixed(void **state)
{
	(void)state;
	assert_int_equal(pd_hash("", 0), 0x2d06800538d394c2ull);
	assert_int_equal(pd_hash_str(NULL), pd_hash("", 0));
	assert_int_equal(pd_hash_str("pilotd"), pd_hash("pilotd", 6));
	assert_int_equal(pd_hash_seed("abc", 3, 0), pd_hash("abc", 3));
	assert_int_not_equal(pd_hash_seed("abc", 3, 1), pd_hash("abc", 3));
	assert_int_not_equal(pd_hash_mix(1, 2), pd_hash_mix(2, 1));
}

static void test_attachment(void **state)
{
	struct pd_blob *b = pd_blob_new("x", 1);
	void *first = malloc(1), *second = malloc(1);

	(void)state;
	atomic_store(&released, 0);
	assert_ptr_equal(pd_blob_attach(b, first, release), first);
	assert_ptr_equal(pd_blob_attach(b, second, release), first);
	assert_int_equal(atomic_load(&released), 1);
	pd_blob_unref(b);
	assert_int_equal(atomic_load(&released), 2);
}

static struct pd_blob *kept;

static void keep(void *attachment)
{
	kept = attachment;
}

static void test_adopt(void **state)
{
	struct pd_blob *b = pd_blob_new("xyz", 3);

	(void)state;
	kept = NULL;
	pd_blob_adopt(b, b, keep);
	assert_ptr_equal(atomic_load(&b->attachment), b);
	pd_blob_ref(b);
	pd_blob_unref(b);
	assert_null(kept);
	pd_blob_unref(b);
	assert_ptr_equal(kept, b);
	assert_memory_equal(b->data, "xyz", 3); // still there
	pd_blob_free(b);
}

static void *attacher(void *arg)
{
	void *won = pd_blob_attach(arg, malloc(8), release);

	pd_blob_unref(arg);
	return won;
}

static void test_attach_race(void **state)
{
	pthread_t t[4];
	void *won[4];
	struct pd_blob *b;
	int round, i;

	(void)state;
	for (round = 0; round < 200; round++) {
		atomic_store(&released, 0);
		b = pd_blob_new("x", 1);
		for (i = 0; i < 4; i++) {
			if (i)
				pd_blob_ref(b);
		}
		for (i = 0; i < 4; i++)
			assert_int_equal(pthread_create(&t[i], NULL, attacher, b), 0);
		for (i = 0; i < 4; i++)
			pthread_join(t[i], &won[i]);
		for (i = 1; i < 4; i++)
			assert_ptr_equal(won[i], won[0]);
		assert_int_equal(atomic_load(&released), 4);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_content_and_hash), cmocka_unit_test(test_hash_is_fixed),
		cmocka_unit_test(test_attachment),       cmocka_unit_test(test_adopt),
		cmocka_unit_test(test_attach_race),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
