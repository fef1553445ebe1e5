#include "discovery/grant.h"

#include "base/str.h"
#include "gwapi/policy.pb-c.h"

#define GROUP "gateway.networking.k8s.io"

static bool grants_from(const Gwapi__ReferenceGrantSpec *g, const char *kind, const char *ns)
{
	for (size_t i = 0; i < g->n_from; i++)
		if (pd_streq(g->from[i]->group, GROUP) && pd_streq(g->from[i]->kind, kind) &&
		    pd_streq(g->from[i]->namespace_, ns))
			return true;
	return false;
}

static bool grants_to(const Gwapi__ReferenceGrantSpec *g, const char *group, const char *kind, const char *name)
{
	for (size_t i = 0; i < g->n_to; i++)
		if (pd_streq(g->to[i]->group, group) && pd_streq(g->to[i]->kind, kind) &&
		    (!g->to[i]->name || pd_streq(g->to[i]->name, name)))
			return true;
	return false;
}

bool pd_grant_allows(const struct pd_object *grant, const struct pd_reference *r)
{
	const Gwapi__ReferenceGrantSpec *g = (const Gwapi__ReferenceGrantSpec *)grant->spec;
	return pd_streq(grant->key.cluster, r->cluster) && grants_from(g, r->from_kind, r->from_ns) &&
	       grants_to(g, r->to_group, r->to_kind, r->to_name);
}
