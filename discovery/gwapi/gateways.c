// One Gateway with its ListenerSets: an internal Gateway with one server for each listener. (reference: gateway-api.md §3, §8)
#include <stdlib.h>

#include "api/pb.h"
#include "base/str.h"
#include "discovery/gwapi/gwapi.h"

// ---- whose it is, and which service it stands for -------------------------------------------------------------------------

// A class that the cluster does not have yet still works under its usual name.
static bool is_ours(struct gw_pass *p, const Gwapi__GatewaySpec *spec)
{
	if (pd_empty(spec->gateway_class_name))
		return false;
	const struct pd_object *class = pd_gw_object(p, PD_KIND_GATEWAY_CLASS, "", spec->gateway_class_name);
	if (!class)
		return pd_streq(spec->gateway_class_name, "istio");
	return pd_streq(((const Gwapi__GatewayClassSpec *)class->spec)->controller_name, GW_CONTROLLER);
}

// Whether we deploy the proxy: not where an address names a service that exists already.
static bool is_managed(const Gwapi__GatewaySpec *spec)
{
	if (spec->n_addresses == 0)
		return true;
	return spec->n_addresses == 1 && (!spec->addresses[0]->type || pd_streq(spec->addresses[0]->type, "IPAddress"));
}

static const char *default_name(struct pd_arena *a, const struct pd_object *gw, const Gwapi__GatewaySpec *spec)
{
	return pd_arena_printf(a, "%s-%s", gw->key.name, spec->gateway_class_name);
}

// Host names of the services of the Gateway, comma-separated; "" if there is none.
static const char *services_of(struct gw_pass *p, const struct pd_object *gw, const Gwapi__GatewaySpec *spec)
{
	struct pd_arena *a = p->arena;
	const char *domain = p->settings->domain_suffix, *list = "";
	if (is_managed(spec)) {
		const char *name =
			pd_or(pd_object_annotation(gw, "gateway.istio.io/name-override"), default_name(a, gw, spec));
		return pd_arena_printf(a, "%s.%s.svc.%s", name, gw->key.ns, domain);
	}
	for (size_t i = 0; i < spec->n_addresses; i++) {
		const Gwapi__GatewaySpecAddress *address = spec->addresses[i];
		const char *host = pd_or(address->value, "");
		if ((address->type && !pd_streq(address->type, "Hostname")) || !*host)
			continue;
		if (!strchr(host, '.'))
			host = pd_arena_printf(a, "%s.%s.svc.%s", host, gw->key.ns, domain);
		list = pd_arena_printf(a, "%s%s%s", list, *list ? "," : "", host);
	}
	return list;
}

static const char *account_of(struct gw_pass *p, const struct pd_object *gw, const Gwapi__GatewaySpec *spec)
{
	if (!is_managed(spec))
		return ""; // whoever runs that service
	return pd_or(pd_object_annotation(gw, "gateway.istio.io/service-account"), default_name(p->arena, gw, spec));
}

// ---- ListenerSets ---------------------------------------------------------------------------------------------------------

struct sets {
	struct gw_pass *pass;
	PD_VEC(const struct pd_object *) v;
};

static void collect_set(const struct pd_object *set, void *arg)
{
	struct sets *s = arg;
	pd_vec_push_a(s->pass->arena, &s->v, set);
}

static int cmp_age(const void *x, const void *y)
{
	return pd_gw_cmp_age(*(const struct pd_object *const *)x, *(const struct pd_object *const *)y);
}

// The Gateway says from which namespaces it takes ListenerSets: none unless it says so.
static bool takes_sets_of(struct gw_pass *p, const struct pd_object *gw, const Gwapi__GatewaySpec *spec, const char *ns)
{
	const Gwapi__ListenerNamespaces *from = spec->allowed_listeners ? spec->allowed_listeners->namespaces : NULL;
	if (!from)
		return false;
	if (pd_streq(from->from, "All"))
		return true;
	if (pd_streq(from->from, "Same"))
		return pd_streq(ns, gw->key.ns);
	if ((from->from && !pd_streq(from->from, "Selector")) || !from->selector)
		return false;
	const struct pd_object *namespace = pd_gw_object(p, PD_KIND_NAMESPACE, "", ns);
	return namespace && pd_gw_selector_matches(from->selector, namespace);
}

static struct gw_owners owners_of(struct gw_pass *p, const struct pd_object *gw, const Gwapi__GatewaySpec *spec)
{
	struct gw_owners out = {0};
	struct sets sets = {.pass = p};
	struct gw_owner self = {gw, gw, spec, "Gateway", spec->n_listeners, spec->listeners};
	pd_vec_push_a(p->arena, &out, self);
	pd_gw_each_listener_set(p, gw->key.ns, gw->key.name, collect_set, &sets);
	if (sets.v.n)
		qsort(sets.v.v, sets.v.n, sizeof(sets.v.v[0]), cmp_age);
	for (size_t i = 0; i < sets.v.n; i++) {
		const struct pd_object *set = sets.v.v[i];
		const Gwapi__ListenerSetSpec *s = (const Gwapi__ListenerSetSpec *)set->spec;
		struct gw_owner owner = {set, gw, spec, "ListenerSet", s->n_listeners, s->listeners};
		if (takes_sets_of(p, gw, spec, set->key.ns))
			pd_vec_push_a(p->arena, &out, owner);
	}
	return out;
}

// ---- what a listener takes --------------------------------------------------------------------------------------------------

static bool allows_kind(const Gwapi__AllowedRoutes *allowed, enum pd_gw_route_kind k)
{
	if (!allowed || !allowed->n_kinds)
		return true;
	for (size_t i = 0; i < allowed->n_kinds; i++)
		if (pd_streq(allowed->kinds[i]->kind, pd_gw_kind_name(k)) &&
		    (!allowed->kinds[i]->group || pd_streq(allowed->kinds[i]->group, GW_GROUP)))
			return true;
	return false;
}

static unsigned route_kinds(const Gwapi__Listener *l)
{
	unsigned can = 0, kinds = 0;
	if (pd_streq(l->protocol, "HTTP") || pd_streq(l->protocol, "HTTPS"))
		can = 1u << GW_HTTP | 1u << GW_GRPC;
	else if (pd_streq(l->protocol, "TCP"))
		can = 1u << GW_TCP;
	else if (pd_streq(l->protocol, "TLS"))
		can = 1u << GW_TLS | (l->tls && pd_streq(l->tls->mode, "Terminate") ? 1u << GW_TCP : 0);
	for (int k = 0; k < GW_ROUTE_KINDS; k++)
		if ((can & 1u << k) && allows_kind(l->allowed_routes, k))
			kinds |= 1u << k;
	return kinds;
}

static struct gw_listener listener_of(struct gw_pass *p, const struct gw_owner *owner, const Gwapi__Listener *l,
				      const char *name, const Istio__Server *server)
{
	return (struct gw_listener){
		.internal_name = pd_arena_printf(p->arena, "%s/%s", owner->object->key.ns, name),
		.section = pd_or(l->name, ""),
		.protocol = pd_or(l->protocol, ""),
		.hostname = pd_or(l->hostname, ""),
		.port = pd_gw_listener_port(l),
		.kinds = route_kinds(l),
		.n_hosts = server->n_hosts,
		.hosts = (const char *const *)server->hosts,
	};
}

// ---- the internal Gateway -----------------------------------------------------------------------------------------------------

// One service: its name is in the selector, so that proxies find the Gateway by it (discovery/gateway/select.c).
static void select_service(struct pd_arena *a, Istio__Gateway *spec, const char *services)
{
	if (strchr(services, ','))
		return;
	Istio__Gateway__SelectorEntry *e = pb_new(a, &istio__gateway__selector_entry__descriptor);
	e->key = GW_SERVICE_ANNOTATION;
	e->value = (char *)services;
	PB_PUSH(a, spec, selector, e);
}

static struct pd_object *internal_gateway(struct gw_pass *p, const struct gw_owner *owner, const Gwapi__Listener *l,
					  const char *name, Istio__Server *server)
{
	struct pd_arena *a = p->arena;
	const struct pd_object *o = owner->object;
	const char *services = services_of(p, owner->gateway, owner->spec);
	Istio__Gateway *spec = pb_new(a, &istio__gateway__descriptor);
	PB_PUSH(a, spec, servers, server);
	select_service(a, spec, services);
	K8s__ObjectMeta *meta = pd_gw_meta(a, o, o->key.ns, name);
	pd_gw_annotate(a, meta, GW_PARENTS_ANNOTATION,
		       pd_arena_printf(a, "%s/%s/%s.%s", owner->kind, o->key.name, pd_or(l->name, ""), o->key.ns));
	pd_gw_annotate(a, meta, GW_SEMANTICS_ANNOTATION, "gateway");
	pd_gw_annotate(a, meta, GW_SERVICE_ANNOTATION, services);
	pd_gw_annotate(a, meta, GW_ACCOUNT_ANNOTATION, account_of(p, owner->gateway, owner->spec));
	if (owner->object != owner->gateway)
		pd_gw_annotate(a, meta, GW_PARENT_NS_ANNOTATION, owner->gateway->key.ns);
	struct pd_key key = {PD_KIND_GATEWAY, p->settings->cluster, o->key.ns, name};
	return pd_object_build(&key, meta, &spec->base, NULL, o->origin);
}

// A ListenerSet may have the name of a Gateway beside it.
static const char *internal_name(struct gw_pass *p, const struct gw_owner *owner, const Gwapi__Listener *l)
{
	struct pd_arena *a = p->arena;
	const struct pd_key *key = &owner->object->key;
	bool twin = owner->object != owner->gateway && pd_gw_object(p, PD_KIND_KUBERNETES_GATEWAY, key->ns, key->name);
	return pd_gw_object_name(a, pd_arena_printf(a, "%s~" GW_SUFFIX "%s~%s", key->name, twin ? "~set" : "",
						    pd_or(l->name, "")));
}

static void add_owner(struct gw_pass *p, const struct gw_owner *owner, const bool *lost, struct gw_offers *offers,
		      struct gw_fresh *fresh)
{
	struct pd_arena *a = p->arena;
	const struct pd_key *key = &owner->object->key;
	struct gw_offer offer = {.parent = pd_arena_printf(a, "%s/%s/%s", owner->kind, key->ns, key->name)};
	for (size_t i = 0; i < owner->n_listeners; i++) {
		const Gwapi__Listener *l = owner->listeners[i];
		bool valid = true;
		Istio__Server *server = lost[i] ? NULL : pd_gw_server(p, owner, l, &valid);
		if (!server)
			continue;
		const char *name = internal_name(p, owner, l);
		pd_vec_push_a(a, &offer.listeners, listener_of(p, owner, l, name, server));
		if (valid)
			pd_vec_push_a(a, fresh, internal_gateway(p, owner, l, name, server));
	}
	pd_vec_push_a(a, offers, offer);
}

void pd_gw_compute_gateway(struct gw_pass *p, const char *ns, const char *name, struct gw_offers *offers,
			   struct gw_fresh *fresh)
{
	const struct pd_object *gw = pd_gw_object(p, PD_KIND_KUBERNETES_GATEWAY, ns, name);
	const Gwapi__GatewaySpec *spec = gw ? (const Gwapi__GatewaySpec *)gw->spec : NULL;
	if (!spec || !is_ours(p, spec) || !*services_of(p, gw, spec))
		return;
	struct gw_owners owners = owners_of(p, gw, spec);
	bool **lost = pd_gw_conflicts(p->arena, &owners);
	for (size_t i = 0; i < owners.n; i++)
		add_owner(p, &owners.v[i], lost[i], offers, fresh);
}
