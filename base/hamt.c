// Hash array mapped trie.
//
// Shape. A branch at depth d (0 = root) looks at bits 5d..5d+4 of the hash. `bitmap` tells which of its 32 slots exist,
// `leaves` which of those hold a leaf instead of a node; slots are stored without gaps in the order of their bits. Keys with
// fully equal hashes share a bucket: a node with bitmap 0 whose slots are all leaves, sorted by key. A bucket or leaf sits at
// the first depth where its hash is alone, so the shape depends on the content only, never on the order of edits: that is
// why removal pulls a node's only leaf or bucket up. 13 branches use up 65 bits; the last looks at 4.
//
// Why changing in place is safe. A node may be written if its count is 1 and the one reference is ours alone to use:
//  - pd_hamt_set takes over the caller's reference to the root. If the root's count is 1 there is no other handle, and no
//    thread can make one: that takes an existing handle. What was borrowed from this map is invalid once its handle has
//    been given up, as the header says.
//  - If a node is exclusively ours and its child's count is 1, that one reference is the slot of our node: the child can be
//    reached through nothing else, so it is ours too. One shared node on the path makes everything below it shared,
//    whatever the counts there say (they count parents, not maps); so `own` is carried down and never turns true again.
//  - The count is loaded with acquire. Other threads drop references with release after their last read, so a count of 1
//    seen here means that their reads happened before our writes.
#include "base/hamt.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

#define BITS 5
#define MASK 31
#define HASH_BITS 64

union slot {
	struct pd_hamt_item *leaf; // one reference
	struct pd_hamt_node *node;
};

struct pd_hamt_node {
	pd_ref ref;
	uint32_t bitmap; // 0 in a bucket
	uint32_t leaves; // subset of bitmap
	uint32_t count;  // entries below this node
	union slot slot[];
};

// An edit on its way down.
struct edit {
	pd_hamt_cmp cmp;
	uint64_t hash;
	const void *key;
	struct pd_hamt_item *leaf; // the new leaf, NULL to remove
	bool replaced;             // the key was there already
};

static uint32_t bit_at(uint64_t hash, unsigned shift)
{
	return 1u << ((hash >> shift) & MASK);
}

static unsigned index_of(const struct pd_hamt_node *n, uint32_t bit)
{
	return (unsigned)__builtin_popcount(n->bitmap & (bit - 1));
}

static unsigned width(const struct pd_hamt_node *n)
{
	return n->bitmap ? (unsigned)__builtin_popcount(n->bitmap) : n->count;
}

static bool slot_is_leaf(const struct pd_hamt_node *n, uint32_t bit)
{
	return !n->bitmap || (n->leaves & bit);
}

static struct pd_hamt_node *node_new(unsigned slots)
{
	struct pd_hamt_node *n = pd_xmalloc(sizeof(*n) + slots * sizeof(n->slot[0]));

	pd_ref_init(&n->ref);
	n->bitmap = n->leaves = n->count = 0;
	return n;
}

// Recursion ends below the 13 branches with a bucket.
static void node_unref(struct pd_hamt_node *n)
{
	uint32_t rest;
	unsigned i;

	if (!pd_ref_drop(&n->ref))
		return;
	if (!n->bitmap)
		for (i = 0; i < n->count; i++)
			pd_obj_unref(n->slot[i].leaf);
	for (i = 0, rest = n->bitmap; rest; i++, rest &= rest - 1) {
		if (n->leaves & rest & -rest)
			pd_obj_unref(n->slot[i].leaf);
		else
			node_unref(n->slot[i].node);
	}
	free(n);
}

static bool is_ours(struct pd_hamt_node *n)
{
	return atomic_load_explicit(&n->ref.n, memory_order_acquire) == 1;
}

static void slot_ref(union slot s, bool leaf)
{
	pd_ref_take(leaf ? &s.leaf->obj.ref : &s.node->ref);
}

// Copies slots [from, to) of `src` to `dst`, with a reference each. `rest` holds the bits of `src` from slot `from` on.
static void copy_slots(union slot *dst, const struct pd_hamt_node *src, unsigned from, unsigned to)
{
	uint32_t rest = src->bitmap;
	unsigned i;

	for (i = 0; i < from; i++)
		rest &= rest - 1;
	for (i = from; i < to; i++, rest &= rest - 1) {
		dst[i - from] = src->slot[i];
		slot_ref(src->slot[i], slot_is_leaf(src, rest & -rest));
	}
}

static void copy_head(struct pd_hamt_node *dst, const struct pd_hamt_node *src)
{
	dst->bitmap = src->bitmap;
	dst->leaves = src->leaves;
	dst->count = src->count;
}

// The three forms of opening a node for writing. Each consumes the reference `n` and returns a node that is ours: the same
// one where `own` allows, else a copy. The slot named `at` is left for the caller to fill (or is gone, or is as it was).

static struct pd_hamt_node *open_same(struct pd_hamt_node *n, bool own)
{
	struct pd_hamt_node *c;
	unsigned w = width(n);

	if (own)
		return n;
	c = node_new(w);
	copy_head(c, n);
	copy_slots(c->slot, n, 0, w);
	node_unref(n);
	return c;
}

static struct pd_hamt_node *open_insert(struct pd_hamt_node *n, bool own, unsigned at)
{
	struct pd_hamt_node *c;
	unsigned w = width(n);

	if (own) {
		n = pd_xrealloc(n, sizeof(*n) + (w + 1) * sizeof(n->slot[0]));
		memmove(&n->slot[at + 1], &n->slot[at], (w - at) * sizeof(n->slot[0]));
		return n;
	}
	c = node_new(w + 1);
	copy_head(c, n);
	copy_slots(c->slot, n, 0, at);
	copy_slots(c->slot + at + 1, n, at, w);
	node_unref(n);
	return c;
}

// The reference that the slot held is dropped.
static struct pd_hamt_node *open_remove(struct pd_hamt_node *n, bool own, unsigned at, uint32_t bit)
{
	struct pd_hamt_node *c;
	unsigned w = width(n);

	if (own) {
		if (slot_is_leaf(n, bit))
			pd_obj_unref(n->slot[at].leaf);
		else
			node_unref(n->slot[at].node);
		memmove(&n->slot[at], &n->slot[at + 1], (w - at - 1) * sizeof(n->slot[0]));
		return n;
	}
	c = node_new(w - 1);
	copy_head(c, n);
	copy_slots(c->slot, n, 0, at);
	copy_slots(c->slot + at, n, at + 1, w);
	node_unref(n);
	return c;
}

static unsigned bucket_find(const struct pd_hamt_node *b, pd_hamt_cmp cmp, const void *key, bool *found)
{
	unsigned i;
	int c = 1;

	for (i = 0; i < b->count; i++) {
		c = cmp(b->slot[i].leaf, key);
		if (c >= 0)
			break;
	}
	*found = c == 0;
	return i;
}

static struct pd_hamt_node *bucket_put(struct pd_hamt_node *b, bool own, struct edit *e)
{
	unsigned at = bucket_find(b, e->cmp, e->key, &e->replaced);

	if (e->replaced) {
		b = open_same(b, own);
		pd_obj_unref(b->slot[at].leaf);
	} else {
		b = open_insert(b, own, at);
		b->count++;
	}
	b->slot[at].leaf = e->leaf;
	return b;
}

static uint64_t slot_hash(union slot s, bool leaf)
{
	return leaf ? s.leaf->hash : s.node->slot[0].leaf->hash;
}

// Joins `old` (a leaf, or a bucket of a different hash than the new leaf's; its reference is taken) with the new leaf in the
// smallest subtree that tells them apart from bit `shift` on.
static struct pd_hamt_node *join(union slot old, bool old_is_leaf, unsigned shift, struct edit *e)
{
	uint64_t hash = slot_hash(old, old_is_leaf);
	struct pd_hamt_node *top, *n;
	union slot *link;
	uint32_t count = (old_is_leaf ? 1 : old.node->count) + 1, a, b;
	bool old_first;

	if (hash == e->hash) {
		n = node_new(2);
		old_first = e->cmp(old.leaf, e->key) < 0;
		n->slot[!old_first] = old;
		n->slot[old_first].leaf = e->leaf;
		n->count = 2;
		return n;
	}
	for (link = NULL, top = NULL;; shift += BITS) {
		a = bit_at(hash, shift);
		b = bit_at(e->hash, shift);
		n = node_new(a == b ? 1 : 2);
		n->count = count;
		n->bitmap = a | b;
		if (link)
			link->node = n;
		else
			top = n;
		if (a != b)
			break;
		link = &n->slot[0];
	}
	n->leaves = b | (old_is_leaf ? a : 0);
	n->slot[a > b] = old;
	n->slot[b > a].leaf = e->leaf;
	return top;
}

static struct pd_hamt_node *node_put(struct pd_hamt_node *n, bool own, unsigned shift, struct edit *e);

// Puts the new leaf where a leaf is already.
static struct pd_hamt_node *put_at_leaf(struct pd_hamt_node *n, bool own, uint32_t bit, unsigned shift, struct edit *e)
{
	unsigned at = index_of(n, bit);

	n = open_same(n, own);
	if (n->slot[at].leaf->hash == e->hash && e->cmp(n->slot[at].leaf, e->key) == 0) {
		e->replaced = true;
		pd_obj_unref(n->slot[at].leaf);
		n->slot[at].leaf = e->leaf;
		return n;
	}
	n->slot[at].node = join(n->slot[at], true, shift + BITS, e);
	n->leaves &= ~bit;
	return n;
}

// Puts the new leaf below a child. A child that stays shared is copied by the level below; the reference taken by our own
// copy of the slot is what that level consumes.
static struct pd_hamt_node *put_in_child(struct pd_hamt_node *n, bool own, uint32_t bit, unsigned shift, struct edit *e)
{
	unsigned at = index_of(n, bit);
	struct pd_hamt_node *child;
	bool own_child;

	n = open_same(n, own);
	child = n->slot[at].node;
	own_child = own && is_ours(child);
	if (child->bitmap)
		n->slot[at].node = node_put(child, own_child, shift + BITS, e);
	else if (child->slot[0].leaf->hash == e->hash)
		n->slot[at].node = bucket_put(child, own_child, e);
	else
		n->slot[at].node = join(n->slot[at], false, shift + BITS, e);
	return n;
}

// Recursion: one level per branch, 13 at most.
static struct pd_hamt_node *node_put(struct pd_hamt_node *n, bool own, unsigned shift, struct edit *e)
{
	uint32_t bit = bit_at(e->hash, shift);
	unsigned at;

	PD_ASSERT(shift < HASH_BITS);
	if (!(n->bitmap & bit)) {
		at = index_of(n, bit);
		n = open_insert(n, own, at);
		n->slot[at].leaf = e->leaf;
		n->bitmap |= bit;
		n->leaves |= bit;
	} else if (n->leaves & bit) {
		n = put_at_leaf(n, own, bit, shift, e);
	} else {
		n = put_in_child(n, own, bit, shift, e);
	}
	n->count += !e->replaced;
	return n;
}

// True if a child node must not stand in its parent: it holds nothing but one leaf or one bucket.
static bool collapses(const struct pd_hamt_node *n)
{
	if (!n->bitmap)
		return n->count == 1;
	return !(n->bitmap & (n->bitmap - 1)) && (n->leaves || !n->slot[0].node->bitmap);
}

// Recursion: one level per branch, 13 at most. The key is there, so every count on the path falls by one. Never called on a
// node that holds nothing else: such a node is only ever the root, which pd_hamt_set deals with.
static struct pd_hamt_node *node_del(struct pd_hamt_node *n, bool own, unsigned shift, struct edit *e)
{
	uint32_t bit = bit_at(e->hash, shift);
	unsigned at = index_of(n, bit);
	struct pd_hamt_node *child;
	bool own_child, found;

	if (n->leaves & bit) {
		n = open_remove(n, own, at, bit);
		n->bitmap &= ~bit;
		n->leaves &= ~bit;
		n->count--;
		return n;
	}
	n = open_same(n, own);
	n->count--;
	child = n->slot[at].node;
	own_child = own && is_ours(child);
	if (child->bitmap) {
		child = node_del(child, own_child, shift + BITS, e);
	} else {
		child = open_remove(child, own_child, bucket_find(child, e->cmp, e->key, &found), 0);
		child->count--;
	}
	if (collapses(child)) {
		// The child is ours alone here, whether by ownership or as a fresh copy.
		n->slot[at] = child->slot[0];
		if (!child->bitmap || child->leaves)
			n->leaves |= bit;
		free(child);
	} else {
		n->slot[at].node = child;
	}
	return n;
}

struct pd_hamt_item *pd_hamt_get_item(pd_hamt m, pd_hamt_cmp cmp, uint64_t hash, const void *key)
{
	unsigned shift, at;
	uint32_t bit;
	bool found;

	for (shift = 0; m; shift += BITS) {
		if (!m->bitmap) {
			if (m->slot[0].leaf->hash != hash)
				return NULL;
			at = bucket_find(m, cmp, key, &found);
			return found ? m->slot[at].leaf : NULL;
		}
		bit = bit_at(hash, shift);
		if (!(m->bitmap & bit))
			return NULL;
		at = index_of(m, bit);
		if (m->leaves & bit)
			return m->slot[at].leaf->hash == hash && cmp(m->slot[at].leaf, key) == 0 ? m->slot[at].leaf
												 : NULL;
		m = m->slot[at].node;
	}
	return NULL;
}

pd_hamt pd_hamt_put_item(pd_hamt m, pd_hamt_cmp cmp, const void *key, struct pd_hamt_item *item)
{
	struct edit e = {.cmp = cmp, .hash = item->hash, .key = key, .leaf = item};

	if (!m)
		m = node_new(0);
	PD_ASSERT(m->count < UINT32_MAX);
	return node_put(m, is_ours(m), 0, &e);
}

pd_hamt pd_hamt_remove_item(pd_hamt m, pd_hamt_cmp cmp, uint64_t hash, const void *key)
{
	struct edit e = {.cmp = cmp, .hash = hash, .key = key};

	if (!pd_hamt_get_item(m, cmp, hash, key))
		return m;
	if (m->count == 1) {
		node_unref(m);
		return NULL;
	}
	return node_del(m, is_ours(m), 0, &e);
}

pd_hamt pd_hamt_ref(pd_hamt m)
{
	if (m)
		pd_ref_take(&m->ref);
	return m;
}

void pd_hamt_unref(pd_hamt m)
{
	if (m)
		node_unref(m);
}

size_t pd_hamt_count(pd_hamt m)
{
	return m ? m->count : 0;
}

static bool bucket_each(pd_hamt m, bool (*fn)(struct pd_hamt_item *, void *), void *arg)
{
	unsigned i;

	for (i = 0; i < m->count; i++)
		if (!fn(m->slot[i].leaf, arg))
			return false;
	return true;
}

static bool node_each(pd_hamt m, bool (*fn)(struct pd_hamt_item *, void *), void *arg)
{
	uint32_t rest;
	unsigned i;
	bool more = true;

	for (i = 0, rest = m->bitmap; rest && more; i++, rest &= rest - 1) {
		if (m->leaves & rest & -rest)
			more = fn(m->slot[i].leaf, arg);
		else if (m->slot[i].node->bitmap)
			more = node_each(m->slot[i].node, fn, arg);
		else
			more = bucket_each(m->slot[i].node, fn, arg);
	}
	return more;
}

void pd_hamt_each_item(pd_hamt m, bool (*fn)(struct pd_hamt_item *item, void *arg), void *arg)
{
	if (m)
		node_each(m, fn, arg);
}

// ---- maps from text to any value ------------------------------------------------------------------------------------

struct pair {
	struct pd_hamt_item item;
	const char *key; // one interned reference
	void *value;     // one reference
};

static int cmp_pair(const struct pd_hamt_item *item, const void *key)
{
	const struct pair *p = (const struct pair *)item;

	return p->key == key ? 0 : strcmp(p->key, key);
}

static void pair_release(struct pd_obj *o)
{
	struct pair *p = (struct pair *)o;

	pd_unintern(p->key);
	pd_obj_unref(p->value);
	free(p);
}

void *pd_hamt_get(pd_hamt m, uint64_t hash, const char *key)
{
	struct pair *p = (struct pair *)pd_hamt_get_item(m, cmp_pair, hash, key);

	return p ? p->value : NULL;
}

pd_hamt pd_hamt_set(pd_hamt m, uint64_t hash, const char *key, void *value)
{
	struct pair *p;

	if (!value)
		return pd_hamt_remove_item(m, cmp_pair, hash, key);
	p = pd_xmalloc(sizeof(*p));
	pd_obj_init(&p->item.obj, pair_release);
	p->item.hash = hash;
	p->key = pd_intern(key);
	p->value = value;
	// The caller's key may be borrowed from an entry that this very edit frees.
	return pd_hamt_put_item(m, cmp_pair, p->key, &p->item);
}

struct each {
	bool (*fn)(const char *key, void *value, void *arg);
	void *arg;
};

static bool each_pair(struct pd_hamt_item *item, void *arg)
{
	const struct pair *p = (const struct pair *)item;
	const struct each *e = arg;

	return e->fn(p->key, p->value, e->arg);
}

void pd_hamt_each(pd_hamt m, bool (*fn)(const char *key, void *value, void *arg), void *arg)
{
	struct each e = {fn, arg};

	pd_hamt_each_item(m, each_pair, &e);
}
