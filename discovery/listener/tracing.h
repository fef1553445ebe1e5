// Tracing of HTTP connection managers. (reference: §10)
#ifndef DISCOVERY_LISTENER_TRACING_H
#define DISCOVERY_LISTENER_TRACING_H

#include "discovery/listener/http_manager.h"
#include "istio/mesh/proxy.pb-c.h"

// Sets hcm->tracing where tracing is on: to the tracer of the proxy's bootstrap, with sampling and tags.
void pd_http_tracing(struct pd_tx *tx, const Istio__ProxyConfig *pc, EnvoyHttpManager *hcm);

#endif
