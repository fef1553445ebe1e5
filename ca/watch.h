// Files that are replaced while we run: calls back when any of them is another file than before, and has settled.
//
// They are looked at every so often (stat), which also sees the swapped links of a mounted Secret and folders that come later.
#ifndef CA_WATCH_H
#define CA_WATCH_H

#include <stddef.h>
#include <stdint.h>

#define PD_WATCH_FILES_MAX 16
#define PD_WATCH_POLL_MS 250
#define PD_WATCH_SETTLE_MS 100 // nothing changes for so long before we are called

struct pd_watch;
// Paths are copied. `fn` is called on a thread of the watch, one call at a time.
struct pd_watch *pd_watch_start(const char *const *paths, size_t n, void (*fn)(void *arg), void *arg);
// No call is under way when it returns. NULL is fine.
void pd_watch_stop(struct pd_watch **);

#endif
