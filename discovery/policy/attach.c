#include "discovery/policy/attach.h"

#include "base/str.h"
#include "discovery/policy/selector.h"

#define GATEWAY_NAME "gateway.networking.k8s.io/gateway-name"
#define GATEWAY_API "gateway.networking.k8s.io"

// A Gateway of the Gateway API means the proxies that serve it, in its own namespace; a class all of its waypoints.
static bool target_matches(struct pd_tx *tx, const char *ns, const char *gateway, const Istio__PolicyTargetReference *t)
{
	if (!pd_streq(t->group, GATEWAY_API))
		return false;
	if (pd_streq(t->kind, "GatewayClass"))
		return tx->key->type == PD_NODE_WAYPOINT && pd_streq(t->name, "istio-waypoint") &&
		       pd_streq(ns, tx_mesh(tx)->root_namespace);
	return pd_streq(t->kind, "Gateway") && pd_streq(t->name, gateway) && pd_streq(ns, tx->key->ns) &&
	       (pd_empty(t->namespace_) || pd_streq(t->namespace_, tx->key->ns));
}

bool pd_policy_attached(struct pd_tx *tx, const char *ns, const struct pd_policy_scope *s)
{
	PD_ASSERT(tx->view);
	const char *gateway = pd_labels_get(&tx->view->labels, GATEWAY_NAME);
	if (!s->n_target_refs && !s->target_ref) // waypoints serve workloads that selectors do not see
		return !(gateway && tx->key->type == PD_NODE_WAYPOINT) &&
		       pd_selector_matches(s->selector, &tx->view->labels);
	if (!gateway)
		return false;
	if (!s->n_target_refs)
		return target_matches(tx, ns, gateway, s->target_ref);
	for (size_t i = 0; i < s->n_target_refs; i++)
		if (target_matches(tx, ns, gateway, s->target_refs[i]))
			return true;
	return false;
}
