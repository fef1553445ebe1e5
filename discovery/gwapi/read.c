// Reading the store with a record of what was read; references between namespaces.
#include <stdlib.h>

#include "base/str.h"
#include "discovery/grant.h"
#include "discovery/gwapi/gwapi.h"
#include "gwapi/policy.pb-c.h"

// Tokens of our own stand beside those of objects: no object has such a key.
static pd_token own_token(struct pd_arena *a, const char *what, const char *ns, const char *name)
{
	return pd_token_make(PD_INDEX_OBJECT, pd_arena_printf(a, "%s//%s/%s", what, ns, name));
}

static const char all_namespaces[] = "AllNamespaces//";

pd_token pd_gw_parent_token(const char *parent)
{
	struct pd_arena a = {0};
	pd_token t = own_token(&a, "Parent", parent, "");
	pd_arena_free(&a);
	return t;
}

const struct pd_object *pd_gw_object(struct gw_pass *p, enum pd_kind kind, const char *ns, const char *name)
{
	const char *cluster = p->settings->cluster;
	if (strlen(ns) > PD_NAMESPACE_MAX || strlen(name) > PD_NAME_MAX)
		return NULL;
	pd_vec_push_a(p->arena, &p->tokens, pd_token_object(kind, cluster, ns, name));
	return pd_config_get(p->snap, kind, cluster, ns, name);
}

const struct pd_posting *pd_gw_posting(struct gw_pass *p, unsigned index, const char *key)
{
	pd_vec_push_a(p->arena, &p->tokens, pd_token_make(index, key));
	return pd_config_posting(p->snap, index, key);
}

struct each {
	struct gw_pass *pass;
	const char *ns, *name;
	void (*fn)(const struct pd_object *o, void *arg);
	void *arg;
};

static bool each_namespace(const struct pd_object *o, void *arg)
{
	struct each *e = arg;
	if (pd_streq(o->key.cluster, e->pass->settings->cluster))
		e->fn(o, e->arg);
	return true;
}

void pd_gw_each_namespace(struct gw_pass *p, void (*fn)(const struct pd_object *ns, void *arg), void *arg)
{
	struct each e = {.pass = p, .fn = fn, .arg = arg};
	pd_vec_push_a(p->arena, &p->tokens, pd_token_make(PD_INDEX_OBJECT, all_namespaces));
	pd_config_each(p->snap, PD_KIND_NAMESPACE, each_namespace, &e);
}

bool pd_gw_set_parent(const struct pd_object *set, const char **ns, const char **name)
{
	const Gwapi__ParentGatewayReference *ref = ((const Gwapi__ListenerSetSpec *)set->spec)->parent_ref;
	if (!ref || pd_empty(ref->name) || (ref->group && !pd_streq(ref->group, GW_GROUP)) ||
	    (ref->kind && !pd_streq(ref->kind, "Gateway")))
		return false;
	*ns = ref->namespace_ ? ref->namespace_ : set->key.ns;
	*name = ref->name;
	return true;
}

static bool each_set(const struct pd_object *o, void *arg)
{
	struct each *e = arg;
	const char *ns, *name;
	if (pd_streq(o->key.cluster, e->pass->settings->cluster) && pd_gw_set_parent(o, &ns, &name) &&
	    pd_streq(ns, e->ns) && pd_streq(name, e->name))
		e->fn(o, e->arg);
	return true;
}

void pd_gw_each_listener_set(struct gw_pass *p, const char *ns, const char *gateway,
			     void (*fn)(const struct pd_object *set, void *arg), void *arg)
{
	struct each e = {.pass = p, .ns = ns, .name = gateway, .fn = fn, .arg = arg};
	pd_vec_push_a(p->arena, &p->tokens, own_token(p->arena, "ListenerSets", ns, gateway));
	pd_config_each(p->snap, PD_KIND_LISTENER_SET, each_set, &e);
}

void pd_gw_touched(const struct pd_object *o, struct pd_token_vec *out)
{
	struct pd_arena a = {0};
	const char *ns, *name;
	if (o->key.kind == PD_KIND_NAMESPACE)
		pd_vec_push(out, pd_token_make(PD_INDEX_OBJECT, all_namespaces));
	if (o->key.kind == PD_KIND_LISTENER_SET && pd_gw_set_parent(o, &ns, &name))
		pd_vec_push(out, own_token(&a, "ListenerSets", ns, name));
	pd_arena_free(&a);
}

// ---- grants --------------------------------------------------------------------------------------------------------------

bool pd_gw_granted(struct gw_pass *p, const char *from_kind, const char *from_ns, const char *to_group,
		   const char *to_kind, const char *to_ns, const char *to_name)
{
	const struct pd_posting *grants = pd_gw_posting(p, PD_IX_GRANT_BY_NS, to_ns);
	const struct pd_reference r = {p->settings->cluster, from_kind, from_ns, to_group, to_kind, to_name};
	for (size_t i = 0; i < grants->n; i++)
		if (pd_grant_allows(grants->v[i], &r))
			return true;
	return false;
}

// ---- label selectors -----------------------------------------------------------------------------------------------------

// Every namespace counts as having its name as a label, as the API server gives it.
static const char *namespace_label(const struct pd_object *ns, const char *key)
{
	if (pd_streq(key, "kubernetes.io/metadata.name"))
		return ns->key.name;
	return pd_object_label(ns, key);
}

static bool in_values(const K8s__LabelSelectorRequirement *r, const char *value)
{
	for (size_t i = 0; i < r->n_values; i++)
		if (pd_streq(r->values[i], value))
			return true;
	return false;
}

static bool requirement_holds(const K8s__LabelSelectorRequirement *r, const struct pd_object *ns)
{
	const char *value = namespace_label(ns, pd_or(r->key, ""));
	if (pd_streq(r->operator_, "In"))
		return value && in_values(r, value);
	if (pd_streq(r->operator_, "NotIn"))
		return !value || !in_values(r, value);
	if (pd_streq(r->operator_, "Exists"))
		return value != NULL;
	return pd_streq(r->operator_, "DoesNotExist") && !value;
}

bool pd_gw_selector_matches(const K8s__LabelSelector *s, const struct pd_object *ns)
{
	for (size_t i = 0; i < s->n_matchlabels; i++) {
		const char *value = namespace_label(ns, s->matchlabels[i]->key);
		if (!value || !pd_streq(value, s->matchlabels[i]->value))
			return false;
	}
	for (size_t i = 0; i < s->n_matchexpressions; i++)
		if (!requirement_holds(s->matchexpressions[i], ns))
			return false;
	return true;
}
