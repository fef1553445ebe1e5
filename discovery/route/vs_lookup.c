// Which VirtualServices apply: by host for sidecars, by gateway name for routers. (reference: §11)
#include <stdlib.h>

#include "base/str.h"
#include "discovery/route/route.h"

// exportTo of the object, or the mesh default; empty means everybody.
static bool exported(struct pd_tx *tx, const struct pd_object *o, const Istio__VirtualService *spec)
{
	const Istio__MeshConfig *mesh = tx_mesh(tx);
	char **to = spec->n_export_to ? spec->export_to : mesh->default_virtual_service_export_to;
	size_t n = spec->n_export_to ? spec->n_export_to : mesh->n_default_virtual_service_export_to;
	if (!n)
		return true;
	for (size_t i = 0; i < n; i++) {
		if (pd_streq(to[i], "*") || pd_streq(to[i], tx->key->ns))
			return true;
		if (pd_streq(to[i], ".") && pd_streq(o->key.ns, tx->key->ns))
			return true;
	}
	return false;
}

struct candidate {
	const struct pd_object *o;
	size_t specificity; // length of the host that covers; exact beats every wildcard
};

struct candidates {
	struct candidate *v;
	size_t n, cap;
};

static int cmp_candidate(const void *x, const void *y)
{
	const struct candidate *a = x, *b = y;
	if (a->specificity != b->specificity)
		return a->specificity > b->specificity ? -1 : 1;
	return pd_object_cmp_age(a->o, b->o);
}

static void add(struct pd_tx *tx, struct candidates *c, const struct pd_object *o, size_t specificity)
{
	for (size_t i = 0; i < c->n; i++) {
		if (c->v[i].o == o) {
			if (specificity > c->v[i].specificity)
				c->v[i].specificity = specificity;
			return;
		}
	}
	if (exported(tx, o, (const Istio__VirtualService *)o->spec))
		pd_vec_push_a(tx->arena, c, (struct candidate){o, specificity});
}

static void add_wildcards(struct pd_tx *tx, struct candidates *c, const char *host)
{
	const struct pd_posting *p = tx_posting(tx, PD_IX_VS_WILDCARD, "");
	for (size_t i = 0; i < p->n; i++) {
		const Istio__VirtualService *spec = (const Istio__VirtualService *)p->v[i]->spec;
		for (size_t k = 0; k < spec->n_hosts; k++)
			if (spec->hosts[k][0] == '*' && !pd_streq(spec->hosts[k], host) &&
			    pd_host_covers(spec->hosts[k], host))
				add(tx, c, p->v[i], strlen(spec->hosts[k]));
	}
}

static struct pd_vs_list to_list(struct pd_tx *tx, struct candidates *c)
{
	struct pd_vs_list list = {0};
	pd_sort(c->v, c->n, sizeof(*c->v), cmp_candidate);
	list.v = pd_arena_alloc(tx->arena, (c->n + 1) * sizeof(*list.v));
	for (size_t i = 0; i < c->n; i++) {
		struct pd_vs *vs = PD_NEW(tx->arena, struct pd_vs);
		*vs = (struct pd_vs){c->v[i].o, (const Istio__VirtualService *)c->v[i].o->spec};
		list.v[list.n++] = vs;
	}
	return list;
}

struct pd_vs_list tx_mesh_vs_for_host(struct pd_tx *tx, const char *host)
{
	struct candidates c = {0};
	const struct pd_posting *p = tx_posting(tx, PD_IX_VS_BY_HOST, host);
	for (size_t i = 0; i < p->n; i++)
		add(tx, &c, p->v[i], SIZE_MAX);
	add_wildcards(tx, &c, host);
	return to_list(tx, &c);
}

struct pd_vs_list tx_gateway_vs(struct pd_tx *tx, const char *gateway)
{
	struct candidates c = {0};
	const struct pd_posting *p = tx_posting(tx, PD_IX_VS_BY_GATEWAY, gateway);
	for (size_t i = 0; i < p->n; i++)
		add(tx, &c, p->v[i], 0);
	return to_list(tx, &c);
}
