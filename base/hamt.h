// Persistent (immutable, structure-sharing) hash map from a 64-bit hash and a key to a reference-counted value.
//
// It is what a snapshot is made of: setting one key costs O(log32 n) and leaves every older map valid and unchanged, so
// readers keep their snapshot while the writer makes the next. A hash array mapped trie (Bagwell, "Ideal Hash Trees", 2001),
// 32-way, with compressed nodes and buckets for full collisions.
//
// Thread-safety: maps are immutable; reference counts are atomic; any thread may read and drop.
#ifndef BASE_HAMT_H
#define BASE_HAMT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ref.h"

// Every value starts with this header. `release` frees the value when its last reference is gone.
struct pd_obj {
	pd_ref ref;
	void (*release)(struct pd_obj *);
};
static inline void pd_obj_init(struct pd_obj *o, void (*release)(struct pd_obj *))
{
	pd_ref_init(&o->ref);
	o->release = release;
}
static inline void *pd_obj_ref(void *o)
{
	if (o)
		pd_ref_take(&((struct pd_obj *)o)->ref);
	return o;
}
static inline void pd_obj_unref(void *o)
{
	if (o && pd_ref_drop(&((struct pd_obj *)o)->ref))
		((struct pd_obj *)o)->release(o);
}

struct pd_hamt_node;
// NULL is the empty map. A map handle is one reference to its root.
typedef struct pd_hamt_node *pd_hamt;

// ---- from text to a value -------------------------------------------------------------------------------------------
// Borrowed value or NULL; valid while the map is.
void *pd_hamt_get(pd_hamt m, uint64_t hash, const char *key);
// Returns a new map with key set to `value` (a reference to it is taken over), or removed when value is NULL. The key is
// copied (interned). Takes over the reference `m`: keep one with pd_hamt_ref to go on using the old map. Without one, nodes
// are changed in place (what bulk loading wants), and values borrowed from `m` are valid no longer.
pd_hamt pd_hamt_set(pd_hamt m, uint64_t hash, const char *key, void *value) PD_MUST_CHECK;
// Calls fn for each entry in an order fixed by the hashes; stops when fn returns false.
void pd_hamt_each(pd_hamt m, bool (*fn)(const char *key, void *value, void *arg), void *arg);

// ---- items that carry their key ---------------------------------------------------------------------------------------
// The same without an entry of 100 bytes around each value: an item begins with this and knows its own key, in whatever form.
// It may be in several maps. All calls for one map are given the same order.
struct pd_hamt_item {
	struct pd_obj obj;
	uint64_t hash; // of the key; never changes
};
// How the item's key compares with `key`, as strcmp. Asked only where hashes are equal.
typedef int (*pd_hamt_cmp)(const struct pd_hamt_item *item, const void *key);
struct pd_hamt_item *pd_hamt_get_item(pd_hamt m, pd_hamt_cmp cmp, uint64_t hash, const void *key); // as pd_hamt_get
// As pd_hamt_set; `key` is that of the item and only has to live during the call.
pd_hamt pd_hamt_put_item(pd_hamt m, pd_hamt_cmp cmp, const void *key, struct pd_hamt_item *item) PD_MUST_CHECK;
pd_hamt pd_hamt_remove_item(pd_hamt m, pd_hamt_cmp cmp, uint64_t hash, const void *key) PD_MUST_CHECK;
void pd_hamt_each_item(pd_hamt m, bool (*fn)(struct pd_hamt_item *item, void *arg), void *arg);

// ---- both ---------------------------------------------------------------------------------------------------------------
pd_hamt pd_hamt_ref(pd_hamt m);
void pd_hamt_unref(pd_hamt m);
size_t pd_hamt_count(pd_hamt m);

#endif
