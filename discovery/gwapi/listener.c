// A listener as a server of an Istio Gateway, and which listeners exclude each other.
#include <stdlib.h>

#include "api/pb.h"
#include "base/log.h"
#include "base/str.h"
#include "discovery/gwapi/gwapi.h"

static bool is_one_of(const char *s, const char *const *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (pd_streq(s, v[i]))
			return true;
	return false;
}

static bool is_http_like(const Gwapi__Listener *l)
{
	static const char *const v[] = {"HTTP", "HTTPS", "TLS"};
	return is_one_of(l->protocol, v, 3);
}

static bool is_l4(const Gwapi__Listener *l)
{
	static const char *const v[] = {"TCP", "UDP"};
	return is_one_of(l->protocol, v, 2);
}

uint32_t pd_gw_listener_port(const Gwapi__Listener *l)
{
	if (l->port > 0)
		return (uint32_t)l->port;
	if (pd_streq(l->protocol, "HTTP"))
		return 80;
	return pd_streq(l->protocol, "HTTPS") ? 443 : 0;
}

// ---- conflicts -------------------------------------------------------------------------------------------------------------

static bool distinct(const Gwapi__Listener *x, const Gwapi__Listener *y)
{
	if (pd_gw_listener_port(x) != pd_gw_listener_port(y))
		return true;
	if (is_l4(x) || is_l4(y))
		return !((is_l4(x) || is_http_like(x)) && (is_l4(y) || is_http_like(y)));
	if (is_http_like(x) && is_http_like(y))
		return !pd_streq(pd_or(x->hostname, "*"), pd_or(y->hostname, "*"));
	return !pd_streq(x->protocol, y->protocol);
}

bool **pd_gw_conflicts(struct pd_arena *a, const struct gw_owners *owners)
{
	PD_VEC(const Gwapi__Listener *) won = {0};
	bool **lost = pd_arena_alloc(a, (owners->n + 1) * sizeof(*lost));
	for (size_t i = 0; i < owners->n; i++) {
		const struct gw_owner *o = &owners->v[i];
		lost[i] = PD_NEWN(a, bool, o->n_listeners + 1);
		for (size_t k = 0; k < o->n_listeners; k++) {
			for (size_t j = 0; j < won.n && !lost[i][k]; j++)
				lost[i][k] = !distinct(o->listeners[k], won.v[j]);
			if (!lost[i][k])
				pd_vec_push_a(a, &won, o->listeners[k]);
			else
				pd_warn("gwapi", "%s %s/%s: listener %s is refused: another has its port and hostname",
					o->kind, o->object->key.ns, o->object->key.name,
					pd_or(o->listeners[k]->name, ""));
		}
	}
	return lost;
}

// ---- hosts ---------------------------------------------------------------------------------------------------------------

struct names {
	struct pd_arena *arena;
	const K8s__LabelSelector *selector;
	PD_VEC(const char *) v;
};

static void collect_name(const struct pd_object *ns, void *arg)
{
	struct names *n = arg;
	if (pd_gw_selector_matches(n->selector, ns))
		pd_vec_push_a(n->arena, &n->v, ns->key.name);
}

static int cmp_text(const void *x, const void *y)
{
	return strcmp(*(const char *const *)x, *(const char *const *)y);
}

// Namespaces whose routes may bind: "*" = all. Empty: none.
static void allowed_namespaces(struct gw_pass *p, const struct gw_owner *owner, const Gwapi__Listener *l,
			       struct names *out)
{
	const Gwapi__RouteNamespaces *from = l->allowed_routes ? l->allowed_routes->namespaces : NULL;
	if (!from || !from->from || pd_streq(from->from, "Same")) {
		pd_vec_push_a(p->arena, &out->v, owner->object->key.ns);
	} else if (pd_streq(from->from, "All") || !from->selector) {
		pd_vec_push_a(p->arena, &out->v, "*");
	} else {
		out->selector = from->selector;
		pd_gw_each_namespace(p, collect_name, out);
		if (out->v.n)
			qsort(out->v.v, out->v.n, sizeof(out->v.v[0]), cmp_text);
	}
}

static void set_hosts(struct gw_pass *p, const struct gw_owner *owner, const Gwapi__Listener *l, Istio__Server *server)
{
	struct names names = {.arena = p->arena};
	const char *hostname = pd_or(l->hostname, "*");
	allowed_namespaces(p, owner, l, &names);
	if (!names.v.n) // nobody: the listener is there all the same, and takes no routes
		pd_vec_push_a(p->arena, &names.v, "~");
	for (size_t i = 0; i < names.v.n; i++)
		PB_PUSH(p->arena, server, hosts, pd_arena_printf(p->arena, "%s/%s", names.v.v[i], hostname));
}

Istio__Server *pd_gw_server(struct gw_pass *p, const struct gw_owner *owner, const Gwapi__Listener *l, bool *valid)
{
	struct pd_arena *a = p->arena;
	Istio__Server *server = pb_new(a, &istio__server__descriptor);
	server->port = pb_new(a, &istio__port__descriptor);
	server->port->name = "default"; // one server, one name
	server->port->number = pd_gw_listener_port(l);
	server->port->protocol = (char *)pd_or(l->protocol, "");
	*valid = (is_http_like(l) || pd_streq(l->protocol, "TCP")) && server->port->number;
	if (!*valid)
		pd_warn("gwapi", "%s %s/%s: listener %s: protocol %s or its port is not supported", owner->kind,
			owner->object->key.ns, owner->object->key.name, pd_or(l->name, ""), pd_or(l->protocol, "\"\""));
	*valid &= pd_gw_server_tls(p, owner, l, &server->tls);
	if (!server->tls && is_http_like(l) && !pd_streq(l->protocol, "HTTP"))
		return NULL; // a place for ListenerSets: nothing to serve itself
	set_hosts(p, owner, l, server);
	return server;
}
