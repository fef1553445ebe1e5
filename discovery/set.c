#include "discovery/set.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/str.h"
#include "base/vec.h"

static atomic_ulong next_segment_id = 1;

// What one resource adds to the version of its segment. A sum, so that adding and removing is O(1).
static uint64_t weight(const struct pd_resource *r)
{
	return pd_hash_mix(pd_intern_hash(r->name), r->version);
}

static int by_name(const void *x, const void *y)
{
	const struct pd_resource *a = *(struct pd_resource *const *)x, *b = *(struct pd_resource *const *)y;
	return a->name == b->name ? 0 : strcmp(a->name, b->name);
}

static void segment_release(struct pd_obj *o)
{
	struct pd_segment *s = (struct pd_segment *)o;
	for (size_t i = 0; i < s->n; i++)
		pd_resource_unref(s->v[i]);
	for (size_t i = 0; i < s->n_delta; i++)
		pd_unintern(s->delta[i]);
	free(s->delta);
	free(s);
}

static struct pd_segment *segment_alloc(size_t cap)
{
	struct pd_segment *s = pd_xcalloc(1, sizeof(*s) + cap * sizeof(s->v[0]));
	pd_obj_init(&s->obj, segment_release);
	s->id = atomic_fetch_add(&next_segment_id, 1);
	return s;
}

struct placed {
	struct pd_resource *r;
	size_t place;
};

static int by_name_and_place(const void *x, const void *y)
{
	const struct placed *a = x, *b = y;
	int c = by_name(&a->r, &b->r);
	return c ? c : (a->place > b->place) - (a->place < b->place);
}

// Sorts by name, drops (and releases) all but the first of equal names. Returns how many remain.
static size_t sort_distinct(struct pd_resource **v, size_t n)
{
	struct placed *tmp = pd_xmalloc((n + 1) * sizeof(*tmp));
	for (size_t i = 0; i < n; i++)
		tmp[i] = (struct placed){v[i], i};
	pd_sort(tmp, n, sizeof(*tmp), by_name_and_place);
	size_t out = 0;
	for (size_t i = 0; i < n; i++) {
		if (out && by_name(&v[out - 1], &tmp[i].r) == 0)
			pd_resource_unref(tmp[i].r);
		else
			v[out++] = tmp[i].r;
	}
	free(tmp);
	return out;
}

struct pd_segment *pd_segment_new(struct pd_resource **v, size_t n)
{
	n = sort_distinct(v, n);
	struct pd_segment *s = segment_alloc(n);
	s->n = n;
	for (size_t i = 0; i < n; i++) {
		s->v[i] = v[i];
		s->version += weight(v[i]);
	}
	return s;
}

static size_t lower_bound(const struct pd_segment *s, const char *name)
{
	size_t lo = 0, hi = s->n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (strcmp(s->v[mid]->name, name) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct pd_resource *pd_segment_get(const struct pd_segment *s, const char *name)
{
	size_t i = lower_bound(s, name);
	return i < s->n && strcmp(s->v[i]->name, name) == 0 ? s->v[i] : NULL;
}

static int cmp_text(const void *x, const void *y)
{
	return strcmp(*(const char *const *)x, *(const char *const *)y);
}

struct pd_segment *pd_segment_update(struct pd_segment *old, struct pd_resource **set, size_t n_set,
				     const char *const *removed, size_t n_removed)
{
	n_set = sort_distinct(set, n_set);
	const char **gone = pd_xmalloc((n_removed + 1) * sizeof(*gone));
	if (n_removed)
		memcpy(gone, removed, n_removed * sizeof(*gone));
	pd_sort(gone, n_removed, sizeof(*gone), cmp_text);

	struct pd_segment *s = segment_alloc(old->n + n_set);
	s->prev_id = old->id;
	s->delta = pd_xmalloc((n_set + n_removed + 1) * sizeof(*s->delta));
	s->version = old->version;
	size_t i = 0, j = 0, g = 0;
	while (i < old->n || j < n_set) {
		int c = i == old->n ? 1 : j == n_set ? -1 : strcmp(old->v[i]->name, set[j]->name);
		if (c < 0) { // kept, unless removed
			while (g < n_removed && strcmp(gone[g], old->v[i]->name) < 0)
				g++;
			if (g < n_removed && strcmp(gone[g], old->v[i]->name) == 0) {
				s->delta[s->n_delta++] = pd_intern_ref(old->v[i]->name);
				s->version -= weight(old->v[i]);
			} else {
				s->v[s->n++] = pd_resource_ref(old->v[i]);
			}
			i++;
			continue;
		}
		struct pd_resource *r = set[j++];
		if (c == 0) {
			struct pd_resource *was = old->v[i++];
			if (was->version == r->version) {
				s->v[s->n++] = pd_resource_ref(was); // same bytes: the older object is shared already
				pd_resource_unref(r);
				continue;
			}
			s->version -= weight(was);
		}
		s->delta[s->n_delta++] = pd_intern_ref(r->name);
		s->version += weight(r);
		s->v[s->n++] = r;
	}
	free(gone);
	if (s->n_delta)
		return s;
	pd_obj_unref(s);
	return pd_obj_ref(old);
}

static void set_release(struct pd_obj *o)
{
	struct pd_set *s = (struct pd_set *)o;
	for (int i = 0; i < PD_SET_SEGMENTS; i++)
		pd_obj_unref(s->seg[i]);
	free(s);
}

struct pd_set *pd_set_new(struct pd_segment *const seg[PD_SET_SEGMENTS])
{
	struct pd_set *s = pd_xcalloc(1, sizeof(*s));
	pd_obj_init(&s->obj, set_release);
	for (int i = 0; i < PD_SET_SEGMENTS; i++) {
		s->seg[i] = seg[i];
		if (seg[i])
			s->version += seg[i]->version;
	}
	return s;
}

size_t pd_set_count(const struct pd_set *s)
{
	size_t n = 0;
	for (int i = 0; i < PD_SET_SEGMENTS; i++)
		n += s->seg[i] ? s->seg[i]->n : 0;
	return n;
}

struct pd_resource *pd_set_get(const struct pd_set *s, const char *name)
{
	struct pd_resource *r = NULL;
	for (int i = 0; i < PD_SET_SEGMENTS && !r; i++)
		r = s->seg[i] ? pd_segment_get(s->seg[i], name) : NULL;
	return r;
}

struct diff {
	void (*changed)(struct pd_resource *r, void *arg);
	void (*removed)(const char *name, void *arg);
	void *arg;
};

static void diff_successor(const struct pd_segment *now, const struct diff *d)
{
	for (size_t i = 0; i < now->n_delta; i++) {
		struct pd_resource *r = pd_segment_get(now, now->delta[i]);
		if (r)
			d->changed(r, d->arg);
		else
			d->removed(now->delta[i], d->arg);
	}
}

static void diff_merge(const struct pd_segment *a, const struct pd_segment *b, const struct diff *d)
{
	size_t na = a ? a->n : 0, nb = b ? b->n : 0, i = 0, j = 0;
	while (i < na || j < nb) {
		int c = i == na ? 1 : j == nb ? -1 : a->v[i] == b->v[j] ? 0 : strcmp(a->v[i]->name, b->v[j]->name);
		if (c < 0) {
			d->removed(a->v[i++]->name, d->arg);
		} else {
			if (c > 0 || a->v[i]->version != b->v[j]->version)
				d->changed(b->v[j], d->arg);
			i += c == 0;
			j++;
		}
	}
}

void pd_set_diff(const struct pd_set *before, const struct pd_set *now,
		 void (*changed)(struct pd_resource *r, void *arg), void (*removed)(const char *name, void *arg),
		 void *arg)
{
	struct diff d = {changed, removed, arg};
	for (int i = 0; i < PD_SET_SEGMENTS; i++) {
		const struct pd_segment *a = before ? before->seg[i] : NULL, *b = now->seg[i];
		if (a == b)
			continue;
		if (a && b && b->prev_id == a->id)
			diff_successor(b, &d);
		else
			diff_merge(a, b, &d);
	}
}
