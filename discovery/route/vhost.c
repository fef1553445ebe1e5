// Virtual hosts of sidecars. (reference: §5)
//
// Of the VirtualServices that name a service's host the first that has a route for this client replaces the default route, on
// each of the service's HTTP ports. If none names it, the one with the most specific wildcard does. Beyond that, the
// configuration of port P holds the hosts of a VirtualService that are not services with port P as bare virtual hosts, if it
// governs a service there; on port 80 always.
#include <stdlib.h>

#include "api/pb.h"
#include "base/str.h"
#include "discovery/route/vhost.h"

static const char *const mesh_gateway[] = {"mesh"};

bool pd_port_has_routes(const struct pd_service *svc, const struct pd_port *p)
{
	bool http = pd_protocol_is_http(p->protocol) || p->protocol == PD_PROTO_SNIFF;
	return http && pd_service_port(svc, p->port) == p; // of several with one number the first counts
}

void pd_sidecar_routes(struct pd_tx *tx, const struct pd_vs *vs, uint32_t port, struct pd_route_vec *out)
{
	struct pd_route_ctx ctx = {
		.tx = tx,
		.vs = vs,
		.port = port,
		.gateways = mesh_gateway,
		.n_gateways = 1,
		.gateway_semantics = pd_vs_is_gateway_api(vs->object),
		.by_port = true,
	};
	pd_routes_build(&ctx, out);
}

void pd_vhost_emit(struct pd_host_pass *p, const char *route_name, EnvVirtualHost *vh, enum pd_vhost_rank rank)
{
	pd_vec_push_a(p->tx->arena, p->out, (struct pd_vhost){route_name, vh, rank});
}

static EnvVirtualHost *vhost_with(struct pd_host_pass *p, uint32_t port, const struct pd_route_vec *routes)
{
	EnvVirtualHost *vh = pd_vhost_new(p->tx, pd_host_port(p->tx->arena, p->host, port));
	vh->n_routes = routes->n;
	vh->routes = routes->v;
	return vh;
}

// Routes of the Gateway API are for clients in their namespace and for services in it.
bool pd_vs_may_route(struct pd_tx *tx, const struct pd_vs *vs, const struct pd_service *svc)
{
	const char *ns = vs->object->key.ns;
	return !pd_vs_is_gateway_api(vs->object) || pd_streq(svc->ns, ns) || pd_streq(tx->key->ns, ns);
}

static void governing_routes(struct pd_host_pass *p, uint32_t port, struct pd_route_vec *out)
{
	const struct pd_vs_candidates *c = &p->candidates;
	// Wildcards: only the best one is looked at, whether it has routes or not.
	bool exact = c->n && c->v[0].specificity == SIZE_MAX && p->host[0] != '*';
	for (size_t i = 0; i < c->n && !out->n; i++) {
		if (i && (!exact || c->v[i].specificity != SIZE_MAX))
			return;
		if (!exact && pd_vs_is_gateway_api(c->v[i].vs.object))
			return; // a wildcard there is a name, and covers nothing
		if (pd_vs_may_route(p->tx, &c->v[i].vs, p->svc))
			pd_sidecar_routes(p->tx, &c->v[i].vs, port, out);
	}
}

// `listen`: port of the listener, 0 for that of the HTTP proxy, which serves all ports.
static struct pd_route_vec service_routes(struct pd_host_pass *p, const struct pd_port *port, uint32_t listen,
					  enum pd_vhost_rank *rank)
{
	struct pd_route_vec routes = {0};
	governing_routes(p, listen, &routes);
	*rank = routes.n ? PD_VHOST_RULED : PD_VHOST_PLAIN;
	if (!routes.n && p->svc->resolution != PD_RES_ALIAS) // else its names are domains of the target
		pd_vec_push_a(p->tx->arena, &routes, pd_route_default(p->tx, p->svc, port->port));
	return routes;
}

// Where a detected service has listeners on addresses of its own, they have a configuration of their own.
static bool has_own_listener(const struct pd_service *svc, const struct pd_port *port)
{
	return port->protocol == PD_PROTO_SNIFF &&
	       (svc->n_vips || svc->n_auto_vips || svc->resolution == PD_RES_PASSTHROUGH);
}

static void service_port_vhosts(struct pd_host_pass *p, const struct pd_port *port)
{
	struct pd_arena *a = p->tx->arena;
	enum pd_vhost_rank rank;
	struct pd_route_vec routes = service_routes(p, port, port->port, &rank);
	if (!routes.n)
		return;
	EnvVirtualHost *vh = vhost_with(p, port->port, &routes);
	pd_service_domains(p->tx, p->svc, vh);
	pd_vhost_emit(p, pd_arena_printf(a, "%u", port->port), vh, rank);
	if (has_own_listener(p->svc, port)) {
		EnvVirtualHost *own = vhost_with(p, port->port, &routes);
		PB_PUSH(a, own, domains, "*");
		pd_vhost_emit(p, vh->name, own, rank);
	}
}

// For applications that use the sidecar as their HTTP proxy: they ask for HOST:PORT, for HOST if the port is 80.
static void http_proxy_vhost(struct pd_host_pass *p, const struct pd_port *port)
{
	enum pd_vhost_rank rank;
	struct pd_route_vec routes = service_routes(p, port, 0, &rank);
	if (!routes.n)
		return;
	EnvVirtualHost *vh = vhost_with(p, port->port, &routes);
	pd_service_domains_with_port(p->tx, p->svc, port->port, port->port == PD_DEFAULT_HTTP_PORT, vh);
	pd_vhost_emit(p, PD_HTTP_PROXY_ROUTE, vh, rank);
}

void pd_build_host_routes(struct pd_tx *tx, const char *host, struct pd_vhost_vec *out)
{
	struct pd_host_pass p = {
		.tx = tx,
		.host = host,
		.svc = tx_service(tx, host),
		.candidates = pd_vs_for_host(tx, host),
		.http_proxy = tx_mesh(tx)->proxy_http_port > 0,
		.out = out,
	};
	for (size_t i = 0; p.svc && i < p.svc->n_ports; i++) {
		if (!pd_port_has_routes(p.svc, &p.svc->ports[i]))
			continue;
		service_port_vhosts(&p, &p.svc->ports[i]);
		if (p.http_proxy)
			http_proxy_vhost(&p, &p.svc->ports[i]);
	}
	if (p.candidates.n && p.candidates.v[0].specificity == SIZE_MAX) {
		out->watch = true;
		pd_bare_vhosts(&p);
	}
}
