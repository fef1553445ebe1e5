// Traffic policies: which one holds for a port and a subset.
#include "api/pb.h"
#include "base/str.h"
#include "discovery/cluster/dest_rule.h"

typedef Istio__TrafficPolicy Policy;

static Policy *new_policy(struct pd_arena *a)
{
	return PB_NEW(a, Istio__TrafficPolicy, istio__traffic_policy);
}

// All blocks but portLevelSettings: where a copy is made, the port has been chosen.
static Policy *copy_blocks(struct pd_arena *a, const Policy *p)
{
	Policy *out = new_policy(a);
	if (!p)
		return out;
	out->load_balancer = p->load_balancer;
	out->connection_pool = p->connection_pool;
	out->outlier_detection = p->outlier_detection;
	out->tls = p->tls;
	out->tunnel = p->tunnel;
	out->proxy_protocol = p->proxy_protocol;
	out->retry_budget = p->retry_budget;
	return out;
}

const Policy *pd_policy_for_port(struct pd_arena *a, const Policy *policy, uint32_t port, bool *port_level)
{
	*port_level = false;
	for (size_t i = 0; policy && port && i < policy->n_port_level_settings; i++) {
		const Istio__TrafficPolicy__PortTrafficPolicy *p = policy->port_level_settings[i];
		if (!p->port || p->port->number != port)
			continue;
		*port_level = true;
		Policy *out = new_policy(a);
		out->load_balancer = p->load_balancer;
		out->connection_pool = p->connection_pool;
		out->outlier_detection = p->outlier_detection;
		out->tls = p->tls;
		return out;
	}
	return policy;
}

const Policy *pd_policy_with_subset(struct pd_arena *a, const Policy *base, const Policy *subset, uint32_t port)
{
	bool port_level;
	if (!subset)
		return base;
	subset = pd_policy_for_port(a, subset, port, &port_level);
	if (!base)
		return subset;
	Policy *out = copy_blocks(a, base);
	if (subset->connection_pool || port_level)
		out->connection_pool = subset->connection_pool;
	if (subset->outlier_detection || port_level)
		out->outlier_detection = subset->outlier_detection;
	if (subset->load_balancer || port_level)
		out->load_balancer = subset->load_balancer;
	if (subset->tls || port_level)
		out->tls = subset->tls;
	if (subset->tunnel)
		out->tunnel = subset->tunnel;
	if (subset->proxy_protocol)
		out->proxy_protocol = subset->proxy_protocol;
	if (subset->retry_budget)
		out->retry_budget = subset->retry_budget;
	return out;
}

const Policy *pd_policy_with_default(struct pd_arena *a, const Policy *policy,
				     const Istio__MeshConfig__DefaultTrafficPolicy *mesh)
{
	if (!mesh)
		return policy;
	bool pool = mesh->connection_pool && !(policy && policy->connection_pool);
	bool outlier = mesh->outlier_detection && !(policy && policy->outlier_detection);
	if (!pool && !outlier)
		return policy;
	Policy *out = copy_blocks(a, policy);
	if (pool)
		out->connection_pool = mesh->connection_pool;
	if (outlier)
		out->outlier_detection = mesh->outlier_detection;
	return out;
}

const Istio__Subset *pd_dest_rule_subset(const struct pd_dest_rule *dr, const char *name)
{
	for (size_t i = 0; dr && i < dr->spec->n_subsets; i++)
		if (pd_streq(dr->spec->subsets[i]->name, name))
			return dr->spec->subsets[i];
	return NULL;
}

const Policy *tx_traffic_policy(struct pd_tx *tx, const struct pd_dest_rule *dr, uint32_t port, const char *subset)
{
	if (!dr)
		return NULL;
	bool port_level;
	const Policy *base = pd_policy_for_port(tx->arena, dr->spec->traffic_policy, port, &port_level);
	const Istio__Subset *s = pd_empty(subset) ? NULL : pd_dest_rule_subset(dr, subset);
	return s ? pd_policy_with_subset(tx->arena, base, s->traffic_policy, port) : base;
}
