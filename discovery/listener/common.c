// Parts of every listener: addresses, listener filters, matches.
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "discovery/listener/constants.h"
#include "discovery/listener/listener.h"

enum { HANDSHAKE_SECONDS = 15 };

#define UNIX_PREFIX "unix://"

EnvoyAddress *pd_listener_address(struct pd_arena *a, const char *bind, uint32_t port)
{
	EnvoyAddress *address = pb_new(a, &envoy__config__core__v3__address__descriptor);
	if (pd_has_prefix(bind, UNIX_PREFIX)) {
		address->address_case = ENVOY__CONFIG__CORE__V3__ADDRESS__ADDRESS_PIPE;
		address->pipe = pb_new(a, &envoy__config__core__v3__pipe__descriptor);
		address->pipe->path = (char *)bind + sizeof(UNIX_PREFIX) - 1;
		return address;
	}
	EnvoySocketAddress *s = pb_new(a, &envoy__config__core__v3__socket_address__descriptor);
	s->address = (char *)bind;
	s->port_specifier_case = ENVOY__CONFIG__CORE__V3__SOCKET_ADDRESS__PORT_SPECIFIER_PORT_VALUE;
	s->port_value = port;
	address->address_case = ENVOY__CONFIG__CORE__V3__ADDRESS__ADDRESS_SOCKET_ADDRESS;
	address->socket_address = s;
	return address;
}

EnvoyListener *pd_listener_new(struct pd_tx *tx, const char *name, struct pd_addresses binds, uint32_t port)
{
	EnvoyListener *l = pb_new(tx->arena, &envoy__config__listener__v3__listener__descriptor);
	l->name = (char *)name;
	l->address = pd_listener_address(tx->arena, binds.v[0], port);
	for (size_t i = 1; i < binds.n; i++) {
		Envoy__Config__Listener__V3__AdditionalAddress *extra =
			pb_new(tx->arena, &envoy__config__listener__v3__additional_address__descriptor);
		extra->address = pd_listener_address(tx->arena, binds.v[i], port);
		PB_PUSH(tx->arena, l, additional_addresses, extra);
	}
	return l;
}

const char *pd_listener_name(struct pd_arena *a, const char *bind, uint32_t port)
{
	return pd_arena_printf(a, "%s_%u", bind, port);
}

void pd_listener_accept_evenly(struct pd_arena *a, EnvoyListener *l)
{
	l->max_connections_to_accept_per_socket_event = pb_u32(a, 1);
}

Google__Protobuf__Duration *pd_listener_handshake_timeout(struct pd_arena *a)
{
	return pb_duration(a, HANDSHAKE_SECONDS, 0);
}

void pd_listener_add_filter(struct pd_arena *a, EnvoyListener *l, enum pd_constant c)
{
	PB_PUSH(a, l, listener_filters, pd_constant_listener_filter(a, c));
}

// HTTP/1.0 only where it is accepted: detecting it otherwise would mean refusing what may pass as TCP.
struct alpn_list pd_listener_plain_http(struct pd_tx *tx)
{
	static const char *const protocols[] = {"http/1.0", "http/1.1", "h2c"};
	size_t from = tx->snap->settings->http10 ? 0 : 1;
	return (struct alpn_list){3 - from, protocols + from};
}

void pd_match_set_alpn(struct pd_arena *a, EnvoyFilterChainMatch *m, struct alpn_list list)
{
	for (size_t i = 0; i < list.n; i++)
		PB_PUSH(a, m, application_protocols, (char *)list.v[i]);
}

// ---- inspectors: which ports need them ---------------------------------------------------------------------------------------

typedef Envoy__Config__Listener__V3__ListenerFilterChainMatchPredicate Predicate;
#define RULE(name) ENVOY__CONFIG__LISTENER__V3__LISTENER_FILTER_CHAIN_MATCH_PREDICATE__RULE_##name

struct port_needs {
	uint32_t port; // 0 = all other ports
	bool tls, http;
};
struct needs {
	struct port_needs *v; // by port
	size_t n;
	bool tls, http; // of any
};

static bool needs_http(const EnvoyFilterChainMatch *m)
{
	for (size_t i = 0; i < m->n_application_protocols; i++)
		if (pd_streq(m->application_protocols[i], "http/1.1") || pd_streq(m->application_protocols[i], "h2c"))
			return true;
	return false;
}

static int cmp_port(const void *x, const void *y)
{
	const struct port_needs *a = x, *b = y;
	return (a->port > b->port) - (a->port < b->port);
}

static struct needs collect_needs(struct pd_arena *a, const EnvoyListener *l)
{
	struct needs all = {.v = PD_NEWN(a, struct port_needs, l->n_filter_chains + 1)};
	for (size_t i = 0; i < l->n_filter_chains; i++) {
		const EnvoyFilterChainMatch *m = l->filter_chains[i]->filter_chain_match;
		struct port_needs p = {.port = m && m->destination_port ? m->destination_port->value : 0,
				       .tls = m && pd_streq(m->transport_protocol, "tls"),
				       .http = m && needs_http(m)};
		size_t k = 0;
		while (k < all.n && all.v[k].port != p.port)
			k++;
		if (k == all.n)
			all.v[all.n++].port = p.port;
		all.v[k].tls |= p.tls;
		all.v[k].http |= p.http;
		all.tls |= p.tls;
		all.http |= p.http;
	}
	qsort(all.v, all.n, sizeof(*all.v), cmp_port);
	return all;
}

static Predicate *predicate(struct pd_arena *a)
{
	return pb_new(a, &envoy__config__listener__v3__listener_filter_chain_match_predicate__descriptor);
}

static Predicate *one_port(struct pd_arena *a, uint32_t port)
{
	Predicate *p = predicate(a);
	p->rule_case = RULE(DESTINATION_PORT_RANGE);
	p->destination_port_range = pb_new(a, &envoy__type__v3__int32_range__descriptor);
	p->destination_port_range->start = (int32_t)port;
	p->destination_port_range->end = (int32_t)port + 1;
	return p;
}

// A predicate for any of the ports; NULL for none.
static Predicate *any_port(struct pd_arena *a, const uint32_t *ports, size_t n)
{
	if (n <= 1)
		return n ? one_port(a, ports[0]) : NULL;
	Predicate *p = predicate(a);
	p->rule_case = RULE(OR_MATCH);
	p->or_match =
		pb_new(a, &envoy__config__listener__v3__listener_filter_chain_match_predicate__match_set__descriptor);
	for (size_t i = 0; i < n; i++)
		PB_PUSH(a, p->or_match, rules, one_port(a, ports[i]));
	return p;
}

// Disabled on the ports that need none; where the catch-all needs none, enabled only on those that do.
static Predicate *tls_disabled(struct pd_arena *a, const struct needs *all)
{
	uint32_t *ports = PD_NEWN(a, uint32_t, all->n + 1);
	size_t n = 0;
	bool by_default = all->v[0].port == 0 && all->v[0].tls;
	for (size_t i = 0; i < all->n; i++)
		if (all->v[i].port && all->v[i].tls != by_default)
			ports[n++] = all->v[i].port;
	Predicate *p = any_port(a, ports, n);
	if (by_default || !p)
		return p;
	Predicate *not = predicate(a);
	not ->rule_case = RULE(NOT_MATCH);
	not ->not_match = p;
	return not ;
}

static Predicate *http_disabled(struct pd_arena *a, const struct needs *all)
{
	uint32_t *ports = PD_NEWN(a, uint32_t, all->n + 1);
	size_t n = 0;
	for (size_t i = 0; i < all->n; i++)
		if (!all->v[i].http)
			ports[n++] = all->v[i].port;
	return any_port(a, ports, n);
}

void pd_listener_add_inspectors(struct pd_arena *a, EnvoyListener *l)
{
	struct needs all = collect_needs(a, l);
	if (all.tls) {
		pd_listener_add_filter(a, l, PD_LISTENER_TLS_INSPECTOR);
		l->listener_filters[l->n_listener_filters - 1]->filter_disabled = tls_disabled(a, &all);
	}
	if (all.http) { // behind the other: what is TLS is not looked into
		pd_listener_add_filter(a, l, PD_LISTENER_HTTP_INSPECTOR);
		l->listener_filters[l->n_listener_filters - 1]->filter_disabled = http_disabled(a, &all);
	}
}
