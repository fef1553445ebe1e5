// External authorization: the filters that ask a service, as the mesh's extension providers describe it. (reference: §9)
#ifndef DISCOVERY_POLICY_EXT_AUTHZ_H
#define DISCOVERY_POLICY_EXT_AUTHZ_H

#include "discovery/tx.h"
#include "envoy/extensions/filters/http/ext_authz/v3/ext_authz.pb-c.h"
#include "envoy/extensions/filters/network/ext_authz/v3/ext_authz.pb-c.h"

// What an RBAC filter in front notes of a request or connection that is to be checked: the policy's key begins with
// PD_EXT_AUTHZ_KEY and the provider's name.
#define PD_EXT_AUTHZ_KEY "istio-ext-authz"
#define PD_EXT_AUTHZ_STAT_PREFIX "istio_ext_authz_"

struct pd_ext_authz {
	Envoy__Extensions__Filters__Http__ExtAuthz__V3__ExtAuthz *http;   // NULL only with an error
	Envoy__Extensions__Filters__Network__ExtAuthz__V3__ExtAuthz *tcp; // NULL: the provider speaks HTTP only
	const char *error;                                                // why the provider cannot be used
};
struct pd_ext_authz pd_ext_authz(struct pd_tx *tx, const char *provider);

#endif
