// Inside of the xDS server: shared by server.c, accept.c, stream.c, stream_io.c, identity.c, unary.c, worker.c, housekeeper.c,
// invalidate.c, debug.c and metrics.c, and by nobody else.
//
// Locks, in the order in which they are taken (none is held while grpc or the engine is called, except where noted):
//   names table, views.lock, server.lock (list of streams)  >  stream.mu  >  queue.lock  >  control loop's
//
// Who may touch a stream's session? Whoever has claimed the stream: `running` is set under mu by the completion-queue thread
// for a quick request, by the worker that popped it, by a debug page; everyone else leaves word under mu (inbox, marks) and
// queues the stream.
#ifndef XDS_SERVER_IMPL_H
#define XDS_SERVER_IMPL_H

#include <pthread.h>
#include <stdatomic.h>

#include <grpc/byte_buffer.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/support/alloc.h>

#include "base/ref.h"
#include "base/rpc.h"
#include "base/vec.h"
#include "xds/bucket.h"
#include "xds/queue.h"
#include "xds/response.h"
#include "xds/server.h"
#include "xds/session.h"

#define PD_MARKS_MAX 64          // names marked on a stream that are listed; beyond it the type as a whole
#define PD_OUT_MAX PD_TYPE_COUNT // responses of a stream that wait to be sent: one per type
#define PD_ACCEPTS 16            // calls requested ahead per method and queue
#define PD_STATUS_TEXT 300

// What comes back from a completion queue.
struct pd_tag {
	void (*fn)(struct pd_tag *, bool ok);
};

enum pd_op { PD_OP_CLOSE, PD_OP_HEADERS, PD_OP_RECV, PD_OP_SEND, PD_OP_STATUS, PD_OP_COUNT };

struct pd_out {
	grpc_byte_buffer *buffer;
	enum pd_type type;
	size_t bytes;
	uint64_t changed_ns; // when the change that it carries reached the process; 0 = it answers a request
};

struct pd_stream {
	pd_ref ref;
	struct pd_xds *x;
	grpc_call *call;
	bool delta;
	uint64_t id;
	int64_t connected_ns; // wall clock
	char *peer;
	struct pd_stream_tag {
		struct pd_tag tag;
		struct pd_stream *s;
	} tags[PD_OP_COUNT];
	grpc_byte_buffer *received; // of the RECV operation under way
	int cancelled;              // of the CLOSE operation

	pthread_mutex_t mu; // guards, down to the next comment:
	bool running;       // claimed
	bool said_who;      // the first request was accepted: node_id and view are set for good
	bool closed;        // the call is over
	bool ended;         // a status was decided; nothing more is read or queued
	bool status_sent;
	grpc_status_code code;
	char text[PD_STATUS_TEXT];
	grpc_byte_buffer *inbox; // a request for the worker; the next is read when it is done
	struct pd_marks {
		uint32_t types; // bits
		PD_VEC(struct pd_mark {
			enum pd_type type;
			const char *name; // interned, one reference
		})
		names;
		uint64_t changed_ns; // of the earliest
	} marks;
	uint32_t give_up; // types whose acknowledgement need not be waited for
	uint32_t blocked; // types with something to send that wait for one
	bool sending;
	uint64_t send_started_ns;
	struct pd_out current, out[PD_OUT_MAX];
	size_t n_out;
	uint64_t sent_ns[PD_TYPE_COUNT]; // when the last response of the type left; 0 = none, or it has not left yet

	// Who the client is, as authenticators say: set before anything is read, then of whoever claimed the stream.
	struct pd_knock *knock; // credentials that are not judged yet
	bool authenticated;
	PD_VEC(struct pd_xds_identity) identities; // owned; gone once the Node was compared with them
	char *identity, *account; // the one that matches the Node, and its service account; NULL = none

	// Of whoever claimed the stream.
	struct pd_session session;
	char *node_id;
	struct pd_view *view;
	struct pd_bucket requests;
	uint64_t changed_ns; // of the earliest change that is not sent yet

	struct pd_job job;                // guarded by the queue
	struct pd_subscriber of_view;     // guarded by views.lock
	struct pd_stream *next, *prev;    // guarded by server.lock
	bool listed;                      // likewise
	struct pd_stream *next_admission; // guarded by housekeeper.lock
	uint64_t admit_ns;
	uint64_t drain_ns; // set once, under server.lock
};

// A call that may come.
struct pd_accept {
	struct pd_tag tag;
	struct pd_xds *x;
	grpc_completion_queue *cq;
	void *method;                      // NULL: any other
	const struct pd_rpc_method *unary; // NULL: a stream
	bool delta;
	grpc_call *call;
	grpc_call_details details;
	grpc_metadata_array metadata;
	gpr_timespec deadline;
};

struct pd_views; // streams by view (invalidate.c)
struct pd_unary; // a call that somebody else answers (unary.c)

struct pd_xds {
	struct pd_engine *engine;
	struct pd_xds_config config;
	struct pd_xds_auth auth;
	struct pd_session_env env;
	struct pd_queue queue;
	struct pd_bodies *bodies;
	struct pd_views *views;

	grpc_server *server;
	void *methods[2]; // state of the world, delta
	PD_VEC(struct pd_unary_method {
		const struct pd_rpc_method *method;
		void *registered;
	})
	unary_methods;
	bool started, shut;
	PD_VEC(grpc_completion_queue *) cqs;
	PD_VEC(pthread_t) cq_threads;
	PD_VEC(pthread_t) workers;
	struct pd_tag shutdown_tag;

	pthread_mutex_t lock;                    // guards the list of streams and what follows
	pthread_cond_t gone;                     // a stream, an accept or the shutdown is done
	struct pd_stream *streams, *last_stream; // oldest first
	size_t n_streams, n_calls, n_accepts;
	bool draining, shutdown_done;
	struct {
		struct pd_unary *first; // newest first
		size_t n;
	} unary;
	uint64_t next_stream_id;
	struct pd_bucket admission;

	struct {
		pthread_t thread;
		pthread_mutex_t lock;
		pthread_cond_t wake;
		struct pd_stream *first, *last; // streams that wait for admission, soonest first
		bool stop;
	} housekeeper;

	atomic_size_t connected;
	atomic_ullong churn; // bytes allocated and freed, roughly
	atomic_ullong accepted, refused, responses, bytes, requests[PD_REQ_KINDS], send_timeouts, acks_given_up,
		malformed, trims;
};

// ---- accept.c --------------------------------------------------------------------------------------------------------
void pd_accept_post_all(struct pd_xds *);

// ---- stream.c: life of a stream --------------------------------------------------------------------------------------
// Takes the call; copies what it needs of the headers. Begins with admission.
void pd_stream_start(struct pd_xds *, grpc_call *, bool delta, const grpc_metadata_array *headers);
void pd_stream_admitted(struct pd_stream *);
void pd_stream_begin(struct pd_stream *); // admitted, and authenticated if need be: reads the first request
static inline struct pd_stream *pd_stream_ref(struct pd_stream *s)
{
	pd_ref_take(&s->ref);
	return s;
}
void pd_stream_unref(struct pd_stream *);
// Ends the stream with a status once the response under way is sent. The first call counts.
void pd_stream_end(struct pd_stream *, grpc_status_code, const char *text);
// Cuts the stream off without waiting for anything.
void pd_stream_cut(struct pd_stream *, grpc_status_code, const char *text);
// Claims the stream. False if somebody else has it or it is over.
bool pd_stream_claim(struct pd_stream *);
// Gives it back and sees to what was left meanwhile. `more`: there is work for a worker.
void pd_stream_release(struct pd_stream *, enum pd_urgency more);
void pd_stream_queue(struct pd_stream *, enum pd_urgency);

// ---- stream_io.c: what goes over the wire ------------------------------------------------------------------------------
void pd_stream_tags(struct pd_stream *);
void pd_stream_watch_close(struct pd_stream *);
void pd_stream_send_headers(struct pd_stream *);
void pd_stream_read(struct pd_stream *);
void pd_stream_send(struct pd_stream *, const struct pd_out *); // takes the buffer
void pd_stream_send_status(struct pd_stream *);
void pd_stream_drop_out(struct pd_stream *); // with mu held

// ---- identity.c --------------------------------------------------------------------------------------------------------
// Copies the client's credentials if they must be judged: then s->knock is set.
void pd_identity_prepare(struct pd_stream *, const grpc_metadata_array *headers);
// Has them judged; the stream begins or ends with the answer.
void pd_identity_ask(struct pd_stream *);
// Compares what the Node says with the identities. False: it is not true; `text` says so for the client.
bool pd_identity_check(struct pd_stream *, const struct pd_view *, char *text, size_t text_len);
// The service account with whose rights the client may have secrets; NULL = none. After pd_identity_check. Borrowed.
const char *pd_identity_account(const struct pd_stream *, const struct pd_view *);
void pd_identity_free(struct pd_stream *);

// ---- unary.c -----------------------------------------------------------------------------------------------------------
// Takes the call; copies what it needs of the headers.
void pd_unary_start(struct pd_xds *, const struct pd_rpc_method *, grpc_call *, const grpc_metadata_array *headers);
// Cuts off those whose client sends or takes nothing.
void pd_unary_expire(struct pd_xds *, uint64_t now_ns);

// ---- worker.c ----------------------------------------------------------------------------------------------------------
void *pd_worker_main(void *x);
// Reads and applies a request; the caller has claimed the stream. Takes the buffer. Returns what is to be done about it.
enum pd_urgency pd_stream_request(struct pd_stream *, grpc_byte_buffer *);

// ---- invalidate.c ------------------------------------------------------------------------------------------------------
struct pd_views *pd_views_new(void);
void pd_views_free(struct pd_views **);
void pd_views_add(struct pd_views *, struct pd_view *, struct pd_subscriber *);
void pd_views_remove(struct pd_views *, struct pd_view *, struct pd_subscriber *);
void pd_invalidate(const struct pd_invalidation *, void *x);
void pd_marks_clear(struct pd_marks *);

// ---- housekeeper.c -----------------------------------------------------------------------------------------------------
void pd_housekeeper_start(struct pd_xds *);
void pd_housekeeper_stop(struct pd_xds *);
// Calls pd_stream_admitted at s->admit_ns. Takes a reference.
void pd_housekeeper_admit(struct pd_xds *, struct pd_stream *s);
// References to all streams, oldest first. Caller frees the array and unrefs.
struct pd_stream **pd_xds_streams(struct pd_xds *, size_t *n);

// ---- metrics.c ---------------------------------------------------------------------------------------------------------
enum pd_refusal {
	PD_REFUSED_STREAMS,
	PD_REFUSED_RATE,
	PD_REFUSED_NOT_READY,
	PD_REFUSED_UNAUTHENTICATED,
	PD_REFUSED_IDENTITY,
	PD_REFUSED_NODE,
	PD_REFUSED_REQUEST,
	PD_REFUSED_REQUEST_RATE,
	PD_REFUSED_METHOD,
	PD_REFUSED_TIMEOUT,
	PD_REFUSED_DRAIN,
	PD_REFUSALS,
};
void pd_count_refused(struct pd_xds *, enum pd_refusal);
void pd_count_request(struct pd_xds *, enum pd_type, enum pd_request_kind);
void pd_count_connected(struct pd_xds *, const struct pd_view *, int change);
void pd_count_answer(struct pd_xds *, enum pd_type, size_t bytes, uint64_t took_ns);
void pd_count_sent(struct pd_xds *, const struct pd_out *, uint64_t started_ns, uint64_t now_ns);
void pd_count_queued(uint64_t ns);
void pd_count_pushed(enum pd_urgency, uint64_t took_ns);

#endif
