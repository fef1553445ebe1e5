#include "xds/body.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/str.h"
#include "xds/pack.h"
#include "xds/slice.h"

struct pd_bodies {
	pthread_mutex_t lock;
	struct pd_body *v[PD_BODIES_MAX];
	size_t n, bytes;
	uint64_t hits, misses;
};

struct pd_bodies *pd_bodies_new(void)
{
	struct pd_bodies *b = pd_xcalloc(1, sizeof(*b));

	pthread_mutex_init(&b->lock, NULL);
	return b;
}

void pd_bodies_free(struct pd_bodies **bp)
{
	struct pd_bodies *b = *bp;

	if (!b)
		return;
	for (size_t i = 0; i < b->n; i++)
		pd_body_unref(b->v[i]);
	pthread_mutex_destroy(&b->lock);
	free(b);
	*bp = NULL;
}

void pd_body_unref(struct pd_body *b)
{
	if (!b || !pd_ref_drop(&b->ref))
		return;
	for (size_t i = 0; i < b->n; i++)
		grpc_slice_unref(b->v[i]);
	free(b);
}

static void drop_locked(struct pd_bodies *b, size_t i)
{
	struct pd_body *gone = b->v[i];

	b->v[i] = b->v[--b->n];
	b->bytes -= gone->bytes;
	pd_body_unref(gone);
}

void pd_bodies_expire(struct pd_bodies *b, uint64_t now_ns)
{
	pthread_mutex_lock(&b->lock);
	for (size_t i = b->n; i-- > 0;)
		if (now_ns > b->v[i]->used_ns + PD_BODY_IDLE_NS)
			drop_locked(b, i);
	pthread_mutex_unlock(&b->lock);
}

void pd_bodies_stats(struct pd_bodies *b, struct pd_bodies_stats *out)
{
	pthread_mutex_lock(&b->lock);
	*out = (struct pd_bodies_stats){.hits = b->hits, .misses = b->misses, .n = b->n, .bytes = b->bytes};
	pthread_mutex_unlock(&b->lock);
}

// ---- what is in a body -------------------------------------------------------------------------------------------------

static void each(const struct pd_answer *a, void (*fn)(const struct pd_resource *r, void *arg), void *arg)
{
	if (!a->full) {
		for (size_t i = 0; i < a->res.n; i++)
			fn(a->res.v[i], arg);
		return;
	}
	for (int k = 0; k < PD_SET_SEGMENTS; k++)
		for (size_t i = 0; a->set->seg[k] && i < a->set->seg[k]->n; i++)
			fn(a->set->seg[k]->v[i], arg);
}

// Content decides: equal names and versions in the same order. 128 bits, since nobody compares the bytes.
static struct pd_body_key key_of(bool delta, const struct pd_answer *a)
{
	struct pd_body_key k = {(uint64_t)a->type << 1 | delta, a->full};

	for (int s = 0; a->full && s < PD_SET_SEGMENTS; s++) {
		k.a = pd_hash_mix(k.a, a->set->seg[s] ? a->set->seg[s]->version : 0);
		k.b = pd_hash_mix(k.b, a->set->seg[s] ? a->set->seg[s]->n : 0);
	}
	for (size_t i = 0; !a->full && i < a->res.n; i++) {
		k.a = pd_hash_mix(k.a, a->res.v[i]->version);
		k.b = pd_hash_mix(k.b, pd_intern_hash(a->res.v[i]->name));
	}
	return k;
}

static void add_bytes(const struct pd_resource *r, void *arg)
{
	*(size_t *)arg += r->delta_len;
}

struct pack_arg {
	struct pd_pack pack;
	bool delta;
};

static void add_resource(const struct pd_resource *r, void *arg)
{
	struct pack_arg *p = arg;

	pd_pack_resource(&p->pack, r, p->delta);
}

static struct pd_body *build(bool delta, const struct pd_answer *a, struct pd_body_key key)
{
	struct pack_arg p = {.pack = {.copy_max = PD_BODY_COPY_MAX}, .delta = delta};
	struct pd_body *b;

	each(a, add_resource, &p);
	pd_pack_end(&p.pack);
	b = pd_xmalloc(sizeof(*b) + p.pack.slices.n * sizeof(b->v[0]));
	pd_ref_init(&b->ref);
	b->key = key;
	b->bytes = p.pack.bytes;
	b->n = p.pack.slices.n;
	for (size_t i = 0; i < b->n; i++)
		b->v[i] = grpc_slice_ref(p.pack.slices.v[i]);
	pd_pack_free(&p.pack);
	return b;
}

// ---- the cache ---------------------------------------------------------------------------------------------------------

static struct pd_body *find_locked(struct pd_bodies *bs, struct pd_body_key key, uint64_t now)
{
	for (size_t i = 0; i < bs->n; i++) {
		if (bs->v[i]->key.a != key.a || bs->v[i]->key.b != key.b)
			continue;
		bs->v[i]->used_ns = now;
		pd_ref_take(&bs->v[i]->ref);
		return bs->v[i];
	}
	return NULL;
}

static void make_room_locked(struct pd_bodies *bs, size_t bytes)
{
	while (bs->n && (bs->n == PD_BODIES_MAX || bs->bytes + bytes > PD_BODIES_BYTES_MAX)) {
		size_t oldest = 0;

		for (size_t i = 1; i < bs->n; i++)
			if (bs->v[i]->used_ns < bs->v[oldest]->used_ns)
				oldest = i;
		drop_locked(bs, oldest);
	}
}

struct pd_body *pd_body_get(struct pd_bodies *bs, bool delta, const struct pd_answer *a)
{
	struct pd_body_key key;
	struct pd_body *b, *there;
	uint64_t now = pd_now_ns();
	size_t bytes = 0;

	if ((a->full ? pd_set_count(a->set) : a->res.n) < PD_BODY_RESOURCES_MIN)
		return NULL;
	key = key_of(delta, a);
	pthread_mutex_lock(&bs->lock);
	b = find_locked(bs, key, now);
	bs->hits += b != NULL;
	bs->misses += b == NULL;
	pthread_mutex_unlock(&bs->lock);
	if (b)
		return b;
	each(a, add_bytes, &bytes);
	if (bytes > PD_BODY_BYTES_MAX)
		return NULL;
	b = build(delta, a, key);
	b->used_ns = now;
	pthread_mutex_lock(&bs->lock);
	there = find_locked(bs, key, now);
	if (!there) {
		make_room_locked(bs, b->bytes);
		bs->v[bs->n++] = b;
		bs->bytes += b->bytes;
		pd_ref_take(&b->ref);
	}
	pthread_mutex_unlock(&bs->lock);
	if (!there)
		return b;
	pd_body_unref(b);
	return there;
}
