// Backends of routes. (reference: gateway-api.md §5)
#include "api/pb.h"
#include "base/str.h"
#include "discovery/gwapi/gwapi.h"

// What traffic to a backend that cannot be used is sent to: no such cluster exists, so the proxy answers 500 itself.
static Istio__Destination *nowhere(struct pd_arena *a)
{
	Istio__Destination *d = pb_new(a, &istio__destination__descriptor);
	d->host = "UnknownService";
	return d;
}

static bool is_kind(const struct gw_backend *b, const char *group, const char *kind)
{
	return pd_streq(b->group ? b->group : "", group) && pd_streq(b->kind ? b->kind : "Service", kind);
}

enum gw_backend_state pd_gw_destination(struct gw_pass *p, const struct gw_route *r, bool mesh,
					const struct gw_backend *b, Istio__Destination **out)
{
	struct pd_arena *a = p->arena;
	const char *from = r->object->key.ns, *ns = b->ns ? b->ns : from, *name = pd_or(b->name, ""), *host;
	enum gw_backend_state state = GW_BACKEND_OK;
	bool service = is_kind(b, "", "Service");
	// A route of the mesh may go anywhere: its clients could call the backend themselves.
	if (!mesh && !pd_streq(ns, from) &&
	    !pd_gw_granted(p, pd_gw_kind_name(r->kind), from, pd_or(b->group, ""), b->kind ? b->kind : "Service", ns,
			   name)) {
		*out = nowhere(a);
		return GW_BACKEND_BAD;
	}
	if (service || is_kind(b, "multicluster.x-k8s.io", "ServiceImport")) {
		if (service && strchr(name, '.'))
			return GW_BACKEND_HARD; // a host name where a name belongs
		host = pd_arena_printf(a, "%s.%s.svc.%s", name, ns, p->settings->domain_suffix);
		// It may come later: the destination is named all the same.
		if (!pd_gw_object(p, PD_KIND_SERVICE, ns, name))
			state = GW_BACKEND_BAD;
	} else if (is_kind(b, "networking.istio.io", "Hostname")) {
		if (b->ns)
			return GW_BACKEND_HARD; // host names have no namespace
		host = name;
	} else {
		*out = nowhere(a);
		return GW_BACKEND_BAD;
	}
	if (!b->has_port)
		return GW_BACKEND_HARD;
	*out = pb_new(a, &istio__destination__descriptor);
	(*out)->host = (char *)host;
	(*out)->port = pb_new(a, &istio__port_selector__descriptor);
	(*out)->port->number = b->port;
	return state;
}
