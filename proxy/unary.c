#include "proxy/unary.h"

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/support/alloc.h>
#include <grpc/support/time.h>

static const char *const status_names[] = {
	"OK",        "CANCELLED",       "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
	"NOT_FOUND", "ALREADY_EXISTS",  "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
	"ABORTED",   "OUT_OF_RANGE",    "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
	"DATA_LOSS", "UNAUTHENTICATED",
};

// The state of a call under way. All-zero but for the call.
struct call {
	grpc_call *call;
	grpc_completion_queue *cq;
	grpc_metadata_array headers, trailers;
	grpc_byte_buffer *reply;
	grpc_status_code status;
	grpc_slice details;
	bool stopped;
};

static grpc_channel *open_channel(const struct pd_unary *u)
{
	grpc_arg args[3];
	size_t n = 0;
	args[n++] = (grpc_arg){.type = GRPC_ARG_INTEGER,
			       .key = (char *)GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, // a connection of its own
			       .value = {.integer = 1}};
	args[n++] = (grpc_arg){.type = GRPC_ARG_INTEGER,
			       .key = (char *)GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH,
			       .value = {.integer = PD_UNARY_REPLY_MAX}};
	if (u->roots && u->server_name)
		args[n++] = (grpc_arg){.type = GRPC_ARG_STRING,
				       .key = (char *)GRPC_SSL_TARGET_NAME_OVERRIDE_ARG,
				       .value = {.string = (char *)u->server_name}};
	grpc_ssl_pem_key_cert_pair pair = {u->key, u->cert};
	grpc_channel_credentials *creds =
		u->roots ? grpc_ssl_credentials_create_ex(u->roots, u->cert ? &pair : NULL, NULL, NULL)
			 : grpc_insecure_credentials_create();
	grpc_channel *channel = grpc_channel_create(u->target, creds, &(grpc_channel_args){n, args});
	grpc_channel_credentials_release(creds);
	return channel;
}

static size_t fill_headers(const struct pd_unary *u, grpc_metadata *out)
{
	PD_ASSERT(u->n_headers <= PD_UNARY_HEADERS);
	for (size_t i = 0; i < u->n_headers; i++)
		out[i] = (grpc_metadata){.key = grpc_slice_from_copied_string(u->headers[i].key),
					 .value = grpc_slice_from_copied_string(u->headers[i].value)};
	return u->n_headers;
}

static void start(struct call *c, const struct pd_unary *u)
{
	grpc_metadata headers[PD_UNARY_HEADERS];
	size_t n = fill_headers(u, headers);
	grpc_slice bytes = grpc_slice_from_copied_buffer(u->request, u->request_len);
	grpc_byte_buffer *message = grpc_raw_byte_buffer_create(&bytes, 1);
	grpc_op op[] = {
		{.op = GRPC_OP_SEND_INITIAL_METADATA, .data.send_initial_metadata = {.count = n, .metadata = headers}},
		{.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = message},
		{.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT},
		{.op = GRPC_OP_RECV_INITIAL_METADATA, .data.recv_initial_metadata.recv_initial_metadata = &c->headers},
		{.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &c->reply},
		{.op = GRPC_OP_RECV_STATUS_ON_CLIENT,
		 .data.recv_status_on_client = {.trailing_metadata = &c->trailers,
						.status = &c->status,
						.status_details = &c->details}},
	};
	PD_ASSERT(grpc_call_start_batch(c->call, op, sizeof(op) / sizeof(op[0]), c, NULL) == GRPC_CALL_OK);
	grpc_byte_buffer_destroy(message);
	grpc_slice_unref(bytes);
	for (size_t i = 0; i < n; i++) {
		grpc_slice_unref(headers[i].key);
		grpc_slice_unref(headers[i].value);
	}
}

// The batch completes in any case: at the deadline at the latest.
static void wait(struct call *c, const atomic_bool *stop)
{
	for (;;) {
		gpr_timespec until = gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
						  gpr_time_from_millis(PD_UNARY_STOP_MS, GPR_TIMESPAN));
		if (grpc_completion_queue_pluck(c->cq, c, until, NULL).type == GRPC_OP_COMPLETE)
			return;
		if (stop && *stop && !c->stopped) {
			c->stopped = true;
			grpc_call_cancel(c->call, NULL);
		}
	}
}

static void copy(const grpc_byte_buffer *from, struct pd_buf *to)
{
	grpc_byte_buffer_reader reader;
	PD_ASSERT(grpc_byte_buffer_reader_init(&reader, (grpc_byte_buffer *)from));
	grpc_slice s = grpc_byte_buffer_reader_readall(&reader);
	pd_buf_add(to, GRPC_SLICE_START_PTR(s), GRPC_SLICE_LENGTH(s));
	grpc_slice_unref(s);
	grpc_byte_buffer_reader_destroy(&reader);
}

static int result(const struct call *c, struct pd_buf *reply, struct pd_buf *why)
{
	if (c->status == GRPC_STATUS_OK && c->reply) {
		copy(c->reply, reply);
		return PD_OK;
	}
	size_t names = sizeof(status_names) / sizeof(status_names[0]);
	pd_buf_adds(why, (size_t)c->status < names ? status_names[c->status] : "status out of range");
	if (c->stopped) {
		pd_buf_adds(why, ": stopped");
		return PD_E_CLOSED;
	}
	pd_buf_adds(why, ": ");
	pd_buf_add(why, GRPC_SLICE_START_PTR(c->details), GRPC_SLICE_LENGTH(c->details));
	switch (c->status) {
	case GRPC_STATUS_DEADLINE_EXCEEDED:
		return PD_E_TIMEOUT;
	case GRPC_STATUS_UNAUTHENTICATED:
	case GRPC_STATUS_PERMISSION_DENIED:
		return PD_E_DENIED;
	case GRPC_STATUS_INVALID_ARGUMENT:
		return PD_E_INVALID;
	default:
		return PD_E_IO;
	}
}

int pd_unary_call(const struct pd_unary *u, struct pd_buf *reply, struct pd_buf *why)
{
	struct call c = {.details = grpc_empty_slice()};
	grpc_channel *channel = open_channel(u);
	grpc_slice method = grpc_slice_from_copied_string(u->method);
	gpr_timespec deadline =
		gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(u->timeout_ms, GPR_TIMESPAN));
	c.cq = grpc_completion_queue_create_for_pluck(NULL);
	c.call = grpc_channel_create_call(channel, NULL, GRPC_PROPAGATE_DEFAULTS, c.cq, method, NULL, deadline, NULL);
	grpc_slice_unref(method);
	grpc_metadata_array_init(&c.headers);
	grpc_metadata_array_init(&c.trailers);
	start(&c, u);
	wait(&c, u->stop);
	int rc = result(&c, reply, why);
	if (c.reply)
		grpc_byte_buffer_destroy(c.reply);
	grpc_metadata_array_destroy(&c.headers);
	grpc_metadata_array_destroy(&c.trailers);
	grpc_slice_unref(c.details);
	grpc_call_unref(c.call);
	grpc_channel_destroy(channel);
	grpc_completion_queue_shutdown(c.cq);
	while (grpc_completion_queue_pluck(c.cq, NULL, gpr_inf_future(GPR_CLOCK_REALTIME), NULL).type !=
	       GRPC_QUEUE_SHUTDOWN)
		;
	grpc_completion_queue_destroy(c.cq);
	return rc;
}
