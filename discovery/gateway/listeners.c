// Listeners of a gateway. (reference: §7)
#include "base/str.h"
#include "discovery/gateway/gateway.h"
#include "discovery/listener/constants.h"
#include "discovery/listener/proxy.h"

enum { FIRST_UNPRIVILEGED_PORT = 1024 };

// One address and port. Several ports of the merged Gateways may end here: TLS servers and plain text beside each other.
struct entry {
	const char *name; // "0.0.0.0_8080"
	struct pd_addresses addresses;
	uint32_t port;
	struct pd_chain_set chains;
};
struct entries {
	struct entry *v;
	size_t n, cap;
};

static struct entry *need_entry(struct pd_tx *tx, struct entries *all, const struct pd_gateway_port *port)
{
	struct entry e = {.port = port->number};
	if (*port->bind) {
		e.addresses.n = 1;
		e.addresses.v = &port->bind;
	} else {
		e.addresses = pd_proxy_wildcards(tx);
	}
	if (!e.addresses.n)
		return NULL;
	e.name = pd_arena_printf(tx->arena, "%s_%u", e.addresses.v[0], port->number);
	for (size_t i = 0; i < all->n; i++)
		if (pd_streq(all->v[i].name, e.name))
			return &all->v[i];
	pd_vec_push_a(tx->arena, all, e);
	return &all->v[all->n - 1];
}

// ---- messages ------------------------------------------------------------------------------------------------------------

static EnvoyAddress *address(struct pd_arena *a, const char *ip, uint32_t port)
{
	EnvoySocketAddress *s = PB_NEW(a, EnvoySocketAddress, envoy__config__core__v3__socket_address);
	s->address = (char *)ip;
	s->port_specifier_case = ENVOY__CONFIG__CORE__V3__SOCKET_ADDRESS__PORT_SPECIFIER_PORT_VALUE;
	s->port_value = port;
	EnvoyAddress *out = PB_NEW(a, EnvoyAddress, envoy__config__core__v3__address);
	out->address_case = ENVOY__CONFIG__CORE__V3__ADDRESS__ADDRESS_SOCKET_ADDRESS;
	out->socket_address = s;
	return out;
}

static void add_address(struct pd_arena *a, EnvoyListener *l, const char *ip, uint32_t port)
{
	Envoy__Config__Listener__V3__AdditionalAddress *extra =
		PB_NEW(a, Envoy__Config__Listener__V3__AdditionalAddress,
		       envoy__config__listener__v3__additional_address);
	extra->address = address(a, ip, port);
	PB_PUSH(a, l, additional_addresses, extra);
}

static bool needs_tls_inspector(const struct pd_chain_set *chains)
{
	for (size_t i = 0; i < chains->n; i++) {
		const EnvoyFilterChain *c = chains->v[i];
		if (c->transport_socket || (c->filter_chain_match && c->filter_chain_match->n_server_names))
			return true;
	}
	return false;
}

static bool wants_proxy_protocol(const Istio__ProxyConfig *pc)
{
	return pc->gateway_topology && pc->gateway_topology->proxy_protocol;
}

static EnvoyListener *to_message(struct pd_tx *tx, const struct entry *e)
{
	struct pd_arena *a = tx->arena;
	const Istio__ProxyConfig *pc = pd_proxy_config(tx);
	const Istio__ProxyConfig__ConnectionSettings *cs = pd_connection_settings(tx, pc);
	EnvoyListener *l = PB_NEW(a, EnvoyListener, envoy__config__listener__v3__listener);
	l->name = (char *)e->name;
	l->traffic_direction = ENVOY__CONFIG__CORE__V3__TRAFFIC_DIRECTION__OUTBOUND;
	l->max_connections_to_accept_per_socket_event = pb_u32(a, 1);
	l->address = address(a, e->addresses.v[0], e->port);
	for (size_t i = 1; tx->snap->settings->dual_stack && i < e->addresses.n; i++)
		add_address(a, l, e->addresses.v[i], e->port);
	if (wants_proxy_protocol(pc))
		PB_PUSH(a, l, listener_filters, pd_constant_listener_filter(a, PD_LISTENER_PROXY_PROTOCOL));
	if (needs_tls_inspector(&e->chains))
		PB_PUSH(a, l, listener_filters, pd_constant_listener_filter(a, PD_LISTENER_TLS_INSPECTOR));
	for (size_t i = 0; i < e->chains.n; i++)
		PB_PUSH(a, l, filter_chains, e->chains.v[i]);
	if (cs && cs->listener_per_connection_buffer_limit_bytes &&
	    cs->listener_per_connection_buffer_limit_bytes->value >= 0)
		l->per_connection_buffer_limit_bytes =
			pb_u32(a, (uint32_t)cs->listener_per_connection_buffer_limit_bytes->value);
	return l;
}

void pd_build_gateway_listeners(struct pd_tx *tx, struct pd_listener_vec *out)
{
	const struct pd_gateways *g = pd_gateways_merge(tx, NULL);
	struct entries entries = {0};
	for (size_t i = 0; i < g->ports.n; i++) {
		const struct pd_gateway_port *port = g->ports.v[i];
		if (tx->key->unprivileged_pod && port->number < FIRST_UNPRIVILEGED_PORT)
			continue; // the process may not bind to it
		struct entry *e = need_entry(tx, &entries, port);
		if (e)
			pd_gateway_chains(tx, port, e->name, &e->chains);
	}
	for (size_t i = 0; i < entries.n; i++)
		if (entries.v[i].chains.n) // Envoy refuses a listener without
			pd_vec_push_a(tx->arena, out, to_message(tx, &entries.v[i]));
}
