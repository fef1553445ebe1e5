// How a batch is applied.
//
// 1. Changes to one key collapse: the last counts. What is left is compared with what the store holds; an equal semantic hash
//    ends there.
// 2. Each real change is turned into edits: "remove object B from posting P", "add object A to posting P".
// 3. Edits are sorted by posting, so that each posting is rebuilt once per batch, by a merge of three sorted lists (old
//    objects, removals, additions). A batch of n changes costs O(n log n) plus the lengths of the postings it touches.
//
// All maps are persistent: a snapshot is a copy of the map handles.
#include "config/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/ref.h"
#include "base/str.h"

struct pd_config_snap {
	pd_ref ref;
	pd_hamt objects[PD_KIND_COUNT];     // items: the objects
	pd_hamt postings[PD_INDEX_DERIVED]; // by index id; items: the postings
};

struct edit {
	pd_token token;
	unsigned index;
	bool add;
	const char *key; // in the scratch arena, or static
	const struct pd_object *o;
};

struct pd_store {
	const struct pd_index *indexes;
	size_t n_indexes;
	struct pd_config_snap *now;
	struct pd_arena scratch;   // of one pd_store_apply
	PD_VEC(struct edit) edits; // of one pd_store_apply
};

// Its own reference is never dropped, so readers may take and drop theirs.
static struct pd_posting empty_posting = {.item.obj.ref = {1}};

pd_token pd_token_make(unsigned index, const char *key)
{
	return pd_hash_seed(key, strlen(key), index);
}

pd_token pd_token_object(enum pd_kind kind, const char *cluster, const char *ns, const char *name)
{
	char buf[PD_OBJECT_KEY_MAX];

	// A key that is too long names no object; its token only has to differ from those that do.
	if (pd_object_key(buf, sizeof(buf), kind, cluster, ns, name) < 0)
		return pd_token_make(PD_INDEX_OBJECT, name);
	return pd_token_make(PD_INDEX_OBJECT, buf);
}

// ---- snapshots ----------------------------------------------------------------------------------------------------

static struct pd_config_snap *snap_copy(const struct pd_config_snap *from)
{
	struct pd_config_snap *s = pd_xmalloc(sizeof(*s));

	*s = *from;
	pd_ref_init(&s->ref);
	for (size_t i = 0; i < PD_KIND_COUNT; i++)
		pd_hamt_ref(s->objects[i]);
	for (size_t i = 0; i < PD_INDEX_DERIVED; i++)
		pd_hamt_ref(s->postings[i]);
	return s;
}

struct pd_config_snap *pd_config_snap_ref(struct pd_config_snap *s)
{
	pd_ref_take(&s->ref);
	return s;
}

void pd_config_snap_unref(struct pd_config_snap *s)
{
	if (!s || !pd_ref_drop(&s->ref))
		return;
	for (size_t i = 0; i < PD_KIND_COUNT; i++)
		pd_hamt_unref(s->objects[i]);
	for (size_t i = 0; i < PD_INDEX_DERIVED; i++)
		pd_hamt_unref(s->postings[i]);
	free(s);
}

struct pd_config_snap *pd_store_snapshot(struct pd_store *st)
{
	return pd_config_snap_ref(st->now);
}

// ---- reading ------------------------------------------------------------------------------------------------------

static int cmp_key(const struct pd_key *a, const struct pd_key *b)
{
	int d;

	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	d = strcmp(a->name, b->name);
	d = d ? d : strcmp(a->ns, b->ns);
	return d ? d : strcmp(a->cluster, b->cluster);
}

static int cmp_object(const struct pd_hamt_item *item, const void *key)
{
	return cmp_key(&((const struct pd_object *)item)->key, key);
}

static int cmp_posting_text(const struct pd_hamt_item *item, const void *key)
{
	const struct pd_posting *p = (const struct pd_posting *)item;

	return strcmp((const char *)&p->v[p->n], key);
}

static const struct pd_posting *posting_get(const struct pd_config_snap *s, unsigned index, pd_token token,
					    const char *key)
{
	struct pd_hamt_item *item = pd_hamt_get_item(s->postings[index], cmp_posting_text, token, key);

	return item ? (struct pd_posting *)item : &empty_posting;
}

const struct pd_posting *pd_config_posting(const struct pd_config_snap *s, unsigned index, const char *key)
{
	PD_ASSERT(index >= PD_INDEX_USER && index < PD_INDEX_DERIVED);
	return s->postings[index] ? posting_get(s, index, pd_token_make(index, key), key) : &empty_posting;
}

const struct pd_object *pd_config_get(const struct pd_config_snap *s, enum pd_kind kind, const char *cluster,
				      const char *ns, const char *name)
{
	const struct pd_key key = {kind, cluster, ns, name};

	if (!s->objects[kind])
		return NULL;
	return (struct pd_object *)pd_hamt_get_item(s->objects[kind], cmp_object,
						    pd_token_object(kind, cluster, ns, name), &key);
}

struct each {
	bool (*fn)(const struct pd_object *, void *);
	void *arg;
};

static bool each_object(struct pd_hamt_item *item, void *arg)
{
	const struct each *e = arg;

	return e->fn((const struct pd_object *)item, e->arg);
}

void pd_config_each(const struct pd_config_snap *s, enum pd_kind kind, bool (*fn)(const struct pd_object *, void *),
		    void *arg)
{
	struct each e = {fn, arg};

	pd_hamt_each_item(s->objects[kind], each_object, &e);
}

size_t pd_config_count(const struct pd_config_snap *s, enum pd_kind kind)
{
	return pd_hamt_count(s->objects[kind]);
}

// ---- the store ----------------------------------------------------------------------------------------------------

struct pd_store *pd_store_new(const struct pd_index *indexes, size_t n)
{
	struct pd_store *st = pd_xcalloc(1, sizeof(*st));

	for (size_t i = 0; i < n; i++)
		PD_ASSERT(indexes[i].id >= PD_INDEX_USER && indexes[i].id < PD_INDEX_DERIVED);
	st->indexes = indexes;
	st->n_indexes = n;
	st->now = pd_xcalloc(1, sizeof(*st->now));
	pd_ref_init(&st->now->ref);
	return st;
}

void pd_store_free(struct pd_store **stp)
{
	struct pd_store *st = *stp;

	if (!st)
		return;
	pd_config_snap_unref(st->now);
	pd_arena_free(&st->scratch);
	pd_vec_free(&st->edits);
	free(st);
	*stp = NULL;
}

static void posting_release(struct pd_obj *obj)
{
	struct pd_posting *p = (struct pd_posting *)obj;

	for (size_t i = 0; i < p->n; i++)
		pd_obj_unref((void *)p->v[i]);
	free(p);
}

// One block: the objects, behind them the key. Whoever fills in fewer objects than it has room for has made a mistake.
static struct pd_posting *posting_new(size_t n, pd_token token, const char *key)
{
	size_t text = strlen(key) + 1;
	struct pd_posting *p = pd_xmalloc(sizeof(*p) + n * sizeof(p->v[0]) + text);

	pd_obj_init(&p->item.obj, posting_release);
	p->item.hash = token;
	p->n = 0;
	memcpy(&p->v[n], key, text);
	return p;
}

static void posting_push(struct pd_posting *p, const struct pd_object *o)
{
	p->v[p->n++] = pd_obj_ref((void *)o);
}

// ---- step 1: what really changes ----------------------------------------------------------------------------------

// Orders changes by key, those of one key as they came.
static int cmp_change(const void *va, const void *vb)
{
	const struct pd_change *a = *(const struct pd_change *const *)va, *b = *(const struct pd_change *const *)vb;
	int d = cmp_key(&a->key, &b->key);

	return d ? d : (a > b) - (a < b);
}

static void collect_items(struct pd_store *st, struct pd_change *changes, size_t n, struct pd_changeset *out)
{
	struct pd_change **order = pd_arena_alloc(&st->scratch, n * sizeof(struct pd_change *));

	for (size_t i = 0; i < n; i++)
		order[i] = &changes[i];
	qsort(order, n, sizeof(order[0]), cmp_change);
	for (size_t i = 0; i < n; i++) {
		const struct pd_key *k = &order[i]->key;
		struct pd_object *next = order[i]->next;
		const struct pd_object *before;

		order[i]->next = NULL;
		if (next)
			PD_ASSERT(!cmp_key(&next->key, k));
		before = pd_config_get(st->now, k->kind, k->cluster, k->ns, k->name);
		if ((i + 1 < n && !cmp_key(k, &order[i + 1]->key)) || (!before && !next) ||
		    (before && next && before->hash == next->hash)) {
			pd_obj_unref(next);
			continue;
		}
		pd_vec_push(&out->items, (struct pd_change_item){pd_obj_ref((void *)before), next});
	}
}

// ---- step 2: edits ------------------------------------------------------------------------------------------------

struct emit {
	struct pd_store *st;
	unsigned index;
	bool add;
	const struct pd_object *o;
};

static void emit_key(void *ctx, const char *key)
{
	struct emit *e = ctx;

	pd_vec_push(&e->st->edits, (struct edit){pd_token_make(e->index, key), e->index, e->add,
						 pd_arena_strdup(&e->st->scratch, key), e->o});
}

static void collect_edits(struct pd_store *st, const struct pd_object *o, bool add)
{
	for (size_t i = 0; o && i < st->n_indexes; i++) {
		const struct pd_index *ix = &st->indexes[i];
		struct emit e = {st, ix->id, add, o};

		if (ix->kind == o->key.kind)
			ix->keys(o, emit_key, &e);
	}
}

// Puts the object in its map, or takes it out.
static pd_token set_object(struct pd_store *st, const struct pd_change_item *it)
{
	const struct pd_object *o = it->after ? it->after : it->before;
	pd_hamt *map = &st->now->objects[o->key.kind];
	pd_token token = o->item.hash;

	if (it->after)
		*map = pd_hamt_put_item(*map, cmp_object, &o->key, pd_obj_ref((void *)o));
	else
		*map = pd_hamt_remove_item(*map, cmp_object, token, &o->key);
	return token;
}

// ---- step 3: postings ---------------------------------------------------------------------------------------------

// A total order over different objects: age, then what makes keys differ beyond namespace and name.
static int cmp_posting(const struct pd_object *a, const struct pd_object *b)
{
	int d = pd_object_cmp_age(a, b);

	return d ? d : cmp_key(&a->key, &b->key);
}

static int cmp_edit(const void *va, const void *vb)
{
	const struct edit *a = va, *b = vb;
	int d;

	if (a->token != b->token)
		return a->token < b->token ? -1 : 1;
	if (a->index != b->index)
		return a->index < b->index ? -1 : 1;
	d = strcmp(a->key, b->key);
	if (d)
		return d;
	if (a->add != b->add)
		return a->add ? 1 : -1;
	return cmp_posting(a->o, b->o);
}

// An object that names one key twice is filed once.
static size_t drop_duplicates(struct edit *e, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++)
		if (!kept || e[kept - 1].o != e[i].o)
			e[kept++] = e[i];
	return kept;
}

// old minus removals plus additions; both are sorted by cmp_posting, as old is. NULL if nothing is left.
static struct pd_posting *posting_merge(const struct pd_posting *old, const struct edit *rem, size_t n_rem,
					const struct edit *add, size_t n_add)
{
	const struct edit *any = n_rem ? rem : add;
	struct pd_posting *p;
	size_t r = 0, a = 0;

	PD_ASSERT(old->n >= n_rem);
	if (old->n - n_rem + n_add == 0)
		return NULL;
	p = posting_new(old->n - n_rem + n_add, any->token, any->key);
	for (size_t i = 0; i < old->n; i++) {
		if (r < n_rem && rem[r].o == old->v[i]) {
			r++;
			continue;
		}
		while (a < n_add && cmp_posting(add[a].o, old->v[i]) < 0)
			posting_push(p, add[a++].o);
		posting_push(p, old->v[i]);
	}
	while (a < n_add)
		posting_push(p, add[a++].o);
	PD_ASSERT(r == n_rem && p->n == old->n - n_rem + n_add);
	return p;
}

static bool same_posting(const struct edit *a, const struct edit *b)
{
	return a->token == b->token && a->index == b->index && !strcmp(a->key, b->key);
}

// Rebuilds the posting of the first edit; returns how many edits it took.
static size_t apply_group(struct pd_store *st, struct edit *e, size_t n)
{
	size_t all = 1, n_rem = 0, unique_rem, unique_add;
	pd_hamt *map = &st->now->postings[e->index];
	const struct pd_posting *old;
	struct pd_posting *now;

	while (all < n && same_posting(e, &e[all]))
		all++;
	while (n_rem < all && !e[n_rem].add)
		n_rem++;
	old = posting_get(st->now, e->index, e->token, e->key);
	unique_rem = drop_duplicates(e, n_rem);
	unique_add = drop_duplicates(e + n_rem, all - n_rem);
	now = posting_merge(old, e, unique_rem, e + n_rem, unique_add);
	if (now)
		*map = pd_hamt_put_item(*map, cmp_posting_text, e->key, &now->item);
	else
		*map = pd_hamt_remove_item(*map, cmp_posting_text, e->token, e->key);
	return all;
}

static int cmp_token(const void *va, const void *vb)
{
	pd_token a = *(const pd_token *)va, b = *(const pd_token *)vb;

	return (a > b) - (a < b);
}

static void sort_tokens(struct pd_changeset *out)
{
	size_t kept = 0;

	if (!out->tokens.n)
		return;
	qsort(out->tokens.v, out->tokens.n, sizeof(pd_token), cmp_token);
	for (size_t i = 0; i < out->tokens.n; i++)
		if (!kept || out->tokens.v[kept - 1] != out->tokens.v[i])
			out->tokens.v[kept++] = out->tokens.v[i];
	out->tokens.n = kept;
}

// Makes sure that no reader holds what is about to be written: only this thread gives out references to st->now.
static void own_snapshot(struct pd_store *st)
{
	struct pd_config_snap *mine;

	if (atomic_load_explicit(&st->now->ref.n, memory_order_acquire) == 1)
		return;
	mine = snap_copy(st->now);
	pd_config_snap_unref(st->now);
	st->now = mine;
}

void pd_store_apply(struct pd_store *st, struct pd_change *changes, size_t n, struct pd_changeset *out)
{
	collect_items(st, changes, n, out);
	if (out->items.n)
		own_snapshot(st);
	for (size_t i = 0; i < out->items.n; i++) {
		pd_vec_push(&out->tokens, set_object(st, &out->items.v[i]));
		collect_edits(st, out->items.v[i].before, false);
		collect_edits(st, out->items.v[i].after, true);
	}
	if (st->edits.n)
		qsort(st->edits.v, st->edits.n, sizeof(struct edit), cmp_edit);
	for (size_t i = 0; i < st->edits.n;) {
		pd_vec_push(&out->tokens, st->edits.v[i].token);
		i += apply_group(st, &st->edits.v[i], st->edits.n - i);
	}
	sort_tokens(out);
	pd_vec_free(&st->edits);
	pd_arena_reset(&st->scratch);
}

void pd_changeset_free(struct pd_changeset *cs)
{
	for (size_t i = 0; i < cs->items.n; i++) {
		pd_obj_unref((void *)cs->items.v[i].before);
		pd_obj_unref((void *)cs->items.v[i].after);
	}
	pd_vec_free(&cs->items);
	pd_vec_free(&cs->tokens);
}
