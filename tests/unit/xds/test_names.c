// Name sets: shared, found again, and the way from a name to its subscribers.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "xds/names.h"

static struct pd_names_table *t;

static int setup(void **state)
{
	(void)state;
	t = pd_names_table_new();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	assert_int_equal(pd_names_table_count(t), 0);
	pd_names_table_free(&t);
	assert_int_equal(pd_intern_count(), 0);
	return 0;
}

static struct pd_span span(const char *s)
{
	return (struct pd_span){s, (uint32_t)strlen(s)};
}

static struct pd_names *get(size_t n, const char *const *v)
{
	struct pd_span spans[16];
	struct pd_names *s;

	for (size_t i = 0; i < n; i++)
		spans[i] = span(v[i]);
	assert_int_equal(pd_names_get(t, spans, n, &s), PD_OK);
	return s;
}
#define GET(...) get(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *), (const char *[]){__VA_ARGS__})

static void test_shared(void **state)
{
	struct pd_names *a = GET("x", "y", "z"), *b = GET("z", "x", "y", "x"), *c = GET("x", "y");

	(void)state;
	assert_ptr_equal(a, b);
	assert_ptr_not_equal(a, c);
	assert_int_equal(a->n, 3);
	assert_string_equal(a->v[0], "x");
	assert_string_equal(a->v[2], "z");
	assert_int_equal(pd_names_table_count(t), 2);
	assert_int_equal(pd_names_find(a, span("y")), 1);
	assert_int_equal(pd_names_find(a, span("yy")), -1);
	assert_int_equal(pd_names_find(a, span("")), -1);
	assert_int_equal(pd_names_index(a, a->v[2]), 2);
	assert_int_equal(pd_names_index(c, a->v[2]), -1);
	pd_names_unref(t, a);
	pd_names_unref(t, b);
	pd_names_unref(t, c);
}

static void test_edit(void **state)
{
	struct pd_span add[] = {span("c"), span("a"), span("d")}, del[] = {span("b"), span("d"), span("nobody")};
	struct pd_names *old = GET("a", "b"), *want = GET("a", "c"), *now, *none;

	(void)state;
	assert_int_equal(pd_names_edit(t, old, add, 3, del, 3, &now), PD_OK);
	assert_ptr_equal(now, want);
	assert_int_equal(pd_names_edit(t, NULL, NULL, 0, del, 1, &none), PD_OK);
	assert_int_equal(none->n, 0);
	assert_int_equal(pd_names_find(none, span("a")), -1);
	assert_int_equal(pd_names_index(none, now->v[0]), -1);
	pd_names_unref(t, old);
	pd_names_unref(t, want);
	pd_names_unref(t, now);
	pd_names_unref(t, none);
}

static void test_raw(void **state)
{
	struct pd_names *a = GET("x", "y"), *found;
	struct pd_raw_key k[PD_NAMES_RAWS + 1];
	char bytes[16];

	(void)state;
	for (int i = 0; i <= PD_NAMES_RAWS; i++) {
		snprintf(bytes, sizeof(bytes), "list%d", i);
		k[i] = pd_names_raw_key(t, bytes, strlen(bytes));
		assert_null(pd_names_find_raw(t, k[i]));
		pd_names_remember_raw(t, a, k[i]);
		pd_names_remember_raw(t, a, k[i]);
		found = pd_names_find_raw(t, k[i]);
		assert_ptr_equal(found, a);
		pd_names_unref(t, found);
	}
	assert_null(pd_names_find_raw(t, k[0])); // the oldest spelling made room
	pd_names_unref(t, a);
	assert_null(pd_names_find_raw(t, k[1])); // gone with the set
}

static void count(void *owner, void *arg)
{
	(void)arg;
	++*(int *)owner;
}

static void test_visit(void **state)
{
	struct pd_names *a = GET("x", "y"), *b = GET("y", "z");
	int seen[3] = {0};
	struct pd_subscriber s[3] = {{.owner = &seen[0]}, {.owner = &seen[1]}, {.owner = &seen[2]}};
	const char *y = pd_intern("y"), *z = pd_intern("z"), *no = pd_intern("no");

	(void)state;
	pd_names_subscribe(t, a, &s[0]);
	pd_names_subscribe(t, a, &s[1]);
	pd_names_subscribe(t, b, &s[2]);
	assert_int_equal(pd_names_visit(t, y, count, NULL), 3);
	assert_int_equal(pd_names_visit(t, z, count, NULL), 1);
	assert_int_equal(pd_names_visit(t, no, count, NULL), 0);
	pd_names_unsubscribe(t, &s[0]);
	pd_names_unsubscribe(t, &s[0]);
	assert_int_equal(pd_names_visit(t, y, count, NULL), 2);
	assert_int_equal(seen[0], 1);
	assert_int_equal(seen[1], 2);
	assert_int_equal(seen[2], 3);
	pd_names_unsubscribe(t, &s[1]);
	pd_names_unsubscribe(t, &s[2]);
	pd_names_unref(t, a);
	pd_names_unref(t, b);
	pd_unintern(y);
	pd_unintern(z);
	pd_unintern(no);
}

static void test_limit(void **state)
{
	static struct pd_span v[PD_NAMES_MAX + 1];
	static char text[PD_NAMES_MAX + 1][8];
	struct pd_names *s, *more;

	(void)state;
	for (int i = 0; i <= PD_NAMES_MAX; i++) {
		snprintf(text[i], sizeof(text[i]), "%x", i);
		v[i] = span(text[i]);
	}
	assert_int_equal(pd_names_get(t, v, PD_NAMES_MAX + 1, &s), PD_E_LIMIT);
	assert_int_equal(pd_names_get(t, v, PD_NAMES_MAX, &s), PD_OK);
	assert_int_equal(pd_names_edit(t, s, &v[PD_NAMES_MAX], 1, NULL, 0, &more), PD_E_LIMIT);
	assert_int_equal(pd_names_edit(t, s, &v[PD_NAMES_MAX], 1, v, 1, &more), PD_OK);
	for (size_t i = 0; i < more->n; i++)
		assert_int_equal(pd_names_index(more, more->v[i]), i);
	pd_names_unref(t, s);
	pd_names_unref(t, more);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {T(test_shared), T(test_edit), T(test_raw), T(test_visit), T(test_limit)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
