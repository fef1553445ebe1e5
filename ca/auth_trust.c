#include "ca/auth_trust.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/vec.h"

struct pd_trust {
	pthread_rwlock_t lock;
	PD_VEC(char *) names; // the domain first
};

static void clear(struct pd_trust *t)
{
	for (size_t i = 0; i < t->names.n; i++)
		free(t->names.v[i]);
	t->names.n = 0;
}

struct pd_trust *pd_trust_new(const char *domain, const char *const *aliases, size_t n)
{
	struct pd_trust *t = pd_xcalloc(1, sizeof(*t));

	pthread_rwlock_init(&t->lock, NULL);
	pd_trust_set(t, domain, aliases, n);
	return t;
}

void pd_trust_free(struct pd_trust **tp)
{
	struct pd_trust *t = *tp;

	if (!t)
		return;
	*tp = NULL;
	clear(t);
	pd_vec_free(&t->names);
	pthread_rwlock_destroy(&t->lock);
	free(t);
}

void pd_trust_set(struct pd_trust *t, const char *domain, const char *const *aliases, size_t n)
{
	if (n > PD_TRUST_ALIASES_MAX) {
		pd_warn("ca", "%zu aliases of the trust domain; only %d are used", n, PD_TRUST_ALIASES_MAX);
		n = PD_TRUST_ALIASES_MAX;
	}
	pthread_rwlock_wrlock(&t->lock);
	clear(t);
	pd_vec_push(&t->names, pd_xstrdup(domain));
	for (size_t i = 0; i < n; i++)
		pd_vec_push(&t->names, pd_xstrdup(aliases[i]));
	pthread_rwlock_unlock(&t->lock);
}

void pd_trust_domain(struct pd_trust *t, char out[PD_TRUST_DOMAIN_MAX + 1])
{
	pthread_rwlock_rdlock(&t->lock);
	snprintf(out, PD_TRUST_DOMAIN_MAX + 1, "%s", t->names.v[0]);
	pthread_rwlock_unlock(&t->lock);
}

bool pd_trust_accepts(struct pd_trust *t, const char *domain)
{
	bool found = false;

	pthread_rwlock_rdlock(&t->lock);
	for (size_t i = 0; i < t->names.n && !found; i++)
		found = strcmp(t->names.v[i], domain) == 0;
	pthread_rwlock_unlock(&t->lock);
	return found;
}
