// Which VirtualServices apply: by host for sidecars, by gateway name for routers. (reference: §11)
#include "discovery/route/vs_lookup.h"

#include <stdlib.h>

#include "base/str.h"
#include "discovery/route/route.h"

static const char semantics_annotation[] = "internal.istio.io/route-semantics";

bool pd_vs_is_gateway_api(const struct pd_object *o)
{
	return pd_streq(pd_object_annotation(o, semantics_annotation), "gateway");
}

bool pd_vs_is_ingress(const struct pd_object *o)
{
	return pd_streq(pd_object_annotation(o, semantics_annotation), "ingress");
}

const char *pd_vs_host(struct pd_tx *tx, const struct pd_vs *vs, size_t i)
{
	return pd_expand_host(tx->arena, vs->spec->hosts[i], vs->object->key.ns, tx->snap->settings->domain_suffix);
}

// exportTo of the object, or the mesh default; without either it is everybody's. "~" hides it whatever else is listed, but
// for "*", which beats all.
static enum pd_vs_tier tier_of(struct pd_tx *tx, const struct pd_object *o, const Istio__VirtualService *spec)
{
	const Istio__MeshConfig *mesh = tx_mesh(tx);
	char **to = spec->n_export_to ? spec->export_to : mesh->default_virtual_service_export_to;
	size_t n = spec->n_export_to ? spec->n_export_to : mesh->n_default_virtual_service_export_to;
	bool named = false, hidden = false;
	for (size_t i = 0; i < n; i++) {
		if (pd_streq(to[i], "*"))
			return PD_VS_PUBLIC;
		hidden |= pd_streq(to[i], "~");
		named |= pd_streq(pd_streq(to[i], ".") ? o->key.ns : to[i], tx->key->ns);
	}
	if (!n)
		return PD_VS_PUBLIC;
	if (hidden || !named)
		return PD_VS_INVISIBLE;
	return pd_streq(o->key.ns, tx->key->ns) ? PD_VS_PRIVATE : PD_VS_EXPORTED;
}

static int cmp_candidate(const void *x, const void *y)
{
	const struct pd_vs_candidate *a = x, *b = y;
	if (a->specificity != b->specificity)
		return a->specificity > b->specificity ? -1 : 1;
	if (a->tier != b->tier)
		return a->tier < b->tier ? -1 : 1;
	if (a->own_route != b->own_route)
		return a->own_route ? -1 : 1;
	return pd_object_cmp_age(a->vs.object, b->vs.object);
}

static void add_new(struct pd_tx *tx, struct pd_vs_candidates *c, const struct pd_object *o, size_t specificity)
{
	struct pd_vs_candidate one = {.vs = {o, (const Istio__VirtualService *)o->spec}, .specificity = specificity};
	one.tier = tier_of(tx, o, one.vs.spec);
	if (one.tier == PD_VS_INVISIBLE)
		return;
	// Routers prefer routes of their own namespace among public ones only.
	one.own_route = (tx->key->type != PD_NODE_ROUTER || one.tier == PD_VS_PUBLIC) &&
			pd_streq(o->key.ns, tx->key->ns) && pd_vs_is_gateway_api(o);
	pd_vec_push_a(tx->arena, c, one);
}

static void add(struct pd_tx *tx, struct pd_vs_candidates *c, const struct pd_object *o, size_t specificity)
{
	for (size_t i = 0; i < c->n; i++) {
		if (c->v[i].vs.object == o) {
			if (specificity > c->v[i].specificity)
				c->v[i].specificity = specificity;
			return;
		}
	}
	add_new(tx, c, o, specificity);
}

// Of the VirtualServices under this key of the index, those with a wildcard that covers the host.
static void add_covering(struct pd_tx *tx, struct pd_vs_candidates *c, const char *key, const char *host)
{
	const struct pd_posting *p = tx_posting(tx, PD_IX_VS_BY_HOST, key);
	for (size_t i = 0; i < p->n; i++) {
		const struct pd_vs vs = {p->v[i], (const Istio__VirtualService *)p->v[i]->spec};
		for (size_t k = 0; k < vs.spec->n_hosts; k++) {
			const char *name = vs.spec->hosts[k][0] == '*' ? pd_vs_host(tx, &vs, k) : "";
			if (*name && !pd_streq(name, host) && pd_host_covers(name, host))
				add(tx, c, p->v[i], strlen(name));
		}
	}
}

// Each end of the host that begins with a dot may be that of a wildcard. A change of one makes stale what it covers, not the
// whole mesh. Where there is no wildcard at all, which is the usual case, to depend on just that is cheaper.
static void add_wildcards(struct pd_tx *tx, struct pd_vs_candidates *c, const char *host)
{
	if (!pd_config_posting(tx->snap->config, PD_IX_VS_WILDCARD, "")->n) {
		tx_depend(tx, pd_token_make(PD_IX_VS_WILDCARD, ""));
		return;
	}
	char *key = pd_arena_printf(tx->arena, "*%s", host);
	for (char *dot = strchr(key, '.'); dot; dot = strchr(dot + 1, '.')) {
		dot[-1] = '*'; // what is before it is not needed any more
		add_covering(tx, c, dot - 1, host);
	}
	add_covering(tx, c, "*", host);
}

// Under a wildcard there are others too (PD_IX_VS_BY_HOST).
static bool names(struct pd_tx *tx, const struct pd_object *o, const char *host)
{
	const struct pd_vs vs = {o, (const Istio__VirtualService *)o->spec};
	bool found = host[0] != '*';
	for (size_t i = 0; i < vs.spec->n_hosts && !found; i++)
		found = pd_streq(pd_vs_host(tx, &vs, i), host);
	return found;
}

struct pd_vs_candidates pd_vs_for_host(struct pd_tx *tx, const char *host)
{
	struct pd_vs_candidates c = {0};
	const struct pd_posting *p = tx_posting(tx, PD_IX_VS_BY_HOST, host);
	for (size_t i = 0; i < p->n; i++)
		if (names(tx, p->v[i], host))
			add(tx, &c, p->v[i], SIZE_MAX);
	add_wildcards(tx, &c, host);
	pd_sort(c.v, c.n, sizeof(*c.v), cmp_candidate);
	return c;
}

static struct pd_vs_list to_list(struct pd_tx *tx, const struct pd_vs_candidates *c)
{
	struct pd_vs_list list = {.v = pd_arena_alloc(tx->arena, (c->n + 1) * sizeof(*list.v))};
	for (size_t i = 0; i < c->n; i++)
		list.v[list.n++] = &c->v[i].vs;
	return list;
}

struct pd_vs_list tx_mesh_vs_for_host(struct pd_tx *tx, const char *host)
{
	struct pd_vs_candidates c = pd_vs_for_host(tx, host);
	return to_list(tx, &c);
}

struct pd_vs_list tx_gateway_vs(struct pd_tx *tx, const char *gateway)
{
	struct pd_vs_candidates c = {0};
	const struct pd_posting *p = tx_posting(tx, PD_IX_VS_BY_GATEWAY, gateway);
	for (size_t i = 0; i < p->n; i++)
		add_new(tx, &c, p->v[i], 0);
	pd_sort(c.v, c.n, sizeof(*c.v), cmp_candidate);
	return to_list(tx, &c);
}
