// TCPRoutes and TLSRoutes. (reference: gateway-api.md §4, §8)
#include "api/pb.h"
#include "base/str.h"
#include "discovery/gwapi/gwapi.h"

typedef Gwapi__BackendRef *const *backend_refs;

// No weight at all: connections are refused, which only a destination that nobody serves does.
static Istio__RouteDestination *dead_end(struct pd_arena *a)
{
	Istio__RouteDestination *d = pb_new(a, &istio__route_destination__descriptor);
	d->destination = pb_new(a, &istio__destination__descriptor);
	d->destination->host = "internal.cluster.local";
	d->destination->subset = "zero-weight";
	d->destination->port = pb_new(a, &istio__port_selector__descriptor);
	d->destination->port->number = 65535;
	return d;
}

struct destinations {
	Istio__RouteDestination **v;
	size_t n, cap;
};

static bool convert(struct gw_pass *p, const struct gw_route *r, bool mesh, backend_refs refs, size_t n,
		    struct destinations *out)
{
	for (size_t i = 0; i < n; i++) {
		struct gw_backend b = GW_BACKEND(refs[i]);
		if (!b.weight)
			continue;
		Istio__RouteDestination *d = pb_new(p->arena, &istio__route_destination__descriptor);
		d->weight = b.weight;
		if (pd_gw_destination(p, r, mesh, &b, &d->destination) == GW_BACKEND_HARD)
			return false;
		pd_vec_push_a(p->arena, out, d);
	}
	if (!out->n)
		pd_vec_push_a(p->arena, out, dead_end(p->arena));
	if (out->n == 1)
		out->v[0]->weight = 0;
	return true;
}

static bool convert_tcp(struct gw_pass *p, const struct gw_route *r, const struct gw_binding *b,
			Istio__VirtualService *out)
{
	const Gwapi__TCPRouteSpec *spec = (const Gwapi__TCPRouteSpec *)r->object->spec;
	for (size_t i = 0; i < spec->n_rules; i++) {
		struct destinations d = {0};
		if (!convert(p, r, b->mesh, (backend_refs)spec->rules[i]->backend_refs, spec->rules[i]->n_backend_refs,
			     &d))
			return false;
		Istio__TCPRoute *route = pb_new(p->arena, &istio__tcproute__descriptor);
		route->route = d.v;
		route->n_route = d.n;
		if (b->port) {
			Istio__L4MatchAttributes *m = pb_new(p->arena, &istio__l4_match_attributes__descriptor);
			m->port = b->port;
			PB_PUSH(p->arena, route, match, m);
		}
		PB_PUSH(p->arena, out, tcp, route);
	}
	return out->n_tcp > 0;
}

static const char *common_host(const char *a, const char *b)
{
	if (pd_host_covers(b, a))
		return a;
	return pd_host_covers(a, b) ? b : NULL;
}

// The names that connections are told apart by: those of the route as far as the listener has them too, or in the mesh those
// of the service where the route names none.
static Istio__TLSMatchAttributes *sni_match(struct gw_pass *p, const struct gw_route *r, const struct gw_binding *b)
{
	static char *const any[] = {"*"};
	Istio__TLSMatchAttributes *m = pb_new(p->arena, &istio__tlsmatch_attributes__descriptor);
	char *const *names = r->n_hostnames ? r->hostnames : any;
	size_t n = r->n_hostnames ? r->n_hostnames : 1;
	m->port = b->port;
	if (b->mesh && !r->n_hostnames) {
		PB_PUSH(p->arena, m, sni_hosts, (char *)b->host);
		return m;
	}
	for (size_t i = 0; i < n; i++) {
		const char *name = names[i];
		if (!b->mesh && *b->hostname)
			name = common_host(names[i], b->hostname);
		else if (b->mesh && n > 1 && !common_host(names[i], b->host))
			name = NULL;
		if (name)
			PB_PUSH(p->arena, m, sni_hosts, (char *)name);
	}
	return m;
}

static bool convert_tls(struct gw_pass *p, const struct gw_route *r, const struct gw_binding *b,
			Istio__VirtualService *out)
{
	const Gwapi__TLSRouteSpec *spec = (const Gwapi__TLSRouteSpec *)r->object->spec;
	for (size_t i = 0; i < spec->n_rules; i++) {
		struct destinations d = {0};
		if (!convert(p, r, b->mesh, (backend_refs)spec->rules[i]->backend_refs, spec->rules[i]->n_backend_refs,
			     &d))
			return false;
		Istio__TLSRoute *route = pb_new(p->arena, &istio__tlsroute__descriptor);
		route->route = d.v;
		route->n_route = d.n;
		PB_PUSH(p->arena, route, match, sni_match(p, r, b));
		if (route->match[0]->n_sni_hosts)
			PB_PUSH(p->arena, out, tls, route);
	}
	return out->n_tls > 0;
}

bool pd_gw_convert_l4(struct gw_pass *p, const struct gw_route *r, const struct gw_binding *b,
		      Istio__VirtualService *out)
{
	return r->kind == GW_TLS ? convert_tls(p, r, b, out) : convert_tcp(p, r, b, out);
}
