// Gateway API: who has to be computed anew, and what came of it. (gwapi.h has the overview)
#include <stdlib.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/str.h"
#include "discovery/gwapi/gwapi.h"

enum unit_type { UNIT_GATEWAY, UNIT_ROUTE };

// Head of what is computed from objects and remembers what it read.
struct unit {
	struct pd_unit deps; // first
	enum unit_type type;
	bool dirty;
	UT_hash_handle hh;
	char *key;             // "GATEWAY/NS/NAME" or "HTTPRoute/NS/NAME"
	const char *ns, *name; // interned
	struct gw_outputs made;
};

struct gateway_unit {
	struct unit u;          // first
	PD_VEC(char *) parents; // keys of what it offers
};

struct group {
	UT_hash_handle hh;
	char *key;
	bool dirty;
	struct gw_outputs made;
	PD_VEC(struct route_unit *) members; // one entry for each binding
};

struct route_unit {
	struct unit u; // first
	enum pd_gw_route_kind kind;
	struct pd_arena arena; // owns the bindings
	struct gw_bindings bindings;
	struct group **groups; // of each binding; NULL for TCP and TLS
	// Of this pass only.
	uint64_t pass;
	struct gw_route route;
	bool converted[2], good[2]; // [mesh]
	struct gw_http_routes routes[2];
};

struct parent {             // an offer and who made it
	struct gw_parent p; // first
	const struct gateway_unit *owner;
};

struct pd_gwapi {
	const struct pd_settings *settings;
	struct pd_deps *deps;
	uint64_t generation;
	struct unit *units;
	struct gw_parent *parents;
	struct group *groups;
	PD_VEC(struct unit *) dirty[2]; // by type, in the order of becoming dirty
	PD_VEC(struct group *) dirty_groups;
	struct gw_names retired; // in the deletions given out last: theirs until the next call
};

// ---- units ---------------------------------------------------------------------------------------------------------------

static void mark(struct pd_gwapi *g, struct unit *u)
{
	if (u->dirty)
		return;
	u->dirty = true;
	pd_vec_push(&g->dirty[u->type], u);
}

static void mark_dependent(struct pd_unit *unit, void *arg)
{
	mark(arg, (struct unit *)unit);
}

static void mark_group(struct pd_gwapi *g, struct group *gr)
{
	if (gr->dirty)
		return;
	gr->dirty = true;
	pd_vec_push(&g->dirty_groups, gr);
}

static struct unit *unit_new(struct pd_gwapi *g, size_t size, enum unit_type type, const char *key,
			     const struct pd_object *o)
{
	struct unit *u = pd_xcalloc(1, size);
	u->type = type;
	u->key = pd_xstrdup(key);
	u->ns = pd_intern(o->key.ns);
	u->name = pd_intern(o->key.name);
	HASH_ADD_KEYPTR(hh, g->units, u->key, strlen(u->key), u);
	return u;
}

// A Gateway or route that may be new.
static void need_unit(struct pd_gwapi *g, const struct pd_object *o)
{
	char key[PD_OBJECT_KEY_MAX];
	enum pd_gw_route_kind kind;
	bool route = pd_gw_route_kind(o->key.kind, &kind);
	struct unit *u;
	if ((!route && o->key.kind != PD_KIND_KUBERNETES_GATEWAY) || !pd_streq(o->key.cluster, g->settings->cluster))
		return;
	if (pd_object_key(key, sizeof(key), o->key.kind, "", o->key.ns, o->key.name) < 0)
		return;
	HASH_FIND_STR(g->units, key, u);
	if (!u && route) {
		u = unit_new(g, sizeof(struct route_unit), UNIT_ROUTE, key, o);
		((struct route_unit *)u)->kind = kind;
	} else if (!u) {
		u = unit_new(g, sizeof(struct gateway_unit), UNIT_GATEWAY, key, o);
	}
	mark(g, u);
}

static void unit_free(struct pd_gwapi *g, struct unit *u)
{
	pd_deps_clear(g->deps, &u->deps);
	HASH_DELETE(hh, g->units, u);
	pd_gw_forget(&u->made);
	pd_unintern(u->ns);
	pd_unintern(u->name);
	free(u->key);
	free(u);
}

static void record(struct pd_gwapi *g, struct unit *u, struct gw_pass *p)
{
	pd_deps_clear(g->deps, &u->deps);
	// Nothing can have changed meanwhile: this thread is the one that changes things.
	if (pd_deps_record(g->deps, &u->deps, p->tokens.v, p->tokens.n, g->generation))
		PD_UNREACHABLE();
	p->tokens.n = 0;
	u->dirty = false;
}

// ---- parents -------------------------------------------------------------------------------------------------------------

static uint64_t hash_text(uint64_t h, const char *s)
{
	return pd_hash_seed(s, strlen(s) + 1, h);
}

static uint64_t offer_hash(const struct gw_listeners *l)
{
	uint64_t h = l->n;
	for (size_t i = 0; i < l->n; i++) {
		const struct gw_listener *x = &l->v[i];
		h = hash_text(hash_text(hash_text(hash_text(h, x->internal_name), x->section), x->protocol),
			      x->hostname);
		h = pd_hash_mix(pd_hash_mix(h, x->port), x->kinds);
		for (size_t k = 0; k < x->n_hosts; k++)
			h = hash_text(h, x->hosts[k]);
	}
	return h;
}

static void copy_listeners(struct gw_parent *p, const struct gw_listeners *from)
{
	struct pd_arena *a = &p->arena;
	pd_arena_free(a);
	p->n = from->n;
	p->listeners = pd_arena_alloc(a, (from->n + 1) * sizeof(*p->listeners));
	for (size_t i = 0; i < from->n; i++) {
		struct gw_listener *l = &p->listeners[i];
		*l = from->v[i];
		l->internal_name = pd_arena_strdup(a, l->internal_name);
		l->section = pd_arena_strdup(a, l->section);
		l->protocol = pd_arena_strdup(a, l->protocol);
		l->hostname = pd_arena_strdup(a, l->hostname);
		const char **hosts = pd_arena_alloc(a, (l->n_hosts + 1) * sizeof(*hosts));
		for (size_t k = 0; k < l->n_hosts; k++)
			hosts[k] = pd_arena_strdup(a, l->hosts[k]);
		l->hosts = hosts;
	}
}

static struct parent *find_parent(struct pd_gwapi *g, const char *key)
{
	struct gw_parent *p;
	HASH_FIND_STR(g->parents, key, p);
	return (struct parent *)p;
}

static const struct gw_parent *lookup_parent(void *arg, const char *key)
{
	return (const struct gw_parent *)find_parent(arg, key);
}

static void drop_parent(struct pd_gwapi *g, struct parent *p)
{
	HASH_DELETE(hh, g->parents, &p->p);
	pd_arena_free(&p->p.arena);
	free(p->p.key);
	free(p);
}

// Routes that ask for this parent are stale if it offers something else than before.
static void set_offer(struct pd_gwapi *g, struct gateway_unit *gw, const struct gw_offer *offer,
		      struct pd_token_vec *changed)
{
	struct parent *p = find_parent(g, offer->parent);
	uint64_t hash = offer_hash(&offer->listeners);
	if (!p) {
		p = pd_xcalloc(1, sizeof(*p));
		p->p.key = pd_xstrdup(offer->parent);
		p->p.hash = ~hash;
		struct gw_parent *base = &p->p;
		HASH_ADD_KEYPTR(hh, g->parents, base->key, strlen(base->key), base);
	}
	p->owner = gw;
	if (p->p.hash != hash) {
		copy_listeners(&p->p, &offer->listeners);
		p->p.hash = hash;
		pd_vec_push(changed, pd_gw_parent_token(offer->parent));
	}
	pd_vec_push(&gw->parents, pd_xstrdup(offer->parent));
}

static bool offers(const struct gateway_unit *gw, const char *parent)
{
	for (size_t i = 0; i < gw->parents.n; i++)
		if (pd_streq(gw->parents.v[i], parent))
			return true;
	return false;
}

static void set_offers(struct pd_gwapi *g, struct gateway_unit *gw, const struct gw_offers *all,
		       struct pd_token_vec *changed)
{
	PD_VEC(char *) before = {gw->parents.v, gw->parents.n, gw->parents.cap};
	gw->parents.v = NULL;
	gw->parents.n = gw->parents.cap = 0;
	for (size_t i = 0; i < all->n; i++)
		set_offer(g, gw, &all->v[i], changed);
	for (size_t i = 0; i < before.n; i++) {
		struct parent *p = find_parent(g, before.v[i]);
		// A ListenerSet may have moved to another Gateway.
		if (p && p->owner == gw && !offers(gw, before.v[i])) {
			pd_vec_push(changed, pd_gw_parent_token(before.v[i]));
			drop_parent(g, p);
		}
		free(before.v[i]);
	}
	pd_vec_free(&before);
}

// ---- gateways ------------------------------------------------------------------------------------------------------------

static void gateway_free(struct pd_gwapi *g, struct gateway_unit *gw)
{
	struct pd_token_vec none = {0};
	set_offers(g, gw, &(struct gw_offers){0}, &none);
	pd_vec_free(&none);
	unit_free(g, &gw->u);
}

static void compute_gateway(struct pd_gwapi *g, struct gateway_unit *gw, struct gw_pass *p,
			    struct pd_token_vec *changed, struct pd_change_vec *out)
{
	struct gw_offers all = {0};
	struct gw_fresh fresh = {0};
	pd_gw_compute_gateway(p, gw->u.ns, gw->u.name, &all, &fresh);
	record(g, &gw->u, p);
	set_offers(g, gw, &all, changed);
	pd_gw_publish(g->settings->cluster, &g->retired, PD_KIND_GATEWAY, &gw->u.made, &fresh, out);
	if (!pd_config_get(p->snap, PD_KIND_KUBERNETES_GATEWAY, g->settings->cluster, gw->u.ns, gw->u.name))
		gateway_free(g, gw);
}

// ---- groups --------------------------------------------------------------------------------------------------------------

static struct group *need_group(struct pd_gwapi *g, const char *key)
{
	struct group *gr;
	HASH_FIND_STR(g->groups, key, gr);
	if (!gr) {
		gr = pd_xcalloc(1, sizeof(*gr));
		gr->key = pd_xstrdup(key);
		HASH_ADD_KEYPTR(hh, g->groups, gr->key, strlen(gr->key), gr);
	}
	return gr;
}

static void group_free(struct pd_gwapi *g, struct group *gr)
{
	HASH_DELETE(hh, g->groups, gr);
	pd_gw_forget(&gr->made);
	pd_vec_free(&gr->members);
	free(gr->key);
	free(gr);
}

static void leave_groups(struct pd_gwapi *g, struct route_unit *r)
{
	for (size_t i = 0; r->groups && i < r->bindings.n; i++) {
		struct group *gr = r->groups[i];
		mark_group(g, gr);
		for (size_t k = 0; k < gr->members.n; k++) {
			if (gr->members.v[k] != r)
				continue;
			gr->members.v[k] = gr->members.v[--gr->members.n];
			break;
		}
	}
	r->groups = NULL;
}

// "GATEWAY/HOST"; in the mesh "NS[/PORT]/HOST", NS being that of the route.
static const char *group_key(struct pd_arena *a, const struct route_unit *r, const struct gw_binding *b)
{
	if (!b->mesh)
		return pd_arena_printf(a, "%s/%s", b->gateway, b->host);
	if (b->port)
		return pd_arena_printf(a, "%s/%u/%s", r->u.ns, b->port, b->host);
	return pd_arena_printf(a, "%s/%s", r->u.ns, b->host);
}

static void join_groups(struct pd_gwapi *g, struct route_unit *r, struct gw_pass *p)
{
	r->groups = pd_arena_alloc(&r->arena, (r->bindings.n + 1) * sizeof(struct group *));
	for (size_t i = 0; i < r->bindings.n; i++) {
		r->groups[i] = need_group(g, group_key(p->arena, r, &r->bindings.v[i]));
		pd_vec_push(&r->groups[i]->members, r);
		mark_group(g, r->groups[i]);
	}
}

// The route's rules, once a pass and flavour. What they read is recorded with the route: a caller that rebuilds a group of
// routes which are not stale drops these tokens.
static const struct gw_http_routes *rules_of(struct pd_gwapi *g, struct route_unit *r, bool mesh, struct gw_pass *p)
{
	if (r->pass != g->generation) {
		r->pass = g->generation;
		memset(r->converted, 0, sizeof(r->converted));
		const struct pd_object *o =
			pd_config_get(p->snap, pd_gw_kind_of(r->kind), g->settings->cluster, r->u.ns, r->u.name);
		if (!o || !pd_gw_route_of(o, &r->route))
			PD_UNREACHABLE(); // such units are gone
	}
	if (!r->converted[mesh]) {
		r->converted[mesh] = true;
		r->routes[mesh] = (struct gw_http_routes){0};
		r->good[mesh] = r->kind == GW_GRPC ? pd_gw_convert_grpc(p, &r->route, mesh, &r->routes[mesh])
						   : pd_gw_convert_http(p, &r->route, mesh, &r->routes[mesh]);
	}
	return r->good[mesh] ? &r->routes[mesh] : NULL;
}

static int cmp_part(const void *x, const void *y)
{
	const struct gw_part *a = x, *b = y;
	int c = pd_gw_cmp_age(a->object, b->object);
	c = c ? c : (a->kind > b->kind) - (a->kind < b->kind);
	return c ? c : (a->binding > b->binding) - (a->binding < b->binding);
}

// Each member as often as it binds here.
static size_t parts_of(struct pd_gwapi *g, const struct group *gr, struct gw_pass *p, struct gw_part *parts)
{
	size_t n = 0;
	for (size_t i = 0; i < gr->members.n; i++) {
		struct route_unit *r = gr->members.v[i];
		bool seen = false;
		for (size_t k = 0; k < i && !seen; k++)
			seen = gr->members.v[k] == r;
		for (size_t k = 0; k < r->bindings.n && !seen; k++) {
			if (r->groups[k] != gr)
				continue;
			const struct gw_http_routes *routes = rules_of(g, r, r->bindings.v[k].mesh, p);
			struct gw_part part = {r->route.object, r->kind, &r->bindings.v[k], NULL, 0};
			if (routes) {
				part.routes = routes->v;
				part.n_routes = routes->n;
			}
			parts[n++] = part;
		}
	}
	qsort(parts, n, sizeof(*parts), cmp_part);
	return n;
}

static void compute_group(struct pd_gwapi *g, struct group *gr, struct gw_pass *p, struct pd_change_vec *out)
{
	struct gw_fresh fresh = {0};
	struct gw_part *parts = pd_arena_alloc(p->arena, (gr->members.n + 1) * sizeof(*parts));
	size_t n = parts_of(g, gr, p, parts);
	struct pd_object *o = pd_gw_http_virtual_service(p, gr->key, parts, n);
	if (o)
		pd_vec_push_a(p->arena, &fresh, o);
	p->tokens.n = 0;
	pd_gw_publish(g->settings->cluster, &g->retired, PD_KIND_VIRTUAL_SERVICE, &gr->made, &fresh, out);
	gr->dirty = false;
	if (!gr->members.n)
		group_free(g, gr);
}

// ---- routes --------------------------------------------------------------------------------------------------------------

static void keep_bindings(struct route_unit *r, const struct gw_bindings *from)
{
	struct pd_arena *a = &r->arena;
	pd_arena_free(a);
	r->bindings.n = r->bindings.cap = from->n;
	r->bindings.v = pd_arena_alloc(a, (from->n + 1) * sizeof(*from->v));
	for (size_t i = 0; i < from->n; i++) {
		struct gw_binding *b = &r->bindings.v[i];
		*b = from->v[i];
		b->gateway = pd_arena_strdup(a, b->gateway);
		b->hostname = pd_arena_strdup(a, b->hostname);
		b->host = pd_arena_strdup(a, b->host);
	}
}

static void publish_l4(struct pd_gwapi *g, struct route_unit *r, const struct gw_route *route, struct gw_pass *p,
		       struct pd_change_vec *out)
{
	struct gw_fresh fresh = {0};
	for (size_t i = 0; i < r->bindings.n; i++) {
		struct pd_object *o = pd_gw_l4_virtual_service(p, route, &r->bindings.v[i], i);
		if (o)
			pd_vec_push_a(p->arena, &fresh, o);
	}
	pd_gw_publish(g->settings->cluster, &g->retired, PD_KIND_VIRTUAL_SERVICE, &r->u.made, &fresh, out);
}

static void route_free(struct pd_gwapi *g, struct route_unit *r)
{
	leave_groups(g, r);
	pd_arena_free(&r->arena);
	unit_free(g, &r->u);
}

static void compute_route(struct pd_gwapi *g, struct route_unit *r, struct gw_pass *p, struct pd_change_vec *out)
{
	struct gw_bindings bindings = {0};
	struct gw_route route = {0};
	bool http = r->kind == GW_HTTP || r->kind == GW_GRPC;
	const struct pd_object *o = pd_gw_object(p, pd_gw_kind_of(r->kind), r->u.ns, r->u.name);
	if (o && pd_gw_route_of(o, &route))
		pd_gw_bind(p, &route, lookup_parent, g, &bindings);
	leave_groups(g, r);
	keep_bindings(r, &bindings);
	if (http)
		join_groups(g, r, p);
	else
		publish_l4(g, r, &route, p, out);
	for (size_t i = 0; http && i < bindings.n; i++)
		rules_of(g, r, bindings.v[i].mesh, p); // for their tokens
	record(g, &r->u, p);
	if (!o)
		route_free(g, r);
}

// ---- the module ------------------------------------------------------------------------------------------------------------

struct pd_gwapi *pd_gwapi_new(const struct pd_settings *settings)
{
	struct pd_gwapi *g = pd_xcalloc(1, sizeof(*g));
	g->settings = settings;
	g->deps = pd_deps_new();
	return g;
}

void pd_gwapi_free(struct pd_gwapi **gp)
{
	struct pd_gwapi *g = *gp;
	struct unit *u, *next_unit;
	struct group *gr, *next_group;
	if (!g)
		return;
	HASH_ITER(hh, g->units, u, next_unit)
	{
		if (u->type == UNIT_ROUTE)
			route_free(g, (struct route_unit *)u);
		else
			gateway_free(g, (struct gateway_unit *)u);
	}
	HASH_ITER(hh, g->groups, gr, next_group)
	{
		group_free(g, gr);
	}
	pd_gw_release(&g->retired);
	pd_vec_free(&g->retired);
	pd_vec_free(&g->dirty[UNIT_GATEWAY]);
	pd_vec_free(&g->dirty[UNIT_ROUTE]);
	pd_vec_free(&g->dirty_groups);
	pd_deps_free(&g->deps);
	free(g);
	*gp = NULL;
}

static void collect_dirty(struct pd_gwapi *g, const struct pd_changeset *changes)
{
	struct pd_token_vec own = {0};
	for (size_t i = 0; i < changes->items.n; i++) {
		const struct pd_change_item *item = &changes->items.v[i];
		if (item->before)
			pd_gw_touched(item->before, &own);
		if (item->after)
			pd_gw_touched(item->after, &own);
		if (item->after)
			need_unit(g, item->after);
	}
	pd_deps_changed(g->deps, changes->tokens.v, changes->tokens.n, g->generation, mark_dependent, g);
	pd_deps_changed(g->deps, own.v, own.n, g->generation, mark_dependent, g);
	pd_vec_free(&own);
}

void pd_gwapi_apply(struct pd_gwapi *g, const struct pd_config_snap *snap, const struct pd_changeset *changes,
		    struct pd_change_vec *out)
{
	struct pd_arena arena = {0};
	struct gw_pass p = {.snap = snap, .settings = g->settings, .arena = &arena};
	struct pd_token_vec changed = {0};
	size_t from = out->n;
	pd_gw_release(&g->retired);
	g->generation++;
	collect_dirty(g, changes);
	for (size_t i = 0; i < g->dirty[UNIT_GATEWAY].n; i++)
		compute_gateway(g, (struct gateway_unit *)g->dirty[UNIT_GATEWAY].v[i], &p, &changed, out);
	// Routes that bind to what the Gateways now offer.
	pd_deps_changed(g->deps, changed.v, changed.n, g->generation, mark_dependent, g);
	for (size_t i = 0; i < g->dirty[UNIT_ROUTE].n; i++)
		compute_route(g, (struct route_unit *)g->dirty[UNIT_ROUTE].v[i], &p, out);
	for (size_t i = 0; i < g->dirty_groups.n; i++)
		compute_group(g, g->dirty_groups.v[i], &p, out);
	g->dirty[UNIT_GATEWAY].n = g->dirty[UNIT_ROUTE].n = g->dirty_groups.n = 0;
	pd_gw_drop_false_deletions(&arena, out, from);
	pd_deps_forget(g->deps, g->generation);
	pd_vec_free(&changed);
	pd_arena_free(&arena);
}
