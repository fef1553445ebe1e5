// AuthorizationPolicies of a proxy as filters: RBAC, and external authorization for CUSTOM. (reference: §9)
#ifndef DISCOVERY_POLICY_AUTHZ_H
#define DISCOVERY_POLICY_AUTHZ_H

#include "discovery/tx.h"

// A filter of a chain: name and packed configuration, which chains share.
struct pd_policy_filter {
	const char *name;
	Google__Protobuf__Any *config;
};
struct pd_policy_filters {
	struct pd_policy_filter *v; // in the arena
	size_t n, cap;
};

// The AuthorizationPolicies that hold for the proxy of tx->view, by action: first those of the root namespace, then those of its
// own, each oldest first.
struct pd_authz_policies {
	struct pd_authz_list {
		const struct pd_object **v;
		size_t n, cap;
	} custom, audit, deny, allow;
};
struct pd_authz_policies pd_authz_select(struct pd_tx *tx);

// CUSTOM: for each provider an RBAC filter, which only notes whom its rules mean, and the filter that asks about them. Where a
// provider cannot be used, or several are wanted and that is not switched on, those whom the rules mean are denied.
void pd_authz_custom(struct pd_tx *tx, const struct pd_authz_policies *p, bool tcp, struct pd_policy_filters *out);
// AUDIT, DENY, ALLOW: a filter for each that has policies.
void pd_authz_local(struct pd_tx *tx, const struct pd_authz_policies *p, bool tcp, struct pd_policy_filters *out);

#endif
