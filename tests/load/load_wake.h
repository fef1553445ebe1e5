// A way to post an event of one's own on a completion queue, from any thread: the public C API has none, but a batch without
// operations completes at once, and a call on a channel that goes nowhere can start it.
#ifndef TESTS_LOAD_WAKE_H
#define TESTS_LOAD_WAKE_H

#include <grpc/grpc.h>

#include "base/err.h"

struct pd_waker {
	grpc_channel *channel;
	grpc_call *call;
};

static inline void pd_waker_init(struct pd_waker *w, grpc_completion_queue *cq)
{
	w->channel = grpc_lame_client_channel_create("nowhere", GRPC_STATUS_UNAVAILABLE, "only to wake a queue");
	w->call = grpc_channel_create_call(w->channel, NULL, GRPC_PROPAGATE_DEFAULTS, cq,
					   grpc_slice_from_static_string("/wake"), NULL,
					   gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
}

// `tag` comes out of the queue once.
static inline void pd_waker_post(struct pd_waker *w, void *tag)
{
	grpc_call_error e = grpc_call_start_batch(w->call, NULL, 0, tag, NULL);
	PD_ASSERT(e == GRPC_CALL_OK);
}

// Before the queue is shut down.
static inline void pd_waker_free(struct pd_waker *w)
{
	grpc_call_unref(w->call);
	grpc_channel_destroy(w->channel);
}

#endif
