// TCP, TLS and HTTPS chains of one service: by the tcp and tls routes of its VirtualServices, or straight to its cluster.
//
// A match of such a route has two halves. What the control plane knows (gateway, labels and namespace of the client, port) is
// decided here; what only the proxy sees (server name, destination address) becomes the chain's match.
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/str.h"
#include "discovery/listener/listener.h"
#include "discovery/route/domains.h"

// ---- which VirtualServices -----------------------------------------------------------------------------------------------------

struct vs_vec {
	const struct pd_vs **v;
	size_t n, cap;
};

static void add_list(struct pd_tx *tx, struct vs_vec *out, struct pd_vs_list list)
{
	for (size_t i = 0; i < list.n; i++) {
		bool known = false;
		for (size_t k = 0; k < out->n && !known; k++)
			known = out->v[k]->object == list.v[i]->object;
		if (!known)
			pd_vec_push_a(tx->arena, out, list.v[i]);
	}
}

// A service with a wildcard host has also those VirtualServices that name a host below it.
static void add_below(struct pd_tx *tx, struct vs_vec *out, const char *wildcard)
{
	const struct pd_posting *p = tx_posting(tx, PD_IX_VS_MESH, "");
	for (size_t i = 0; i < p->n; i++) {
		const Istio__VirtualService *spec = (const Istio__VirtualService *)p->v[i]->spec;
		for (size_t k = 0; k < spec->n_hosts; k++)
			if (!pd_streq(spec->hosts[k], wildcard) && pd_host_covers(wildcard, spec->hosts[k]))
				add_list(tx, out, tx_mesh_vs_for_host(tx, spec->hosts[k]));
	}
}

static int cmp_age(const void *x, const void *y)
{
	return pd_object_cmp_age((*(const struct pd_vs *const *)x)->object, (*(const struct pd_vs *const *)y)->object);
}

// Oldest first, however specific their hosts are: istiod's rule for these routes.
static struct vs_vec virtual_services(const struct outbound *o)
{
	struct vs_vec out = {0};
	add_list(o->tx, &out, tx_mesh_vs_for_host(o->tx, o->svc->host));
	if (o->svc->host[0] == '*')
		add_below(o->tx, &out, o->svc->host);
	if (out.n)
		qsort(out.v, out.n, sizeof(*out.v), cmp_age);
	return out;
}

// ---- what is decided here ------------------------------------------------------------------------------------------------------

static bool binds_mesh(char *const *gateways, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (pd_streq(gateways[i], "mesh"))
			return true;
	return n == 0;
}

static bool client_has(const struct outbound *o, const char *key, const char *value)
{
	const struct pd_labels *l = o->tx->view ? &o->tx->view->labels : &o->tx->key->labels;
	return pd_streq(pd_labels_get(l, key), value) && pd_labels_get(l, key);
}

static bool client_fits(const struct outbound *o, uint32_t port, const char *ns)
{
	return (!port || port == o->port->port) && (pd_empty(ns) || pd_streq(ns, o->tx->key->ns));
}

static bool tls_applies(const struct outbound *o, const Istio__TLSMatchAttributes *m)
{
	for (size_t i = 0; i < m->n_source_labels; i++)
		if (!client_has(o, m->source_labels[i]->key, m->source_labels[i]->value))
			return false;
	return binds_mesh(m->gateways, m->n_gateways) && client_fits(o, m->port, m->source_namespace);
}

static bool tcp_applies(const struct outbound *o, const Istio__L4MatchAttributes *m)
{
	for (size_t i = 0; i < m->n_source_labels; i++)
		if (!client_has(o, m->source_labels[i]->key, m->source_labels[i]->value))
			return false;
	return binds_mesh(m->gateways, m->n_gateways) && client_fits(o, m->port, m->source_namespace);
}

// ---- chains --------------------------------------------------------------------------------------------------------------------

static void route_chain(const struct outbound *o, const struct pd_vs *vs, Istio__RouteDestination **routes, size_t n,
			struct chain *c)
{
	struct pd_tcp_chain tcp = {.class = PD_CLASS_SIDECAR_OUTBOUND,
				   .protocol = o->port->protocol,
				   .port = o->port->port,
				   .port_name = o->port->name,
				   .vs = vs,
				   .destinations = routes,
				   .n_destinations = n};
	tx_use(o->tx, vs->object);
	pd_tcp_filters(o->tx, &tcp, &c->filters);
}

static void default_chain(const struct outbound *o, struct chain *c)
{
	// A listener port of a Sidecar may differ from the service's; a service with one port leaves no doubt.
	uint32_t port = o->svc->n_ports == 1 ? o->svc->ports[0].port : o->port->port;
	struct pd_tcp_chain tcp = {
		.class = PD_CLASS_SIDECAR_OUTBOUND,
		.protocol = o->port->protocol,
		.port = o->port->port,
		.cluster = pd_cluster_name(o->tx->arena, "outbound", port, NULL, o->svc->host),
		.svc = o->svc,
	};
	pd_tcp_filters(o->tx, &tcp, &c->filters);
	c->needs_sni = o->svc->resolution == PD_RES_DYNAMIC_DNS && o->svc->host[0] == '*';
}

static void set_names(struct pd_arena *a, struct names *out, char *const *v, size_t n)
{
	*out = (struct names){0};
	for (size_t i = 0; i < n; i++)
		pd_vec_push_a(a, out, v[i]);
}

// ---- TLS -----------------------------------------------------------------------------------------------------------------------

// Every name under which clients may ask for the service.
static void add_server_names(const struct outbound *o, struct names *sni)
{
	pd_vec_push_a(o->tx->arena, sni, o->svc->host);
	for (size_t i = 0; i < o->svc->n_aliases; i++) {
		struct pd_service alias = {.host = o->svc->aliases[i]};
		Envoy__Config__Route__V3__VirtualHost *vh =
			pb_new(o->tx->arena, &envoy__config__route__v3__virtual_host__descriptor);
		pd_service_domains(o->tx, &alias, vh);
		for (size_t k = 0; k < vh->n_domains; k++)
			pd_vec_push_a(o->tx->arena, sni, vh->domains[k]);
	}
}

// The server's name has to tell services apart where the address does not: ranges, and listeners on all addresses.
static bool needs_server_names(const struct outbound *o, const struct names *cidrs)
{
	const char *wildcard = pd_proxy_wildcards(o->tx).v[0];
	if (cidrs->n || (o->svc->resolution == PD_RES_DYNAMIC_DNS && o->svc->host[0] == '*'))
		return true;
	return pd_streq(o->address, wildcard) && pd_streq(o->binds.v[0], wildcard);
}

static bool seen_match(const struct outbound *o, struct names *seen, const Istio__TLSMatchAttributes *m)
{
	struct pd_buf b = {0};
	for (size_t i = 0; i < m->n_sni_hosts; i++)
		pd_buf_printf(&b, "%s%s", i ? "," : "", m->sni_hosts[i]);
	for (size_t i = 0; i < m->n_destination_subnets; i++)
		pd_buf_printf(&b, "%s%s", i ? "," : "|", m->destination_subnets[i]);
	bool known = false;
	for (size_t i = 0; i < seen->n && !known; i++)
		known = pd_streq(seen->v[i], b.p);
	if (!known)
		pd_vec_push_a(o->tx->arena, seen, pd_arena_strdup(o->tx->arena, b.p ? b.p : ""));
	pd_buf_free(&b);
	return known;
}

static void tls_chains(const struct outbound *o, const struct vs_vec *list, struct chain_vec *out)
{
	struct names cidrs = o->cidrs, seen = {0};
	size_t before = out->n;
	for (size_t i = 0; i < list->n; i++) {
		const Istio__VirtualService *spec = list->v[i]->spec;
		for (size_t r = 0; r < spec->n_tls; r++) {
			const Istio__TLSRoute *tls = spec->tls[r];
			for (size_t k = 0; tls->n_route && k < tls->n_match; k++) {
				const Istio__TLSMatchAttributes *m = tls->match[k];
				if (!tls_applies(o, m))
					continue;
				if (m->n_destination_subnets &&
				    o->port->port) // stays in force for what follows, as in istiod
					set_names(o->tx->arena, &cidrs, m->destination_subnets,
						  m->n_destination_subnets);
				if (seen_match(o, &seen, m)) // the first one took all of it
					continue;
				struct chain c = {.config = list->v[i]->object, .cidrs = cidrs};
				set_names(o->tx->arena, &c.sni, m->sni_hosts, m->n_sni_hosts);
				route_chain(o, list->v[i], tls->route, tls->n_route, &c);
				pd_vec_push_a(o->tx->arena, out, c);
			}
		}
	}
	if (out->n != before)
		return;
	struct chain c = {.cidrs = cidrs};
	if (needs_server_names(o, &cidrs))
		add_server_names(o, &c.sni);
	default_chain(o, &c);
	pd_vec_push_a(o->tx->arena, out, c);
}

// ---- TCP -----------------------------------------------------------------------------------------------------------------------

static bool same_names(const struct names *x, const struct names *y)
{
	if (x->n != y->n)
		return false;
	for (size_t i = 0; i < x->n; i++) {
		bool found = false;
		for (size_t k = 0; k < y->n && !found; k++)
			found = pd_streq(x->v[i], y->v[k]);
		if (!found)
			return false;
	}
	return true;
}

enum tcp_end { TCP_GOES_ON, TCP_CAUGHT_ALL };

// The chains of one tcp route. TCP_CAUGHT_ALL: no later route can be reached.
static enum tcp_end tcp_route(const struct outbound *o, const struct pd_vs *vs, const Istio__TCPRoute *tcp,
			      struct chain_vec *out)
{
	struct names subnets = {0};
	bool all = !tcp->n_match;
	for (size_t k = 0; k < tcp->n_match && !all; k++) {
		const Istio__L4MatchAttributes *m = tcp->match[k];
		if (!tcp_applies(o, m))
			continue;
		all = !m->n_destination_subnets || !o->port->port;
		for (size_t i = 0; i < m->n_destination_subnets && !all; i++)
			pd_vec_push_a(o->tx->arena, &subnets, m->destination_subnets[i]);
	}
	if (!all && !subnets.n)
		return TCP_GOES_ON;
	struct chain c = {.config = all ? vs->object : NULL, .cidrs = all ? o->cidrs : subnets};
	route_chain(o, vs, tcp->route, tcp->n_route, &c);
	pd_vec_push_a(o->tx->arena, out, c);
	// With the service's own range taken, its default chain would be a duplicate.
	return all ? TCP_CAUGHT_ALL : TCP_GOES_ON;
}

static void tcp_chains(const struct outbound *o, const struct vs_vec *list, struct chain_vec *out)
{
	bool default_taken = false;
	for (size_t i = 0; i < list->n; i++) {
		const Istio__VirtualService *spec = list->v[i]->spec;
		for (size_t r = 0; r < spec->n_tcp; r++) {
			size_t before = out->n;
			if (!spec->tcp[r]->n_route)
				continue;
			if (tcp_route(o, list->v[i], spec->tcp[r], out) == TCP_CAUGHT_ALL)
				return;
			default_taken |= out->n > before && same_names(&out->v[out->n - 1].cidrs, &o->cidrs);
		}
	}
	if (default_taken)
		return;
	struct chain c = {.cidrs = o->cidrs};
	default_chain(o, &c);
	pd_vec_push_a(o->tx->arena, out, c);
}

void pd_outbound_tcp_chains(const struct outbound *o, struct chain_vec *out)
{
	struct vs_vec list = virtual_services(o);
	if (pd_protocol_is_tls(o->port->protocol))
		tls_chains(o, &list, out);
	else
		tcp_chains(o, &list, out);
}
