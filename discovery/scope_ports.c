// Outbound listeners of a scope, by service port: templates that are complete, or that each view fills in.
#include <stdlib.h>
#include <string.h>

#include "api/pb.h"
#include "base/hash.h"
#include "base/str.h"
#include "discovery/engine_impl.h"

// ---- membership ------------------------------------------------------------------------------------------------------

static struct port_group *group_get(struct scope *s, uint32_t port)
{
	struct port_group *g;
	HASH_FIND(hh, s->ports, &port, sizeof(port), g);
	if (g)
		return g;
	g = pd_xcalloc(1, sizeof(*g));
	g->unit.kind = UNIT_PORT;
	g->scope = s;
	g->port = port;
	HASH_ADD(hh, s->ports, port, sizeof(port), g);
	return g;
}

static size_t member_find(const struct port_group *g, const char *host)
{
	size_t lo = 0, hi = g->members.n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (strcmp(g->members.v[mid]->host, host) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void member_add(struct port_group *g, struct family *f)
{
	size_t i = member_find(g, f->host);
	pd_vec_push(&g->members, NULL);
	memmove(&g->members.v[i + 1], &g->members.v[i], (g->members.n - 1 - i) * sizeof(g->members.v[0]));
	g->members.v[i] = f;
	g->dirty = true;
}

static void member_remove(struct port_group *g, const struct family *f)
{
	size_t i = member_find(g, f->host);
	PD_ASSERT(i < g->members.n && g->members.v[i] == f);
	g->members.n--;
	memmove(&g->members.v[i], &g->members.v[i + 1], (g->members.n - i) * sizeof(g->members.v[0]));
	g->dirty = true;
}

void pd_scope_ports_change(struct scope *s, struct family *f, const struct host_result *before,
			   const struct host_result *now)
{
	if (s->key.type != PD_NODE_SIDECAR)
		return;
	size_t i = 0, j = 0, nb = before ? before->n_ports : 0, nn = now ? now->n_ports : 0;
	while (i < nb || j < nn) { // both sorted
		if (j == nn || (i < nb && before->ports[i] < now->ports[j])) {
			member_remove(group_get(s, before->ports[i++]), f);
		} else if (i == nb || before->ports[i] > now->ports[j]) {
			member_add(group_get(s, now->ports[j++]), f);
		} else {
			if (before->service != now->service)
				group_get(s, now->ports[j])->dirty = true;
			i++;
			j++;
		}
	}
}

// ---- templates -------------------------------------------------------------------------------------------------------

static void template_free(struct template_result *t)
{
	for (size_t i = 0; i < t->n_slots; i++) {
		pd_unintern(t->slots[i].route_name);
		pd_unintern(t->slots[i].stat_prefix);
	}
	free(t->slots);
	pd_unintern(t->name);
	pd_resource_unref(t->complete);
	pd_blob_unref(t->template);
	pd_obj_unref(t->prov);
}

// Takes the reference; returns one to the same listener as other scopes have it.
static struct pd_resource *share_listener(struct pd_engine *e, struct pd_resource *r)
{
	struct shared_listener *s;
	pthread_mutex_lock(&e->lock);
	HASH_FIND_PTR(e->shared_listeners, &r->name, s);
	if (!s) {
		s = pd_xcalloc(1, sizeof(*s));
		s->name = pd_intern_ref(r->name);
		s->resource = pd_resource_ref(r);
		HASH_ADD_PTR(e->shared_listeners, name, s);
	} else if (s->resource->version == r->version && pd_provenance_equal(s->resource->prov, r->prov)) {
		pd_resource_unref(r);
		r = pd_resource_ref(s->resource);
	} else {
		pd_resource_unref(s->resource);
		s->resource = pd_resource_ref(r);
	}
	pthread_mutex_unlock(&e->lock);
	return r;
}

void pd_shared_listeners_sweep_locked(struct pd_engine *e, size_t n)
{
	struct shared_listener *s = e->shared_sweep ? e->shared_sweep : e->shared_listeners, *next;
	for (; s && n; n--, s = next) {
		next = s->hh.next;
		if (atomic_load(&s->resource->obj.ref.n) > 1)
			continue;
		HASH_DEL(e->shared_listeners, s);
		pd_unintern(s->name);
		pd_resource_unref(s->resource);
		free(s);
	}
	e->shared_sweep = s;
}

static struct template_result template_result_new(struct pd_engine *e, const struct pd_listener_template *t,
						  struct pd_provenance *prov)
{
	struct template_result r = {.name = pd_intern(t->msg->name), .prov = pd_obj_ref(prov)};
	if (!t->n_http) {
		r.complete = share_listener(e, pd_resource_new(PD_LDS, t->msg->name, &t->msg->base, prov));
		r.version = r.complete->version;
		return r;
	}
	r.template = pb_pack_blob(t->msg);
	r.version = r.template->hash;
	r.n_slots = t->n_http;
	r.slots = pd_xcalloc(t->n_http, sizeof(*r.slots));
	for (size_t i = 0; i < t->n_http; i++) {
		struct pd_http_slot *slot = &r.slots[i];
		*slot = t->http[i];
		slot->route_name = pd_intern(slot->route_name);
		slot->stat_prefix = pd_intern(slot->stat_prefix);
		r.version = pd_hash_mix(r.version, (uint64_t)slot->chain << 32 | slot->filter);
		r.version = pd_hash_mix(r.version, pd_intern_hash(slot->route_name) ^ slot->protocol);
		r.version = pd_hash_mix(r.version, pd_intern_hash(slot->stat_prefix) ^ slot->port);
	}
	return r;
}

struct listener_changes {
	PD_VEC(struct pd_resource *) set;
	PD_VEC(const char *) removed;
	bool http;
};

static bool still_complete(const struct port_group *g, const char *name)
{
	for (size_t i = 0; i < g->templates.n; i++)
		if (g->templates.v[i].complete && g->templates.v[i].name == name)
			return true;
	return false;
}

static bool same_http(const struct template_result *t, const struct template_result *old, size_t n_old)
{
	for (size_t i = 0; i < n_old; i++)
		if (!old[i].complete && old[i].name == t->name && old[i].version == t->version)
			return true;
	return false;
}

// Puts the new templates in force and notes what differs.
static void group_update(struct pd_engine *e, struct port_group *g, struct pd_template_vec *v,
			 struct pd_provenance *prov, struct listener_changes *ch, struct pd_arena *names)
{
	struct template_result *old = g->templates.v;
	size_t n_old = g->templates.n, http_before = 0, http_now = 0;
	memset(&g->templates, 0, sizeof(g->templates));
	for (size_t i = 0; i < v->n; i++) {
		pd_vec_push(&g->templates, template_result_new(e, &v->v[i], prov));
		struct template_result *t = &g->templates.v[i];
		if (t->complete) {
			pd_vec_push(&ch->set, pd_resource_ref(t->complete));
		} else {
			http_now++;
			ch->http |= !same_http(t, old, n_old);
		}
	}
	for (size_t i = 0; i < n_old; i++) {
		if (!old[i].complete)
			http_before++;
		else if (!still_complete(g, old[i].name))
			pd_vec_push(&ch->removed, pd_arena_strdup(names, old[i].name));
		template_free(&old[i]);
	}
	ch->http |= http_before != http_now;
	free(old);
}

static void group_build(struct pd_engine *e, struct pass *p, struct port_group *g, struct listener_changes *ch,
			struct pd_arena *names)
{
	struct pd_tx tx;
	pd_arena_reset(&p->arena);
	pd_engine_pass_tx(e, p, &g->scope->key, NULL, &tx);
	const struct pd_service **svcs = pd_arena_alloc(&p->arena, (g->members.n + 1) * sizeof(*svcs));
	size_t n = 0;
	for (size_t i = 0; i < g->members.n; i++) {
		const struct pd_service *svc = tx_service(&tx, g->members.v[i]->host);
		if (svc && pd_service_port(svc, g->port))
			svcs[n++] = svc;
	}
	tx.tokens.n =
		0; // a change of a service comes by its host unit (scope_ports_change): no need to note each one here
	pd_sort(svcs, n, sizeof(*svcs), pd_service_cmp_age);
	struct pd_template_vec templates = {0};
	if (n)
		pd_build_port_listeners(&tx, g->port, svcs, n, &templates);
	struct pd_provenance *prov = tx_provenance(&tx);
	group_update(e, g, &templates, prov, ch, names);
	pd_obj_unref(prov);

	pthread_mutex_lock(&e->lock);
	if (pd_deps_record(e->deps, &g->unit.deps, tx.tokens.v, tx.tokens.n, p->snap->generation) && !g->pending) {
		g->pending = true;
		pd_vec_push(&g->scope->pending_ports, g);
	}
	pthread_mutex_unlock(&e->lock);
}

static void group_free_locked(struct pd_engine *e, struct scope *s, struct port_group *g)
{
	for (size_t i = 0; i < s->pending_ports.n; i++)
		if (s->pending_ports.v[i] == g)
			s->pending_ports.v[i--] = s->pending_ports.v[--s->pending_ports.n];
	pd_deps_clear(e->deps, &g->unit.deps);
	HASH_DEL(s->ports, g);
	for (size_t i = 0; i < g->templates.n; i++)
		template_free(&g->templates.v[i]);
	pd_vec_free(&g->templates);
	pd_vec_free(&g->members);
	free(g);
}

void pd_scope_ports_build(struct pd_engine *e, struct scope *s, struct pass *p)
{
	struct listener_changes ch = {0};
	struct pd_arena names = {0};
	struct port_group *g, *next;
	HASH_ITER(hh, s->ports, g, next)
	{
		if (!g->dirty)
			continue;
		g->dirty = false;
		group_build(e, p, g, &ch, &names);
		if (!g->members.n) {
			pthread_mutex_lock(&e->lock);
			group_free_locked(e, s, g);
			pthread_mutex_unlock(&e->lock);
		}
	}
	if (ch.http)
		s->templates_version++;
	if (ch.set.n || ch.removed.n) {
		struct pd_segment *now =
			pd_segment_update(s->listeners, ch.set.v, ch.set.n, ch.removed.v, ch.removed.n);
		pd_obj_unref(s->listeners);
		s->listeners = now;
	}
	pd_vec_free(&ch.set);
	pd_vec_free(&ch.removed);
	pd_arena_free(&names);
}

void pd_scope_ports_free(struct pd_engine *e, struct scope *s)
{
	struct port_group *g, *next;
	HASH_ITER(hh, s->ports, g, next)
	group_free_locked(e, s, g);
}
