// State of the world: a request carries the whole list of names and the nonce of the response that it answers.
//
//   error_detail                  NACK: kept for the debug pages; nothing is sent again until it changes
//   no names (EDS RDS SDS ECDS)   the watch ends, no answer
//   no nonce, or unknown watch    the watch begins (again), answer everything that it names
//   another nonce than the last   stale, ignored: the client will speak again about the newer response
//   the last nonce                ACK; names that were added are answered, and only those
//
// CDS, LDS and NDS always mean all resources, whatever the names; if their names change, all is sent again (as istiod does).
//
// One difference to istiod: a NACK that carries added names gets them answered. Envoy repeats its whole list with each
// request, but speaks again only after the next response: without the answer it would wait for something unrelated to change.
#include <stdlib.h>

#include "xds/session.h"

static struct pd_raw_key raw_key(struct pd_session *s, const struct pd_request *r)
{
	if (r->raw.p || !r->n_names)
		return pd_names_raw_key(s->env->names[r->type], r->raw.p ? r->raw.p : "", r->raw.n);
	return pd_names_raw_key(s->env->names[r->type], r->bytes, r->len); // scattered: rare, compared as a whole
}

static bool same_key(struct pd_raw_key a, struct pd_raw_key b)
{
	return a.a == b.a && a.b == b.b;
}

// The set of the request's names, with one reference.
static int names_of(struct pd_session *s, const struct pd_request *r, struct pd_raw_key key, struct pd_names **out,
		    struct pb_error *err)
{
	struct pd_names_table *t = s->env->names[r->type];
	struct pd_span *v;
	int rc;

	*out = pd_names_find_raw(t, key);
	if (*out)
		return PD_OK;
	v = pd_xmalloc((r->n_names + 1) * sizeof(*v));
	rc = pd_request_names(r, v, err);
	if (!rc)
		rc = pd_names_get(t, v, r->n_names, out);
	free(v);
	if (!rc)
		pd_names_remember_raw(t, *out, key);
	return rc;
}

static int subscribe(struct pd_session *s, const struct pd_request *r, struct pb_error *err)
{
	struct pd_raw_key key = raw_key(s, r);
	struct pd_names *names;
	struct pd_watch *w;
	int rc = names_of(s, r, key, &names, err);

	if (rc)
		return rc;
	w = pd_watch_new(s, r->type);
	w->wildcard = pd_types[r->type].wildcard;
	w->raw = key;
	if (w->wildcard)
		pd_names_unref(s->env->names[r->type], names);
	else
		pd_watch_set_names(s, r->type, names);
	w->must_answer = w->dirty = w->all = true;
	return PD_OK;
}

static int change_names(struct pd_session *s, const struct pd_request *r, enum pd_request_kind *kind,
			struct pb_error *err)
{
	struct pd_watch *w = s->watch[r->type];
	struct pd_raw_key key = raw_key(s, r);
	struct pd_names *names;
	int rc;

	if (same_key(w->raw, key))
		return PD_OK;
	rc = names_of(s, r, key, &names, err);
	if (rc)
		return rc;
	w->raw = key;
	if (w->wildcard) {
		pd_names_unref(s->env->names[r->type], names);
		w->must_answer = w->dirty = true;
		*kind = PD_REQ_SUBSCRIBE;
		return PD_OK;
	}
	if (names != w->names)
		*kind = PD_REQ_UNSUBSCRIBE;
	pd_watch_set_names(s, r->type, names);
	for (size_t i = 0; i < names->n; i++) {
		if (pd_watch_have(w, i) != PD_HAVE_NOTHING)
			continue;
		pd_watch_todo(s, r->type, names->v[i]);
		*kind = PD_REQ_SUBSCRIBE;
	}
	return PD_OK;
}

int pd_sotw_request(struct pd_session *s, const struct pd_request *r, enum pd_request_kind *kind, struct pb_error *err)
{
	struct pd_watch *w = s->watch[r->type];
	bool named = !pd_types[r->type].wildcard;
	enum pd_request_kind ignored;

	if (r->has_error) {
		*kind = PD_REQ_NACK;
		if (!w || !w->nonce_sent || pd_nonce_parse(s->env, r->nonce) != w->nonce_sent)
			return PD_OK;
		pd_watch_acked(s, w, r);
		return named && r->n_names ? change_names(s, r, &ignored, err) : PD_OK;
	}
	if (named && !r->n_names) {
		*kind = PD_REQ_UNSUBSCRIBE;
		pd_watch_delete(s, r->type);
		return PD_OK;
	}
	if (!w || !r->nonce.n || !w->nonce_sent) {
		*kind = PD_REQ_SUBSCRIBE;
		return subscribe(s, r, err);
	}
	if (pd_nonce_parse(s->env, r->nonce) != w->nonce_sent) {
		*kind = PD_REQ_STALE;
		return PD_OK;
	}
	*kind = PD_REQ_ACK;
	pd_watch_acked(s, w, r);
	return change_names(s, r, kind, err);
}
