// Dynamic forward proxy: filters that resolve the host that a client names. A cache has one configuration: Envoy refuses a
// filter whose cache differs from that of the cluster with the same cache name (discovery/cluster/dns.c).
#ifndef DISCOVERY_LISTENER_DNS_CACHE_H
#define DISCOVERY_LISTENER_DNS_CACHE_H

#include "discovery/envoy.h"
#include "discovery/tx.h"

// For a service with a wildcard host: by the server name of a TLS connection, on this port.
EnvoyNetworkFilter *pd_sni_dynamic_proxy(struct pd_tx *tx, const char *host, uint32_t port);
// For any host that requests name: outboundTrafficPolicy ALLOW_ANY_DYNAMIC_DNS.
EnvoyHttpFilter *pd_http_dynamic_proxy_any(struct pd_tx *tx);

#endif
