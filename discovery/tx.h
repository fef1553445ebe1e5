// Translation context: how a translator reads a snapshot.
//
// A translator is a pure function of (snapshot, view or scope). It reads *only* through the accessors below. Each accessor
// records the token of what was asked for (also when there was nothing), which is how the engine knows when the result is
// stale; tx_use records the objects that shaped the result, which is its provenance. So a translator cannot forget a
// dependency: what it did not record it could not read.
//
// Writing a translator, in five rules:
//   1. Take a `struct pd_tx *`, allocate from tx->arena, return Envoy messages (generated structs) made with pb_new().
//   2. Read configuration with tx_* accessors only. Never keep a pointer from them beyond the pass.
//   3. Call tx_use(tx, object) for each configuration object that made a difference.
//   4. No clock, no randomness, no iteration in hash order: equal input gives equal bytes. Sort maps (pb_struct_* does).
//   5. A mistake in an object is reported with tx_issue(); produce the best remaining result. Never fail as a whole.
#ifndef DISCOVERY_TX_H
#define DISCOVERY_TX_H

#include "base/vec.h"
#include "config/issue.h"
#include "discovery/indexes.h"
#include "discovery/resource.h"
#include "discovery/snapshot.h"
#include "discovery/view.h"
#include "istio/networking/destination_rule.pb-c.h"
#include "istio/networking/virtual_service.pb-c.h"

struct pd_policy_set;
struct pd_tx {
	const struct pd_snapshot *snap;
	const struct pd_proxy_key *key;       // scope: what the outbound side may read of the proxy
	const struct pd_view *view;           // NULL in scope-level passes: per-proxy properties may not be read there
	struct pd_arena *arena;               // dropped after the pass
	struct pd_issues *issues;             // where tx_issue reports; NULL = nowhere
	PD_VEC(pd_token) tokens;              // in the arena; recorded by the accessors
	PD_VEC(struct pd_key) used;           // in the arena; recorded by tx_use
	const struct pd_policy_set *policies; // filters of policies, once somebody asked (policy/policy_filters.h)
	bool read_locality;                   // set by tx_locality: the result differs by the proxy's locality
	bool read_node;                       // set by tx_node: and by its node
};

// ---- plain access -------------------------------------------------------------------------------------------------
void tx_depend(struct pd_tx *tx, pd_token token);
void tx_use(struct pd_tx *tx, const struct pd_object *o);                               // NULL allowed
const struct pd_posting *tx_posting(struct pd_tx *tx, unsigned index, const char *key); // never NULL
const struct pd_object *tx_object(struct pd_tx *tx, enum pd_kind kind, const char *ns, const char *name);
const Istio__MeshConfig *tx_mesh(struct pd_tx *tx);
// Says that `o` has a mistake; logged once per object and generation, shown in /debug/configz.
void tx_issue(struct pd_tx *tx, const struct pd_object *o, const char *field, const char *fmt, ...) PD_PRINTF(4, 5);
struct pd_provenance *tx_provenance(struct pd_tx *tx); // of all tx_use so far; caller unrefs

// The proxy's "region/zone/subzone". Reading it makes the result one per locality: ask only when locality matters.
const char *tx_locality(struct pd_tx *tx);
// The name of the node that the proxy runs on, "" if unknown. One result per node: for node-local services only.
const char *tx_node(struct pd_tx *tx);

// The proxy proved to run as a service account that may read the Secrets of its namespace. Needs tx->view.
bool tx_may_read_secrets(struct pd_tx *tx);

// ---- services -----------------------------------------------------------------------------------------------------
// The service that `host` means for this proxy: visible to its namespace; own namespace first, then Kubernetes, then oldest.
// NULL if none.
const struct pd_service *tx_service(struct pd_tx *tx, const char *host);
const struct pd_endpoints *tx_endpoints(struct pd_tx *tx, const char *host); // NULL if none
const struct pd_accounts *tx_accounts(struct pd_tx *tx, const char *host);   // NULL if none
const struct pd_networks *tx_networks(struct pd_tx *tx);                     // NULL if no network has a gateway
// Every service that `fn` may see (tx_service of each host name), in the order of host names. For what really needs all of
// them (name table): the result is stale with any change of any service.
void tx_each_service(struct pd_tx *tx, void (*fn)(struct pd_tx *tx, const struct pd_service *svc, void *arg),
		     void *arg);
// The names alone, visible or not, in no order, until fn returns false: for questions that any order answers alike. As stale.
void tx_each_service_host(struct pd_tx *tx, bool (*fn)(struct pd_tx *tx, const char *host, void *arg), void *arg);
// Services whose selector matches the proxy's labels in its namespace, by creation time, then host name. Needs tx->view.
struct tx_service_targets {
	size_t n;
	const struct pd_service **v;
} tx_service_targets(struct pd_tx *tx);

// ---- DestinationRule (discovery/cluster/dest_rule.c) -------------------------------------------------------------
// The rule in force for `host` (merged where several apply), or NULL. Lookup order: client's namespace, service's, root.
struct pd_dest_rule {
	const Istio__DestinationRule *spec; // merged; lives in the arena or in the snapshot
	const struct pd_object *object;     // the first of those merged: its name is in metadata.istio.config
};
const struct pd_dest_rule *tx_dest_rule(struct pd_tx *tx, const struct pd_service *svc);
// The traffic policy for one port of a service and a subset (NULL = none): port level > subset > top, by the rules of §3
// (portLevelSettings replace, subsets merge block by block). NULL if there is none.
const Istio__TrafficPolicy *tx_traffic_policy(struct pd_tx *tx, const struct pd_dest_rule *dr, uint32_t port,
					      const char *subset);

// ---- VirtualService (discovery/route/vs_lookup.c) ----------------------------------------------------------------
// As written: names in it may be short, routes may be delegated (route/route.h).
struct pd_vs {
	const struct pd_object *object;
	const Istio__VirtualService *spec;
};
struct pd_vs_list {
	size_t n;
	const struct pd_vs **v;
};
// Mesh VirtualServices visible to the proxy's namespace of which some host covers `host`: the most specific host first
// (exact, then longest wildcard), then oldest.
struct pd_vs_list tx_mesh_vs_for_host(struct pd_tx *tx, const char *host);
// VirtualServices bound to the gateway "NS/NAME", oldest first.
struct pd_vs_list tx_gateway_vs(struct pd_tx *tx, const char *gateway);

// ---- policy (discovery/policy/peer_authn.c) ----------------------------------------------------------------------
enum pd_mtls { PD_MTLS_PERMISSIVE, PD_MTLS_STRICT, PD_MTLS_DISABLE };
// What namespace and mesh PeerAuthentication say for a namespace (used for a client's cluster).
enum pd_mtls tx_namespace_mtls(struct pd_tx *tx, const char *ns);
// What applies to a workload with these labels on a target port (0 = no port).
enum pd_mtls tx_workload_mtls(struct pd_tx *tx, const char *ns, const struct pd_labels *labels, uint32_t port);

#endif
