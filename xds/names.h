// Name sets: what streams subscribe to, interned and shared.
//
// The thousand sidecars of a mesh subscribe to the same thousand clusters. Their subscription is one object here: a set costs
// its names once, a stream that has it costs one pointer, and a request that repeats a list seen before is recognised by a
// hash of its bytes, without looking at single names.
//
// It is also the index from a changed name to the streams that want it: each distinct set is asked once (one probe), and only
// the subscribers of sets that hold the name are visited. There is no list per name: with 10,000 different sets a change
// costs 10,000 probes, about a millisecond, and subscribing never costs more than its own list.
//
// Thread-safe. A table's lock is taken before a stream's, so: never call in here with a stream's lock held.
#ifndef XDS_NAMES_H
#define XDS_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define PD_NAMES_MAX 65536   // names of one subscription
#define PD_NAME_LEN_MAX 4096 // bytes of one name
#define PD_NAMES_RAWS 4      // spellings (orders) remembered per set

// A piece of a request's bytes, not NUL-terminated. Borrowed from the request.
struct pd_span {
	const char *p;
	uint32_t n;
};
static inline bool pd_span_is(struct pd_span s, const char *text, size_t n)
{
	return s.n == n && __builtin_memcmp(s.p, text, n) == 0;
}

// Immutable after creation but for `subscribers`, `bases` and `refs`, which the table's lock guards.
struct pd_names {
	uint64_t hash;
	size_t n;
	const char **v; // sorted by strcmp, distinct, interned (one reference each)
	struct pd_names_slot {
		uint32_t tag;   // upper half of the text's hash
		uint32_t place; // index + 1; 0 = free
	} * slots;              // open addressing
	uint32_t mask;          // number of slots - 1
	unsigned refs;
	struct pd_subscriber *subscribers;
	struct pd_have_base *bases; // xds/have.c
	struct pd_names_entry *entry;
};

// A stream's membership in a set. Embedded in the stream's watch; `owner` is what the visitor gets.
struct pd_subscriber {
	struct pd_subscriber *next, **link; // link NULL = not subscribed
	void *owner;
};

// Hash of a list's bytes as they came, with a secret of the process: 128 bits, so that nobody finds two lists for one key.
struct pd_raw_key {
	uint64_t a, b;
};

struct pd_names_table;
struct pd_names_table *pd_names_table_new(void);
void pd_names_table_free(struct pd_names_table **); // all sets must be gone
size_t pd_names_table_count(struct pd_names_table *);

// The set of these names (any order, duplicates allowed). One reference. PD_E_LIMIT: more than PD_NAMES_MAX.
int pd_names_get(struct pd_names_table *, const struct pd_span *v, size_t n, struct pd_names **out) PD_MUST_CHECK;
// The set `old` (NULL = empty) with `add` and then without `del`. One reference. PD_E_LIMIT as above.
int pd_names_edit(struct pd_names_table *, const struct pd_names *old, const struct pd_span *add, size_t n_add,
		  const struct pd_span *del, size_t n_del, struct pd_names **out) PD_MUST_CHECK;
struct pd_names *pd_names_ref(struct pd_names_table *, struct pd_names *);
void pd_names_unref(struct pd_names_table *, struct pd_names *); // NULL allowed

struct pd_raw_key pd_names_raw_key(struct pd_names_table *, const void *bytes, size_t len);
// The set that was remembered under this key, with one reference, or NULL.
struct pd_names *pd_names_find_raw(struct pd_names_table *, struct pd_raw_key);
void pd_names_remember_raw(struct pd_names_table *, struct pd_names *, struct pd_raw_key);

// Position of an interned name, or -1.
long pd_names_index(const struct pd_names *, const char *interned);
// Position of a text, or -1.
long pd_names_find(const struct pd_names *, struct pd_span text);

void pd_names_subscribe(struct pd_names_table *, struct pd_names *, struct pd_subscriber *);
void pd_names_unsubscribe(struct pd_names_table *, struct pd_subscriber *);
// Calls fn for the subscribers of each set that holds the name, with the table's lock held. Returns how many.
size_t pd_names_visit(struct pd_names_table *, const char *interned, void (*fn)(void *owner, void *arg), void *arg);

// For what is kept with the sets of a table (xds/have.c).
void pd_names_lock(struct pd_names_table *);
void pd_names_unlock(struct pd_names_table *);

// Links, for other lists of subscribers (views); the caller holds the lock that guards the list.
void pd_subscriber_link(struct pd_subscriber **head, struct pd_subscriber *);
void pd_subscriber_unlink(struct pd_subscriber *);

#endif
