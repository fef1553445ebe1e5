// Filters whose configuration never varies: decoded once per process, handed out as shallow copies.
#ifndef DISCOVERY_LISTENER_CONSTANTS_H
#define DISCOVERY_LISTENER_CONSTANTS_H

#include "discovery/envoy.h"

enum pd_constant {
	// HTTP filters
	PD_HTTP_EXCHANGE_INBOUND,
	PD_HTTP_EXCHANGE_OUTBOUND,
	PD_HTTP_EXCHANGE_IN_MESH, // outbound, without headers to external clusters
	PD_HTTP_GRPC_WEB,
	PD_HTTP_GRPC_STATS,
	PD_HTTP_ALPN,
	PD_HTTP_FAULT,
	PD_HTTP_CORS,
	PD_HTTP_ROUTER,
	PD_HTTP_ROUTER_QUIET, // without x-envoy-* headers
	// network filters
	PD_NETWORK_EXCHANGE,
	// listener filters
	PD_LISTENER_ORIGINAL_DST,
	PD_LISTENER_ORIGINAL_SRC,
	PD_LISTENER_TLS_INSPECTOR,
	PD_LISTENER_HTTP_INSPECTOR,
	PD_LISTENER_PROXY_PROTOCOL,
	// other extensions
	PD_EXTENSION_REQUEST_ID,
	PD_EXTENSION_PRESERVE_CASE,
	PD_EXTENSION_REQ_WITHOUT_QUERY,
	PD_CONSTANT_COUNT
};

const char *pd_constant_name(enum pd_constant c);
// A new Any whose value is shared: replace the value, do not write into it.
Google__Protobuf__Any *pd_constant_any(struct pd_arena *a, enum pd_constant c);
EnvoyHttpFilter *pd_constant_http_filter(struct pd_arena *a, enum pd_constant c);
EnvoyNetworkFilter *pd_constant_network_filter(struct pd_arena *a, enum pd_constant c);
EnvoyListenerFilter *pd_constant_listener_filter(struct pd_arena *a, enum pd_constant c);

#endif
