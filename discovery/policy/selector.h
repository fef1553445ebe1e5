// Workload selectors of Istio's policies.
#ifndef DISCOVERY_POLICY_SELECTOR_H
#define DISCOVERY_POLICY_SELECTOR_H

#include "discovery/registry.h"
#include "istio/type/selector.pb-c.h"

// No selector, or one without labels: the policy holds for a whole namespace.
static inline bool pd_selector_empty(const Istio__WorkloadSelector *s)
{
	return !s || s->n_match_labels == 0;
}
// Every pair of the selector is among the labels; an empty selector matches everything.
bool pd_selector_matches(const Istio__WorkloadSelector *s, const struct pd_labels *labels);

#endif
