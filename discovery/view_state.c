// View states: what is computed for one view, and the sets that a proxy gets: segments of its scope and of its own.
#include <stdlib.h>
#include <string.h>

#include "api/pb.h"
#include "base/hash.h"
#include "base/str.h"
#include "discovery/engine_impl.h"
#include "discovery/envoy.h"

// ---- life ------------------------------------------------------------------------------------------------------------

static void unit_init(struct view_unit *u, struct view_state *vs, enum view_part part)
{
	u->unit.kind = UNIT_VIEW;
	u->vs = vs;
	u->part = part;
	u->pending = true;
}

struct view_state *pd_view_state_new_locked(struct pd_engine *e, struct pd_view *view)
{
	struct view_state *vs = pd_xcalloc(1, sizeof(*vs));
	vs->view = view;
	vs->users = 1;
	view->state = vs;
	pthread_mutex_init(&vs->lock, NULL);
	unit_init(&vs->inbound, vs, VIEW_INBOUND);
	unit_init(&vs->own, vs, VIEW_LISTENERS);
	unit_init(&vs->http, vs, VIEW_HTTP);
	unit_init(&vs->names, vs, VIEW_NAMES);
	vs->scope = pd_scope_get_locked(e, view);
	vs->hash = view->hash;
	HASH_ADD(hh, e->views, hash, sizeof(vs->hash), vs);
	return vs;
}

static void http_listener_free(struct view_state *vs, struct http_listener *h)
{
	HASH_DEL(vs->http_table, h);
	pd_unintern(h->name);
	pd_resource_unref(h->resource);
	free(h);
}

void pd_view_state_free_locked(struct pd_engine *e, struct view_state *vs)
{
	HASH_DEL(e->views, vs);
	pd_deps_clear(e->deps, &vs->inbound.unit.deps);
	pd_deps_clear(e->deps, &vs->own.unit.deps);
	pd_deps_clear(e->deps, &vs->http.unit.deps);
	pd_deps_clear(e->deps, &vs->names.unit.deps);
	struct view_resource *r, *next_r;
	HASH_ITER(hh, vs->resources, r, next_r)
	{
		pd_deps_clear(e->deps, &r->u.unit.deps);
		HASH_DEL(vs->resources, r);
		pd_unintern(r->name);
		pd_resource_unref(r->resource);
		free(r);
	}
	struct http_listener *h, *next_h;
	HASH_ITER(hh, vs->http_table, h, next_h)
	http_listener_free(vs, h);
	struct pd_segment *segments[] = {vs->inbound_clusters, vs->own_listeners,  vs->http_listeners,
					 vs->name_table,       vs->listeners_seen, vs->listeners_kept};
	for (size_t i = 0; i < sizeof(segments) / sizeof(segments[0]); i++)
		pd_obj_unref(segments[i]);
	for (int i = 0; i < PD_TYPE_COUNT; i++)
		pd_obj_unref(vs->sets[i]);
	pd_scope_unref_locked(e, vs->scope);
	pthread_mutex_destroy(&vs->lock);
	pd_obj_unref(vs->view);
	free(vs);
}

// ---- passes over one unit --------------------------------------------------------------------------------------------

static bool unit_begin(struct pd_engine *e, struct view_unit *u, bool force, struct pass *p, struct pd_tx *tx)
{
	pthread_mutex_lock(&e->lock);
	bool run = u->pending || force;
	u->pending = false;
	if (run)
		pd_engine_pass_begin_locked(e, p);
	pthread_mutex_unlock(&e->lock);
	if (run)
		pd_engine_pass_tx(e, p, &u->vs->view->key, u->vs->view, tx);
	return run;
}

// False: a change came between, compute again.
static bool unit_end(struct pd_engine *e, struct view_unit *u, struct pass *p, struct pd_tx *tx)
{
	pthread_mutex_lock(&e->lock);
	bool stale = pd_deps_record(e->deps, &u->unit.deps, tx->tokens.v, tx->tokens.n, p->snap->generation);
	u->pending |= stale;
	pd_engine_pass_end_locked(e, p);
	pthread_mutex_unlock(&e->lock);
	pd_engine_pass_free(p);
	return !stale;
}

// Puts a new segment in force, derived from the one before where that is possible, so that streams see a small difference.
static void segment_replace(struct pd_segment **slot, struct pd_resource **v, size_t n)
{
	struct pd_segment *now;
	if (*slot) {
		PD_VEC(const char *) removed = {0};
		for (size_t i = 0; i < (*slot)->n; i++) {
			bool kept = false;
			for (size_t k = 0; k < n && !kept; k++)
				kept = v[k]->name == (*slot)->v[i]->name;
			if (!kept)
				pd_vec_push(&removed, (*slot)->v[i]->name);
		}
		now = pd_segment_update(*slot, v, n, removed.v, removed.n);
		pd_vec_free(&removed);
	} else {
		now = pd_segment_new(v, n);
	}
	pd_obj_unref(*slot);
	*slot = now;
}

static void build_inbound(struct view_state *vs, struct pd_tx *tx)
{
	struct pd_cluster_vec clusters = {0};
	pd_build_inbound_clusters(tx, &clusters);
	struct pd_provenance *prov = tx_provenance(tx);
	struct pd_resource **v = pd_arena_alloc(tx->arena, (clusters.n + 1) * sizeof(*v));
	for (size_t i = 0; i < clusters.n; i++)
		v[i] = pd_resource_new(PD_CDS, clusters.v[i]->name, &clusters.v[i]->base, prov);
	pd_obj_unref(prov);
	segment_replace(&vs->inbound_clusters, v, clusters.n);
}

static void build_own_listeners(struct view_state *vs, struct pd_tx *tx)
{
	struct pd_listener_vec listeners = {0};
	if (vs->view->key.type == PD_NODE_SIDECAR)
		pd_build_view_listeners(tx, &listeners);
	else
		pd_build_gateway_listeners(tx, &listeners);
	struct pd_provenance *prov = tx_provenance(tx);
	struct pd_resource **v = pd_arena_alloc(tx->arena, (listeners.n + 1) * sizeof(*v));
	for (size_t i = 0; i < listeners.n; i++)
		v[i] = pd_resource_new(PD_LDS, listeners.v[i]->name, &listeners.v[i]->base, prov);
	pd_obj_unref(prov);
	segment_replace(&vs->own_listeners, v, listeners.n);
}

static void build_names(struct view_state *vs, struct pd_tx *tx)
{
	ProtobufCMessage *table = pd_build_name_table(tx);
	struct pd_resource *r = NULL;
	if (table) {
		struct pd_provenance *prov = tx_provenance(tx);
		r = pd_resource_new(PD_NDS, "", table, prov);
		pd_obj_unref(prov);
	}
	segment_replace(&vs->name_table, &r, r ? 1 : 0);
}

static void refresh_unit(struct pd_engine *e, struct view_unit *u, void (*build)(struct view_state *, struct pd_tx *))
{
	struct pass p;
	struct pd_tx tx;
	while (unit_begin(e, u, false, &p, &tx)) {
		build(u->vs, &tx);
		unit_end(e, u, &p, &tx);
	}
}

// ---- outbound HTTP listeners: the scope's templates filled in for the view ---------------------------------------------

static struct pd_resource *fill_template(struct pd_tx *tx, const struct template_result *t)
{
	void *msg;
	if (pb_unpack(tx->arena, &envoy__config__listener__v3__listener__descriptor, t->template->data,
		      t->template->len, &msg, NULL) != PD_OK)
		PD_UNREACHABLE();
	Envoy__Config__Listener__V3__Listener *l = msg;
	for (size_t i = 0; i < t->n_slots; i++) {
		const struct pd_http_slot *slot = &t->slots[i];
		Envoy__Config__Listener__V3__FilterChain *chain =
			slot->chain == UINT32_MAX ? l->default_filter_chain : l->filter_chains[slot->chain];
		Envoy__Config__Listener__V3__Filter *filter = chain->filters[slot->filter];
		filter->config_type_case = ENVOY__CONFIG__LISTENER__V3__FILTER__CONFIG_TYPE_TYPED_CONFIG;
		filter->typed_config = pd_build_http_filter(tx, slot);
	}
	return pd_resource_new(PD_LDS, t->name, &l->base, t->prov);
}

struct template_list {
	PD_VEC(const struct template_result *) v;
};

static void fill_all(struct view_state *vs, struct pd_tx *tx, const struct template_list *list, bool all)
{
	struct pd_resource **v = pd_xmalloc((list->v.n + 1) * sizeof(*v));
	for (size_t i = 0; i < list->v.n; i++) {
		const struct template_result *t = list->v.v[i];
		struct http_listener *h;
		HASH_FIND_PTR(vs->http_table, &t->name, h);
		if (!h) {
			h = pd_xcalloc(1, sizeof(*h));
			h->name = pd_intern_ref(t->name);
			HASH_ADD_PTR(vs->http_table, name, h);
		}
		if (!h->resource || h->version != t->version || all) {
			pd_resource_unref(h->resource);
			h->resource = fill_template(tx, t);
			h->version = t->version;
		}
		v[i] = pd_resource_ref(h->resource);
	}
	segment_replace(&vs->http_listeners, v, list->v.n);
	free(v);
	struct http_listener *h, *next;
	HASH_ITER(hh, vs->http_table, h, next)
	if (!pd_segment_get(vs->http_listeners, h->name))
		http_listener_free(vs, h);
}

// With the scope's lock, which keeps the templates alive.
static void refresh_http(struct pd_engine *e, struct view_state *vs)
{
	struct scope *s = vs->scope;
	struct pass p;
	struct pd_tx tx;
	bool moved = vs->http_templates_version != s->templates_version || !vs->http_listeners;
	pthread_mutex_lock(&e->lock);
	bool all = vs->http.pending;
	pthread_mutex_unlock(&e->lock);
	while (unit_begin(e, &vs->http, moved, &p, &tx)) {
		struct template_list list = {0};
		struct port_group *g, *next;
		HASH_ITER(hh, s->ports, g, next)
		for (size_t i = 0; i < g->templates.n; i++)
			if (!g->templates.v[i].complete)
				pd_vec_push(&list.v, &g->templates.v[i]);
		fill_all(vs, &tx, &list, all);
		pd_vec_free(&list.v);
		vs->http_templates_version = s->templates_version;
		moved = false;
		all = true;
		unit_end(e, &vs->http, &p, &tx);
	}
}

// ---- sets ------------------------------------------------------------------------------------------------------------

static void set_update(struct pd_set **slot, struct pd_segment *a, struct pd_segment *b, struct pd_segment *c)
{
	struct pd_set *old = *slot;
	if (old && old->seg[0] == a && old->seg[1] == b && old->seg[2] == c)
		return;
	*slot = pd_set_new((struct pd_segment *const[PD_SET_SEGMENTS]){pd_obj_ref(a), pd_obj_ref(b), pd_obj_ref(c)});
	pd_obj_unref(old);
}

// Listeners bound to an own address are left out: they would capture what the proxy's own workload is sent.
static struct pd_segment *without_own_addresses(struct view_state *vs, struct pd_segment *all)
{
	if (!vs->view->n_ips)
		return all;
	if (vs->listeners_seen == all)
		return vs->listeners_kept;
	PD_VEC(const char *) removed = {0};
	for (size_t i = 0; i < all->n; i++) {
		const char *name = all->v[i]->name, *end = strrchr(name, '_');
		for (size_t k = 0; end && k < vs->view->n_ips; k++)
			if (strlen(vs->view->ips[k]) == (size_t)(end - name) && pd_has_prefix(name, vs->view->ips[k]))
				pd_vec_push(&removed, name);
	}
	pd_obj_unref(vs->listeners_kept);
	pd_obj_unref(vs->listeners_seen);
	vs->listeners_kept = pd_segment_update(all, NULL, 0, removed.v, removed.n);
	vs->listeners_seen = pd_obj_ref(all);
	pd_vec_free(&removed);
	return vs->listeners_kept;
}

static void refresh_clusters(struct pd_engine *e, struct view_state *vs)
{
	refresh_unit(e, &vs->inbound, build_inbound);
	pthread_mutex_lock(&vs->scope->lock);
	pd_scope_refresh(e, vs->scope);
	set_update(&vs->sets[PD_CDS], vs->scope->clusters, vs->scope->static_clusters, vs->inbound_clusters);
	pthread_mutex_unlock(&vs->scope->lock);
}

static void refresh_listeners(struct pd_engine *e, struct view_state *vs)
{
	refresh_unit(e, &vs->own, build_own_listeners);
	if (vs->view->key.type != PD_NODE_SIDECAR) {
		set_update(&vs->sets[PD_LDS], NULL, NULL, vs->own_listeners);
		return;
	}
	pthread_mutex_lock(&vs->scope->lock);
	pd_scope_refresh(e, vs->scope);
	refresh_http(e, vs);
	set_update(&vs->sets[PD_LDS], without_own_addresses(vs, vs->scope->listeners), vs->http_listeners,
		   vs->own_listeners);
	pthread_mutex_unlock(&vs->scope->lock);
}

// Moves the view to another scope if rules now look at other labels of clients. With vs->lock.
static void choose_scope(struct pd_engine *e, struct view_state *vs)
{
	pthread_mutex_lock(&e->lock);
	if (vs->rescope) {
		struct scope *old = vs->scope;
		vs->rescope = false;
		vs->scope = pd_scope_get_locked(e, vs->view);
		if (vs->scope != old)
			vs->http.pending = true; // templates of two scopes have nothing in common, not even versions
		pd_scope_unref_locked(e, old);
	}
	pthread_mutex_unlock(&e->lock);
}

struct pd_set *pd_view_set(struct pd_engine *e, struct pd_view *view, enum pd_type type)
{
	struct view_state *vs = view->state;
	PD_ASSERT(pd_types[type].wildcard);
	pthread_mutex_lock(&vs->lock);
	choose_scope(e, vs);
	if (type == PD_CDS) {
		refresh_clusters(e, vs);
	} else if (type == PD_LDS) {
		refresh_listeners(e, vs);
	} else {
		refresh_unit(e, &vs->names, build_names);
		set_update(&vs->sets[type], vs->name_table, NULL, NULL);
	}
	struct pd_set *set = pd_obj_ref(vs->sets[type]);
	pthread_mutex_unlock(&vs->lock);
	return set;
}

// ---- single resources ------------------------------------------------------------------------------------------------

static struct pd_resource *build_gateway_route(struct pd_tx *tx, const char *name)
{
	Envoy__Config__Route__V3__RouteConfiguration *msg = pd_build_gateway_routes(tx, name);
	struct pd_provenance *prov = tx_provenance(tx);
	struct pd_resource *r = pd_resource_new(PD_RDS, name, &msg->base, prov);
	pd_obj_unref(prov);
	return r;
}

static struct pd_resource *build_secret(struct pd_tx *tx, const char *name)
{
	EnvoySecret *msg = pd_build_secret(tx, name);
	if (!msg)
		return NULL;
	struct pd_provenance *prov = tx_provenance(tx);
	struct pd_resource *r = pd_resource_new(PD_SDS, name, &msg->base, prov);
	pd_obj_unref(prov);
	return r;
}

static struct pd_resource *named(struct pd_engine *e, struct view_state *vs, enum view_part part, const char *name)
{
	struct view_resource *r;
	const char *key = pd_intern(name);
	HASH_FIND_PTR(vs->resources, &key, r);
	if (!r && vs->n_resources < ENGINE_VIEW_RESOURCES_MAX) {
		r = pd_xcalloc(1, sizeof(*r));
		unit_init(&r->u, vs, part);
		r->name = pd_intern_ref(key);
		HASH_ADD_PTR(vs->resources, name, r);
		vs->n_resources++;
	}
	struct view_resource uncached = {.name = key};
	if (!r) { // over the limit: computed each time
		unit_init(&uncached.u, vs, part);
		r = &uncached;
	}
	struct pass p;
	struct pd_tx tx;
	while (unit_begin(e, &r->u, false, &p, &tx)) {
		struct pd_resource *now = part == VIEW_SECRET ? build_secret(&tx, key) : build_gateway_route(&tx, key);
		pd_resource_unref(r->resource);
		r->resource = now;
		unit_end(e, &r->u, &p, &tx);
	}
	struct pd_resource *out = pd_resource_ref(r->resource);
	if (r == &uncached) {
		pthread_mutex_lock(&e->lock);
		pd_deps_clear(e->deps, &uncached.u.unit.deps);
		pthread_mutex_unlock(&e->lock);
		pd_resource_unref(uncached.resource);
	}
	pd_unintern(key);
	return out;
}

static struct pd_resource *sidecar_route(struct pd_engine *e, struct view_state *vs, const char *name)
{
	pthread_mutex_lock(&vs->scope->lock);
	pd_scope_refresh(e, vs->scope);
	struct pd_resource *r = pd_scope_route(e, vs->scope, name);
	pthread_mutex_unlock(&vs->scope->lock);
	return r;
}

// With vs->lock.
static struct pd_resource *resource_locked(struct pd_engine *e, struct view_state *vs, enum pd_type type,
					   const char *name)
{
	if (type == PD_EDS)
		return pd_endpoints_get(e, vs, name);
	if (type == PD_RDS && vs->view->key.type == PD_NODE_SIDECAR)
		return sidecar_route(e, vs, name);
	if (type == PD_RDS)
		return named(e, vs, VIEW_ROUTE, name);
	if (type == PD_SDS)
		return named(e, vs, VIEW_SECRET, name);
	return NULL;
}

struct pd_resource *pd_view_resource(struct pd_engine *e, struct pd_view *view, enum pd_type type, const char *name)
{
	struct view_state *vs = view->state;
	pthread_mutex_lock(&vs->lock);
	choose_scope(e, vs);
	struct pd_resource *r = resource_locked(e, vs, type, name);
	pthread_mutex_unlock(&vs->lock);
	return r;
}

void pd_view_resources(struct pd_engine *e, struct pd_view *view, enum pd_type type, const char *const *names, size_t n,
		       struct pd_resource **out)
{
	struct view_state *vs = view->state;
	pthread_mutex_lock(&vs->lock);
	choose_scope(e, vs);
	if (type == PD_EDS)
		pd_endpoints_get_cached(e, vs, names, n, out);
	else
		memset(out, 0, n * sizeof(struct pd_resource *));
	for (size_t i = 0; i < n; i++)
		if (!out[i])
			out[i] = resource_locked(e, vs, type, names[i]);
	pthread_mutex_unlock(&vs->lock);
}
