// An engine whose resources a test sets by hand: discovery/engine.h without translation. Linked in place of the real one.
#ifndef TESTS_UNIT_XDS_FAKE_ENGINE_H
#define TESTS_UNIT_XDS_FAKE_ENGINE_H

#include "discovery/engine.h"

// Sets (text != NULL) or removes a resource. Its value is a google.protobuf.StringValue, "name=text". Nobody is told.
void fake_set(struct pd_engine *, enum pd_type, const char *name, const char *text);
struct pd_resource *fake_resource(enum pd_type, const char *name, const char *text); // one reference
// Makes what was set visible and tells the listener: wildcard types and RDS by view, the others by name.
void fake_publish(struct pd_engine *);
// Tells the listener that everything may differ, although nothing does.
void fake_touch_all(struct pd_engine *);
// Tells the listener that the workload with this address is not what it was.
void fake_change_workload(struct pd_engine *, const char *address);
// pd_view_resource and pd_view_set calls so far.
unsigned long fake_lookups(struct pd_engine *);
// Each of the next `n` calls of pd_engine_generation sees a newer one, as if somebody published in between.
void fake_move_during(struct pd_engine *, unsigned n);
// What pd_engine_apply got: names of objects, "-" before those that were deleted, "; " between batches.
const char *fake_applied(struct pd_engine *, unsigned *batches, unsigned *meshes);
void fake_set_not_ready(struct pd_engine *);

#endif
