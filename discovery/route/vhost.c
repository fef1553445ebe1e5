// Virtual hosts and route configurations of sidecars. (reference: §5)
//
// Which VirtualService governs a host: the most specific that names it. It replaces the default route on each of the host's
// HTTP ports. Beyond that, the configuration of port P holds the hosts of a VirtualService that are not services with port P
// as bare virtual hosts, if one of its hosts is such a service; on port 80 always.
#include <stdlib.h>

#include "api/pb.h"
#include "base/str.h"
#include "discovery/route/domains.h"
#include "discovery/route/route.h"

static const char *const mesh_gateway[] = {"mesh"};
enum { DEFAULT_HTTP_PORT = 80, MAX_DIRECT_RESPONSE_BODY = 1 << 20 };

static bool serves_http(const struct pd_port *p)
{
	return pd_protocol_is_http(p->protocol) || p->protocol == PD_PROTO_SNIFF;
}

static void vs_routes(struct pd_tx *tx, const struct pd_vs *vs, uint32_t port, struct pd_route_vec *out)
{
	struct pd_route_ctx ctx = {.tx = tx, .vs = vs, .port = port, .gateways = mesh_gateway, .n_gateways = 1};
	ctx.gateway_semantics =
		pd_streq(pd_object_annotation(vs->object, "internal.istio.io/route-semantics"), "gateway");
	pd_routes_build(&ctx, out);
}

static EnvVirtualHost *vhost_with(struct pd_tx *tx, const char *host, uint32_t port, const struct pd_route_vec *routes)
{
	EnvVirtualHost *vh = pd_vhost_new(tx, pd_arena_printf(tx->arena, "%s:%u", host, port));
	vh->n_routes = routes->n;
	vh->routes = routes->v;
	return vh;
}

static void emit(struct pd_tx *tx, struct pd_vhost_vec *out, const char *route_name, EnvVirtualHost *vh)
{
	pd_vec_push_a(tx->arena, out, (struct pd_vhost){route_name, vh});
}

// ---- hosts that are services ---------------------------------------------------------------------------------------------

static void service_routes(struct pd_tx *tx, const struct pd_service *svc, const struct pd_port *port,
			   const struct pd_vs_list *list, struct pd_route_vec *routes)
{
	if (list->n)
		vs_routes(tx, list->v[0], port->port, routes);
	if (routes->n)
		return;
	const char *cluster = pd_cluster_name(tx->arena, "outbound", port->port, NULL, svc->host);
	pd_vec_push_a(tx->arena, routes,
		      pd_route_default(tx, cluster, pd_arena_printf(tx->arena, "%s:%u/*", svc->host, port->port)));
}

static void service_port_vhosts(struct pd_tx *tx, const struct pd_service *svc, const struct pd_port *port,
				const struct pd_vs_list *list, struct pd_vhost_vec *out)
{
	struct pd_route_vec routes = {0};
	service_routes(tx, svc, port, list, &routes);
	EnvVirtualHost *vh = vhost_with(tx, svc->host, port->port, &routes);
	pd_service_domains(tx, svc, vh);
	emit(tx, out, pd_arena_printf(tx->arena, "%u", port->port), vh);
	if (port->protocol == PD_PROTO_SNIFF && svc->n_vips) { // its own listener, so its own configuration
		EnvVirtualHost *own = vhost_with(tx, svc->host, port->port, &routes);
		PB_PUSH(tx->arena, own, domains, "*");
		emit(tx, out, vh->name, own);
	}
}

// ---- bare hosts: named by a VirtualService on a port where they are no service ------------------------------------------------

static bool has_http_port(const struct pd_service *svc, uint32_t port)
{
	const struct pd_port *p = svc ? pd_service_port(svc, port) : NULL;
	return p && serves_http(p);
}

struct port_list {
	uint32_t *v;
	size_t n, cap;
};

static void add_port(struct pd_tx *tx, struct port_list *l, uint32_t port)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->v[i] == port)
			return;
	pd_vec_push_a(tx->arena, l, port);
}

// Ports on which a VirtualService appears: those of the services among its hosts, and 80 if there are none.
static struct port_list vs_ports(struct pd_tx *tx, const struct pd_vs *vs)
{
	struct port_list ports = {0};
	for (size_t i = 0; i < vs->spec->n_hosts; i++) {
		if (vs->spec->hosts[i][0] == '*')
			continue;
		const char *host = pd_expand_host(tx->arena, vs->spec->hosts[i], vs->object->key.ns,
						  tx->snap->settings->domain_suffix);
		const struct pd_service *svc = tx_service(tx, host);
		for (size_t k = 0; svc && k < svc->n_ports; k++)
			if (serves_http(&svc->ports[k]))
				add_port(tx, &ports, svc->ports[k].port);
	}
	if (!ports.n)
		add_port(tx, &ports, DEFAULT_HTTP_PORT);
	return ports;
}

static void bare_vhosts(struct pd_tx *tx, const char *host, const struct pd_service *svc, const struct pd_vs *vs,
			struct pd_vhost_vec *out)
{
	struct port_list ports = vs_ports(tx, vs);
	for (size_t i = 0; i < ports.n; i++) {
		struct pd_route_vec routes = {0};
		if (has_http_port(svc, ports.v[i]))
			continue;
		vs_routes(tx, vs, ports.v[i], &routes);
		if (!routes.n)
			continue;
		EnvVirtualHost *vh = vhost_with(tx, host, ports.v[i], &routes);
		PB_PUSH(tx->arena, vh, domains, (char *)host);
		emit(tx, out, pd_arena_printf(tx->arena, "%u", ports.v[i]), vh);
	}
}

// A VirtualService that covers the host only by a wildcard does not make a virtual host of that name.
static const struct pd_vs *first_exact(struct pd_tx *tx, const struct pd_vs_list *list, const char *host)
{
	for (size_t i = 0; i < list->n; i++) {
		const struct pd_vs *vs = list->v[i];
		for (size_t k = 0; k < vs->spec->n_hosts; k++) {
			const char *name = pd_expand_host(tx->arena, vs->spec->hosts[k], vs->object->key.ns,
							  tx->snap->settings->domain_suffix);
			if (pd_streq(name, host))
				return vs;
		}
	}
	return NULL;
}

// A wildcard host that covers services stands for these, and for nothing beside them.
struct wildcard_probe {
	const char *pattern;
	bool found;
};

static void probe(struct pd_tx *tx, const struct pd_service *svc, void *arg)
{
	struct wildcard_probe *p = arg;
	(void)tx;
	p->found |= pd_host_covers(p->pattern, svc->host);
}

static bool wildcard_has_services(struct pd_tx *tx, const char *host)
{
	struct wildcard_probe p = {host, false};
	if (host[0] == '*')
		tx_each_service(tx, probe, &p);
	return p.found;
}

void pd_build_host_routes(struct pd_tx *tx, const char *host, struct pd_vhost_vec *out)
{
	const struct pd_service *svc = tx_service(tx, host);
	struct pd_vs_list list = tx_mesh_vs_for_host(tx, host);
	if (svc && svc->resolution == PD_RES_ALIAS)
		return; // its names are domains of the target
	for (size_t i = 0; svc && i < svc->n_ports; i++)
		if (serves_http(&svc->ports[i]))
			service_port_vhosts(tx, svc, &svc->ports[i], &list, out);
	const struct pd_vs *vs = first_exact(tx, &list, host);
	if (vs && !wildcard_has_services(tx, host))
		bare_vhosts(tx, host, svc, vs, out);
}

// ---- the rest of a route configuration --------------------------------------------------------------------------------------

Envoy__Config__Route__V3__RouteConfiguration *pd_build_route_head(struct pd_tx *tx, const char *route_name)
{
	Envoy__Config__Route__V3__RouteConfiguration *rc =
		pb_new(tx->arena, &envoy__config__route__v3__route_configuration__descriptor);
	rc->name = (char *)route_name;
	rc->validate_clusters = pb_bool(tx->arena, false);
	rc->max_direct_response_body_size_bytes = pb_u32(tx->arena, MAX_DIRECT_RESPONSE_BODY);
	rc->ignore_port_in_host_matching = true;
	return rc;
}

static bool allows_any(struct pd_tx *tx)
{
	const Istio__MeshConfig__OutboundTrafficPolicy *p = tx_mesh(tx)->outbound_traffic_policy;
	return !p || p->mode == ISTIO__MESH_CONFIG__OUTBOUND_TRAFFIC_POLICY__MODE__ALLOW_ANY;
}

Envoy__Config__Route__V3__VirtualHost *pd_build_catch_all(struct pd_tx *tx, const char *route_name)
{
	struct pd_arena *a = tx->arena;
	if (strchr(route_name, ':') || tx->key->type != PD_NODE_SIDECAR)
		return NULL;
	bool any = allows_any(tx);
	EnvVirtualHost *vh = pd_vhost_new(tx, any ? "allow_any" : "block_all");
	PB_PUSH(a, vh, domains, "*");
	EnvRoute *r = pb_new(a, &envoy__config__route__v3__route__descriptor);
	r->name = vh->name;
	r->match = pb_new(a, &envoy__config__route__v3__route_match__descriptor);
	r->match->path_specifier_case = ENVOY__CONFIG__ROUTE__V3__ROUTE_MATCH__PATH_SPECIFIER_PREFIX;
	r->match->prefix = "/";
	if (any) {
		r->action_case = ENVOY__CONFIG__ROUTE__V3__ROUTE__ACTION_ROUTE;
		r->route = pb_new(a, &envoy__config__route__v3__route_action__descriptor);
		r->route->cluster_specifier_case = ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__CLUSTER_SPECIFIER_CLUSTER;
		r->route->cluster = "PassthroughCluster";
		r->route->timeout = pb_duration(a, 0, 0);
		r->route->max_grpc_timeout = pb_duration(a, 0, 0);
	} else {
		r->action_case = ENVOY__CONFIG__ROUTE__V3__ROUTE__ACTION_DIRECT_RESPONSE;
		r->direct_response = pb_new(a, &envoy__config__route__v3__direct_response_action__descriptor);
		r->direct_response->status = 502;
	}
	PB_PUSH(a, vh, routes, r);
	return vh;
}
