// Two tables by token, both open addressing, since there are millions of bytes in them: who depends on a token, and when it
// last changed. The second is nearly always empty.
#include "discovery/deps.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"

struct entry {
	pd_token token;
	union {
		struct pd_unit *one; // cap == 0: most tokens have one unit, and no array for it
		struct pd_unit **list;
		uint64_t generation; // in `recent`
	};
	uint32_t n, cap; // n == 0: a free slot
};

// Slots are found by the token's low bits (tokens are hashes); a gap ends each search.
struct table {
	struct entry *v;
	size_t size, n; // size: 0 or a power of two; at most three quarters of it are used
};

struct pd_deps {
	struct table units;           // token → units that depend on it
	struct table recent;          // token → generation of the last change that is remembered
	PD_VEC(struct pd_unit *) hit; // scratch of pd_deps_changed
};

#define TABLE_MIN 16
#define SCRATCH_KEPT 1024 // elements of scratch that are kept from one change to the next

// ---- tables -------------------------------------------------------------------------------------------------------------

static struct entry *table_find(const struct table *t, pd_token token)
{
	if (!t->size)
		return NULL;
	for (size_t i = token & (t->size - 1); t->v[i].n; i = (i + 1) & (t->size - 1))
		if (t->v[i].token == token)
			return &t->v[i];
	return NULL;
}

static struct entry *free_slot(const struct table *t, pd_token token)
{
	size_t i = token & (t->size - 1);

	while (t->v[i].n)
		i = (i + 1) & (t->size - 1);
	return &t->v[i];
}

static void table_resize(struct table *t, size_t size)
{
	struct table to = {pd_xcalloc(size, sizeof(struct entry)), size, t->n};

	for (size_t i = 0; i < t->size; i++)
		if (t->v[i].n)
			*free_slot(&to, t->v[i].token) = t->v[i];
	free(t->v);
	*t = to;
}

// A slot for a token that is not in the table; the caller sets n. Pointers to entries are invalid afterwards.
static struct entry *table_add(struct table *t, pd_token token)
{
	struct entry *e;

	if ((t->n + 1) * 4 > t->size * 3)
		table_resize(t, t->size ? t->size * 2 : TABLE_MIN);
	t->n++;
	e = free_slot(t, token);
	*e = (struct entry){.token = token};
	return e;
}

static void table_free(struct table *t)
{
	free(t->v);
	*t = (struct table){0};
}

// Closes the gap: entries behind it that could stand in it move up. Pointers to entries are invalid afterwards.
static void table_remove(struct table *t, struct entry *e)
{
	size_t mask = t->size - 1, gap = (size_t)(e - t->v);

	for (size_t i = (gap + 1) & mask; t->v[i].n; i = (i + 1) & mask) {
		size_t home = t->v[i].token & mask;

		if (((i - home) & mask) < ((i - gap) & mask))
			continue; // its home is behind the gap
		t->v[gap] = t->v[i];
		gap = i;
	}
	t->v[gap].n = 0;
	t->n--;
	if (!t->n)
		table_free(t);
	else if (t->size > TABLE_MIN && t->n < t->size / 8)
		table_resize(t, t->size / 2);
}

// ---- units of a token -----------------------------------------------------------------------------------------------------

static struct pd_unit **units_of(struct entry *e)
{
	return e->cap ? e->list : &e->one;
}

// Returns the position in the token's list.
static uint32_t add_unit(struct pd_deps *d, pd_token token, struct pd_unit *unit)
{
	struct entry *e = table_find(&d->units, token);

	if (!e)
		e = table_add(&d->units, token);
	if (e->n == (e->cap ? e->cap : 1)) {
		uint32_t cap = e->cap ? e->cap * 2 : 2;
		struct pd_unit **list = pd_xrealloc(e->cap ? e->list : NULL, cap * sizeof(struct pd_unit *));

		if (!e->cap)
			list[0] = e->one;
		e->list = list;
		e->cap = cap;
	}
	units_of(e)[e->n] = unit;
	return e->n++;
}

// ---- tokens of a unit -----------------------------------------------------------------------------------------------------
// One block: the tokens, sorted, and behind them their positions.

static uint32_t *positions(const struct pd_unit *u)
{
	return (uint32_t *)(u->tokens + u->n_tokens);
}

static int cmp_token(const void *x, const void *y)
{
	pd_token a = *(const pd_token *)x, b = *(const pd_token *)y;

	return (a > b) - (a < b);
}

// -1 if it does not depend on it.
static long place_of(const struct pd_unit *u, pd_token t)
{
	const pd_token *at = u->n_tokens ? bsearch(&t, u->tokens, u->n_tokens, sizeof(t), cmp_token) : NULL;

	return at ? at - u->tokens : -1;
}

// Joins `fresh` (sorted, none of them there yet) with what the unit has.
static void add_tokens(struct pd_deps *d, struct pd_unit *u, const pd_token *fresh, uint32_t n)
{
	struct pd_unit joined = {.n_tokens = u->n_tokens + n};
	const uint32_t *old = u->n_tokens ? positions(u) : NULL;
	uint32_t i = 0, k = 0;

	joined.tokens = pd_xmalloc(joined.n_tokens * (sizeof(pd_token) + sizeof(uint32_t)));
	for (uint32_t to = 0; to < joined.n_tokens; to++) {
		if (k == n || (i < u->n_tokens && u->tokens[i] < fresh[k])) {
			joined.tokens[to] = u->tokens[i];
			positions(&joined)[to] = old[i++];
		} else {
			joined.tokens[to] = fresh[k];
			positions(&joined)[to] = add_unit(d, fresh[k++], u);
		}
	}
	free(u->tokens);
	*u = joined;
}

bool pd_deps_record(struct pd_deps *d, struct pd_unit *unit, const pd_token *tokens, size_t n, uint64_t generation)
{
	pd_token *sorted = pd_xmalloc((n + 1) * sizeof(*sorted));
	uint32_t fresh = 0;
	bool stale = false;

	if (n)
		memcpy(sorted, tokens, n * sizeof(*tokens));
	pd_sort(sorted, n, sizeof(*sorted), cmp_token);
	for (size_t i = 0; i < n; i++) {
		const struct entry *changed = table_find(&d->recent, sorted[i]);

		stale |= changed && changed->generation > generation;
		if ((fresh && sorted[fresh - 1] == sorted[i]) || place_of(unit, sorted[i]) >= 0)
			continue;
		sorted[fresh++] = sorted[i];
	}
	if (fresh)
		add_tokens(d, unit, sorted, fresh);
	free(sorted);
	return stale;
}

void pd_deps_clear(struct pd_deps *d, struct pd_unit *unit)
{
	for (uint32_t i = 0; i < unit->n_tokens; i++) {
		struct entry *e = table_find(&d->units, unit->tokens[i]);
		uint32_t pos = positions(unit)[i];
		struct pd_unit *moved;

		PD_ASSERT(e && units_of(e)[pos] == unit);
		moved = units_of(e)[--e->n];
		units_of(e)[pos] = moved;
		if (moved != unit)
			positions(moved)[place_of(moved, e->token)] = pos;
		if (e->n)
			continue;
		if (e->cap)
			free(e->list);
		table_remove(&d->units, e);
	}
	free(unit->tokens);
	*unit = (struct pd_unit){0};
}

// ---- changes --------------------------------------------------------------------------------------------------------------

static int cmp_unit(const void *x, const void *y)
{
	uintptr_t a = (uintptr_t) * (struct pd_unit *const *)x, b = (uintptr_t) * (struct pd_unit *const *)y;

	return (a > b) - (a < b);
}

static void remember(struct pd_deps *d, pd_token token, uint64_t generation)
{
	struct entry *e = table_find(&d->recent, token);

	if (!e)
		e = table_add(&d->recent, token);
	e->n = 1;
	e->generation = generation;
}

void pd_deps_changed(struct pd_deps *d, const pd_token *tokens, size_t n, uint64_t generation,
		     void (*fn)(struct pd_unit *unit, void *arg), void *arg)
{
	size_t count;

	d->hit.n = 0;
	for (size_t i = 0; i < n; i++) {
		struct entry *e = table_find(&d->units, tokens[i]);

		remember(d, tokens[i], generation);
		for (uint32_t j = 0; e && j < e->n; j++)
			pd_vec_push(&d->hit, units_of(e)[j]);
	}
	pd_sort(d->hit.v, d->hit.n, sizeof(d->hit.v[0]), cmp_unit);
	count = d->hit.n;
	for (size_t i = 0; i < count; i++)
		if (!i || d->hit.v[i] != d->hit.v[i - 1])
			fn(d->hit.v[i], arg);
	if (d->hit.cap > SCRATCH_KEPT)
		pd_vec_free(&d->hit);
}

void pd_deps_forget(struct pd_deps *d, uint64_t generation)
{
	struct table kept = {0};

	for (size_t i = 0; i < d->recent.size; i++) {
		const struct entry *e = &d->recent.v[i];
		struct entry *to;

		if (!e->n || e->generation <= generation)
			continue;
		to = table_add(&kept, e->token);
		*to = *e;
	}
	table_free(&d->recent);
	d->recent = kept;
}

// ---- life -----------------------------------------------------------------------------------------------------------------

struct pd_deps *pd_deps_new(void)
{
	return pd_xcalloc(1, sizeof(struct pd_deps));
}

void pd_deps_free(struct pd_deps **dp)
{
	struct pd_deps *d = *dp;

	if (!d)
		return;
	for (size_t i = 0; i < d->units.size; i++)
		if (d->units.v[i].n && d->units.v[i].cap)
			free(d->units.v[i].list);
	table_free(&d->units);
	table_free(&d->recent);
	pd_vec_free(&d->hit);
	free(d);
	*dp = NULL;
}

size_t pd_deps_count(const struct pd_deps *d)
{
	return d->units.n + d->recent.n;
}
