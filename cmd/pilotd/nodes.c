#include "cmd/pilotd/nodes.h"

#include "ca/auth_kube.h"
#include "discovery/engine.h"
#include "discovery/node_pods.h"

static int check(void *self, const struct pd_caller *c, const struct pd_spiffe *wanted, struct pd_buf *why)
{
	const struct pd_pod_claim claim = {
		.cluster = c->cluster,
		.ns = c->namespace_,
		.name = c->pod_name,
		.account = c->service_account,
		.node = c->node_name,
	};
	struct pd_snapshot *now;
	int rc;

	if (!pd_streq(c->authenticator, PD_AUTH_KUBE_NAME) || !c->cluster) {
		pd_buf_adds(why, "the API server has not reviewed the caller's token");
		return PD_E_DENIED;
	}
	now = pd_engine_snapshot(self);
	rc = pd_pods_share_node(now->config, &claim, wanted->namespace_, wanted->service_account, why);
	pd_obj_unref(now);
	return rc;
}

struct pd_node_authorizer nodes_authorizer(struct pd_engine *engine)
{
	return (struct pd_node_authorizer){check, engine};
}
