// The engine's control side: apply changes, publish snapshots, mark what is stale, tell the listener.
#include "discovery/engine.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/str.h"
#include "discovery/engine_impl.h"
#include "istio/networking/service_entry.pb-c.h"
#include "istio/networking/workload_entry.pb-c.h"
#include "k8s/pod.pb-c.h"

// ---- snapshots -------------------------------------------------------------------------------------------------------

static void snapshot_release(struct pd_obj *o)
{
	struct pd_snapshot *s = (struct pd_snapshot *)o;
	pd_config_snap_unref(s->config);
	pd_hamt_unref(s->derived);
	pd_obj_unref(s->mesh);
	free(s);
}

static struct pd_snapshot *snapshot_new(struct pd_engine *e, struct pd_mesh *mesh, uint64_t generation)
{
	struct pd_snapshot *s = pd_xcalloc(1, sizeof(*s));
	pd_obj_init(&s->obj, snapshot_release);
	s->generation = generation;
	s->config = pd_store_snapshot(e->store);
	s->derived = pd_registry_map(e->registry);
	s->mesh = pd_obj_ref(mesh);
	s->settings = e->settings;
	s->access = e->access;
	return s;
}

void pd_settings_defaults(struct pd_settings *s)
{
	*s = (struct pd_settings){
		.domain_suffix = "cluster.local",
		.cluster = "Kubernetes",
		.system_ns = "istio-system",
		.send_unhealthy = true,
		.mongo_filter = true,
		.trace_sampling = 1.0,
		.disable_track_remaining = true,
	};
}

static void drop_client_labels(struct pd_engine *e)
{
	for (size_t i = 0; i < e->client_labels.n; i++)
		pd_unintern(e->client_labels.v[i]);
	e->client_labels.n = 0;
}

struct pd_engine *pd_engine_new(const struct pd_settings *settings, struct pd_issues *issues)
{
	struct pd_engine *e = pd_xcalloc(1, sizeof(*e));
	e->settings = settings;
	e->issues = issues;
	e->store = pd_store_new(pd_indexes, pd_indexes_n);
	e->registry = pd_registry_new(settings->domain_suffix, settings->cluster);
	e->gwapi = pd_gwapi_new(settings);
	e->deps = pd_deps_new();
	pthread_mutex_init(&e->lock, NULL);
	struct pd_mesh *mesh = NULL;
	if (pd_mesh_parse("", 0, "defaults", issues, &mesh) != PD_OK)
		PD_UNREACHABLE();
	e->snap = snapshot_new(e, mesh, 1);
	pd_obj_unref(mesh);
	return e;
}

void pd_engine_free(struct pd_engine **ep)
{
	struct pd_engine *e = *ep;
	if (!e)
		return;
	PD_ASSERT(HASH_COUNT(e->views) == 0); // views keep scopes, scopes keep families
	pd_endpoints_free_all_locked(e);
	PD_ASSERT(HASH_COUNT(e->families) == 0);
	e->shared_sweep = NULL;
	pd_shared_listeners_sweep_locked(e, SIZE_MAX);
	drop_client_labels(e);
	pd_vec_free(&e->client_labels);
	pd_vec_free(&e->by_slot);
	pd_deps_free(&e->deps);
	pd_obj_unref(e->snap);
	pd_access_free(&e->access);
	pd_gwapi_free(&e->gwapi);
	pd_registry_free(&e->registry);
	pd_store_free(&e->store);
	pthread_mutex_destroy(&e->lock);
	free(e);
	*ep = NULL;
}

void pd_engine_listen(struct pd_engine *e, pd_invalidate_fn fn, void *arg)
{
	e->listen = fn;
	e->listen_arg = arg;
}

void pd_engine_set_ready(struct pd_engine *e)
{
	atomic_store(&e->ready, true);
}
bool pd_engine_ready(struct pd_engine *e)
{
	return atomic_load(&e->ready);
}

struct pd_snapshot *pd_engine_snapshot(struct pd_engine *e)
{
	pthread_mutex_lock(&e->lock);
	struct pd_snapshot *s = pd_obj_ref(e->snap);
	pthread_mutex_unlock(&e->lock);
	return s;
}

uint64_t pd_engine_generation(struct pd_engine *e)
{
	pthread_mutex_lock(&e->lock);
	uint64_t g = e->snap->generation;
	pthread_mutex_unlock(&e->lock);
	return g;
}

// ---- passes ----------------------------------------------------------------------------------------------------------

void pd_engine_pass_begin_locked(struct pd_engine *e, struct pass *p)
{
	memset(p, 0, sizeof(*p));
	p->snap = pd_obj_ref(e->snap);
	while (e->inflight[p->inflight]) {
		p->inflight++;
		PD_ASSERT(p->inflight < ENGINE_INFLIGHT_MAX);
	}
	e->inflight[p->inflight] = p->snap->generation;
}

void pd_engine_pass_end_locked(struct pd_engine *e, struct pass *p)
{
	e->inflight[p->inflight] = 0;
}

void pd_engine_pass_free(struct pass *p)
{
	pd_obj_unref(p->snap);
	pd_arena_free(&p->arena);
}

void pd_engine_pass_tx(struct pd_engine *e, struct pass *p, const struct pd_proxy_key *key, const struct pd_view *view,
		       struct pd_tx *tx)
{
	*tx = (struct pd_tx){.snap = p->snap, .key = key, .view = view, .arena = &p->arena, .issues = e->issues};
	atomic_fetch_add_explicit(&e->units_computed, 1, memory_order_relaxed);
}

static uint64_t oldest_inflight(const struct pd_engine *e)
{
	uint64_t oldest = e->snap->generation;
	for (size_t i = 0; i < ENGINE_INFLIGHT_MAX; i++)
		if (e->inflight[i] && e->inflight[i] < oldest)
			oldest = e->inflight[i];
	return oldest;
}

// ---- invalidation ----------------------------------------------------------------------------------------------------

enum { SWEEP_LISTENERS = 64 }; // shared listeners looked at with each change

#define BIT(type) (1u << (type))

struct marking {
	struct pd_engine *e;
	PD_VEC(struct pd_name_change) names;
};

static void mark_family(struct pd_engine *e, struct family *f)
{
	for (size_t i = 0; i < e->by_slot.n; i++) {
		struct scope *s = e->by_slot.v[i];
		if (!s)
			continue;
		pd_scope_add_pending_locked(s, f);
		s->notify |= s->key.type == PD_NODE_SIDECAR ? BIT(PD_CDS) | BIT(PD_LDS) | BIT(PD_RDS) : BIT(PD_CDS);
	}
}

static void mark_view_unit(struct view_unit *u)
{
	static const uint32_t types[] =
		{[VIEW_INBOUND] = BIT(PD_CDS), [VIEW_LISTENERS] = BIT(PD_LDS), [VIEW_HTTP] = BIT(PD_LDS),
		 [VIEW_NAMES] = BIT(PD_NDS),   [VIEW_ROUTE] = BIT(PD_RDS),     [VIEW_SECRET] = BIT(PD_SDS)};
	u->pending = true;
	u->vs->notify |= types[u->part];
}

static void mark(struct pd_unit *unit, void *arg)
{
	struct marking *m = arg;
	struct unit *u = (struct unit *)unit;
	switch (u->kind) {
	case UNIT_FAMILY:
		pd_deps_clear(m->e->deps, unit);
		mark_family(m->e, (struct family *)u);
		return;
	case UNIT_PORT: {
		struct port_group *g = (struct port_group *)u;
		pd_deps_clear(m->e->deps, unit);
		if (!g->pending) {
			g->pending = true;
			pd_vec_push(&g->scope->pending_ports, g);
		}
		g->scope->notify |= BIT(PD_LDS);
		return;
	}
	case UNIT_SCOPE_STATIC: {
		struct scope *s = (struct scope *)u;
		pd_deps_clear(m->e->deps, unit);
		s->static_pending = true;
		s->notify |= BIT(PD_CDS) | BIT(PD_RDS);
		return;
	}
	case UNIT_ENDPOINTS: {
		struct endpoint_entry *entry = (struct endpoint_entry *)u;
		pd_endpoints_stale_locked(m->e, entry);
		pd_vec_push(&m->names, (struct pd_name_change){PD_EDS, pd_intern_ref(entry->name)});
		return;
	}
	case UNIT_VIEW:
		pd_deps_clear(m->e->deps, unit);
		mark_view_unit((struct view_unit *)u);
		return;
	}
	PD_UNREACHABLE();
}

// Hosts that an object names: a scope that has no unit for them yet must look at them.
static void object_hosts(struct pd_engine *e, const struct pd_object *o, void (*fn)(struct pd_engine *, const char *))
{
	struct pd_arena a = {0};
	const char *domain = e->settings->domain_suffix;
	if (!o)
		return;
	if (o->key.kind == PD_KIND_SERVICE) {
		fn(e, pd_arena_printf(&a, "%s.%s.svc.%s", o->key.name, o->key.ns, domain));
	} else if (o->key.kind == PD_KIND_SERVICE_ENTRY) {
		const Istio__ServiceEntry *se = (const Istio__ServiceEntry *)o->spec;
		for (size_t i = 0; i < se->n_hosts; i++)
			fn(e, se->hosts[i]);
	} else if (o->key.kind == PD_KIND_VIRTUAL_SERVICE) {
		const Istio__VirtualService *vs = (const Istio__VirtualService *)o->spec;
		for (size_t i = 0; i < vs->n_hosts; i++)
			fn(e, pd_expand_host(&a, vs->hosts[i], o->key.ns, domain));
	}
	pd_arena_free(&a);
}

static void mark_host(struct pd_engine *e, const char *host)
{
	struct family *f = pd_family_get_locked(e, host);
	f->refs++; // so that a family nobody needs goes away again
	mark_family(e, f);
	pd_family_unref_locked(e, f);
}

static void collect_views(struct pd_engine *e, struct pd_invalidation *inv)
{
	PD_VEC(struct pd_view_change) v = {0};
	struct view_state *vs, *next;
	HASH_ITER(hh, e->views, vs, next)
	{
		uint32_t types = vs->notify | vs->scope->notify;
		vs->notify = 0;
		if (types)
			pd_vec_push(&v, (struct pd_view_change){pd_obj_ref(vs->view), types});
	}
	for (size_t i = 0; i < e->by_slot.n; i++)
		if (e->by_slot.v[i])
			e->by_slot.v[i]->notify = 0;
	inv->views = v.v;
	inv->n_views = v.n;
}

struct label_keys {
	struct pd_arena *arena;
	PD_VEC(const char *) v;
};

static void add_label_key(void *ctx, const char *key)
{
	struct label_keys *l = ctx;
	size_t at = 0;
	while (at < l->v.n && strcmp(l->v.v[at], key) < 0)
		at++;
	if (!*key || (at < l->v.n && pd_streq(l->v.v[at], key)))
		return;
	pd_vec_push_a(l->arena, &l->v, NULL);
	memmove(&l->v.v[at + 1], &l->v.v[at], (l->v.n - 1 - at) * sizeof(l->v.v[0]));
	l->v.v[at] = pd_arena_strdup(l->arena, key);
}

// ---- workloads whose proxies must be seen anew ---------------------------------------------------------------------------

struct moved {
	const struct pd_snapshot *before, *now;
	PD_VEC(const char *) v; // interned, one reference each
};

static bool same_workload(const struct pd_workload *a, const struct pd_workload *b)
{
	if (!a || !b || a->labels.n != b->labels.n || a->locality != b->locality)
		return a == b;
	for (size_t i = 0; i < a->labels.n; i++) // interned
		if (a->labels.v[i].key != b->labels.v[i].key || a->labels.v[i].value != b->labels.v[i].value)
			return false;
	return true;
}

static void look_at_address(struct moved *m, const char *ip)
{
	const struct pd_workload *a = pd_registry_get(m->before->derived, PD_IX_WORKLOAD, ip);
	const struct pd_workload *b = pd_registry_get(m->now->derived, PD_IX_WORKLOAD, ip);
	if (b && !same_workload(a, b)) // one that is gone takes its proxy along
		pd_vec_push(&m->v, pd_intern(ip));
}

static void look_at_pod(struct moved *m, const struct pd_object *o)
{
	struct pd_arena a = {.first_chunk = 1024};
	const K8s__PodStatus *status = ((const K8s__Pod *)pd_object_open(o, &a))->status;
	if (status && status->podip)
		look_at_address(m, status->podip);
	pd_arena_free(&a);
}

static void look_at_object(struct moved *m, const struct pd_object *o)
{
	if (o->key.kind == PD_KIND_POD) {
		look_at_pod(m, o);
	} else if (o->key.kind == PD_KIND_WORKLOAD_ENTRY) {
		look_at_address(m, ((const Istio__WorkloadEntry *)o->spec)->address);
	} else if (o->key.kind == PD_KIND_NODE) {
		const struct pd_posting *pods = pd_config_posting(m->now->config, PD_IX_POD_BY_NODE, o->key.name);
		for (size_t i = 0; i < pods->n; i++)
			look_at_pod(m, pods->v[i]);
	}
}

static void collect_moved(struct moved *m, const struct pd_changeset *sets, size_t n, struct pd_invalidation *inv)
{
	for (size_t s = 0; s < n; s++)
		for (size_t i = 0; i < sets[s].items.n; i++)
			if (sets[s].items.v[i].after)
				look_at_object(m, sets[s].items.v[i].after);
	inv->addresses = m->v.v;
	inv->n_addresses = m->v.n;
}

// The labels by which rules tell clients apart: sorted, distinct. They change rarely, and then every view looks for its scope
// anew.
static void follow_client_labels_locked(struct pd_engine *e)
{
	struct pd_arena a = {0};
	struct label_keys keys = {&a, {0}};
	const struct pd_posting *p = pd_config_posting(e->snap->config, PD_IX_CLIENT_LABEL, "");
	for (size_t i = 0; i < p->n; i++)
		for (size_t k = 0; k < pd_indexes_n; k++)
			if (pd_indexes[k].id == PD_IX_CLIENT_LABEL && pd_indexes[k].kind == p->v[i]->key.kind)
				pd_indexes[k].keys(p->v[i], add_label_key, &keys);
	bool same = keys.v.n == e->client_labels.n;
	for (size_t i = 0; same && i < keys.v.n; i++)
		same = pd_streq(keys.v.v[i], e->client_labels.v[i]);
	if (!same) {
		drop_client_labels(e);
		for (size_t i = 0; i < keys.v.n; i++)
			pd_vec_push(&e->client_labels, pd_intern(keys.v.v[i]));
		struct view_state *vs, *next;
		HASH_ITER(hh, e->views, vs, next)
		{
			vs->rescope = true;
			vs->notify |= BIT(PD_CDS) | BIT(PD_EDS) | BIT(PD_LDS) | BIT(PD_RDS);
		}
	}
	pd_arena_free(&a);
}

static void announce(struct pd_engine *e, struct pd_invalidation *inv)
{
	if (e->listen && (inv->n_views || inv->n_names || inv->n_addresses))
		e->listen(inv, e->listen_arg);
	for (size_t i = 0; i < inv->n_views; i++)
		pd_obj_unref(inv->views[i].view);
	for (size_t i = 0; i < inv->n_names; i++)
		pd_unintern(inv->names[i].name);
	for (size_t i = 0; i < inv->n_addresses; i++)
		pd_unintern(inv->addresses[i]);
	free(inv->addresses);
	free((void *)inv->views);
	free((void *)inv->names);
}

static void publish(struct pd_engine *e, struct pd_mesh *mesh, const struct pd_changeset *sets, size_t n_sets,
		    const struct pd_token_vec *tokens, uint64_t changed_ns)
{
	struct pd_snapshot *now = snapshot_new(e, mesh, e->snap->generation + 1), *old;
	struct marking m = {.e = e};
	struct pd_invalidation inv = {.generation = now->generation, .changed_ns = changed_ns};

	pthread_mutex_lock(&e->lock);
	old = e->snap;
	e->snap = now;
	pd_endpoints_sweep_locked(e);
	pd_shared_listeners_sweep_locked(e, SWEEP_LISTENERS);
	pd_deps_changed(e->deps, tokens->v, tokens->n, now->generation, mark, &m);
	for (size_t s = 0; s < n_sets; s++) {
		for (size_t i = 0; i < sets[s].items.n; i++) {
			object_hosts(e, sets[s].items.v[i].before, mark_host);
			object_hosts(e, sets[s].items.v[i].after, mark_host);
		}
	}
	follow_client_labels_locked(e);
	pd_deps_forget(e->deps, oldest_inflight(e));
	collect_views(e, &inv);
	pthread_mutex_unlock(&e->lock);

	struct moved moved = {.before = old, .now = now};
	collect_moved(&moved, sets, n_sets, &inv);
	pd_obj_unref(old);
	inv.names = m.names.v;
	inv.n_names = m.names.n;
	announce(e, &inv);
}

// ---- apply -----------------------------------------------------------------------------------------------------------

static void add_tokens(struct pd_token_vec *out, const struct pd_changeset *cs)
{
	for (size_t i = 0; i < cs->tokens.n; i++)
		pd_vec_push(out, cs->tokens.v[i]);
}

// The token of tx_each_service: some service came, went or changed.
static void add_services_token(struct pd_token_vec *out, const struct pd_changeset *cs)
{
	for (size_t i = 0; i < cs->items.n; i++) {
		const struct pd_object *o = cs->items.v[i].after ? cs->items.v[i].after : cs->items.v[i].before;
		if (o->key.kind == PD_KIND_SERVICE || o->key.kind == PD_KIND_SERVICE_ENTRY) {
			pd_vec_push(out, pd_token_make(PD_IX_SERVICE, ""));
			return;
		}
	}
}

// Objects that Gateway API objects stand for are made by us and stored beside the user's own.
static void apply_generated(struct pd_engine *e, const struct pd_changeset *cs, struct pd_changeset *out)
{
	struct pd_change_vec generated = {0};
	struct pd_config_snap *snap = pd_store_snapshot(e->store);
	pd_gwapi_apply(e->gwapi, snap, cs, &generated);
	pd_config_snap_unref(snap);
	if (generated.n)
		pd_store_apply(e->store, generated.v, generated.n, out);
	free(generated.v);
}

size_t pd_engine_apply(struct pd_engine *e, struct pd_change *changes, size_t n, uint64_t changed_ns)
{
	struct pd_changeset sets[2] = {0};
	struct pd_token_vec tokens = {0};
	pd_store_apply(e->store, changes, n, &sets[0]);
	if (sets[0].items.n) {
		apply_generated(e, &sets[0], &sets[1]);
		struct pd_config_snap *snap = pd_store_snapshot(e->store);
		pd_registry_apply(e->registry, snap, &sets[0], e->snap->mesh, &tokens);
		pd_config_snap_unref(snap);
		for (int i = 0; i < 2; i++) {
			add_tokens(&tokens, &sets[i]);
			add_services_token(&tokens, &sets[i]);
		}
		publish(e, e->snap->mesh, sets, 2, &tokens, changed_ns);
	}
	size_t changed = tokens.n;
	pd_vec_free(&tokens);
	pd_changeset_free(&sets[0]);
	pd_changeset_free(&sets[1]);
	return changed;
}

size_t pd_engine_set_mesh(struct pd_engine *e, struct pd_mesh *mesh)
{
	struct pd_token_vec tokens = {0};
	if (mesh->hash != e->snap->mesh->hash) {
		struct pd_changeset none = {0};
		struct pd_config_snap *snap = pd_store_snapshot(e->store);
		pd_registry_apply(e->registry, snap, &none, mesh, &tokens);
		pd_config_snap_unref(snap);
		pd_vec_push(&tokens, pd_token_make(PD_IX_MESH, ""));
		publish(e, mesh, NULL, 0, &tokens, pd_now_ns());
	}
	pd_obj_unref(mesh);
	size_t changed = tokens.n;
	pd_vec_free(&tokens);
	return changed;
}

void pd_engine_ask_access(struct pd_engine *e, void (*ask)(void *arg, const char *ns, const char *account), void *arg)
{
	PD_ASSERT(!e->access);
	e->access = pd_access_new(ask, arg);
	pthread_mutex_lock(&e->lock);
	e->snap->access = e->access;
	pthread_mutex_unlock(&e->lock);
}

size_t pd_engine_set_access(struct pd_engine *e, const char *ns, const char *account, bool allowed)
{
	struct pd_token_vec tokens = {0};
	if (!pd_access_answer(e->access, ns, account, allowed))
		return 0;
	char *key = pd_xasprintf("%s/%s", ns, account);
	pd_vec_push(&tokens, pd_token_make(PD_IX_ACCESS, key));
	publish(e, e->snap->mesh, NULL, 0, &tokens, pd_now_ns());
	pd_vec_free(&tokens);
	free(key);
	return 1;
}

// ---- views -----------------------------------------------------------------------------------------------------------

int pd_engine_view(struct pd_engine *e, const Envoy__Config__Core__V3__Node *node, const char *verified_account,
		   struct pd_view **out, char *err, size_t err_len)
{
	struct pd_view *view;
	struct pd_snapshot *snap = pd_engine_snapshot(e);
	int rc = pd_view_from_node(snap, node, verified_account, &view, err, err_len);
	pd_obj_unref(snap);
	if (rc != PD_OK)
		return rc;
	pthread_mutex_lock(&e->lock);
	struct view_state *vs;
	HASH_FIND(hh, e->views, &view->hash, sizeof(view->hash), vs);
	if (vs && pd_view_equal(vs->view, view)) {
		vs->users++;
		pd_obj_unref(view);
		view = vs->view;
	} else {
		pd_view_state_new_locked(e, view);
	}
	pthread_mutex_unlock(&e->lock);
	*out = view;
	return PD_OK;
}

void pd_view_unref(struct pd_engine *e, struct pd_view *view)
{
	pthread_mutex_lock(&e->lock);
	struct view_state *vs = view->state;
	if (--vs->users == 0)
		pd_view_state_free_locked(e, vs);
	pthread_mutex_unlock(&e->lock);
}

void pd_engine_stats(struct pd_engine *e, struct pd_engine_stats *out)
{
	pthread_mutex_lock(&e->lock);
	*out = (struct pd_engine_stats){
		.generation = e->snap->generation,
		.views = HASH_COUNT(e->views),
		.host_units = HASH_COUNT(e->families),
		.endpoint_units = HASH_COUNT(e->endpoints),
		.units_computed = atomic_load(&e->units_computed),
	};
	for (size_t i = 0; i < e->by_slot.n; i++)
		out->scopes += e->by_slot.v[i] != NULL;
	for (int k = 0; k < PD_KIND_COUNT; k++)
		out->objects += pd_config_count(e->snap->config, k);
	pthread_mutex_unlock(&e->lock);
}
