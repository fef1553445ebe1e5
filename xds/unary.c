// Unary calls that somebody else answers (base/rpc.h).
//
//   call arrives ─ reading ─ the method has it ─ answering ─ gone
//                     │ no message, too long         │ client takes nothing
//                     └ refused                      └ cut off by the housekeeper, as one that sends nothing
//
// Operations: CLOSE and RECV from the start on; ANSWER is one batch of headers, message and status. A call has one reference
// per operation under way and one while it waits for its answer. A client that vanishes meanwhile changes nothing: the method
// answers, the batch fails, the call goes.
#include <grpc/byte_buffer_reader.h>
#include <grpc/slice.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "xds/peer.h"
#include "xds/server_impl.h"

enum { OP_CLOSE, OP_RECV, OP_ANSWER, OPS };

struct pd_unary {
	struct pd_rpc_call rpc; // first: what the method is given
	pd_ref ref;
	struct pd_xds *x;
	const struct pd_rpc_method *method;
	grpc_call *call;
	struct unary_tag {
		struct pd_tag tag;
		struct pd_unary *u;
	} tags[OPS];
	struct pd_arena arena; // of the peer, with its credentials
	grpc_byte_buffer *received;
	grpc_slice request;
	int cancelled;
	pthread_mutex_t mu;
	uint64_t owed_since_ns; // under mu: when the client was to send or to take something; 0 = we are to answer
	struct pd_unary *next, *prev; // guarded by server.lock
};

static void unlist(struct pd_unary *u)
{
	struct pd_xds *x = u->x;

	pthread_mutex_lock(&x->lock);
	if (u->prev)
		u->prev->next = u->next;
	else
		x->unary.first = u->next;
	if (u->next)
		u->next->prev = u->prev;
	x->unary.n--;
	pthread_mutex_unlock(&x->lock);
}

static void unref(struct pd_unary *u)
{
	struct pd_xds *x = u->x;

	if (!pd_ref_drop(&u->ref))
		return;
	unlist(u);
	grpc_slice_unref(u->request);
	grpc_call_unref(u->call);
	pthread_mutex_destroy(&u->mu);
	pd_arena_free(&u->arena);
	free(u);
	pd_xds_note_churn(x, 16 * 1024);
	pthread_mutex_lock(&x->lock);
	x->n_calls--;
	pthread_cond_broadcast(&x->gone);
	pthread_mutex_unlock(&x->lock);
}

static void start_batch(struct pd_unary *u, const grpc_op *op, size_t n, int which)
{
	grpc_call_error rc;

	pd_ref_take(&u->ref);
	rc = grpc_call_start_batch(u->call, op, n, &u->tags[which].tag, NULL);
	PD_ASSERT(rc == GRPC_CALL_OK);
}

static struct pd_unary *unary_of(struct pd_tag *t)
{
	return ((struct unary_tag *)t)->u;
}

static void set_owed(struct pd_unary *u, uint64_t since_ns)
{
	pthread_mutex_lock(&u->mu);
	u->owed_since_ns = since_ns;
	pthread_mutex_unlock(&u->mu);
}

// ---- answering -----------------------------------------------------------------------------------------------------------

static void answer(struct pd_unary *u, grpc_status_code status, const void *bytes, size_t n, const char *text)
{
	grpc_slice slice = grpc_slice_from_copied_buffer(bytes ? bytes : "", bytes ? n : 0);
	grpc_slice details = grpc_slice_from_copied_string(text ? text : "");
	grpc_byte_buffer *message = grpc_raw_byte_buffer_create(&slice, 1);
	grpc_op op[3] = {{.op = GRPC_OP_SEND_INITIAL_METADATA}};
	size_t ops = 1;

	if (status == GRPC_STATUS_OK) {
		op[ops].op = GRPC_OP_SEND_MESSAGE;
		op[ops++].data.send_message.send_message = message;
	}
	op[ops].op = GRPC_OP_SEND_STATUS_FROM_SERVER;
	op[ops].data.send_status_from_server.status = status;
	op[ops++].data.send_status_from_server.status_details = &details;
	set_owed(u, pd_now_ns());
	start_batch(u, op, ops, OP_ANSWER);
	grpc_byte_buffer_destroy(message);
	grpc_slice_unref(slice);
	grpc_slice_unref(details);
	unref(u); // the one that waited for this
}

static void on_answered(struct pd_rpc_call *call, enum pd_rpc_status status, const void *bytes, size_t n,
			const char *text)
{
	answer((struct pd_unary *)call, (grpc_status_code)status, bytes, n, text);
}

static void refuse(struct pd_unary *u, enum pd_refusal why, grpc_status_code status, const char *text)
{
	pd_count_refused(u->x, why);
	answer(u, status, NULL, 0, text);
}

// ---- operations ----------------------------------------------------------------------------------------------------------

static void on_done(struct pd_tag *t, bool ok)
{
	(void)ok;
	unref(unary_of(t));
}

// One slice of all that came. False: it does not decompress.
static bool flatten(grpc_byte_buffer *b, grpc_slice *out)
{
	grpc_byte_buffer_reader r;

	if (!grpc_byte_buffer_reader_init(&r, b))
		return false;
	*out = grpc_byte_buffer_reader_readall(&r);
	grpc_byte_buffer_reader_destroy(&r);
	return true;
}

static void take(struct pd_unary *u, grpc_byte_buffer *b)
{
	if (!b) {
		refuse(u, PD_REFUSED_REQUEST, GRPC_STATUS_INVALID_ARGUMENT, "no request came");
	} else if (grpc_byte_buffer_length(b) > u->method->max_request) {
		refuse(u, PD_REFUSED_REQUEST, GRPC_STATUS_RESOURCE_EXHAUSTED, "the request is too long");
	} else if (!flatten(b, &u->request)) {
		refuse(u, PD_REFUSED_REQUEST, GRPC_STATUS_INVALID_ARGUMENT, "the request cannot be decompressed");
	} else {
		u->rpc.request = GRPC_SLICE_START_PTR(u->request);
		u->rpc.request_len = GRPC_SLICE_LENGTH(u->request);
		set_owed(u, 0);
		u->method->handle(&u->rpc, u->method->arg);
	}
}

static void on_recv(struct pd_tag *t, bool ok)
{
	struct pd_unary *u = unary_of(t);
	grpc_byte_buffer *b = u->received;

	u->received = NULL;
	take(u, ok ? b : NULL);
	if (b)
		grpc_byte_buffer_destroy(b);
	unref(u);
}

// ---- beginning -------------------------------------------------------------------------------------------------------------

// Lists the call. False: there are too many, or no more are wanted; *text says so.
static bool admit(struct pd_unary *u, grpc_status_code *status, enum pd_refusal *why, const char **text)
{
	struct pd_xds *x = u->x;
	bool draining, full;

	pthread_mutex_lock(&x->lock);
	draining = x->draining;
	full = x->unary.n >= x->config.max_calls;
	u->next = x->unary.first;
	if (u->next)
		u->next->prev = u;
	x->unary.first = u;
	x->unary.n++;
	pthread_mutex_unlock(&x->lock);
	*status = draining ? GRPC_STATUS_UNAVAILABLE : GRPC_STATUS_RESOURCE_EXHAUSTED;
	*why = draining ? PD_REFUSED_DRAIN : PD_REFUSED_STREAMS;
	*text = draining ? "server is draining" : "too many calls";
	return !draining && !full;
}

void pd_unary_start(struct pd_xds *x, const struct pd_rpc_method *m, grpc_call *call,
		    const grpc_metadata_array *headers)
{
	static void (*const fn[OPS])(struct pd_tag *,
				     bool) = {[OP_CLOSE] = on_done, [OP_RECV] = on_recv, [OP_ANSWER] = on_done};
	struct pd_unary *u = pd_xcalloc(1, sizeof(*u));
	grpc_op close = {.op = GRPC_OP_RECV_CLOSE_ON_SERVER}, recv = {.op = GRPC_OP_RECV_MESSAGE};
	grpc_status_code status;
	enum pd_refusal why;
	const char *text;

	pd_ref_init(&u->ref);
	u->x = x;
	u->method = m;
	u->call = call;
	u->request = grpc_empty_slice();
	u->rpc.done = on_answered;
	u->arena = (struct pd_arena){.first_chunk = 1024, .secret = true};
	u->owed_since_ns = pd_now_ns();
	pthread_mutex_init(&u->mu, NULL);
	for (int i = 0; i < OPS; i++)
		u->tags[i] = (struct unary_tag){{fn[i]}, u};
	close.data.recv_close_on_server.cancelled = &u->cancelled;
	recv.data.recv_message.recv_message = &u->received;
	pd_peer_read(&u->rpc.peer, &u->arena, call, headers); // before the list shows the call to the housekeeper
	start_batch(u, &close, 1, OP_CLOSE);
	if (!admit(u, &status, &why, &text)) {
		refuse(u, why, status, text);
		return;
	}
	start_batch(u, &recv, 1, OP_RECV);
}

// ---- time --------------------------------------------------------------------------------------------------------------

void pd_unary_expire(struct pd_xds *x, uint64_t now_ns)
{
	uint64_t limit = x->config.call_timeout_ms * 1000000;
	PD_VEC(struct pd_unary *) late = {0};

	pthread_mutex_lock(&x->lock);
	for (struct pd_unary *u = x->unary.first; u; u = u->next) {
		pthread_mutex_lock(&u->mu);
		if (u->owed_since_ns && now_ns > u->owed_since_ns + limit) {
			u->owed_since_ns = now_ns; // not again at once
			pd_ref_take(&u->ref);
			pd_vec_push(&late, u);
		}
		pthread_mutex_unlock(&u->mu);
	}
	pthread_mutex_unlock(&x->lock);
	for (size_t i = 0; i < late.n; i++) {
		pd_count_refused(x, PD_REFUSED_TIMEOUT);
		pd_info("rpc", "%s from %s: nothing comes or is taken: cut off", late.v[i]->method->path,
			late.v[i]->rpc.peer.address ? late.v[i]->rpc.peer.address : "a client");
		grpc_call_cancel_with_status(late.v[i]->call, GRPC_STATUS_DEADLINE_EXCEEDED, "client is too slow",
					     NULL);
		unref(late.v[i]);
	}
	pd_vec_free(&late);
}
