// The registry: facts about the mesh and its clusters, the map of records, and the order of a pass (internal.h).
#include "discovery/registry/internal.h"

// ---- life -----------------------------------------------------------------------------------------------------------------

struct pd_registry *pd_registry_new(const char *domain_suffix, const char *cluster)
{
	struct pd_registry *r = pd_xcalloc(1, sizeof(*r));

	r->domain = pd_intern(domain_suffix);
	r->own_cluster = pd_intern(cluster);
	pd_reg_cluster(r, r->own_cluster);
	return r;
}

static void drop_mesh(struct pd_registry *r)
{
	pd_unintern(r->trust_domain);
	pd_unintern(r->root_ns);
	pd_reg_strings_drop(r->default_export, r->n_default_export);
	free(r->default_export);
	pd_obj_unref(r->networks);
}

void pd_registry_free(struct pd_registry **reg)
{
	struct pd_registry *r = *reg;

	*reg = NULL;
	if (!r)
		return;
	pd_hamt_unref(r->map);
	for (size_t i = 0; i < r->clusters.n; i++) {
		pd_obj_unref(r->clusters.v[i].bare);
		pd_unintern(r->clusters.v[i].name);
		pd_unintern(r->clusters.v[i].network);
	}
	pd_vec_free(&r->clusters);
	drop_mesh(r);
	pd_unintern(r->domain);
	pd_unintern(r->own_cluster);
	pd_arena_free(&r->scratch);
	pd_arena_free(&r->tmp);
	free(r);
}

// ---- the map --------------------------------------------------------------------------------------------------------------

static void (*release_of(enum pd_derived_index index))(struct pd_obj *)
{
	switch (index) {
	case PD_IX_SERVICE:
	case PD_IX_TARGETS:
		return pd_reg_service_list_release;
	case PD_IX_ENDPOINTS:
		return pd_reg_endpoints_release;
	case PD_IX_ACCOUNTS:
		return pd_reg_accounts_release;
	case PD_IX_WORKLOAD:
		return pd_reg_workload_release;
	case PD_IX_NETWORKS:
		return pd_reg_networks_release;
	default:
		return NULL;
	}
}

// Keys of different indexes may be the same text; their hashes differ, as they are seeded by the index. Should two hashes be
// equal after all, the kind of record tells.
void *pd_registry_get(pd_hamt map, enum pd_derived_index index, const char *key)
{
	struct pd_obj *o = pd_hamt_get(map, pd_token_make(index, key), key);

	return o && o->release == release_of(index) ? o : NULL;
}

pd_hamt pd_registry_map(struct pd_registry *r)
{
	return pd_hamt_ref(r->map);
}

struct each {
	bool (*fn)(const char *host, struct pd_service_list *l, void *arg);
	void *arg;
};

// Targets are lists of services as well: only under a host's own name is the first one called so.
static bool each_service(const char *key, void *value, void *arg)
{
	const struct each *e = arg;
	struct pd_service_list *l = value;

	if (((struct pd_obj *)value)->release != pd_reg_service_list_release || !pd_streq(l->v[0]->host, key))
		return true;
	return e->fn(key, l, e->arg);
}

void pd_registry_each_service(pd_hamt map, bool (*fn)(const char *host, struct pd_service_list *l, void *arg),
			      void *arg)
{
	struct each e = {fn, arg};

	pd_hamt_each(map, each_service, &e);
}

void *pd_reg_get(const struct pd_registry *r, enum pd_derived_index index, const char *key)
{
	return pd_registry_get(r->map, index, key);
}

static void announce(struct reg_pass *p, pd_token token)
{
	pd_vec_push(p->tokens, token);
}

void pd_reg_put(struct reg_pass *p, enum pd_derived_index index, const char *key, void *value, bool changed)
{
	pd_token token = pd_token_make(index, key);

	p->r->map = pd_hamt_set(p->r->map, token, key, value);
	if (changed)
		announce(p, token);
}

// ---- names ------------------------------------------------------------------------------------------------------------------

const char *pd_reg_kube_host(struct reg_pass *p, const char *name, const char *ns)
{
	return pd_arena_printf(p->a, "%s.%s.svc.%s", name, ns, p->r->domain);
}

bool pd_reg_kube_name(const struct pd_registry *r, struct pd_arena *a, const char *host, const char **name,
		      const char **ns)
{
	const char *dot = strchr(host, '.'), *dot2 = dot ? strchr(dot + 1, '.') : NULL;

	if (!dot2 || strncmp(dot2, ".svc.", 5) != 0 || strcmp(dot2 + 5, r->domain) != 0)
		return false;
	*name = pd_arena_strndup(a, host, (size_t)(dot - host));
	*ns = pd_arena_strndup(a, dot + 1, (size_t)(dot2 - dot - 1));
	return true;
}

// ---- keys -------------------------------------------------------------------------------------------------------------------

void pd_reg_mark(struct reg_pass *p, struct reg_keys *keys, const char *key)
{
	if (!keys->n || strcmp(keys->v[keys->n - 1], key) != 0)
		pd_vec_push_a(p->a, keys, key);
}

static int cmp_key(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void update_each(struct reg_pass *p, struct reg_keys *keys, void (*update)(struct reg_pass *, const char *))
{
	if (keys->n)
		qsort(keys->v, keys->n, sizeof(keys->v[0]), cmp_key);
	for (size_t i = 0; i < keys->n; i++)
		if (!i || strcmp(keys->v[i], keys->v[i - 1]) != 0)
			update(p, keys->v[i]);
}

// ---- clusters and mesh --------------------------------------------------------------------------------------------------------

const struct reg_cluster *pd_reg_cluster(struct pd_registry *r, const char *name)
{
	size_t at;

	for (at = 0; at < r->clusters.n; at++)
		if (pd_streq(r->clusters.v[at].name, name))
			return &r->clusters.v[at];
	at = r->clusters.n ? 1 : 0;
	while (at < r->clusters.n && strcmp(r->clusters.v[at].name, name) < 0)
		at++;
	pd_vec_push(&r->clusters, (struct reg_cluster){0});
	memmove(&r->clusters.v[at + 1], &r->clusters.v[at], (r->clusters.n - 1 - at) * sizeof(r->clusters.v[0]));
	r->clusters.v[at] = (struct reg_cluster){.name = pd_intern(name), .network = pd_intern("")};
	return &r->clusters.v[at];
}

static bool equal_export(const struct pd_registry *r, const Istio__MeshConfig *m)
{
	if (r->n_default_export != m->n_default_service_export_to)
		return false;
	for (size_t i = 0; i < r->n_default_export; i++)
		if (!pd_streq(r->default_export[i], m->default_service_export_to[i]))
			return false;
	return true;
}

static bool equal_networks(const struct pd_mesh_networks *a, const struct pd_mesh_networks *b)
{
	return (a ? a->hash : 0) == (b ? b->hash : 0);
}

// True if something that shapes records is different now.
static bool take_mesh(struct reg_pass *p, const struct pd_mesh *mesh)
{
	struct pd_registry *r = p->r;
	const Istio__MeshConfig *m = mesh->config;

	if (!r->primed || r->mesh_hash != mesh->hash)
		announce(p, pd_token_make(PD_IX_MESH, ""));
	r->mesh_hash = mesh->hash;
	if (r->primed && pd_streq(r->trust_domain, mesh->trust_domain) && pd_streq(r->root_ns, mesh->root_namespace) &&
	    equal_export(r, m) && equal_networks(r->networks, mesh->networks))
		return false;
	drop_mesh(r);
	r->trust_domain = pd_intern(mesh->trust_domain);
	r->root_ns = pd_intern(mesh->root_namespace);
	r->n_default_export = m->n_default_service_export_to;
	r->default_export = pd_xcalloc(r->n_default_export, sizeof(char *));
	for (size_t i = 0; i < r->n_default_export; i++)
		r->default_export[i] = pd_intern(m->default_service_export_to[i]);
	r->networks = mesh->networks ? pd_obj_ref(mesh->networks) : NULL;
	p->networks = true;
	return true;
}

const char *pd_reg_network(const struct pd_registry *r, const struct reg_cluster *c, const char *address)
{
	return *c->network ? c->network : pd_mesh_networks_of(r->networks, pd_or(address, ""));
}

// Everything in a cluster lies in the network that its system namespace or fromRegistry names. True if one changed.
static bool take_networks(struct reg_pass *p)
{
	bool changed = false;

	for (size_t i = 0; i < p->r->clusters.n; i++) {
		struct reg_cluster *c = &p->r->clusters.v[i];
		const struct pd_object *ns = pd_config_get(p->snap, PD_KIND_NAMESPACE, c->name, "", p->r->root_ns);
		const char *network = ns ? pd_or(pd_object_label(ns, "topology.istio.io/network"), "") : "";

		if (!*network)
			network = pd_mesh_networks_of_registry(p->r->networks, c->name);
		if (pd_streq(c->network, network))
			continue;
		pd_unintern(c->network);
		c->network = pd_intern(network);
		pd_obj_unref(c->bare);
		c->bare = NULL;
		changed = true;
	}
	return changed;
}

// ---- a pass -------------------------------------------------------------------------------------------------------------------

// True if all records have to be made anew.
static bool take_facts(struct reg_pass *p, const struct pd_changeset *changes, const struct pd_mesh *mesh)
{
	bool everything = take_mesh(p, mesh);

	if (!p->r->primed)
		pd_reg_meet_clusters(p);
	for (size_t i = 0; i < changes->items.n; i++) {
		const struct pd_object *o = changes->items.v[i].after;

		if (o)
			pd_reg_cluster(p->r, o->key.cluster);
	}
	if (take_networks(p))
		everything = p->networks = true;
	p->r->primed = true;
	return everything;
}

void pd_registry_apply(struct pd_registry *r, const struct pd_config_snap *snap, const struct pd_changeset *changes,
		       const struct pd_mesh *mesh, struct pd_token_vec *tokens)
{
	struct reg_pass p = {.r = r, .snap = snap, .tokens = tokens, .a = &r->scratch};
	bool first = !r->primed;

	if (take_facts(&p, changes, mesh))
		pd_reg_touch_all(&p);
	for (size_t i = 0; i < changes->items.n && !first; i++)
		pd_reg_touch(&p, changes->items.v[i].before, changes->items.v[i].after);
	update_each(&p, &p.ips, pd_reg_update_workload);
	update_each(&p, &p.hosts, pd_reg_update_services);
	update_each(&p, &p.backends, pd_reg_update_endpoints);
	update_each(&p, &p.targets, pd_reg_update_targets);
	if (p.networks)
		pd_reg_update_networks(&p);
	pd_arena_reset(&r->scratch);
	pd_arena_reset(&r->tmp);
}
