// What the files of the client share. Private to k8s/client*.c.
//
// A call goes through: waiting (queue) -> active (a curl handle in the multi) -> ended (on_done, freed). 401 sends it back
// to the head of the queue once. Only the loop touches calls and timers; curl forbids to add or remove handles from its own
// callbacks, so a cancelled active call is only marked there and taken out by the loop.
#ifndef K8S_CLIENT_IMPL_H
#define K8S_CLIENT_IMPL_H

#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "base/vec.h"
#include "k8s/client.h"
#include "k8s/client_auth.h"
#include "k8s/config.h"

struct pd_k8s_call {
	TAILQ_ENTRY(pd_k8s_call) link;
	uint64_t id;
	struct pd_k8s_client *client;
	struct pd_k8s_request req; // strings and body are our copies
	struct pd_arena arena;     // of these; wiped: a body may be a token to review
	bool active, cancelled, retried;
	int preset;                 // not PD_OK: ends with this as soon as the loop sees it
	const char *preset_text;    // constant
	struct pd_k8s_creds *creds; // while active
	CURL *easy;                 // while active
	struct curl_slist *headers;
	char curl_error[CURL_ERROR_SIZE];
	int code;           // of the answer, once its headers are there
	int stop;           // what on_data returned, or PD_E_LIMIT, PD_E_TIMEOUT from us
	bool too_late;      // the total time is over; else the idle time
	struct pd_buf body; // collected
	uint64_t started_ms, last_ms;
};
TAILQ_HEAD(pd_k8s_calls, pd_k8s_call);

struct pd_k8s_timer {
	uint64_t id, due_ms;
	void (*fn)(void *);
	void *user;
};

struct pd_k8s_posted {
	struct pd_k8s_posted *next;
	void (*fn)(void *);
	void *user;
};

struct pd_k8s_counters {
	_Atomic uint64_t calls, failures, connections, open, active, watches, waiting, bytes, unauthorized, renewals;
};

struct pd_k8s_client {
	char *name, *server, *user_agent;
	char *url;                     // what paths are appended to: `server`, or tls_server_name in its place
	char *host_header;             // "Host: …" where the url says something else; NULL
	struct curl_slist *connect_to; // likewise
	char *proxy_url;
	bool insecure, tls;
	struct pd_k8s_auth *auth;
	CURLM *multi;
	pthread_t thread;
	struct pd_k8s_counters counters;

	// The loop's.
	struct pd_k8s_calls waiting, active;
	size_t n_waiting, n_active, n_watches; // watches: waiting or active
	uint64_t last_id;                      // of calls and timers
	PD_VEC(struct pd_k8s_timer) timers;    // the next one last
	bool http1;                            // the last answer was no HTTP/2
	bool progress;                         // something happened in this turn
	bool closing;                          // shutdown: calls end as soon as they are made

	pthread_mutex_t lock;
	// Under lock.
	struct pd_k8s_posted *posted, **posted_end;
	bool stopping;
};

// client_call.c
void pd_k8s_calls_start(struct pd_k8s_client *c);  // as many waiting calls as may run
void pd_k8s_calls_reap(struct pd_k8s_client *c);   // cancelled ones, and those whose time is over
void pd_k8s_calls_finish(struct pd_k8s_client *c); // those that curl is through with
void pd_k8s_calls_close(struct pd_k8s_client *c);  // all, with PD_E_CLOSED
// Lowers *timeout_ms to when pd_k8s_calls_reap has to look next.
void pd_k8s_calls_poll(const struct pd_k8s_client *c, int *timeout_ms);

// client_curl.c
// Makes the curl handle of a call. False: curl refuses (out of memory).
bool pd_k8s_curl_open(struct pd_k8s_call *call);
void pd_k8s_curl_close(struct pd_k8s_call *call);

// client_timer.c
void pd_k8s_timers_run(struct pd_k8s_client *c);
void pd_k8s_timers_poll(const struct pd_k8s_client *c, int *timeout_ms);
void pd_k8s_posted_run(struct pd_k8s_client *c);

// client_status.c
// The code of base/err.h for an HTTP code; `reason` of the Status, "" if unknown.
int pd_k8s_status_err(int code, const char *reason);
// Status of an error's body, which may be anything.
void pd_k8s_status_of_body(int code, const char *body, size_t n, struct pd_k8s_status *out);
// Cuts at a character, without control characters.
void pd_k8s_status_text(char *out, size_t size, const char *s, size_t n);

#endif
