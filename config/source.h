// Where configuration comes from. A source runs on its own thread, turns what it sees into changes and hands them to a sink
// in batches; the control loop applies them. Sources never call each other; their object keys carry their cluster.
#ifndef CONFIG_SOURCE_H
#define CONFIG_SOURCE_H

#include <stdbool.h>

#include "config/issue.h"
#include "config/store.h"

// Implemented by the control loop. Thread-safe.
struct pd_sink {
	// Takes the array's objects (not the array). `more` = the source knows that further changes follow at once.
	void (*changes)(struct pd_sink *, struct pd_change *v, size_t n, bool more);
	// Called once when all objects that existed at the start were delivered.
	void (*synced)(struct pd_sink *, const char *source);
};

// Directory source: every .yaml, .yml and .json file below `path`, followed by inotify.
struct pd_dir_source;
struct pd_dir_config {
	const char *path;         // borrowed during the call
	const char *cluster;      // cluster of the objects' keys ("Kubernetes")
	struct pd_sink *sink;     // borrowed for the source's life
	struct pd_issues *issues; // borrowed for the source's life
};
// Reads the directory and delivers it before it returns; then follows it on a thread of its own.
// PD_E_IO: the directory cannot be read (errno).
int pd_dir_source_start(const struct pd_dir_config *, struct pd_dir_source **out) PD_MUST_CHECK;
void pd_dir_source_stop(struct pd_dir_source **);

#endif
