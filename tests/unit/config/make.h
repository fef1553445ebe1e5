// Objects for the tests of config/, made without a codec.
#ifndef TESTS_UNIT_CONFIG_MAKE_H
#define TESTS_UNIT_CONFIG_MAKE_H

#include "config/object.h"
#include "istio/networking/virtual_service.pb-c.h"

static inline K8s__ObjectMeta *make_meta(struct pd_arena *a, const char *ns, const char *name, int64_t created)
{
	K8s__ObjectMeta *m = PD_NEW(a, K8s__ObjectMeta);

	k8s__object_meta__init(m);
	m->name = pd_arena_strdup(a, name);
	m->namespace_ = pd_arena_strdup(a, ns);
	if (created) {
		m->creationtimestamp = PD_NEW(a, K8s__Time);
		k8s__time__init(m->creationtimestamp);
		m->creationtimestamp->has_seconds = 1;
		m->creationtimestamp->seconds = created;
	}
	return m;
}

static inline void add_label(struct pd_arena *a, K8s__ObjectMeta *m, const char *key, const char *value)
{
	K8s__ObjectMeta__LabelsEntry **v = pd_arena_alloc(a, (m->n_labels + 1) * sizeof(*v)), *e;

	for (size_t i = 0; i < m->n_labels; i++)
		v[i] = m->labels[i];
	e = v[m->n_labels++] = PD_NEW(a, K8s__ObjectMeta__LabelsEntry);
	k8s__object_meta__labels_entry__init(e);
	e->key = pd_arena_strdup(a, key);
	e->value = pd_arena_strdup(a, value);
	m->labels = v;
}

static inline void add_annotation(struct pd_arena *a, K8s__ObjectMeta *m, const char *key, const char *value)
{
	K8s__ObjectMeta__AnnotationsEntry **v = pd_arena_alloc(a, (m->n_annotations + 1) * sizeof(*v)), *e;

	for (size_t i = 0; i < m->n_annotations; i++)
		v[i] = m->annotations[i];
	e = v[m->n_annotations++] = PD_NEW(a, K8s__ObjectMeta__AnnotationsEntry);
	k8s__object_meta__annotations_entry__init(e);
	e->key = pd_arena_strdup(a, key);
	e->value = pd_arena_strdup(a, value);
	m->annotations = v;
}

static inline Istio__VirtualService *make_vs(struct pd_arena *a, const char *const *hosts, size_t n)
{
	Istio__VirtualService *vs = PD_NEW(a, Istio__VirtualService);

	istio__virtual_service__init(vs);
	vs->n_hosts = n;
	vs->hosts = PD_NEWN(a, char *, n);
	for (size_t i = 0; i < n; i++)
		vs->hosts[i] = pd_arena_strdup(a, hosts[i]);
	return vs;
}

static inline struct pd_key key_of(enum pd_kind kind, const char *ns, const char *name)
{
	return (struct pd_key){kind, "Kubernetes", ns, name};
}

#endif
