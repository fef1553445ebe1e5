// RequestAuthentication: the filter that checks JWTs. It refuses bad tokens, never their absence: that is a matter of
// AuthorizationPolicy. (reference: §9)
#ifndef DISCOVERY_POLICY_JWT_H
#define DISCOVERY_POLICY_JWT_H

#include "discovery/tx.h"

#define PD_JWT_FILTER "envoy.filters.http.jwt_authn"

// The filter's packed configuration for the proxy of tx->view, or NULL if no policy has rules for it.
Google__Protobuf__Any *pd_jwt_filter(struct pd_tx *tx);

#endif
