// Segments and sets against a naive model: the difference of any two, by the short way and by the long one.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/pb.h"
#include "base/mem.h"
#include "base/str.h"
#include "discovery/set.h"
#include "envoy/config/cluster/v3/cluster.pb-c.h"

enum { NAMES = 40, ROUNDS = 400 };

static struct pd_provenance *prov;
static void prov_release(struct pd_obj *o)
{
	free(o);
}

static struct pd_resource *make(int name, unsigned content)
{
	Envoy__Config__Cluster__V3__Cluster c = ENVOY__CONFIG__CLUSTER__V3__CLUSTER__INIT;
	char text[16], stat[16];
	snprintf(text, sizeof(text), "c%02d", name);
	snprintf(stat, sizeof(stat), "%u", content);
	c.name = text;
	c.alt_stat_name = stat;
	return pd_resource_new(PD_CDS, text, &c.base, prov);
}

struct seen {
	unsigned changed[NAMES], removed[NAMES];
};

static int index_of(const char *name)
{
	return (int)strtol(name + 1, NULL, 10);
}
static void on_changed(struct pd_resource *r, void *arg)
{
	((struct seen *)arg)->changed[index_of(r->name)]++;
}
static void on_removed(const char *name, void *arg)
{
	((struct seen *)arg)->removed[index_of(name)]++;
}

// model: content of each name, 0 = absent
static void check(const struct pd_set *a, const struct pd_set *b, const unsigned *ma, const unsigned *mb)
{
	struct seen s = {0};
	pd_set_diff(a, b, on_changed, on_removed, &s);
	for (int i = 0; i < NAMES; i++) {
		assert_int_equal(s.changed[i], mb[i] && ma[i] != mb[i]);
		assert_int_equal(s.removed[i], ma[i] && !mb[i]);
	}
}

static struct pd_set *set_of(struct pd_segment *s)
{
	return pd_set_new((struct pd_segment *const[PD_SET_SEGMENTS]){pd_obj_ref(s)});
}

static int next_random(void)
{
	static uint64_t seed = 1;
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (int)(seed >> 33);
}

static void updates_and_differences(void **state)
{
	(void)state;
	unsigned model[3][NAMES] = {{0}}; // now, one before, two before
	struct pd_segment *seg = pd_segment_new(NULL, 0);
	struct pd_set *sets[3] = {set_of(seg), set_of(seg), set_of(seg)};
	unsigned zero[NAMES] = {0};
	for (int round = 0; round < ROUNDS; round++) {
		struct pd_resource *set[NAMES];
		const char *removed[NAMES];
		char names[NAMES][16];
		size_t n_set = 0, n_removed = 0;
		memmove(model[1], model[0], sizeof(model[0]) * 2);
		for (int i = 0; i < NAMES; i++) {
			int r = next_random() % 12;
			if (r == 0) {
				model[0][i] = 1 + (unsigned)next_random() % 3;
				set[n_set++] = make(i, model[0][i]);
			} else if (r == 1) {
				model[0][i] = 0;
				snprintf(names[i], sizeof(names[i]), "c%02d", i);
				removed[n_removed++] = names[i];
			}
		}
		struct pd_segment *now = pd_segment_update(seg, set, n_set, removed, n_removed);
		pd_obj_unref(seg);
		seg = now;
		pd_obj_unref(sets[2]);
		sets[2] = sets[1];
		sets[1] = sets[0];
		sets[0] = set_of(seg);
		check(sets[1], sets[0], model[1], model[0]); // the direct successor
		check(sets[2], sets[0], model[2], model[0]); // further back
		check(NULL, sets[0], zero, model[0]);
		check(sets[0], sets[1], model[0], model[1]); // backwards

		struct pd_resource *all[NAMES];
		size_t n = 0;
		for (int i = NAMES - 1; i >= 0; i--)
			if (model[0][i])
				all[n++] = make(i, model[0][i]);
		struct pd_segment *fresh = pd_segment_new(all, n);
		assert_int_equal(fresh->version,
				 seg->version); // the same content has the same version, whatever its history
		assert_int_equal(fresh->n, seg->n);
		pd_obj_unref(fresh);
	}
	for (int i = 0; i < 3; i++)
		pd_obj_unref(sets[i]);
	pd_obj_unref(seg);
}

static void nothing_changes_nothing(void **state)
{
	(void)state;
	struct pd_resource *v[] = {make(1, 1), make(2, 1)}, *same[] = {make(2, 1)};
	struct pd_segment *s = pd_segment_new(v, 2), *t = pd_segment_update(s, same, 1, NULL, 0);
	assert_ptr_equal(s, t);
	pd_obj_unref(s);
	pd_obj_unref(t);
}

static void first_of_equal_names_wins(void **state)
{
	(void)state;
	struct pd_resource *v[] = {make(5, 1), make(3, 1), make(5, 2)};
	uint64_t version = v[0]->version;
	struct pd_segment *s = pd_segment_new(v, 3);
	assert_int_equal(s->n, 2);
	assert_int_equal(pd_segment_get(s, "c05")->version, version);
	assert_null(pd_segment_get(s, "c04"));
	pd_obj_unref(s);
}

static int setup(void **state)
{
	(void)state;
	prov = pd_xcalloc(1, sizeof(*prov));
	pd_obj_init(&prov->obj, prov_release);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	pd_obj_unref(prov);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(updates_and_differences),
		cmocka_unit_test(nothing_changes_nothing),
		cmocka_unit_test(first_of_equal_names_wins),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
