// DestinationRules as clusters and endpoints read them; the lookup for everybody is tx_dest_rule (discovery/tx.h).
#ifndef DISCOVERY_CLUSTER_DEST_RULE_H
#define DISCOVERY_CLUSTER_DEST_RULE_H

#include "discovery/tx.h"

// The rule for the inbound side of a service's own proxies: as tx_dest_rule, but rules with a workloadSelector do not count.
const struct pd_dest_rule *pd_dest_rule_inbound(struct pd_tx *tx, const struct pd_service *svc);
// NULL if there is no such subset (or no rule).
const Istio__Subset *pd_dest_rule_subset(const struct pd_dest_rule *dr, const char *name);

// ---- traffic policy (policy.c) -----------------------------------------------------------------------------------------
// A port's entry of portLevelSettings stands for the whole policy: what it leaves out is at its default, not inherited.
// `policy` may be NULL. *port_level says whether there was such an entry. The result is `policy`, or lives in the arena.
const Istio__TrafficPolicy *pd_policy_for_port(struct pd_arena *a, const Istio__TrafficPolicy *policy, uint32_t port,
					       bool *port_level);
// Puts a subset's policy over the one of its host (both may be NULL).
const Istio__TrafficPolicy *pd_policy_with_subset(struct pd_arena *a, const Istio__TrafficPolicy *base,
						  const Istio__TrafficPolicy *subset, uint32_t port);
// Fills connectionPool and outlierDetection from the mesh's defaultTrafficPolicy where the policy has none.
const Istio__TrafficPolicy *pd_policy_with_default(struct pd_arena *a, const Istio__TrafficPolicy *policy,
						   const Istio__MeshConfig__DefaultTrafficPolicy *mesh);

#endif
