// A store, a registry and a mesh configuration, fed with YAML: what the registry's tests act on.
#ifndef TESTS_UNIT_DISCOVERY_REGISTRY_WORLD_H
#define TESTS_UNIT_DISCOVERY_REGISTRY_WORLD_H

#include "config/mesh.h"
#include "discovery/indexes.h"
#include "discovery/registry.h"

struct world {
	struct pd_store *store;
	struct pd_registry *registry;
	struct pd_issues *issues;
	const char *cluster; // of the objects to come; "Kubernetes" at first
	Istio__MeshConfig mesh_config;
	char *export_all[1];
	struct pd_mesh mesh;
	struct pd_token_vec tokens; // of the last change
	pd_hamt map;                // after the last change
};
void world_init(struct world *w);
void world_free(struct world *w);
// The same for cmocka: *state is a world.
int world_setup(void **state);
int world_teardown(void **state);
// Adds or replaces the objects of a YAML text as one change set. Fails the test if one is rejected.
void world_apply(struct world *w, const char *yaml);
void world_apply_file(struct world *w, const char *path);
void world_delete(struct world *w, enum pd_kind kind, const char *ns, const char *name);
void world_changes(struct world *w, struct pd_change *v, size_t n);
// A change of the mesh configuration: its hash is made different.
void world_mesh_changed(struct world *w);
// Objects of a text; the caller frees with pd_decoded_text_free.
struct pd_decoded_text;
void world_decode(struct world *w, const char *yaml, struct pd_decoded_text *out);

struct pd_service *world_service(struct world *w, const char *host); // the first; asserts that there is one
struct pd_endpoints *world_endpoints(struct world *w, const char *host);
bool world_touched(const struct world *w, enum pd_derived_index index, const char *key);
// "10.1.0.1:8080/http HEALTHY us-west/a/ w=name;ns;canonical;revision tls" for each endpoint, one a line. Caller frees.
char *world_list(struct world *w, const char *host);
void world_expect(struct world *w, const char *host, const char *want); // of world_list
// All records of a map as text, sorted. Caller frees.
char *world_dump(pd_hamt map);
// The directory of recordings ("../shared/oracle" or $PD_SHARED/oracle); NULL if it is not there.
const char *world_oracle(void);

#endif
