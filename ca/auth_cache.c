#include "ca/auth_cache.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define WAYS 8 // entries of a corner

struct entry {
	uint8_t key[PD_AUTH_KEY_BYTES];
	uint64_t until_ns; // 0 = free
	struct pd_caller *caller;
};

struct pd_auth_cache {
	pthread_mutex_t lock;
	size_t corners;
	struct entry *v; // corners * WAYS
};

struct pd_auth_cache *pd_auth_cache_new(size_t entries)
{
	struct pd_auth_cache *c = pd_xcalloc(1, sizeof(*c));

	pthread_mutex_init(&c->lock, NULL);
	c->corners = (entries + WAYS - 1) / WAYS;
	c->v = pd_xcalloc(c->corners * WAYS, sizeof(*c->v));
	return c;
}

static void drop(struct entry *e)
{
	pd_caller_free(&e->caller);
	*e = (struct entry){0};
}

void pd_auth_cache_free(struct pd_auth_cache **cp)
{
	struct pd_auth_cache *c = *cp;

	if (!c)
		return;
	*cp = NULL;
	for (size_t i = 0; i < c->corners * WAYS; i++)
		drop(&c->v[i]);
	free(c->v);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

// The key is a hash: any of its bits will do.
static struct entry *corner(struct pd_auth_cache *c, const uint8_t *key)
{
	uint64_t h;

	memcpy(&h, key, sizeof(h));
	return &c->v[h % c->corners * WAYS];
}

struct pd_caller *pd_auth_cache_get(struct pd_auth_cache *c, const uint8_t key[PD_AUTH_KEY_BYTES], uint64_t now_ns)
{
	struct entry *e = corner(c, key);
	struct pd_caller *found = NULL;

	pthread_mutex_lock(&c->lock);
	for (int i = 0; i < WAYS && !found; i++) {
		if (e[i].until_ns && e[i].until_ns <= now_ns)
			drop(&e[i]);
		else if (e[i].until_ns && memcmp(e[i].key, key, PD_AUTH_KEY_BYTES) == 0)
			found = pd_caller_copy(e[i].caller);
	}
	pthread_mutex_unlock(&c->lock);
	return found;
}

void pd_auth_cache_put(struct pd_auth_cache *c, const uint8_t key[PD_AUTH_KEY_BYTES], const struct pd_caller *caller,
		       uint64_t now_ns, uint64_t until_ns)
{
	struct entry *e = corner(c, key), *victim = e;

	if (until_ns <= now_ns)
		return;
	pthread_mutex_lock(&c->lock);
	for (int i = 0; i < WAYS; i++) {
		if (e[i].until_ns && memcmp(e[i].key, key, PD_AUTH_KEY_BYTES) == 0) {
			victim = &e[i];
			break;
		}
		if (e[i].until_ns < victim->until_ns)
			victim = &e[i];
	}
	drop(victim);
	memcpy(victim->key, key, PD_AUTH_KEY_BYTES);
	victim->until_ns = until_ns;
	victim->caller = pd_caller_copy(caller);
	pthread_mutex_unlock(&c->lock);
}
