// One resource of an API server, followed: all its objects are listed, then changes are watched, for ever.
//
// A reflector tells its handler what is there (`put`, `remove`) and sees to it that, whatever happens on the way, what the
// handler was told ends up equal to what the server has:
//
//	           ┌───────────────── 410 (HTTP, or an ERROR event in a stream of status 200), version from the future ──────────┐
//	           ▼                                                                                                            │
//	start ─► SYNCING ──────────────────────────────────────────── all of it ──────────────► WATCHING ── server's timeout ─► WATCHING
//	           ▲  a streamed list (sendInitialEvents) if the server can, else pages of 500   │ cut, silent, broken frame
//	           │                                                                             ▼
//	           └──────────────────────────────── after a while ────────────────────────── WAITING (resumes where it was)
//
// Syncing keeps what was told before in force: objects are put as they come, but what is missing is removed only when the
// list is whole. An object whose version is known already is not put again, nor even decoded.
//
// Order. Versions of one resource are numbers that grow (as the API conventions promise since 1.35). Events that are not newer
// than the last event, or than the version known of their object, are repetitions and dropped. Bookmarks only move the point
// from which a watch resumes; an event that comes after a bookmark with a higher version still counts.
//
// Failures. 429 waits as long as Retry-After says; 5xx and lost connections wait PD_K8S_BACKOFF_MIN_MS, doubling up to
// PD_K8S_BACKOFF_MAX_MS, of which a random half; 401, 403 and 404 are logged once and tried again ever more slowly, from
// PD_K8S_DENIED_MIN_MS up (a server that has just started denies everybody for a moment). Bytes that cannot be read end the
// stream, and it resumes before them; what is broken for the third time is reported and passed over.
//
// Memory: about 47 bytes an object (measured with 50,000), beside names that are interned anyway (reflector_known.h), and what
// of an object has arrived.
//
// All of it runs on the client's loop (k8s/client.h), its functions too; nothing here is locked.
#ifndef K8S_REFLECTOR_H
#define K8S_REFLECTOR_H

#include "k8s/client.h"
#include "k8s/wire.h"

#define PD_K8S_PAGE 500             // objects of a page
#define PD_K8S_WATCH_MIN_S 300      // how long a watch lasts: a random time up to twice this
#define PD_K8S_BACKOFF_MIN_MS 100   // first wait after a failure
#define PD_K8S_BACKOFF_MAX_MS 15000 // longest
#define PD_K8S_DENIED_MIN_MS 10000  // the same after 401 and 403, and while the resource is not served
#define PD_K8S_DENIED_MAX_MS 120000
#define PD_K8S_RETRY_AFTER_MAX_MS 60000 // no server makes us wait longer
#define PD_K8S_SHORT_WATCH_MS 1000      // a watch that ends sooner without a word counts as a failure
#define PD_K8S_STREAM_TRIES 3           // streamed lists that fail in a row before pages are taken instead
#define PD_K8S_BROKEN_TRIES 2           // readings of an object that fail before it is passed over
#define PD_K8S_FETCHES_MAX 8            // namespaces fetched at once; more sync everything instead

// The part of a client that a reflector uses. Tests put another one in its place.
struct pd_k8s_transport {
	void *ctx;
	uint64_t (*call)(void *ctx, const struct pd_k8s_request *);
	void (*cancel)(void *ctx, uint64_t call);
	uint64_t (*after)(void *ctx, uint64_t ms, void (*fn)(void *user), void *user);
	void (*timer_cancel)(void *ctx, uint64_t timer);
	int (*post)(void *ctx, void (*fn)(void *user), void *user);
	uint64_t (*now_ms)(void *ctx);
};
// A real client's.
struct pd_k8s_transport pd_k8s_transport_of(struct pd_k8s_client *);

// How long to wait after so many failures in a row: min_ms doubled that often, up to max_ms, of which a random half.
uint64_t pd_k8s_backoff(unsigned failures, uint64_t min_ms, uint64_t max_ms);

struct pd_k8s_handler {
	void *user;
	// An object that is new or has another version than before. PD_E_PARSE, PD_E_LIMIT: its bytes are broken.
	int (*put)(void *user, const struct pd_k8s_item *, struct pd_k8s_wire_error *);
	// An object that is gone. The strings are interned, borrowed.
	void (*remove)(void *user, const char *ns, const char *name);
	// Whether objects of this namespace are wanted; NULL = all are. "" for what is in none.
	bool (*wanted)(void *user, const char *ns);
	// A group of puts and removes is complete; `more`: further ones follow at once.
	void (*flush)(void *user, bool more);
	// The status is another. The reflector may be freed from within only by a timer.
	void (*changed)(void *user);
};

enum pd_k8s_phase {
	PD_K8S_SYNCING,
	PD_K8S_WATCHING,
	PD_K8S_WAITING,    // after a failure
	PD_K8S_FORBIDDEN,  // 401, 403
	PD_K8S_NOT_SERVED, // 404
};

struct pd_k8s_reflector_status {
	enum pd_k8s_phase phase;
	bool synced;            // a list was whole at least once
	size_t objects;         // known now
	char rv[PD_K8S_RV_MAX]; // where a watch would resume
	char error[256];        // the last failure while it lasts, else ""
	// since the start
	uint64_t lists, streamed, pages; // syncs begun; of these as a stream; pages asked for
	uint64_t watches;                // begun, streamed lists included
	uint64_t events, bookmarks;      // of watches
	uint64_t repeated;               // events dropped as repetitions
	uint64_t unchanged;              // objects of lists that were known in this version
	uint64_t expired;                // 410
	uint64_t failures;
	uint64_t broken;  // streams ended for bytes that cannot be read
	uint64_t skipped; // objects passed over for the same
};

struct pd_k8s_reflector_config {
	const char *title;          // for logs: "Kubernetes: pods"
	const char *base;           // "/apis/networking.istio.io/v1"
	const char *resource;       // "virtualservices"
	const char *ns;             // only of this namespace; NULL = all
	const char *field_selector; // NULL = none
	const char *accept;         // NULL = JSON
	const char *accept_watch;   // NULL = the same
	bool no_stream;             // pages only
	struct pd_k8s_transport transport;
	struct pd_k8s_handler handler;
};

struct pd_k8s_reflector;
// Starts at once. Strings are copied.
struct pd_k8s_reflector *pd_k8s_reflector_new(const struct pd_k8s_reflector_config *);
// Ends what is under way. `forget`: the handler is told that every object is gone, and flushed. NULL is fine.
void pd_k8s_reflector_free(struct pd_k8s_reflector **, bool forget);
// The resource is served elsewhere now (another version of its group): syncs there; known objects stay.
void pd_k8s_reflector_move(struct pd_k8s_reflector *, const char *base);
// Syncs again at once.
void pd_k8s_reflector_resync(struct pd_k8s_reflector *);
// What waits for a permission or for the resource to be served is tried now.
void pd_k8s_reflector_nudge(struct pd_k8s_reflector *);
// A namespace became wanted: its objects are listed and put. Safe against what the watch says in the meantime.
void pd_k8s_reflector_fetch(struct pd_k8s_reflector *, const char *ns);
// Some namespaces are wanted no longer (`wanted` says so already): their objects are removed.
void pd_k8s_reflector_prune(struct pd_k8s_reflector *);
const struct pd_k8s_reflector_status *pd_k8s_reflector_status(const struct pd_k8s_reflector *);
// Bytes of the table of known objects.
size_t pd_k8s_reflector_memory(const struct pd_k8s_reflector *);

#endif
