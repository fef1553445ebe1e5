// The root certificates in every namespace: the ConfigMap from which proxies take what they trust before they know anybody
// (`istio-ca-root-cert`, key `root-cert.pem`, label istio.io/config: "true").
//
//	namespaces, selectors, roots ──► what there should be ──┐ differs: write, as the leader only
//	a watch on the ConfigMaps of that name ──► what there is ──┘
//
// So a map that is deleted or altered comes back, and one that is right costs nothing but a few bytes here. Only the leader
// writes (istiod's lock, PD_K8S_LOCK_NAMESPACES); the others follow, to know what to do when they lead. What cannot be written
// (the namespace is going, a right is missing) is logged and tried again after PD_K8S_ROOT_MAPS_AGAIN_MS.
#ifndef K8S_ROOT_MAPS_H
#define K8S_ROOT_MAPS_H

#include "config/object.h"
#include "istio/mesh/config.pb-c.h"
#include "k8s/client.h"

#define PD_K8S_ROOT_MAPS_AGAIN_MS 30000

struct pd_k8s_root_maps_options {
	struct pd_k8s_client *client; // borrowed until pd_k8s_root_maps_stop; strings are copied
	const char *name;             // of the ConfigMaps
	const char *system_ns;        // where the lock is
	const char *identity;         // of us among the candidates, unique: the pod's name
	uint32_t again_ms;            // 0 = PD_K8S_ROOT_MAPS_AGAIN_MS
};

struct pd_k8s_root_maps;
// Not on the loop. PD_E_CLOSED: the client is shutting down.
int pd_k8s_root_maps_start(const struct pd_k8s_root_maps_options *, struct pd_k8s_root_maps **out) PD_MUST_CHECK;
// What is under way is given up, and the lock with it. Nobody calls the functions below any more. Not on the loop, and before
// the client goes. NULL is fine.
void pd_k8s_root_maps_stop(struct pd_k8s_root_maps **);

// ---- what there should be; any thread

// The roots, as PEM (copied). NULL or "": none are known, nothing is written.
void pd_k8s_root_maps_set(struct pd_k8s_root_maps *, const char *pem);
// Only namespaces that one of the selectors matches (as pd_k8s_source_select); n = 0: all. Those of Kubernetes' own in which
// nothing runs (kube-public, kube-node-lease, local-path-storage) never get a map.
void pd_k8s_root_maps_select(struct pd_k8s_root_maps *, Istio__LabelSelector *const *selectors, size_t n);
// A Namespace is there (a reference is taken) or, with NULL, gone.
void pd_k8s_root_maps_namespace(struct pd_k8s_root_maps *, const char *name, const struct pd_object *);

#endif
