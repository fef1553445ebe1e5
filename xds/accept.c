// New calls: a stock of them is requested ahead, so that a storm of connects is not served one by one.
#include <stdlib.h>

#include "base/mem.h"
#include "xds/server_impl.h"

static void post(struct pd_accept *a)
{
	grpc_call_error rc;

	a->call = NULL;
	if (a->method) {
		rc = grpc_server_request_registered_call(a->x->server, a->method, &a->call, &a->deadline, &a->metadata,
							 NULL, a->cq, a->cq, &a->tag);
	} else {
		grpc_call_details_init(&a->details);
		rc = grpc_server_request_call(a->x->server, &a->call, &a->details, &a->metadata, a->cq, a->cq, &a->tag);
	}
	PD_ASSERT(rc == GRPC_CALL_OK);
}

static void drop(struct pd_accept *a)
{
	struct pd_xds *x = a->x;

	grpc_metadata_array_destroy(&a->metadata);
	free(a);
	pthread_mutex_lock(&x->lock);
	x->n_accepts--;
	pthread_cond_broadcast(&x->gone);
	pthread_mutex_unlock(&x->lock);
}

// A call of a method that we do not have: status, and that was it.
struct stranger {
	struct pd_tag tag;
	struct pd_xds *x;
	grpc_call *call;
	int cancelled;
};

static void on_stranger_gone(struct pd_tag *t, bool ok)
{
	struct stranger *s = (struct stranger *)t;
	struct pd_xds *x = s->x;

	(void)ok;
	grpc_call_unref(s->call);
	free(s);
	pthread_mutex_lock(&x->lock);
	x->n_calls--;
	pthread_cond_broadcast(&x->gone);
	pthread_mutex_unlock(&x->lock);
}

static void turn_away(struct pd_xds *x, grpc_call *call)
{
	struct stranger *s = pd_xcalloc(1, sizeof(*s));
	grpc_slice text = grpc_slice_from_static_string("unknown method");
	grpc_op op[3] = {{.op = GRPC_OP_SEND_INITIAL_METADATA},
			 {.op = GRPC_OP_SEND_STATUS_FROM_SERVER},
			 {.op = GRPC_OP_RECV_CLOSE_ON_SERVER}};

	*s = (struct stranger){{on_stranger_gone}, x, call, 0};
	op[1].data.send_status_from_server.status = GRPC_STATUS_UNIMPLEMENTED;
	op[1].data.send_status_from_server.status_details = &text;
	op[2].data.recv_close_on_server.cancelled = &s->cancelled;
	pd_count_refused(x, PD_REFUSED_METHOD);
	PD_ASSERT(grpc_call_start_batch(call, op, 3, &s->tag, NULL) == GRPC_CALL_OK);
}

static void on_call(struct pd_tag *t, bool ok)
{
	struct pd_accept *a = (struct pd_accept *)t;
	grpc_call *call = a->call;

	if (!ok) { // the server shuts down
		drop(a);
		return;
	}
	pthread_mutex_lock(&a->x->lock);
	a->x->n_calls++;
	pthread_mutex_unlock(&a->x->lock);
	if (a->unary) {
		pd_unary_start(a->x, a->unary, call, &a->metadata);
	} else if (a->method) {
		pd_stream_start(a->x, call, a->delta, &a->metadata);
	} else {
		turn_away(a->x, call);
		grpc_call_details_destroy(&a->details);
	}
	grpc_metadata_array_destroy(&a->metadata);
	grpc_metadata_array_init(&a->metadata);
	post(a);
}

// Takes a copy of what `kind` says: method, unary, delta.
static void stock(struct pd_xds *x, grpc_completion_queue *cq, struct pd_accept kind)
{
	struct pd_accept *a = pd_xcalloc(1, sizeof(*a));

	*a = kind;
	a->tag.fn = on_call;
	a->x = x;
	a->cq = cq;
	grpc_metadata_array_init(&a->metadata);
	pthread_mutex_lock(&x->lock);
	x->n_accepts++;
	pthread_mutex_unlock(&x->lock);
	post(a);
}

void pd_accept_post_all(struct pd_xds *x)
{
	for (size_t q = 0; q < x->cqs.n; q++) {
		for (int i = 0; i < PD_ACCEPTS; i++)
			for (int m = 0; m < 2; m++)
				stock(x, x->cqs.v[q], (struct pd_accept){.method = x->methods[m], .delta = m == 1});
		for (int i = 0; i < PD_ACCEPTS; i++)
			for (size_t m = 0; m < x->unary_methods.n; m++)
				stock(x, x->cqs.v[q],
				      (struct pd_accept){.method = x->unary_methods.v[m].registered,
							 .unary = x->unary_methods.v[m].method});
		stock(x, x->cqs.v[q], (struct pd_accept){0});
	}
}
