// Which DestinationRule is in force for a service.
//
// Three places are searched: the client's namespace (rules that are visible there), the service's namespace and the root
// namespace (rules exported to the client). In each the most specific host decides: the exact one, else the longest wildcard.
// The first place that has a rule ends the search. Several rules for one host in one namespace are merged, oldest first.
#include "discovery/cluster/dest_rule.h"

#include <stdlib.h>

#include "api/pb.h"
#include "base/str.h"
#include "discovery/policy/selector.h"

typedef Istio__DestinationRule Rule;

// Which rules of a namespace are looked at.
enum pool {
	POOL_LOCAL,    // visible in their own namespace
	POOL_PRIVATE,  // visible nowhere else
	POOL_EXPORTED, // visible (also) elsewhere
};

struct export
{
	size_t n;
	const char *const *v;
};

struct merged {
	struct export export;
	const Rule *spec;
	bool own_spec; // spec is a copy in the arena that may be changed
	const struct pd_object *first;
	PD_VEC(const struct pd_object *) from;
};
struct merged_vec {
	struct merged *v;
	size_t n, cap;
};

static const Rule *rule_of(const struct pd_object *o)
{
	return (const Rule *)o->spec;
}

// ---- exportTo ----------------------------------------------------------------------------------------------------------

static bool export_has(const struct export *e, const char *what)
{
	for (size_t i = 0; i < e->n; i++)
		if (pd_streq(e->v[i], what))
			return true;
	return false;
}

static bool export_covers(const struct export *a, const struct export *b)
{
	for (size_t i = 0; i < b->n; i++)
		if (!export_has(a, b->v[i]))
			return false;
	return true;
}

static bool export_equal(const struct export *a, const struct export *b)
{
	return export_covers(a, b) && export_covers(b, a);
}

// A rule for selected workloads is never exported.
static struct export export_of(const Rule *r)
{
	static const char *const own[] = {"."};
	if (r->workload_selector)
		return (struct export){1, own};
	return (struct export){r->n_export_to, (const char *const *)r->export_to};
}

static bool private_by_default(const Istio__MeshConfig *mesh)
{
	for (size_t i = 0; i < mesh->n_default_destination_rule_export_to; i++)
		if (pd_streq(mesh->default_destination_rule_export_to[i], "."))
			return true;
	return false;
}

static bool in_pool(struct pd_tx *tx, const struct pd_object *o, enum pool pool)
{
	struct export e = export_of(rule_of(o));
	if (pool == POOL_LOCAL)
		return !e.n || export_has(&e, "*") || export_has(&e, ".") || export_has(&e, o->key.ns);
	bool only_own;
	if (e.n)
		only_own = !export_has(&e, "*") && (export_has(&e, ".") || export_has(&e, o->key.ns));
	else
		only_own = private_by_default(tx_mesh(tx));
	for (size_t i = 0; only_own && i < e.n; i++) // "." beside another namespace is exported to that one
		only_own = pd_streq(e.v[i], e.v[0]);
	return only_own == (pool == POOL_PRIVATE);
}

// ---- merging -----------------------------------------------------------------------------------------------------------

static bool same_labels(const Istio__WorkloadSelector *a, const Istio__WorkloadSelector *b)
{
	if (a->n_match_labels != b->n_match_labels)
		return false;
	for (size_t i = 0; i < a->n_match_labels; i++) { // decoded maps are sorted
		if (!pd_streq(a->match_labels[i]->key, b->match_labels[i]->key) ||
		    !pd_streq(a->match_labels[i]->value, b->match_labels[i]->value))
			return false;
	}
	return true;
}

static bool has_subset(const Rule *r, const char *name)
{
	for (size_t i = 0; i < r->n_subsets; i++)
		if (pd_streq(r->subsets[i]->name, name))
			return true;
	return false;
}

// Rules made from Gateway API backend policies carry this; what the user wrote goes before them.
static bool is_backend_policy(const struct pd_object *o)
{
	return pd_object_annotation(o, "internal.istio.io/parents") != NULL;
}

static Istio__TrafficPolicy *policy_under(struct pd_arena *a, Istio__TrafficPolicy *user, Istio__TrafficPolicy *backend)
{
	if (!user || !backend)
		return user ? user : backend;
	Istio__TrafficPolicy *out = PB_NEW(a, Istio__TrafficPolicy, istio__traffic_policy);
	*out = *user;
#define FILL(block)                                                                                                    \
	if (!out->block)                                                                                               \
	out->block = backend->block
	FILL(load_balancer);
	FILL(connection_pool);
	FILL(outlier_detection);
	FILL(tls);
	FILL(tunnel);
	FILL(proxy_protocol);
	FILL(retry_budget);
#undef FILL
	if (!out->n_port_level_settings) {
		out->n_port_level_settings = backend->n_port_level_settings;
		out->port_level_settings = backend->port_level_settings;
	}
	return out;
}

static void merge_into(struct pd_tx *tx, struct merged *m, const struct pd_object *o)
{
	const Rule *add = rule_of(o);
	Rule *r = (Rule *)m->spec;
	if (!m->own_spec) {
		r = PB_NEW(tx->arena, Rule, istio__destination_rule);
		*r = *m->spec;
		r->subsets = PD_NEWN(tx->arena, Istio__Subset *, pb_capacity(r->n_subsets));
		for (size_t i = 0; i < r->n_subsets; i++)
			r->subsets[i] = m->spec->subsets[i];
		m->spec = r;
		m->own_spec = true;
	}
	for (size_t i = 0; i < add->n_subsets; i++) {
		if (!has_subset(r, add->subsets[i]->name))
			PB_PUSH(tx->arena, r, subsets, add->subsets[i]);
		else
			tx_issue(tx, o, "spec.subsets",
				 "subset \"%s\" is already in DestinationRule %s, which is older",
				 add->subsets[i]->name, m->first->key.name);
	}
	bool old_backend = is_backend_policy(m->first), new_backend = is_backend_policy(o);
	if (old_backend == new_backend) {
		if (!r->traffic_policy)
			r->traffic_policy = add->traffic_policy;
	} else if (new_backend) {
		r->traffic_policy = policy_under(tx->arena, r->traffic_policy, add->traffic_policy);
	} else {
		r->traffic_policy = policy_under(tx->arena, add->traffic_policy, r->traffic_policy);
	}
	pd_vec_push_a(tx->arena, &m->from, o);
}

// Adds a rule to those of its host: merged into each that has the same (or a narrower) exportTo and the same selector, and
// beside them if none took it up.
static void add_rule(struct pd_tx *tx, struct merged_vec *out, const struct pd_object *o)
{
	const Rule *r = rule_of(o);
	struct export e = export_of(r);
	bool separate = true;
	for (size_t i = 0; i < out->n; i++) {
		struct merged *m = &out->v[i];
		separate = !export_equal(&e, &m->export);
		if (separate && !(m->export.n && export_covers(&e, &m->export)))
			continue;
		const Istio__WorkloadSelector *mine = r->workload_selector, *theirs = m->spec->workload_selector;
		bool match = mine && theirs && same_labels(mine, theirs);
		if (mine && theirs && !match) {
			separate = true;
			continue;
		}
		if ((!mine && !theirs) || match)
			separate = false;
		merge_into(tx, m, o);
	}
	if (!separate)
		return;
	struct merged m = {.export = e, .spec = r, .first = o};
	pd_vec_push_a(tx->arena, &m.from, o);
	pd_vec_push_a(tx->arena, out, m);
}

// ---- lookup ------------------------------------------------------------------------------------------------------------

struct object_vec {
	const struct pd_object **v;
	size_t n, cap;
};

static void collect(struct pd_tx *tx, const struct pd_posting *p, const char *ns, enum pool pool,
		    struct object_vec *out)
{
	for (size_t i = 0; i < p->n; i++)
		if (pd_streq(p->v[i]->key.ns, ns) && in_pool(tx, p->v[i], pool))
			pd_vec_push_a(tx->arena, out, p->v[i]);
}

// The rules of `ns` for the most specific host pattern that covers `host`.
static struct object_vec rules_for_host(struct pd_tx *tx, const char *ns, const char *host, enum pool pool)
{
	struct object_vec exact = {0}, wild = {0}, best = {0};
	collect(tx, tx_posting(tx, PD_IX_DR_BY_HOST, host), ns, pool, &exact);
	if (exact.n)
		return exact;
	if (!tx_posting(tx, PD_IX_DR_WILDCARD, "")->n)
		return best; // the usual case, noted as one token and not as one for each namespace
	collect(tx, tx_posting(tx, PD_IX_DR_WILDCARD, ns), ns, pool, &wild);
	const char *pattern = NULL;
	for (size_t i = 0; i < wild.n; i++) {
		const char *h = rule_of(wild.v[i])->host;
		if (pd_host_covers(h, host) && (!pattern || strlen(h) > strlen(pattern)))
			pattern = h;
	}
	for (size_t i = 0; pattern && i < wild.n; i++)
		if (pd_streq(rule_of(wild.v[i])->host, pattern))
			pd_vec_push_a(tx->arena, &best, wild.v[i]);
	return best;
}

static struct merged_vec search(struct pd_tx *tx, const char *ns, const char *host, enum pool pool)
{
	struct object_vec rules = rules_for_host(tx, ns, host, pool);
	struct merged_vec all = {0}, out = {0};
	for (int selected = 1; selected >= 0; selected--) // rules for selected workloads go first
		for (size_t i = 0; i < rules.n; i++)
			if ((rule_of(rules.v[i])->workload_selector != NULL) == selected)
				add_rule(tx, &all, rules.v[i]);
	if (pool != POOL_EXPORTED)
		return all;
	for (size_t i = 0; i < all.n; i++) {
		const struct export *e = &all.v[i].export;
		if (!e->n || export_has(e, "*") || export_has(e, tx->key->ns))
			pd_vec_push_a(tx->arena, &out, all.v[i]);
	}
	return out;
}

// A scope has those labels of the proxy that selectors name.
static const struct pd_labels *proxy_labels(const struct pd_tx *tx)
{
	return tx->view ? &tx->view->labels : &tx->key->labels;
}

// A rule whose selector matches the proxy goes before the others.
static const struct merged *choose(struct pd_tx *tx, const struct merged_vec *rules, bool inbound)
{
	const struct merged *plain = NULL;
	for (size_t i = 0; i < rules->n; i++) {
		const struct merged *m = &rules->v[i];
		if (!m->spec->workload_selector) {
			plain = m;
			continue;
		}
		if (!inbound && pd_streq(m->first->key.ns, tx->key->ns) &&
		    pd_selector_matches(m->spec->workload_selector, proxy_labels(tx)))
			return m;
	}
	return plain;
}

static const struct pd_dest_rule *find(struct pd_tx *tx, const struct pd_service *svc, bool inbound)
{
	const char *ns = tx->key->ns, *root = tx_mesh(tx)->root_namespace;
	// What lies in the root namespace is meant for all; only what is private there speaks to proxies of that namespace first.
	enum pool own = pd_streq(ns, root) ? POOL_PRIVATE : POOL_LOCAL;
	struct merged_vec rules = search(tx, ns, svc->host, own);
	if (!rules.n && svc->ns && *svc->ns)
		rules = search(tx, svc->ns, svc->host, POOL_EXPORTED);
	if (!rules.n)
		rules = search(tx, root, svc->host, POOL_EXPORTED);
	const struct merged *m = choose(tx, &rules, inbound);
	if (!m)
		return NULL;
	for (size_t i = 0; i < m->from.n; i++)
		tx_use(tx, m->from.v[i]);
	struct pd_dest_rule *dr = PD_NEW(tx->arena, struct pd_dest_rule);
	dr->spec = m->spec;
	dr->object = m->first;
	return dr;
}

const struct pd_dest_rule *tx_dest_rule(struct pd_tx *tx, const struct pd_service *svc)
{
	return find(tx, svc, false);
}

const struct pd_dest_rule *pd_dest_rule_inbound(struct pd_tx *tx, const struct pd_service *svc)
{
	return find(tx, svc, true);
}
