// How an object is put together: cut to what is read, hashed, then copied into one block of exactly the size needed:
//
//     struct pd_object | labels, annotations | ids | messages (config/compact.h) or packed bytes | texts
//
// Hashing comes before copying, so that it does not depend on the form in which an object is kept.
#include <stdlib.h>
#include <string.h>

#include "api/pb.h"
#include "base/hash.h"
#include "base/str.h"
#include "base/vec.h"
#include "config/compact.h"
#include "config/object_impl.h"
#include "config/semhash.h"
#include "config/store.h"
#include "config/trim.h"

struct parts {
	const struct pd_key *key;
	K8s__ObjectMeta *meta;
	ProtobufCMessage *spec, *status;
	const char *origin;
	int64_t created_ns, generation;
	uint64_t hash;
	struct pd_arena scratch;
	struct pd_labels labels, annotations; // borrowed strings
	ProtobufCBinaryData packed;           // instead of spec; in scratch
};

// ---- what it says -----------------------------------------------------------------------------------------------------

// Clamped: a year far away only has to sort first or last.
static int64_t time_ns(const K8s__Time *t)
{
	const int64_t second = 1000000000;

	if (!t)
		return 0;
	if (t->seconds >= INT64_MAX / second)
		return INT64_MAX;
	if (t->seconds <= INT64_MIN / second)
		return INT64_MIN;
	return t->seconds * second + t->nanos;
}

static uint64_t semantic_hash(const struct parts *p)
{
	const struct pd_key *key = p->key;
	uint64_t h = pd_hash_mix((uint64_t)key->kind, (uint64_t)p->created_ns);

	h = pd_hash_seed(key->ns, strlen(key->ns), h);
	h = pd_hash_seed(key->name, strlen(key->name), h);
	h = pd_hash_mix(h, pd_message_hash(&p->meta->base));
	if (p->spec && !pd_kind_info(key->kind)->builtin)
		h = pd_hash_mix(h, pd_message_hash(p->spec));
	else if (p->spec)
		h = pd_hash_mix(h, pd_message_hash_without(p->spec, 1)); // metadata is in already
	return p->status ? pd_hash_mix(h, pd_message_hash(p->status)) : h;
}

struct ranked {
	struct pd_label label;
	size_t place;
};

static int cmp_ranked(const void *x, const void *y)
{
	const struct ranked *a = x, *b = y;
	int c = strcmp(a->label.key, b->label.key);

	return c ? c : (a->place > b->place) - (a->place < b->place);
}

// Of a key that is there twice the last counts, as on the wire.
static struct pd_labels sorted(struct pd_arena *a, const struct pd_label_entry *const *v, size_t n)
{
	struct ranked *r = pd_arena_alloc(a, n * sizeof(*r));
	struct pd_label *out = pd_arena_alloc(a, n * sizeof(*out));
	size_t kept = 0;

	for (size_t i = 0; i < n; i++)
		r[i] = (struct ranked){{pd_or(v[i]->key, ""), pd_or(v[i]->value, "")}, i};
	pd_sort(r, n, sizeof(*r), cmp_ranked);
	for (size_t i = 0; i < n; i++) {
		kept -= kept && pd_streq(out[kept - 1].key, r[i].label.key);
		out[kept++] = r[i].label;
	}
	return (struct pd_labels){kept, out};
}

// ---- the form in which it is kept -------------------------------------------------------------------------------------

// Leaves in a built-in kind's metadata only what no member of pd_object says.
static void reduce_metadata(const struct parts *p, K8s__ObjectMeta *rest)
{
	K8s__ObjectMeta **field = (K8s__ObjectMeta **)((char *)p->spec + p->spec->descriptor->fields[0].offset);

	k8s__object_meta__init(rest);
	rest->deletiontimestamp = p->meta->deletiontimestamp;
	rest->n_ownerreferences = p->meta->n_ownerreferences;
	rest->ownerreferences = p->meta->ownerreferences;
	*field = rest->deletiontimestamp || rest->n_ownerreferences ? rest : NULL;
}

// By way of a compact copy, which has no unknown fields.
static void pack_spec(struct parts *p)
{
	struct pd_compact c = {0};

	pd_compact_measure(&c, p->spec);
	pd_compact_begin(&c, pd_arena_alloc(&p->scratch, pd_compact_size(&c)));
	p->packed = pb_pack_arena(&p->scratch, pd_compact_copy(&c, p->spec));
	if (p->packed.len <= PD_OBJECT_PACKED_MAX)
		p->spec = NULL;
	else
		p->packed = (ProtobufCBinaryData){0, NULL};
}

static size_t text_size(const char *s)
{
	return s ? strlen(s) + 1 : 0;
}

static const char *put_text(char **at, const char *s)
{
	size_t n = text_size(s);

	*at += n;
	return n ? memcpy(*at - n, s, n) : NULL;
}

static struct pd_label *put_pairs(struct pd_label *to, const struct pd_labels *l)
{
	for (size_t i = 0; i < l->n; i++)
		to[i] = (struct pd_label){pd_intern(l->v[i].key), pd_intern(l->v[i].value)};
	return to + l->n;
}

// Fills the object's block behind its pairs.
static void put_rest(struct pd_object *o, char *at, const struct parts *p, struct pd_compact *c)
{
	struct pd_object_ids *ids = NULL;

	if (p->meta->uid || p->meta->resourceversion) {
		o->ids = ids = (struct pd_object_ids *)at;
		at += sizeof(*ids);
	}
	pd_compact_begin(c, at);
	at += pd_compact_size(c);
	o->spec = pd_compact_copy(c, p->spec);
	o->status = pd_compact_copy(c, p->status);
	if (p->packed.len)
		memcpy(at, p->packed.data, p->packed.len);
	o->packed = at;
	o->n_packed = (uint32_t)p->packed.len;
	at += p->packed.len;
	if (ids) {
		ids->uid = put_text(&at, p->meta->uid);
		ids->resource_version = put_text(&at, p->meta->resourceversion);
	}
	o->origin = put_text(&at, p->origin);
}

static struct pd_object *make(const struct parts *p)
{
	struct pd_compact c = {0};
	struct pd_object *o;
	size_t size = sizeof(*o) + (p->labels.n + p->annotations.n) * sizeof(struct pd_label);

	pd_compact_measure(&c, p->spec);
	pd_compact_measure(&c, p->status);
	if (p->meta->uid || p->meta->resourceversion)
		size += sizeof(struct pd_object_ids);
	size += pd_compact_size(&c) + p->packed.len;
	size += text_size(p->meta->uid) + text_size(p->meta->resourceversion) + text_size(p->origin);
	o = pd_xmalloc(size);
	*o = (struct pd_object){
		.key = {p->key->kind, pd_intern(p->key->cluster), pd_intern(p->key->ns), pd_intern(p->key->name)},
		.created_ns = p->created_ns,
		.generation = p->generation,
		.hash = p->hash,
		.n_labels = (uint32_t)p->labels.n,
		.n_annotations = (uint32_t)p->annotations.n,
	};
	pd_obj_init(&o->item.obj, pd_object_release);
	o->item.hash = pd_token_object(p->key->kind, p->key->cluster, p->key->ns, p->key->name);
	o->pairs = (struct pd_label *)(o + 1);
	put_rest(o, (char *)put_pairs(put_pairs((struct pd_label *)(o + 1), &p->labels), &p->annotations), p, &c);
	return o;
}

struct pd_object *pd_object_build(const struct pd_key *key, K8s__ObjectMeta *meta, ProtobufCMessage *spec,
				  ProtobufCMessage *status, const char *origin)
{
	struct parts p = {key, meta, spec, status, origin, .scratch = {.first_chunk = 2048}};
	K8s__ObjectMeta rest;
	struct pd_object *o;

	PD_ASSERT(strlen(key->cluster) <= PD_CLUSTER_MAX && strlen(key->ns) <= PD_NAMESPACE_MAX &&
		  strlen(key->name) <= PD_NAME_MAX);
	p.generation = meta->has_generation ? meta->generation : 0;
	pd_trim(key->kind, &p.scratch, meta, spec, &p.status);
	p.created_ns = time_ns(meta->creationtimestamp);
	p.hash = semantic_hash(&p);
	p.labels = sorted(&p.scratch, PD_LABEL_ENTRIES(meta->labels), meta->n_labels);
	p.annotations = sorted(&p.scratch, PD_LABEL_ENTRIES(meta->annotations), meta->n_annotations);
	if (spec && pd_kind_info(key->kind)->builtin)
		reduce_metadata(&p, &rest);
	if (spec && pd_object_kept_packed(key->kind))
		pack_spec(&p);
	o = make(&p);
	pd_arena_free(&p.scratch);
	return o;
}
