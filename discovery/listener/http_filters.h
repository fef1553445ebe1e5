// The chain of HTTP filters in a connection manager. (reference: §4 HTTP filter order, §13)
#ifndef DISCOVERY_LISTENER_HTTP_FILTERS_H
#define DISCOVERY_LISTENER_HTTP_FILTERS_H

#include "discovery/listener/http_manager.h"
#include "istio/mesh/proxy.pb-c.h"

// Appends all HTTP filters, the router last.
void pd_http_filters(struct pd_tx *tx, const struct pd_http_manager *m, const Istio__ProxyConfig *pc,
		     EnvoyHttpManager *hcm);

#endif
