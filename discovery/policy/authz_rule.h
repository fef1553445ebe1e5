// One rule of an AuthorizationPolicy as one policy of Envoy's RBAC filter. (reference: §9)
#ifndef DISCOVERY_POLICY_AUTHZ_RULE_H
#define DISCOVERY_POLICY_AUTHZ_RULE_H

#include "discovery/policy/authz_terms.h"
#include "istio/security/authorization_policy.pb-c.h"

typedef Envoy__Config__Rbac__V3__Policy EnvoyRbacPolicy;

// What cannot be expressed (HTTP on a TCP chain, a value of no meaning) makes a policy stricter: with `allow` the whole rule goes,
// otherwise the value, so that the rule holds for more. NULL: the rule goes; *why says why, in the arena or constant.
EnvoyRbacPolicy *pd_authz_rule(const struct authz_context *c, const Istio__Rule *rule, bool allow, const char **why);
// One that holds for nothing.
EnvoyRbacPolicy *pd_authz_never(struct pd_arena *a);

#endif
