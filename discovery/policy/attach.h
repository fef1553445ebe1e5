// Which policies hold for a proxy: by labels, or by naming what the proxy serves. (reference: §11 Selectors)
#ifndef DISCOVERY_POLICY_ATTACH_H
#define DISCOVERY_POLICY_ATTACH_H

#include "discovery/tx.h"
#include "istio/type/selector.pb-c.h"

// A policy's own words on that.
struct pd_policy_scope {
	const Istio__WorkloadSelector *selector;
	const Istio__PolicyTargetReference *target_ref; // the older form: counts where there are no target_refs
	Istio__PolicyTargetReference *const *target_refs;
	size_t n_target_refs;
};
// `ns`: the policy's namespace, which is the proxy's or the root namespace. Needs tx->view.
bool pd_policy_attached(struct pd_tx *tx, const char *ns, const struct pd_policy_scope *s);

#endif
