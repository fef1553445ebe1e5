// Random edits of a small configuration with few names, so that edits collide, and five proxies that read it.
#ifndef TESTS_UNIT_DISCOVERY_ENGINE_RANDOM_H
#define TESTS_UNIT_DISCOVERY_ENGINE_RANDOM_H

#include "tests/unit/discovery/engine_world.h"

// Services are svc0…svc5 in default, shop and istio-system, with ports 80, 81, 9000, 9001 and subsets v0, v1.
enum { ENGINE_RANDOM_NAMES = 6, ENGINE_RANDOM_NAMESPACES = 3, ENGINE_RANDOM_PROXIES = 5 };

struct engine_random_proxy {
	const char *id, *metadata;
};
extern const struct engine_random_proxy engine_random_proxies[ENGINE_RANDOM_PROXIES];

// One sequence for the whole program, always the same. One thread only.
unsigned engine_random(unsigned n);

// engine_world_init with the mesh configuration that the objects need: extension providers ask0 and ask1.
void engine_random_init(struct engine_world *w);
// Makes, replaces or deletes one object. The configuration that results is remembered (for one world at a time).
void engine_random_edit(struct engine_world *w);
void engine_random_free(void);

struct pd_view *engine_random_view(struct engine_world *w, int proxy);
// Fails the test unless each proxy gets from this world what a new engine computes from the same configuration. Views are
// made for it on both sides, because what enters a view is read at its birth.
void engine_random_compare(struct engine_world *w);

#endif
