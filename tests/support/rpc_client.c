#include "tests/support/rpc_client.h"

#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/support/alloc.h>
#include <stdlib.h>

#include "base/mem.h"

#define HEADERS_MAX 8

struct rpc_cli {
	grpc_completion_queue *cq;
	grpc_channel *channel;
};

grpc_channel_credentials *rpc_credentials(const struct rpc_options *o)
{
	grpc_ssl_pem_key_cert_pair pair = {o->key_pem, o->cert_pem};

	if (!o->roots_pem)
		return grpc_insecure_credentials_create();
	return grpc_ssl_credentials_create(o->roots_pem, o->cert_pem ? &pair : NULL, NULL, NULL);
}

struct rpc_cli *rpc_open(const struct rpc_options *o)
{
	struct rpc_cli *c = pd_xcalloc(1, sizeof(*c));
	grpc_channel_credentials *creds;
	grpc_arg args[2] = {{.type = GRPC_ARG_INTEGER, .key = GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, .value.integer = 1},
			    {.type = GRPC_ARG_STRING,
			     .key = GRPC_SSL_TARGET_NAME_OVERRIDE_ARG,
			     .value.string = (char *)o->server_name}};

	grpc_init();
	c->cq = grpc_completion_queue_create_for_next(NULL);
	creds = rpc_credentials(o);
	c->channel = grpc_channel_create(o->address, creds, &(grpc_channel_args){o->server_name ? 2 : 1, args});
	grpc_channel_credentials_release(creds);
	return c;
}

void rpc_close(struct rpc_cli *c)
{
	grpc_channel_destroy(c->channel);
	grpc_completion_queue_shutdown(c->cq);
	while (grpc_completion_queue_next(c->cq, gpr_inf_future(GPR_CLOCK_REALTIME), NULL).type != GRPC_QUEUE_SHUTDOWN)
		;
	grpc_completion_queue_destroy(c->cq);
	free(c);
	grpc_shutdown_blocking();
}

static void add_slice(struct pd_buf *out, grpc_slice s)
{
	pd_buf_add(out, GRPC_SLICE_START_PTR(s), GRPC_SLICE_LENGTH(s));
}

static void add_message(struct pd_buf *out, grpc_byte_buffer *b)
{
	grpc_byte_buffer_reader r;
	grpc_slice all;

	PD_ASSERT(grpc_byte_buffer_reader_init(&r, b));
	all = grpc_byte_buffer_reader_readall(&r);
	add_slice(out, all);
	grpc_slice_unref(all);
	grpc_byte_buffer_reader_destroy(&r);
}

struct state {
	grpc_call *call;
	grpc_metadata_array headers, trailers;
	grpc_byte_buffer *received;
	grpc_status_code status;
	grpc_slice text;
};

static void start(struct state *s, const grpc_op *op, size_t n, intptr_t tag)
{
	PD_ASSERT(grpc_call_start_batch(s->call, op, n, (void *)tag, NULL) == GRPC_CALL_OK);
}

// Starts what receives, then what sends. Returns how many batches are under way; that of the message has tag 2.
static int start_all(struct state *s, const struct rpc_wish *w)
{
	grpc_metadata md[HEADERS_MAX] = {0};
	grpc_op receive[3] = {{.op = GRPC_OP_RECV_INITIAL_METADATA},
			      {.op = GRPC_OP_RECV_MESSAGE},
			      {.op = GRPC_OP_RECV_STATUS_ON_CLIENT}};
	grpc_op send[3] = {{.op = GRPC_OP_SEND_INITIAL_METADATA}};
	grpc_slice slice = grpc_slice_from_copied_buffer(w->bytes ? w->bytes : "", w->bytes ? w->n : 0);
	grpc_byte_buffer *message = grpc_raw_byte_buffer_create(&slice, 1);
	size_t n = 1;

	PD_ASSERT(w->n_headers <= HEADERS_MAX);
	for (size_t i = 0; i < w->n_headers; i++) {
		md[i].key = grpc_slice_from_static_string(w->headers[i].key);
		md[i].value = grpc_slice_from_copied_string(w->headers[i].value);
	}
	send[0].data.send_initial_metadata.count = w->n_headers;
	send[0].data.send_initial_metadata.metadata = md;
	receive[0].data.recv_initial_metadata.recv_initial_metadata = &s->headers;
	receive[1].data.recv_message.recv_message = &s->received;
	receive[2].data.recv_status_on_client.trailing_metadata = &s->trailers;
	receive[2].data.recv_status_on_client.status = &s->status;
	receive[2].data.recv_status_on_client.status_details = &s->text;
	start(s, receive, 3, 1);
	if (w->bytes) {
		send[n].op = GRPC_OP_SEND_MESSAGE;
		send[n++].data.send_message.send_message = message;
	}
	if (!w->keep_open)
		send[n++].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
	start(s, send, n, 2);
	for (size_t i = 0; i < w->n_headers; i++)
		grpc_slice_unref(md[i].value);
	grpc_byte_buffer_destroy(message);
	grpc_slice_unref(slice);
	return 2;
}

static void forget(struct state *s)
{
	if (s->received)
		grpc_byte_buffer_destroy(s->received);
	grpc_metadata_array_destroy(&s->headers);
	grpc_metadata_array_destroy(&s->trailers);
	grpc_slice_unref(s->text);
	grpc_call_unref(s->call);
}

int rpc_call(struct rpc_cli *c, const struct rpc_wish *w, struct pd_buf *response, struct pd_buf *text)
{
	gpr_timespec until =
		gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(RPC_WAIT_MS, GPR_TIMESPAN));
	grpc_slice path = grpc_slice_from_copied_string(w->method);
	struct state s = {0};

	s.call = grpc_channel_create_call(c->channel, NULL, GRPC_PROPAGATE_DEFAULTS, c->cq, path, NULL,
					  gpr_convert_clock_type(until, GPR_CLOCK_REALTIME), NULL);
	grpc_slice_unref(path);
	grpc_metadata_array_init(&s.headers);
	grpc_metadata_array_init(&s.trailers);
	for (int left = start_all(&s, w); left > 0; left--) {
		grpc_event ev = grpc_completion_queue_next(c->cq, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
		if (ev.tag == (void *)2 && w->cancel)
			grpc_call_cancel(s.call, NULL);
	}
	if (response) {
		pd_buf_reset(response);
		if (s.received)
			add_message(response, s.received);
	}
	if (text) {
		pd_buf_reset(text);
		add_slice(text, s.text);
	}
	forget(&s);
	return s.status;
}
