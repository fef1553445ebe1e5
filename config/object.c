#include "config/object.h"

#include <stdlib.h>
#include <string.h>

#include "api/pb.h"
#include "base/str.h"
#include "config/object_impl.h"

const char *pd_object_label(const struct pd_object *o, const char *key)
{
	struct pd_labels l = pd_object_labels(o);

	return pd_labels_get(&l, key);
}

const char *pd_object_annotation(const struct pd_object *o, const char *key)
{
	struct pd_labels l = pd_object_annotations(o);

	return pd_labels_get(&l, key);
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

void pd_object_release(struct pd_obj *obj)
{
	struct pd_object *o = (struct pd_object *)obj;

	pd_unintern(o->key.cluster);
	pd_unintern(o->key.ns);
	pd_unintern(o->key.name);
	for (size_t i = 0; i < (size_t)o->n_labels + o->n_annotations; i++) {
		pd_unintern(o->pairs[i].key);
		pd_unintern(o->pairs[i].value);
	}
	free(o);
}

// ---- what is kept in another form ---------------------------------------------------------------------------------------

bool pd_object_kept_packed(enum pd_kind kind)
{
	return kind == PD_KIND_SERVICE || kind == PD_KIND_ENDPOINT_SLICE || kind == PD_KIND_POD;
}

const ProtobufCMessage *pd_object_open(const struct pd_object *o, struct pd_arena *a)
{
	void *m;

	if (o->spec || !pd_object_kept_packed(o->key.kind))
		return o->spec;
	PD_ASSERT(pb_unpack(a, pd_kind_info(o->key.kind)->object, o->packed, o->n_packed, &m, NULL) == PD_OK);
	return m;
}

K8s__Time *pd_object_created(const struct pd_object *o, struct pd_arena *a)
{
	const int64_t second = 1000000000;
	K8s__Time *t;

	if (!o->created_ns)
		return NULL;
	t = PB_NEW(a, K8s__Time, k8s__time);
	t->has_seconds = t->has_nanos = 1;
	t->seconds = o->created_ns / second - (o->created_ns % second < 0);
	t->nanos = (int32_t)(o->created_ns - t->seconds * second);
	return t;
}

// The entries of both maps have one layout.
static void **entries(struct pd_arena *a, const ProtobufCMessageDescriptor *type, const struct pd_labels *l)
{
	void **v = pd_arena_alloc(a, l->n * sizeof(*v));

	for (size_t i = 0; i < l->n; i++) {
		struct pd_label_entry *e = v[i] = pb_new(a, type);

		e->key = l->v[i].key;
		e->value = l->v[i].value;
	}
	return v;
}

K8s__ObjectMeta *pd_object_meta(const struct pd_object *o, struct pd_arena *a)
{
	struct pd_labels labels = pd_object_labels(o), annotations = pd_object_annotations(o);
	K8s__ObjectMeta *m = PB_NEW(a, K8s__ObjectMeta, k8s__object_meta);

	m->name = (char *)o->key.name;
	m->namespace_ = *o->key.ns ? (char *)o->key.ns : NULL;
	m->creationtimestamp = pd_object_created(o, a);
	m->has_generation = o->generation != 0;
	m->generation = o->generation;
	m->uid = o->ids ? (char *)o->ids->uid : NULL;
	m->resourceversion = o->ids ? (char *)o->ids->resource_version : NULL;
	m->n_labels = labels.n;
	m->labels = (K8s__ObjectMeta__LabelsEntry **)entries(a, &k8s__object_meta__labels_entry__descriptor, &labels);
	m->n_annotations = annotations.n;
	m->annotations =
		(K8s__ObjectMeta__AnnotationsEntry **)entries(a, &k8s__object_meta__annotations_entry__descriptor,
							      &annotations);
	return m;
}
