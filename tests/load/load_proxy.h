// One simulated sidecar: what an Envoy would hold, and what it would ask for next.
//
// At start it asks as Envoy does: CDS; EDS for the clusters that came; when all of them have endpoints LDS; RDS for the routes
// that listeners name. After a reconnect it asks for all four at once. Every response is acknowledged, and when the clusters or
// listeners change, so do the subscriptions to what they name. load_proxy.c keeps this state, load_request.c writes the
// requests, load_stream.c moves them over grpc.
//
// A proxy belongs to one worker; only that worker's thread touches it once the worker runs.
#ifndef TESTS_LOAD_PROXY_H
#define TESTS_LOAD_PROXY_H

#include <grpc/grpc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "tests/load/load_cache.h"
#include "tests/load/load_wake.h"
#include "tests/load/load_wire.h"
#include "tests/load/load_world.h"

enum {
	PD_LOAD_VERSION_MAX = 256, // bytes of a version or nonce
	PD_LOAD_SENDQ_MAX = 64,    // requests of a proxy that wait to be sent
	PD_LOAD_WORKERS_MAX = 16,
	PD_LOAD_PROXIES_MAX = 20000,
	PD_LOAD_REFUSALS_MAX = 10, // of one proxy in a row; then it is broken
	PD_LOAD_RETRY_MS = 500,    // Envoy's first pause after a refused stream; doubles
};

// What the recording of a response says of it: the phase in which it came.
enum pd_load_phase { PD_PHASE_STORM, PD_PHASE_ENDPOINT, PD_PHASE_ROUTE, PD_PHASE_OTHER };

// Seen by all workers. The main thread sets the plain fields while nothing is running or everything is quiet.
struct pd_load_shared {
	const char *address; // host:port
	const struct pd_world *world;
	int window; // announced HTTP/2 stream window, bytes
	_Atomic(const struct pd_load_marker *) marker;
	FILE *record;          // NULL or where the responses to the recorded proxies go (load_record.h)
	atomic_int phase;      // enum pd_load_phase
	uint64_t *seen_ns;     // by proxy: when the marker came, 0 = not yet
	uint64_t *complete_ns; // by proxy: when its configuration became complete

	// Counted since the last pd_load_counters_reset.
	atomic_ullong bytes_in, bytes_out, messages_in, resources_in, removed_in;
	atomic_ullong by_type[PD_LOAD_TYPES]; // resources
	atomic_ullong bytes_type[PD_LOAD_TYPES];
	atomic_ullong unexpected; // resources that were not asked for
	atomic_ullong last_rx_ns; // not reset
	// States, never reset.
	atomic_uint n_refused; // streams that were refused and tried again later
	atomic_uint n_complete, n_seen, n_open, n_broken;
};

struct pd_slot {
	const struct pd_parsed *parsed; // NULL = not held
	uint32_t version;               // number of its version, delta only
	uint32_t round;                 // of the response that last had it
	uint32_t want;                  // how many held resources name it (EDS and RDS)
	bool subscribed;
};

struct pd_type_state {
	PD_VEC(struct pd_slot) slots; // by number of the name
	uint32_t wanted, missing;     // subscribed names, and those of them that are not held
	uint32_t held;
	uint32_t round;
	bool asked, answered;
	uint64_t set_hash; // of the subscribed names
	char version[PD_LOAD_VERSION_MAX], nonce[PD_LOAD_VERSION_MAX];
	PD_VEC(uint32_t) touched; // names whose `want` changed in this response
};

struct pd_load_worker;

struct pd_load_proxy {
	struct pd_load_worker *worker;
	uint32_t index;
	bool delta, recorded;
	struct pd_type_state types[PD_LOAD_TYPES];
	bool complete;

	// The stream.
	grpc_channel *channel;
	grpc_call *call;
	unsigned ops; // batches that have not come back
	bool node_sent, sending, open, closing, reopen;
	bool heard;        // a response came on this stream
	unsigned refusals; // in a row
	uint64_t retry_ns; // 0 = not waiting for another try
	grpc_byte_buffer *received;
	grpc_metadata_array initial_metadata, trailing_metadata;
	grpc_status_code status;
	grpc_slice status_details;
	grpc_byte_buffer *queue[PD_LOAD_SENDQ_MAX];
	unsigned queue_head, queue_n;
};

struct pd_load_worker {
	struct pd_load_shared *shared;
	grpc_completion_queue *cq;
	pthread_t thread;
	struct pd_load_proxy *proxies; // borrowed; those with index % stride == first are this worker's
	uint32_t n_proxies, first, stride;
	struct pd_load_cache cache;
	struct pd_scratch scratch;
	struct pd_buf buf, buf2; // scratch of requests
	struct pd_idmap nameset_by_hash[PD_LOAD_TYPES];
	PD_VEC(grpc_slice) namesets;     // encoded names of whole subscriptions
	PD_VEC(uint32_t) added, dropped; // scratch
	atomic_int command;
	struct pd_waker waker;
	unsigned live, waiting; // proxies with a call; proxies that will try again
	uint64_t retry_look_ns; // when to look for those whose time has come
	bool stopping;
};

// load_proxy.c
// The stream is there: asks for the first type, or on a reconnect for everything.
void pd_proxy_start(struct pd_load_proxy *p);
// Takes a response in. False if it is malformed.
bool pd_proxy_receive(struct pd_load_proxy *p, const grpc_byte_buffer *response, uint64_t now_ns);
void pd_proxy_free(struct pd_load_proxy *p);

// load_request.c; each returns a new byte buffer, owned by the caller.
// State of the world: the present version, nonce and names of the type, so at once acknowledgement and subscription.
grpc_byte_buffer *pd_request_sotw(struct pd_load_proxy *p, enum pd_load_type t);
// Delta: the names of the worker's `added` and `dropped`; `nonce` NULL or what is acknowledged.
grpc_byte_buffer *pd_request_delta(struct pd_load_proxy *p, enum pd_load_type t, const char *nonce);
// The first request of a type on a new stream: everything that is wanted, and the versions that are held.
grpc_byte_buffer *pd_request_delta_first(struct pd_load_proxy *p, enum pd_load_type t);

// load_stream.c
// Sends in order; takes the buffer over.
void pd_stream_send(struct pd_load_proxy *p, grpc_byte_buffer *request);

enum pd_worker_command { PD_WORKER_NONE, PD_WORKER_CONNECT, PD_WORKER_RECONNECT, PD_WORKER_STOP };
// Starts the thread. Its proxies stay idle until PD_WORKER_CONNECT.
void pd_worker_start(struct pd_load_worker *w);
// From the main thread; one at a time: a command must have taken effect before the next.
void pd_worker_command(struct pd_load_worker *w, enum pd_worker_command command);
// After PD_WORKER_STOP: waits for the thread and frees what the worker owns, its proxies' state too.
void pd_worker_join(struct pd_load_worker *w);

#endif
