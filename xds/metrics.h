// Counters of the control loop. (Those of the server: server_impl.h.)
#ifndef XDS_METRICS_H
#define XDS_METRICS_H

#include <stddef.h>
#include <stdint.h>

// A batch of n changes that touched `tokens` waited and took so long.
void pd_count_batch(size_t n, size_t tokens, uint64_t waited_ns, uint64_t took_ns);

#endif
