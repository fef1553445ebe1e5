// Which namespaces count: label selectors over Namespace objects.
#include <stdlib.h>

#include "api/pb.h"
#include "k8s/source_impl.h"

static bool in_values(const Istio__LabelSelectorRequirement *r, const char *value)
{
	for (size_t i = 0; i < r->n_values; i++)
		if (pd_streq(r->values[i], value))
			return true;
	return false;
}

// An operator that is unknown matches nothing.
static bool requirement_holds(const Istio__LabelSelectorRequirement *r, const struct pd_object *ns)
{
	const char *value = pd_object_label(ns, r->key);

	if (pd_streq(r->operator_, "In"))
		return value && in_values(r, value);
	if (pd_streq(r->operator_, "NotIn"))
		return !value || !in_values(r, value);
	if (pd_streq(r->operator_, "Exists"))
		return value != NULL;
	return pd_streq(r->operator_, "DoesNotExist") && !value;
}

static bool selector_matches(const Istio__LabelSelector *s, const struct pd_object *ns)
{
	for (size_t i = 0; i < s->n_matchlabels; i++) {
		const char *value = pd_object_label(ns, s->matchlabels[i]->key);

		if (!value || !pd_streq(value, s->matchlabels[i]->value))
			return false;
	}
	for (size_t i = 0; i < s->n_matchexpressions; i++)
		if (!requirement_holds(s->matchexpressions[i], ns))
			return false;
	return true;
}

static bool any_matches(const struct pd_k8s_namespaces *n, const struct pd_object *ns)
{
	for (size_t i = 0; i < n->n_selectors; i++)
		if (selector_matches(n->selectors[i], ns))
			return true;
	return !n->n_selectors;
}

static struct pd_k8s_ns *find(const struct pd_k8s_namespaces *n, const char *name)
{
	struct pd_k8s_ns *e;

	HASH_FIND_STR(n->table, name, e);
	return e;
}

bool pd_k8s_ns_selected(const struct pd_k8s_namespaces *n, const char *ns)
{
	const struct pd_k8s_ns *e;

	if (!n->n_selectors || !*ns)
		return true;
	e = find(n, ns);
	return e && e->selected;
}

// Without selectors everything counts, also namespaces that are not known.
static enum pd_k8s_ns_change settle(struct pd_k8s_namespaces *n, struct pd_k8s_ns *e, bool selected)
{
	bool before = e->selected;

	e->selected = selected;
	n->n_selected += (size_t)selected - (size_t)before;
	if (before == selected || !n->n_selectors)
		return PD_K8S_NS_SAME;
	return selected ? PD_K8S_NS_IN : PD_K8S_NS_OUT;
}

enum pd_k8s_ns_change pd_k8s_ns_put(struct pd_k8s_namespaces *n, const struct pd_object *o)
{
	struct pd_k8s_ns *e = find(n, o->key.name);
	const struct pd_object *before = e ? e->object : NULL;

	if (e)
		HASH_DEL(n->table, e);
	else
		e = pd_xcalloc(1, sizeof(*e));
	n->n += !before;
	e->object = pd_obj_ref((void *)o);
	HASH_ADD_KEYPTR(hh, n->table, e->object->key.name, strlen(e->object->key.name), e);
	pd_obj_unref((void *)before);
	return settle(n, e, any_matches(n, e->object));
}

enum pd_k8s_ns_change pd_k8s_ns_remove(struct pd_k8s_namespaces *n, const char *name)
{
	struct pd_k8s_ns *e = find(n, name);
	enum pd_k8s_ns_change change;

	if (!e)
		return PD_K8S_NS_SAME;
	change = settle(n, e, false);
	HASH_DEL(n->table, e);
	n->n--;
	pd_obj_unref((void *)e->object);
	free(e);
	return change;
}

bool pd_k8s_ns_select(struct pd_k8s_namespaces *n, Istio__LabelSelector *const *selectors, size_t n_selectors,
		      struct pd_k8s_ns_names *in)
{
	bool was_all = !n->n_selectors, out = false;

	pd_arena_free(&n->arena);
	n->selectors = PD_NEWN(&n->arena, Istio__LabelSelector *, n_selectors);
	n->n_selectors = n_selectors;
	for (size_t i = 0; i < n_selectors; i++)
		n->selectors[i] = pb_copy(&n->arena, selectors[i]);
	for (struct pd_k8s_ns *e = n->table; e; e = e->hh.next) {
		bool before = was_all || e->selected, now = any_matches(n, e->object);

		settle(n, e, now);
		if (now && !before)
			pd_vec_push(&in->list, e->object->key.name);
		out |= before && !now;
	}
	return out || (was_all && n_selectors); // objects of namespaces that are not known went too
}

void pd_k8s_ns_free(struct pd_k8s_namespaces *n)
{
	while (n->table)
		pd_k8s_ns_remove(n, n->table->object->key.name);
	pd_arena_free(&n->arena);
}
