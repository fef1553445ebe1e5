// Entry points of the translators, called by the engine (discovery/engine.c) and by nobody else. tx.h has the rules.
//
// Everything returned lives in tx->arena and is encoded by the engine at once. Order in a vector is the order on the wire
// where the type has one.
#ifndef DISCOVERY_BUILD_H
#define DISCOVERY_BUILD_H

#include "discovery/tx.h"
#include "envoy/config/cluster/v3/cluster.pb-c.h"
#include "envoy/config/endpoint/v3/endpoint.pb-c.h"
#include "envoy/config/listener/v3/listener.pb-c.h"
#include "envoy/config/route/v3/route.pb-c.h"
#include "envoy/config/route/v3/route_components.pb-c.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb-c.h"

struct pd_cluster_vec {
	Envoy__Config__Cluster__V3__Cluster **v;
	size_t n, cap;
};
struct pd_listener_vec {
	Envoy__Config__Listener__V3__Listener **v;
	size_t n, cap;
};

// ---- discovery/cluster -------------------------------------------------------------------------------------------
// Scope: all clusters of one service, each port with the default cluster first, then its subsets.
void pd_build_outbound_clusters(struct pd_tx *tx, const struct pd_service *svc, struct pd_cluster_vec *out);
// Scope: BlackHoleCluster, PassthroughCluster and the like.
void pd_build_static_clusters(struct pd_tx *tx, struct pd_cluster_vec *out);
// View: inbound|PORT|| of the proxy's own services, then InboundPassthroughCluster. Nothing for routers.
void pd_build_inbound_clusters(struct pd_tx *tx, struct pd_cluster_vec *out);
// Scope: the ClusterLoadAssignment with this name; one with only its name if there is no such cluster.
Envoy__Config__Endpoint__V3__ClusterLoadAssignment *pd_build_endpoints(struct pd_tx *tx, const char *cluster);
// "outbound|80|v1|reviews.default.svc.cluster.local" (also "outbound_.80_.v1_.HOST") taken apart. False if it is none.
struct pd_cluster_name {
	bool sni_form; // outbound_.P_.SUBSET_.HOST
	uint32_t port;
	const char *subset, *host; // subset "" = none; in the arena
};
bool pd_cluster_name_parse(struct pd_arena *a, const char *name, struct pd_cluster_name *out);
// Formats one: subset may be NULL.
const char *pd_cluster_name(struct pd_arena *a, const char *direction, uint32_t port, const char *subset,
			    const char *host);

// ---- discovery/route ---------------------------------------------------------------------------------------------
// Who keeps a domain that several virtual hosts of a configuration have. First the host name of a service, which is its first
// domain and nobody else's short form; then by rank, then by name. A virtual host without domains is left out.
enum pd_vhost_rank {
	PD_VHOST_BARE,  // a host that only VirtualServices name
	PD_VHOST_RULED, // a service with routes of a VirtualService
	PD_VHOST_PLAIN, // a service
};
// Scope (sidecars): the virtual hosts that `host` contributes. `host` is a service's name or one that only VirtualServices
// name. A route name with a colon ("HOST:PORT") is a route configuration of its own for one sniffed port: the engine makes it
// from this virtual host alone. "http_proxy" may get several.
struct pd_vhost_vec {
	struct pd_vhost {
		const char *route_name; // "80", "HOST:PORT" or "http_proxy"
		Envoy__Config__Route__V3__VirtualHost *msg;
		enum pd_vhost_rank rank;
	} * v;
	size_t n, cap;
	// Objects that do not name the host may add to this (other hosts of its VirtualServices, their delegates): the host has
	// to be looked at again when they change, also if there is nothing now.
	bool watch;
};
void pd_build_host_routes(struct pd_tx *tx, const char *host, struct pd_vhost_vec *out);
// Scope: a RouteConfiguration without its virtual hosts, and the catch-all that ends it (NULL for "HOST:PORT").
Envoy__Config__Route__V3__RouteConfiguration *pd_build_route_head(struct pd_tx *tx, const char *route_name);
Envoy__Config__Route__V3__VirtualHost *pd_build_catch_all(struct pd_tx *tx, const char *route_name);

// ---- discovery/listener ------------------------------------------------------------------------------------------
// An outbound listener of a scope. HTTP connection managers depend on the proxy (tracing tags carry its labels), so in the
// template they are filters without typed_config, described by `http`; pd_build_http_filter makes them for a view. A template
// without HTTP slots is complete and is shared by all proxies of the scope.
struct pd_http_slot {
	uint32_t chain;          // index in filter_chains; UINT32_MAX = default_filter_chain
	uint32_t filter;         // index in that chain's filters
	const char *route_name;  // RDS name
	const char *stat_prefix; // "outbound_0.0.0.0_80;"
	enum pd_protocol protocol;
	uint32_t port;
};
struct pd_listener_template {
	Envoy__Config__Listener__V3__Listener *msg;
	size_t n_http;
	struct pd_http_slot *http;
};
struct pd_template_vec {
	struct pd_listener_template *v;
	size_t n, cap;
};
// Scope (sidecars): the listeners of service port `port`; `svcs` are the visible services that have it, oldest first.
void pd_build_port_listeners(struct pd_tx *tx, uint32_t port, const struct pd_service *const *svcs, size_t n,
			     struct pd_template_vec *out);
// View: the HTTP connection manager of a slot, as the filter's typed_config.
Google__Protobuf__Any *pd_build_http_filter(struct pd_tx *tx, const struct pd_http_slot *slot);
// View (sidecars): virtualOutbound, virtualInbound and what else belongs to the proxy itself.
void pd_build_view_listeners(struct pd_tx *tx, struct pd_listener_vec *out);

// ---- discovery/gateway -------------------------------------------------------------------------------------------
// View (routers): all listeners; the route configuration with this name (never NULL: an unknown one has its name only).
void pd_build_gateway_listeners(struct pd_tx *tx, struct pd_listener_vec *out);
Envoy__Config__Route__V3__RouteConfiguration *pd_build_gateway_routes(struct pd_tx *tx, const char *route_name);

// Gateway API: turns GatewayClass, Gateway, *Route, ReferenceGrant, ... into internal Istio Gateways and VirtualServices
// (names as in reference/gateway-api.md §8), which then go the same way as the user's own. Runs on the control thread for
// each change set that touches such kinds; appends changes (objects with one reference) for the store.
struct pd_gwapi;
struct pd_change_vec {
	struct pd_change *v;
	size_t n, cap;
};
struct pd_gwapi *pd_gwapi_new(const struct pd_settings *settings);
void pd_gwapi_free(struct pd_gwapi **);
void pd_gwapi_apply(struct pd_gwapi *, const struct pd_config_snap *snap, const struct pd_changeset *changes,
		    struct pd_change_vec *out);

// ---- discovery/name_table (NDS) -------------------------------------------------------------------------------------
// ---- discovery/secret.c --------------------------------------------------------------------------------------------
// View: what a credential's name ("kubernetes://NS/NAME", "kubernetes-gateway://...-cacert", "configmap://...") stands for. NULL:
// there is no such certificate, or it is not for this proxy.
Envoy__Extensions__TransportSockets__Tls__V3__Secret *pd_build_secret(struct pd_tx *tx, const char *name);

// View: istio.networking.nds.v1.NameTable, or NULL where the proxy has no DNS capture.
ProtobufCMessage *pd_build_name_table(struct pd_tx *tx);

#endif
