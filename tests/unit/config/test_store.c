#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/str.h"
#include "config/store.h"
#include "istio/networking/destination_rule.pb-c.h"
#include "make.h"

#define IX_HOST PD_INDEX_USER
#define IX_NS (PD_INDEX_USER + 1)
#define IX_LABEL (PD_INDEX_USER + 2)

static void keys_host(const struct pd_object *o, pd_emit_key emit, void *ctx)
{
	const Istio__VirtualService *vs = (const Istio__VirtualService *)o->spec;

	for (size_t i = 0; i < vs->n_hosts; i++)
		emit(ctx, vs->hosts[i]);
}

static void keys_ns(const struct pd_object *o, pd_emit_key emit, void *ctx)
{
	emit(ctx, o->key.ns);
}

static void keys_label(const struct pd_object *o, pd_emit_key emit, void *ctx)
{
	struct pd_labels l = pd_object_labels(o);

	for (size_t i = 0; i < l.n; i++)
		emit(ctx, l.v[i].value);
}

// IX_NS files two kinds under one id.
static const struct pd_index indexes[] = {
	{IX_HOST, "host", PD_KIND_VIRTUAL_SERVICE, keys_host},
	{IX_NS, "ns", PD_KIND_VIRTUAL_SERVICE, keys_ns},
	{IX_NS, "ns", PD_KIND_DESTINATION_RULE, keys_ns},
	{IX_LABEL, "label", PD_KIND_DESTINATION_RULE, keys_label},
};
#define N_INDEXES (sizeof(indexes) / sizeof(indexes[0]))

static struct pd_object *vs(const char *ns, const char *name, int64_t created, const char *const *hosts, size_t n)
{
	struct pd_arena a = {0};
	struct pd_key k = key_of(PD_KIND_VIRTUAL_SERVICE, ns, name);
	struct pd_object *o =
		pd_object_build(&k, make_meta(&a, ns, name, created), &make_vs(&a, hosts, n)->base, NULL, "t.yaml:1");

	pd_arena_free(&a);
	return o;
}

static struct pd_object *dr(const char *ns, const char *name, int64_t created, const char *label)
{
	struct pd_arena a = {0};
	struct pd_key k = key_of(PD_KIND_DESTINATION_RULE, ns, name);
	K8s__ObjectMeta *m = make_meta(&a, ns, name, created);
	Istio__DestinationRule *spec = PD_NEW(&a, Istio__DestinationRule);
	struct pd_object *o;

	istio__destination_rule__init(spec);
	add_label(&a, m, "app", label);
	o = pd_object_build(&k, m, &spec->base, NULL, "t.yaml:2");
	pd_arena_free(&a);
	return o;
}

static bool has_token(const struct pd_changeset *cs, pd_token t)
{
	for (size_t i = 0; i < cs->tokens.n; i++)
		if (cs->tokens.v[i] == t)
			return true;
	return false;
}

static void apply_one(struct pd_store *st, enum pd_kind kind, const char *ns, const char *name, struct pd_object *next,
		      struct pd_changeset *out)
{
	struct pd_change c = {key_of(kind, ns, name), next};

	*out = (struct pd_changeset){0};
	pd_store_apply(st, &c, 1, out);
}

static void test_basic(void **state)
{
	struct pd_store *st = pd_store_new(indexes, N_INDEXES);
	struct pd_config_snap *before = pd_store_snapshot(st), *mid, *after;
	struct pd_changeset cs;

	(void)state;
	apply_one(st, PD_KIND_VIRTUAL_SERVICE, "a", "x", vs("a", "x", 5, (const char *[]){"h1", "h2", "h1"}, 3), &cs);
	assert_int_equal(cs.items.n, 1);
	assert_null(cs.items.v[0].before);
	assert_int_equal(cs.tokens.n, 4); // object, h1, h2, namespace
	assert_true(has_token(&cs, pd_token_make(IX_HOST, "h1")));
	assert_true(has_token(&cs, pd_token_make(IX_NS, "a")));
	assert_true(has_token(&cs, pd_token_object(PD_KIND_VIRTUAL_SERVICE, "Kubernetes", "a", "x")));
	pd_changeset_free(&cs);
	mid = pd_store_snapshot(st);

	// One host stays, one goes, one comes: all three postings differ, as does the namespace's.
	apply_one(st, PD_KIND_VIRTUAL_SERVICE, "a", "x", vs("a", "x", 5, (const char *[]){"h2", "h3"}, 2), &cs);
	assert_int_equal(cs.tokens.n, 5);
	pd_changeset_free(&cs);
	// The same again: nothing.
	apply_one(st, PD_KIND_VIRTUAL_SERVICE, "a", "x", vs("a", "x", 5, (const char *[]){"h2", "h3"}, 2), &cs);
	assert_int_equal(cs.items.n + cs.tokens.n, 0);
	pd_changeset_free(&cs);
	// Deleting what is not there: nothing.
	apply_one(st, PD_KIND_VIRTUAL_SERVICE, "a", "nope", NULL, &cs);
	assert_int_equal(cs.items.n + cs.tokens.n, 0);
	pd_changeset_free(&cs);
	after = pd_store_snapshot(st);

	assert_int_equal(pd_config_posting(before, IX_HOST, "h1")->n, 0);
	assert_int_equal(pd_config_count(before, PD_KIND_VIRTUAL_SERVICE), 0);
	assert_int_equal(pd_config_posting(mid, IX_HOST, "h1")->n, 1);
	assert_int_equal(pd_config_posting(mid, IX_HOST, "h3")->n, 0);
	assert_int_equal(pd_config_posting(after, IX_HOST, "h1")->n, 0);
	assert_int_equal(pd_config_posting(after, IX_HOST, "h3")->n, 1);
	assert_ptr_equal(pd_config_get(after, PD_KIND_VIRTUAL_SERVICE, "Kubernetes", "a", "x"),
			 pd_config_posting(after, IX_HOST, "h3")->v[0]);
	assert_null(pd_config_get(after, PD_KIND_VIRTUAL_SERVICE, "Kubernetes", "a", "y"));
	assert_null(pd_config_get(after, PD_KIND_DESTINATION_RULE, "Kubernetes", "a", "x"));
	// The empty posting may be referenced like any other.
	pd_obj_unref(pd_obj_ref((void *)pd_config_posting(after, IX_HOST, "none")));
	pd_config_snap_unref(before);
	pd_config_snap_unref(mid);
	pd_store_free(&st);
	assert_string_equal(pd_config_get(after, PD_KIND_VIRTUAL_SERVICE, "Kubernetes", "a", "x")->key.name, "x");
	pd_config_snap_unref(after);
}

// Of several changes to one key in a batch the last counts; what nets out is no change.
static void test_batch_collapses(void **state)
{
	struct pd_store *st = pd_store_new(indexes, N_INDEXES);
	struct pd_changeset cs = {0};
	struct pd_change c[4] = {
		{key_of(PD_KIND_VIRTUAL_SERVICE, "a", "x"), vs("a", "x", 1, (const char *[]){"h1"}, 1)},
		{key_of(PD_KIND_VIRTUAL_SERVICE, "a", "y"), vs("a", "y", 1, (const char *[]){"h1"}, 1)},
		{key_of(PD_KIND_VIRTUAL_SERVICE, "a", "x"), NULL},
		{key_of(PD_KIND_VIRTUAL_SERVICE, "a", "x"), vs("a", "x", 2, (const char *[]){"h2"}, 1)},
	};
	struct pd_config_snap *s;

	(void)state;
	pd_store_apply(st, c, 4, &cs);
	assert_int_equal(cs.items.n, 2);
	s = pd_store_snapshot(st);
	assert_int_equal(pd_config_posting(s, IX_HOST, "h1")->n, 1);
	assert_int_equal(pd_config_posting(s, IX_HOST, "h2")->n, 1);
	pd_config_snap_unref(s);
	pd_changeset_free(&cs);

	c[0].next = NULL;
	c[1].next = NULL;
	c[2].next = vs("a", "x", 2, (const char *[]){"h2"}, 1);
	c[3] = (struct pd_change){key_of(PD_KIND_VIRTUAL_SERVICE, "a", "y"),
				  vs("a", "y", 1, (const char *[]){"h1"}, 1)};
	pd_store_apply(st, c, 4, &cs);
	assert_int_equal(cs.items.n + cs.tokens.n, 0);
	pd_changeset_free(&cs);
	pd_store_free(&st);
}

static void test_order(void **state)
{
	struct pd_store *st = pd_store_new(indexes, N_INDEXES);
	struct pd_changeset cs;
	struct pd_config_snap *s;
	const struct pd_posting *p;

	(void)state;
	apply_one(st, PD_KIND_DESTINATION_RULE, "b", "n", dr("b", "n", 7, "l"), &cs);
	pd_changeset_free(&cs);
	apply_one(st, PD_KIND_DESTINATION_RULE, "a", "z", dr("a", "z", 7, "l"), &cs);
	pd_changeset_free(&cs);
	apply_one(st, PD_KIND_DESTINATION_RULE, "a", "y", dr("a", "y", 7, "l"), &cs);
	pd_changeset_free(&cs);
	apply_one(st, PD_KIND_DESTINATION_RULE, "z", "q", dr("z", "q", 3, "l"), &cs);
	pd_changeset_free(&cs);
	s = pd_store_snapshot(st);
	p = pd_config_posting(s, IX_LABEL, "l");
	assert_int_equal(p->n, 4);
	assert_string_equal(p->v[0]->key.name, "q");
	assert_string_equal(p->v[1]->key.name, "n");
	assert_string_equal(p->v[2]->key.name, "y");
	assert_string_equal(p->v[3]->key.name, "z");
	assert_string_equal(pd_object_label(p->v[0], "app"), "l");
	pd_config_snap_unref(s);
	pd_store_free(&st);
}

// ---- against a naive model ------------------------------------------------------------------------------------------

#define NAMES 40
#define HOSTS 12
#define OPS 4000

// One object of the model: presence and content.
struct model {
	bool present;
	int64_t created;
	unsigned hosts; // bit set
	int label;
};
static const char *const namespaces[] = {"a", "b", "c"};

static unsigned seed = 12345;
static unsigned rnd(unsigned n)
{
	seed = seed * 1103515245 + 12345;
	return (seed >> 16) % n;
}

static const char *ns_of(int i)
{
	return namespaces[i % 3];
}
static enum pd_kind kind_of(int i)
{
	return i % 2 ? PD_KIND_DESTINATION_RULE : PD_KIND_VIRTUAL_SERVICE;
}
static const char *name_of(int i)
{
	static char buf[16];

	snprintf(buf, sizeof(buf), "n%d", i);
	return buf;
}
static const char *host_of(int h)
{
	static char buf[HOSTS][16];

	snprintf(buf[h], sizeof(buf[h]), "host%d", h);
	return buf[h];
}

static struct pd_object *build(int i, const struct model *m)
{
	const char *hosts[HOSTS];
	size_t n = 0;

	if (!m->present)
		return NULL;
	if (kind_of(i) == PD_KIND_DESTINATION_RULE)
		return dr(ns_of(i), name_of(i), m->created, host_of(m->label));
	for (int h = 0; h < HOSTS; h++)
		if (m->hosts & 1u << h)
			hosts[n++] = host_of(h);
	return vs(ns_of(i), name_of(i), m->created, hosts, n);
}

static bool files(int i, const struct model *m, unsigned ix, const char *key)
{
	if (!m->present)
		return false;
	if (ix == IX_NS)
		return !strcmp(ns_of(i), key);
	if (ix == IX_LABEL)
		return kind_of(i) == PD_KIND_DESTINATION_RULE && !strcmp(host_of(m->label), key);
	for (int h = 0; kind_of(i) == PD_KIND_VIRTUAL_SERVICE && h < HOSTS; h++)
		if ((m->hosts & 1u << h) && !strcmp(host_of(h), key))
			return true;
	return false;
}

static bool same(int i, const struct model *a, const struct model *b)
{
	if (a->present != b->present || !a->present)
		return a->present == b->present;
	return a->created == b->created &&
	       (kind_of(i) == PD_KIND_DESTINATION_RULE ? a->label == b->label : a->hosts == b->hosts);
}

static void check_posting(const struct pd_config_snap *s, const struct model *m, unsigned ix, const char *key)
{
	const struct pd_posting *p = pd_config_posting(s, ix, key);
	size_t n = 0;

	for (int i = 0; i < NAMES; i++) {
		bool found = false;

		if (!files(i, &m[i], ix, key))
			continue;
		n++;
		for (size_t j = 0; j < p->n && !found; j++)
			found = p->v[j]->key.kind == kind_of(i) && !strcmp(p->v[j]->key.name, name_of(i)) &&
				p->v[j]->created_ns == m[i].created * 1000000000;
		assert_true(found);
	}
	assert_int_equal(p->n, n);
	for (size_t j = 1; j < p->n; j++)
		assert_true(pd_object_cmp_age(p->v[j - 1], p->v[j]) <= 0);
}

static bool count_one(const struct pd_object *o, void *arg)
{
	(void)o;
	++*(size_t *)arg;
	return true;
}

static void check_all(const struct pd_config_snap *s, const struct model *m)
{
	size_t n[2] = {0}, each = 0;

	for (int h = 0; h < HOSTS; h++) {
		check_posting(s, m, IX_HOST, host_of(h));
		check_posting(s, m, IX_LABEL, host_of(h));
	}
	for (int k = 0; k < 3; k++)
		check_posting(s, m, IX_NS, namespaces[k]);
	for (int i = 0; i < NAMES; i++) {
		const struct pd_object *o = pd_config_get(s, kind_of(i), "Kubernetes", ns_of(i), name_of(i));

		assert_int_equal(o != NULL, m[i].present);
		n[i % 2] += m[i].present;
	}
	assert_int_equal(pd_config_count(s, PD_KIND_VIRTUAL_SERVICE), n[0]);
	assert_int_equal(pd_config_count(s, PD_KIND_DESTINATION_RULE), n[1]);
	pd_config_each(s, PD_KIND_VIRTUAL_SERVICE, count_one, &each);
	pd_config_each(s, PD_KIND_DESTINATION_RULE, count_one, &each);
	assert_int_equal(each, n[0] + n[1]);
}

// A token is reported if and only if an object filed there before or after is different.
static void check_token(const struct pd_changeset *cs, const struct model *was, const struct model *is, unsigned ix,
			const char *key)
{
	bool changed = false;

	for (int i = 0; i < NAMES; i++)
		changed |= !same(i, &was[i], &is[i]) && (files(i, &was[i], ix, key) || files(i, &is[i], ix, key));
	assert_int_equal(has_token(cs, pd_token_make(ix, key)), changed);
}

static void check_changes(const struct pd_changeset *cs, const struct model *was, const struct model *is)
{
	size_t n = 0;

	for (int i = 0; i < NAMES; i++) {
		bool changed = !same(i, &was[i], &is[i]);

		n += changed;
		assert_int_equal(has_token(cs, pd_token_object(kind_of(i), "Kubernetes", ns_of(i), name_of(i))),
				 changed);
	}
	assert_int_equal(cs->items.n, n);
	for (int h = 0; h < HOSTS; h++) {
		check_token(cs, was, is, IX_HOST, host_of(h));
		check_token(cs, was, is, IX_LABEL, host_of(h));
	}
	for (int k = 0; k < 3; k++)
		check_token(cs, was, is, IX_NS, namespaces[k]);
}

static void test_random(void **state)
{
	struct pd_store *st = pd_store_new(indexes, N_INDEXES);
	struct model now[NAMES] = {0}, was[NAMES], old_model[NAMES] = {0};
	struct pd_config_snap *old = pd_store_snapshot(st);
	size_t interned;

	(void)state;
	for (int op = 0; op < OPS; op++) {
		struct pd_change c[8];
		struct pd_changeset cs = {0};
		struct pd_config_snap *s;
		size_t n = 1 + rnd(8);
		char names[8][16];

		memcpy(was, now, sizeof(now));
		for (size_t i = 0; i < n; i++) {
			int who = (int)rnd(NAMES);
			struct model *m = &now[who];

			m->present = rnd(4) != 0;
			m->created = rnd(3) ? m->created : (int64_t)rnd(5) + 1;
			m->hosts = rnd(3) ? m->hosts : rnd(1 << HOSTS) & rnd(1 << HOSTS);
			m->label = rnd(3) ? m->label : (int)rnd(HOSTS);
			snprintf(names[i], sizeof(names[i]), "%s", name_of(who));
			c[i] = (struct pd_change){key_of(kind_of(who), ns_of(who), names[i]), build(who, m)};
		}
		pd_store_apply(st, c, n, &cs);
		check_changes(&cs, was, now);
		pd_changeset_free(&cs);
		s = pd_store_snapshot(st);
		check_all(s, now);
		if (op % 50 == 0) {
			check_all(old, old_model); // unchanged after all that happened since
			pd_config_snap_unref(old);
			old = pd_config_snap_ref(s);
			memcpy(old_model, now, sizeof(now));
		}
		pd_config_snap_unref(s);
	}
	pd_config_snap_unref(old);
	interned = pd_intern_count();
	assert_true(interned > 0);
	pd_store_free(&st);
	assert_int_equal(pd_intern_count(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_basic),
		cmocka_unit_test(test_batch_collapses),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
