// Resource sets: all resources of one wildcard type that a proxy gets, as immutable shared segments.
//
// A segment is an array of resources sorted by name; names are unique over a set. Proxies share segments (all sidecars of a
// scope share the outbound clusters), so a set is a handful of pointers and replacing one resource among 10,000 costs one
// copy of a pointer array per scope, not per proxy. A segment remembers how it differs from the one before it, so the
// difference for a stream that has the previous one is found without looking at what stayed.
#ifndef DISCOVERY_SET_H
#define DISCOVERY_SET_H

#include "discovery/resource.h"

struct pd_segment {
	struct pd_obj obj;
	uint64_t id;        // process-unique
	uint64_t version;   // sum over mixed name hashes and versions: independent of order, updated in O(change)
	uint64_t prev_id;   // the segment this one was derived from; 0 = none
	size_t n_delta;     // names that differ from prev (sorted); meaningful if prev_id != 0
	const char **delta; // interned
	size_t n;
	struct pd_resource *v[]; // sorted by name, one reference each
};
// Takes the references in v (any order; sorted here). Later duplicates of a name are dropped: first wins.
struct pd_segment *pd_segment_new(struct pd_resource **v, size_t n);
// A copy of `old` with `set` (by name; replaces or adds; references taken over) and without `removed`.
// Returns `old` with one more reference when nothing differs.
struct pd_segment *pd_segment_update(struct pd_segment *old, struct pd_resource **set, size_t n_set,
				     const char *const *removed, size_t n_removed);
struct pd_resource *pd_segment_get(const struct pd_segment *s, const char *name); // borrowed or NULL

#define PD_SET_SEGMENTS 4
struct pd_set {
	struct pd_obj obj;
	uint64_t version;                        // over the segments
	struct pd_segment *seg[PD_SET_SEGMENTS]; // fixed slots, in sending order; NULL = empty; one reference each
};
// References in seg are taken over.
struct pd_set *pd_set_new(struct pd_segment *const seg[PD_SET_SEGMENTS]);
size_t pd_set_count(const struct pd_set *s);
struct pd_resource *pd_set_get(const struct pd_set *s, const char *name); // borrowed or NULL

// Calls `changed` for each resource of `now` that `before` lacks or has in another version, and `removed` for each name that
// only `before` has. `before` may be NULL (everything is new). Cost: proportional to the difference when `now` is the direct
// successor of `before`, else linear.
void pd_set_diff(const struct pd_set *before, const struct pd_set *now,
		 void (*changed)(struct pd_resource *r, void *arg), void (*removed)(const char *name, void *arg),
		 void *arg);

#endif
