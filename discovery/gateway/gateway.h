// The Gateways that select a proxy, merged into listeners and route configurations. (reference: §7)
//
// Everything lives in tx->arena or in the snapshot.
#ifndef DISCOVERY_GATEWAY_GATEWAY_H
#define DISCOVERY_GATEWAY_GATEWAY_H

#include "discovery/build.h"
#include "discovery/envoy.h"
#include "istio/networking/gateway.pb-c.h"

struct pd_hosts {
	const char **v;
	size_t n, cap;
};

// ---- which Gateways (select.c) -----------------------------------------------------------------------------------------
struct pd_gateway_pick {
	const struct pd_object *gateway;
	const Istio__Gateway *spec;
	// Selected by labels: a server port is a port of any service of the proxy, or else the number to listen on. Otherwise the
	// Gateway names its services (Gateway API), and its ports are ports of these or nothing.
	bool by_labels;
	struct tx_service_targets services;
};
struct pd_gateway_picks {
	struct pd_gateway_pick *v;
	size_t n, cap;
};
// Oldest first. Needs tx->view.
struct pd_gateway_picks pd_gateway_select(struct pd_tx *tx);

// The ports to listen on for server port `number`.
struct pd_gateway_numbers {
	uint32_t *v;
	size_t n, cap;
};
struct pd_gateway_numbers pd_gateway_ports(struct pd_tx *tx, const struct pd_gateway_pick *pick, uint32_t number);

// ---- merged (merge.c) --------------------------------------------------------------------------------------------------
// One server of one Gateway.
struct pd_gateway_server {
	const struct pd_object *gateway;
	const char *gateway_name; // "NS/NAME", as VirtualServices bind to it
	const Istio__Server *spec;
	enum pd_protocol protocol;
	struct pd_hosts hosts;  // "HOST", or "NS/HOST": only for VirtualServices of that namespace
	struct pd_hosts sni;    // hosts of a server with TLS: without namespaces, sorted, distinct
	const char *route_name; // NULL where there is no HTTP to route
};
struct pd_gateway_servers {
	const struct pd_gateway_server **v;
	size_t n, cap;
};
// Servers with the same port, bind address and protocol.
struct pd_gateway_port {
	uint32_t number;
	const char *bind; // "" = all addresses
	const char *protocol_text;
	enum pd_protocol protocol;
	const char *route_name; // of plain HTTP
	struct pd_gateway_servers servers;
};
struct pd_gateway_route {
	const char *name;
	struct pd_gateway_servers servers;
};
struct pd_gateways {
	PD_VEC(struct pd_gateway_port *) ports; // in the order of the Gateways
	PD_VEC(struct pd_gateway_route *) routes;
};
// `route` NULL: all. Otherwise what matters for this route configuration: of "https..." only the server that has it, since it
// shares its routes with nobody (whether it lost its port to another is the listener's business).
const struct pd_gateways *pd_gateways_merge(struct pd_tx *tx, const char *route);
const struct pd_gateway_route *pd_gateway_find_route(const struct pd_gateways *g, const char *name); // NULL if none

bool pd_gateway_is_passthrough(const Istio__Server *s);      // TLS that is passed on as it is
bool pd_gateway_is_https(const struct pd_gateway_server *s); // HTTPS that ends here

// ---- hosts (hosts.c) ---------------------------------------------------------------------------------------------------
void pd_hosts_add(struct pd_arena *a, struct pd_hosts *h, const char *host);
bool pd_hosts_has(const struct pd_hosts *h, const char *host);
// A set of texts, all-zero is empty: a hash table in the arena.
struct pd_text_set {
	const char **v; // cap entries, NULL = free
	size_t n, cap;  // cap: a power of two, or 0
};
bool pd_text_set_has(const struct pd_text_set *s, const char *text);
void pd_text_set_add(struct pd_arena *a, struct pd_text_set *s, const char *text); // kept, not copied
// Exact before wildcard, then longer before shorter, then by byte value. For qsort over const char *.
int pd_host_cmp_specific(const void *x, const void *y);
// One of two host patterns covers the other.
bool pd_host_overlaps(const char *a, const char *b);
// What a server's hosts and a VirtualService of namespace `ns` have in common: the narrower of each pair that overlaps,
// each once, in the order of the server's hosts.
struct pd_hosts pd_hosts_common(struct pd_arena *a, const struct pd_hosts *server, const char *ns,
				char *const *vs_hosts, size_t n_vs_hosts);

// ---- filter chains (chains.c, context.c, auto_passthrough.c) -------------------------------------------------------------
// The chains of a listener. Envoy refuses the whole listener if two of them match the same.
struct pd_chain_set {
	EnvoyFilterChain **v;
	size_t n, cap;
	struct pd_text_set matches; // what the chains match: "ALPN SERVERNAME"
};
// Appends a chain, unless one that is there matches one of its names: then `from` is told so.
void pd_gateway_add_chain(struct pd_tx *tx, struct pd_chain_set *set, EnvoyFilterChain *c,
			  const struct pd_object *from);
EnvoyFilterChain *pd_gateway_chain_new(struct pd_tx *tx, const struct pd_hosts *sni);
// Adds the chains of a port.
void pd_gateway_chains(struct pd_tx *tx, const struct pd_gateway_port *port, const char *listener_name,
		       struct pd_chain_set *out);
EnvoyDownstreamTlsContext *pd_gateway_tls_context(struct pd_tx *tx, const struct pd_gateway_server *s);
// Chains of an AUTO_PASSTHROUGH server: one for each cluster of the services that its hosts cover.
void pd_gateway_auto_passthrough(struct pd_tx *tx, const struct pd_gateway_server *s, struct pd_chain_set *out);

#endif
