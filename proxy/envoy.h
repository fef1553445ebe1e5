// Envoy as our child process. Its output is ours. It dies if we are killed.
#ifndef PROXY_ENVOY_H
#define PROXY_ENVOY_H

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"

// Borrowed for the call. "" or 0 where not given.
struct pd_envoy {
	const char *binary;    // path, or a name in PATH
	const char *bootstrap; // file
	const char *override; // file with more bootstrap configuration, merged into the first (--config-yaml); "": none
	const char *log_level;        // "warning"
	const char *component_levels; // "misc:error"
	int64_t concurrency;          // worker threads; negative: Envoy's choice (as many as cores)
	int64_t drain_s;              // how long listeners drain
};

// Starts it with signals unblocked. PD_E_IO: no process, or (with its exit status 127) no such binary, which shows only later.
// PD_E_IO, PD_E_LIMIT also of the override file.
int pd_envoy_start(const struct pd_envoy *, pid_t *pid, struct pd_buf *err) PD_MUST_CHECK;

#endif
