// Leveled log lines on stderr: "2026-11-23T12:00:00.000000Z\tinfo\tscope\tmessage", the layout of istiod, or one JSON object
// per line. Thread-safe; one write(2) per line; control characters are escaped; errno is kept. A scope is a short constant word: "config", "xds", "ads".
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>

#include "base/err.h"

enum pd_log_level { PD_LOG_NONE, PD_LOG_ERROR, PD_LOG_WARN, PD_LOG_INFO, PD_LOG_DEBUG };

void pd_log(enum pd_log_level level, const char *scope, const char *fmt, ...) PD_PRINTF(3, 4);
#define pd_error(scope, ...) pd_log(PD_LOG_ERROR, scope, __VA_ARGS__)
#define pd_warn(scope, ...) pd_log(PD_LOG_WARN, scope, __VA_ARGS__)
#define pd_info(scope, ...) pd_log(PD_LOG_INFO, scope, __VA_ARGS__)
#define pd_debug(scope, ...) pd_log(PD_LOG_DEBUG, scope, __VA_ARGS__)

#define PD_LOG_MAX_SCOPES 64     // scopes that may be named over the life of the process
#define PD_LOG_SCOPE_MAX 32      // bytes of a scope's name, with the NUL
#define PD_LOG_MESSAGE_MAX 16384 // bytes of a message; the rest is cut and replaced by "... (truncated)"

// "default:info,xds:debug" as istiod's --log_output_level; a level alone is the default's, "all" is another word for
// "default", what is not named follows the default. Replaces earlier settings. PD_E_INVALID for an unknown level or an
// empty or overlong scope (nothing changes then), PD_E_LIMIT for too many scopes.
int pd_log_set_levels(const char *spec) PD_MUST_CHECK;
void pd_log_set_json(bool json);
// Where lines go; 2 at start. The descriptor stays the caller's.
void pd_log_set_fd(int fd);
bool pd_log_enabled(enum pd_log_level level, const char *scope);

#endif
