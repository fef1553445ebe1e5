// A whole engine in a test: configuration as YAML text in, resources of a proxy as JSON out.
#ifndef TESTS_UNIT_DISCOVERY_ENGINE_WORLD_H
#define TESTS_UNIT_DISCOVERY_ENGINE_WORLD_H

#include "discovery/engine.h"

struct engine_world {
	struct pd_settings settings;
	struct pd_issues *issues;
	struct pd_engine *engine;
	uint64_t announced;       // calls of the listener
	uint64_t announced_views; // and what they named, added up
	uint64_t announced_names;
};

void engine_world_init(struct engine_world *w);
// Drops the engine; all views must have been given back.
void engine_world_free(struct engine_world *w);

// Applies all objects of the text as one change. Fails the test if the text has a mistake. Returns the tokens that changed.
size_t engine_world_apply(struct engine_world *w, const char *yaml);
// Deletes one object.
size_t engine_world_delete(struct engine_world *w, enum pd_kind kind, const char *ns, const char *name);

// The view of a proxy: node id as in "sidecar~10.1.0.6~sleep.default~default.svc.cluster.local", metadata as JSON.
struct pd_view *engine_world_view(struct engine_world *w, const char *node_id, const char *metadata);
void engine_world_view_free(struct engine_world *w, struct pd_view *view);

// One resource as compact JSON with proto field names, or NULL. Caller frees.
char *engine_world_json(struct engine_world *w, struct pd_view *view, enum pd_type type, const char *name);
// Its version, 0 if there is none.
uint64_t engine_world_version(struct engine_world *w, struct pd_view *view, enum pd_type type, const char *name);

#endif
