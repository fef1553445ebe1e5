// Provenance: which objects a result came from. Long lists (a listener that stands for 1,000 services) come out the same for
// every scope, so they are kept once.
#include <pthread.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/str.h"
#include "discovery/tx.h"

#define uthash_fatal(msg) abort()
#include <uthash.h>

enum { LONG = 16 }; // keys from which on a list is looked up before it is made

struct shared {
	uint64_t hash;
	struct pd_provenance *p; // weak: gone lists take themselves out (provenance_release)
	UT_hash_handle hh;
};
static struct shared *table;
static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;

static int cmp_key(const void *x, const void *y)
{
	const struct pd_key *a = x, *b = y;
	int c = (a->kind > b->kind) - (a->kind < b->kind);
	if (!c)
		c = strcmp(a->ns, b->ns);
	if (!c)
		c = strcmp(a->name, b->name);
	return c ? c : strcmp(a->cluster, b->cluster);
}

static void provenance_release(struct pd_obj *o)
{
	struct pd_provenance *p = (struct pd_provenance *)o;
	if (p->hash) {
		struct shared *s;
		pthread_mutex_lock(&table_lock);
		HASH_FIND(hh, table, &p->hash, sizeof(p->hash), s);
		if (s && s->p == p) {
			HASH_DEL(table, s);
			free(s);
		}
		pthread_mutex_unlock(&table_lock);
	}
	for (size_t i = 0; i < p->n; i++) {
		pd_unintern(p->keys[i].cluster);
		pd_unintern(p->keys[i].ns);
		pd_unintern(p->keys[i].name);
	}
	free(p);
}

static bool same_keys(const struct pd_provenance *p, const struct pd_key *v, size_t n)
{
	if (p->n != n)
		return false;
	for (size_t i = 0; i < n; i++) // interned
		if (p->keys[i].kind != v[i].kind || p->keys[i].name != v[i].name || p->keys[i].ns != v[i].ns ||
		    p->keys[i].cluster != v[i].cluster)
			return false;
	return true;
}

bool pd_provenance_equal(const struct pd_provenance *a, const struct pd_provenance *b)
{
	return a == b || same_keys(a, b->keys, b->n);
}

// A reference unless the count has fallen to zero already, when its release is waiting for the table's lock.
static bool try_ref(struct pd_provenance *p)
{
	unsigned n = atomic_load(&p->obj.ref.n);
	while (n)
		if (atomic_compare_exchange_weak(&p->obj.ref.n, &n, n + 1))
			return true;
	return false;
}

static struct pd_provenance *find_locked(uint64_t hash, const struct pd_key *v, size_t n)
{
	struct shared *s;
	HASH_FIND(hh, table, &hash, sizeof(hash), s);
	return s && same_keys(s->p, v, n) && try_ref(s->p) ? s->p : NULL;
}

static void publish_locked(struct pd_provenance *p)
{
	struct shared *s;
	HASH_FIND(hh, table, &p->hash, sizeof(p->hash), s);
	if (!s) {
		s = pd_xcalloc(1, sizeof(*s));
		s->hash = p->hash;
		HASH_ADD(hh, table, hash, sizeof(s->hash), s);
	}
	s->p = p;
}

static struct pd_provenance *make(const struct pd_key *v, size_t n, uint64_t hash)
{
	struct pd_provenance *p = pd_xcalloc(1, sizeof(*p) + n * sizeof(p->keys[0]));
	pd_obj_init(&p->obj, provenance_release);
	p->hash = hash;
	p->n = n;
	for (size_t i = 0; i < n; i++)
		p->keys[i] = (struct pd_key){v[i].kind, pd_intern_ref(v[i].cluster), pd_intern_ref(v[i].ns),
					     pd_intern_ref(v[i].name)};
	return p;
}

struct pd_provenance *tx_provenance(struct pd_tx *tx)
{
	struct pd_key *v = tx->used.v;
	size_t n = 0;
	uint64_t hash = 1;
	pd_sort(v, tx->used.n, sizeof(*v), cmp_key);
	for (size_t i = 0; i < tx->used.n; i++)
		if (!n || cmp_key(&v[n - 1], &v[i]) != 0)
			v[n++] = v[i];
	tx->used.n = n;
	if (n < LONG)
		return make(v, n, 0);
	for (size_t i = 0; i < n; i++)
		hash = pd_hash_mix(pd_hash_mix(hash, v[i].kind ^ pd_intern_hash(v[i].ns)), pd_intern_hash(v[i].name));
	pthread_mutex_lock(&table_lock);
	struct pd_provenance *p = find_locked(hash, v, n);
	if (!p) {
		p = make(v, n, hash);
		publish_locked(p);
	}
	pthread_mutex_unlock(&table_lock);
	return p;
}
