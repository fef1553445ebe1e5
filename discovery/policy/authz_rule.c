#include "discovery/policy/authz_rule.h"

#include "api/pb.h"
#include "base/str.h"
#include "base/vec.h"

// One attribute with the values that it must, and must not, have.
struct field {
	const struct authz_attribute *attribute;
	const char *key; // as the user wrote it
	char **values;
	size_t n_values;
	char **not_values;
	size_t n_not_values;
};

struct translation {
	const struct authz_context *c;
	bool allow;
	const char *why; // what could not be expressed, with `allow`: ends it
};

static void give_up(struct translation *t, const struct field *f, const char *value)
{
	if (t->allow && !t->why)
		t->why = t->c->tcp && f->attribute->http_only
				 ? pd_arena_printf(t->c->arena, "%s is known of HTTP only", f->key)
				 : pd_arena_printf(t->c->arena, "%s: \"%s\" means nothing", f->key, value);
}

// ---- fields ------------------------------------------------------------------------------------------------------------

static struct pd_texts expanded(const struct authz_context *c, const struct field *f, char **values, size_t n)
{
	if (f->attribute->trust == AUTHZ_TRUST_PRINCIPALS)
		return pd_trust_expand_principals(c->arena, &c->domains, values, n);
	if (f->attribute->trust == AUTHZ_TRUST_DOMAINS)
		return pd_trust_expand_domains(c->arena, &c->domains, values, n);
	return (struct pd_texts){.n = n, .v = (const char **)values};
}

// One of these values. NULL: nothing is left to ask for.
static void *one_of(struct translation *t, const struct field *f, char **values, size_t n)
{
	const struct authz_context *c = t->c;
	const struct authz_attribute *at = f->attribute;
	struct pd_texts texts = expanded(c, f, values, n);
	struct terms found = {0};
	if (!n)
		return NULL;
	if (c->tcp && at->http_only) {
		give_up(t, f, "");
		return NULL;
	}
	if (at->all) {
		void *term = at->all(c, f->key, &texts);
		if (!term)
			give_up(t, f, texts.v[0]);
		return term;
	}
	for (size_t i = 0; i < texts.n; i++) {
		void *term = at->one(c, f->key, texts.v[i]);
		if (term)
			pd_vec_push_a(c->arena, &found, term);
		else
			give_up(t, f, texts.v[i]);
	}
	return found.n ? pd_authz_or(c->arena, at->half, &found) : NULL;
}

static void add_field(struct translation *t, const struct field *f, struct terms *out)
{
	struct pd_arena *a = t->c->arena;
	void *is = one_of(t, f, f->values, f->n_values);
	if (is)
		pd_vec_push_a(a, out, is);
	void *is_not = one_of(t, f, f->not_values, f->n_not_values);
	if (is_not)
		pd_vec_push_a(a, out, pd_authz_not(a, f->attribute->half, is_not));
}

// All fields of one entry and all conditions of that half.
static void *entry(struct translation *t, enum authz_half half, const struct field *fields, size_t n,
		   const Istio__Rule *rule)
{
	struct pd_arena *a = t->c->arena;
	struct terms terms = {0};
	for (size_t i = 0; i < n; i++)
		add_field(t, &fields[i], &terms);
	for (size_t i = 0; i < rule->n_when; i++) {
		const Istio__Condition *w = rule->when[i];
		const struct authz_attribute *at = pd_authz_condition(w->key);
		if (at->half != half)
			continue;
		struct field f = {at, w->key, w->values, w->n_values, w->not_values, w->n_not_values};
		add_field(t, &f, &terms);
	}
	if (!terms.n)
		pd_vec_push_a(a, &terms, pd_authz_any(a, half));
	return pd_authz_and(a, half, &terms);
}

// ---- sources and operations ----------------------------------------------------------------------------------------------

#define FIELD(ID, json_name, name, from)                                                                               \
	{                                                                                                              \
		&pd_authz_attributes[AUTHZ_##ID], json_name, (from)->name, (from)->n_##name, (from)->not_##name,       \
			(from)->n_not_##name                                                                           \
	}
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void *source(struct translation *t, const Istio__Rule *rule, const Istio__Source *s)
{
	if (!s)
		return entry(t, AUTHZ_PRINCIPAL, NULL, 0, rule);
	const struct field fields[] = {
		FIELD(SOURCE_PRINCIPAL, "principals", principals, s),
		FIELD(REQUEST_PRINCIPAL, "requestPrincipals", request_principals, s),
		FIELD(SOURCE_ACCOUNT, "serviceAccounts", service_accounts, s),
		FIELD(SOURCE_TRUST_DOMAIN, "trustDomains", trust_domains, s),
		FIELD(SOURCE_NAMESPACE, "namespaces", namespaces, s),
		FIELD(REMOTE_IP, "remoteIpBlocks", remote_ip_blocks, s),
		FIELD(SOURCE_IP, "ipBlocks", ip_blocks, s),
	};
	return entry(t, AUTHZ_PRINCIPAL, fields, COUNT(fields), rule);
}

static void *operation(struct translation *t, const Istio__Rule *rule, const Istio__Operation *o)
{
	if (!o)
		return entry(t, AUTHZ_PERMISSION, NULL, 0, rule);
	const struct field fields[] = {
		FIELD(HOST, "hosts", hosts, o),
		FIELD(METHOD, "methods", methods, o),
		FIELD(PATH, "paths", paths, o),
		FIELD(DESTINATION_PORT, "ports", ports, o),
	};
	return entry(t, AUTHZ_PERMISSION, fields, COUNT(fields), rule);
}

// ---- rules -----------------------------------------------------------------------------------------------------------------

static const char *unknown_condition(const struct authz_context *c, const Istio__Rule *rule)
{
	for (size_t i = 0; i < rule->n_when; i++)
		if (!pd_authz_condition(rule->when[i]->key))
			return pd_arena_printf(c->arena, "when: unknown key %s", rule->when[i]->key);
	return NULL;
}

EnvoyRbacPolicy *pd_authz_rule(const struct authz_context *c, const Istio__Rule *rule, bool allow, const char **why)
{
	struct pd_arena *a = c->arena;
	struct translation t = {.c = c, .allow = allow, .why = unknown_condition(c, rule)};
	EnvoyRbacPolicy *p = pb_new(a, &envoy__config__rbac__v3__policy__descriptor);
	for (size_t i = 0; !t.why && i < rule->n_to; i++)
		PB_PUSH(a, p, permissions, operation(&t, rule, rule->to[i]->operation));
	if (!t.why && !rule->n_to)
		PB_PUSH(a, p, permissions, operation(&t, rule, NULL));
	for (size_t i = 0; !t.why && i < rule->n_from; i++)
		PB_PUSH(a, p, principals, source(&t, rule, rule->from[i]->source));
	if (!t.why && !rule->n_from)
		PB_PUSH(a, p, principals, source(&t, rule, NULL));
	*why = t.why;
	return t.why ? NULL : p;
}

EnvoyRbacPolicy *pd_authz_never(struct pd_arena *a)
{
	EnvoyRbacPolicy *p = pb_new(a, &envoy__config__rbac__v3__policy__descriptor);
	PB_PUSH(a, p, permissions, pd_authz_not(a, AUTHZ_PERMISSION, pd_authz_any(a, AUTHZ_PERMISSION)));
	PB_PUSH(a, p, principals, pd_authz_not(a, AUTHZ_PRINCIPAL, pd_authz_any(a, AUTHZ_PRINCIPAL)));
	return p;
}
