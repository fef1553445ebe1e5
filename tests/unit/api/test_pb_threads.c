// The tables per type are made on first use by whichever thread comes first. Meant for the thread sanitizer.
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "api/codec.h"
#include "api/pb.h"
#include "tests/unit/api/random_message.h"

#define THREADS 4

static const char *first_name[THREADS][8192];

static void *use_all(void *arg)
{
	size_t n, me = (size_t)(uintptr_t)arg;
	const ProtobufCMessageDescriptor *const *types = pb_types(&n);
	struct random r = {.state = 5 + me};

	for (size_t i = 0; i < n; i++) {
		struct pd_arena a = {0};
		struct pd_buf text = {0};
		size_t at = me % 2 ? n - 1 - i : i;
		if (types[at]->n_fields)
			first_name[me][at] = pb_field_json_name(types[at], &types[at]->fields[0]);
		assert_int_equal(pd_codec_encode(&text, random_message(&a, &r, types[at], 2), 0), PD_OK);
		pd_buf_free(&text);
		pd_arena_free(&a);
	}
	return NULL;
}

static void one_table_per_type(void **state)
{
	(void)state;
	pthread_t threads[THREADS];
	size_t n;

	pb_types(&n);
	assert_true(n <= 8192);
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, use_all, (void *)(uintptr_t)i), 0);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (size_t i = 1; i < THREADS; i++)
		assert_memory_equal(first_name[0], first_name[i], sizeof(first_name[0]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(one_table_per_type)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
