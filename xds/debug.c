// What clients have, for debug pages. A stream's session belongs to whoever claims the stream; so do we, for a moment.
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/str.h"
#include "xds/server_impl.h"

#define CLAIM_TRIES 2000 // a pass takes milliseconds at most
#define CLAIM_NAP_NS 500000

static bool claim_patiently(struct pd_stream *s)
{
	struct timespec nap = {.tv_nsec = CLAIM_NAP_NS};

	for (int i = 0; i < CLAIM_TRIES; i++) {
		bool over;

		if (pd_stream_claim(s))
			return true;
		pthread_mutex_lock(&s->mu);
		over = s->closed;
		pthread_mutex_unlock(&s->mu);
		if (over)
			return false;
		nanosleep(&nap, NULL);
	}
	return false;
}

static void release(struct pd_stream *s)
{
	pd_stream_release(s, s->said_who && pd_session_has_work(&s->session) ? PD_JOB_PUSH : PD_JOB_NONE);
}

static void nonce_text(const struct pd_session_env *env, uint64_t nonce, char out[PD_NONCE_TEXT])
{
	out[0] = 0;
	if (nonce)
		pd_nonce_text(env, nonce, out);
}

static void describe_type(const struct pd_stream *s, enum pd_type t, struct pd_xds_type_status *out)
{
	const struct pd_watch *w = s->session.watch[t];

	*out = (struct pd_xds_type_status){.type = t,
					   .wildcard = w->wildcard,
					   .names = w->names ? w->names->n : 0,
					   .sent_ns = w->sent_ns,
					   .acked_ns = w->acked_ns,
					   .in_flight = w->in_flight,
					   .pending = w->dirty,
					   .responses = w->n_sent,
					   .error = w->error};
	if (w->nonce_sent)
		pd_version_text(w->version_sent, out->version_sent);
	if (w->nonce_acked)
		pd_version_text(w->version_acked, out->version_acked);
	nonce_text(&s->x->env, w->nonce_sent, out->nonce_sent);
	nonce_text(&s->x->env, w->nonce_acked, out->nonce_acked);
}

static void describe(const struct pd_stream *s, struct pd_xds_client *c)
{
	*c = (struct pd_xds_client){.node_id = s->node_id,
				    .peer = s->peer,
				    .identity = s->identity,
				    .id = s->id,
				    .delta = s->delta,
				    .connected_ns = s->connected_ns,
				    .view = s->view};
	for (enum pd_type t = 0; t < PD_TYPE_COUNT; t++)
		if (s->session.watch[t])
			describe_type(s, t, &c->v[c->n++]);
}

size_t pd_xds_each_client(struct pd_xds *x, void (*fn)(const struct pd_xds_client *, void *arg), void *arg)
{
	size_t n, busy = 0;
	struct pd_stream **v = pd_xds_streams(x, &n);
	struct pd_xds_client c;

	for (size_t i = 0; i < n; i++) {
		if (!claim_patiently(v[i])) {
			pthread_mutex_lock(&v[i]->mu);
			busy += !v[i]->closed;
			pthread_mutex_unlock(&v[i]->mu);
		} else {
			if (v[i]->said_who) {
				describe(v[i], &c);
				fn(&c, arg);
			}
			release(v[i]);
		}
		pd_stream_unref(v[i]);
	}
	free(v);
	return busy;
}

// ---- dump --------------------------------------------------------------------------------------------------------------

typedef void (*dump_fn)(const struct pd_resource *, bool current, void *arg);

static void dump_set(const struct pd_watch *w, dump_fn fn, void *arg)
{
	for (int k = 0; w->sent && k < PD_SET_SEGMENTS; k++)
		for (size_t i = 0; w->sent->seg[k] && i < w->sent->seg[k]->n; i++)
			fn(w->sent->seg[k]->v[i], true, arg);
	for (size_t i = 0; i < w->leaving.n; i++)
		if (w->leaving.v[i].r)
			fn(w->leaving.v[i].r, true, arg);
}

static void dump_named(struct pd_stream *s, enum pd_type t, dump_fn fn, void *arg)
{
	const struct pd_watch *w = s->session.watch[t];
	struct pd_set *set = pd_types[t].wildcard ? pd_view_set(s->x->engine, s->view, t) : NULL;
	struct pd_resource *r;

	for (size_t i = 0; w->names && i < w->names->n; i++) {
		uint64_t have = pd_watch_have(w, i);

		if (have == PD_HAVE_NOTHING || have == PD_HAVE_REMOVED)
			continue;
		r = set ? pd_obj_ref(pd_set_get(set, w->names->v[i]))
			: pd_view_resource(s->x->engine, s->view, t, w->names->v[i]);
		if (r)
			fn(r, r->version == have, arg);
		pd_resource_unref(r);
	}
	pd_obj_unref(set);
}

static void dump(struct pd_stream *s, dump_fn fn, void *arg)
{
	for (enum pd_type t = 0; t < PD_TYPE_COUNT; t++) {
		const struct pd_watch *w = s->session.watch[t];

		if (w && w->wildcard)
			dump_set(w, fn, arg);
		else if (w)
			dump_named(s, t, fn, arg);
	}
}

int pd_xds_dump(struct pd_xds *x, const char *node_id, dump_fn fn, void *arg)
{
	size_t n;
	struct pd_stream **v = pd_xds_streams(x, &n);
	int rc = PD_E_NOTFOUND;

	for (size_t i = n; i-- > 0;) {
		if (rc == PD_E_NOTFOUND) {
			if (!claim_patiently(v[i])) {
				rc = v[i]->closed ? rc : PD_E_AGAIN;
			} else {
				if (v[i]->said_who && pd_streq(v[i]->node_id, node_id)) {
					dump(v[i], fn, arg);
					rc = PD_OK;
				}
				release(v[i]);
			}
		}
		pd_stream_unref(v[i]);
	}
	free(v);
	return rc;
}

void pd_xds_stats(struct pd_xds *x, struct pd_xds_stats *out)
{
	struct pd_bodies_stats b;

	*out = (struct pd_xds_stats){.connected = atomic_load(&x->connected),
				     .queue = pd_queue_length(&x->queue),
				     .accepted = atomic_load(&x->accepted),
				     .refused = atomic_load(&x->refused),
				     .responses = atomic_load(&x->responses),
				     .bytes = atomic_load(&x->bytes),
				     .send_timeouts = atomic_load(&x->send_timeouts),
				     .acks_given_up = atomic_load(&x->acks_given_up),
				     .malformed = atomic_load(&x->malformed),
				     .trims = atomic_load(&x->trims)};
	for (unsigned k = 0; k < PD_REQ_KINDS; k++)
		out->requests[k] = atomic_load(&x->requests[k]);
	for (unsigned t = 0; t < PD_TYPE_COUNT; t++)
		out->name_sets += pd_names_table_count(x->env.names[t]);
	pd_bodies_stats(x->bodies, &b);
	out->body_hits = b.hits;
	out->body_misses = b.misses;
	pthread_mutex_lock(&x->lock);
	out->streams = x->n_streams;
	pthread_mutex_unlock(&x->lock);
}
