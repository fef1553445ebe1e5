// Merging the Gateways of a proxy, oldest first.
//
// A port belongs to whoever takes it first. Plain HTTP servers of one port and bind address become one listener with one route
// configuration. TLS servers share a listener, told apart by SNI, each with routes of its own; a server that names a host
// which another one has already is dropped, since Envoy would refuse two chains with one match. Everything else that meets on
// one port and address is a conflict, which the newer one loses.
#include <stdio.h>
#include <stdlib.h>
#include <uthash.h>

#include "base/str.h"
#include "discovery/gateway/gateway.h"

struct route_entry {
	UT_hash_handle hh;
	struct pd_gateway_route *route;
};

// What is known of a number so far.
struct port_state {
	uint32_t number;
	struct pd_gateway_port *plain; // the plain text server that came last
};

struct merge {
	struct pd_tx *tx;
	struct pd_gateways *out;
	const char *only;             // "https...": nothing but the server with this route name is of interest
	struct pd_text_set tls_hosts; // "PORT BIND HOST"
	struct route_entry *routes;   // by name
	PD_VEC(struct port_state) states;
};

bool pd_gateway_is_passthrough(const Istio__Server *s)
{
	return s->tls && (s->tls->mode == ISTIO__SERVER_TLSSETTINGS__TLSMODE__PASSTHROUGH ||
			  s->tls->mode == ISTIO__SERVER_TLSSETTINGS__TLSMODE__AUTO_PASSTHROUGH);
}

bool pd_gateway_is_https(const struct pd_gateway_server *s)
{
	return s->spec->tls && s->protocol == PD_PROTO_HTTPS && !pd_gateway_is_passthrough(s->spec);
}

// Plain HTTP may have a tls block too: httpsRedirect.
static bool is_tls(const struct pd_gateway_server *s)
{
	return s->spec->tls && !pd_protocol_is_http(s->protocol);
}

static void conflict(struct merge *m, const struct pd_gateway_server *s, const char *why)
{
	tx_issue(m->tx, s->gateway, "spec.servers", "server %s (%u/%s) is left out: %s", s->spec->port->name,
		 s->spec->port->number, s->spec->port->protocol, why);
}

// ---- sets ----------------------------------------------------------------------------------------------------------------

static struct port_state *find_state(struct merge *m, uint32_t number)
{
	for (size_t i = 0; i < m->states.n; i++)
		if (m->states.v[i].number == number)
			return &m->states.v[i];
	return NULL;
}

static struct pd_gateway_port *find_port(struct merge *m, uint32_t number, const struct pd_gateway_server *s)
{
	for (size_t i = 0; i < m->out->ports.n; i++) {
		struct pd_gateway_port *p = m->out->ports.v[i];
		if (p->number == number && pd_streq(p->bind, s->spec->bind) &&
		    pd_streq(p->protocol_text, s->spec->port->protocol))
			return p;
	}
	return NULL;
}

static struct pd_gateway_route *find_route(struct merge *m, const char *name)
{
	struct route_entry *e;
	HASH_FIND(hh, m->routes, name, strlen(name), e);
	return e ? e->route : NULL;
}

static void add_route(struct merge *m, const struct pd_gateway_server *s)
{
	if (!s->route_name)
		return;
	struct pd_gateway_route *r = find_route(m, s->route_name);
	if (!r) {
		r = PD_NEW(m->tx->arena, struct pd_gateway_route);
		r->name = s->route_name;
		pd_vec_push_a(m->tx->arena, &m->out->routes, r);
		struct route_entry *e = PD_NEW(m->tx->arena, struct route_entry);
		e->route = r;
		HASH_ADD_KEYPTR(hh, m->routes, r->name, strlen(r->name), e);
	}
	pd_vec_push_a(m->tx->arena, &r->servers, s);
}

static struct pd_gateway_port *add_port(struct merge *m, uint32_t number, const struct pd_gateway_server *s)
{
	struct pd_gateway_port *p = find_port(m, number, s);
	if (!p) {
		p = PD_NEW(m->tx->arena, struct pd_gateway_port);
		p->number = number;
		p->bind = pd_or(s->spec->bind, "");
		p->protocol_text = s->spec->port->protocol;
		p->protocol = s->protocol;
		p->route_name = s->route_name;
		pd_vec_push_a(m->tx->arena, &m->out->ports, p);
	}
	pd_vec_push_a(m->tx->arena, &p->servers, s);
	return p;
}

// ---- one server ------------------------------------------------------------------------------------------------------------

// "./HOST" means the Gateway's own namespace, "*/HOST" any.
static struct pd_hosts server_hosts(struct pd_arena *a, const Istio__Server *s, const char *ns)
{
	struct pd_hosts out = {0};
	for (size_t i = 0; i < s->n_hosts; i++) {
		const char *h = s->hosts[i];
		if (pd_has_prefix(h, "./"))
			h = pd_arena_printf(a, "%s%s", ns, h + 1);
		else if (pd_has_prefix(h, "*/"))
			h += 2;
		pd_hosts_add(a, &out, h);
	}
	return out;
}

static int cmp_text(const void *x, const void *y)
{
	return strcmp(*(const char *const *)x, *(const char *const *)y);
}

static struct pd_hosts sni_hosts(struct pd_arena *a, const struct pd_hosts *hosts)
{
	struct pd_hosts out = {0};
	for (size_t i = 0; i < hosts->n; i++) {
		const char *slash = strchr(hosts->v[i], '/');
		const char *h = slash ? slash + 1 : hosts->v[i];
		if (!pd_hosts_has(&out, h))
			pd_hosts_add(a, &out, h);
	}
	if (out.n)
		qsort(out.v, out.n, sizeof(out.v[0]), cmp_text);
	return out;
}

// "http.TARGETPORT[.BIND]" for all plain HTTP of a port; "https.PORT.PORTNAME.GATEWAY.NAMESPACE[.BIND]" for each server
// whose TLS ends here.
static const char *route_name(struct pd_arena *a, const struct pd_gateway_server *s, uint32_t number)
{
	const char *bind = pd_empty(s->spec->bind) ? "" : pd_arena_printf(a, ".%s", s->spec->bind);
	if (pd_protocol_is_http(s->protocol))
		return pd_arena_printf(a, "http.%u%s", number, bind);
	if (s->protocol == PD_PROTO_HTTPS && !pd_gateway_is_passthrough(s->spec))
		return pd_arena_printf(a, "https.%u.%s.%s.%s%s", s->spec->port->number, s->spec->port->name,
				       s->gateway->key.name, s->gateway->key.ns, bind);
	return NULL;
}

// False if one of the hosts is taken on this port and address.
static bool take_tls_hosts(struct merge *m, const struct pd_gateway_server *s, uint32_t number)
{
	struct pd_arena *a = m->tx->arena;
	const char **keys = pd_arena_alloc(a, (s->hosts.n + 1) * sizeof(*keys));
	for (size_t i = 0; i < s->hosts.n; i++) {
		keys[i] = pd_arena_printf(a, "%u %s %s", number, pd_or(s->spec->bind, ""), s->hosts.v[i]);
		if (pd_text_set_has(&m->tls_hosts, keys[i]))
			return false;
	}
	for (size_t i = 0; i < s->hosts.n; i++)
		pd_text_set_add(a, &m->tls_hosts, keys[i]);
	return true;
}

static void add_plain(struct merge *m, struct port_state *state, uint32_t number, const struct pd_gateway_server *s)
{
	add_route(m, s);
	state->plain = add_port(m, number, s);
}

// A server on a port where plain text is served.
static void beside_plain(struct merge *m, struct port_state *state, uint32_t number, const struct pd_gateway_server *s)
{
	struct pd_gateway_port *plain = state->plain;
	bool same_bind = pd_streq(plain->bind, s->spec->bind);
	if (!same_bind) {
		add_route(m, s);
		struct pd_gateway_port *p = add_port(m, number, s);
		if (p->servers.n == 1 && !is_tls(s))
			state->plain = p;
		return;
	}
	bool mergeable = pd_protocol_is_http(plain->protocol) && pd_protocol_is_http(s->protocol);
	if (!mergeable || !s->route_name) {
		conflict(m, s, "the port is taken by another protocol");
		return;
	}
	add_route(m, s);
	pd_vec_push_a(m->tx->arena, &plain->servers, s);
}

// A server on a port where only TLS is served so far.
static void beside_tls(struct merge *m, struct port_state *state, uint32_t number, const struct pd_gateway_server *s)
{
	if (!is_tls(s)) {
		add_plain(m, state, number, s);
		return;
	}
	if (s->route_name && find_route(m, s->route_name)) {
		conflict(m, s, "its port name is not unique in the Gateway");
		return;
	}
	add_route(m, s);
	add_port(m, number, s);
}

static void add_server(struct merge *m, uint32_t number, const struct pd_gateway_server *s)
{
	if (s->spec->tls && !take_tls_hosts(m, s, number)) {
		conflict(m, s, "one of its hosts is served by another server with TLS on this port");
		return;
	}
	struct port_state *state = find_state(m, number);
	if (!state) {
		pd_vec_push_a(m->tx->arena, &m->states, (struct port_state){.number = number});
		state = &m->states.v[m->states.n - 1];
		if (is_tls(s)) {
			add_route(m, s);
			add_port(m, number, s);
		} else {
			add_plain(m, state, number, s);
		}
	} else if (state->plain) {
		beside_plain(m, state, number, s);
	} else {
		beside_tls(m, state, number, s);
	}
}

// `text` goes on with `part` and a dot (or its end): what is behind, or NULL.
static const char *after(const char *text, const char *part)
{
	size_t n = strlen(part);
	if (!text || strncmp(text, part, n) != 0 || (text[n] && text[n] != '.'))
		return NULL;
	return text + n + (text[n] == '.');
}

// Whether route_name() would make this name, at little cost: a gateway with thousands of certificates asks for as many routes.
static bool is_named(const char *route, const Istio__Server *s, const struct pd_key *gateway)
{
	char number[16];
	snprintf(number, sizeof(number), "%u", s->port->number);
	route = after(after(after(after(after(route, "https"), number), s->port->name), gateway->name), gateway->ns);
	return route && pd_streq(route, pd_or(s->bind, ""));
}

static void add_gateway(struct merge *m, const struct pd_gateway_pick *pick)
{
	struct pd_arena *a = m->tx->arena;
	const struct pd_key *key = &pick->gateway->key;
	if (!m->only)
		tx_use(m->tx, pick->gateway);
	for (size_t i = 0; i < pick->spec->n_servers; i++) {
		const Istio__Server *spec = pick->spec->servers[i];
		if (!spec->port)
			continue; // refused by validation
		if (m->only && !is_named(m->only, spec, key))
			continue;
		if (m->only)
			tx_use(m->tx, pick->gateway);
		struct pd_gateway_server base = {.gateway = pick->gateway, .spec = spec};
		base.gateway_name = pd_arena_printf(a, "%s/%s", key->ns, key->name);
		base.protocol = pd_protocol_parse(spec->port->protocol);
		base.hosts = server_hosts(a, spec, key->ns);
		if (spec->tls)
			base.sni = sni_hosts(a, &base.hosts);
		struct pd_gateway_numbers numbers = pd_gateway_ports(m->tx, pick, spec->port->number);
		for (size_t k = 0; k < numbers.n; k++) {
			struct pd_gateway_server *s = PD_NEW(a, struct pd_gateway_server);
			*s = base;
			s->route_name = route_name(a, s, numbers.v[k]);
			add_server(m, numbers.v[k], s);
		}
	}
}

const struct pd_gateways *pd_gateways_merge(struct pd_tx *tx, const char *route)
{
	struct merge m = {.tx = tx, .out = PD_NEW(tx->arena, struct pd_gateways)};
	if (pd_has_prefix(route, "https."))
		m.only = route;
	struct pd_gateway_picks picks = pd_gateway_select(tx);
	for (size_t i = 0; i < picks.n; i++)
		add_gateway(&m, &picks.v[i]);
	HASH_CLEAR(hh, m.routes);
	return m.out;
}

const struct pd_gateway_route *pd_gateway_find_route(const struct pd_gateways *g, const char *name)
{
	for (size_t i = 0; i < g->routes.n; i++)
		if (pd_streq(g->routes.v[i]->name, name))
			return g->routes.v[i];
	return NULL;
}
