// Inside of the engine: shared by engine.c, host_unit.c, scope.c, endpoint_unit.c and view_state.c, and by nobody else.
//
// Locks, in the order in which they are taken:
//   view_state.lock > scope.lock > engine.lock
// engine.lock guards the published snapshot, the dependency index, the pending lists of scopes and views, and the tables of
// scopes, views, families and endpoint entries. It is held for table work only, never while a translator runs.
//
// One pass of computation, on any thread:
//   begin: under engine.lock take the snapshot and the pending list together, so nothing falls between them
//   compute: translators read the snapshot; tokens are collected
//   end:   under engine.lock record the tokens; a unit whose token changed meanwhile goes back to the pending list
#ifndef DISCOVERY_ENGINE_IMPL_H
#define DISCOVERY_ENGINE_IMPL_H

#include <pthread.h>

#include "base/vec.h"
#include "discovery/build.h"
#include "discovery/deps.h"
#include "discovery/engine.h"

#define uthash_fatal(msg) abort()
#include <uthash.h>

// Every unit starts with this: pd_deps hands back the embedded pd_unit, `kind` says what it is part of.
enum unit_kind { UNIT_FAMILY, UNIT_PORT, UNIT_SCOPE_STATIC, UNIT_ENDPOINTS, UNIT_VIEW };
struct unit {
	struct pd_unit deps; // first: a pd_unit pointer is a unit pointer
	enum unit_kind kind;
};

#define ENGINE_ENDPOINT_ENTRIES_MAX (1u << 20) // distinct EDS names remembered; beyond it answers are not cached
#define ENGINE_VIEW_RESOURCES_MAX 4096         // distinct RDS names of a gateway's view, and SDS names, remembered
#define ENGINE_INFLIGHT_MAX 256                // concurrent passes

// ---- host units ----------------------------------------------------------------------------------------------------

// What one host contributes to one scope. Immutable, shared by all scopes for which it comes out the same.
struct host_result {
	struct pd_obj obj;
	uint64_t hash;
	uint64_t service; // hash of the service; 0 = none. What its listeners read of it
	size_t n_clusters, n_vhosts, n_ports;
	struct pd_resource **clusters;
	struct host_vhost {
		const char *route_name; // interned
		const char *name;       // interned: the virtual host's
		struct pd_blob *field;  // encoded virtual_hosts field
		enum pd_vhost_rank rank;
		uint32_t n_domains;
		uint64_t *domains; // hashes of the lower-cased domains
	} * vhosts;
	uint32_t *ports; // service ports, sorted
	struct pd_provenance *prov;
};

// A host and what it came to in each scope. The tokens are the union over the scopes: a change of one of them makes the
// host pending in all scopes, where equal results then end it.
struct family {
	struct unit unit;
	const char *host; // interned
	struct family_slot {
		struct host_result *result; // NULL = contributes nothing
		bool pending;               // queued in that scope's pending list
	} * by_scope;                       // indexed by scope.slot
	uint32_t n_slots;
	uint32_t refs; // scopes that have a result or have it pending
	UT_hash_handle hh;
};

// ---- scopes --------------------------------------------------------------------------------------------------------

struct route_group {      // one sidecar route configuration
	const char *name; // interned
	PD_VEC(struct route_member {
		const struct family *family;
		const struct host_result *result; // the family's in this scope, which holds it
		const struct host_vhost *vhost;   // in result
	})
	members; // sorted by the virtual host's name, then host
	bool dirty;
	struct pd_resource *resource;
	UT_hash_handle hh;
};

struct template_result {              // one outbound listener of a port
	const char *name;             // interned
	struct pd_resource *complete; // no HTTP slots: shared by all views; else NULL
	struct pd_blob *template;     // encoded Listener with empty HTTP filters; NULL if complete
	size_t n_slots;
	struct pd_http_slot *slots; // strings interned
	struct pd_provenance *prov;
	uint64_t version; // of template and slots
};

struct port_group { // all services of a scope with one port
	struct unit unit;
	struct scope *scope;
	uint32_t port;
	PD_VEC(struct family *) members; // sorted by host
	bool dirty, pending;             // pending: queued in scope->pending_ports (engine.lock)
	PD_VEC(struct template_result) templates;
	UT_hash_handle hh;
};

struct scope {
	struct unit unit;     // static clusters, route heads and catch-alls
	uint32_t slot, users; // users: views (engine.lock)
	struct pd_proxy_key key;
	pthread_mutex_t lock;
	// guarded by engine.lock
	PD_VEC(struct family *) pending;
	PD_VEC(struct port_group *) pending_ports;
	bool static_pending;
	uint32_t notify; // types to announce with the current change
	// guarded by lock
	struct pd_segment *clusters, *static_clusters, *listeners;
	struct route_group *routes;
	struct port_group *ports;
	uint64_t templates_version; // changes when some template with HTTP slots does
};

// A set of scope slots: one word for the first 64, more on the heap beyond.
struct slot_set {
	uint64_t first;
	uint64_t *more;
	uint32_t n_more;
};

// ---- endpoints -----------------------------------------------------------------------------------------------------

struct endpoint_entry {
	struct unit unit;
	const char *name; // interned
	PD_VEC(struct endpoint_result {
		const char *locality; // interned; NULL = the same for all localities
		const char *node;     // interned; NULL = the same on all nodes
		struct pd_resource *resource;
		struct slot_set scopes; // for which it holds
	})
	results;
	bool idle; // nobody asked since it became stale
	UT_hash_handle hh;
};

// ---- views ---------------------------------------------------------------------------------------------------------

enum view_part { VIEW_INBOUND, VIEW_LISTENERS, VIEW_HTTP, VIEW_NAMES, VIEW_ROUTE, VIEW_SECRET };
struct view_unit {
	struct unit unit;
	struct view_state *vs;
	enum view_part part;
	bool pending; // engine.lock
};

struct view_resource { // what is made for one view by name: a gateway's route configuration, a secret
	struct view_unit u;
	const char *name;             // interned; names of secrets and of route configurations never meet ("://")
	struct pd_resource *resource; // NULL: there is no such secret
	UT_hash_handle hh;
};

struct http_listener {    // a template filled in for this view
	const char *name; // interned
	uint64_t version; // of the template
	struct pd_resource *resource;
	UT_hash_handle hh;
};

struct view_state {
	struct pd_view *view;
	uint64_t hash; // of the view: key of the engine's table
	struct scope *scope;
	uint32_t users, notify; // engine.lock
	bool rescope;           // engine.lock: other labels matter now, so the scope must be chosen anew
	pthread_mutex_t lock;
	struct view_unit inbound, own, http, names;
	// guarded by lock
	struct pd_segment *inbound_clusters, *own_listeners, *http_listeners, *name_table;
	struct pd_segment *listeners_seen, *listeners_kept; // the scope's, and those without listeners on own addresses
	struct http_listener *http_table;
	uint64_t http_templates_version;
	uint32_t n_resources;
	struct view_resource *resources;
	struct pd_set *sets[PD_TYPE_COUNT];
	UT_hash_handle hh; // by view hash
};

// Complete listeners are the same for nearly all scopes: the newest of each name, with a reference.
struct shared_listener {
	const char *name; // interned
	struct pd_resource *resource;
	UT_hash_handle hh;
};

struct pd_engine {
	const struct pd_settings *settings;
	struct pd_issues *issues;
	struct pd_store *store;       // control thread
	struct pd_registry *registry; // control thread
	struct pd_gwapi *gwapi;       // control thread
	struct pd_access *access;     // NULL: nobody needs permission
	pd_invalidate_fn listen;
	void *listen_arg;
	_Atomic(bool) ready;
	atomic_ullong units_computed;

	pthread_mutex_t lock;
	struct pd_snapshot *snap;
	struct pd_deps *deps;
	struct family *families;
	PD_VEC(const char *) client_labels; // label keys by which rules tell clients apart; sorted, one reference each
	PD_VEC(struct scope *) by_slot;     // all scopes; NULL = free slot
	struct endpoint_entry *endpoints;
	PD_VEC(const char *) idle_endpoints; // names, one reference each
	struct view_state *views;
	struct shared_listener *shared_listeners, *shared_sweep; // sweep: where the next look for unused ones begins
	uint64_t inflight[ENGINE_INFLIGHT_MAX];                  // generations being read; 0 = free
};

// ---- passes (engine.c) ---------------------------------------------------------------------------------------------

struct pass {
	struct pd_snapshot *snap; // one reference
	unsigned inflight;
	struct pd_arena arena;
};
void pd_engine_pass_begin_locked(struct pd_engine *e, struct pass *p);
void pd_engine_pass_end_locked(struct pd_engine *e, struct pass *p);
// After the lock is released: drops snapshot and arena.
void pd_engine_pass_free(struct pass *p);
void pd_engine_pass_tx(struct pd_engine *e, struct pass *p, const struct pd_proxy_key *key, const struct pd_view *view,
		       struct pd_tx *tx);

// ---- host_unit.c ---------------------------------------------------------------------------------------------------
struct family *pd_family_get_locked(struct pd_engine *e, const char *host); // makes one if needed
// Drops one use; frees the family with the last.
void pd_family_unref_locked(struct pd_engine *e, struct family *f);
// Computes the host for the scope of tx. NULL if it contributes nothing. One reference.
struct host_result *pd_host_result_build(struct pd_tx *tx, const char *host);
bool pd_host_result_equal(const struct host_result *a, const struct host_result *b);

// ---- scope_routes.c, scope_ports.c: with s->lock ---------------------------------------------------------------------
// Takes the host's part of a scope from `before` to `now` (either may be NULL).
void pd_scope_routes_change(struct scope *s, struct family *f, const struct host_result *before,
			    const struct host_result *now);
void pd_scope_ports_change(struct scope *s, struct family *f, const struct host_result *before,
			   const struct host_result *now);
// Assembles what is dirty; `all`: everything. Tokens go to tx.
void pd_scope_routes_build(struct scope *s, struct pd_tx *tx, bool all);
struct pd_resource *pd_scope_routes_build_one(struct pd_tx *tx, const struct route_group *g); // one reference
void pd_scope_ports_build(struct pd_engine *e, struct scope *s, struct pass *p);
void pd_shared_listeners_sweep_locked(struct pd_engine *e, size_t n); // looks at n of them, drops those that nobody has
void pd_scope_routes_free(struct scope *s);
void pd_scope_ports_free(struct pd_engine *e, struct scope *s); // with engine.lock

// ---- scope.c -------------------------------------------------------------------------------------------------------
struct scope *pd_scope_get_locked(struct pd_engine *e, const struct pd_view *view); // one use
void pd_scope_unref_locked(struct pd_engine *e, struct scope *s);
void pd_scope_add_pending_locked(struct scope *s, struct family *f);
// Brings the scope up to date. Call and hold with s->lock.
void pd_scope_refresh(struct pd_engine *e, struct scope *s);
struct pd_resource *pd_scope_route(struct pd_engine *e, struct scope *s,
				   const char *name); // with s->lock; one reference

// ---- endpoint_unit.c -----------------------------------------------------------------------------------------------
struct pd_resource *pd_endpoints_get(struct pd_engine *e, struct view_state *vs, const char *name);
// Those of many interned names that are cached for the view; NULL for the others.
void pd_endpoints_get_cached(struct pd_engine *e, struct view_state *vs, const char *const *names, size_t n,
			     struct pd_resource **out);
void pd_endpoints_stale_locked(struct pd_engine *e, struct endpoint_entry *entry);
void pd_endpoints_drop_scope_locked(struct pd_engine *e, const struct scope *s);
void pd_endpoints_sweep_locked(struct pd_engine *e); // frees entries that nobody asked for since they became stale
void pd_endpoints_free_all_locked(struct pd_engine *e);

// ---- view_state.c --------------------------------------------------------------------------------------------------
struct view_state *pd_view_state_new_locked(struct pd_engine *e, struct pd_view *view); // takes the reference; one user
void pd_view_state_free_locked(struct pd_engine *e, struct view_state *vs);             // no users left

#endif
