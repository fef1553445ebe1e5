#include "discovery/deps.h"

#include <stdlib.h>

#define uthash_fatal(msg) abort()
#include <uthash.h>

struct token_entry {
	pd_token token;
	uint64_t changed;            // generation of the last change seen; 0 = none remembered
	union {                      // most tokens have one unit: no array for those
		struct pd_unit *one; // cap == 0
		struct pd_unit **list;
	};
	uint32_t n, cap;
	UT_hash_handle hh;
};

struct pd_deps {
	struct token_entry *tokens;
	PD_VEC(struct token_entry *) recent; // entries with `changed` set, in the order of their first change
	PD_VEC(struct pd_unit *) hit;        // scratch of pd_deps_changed
};

struct pd_deps *pd_deps_new(void)
{
	return pd_xcalloc(1, sizeof(struct pd_deps));
}

static struct pd_unit **units_of(struct token_entry *e)
{
	return e->cap ? e->list : &e->one;
}

static void entry_free(struct pd_deps *d, struct token_entry *e)
{
	HASH_DEL(d->tokens, e);
	if (e->cap)
		free(e->list);
	free(e);
}

void pd_deps_free(struct pd_deps **dp)
{
	struct pd_deps *d = *dp;
	if (!d)
		return;
	struct token_entry *e, *next;
	HASH_ITER(hh, d->tokens, e, next)
	entry_free(d, e);
	pd_vec_free(&d->recent);
	pd_vec_free(&d->hit);
	free(d);
	*dp = NULL;
}

static struct token_entry *entry_get(struct pd_deps *d, pd_token token)
{
	struct token_entry *e;
	HASH_FIND(hh, d->tokens, &token, sizeof(token), e);
	if (e)
		return e;
	e = pd_xcalloc(1, sizeof(*e));
	e->token = token;
	HASH_ADD(hh, d->tokens, token, sizeof(token), e);
	return e;
}

static void entry_gc(struct pd_deps *d, struct token_entry *e)
{
	if (!e->n && !e->changed)
		entry_free(d, e);
}

static uint32_t entry_add(struct token_entry *e, struct pd_unit *unit)
{
	if (e->n == (e->cap ? e->cap : 1)) {
		uint32_t cap = e->cap ? e->cap * 2 : 4;
		struct pd_unit **list = pd_xrealloc(e->cap ? e->list : NULL, cap * sizeof(struct pd_unit *));
		if (!e->cap)
			list[0] = e->one;
		e->list = list;
		e->cap = cap;
	}
	units_of(e)[e->n] = unit;
	return e->n++;
}

static int cmp_token(const void *x, const void *y)
{
	pd_token a = *(const pd_token *)x, b = *(const pd_token *)y;
	return (a > b) - (a < b);
}

static int cmp_dep(const void *x, const void *y)
{
	pd_token a = ((const struct pd_dep *)x)->token, b = ((const struct pd_dep *)y)->token;
	return (a > b) - (a < b);
}

// Among the first n, which are sorted.
static struct pd_dep *unit_find(const struct pd_unit *u, uint32_t n, pd_token t)
{
	struct pd_dep key = {.token = t};
	return n ? bsearch(&key, u->deps, n, sizeof(key), cmp_dep) : NULL;
}

bool pd_deps_record(struct pd_deps *d, struct pd_unit *unit, const pd_token *tokens, size_t n, uint64_t generation)
{
	bool stale = false;
	uint32_t before = unit->n_deps;
	pd_token *sorted = pd_xmalloc((n + 1) * sizeof(*sorted));
	if (n)
		memcpy(sorted, tokens, n * sizeof(*tokens));
	pd_sort(sorted, n, sizeof(*sorted), cmp_token);
	size_t fresh = 0;
	for (size_t i = 0; i < n; i++) {
		if (i && sorted[i] == sorted[i - 1])
			continue;
		struct token_entry *e = entry_get(d, sorted[i]);
		stale |= e->changed > generation;
		if (!unit_find(unit, before, sorted[i]))
			sorted[fresh++] = sorted[i];
	}
	if (fresh)
		unit->deps = pd_xrealloc(unit->deps, (before + fresh) * sizeof(*unit->deps));
	for (size_t i = 0; i < fresh; i++)
		unit->deps[before + i] = (struct pd_dep){sorted[i], entry_add(entry_get(d, sorted[i]), unit)};
	unit->n_deps = before + (uint32_t)fresh;
	if (before && fresh)
		pd_sort(unit->deps, unit->n_deps, sizeof(*unit->deps), cmp_dep);
	free(sorted);
	return stale;
}

void pd_deps_clear(struct pd_deps *d, struct pd_unit *unit)
{
	for (uint32_t i = 0; i < unit->n_deps; i++) {
		struct token_entry *e;
		HASH_FIND(hh, d->tokens, &unit->deps[i].token, sizeof(pd_token), e);
		PD_ASSERT(e && units_of(e)[unit->deps[i].pos] == unit);
		struct pd_unit *moved = units_of(e)[--e->n];
		units_of(e)[unit->deps[i].pos] = moved;
		if (moved != unit)
			unit_find(moved, moved->n_deps, e->token)->pos = unit->deps[i].pos;
		entry_gc(d, e);
	}
	free(unit->deps);
	unit->deps = NULL;
	unit->n_deps = 0;
}

static int cmp_unit(const void *x, const void *y)
{
	uintptr_t a = (uintptr_t) * (struct pd_unit *const *)x, b = (uintptr_t) * (struct pd_unit *const *)y;
	return (a > b) - (a < b);
}

void pd_deps_changed(struct pd_deps *d, const pd_token *tokens, size_t n, uint64_t generation,
		     void (*fn)(struct pd_unit *unit, void *arg), void *arg)
{
	d->hit.n = 0;
	for (size_t i = 0; i < n; i++) {
		struct token_entry *e = entry_get(d, tokens[i]);
		if (!e->changed)
			pd_vec_push(&d->recent, e);
		e->changed = generation;
		for (uint32_t j = 0; j < e->n; j++)
			pd_vec_push(&d->hit, units_of(e)[j]);
	}
	if (!d->hit.n)
		return;
	pd_sort(d->hit.v, d->hit.n, sizeof(d->hit.v[0]), cmp_unit);
	size_t count = d->hit.n;
	struct pd_unit *last = NULL;
	for (size_t i = 0; i < count; i++) {
		if (d->hit.v[i] != last)
			fn(d->hit.v[i], arg);
		last = d->hit.v[i];
	}
}

void pd_deps_forget(struct pd_deps *d, uint64_t generation)
{
	size_t kept = 0;
	for (size_t i = 0; i < d->recent.n; i++) {
		struct token_entry *e = d->recent.v[i];
		if (e->changed > generation) {
			d->recent.v[kept++] = e;
		} else {
			e->changed = 0;
			entry_gc(d, e);
		}
	}
	d->recent.n = kept;
}

size_t pd_deps_count(const struct pd_deps *d)
{
	return HASH_COUNT(d->tokens);
}
