#include "discovery/access.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

#define uthash_fatal(msg) abort()
#include <uthash.h>

struct account {
	char *key; // "NS/ACCOUNT"
	bool known, allowed;
	uint64_t asked_ns;
	UT_hash_handle hh;
};

struct pd_access {
	void (*ask)(void *arg, const char *ns, const char *account);
	void *arg;
	pthread_mutex_t lock;
	struct account *accounts;
};

struct pd_access *pd_access_new(void (*ask)(void *arg, const char *ns, const char *account), void *arg)
{
	struct pd_access *t = pd_xcalloc(1, sizeof(*t));
	t->ask = ask;
	t->arg = arg;
	pthread_mutex_init(&t->lock, NULL);
	return t;
}

void pd_access_free(struct pd_access **tp)
{
	struct pd_access *t = *tp;
	struct account *a, *next;
	*tp = NULL;
	if (!t)
		return;
	HASH_ITER(hh, t->accounts, a, next)
	{
		HASH_DEL(t->accounts, a);
		free(a->key);
		free(a);
	}
	pthread_mutex_destroy(&t->lock);
	free(t);
}

// NULL when the limit is reached.
static struct account *get_locked(struct pd_access *t, const char *ns, const char *name)
{
	struct account *a;
	char *key = pd_xasprintf("%s/%s", ns, name);
	HASH_FIND_STR(t->accounts, key, a);
	if (a || HASH_COUNT(t->accounts) >= PD_ACCESS_MAX) {
		free(key);
		return a;
	}
	a = pd_xcalloc(1, sizeof(*a));
	a->key = key;
	HASH_ADD_KEYPTR(hh, t->accounts, a->key, strlen(a->key), a);
	return a;
}

bool pd_access_allowed(struct pd_access *t, const char *ns, const char *account)
{
	uint64_t now = pd_now_ns();
	pthread_mutex_lock(&t->lock);
	struct account *a = get_locked(t, ns, account);
	bool allowed = a && a->known && a->allowed;
	bool ask = a && (!a->asked_ns || now - a->asked_ns > PD_ACCESS_FRESH_S * 1000000000ull);
	if (ask)
		a->asked_ns = now;
	pthread_mutex_unlock(&t->lock);
	if (!a)
		pd_warn("sds", "%d service accounts asked for Secrets: %s/%s is refused", PD_ACCESS_MAX, ns, account);
	if (ask)
		t->ask(t->arg, ns, account);
	return allowed;
}

bool pd_access_answer(struct pd_access *t, const char *ns, const char *account, bool allowed)
{
	pthread_mutex_lock(&t->lock);
	struct account *a = get_locked(t, ns, account);
	bool changed = a && (!a->known || a->allowed != allowed);
	if (a) {
		a->known = true;
		a->allowed = allowed;
	}
	pthread_mutex_unlock(&t->lock);
	return changed;
}
