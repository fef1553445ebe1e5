// The xDS protocol of one stream, without a network: what requests mean, what has to be sent, what the client has.
//
// A session has a watch per resource type that the client asked for. Requests change watches (sotw.c, delta.c); a pass
// (pass.h) finds what each watch lacks and gives answers; pd_session_commit notes an answer as sent. Nothing here blocks, and
// a session is used by one thread at a time: its stream sees to that.
//
// Flow control. At most one response per type is on its way: from commit to the ACK or NACK that carries its nonce the watch
// is `in_flight`, and whatever changes meanwhile only makes it `dirty`. The next pass compares the newest state with what the
// client was sent, so any number of changes collapses into one response, and a slow client costs nothing more.
//
// Rules follow istiod's (and thereby what Envoy relies on). Where they differ, it is for a reason given in sotw.c or delta.c.
#ifndef XDS_SESSION_H
#define XDS_SESSION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/vec.h"
#include "discovery/engine.h"
#include "xds/have.h"
#include "xds/names.h"
#include "xds/request.h"

#define PD_WATCH_TODO_MAX 64 // names to look at again that are listed; beyond it all names of the watch are looked at

// Shared by all sessions of a server.
struct pd_session_env {
	struct pd_engine *engine;
	struct pd_names_table *names[PD_TYPE_COUNT];
	char nonce_prefix[16]; // tells this process from others
	atomic_ullong nonce;
};
void pd_session_env_init(struct pd_session_env *, struct pd_engine *);
void pd_session_env_free(struct pd_session_env *);

#define PD_NONCE_TEXT 40
// "PREFIX-COUNTER". Nonces are kept as the counter; 0 = none.
void pd_nonce_text(const struct pd_session_env *, uint64_t nonce, char out[PD_NONCE_TEXT]);
uint64_t pd_nonce_parse(const struct pd_session_env *, struct pd_span text); // 0: not one of ours

struct pd_watch {
	// What the client wants.
	bool wildcard;            // everything of the type
	struct pd_names *names;   // names that it asked for; NULL = none. State of the world ignores them if wildcard
	struct pd_subscriber sub; // membership in names
	struct pd_raw_key raw;    // of the request that named them (state of the world)

	// What it was sent. Wildcard: `sent`, plus `leaving`. By name: `have`, for each of names.
	struct pd_set *sent;
	struct pd_have have;
	struct pd_initial {       // delta: what the client says it has, until the first answer; sorted by name
		const char *name; // interned
		uint64_t version;
	} * initial;
	size_t n_initial;
	// Clusters that left the set but that the client keeps until its listeners and routes are renewed.
	PD_VEC(struct pd_leaving {
		const char *name;      // interned
		struct pd_resource *r; // NULL if only the name is known
	})
	leaving;

	// What there is to do.
	bool dirty;                // something may differ from what was sent
	bool all;                  // by name: look at all names; else at `todo`
	bool must_answer;          // send a response even if it is empty
	PD_VEC(const char *) todo; // interned. By name: look at these. Wildcard: send these again

	bool in_flight;
	uint64_t nonce_sent, nonce_acked, version_sent, version_acked;
	int64_t sent_ns, acked_ns; // wall clock; 0 = never
	uint64_t n_sent;           // responses
	char *error;               // text of the last NACK; NULL after an ACK
};

struct pd_session {
	struct pd_session_env *env;
	struct pd_view *view; // borrowed
	bool delta;
	void *owner;     // what visitors of name sets get
	bool no_secrets; // to this client they do not exist
	struct pd_watch *watch[PD_TYPE_COUNT];
	unsigned n_held; // cluster responses since listeners or routes began to wait for one (PD_HELD_MAX)
};

void pd_session_init(struct pd_session *, struct pd_session_env *, struct pd_view *view, bool delta, void *owner);
void pd_session_free(struct pd_session *);

enum pd_request_kind {
	PD_REQ_IGNORED,   // a type that is never answered
	PD_REQ_SUBSCRIBE, // there is something to answer
	PD_REQ_ACK,       // and nothing else
	PD_REQ_NACK,
	PD_REQ_STALE,
	PD_REQ_UNSUBSCRIBE,
	PD_REQ_KINDS,
};
// Applies a request. PD_E_PARSE and PD_E_LIMIT: the stream must end; err says why.
int pd_session_request(struct pd_session *, const struct pd_request *, enum pd_request_kind *kind, struct pb_error *err)
	PD_MUST_CHECK;

// The configuration may have changed: everything of a type, or one named resource.
void pd_session_mark_type(struct pd_session *, enum pd_type);
void pd_session_mark_name(struct pd_session *, enum pd_type, const char *interned);

// True if a pass now could have something to send.
bool pd_session_has_work(const struct pd_session *);
// Types (bits 1 << enum pd_type) that have something to send but wait for an acknowledgement.
uint32_t pd_session_blocked(const struct pd_session *);
// Waits no longer for the acknowledgement of a response. Envoy withholds that of clusters while one of them warms up; if it
// cannot, for want of a certificate say, the configuration that mends it must still get through.
void pd_session_give_up_ack(struct pd_session *, enum pd_type);

// ---- for sotw.c, delta.c, pass.c -----------------------------------------------------------------------------------
int pd_sotw_request(struct pd_session *, const struct pd_request *, enum pd_request_kind *, struct pb_error *)
	PD_MUST_CHECK;
int pd_delta_request(struct pd_session *, const struct pd_request *, enum pd_request_kind *, struct pb_error *)
	PD_MUST_CHECK;
struct pd_watch *pd_watch_new(struct pd_session *, enum pd_type);
void pd_watch_delete(struct pd_session *, enum pd_type);
// Notes that the response `nonce_sent` was taken (or refused, if the request has an error).
void pd_watch_acked(struct pd_session *, struct pd_watch *, const struct pd_request *);
// Replaces the names (takes the reference). Versions of names that stay are kept.
void pd_watch_set_names(struct pd_session *, enum pd_type, struct pd_names *);
static inline uint64_t pd_watch_have(const struct pd_watch *w, size_t i)
{
	return pd_have_get(&w->have, i);
}
static inline void pd_watch_set_have(struct pd_watch *w, size_t i, uint64_t version)
{
	pd_have_set(&w->have, w->names, i, version);
}
bool pd_session_frontends_dirty(const struct pd_session *);   // listeners or routes
void pd_watch_forget_sent(struct pd_session *, enum pd_type); // the client is taken to have nothing
void pd_watch_todo(struct pd_session *, enum pd_type, const char *interned);
void pd_watch_clear_todo(struct pd_watch *);
void pd_watch_clear_initial(struct pd_watch *);

#endif
