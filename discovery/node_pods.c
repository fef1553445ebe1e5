#include "discovery/node_pods.h"

#include "discovery/indexes.h"
#include "k8s/pod.pb-c.h"

// The pod's specification; NULL = it has none, or the pod has failed.
static const K8s__PodSpec *running(const struct pd_object *o, struct pd_arena *a)
{
	const K8s__Pod *p = (const K8s__Pod *)pd_object_open(o, a);

	return p->status && pd_streq(p->status->phase, "Failed") ? NULL : p->spec;
}

static bool runs_there(const struct pd_config_snap *config, const char *cluster, const char *node, const char *ns,
		       const char *account)
{
	const struct pd_posting *pods = pd_config_posting(config, PD_IX_POD_BY_NODE, node);
	struct pd_arena a = {0};
	bool found = false;

	for (size_t i = 0; i < pods->n && !found; i++) {
		const struct pd_key *k = &pods->v[i]->key;
		const K8s__PodSpec *spec;

		if (!pd_streq(k->ns, ns) || !pd_streq(k->cluster, cluster))
			continue;
		spec = running(pods->v[i], &a);
		found = spec && pd_streq(spec->serviceaccountname, account);
		pd_arena_reset(&a);
	}
	pd_arena_free(&a);
	return found;
}

int pd_pods_share_node(const struct pd_config_snap *config, const struct pd_pod_claim *c, const char *ns,
		       const char *account, struct pd_buf *why)
{
	const struct pd_object *o = pd_config_get(config, PD_KIND_POD, c->cluster, c->ns, c->name);
	struct pd_arena a = {0};
	const K8s__PodSpec *spec = o ? running(o, &a) : NULL;
	int rc = PD_E_DENIED;

	if (!spec)
		pd_buf_printf(why, "there is no pod %s/%s", c->ns, c->name);
	else if (!pd_streq(spec->serviceaccountname, c->account))
		pd_buf_printf(why, "pod %s/%s is not of account %s", c->ns, c->name, c->account);
	else if (pd_empty(spec->nodename) || (c->node && !pd_streq(spec->nodename, c->node)))
		pd_buf_printf(why, "pod %s/%s is not where its token says", c->ns, c->name);
	else if (!runs_there(config, c->cluster, spec->nodename, ns, account))
		pd_buf_printf(why, "no pod of %s/%s runs on node %s", ns, account, spec->nodename);
	else
		rc = PD_OK;
	pd_arena_free(&a);
	return rc;
}
