#include "config/jwks_source.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "config/jwks_impl.h"
#include "istio/security/request_authentication.pb-c.h"

// A RequestAuthentication that names documents.
struct doc_vec {
	struct jwks_doc **v;
	size_t n, cap;
};
struct jwks_user {
	UT_hash_handle hh; // by id
	char *id;          // its key as text
	struct doc_vec docs;
	// An object that waits for answers: a reference of it and of its key's strings. NULL: none.
	struct pd_object *held;
	struct pd_key key;
	uint64_t held_ns;
};

// ---- what is held ----------------------------------------------------------------------------------------------------------

static bool all_attempted(const struct jwks_user *u)
{
	for (size_t i = 0; i < u->docs.n; i++)
		if (!u->docs.v[i]->attempted)
			return false;
	return true;
}

// Gives up the object, without a word to anybody.
static struct pd_object *unhold(struct pd_jwks_source *s, struct jwks_user *u)
{
	struct pd_object *o = u->held;
	if (o)
		s->n_held--;
	u->held = NULL;
	return o;
}

static void release_key(const struct pd_key *key)
{
	pd_unintern(key->cluster);
	pd_unintern(key->ns);
	pd_unintern(key->name);
}

static void let_go(struct pd_jwks_source *s, struct jwks_user *u)
{
	struct pd_change change = {u->key, unhold(s, u)};
	s->config.sink->changes(s->config.sink, &change, 1, false);
	release_key(&u->key);
}

static void report_synced(struct pd_jwks_source *s)
{
	for (size_t i = 0; !s->n_held && i < s->synced.n; i++) {
		s->config.sink->synced(s->config.sink, s->synced.v[i]);
		free(s->synced.v[i]);
	}
	if (!s->n_held)
		s->synced.n = 0;
}

static bool too_long(const struct jwks_user *u)
{
	return pd_now_ns() - u->held_ns >= (uint64_t)PD_JWKS_HOLD_MS * 1000000;
}

void pd_jwks_attempted(struct pd_jwks_source *s)
{
	struct jwks_user *u, *next;
	HASH_ITER(hh, s->users, u, next)
	if (u->held && (all_attempted(u) || too_long(u)))
		let_go(s, u);
	report_synced(s);
}

static void on_timer(const struct pd_fetch_result *r, void *arg);

// The fetcher as a clock: a request without a URL ends when its time has come.
static void set_timer(struct pd_jwks_source *s)
{
	if (s->n_held && !s->timer)
		s->timer = pd_fetch(s->fetcher, "", PD_JWKS_HOLD_MS, on_timer, s) != 0;
}

static void on_timer(const struct pd_fetch_result *r, void *arg)
{
	struct pd_jwks_source *s = arg;
	if (r->err == PD_E_CLOSED)
		return;
	pthread_mutex_lock(&s->lock);
	s->timer = false;
	pd_jwks_attempted(s);
	set_timer(s);
	pthread_mutex_unlock(&s->lock);
}

// The change has to wait.
static void hold(struct pd_jwks_source *s, struct jwks_user *u, const struct pd_change *change)
{
	u->key = (struct pd_key){change->key.kind, pd_intern(change->key.cluster), pd_intern(change->key.ns),
				 pd_intern(change->key.name)};
	u->held = change->next;
	u->held_ns = pd_now_ns();
	s->n_held++;
	set_timer(s);
}

// ---- who names what --------------------------------------------------------------------------------------------------------

static bool is_fetched(const struct pd_jwks_source *s, const Istio__JWTRule *r)
{
	if (!pd_empty(r->jwks) || (pd_empty(r->jwks_uri) && pd_empty(r->issuer)))
		return false;
	return pd_empty(r->jwks_uri) || s->config.mode != PD_JWKS_ENVOY;
}

static void want_all(struct pd_jwks_source *s, struct jwks_user *u, const Istio__RequestAuthentication *ra)
{
	for (size_t i = 0; i < ra->n_jwt_rules; i++) {
		const Istio__JWTRule *r = ra->jwt_rules[i];
		struct jwks_doc *d = is_fetched(s, r) ? pd_jwks_doc_want(s, r->issuer, r->jwks_uri) : NULL;
		if (d)
			pd_vec_push(&u->docs, d);
	}
}

static struct jwks_user *need_user(struct pd_jwks_source *s, const struct pd_key *k)
{
	char id[PD_OBJECT_KEY_MAX];
	struct jwks_user *u;
	PD_ASSERT(pd_object_key(id, sizeof(id), k->kind, k->cluster, k->ns, k->name) > 0);
	HASH_FIND_STR(s->users, id, u);
	if (!u) {
		u = pd_xcalloc(1, sizeof(*u));
		u->id = pd_xstrdup(id);
		HASH_ADD_KEYPTR(hh, s->users, u->id, strlen(u->id), u);
	}
	return u;
}

static void user_free(struct pd_jwks_source *s, struct jwks_user *u)
{
	HASH_DEL(s->users, u);
	pd_vec_free(&u->docs);
	free(u->id);
	free(u);
}

static void forget_held(struct pd_jwks_source *s, struct jwks_user *u)
{
	struct pd_object *o = unhold(s, u);
	if (!o)
		return;
	pd_obj_unref(o);
	release_key(&u->key);
}

// False: the change is held.
static bool take(struct pd_jwks_source *s, const struct pd_change *change)
{
	struct jwks_user *u = need_user(s, &change->key);
	struct doc_vec before = u->docs;
	u->docs = (struct doc_vec){0};
	forget_held(s, u);
	if (change->next)
		want_all(s, u, (const Istio__RequestAuthentication *)change->next->spec);
	for (size_t i = 0; i < before.n; i++) // only now: they may be the same
		pd_jwks_doc_drop(before.v[i]);
	pd_vec_free(&before);
	if (!u->docs.n) {
		user_free(s, u);
		return true;
	}
	if (all_attempted(u))
		return true;
	hold(s, u, change);
	return false;
}

// ---- the sink --------------------------------------------------------------------------------------------------------------

static void on_changes(struct pd_sink *sink, struct pd_change *v, size_t n, bool more)
{
	struct pd_jwks_source *s = (struct pd_jwks_source *)sink;
	struct pd_change *on = pd_xmalloc((n + 1) * sizeof(*on));
	size_t n_on = 0;
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < n; i++)
		if (v[i].key.kind != PD_KIND_REQUEST_AUTHENTICATION || take(s, &v[i]))
			on[n_on++] = v[i];
	s->config.sink->changes(s->config.sink, on, n_on, more);
	report_synced(s);
	pthread_mutex_unlock(&s->lock);
	free(on);
}

static void on_synced(struct pd_sink *sink, const char *source)
{
	struct pd_jwks_source *s = (struct pd_jwks_source *)sink;
	pthread_mutex_lock(&s->lock);
	pd_vec_push(&s->synced, pd_xstrdup(source));
	report_synced(s);
	pthread_mutex_unlock(&s->lock);
}

// ---- life ------------------------------------------------------------------------------------------------------------------

static struct pd_fetcher *new_fetcher(const struct pd_jwks_source_config *config)
{
	static const char *const never[] = {"169.254.0.0/16", "fe80::/10", "100.100.100.200/32", "fd00:ec2::/32"};
	enum { NEVER = sizeof(never) / sizeof(never[0]) };
	struct pd_cidr *blocked = pd_xcalloc(NEVER + config->n_blocked, sizeof(*blocked));
	for (size_t i = 0; i < NEVER; i++)
		PD_ASSERT(pd_cidr_parse(never[i], &blocked[i]) == PD_OK);
	for (size_t i = 0; i < config->n_blocked; i++)
		blocked[NEVER + i] = config->blocked[i];
	struct pd_fetcher *f = pd_fetcher_new(&(struct pd_fetch_options){.ca_file = config->ca_file,
									 .blocked = blocked,
									 .n_blocked = NEVER + config->n_blocked});
	free(blocked);
	return f;
}

struct pd_jwks_source *pd_jwks_source_new(const struct pd_jwks_source_config *config)
{
	struct pd_jwks_source *s = pd_xcalloc(1, sizeof(*s));
	s->sink = (struct pd_sink){.changes = on_changes, .synced = on_synced};
	s->config = *config;
	if (!s->config.refresh_ms)
		s->config.refresh_ms = PD_JWKS_REFRESH_MS;
	pthread_mutex_init(&s->lock, NULL);
	s->fetcher = new_fetcher(config);
	return s;
}

struct pd_sink *pd_jwks_source_sink(struct pd_jwks_source *s)
{
	return &s->sink;
}

void pd_jwks_source_free(struct pd_jwks_source **sp)
{
	struct pd_jwks_source *s = *sp;
	struct jwks_user *u, *next;
	if (!s)
		return;
	*sp = NULL;
	struct pd_fetcher *fetcher = s->fetcher; // callbacks use it to the last
	pd_fetcher_free(&fetcher);
	HASH_ITER(hh, s->users, u, next)
	{
		forget_held(s, u);
		user_free(s, u);
	}
	pd_jwks_docs_free(s);
	for (size_t i = 0; i < s->synced.n; i++)
		free(s->synced.v[i]);
	pd_vec_free(&s->synced);
	pthread_mutex_destroy(&s->lock);
	free(s);
}
