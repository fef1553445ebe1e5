// The control loop: the one thread that changes the engine. Sources hand it changes (config/source.h), it applies them in
// batches, and the engine tells the xDS server what to look at again.
//
// Adaptive debounce. The first change after quiet is applied at once. While the push that it caused is still being worked
// on, further changes gather and are applied together when it is done, so that a burst costs as many pushes as the proxies
// can take and no more. istiod's variables stay as upper limits: changes wait no longer than PILOT_DEBOUNCE_AFTER after the
// last of them and PILOT_DEBOUNCE_MAX after the first. With PILOT_ENABLE_EDS_DEBOUNCE=false changes of endpoints wait for
// nothing.
//
// Memory. Of several changes to one object only the last is kept: what waits is bounded by the number of objects.
#ifndef XDS_CONTROL_H
#define XDS_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "config/mesh.h"
#include "config/source.h"
#include "discovery/engine.h"
#include "xds/server.h"

#define PD_CONTROL_BATCH_MAX 65536 // objects that wait at most; then they are applied whatever else is going on

struct pd_control_config {
	uint64_t debounce_after_ns; // PILOT_DEBOUNCE_AFTER, 100 ms
	uint64_t debounce_max_ns;   // PILOT_DEBOUNCE_MAX, 10 s
	bool debounce_endpoints;    // PILOT_ENABLE_EDS_DEBOUNCE, true
	unsigned sources;           // the engine is ready when so many have called `synced`
};
void pd_control_config_defaults(struct pd_control_config *);

// When a batch must be applied: 0 = now, else a time on pd_now_ns's clock, at the latest.
struct pd_debounce {
	uint64_t first_ns, last_ns; // when the first and the last of the waiting changes came
	bool pushing;               // the last push is not done
	bool more;                  // a source says that further changes follow at once
	bool endpoints_only;
};
uint64_t pd_debounce_until(const struct pd_control_config *, const struct pd_debounce *);

struct pd_control;
// Both are borrowed. `x` may be NULL: then nothing is ever being pushed. Otherwise before pd_xds_start.
struct pd_control *pd_control_new(struct pd_engine *, struct pd_xds *x, const struct pd_control_config *);
struct pd_sink *pd_control_sink(struct pd_control *);
// A new mesh configuration; takes the reference. Any thread.
void pd_control_mesh(struct pd_control *, struct pd_mesh *);
// The answer to a question of pd_engine_ask_access. Any thread.
void pd_control_access(struct pd_control *, const char *ns, const char *account, bool allowed);
void pd_control_start(struct pd_control *);
// Sources must be stopped first. What still waits is dropped.
void pd_control_free(struct pd_control **);

struct pd_control_stats {
	uint64_t changes, batches; // taken in; applied
	uint64_t effective;        // batches that changed something
	size_t waiting;
};
void pd_control_stats(struct pd_control *, struct pd_control_stats *out);

#endif
