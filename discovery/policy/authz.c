#include "discovery/policy/authz.h"

#include "api/pb.h"
#include "base/str.h"
#include "discovery/policy/attach.h"
#include "discovery/policy/authz_rule.h"
#include "discovery/policy/ext_authz.h"
#include "envoy/extensions/filters/http/rbac/v3/rbac.pb-c.h"
#include "envoy/extensions/filters/network/rbac/v3/rbac.pb-c.h"

#define ACTION(name) ENVOY__CONFIG__RBAC__V3__RBAC__ACTION__##name

typedef Envoy__Config__Rbac__V3__RBAC Rbac;
typedef Istio__AuthorizationPolicy Policy;

// ---- which ---------------------------------------------------------------------------------------------------------------

static const Policy *policy_of(const struct pd_object *o)
{
	return (const Policy *)o->spec;
}

static struct pd_authz_list *list_for(struct pd_authz_policies *p, Istio__AuthorizationPolicy__Action action)
{
	switch (action) {
	case ISTIO__AUTHORIZATION_POLICY__ACTION__DENY:
		return &p->deny;
	case ISTIO__AUTHORIZATION_POLICY__ACTION__AUDIT:
		return &p->audit;
	case ISTIO__AUTHORIZATION_POLICY__ACTION__CUSTOM:
		return &p->custom;
	default:
		return &p->allow;
	}
}

static void select_in(struct pd_tx *tx, const char *ns, struct pd_authz_policies *out)
{
	const struct pd_posting *found = tx_posting(tx, PD_IX_AUTHZ_BY_NS, ns);
	for (size_t i = 0; i < found->n; i++) {
		const Policy *p = policy_of(found->v[i]);
		const struct pd_policy_scope scope = {p->selector, p->targetref, p->targetrefs, p->n_targetrefs};
		if (!pd_policy_attached(tx, ns, &scope))
			continue;
		tx_use(tx, found->v[i]);
		pd_vec_push_a(tx->arena, list_for(out, p->action), found->v[i]);
	}
}

struct pd_authz_policies pd_authz_select(struct pd_tx *tx)
{
	struct pd_authz_policies out = {0};
	const char *root = tx_mesh(tx)->root_namespace;
	select_in(tx, root, &out);
	if (!pd_streq(tx->key->ns, root))
		select_in(tx, tx->key->ns, &out);
	return out;
}

// ---- rules -----------------------------------------------------------------------------------------------------------------

static struct authz_context context_of(struct pd_tx *tx, bool tcp)
{
	const Istio__MeshConfig *mesh = tx_mesh(tx);
	struct pd_texts domains = {0};
	pd_vec_push_a(tx->arena, &domains, mesh->trust_domain);
	for (size_t i = 0; i < mesh->n_trust_domain_aliases; i++)
		pd_vec_push_a(tx->arena, &domains, mesh->trust_domain_aliases[i]);
	return (struct authz_context){
		.arena = tx->arena,
		.tcp = tcp,
		.peer_in_state = tx->key->type == PD_NODE_WAYPOINT,
		.domains = {domains.n, domains.v},
	};
}

static bool on_trial(const struct pd_object *o)
{
	static const char *const yes[] = {"1", "t", "T", "TRUE", "true", "True"};
	const char *text = pd_object_annotation(o, "istio.io/dry-run");
	for (size_t i = 0; text && i < sizeof(yes) / sizeof(yes[0]); i++)
		if (pd_streq(text, yes[i]))
			return true;
	return false;
}

static Rbac *rbac_new(struct pd_arena *a, int action)
{
	Rbac *r = pb_new(a, &envoy__config__rbac__v3__rbac__descriptor);
	r->action = action;
	return r;
}

static void rbac_add(struct pd_arena *a, Rbac *r, const char *key, EnvoyRbacPolicy *p)
{
	Envoy__Config__Rbac__V3__RBAC__PoliciesEntry *e =
		pb_new(a, &envoy__config__rbac__v3__rbac__policies_entry__descriptor);
	e->key = (char *)key;
	e->value = p;
	PB_PUSH(a, r, policies, e);
}

static void add_policy(struct pd_tx *tx, struct authz_context *c, const struct pd_object *o, const char *key_prefix,
		       Rbac *r)
{
	struct pd_arena *a = tx->arena;
	const Policy *p = policy_of(o);
	const char *why, *key = pd_arena_printf(a, "%sns[%s]-policy[%s]-rule", key_prefix, o->key.ns, o->key.name);
	c->policy_ns = o->key.ns;
	if (!p->n_rules)
		rbac_add(a, r, pd_arena_printf(a, "%s[0]", key), pd_authz_never(a));
	for (size_t i = 0; i < p->n_rules; i++) {
		EnvoyRbacPolicy *policy = pd_authz_rule(c, p->rules[i], r->action == ACTION(ALLOW), &why);
		if (policy)
			rbac_add(a, r, pd_arena_printf(a, "%s[%zu]", key, i), policy);
		else if (!c->tcp) // on a TCP chain it is the rule for HTTP that is meant to go
			tx_issue(tx, o, pd_arena_printf(a, "spec.rules[%zu]", i), "left out: %s", why);
	}
}

// ---- filters ---------------------------------------------------------------------------------------------------------------

// One RBAC filter. NULL leaves the rules out.
struct rbac_filter {
	Rbac *rules, *shadow_rules;
	const char *shadow_prefix;
};

static void push(struct pd_tx *tx, struct pd_policy_filters *out, const char *name, const void *config)
{
	pd_vec_push_a(tx->arena, out, (struct pd_policy_filter){name, pb_any(tx->arena, config)});
}

static void push_rbac(struct pd_tx *tx, const struct rbac_filter *f, bool tcp, struct pd_policy_filters *out)
{
	struct pd_arena *a = tx->arena;
	if (f->rules)
		pb_canonicalise(f->rules);
	if (f->shadow_rules)
		pb_canonicalise(f->shadow_rules);
	if (!tcp) {
		Envoy__Extensions__Filters__Http__Rbac__V3__RBAC *http =
			pb_new(a, &envoy__extensions__filters__http__rbac__v3__rbac__descriptor);
		http->rules = f->rules;
		http->shadow_rules = f->shadow_rules;
		http->shadow_rules_stat_prefix = (char *)f->shadow_prefix;
		push(tx, out, "envoy.filters.http.rbac", http);
		return;
	}
	Envoy__Extensions__Filters__Network__Rbac__V3__RBAC *network =
		pb_new(a, &envoy__extensions__filters__network__rbac__v3__rbac__descriptor);
	network->rules = f->rules;
	network->shadow_rules = f->shadow_rules;
	network->shadow_rules_stat_prefix = (char *)f->shadow_prefix;
	network->stat_prefix = "tcp.";
	push(tx, out, "envoy.filters.network.rbac", network);
}

static const char *trial_prefix(const Rbac *shadow)
{
	int action = shadow ? (int)shadow->action : ACTION(ALLOW);
	if (action == ACTION(ALLOW))
		return "istio_dry_run_allow_";
	return action == ACTION(DENY) ? "istio_dry_run_deny_" : "";
}

static void add_local(struct pd_tx *tx, const struct pd_authz_list *list, int action, bool tcp,
		      struct pd_policy_filters *out)
{
	struct authz_context c = context_of(tx, tcp);
	struct rbac_filter f = {0};
	for (size_t i = 0; i < list->n; i++) {
		Rbac **rules = on_trial(list->v[i]) ? &f.shadow_rules : &f.rules;
		if (!*rules)
			*rules = rbac_new(tx->arena, action);
		add_policy(tx, &c, list->v[i], "", *rules);
	}
	f.shadow_prefix = trial_prefix(f.shadow_rules);
	if (list->n)
		push_rbac(tx, &f, tcp, out);
}

void pd_authz_local(struct pd_tx *tx, const struct pd_authz_policies *p, bool tcp, struct pd_policy_filters *out)
{
	add_local(tx, &p->audit, ACTION(LOG), tcp, out);
	add_local(tx, &p->deny, ACTION(DENY), tcp, out);
	add_local(tx, &p->allow, ACTION(ALLOW), tcp, out);
}

// ---- CUSTOM ----------------------------------------------------------------------------------------------------------------

// All policies of one provider. The action is DENY, by which rules are translated: wider rather than narrower.
struct custom {
	const char *provider;
	Rbac *rules, *trial;
};
struct customs {
	struct custom *v;
	size_t n, cap;
};

static const char *provider_of(const struct pd_object *o)
{
	const Policy *p = policy_of(o);
	return p->action_detail_case == ISTIO__AUTHORIZATION_POLICY__ACTION_DETAIL_PROVIDER ? p->provider->name : "";
}

static int cmp_custom(const void *x, const void *y)
{
	return strcmp(((const struct custom *)x)->provider, ((const struct custom *)y)->provider);
}

static struct customs by_provider(struct pd_tx *tx, const struct pd_authz_list *list, bool tcp)
{
	struct pd_arena *a = tx->arena;
	struct authz_context c = context_of(tx, tcp);
	struct customs all = {0};
	for (size_t i = 0; i < list->n; i++) {
		const char *name = provider_of(list->v[i]);
		size_t k = 0;
		while (k < all.n && !pd_streq(all.v[k].provider, name))
			k++;
		if (k == all.n)
			pd_vec_push_a(a, &all,
				      (struct custom){name, rbac_new(a, ACTION(DENY)), rbac_new(a, ACTION(DENY))});
		const char *prefix = pd_arena_printf(a, PD_EXT_AUTHZ_KEY "-%s%s", name, *name ? "-" : "");
		add_policy(tx, &c, list->v[i], prefix, on_trial(list->v[i]) ? all.v[k].trial : all.v[k].rules);
	}
	pd_sort(all.v, all.n, sizeof(all.v[0]), cmp_custom);
	return all;
}

static void push_denial(struct pd_tx *tx, const struct custom *c, bool tcp, struct pd_policy_filters *out)
{
	struct rbac_filter f = {.rules = c->rules, .shadow_prefix = ""};
	for (size_t i = 0; i < c->rules->n_policies; i++)
		c->rules->policies[i]->key =
			pd_arena_printf(tx->arena, "%s-deny-due-to-bad-CUSTOM-action", c->rules->policies[i]->key);
	push_rbac(tx, &f, tcp, out);
}

static void push_question(struct pd_tx *tx, const struct custom *c, bool tcp, const struct pd_ext_authz *authz,
			  struct pd_policy_filters *out)
{
	// istiod puts rules on trial among those that are enforced; a proxy moved here must see the same.
	struct rbac_filter f = {
		.rules = c->trial->n_policies ? c->trial : NULL,
		.shadow_rules = c->rules,
		.shadow_prefix = PD_EXT_AUTHZ_STAT_PREFIX,
	};
	push_rbac(tx, &f, tcp, out);
	if (tcp)
		push(tx, out, "envoy.filters.network.ext_authz", authz->tcp);
	else
		push(tx, out, "envoy.filters.http.ext_authz", authz->http);
}

static void report(struct pd_tx *tx, const struct pd_authz_list *list, const struct custom *c, const char *why)
{
	for (size_t i = 0; i < list->n; i++)
		if (pd_streq(provider_of(list->v[i]), c->provider))
			tx_issue(tx, list->v[i], "spec.provider", "denied instead of asked: %s", why);
}

void pd_authz_custom(struct pd_tx *tx, const struct pd_authz_policies *p, bool tcp, struct pd_policy_filters *out)
{
	struct customs all = by_provider(tx, &p->custom, tcp);
	bool too_many = all.n > 1 && !tx->snap->settings->multiple_custom_providers;
	for (size_t i = 0; i < all.n; i++) {
		struct pd_ext_authz authz = {.error = "the workload has policies of several providers"};
		if (!too_many)
			authz = pd_ext_authz(tx, all.v[i].provider);
		if (authz.error) {
			report(tx, &p->custom, &all.v[i], authz.error);
			push_denial(tx, &all.v[i], tcp, out);
		} else if (!tcp || authz.tcp) {
			push_question(tx, &all.v[i], tcp, &authz, out);
		}
	}
}
