// Writes to an API server: queued, limited in rate, repeated where that helps, and fenced by leadership.
//
//	w = pd_k8s_writer_new(&(struct pd_k8s_writer_options){.client = c, .manager = "pilotd"});
//	pd_k8s_write(w, &(struct pd_k8s_write){.op = PD_K8S_APPLY, .api = "/apis/networking.istio.io/v1", .plural =
//	             "serviceentries", .ns = "default", .name = "a", .subresource = "status", .body = json, …});
//
// Order. Writes of one object (same path) go one after the other, in order. An apply that still waits is superseded by a later
// one of the same manager: the earlier ends with PD_E_CLOSED. Writes of different objects overtake each other.
//
// Rate. A token bucket: PD_K8S_QPS a second, bursts of PD_K8S_BURST, as istiod's --kubernetesApiQPS and …Burst. Each try takes
// a token.
//
// Tries. A try that failed for a reason that may pass (no answer, 429, 5xx) is repeated after the server's Retry-After or a
// back-off of which half is random; so is an update after a conflict, with the object read anew. PD_K8S_WRITE_TRIES in all. A
// create that is repeated after a lost answer may end with PD_E_EXISTS although it was ours.
//
// Leadership. A write with a leader is checked before every try: once leadership is lost or its time is over, it ends with
// PD_E_DENIED and code 0 and nothing is sent.
#ifndef K8S_WRITE_H
#define K8S_WRITE_H

#include "k8s/client.h"

#define PD_K8S_QPS 80
#define PD_K8S_BURST 160
#define PD_K8S_WRITES_MAX 16384     // writes that are not over; one more ends at once with PD_E_LIMIT
#define PD_K8S_WRITES_IN_FLIGHT 8   // calls at once
#define PD_K8S_WRITE_TRIES 8        // of one write
#define PD_K8S_WRITE_BACKOFF_MS 100 // after the first failure, doubling
#define PD_K8S_WRITE_BACKOFF_MAX_MS 10000
#define PD_K8S_WRITE_RETRY_AFTER_MAX_MS 60000 // no server makes us wait longer
#define PD_K8S_WRITE_TIMEOUT_MS 15000         // of a try

enum pd_k8s_write_op {
	PD_K8S_CREATE, // POST of `body`, which has the name in it; these do not wait for each other
	PD_K8S_APPLY, // server-side apply of `body`: what our manager says about the object, which is made if it is not there
	PD_K8S_PATCH,  // JSON merge patch
	PD_K8S_UPDATE, // read, `change`, and PUT (or POST if it was not there)
	PD_K8S_DELETE,
};

struct pd_k8s_leader; // k8s/leader.h

struct pd_k8s_write {
	enum pd_k8s_write_op op;
	const char *api;         // "/api/v1", "/apis/GROUP/VERSION"
	const char *plural;      // "configmaps"
	const char *ns;          // NULL = cluster-scoped
	const char *name;        // NULL for a create, unless it is one of a subresource
	const char *subresource; // "status"; NULL = none
	const char *body;        // JSON; an apply's must have apiVersion, kind and metadata.name
	size_t body_len;
	const char *manager; // of an apply; NULL = the writer's
	bool force; // an apply takes fields over from other managers; without it their conflict is the result (409)
	// Update: makes the new object, as JSON in `out`, from the present one (NULL = there is none). PD_E_EXISTS: it is as it
	// should be, the write ends with PD_OK; another code ends it with that. On the loop, once a try.
	int (*change)(void *user, const char *present, size_t len, struct pd_buf *out);
	unsigned tries;                     // 0 = PD_K8S_WRITE_TRIES
	const struct pd_k8s_leader *leader; // only while it leads; NULL = always. Borrowed until on_done
	// The last try's result, borrowed for the call; the body is the object as written. On the loop; optional.
	void (*on_done)(void *user, const struct pd_k8s_result *);
	void *user;
};

struct pd_k8s_writer;
struct pd_k8s_writer_options {
	struct pd_k8s_client *client; // borrowed for the writer's life
	const char *manager;          // field manager; NULL = "pilotd"
	unsigned qps, burst;          // 0 = the defaults
};
struct pd_k8s_writer *pd_k8s_writer_new(const struct pd_k8s_writer_options *);
// Ends what is not over with PD_E_CLOSED, then frees. Not on the loop, and before the client goes; nobody queues writes any
// more, callbacks neither. NULL is fine.
void pd_k8s_writer_free(struct pd_k8s_writer **);

// Queues a write; all strings are copied. Any thread. PD_E_CLOSED: the client is shutting down, on_done will not run.
int pd_k8s_write(struct pd_k8s_writer *, const struct pd_k8s_write *) PD_MUST_CHECK;

struct pd_k8s_writer_stats {
	uint64_t pending;   // writes that are not over
	uint64_t done;      // ended well
	uint64_t failed;    // ended badly
	uint64_t tries;     // calls that began
	uint64_t conflicts; // of updates, repeated
	uint64_t throttled; // waits for a token
};
void pd_k8s_writer_stats(const struct pd_k8s_writer *, struct pd_k8s_writer_stats *out); // any thread

#endif
