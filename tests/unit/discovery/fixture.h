// A snapshot from YAML text and a pass over it: what translators are tested with, one by one.
#ifndef TESTS_UNIT_DISCOVERY_FIXTURE_H
#define TESTS_UNIT_DISCOVERY_FIXTURE_H

#include "discovery/tx.h"

struct fixture {
	struct pd_issues *issues;
	struct pd_store *store;
	struct pd_registry *registry;
	struct pd_settings settings; // may be changed before a pass
	struct pd_snapshot snap;
	struct pd_arena arena;   // of the passes, freed with the fixture
	struct pd_proxy_key key; // of the passes: a sidecar in "default" with everything; may be changed before a pass
	const char *account;     // that the proxies of views proved to be; NULL = none
	struct pd_view *view;    // made by fixture_view
	struct pd_tx tx;
};

// `mesh`: MeshConfig as YAML, "" for the defaults. Fails the test if something is rejected.
void fixture_init(struct fixture *f, const char *mesh, const char *yaml);
void fixture_free(struct fixture *f);

// A new pass as the engine makes it for a scope; the one before is over.
struct pd_tx *fixture_scope(struct fixture *f);
// The same for a view: a proxy with this Node (JSON).
struct pd_tx *fixture_view(struct fixture *f, const char *node);
// Whether the pass asked for that.
bool fixture_depends(const struct fixture *f, unsigned index, const char *key);
bool fixture_used(const struct fixture *f, enum pd_kind kind, const char *ns, const char *name);

// A message as compact JSON with proto field names, in the arena.
const char *fixture_json(struct fixture *f, const void *msg);
// The value at a path of member names and list indexes ("load_assignment/endpoints/0/priority") in that JSON, as compact JSON;
// "" if there is none. In the arena.
const char *fixture_get(struct fixture *f, const void *msg, const char *path);
#define assert_json(f, msg, path, want) assert_string_equal(fixture_get(f, msg, path), want)

#endif
