// A pass: what one stream lacks now, as answers in the order in which they must be sent.
//
// All answers of a pass come from one snapshot (the pass starts over if a newer one appears meanwhile). Order: clusters,
// endpoints, listeners, routes, then the rest, so that nothing refers to what the client does not have yet. The other half
// of "make before break": clusters that go away are withheld as long as listeners or routes are still to be renewed.
//   incremental         first what is new, and after listeners and routes the removals
//   state of the world  first old and new clusters together, and after listeners and routes the new ones alone
//
// Listeners and routes wait until the clusters sent before them are acknowledged: Envoy acknowledges clusters only when they
// are warm, and a route that comes earlier would point at nothing. Endpoints wait for nobody, since warming needs them; what a
// client asks for first does not either. Nobody waits for ever: not for an acknowledgement (pd_xds_config.ack_patience_ms), and
// not while clusters change faster than they warm (PD_HELD_MAX); then everything goes at once, in order.
//
// Warming. Envoy replaces a changed cluster by a new one, which waits for endpoints even if these did not change; in the
// state-of-the-world protocol its request for them looks like an ACK. So the endpoints of exactly the clusters that an answer
// adds or changes are sent again (istiod sends those of all clusters).
#ifndef XDS_PASS_H
#define XDS_PASS_H

#include "xds/session.h"

#define PD_PASS_ATTEMPTS 4 // how often a pass starts over because the configuration moved
#define PD_HELD_MAX 3      // cluster responses in a row whose acknowledgement listeners and routes wait for

struct pd_answer {
	enum pd_type type;
	bool send;                         // else only noted by commit
	bool keeps_dirty;                  // there is more to do for this type after this answer
	struct pd_set *set;                // wildcard: what the client has afterwards; one reference, NULL = by name
	bool full;                         // all resources of set, and then those of res
	PD_VEC(struct pd_resource *) res;  // one reference each
	PD_VEC(const char *) removed;      // interned, one reference each
	PD_VEC(struct pd_leaving) leaving; // what commit puts in the watch's list
	PD_VEC(const char *) rewarm;       // clusters added or changed; interned, one reference each
	bool rewarm_all;
	uint64_t version; // of what the client has afterwards
};

struct pd_pass {
	struct pd_answer v[PD_TYPE_COUNT + 1]; // in sending order
	size_t n;
	uint64_t generation;
};

// Looks at all dirty types. The session is not changed.
void pd_pass_run(struct pd_session *, struct pd_pass *out);
void pd_pass_free(struct pd_pass *);

// Notes that the answer is on its way (or, if it is not `send`, that there was nothing to say). Commit all answers of a pass,
// in order. Returns the nonce to send it with.
uint64_t pd_session_commit(struct pd_session *, const struct pd_answer *);

#endif
