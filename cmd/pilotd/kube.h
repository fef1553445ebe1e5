// Kubernetes as a source: the client of the API server, the source on it, the mesh configuration from its ConfigMap, and the
// page that shows how each kind is followed.
#ifndef CMD_PILOTD_KUBE_H
#define CMD_PILOTD_KUBE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/http.h"
#include "cmd/pilotd/options.h"
#include "config/mesh.h"
#include "config/source.h"

struct pd_control;
struct pd_engine;
struct pd_k8s_access_reviewer;
struct pd_k8s_client;
struct pd_k8s_source;

// All-zero: not used.
struct kube {
	struct pd_k8s_client *client;
	struct pd_k8s_source *source;
	struct pd_k8s_access_reviewer *access;
	pthread_mutex_t access_lock; // guards
	struct pd_control *control;  // borrowed; where answers about access go; NULL: nowhere any more
	struct pd_mesh_input *mesh;  // borrowed
	bool told;                   // the ConfigMap was read once; the loop's
	char *map;                   // "configmap istio-system/istio"
	atomic_bool running;         // what is above may be looked at by other threads
};

// Whether the API server is a source: it is asked for by a flag, or nothing else is.
bool kube_wanted(const struct options *o);
// Makes the client; nothing is sent yet. Returns a code after a text in `err`.
int kube_connect(struct kube *k, const struct options *o, struct pd_buf *err) PD_MUST_CHECK;
// The source, after kube_connect. Calls pd_mesh_input_ready when the cluster's part of the mesh configuration is known. Returns a code after a text in `err`.
int kube_start(struct kube *k, const struct options *o, struct pd_sink *sink, struct pd_issues *issues,
	       struct pd_mesh_input *mesh, struct pd_buf *err);
// The namespaces that a new mesh configuration selects. Any thread; nothing if Kubernetes is not used.
void kube_select(struct kube *k, const struct pd_mesh *mesh);
// From now on the API server is asked which service accounts may read Secrets. After kube_connect, before proxies come.
void kube_ask_access(struct kube *k, struct pd_engine *, struct pd_control *);
// The source ends: before the sink and the mesh input go.
void kube_stop(struct kube *k);
// The client goes.
void kube_disconnect(struct kube *k);

void kube_add_debug(struct pd_http *h, struct kube *k); // /debug/kubernetesz

#endif
