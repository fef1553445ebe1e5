// Life of a stream.
//
//   call arrives ─ admission ─ identity ─ reading ──────────────────────────── ended (status decided) ─ status sent ─ closed
//                      └ refused: ended at once                       └ after the send under way        └ cleaned up
//
// `closed` comes from grpc and may come at any time (the client vanished). References: one for being alive, until cleaned up;
// one per operation under way; one in the job queue; one while waiting for admission. The call goes with the last.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "xds/peer.h"
#include "xds/server_impl.h"

static char *peer_of(grpc_call *call)
{
	struct pd_arena a = {.first_chunk = 128};
	char *out = pd_xstrdup(pd_peer_address(&a, call));

	pd_arena_free(&a);
	return out;
}

static void list_add_locked(struct pd_xds *x, struct pd_stream *s)
{
	s->prev = x->last_stream;
	if (s->prev)
		s->prev->next = s;
	else
		x->streams = s;
	x->last_stream = s;
	s->listed = true;
	s->id = ++x->next_stream_id;
	x->n_streams++;
}

static void list_remove(struct pd_stream *s)
{
	struct pd_xds *x = s->x;

	pthread_mutex_lock(&x->lock);
	if (s->listed) {
		if (s->prev)
			s->prev->next = s->next;
		else
			x->streams = s->next;
		if (s->next)
			s->next->prev = s->prev;
		else
			x->last_stream = s->prev;
		s->listed = false;
		x->n_streams--;
	}
	pthread_mutex_unlock(&x->lock);
}

void pd_stream_unref(struct pd_stream *s)
{
	struct pd_xds *x = s->x;

	if (!pd_ref_drop(&s->ref))
		return;
	if (s->received)
		grpc_byte_buffer_destroy(s->received);
	grpc_call_unref(s->call);
	pthread_mutex_destroy(&s->mu);
	pd_identity_free(s);
	free(s->peer);
	free(s);
	pthread_mutex_lock(&x->lock);
	x->n_calls--;
	pthread_cond_broadcast(&x->gone);
	pthread_mutex_unlock(&x->lock);
}

// ---- beginning ---------------------------------------------------------------------------------------------------------

struct refusal {
	enum pd_refusal why;
	grpc_status_code code;
	const char *text;
};

// Whether the stream may begin, and when. False: *r says why not.
static bool admit(struct pd_xds *x, struct pd_stream *s, uint64_t *wait_ns, struct refusal *r)
{
	bool ready = pd_engine_ready(x->engine), ok = false;

	*wait_ns = 0;
	pthread_mutex_lock(&x->lock);
	if (x->draining)
		*r = (struct refusal){PD_REFUSED_DRAIN, GRPC_STATUS_UNAVAILABLE, "server is draining"};
	else if (!ready)
		*r = (struct refusal){PD_REFUSED_NOT_READY, GRPC_STATUS_UNAVAILABLE,
				      "configuration has not been read yet"};
	else if (x->n_streams >= x->config.max_streams)
		*r = (struct refusal){PD_REFUSED_STREAMS, GRPC_STATUS_RESOURCE_EXHAUSTED, "too many streams"};
	else if ((*wait_ns = pd_bucket_take(&x->admission, pd_now_ns(), x->config.admission_ms * 1000000)) ==
		 UINT64_MAX)
		*r = (struct refusal){PD_REFUSED_RATE, GRPC_STATUS_RESOURCE_EXHAUSTED, "too many new streams"};
	else
		ok = true;
	list_add_locked(x, s); // also if refused: it lives until its status is taken
	pthread_mutex_unlock(&x->lock);
	return ok;
}

void pd_stream_start(struct pd_xds *x, grpc_call *call, bool delta, const grpc_metadata_array *headers)
{
	struct pd_stream *s = pd_xcalloc(1, sizeof(*s));
	struct refusal r;
	uint64_t wait_ns;
	bool ok;

	pd_ref_init(&s->ref);
	s->x = x;
	s->call = call;
	s->delta = delta;
	s->connected_ns = pd_wall_ns();
	s->peer = peer_of(call);
	s->of_view.owner = s;
	s->requests = (struct pd_bucket){.rate = x->config.requests_per_second, .burst = x->config.requests_burst};
	pthread_mutex_init(&s->mu, NULL);
	pd_stream_tags(s);
	pd_identity_prepare(s, headers);
	pd_stream_ref(s); // ours, for the rest of this function
	atomic_fetch_add(&x->accepted, 1);
	ok = admit(x, s, &wait_ns, &r);
	pd_stream_send_headers(s);
	pd_stream_watch_close(s);
	if (!ok) {
		pd_count_refused(x, r.why);
		pd_stream_end(s, r.code, r.text);
	} else if (wait_ns) {
		s->admit_ns = pd_now_ns() + wait_ns;
		pd_housekeeper_admit(x, pd_stream_ref(s));
	} else {
		pd_stream_admitted(s);
	}
	pd_stream_unref(s);
}

void pd_stream_admitted(struct pd_stream *s)
{
	if (s->knock)
		pd_identity_ask(s);
	else
		pd_stream_begin(s);
}

void pd_stream_begin(struct pd_stream *s)
{
	bool over;

	pthread_mutex_lock(&s->mu);
	over = s->ended || s->closed;
	pthread_mutex_unlock(&s->mu);
	if (!over)
		pd_stream_read(s);
}

// ---- end ---------------------------------------------------------------------------------------------------------------

void pd_stream_end(struct pd_stream *s, grpc_status_code code, const char *text)
{
	bool now;

	pthread_mutex_lock(&s->mu);
	if (s->ended) {
		pthread_mutex_unlock(&s->mu);
		return;
	}
	s->ended = true;
	s->code = code;
	snprintf(s->text, sizeof(s->text), "%s", text);
	pd_stream_drop_out(s);
	now = !s->sending;
	s->status_sent = now;
	pthread_mutex_unlock(&s->mu);
	if (now)
		pd_stream_send_status(s);
}

void pd_stream_cut(struct pd_stream *s, grpc_status_code code, const char *text)
{
	pthread_mutex_lock(&s->mu);
	s->ended = true;
	pd_stream_drop_out(s);
	pthread_mutex_unlock(&s->mu);
	grpc_call_cancel_with_status(s->call, code, text, NULL);
}

// The call is over and the stream is ours for good.
static void clean_up(struct pd_stream *s)
{
	struct pd_xds *x = s->x;

	pthread_mutex_lock(&s->mu);
	pd_marks_clear(&s->marks);
	if (s->inbox)
		grpc_byte_buffer_destroy(s->inbox);
	s->inbox = NULL;
	pd_stream_drop_out(s);
	pthread_mutex_unlock(&s->mu);
	if (s->said_who) {
		pd_views_remove(x->views, s->view, &s->of_view);
		pd_session_free(&s->session);
		pd_count_connected(x, s->view, -1);
		pd_debug("ads", "stream %llu of %s closed", (unsigned long long)s->id, s->node_id);
		pd_view_unref(x->engine, s->view);
	}
	pthread_mutex_lock(&s->mu);
	pd_marks_clear(&s->marks); // those that came in until it left the indexes
	pthread_mutex_unlock(&s->mu);
	free(s->node_id);
	s->node_id = NULL;
	list_remove(s);
	pd_xds_note_churn(x, 64 * 1024);
	pd_stream_unref(s);
}

// ---- claiming ----------------------------------------------------------------------------------------------------------

bool pd_stream_claim(struct pd_stream *s)
{
	bool ok;

	pthread_mutex_lock(&s->mu);
	ok = !s->running;
	s->running = true;
	pthread_mutex_unlock(&s->mu);
	return ok;
}

void pd_stream_queue(struct pd_stream *s, enum pd_urgency u)
{
	if (u == PD_JOB_NONE)
		return;
	pd_stream_ref(s);
	if (!pd_queue_push(&s->x->queue, &s->job, u))
		pd_stream_unref(s);
}

void pd_stream_release(struct pd_stream *s, enum pd_urgency more)
{
	bool clean;

	pthread_mutex_lock(&s->mu);
	clean = s->closed; // then it stays claimed
	if (!clean) {
		s->running = false;
		if (s->inbox)
			more = PD_JOB_REQUEST;
		else if (more == PD_JOB_NONE && (s->marks.types || s->marks.names.n || s->give_up))
			more = PD_JOB_PUSH;
	}
	pthread_mutex_unlock(&s->mu);
	if (clean)
		clean_up(s);
	else
		pd_stream_queue(s, more);
}
