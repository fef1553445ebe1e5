// Where a route applies: its parents, their listeners, and the hosts in each. (reference: gateway-api.md §3)
#include <stdlib.h>

#include "base/log.h"
#include "base/str.h"
#include "discovery/gwapi/gwapi.h"
#include "istio/networking/service_entry.pb-c.h"

// ---- kinds ---------------------------------------------------------------------------------------------------------------

static const enum pd_kind kinds[GW_ROUTE_KINDS] = {PD_KIND_HTTP_ROUTE, PD_KIND_GRPC_ROUTE, PD_KIND_TLS_ROUTE,
						   PD_KIND_TCP_ROUTE};

enum pd_kind pd_gw_kind_of(enum pd_gw_route_kind k)
{
	return kinds[k];
}

const char *pd_gw_kind_name(enum pd_gw_route_kind k)
{
	return pd_kind_info(kinds[k])->kind;
}

bool pd_gw_route_kind(enum pd_kind kind, enum pd_gw_route_kind *out)
{
	for (int k = 0; k < GW_ROUTE_KINDS; k++) {
		if (kinds[k] != kind)
			continue;
		*out = k;
		return true;
	}
	return false;
}

#define PARENTS(spec)                                                                                                  \
	(out->n_parents = (spec)->n_parent_refs, out->parents = (Gwapi__ParentReference *const *)(spec)->parent_refs)
#define HOSTNAMES(spec) (out->n_hostnames = (spec)->n_hostnames, out->hostnames = (spec)->hostnames)

bool pd_gw_route_of(const struct pd_object *o, struct gw_route *out)
{
	*out = (struct gw_route){.object = o};
	if (!pd_gw_route_kind(o->key.kind, &out->kind))
		return false;
	switch (out->kind) {
	case GW_HTTP:
		PARENTS((const Gwapi__HTTPRouteSpec *)o->spec);
		HOSTNAMES((const Gwapi__HTTPRouteSpec *)o->spec);
		break;
	case GW_GRPC:
		PARENTS((const Gwapi__GRPCRouteSpec *)o->spec);
		HOSTNAMES((const Gwapi__GRPCRouteSpec *)o->spec);
		break;
	case GW_TLS:
		PARENTS((const Gwapi__TLSRouteSpec *)o->spec);
		HOSTNAMES((const Gwapi__TLSRouteSpec *)o->spec);
		break;
	default:
		PARENTS((const Gwapi__TCPRouteSpec *)o->spec);
		break;
	}
	return true;
}

// ---- hosts ---------------------------------------------------------------------------------------------------------------

static bool overlaps(const char *a, const char *b)
{
	return pd_host_covers(a, b) || pd_host_covers(b, a);
}

// One of the route's hosts fits the listener, and the listener takes routes of this namespace.
static bool accepts(const struct gw_listener *l, const struct gw_route *r)
{
	for (size_t i = 0; i < l->n_hosts; i++) {
		const char *slash = strchr(l->hosts[i], '/'), *ns = r->object->key.ns;
		size_t n = (size_t)(slash - l->hosts[i]);
		if (!pd_has_prefix(l->hosts[i], "*/") && (strlen(ns) != n || memcmp(l->hosts[i], ns, n) != 0))
			continue;
		if (!r->n_hostnames)
			return true;
		for (size_t k = 0; k < r->n_hostnames; k++)
			if (overlaps(slash + 1, r->hostnames[k]))
				return true;
	}
	return false;
}

// A host that a more specific listener of the same port, protocol and parent covers belongs to that one alone.
static bool taken_by_other(const struct gw_parent *parent, const struct gw_listener *l, const char *host)
{
	if (*l->hostname && l->hostname[0] != '*')
		return false;
	if (*l->hostname && !overlaps(host, l->hostname))
		return true;
	for (size_t i = 0; i < parent->n; i++) {
		const struct gw_listener *other = &parent->listeners[i];
		if (other == l || other->port != l->port || !pd_streq(other->protocol, l->protocol) ||
		    pd_streq(other->hostname, l->hostname) || !*other->hostname)
			continue;
		if (strlen(l->hostname) <= strlen(other->hostname) && pd_host_covers(other->hostname, host))
			return true;
	}
	return false;
}

// ---- parents ---------------------------------------------------------------------------------------------------------------

struct binder {
	struct gw_pass *pass;
	const struct gw_route *route;
	struct gw_bindings *out;
	bool full;
};

static void add(struct binder *b, const struct gw_binding *binding)
{
	if (b->out->n < GW_BINDINGS_MAX) {
		pd_vec_push_a(b->pass->arena, b->out, *binding);
		return;
	}
	if (!b->full)
		pd_warn("gwapi", "%s %s/%s: more than %d hosts times listeners, the rest is left out",
			pd_gw_kind_name(b->route->kind), b->route->object->key.ns, b->route->object->key.name,
			GW_BINDINGS_MAX);
	b->full = true;
}

static bool bound(const struct binder *b, const struct gw_binding *binding)
{
	for (size_t i = b->out->n; i-- && pd_streq(b->out->v[i].gateway, binding->gateway);)
		if (pd_streq(b->out->v[i].host, binding->host))
			return true;
	return false;
}

static bool refers_to(const Gwapi__ParentReference *ref, const char *group, const char *kind)
{
	return pd_streq(ref->group ? ref->group : GW_GROUP, group) && pd_streq(ref->kind ? ref->kind : "Gateway", kind);
}

static void bind_listener(struct binder *b, const struct gw_parent *parent, const struct gw_listener *l)
{
	static char *const any[] = {"*"};
	const struct gw_route *r = b->route;
	bool by_host = r->kind == GW_HTTP || r->kind == GW_GRPC;
	char *const *hosts = r->n_hostnames ? r->hostnames : any;
	size_t n = r->n_hostnames ? r->n_hostnames : 1;
	for (size_t i = 0; i < n; i++) {
		struct gw_binding binding = {.gateway = l->internal_name, .hostname = l->hostname, .host = hosts[i]};
		if (by_host && taken_by_other(parent, l, hosts[i]))
			continue;
		if (r->kind == GW_TLS && *l->hostname) { // only what both name
			if (!overlaps(hosts[i], l->hostname))
				continue;
			binding.host = pd_host_covers(l->hostname, hosts[i]) ? hosts[i] : l->hostname;
			if (bound(b, &binding))
				continue; // two wide names, one narrow listener
		}
		add(b, &binding);
	}
}

static void bind_listeners(struct binder *b, const struct gw_parent *parent, const Gwapi__ParentReference *ref)
{
	for (size_t i = 0; i < parent->n; i++) {
		const struct gw_listener *l = &parent->listeners[i];
		if ((ref->has_port && ref->port && (uint32_t)ref->port != l->port) ||
		    (!pd_empty(ref->section_name) && !pd_streq(ref->section_name, l->section)) ||
		    !(l->kinds & 1u << b->route->kind) || !accepts(l, b->route))
			continue;
		bind_listener(b, parent, l);
	}
}

static void bind_mesh(struct binder *b, const Gwapi__ParentReference *ref, const char *ns, bool entry)
{
	const struct pd_object *o =
		pd_gw_object(b->pass, entry ? PD_KIND_SERVICE_ENTRY : PD_KIND_SERVICE, ns, pd_or(ref->name, ""));
	struct gw_binding binding = {.gateway = "mesh", .hostname = "", .mesh = true};
	if (!o)
		return;
	binding.port = ref->has_port ? (uint32_t)ref->port : 0;
	binding.consumer = !pd_streq(ns, b->route->object->key.ns);
	if (!entry) {
		binding.host = pd_arena_printf(b->pass->arena, "%s.%s.svc.%s", o->key.name, ns,
					       b->pass->settings->domain_suffix);
		add(b, &binding);
		return;
	}
	const Istio__ServiceEntry *spec = (const Istio__ServiceEntry *)o->spec;
	for (size_t i = 0; i < spec->n_hosts; i++) {
		binding.host = spec->hosts[i];
		add(b, &binding);
	}
}

// Listeners of one parent in the order of their names, which fixes the numbers in the names of what is made.
static int cmp_gateway(const void *x, const void *y)
{
	const struct gw_binding *const *a = x, *const *b = y;
	int c = strcmp((*a)->gateway, (*b)->gateway);
	return c ? c : (*a > *b) - (*a < *b);
}

static void sort_bindings(struct pd_arena *a, struct gw_bindings *all)
{
	const struct gw_binding **order = pd_arena_alloc(a, (all->n + 1) * sizeof(*order));
	struct gw_binding *sorted = pd_arena_alloc(a, (all->n + 1) * sizeof(*sorted));
	for (size_t i = 0; i < all->n; i++)
		order[i] = &all->v[i];
	qsort(order, all->n, sizeof(*order), cmp_gateway);
	for (size_t i = 0; i < all->n; i++)
		sorted[i] = *order[i];
	*all = (struct gw_bindings){sorted, all->n, all->n};
}

void pd_gw_bind(struct gw_pass *p, const struct gw_route *r,
		const struct gw_parent *(*find)(void *arg, const char *key), void *arg, struct gw_bindings *out)
{
	struct binder b = {.pass = p, .route = r, .out = out};
	for (size_t i = 0; i < r->n_parents; i++) {
		const Gwapi__ParentReference *ref = r->parents[i];
		const char *ns = ref->namespace_ ? ref->namespace_ : r->object->key.ns;
		bool gateway = refers_to(ref, GW_GROUP, "Gateway");
		if (gateway || refers_to(ref, GW_GROUP, "ListenerSet")) {
			const char *key = pd_arena_printf(p->arena, "%s/%s/%s", gateway ? "Gateway" : "ListenerSet", ns,
							  pd_or(ref->name, ""));
			pd_vec_push_a(p->arena, &p->tokens, pd_gw_parent_token(key));
			const struct gw_parent *parent = find(arg, key);
			if (parent)
				bind_listeners(&b, parent, ref);
		} else if (refers_to(ref, "", "Service")) {
			bind_mesh(&b, ref, ns, false);
		} else if (refers_to(ref, "networking.istio.io", "ServiceEntry")) {
			bind_mesh(&b, ref, ns, true);
		}
	}
	sort_bindings(p->arena, out);
}
