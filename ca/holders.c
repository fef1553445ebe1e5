#include "ca/holders.h"

#include <stdlib.h>

#include "base/mem.h"

#define CAP_MIN 64

static struct pd_holder *slot(struct pd_holder *v, size_t cap, uint64_t key)
{
	size_t i = key & (cap - 1);

	while (v[i].key && v[i].key != key)
		i = (i + 1) & (cap - 1);
	return &v[i];
}

// A new table of `cap` without those that have ended.
static void rebuild(struct pd_holders *h, size_t cap, int64_t now_s)
{
	struct pd_holder *v = pd_xcalloc(cap, sizeof(*v));
	size_t n = 0;

	for (size_t i = 0; i < h->cap; i++)
		if (h->v[i].key && h->v[i].end_s > now_s) {
			*slot(v, cap, h->v[i].key) = h->v[i];
			n++;
		}
	free(h->v);
	h->v = v;
	h->n = n;
	h->cap = cap;
}

static size_t alive(const struct pd_holders *h, int64_t now_s)
{
	size_t all, own;

	pd_holders_count(h, 0, now_s, &all, &own);
	return all;
}

// Makes sure that a table of at most half its slots has room for one more. Rebuilding costs a pass over the table; it either
// doubles it or halves what is in it, else the table is as good as full and the newcomer is not counted.
static bool make_room(struct pd_holders *h, int64_t now_s, size_t max)
{
	size_t left;

	if (h->cap && (h->n + 1) * 2 <= h->cap)
		return true;
	left = alive(h, now_s);
	if (left * 4 <= h->cap && h->cap)
		rebuild(h, h->cap, now_s);
	else if (h->cap / 2 < max)
		rebuild(h, h->cap ? h->cap * 2 : CAP_MIN, now_s);
	else
		return false;
	return true;
}

void pd_holders_note(struct pd_holders *h, uint64_t key, uint64_t signer, int64_t end_s, int64_t now_s, size_t max)
{
	struct pd_holder *s;

	key += key == 0;
	s = h->cap ? slot(h->v, h->cap, key) : NULL;
	if (!s || !s->key) {
		if (!make_room(h, now_s, max)) {
			h->overflow = true;
			return;
		}
		s = slot(h->v, h->cap, key);
		h->n++;
	}
	*s = (struct pd_holder){key, end_s, signer};
}

void pd_holders_count(const struct pd_holders *h, uint64_t signer, int64_t now_s, size_t *all, size_t *of_signer)
{
	*all = *of_signer = 0;
	for (size_t i = 0; i < h->cap; i++)
		if (h->v[i].key && h->v[i].end_s > now_s) {
			++*all;
			*of_signer += h->v[i].signer == signer;
		}
}

void pd_holders_free(struct pd_holders *h)
{
	free(h->v);
	*h = (struct pd_holders){0};
}
