// The HTTP connection manager and its chain of HTTP filters, for sidecars and gateways. (reference: §4 HCM, §10)
//
// Everything that varies by class (remote address, client certificate details, server name, metadata exchange, ALPN filter,
// header rules of ProxyConfig.proxyHeaders, tracing, access log) is decided inside; a caller says only what it serves.
#ifndef DISCOVERY_LISTENER_HTTP_MANAGER_H
#define DISCOVERY_LISTENER_HTTP_MANAGER_H

#include "discovery/envoy.h"
#include "discovery/tx.h"

enum pd_listener_class { PD_CLASS_SIDECAR_OUTBOUND, PD_CLASS_SIDECAR_INBOUND, PD_CLASS_GATEWAY };

struct pd_http_manager {
	enum pd_listener_class class;
	const char *stat_prefix; // as it goes out: "outbound_0.0.0.0_8080;"
	// Where routes come from: exactly one of them is set.
	const char *route_name;                // RDS over ADS
	EnvoyRouteConfiguration *route_config; // inline; used as it is
	enum pd_protocol protocol;             // of the port: gRPC-Web adds its filter, HTTP/2 inbound its options
	uint32_t port;     // that policies and telemetry see: listener port outbound and gateway, target port inbound
	bool absolute_url; // forward proxy: accepts "GET http://host/"
};

#define PD_HTTP_MANAGER_NAME "envoy.filters.network.http_connection_manager"

// Needs tx->view. The result is in the arena and may be changed (values of Any in it are shared: replace, not write into).
EnvoyHttpManager *pd_http_manager(struct pd_tx *tx, const struct pd_http_manager *m);
// The same as network filter PD_HTTP_MANAGER_NAME.
EnvoyNetworkFilter *pd_http_manager_filter(struct pd_tx *tx, const struct pd_http_manager *m);

#endif
