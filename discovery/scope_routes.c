// Route configurations of a scope: ropes over the virtual hosts of its host units.
#include <stdlib.h>
#include <string.h>

#include "api/pb.h"
#include "base/str.h"
#include "discovery/engine_impl.h"

static struct route_group *group_get(struct scope *s, const char *name)
{
	struct route_group *g;
	HASH_FIND_PTR(s->routes, &name, g);
	if (g)
		return g;
	g = pd_xcalloc(1, sizeof(*g));
	g->name = pd_intern_ref(name);
	HASH_ADD_PTR(s->routes, name, g);
	return g;
}

static void group_free(struct scope *s, struct route_group *g)
{
	HASH_DEL(s->routes, g);
	pd_unintern(g->name);
	pd_vec_free(&g->members);
	pd_resource_unref(g->resource);
	free(g);
}

static int member_cmp(const struct route_member *m, const char *vhost, const char *host)
{
	int c = strcmp(m->vhost->name, vhost);
	return c ? c : strcmp(m->family->host, host);
}

static size_t member_find(const struct route_group *g, const char *vhost, const char *host)
{
	size_t lo = 0, hi = g->members.n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (member_cmp(&g->members.v[mid], vhost, host) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void member_add(struct route_group *g, const struct family *f, const struct host_result *r,
		       const struct host_vhost *vh)
{
	size_t i = member_find(g, vh->name, f->host);
	pd_vec_push(&g->members, (struct route_member){0});
	memmove(&g->members.v[i + 1], &g->members.v[i], (g->members.n - 1 - i) * sizeof(g->members.v[0]));
	g->members.v[i] = (struct route_member){f, r, vh};
	g->dirty = true;
}

static void member_remove(struct route_group *g, const struct family *f, const struct host_vhost *vh)
{
	size_t i = member_find(g, vh->name, f->host);
	PD_ASSERT(i < g->members.n && g->members.v[i].family == f);
	g->members.n--;
	memmove(&g->members.v[i], &g->members.v[i + 1], (g->members.n - i) * sizeof(g->members.v[0]));
	g->dirty = true;
}

void pd_scope_routes_change(struct scope *s, struct family *f, const struct host_result *before,
			    const struct host_result *now)
{
	for (size_t i = 0; before && i < before->n_vhosts; i++)
		member_remove(group_get(s, before->vhosts[i].route_name), f, &before->vhosts[i]);
	for (size_t i = 0; now && i < now->n_vhosts; i++)
		member_add(group_get(s, now->vhosts[i].route_name), f, now, &now->vhosts[i]);
}

// ---- domains: over all virtual hosts of a configuration each may occur once (build.h: who keeps it) --------------------------

struct seen {
	uint64_t *v; // open addressing, 0 = free
	size_t mask;
};

static struct seen seen_new(const struct route_group *g)
{
	size_t n = 0, cap = 16;
	for (size_t i = 0; i < g->members.n; i++)
		n += g->members.v[i].vhost->n_domains;
	while (cap < n * 2)
		cap *= 2;
	return (struct seen){pd_xcalloc(cap, sizeof(uint64_t)), cap - 1};
}

// False if it was there already.
static bool seen_add(struct seen *s, uint64_t h)
{
	h += !h;
	for (size_t i = h & s->mask;; i = (i + 1) & s->mask) {
		if (s->v[i] == h)
			return false;
		if (!s->v[i]) {
			s->v[i] = h;
			return true;
		}
	}
}

enum { ROUTE_CONFIG_VIRTUAL_HOSTS = 2 };

// The virtual host without the domains in `drop`; NULL if none remains.
static struct pd_blob *without_domains(const struct host_vhost *vh, const bool *drop, struct pd_arena *a)
{
	void *config;
	if (pb_unpack(a, &envoy__config__route__v3__route_configuration__descriptor, vh->field->data, vh->field->len,
		      &config, NULL) != PD_OK)
		PD_UNREACHABLE();
	Envoy__Config__Route__V3__VirtualHost *msg =
		((Envoy__Config__Route__V3__RouteConfiguration *)config)->virtual_hosts[0];
	size_t n = 0;
	for (size_t i = 0; i < msg->n_domains; i++)
		if (!drop[i])
			msg->domains[n++] = msg->domains[i];
	msg->n_domains = n;
	return n ? pd_field_blob(ROUTE_CONFIG_VIRTUAL_HOSTS, &msg->base) : NULL;
}

// The host of a service belongs to it, whatever short forms others have.
static void claim_hosts(struct seen *seen, const struct route_group *g, bool *claimed)
{
	for (size_t i = 0; i < g->members.n; i++) {
		const struct host_vhost *vh = g->members.v[i].vhost;
		claimed[i] = vh->rank != PD_VHOST_BARE && vh->n_domains && seen_add(seen, vh->domains[0]);
	}
}

// `host_claimed`: the first domain is the virtual host's already.
static struct pd_blob *claim_domains(struct seen *seen, const struct host_vhost *vh, bool host_claimed,
				     struct pd_arena *a)
{
	bool *drop = pd_arena_zalloc(a, vh->n_domains + 1), any = false;
	for (uint32_t i = host_claimed; i < vh->n_domains; i++)
		any |= drop[i] = !seen_add(seen, vh->domains[i]);
	return any ? without_domains(vh, drop, a) : pd_blob_ref(vh->field);
}

// The members' virtual hosts with the domains that are left for each; NULL for those without. In the order of the members.
static struct pd_blob **claim_all(const struct route_group *g, struct pd_arena *a)
{
	struct pd_blob **out = pd_arena_alloc(a, (g->members.n + 1) * sizeof(*out));
	bool *claimed = pd_arena_alloc(a, g->members.n + 1);
	struct seen seen = seen_new(g);
	claim_hosts(&seen, g, claimed);
	for (int rank = PD_VHOST_BARE; rank <= PD_VHOST_PLAIN; rank++)
		for (size_t i = 0; i < g->members.n; i++)
			if ((int)g->members.v[i].vhost->rank == rank)
				out[i] = claim_domains(&seen, g->members.v[i].vhost, claimed[i], a);
	free(seen.v);
	return out;
}

// ---- assembly --------------------------------------------------------------------------------------------------------

static struct pd_provenance *members_provenance(const struct route_group *g, struct pd_tx *tx)
{
	tx->used.n = 0;
	for (size_t i = 0; i < g->members.n; i++) {
		const struct pd_provenance *prov = g->members.v[i].result->prov;
		for (size_t k = 0; k < prov->n; k++)
			pd_vec_push_a(tx->arena, &tx->used, prov->keys[k]);
	}
	return tx_provenance(tx);
}

struct pd_resource *pd_scope_routes_build_one(struct pd_tx *tx, const struct route_group *g)
{
	struct pd_blob **children = claim_all(g, tx->arena);
	size_t n = 0;
	for (size_t i = 0; i < g->members.n; i++)
		if (children[i])
			children[n++] = children[i];
	Envoy__Config__Route__V3__RouteConfiguration *head = pd_build_route_head(tx, g->name), *tail = NULL;
	Envoy__Config__Route__V3__VirtualHost *last = pd_build_catch_all(tx, g->name);
	if (last) {
		tail = pb_new(tx->arena, &envoy__config__route__v3__route_configuration__descriptor);
		PB_PUSH(tx->arena, tail, virtual_hosts, last);
	}
	struct pd_provenance *prov = members_provenance(g, tx);
	struct pd_resource *r =
		pd_resource_new_rope(PD_RDS, g->name, &head->base, children, n, tail ? &tail->base : NULL, prov);
	pd_obj_unref(prov);
	for (size_t i = 0; i < n; i++)
		pd_blob_unref(children[i]);
	return r;
}

void pd_scope_routes_build(struct scope *s, struct pd_tx *tx, bool all)
{
	struct route_group *g, *next;
	HASH_ITER(hh, s->routes, g, next)
	{
		if (!g->dirty && !all)
			continue;
		g->dirty = false;
		if (!g->members.n) {
			group_free(s, g);
			continue;
		}
		struct pd_resource *r = pd_scope_routes_build_one(tx, g);
		pd_resource_unref(g->resource);
		g->resource = r;
	}
}

void pd_scope_routes_free(struct scope *s)
{
	struct route_group *g, *next;
	HASH_ITER(hh, s->routes, g, next)
	group_free(s, g);
}
