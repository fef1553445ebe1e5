// Inside a source.
#ifndef K8S_SOURCE_IMPL_H
#define K8S_SOURCE_IMPL_H

#include <pthread.h>
#include <uthash.h>

#include "k8s/source.h"

// ---- namespaces (source_namespaces.c) ----

struct pd_k8s_ns {
	const struct pd_object *object; // of kind Namespace; one reference
	bool selected;
	UT_hash_handle hh; // by the object's name, which is interned
};
// All-zero: no selectors, no namespaces.
struct pd_k8s_namespaces {
	struct pd_k8s_ns *table;
	struct pd_arena arena; // of the selectors
	Istio__LabelSelector **selectors;
	size_t n_selectors, n, n_selected;
};
// Whether objects of this namespace count ("" = of none: always).
bool pd_k8s_ns_selected(const struct pd_k8s_namespaces *, const char *ns);
// What became of one namespace.
enum pd_k8s_ns_change { PD_K8S_NS_SAME, PD_K8S_NS_IN, PD_K8S_NS_OUT };
enum pd_k8s_ns_change pd_k8s_ns_put(struct pd_k8s_namespaces *,
				    const struct pd_object *o); // takes a reference of its own
enum pd_k8s_ns_change pd_k8s_ns_remove(struct pd_k8s_namespaces *, const char *name);
// New selectors (copied). *in gets the names that became selected, borrowed until the table changes; the caller frees the
// array. True if some namespace was deselected.
struct pd_k8s_ns_names {
	PD_VEC(const char *) list;
};
bool pd_k8s_ns_select(struct pd_k8s_namespaces *, Istio__LabelSelector *const *selectors, size_t n,
		      struct pd_k8s_ns_names *in);
void pd_k8s_ns_free(struct pd_k8s_namespaces *);

// ---- the source ----

struct pd_k8s_follower { // one kind
	struct pd_k8s_source *source;
	enum pd_kind kind;
	bool asked; // it is followed if it is served
	const char *version;
	struct pd_k8s_reflector *reflector;
};

struct pd_k8s_source {
	struct pd_k8s_source_config cfg; // strings are ours
	struct pd_k8s_transport transport;
	char *name;          // "k8s:Kubernetes"
	const char *cluster; // interned
	struct pd_k8s_kinds *kinds;
	struct pd_k8s_follower followers[PD_KIND_COUNT];
	struct pd_k8s_namespaces namespaces;
	PD_VEC(struct pd_change) pending; // strings of the keys are references of ours
	uint64_t started_ms;

	struct pd_k8s_reflector *mesh; // of the ConfigMap
	char *mesh_text, *networks_text;
	bool mesh_done; // it was read, or cannot be
	bool mesh_told; // `mesh` was called, and what it selected counts
	bool synced;
	bool stopping;

	pthread_mutex_t lock; // guards what follows
	pthread_cond_t stopped_cond;
	bool stopped, forget;
	struct pd_k8s_source_stats stats;
};

// The ConfigMap (source_mesh.c).
void pd_k8s_source_mesh_begin(struct pd_k8s_source *s);
// Starts what can be started now.
void pd_k8s_source_advance(struct pd_k8s_source *s);

#endif
