// And, or, not, any: for permissions and principals alike.
#include "api/pb.h"
#include "discovery/policy/authz_terms.h"

#define RULE(name) ENVOY__CONFIG__RBAC__V3__PERMISSION__RULE_##name
#define ID(name) ENVOY__CONFIG__RBAC__V3__PRINCIPAL__IDENTIFIER_##name
#define NEW(a, name) pb_new((a), &envoy__config__rbac__v3__##name##__descriptor)

typedef Envoy__Config__Rbac__V3__Permission Permission;
typedef Envoy__Config__Rbac__V3__Principal Principal;

void *pd_authz_any(struct pd_arena *a, enum authz_half half)
{
	if (half == AUTHZ_PERMISSION) {
		Permission *p = NEW(a, permission);
		p->rule_case = RULE(ANY);
		p->any = true;
		return p;
	}
	Principal *p = NEW(a, principal);
	p->identifier_case = ID(ANY);
	p->any = true;
	return p;
}

void *pd_authz_not(struct pd_arena *a, enum authz_half half, void *term)
{
	if (half == AUTHZ_PERMISSION) {
		Permission *p = NEW(a, permission);
		p->rule_case = RULE(NOT_RULE);
		p->not_rule = term;
		return p;
	}
	Principal *p = NEW(a, principal);
	p->identifier_case = ID(NOT_ID);
	p->not_id = term;
	return p;
}

static Envoy__Config__Rbac__V3__Permission__Set *permissions(struct pd_arena *a, const struct terms *t)
{
	Envoy__Config__Rbac__V3__Permission__Set *set = NEW(a, permission__set);
	for (size_t i = 0; i < t->n; i++)
		PB_PUSH(a, set, rules, t->v[i]);
	return set;
}

static Envoy__Config__Rbac__V3__Principal__Set *principals(struct pd_arena *a, const struct terms *t)
{
	Envoy__Config__Rbac__V3__Principal__Set *set = NEW(a, principal__set);
	for (size_t i = 0; i < t->n; i++)
		PB_PUSH(a, set, ids, t->v[i]);
	return set;
}

void *pd_authz_and(struct pd_arena *a, enum authz_half half, const struct terms *t)
{
	if (half == AUTHZ_PERMISSION) {
		Permission *p = NEW(a, permission);
		p->rule_case = RULE(AND_RULES);
		p->and_rules = permissions(a, t);
		return p;
	}
	Principal *p = NEW(a, principal);
	p->identifier_case = ID(AND_IDS);
	p->and_ids = principals(a, t);
	return p;
}

void *pd_authz_or(struct pd_arena *a, enum authz_half half, const struct terms *t)
{
	if (half == AUTHZ_PERMISSION) {
		Permission *p = NEW(a, permission);
		p->rule_case = RULE(OR_RULES);
		p->or_rules = permissions(a, t);
		return p;
	}
	Principal *p = NEW(a, principal);
	p->identifier_case = ID(OR_IDS);
	p->or_ids = principals(a, t);
	return p;
}
