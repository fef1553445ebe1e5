// Inside a reflector.
#ifndef K8S_REFLECTOR_IMPL_H
#define K8S_REFLECTOR_IMPL_H

#include "base/vec.h"
#include "k8s/reflector.h"
#include "k8s/reflector_known.h"

// A namespace that is being listed (reflector_fetch.c).
struct pd_k8s_fetch {
	struct pd_k8s_reflector *r;
	const char *ns; // interned
	uint64_t call, timer;
	struct pd_k8s_list list;
	unsigned failures;
	PD_VEC(const char *)
	gone; // names that the watch removed meanwhile: an older list must not bring them back. Interned
	struct pd_k8s_fetch *next;
};

struct pd_k8s_reflector {
	char *title, *base, *resource, *ns, *field_selector, *accept, *accept_watch;
	struct pd_k8s_transport transport;
	struct pd_k8s_handler handler;
	struct pd_k8s_reflector_status status;
	struct pd_k8s_known known;
	uint32_t mark; // of the current sync

	uint64_t call, timer; // 0 = none
	uint64_t since_ms;    // when the current stream began to answer
	struct pd_k8s_list list;
	struct pd_k8s_frames frames;
	struct pd_k8s_wire_error why; // of what on_data returned
	struct pd_k8s_status error;   // of an ERROR event, if `failed`
	bool failed;
	uint64_t high;               // version of the last event; 0 = none to compare with
	bool no_stream;              // lists come in pages
	bool syncing;                // the list is not whole
	bool streaming;              // the current call is a watch
	bool heard;                  // the current call has brought something
	unsigned failures, denials;  // in a row; of the one kind and the other
	unsigned stream_failures;    // of streamed lists, in a row
	unsigned expired;            // 410 in a row
	unsigned broken;             // readings that failed at one place
	bool warned;                 // a failure that lasts was logged,
	enum pd_k8s_phase warned_of; // last one in this phase
	struct pd_k8s_fetch *fetches;
	unsigned n_fetches;
};

// BASE[/namespaces/NS]/RESOURCE?[fieldSelector=…&], to which the caller adds the rest of the query.
void pd_k8s_reflector_path(const struct pd_k8s_reflector *r, const char *ns, struct pd_buf *out);
// An object of a list or a watch. PD_OK: told to the handler, known already, not wanted, or passed over as broken.
// `authoritative`: an older version than the known one counts too. Reasons go to r->why.
int pd_k8s_reflector_put(struct pd_k8s_reflector *r, const struct pd_k8s_item *item, bool authoritative) PD_MUST_CHECK;
bool pd_k8s_reflector_wants(const struct pd_k8s_reflector *r, const char *ns);

// Fetches: cancels those of namespaces that are wanted no longer, or all; notes what the watch removed.
void pd_k8s_fetch_prune(struct pd_k8s_reflector *r);
void pd_k8s_fetch_cancel_all(struct pd_k8s_reflector *r);
void pd_k8s_fetch_removed(struct pd_k8s_reflector *r, const char *ns, const char *name);

#endif
