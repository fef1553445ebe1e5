// Incremental protocol: a request carries changes of the subscription; the server knows what the client has.
//
// First request of a type
//   wildcard if `*` is subscribed, or if nothing is (the older way to say it). `*` both subscribed and unsubscribed means
//   neither: so clients say that they want nothing yet. EDS, RDS, SDS and ECDS have no wildcard: there it means no names.
//   initial_resource_versions: what the client has from an earlier stream. It gets what differs, and learns what is gone; a
//   client that is up to date hears nothing. Without them a wildcard is always answered, if need be with an empty response:
//   Envoy waits for the first one before it starts.
// Later requests
//   a nonce acknowledges (or refuses, with error_detail) the response that carried it;
//   every subscribed name is answered, also one that the client has already: Envoy subscribes again while it warms a cluster
//   or listener and waits for the answer. A name under `*` that is unsubscribed is answered too (with the resource, or as
//   removed): the client cannot know whether `*` covers it.
//
// Differences to istiod: changes of the subscription count even if the request's nonce is stale. They are not repeated by
// later requests as in the state-of-the-world protocol, so whoever drops them loses them for good.
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/str.h"
#include "xds/session.h"

struct change {
	struct pd_span *add, *del;
	size_t n_add, n_del;
	bool star, unstar; // "*" among them; taken out of the lists
	struct pd_span *initial, *versions;
	size_t n_initial;
};

static void change_free(struct change *c)
{
	free(c->add);
	free(c->del);
	free(c->initial);
	free(c->versions);
}

static size_t take_star(struct pd_span *v, size_t n, bool *star)
{
	size_t out = 0;

	for (size_t i = 0; i < n; i++) {
		if (pd_span_is(v[i], "*", 1))
			*star = true;
		else
			v[out++] = v[i];
	}
	return out;
}

static struct pd_span *spans(size_t n)
{
	return pd_xmalloc((n + 1) * sizeof(struct pd_span));
}

static int change_read(struct change *c, const struct pd_request *r, struct pb_error *err)
{
	int rc;

	*c = (struct change){.add = spans(r->n_names),
			     .del = spans(r->n_unsubscribe),
			     .initial = spans(r->n_initial),
			     .versions = spans(r->n_initial),
			     .n_initial = r->n_initial};
	rc = pd_request_names(r, c->add, err);
	if (!rc)
		rc = pd_request_unsubscribe(r, c->del, err);
	if (!rc)
		rc = pd_request_initial(r, c->initial, c->versions, err);
	if (rc) {
		change_free(c);
		return rc;
	}
	c->n_add = take_star(c->add, r->n_names, &c->star);
	c->n_del = take_star(c->del, r->n_unsubscribe, &c->unstar);
	return PD_OK;
}

// The version that a client announces; a text that we never give out counts as unknown.
static uint64_t parse_version(struct pd_span v)
{
	uint64_t version = 0;

	if (v.n != 16)
		return PD_HAVE_NOTHING;
	for (int i = 0; i < 16; i++) {
		char c = v.p[i];

		if (c >= '0' && c <= '9')
			version = version << 4 | (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			version = version << 4 | (uint64_t)(c - 'a' + 10);
		else
			return PD_HAVE_NOTHING;
	}
	return version;
}

// ---- first request -----------------------------------------------------------------------------------------------------

static int by_name(const void *x, const void *y)
{
	const struct pd_initial *a = x, *b = y;

	return strcmp(a->name, b->name);
}

static void remember_initial(struct pd_watch *w, const struct change *c)
{
	w->initial = pd_xcalloc(c->n_initial + 1, sizeof(*w->initial));
	w->n_initial = c->n_initial;
	for (size_t i = 0; i < c->n_initial; i++) {
		w->initial[i].name = pd_intern_n(c->initial[i].p, c->initial[i].n);
		w->initial[i].version = parse_version(c->versions[i]);
	}
	qsort(w->initial, w->n_initial, sizeof(*w->initial), by_name);
}

static void have_initial(struct pd_watch *w, const struct change *c)
{
	for (size_t i = 0; i < c->n_initial; i++) {
		long at = pd_names_find(w->names, c->initial[i]);

		if (at >= 0)
			pd_watch_set_have(w, (size_t)at, parse_version(c->versions[i]));
	}
}

static const struct pd_initial *find_initial(const struct pd_watch *w, const char *name)
{
	struct pd_initial key = {.name = name};

	return w->n_initial ? bsearch(&key, w->initial, w->n_initial, sizeof(key), by_name) : NULL;
}

// The set of the names that are subscribed. The bytes tell most of the time (xds/names.h).
static int subscribed(struct pd_session *s, const struct pd_request *r, const struct change *c, struct pd_names **out)
{
	struct pd_names_table *t = s->env->names[r->type];
	bool plain = r->raw.p && !c->star && !c->n_del;
	struct pd_raw_key key = plain ? pd_names_raw_key(t, r->raw.p, r->raw.n) : (struct pd_raw_key){0, 0};
	int rc;

	*out = plain ? pd_names_find_raw(t, key) : NULL;
	if (*out)
		return PD_OK;
	rc = pd_names_edit(t, NULL, c->add, c->n_add, c->del, c->n_del, out);
	if (!rc && plain)
		pd_names_remember_raw(t, *out, key);
	return rc;
}

// By name, what the client has from earlier counts as subscribed. Mostly it is among the names anyway.
static int add_initial(struct pd_session *s, const struct pd_request *r, const struct change *c,
		       struct pd_names **names)
{
	struct pd_names *before = *names;
	bool all = true;
	int rc;

	for (size_t i = 0; i < c->n_initial && all; i++)
		all = pd_names_find(before, c->initial[i]) >= 0;
	if (all)
		return PD_OK;
	rc = pd_names_edit(s->env->names[r->type], before, c->initial, c->n_initial, c->del, c->n_del, names);
	pd_names_unref(s->env->names[r->type], before);
	return rc;
}

// Most clients come back with exactly what there is now: equal sums over names and versions tell that without a look at
// single resources. (Whoever forges a sum deceives nobody but himself.)
static bool is_up_to_date(struct pd_session *s, struct pd_watch *w, enum pd_type t, const struct change *c)
{
	struct pd_set *now = pd_view_set(s->env->engine, s->view, t);
	uint64_t sum = 0;

	for (size_t i = 0; i < c->n_initial; i++)
		sum += pd_hash_mix(pd_hash(c->initial[i].p, c->initial[i].n), parse_version(c->versions[i]));
	if (sum != now->version || c->n_initial != pd_set_count(now)) {
		pd_obj_unref(now);
		return false;
	}
	w->sent = now;
	return true;
}

static int first_request(struct pd_session *s, const struct pd_request *r, const struct change *c)
{
	bool wildcard = pd_types[r->type].wildcard && (c->star ? !c->unstar : r->n_names == 0);
	struct pd_names *names;
	struct pd_watch *w;
	int rc = subscribed(s, r, c, &names);

	if (!rc && !wildcard)
		rc = add_initial(s, r, c, &names);
	if (rc)
		return rc;
	w = pd_watch_new(s, r->type);
	w->wildcard = wildcard;
	pd_watch_set_names(s, r->type, names);
	w->dirty = true;
	if (!wildcard) {
		w->all = true;
		have_initial(w, c);
		return PD_OK;
	}
	w->must_answer = c->n_initial == 0;
	if (c->n_initial && !is_up_to_date(s, w, r->type, c))
		remember_initial(w, c);
	for (size_t i = 0; i < names->n && w->todo.n < PD_WATCH_TODO_MAX; i++)
		if (!find_initial(w, names->v[i]) && !(w->sent && pd_set_get(w->sent, names->v[i])))
			pd_watch_todo(s, r->type, names->v[i]);
	return PD_OK;
}

// ---- later requests ----------------------------------------------------------------------------------------------------

// By name → wildcard: what the client has by name is what it has of the whole.
static void wildcard_on(struct pd_session *s, enum pd_type t)
{
	struct pd_watch *w = s->watch[t];
	size_t n = 0;

	w->wildcard = w->dirty = true;
	w->initial = pd_xcalloc(w->names->n + 1, sizeof(*w->initial));
	for (size_t i = 0; i < w->names->n; i++) {
		uint64_t have = pd_watch_have(w, i);

		if (have != PD_HAVE_NOTHING && have != PD_HAVE_REMOVED)
			w->initial[n++] = (struct pd_initial){pd_intern_ref(w->names->v[i]), have};
	}
	w->n_initial = n;
	pd_have_clear(&w->have, s->env->names[t]);
	w->must_answer = n == 0;
}

// Wildcard → by name: of the names that remain the client has what it was sent.
static void wildcard_off(struct pd_session *s, enum pd_type t)
{
	struct pd_watch *w = s->watch[t];
	struct pd_set *sent = pd_obj_ref(w->sent);

	w->wildcard = false;
	w->must_answer = false;
	pd_watch_forget_sent(s, t);
	for (size_t i = 0; i < w->names->n; i++) {
		struct pd_resource *r = sent ? pd_set_get(sent, w->names->v[i]) : NULL;
		const struct pd_initial *known = r ? NULL : find_initial(w, w->names->v[i]);

		if (r || known || sent)
			pd_watch_set_have(w, i, r ? r->version : known ? known->version : PD_HAVE_REMOVED);
	}
	pd_obj_unref(sent);
	pd_watch_clear_initial(w);
	w->all = w->dirty = true;
}

static int change_subscription(struct pd_session *s, const struct pd_request *r, const struct change *c)
{
	struct pd_watch *w = s->watch[r->type];
	struct pd_names *before = pd_names_ref(s->env->names[r->type], w->names), *names;
	int rc = pd_names_edit(s->env->names[r->type], w->names, c->add, c->n_add, c->del, c->n_del, &names);
	long at;

	if (rc)
		goto out;
	pd_watch_set_names(s, r->type, names);
	if (c->star && !c->unstar && !w->wildcard && pd_types[r->type].wildcard)
		wildcard_on(s, r->type);
	else if (c->unstar && w->wildcard)
		wildcard_off(s, r->type);
	for (size_t i = 0; i < c->n_add; i++) {
		at = pd_names_find(w->names, c->add[i]);
		if (at < 0)
			continue;
		if (!w->wildcard)
			pd_watch_set_have(w, (size_t)at, PD_HAVE_NOTHING);
		pd_watch_todo(s, r->type, w->names->v[at]);
	}
	for (size_t i = 0; w->wildcard && i < c->n_del; i++) {
		at = pd_names_find(before, c->del[i]);
		if (at >= 0)
			pd_watch_todo(s, r->type, before->v[at]);
	}
out:
	pd_names_unref(s->env->names[r->type], before);
	return rc;
}

static enum pd_request_kind acknowledge(struct pd_session *s, const struct pd_request *r)
{
	struct pd_watch *w = s->watch[r->type];

	if (!r->nonce.n)
		return r->has_error ? PD_REQ_NACK : PD_REQ_ACK;
	if (!w->nonce_sent || pd_nonce_parse(s->env, r->nonce) != w->nonce_sent)
		return PD_REQ_STALE;
	pd_watch_acked(s, w, r);
	return r->has_error ? PD_REQ_NACK : PD_REQ_ACK;
}

int pd_delta_request(struct pd_session *s, const struct pd_request *r, enum pd_request_kind *kind, struct pb_error *err)
{
	bool first = !s->watch[r->type];
	struct change c;
	int rc;

	if (first && r->has_error) { // nothing of ours that it could refuse
		*kind = PD_REQ_NACK;
		return PD_OK;
	}
	if (!first) {
		*kind = acknowledge(s, r);
		if (!r->n_names && !r->n_unsubscribe)
			return PD_OK;
	}
	rc = change_read(&c, r, err);
	if (rc)
		return rc;
	rc = first ? first_request(s, r, &c) : change_subscription(s, r, &c);
	if (first || (*kind != PD_REQ_NACK && *kind != PD_REQ_STALE))
		*kind = first || c.n_add || c.star ? PD_REQ_SUBSCRIBE : PD_REQ_UNSUBSCRIBE;
	change_free(&c);
	return rc;
}
