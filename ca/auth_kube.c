#include "ca/auth_kube.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "ca/auth_cache.h"
#include "ca/jwt.h"

#define ACCOUNTS_GROUP "system:serviceaccounts"
#define TEXT_SHOWN 200 // characters of a reason that is not ours

struct strings {
	PD_VEC(char *) v;
};

struct kube {
	struct pd_token_reviewer reviewer;
	struct pd_trust *trust;
	struct strings audiences;
	struct strings own; // names of our own cluster
	uint64_t cache_ns;
	struct pd_auth_cache *cache;
};

// One question.
struct question {
	struct kube *k;
	const char *token, *cluster; // borrowed from the peer
	uint8_t key[PD_AUTH_KEY_BYTES];
	pd_auth_done done;
	void *arg;
};

static void strings_add(struct strings *to, const char *const *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		pd_vec_push(&to->v, pd_xstrdup(v[i]));
}

static void strings_free(struct strings *s)
{
	for (size_t i = 0; i < s->v.n; i++)
		free(s->v.v[i]);
	pd_vec_free(&s->v);
}

static bool has(char *const *v, size_t n, const char *s)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(v[i], s) == 0)
			return true;
	return false;
}

static void refuse(enum pd_auth_fault fault, const char *label, const char *why, pd_auth_done done, void *arg)
{
	pd_auth_refuse(PD_AUTH_KUBE_NAME, fault, label, why, done, arg);
}

// ---- the answer --------------------------------------------------------------------------------------------------------

// The token's own word on when it ends, so that nothing is remembered beyond. The API server has verified it; a token
// without such a word (they exist) has no end.
static int64_t expiry_of(const char *token)
{
	struct pd_buf why = {0};
	struct pd_jwt t;
	int64_t s = 0;

	if (pd_jwt_parse(token, strlen(token), &t, &why) == PD_JWT_OK) {
		s = pd_jwt_expiry(&t);
		pd_jwt_free(&t);
	}
	pd_buf_free(&why);
	return s;
}

static void remember(const struct question *q, const struct pd_caller *caller)
{
	int64_t exp_s = expiry_of(q->token), left_ns;
	uint64_t now = pd_now_ns(), keep_ns = q->k->cache_ns;

	if (exp_s) {
		left_ns = exp_s > INT64_MAX / 1000000000 ? INT64_MAX : exp_s * 1000000000 - pd_wall_ns();
		if (left_ns <= 0)
			return;
		if ((uint64_t)left_ns < keep_ns)
			keep_ns = (uint64_t)left_ns;
	}
	pd_auth_cache_put(q->k->cache, q->key, caller, now, now + keep_ns);
}

static char *copy_of(const char *s)
{
	return s && *s ? pd_xstrdup(s) : NULL;
}

// NULL: *label and *why say what is wrong.
static struct pd_caller *caller_of(const struct question *q, const struct pd_token_review *r, const char **label,
				   const char **why)
{
	const struct kube *k = q->k;
	char domain[PD_TRUST_DOMAIN_MAX + 1];
	struct pd_caller *c;
	bool group = false, audience = false;

	for (size_t i = 0; i < r->n_groups; i++)
		group = group || strcmp(r->groups[i], ACCOUNTS_GROUP) == 0;
	for (size_t i = 0; i < r->n_audiences; i++)
		audience = audience || has(k->audiences.v.v, k->audiences.v.n, r->audiences[i]);
	*label = !r->authenticated ? "not_authenticated" : !group ? "not_a_service_account" : "audience";
	*why = !r->authenticated ? "the API server does not accept the token"
	       : !group          ? "the token is not of a service account"
				 : "the API server does not say that the token is for us";
	if (!r->authenticated || !group || !audience)
		return NULL;
	pd_trust_domain(k->trust, domain);
	c = pd_caller_of_subject(PD_AUTH_KUBE_NAME, domain, pd_or(r->username, ""));
	if (!c) {
		*label = "subject";
		*why = "the API server's user name is not that of a service account";
		return NULL;
	}
	c->cluster = copy_of(q->cluster ? q->cluster : k->own.v.v[0]);
	c->pod_name = copy_of(r->pod_name);
	c->pod_uid = copy_of(r->pod_uid);
	c->node_name = copy_of(r->node_name);
	return c;
}

static void reviewed(const struct pd_token_review *r, void *arg)
{
	struct question *q = arg;
	struct pd_caller *caller = NULL;
	struct pd_buf text = {0};
	const char *label, *why;

	if (r->err == PD_E_NOTFOUND) {
		pd_buf_printf(&text, "the cluster \"%.*s\" is not known", TEXT_SHOWN, pd_or(q->cluster, ""));
		refuse(PD_AUTH_REFUSED, "cluster", text.p, q->done, q->arg);
	} else if (r->err) {
		pd_buf_printf(&text, "the API server could not be asked: %.*s", TEXT_SHOWN,
			      pd_or(r->text, pd_strerror(r->err)));
		refuse(PD_AUTH_UNKNOWN, "unavailable", text.p, q->done, q->arg);
	} else if (!(caller = caller_of(q, r, &label, &why))) {
		pd_buf_adds(&text, why);
		if (!pd_empty(r->text))
			pd_buf_printf(&text, ": %.*s", TEXT_SHOWN, r->text);
		refuse(PD_AUTH_REFUSED, label, text.p, q->done, q->arg);
	} else {
		remember(q, caller);
		q->done(caller, PD_AUTH_NONE, NULL, q->arg);
	}
	pd_buf_free(&text);
	free(q);
}

// ---- the question ------------------------------------------------------------------------------------------------------

// Without a copy of the token anywhere.
static void key_of(const char *cluster, const char *token, uint8_t out[PD_AUTH_KEY_BYTES])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	cluster = pd_or(cluster, "");
	PD_ASSERT(ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) &&
		  EVP_DigestUpdate(ctx, cluster, strlen(cluster) + 1) && // the NUL is in neither
		  EVP_DigestUpdate(ctx, token, strlen(token)) && EVP_DigestFinal_ex(ctx, out, NULL));
	EVP_MD_CTX_free(ctx);
}

// NULL: our own.
static const char *cluster_of(const struct kube *k, const struct pd_rpc_peer *peer)
{
	const char *id = pd_rpc_header(peer, "clusterid");

	return pd_empty(id) || has(k->own.v.v, k->own.v.n, id) ? NULL : id;
}

static void authenticate(void *self, const struct pd_rpc_peer *peer, pd_auth_done done, void *arg)
{
	const char *token = pd_auth_bearer(peer);
	struct kube *k = self;
	struct pd_caller *caller;
	struct question *q;

	if (!token) {
		refuse(PD_AUTH_NONE, "none", "no bearer token", done, arg);
		return;
	}
	if (strnlen(token, PD_AUTH_KUBE_TOKEN_MAX + 1) > PD_AUTH_KUBE_TOKEN_MAX) {
		refuse(PD_AUTH_REFUSED, "too_large", "the token is too large", done, arg);
		return;
	}
	q = pd_xcalloc(1, sizeof(*q));
	*q = (struct question){.k = k, .token = token, .cluster = cluster_of(k, peer), .done = done, .arg = arg};
	key_of(q->cluster, token, q->key);
	caller = pd_auth_cache_get(k->cache, q->key, pd_now_ns());
	if (caller) {
		free(q);
		done(caller, PD_AUTH_NONE, NULL, arg);
		return;
	}
	k->reviewer.review(k->reviewer.self, q->cluster, token, (const char *const *)k->audiences.v.v, k->audiences.v.n,
			   reviewed, q);
}

static void kube_free(void *self)
{
	struct kube *k = self;

	strings_free(&k->audiences);
	strings_free(&k->own);
	pd_auth_cache_free(&k->cache);
	free(k);
}

struct pd_authenticator pd_auth_kube(const struct pd_auth_kube_config *c)
{
	struct kube *k = pd_xcalloc(1, sizeof(*k));

	k->reviewer = c->reviewer;
	k->trust = c->trust;
	k->cache_ns = c->cache_ms < 0 ? 0 : (uint64_t)(c->cache_ms ? c->cache_ms : PD_AUTH_KUBE_CACHE_MS) * 1000000;
	k->cache = pd_auth_cache_new(PD_AUTH_KUBE_CACHE_ENTRIES);
	strings_add(&k->audiences, c->audiences, c->n_audiences);
	strings_add(&k->own, &c->cluster, 1);
	strings_add(&k->own, c->cluster_aliases, c->n_cluster_aliases);
	return (struct pd_authenticator){PD_AUTH_KUBE_NAME, authenticate, kube_free, k};
}
