// The persistent map against a plain reference model, with old versions kept and hashes chosen to collide.
#include "base/hamt.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/str.h"

#define KEYS 600
#define VERSIONS 40
#define STEPS 60000

static atomic_int live_values;

struct value {
	struct pd_obj obj;
	int number;
};

static void value_release(struct pd_obj *o)
{
	atomic_fetch_sub(&live_values, 1);
	free(o);
}

static struct value *value_new(int number)
{
	struct value *v = pd_xmalloc(sizeof(*v));

	pd_obj_init(&v->obj, value_release);
	v->number = number;
	atomic_fetch_add(&live_values, 1);
	return v;
}

// A version of the map and what it must contain: numbers by key, -1 for absent.
struct version {
	pd_hamt map;
	int model[KEYS];
};

static uint64_t rng = 88172645463325252ull;

static unsigned pick(unsigned n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (unsigned)(rng >> 33) % n;
}

// Ways to hash: as in production, all equal, few distinct values, differences only in the last four bits or the middle.
enum hashing { REAL, CONSTANT, FEW, TOP_BITS, MIDDLE, MIXED, HASHINGS };

static uint64_t hash_key(enum hashing how, unsigned key, const char *text)
{
	switch (how) {
	case CONSTANT:
		return 42;
	case FEW:
		return (key % 7) * 0x1234567;
	case TOP_BITS:
		return (uint64_t)(key % 16) << 60 | 5;
	case MIDDLE:
		return (uint64_t)(key % 64) << 28;
	case MIXED:
		return key % 3 ? pd_hash_str(text) : (uint64_t)(key % 5) << 61;
	default:
		return pd_hash_str(text);
	}
}

struct walk {
	const struct version *v;
	size_t n;
	uint64_t order;
};

static bool check_entry(const char *key, void *value, void *arg)
{
	struct walk *w = arg;
	int k = (int)strtol(key + 1, NULL, 10);

	assert_in_range(k, 0, KEYS - 1);
	assert_int_equal(w->v->model[k], ((struct value *)value)->number);
	w->n++;
	w->order = pd_hash_mix(w->order, (uint64_t)k);
	return true;
}

static size_t model_count(const struct version *v)
{
	size_t n = 0, i;

	for (i = 0; i < KEYS; i++)
		n += v->model[i] >= 0;
	return n;
}

static uint64_t check_version(const struct version *v, enum hashing how)
{
	struct walk w = {.v = v};
	struct value *found;
	char key[16];
	unsigned i;

	pd_hamt_each(v->map, check_entry, &w);
	assert_int_equal(w.n, model_count(v));
	assert_int_equal(pd_hamt_count(v->map), w.n);
	for (i = 0; i < KEYS; i++) {
		snprintf(key, sizeof(key), "k%u", i);
		found = pd_hamt_get(v->map, hash_key(how, i, key), key);
		assert_int_equal(found ? found->number : -1, v->model[i]);
	}
	return w.order;
}

static void random_steps(enum hashing how)
{
	struct version *v = calloc(VERSIONS, sizeof(*v)), *cur;
	char key[16];
	unsigned step, i, k, with;

	for (i = 0; i < VERSIONS; i++)
		memset(v[i].model, 0xff, sizeof(v[i].model));
	cur = &v[0];
	for (step = 0; step < STEPS; step++) {
		if (pick(50) == 0) { // go on from some version, maybe keep the present one
			with = pick(VERSIONS);
			if (pick(2) && &v[with] != cur) {
				pd_hamt_unref(v[with].map);
				v[with] = *cur;
				pd_hamt_ref(cur->map);
			}
			cur = &v[pick(VERSIONS)];
		}
		k = pick(step % 5000 < 2500 ? KEYS : KEYS / 20);
		snprintf(key, sizeof(key), "k%u", k);
		if (pick(step / 10000 % 2 ? 2 : 5) == 0) {
			cur->map = pd_hamt_set(cur->map, hash_key(how, k, key), key, NULL);
			cur->model[k] = -1;
		} else {
			cur->model[k] = (int)step;
			cur->map = pd_hamt_set(cur->map, hash_key(how, k, key), key, value_new((int)step));
		}
		if (step % 997 == 0)
			check_version(&v[pick(VERSIONS)], how);
	}
	for (i = 0; i < VERSIONS; i++)
		check_version(&v[i], how);
	for (i = 0; i < VERSIONS; i++) {
		pd_hamt_unref(v[i].map);
		v[i].map = NULL;
	}
	free(v);
	assert_int_equal(atomic_load(&live_values), 0);
	assert_int_equal(pd_intern_count(), 0);
}

static void test_random_against_model(void **state)
{
	int how;

	(void)state;
	for (how = REAL; how < HASHINGS; how++)
		random_steps(how);
}

// Whatever the order of edits, equal content is walked in equal order.
static void test_order_depends_on_content_only(void **state)
{
	struct version a = {0}, b = {0};
	char key[16];
	int how, i;

	(void)state;
	for (how = REAL; how < HASHINGS; how++) {
		memset(a.model, 0xff, sizeof(a.model));
		a.map = b.map = NULL;
		for (i = 0; i < KEYS; i++) {
			snprintf(key, sizeof(key), "k%d", i);
			a.map = pd_hamt_set(a.map, hash_key(how, (unsigned)i, key), key, value_new(i));
			if (i % 2)
				a.model[i] = i;
		}
		for (i = KEYS - 2; i >= 0; i -= 2) {
			snprintf(key, sizeof(key), "k%d", i);
			a.map = pd_hamt_set(a.map, hash_key(how, (unsigned)i, key), key, NULL);
		}
		memcpy(b.model, a.model, sizeof(a.model));
		for (i = KEYS - 1; i >= 0; i -= 2) {
			snprintf(key, sizeof(key), "k%d", i);
			b.map = pd_hamt_set(b.map, hash_key(how, (unsigned)i, key), key, value_new(i));
		}
		assert_int_equal(check_version(&a, how), check_version(&b, how));
		pd_hamt_unref(a.map);
		pd_hamt_unref(b.map);
	}
	assert_int_equal(atomic_load(&live_values), 0);
}

static void test_empty_and_single(void **state)
{
	struct value *v = value_new(1);
	pd_hamt m = NULL, old;

	(void)state;
	assert_null(pd_hamt_get(NULL, 1, "a"));
	assert_int_equal(pd_hamt_count(NULL), 0);
	pd_hamt_each(NULL, check_entry, NULL);
	assert_null(pd_hamt_set(NULL, 1, "a", NULL));
	pd_hamt_unref(NULL);
	assert_null(pd_hamt_ref(NULL));
	m = pd_hamt_set(m, 1, "a", v);
	assert_ptr_equal(pd_hamt_get(m, 1, "a"), v);
	assert_null(pd_hamt_get(m, 1, "b"));
	assert_null(pd_hamt_get(m, 2, "a"));
	old = pd_hamt_ref(m);
	m = pd_hamt_set(m, 1, "a", NULL);
	assert_null(m);
	assert_ptr_equal(pd_hamt_get(old, 1, "a"), v);
	pd_hamt_unref(old);
	assert_int_equal(atomic_load(&live_values), 0);
}

static void test_in_place_only_when_alone(void **state)
{
	pd_hamt m = NULL, kept;

	(void)state;
	m = pd_hamt_set(m, 1, "a", value_new(1));
	m = pd_hamt_set(m, 2, "b", value_new(2));
	kept = m;
	m = pd_hamt_set(m, 1, "a", value_new(3));
	assert_ptr_equal(m, kept); // replaced in place: no other handle
	pd_hamt_ref(kept);
	m = pd_hamt_set(m, 1, "a", value_new(4));
	assert_ptr_not_equal(m, kept);
	assert_int_equal(((struct value *)pd_hamt_get(kept, 1, "a"))->number, 3);
	assert_int_equal(((struct value *)pd_hamt_get(m, 1, "a"))->number, 4);
	pd_hamt_unref(kept);
	pd_hamt_unref(m);
	assert_int_equal(atomic_load(&live_values), 0);
}

// A caller may pass the key that the map itself holds, though the edit frees the entry.
static bool take_key(const char *key, void *value, void *arg)
{
	(void)value;
	*(const char **)arg = key;
	return false;
}

static void test_key_borrowed_from_map(void **state)
{
	const char *key = NULL;
	pd_hamt m = pd_hamt_set(NULL, 9, "name", value_new(1));

	(void)state;
	pd_hamt_each(m, take_key, &key);
	m = pd_hamt_set(m, 9, key, value_new(2));
	assert_int_equal(pd_hamt_count(m), 1);
	m = pd_hamt_set(m, 9, "other", value_new(3));
	pd_hamt_each(m, take_key, &key);
	m = pd_hamt_set(m, 9, key, NULL);
	pd_hamt_each(m, take_key, &key);
	assert_string_equal(key, "other");
	m = pd_hamt_set(m, 9, key, NULL);
	assert_null(m);
}

// One writer publishes versions; readers take, check and drop them. Each version holds equal numbers only.
#define READERS 3
static pthread_mutex_t publish_lock = PTHREAD_MUTEX_INITIALIZER;
static pd_hamt published;
static atomic_bool stop_readers;
static atomic_int bad_versions;

struct uniform {
	int number;
	size_t n;
};

static bool uniform_entry(const char *key, void *value, void *arg)
{
	struct uniform *u = arg;
	int number = ((struct value *)value)->number;

	(void)key;
	if (u->n++ == 0)
		u->number = number;
	return u->number == number;
}

static void *reader(void *arg)
{
	struct uniform u;
	pd_hamt m;

	(void)arg;
	while (!atomic_load(&stop_readers)) {
		pthread_mutex_lock(&publish_lock);
		m = pd_hamt_ref(published);
		pthread_mutex_unlock(&publish_lock);
		u = (struct uniform){0};
		pd_hamt_each(m, uniform_entry, &u);
		if (u.n != pd_hamt_count(m))
			atomic_fetch_add(&bad_versions, 1);
		pd_hamt_unref(m);
	}
	return NULL;
}

static void test_threads(void **state)
{
	pthread_t t[READERS];
	pd_hamt m = NULL, old;
	char key[16];
	int round, i;

	(void)state;
	for (i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, reader, NULL), 0);
	for (round = 0; round < 300; round++) {
		// The first edit copies where readers or `published` still share, later ones change our own nodes in place.
		for (i = 0; i < 200; i++) {
			snprintf(key, sizeof(key), "t%d", i);
			m = pd_hamt_set(m, pd_hash_str(key), key, i < round % 200 ? value_new(round) : NULL);
		}
		pthread_mutex_lock(&publish_lock);
		old = published;
		published = pd_hamt_ref(m);
		pthread_mutex_unlock(&publish_lock);
		pd_hamt_unref(old);
	}
	atomic_store(&stop_readers, true);
	for (i = 0; i < READERS; i++)
		pthread_join(t[i], NULL);
	pd_hamt_unref(published);
	pd_hamt_unref(m);
	assert_int_equal(atomic_load(&bad_versions), 0);
	assert_int_equal(atomic_load(&live_values), 0);
	assert_int_equal(pd_intern_count(), 0);
}

// ---- items that carry their key -----------------------------------------------------------------------------------------

struct numbered {
	struct pd_hamt_item item;
	int number, generation;
};

static void numbered_release(struct pd_obj *o)
{
	atomic_fetch_sub(&live_values, 1);
	free(o);
}

static struct pd_hamt_item *numbered_new(int number, int generation)
{
	struct numbered *v = pd_xmalloc(sizeof(*v));

	pd_obj_init(&v->item.obj, numbered_release);
	v->item.hash = (uint64_t)(number % 10); // ten keys each
	v->number = number;
	v->generation = generation;
	atomic_fetch_add(&live_values, 1);
	return &v->item;
}

static int cmp_number(const struct pd_hamt_item *item, const void *key)
{
	return ((const struct numbered *)item)->number - *(const int *)key;
}

static bool count_item(struct pd_hamt_item *item, void *arg)
{
	(void)item;
	return ++*(int *)arg < 40;
}

static void test_items(void **state)
{
	pd_hamt m = NULL, old, other;
	int seen = 0;

	(void)state;
	for (int i = 0; i < 200; i++) { // each twice: the second takes the first one's place
		int key = i % 100;

		m = pd_hamt_put_item(m, cmp_number, &key, numbered_new(key, i / 100));
	}
	assert_int_equal(pd_hamt_count(m), 100);
	old = pd_hamt_ref(m);
	for (int i = 0; i < 200; i += 2) // beyond 100: not there
		m = pd_hamt_remove_item(m, cmp_number, (uint64_t)(i % 10), &i);
	for (int i = 0; i < 100; i++) {
		struct numbered *v = (struct numbered *)pd_hamt_get_item(m, cmp_number, (uint64_t)(i % 10), &i);

		assert_int_equal(v != NULL, i % 2);
		v = (struct numbered *)pd_hamt_get_item(old, cmp_number, (uint64_t)(i % 10), &i);
		assert_int_equal(v->number, i);
		assert_int_equal(v->generation, 1);
	}
	pd_hamt_each_item(m, count_item, &seen);
	assert_int_equal(seen, 40);
	// One item in two maps.
	seen = 1;
	other = pd_hamt_put_item(NULL, cmp_number, &seen, pd_obj_ref(pd_hamt_get_item(m, cmp_number, 1, &seen)));
	pd_hamt_unref(m);
	pd_hamt_unref(old);
	assert_int_equal(atomic_load(&live_values), 1);
	pd_hamt_unref(other);
	assert_int_equal(atomic_load(&live_values), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty_and_single),
		cmocka_unit_test(test_in_place_only_when_alone),
		cmocka_unit_test(test_key_borrowed_from_map),
		cmocka_unit_test(test_random_against_model),
		cmocka_unit_test(test_order_depends_on_content_only),
		cmocka_unit_test(test_items),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
