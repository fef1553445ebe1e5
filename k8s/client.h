// Client of one Kubernetes API server: an HTTP/2 connection shared by all calls, driven by one thread.
//
//	rc = pd_k8s_client_new(&(struct pd_k8s_client_options){.config = config, .name = "Kubernetes"}, &client);
//	pd_k8s_post(client, start_watches, self);   // start_watches runs on the client's thread and calls pd_k8s_call
//	...
//	pd_k8s_client_free(&client);
//
// Threads. Each client has one thread, "the loop". All callbacks (calls, timers, posted functions) run on it, one at a time,
// and must not block: decoding a page of a list is fine, waiting for a lock that is held for long is not. Functions marked
// [loop] may be called there only, and from within any callback; the others from any thread.
//
// Streams. The API server allows 100 streams on a connection, and curl opens a connection for each one beyond: so at most
// PD_K8S_STREAMS_MAX calls are in flight and further ones wait in order. A watch holds its stream for minutes; watches are
// limited to PD_K8S_WATCHES_MAX, so that short calls always find room.
//
// Flow control. Data reaches `on_data` as fast as the loop takes it; while a callback runs, at most the announced HTTP/2
// window (32 MiB a stream) is buffered by curl and the kernel.
//
// Dead connections. A connect that takes longer than PD_K8S_CONNECT_MS fails. A connection whose peer is gone fails by TCP
// keepalive and TCP_USER_TIMEOUT after about PD_K8S_TCP_DEAD_MS. Beyond that each call has an idle limit by the time of its
// last byte: a healthy watch with bookmarks hears something once a minute.
//
// Credentials (token, client certificate) come from the config and are renewed by the client: before they expire, when their
// files change, and when the server answers 401, in which case the call is repeated once, unseen by its callbacks.
#ifndef K8S_CLIENT_H
#define K8S_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

#define PD_K8S_STREAMS_MAX 88              // calls in flight; further ones wait
#define PD_K8S_WATCHES_MAX 72              // of these, watches; one more fails with PD_E_LIMIT
#define PD_K8S_QUEUE_MAX 8192              // calls that wait; one more fails with PD_E_LIMIT
#define PD_K8S_TIMERS_MAX 8192             // timers that are set; one more: asserted
#define PD_K8S_BODY_MAX (16 * 1024 * 1024) // bytes of a body that the client collects; beyond: PD_E_LIMIT
#define PD_K8S_ERROR_BODY_MAX (64 * 1024)  // bytes kept of the body of an error
#define PD_K8S_CONNECT_MS 10000
#define PD_K8S_TCP_DEAD_MS 30000
#define PD_K8S_TIMEOUT_MS 60000    // whole call, unless the request says otherwise; not for watches
#define PD_K8S_WATCH_IDLE_MS 90000 // a watch that is silent for so long is dead, unless the request says otherwise

#define PD_K8S_PROTOBUF "application/vnd.kubernetes.protobuf"
#define PD_K8S_PROTOBUF_WATCH "application/vnd.kubernetes.protobuf;stream=watch"
#define PD_K8S_JSON "application/json"

struct pd_k8s_config; // k8s/config.h
struct pd_k8s_client;

// ---- Status: what the API server says about a failure

// All-zero: nothing known.
struct pd_k8s_status {
	int code;                // HTTP code: 410; 0 = none
	uint32_t retry_after_ms; // 0 = none
	char reason[64];         // "Expired", "AlreadyExists", "Conflict"; "" = none
	char message[512];       // cut if longer, at a character; no control characters
};
// Decodes a meta/v1 Status from JSON or protobuf ("k8s\0" in front): the body of an error, or the object of a watch's ERROR
// event. PD_E_PARSE: it is neither, or not a Status; *out is all-zero then.
int pd_k8s_status_decode(const void *p, size_t n, struct pd_k8s_status *out) PD_MUST_CHECK;

// ---- Calls

// How a call ended. Borrowed by on_done for its call.
struct pd_k8s_result {
	// PD_OK: 2xx and the whole body was received (of a watch: the server ended it in an orderly way).
	// HTTP errors: PD_E_DENIED 401, 403; PD_E_NOTFOUND 404; PD_E_EXISTS 409 with reason AlreadyExists; PD_E_AGAIN other 409,
	// 429, 5xx; PD_E_CLOSED 410; PD_E_INVALID other 4xx and what is no 2xx.
	// No (whole) answer: PD_E_TIMEOUT total or idle time is over; PD_E_IO connection refused, cut in the middle, TLS failure;
	// PD_E_LIMIT a limit above; PD_E_CLOSED with code 0: the client is shutting down; PD_E_DENIED with code 0: no
	// credentials to be had; or what on_data returned.
	int err;
	int code; // HTTP code; 0 if there was no answer
	struct pd_k8s_status
		status;   // message is never empty when err is set; retry_after_ms also from the header Retry-After
	const char *body; // collected body of a 2xx if the request has no on_data, with a NUL behind; else NULL
	size_t body_len;
	const char *content_type; // of the answer; "" if none
	uint64_t bytes;           // of the body as received, before decompression
	uint32_t duration_ms;     // since the call left the queue
};

struct pd_k8s_request {
	const char *method; // "GET", "POST", "PUT", "PATCH", "DELETE"; NULL = GET
	const char *path;   // path and query as sent, percent-encoded: "/api/v1/pods?limit=500"; see pd_k8s_path_add
	const char *accept; // NULL = PD_K8S_JSON
	const char *content_type; // of the body; NULL = PD_K8S_JSON
	const void *body;         // NULL = none
	size_t body_len;
	bool watch;          // no total time limit; counts as a watch
	bool gzip;           // let the server compress (it does so for lists above 128 KiB)
	uint32_t timeout_ms; // 0 = PD_K8S_TIMEOUT_MS; a watch: 0 = none
	uint32_t idle_ms;    // 0 = PD_K8S_WATCH_IDLE_MS for a watch, else none

	// A 2xx has begun. Optional.
	void (*on_headers)(void *user, int code, const char *content_type);
	// A piece of the body of a 2xx, any cut, borrowed for the call. A negative code (enum pd_err) ends the call with it.
	// NULL: the client collects the body for on_done.
	int (*on_data)(void *user, const void *p, size_t n);
	// Called exactly once, last, unless the call is cancelled. The call's id is void when it is called.
	void (*on_done)(void *user, const struct pd_k8s_result *);
	void *user;
};

// Starts a call (everything but `user` is copied) and returns its id, never 0. No callback runs before this returns. [loop]
uint64_t pd_k8s_call(struct pd_k8s_client *, const struct pd_k8s_request *);
// Ends a call: none of its callbacks runs any more. An id of a call that is over is ignored, as is 0. [loop]
void pd_k8s_cancel(struct pd_k8s_client *, uint64_t call);

// The same for a thread that can wait: blocks until the call is over. Not on the loop (asserted). `result` holds no body
// pointer afterwards; the body of a 2xx is in `body` (taken by the caller: pd_buf_free), unless NULL or the request has an
// on_data, which then runs on the loop. Returns result->err.
int pd_k8s_call_wait(struct pd_k8s_client *, const struct pd_k8s_request *, struct pd_k8s_result *result,
		     struct pd_buf *body) PD_MUST_CHECK;

// Appends a segment of a path or a value of a query, percent-encoded (RFC 3986 unreserved characters stay).
void pd_k8s_path_add(struct pd_buf *path, const char *s);

// ---- The loop

// Runs fn(user) on the loop soon, in order of posting. PD_E_CLOSED: the client is shutting down, fn will not run. What was
// posted before the shutdown began runs.
int pd_k8s_post(struct pd_k8s_client *, void (*fn)(void *user), void *user) PD_MUST_CHECK;
// Runs fn(user) once on the loop after `ms` (0: at the next turn). Returns the timer's id, never 0. Timers that are set when
// the client shuts down do not run. [loop]
uint64_t pd_k8s_after(struct pd_k8s_client *, uint64_t ms, void (*fn)(void *user), void *user);
// A timer that has run, or 0, is ignored. [loop]
void pd_k8s_timer_cancel(struct pd_k8s_client *, uint64_t timer);
bool pd_k8s_on_loop(struct pd_k8s_client *);

// ---- Life

struct pd_k8s_client_options {
	struct pd_k8s_config *config; // taken over, also on failure
	const char *name;             // for log lines: the cluster's id; NULL = "Kubernetes". Copied
	const char *user_agent;       // NULL = "pilotd". Copied
};
// Starts the thread. Nothing is sent before the first call. PD_E_IO: no thread or no curl handle to be had.
int pd_k8s_client_new(const struct pd_k8s_client_options *, struct pd_k8s_client **out) PD_MUST_CHECK;
// Shuts down: posted functions run, then all calls end with PD_E_CLOSED, then the thread ends. Not on the loop. Sets *c to
// NULL; NULL is fine. Nobody may use the client any more when this is called.
void pd_k8s_client_free(struct pd_k8s_client **c);
const char *pd_k8s_client_name(const struct pd_k8s_client *);   // lives as long as the client
const char *pd_k8s_client_server(const struct pd_k8s_client *); // "https://10.0.0.1:6443"; likewise

struct pd_k8s_client_stats {
	uint64_t calls, failures; // ended since the start; of these with an error
	uint64_t connections;     // opened since the start
	uint64_t open;            // connections now
	uint64_t active, watches; // calls in flight; of these watches
	uint64_t waiting;         // calls in the queue
	uint64_t bytes;           // of bodies received
	uint64_t unauthorized;    // answers with 401
	uint64_t renewals;        // credentials read or fetched anew
};
void pd_k8s_client_stats(struct pd_k8s_client *, struct pd_k8s_client_stats *out);

#endif
