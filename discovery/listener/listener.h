// Inside of the listener translator: listeners, chains and their matches in the making.
#ifndef DISCOVERY_LISTENER_LISTENER_H
#define DISCOVERY_LISTENER_LISTENER_H

#include "discovery/build.h"
#include "discovery/envoy.h"
#include "discovery/listener/constants.h"
#include "discovery/listener/proxy.h"
#include "discovery/listener/tcp_filters.h"

// ---- common.c ----------------------------------------------------------------------------------------------------------
// IP address with port, or "unix://PATH".
EnvoyAddress *pd_listener_address(struct pd_arena *a, const char *bind, uint32_t port);
// A listener on all of `binds`: the first is its address, the others are additional ones.
EnvoyListener *pd_listener_new(struct pd_tx *tx, const char *name, struct pd_addresses binds, uint32_t port);
// "BIND_PORT".
const char *pd_listener_name(struct pd_arena *a, const char *bind, uint32_t port);
// What binds a real port accepts one connection at a time, so that worker threads share them.
void pd_listener_accept_evenly(struct pd_arena *a, EnvoyListener *l);
Google__Protobuf__Duration *pd_listener_handshake_timeout(struct pd_arena *a);
void pd_listener_add_filter(struct pd_arena *a, EnvoyListener *l, enum pd_constant c);
// The application protocols that stand for plain HTTP. In the arena.
struct alpn_list {
	size_t n;
	const char *const *v;
};
struct alpn_list pd_listener_plain_http(struct pd_tx *tx);
void pd_match_set_alpn(struct pd_arena *a, EnvoyFilterChainMatch *m, struct alpn_list list);
static inline EnvoyFilterChainMatch *pd_match_new(struct pd_arena *a)
{
	return pb_new(a, &envoy__config__listener__v3__filter_chain_match__descriptor);
}
// Adds tls_inspector and http_inspector as the matches of l's chains need them, kept away from ports that do not.
void pd_listener_add_inspectors(struct pd_arena *a, EnvoyListener *l);

// ---- chain.c: chains of an outbound listener ---------------------------------------------------------------------------
struct names {
	const char **v; // in the arena
	size_t n, cap;
};

struct chain {
	struct names sni, cidrs;
	bool detect_http; // matches plain HTTP as the inspector finds it
	const struct pd_object *config;
	struct pd_filter_vec filters;
	bool needs_sni; // a filter asks for the server's name
	// HTTP: the connection manager comes per view
	const char *route_name; // NULL = TCP
	enum pd_protocol protocol;
	// by pd_chain_seal
	struct names sni_set, range_set;
	uint64_t match_hash;
};
struct chain_vec {
	struct chain *v;
	size_t n, cap;
};

bool pd_chain_matches_all(const struct chain *c);
// Fixes what the chain matches, in a form that compares.
void pd_chain_seal(struct pd_arena *a, struct chain *c);
// Whether both match the same connections: Envoy refuses such a pair. Both sealed.
bool pd_chain_conflicts(const struct chain *x, const struct chain *y);
EnvoyFilterChain *pd_chain_build(struct pd_tx *tx, const struct chain *c);

// ---- outbound_tcp.c ----------------------------------------------------------------------------------------------------
// One service on one listener.
struct outbound {
	struct pd_tx *tx;
	const struct pd_service *svc;
	const struct pd_port *port;
	const char *address;       // by which the proxy knows the service; the wildcard if it has none
	struct pd_addresses binds; // of the listener
	struct names cidrs;        // the service's address is a range
};
// Chains for TCP, TLS and HTTPS, by VirtualServices or straight to the service's cluster.
void pd_outbound_tcp_chains(const struct outbound *o, struct chain_vec *out);

#endif
