// Workers: first requests, answers and pushes.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <grpc/byte_buffer_reader.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "envoy/config/core/v3/base.pb-c.h"
#include "xds/server_impl.h"

#define NODE_MAX (512 * 1024) // bytes of an encoded Node; that of a stock Envoy has 60 KB

// ---- requests ----------------------------------------------------------------------------------------------------------

static grpc_status_code status_of(int rc)
{
	switch (rc) {
	case PD_E_LIMIT:
		return GRPC_STATUS_RESOURCE_EXHAUSTED;
	case PD_E_DENIED:
		return GRPC_STATUS_PERMISSION_DENIED;
	default:
		return GRPC_STATUS_INVALID_ARGUMENT;
	}
}

static void refuse(struct pd_stream *s, enum pd_refusal why, grpc_status_code code, const char *text)
{
	pd_count_refused(s->x, why);
	pd_info("ads", "stream %llu from %s refused: %s", (unsigned long long)s->id, s->peer, text);
	pd_stream_end(s, code, text);
}

// The view of a client that is what it says. PD_E_DENIED: it is not.
static int find_view(struct pd_stream *s, const Envoy__Config__Core__V3__Node *node, char *text, size_t len)
{
	struct pd_engine *e = s->x->engine;
	struct pd_view *claimed;
	int rc = pd_engine_view(e, node, "", &claimed, text, len);

	if (rc)
		return rc;
	if (!pd_identity_check(s, claimed, text, len)) {
		rc = PD_E_DENIED;
	} else if (!pd_identity_account(s, claimed)) {
		s->view = claimed;
		return PD_OK;
	} else {
		rc = pd_engine_view(e, node, pd_identity_account(s, claimed), &s->view, text, len);
	}
	pd_view_unref(e, claimed);
	return rc;
}

// The first request tells who the client is.
static bool meet(struct pd_stream *s, const struct pd_request *r)
{
	Envoy__Config__Core__V3__Node *node = NULL;
	struct pd_arena arena = {0};
	struct pb_error err = {""};
	char text[PD_STATUS_TEXT];
	int rc;

	if (!r->has_node) {
		refuse(s, PD_REFUSED_NODE, GRPC_STATUS_INVALID_ARGUMENT, "the first request has no node");
		return false;
	}
	if (r->node.n > NODE_MAX) {
		refuse(s, PD_REFUSED_NODE, GRPC_STATUS_RESOURCE_EXHAUSTED, "node information is too large");
		return false;
	}
	rc = pb_unpack(&arena, &envoy__config__core__v3__node__descriptor, r->node.p, r->node.n, (void **)&node, &err);
	if (rc) {
		snprintf(text, sizeof(text), "node information: %s", err.text);
	} else if (pd_empty(node->id)) {
		rc = PD_E_INVALID;
		snprintf(text, sizeof(text), "the node has no id");
	} else if (strlen(node->id) > PD_NODE_ID_MAX) {
		rc = PD_E_LIMIT;
		snprintf(text, sizeof(text), "node id is too long");
	} else {
		snprintf(text, sizeof(text), "node information is not valid");
		rc = find_view(s, node, text, sizeof(text));
	}
	if (!rc)
		s->node_id = pd_xstrdup(node->id);
	pd_arena_free(&arena);
	if (rc) {
		refuse(s, rc == PD_E_DENIED ? PD_REFUSED_IDENTITY : PD_REFUSED_NODE, status_of(rc), text);
		return false;
	}
	pd_session_init(&s->session, &s->x->env, s->view, s->delta, s);
	s->session.no_secrets = !s->identity && !s->x->auth.secrets_for_all;
	pd_views_add(s->x->views, s->view, &s->of_view);
	pthread_mutex_lock(&s->mu);
	s->said_who = true;
	pthread_mutex_unlock(&s->mu);
	pd_count_connected(s->x, s->view, 1);
	pd_debug("ads", "stream %llu from %s is %s (%s)", (unsigned long long)s->id, s->peer, s->node_id,
		 s->delta ? "delta" : "sotw");
	return true;
}

static bool in_flight(const struct pd_stream *s, enum pd_type t)
{
	return t < PD_TYPE_COUNT && s->session.watch[t] && s->session.watch[t]->in_flight;
}

// False: the stream has ended.
static bool apply(struct pd_stream *s, const struct pd_request *r, enum pd_request_kind *kind)
{
	struct pb_error err = {"discovery request: too many resource names"};
	bool waited = in_flight(s, r->type);
	int rc = pd_session_request(&s->session, r, kind, &err);

	if (rc) {
		refuse(s, PD_REFUSED_REQUEST, status_of(rc), err.text);
		return false;
	}
	pd_count_request(s->x, r->type, *kind);
	if (*kind == PD_REQ_NACK)
		pd_warn("ads", "%s refused by %s: %.*s",
			r->type < PD_TYPE_COUNT ? pd_types[r->type].short_name : "response", s->node_id,
			(int)r->error.n, r->error.p);
	// Whoever only answers us speaks as often as we do. All else is counted.
	if (waited && !in_flight(s, r->type))
		return true;
	if (pd_bucket_take(&s->requests, pd_now_ns(), 0) == 0)
		return true;
	refuse(s, PD_REFUSED_REQUEST_RATE, GRPC_STATUS_RESOURCE_EXHAUSTED, "too many requests on this stream");
	return false;
}

// Parses and applies. False: the stream has ended.
static bool handle(struct pd_stream *s, const void *bytes, size_t len, enum pd_request_kind *kind)
{
	struct pb_error err = {""};
	struct pd_request r;
	int rc = pd_request_parse(&r, s->delta, bytes, len, &err);

	if (rc) {
		atomic_fetch_add(&s->x->malformed, 1);
		refuse(s, PD_REFUSED_REQUEST, status_of(rc), err.text);
		return false;
	}
	if (!s->said_who && !meet(s, &r))
		return false;
	return apply(s, &r, kind);
}

enum pd_urgency pd_stream_request(struct pd_stream *s, grpc_byte_buffer *b)
{
	enum pd_request_kind kind = PD_REQ_IGNORED;
	grpc_byte_buffer_reader reader;
	grpc_slice *peek, all;
	bool going = false;

	pd_xds_note_churn(s->x, grpc_byte_buffer_length(b));
	if (grpc_byte_buffer_reader_init(&reader, b)) {
		if (grpc_byte_buffer_length(b) && grpc_byte_buffer_reader_peek(&reader, &peek) &&
		    GRPC_SLICE_LENGTH(*peek) == grpc_byte_buffer_length(b)) {
			going = handle(s, GRPC_SLICE_START_PTR(*peek), GRPC_SLICE_LENGTH(*peek), &kind);
		} else {
			grpc_byte_buffer_reader_destroy(&reader);
			PD_ASSERT(grpc_byte_buffer_reader_init(&reader, b));
			all = grpc_byte_buffer_reader_readall(&reader);
			going = handle(s, GRPC_SLICE_START_PTR(all), GRPC_SLICE_LENGTH(all), &kind);
			grpc_slice_unref(all);
		}
		grpc_byte_buffer_reader_destroy(&reader);
	}
	grpc_byte_buffer_destroy(b);
	if (!going)
		return PD_JOB_NONE;
	pd_stream_read(s);
	if (!pd_session_has_work(&s->session))
		return PD_JOB_NONE;
	return kind == PD_REQ_SUBSCRIBE ? PD_JOB_REQUEST : PD_JOB_PUSH;
}

// ---- passes ------------------------------------------------------------------------------------------------------------

static void send_answer(struct pd_stream *s, const struct pd_answer *a)
{
	uint64_t nonce = pd_session_commit(&s->session, a), before = pd_now_ns();
	struct pd_out o = {.type = a->type, .changed_ns = s->changed_ns};

	if (!nonce)
		return;
	o.buffer = pd_response_build(s->x->bodies, &s->x->env, s->delta, a, nonce, &o.bytes);
	pd_count_answer(s->x, a->type, o.bytes, pd_now_ns() - before);
	pd_stream_send(s, &o);
}

static void run_pass(struct pd_stream *s)
{
	struct pd_pass pass;

	pd_pass_run(&s->session, &pass);
	for (size_t i = 0; i < pass.n; i++)
		send_answer(s, &pass.v[i]);
	pd_pass_free(&pass);
}

// What was left for whoever has the stream.
static void take_word(struct pd_stream *s, grpc_byte_buffer **inbox, struct pd_marks *marks, uint32_t *give_up)
{
	pthread_mutex_lock(&s->mu);
	*inbox = s->inbox;
	s->inbox = NULL;
	*marks = s->marks;
	s->marks = (struct pd_marks){0};
	*give_up = s->give_up;
	s->give_up = 0;
	pthread_mutex_unlock(&s->mu);
}

static void apply_word(struct pd_stream *s, const struct pd_marks *marks, uint32_t give_up)
{
	if (!s->changed_ns)
		s->changed_ns = marks->changed_ns;
	for (enum pd_type t = 0; t < PD_TYPE_COUNT; t++) {
		if (marks->types & 1u << t)
			pd_session_mark_type(&s->session, t);
		if (give_up & 1u << t && in_flight(s, t)) {
			pd_session_give_up_ack(&s->session, t);
			atomic_fetch_add(&s->x->acks_given_up, 1);
		}
	}
	for (size_t i = 0; i < marks->names.n; i++)
		pd_session_mark_name(&s->session, marks->names.v[i].type, marks->names.v[i].name);
}

static void work(struct pd_stream *s)
{
	grpc_byte_buffer *inbox;
	struct pd_marks marks;
	uint32_t give_up, blocked;

	take_word(s, &inbox, &marks, &give_up);
	if (inbox)
		pd_stream_request(s, inbox);
	if (s->said_who) {
		apply_word(s, &marks, give_up);
		if (pd_session_has_work(&s->session))
			run_pass(s);
		blocked = pd_session_blocked(&s->session);
		if (!blocked)
			s->changed_ns = 0;
		pthread_mutex_lock(&s->mu);
		s->blocked = blocked;
		pthread_mutex_unlock(&s->mu);
	}
	pd_marks_clear(&marks);
}

void *pd_worker_main(void *arg)
{
	struct pd_xds *x = arg;
	enum pd_urgency urgency;
	uint64_t queued_ns, start;
	struct pd_job *j;

	while ((j = pd_queue_pop(&x->queue, &urgency, &queued_ns))) {
		struct pd_stream *s = (struct pd_stream *)((char *)j - offsetof(struct pd_stream, job));

		start = pd_now_ns();
		pd_count_queued(start - queued_ns);
		if (pd_stream_claim(s)) {
			work(s);
			pd_stream_release(s, PD_JOB_NONE);
			pd_count_pushed(urgency, pd_now_ns() - start);
		} // else whoever has it sees to what was left
		pd_stream_unref(s);
		pd_queue_done(&x->queue, urgency);
	}
	return NULL;
}
