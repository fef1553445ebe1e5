// The store: all configuration objects, their secondary indexes, and what changed.
//
// One thread (the control loop) owns the store and calls pd_store_apply. Readers take a *config snapshot*: an immutable,
// reference-counted picture that any thread may read without locks.
//
// Indexes and tokens. An index maps a string to a *posting*: the list of objects filed under it, oldest first. An index is a
// function from an object to keys, e.g. DestinationRules by host, VirtualServices by gateway, Services by namespace and one
// selector pair. Whoever reads a posting depends on exactly that (index, key): its 64-bit name is the *token*
// pd_token(index, key). pd_store_apply reports the tokens whose posting changed. That is the whole of cache invalidation:
//     reader: records the tokens that it asked for (also of postings that were empty);
//     writer: says which tokens a batch of changes touched;
//     a result is stale if and only if the two meet.
// An object has a token too, PD_INDEX_OBJECT with the text of its key (pd_object_key): who asks for it depends on that.
#ifndef CONFIG_STORE_H
#define CONFIG_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hamt.h"
#include "base/vec.h"
#include "config/object.h"

// Tokens. Index numbers 0..15 are the store's, the caller's indexes follow; derived data (services, endpoints) uses numbers
// from PD_INDEX_DERIVED up, so that one kind of token serves the whole process.
#define PD_INDEX_OBJECT 0
#define PD_INDEX_USER 16
#define PD_INDEX_DERIVED 128
typedef uint64_t pd_token;
pd_token pd_token_make(unsigned index, const char *key);
// The token of one object, whether it exists or not.
pd_token pd_token_object(enum pd_kind kind, const char *cluster, const char *ns, const char *name);

// The objects filed under one key of one index: oldest first (pd_object_cmp_age). Immutable, reference-counted.
struct pd_posting {
	struct pd_hamt_item item; // its hash is the token
	size_t n;
	const struct pd_object *v[]; // one reference each; the text of the key is behind them
};

// Calls emit for each key under which `o` is filed; keys need not outlive the call; a key given twice counts once. Pure
// function of the object.
//
// Several rows may share an id: one index over several kinds. Its postings then hold objects of all of them.
//
// Cost. A posting that changes is copied: one pointer and one reference count for each object in it, once a batch. So give
// an index keys that spread. Measured: 3 to 5 µs for a change with spread keys, 0.6 ms if 10,000 objects lie under one key.
typedef void (*pd_emit_key)(void *ctx, const char *key);
struct pd_index {
	unsigned id;      // PD_INDEX_USER..PD_INDEX_DERIVED-1
	const char *name; // for debug output
	enum pd_kind kind;
	void (*keys)(const struct pd_object *o, pd_emit_key emit, void *ctx);
};

struct pd_change {
	struct pd_key key;
	struct pd_object *next; // NULL = deleted; a reference is taken over by pd_store_apply
};

// What one batch changed. Objects whose semantic hash stayed the same are not in it and cause nothing: the store keeps the
// object that it has (with its `origin`, so the line in it may be that of an earlier reading).
struct pd_change_item {
	const struct pd_object *before, *after; // NULL = absent; one reference each
};
struct pd_changeset {
	PD_VEC(struct pd_change_item) items; // one for each key, ordered by kind, then name
	PD_VEC(pd_token) tokens;             // sorted, distinct
};
void pd_changeset_free(struct pd_changeset *);

struct pd_store;
// `indexes` is borrowed for the store's life.
struct pd_store *pd_store_new(const struct pd_index *indexes, size_t n);
void pd_store_free(struct pd_store **);
// Applies all changes at once; `out` (all-zero on entry) gets what really changed. Of several changes to one key the last
// counts. Never fails. n changes cost O(n log n) plus the postings that they touch.
void pd_store_apply(struct pd_store *, struct pd_change *changes, size_t n, struct pd_changeset *out);

// An immutable picture of the store.
struct pd_config_snap;
struct pd_config_snap *pd_store_snapshot(struct pd_store *); // caller unrefs
struct pd_config_snap *pd_config_snap_ref(struct pd_config_snap *);
void pd_config_snap_unref(struct pd_config_snap *);

// Borrowed until the snapshot goes. NULL if there is none.
const struct pd_object *pd_config_get(const struct pd_config_snap *, enum pd_kind, const char *cluster, const char *ns,
				      const char *name);
// Of a secondary index. Never NULL: an empty posting if nothing is filed there.
const struct pd_posting *pd_config_posting(const struct pd_config_snap *, unsigned index, const char *key);
// All objects of a kind, in no particular order; stops when fn returns false. For debug pages and fresh starts, not for
// translators: what it reads is not tracked.
void pd_config_each(const struct pd_config_snap *, enum pd_kind, bool (*fn)(const struct pd_object *, void *),
		    void *arg);
size_t pd_config_count(const struct pd_config_snap *, enum pd_kind);

#endif
