// Mesh configuration: istiod's MeshConfig with its defaults, and meshNetworks, as one immutable object. Texts come from files
// that are followed and from a ConfigMap.
#ifndef CONFIG_MESH_H
#define CONFIG_MESH_H

#include "base/addr.h"
#include "base/hamt.h"
#include "base/mem.h"
#include "base/vec.h"
#include "config/issue.h"
#include "istio/mesh/config.pb-c.h"
#include "istio/mesh/network.pb-c.h"

// meshNetworks: which addresses and clusters lie in which network, and the gateways that are not found as Services.
struct pd_mesh_networks {
	struct pd_obj obj;
	const Istio__MeshNetworks *config; // borrowed until the object goes
	PD_VEC(struct pd_network_range {
		const char *network;
		struct pd_cidr cidr;
	})
	ranges;        // fromCidr, widest first
	uint64_t hash; // semantic
	struct pd_arena arena;
};
// From YAML or JSON text; "" means no networks. Unknown fields are warnings; PD_E_PARSE: issues tell field and reason.
int pd_mesh_networks_parse(const char *text, size_t len, const char *origin, struct pd_issues *,
			   struct pd_mesh_networks **out) PD_MUST_CHECK;
// The network of an address by its range (the widest counts, as in istiod), "" if there is none. `n` may be NULL.
const char *pd_mesh_networks_of(const struct pd_mesh_networks *n, const char *address);
// The network of all that a cluster's registry knows (fromRegistry); the first by name if there are several.
const char *pd_mesh_networks_of_registry(const struct pd_mesh_networks *n, const char *cluster);

// Effective mesh configuration: the defaults (DefaultMeshConfig of istiod) with the user's values over them. Refcounted.
struct pd_mesh {
	struct pd_obj obj;
	const Istio__MeshConfig *config;   // borrowed until the object goes
	const char *root_namespace;        // never NULL
	const char *trust_domain;          // never NULL
	const char *domain_suffix;         // "cluster.local"
	struct pd_mesh_networks *networks; // NULL if there are none; one reference
	uint64_t hash;                     // semantic, of both
	struct pd_arena arena;
};

// From YAML or JSON text (the first document); "" gives the defaults. A field that is given replaces the default as a whole,
// also with zero or false; defaultConfig and defaultProviders are merged member by member, proxyMetadata by key,
// extensionProviders by name. Unknown fields are reported as warnings and ignored.
// PD_E_PARSE: issues tell field and reason, *out is untouched.
int pd_mesh_parse(const char *text, size_t len, const char *origin, struct pd_issues *, struct pd_mesh **out)
	PD_MUST_CHECK;

// ---- where the two texts come from -----------------------------------------------------------------------------------------
//
// Keeps the last good version of each and tells of each new mesh that they make. A bad text is reported and changes nothing.
// A text from a file hides the one from the cluster (ConfigMap `istio`, keys `mesh` and `meshNetworks`), as in istiod.
enum pd_mesh_part { PD_MESH_CONFIG, PD_MESH_NETWORKS };
enum pd_mesh_from { PD_MESH_FROM_CLUSTER, PD_MESH_FROM_FILE };

struct pd_mesh_input;
// `changed` gets a new reference for each mesh that differs from the one before: on whatever thread brought the text, one call
// at a time. The first one, with what is the default, comes with pd_mesh_input_ready.
struct pd_mesh_input *pd_mesh_input_new(struct pd_issues *, void (*changed)(struct pd_mesh *, void *), void *arg);
void pd_mesh_input_free(struct pd_mesh_input **);
// Any thread. `text` NULL: it is not there (any more). From the cluster that means the default; a file that vanished changes
// nothing: a mesh that loses its trust domain because of a slip would be worse.
void pd_mesh_input_text(struct pd_mesh_input *, enum pd_mesh_part, enum pd_mesh_from, const char *text, size_t len,
			const char *origin);
// All that is there at the start was given: from now on `changed` is called.
void pd_mesh_input_ready(struct pd_mesh_input *);

#define PD_MESH_MAX_BYTES (4u << 20) // of a file

// Follows a file (also through ConfigMap-style symlink swaps): each new version goes to the input, the first before this
// returns. A file that does not exist (yet) gives nothing; one that is removed later is reported.
// PD_E_IO: no inotify or thread (errno).
struct pd_mesh_file;
int pd_mesh_file_start(const char *path, enum pd_mesh_part, struct pd_mesh_input *, struct pd_issues *,
		       struct pd_mesh_file **out) PD_MUST_CHECK;
void pd_mesh_file_stop(struct pd_mesh_file **);

#endif
