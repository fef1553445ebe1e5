// The engine: from changes to resource sets.
//
//   control thread:  pd_engine_apply(changes) ─► store ─► registry ─► new snapshot, published by one pointer swap
//                    stale units = tokens that changed ∩ tokens that units recorded; listener is told which views and names
//   any thread:      pd_view_set / pd_view_resource ─► brings the scope or view up to date (only stale units are computed,
//                    once, under that scope's lock) ─► immutable sets and resources with references
//
// Units of computation and their caches:
//   host unit      (scope, host)    outbound clusters, virtual hosts per port, listener entries of one service
//   port unit      (scope, port)    route configuration and listener plan of one port: assembled from host units
//   endpoint unit  (scope, cluster) ClusterLoadAssignment, made when somebody subscribes to it
//   view units     (view, type)     inbound clusters, listeners; gateways' listeners and routes
// Equal bytes are one blob: results are interned by content across scopes.
#ifndef DISCOVERY_ENGINE_H
#define DISCOVERY_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/issue.h"
#include "config/mesh.h"
#include "config/store.h"
#include "discovery/resource.h"
#include "discovery/set.h"
#include "discovery/snapshot.h"
#include "discovery/view.h"

struct pd_engine;

// What a published change may have altered. "May": a resource that comes out the same keeps its version and is not sent.
struct pd_invalidation {
	uint64_t generation; // of the snapshot that was published
	uint64_t changed_ns; // pd_now_ns() when the first of the changes reached the process
	size_t n_views;      // views of which some set or resource may differ
	const struct pd_view_change {
		struct pd_view *view; // borrowed during the call
		uint32_t types;       // bit 1 << enum pd_type
	} * views;
	size_t n_names; // single resources, whoever subscribes to them (endpoints)
	const struct pd_name_change {
		enum pd_type type;
		const char *name; // interned, borrowed during the call
	} * names;
	size_t n_addresses; // workloads that are not what they were when their proxies connected: other labels, another
		// place, or known only now. A proxy with such an address needs a new view: it must connect again
	const char **addresses;
};
// Called on the control thread after the snapshot was published. Must not block.
typedef void (*pd_invalidate_fn)(const struct pd_invalidation *, void *arg);

struct pd_engine *pd_engine_new(const struct pd_settings *settings, struct pd_issues *issues);
void pd_engine_free(struct pd_engine **);
void pd_engine_listen(struct pd_engine *, pd_invalidate_fn fn, void *arg); // once, before the first apply

// ---- control thread ----------------------------------------------------------------------------------------------
// Takes the objects of `changes`. Returns the number of tokens that changed: 0 means that nothing is different and nobody
// was called.
size_t pd_engine_apply(struct pd_engine *, struct pd_change *changes, size_t n, uint64_t changed_ns);
size_t pd_engine_set_mesh(struct pd_engine *, struct pd_mesh *mesh); // takes the reference
// From now on service accounts need permission to read Secrets: `ask` is called for each (discovery/access.h), once and before
// the first view.
void pd_engine_ask_access(struct pd_engine *, void (*ask)(void *arg, const char *ns, const char *account), void *arg);
size_t pd_engine_set_access(struct pd_engine *, const char *ns, const char *account, bool allowed);
// All sources have delivered their first state: from now on there is something to serve.
void pd_engine_set_ready(struct pd_engine *);
bool pd_engine_ready(struct pd_engine *);

// ---- any thread --------------------------------------------------------------------------------------------------
struct pd_snapshot *pd_engine_snapshot(struct pd_engine *); // a reference; never NULL
uint64_t pd_engine_generation(struct pd_engine *);

// The view of a proxy, from the Node of its first request and the service account that it proved to be ("" = none).
// Errors: PD_E_INVALID, with the text in err (for the client).
int pd_engine_view(struct pd_engine *, const Envoy__Config__Core__V3__Node *node, const char *verified_account,
		   struct pd_view **out, char *err, size_t err_len) PD_MUST_CHECK;
void pd_view_unref(struct pd_engine *, struct pd_view *);

// All resources of a wildcard type (CDS, LDS, NDS) for a view, up to date with the current snapshot. One reference.
struct pd_set *pd_view_set(struct pd_engine *, struct pd_view *, enum pd_type type);
// One resource of a type that is subscribed by name. RDS and EDS: an unknown name gives an empty resource; ECDS, SDS: NULL.
struct pd_resource *pd_view_resource(struct pd_engine *, struct pd_view *, enum pd_type type, const char *name);
// The same for many interned names at once, which is cheaper than one by one: out[i] gets what pd_view_resource would give.
void pd_view_resources(struct pd_engine *, struct pd_view *, enum pd_type type, const char *const *names, size_t n,
		       struct pd_resource **out);

// Counters for /metrics and tests.
struct pd_engine_stats {
	uint64_t generation, views, scopes, host_units, endpoint_units;
	uint64_t units_computed; // since start: what incremental tests count
	uint64_t objects;
};
void pd_engine_stats(struct pd_engine *, struct pd_engine_stats *out);

#endif
