// The operations of a stream's call. Each has a tag of its own and holds a reference while it is under way.
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "xds/server_impl.h"

#define QUICK_DELTA_MAX 4096 // bytes of an incremental request that the completion-queue thread handles itself

static void start_batch(struct pd_stream *s, grpc_op *op, enum pd_op which)
{
	grpc_call_error rc;

	pd_stream_ref(s);
	rc = grpc_call_start_batch(s->call, op, 1, &s->tags[which].tag, NULL);
	PD_ASSERT(rc == GRPC_CALL_OK);
}

static struct pd_stream *stream_of(struct pd_tag *t)
{
	return ((struct pd_stream_tag *)t)->s;
}

// ---- close -------------------------------------------------------------------------------------------------------------

void pd_stream_watch_close(struct pd_stream *s)
{
	grpc_op op = {.op = GRPC_OP_RECV_CLOSE_ON_SERVER};

	op.data.recv_close_on_server.cancelled = &s->cancelled;
	start_batch(s, &op, PD_OP_CLOSE);
}

static void on_close(struct pd_tag *t, bool ok)
{
	struct pd_stream *s = stream_of(t);
	bool claimed;

	(void)ok;
	pthread_mutex_lock(&s->mu);
	s->closed = s->ended = true;
	claimed = !s->running;
	s->running = true;
	pthread_mutex_unlock(&s->mu);
	if (claimed)
		pd_stream_release(s, PD_JOB_NONE);
	pd_stream_unref(s);
}

// ---- headers and status ------------------------------------------------------------------------------------------------

void pd_stream_send_headers(struct pd_stream *s)
{
	grpc_op op = {.op = GRPC_OP_SEND_INITIAL_METADATA};

	start_batch(s, &op, PD_OP_HEADERS);
}

void pd_stream_send_status(struct pd_stream *s)
{
	grpc_slice text = grpc_slice_from_copied_string(s->text);
	grpc_op op = {.op = GRPC_OP_SEND_STATUS_FROM_SERVER};

	op.data.send_status_from_server.status = s->code;
	op.data.send_status_from_server.status_details = &text;
	start_batch(s, &op, PD_OP_STATUS);
	grpc_slice_unref(text);
}

static void on_done(struct pd_tag *t, bool ok)
{
	(void)ok;
	pd_stream_unref(stream_of(t));
}

// ---- receiving ---------------------------------------------------------------------------------------------------------

void pd_stream_read(struct pd_stream *s)
{
	grpc_op op = {.op = GRPC_OP_RECV_MESSAGE};

	op.data.recv_message.recv_message = &s->received;
	start_batch(s, &op, PD_OP_RECV);
}

static void on_message(struct pd_stream *s, grpc_byte_buffer *b)
{
	enum pd_urgency more;
	bool quick;

	pthread_mutex_lock(&s->mu);
	if (s->ended) {
		pthread_mutex_unlock(&s->mu);
		grpc_byte_buffer_destroy(b);
		return;
	}
	// The first request computes a view, a long incremental one compares versions: not here.
	quick = !s->running && s->said_who && !(s->delta && grpc_byte_buffer_length(b) > QUICK_DELTA_MAX);
	if (quick)
		s->running = true;
	else
		s->inbox = b;
	pthread_mutex_unlock(&s->mu);
	if (!quick) {
		pd_stream_queue(s, PD_JOB_REQUEST);
		return;
	}
	more = pd_stream_request(s, b);
	pd_stream_release(s, more);
}

static void on_recv(struct pd_tag *t, bool ok)
{
	struct pd_stream *s = stream_of(t);
	grpc_byte_buffer *b = s->received;

	(void)ok;
	s->received = NULL;
	if (b)
		on_message(s, b);
	else // the client has said its last word, or is gone: then the status goes nowhere
		pd_stream_end(s, GRPC_STATUS_OK, "");
	pd_stream_unref(s);
}

// ---- sending -----------------------------------------------------------------------------------------------------------

static void start_send(struct pd_stream *s)
{
	grpc_op op = {.op = GRPC_OP_SEND_MESSAGE};

	op.data.send_message.send_message = s->current.buffer;
	start_batch(s, &op, PD_OP_SEND);
}

static void next_locked(struct pd_stream *s)
{
	s->current = s->out[0];
	memmove(&s->out[0], &s->out[1], --s->n_out * sizeof(s->out[0]));
	s->send_started_ns = pd_now_ns();
}

// A response of this type that still waits was overtaken: the client began the watch anew, and this one says everything.
static void replace_locked(struct pd_stream *s, enum pd_type t)
{
	for (size_t i = 0; i < s->n_out; i++) {
		if (s->out[i].type != t)
			continue;
		grpc_byte_buffer_destroy(s->out[i].buffer);
		memmove(&s->out[i], &s->out[i + 1], (--s->n_out - i) * sizeof(s->out[0]));
		return;
	}
}

void pd_stream_send(struct pd_stream *s, const struct pd_out *o)
{
	bool start = false;

	pthread_mutex_lock(&s->mu);
	if (s->ended) {
		grpc_byte_buffer_destroy(o->buffer);
	} else {
		replace_locked(s, o->type);
		PD_ASSERT(s->n_out < PD_OUT_MAX);
		s->out[s->n_out++] = *o;
		s->sent_ns[o->type] = 0;
		start = !s->sending;
		if (start) {
			s->sending = true;
			next_locked(s);
		}
	}
	pthread_mutex_unlock(&s->mu);
	if (start)
		start_send(s);
}

static void on_sent(struct pd_tag *t, bool ok)
{
	struct pd_stream *s = stream_of(t);
	uint64_t now = pd_now_ns(), started;
	struct pd_out done;
	bool next, status;

	pthread_mutex_lock(&s->mu);
	done = s->current;
	started = s->send_started_ns;
	s->sent_ns[done.type] = now;
	if (!ok)
		pd_stream_drop_out(s);
	next = s->n_out > 0;
	if (next)
		next_locked(s);
	else
		s->sending = false;
	status = !next && s->ended && !s->status_sent && !s->closed;
	if (status)
		s->status_sent = true;
	pthread_mutex_unlock(&s->mu);
	grpc_byte_buffer_destroy(done.buffer);
	if (ok)
		pd_count_sent(s->x, &done, started, now);
	if (next)
		start_send(s);
	else if (status)
		pd_stream_send_status(s);
	pd_stream_unref(s);
}

void pd_stream_drop_out(struct pd_stream *s)
{
	for (size_t i = 0; i < s->n_out; i++)
		grpc_byte_buffer_destroy(s->out[i].buffer);
	s->n_out = 0;
}

void pd_stream_tags(struct pd_stream *s)
{
	static void (*const fn[PD_OP_COUNT])(struct pd_tag *, bool) = {
		[PD_OP_CLOSE] = on_close, [PD_OP_HEADERS] = on_done, [PD_OP_RECV] = on_recv,
		[PD_OP_SEND] = on_sent,   [PD_OP_STATUS] = on_done,
	};

	for (int i = 0; i < PD_OP_COUNT; i++)
		s->tags[i] = (struct pd_stream_tag){{fn[i]}, s};
}
