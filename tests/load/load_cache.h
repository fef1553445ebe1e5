// What a worker has learned about resources, shared by all of its proxies: names as small numbers, and for each distinct
// content what a proxy has to know of it. 1,000 proxies receive much the same bytes, so each content is looked into once and
// found again by its hash. Owned by one worker thread.
#ifndef TESTS_LOAD_CACHE_H
#define TESTS_LOAD_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/vec.h"

// The types that a sidecar asks for, in the order in which it does at start.
enum pd_load_type { PD_LOAD_CDS, PD_LOAD_EDS, PD_LOAD_LDS, PD_LOAD_RDS, PD_LOAD_TYPES };

const char *pd_load_type_url(enum pd_load_type t);
const char *pd_load_type_name(enum pd_load_type t); // "CDS"
// PD_LOAD_TYPES if unknown.
enum pd_load_type pd_load_type_of(const void *url, size_t n);

// The type whose resources those of `t` name: EDS for CDS, RDS for LDS, else PD_LOAD_TYPES.
static inline enum pd_load_type pd_load_depends(enum pd_load_type t)
{
	return t == PD_LOAD_CDS ? PD_LOAD_EDS : t == PD_LOAD_LDS ? PD_LOAD_RDS : PD_LOAD_TYPES;
}

enum {
	PD_LOAD_NAMES_MAX = 2000000,    // distinct names of one type in one worker
	PD_LOAD_CONTENTS_MAX = 8000000, // distinct resources in one worker
};

// From a 64-bit hash, which stands for what was hashed (equal hashes of different things: one in 2^64 / n^2), to a number.
struct pd_idmap {
	uint64_t *keys; // 0 = free
	uint32_t *values;
	size_t n, cap; // cap is a power of two
};

// True if found; *value is set then.
bool pd_idmap_get(const struct pd_idmap *m, uint64_t key, uint32_t *value);
// `key` must not be in the map.
void pd_idmap_put(struct pd_idmap *m, uint64_t key, uint32_t value);
void pd_idmap_free(struct pd_idmap *m);

// What matters of a resource.
struct pd_parsed {
	uint32_t name;   // number of its name among those of its type
	uint32_t marker; // number of the marker that it was found to contain, 0 = none
	uint32_t n_refs;
	uint32_t refs[]; // names of the type that depends on it (pd_load_depends)
};

// A string to look for in resources of one type. Set by the main thread while everything is quiet.
struct pd_load_marker {
	uint32_t seq; // 0 = none; increases with each marker
	enum pd_load_type type;
	const char *text;
};

struct pd_load_names {
	PD_VEC(const char *) text; // by number
	struct pd_idmap by_hash;
};

struct pd_load_cache {
	struct pd_arena arena;
	struct pd_load_names names[PD_LOAD_TYPES];
	struct pd_load_names versions; // of resources, delta only
	PD_VEC(const struct pd_parsed *) contents;
	struct pd_idmap by_content;
	PD_VEC(uint32_t) refs; // scratch
};

uint32_t pd_load_intern(struct pd_load_cache *c, struct pd_load_names *names, const void *p, size_t n);
// Looks into a resource (the value of its Any), or remembers. Lives as long as the cache. NULL if malformed.
const struct pd_parsed *pd_load_parse(struct pd_load_cache *c, const struct pd_load_marker *marker, enum pd_load_type t,
				      const void *p, size_t n);
void pd_load_cache_free(struct pd_load_cache *c);

#endif
