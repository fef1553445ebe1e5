// Which of our kinds an API server serves, in which version, and which of them are followed.
//
// Discovery asks for the aggregated form (apidiscovery.k8s.io, one answer each for /api and /apis) and takes the older one,
// a request for each group and version, from a server that does not know it. A kind counts as served if it can be listed and
// watched in a version that we read (api/kinds.h); of several the first there is taken. So a CustomResourceDefinition of an
// old bundle, whose versions we do not read, is simply not followed (istiod needs a table of minimum bundle versions for that).
//
// CustomResourceDefinitions are watched by their metadata alone. One of ours that comes, changes or goes has discovery
// look again, at once and a few times more, since the server takes a moment to serve what was defined. Where they may not be
// watched, discovery looks every PD_K8S_KINDS_POLL_BLIND_MS.
//
// On the client's loop, functions and callbacks.
#ifndef K8S_KINDS_H
#define K8S_KINDS_H

#include "api/kinds.h"
#include "base/vec.h"
#include "k8s/reflector.h"

#define PD_K8S_KINDS_POLL_MS 600000      // discovery looks again after so long in any case
#define PD_K8S_KINDS_POLL_BLIND_MS 30000 // the same without a watch of definitions
#define PD_K8S_KINDS_SETTLE 5            // further looks for a definition that is not served
#define PD_K8S_KINDS_RETRY_MAX_MS 10000

// By kind, the element of its `versions` (api/kinds.h) that is served; NULL = not served.
struct pd_k8s_served {
	const char *version[PD_KIND_COUNT];
};

// Reads one answer of discovery into `out`, which it adds to.
// PD_OK: an aggregated list, or an APIResourceList; all of it is in *out.
// PD_E_AGAIN: an older list of groups: *paths gets the paths to ask ("/apis/networking.istio.io/v1"), in the arena.
// PD_E_PARSE: something else.
struct pd_k8s_paths {
	PD_VEC(const char *) list;
};
int pd_k8s_discovery_read(const char *text, size_t len, struct pd_arena *a, struct pd_k8s_served *out,
			  struct pd_k8s_paths *paths) PD_MUST_CHECK;

// Kinds that are followed unless somebody asks for more: those that something reads.
bool pd_k8s_kind_is_default(enum pd_kind kind);
// Which objects of a kind are asked for: a field selector, or NULL for all.
const char *pd_k8s_kind_selector(enum pd_kind kind);
// The path of a kind up to the resource: "/api/v1", "/apis/networking.istio.io/v1".
void pd_k8s_kind_base(enum pd_kind kind, const char *version, struct pd_buf *out);
// The kind of a CustomResourceDefinition's name, "virtualservices.networking.istio.io". PD_E_NOTFOUND: none of ours.
int pd_k8s_kind_of_definition(const char *name, enum pd_kind *out) PD_MUST_CHECK;

struct pd_k8s_kinds_config {
	const char *title; // for logs: the cluster. Copied
	struct pd_k8s_transport transport;
	// Discovery has succeeded for the first time, or what is served is different now.
	void (*changed)(void *user);
	void *user;
};
struct pd_k8s_kinds;
struct pd_k8s_kinds *pd_k8s_kinds_new(const struct pd_k8s_kinds_config *);
void pd_k8s_kinds_free(struct pd_k8s_kinds **);
// Whether discovery has succeeded once.
bool pd_k8s_kinds_known(const struct pd_k8s_kinds *);
// NULL: not served.
const char *pd_k8s_kinds_version(const struct pd_k8s_kinds *, enum pd_kind kind);
// Something hints that it is not as it was.
void pd_k8s_kinds_refresh(struct pd_k8s_kinds *);
// The watch of definitions.
const struct pd_k8s_reflector_status *pd_k8s_kinds_status(const struct pd_k8s_kinds *);

#endif
