#include "config/object.h"

#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/str.h"
#include "config/compact.h"
#include "config/semhash.h"
#include "config/trim.h"

const char *pd_object_label(const struct pd_object *o, const char *key)
{
	for (size_t i = 0; i < o->meta->n_labels; i++)
		if (pd_streq(o->meta->labels[i]->key, key))
			return pd_or(o->meta->labels[i]->value, "");
	return NULL;
}

const char *pd_object_annotation(const struct pd_object *o, const char *key)
{
	for (size_t i = 0; i < o->meta->n_annotations; i++)
		if (pd_streq(o->meta->annotations[i]->key, key))
			return pd_or(o->meta->annotations[i]->value, "");
	return NULL;
}

const char *pd_object_kind_name(enum pd_kind kind)
{
	return kind == PD_KIND_KUBERNETES_GATEWAY ? "KubernetesGateway" : pd_kind_info(kind)->kind;
}

static char *put(char *at, const char *end, const char *s, char sep)
{
	size_t n = strlen(s);

	if (!at || (size_t)(end - at) < n + 1)
		return NULL;
	memcpy(at, s, n);
	at[n] = sep;
	return at + n + 1;
}

int pd_object_key(char *buf, size_t cap, enum pd_kind kind, const char *cluster, const char *ns, const char *name)
{
	const char *end = buf + cap;
	char *at = put(buf, end, pd_object_kind_name(kind), '/');

	at = put(at, end, cluster, '/');
	at = put(at, end, ns, '/');
	at = put(at, end, name, 0);
	return at ? (int)(at - buf) - 1 : PD_E_LIMIT;
}

int pd_object_cmp_age(const struct pd_object *a, const struct pd_object *b)
{
	int d;

	if (a->created_ns != b->created_ns)
		return a->created_ns < b->created_ns ? -1 : 1;
	d = a->key.name == b->key.name ? 0 : strcmp(a->key.name, b->key.name);
	return d ? d : (a->key.ns == b->key.ns ? 0 : strcmp(a->key.ns, b->key.ns));
}

static void object_release(struct pd_obj *obj)
{
	struct pd_object *o = (struct pd_object *)obj;
	struct pd_arena arena = o->arena;

	pd_unintern(o->key.cluster);
	pd_unintern(o->key.ns);
	pd_unintern(o->key.name);
	pd_arena_free(&arena);
}

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

static uint64_t object_hash(const struct pd_object *o)
{
	uint64_t h = pd_hash_mix((uint64_t)o->key.kind, (uint64_t)o->created_ns);

	h = pd_hash_seed(o->key.ns, strlen(o->key.ns), h);
	h = pd_hash_seed(o->key.name, strlen(o->key.name), h);
	h = pd_hash_mix(h, pd_message_hash(&o->meta->base));
	if (o->spec && !pd_kind_info(o->key.kind)->builtin)
		h = pd_hash_mix(h, pd_message_hash(o->spec));
	else if (o->spec)
		h = pd_hash_mix(h, pd_message_hash_without(o->spec, 1)); // metadata is in already
	return o->status ? pd_hash_mix(h, pd_message_hash(o->status)) : h;
}

// Takes over arena; the parts are trimmed already.
static struct pd_object *make(const struct pd_key *key, K8s__ObjectMeta *meta, ProtobufCMessage *spec,
			      ProtobufCMessage *status, const char *origin, struct pd_arena *arena)
{
	struct pd_object *o = PD_NEW(arena, struct pd_object);

	PD_ASSERT(strlen(key->cluster) <= PD_CLUSTER_MAX && strlen(key->ns) <= PD_NAMESPACE_MAX &&
		  strlen(key->name) <= PD_NAME_MAX);
	pd_obj_init(&o->obj, object_release);
	o->key = (struct pd_key){key->kind, pd_intern(key->cluster), pd_intern(key->ns), pd_intern(key->name)};
	o->created_ns = time_ns(meta->creationtimestamp);
	o->meta = meta;
	o->spec = spec;
	o->status = status;
	o->origin = pd_arena_strdup(arena, origin);
	o->arena = *arena;
	*arena = (struct pd_arena){0};
	o->hash = object_hash(o);
	return o;
}

struct pd_object *pd_object_new(const struct pd_key *key, K8s__ObjectMeta *meta, ProtobufCMessage *spec,
				ProtobufCMessage *status, const char *origin, struct pd_arena *arena)
{
	int64_t generation = meta->has_generation ? meta->generation : 0;
	struct pd_object *o;

	pd_trim(key->kind, arena, meta, spec, &status);
	o = make(key, meta, spec, status, origin, arena);
	o->generation = generation;
	return o;
}

struct pd_object *pd_object_build(const struct pd_key *key, K8s__ObjectMeta *meta, ProtobufCMessage *spec,
				  ProtobufCMessage *status, const char *origin)
{
	int64_t generation = meta->has_generation ? meta->generation : 0;
	bool builtin = pd_kind_info(key->kind)->builtin;
	struct pd_arena scratch = {0}, arena = {0};
	struct pd_compact c = {0};
	struct pd_object *o;

	pd_trim(key->kind, &scratch, meta, spec, &status);
	if (!builtin)
		pd_compact_measure(&c, &meta->base);
	pd_compact_measure(&c, spec);
	pd_compact_measure(&c, status);
	arena.first_chunk = (pd_compact_size(&c) + 15) / 16 * 16 + sizeof(*o) + strlen(origin) + 1;
	pd_compact_begin(&c, pd_arena_alloc(&arena, pd_compact_size(&c)));
	if (!builtin)
		meta = (K8s__ObjectMeta *)pd_compact_copy(&c, &meta->base);
	spec = pd_compact_copy(&c, spec);
	status = pd_compact_copy(&c, status);
	if (builtin) // metadata is field 1 of every built-in kind
		meta = *(K8s__ObjectMeta **)((char *)spec + spec->descriptor->fields[0].offset);
	o = make(key, meta, spec, status, origin, &arena);
	o->generation = generation;
	pd_arena_free(&scratch);
	return o;
}
