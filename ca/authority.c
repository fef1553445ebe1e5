#include "ca/authority.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "ca/holders.h"

struct pd_authority {
	struct pd_ttl_rules rules;
	atomic_llong longest_ttl_s;

	pthread_mutex_t mu; // guards, down to the next comment:
	struct pd_ca_state *now;
	struct pd_certs ca_roots, anchors;
	struct listener {
		void (*fn)(void *);
		void *arg;
	} listeners[PD_AUTHORITY_LISTENERS];
	size_t n_listeners;

	pthread_mutex_t holders_mu; // guards
	struct pd_holders holders;
};

// ---- trust -----------------------------------------------------------------------------------------------------------------

void pd_ca_state_unref(struct pd_ca_state **tp)
{
	struct pd_ca_state *t = *tp;

	*tp = NULL;
	if (!t || !pd_ref_drop(&t->ref))
		return;
	pd_signer_unref(&t->signer);
	pd_certs_free(&t->roots);
	for (size_t i = 0; i < t->n_chain; i++)
		free(t->chain[i]);
	free(t->chain);
	free(t->roots_pem);
	free(t);
}

static void add_all(struct pd_certs *to, const struct pd_certs *from)
{
	for (size_t i = 0; i < from->v.n; i++)
		if (!pd_certs_contain(to, from->v.v[i]))
			pd_certs_add(to, from->v.v[i]);
}

static struct pd_ca_state *make_state(struct pd_signer *signer, const struct pd_certs *roots,
				      const struct pd_certs *anchors)
{
	struct pd_ca_state *t = pd_xcalloc(1, sizeof(*t));
	struct pd_buf pem = {0};

	pd_ref_init(&t->ref);
	add_all(&t->roots, roots);
	add_all(&t->roots, anchors);
	pd_certs_to_pem(&t->roots, &pem);
	t->roots_pem = pem.p ? pem.p : pd_xstrdup("");
	if (!signer)
		return t;
	t->signer = pd_signer_ref(signer);
	t->chain = pd_xcalloc(signer->chain.v.n + 1, sizeof(*t->chain));
	for (; t->n_chain < signer->chain.v.n; t->n_chain++) {
		struct pd_buf one = {0};
		pd_cert_to_pem(signer->chain.v.v[t->n_chain], &one);
		t->chain[t->n_chain] = one.p;
	}
	return t;
}

// With mu held. Returns what is to be released without it.
static struct pd_ca_state *swap_locked(struct pd_authority *a, struct pd_signer *signer)
{
	struct pd_ca_state *old = a->now;

	a->now = make_state(signer, &a->ca_roots, &a->anchors);
	a->now->version = old->version + 1;
	return old;
}

static void tell(struct pd_authority *a)
{
	struct listener v[PD_AUTHORITY_LISTENERS];
	size_t n;

	pthread_mutex_lock(&a->mu);
	n = a->n_listeners;
	memcpy(v, a->listeners, sizeof(v));
	pthread_mutex_unlock(&a->mu);
	for (size_t i = 0; i < n; i++)
		v[i].fn(v[i].arg);
}

// ---- authority -------------------------------------------------------------------------------------------------------------

struct pd_authority *pd_authority_new(const struct pd_ttl_rules *rules)
{
	struct pd_authority *a = pd_xcalloc(1, sizeof(*a));

	a->rules = *rules;
	a->now = make_state(NULL, &a->ca_roots, &a->anchors);
	pthread_mutex_init(&a->mu, NULL);
	pthread_mutex_init(&a->holders_mu, NULL);
	return a;
}

void pd_authority_free(struct pd_authority **ap)
{
	struct pd_authority *a = *ap;

	if (!a)
		return;
	*ap = NULL;
	pd_ca_state_unref(&a->now);
	pd_certs_free(&a->ca_roots);
	pd_certs_free(&a->anchors);
	pd_holders_free(&a->holders);
	pthread_mutex_destroy(&a->mu);
	pthread_mutex_destroy(&a->holders_mu);
	free(a);
}

void pd_authority_publish(struct pd_authority *a, struct pd_signer *signer, const struct pd_certs *roots)
{
	struct pd_ca_state *old;

	pthread_mutex_lock(&a->mu);
	pd_certs_free(&a->ca_roots);
	add_all(&a->ca_roots, roots);
	old = swap_locked(a, signer);
	pthread_mutex_unlock(&a->mu);
	pd_ca_state_unref(&old);
	tell(a);
}

void pd_authority_set_anchors(struct pd_authority *a, const struct pd_certs *anchors)
{
	struct pd_ca_state *old;

	pthread_mutex_lock(&a->mu);
	pd_certs_free(&a->anchors);
	add_all(&a->anchors, anchors);
	old = swap_locked(a, a->now->signer);
	pthread_mutex_unlock(&a->mu);
	pd_ca_state_unref(&old);
	tell(a);
}

struct pd_ca_state *pd_authority_get(struct pd_authority *a)
{
	struct pd_ca_state *t;

	pthread_mutex_lock(&a->mu);
	t = a->now;
	pd_ref_take(&t->ref);
	pthread_mutex_unlock(&a->mu);
	return t;
}

void pd_authority_listen(struct pd_authority *a, void (*fn)(void *), void *arg)
{
	pthread_mutex_lock(&a->mu);
	PD_ASSERT(a->n_listeners < PD_AUTHORITY_LISTENERS);
	a->listeners[a->n_listeners++] = (struct listener){fn, arg};
	pthread_mutex_unlock(&a->mu);
}

// ---- holders ---------------------------------------------------------------------------------------------------------------

static uint64_t signer_id(const struct pd_signer *s)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned n;

	PD_ASSERT(X509_digest(s->cert, EVP_sha256(), digest, &n) == 1);
	return pd_hash(digest, n);
}

static void note_holder(struct pd_authority *a, const struct pd_signing *i, const struct pd_signer *s, int64_t end_s,
			int64_t now_s)
{
	uint64_t key = pd_hash_str(i->holder);

	for (size_t k = 0; k < i->n_sans; k++)
		key = pd_hash_mix(key, pd_hash_str(i->sans[k]));
	pthread_mutex_lock(&a->holders_mu);
	pd_holders_note(&a->holders, key, signer_id(s), end_s, now_s, PD_HOLDERS_MAX);
	pthread_mutex_unlock(&a->holders_mu);
}

void pd_authority_renewal(struct pd_authority *a, int64_t now_s, struct pd_renewal *out)
{
	struct pd_ca_state *t = pd_authority_get(a);

	*out = (struct pd_renewal){.percent = 100};
	if (t->signer) {
		pthread_mutex_lock(&a->holders_mu);
		pd_holders_count(&a->holders, signer_id(t->signer), now_s, &out->holders, &out->renewed);
		out->estimate = a->holders.overflow;
		pthread_mutex_unlock(&a->holders_mu);
		if (out->holders)
			out->percent = 100.0 * (double)out->renewed / (double)out->holders;
	}
	pd_ca_state_unref(&t);
}

// ---- issuing ---------------------------------------------------------------------------------------------------------------

const char *pd_signing_fault_name(enum pd_signing_fault f)
{
	static const char *const names[] = {
		[PD_SIGNING_OK] = "",
		[PD_SIGNING_CSR] = "CSR_ERROR",
		[PD_SIGNING_TTL] = "TTL_ERROR",
		[PD_SIGNING_NOT_READY] = "CA_NOT_READY",
		[PD_SIGNING_FAILED] = "CERT_GEN_ERROR",
	};

	return names[f];
}

static void note_ttl(struct pd_authority *a, int64_t ttl_s)
{
	long long longest = atomic_load(&a->longest_ttl_s);

	while (ttl_s > longest && !atomic_compare_exchange_weak(&a->longest_ttl_s, &longest, ttl_s))
		;
}

int64_t pd_authority_longest_ttl(struct pd_authority *a)
{
	return atomic_load(&a->longest_ttl_s);
}

static enum pd_signing_fault sign(struct pd_authority *a, const struct pd_ca_state *t, const struct pd_signing *i,
				  struct pd_buf *leaf_pem, struct pd_buf *why)
{
	struct pd_leaf leaf = {.sans = i->sans, .n_sans = i->n_sans, .now_s = pd_wall_ns() / 1000000000};
	int64_t end_s;
	int rc;

	if (!t->signer) {
		pd_buf_adds(why, "there is no signing key");
		return PD_SIGNING_NOT_READY;
	}
	if (*pd_or(i->signer, "")) {
		pd_buf_printf(why, "there is no signer \"%.100s\"", i->signer);
		return PD_SIGNING_FAILED;
	}
	if (pd_ttl_pick(&a->rules, i->ttl_s, t->signer->chain_not_after - leaf.now_s, &leaf.ttl_s, why) != PD_OK)
		return PD_SIGNING_TTL;
	leaf.common_name = i->csr->wants_common_name;
	rc = pd_signer_issue(t->signer, i->csr, &leaf, leaf_pem, &end_s, why);
	if (rc != PD_OK)
		return PD_SIGNING_FAILED;
	note_ttl(a, end_s - leaf.now_s);
	note_holder(a, i, t->signer, end_s, leaf.now_s);
	return PD_SIGNING_OK;
}

static void issue(void *self, const struct pd_signing *i, pd_signing_done done, void *arg)
{
	struct pd_authority *a = self;
	struct pd_ca_state *t = pd_authority_get(a);
	struct pd_buf leaf = {0}, why = {0};
	enum pd_signing_fault fault = sign(a, t, i, &leaf, &why);

	if (fault) {
		done(fault, NULL, 0, why.p, arg);
	} else {
		const char **chain = pd_xcalloc(t->n_chain + 2, sizeof(*chain));
		size_t n = 0;
		chain[n++] = leaf.p;
		for (size_t k = 0; k < t->n_chain; k++)
			chain[n++] = t->chain[k];
		chain[n++] = t->roots_pem;
		done(PD_SIGNING_OK, chain, n, NULL, arg);
		free(chain);
	}
	pd_buf_free(&leaf);
	pd_buf_free(&why);
	pd_ca_state_unref(&t);
}

void pd_authority_issuer(struct pd_authority *a, struct pd_issuer *out)
{
	*out = (struct pd_issuer){"authority", issue, a};
}
