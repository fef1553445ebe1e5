// Network filters of TCP chains: codecs and tcp_proxy, for sidecars and gateways. (reference: §4 TCP routes)
#ifndef DISCOVERY_LISTENER_TCP_FILTERS_H
#define DISCOVERY_LISTENER_TCP_FILTERS_H

#include "discovery/listener/http_manager.h"

struct pd_filter_vec {
	Envoy__Config__Listener__V3__Filter **v;
	size_t n, cap; // in the arena
};

// What a TCP chain does with its connections.
struct pd_tcp_chain {
	enum pd_listener_class class;
	enum pd_protocol protocol; // MONGO, REDIS and MYSQL get a codec filter where settings and the proxy allow it
	const char *cluster;       // the only destination, or
	const struct pd_vs *vs;    // the VirtualService whose route it is, with
	Istio__RouteDestination **destinations;
	size_t n_destinations;
	uint32_t port;               // listener port: of destinations that name none
	const struct pd_service *svc; // of `cluster`: its DestinationRule's timeouts apply; NULL = none
	const char *stat_prefix;     // NULL = by rule: the cluster, or "VSNAME.VSNS" of several destinations
};

// Appends codec filters and tcp_proxy.
void pd_tcp_filters(struct pd_tx *tx, const struct pd_tcp_chain *c, struct pd_filter_vec *out);
// A network filter with its configuration packed.
Envoy__Config__Listener__V3__Filter *pd_network_filter(struct pd_arena *a, const char *name, const void *config);
// "envoy.filters.network.tcp_proxy" to one cluster, without any policy.
Envoy__Config__Listener__V3__Filter *pd_tcp_proxy_plain(struct pd_tx *tx, const char *cluster);

#endif
