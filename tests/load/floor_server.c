#include "tests/load/floor_server.h"

#include <errno.h>
#include <grpc/grpc_security.h>
#include <grpc/support/time.h>
#include <stdlib.h>

#include "tests/load/load_record.h"

enum { ACCEPTS = 16 }; // calls of each method that a queue is ready to take

enum op { OP_ACCEPT, OP_COMMAND, OP_START, OP_RECEIVE, OP_SEND, OP_CLOSE, OP_MASK = 7 };

struct worker;

struct accept {
	struct worker *worker;
	bool delta;
	grpc_call *call;
	gpr_timespec deadline;
	grpc_metadata_array metadata;
};

struct stream {
	struct worker *worker;
	struct stream *next, **prev;
	grpc_call *call;
	bool delta, sending, closed;
	bool asked[PD_LOAD_TYPES];
	unsigned ops;
	int cancelled;
	grpc_byte_buffer *received;
	struct pd_scratch scratch;
	const struct pd_floor_payload *queue[PD_FLOOR_QUEUE_MAX];
	unsigned queue_head, queue_n;
};

struct worker {
	struct pd_floor *floor;
	grpc_completion_queue *cq;
	pthread_t thread;
	struct pd_waker waker;
	atomic_int push; // enum pd_load_phase to send, -1 = none
	struct stream *streams;
	struct accept accepts[2][ACCEPTS];
};

struct pd_floor_server {
	grpc_server *server;
	void *methods[2];
	struct worker workers[PD_FLOOR_THREADS_MAX];
};

static void *tag_of(void *p, enum op op)
{
	return (void *)((uintptr_t)p | op);
}

static void batch(struct stream *s, const grpc_op *op, enum op what)
{
	s->ops++;
	grpc_call_error e = grpc_call_start_batch(s->call, op, 1, tag_of(s, what), NULL);
	PD_ASSERT(e == GRPC_CALL_OK);
}

static void receive(struct stream *s)
{
	grpc_op op = {.op = GRPC_OP_RECV_MESSAGE};
	op.data.recv_message.recv_message = &s->received;
	batch(s, &op, OP_RECEIVE);
}

static void send_next(struct stream *s)
{
	if (s->sending || s->queue_n == 0 || s->closed)
		return;
	grpc_slice bytes = s->queue[s->queue_head]->bytes;
	s->queue_head = (s->queue_head + 1) % PD_FLOOR_QUEUE_MAX;
	s->queue_n--;
	s->sending = true;
	grpc_byte_buffer *bb = grpc_raw_byte_buffer_create(&bytes, 1);
	grpc_op op = {.op = GRPC_OP_SEND_MESSAGE};
	op.data.send_message.send_message = bb;
	batch(s, &op, OP_SEND);
	grpc_byte_buffer_destroy(bb);
}

// Queues the recorded responses of a phase, of one type or of all (PD_LOAD_TYPES).
static void enqueue(struct stream *s, enum pd_load_phase phase, enum pd_load_type type)
{
	struct pd_floor *f = s->worker->floor;
	for (size_t i = 0; i < f->n_payloads; i++) {
		const struct pd_floor_payload *p = &f->payloads[i];
		if (p->phase != phase || p->delta != s->delta || (type != PD_LOAD_TYPES && p->type != type))
			continue;
		PD_ASSERT(s->queue_n < PD_FLOOR_QUEUE_MAX);
		s->queue[(s->queue_head + s->queue_n++) % PD_FLOOR_QUEUE_MAX] = p;
	}
	send_next(s);
}

static void accept_next(struct accept *a)
{
	struct pd_floor_server *srv = a->worker->floor->server;
	grpc_metadata_array_init(&a->metadata);
	grpc_call_error e = grpc_server_request_registered_call(srv->server, srv->methods[a->delta], &a->call,
								&a->deadline, &a->metadata, NULL, a->worker->cq,
								a->worker->cq, tag_of(a, OP_ACCEPT));
	PD_ASSERT(e == GRPC_CALL_OK);
}

static void on_accept(struct accept *a, bool ok)
{
	struct worker *w = a->worker;
	grpc_metadata_array_destroy(&a->metadata);
	if (!ok)
		return; // the server shuts down
	struct stream *s = pd_xcalloc(1, sizeof(*s));
	s->worker = w;
	s->call = a->call;
	s->delta = a->delta;
	s->next = w->streams;
	s->prev = &w->streams;
	if (s->next)
		s->next->prev = &s->next;
	w->streams = s;
	grpc_op start = {.op = GRPC_OP_SEND_INITIAL_METADATA}, end = {.op = GRPC_OP_RECV_CLOSE_ON_SERVER};
	end.data.recv_close_on_server.cancelled = &s->cancelled;
	batch(s, &end, OP_CLOSE);
	batch(s, &start, OP_START);
	receive(s);
	accept_next(a);
}

static void stream_free(struct stream *s)
{
	*s->prev = s->next;
	if (s->next)
		s->next->prev = s->prev;
	grpc_call_unref(s->call);
	free(s->scratch.p);
	free(s);
}

// The type of a request: field 4 of state of the world, 2 of delta.
static enum pd_load_type request_type(struct stream *s)
{
	struct pd_rope r;
	struct pd_field f;
	if (!pd_rope_init(&r, s->received))
		return PD_LOAD_TYPES;
	for (struct pd_rope before = r; pd_rope_next(&r, &f, false, NULL); before = r) {
		if (f.num != (s->delta ? 2 : 4))
			continue;
		return pd_rope_next(&before, &f, true, &s->scratch) ? pd_load_type_of(f.p, f.n) : PD_LOAD_TYPES;
	}
	return PD_LOAD_TYPES;
}

static void on_received(struct stream *s)
{
	if (!s->received)
		return;
	enum pd_load_type t = request_type(s);
	atomic_fetch_add(&s->worker->floor->requests, 1);
	grpc_byte_buffer_destroy(s->received);
	s->received = NULL;
	if (t != PD_LOAD_TYPES && !s->asked[t]) { // all others are acknowledgements
		s->asked[t] = true;
		enqueue(s, PD_PHASE_STORM, t);
	}
	receive(s);
}

static void on_stream(struct stream *s, enum op op)
{
	s->ops--;
	if (op == OP_RECEIVE) {
		on_received(s);
	} else if (op == OP_SEND) {
		s->sending = false;
		send_next(s);
	} else if (op == OP_CLOSE) {
		s->closed = true;
	}
	if (s->ops == 0)
		stream_free(s);
}

static void on_command(struct worker *w)
{
	int phase = atomic_exchange(&w->push, -1);
	if (phase < 0)
		return;
	for (struct stream *s = w->streams; s; s = s->next)
		enqueue(s, (enum pd_load_phase)phase, PD_LOAD_TYPES);
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	for (;;) {
		grpc_event e = grpc_completion_queue_next(w->cq, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
		if (e.type == GRPC_QUEUE_SHUTDOWN)
			return NULL;
		enum op op = (enum op)((uintptr_t)e.tag & OP_MASK);
		void *p = (void *)((uintptr_t)e.tag & ~(uintptr_t)OP_MASK);
		if (op == OP_ACCEPT)
			on_accept(p, e.success != 0);
		else if (op == OP_COMMAND)
			on_command(p);
		else
			on_stream(p, op);
	}
}

// Both kinds of response have their type in field 4.
static int load_one(struct pd_floor *f, struct pd_record *r)
{
	struct pd_field url;
	if (f->n_payloads == PD_FLOOR_PAYLOADS_MAX)
		return PD_E_LIMIT;
	struct pd_floor_payload *p = &f->payloads[f->n_payloads];
	p->delta = r->delta;
	p->phase = (enum pd_load_phase)r->phase;
	p->type = pd_scan_find(r->bytes, r->n, 4, &url) ? pd_load_type_of(url.p, url.n) : PD_LOAD_TYPES;
	if (p->type == PD_LOAD_TYPES)
		return PD_E_PARSE;
	p->bytes = grpc_slice_new(r->bytes, r->n, free);
	f->n_payloads++;
	r->bytes = NULL;
	return PD_OK;
}

int pd_floor_load(struct pd_floor *f, const char *path)
{
	struct pd_record r = {0};
	FILE *in = pd_record_open(path);
	if (!in)
		return errno ? PD_E_IO : PD_E_PARSE;
	int rc = 1;
	while (rc > 0 && (rc = pd_record_next(in, &r)) > 0) {
		if (r.phase != PD_PHASE_OTHER && load_one(f, &r) != PD_OK)
			rc = PD_E_LIMIT;
		free(r.bytes);
	}
	fclose(in);
	return rc;
}

static void start_worker(struct worker *w)
{
	pd_waker_init(&w->waker, w->cq);
	atomic_store(&w->push, -1);
	for (int delta = 0; delta < 2; delta++) {
		for (int i = 0; i < ACCEPTS; i++) {
			w->accepts[delta][i] = (struct accept){.worker = w, .delta = delta == 1};
			accept_next(&w->accepts[delta][i]);
		}
	}
	int e = pthread_create(&w->thread, NULL, worker_main, w);
	PD_ASSERT(e == 0);
}

int pd_floor_start(struct pd_floor *f)
{
	static const char service[] = "/envoy.service.discovery.v3.AggregatedDiscoveryService/";
	char path[128], address[32];
	grpc_arg a[] = {
		{GRPC_ARG_INTEGER, (char *)GRPC_ARG_ALLOW_REUSEPORT, {.integer = 0}},
		{GRPC_ARG_INTEGER, (char *)GRPC_ARG_ENABLE_CHANNELZ, {.integer = 0}},
		{GRPC_ARG_INTEGER, (char *)GRPC_ARG_HTTP2_BDP_PROBE, {.integer = 0}},
	};
	grpc_channel_args args = {sizeof(a) / sizeof(a[0]), a};
	grpc_init();
	struct pd_floor_server *srv = f->server = pd_xcalloc(1, sizeof(*srv));
	srv->server = grpc_server_create(&args, NULL);
	for (int delta = 0; delta < 2; delta++) {
		snprintf(path, sizeof(path), "%s%s", service,
			 delta ? "DeltaAggregatedResources" : "StreamAggregatedResources");
		srv->methods[delta] = grpc_server_register_method(srv->server, path, NULL, GRPC_SRM_PAYLOAD_NONE, 0);
	}
	for (unsigned i = 0; i < f->threads; i++) {
		srv->workers[i].floor = f;
		srv->workers[i].cq = grpc_completion_queue_create_for_next(NULL);
		grpc_server_register_completion_queue(srv->server, srv->workers[i].cq, NULL);
	}
	grpc_server_credentials *creds = grpc_insecure_server_credentials_create();
	snprintf(address, sizeof(address), "127.0.0.1:%d", f->port);
	f->port = grpc_server_add_http2_port(srv->server, address, creds);
	grpc_server_credentials_release(creds);
	if (f->port == 0)
		return PD_E_IO;
	grpc_server_start(srv->server);
	for (unsigned i = 0; i < f->threads; i++)
		start_worker(&srv->workers[i]);
	return PD_OK;
}

void pd_floor_push(struct pd_floor *f, enum pd_load_phase phase)
{
	for (unsigned i = 0; i < f->threads; i++) {
		struct worker *w = &f->server->workers[i];
		atomic_store(&w->push, (int)phase);
		pd_waker_post(&w->waker, tag_of(w, OP_COMMAND));
	}
}

void pd_floor_stop(struct pd_floor *f)
{
	struct pd_floor_server *srv = f->server;
	struct worker *last = &srv->workers[0];
	// Its tag comes out as a command that finds nothing to push.
	grpc_server_shutdown_and_notify(srv->server, last->cq, tag_of(last, OP_COMMAND));
	grpc_server_cancel_all_calls(srv->server);
	for (unsigned i = 0; i < f->threads; i++) {
		pd_waker_free(&srv->workers[i].waker);
		grpc_completion_queue_shutdown(srv->workers[i].cq);
	}
	for (unsigned i = 0; i < f->threads; i++)
		pthread_join(srv->workers[i].thread, NULL);
	grpc_server_destroy(srv->server);
	for (unsigned i = 0; i < f->threads; i++)
		grpc_completion_queue_destroy(srv->workers[i].cq);
	for (size_t i = 0; i < f->n_payloads; i++)
		grpc_slice_unref(f->payloads[i].bytes);
	free(srv);
	grpc_shutdown_blocking();
}
