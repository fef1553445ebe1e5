// Interned strings: 64 shards, each a mutex and a chained hash table.
//
// Invariant: an entry is in its table exactly while its count is above zero, and the count falls to zero only under the
// shard's lock. Taking a reference from the table also happens under that lock, so nobody can find an entry that is on its
// way out; pd_intern_ref needs no lock because its caller holds a reference. Dropping a reference that is not the last is
// a compare-and-swap from n > 1; only what looks like the last one goes through the lock, where it is decremented again
// with certainty.
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/str.h"

#define SHARDS 64
#define TABLE_MIN 64 // buckets of a shard's smallest table

struct entry {
	struct entry *next;
	uint64_t hash;
	atomic_uint refs;
	uint32_t len;
	char chars[];
};

struct shard {
	_Alignas(64) pthread_mutex_t lock;
	struct entry **table; // under the lock, as all below
	size_t buckets;       // power of two, 0 before the first string
	size_t count;
};

static struct shard shards[SHARDS] = {[0 ... SHARDS - 1] = {.lock = PTHREAD_MUTEX_INITIALIZER}};

static struct entry *entry_of(const char *interned)
{
	return (struct entry *)(uintptr_t)(interned - offsetof(struct entry, chars));
}

// The top bits choose the shard, the low ones the bucket.
static struct shard *shard_of(uint64_t hash)
{
	return &shards[hash >> 58];
}

static void table_resize(struct shard *s, size_t buckets)
{
	struct entry **t = pd_xcalloc(buckets, sizeof(*t)), *e, *next;
	size_t i;

	for (i = 0; i < s->buckets; i++) {
		for (e = s->table[i]; e; e = next) {
			next = e->next;
			e->next = t[e->hash & (buckets - 1)];
			t[e->hash & (buckets - 1)] = e;
		}
	}
	free(s->table);
	s->table = t;
	s->buckets = buckets;
}

static struct entry *table_find(struct shard *s, uint64_t hash, const char *str, size_t n)
{
	struct entry *e;

	if (!s->buckets)
		return NULL;
	for (e = s->table[hash & (s->buckets - 1)]; e; e = e->next)
		if (e->hash == hash && e->len == n && memcmp(e->chars, str, n) == 0)
			return e;
	return NULL;
}

static struct entry *table_add(struct shard *s, uint64_t hash, const char *str, size_t n)
{
	struct entry *e = pd_xmalloc(sizeof(*e) + n + 1), **at;

	if (s->count >= s->buckets)
		table_resize(s, s->buckets ? s->buckets * 2 : TABLE_MIN);
	e->hash = hash;
	atomic_init(&e->refs, 1);
	e->len = (uint32_t)n;
	if (n)
		memcpy(e->chars, str, n);
	e->chars[n] = 0;
	at = &s->table[hash & (s->buckets - 1)];
	e->next = *at;
	*at = e;
	s->count++;
	return e;
}

static void table_remove(struct shard *s, struct entry *e)
{
	struct entry **at = &s->table[e->hash & (s->buckets - 1)];

	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	s->count--;
	if (s->count == 0) {
		free(s->table);
		s->table = NULL;
		s->buckets = 0;
	} else if (s->buckets > TABLE_MIN && s->count < s->buckets / 8) {
		table_resize(s, s->buckets / 4 > TABLE_MIN ? s->buckets / 4 : TABLE_MIN);
	}
}

const char *pd_intern(const char *s)
{
	return s ? pd_intern_n(s, strlen(s)) : NULL;
}

const char *pd_intern_n(const char *s, size_t n)
{
	struct shard *sh;
	struct entry *e;
	uint64_t hash;

	if (!s)
		return NULL;
	PD_ASSERT(n < UINT32_MAX);
	hash = pd_hash(s, n);
	sh = shard_of(hash);
	pthread_mutex_lock(&sh->lock);
	e = table_find(sh, hash, s, n);
	if (e)
		atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
	else
		e = table_add(sh, hash, s, n);
	pthread_mutex_unlock(&sh->lock);
	return e->chars;
}

const char *pd_intern_ref(const char *interned)
{
	if (interned) {
		unsigned before = atomic_fetch_add_explicit(&entry_of(interned)->refs, 1, memory_order_relaxed);
		PD_ASSERT(before > 0);
	}
	return interned;
}

void pd_unintern(const char *interned)
{
	struct entry *e;
	struct shard *sh;
	unsigned n;

	if (!interned)
		return;
	e = entry_of(interned);
	n = atomic_load_explicit(&e->refs, memory_order_relaxed);
	while (n > 1)
		if (atomic_compare_exchange_weak_explicit(&e->refs, &n, n - 1, memory_order_release,
							  memory_order_relaxed))
			return;
	sh = shard_of(e->hash);
	pthread_mutex_lock(&sh->lock);
	n = atomic_fetch_sub_explicit(&e->refs, 1, memory_order_acq_rel);
	PD_ASSERT(n > 0);
	if (n == 1)
		table_remove(sh, e);
	pthread_mutex_unlock(&sh->lock);
	if (n == 1)
		free(e);
}

size_t pd_intern_count(void)
{
	size_t n = 0, i;

	for (i = 0; i < SHARDS; i++) {
		pthread_mutex_lock(&shards[i].lock);
		n += shards[i].count;
		pthread_mutex_unlock(&shards[i].lock);
	}
	return n;
}

uint64_t pd_intern_hash(const char *interned)
{
	return entry_of(interned)->hash;
}
