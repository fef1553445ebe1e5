#include "xds/have.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/str.h"

// In the list of its set. The table's lock guards the list and `refs`; the rest is immutable.
struct pd_have_base {
	struct pd_have_base *next, **link;
	unsigned refs;
	uint64_t sum;
	uint64_t *v;
};

uint64_t pd_weight(const char *interned, uint64_t version)
{
	return pd_hash_mix(pd_intern_hash(interned), version);
}

static struct pd_have_change *find_change(const struct pd_have *h, size_t i)
{
	for (size_t k = 0; k < h->changes.n; k++)
		if (h->changes.v[k].i == i)
			return &h->changes.v[k];
	return NULL;
}

uint64_t pd_have_get(const struct pd_have *h, size_t i)
{
	const struct pd_have_change *c;

	if (h->own)
		return h->own[i];
	c = find_change(h, i);
	return c ? c->version : h->base ? h->base->v[i] : PD_HAVE_NOTHING;
}

static void make_own(struct pd_have *h, const struct pd_names *names)
{
	h->own = pd_xcalloc(names->n + 1, sizeof(*h->own));
	if (h->base)
		memcpy(h->own, h->base->v, names->n * sizeof(*h->own));
	for (size_t k = 0; k < h->changes.n; k++)
		h->own[h->changes.v[k].i] = h->changes.v[k].version;
	pd_vec_free(&h->changes);
}

void pd_have_set(struct pd_have *h, const struct pd_names *names, size_t i, uint64_t version)
{
	uint64_t before = pd_have_get(h, i);
	struct pd_have_change *c;

	if (before == version)
		return;
	if (before != PD_HAVE_NOTHING)
		h->sum -= pd_weight(names->v[i], before);
	if (version != PD_HAVE_NOTHING)
		h->sum += pd_weight(names->v[i], version);
	c = h->own ? NULL : find_change(h, i);
	if (!h->own && !c && (!h->base || h->changes.n == PD_HAVE_CHANGES_MAX))
		make_own(h, names); // the reference to the base is kept until the array is settled
	if (h->own)
		h->own[i] = version;
	else if (c)
		c->version = version;
	else
		pd_vec_push(&h->changes, (struct pd_have_change){i, version});
}

static void base_unref_locked(struct pd_have_base *b)
{
	if (!b || --b->refs)
		return;
	*b->link = b->next;
	if (b->next)
		b->next->link = b->link;
	free(b->v);
	free(b);
}

static struct pd_have_base *find_equal(const struct pd_names *names, const uint64_t *v, uint64_t sum)
{
	struct pd_have_base *b = names->bases;

	for (int i = 0; b && i < PD_HAVE_SEARCH_MAX; i++, b = b->next)
		if (b->sum == sum && memcmp(b->v, v, names->n * sizeof(*v)) == 0)
			return b;
	return NULL;
}

static struct pd_have_base *base_new(struct pd_names *names, uint64_t *v, uint64_t sum)
{
	struct pd_have_base *b = pd_xcalloc(1, sizeof(*b));

	b->v = v;
	b->sum = sum;
	b->next = names->bases;
	if (b->next)
		b->next->link = &b->next;
	b->link = &names->bases;
	names->bases = b;
	return b;
}

void pd_have_settle(struct pd_have *h, struct pd_names_table *t, struct pd_names *names)
{
	struct pd_have_base *b;

	if (!h->own)
		return;
	pd_names_lock(t);
	b = find_equal(names, h->own, h->sum);
	if (b)
		free(h->own);
	else
		b = base_new(names, h->own, h->sum);
	b->refs++;
	base_unref_locked(h->base);
	pd_names_unlock(t);
	h->base = b;
	h->own = NULL;
}

void pd_have_clear(struct pd_have *h, struct pd_names_table *t)
{
	if (h->base) {
		pd_names_lock(t);
		base_unref_locked(h->base);
		pd_names_unlock(t);
	}
	free(h->own);
	pd_vec_free(&h->changes);
	*h = (struct pd_have){0};
}
