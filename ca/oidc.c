#include "ca/oidc.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "api/json.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "ca/jwt.h"

#define CONFIGURATION "/.well-known/openid-configuration"

// A caller whose token could not be judged with the keys at hand.
struct waiter {
	const char *token; // borrowed from the peer
	pd_auth_done done;
	void *arg;
};
struct waiters {
	PD_VEC(struct waiter) v;
};

struct oidc;
// A load of the keys: of the configuration first where the rule does not say where they are.
struct load {
	struct oidc *o;
	bool in_turn;      // begins again by itself; the other one is out of turn
	bool under_way;    // not merely due some time; guarded by the lock
	uint64_t request;  // of the fetcher; likewise
	bool wants_config; // the request is for the configuration; of the callback once it has begun
};

struct oidc {
	struct pd_oidc_rule rule;
	struct pd_fetcher *fetcher;
	struct pd_trust *trust;
	uint64_t refresh_ms, reload_ms;

	pthread_mutex_t lock;             // guards what follows; nobody but the fetcher is called with it
	struct pd_jwks *keys;             // NULL: none have been loaded
	struct load in_turn, out_of_turn; // in part, see there
	uint64_t reloaded_ns;             // when the last load out of turn began; 0 = never
	uint64_t retry_ms;
	bool stopping;
	struct waiters waiting;
};

// ---- judging a token ---------------------------------------------------------------------------------------------------

static void refuse(const struct waiter *w, enum pd_auth_fault fault, const char *label, const char *why)
{
	pd_auth_refuse(PD_OIDC_NAME, fault, label, why, w->done, w->arg);
}

static void accept(struct oidc *o, const struct pd_jwt *t, const struct waiter *w)
{
	char domain[PD_TRUST_DOMAIN_MAX + 1];
	struct pd_caller *caller;

	pd_trust_domain(o->trust, domain);
	caller = pd_caller_of_subject(PD_OIDC_NAME, domain, pd_or(pd_json_get_string(t->claims, "sub"), ""));
	if (caller)
		w->done(caller, PD_AUTH_NONE, NULL, w->arg);
	else
		refuse(w, PD_AUTH_REFUSED, "subject", "the token's subject is not a service account");
}

static enum pd_jwt_fault check_claims(const struct oidc *o, const struct pd_jwt *t, struct pd_buf *why)
{
	const struct pd_jwt_rules rules = {
		.issuer = o->rule.issuer,
		.audiences = (const char *const *)o->rule.audiences.v,
		.n_audiences = o->rule.audiences.n,
		.now_s = pd_wall_ns() / 1000000000,
	};

	return pd_jwt_check(t, &rules, why);
}

// Answers the caller, unless newer keys may help: then false, and nothing is said. `keys` may be NULL.
static bool judge(struct oidc *o, struct pd_jwks *keys, const struct waiter *w, bool final)
{
	struct pd_buf why = {0};
	enum pd_jwt_fault f;
	struct pd_jwt t;
	bool newer = false;

	f = pd_jwt_parse(w->token, strlen(w->token), &t, &why);
	if (f) {
		refuse(w, PD_AUTH_REFUSED, pd_jwt_fault_label(f), why.p);
		pd_buf_free(&why);
		return true;
	}
	// Claims first, although nobody has vouched for them: tokens that are not for us must not cause loads.
	f = check_claims(o, &t, &why);
	if (!f && pd_jwt_alg_known(t.alg) && !keys)
		newer = true;
	else if (!f && keys)
		f = pd_jwt_verify(&t, keys, &why);
	else if (!f) // none to verify with, and none would do
		f = PD_JWT_ALGORITHM;
	newer = newer || f == PD_JWT_UNKNOWN_KEY || (f == PD_JWT_SIGNATURE && !t.kid);
	if (!newer || final) {
		if (!f && keys)
			accept(o, &t, w);
		else if (!f)
			refuse(w, PD_AUTH_UNKNOWN, "no_keys", "the provider's keys could not be loaded");
		else
			refuse(w, PD_AUTH_REFUSED, pd_jwt_fault_label(f),
			       why.n ? why.p : "its algorithm is not accepted");
	}
	pd_jwt_free(&t);
	pd_buf_free(&why);
	return !newer || final;
}

// ---- loading keys ------------------------------------------------------------------------------------------------------

static void on_fetched(const struct pd_fetch_result *, void *arg);

// With the lock held. False: the fetcher takes nothing more.
static bool begin_locked(struct load *l, uint64_t delay_ms)
{
	struct oidc *o = l->o;
	char *url = o->rule.jwks_uri ? pd_xstrdup(o->rule.jwks_uri)
				     : pd_xasprintf("%.*s" CONFIGURATION,
						    (int)(strlen(o->rule.issuer) - pd_has_suffix(o->rule.issuer, "/")),
						    o->rule.issuer);

	l->wants_config = !o->rule.jwks_uri;
	l->request = o->stopping ? 0 : pd_fetch(o->fetcher, url, delay_ms, on_fetched, l);
	l->under_way = l->request && !delay_ms;
	free(url);
	return l->request != 0;
}

// The configuration says where the keys are. Caller frees; NULL: *why.
static char *keys_uri(const struct oidc *o, const struct pd_fetch_result *r, const char **why)
{
	struct pd_arena arena = {0};
	struct pd_json *root;
	const char *uri;
	char *out = NULL;

	*why = "the provider's configuration cannot be read";
	if (pd_json_parse(&arena, r->body, r->n, &root, NULL) == PD_OK) {
		uri = pd_json_get_string(root, "jwks_uri");
		if (!pd_streq(pd_json_get_string(root, "issuer"), o->rule.issuer))
			*why = "the provider's configuration is of another issuer";
		else if (pd_empty(uri))
			*why = "the provider's configuration does not say where its keys are";
		else
			out = pd_xstrdup(uri);
	}
	pd_arena_free(&arena);
	return out;
}

// Goes on with the keys. True: the load is still under way.
static bool go_on(struct load *l, const struct pd_fetch_result *r, const char **why)
{
	struct oidc *o = l->o;
	char *uri = keys_uri(o, r, why);
	bool ok;

	if (!uri)
		return false;
	l->wants_config = false;
	pthread_mutex_lock(&o->lock);
	l->under_way = true;
	l->request = o->stopping ? 0 : pd_fetch(o->fetcher, uri, 0, on_fetched, l);
	ok = l->request != 0;
	pthread_mutex_unlock(&o->lock);
	free(uri);
	*why = "too much is being fetched";
	return ok;
}

// The load is over. `keys` is taken; NULL: it failed.
static void end(struct load *l, struct pd_jwks *keys)
{
	struct oidc *o = l->o;
	struct pd_jwks *now, *old = NULL;
	struct waiters waiting;

	pthread_mutex_lock(&o->lock);
	if (keys) {
		old = o->keys;
		o->keys = keys;
	}
	now = o->keys ? pd_jwks_ref(o->keys) : NULL;
	l->under_way = false;
	l->request = 0;
	waiting = o->waiting;
	o->waiting = (struct waiters){0};
	if (keys)
		o->retry_ms = PD_OIDC_RETRY_MIN_MS;
	if (l->in_turn && !begin_locked(l, keys ? o->refresh_ms : o->retry_ms) && !o->stopping)
		pd_error("ca", "OIDC: the keys of %s will not be loaded again", o->rule.issuer);
	if (l->in_turn && !keys && o->retry_ms < PD_OIDC_RETRY_MAX_MS)
		o->retry_ms *= 2;
	pthread_mutex_unlock(&o->lock);
	for (size_t i = 0; i < waiting.v.n; i++)
		judge(o, now, &waiting.v.v[i], true);
	pd_vec_free(&waiting.v);
	pd_jwks_unref(now);
	pd_jwks_unref(old);
}

static void on_fetched(const struct pd_fetch_result *r, void *arg)
{
	struct load *l = arg;
	struct pd_jwks *keys = NULL;
	struct pd_buf text = {0};
	const char *why = NULL;

	if (r->err) {
		pd_buf_adds(&text, r->text);
	} else if (l->wants_config) {
		if (go_on(l, r, &why))
			return;
		pd_buf_adds(&text, why);
	} else if (pd_jwks_parse(r->body, r->n, &keys, &text) == PD_OK) {
		pd_info("ca", "OIDC: %zu keys of %s loaded, %zu left out", keys->keys.n, l->o->rule.issuer,
			keys->skipped);
	}
	if (!keys && r->err != PD_E_CLOSED)
		pd_warn("ca", "OIDC: keys of %s not loaded: %s", l->o->rule.issuer, pd_or(text.p, ""));
	pd_buf_free(&text);
	end(l, keys);
}

// ---- the authenticator -------------------------------------------------------------------------------------------------

enum wait { WAITING, OUTDATED, HOPELESS, OVERLOAD };

// Lets the caller wait for keys newer than `judged`; begins a load if none is under way. OUTDATED: there are newer ones.
// HOPELESS: there will be none soon.
static enum wait wait_for_keys(struct oidc *o, const struct pd_jwks *judged, const struct waiter *w)
{
	uint64_t now = pd_now_ns();
	enum wait result = WAITING;

	pthread_mutex_lock(&o->lock);
	if (o->keys != judged) {
		result = OUTDATED;
	} else if (o->waiting.v.n >= PD_OIDC_WAITING_MAX) {
		result = OVERLOAD;
	} else if (!o->in_turn.under_way && !o->out_of_turn.under_way) {
		if (o->rule.jwks || (o->reloaded_ns && now - o->reloaded_ns < o->reload_ms * 1000000))
			result = HOPELESS;
		else if (begin_locked(&o->out_of_turn, 0))
			o->reloaded_ns = now;
		else
			result = OVERLOAD;
	}
	if (result == WAITING)
		pd_vec_push(&o->waiting.v, *w);
	pthread_mutex_unlock(&o->lock);
	return result;
}

static void authenticate(void *self, const struct pd_rpc_peer *peer, pd_auth_done done, void *arg)
{
	struct waiter w = {pd_auth_bearer(peer), done, arg};
	struct oidc *o = self;
	struct pd_jwks *keys;
	enum wait state;
	bool answered;

	if (!w.token) {
		refuse(&w, PD_AUTH_NONE, "none", "no bearer token");
		return;
	}
	do {
		pthread_mutex_lock(&o->lock);
		keys = o->keys ? pd_jwks_ref(o->keys) : NULL;
		pthread_mutex_unlock(&o->lock);
		answered = judge(o, keys, &w, false);
		state = answered ? WAITING : wait_for_keys(o, keys, &w);
		if (state == HOPELESS)
			judge(o, keys, &w, true);
		else if (state == OVERLOAD)
			refuse(&w, PD_AUTH_UNKNOWN, "overload", "too many callers wait for the provider's keys");
		pd_jwks_unref(keys);
	} while (state == OUTDATED);
}

static void oidc_free(void *self)
{
	struct oidc *o = self;
	uint64_t a, b;

	pthread_mutex_lock(&o->lock);
	o->stopping = true;
	a = o->in_turn.request;
	b = o->out_of_turn.request;
	pthread_mutex_unlock(&o->lock);
	pd_fetch_cancel(o->fetcher, a);
	pd_fetch_cancel(o->fetcher, b);
	PD_ASSERT(o->waiting.v.n == 0);
	pd_jwks_unref(o->keys);
	pd_oidc_rule_free(&o->rule);
	pd_vec_free(&o->waiting.v);
	pthread_mutex_destroy(&o->lock);
	free(o);
}

int pd_oidc_new(const struct pd_oidc_config *c, struct pd_authenticator *out, struct pd_buf *err)
{
	struct oidc *o = pd_xcalloc(1, sizeof(*o));

	pthread_mutex_init(&o->lock, NULL);
	o->rule = c->rule;
	o->fetcher = c->fetcher;
	o->trust = c->trust;
	o->refresh_ms = c->refresh_ms ? c->refresh_ms : PD_OIDC_REFRESH_MS;
	o->reload_ms = c->reload_ms ? c->reload_ms : PD_OIDC_RELOAD_MS;
	o->retry_ms = PD_OIDC_RETRY_MIN_MS;
	o->in_turn = (struct load){.o = o, .in_turn = true};
	o->out_of_turn = (struct load){.o = o};
	if (o->rule.jwks && pd_jwks_parse(o->rule.jwks, strlen(o->rule.jwks), &o->keys, err) != PD_OK) {
		oidc_free(o);
		return PD_E_INVALID;
	}
	if (!o->rule.jwks) {
		pthread_mutex_lock(&o->lock);
		begin_locked(&o->in_turn, 0);
		pthread_mutex_unlock(&o->lock);
	}
	*out = (struct pd_authenticator){PD_OIDC_NAME, authenticate, oidc_free, o};
	return PD_OK;
}
