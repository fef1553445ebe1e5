// Route configurations of a gateway. (reference: §7)
//
// The hosts that a server and the VirtualServices bound to its Gateway have in common each become a virtual host. Routes of
// several VirtualServices on one host are put together by age; what matches everything goes last, whoever it comes from.
#include <ctype.h>
#include <stdlib.h>
#include <uthash.h>

#include "api/pb.h"
#include "base/str.h"
#include "discovery/gateway/gateway.h"
#include "discovery/route/route.h"

enum { MAX_DIRECT_RESPONSE_BODY = 1 << 20 };

struct vhost {
	UT_hash_handle hh;
	const char *host; // lower case
	const char *name; // "HOST:PORT"
	bool require_tls;
	struct pd_route_vec routes;
	struct pd_hosts domains;
};

// The routes of one VirtualService for one Gateway, made once: hosts whose lists hold the same pointers have equal routes.
struct routes_of {
	UT_hash_handle hh;
	struct pd_route_vec routes;
	char key[];
};

struct build {
	struct pd_tx *tx;
	struct vhost *vhosts;
	struct routes_of *made;
};

static const char *lower(struct pd_arena *a, const char *s)
{
	char *out = pd_arena_strdup(a, s);
	for (char *p = out; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	return out;
}

static const char *domain_name(struct pd_arena *a, const char *host, uint32_t port)
{
	return pd_arena_printf(a, strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, port);
}

static struct vhost *find_vhost(struct build *b, const char *host)
{
	struct vhost *vh;
	HASH_FIND(hh, b->vhosts, host, strlen(host), vh);
	return vh;
}

static struct vhost *need_vhost(struct build *b, const char *host, uint32_t port)
{
	struct pd_arena *a = b->tx->arena;
	host = lower(a, host);
	struct vhost *vh = find_vhost(b, host);
	if (vh)
		return vh;
	vh = PD_NEW(a, struct vhost);
	vh->host = host;
	vh->name = domain_name(a, host, port);
	pd_hosts_add(a, &vh->domains, host);
	HASH_ADD_KEYPTR(hh, b->vhosts, vh->host, strlen(vh->host), vh);
	return vh;
}

// ---- routes of VirtualServices -------------------------------------------------------------------------------------------

static const struct pd_route_vec *routes_of(struct build *b, const struct pd_gateway_server *s, const struct pd_vs *vs)
{
	struct pd_arena *a = b->tx->arena;
	const struct pd_key *k = &vs->object->key;
	const char *key = pd_arena_printf(a, "%s %s/%s", s->gateway_name, k->ns, k->name);
	struct routes_of *r;
	HASH_FIND_STR(b->made, key, r);
	if (r)
		return &r->routes;
	r = pd_arena_zalloc(a, sizeof(*r) + strlen(key) + 1);
	memcpy(r->key, key, strlen(key) + 1);
	struct pd_route_ctx ctx = {.tx = b->tx, .vs = vs, .port = s->spec->port->number};
	ctx.gateways = &s->gateway_name;
	ctx.n_gateways = 1;
	ctx.tls = s->spec->tls != NULL;
	ctx.gateway_semantics =
		pd_streq(pd_object_annotation(vs->object, "internal.istio.io/route-semantics"), "gateway");
	pd_routes_build(&ctx, &r->routes);
	HASH_ADD_STR(b->made, key, r);
	return &r->routes;
}

static void append_routes(struct build *b, struct vhost *vh, const struct pd_route_vec *routes)
{
	for (size_t i = 0; i < routes->n; i++)
		pd_vec_push_a(b->tx->arena, &vh->routes, routes->v[i]);
}

static char **expanded_hosts(struct pd_tx *tx, const struct pd_vs *vs)
{
	char **v = pd_arena_alloc(tx->arena, (vs->spec->n_hosts + 1) * sizeof(*v));
	for (size_t i = 0; i < vs->spec->n_hosts; i++)
		v[i] = (char *)pd_expand_host(tx->arena, vs->spec->hosts[i], vs->object->key.ns,
					      tx->snap->settings->domain_suffix);
	return v;
}

static bool redirects(const struct pd_gateway_server *s)
{
	return s->spec->tls && s->spec->tls->https_redirect;
}

static void add_virtual_services(struct build *b, const struct pd_gateway_server *s)
{
	struct pd_tx *tx = b->tx;
	struct pd_vs_list list = tx_gateway_vs(tx, s->gateway_name);
	for (size_t i = 0; i < list.n; i++) {
		const struct pd_vs *vs = list.v[i];
		struct pd_hosts common = pd_hosts_common(tx->arena, &s->hosts, vs->object->key.ns,
							 expanded_hosts(tx, vs), vs->spec->n_hosts);
		if (!common.n)
			continue;
		const struct pd_route_vec *routes = routes_of(b, s, vs);
		for (size_t k = 0; k < common.n; k++) {
			struct vhost *vh = need_vhost(b, common.v[k], s->spec->port->number);
			append_routes(b, vh, routes);
			vh->require_tls |= redirects(s);
		}
	}
}

// httpsRedirect holds for all hosts of the server, also for those without any VirtualService.
static void add_redirects(struct build *b, const struct pd_gateway_server *s)
{
	for (size_t i = 0; redirects(s) && i < s->hosts.n; i++) {
		const char *slash = strchr(s->hosts.v[i], '/');
		need_vhost(b, slash ? slash + 1 : s->hosts.v[i], s->spec->port->number)->require_tls = true;
	}
}

// ---- from hosts to virtual hosts -----------------------------------------------------------------------------------------

static int cmp_host(const void *x, const void *y)
{
	const struct vhost *a = *(const struct vhost *const *)x, *b = *(const struct vhost *const *)y;
	return pd_host_cmp_specific(&a->host, &b->host);
}

static int cmp_name(const void *x, const void *y)
{
	return strcmp((*(const struct vhost *const *)x)->name, (*(const struct vhost *const *)y)->name);
}

struct route_list { // a list of routes seen, by the pointers in it
	UT_hash_handle hh;
	struct vhost *first;
};

static bool same_list(const struct vhost *a, const struct vhost *b)
{
	return a->require_tls == b->require_tls && a->routes.n == b->routes.n &&
	       (!a->routes.n || memcmp(a->routes.v, b->routes.v, a->routes.n * sizeof(a->routes.v[0])) == 0);
}

// Hosts with the very same routes share one virtual host, named after the most specific of them. `v` is in that order.
static size_t collapse(struct pd_arena *a, struct vhost **v, size_t n)
{
	struct route_list *lists = NULL;
	size_t kept = 0;
	for (size_t i = 0; i < n; i++) {
		struct route_list *l;
		const void *key = v[i]->routes.v ? (const void *)v[i]->routes.v : "";
		unsigned len = (unsigned)(v[i]->routes.n * sizeof(v[i]->routes.v[0]));
		HASH_FIND(hh, lists, key, len, l);
		if (l && same_list(l->first, v[i])) {
			for (size_t k = 0; k < v[i]->domains.n; k++)
				pd_hosts_add(a, &l->first->domains, v[i]->domains.v[k]);
			continue;
		}
		if (!l) {
			l = PD_NEW(a, struct route_list);
			HASH_ADD_KEYPTR(hh, lists, key, len, l);
		}
		l->first = v[i];
		v[kept++] = v[i];
	}
	HASH_CLEAR(hh, lists);
	return kept;
}

static void catch_all_last(struct pd_arena *a, const struct pd_route_vec *routes, EnvVirtualHost *out)
{
	for (size_t i = 0; i < routes->n; i++)
		if (!pd_route_is_catch_all(routes->v[i]))
			PB_PUSH(a, out, routes, routes->v[i]);
	for (size_t i = 0; i < routes->n; i++)
		if (pd_route_is_catch_all(routes->v[i]))
			PB_PUSH(a, out, routes, routes->v[i]);
}

static EnvVirtualHost *to_message(struct pd_tx *tx, const struct vhost *vh)
{
	EnvVirtualHost *out = pd_vhost_new(tx, vh->name);
	for (size_t i = 0; i < vh->domains.n; i++)
		PB_PUSH(tx->arena, out, domains, (char *)vh->domains.v[i]);
	if (vh->require_tls)
		out->require_tls = ENVOY__CONFIG__ROUTE__V3__VIRTUAL_HOST__TLS_REQUIREMENT_TYPE__ALL;
	catch_all_last(tx->arena, &vh->routes, out);
	return out;
}

static void emit_vhosts(struct build *b, EnvoyRouteConfiguration *rc)
{
	struct pd_arena *a = b->tx->arena;
	size_t n = 0;
	struct vhost **v = pd_arena_alloc(a, (HASH_COUNT(b->vhosts) + 1) * sizeof(*v));
	for (struct vhost *vh = b->vhosts; vh; vh = vh->hh.next)
		v[n++] = vh;
	qsort(v, n, sizeof(*v), cmp_host);
	n = collapse(a, v, n);
	qsort(v, n, sizeof(*v), cmp_name);
	for (size_t i = 0; i < n; i++)
		PB_PUSH(a, rc, virtual_hosts, to_message(b->tx, v[i]));
}

// Nothing to route: every request gets 404.
static void emit_blackhole(struct pd_tx *tx, const struct pd_gateway_route *route, EnvoyRouteConfiguration *rc)
{
	uint32_t port = route->servers.v[0]->spec->port->number;
	EnvVirtualHost *vh = pb_new(tx->arena, &envoy__config__route__v3__virtual_host__descriptor);
	vh->name = (char *)domain_name(tx->arena, "blackhole", port);
	PB_PUSH(tx->arena, vh, domains, "*");
	PB_PUSH(tx->arena, rc, virtual_hosts, vh);
}

EnvoyRouteConfiguration *pd_build_gateway_routes(struct pd_tx *tx, const char *route_name)
{
	struct pd_arena *a = tx->arena;
	EnvoyRouteConfiguration *rc = pb_new(a, &envoy__config__route__v3__route_configuration__descriptor);
	rc->name = pd_arena_strdup(a, route_name);
	rc->validate_clusters = pb_bool(a, false);
	const struct pd_gateway_route *route = pd_gateway_find_route(pd_gateways_merge(tx, route_name), route_name);
	if (!route)
		return rc; // asked for by a listener that drains
	struct build b = {.tx = tx};
	for (size_t i = 0; i < route->servers.n; i++) {
		add_virtual_services(&b, route->servers.v[i]);
		add_redirects(&b, route->servers.v[i]);
	}
	if (b.vhosts)
		emit_vhosts(&b, rc);
	else
		emit_blackhole(tx, route, rc);
	HASH_CLEAR(hh, b.vhosts);
	HASH_CLEAR(hh, b.made);
	rc->ignore_port_in_host_matching = true;
	rc->max_direct_response_body_size_bytes = pb_u32(a, MAX_DIRECT_RESPONSE_BODY);
	return rc;
}
