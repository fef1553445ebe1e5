// Bare virtual hosts: a host that a VirtualService names, on a port where it is no service. (reference: §5)
#include <stdlib.h>

#include "api/pb.h"
#include "base/str.h"
#include "discovery/route/vhost.h"

struct port_list {
	uint32_t *v;
	size_t n, cap;
};

static bool has_port(const struct port_list *l, uint32_t port)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->v[i] == port)
			return true;
	return false;
}

static void add_port(struct pd_tx *tx, struct port_list *l, uint32_t port)
{
	if (!has_port(l, port))
		pd_vec_push_a(tx->arena, l, port);
}

// ---- where a VirtualService governs services ---------------------------------------------------------------------------------

static void add_ports_of(struct pd_tx *tx, const struct pd_vs *vs, const struct pd_service *svc, struct port_list *out)
{
	if (!pd_vs_may_route(tx, vs, svc))
		return;
	for (size_t i = 0; i < svc->n_ports; i++)
		if (pd_port_has_routes(svc, &svc->ports[i]))
			add_port(tx, out, svc->ports[i].port);
}

struct covered {
	const struct pd_vs *vs;
	const char *pattern;
	struct port_list *out;
};

static bool add_covered(struct pd_tx *tx, const char *host, void *arg)
{
	struct covered *c = arg;
	const struct pd_service *svc = pd_host_covers(c->pattern, host) ? tx_service(tx, host) : NULL;
	if (!svc)
		return true;
	struct pd_vs_candidates best = pd_vs_for_host(tx, host);
	if (best.n && best.v[0].vs.object == c->vs->object)
		add_ports_of(tx, c->vs, svc, c->out);
	return true;
}

static struct port_list governed_ports(struct pd_tx *tx, const struct pd_vs *vs)
{
	struct port_list ports = {0};
	for (size_t i = 0; i < vs->spec->n_hosts; i++) {
		const char *host = pd_vs_host(tx, vs, i);
		const struct pd_service *svc = host[0] == '*' ? NULL : tx_service(tx, host);
		if (svc)
			add_ports_of(tx, vs, svc, &ports);
	}
	// Its wildcards matter for those of its hosts that are none. Looking at all services is the exception.
	for (size_t i = 0; i < vs->spec->n_hosts && vs->spec->n_hosts > 1; i++) {
		struct covered c = {vs, pd_vs_host(tx, vs, i), &ports};
		if (c.pattern[0] == '*' && !pd_vs_is_gateway_api(vs->object))
			tx_each_service_host(tx, add_covered, &c);
	}
	return ports;
}

// ---- whether the host is a service ----------------------------------------------------------------------------------------------

// A wildcard stands for the services that it covers, and where there is one it is no name of its own.
struct overlap {
	const char *pattern;
	const struct port_list *asked;
	struct port_list *found;
};

static bool add_overlap(struct pd_tx *tx, const char *host, void *arg)
{
	struct overlap *o = arg;
	if (!pd_host_covers(o->pattern, host) && !pd_host_covers(host, o->pattern))
		return true;
	const struct pd_service *svc = tx_service(tx, host);
	for (size_t i = 0; svc && i < o->asked->n; i++)
		if (pd_service_port(svc, o->asked->v[i]))
			add_port(tx, o->found, o->asked->v[i]);
	return o->found->n < o->asked->n;
}

// Those of the ports on which the host is a service, or stands for some.
static struct port_list service_ports(const struct pd_host_pass *p, const struct port_list *ports)
{
	struct port_list found = {0};
	struct overlap o = {p->host, ports, &found};
	if (p->host[0] == '*')
		tx_each_service_host(p->tx, add_overlap, &o);
	for (size_t i = 0; p->svc && i < ports->n; i++)
		if (pd_service_port(p->svc, ports->v[i]))
			add_port(p->tx, &found, ports->v[i]);
	return found;
}

// ---- virtual hosts -----------------------------------------------------------------------------------------------------------------

struct bare {
	struct port_list taken;     // ports on which the host is a service
	struct port_list *governed; // for each candidate that names the host: where it governs services
	size_t n;
};

static bool appears(const struct pd_host_pass *p, const struct bare *b, size_t candidate, uint32_t port,
		    uint32_t listen)
{
	const struct pd_object *o = p->candidates.v[candidate].vs.object;
	bool gateway_api = pd_vs_is_gateway_api(o), wildcard = p->host[0] == '*';
	if (has_port(&b->taken, port) && !(gateway_api && wildcard))
		return false;
	if (has_port(&b->governed[candidate], port))
		return true;
	return listen == PD_DEFAULT_HTTP_PORT && !gateway_api;
}

static void bare_vhost(struct pd_host_pass *p, const struct bare *b, const char *route_name, uint32_t port,
		       uint32_t listen)
{
	struct pd_route_vec routes = {0};
	for (size_t i = 0; i < b->n && !routes.n; i++)
		if (appears(p, b, i, port, listen))
			pd_sidecar_routes(p->tx, &p->candidates.v[i].vs, listen, &routes);
	if (!routes.n)
		return;
	EnvVirtualHost *vh = pd_vhost_new(p->tx, pd_host_port(p->tx->arena, p->host, port));
	vh->n_routes = routes.n;
	vh->routes = routes.v;
	pd_bare_domain(p->tx, p->host, vh);
	pd_vhost_emit(p, route_name, vh, PD_VHOST_BARE);
}

void pd_bare_vhosts(struct pd_host_pass *p)
{
	struct pd_arena *a = p->tx->arena;
	struct bare b = {0};
	struct port_list ports = {0};
	while (b.n < p->candidates.n && p->candidates.v[b.n].specificity == SIZE_MAX)
		b.n++;
	b.governed = pd_arena_alloc(a, b.n * sizeof(*b.governed));
	add_port(p->tx, &ports, PD_DEFAULT_HTTP_PORT);
	for (size_t i = 0; i < b.n; i++) {
		b.governed[i] = governed_ports(p->tx, &p->candidates.v[i].vs);
		for (size_t k = 0; k < b.governed[i].n; k++)
			add_port(p->tx, &ports, b.governed[i].v[k]);
	}
	b.taken = service_ports(p, &ports);
	for (size_t i = 0; i < ports.n; i++)
		bare_vhost(p, &b, pd_arena_printf(a, "%u", ports.v[i]), ports.v[i], ports.v[i]);
	// Applications that use a proxy ask for HOST:PORT on other ports, which a bare name is not.
	if (p->http_proxy && !p->svc)
		bare_vhost(p, &b, PD_HTTP_PROXY_ROUTE, PD_DEFAULT_HTTP_PORT, 0);
}
