// The filters that policies put into a proxy's inbound and gateway chains.
#ifndef DISCOVERY_POLICY_POLICY_FILTERS_H
#define DISCOVERY_POLICY_POLICY_FILTERS_H

#include "discovery/policy/authz.h"

struct pd_policy_set {
	// In the order of the chain; between `custom` and `rest` lie plugins of the user's.
	struct pd_policy_filters http_custom, http_authn, http_authz;
	struct pd_policy_filters tcp_custom, tcp_authz;
};
// Of the proxy of tx->view: made once in a pass, for all its chains.
const struct pd_policy_set *pd_policy_set(struct pd_tx *tx);

#endif
