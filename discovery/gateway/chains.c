// Filter chains of a gateway's port. (reference: §7)
#include <stdlib.h>

#include "base/str.h"
#include "discovery/gateway/gateway.h"
#include "discovery/listener/tcp_filters.h"
#include "discovery/tls.h"

enum { CONNECT_TIMEOUT_S = 15 };

// ---- chains --------------------------------------------------------------------------------------------------------------

static int cmp_text(const void *x, const void *y)
{
	return strcmp(*(const char *const *)x, *(const char *const *)y);
}

EnvoyFilterChain *pd_gateway_chain_new(struct pd_tx *tx, const struct pd_hosts *sni)
{
	struct pd_arena *a = tx->arena;
	EnvoyFilterChain *c = PB_NEW(a, EnvoyFilterChain, envoy__config__listener__v3__filter_chain);
	// A limit on slow handshakes, which hold memory.
	c->transport_socket_connect_timeout = pb_duration(a, CONNECT_TIMEOUT_S, 0);
	if (!sni || !sni->n || pd_hosts_has(sni, "*"))
		return c;
	c->filter_chain_match = PB_NEW(a, EnvoyFilterChainMatch, envoy__config__listener__v3__filter_chain_match);
	for (size_t i = 0; i < sni->n; i++)
		PB_PUSH(a, c->filter_chain_match, server_names, (char *)sni->v[i]);
	qsort(c->filter_chain_match->server_names, sni->n, sizeof(char *), cmp_text);
	return c;
}

static const char *match_key(struct pd_arena *a, const EnvoyFilterChain *c, const char *name)
{
	const EnvoyFilterChainMatch *m = c->filter_chain_match;
	const char *alpn = "";
	for (size_t i = 0; m && i < m->n_application_protocols; i++)
		alpn = pd_arena_printf(a, "%s,%s", alpn, m->application_protocols[i]);
	return pd_arena_printf(a, "%s %s", alpn, name);
}

void pd_gateway_add_chain(struct pd_tx *tx, struct pd_chain_set *set, EnvoyFilterChain *c, const struct pd_object *from)
{
	const EnvoyFilterChainMatch *m = c->filter_chain_match;
	struct pd_hosts keys = {0};
	for (size_t i = 0; m && i < m->n_server_names; i++)
		pd_hosts_add(tx->arena, &keys, match_key(tx->arena, c, m->server_names[i]));
	if (!keys.n)
		pd_hosts_add(tx->arena, &keys, match_key(tx->arena, c, ""));
	for (size_t i = 0; i < keys.n; i++) {
		if (!pd_text_set_has(&set->matches, keys.v[i]))
			continue;
		tx_issue(tx, from, "spec", "left out: another server or route of the port has host %s",
			 m && i < m->n_server_names ? m->server_names[i] : "*");
		return;
	}
	for (size_t i = 0; i < keys.n; i++)
		pd_text_set_add(tx->arena, &set->matches, keys.v[i]);
	pd_vec_push_a(tx->arena, set, c);
}

static void set_filters(struct pd_tx *tx, EnvoyFilterChain *c, const struct pd_filter_vec *filters)
{
	for (size_t i = 0; i < filters->n; i++)
		PB_PUSH(tx->arena, c, filters, filters->v[i]);
}

// ---- HTTP ------------------------------------------------------------------------------------------------------------------

static EnvoyFilterChain *http_chain(struct pd_tx *tx, const struct pd_gateway_port *port,
				    const struct pd_gateway_server *https, const char *listener_name)
{
	struct pd_arena *a = tx->arena;
	struct pd_http_manager m = {.class = PD_CLASS_GATEWAY, .protocol = port->protocol, .port = port->number};
	m.route_name = https ? https->route_name : port->route_name;
	if (https)
		m.protocol = https->protocol;
	m.stat_prefix = https && !pd_empty(https->spec->name) ? https->spec->name
							      : pd_arena_printf(a, "outbound_%s;", listener_name);
	EnvoyFilterChain *c = pd_gateway_chain_new(tx, https ? &https->sni : NULL);
	PB_PUSH(a, c, filters, pd_http_manager_filter(tx, &m));
	if (https)
		c->transport_socket = pd_tls_socket(a, pd_gateway_tls_context(tx, https));
	return c;
}

// ---- TCP and TLS routes ----------------------------------------------------------------------------------------------------

// What the matches of TCP and TLS routes have in common, as far as gateways look at it.
static bool l4_applies(struct pd_tx *tx, const struct pd_gateway_server *s, const struct pd_vs *vs, uint32_t port,
		       char *const *gateways, size_t n_gateways)
{
	if (port && port != s->spec->port->number)
		return false;
	for (size_t i = 0; i < n_gateways; i++)
		if (pd_streq(pd_expand_gateway(tx->arena, gateways[i], vs->object->key.ns), s->gateway_name))
			return true;
	return !n_gateways;
}

static bool tcp_applies(struct pd_tx *tx, const struct pd_gateway_server *s, const struct pd_vs *vs,
			const Istio__TCPRoute *route)
{
	for (size_t i = 0; i < route->n_match; i++) {
		const Istio__L4MatchAttributes *m = route->match[i];
		if (l4_applies(tx, s, vs, m->port, m->gateways, m->n_gateways))
			return true;
	}
	return !route->n_match;
}

static bool tls_applies(struct pd_tx *tx, const struct pd_gateway_server *s, const struct pd_vs *vs,
			const Istio__TLSMatchAttributes *m)
{
	return l4_applies(tx, s, vs, m->port, m->gateways, m->n_gateways);
}

// Whether one of the VirtualService's hosts is a host of the server, and one for its namespace.
static bool shares_host(const struct pd_gateway_server *s, const struct pd_vs *vs)
{
	for (size_t i = 0; i < s->hosts.n; i++) {
		const char *host = s->hosts.v[i], *slash = strchr(host, '/');
		if (slash &&
		    (strlen(vs->object->key.ns) != (size_t)(slash - host) || !pd_has_prefix(host, vs->object->key.ns)))
			continue;
		for (size_t k = 0; k < vs->spec->n_hosts; k++)
			if (pd_host_overlaps(slash ? slash + 1 : host, vs->spec->hosts[k]))
				return true;
	}
	return false;
}

static void tcp_filters(struct pd_tx *tx, const struct pd_gateway_server *s, const struct pd_vs *vs,
			Istio__RouteDestination **destinations, size_t n, struct pd_filter_vec *out)
{
	struct pd_tcp_chain c = {.class = PD_CLASS_GATEWAY, .protocol = s->protocol, .vs = vs};
	c.destinations = destinations;
	c.n_destinations = n;
	c.port = s->spec->port->number;
	tx_use(tx, vs->object);
	pd_tcp_filters(tx, &c, out);
}

// A TLSRoute of the Gateway API says `tls` also where TLS ends at the gateway.
static bool from_tls_route(const struct pd_vs *vs)
{
	return pd_has_prefix(pd_object_annotation(vs->object, "internal.istio.io/parents"), "TLSRoute/");
}

static bool filters_of(struct pd_tx *tx, const struct pd_gateway_server *s, const struct pd_vs *vs,
		       struct pd_filter_vec *out)
{
	for (size_t i = 0; i < vs->spec->n_tcp; i++) {
		const Istio__TCPRoute *route = vs->spec->tcp[i];
		if (!route->n_route || !tcp_applies(tx, s, vs, route))
			continue;
		tcp_filters(tx, s, vs, route->route, route->n_route, out);
		return true;
	}
	for (size_t i = 0; from_tls_route(vs) && i < vs->spec->n_tls; i++) {
		const Istio__TLSRoute *route = vs->spec->tls[i];
		for (size_t k = 0; route->n_route && k < route->n_match; k++) {
			if (!tls_applies(tx, s, vs, route->match[k]))
				continue;
			tcp_filters(tx, s, vs, route->route, route->n_route, out);
			return true;
		}
	}
	return false;
}

// Opaque TCP, or TCP from which TLS is taken off: the first route that fits gets everything.
static void tcp_chain(struct pd_tx *tx, const struct pd_gateway_server *s, struct pd_chain_set *out)
{
	struct pd_vs_list list = tx_gateway_vs(tx, s->gateway_name);
	struct pd_filter_vec filters = {0};
	bool found = false;
	for (size_t i = 0; i < list.n && !found; i++)
		found = shares_host(s, list.v[i]) && filters_of(tx, s, list.v[i], &filters);
	if (!found)
		return;
	EnvoyFilterChain *c = pd_gateway_chain_new(tx, &s->sni);
	if (s->spec->tls)
		c->transport_socket = pd_tls_socket(tx->arena, pd_gateway_tls_context(tx, s));
	set_filters(tx, c, &filters);
	pd_gateway_add_chain(tx, out, c, s->gateway);
}

// ---- passed through by SNI -------------------------------------------------------------------------------------------------

static void tls_route_chains(struct pd_tx *tx, const struct pd_gateway_server *s, const struct pd_vs *vs,
			     const Istio__TLSRoute *route, struct pd_chain_set *out)
{
	for (size_t i = 0; route->n_route && i < route->n_match; i++) {
		const Istio__TLSMatchAttributes *m = route->match[i];
		if (!tls_applies(tx, s, vs, m))
			continue;
		struct pd_hosts sni = {.v = (const char **)m->sni_hosts, .n = m->n_sni_hosts};
		struct pd_filter_vec filters = {0};
		EnvoyFilterChain *c = pd_gateway_chain_new(tx, &sni);
		tcp_filters(tx, s, vs, route->route, route->n_route, &filters);
		set_filters(tx, c, &filters);
		pd_gateway_add_chain(tx, out, c, vs->object);
	}
}

static void passthrough_chains(struct pd_tx *tx, const struct pd_gateway_server *s, struct pd_chain_set *out)
{
	struct pd_vs_list list = tx_gateway_vs(tx, s->gateway_name);
	for (size_t i = 0; i < list.n; i++) {
		if (!shares_host(s, list.v[i]))
			continue;
		for (size_t k = 0; k < list.v[i]->spec->n_tls; k++)
			tls_route_chains(tx, s, list.v[i], list.v[i]->spec->tls[k], out);
	}
}

void pd_gateway_chains(struct pd_tx *tx, const struct pd_gateway_port *port, const char *listener_name,
		       struct pd_chain_set *out)
{
	if (pd_protocol_is_http(port->protocol)) {
		EnvoyFilterChain *c = http_chain(tx, port, NULL, listener_name);
		pd_gateway_add_chain(tx, out, c, port->servers.v[0]->gateway);
		return;
	}
	for (size_t i = 0; i < port->servers.n; i++) {
		const struct pd_gateway_server *s = port->servers.v[i];
		if (pd_gateway_is_https(s))
			pd_gateway_add_chain(tx, out, http_chain(tx, port, s, listener_name), s->gateway);
		else if (!pd_gateway_is_passthrough(s->spec))
			tcp_chain(tx, s, out);
		else if (s->spec->tls->mode == ISTIO__SERVER_TLSSETTINGS__TLSMODE__AUTO_PASSTHROUGH)
			pd_gateway_auto_passthrough(tx, s, out);
		else
			passthrough_chains(tx, s, out);
	}
}
