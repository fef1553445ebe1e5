// Scopes: the outbound side that many proxies share. A refresh computes the stale host units, then assembles the route
// configurations and listener templates of the ports that they touch, and leaves everything else as it is.
#include <stdlib.h>
#include <string.h>

#include "api/pb.h"
#include "base/hash.h"
#include "base/str.h"
#include "discovery/engine_impl.h"

// ---- life ------------------------------------------------------------------------------------------------------------

static bool labels_equal(const struct pd_labels *a, const struct pd_labels *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++) // interned, sorted
		if (a->v[i].key != b->v[i].key || a->v[i].value != b->v[i].value)
			return false;
	return true;
}

static bool key_equal(const struct pd_proxy_key *a, const struct pd_proxy_key *b)
{
	return a->type == b->type && a->ns == b->ns && a->dns_domain == b->dns_domain && a->cluster == b->cluster &&
	       a->network == b->network && a->network_view == b->network_view && a->caps == b->caps &&
	       a->ipv4 == b->ipv4 && a->ipv6 == b->ipv6 && a->interception == b->interception &&
	       a->idle_timeout == b->idle_timeout && a->proxy_config == b->proxy_config &&
	       a->unprivileged_pod == b->unprivileged_pod && a->http10 == b->http10 &&
	       a->dns_capture == b->dns_capture && a->dns_auto_allocate == b->dns_auto_allocate &&
	       memcmp(a->reserved_ports, b->reserved_ports, sizeof(a->reserved_ports)) == 0 &&
	       labels_equal(&a->labels, &b->labels);
}

// The labels of a view by which some rule tells clients apart. Borrowed from the view.
static struct pd_labels client_labels(const struct pd_engine *e, const struct pd_view *v, struct pd_arena *a)
{
	struct pd_label *out = pd_arena_alloc(a, (v->labels.n + 1) * sizeof(*out));
	size_t n = 0;
	for (size_t i = 0; i < v->labels.n; i++)
		for (size_t k = 0; k < e->client_labels.n; k++)
			if (pd_streq(v->labels.v[i].key, e->client_labels.v[k]))
				out[n++] = v->labels.v[i];
	return (struct pd_labels){n, out};
}

static struct pd_labels labels_copy(const struct pd_labels *l)
{
	struct pd_label *v = pd_xmalloc((l->n + 1) * sizeof(*v));
	for (size_t i = 0; i < l->n; i++)
		v[i] = (struct pd_label){pd_intern_ref(l->v[i].key), pd_intern_ref(l->v[i].value)};
	return (struct pd_labels){l->n, v};
}

static void labels_free(struct pd_labels *l)
{
	for (size_t i = 0; i < l->n; i++) {
		pd_unintern(l->v[i].key);
		pd_unintern(l->v[i].value);
	}
	free((void *)l->v);
}

static struct family_slot *slot_of(struct family *f, const struct scope *s)
{
	if (s->slot >= f->n_slots) {
		uint32_t n = s->slot + 1;
		f->by_scope = pd_xrealloc(f->by_scope, n * sizeof(*f->by_scope));
		memset(f->by_scope + f->n_slots, 0, (n - f->n_slots) * sizeof(*f->by_scope));
		f->n_slots = n;
	}
	return &f->by_scope[s->slot];
}

void pd_scope_add_pending_locked(struct scope *s, struct family *f)
{
	struct family_slot *slot = slot_of(f, s);
	if (slot->pending)
		return;
	slot->pending = true;
	f->refs++;
	pd_vec_push(&s->pending, f);
}

struct fill {
	struct pd_engine *e;
	struct scope *s;
};

static bool add_service_host(const char *host, struct pd_service_list *l, void *arg)
{
	struct fill *fill = arg;
	(void)l;
	pd_scope_add_pending_locked(fill->s, pd_family_get_locked(fill->e, host));
	return true;
}

static bool add_vs_hosts(const struct pd_object *o, void *arg)
{
	struct fill *fill = arg;
	const Istio__VirtualService *vs = (const Istio__VirtualService *)o->spec;
	struct pd_arena a = {0};
	for (size_t i = 0; i < vs->n_hosts; i++) {
		const char *host = pd_expand_host(&a, vs->hosts[i], o->key.ns, fill->e->settings->domain_suffix);
		pd_scope_add_pending_locked(fill->s, pd_family_get_locked(fill->e, host));
	}
	pd_arena_free(&a);
	return true;
}

static struct scope *scope_new_locked(struct pd_engine *e, const struct pd_proxy_key *key)
{
	struct scope *s = pd_xcalloc(1, sizeof(*s));
	s->unit.kind = UNIT_SCOPE_STATIC;
	s->key = *key;
	s->key.locality = pd_intern("");
	s->key.node = pd_intern("");
	s->key.labels = labels_copy(&key->labels);
	const char *const strings[] = {key->ns,           key->dns_domain,   key->cluster,     key->network,
				       key->network_view, key->idle_timeout, key->proxy_config};
	for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++)
		pd_intern_ref(strings[i]);
	pthread_mutex_init(&s->lock, NULL);
	s->static_pending = true;
	s->clusters = pd_segment_new(NULL, 0);
	s->static_clusters = pd_segment_new(NULL, 0);
	s->listeners = pd_segment_new(NULL, 0);
	while (s->slot < e->by_slot.n && e->by_slot.v[s->slot])
		s->slot++;
	if (s->slot == e->by_slot.n)
		pd_vec_push(&e->by_slot, NULL);
	e->by_slot.v[s->slot] = s;
	return s;
}

// A scope with every host pending.
static struct scope *scope_create_locked(struct pd_engine *e, const struct pd_proxy_key *key)
{
	struct scope *s = scope_new_locked(e, key);
	struct fill fill = {e, s};
	pd_registry_each_service(e->snap->derived, add_service_host, &fill);
	if (key->type == PD_NODE_SIDECAR)
		pd_config_each(e->snap->config, PD_KIND_VIRTUAL_SERVICE, add_vs_hosts, &fill);
	return s;
}

struct scope *pd_scope_get_locked(struct pd_engine *e, const struct pd_view *view)
{
	struct pd_arena a = {.first_chunk = 512};
	struct pd_proxy_key key = view->key;
	struct scope *found = NULL;
	key.labels = client_labels(e, view, &a);
	for (size_t i = 0; i < e->by_slot.n && !found; i++)
		if (e->by_slot.v[i] && key_equal(&e->by_slot.v[i]->key, &key))
			found = e->by_slot.v[i];
	if (!found)
		found = scope_create_locked(e, &key);
	found->users++;
	pd_arena_free(&a);
	return found;
}

static void scope_free_locked(struct pd_engine *e, struct scope *s)
{
	pd_scope_routes_free(s);
	pd_scope_ports_free(e, s);
	struct family *f, *next;
	for (size_t i = 0; i < s->pending.n; i++) {
		slot_of(s->pending.v[i], s)->pending = false;
		pd_family_unref_locked(e, s->pending.v[i]);
	}
	HASH_ITER(hh, e->families, f, next)
	{
		if (s->slot < f->n_slots && f->by_scope[s->slot].result) {
			pd_obj_unref(f->by_scope[s->slot].result);
			f->by_scope[s->slot].result = NULL;
			pd_family_unref_locked(e, f);
		}
	}
	pd_endpoints_drop_scope_locked(e, s);
	pd_vec_free(&s->pending);
	pd_vec_free(&s->pending_ports);
	pd_deps_clear(e->deps, &s->unit.deps);
	pd_obj_unref(s->clusters);
	pd_obj_unref(s->static_clusters);
	pd_obj_unref(s->listeners);
	const char *const strings[] = {s->key.ns,      s->key.dns_domain,   s->key.cluster,
				       s->key.network, s->key.network_view, s->key.locality,
				       s->key.node,    s->key.idle_timeout, s->key.proxy_config};
	for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++)
		pd_unintern(strings[i]);
	labels_free(&s->key.labels);
	pthread_mutex_destroy(&s->lock);
	e->by_slot.v[s->slot] = NULL;
	free(s);
}

void pd_scope_unref_locked(struct pd_engine *e, struct scope *s)
{
	PD_ASSERT(s->users > 0);
	if (--s->users == 0)
		scope_free_locked(e, s);
}

// ---- host units ------------------------------------------------------------------------------------------------------

struct changes { // of the cluster segment
	PD_VEC(struct pd_resource *) set;
	PD_VEC(const char *) removed;
};

static bool has_cluster(const struct host_result *r, const char *name)
{
	for (size_t i = 0; r && i < r->n_clusters; i++)
		if (r->clusters[i]->name == name)
			return true;
	return false;
}

// Replaces by what another scope has, where it is the same. Under engine.lock.
static struct host_result *share_locked(const struct family *f, struct host_result *r)
{
	for (uint32_t i = 0; r && i < f->n_slots; i++) {
		struct host_result *other = f->by_scope[i].result;
		if (!other)
			continue;
		if (pd_host_result_equal(other, r)) {
			pd_obj_unref(r);
			return pd_obj_ref(other);
		}
		for (size_t c = 0; c < r->n_clusters && c < other->n_clusters; c++) {
			if (r->clusters[c] == other->clusters[c] || r->clusters[c]->name != other->clusters[c]->name ||
			    r->clusters[c]->version != other->clusters[c]->version)
				continue;
			pd_resource_unref(r->clusters[c]);
			r->clusters[c] = pd_resource_ref(other->clusters[c]);
		}
	}
	return r;
}

// Puts the result in force; returns the one before (its reference goes to the caller).
static struct host_result *install_locked(struct pd_engine *e, struct scope *s, struct family *f,
					  struct host_result **r)
{
	*r = share_locked(f, *r);
	struct family_slot *slot = slot_of(f, s);
	struct host_result *before = slot->result;
	slot->result = pd_obj_ref(*r);
	if (*r && !before)
		f->refs++;
	else if (!*r && before)
		pd_family_unref_locked(e, f); // cannot be the last: the pending list holds one
	return before;
}

static void note_clusters(struct changes *ch, const struct host_result *before, const struct host_result *now,
			  struct pd_arena *names)
{
	for (size_t i = 0; now && i < now->n_clusters; i++)
		pd_vec_push(&ch->set, pd_resource_ref(now->clusters[i]));
	for (size_t i = 0; before && i < before->n_clusters; i++)
		if (!has_cluster(now, before->clusters[i]->name))
			pd_vec_push(&ch->removed,
				    pd_arena_strdup(names, before->clusters[i]->name)); // outlives `before`
}

static void refresh_host(struct pd_engine *e, struct scope *s, struct pass *p, struct family *f, struct changes *ch,
			 struct pd_arena *names)
{
	struct pd_tx tx;
	pd_arena_reset(&p->arena);
	pd_engine_pass_tx(e, p, &s->key, NULL, &tx);
	struct host_result *now = pd_host_result_build(&tx, f->host);

	pthread_mutex_lock(&e->lock);
	struct host_result *before = install_locked(e, s, f, &now);
	if (pd_deps_record(e->deps, &f->unit.deps, tx.tokens.v, tx.tokens.n, p->snap->generation))
		pd_scope_add_pending_locked(s, f);
	pthread_mutex_unlock(&e->lock);

	if (before != now) {
		note_clusters(ch, before, now, names);
		pd_scope_routes_change(s, f, before, now);
		pd_scope_ports_change(s, f, before, now);
	}
	pd_obj_unref(before);
	pd_obj_unref(now);
}

static void refresh_hosts(struct pd_engine *e, struct scope *s, struct pass *p, struct family **v, size_t n)
{
	struct changes ch = {0};
	struct pd_arena names = {0};
	for (size_t i = 0; i < n; i++)
		refresh_host(e, s, p, v[i], &ch, &names);
	if (ch.set.n || ch.removed.n) {
		struct pd_segment *now = pd_segment_update(s->clusters, ch.set.v, ch.set.n, ch.removed.v, ch.removed.n);
		pd_obj_unref(s->clusters);
		s->clusters = now;
	}
	pd_vec_free(&ch.set);
	pd_vec_free(&ch.removed);
	pd_arena_free(&names);
	pthread_mutex_lock(&e->lock);
	for (size_t i = 0; i < n; i++)
		pd_family_unref_locked(e, v[i]);
	pthread_mutex_unlock(&e->lock);
}

// ---- static parts ----------------------------------------------------------------------------------------------------

static void refresh_static_clusters(struct scope *s, struct pd_tx *tx)
{
	struct pd_cluster_vec clusters = {0};
	pd_build_static_clusters(tx, &clusters);
	struct pd_provenance *prov = tx_provenance(tx);
	struct pd_resource **v = pd_arena_alloc(tx->arena, (clusters.n + 1) * sizeof(*v));
	for (size_t i = 0; i < clusters.n; i++)
		v[i] = pd_resource_new(PD_CDS, clusters.v[i]->name, &clusters.v[i]->base, prov);
	pd_obj_unref(prov);
	struct pd_segment *now = pd_segment_new(v, clusters.n);
	if (now->version == s->static_clusters->version) {
		pd_obj_unref(now);
		return;
	}
	pd_obj_unref(s->static_clusters);
	s->static_clusters = now;
}

// False: a change came between, compute again.
static bool record_static(struct pd_engine *e, struct scope *s, struct pass *p, struct pd_tx *tx)
{
	pthread_mutex_lock(&e->lock);
	bool stale = pd_deps_record(e->deps, &s->unit.deps, tx->tokens.v, tx->tokens.n, p->snap->generation);
	s->static_pending |= stale;
	pthread_mutex_unlock(&e->lock);
	return !stale;
}

// ---- refresh ---------------------------------------------------------------------------------------------------------

// One round. False if there was nothing to do.
static bool refresh_round(struct pd_engine *e, struct scope *s)
{
	struct pass p;
	pthread_mutex_lock(&e->lock);
	bool fixed = s->static_pending;
	if (!fixed && !s->pending.n && !s->pending_ports.n) {
		pthread_mutex_unlock(&e->lock);
		return false;
	}
	struct family **v = s->pending.v;
	size_t n = s->pending.n;
	for (size_t i = 0; i < n; i++)
		slot_of(v[i], s)->pending = false;
	memset(&s->pending, 0, sizeof(s->pending));
	for (size_t i = 0; i < s->pending_ports.n; i++) {
		s->pending_ports.v[i]->dirty = true;
		s->pending_ports.v[i]->pending = false;
	}
	s->pending_ports.n = 0;
	s->static_pending = false;
	pd_engine_pass_begin_locked(e, &p);
	pthread_mutex_unlock(&e->lock);

	refresh_hosts(e, s, &p, v, n);
	free(v);
	pd_arena_reset(&p.arena);
	struct pd_tx tx;
	pd_engine_pass_tx(e, &p, &s->key, NULL, &tx);
	if (fixed)
		refresh_static_clusters(s, &tx);
	pd_scope_routes_build(s, &tx, fixed);
	(void)record_static(e, s, &p, &tx); // stale: the next round does it
	pd_scope_ports_build(e, s, &p);

	pthread_mutex_lock(&e->lock);
	pd_engine_pass_end_locked(e, &p);
	pthread_mutex_unlock(&e->lock);
	pd_engine_pass_free(&p);
	return true;
}

void pd_scope_refresh(struct pd_engine *e, struct scope *s)
{
	// Until nothing is pending: a unit that became stale while it was computed was not announced, so it must not be left.
	while (refresh_round(e, s))
		;
}

// A route configuration that no service has. NULL if a change came between.
static struct pd_resource *empty_route(struct pd_engine *e, struct scope *s, const char *name)
{
	struct pass p;
	pthread_mutex_lock(&e->lock);
	pd_engine_pass_begin_locked(e, &p);
	pthread_mutex_unlock(&e->lock);
	struct pd_tx tx;
	pd_engine_pass_tx(e, &p, &s->key, NULL, &tx);
	struct route_group empty = {.name = name};
	struct pd_resource *r = pd_scope_routes_build_one(&tx, &empty);
	if (!record_static(e, s, &p, &tx)) {
		pd_resource_unref(r);
		r = NULL;
	}
	pthread_mutex_lock(&e->lock);
	pd_engine_pass_end_locked(e, &p);
	pthread_mutex_unlock(&e->lock);
	pd_engine_pass_free(&p);
	return r;
}

struct pd_resource *pd_scope_route(struct pd_engine *e, struct scope *s, const char *name)
{
	struct pd_resource *r = NULL;
	const char *key = pd_intern(name);
	while (!r) {
		struct route_group *g = NULL;
		HASH_FIND_PTR(s->routes, &key, g);
		if (g && g->resource) {
			r = pd_resource_ref(g->resource);
		} else {
			r = empty_route(e, s, name);
			if (!r)
				pd_scope_refresh(e, s); // as there: what is stale already is not announced again
		}
	}
	pd_unintern(key);
	return r;
}
