// The xDS server: ADS v3, state of the world and incremental, on grpc's C core.
//
//   completion-queue threads   take requests from the wire; apply those that need no computation (ACKs) themselves
//   workers                    everything else: first requests, answers, pushes (xds/pass.h), in the order of xds/queue.h
//   housekeeper                admission of new streams, clients that do not read or acknowledge, drain, memory
//   control thread (control.h) applies configuration to the engine; the engine's listener only marks streams and queues them
//
// Lifetime: new → listen (any number) → start → drain → free. The engine must outlive the server.
#ifndef XDS_SERVER_H
#define XDS_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <grpc/grpc_security.h>

#include "base/err.h"
#include "base/rpc.h"
#include "base/str.h"
#include "discovery/engine.h"

// Limits and times. pd_xds_config_defaults gives the values in brackets.
struct pd_xds_config {
	// threads
	unsigned cq_threads;   // [CPUs, 1 to 4]
	unsigned push_threads; // [CPUs, 2 to 16] PILOT_PUSH_THROTTLE bounds it

	// what clients may do
	size_t max_streams;        // [100000] of the server; beyond it ResourceExhausted
	size_t max_message;        // [4 MiB] bytes of a request
	double streams_per_second; // [40 x istiod's 15+5*CPUs (at most 100): a new stream costs us a fraction of what it costs
				   // istiod] 0 = unlimited. PILOT_MAX_REQUESTS_PER_SECOND
	double streams_burst;       // [one second's worth]
	uint64_t admission_ms;      // [1000] a new stream waits so long at most, then ResourceExhausted
	double requests_per_second; // [100] per stream, those not counted that acknowledge a response of ours
	double requests_burst;      // [1000]
	uint64_t send_timeout_ms;   // [60000] a client that takes no bytes for so long is cut off
	uint64_t ack_patience_ms;   // [5000] newer states wait so long for an acknowledgement

	// unary calls (pd_xds_add_methods)
	size_t max_calls;         // [16384] under way; beyond it ResourceExhausted
	uint64_t call_timeout_ms; // [20000] for the client to send its request, and to take the answer

	// HTTP/2
	int keepalive_ms;            // [30000] ping of a silent connection
	int keepalive_timeout_ms;    // [10000] for its answer
	int min_ping_interval_ms;    // [10000] clients that ping more often are sent away; agents ping every 30 s
	int max_connection_age_ms;   // [0 = infinite] --keepaliveMaxServerConnectionAge
	int max_connection_grace_ms; // [10000]

	uint64_t trim_after_ms;    // [2000] after a burst and so much quiet, unused memory goes back to the system
	uint64_t trim_interval_ms; // [10000] but not more often
};
void pd_xds_config_defaults(struct pd_xds_config *);

struct pd_xds;
// `engine` is borrowed for the server's life; its listener is taken (pd_engine_listen).
struct pd_xds *pd_xds_new(struct pd_engine *, const struct pd_xds_config *);

// Adds methods that somebody else answers, on all addresses; before pd_xds_start. The table and what it points to are borrowed
// for the server's life: calls must go on being answered until pd_xds_free has returned.
void pd_xds_add_methods(struct pd_xds *, const struct pd_rpc_method *, size_t n);

// ---- who is at the other end of a stream

// One identity of an authenticated client. namespace_ and service_account are NULL where it is not that of a workload.
struct pd_xds_identity {
	const char *name, *namespace_, *service_account;
};
#define PD_XDS_IDENTITIES_MAX 16 // of one client; more: asserted
// The answer about one stream. `why` NULL: the client has these identities (copied). Else it is refused; `why` goes to the log
// only and must not hold a credential.
typedef void (*pd_xds_authenticated)(void *stream, const struct pd_xds_identity *, size_t n, const char *why);

// How the clients of streams are authenticated (by a layer that we do not know). All-zero: not at all.
struct pd_xds_auth {
	// Called once for each stream that comes over TLS, after admission and before anything of it is read. Answers by calling
	// done(stream, …) exactly once, on any thread, in bounded time: nobody else limits it. `peer` is borrowed until then. Must
	// not block. Refused streams end with Unauthenticated. NULL: streams are not authenticated.
	void (*authenticate)(void *arg, const struct pd_rpc_peer *peer, pd_xds_authenticated done, void *stream);
	void *arg;
	bool plaintext; // plaintext streams too (XDS_AUTH_PLAINTEXT)
	// What an authenticated client says of itself in its Node must be true of one of its identities: the namespace, and the
	// service account if it names one (PILOT_ENABLE_XDS_IDENTITY_CHECK). Otherwise the stream ends with PermissionDenied.
	bool check_node;
	// Secrets (SDS) also for streams without an authenticated identity that matches; for them secrets do not exist otherwise.
	bool secrets_for_all;
};
// Before pd_xds_start. What `arg` points to is borrowed until pd_xds_free has returned; until then streams must be answered.
void pd_xds_set_auth(struct pd_xds *, const struct pd_xds_auth *);

// Adds an address, "host:port" or ":port"; port 0 takes a free one. `creds` is borrowed; NULL = plaintext. *port is what was
// bound. PD_E_IO: err says which address and why, e.g. that another process has it.
int pd_xds_listen(struct pd_xds *, const char *address, grpc_server_credentials *creds, uint16_t *port,
		  struct pd_buf *err) PD_MUST_CHECK;
void pd_xds_start(struct pd_xds *);

// Asks clients to go elsewhere: GOAWAY at once, then the streams end with UNAVAILABLE, spread evenly over `ms`, while
// configuration is still served to those that remain. Returns when all are gone or the time is over.
void pd_xds_drain(struct pd_xds *, uint64_t ms);
// Cuts off what remains, stops the threads, frees everything. NULL is fine.
void pd_xds_free(struct pd_xds **);

// ---- for the control loop --------------------------------------------------------------------------------------------
bool pd_xds_pushing(struct pd_xds *); // pushes are queued or being computed
// Calls fn whenever the last push is done, on any thread; it must not block nor call back. NULL ends it.
void pd_xds_on_drained(struct pd_xds *, void (*fn)(void *), void *arg);
// Tells the housekeeper that `weight` bytes or so were allocated and freed: memory may be worth trimming.
void pd_xds_note_churn(struct pd_xds *, size_t weight);

// ---- for debug pages and tests -----------------------------------------------------------------------------------------

// What one client has of one type. Strings are borrowed during the call.
struct pd_xds_type_status {
	enum pd_type type;
	bool wildcard;
	size_t names;                             // subscribed by name
	char version_sent[17], version_acked[17]; // "" = none
	char nonce_sent[40], nonce_acked[40];
	int64_t sent_ns, acked_ns; // wall clock, 0 = never
	bool in_flight, pending;   // unacknowledged; something newer waits
	uint64_t responses;
	const char *error; // text of the last NACK, or NULL
};
struct pd_xds_client {
	const char *node_id, *peer; // peer: "10.1.2.3:4567"
	const char *identity;       // verified, and what the node says matches it; NULL = none
	uint64_t id;                // of the stream in this process
	bool delta;
	int64_t connected_ns; // wall clock
	struct pd_view *view;
	size_t n;
	struct pd_xds_type_status v[PD_TYPE_COUNT];
};
// Calls fn for each client that said who it is, oldest first. Returns how many were busy for so long that they were left out.
size_t pd_xds_each_client(struct pd_xds *, void (*fn)(const struct pd_xds_client *, void *arg), void *arg);

// What was sent to the newest stream of a node: calls fn for each resource that the client has, type by type. A resource by
// name that has changed since is shown as it is now, with `current` false. PD_E_NOTFOUND: no such client; PD_E_AGAIN: busy.
int pd_xds_dump(struct pd_xds *, const char *node_id, void (*fn)(const struct pd_resource *, bool current, void *arg),
		void *arg) PD_MUST_CHECK;

struct pd_xds_stats {
	size_t streams, connected;                                 // open; those that said who they are
	size_t queue;                                              // jobs
	size_t name_sets;                                          // distinct subscriptions
	uint64_t accepted, refused, responses, bytes, requests[8]; // requests by enum pd_request_kind
	uint64_t send_timeouts, acks_given_up, malformed, trims;
	uint64_t body_hits, body_misses;
};
void pd_xds_stats(struct pd_xds *, struct pd_xds_stats *out);
// Registers the metrics of this layer; once per process, before or after pd_xds_new.
void pd_xds_register_metrics(void);

#endif
