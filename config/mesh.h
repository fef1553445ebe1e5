// Mesh configuration: istiod's MeshConfig with its defaults, from a file that is followed, as one immutable object.
#ifndef CONFIG_MESH_H
#define CONFIG_MESH_H

#include "base/hamt.h"
#include "base/mem.h"
#include "config/issue.h"
#include "istio/mesh/config.pb-c.h"

// Effective mesh configuration: the defaults (DefaultMeshConfig of istiod) with the user's values over them. Refcounted.
struct pd_mesh {
	struct pd_obj obj;
	const Istio__MeshConfig *config; // borrowed until the object goes
	const char *root_namespace;      // never NULL
	const char *trust_domain;        // never NULL
	const char *domain_suffix;       // "cluster.local"
	uint64_t hash;                   // semantic
	struct pd_arena arena;
};

// From YAML or JSON text (the first document); "" gives the defaults. A field that is given replaces the default as a whole,
// also with zero or false; defaultConfig and defaultProviders are merged member by member, proxyMetadata by key,
// extensionProviders by name. Unknown fields are reported as warnings and ignored.
// PD_E_PARSE: issues tell field and reason, *out is untouched.
int pd_mesh_parse(const char *text, size_t len, const char *origin, struct pd_issues *, struct pd_mesh **out)
	PD_MUST_CHECK;

#define PD_MESH_MAX_BYTES (4u << 20) // of the file

// Follows a file (also through ConfigMap-style symlink swaps); calls `changed` with a new reference for each good version
// that differs, from a thread of its own, and once before returning. A bad version is reported and the last good one stays
// in force. A file that does not exist (yet) means the defaults; one that is removed later changes nothing (an issue says
// so): a mesh that loses its trust domain because of a slip would be worse.
// PD_E_IO: no inotify or thread (errno).
struct pd_mesh_file;
int pd_mesh_file_start(const char *path, struct pd_issues *, void (*changed)(struct pd_mesh *, void *), void *arg,
		       struct pd_mesh_file **out) PD_MUST_CHECK;
void pd_mesh_file_stop(struct pd_mesh_file **);

#endif
