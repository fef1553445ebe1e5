// An API server as a source of configuration (config/source.h): discovery, a reflector for each kind that is served and
// read, the namespaces that are selected, and the mesh configuration's ConfigMap.
//
// Order at the start, so that nothing is delivered that would be taken back: the ConfigMap (if asked for), then namespaces,
// then everything else at once. `synced` is called when every kind that is served and permitted has been delivered; a kind that
// is forbidden or comes later holds up nothing.
//
// Namespaces. Objects of namespaces that are not selected never reach the sink. A namespace that becomes selected has its
// objects listed; one that is no longer selected has them deleted. Raw objects of other namespaces are not kept: a list when
// it is needed costs less than memory for ever. The Namespace objects themselves are always delivered.
//
// Threads: the source lives on its client's loop. The functions below may be called from any thread.
#ifndef K8S_SOURCE_H
#define K8S_SOURCE_H

#include "config/source.h"
#include "istio/mesh/config.pb-c.h"
#include "k8s/kinds.h"
#include "k8s/reflector.h"

#define PD_K8S_BATCH 512 // changes that are handed over at once, at most

struct pd_k8s_source_config {
	struct pd_k8s_client *client;             // borrowed for the source's life, as are sink and issues
	const struct pd_k8s_transport *transport; // instead of a client, for tests; copied
	const char *cluster;                      // of the objects' keys. Copied
	struct pd_sink *sink;
	struct pd_issues *issues;
	const enum pd_kind *more; // kinds to follow beside pd_k8s_kind_is_default; NULL = none. Copied
	size_t n_more;
	// The ConfigMap with the mesh configuration. NULL: none is read, and `mesh` is not called.
	const char *mesh_namespace, *mesh_name; // "istio-system", "istio". Copied
	// What its keys `mesh` and `meshNetworks` hold (borrowed; NULL = there is no such key, or no ConfigMap): once at the start
	// and when they change, on the loop. What pd_k8s_source_select is told from within counts before anything is delivered.
	void (*mesh)(void *arg, const char *mesh, const char *networks);
	void *arg;
};

struct pd_k8s_source;
// *out is set before anybody is called. PD_E_CLOSED: the client is shutting down.
int pd_k8s_source_start(const struct pd_k8s_source_config *, struct pd_k8s_source **out) PD_MUST_CHECK;
// After this returns nobody is called any more. `forget`: the sink is told that all objects are gone; else they stay with it.
// Not on the loop. Before the client is freed. NULL is fine.
void pd_k8s_source_stop(struct pd_k8s_source **, bool forget);
// Only namespaces that one of the selectors matches count; n = 0: all do. Copied.
void pd_k8s_source_select(struct pd_k8s_source *, Istio__LabelSelector *const *selectors, size_t n);

struct pd_k8s_kind_status {
	enum pd_kind kind;
	const char *version; // NULL: not served
	struct pd_k8s_reflector_status reflector;
	size_t known_bytes; // of the table of known objects
};
struct pd_k8s_source_stats {
	bool synced;
	uint64_t changes, batches;     // handed to the sink
	uint64_t namespaces, selected; // known now; of these selected
	size_t n;                      // kinds that are followed or would be if they were served
	struct pd_k8s_kind_status v[PD_KIND_COUNT];
};
// A copy: about 40 KB.
void pd_k8s_source_stats(struct pd_k8s_source *, struct pd_k8s_source_stats *out);

#endif
