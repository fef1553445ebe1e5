// The streams of the simulated proxies over grpc core, and the worker threads that drive them.
//
// Each proxy has a channel of its own, so a connection of its own, like a process of its own. A tag is the proxy's address with
// the kind of batch in its low bits. A call ends when all its batches have come back; then it is freed, or, if the main thread
// asked for a reconnect, opened anew.
#include <grpc/grpc_security.h>
#include <grpc/support/alloc.h>
#include <grpc/support/time.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "tests/load/load_proxy.h"

enum op { OP_START, OP_RECEIVE, OP_SEND, OP_STATUS, OP_MASK = 7 };

static void *tag_of(struct pd_load_proxy *p, enum op op)
{
	return (void *)((uintptr_t)p | op);
}

static void batch(struct pd_load_proxy *p, const grpc_op *ops, size_t n, enum op op)
{
	p->ops++;
	grpc_call_error e = grpc_call_start_batch(p->call, ops, n, tag_of(p, op), NULL);
	PD_ASSERT(e == GRPC_CALL_OK);
}

static void receive(struct pd_load_proxy *p)
{
	grpc_op op = {.op = GRPC_OP_RECV_MESSAGE};
	op.data.recv_message.recv_message = &p->received;
	batch(p, &op, 1, OP_RECEIVE);
}

static void send_next(struct pd_load_proxy *p)
{
	if (p->sending || p->queue_n == 0 || p->closing)
		return;
	grpc_byte_buffer *bb = p->queue[p->queue_head];
	p->queue_head = (p->queue_head + 1) % PD_LOAD_SENDQ_MAX;
	p->queue_n--;
	p->sending = true;
	atomic_fetch_add(&p->worker->shared->bytes_out, grpc_byte_buffer_length(bb));
	grpc_op op = {.op = GRPC_OP_SEND_MESSAGE};
	op.data.send_message.send_message = bb;
	batch(p, &op, 1, OP_SEND);
	grpc_byte_buffer_destroy(bb);
}

void pd_stream_send(struct pd_load_proxy *p, grpc_byte_buffer *request)
{
	PD_ASSERT(p->queue_n < PD_LOAD_SENDQ_MAX);
	p->queue[(p->queue_head + p->queue_n) % PD_LOAD_SENDQ_MAX] = request;
	p->queue_n++;
	send_next(p);
}

static grpc_channel *open_channel(const struct pd_load_shared *sh)
{
	grpc_arg a[] = {
		{GRPC_ARG_INTEGER, (char *)GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, {.integer = 1}},
		{GRPC_ARG_INTEGER, (char *)GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, {.integer = -1}},
		{GRPC_ARG_INTEGER, (char *)GRPC_ARG_ENABLE_RETRIES, {.integer = 0}},
		{GRPC_ARG_INTEGER, (char *)GRPC_ARG_ENABLE_HTTP_PROXY, {.integer = 0}},
		{GRPC_ARG_INTEGER, (char *)GRPC_ARG_ENABLE_CHANNELZ, {.integer = 0}},
		{GRPC_ARG_INTEGER, (char *)GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, {.integer = sh->window}},
		// Envoy announces a fixed window and does not probe.
		{GRPC_ARG_INTEGER, (char *)GRPC_ARG_HTTP2_BDP_PROBE, {.integer = 0}},
	};
	grpc_channel_args args = {sizeof(a) / sizeof(a[0]), a};
	grpc_channel_credentials *creds = grpc_insecure_credentials_create();
	grpc_channel *ch = grpc_channel_create(sh->address, creds, &args);
	grpc_channel_credentials_release(creds);
	return ch;
}

static void open_stream(struct pd_load_proxy *p)
{
	struct pd_load_worker *w = p->worker;
	grpc_slice method = grpc_slice_from_static_string(
		p->delta ? "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
			 : "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources");
	p->node_sent = p->sending = p->closing = p->reopen = p->heard = false;
	p->channel = open_channel(w->shared);
	p->call = grpc_channel_create_call(p->channel, NULL, GRPC_PROPAGATE_DEFAULTS, w->cq, method, NULL,
					   gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
	grpc_metadata_array_init(&p->initial_metadata);
	grpc_metadata_array_init(&p->trailing_metadata);
	p->status_details = grpc_empty_slice();
	w->live++;
	p->open = true;
	atomic_fetch_add(&w->shared->n_open, 1);

	grpc_op status = {.op = GRPC_OP_RECV_STATUS_ON_CLIENT};
	status.data.recv_status_on_client.trailing_metadata = &p->trailing_metadata;
	status.data.recv_status_on_client.status = &p->status;
	status.data.recv_status_on_client.status_details = &p->status_details;
	grpc_op start[2] = {{.op = GRPC_OP_SEND_INITIAL_METADATA, .flags = GRPC_INITIAL_METADATA_WAIT_FOR_READY},
			    {.op = GRPC_OP_RECV_INITIAL_METADATA}};
	start[1].data.recv_initial_metadata.recv_initial_metadata = &p->initial_metadata;
	batch(p, start, 2, OP_START);
	batch(p, &status, 1, OP_STATUS);
	receive(p);
	pd_proxy_start(p);
}

static void close_stream(struct pd_load_proxy *p)
{
	if (!p->open || p->closing)
		return;
	p->closing = true;
	grpc_call_cancel(p->call, NULL);
}

// All batches are back.
static void stream_gone(struct pd_load_proxy *p)
{
	struct pd_load_worker *w = p->worker;
	for (; p->queue_n > 0; p->queue_n--) {
		grpc_byte_buffer_destroy(p->queue[p->queue_head]);
		p->queue_head = (p->queue_head + 1) % PD_LOAD_SENDQ_MAX;
	}
	grpc_metadata_array_destroy(&p->initial_metadata);
	grpc_metadata_array_destroy(&p->trailing_metadata);
	grpc_slice_unref(p->status_details);
	grpc_call_unref(p->call);
	grpc_channel_destroy(p->channel);
	p->call = NULL;
	p->channel = NULL;
	p->open = false;
	w->live--;
	atomic_fetch_sub(&w->shared->n_open, 1);
	if (p->reopen && !w->stopping)
		open_stream(p);
}

static void on_received(struct pd_load_proxy *p)
{
	struct pd_load_shared *sh = p->worker->shared;
	if (!p->received)
		return; // the stream ends; the status will tell why
	uint64_t now = pd_now_ns();
	p->heard = true;
	p->refusals = 0;
	atomic_store(&sh->last_rx_ns, now);
	atomic_fetch_add(&sh->bytes_in, grpc_byte_buffer_length(p->received));
	if (!p->closing && !pd_proxy_receive(p, p->received, now)) {
		pd_error("load", "proxy %u: malformed response", p->index);
		atomic_fetch_add(&sh->n_broken, 1);
		close_stream(p);
	}
	grpc_byte_buffer_destroy(p->received);
	p->received = NULL;
	receive(p);
}

// A server that has enough to do refuses new streams; an Envoy comes back a little later.
static bool try_later(struct pd_load_proxy *p)
{
	if (p->heard || p->refusals == PD_LOAD_REFUSALS_MAX ||
	    (p->status != GRPC_STATUS_RESOURCE_EXHAUSTED && p->status != GRPC_STATUS_UNAVAILABLE))
		return false;
	uint64_t pause_ms = (uint64_t)PD_LOAD_RETRY_MS << (p->refusals < 6 ? p->refusals : 6);
	p->refusals++;
	// Spread by the number of the proxy, as Envoy does by chance: between half and all of the pause.
	p->retry_ns = pd_now_ns() + (pause_ms * 500000) + pause_ms * 500000 / 64 * (p->index * 37 % 64);
	p->worker->waiting++;
	atomic_fetch_add(&p->worker->shared->n_refused, 1);
	return true;
}

static void on_status(struct pd_load_proxy *p)
{
	if (p->closing)
		return;
	p->closing = true;
	if (try_later(p))
		return;
	atomic_fetch_add(&p->worker->shared->n_broken, 1);
	char *details = grpc_slice_to_c_string(p->status_details);
	pd_error("load", "proxy %u: the server ended the stream: status %d %s", p->index, (int)p->status, details);
	gpr_free(details);
}

static void on_event(void *tag)
{
	struct pd_load_proxy *p = (struct pd_load_proxy *)((uintptr_t)tag & ~(uintptr_t)OP_MASK);
	p->ops--;
	switch ((enum op)((uintptr_t)tag & OP_MASK)) {
	case OP_RECEIVE:
		on_received(p);
		break;
	case OP_SEND:
		p->sending = false;
		send_next(p);
		break;
	case OP_STATUS:
		on_status(p);
		break;
	case OP_START:
	case OP_MASK:
		break;
	}
	if (p->ops == 0)
		stream_gone(p);
}

static void on_command(struct pd_load_worker *w)
{
	enum pd_worker_command c = (enum pd_worker_command)atomic_exchange(&w->command, PD_WORKER_NONE);
	w->stopping = c == PD_WORKER_STOP;
	for (uint32_t i = w->first; i < w->n_proxies; i += w->stride) {
		struct pd_load_proxy *p = &w->proxies[i];
		if (c == PD_WORKER_CONNECT && !p->open) {
			open_stream(p);
		} else if (c == PD_WORKER_RECONNECT && p->delta) {
			p->reopen = true;
			close_stream(p);
		} else if (c == PD_WORKER_STOP) {
			close_stream(p);
		}
	}
}

static void retry_due(struct pd_load_worker *w)
{
	uint64_t now = pd_now_ns();
	if (now < w->retry_look_ns)
		return;
	w->retry_look_ns = now + 20000000;
	for (uint32_t i = w->first; i < w->n_proxies; i += w->stride) {
		struct pd_load_proxy *p = &w->proxies[i];
		if (p->retry_ns == 0 || p->retry_ns > now || p->open)
			continue;
		p->retry_ns = 0;
		w->waiting--;
		open_stream(p);
	}
}

static void *worker_main(void *arg)
{
	struct pd_load_worker *w = arg;
	while (!w->stopping || w->live > 0) {
		gpr_timespec until = gpr_inf_future(GPR_CLOCK_REALTIME);
		if (w->waiting > 0 && !w->stopping) {
			retry_due(w);
			until = gpr_time_add(gpr_now(GPR_CLOCK_REALTIME), gpr_time_from_millis(20, GPR_TIMESPAN));
		}
		grpc_event e = grpc_completion_queue_next(w->cq, until, NULL);
		if (e.type == GRPC_QUEUE_TIMEOUT)
			continue;
		PD_ASSERT(e.type == GRPC_OP_COMPLETE);
		if (e.tag == w)
			on_command(w);
		else
			on_event(e.tag);
	}
	return NULL;
}

void pd_worker_start(struct pd_load_worker *w)
{
	w->cq = grpc_completion_queue_create_for_next(NULL);
	pd_waker_init(&w->waker, w->cq);
	pd_load_intern(&w->cache, &w->cache.versions, "", 0); // number 0 means "no version"
	for (uint32_t i = w->first; i < w->n_proxies; i += w->stride)
		w->proxies[i].worker = w;
	int e = pthread_create(&w->thread, NULL, worker_main, w);
	PD_ASSERT(e == 0);
}

void pd_worker_command(struct pd_load_worker *w, enum pd_worker_command command)
{
	atomic_store(&w->command, command);
	pd_waker_post(&w->waker, w);
}

void pd_worker_join(struct pd_load_worker *w)
{
	pthread_join(w->thread, NULL);
	pd_waker_free(&w->waker);
	grpc_completion_queue_shutdown(w->cq);
	while (grpc_completion_queue_next(w->cq, gpr_inf_future(GPR_CLOCK_REALTIME), NULL).type != GRPC_QUEUE_SHUTDOWN)
		;
	grpc_completion_queue_destroy(w->cq);
	for (uint32_t i = w->first; i < w->n_proxies; i += w->stride)
		pd_proxy_free(&w->proxies[i]);
	for (size_t i = 0; i < w->namesets.n; i++)
		grpc_slice_unref(w->namesets.v[i]);
	for (int t = 0; t < PD_LOAD_TYPES; t++)
		pd_idmap_free(&w->nameset_by_hash[t]);
	pd_vec_free(&w->namesets);
	pd_vec_free(&w->added);
	pd_vec_free(&w->dropped);
	pd_buf_free(&w->buf);
	pd_buf_free(&w->buf2);
	free(w->scratch.p);
	pd_load_cache_free(&w->cache);
}
