// Inside the registry. One pass (pd_registry_apply) works like this:
//
//   change items ─► dirty keys ─► workloads by IP ─► services by host ─► endpoints by host ─► services by selector
//     (dirty.c)                    (workload.c)      (service*.c)        (endpoints*.c)       (targets.c)
//
// Each step recomputes whole records from the config snapshot and from the records of the steps before it, so the result
// never depends on how a state was reached. Dirty keys may be too many, never too few: a record that comes out equal is
// not announced.
#ifndef DISCOVERY_REGISTRY_INTERNAL_H
#define DISCOVERY_REGISTRY_INTERNAL_H

#include <strings.h>

#include "base/addr.h"
#include "base/hash.h"
#include "base/str.h"
#include "base/vec.h"
#include "config/mesh.h"
#include "discovery/indexes.h"
#include "discovery/registry.h"
#include "istio/networking/service_entry.pb-c.h"
#include "istio/networking/workload_entry.pb-c.h"
#include "k8s/core.pb-c.h"
#include "k8s/discovery.pb-c.h"
#include "k8s/pod.pb-c.h"

struct reg_cluster {
	const char *name;         // interned
	const char *network;      // interned: label of the cluster's system namespace, or fromRegistry; "" if none
	struct pd_workload *bare; // what is known of an address without Pod; one reference, or NULL until asked for
};

struct pd_registry {
	const char *domain, *own_cluster; // interned
	pd_hamt map;
	PD_VEC(struct reg_cluster) clusters; // those that objects named so far: our own, then sorted

	// What is read of the mesh configuration. All NULL before the first.
	bool primed;
	uint64_t mesh_hash;
	const char *trust_domain, *root_ns; // interned
	size_t n_default_export;
	const char **default_export;       // interned; defaultServiceExportTo
	struct pd_mesh_networks *networks; // NULL if none; one reference

	struct pd_arena scratch; // of one pass
	struct pd_arena tmp;     // of one record
};

// Keys in the pass's arena; sorted and made distinct before they are used.
struct reg_keys {
	const char **v;
	size_t n, cap;
};

struct reg_pass {
	struct pd_registry *r;
	const struct pd_config_snap *snap;
	struct pd_token_vec *tokens;
	struct pd_arena *a;       // for the whole pass
	struct reg_keys ips;      // of PD_IX_WORKLOAD
	struct reg_keys hosts;    // of PD_IX_SERVICE
	struct reg_keys backends; // hosts of PD_IX_ENDPOINTS and PD_IX_ACCOUNTS
	struct reg_keys targets;  // of PD_IX_TARGETS
	bool networks;            // PD_IX_NETWORKS may be another
};

// ---- registry.c -----------------------------------------------------------------------------------------------------
// `key` must live until the pass ends.
void pd_reg_mark(struct reg_pass *p, struct reg_keys *keys, const char *key);
void *pd_reg_get(const struct pd_registry *r, enum pd_derived_index index, const char *key);
// Takes the reference `value`; NULL removes. A token is appended if `announce`.
void pd_reg_put(struct reg_pass *p, enum pd_derived_index index, const char *key, void *value, bool announce);
const struct reg_cluster *pd_reg_cluster(struct pd_registry *r, const char *name); // added if it is new
// The network of an address in a cluster, as far as neither a Pod nor an entry tells another; "" if unknown.
const char *pd_reg_network(const struct pd_registry *r, const struct reg_cluster *c, const char *address);
// Which records an entry of the map holds is known by their release functions.
void pd_reg_service_list_release(struct pd_obj *o);
void pd_reg_endpoints_release(struct pd_obj *o);
void pd_reg_accounts_release(struct pd_obj *o);
void pd_reg_workload_release(struct pd_obj *o);
void pd_reg_networks_release(struct pd_obj *o);

// ---- dirty.c --------------------------------------------------------------------------------------------------------
// Marks what a change of an object from `before` to `after` (either may be NULL) can alter.
void pd_reg_touch(struct reg_pass *p, const struct pd_object *before, const struct pd_object *after);
// Marks everything that the snapshot's objects can shape.
void pd_reg_touch_all(struct reg_pass *p);
// Makes the clusters of the snapshot's objects known.
void pd_reg_meet_clusters(struct reg_pass *p);

// ---- names ----------------------------------------------------------------------------------------------------------
const char *pd_reg_kube_host(struct reg_pass *p, const char *name, const char *ns); // in the pass's arena
// "NAME.NS.svc.DOMAIN" taken apart into `a`. False if it is no such name.
bool pd_reg_kube_name(const struct pd_registry *r, struct pd_arena *a, const char *host, const char **name,
		      const char **ns);

// ---- records --------------------------------------------------------------------------------------------------------
// A record and its arrays are one block of exactly the size needed: there are several for each service of the mesh.
struct reg_block {
	char *next, *end;
};
static inline void *reg_block_new(struct reg_block *b, size_t size)
{
	char *p = pd_xcalloc(1, size);

	*b = (struct reg_block){p, p + size};
	return p;
}
// The next `size` bytes. All parts of a record are multiples of a pointer's size.
static inline void *reg_block_take(struct reg_block *b, size_t size)
{
	char *p = b->next;

	PD_ASSERT(size % sizeof(void *) == 0 && size <= (size_t)(b->end - p));
	b->next += size;
	return p;
}

// ---- labels.c -------------------------------------------------------------------------------------------------------
// Labels under construction: borrowed strings, sorted by key, in an arena.
struct reg_labels {
	struct pd_label *v;
	size_t n, cap;
};
void pd_reg_labels_set(struct pd_arena *a, struct reg_labels *l, const char *key, const char *value);
void pd_reg_labels_add(struct pd_arena *a, struct reg_labels *l, const struct pd_label_entry *const *v, size_t n);
void pd_reg_labels_add_kept(struct pd_arena *a, struct reg_labels *l, struct pd_labels kept);
const char *pd_reg_labels_get(const struct reg_labels *l, const char *key); // NULL if absent
// Copies them into a record, interned.
struct pd_labels pd_reg_labels_keep(struct reg_block *record, const struct pd_labels *l);
static inline struct pd_labels reg_labels_view(const struct reg_labels *l)
{
	return (struct pd_labels){l->n, l->v};
}
void pd_reg_labels_drop(const struct pd_labels *l);
uint64_t pd_reg_labels_hash(uint64_t h, const struct pd_labels *l);
// "NS/KEY=VALUE" of the first pair, in `a`; NULL for none.
const char *pd_reg_first_pair(struct pd_arena *a, const char *ns, const struct pd_labels *selector);
// Own labels only, not those that say where a workload runs. `o` is a Pod or WorkloadEntry.
bool pd_reg_selects(const struct pd_labels *selector, const struct pd_object *o);
// Objects of a label index among which all that `selector` can match are; ...
struct reg_candidates {
	size_t n;
	const struct pd_object *const *v;
};
// ... those of the namespace in the worst case. `index` is PD_IX_POD_BY_LABEL or PD_IX_WE_BY_LABEL, `kind` its kind.
struct reg_candidates pd_reg_candidates(struct reg_pass *p, unsigned index, enum pd_kind kind, const char *ns,
					const struct pd_labels *selector);

// ---- arrays of interned strings ---------------------------------------------------------------------------------------
const char *const *pd_reg_strings_keep(struct reg_block *record, const char *const *v, size_t n);
void pd_reg_strings_drop(const char *const *v, size_t n);
uint64_t pd_reg_strings_hash(uint64_t h, const char *const *v, size_t n);
static inline uint64_t reg_hash_str(uint64_t h, const char *s)
{
	return pd_hash_mix(h, s ? pd_hash_str(s) + 1 : 0);
}

// ---- workload.c -------------------------------------------------------------------------------------------------------
// Each returns a reference. The record of a Pod or WorkloadEntry is the one in the map where there is one.
struct pd_workload *pd_reg_workload_of_pod(struct reg_pass *p, const struct pd_object *pod);
struct pd_workload *pd_reg_workload_of_entry(struct reg_pass *p, const struct pd_object *entry);
struct pd_workload *pd_reg_workload_of_inline(struct reg_pass *p, const struct pd_object *se, size_t i);
struct pd_workload *pd_reg_workload_of_host(struct reg_pass *p, const struct pd_object *se);
struct pd_workload *pd_reg_workload_bare(struct reg_pass *p, const char *cluster, const char *address);
void pd_reg_update_workload(struct reg_pass *p, const char *ip);
// Ready, not finished, not being deleted.
bool pd_reg_pod_serves(const K8s__Pod *pod);
// Of a Node: "region/zone/subzone" or "".
const char *pd_reg_node_locality(struct pd_arena *a, const struct pd_object *node);
// A WorkloadEntry whose health is checked counts only while it is reported healthy.
bool pd_reg_entry_healthy(const struct pd_object *entry);

// ---- service.c --------------------------------------------------------------------------------------------------------
// exportTo as written; an empty list means the mesh's default.
struct pd_export pd_reg_export(struct reg_pass *p, const char *own_ns, const char *const *v, size_t n);
// "PreferSameZone", "PreferSameNode" or NULL; `spec` may be NULL.
const char *pd_reg_traffic_distribution(struct reg_pass *p, const struct pd_object *o, const char *spec);
bool pd_reg_drains(const struct pd_labels *labels);
void pd_reg_update_services(struct reg_pass *p, const char *host);
void pd_reg_update_targets(struct reg_pass *p, const char *key);

// Drafts: strings are borrowed, arrays live in the tmp arena; no hash, no references.
struct pd_service pd_reg_service_of_kube(struct reg_pass *p, const struct pd_object *o, const char *host);
struct pd_service pd_reg_service_of_entry(struct reg_pass *p, const struct pd_object *o, const char *host);
#define PD_ALIAS_HOPS_MAX 16 // ExternalNames that point to one another
// What the Service with this host name is an alias of (in the pass's arena), or NULL; the first cluster that has it decides.
const char *pd_reg_alias_at(struct reg_pass *p, const char *host);
// Of a Service: what it is an alias of, in the pass's arena, or NULL.
const char *pd_reg_alias_target(struct reg_pass *p, const struct pd_object *service);
// Host names of the ExternalName services that end at `host`, sorted by namespace, then name; in the tmp arena.
const char *const *pd_reg_aliases_of(struct reg_pass *p, const char *host, size_t *n);

// ---- networks.c ---------------------------------------------------------------------------------------------------------
void pd_reg_update_networks(struct reg_pass *p);
// Whether a change of this object may change the record.
bool pd_reg_shapes_networks(struct reg_pass *p, const struct pd_object *o);

// ---- endpoints.c ------------------------------------------------------------------------------------------------------
// Endpoints under construction, in the tmp arena.
struct reg_endpoints {
	struct pd_endpoint *v; // a reference on each workload
	size_t n, cap;
};
void pd_reg_update_endpoints(struct reg_pass *p, const char *host);
// Adds those of one service record (from slices, WorkloadEntries, Pods or the object itself).
void pd_reg_endpoints_of_kube(struct reg_pass *p, const struct pd_service *s, struct reg_endpoints *out);
void pd_reg_endpoints_of_entry(struct reg_pass *p, const struct pd_service *s, struct reg_endpoints *out);
// `ep` with borrowed strings; the workload reference is taken.
void pd_reg_endpoint_add(struct reg_pass *p, struct reg_endpoints *out, struct pd_endpoint ep);

#endif
