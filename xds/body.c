#include "xds/body.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/ref.h"
#include "base/str.h"
#include "xds/pack.h"
#include "xds/slice.h"

// A place in a source: part `part` of resource `i`.
struct body_at {
	size_t i;
	uint32_t part;
};

struct body {
	pd_ref ref;
	struct body_key {
		uint64_t a, b;
	} key;
	struct body_at end; // where the next body of the source begins
	size_t bytes, n;
	uint64_t used_ns;
	grpc_slice v[];
};

struct pd_bodies {
	pthread_mutex_t lock;
	struct body *v[PD_BODIES_MAX];
	size_t n, bytes;
	uint64_t hits, misses;
};

struct pd_bodies *pd_bodies_new(void)
{
	struct pd_bodies *b = pd_xcalloc(1, sizeof(*b));

	pthread_mutex_init(&b->lock, NULL);
	return b;
}

static void body_unref(struct body *b)
{
	if (!pd_ref_drop(&b->ref))
		return;
	for (size_t i = 0; i < b->n; i++)
		grpc_slice_unref(b->v[i]);
	free(b);
}

void pd_bodies_free(struct pd_bodies **bp)
{
	struct pd_bodies *b = *bp;

	if (!b)
		return;
	for (size_t i = 0; i < b->n; i++)
		body_unref(b->v[i]);
	pthread_mutex_destroy(&b->lock);
	free(b);
	*bp = NULL;
}

static void drop_locked(struct pd_bodies *b, size_t i)
{
	struct body *gone = b->v[i];

	b->v[i] = b->v[--b->n];
	b->bytes -= gone->bytes;
	body_unref(gone);
}

size_t pd_bodies_expire(struct pd_bodies *b, uint64_t now_ns)
{
	size_t before, freed;

	pthread_mutex_lock(&b->lock);
	before = b->bytes;
	for (size_t i = b->n; i-- > 0;)
		if (now_ns > b->v[i]->used_ns + PD_BODY_IDLE_NS)
			drop_locked(b, i);
	freed = before - b->bytes;
	pthread_mutex_unlock(&b->lock);
	return freed;
}

void pd_bodies_stats(struct pd_bodies *b, struct pd_bodies_stats *out)
{
	pthread_mutex_lock(&b->lock);
	*out = (struct pd_bodies_stats){.hits = b->hits, .misses = b->misses, .n = b->n, .bytes = b->bytes};
	pthread_mutex_unlock(&b->lock);
}

// ---- what is in a body -------------------------------------------------------------------------------------------------

// Content decides: equal names and versions in the same order. 128 bits, since nobody compares the bytes.
static struct body_key key_of(const struct pd_body_source *src)
{
	struct body_key k = {pd_hash_mix((uint64_t)src->type << 1 | src->delta, src->version), src->n};

	for (size_t i = 0; !src->version && i < src->n; i++) {
		k.a = pd_hash_mix(k.a, src->v[i]->version);
		k.b = pd_hash_mix(k.b, pd_intern_hash(src->v[i]->name));
	}
	return k;
}

// A long rope is as many pieces as it has parts. Counts no further than needed.
static bool many_pieces(const struct pd_body_source *src)
{
	size_t pieces = src->n;

	for (size_t i = 0; i < src->n && pieces < PD_BODY_PIECES_MIN; i++)
		pieces += src->v[i]->n_parts - 1;
	return pieces >= PD_BODY_PIECES_MIN;
}

// The pieces from `at` on that fit in a body, or the first of them alone if it does not.
static struct body *build(const struct pd_body_source *src, struct body_key key, struct body_at at)
{
	struct pd_pack pack = {.copy_max = PD_BODY_COPY_MAX};
	struct body *b;

	while (at.i < src->n) {
		const struct pd_resource *r = src->v[at.i];

		if (pack.bytes && pack.bytes + r->parts[at.part]->len > PD_BODY_BYTES_MAX)
			break;
		pd_pack_part(&pack, r, at.part, src->delta);
		if (++at.part == r->n_parts)
			at = (struct body_at){at.i + 1, 0};
	}
	pd_pack_end(&pack);
	b = pd_xmalloc(sizeof(*b) + pack.slices.n * sizeof(b->v[0]));
	pd_ref_init(&b->ref);
	b->key = key;
	b->end = at;
	b->bytes = pack.bytes;
	b->n = pack.slices.n;
	for (size_t i = 0; i < b->n; i++)
		b->v[i] = grpc_slice_ref(pack.slices.v[i]);
	pd_pack_free(&pack);
	return b;
}

// ---- the cache ---------------------------------------------------------------------------------------------------------

static struct body *find_locked(struct pd_bodies *bs, struct body_key key, uint64_t now)
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

// One reference.
static struct body *get(struct pd_bodies *bs, const struct pd_body_source *src, struct body_key key, struct body_at at)
{
	struct body *b, *there;
	uint64_t now = pd_now_ns();

	pthread_mutex_lock(&bs->lock);
	b = find_locked(bs, key, now);
	bs->hits += b != NULL;
	bs->misses += b == NULL;
	pthread_mutex_unlock(&bs->lock);
	if (b)
		return b;
	b = build(src, key, at);
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
	body_unref(b);
	return there;
}

void pd_bodies_pack(struct pd_bodies *bs, const struct pd_body_source *src, struct pd_pack *pack)
{
	struct body_at at = {0};
	struct body_key key, whole;

	if (!many_pieces(src)) {
		for (size_t i = 0; i < src->n; i++)
			pd_pack_resource(pack, src->v[i], src->delta);
		return;
	}
	// The same content is cut at the same places, so the number of the body is enough to tell them apart.
	whole = key_of(src);
	for (uint64_t k = 0; at.i < src->n; k++) {
		struct body *b;

		key = (struct body_key){pd_hash_mix(whole.a, k), whole.b};
		b = get(bs, src, key, at);
		for (size_t i = 0; i < b->n; i++)
			pd_pack_slice(pack, b->v[i]);
		at = b->end;
		body_unref(b);
	}
}
