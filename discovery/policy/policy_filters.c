#include "discovery/policy/policy_filters.h"

#include "discovery/policy/jwt.h"

const struct pd_policy_set *pd_policy_set(struct pd_tx *tx)
{
	if (tx->policies)
		return tx->policies;
	struct pd_policy_set *set = PD_NEW(tx->arena, struct pd_policy_set);
	struct pd_authz_policies authz = pd_authz_select(tx);
	Google__Protobuf__Any *jwt = pd_jwt_filter(tx);
	pd_authz_custom(tx, &authz, false, &set->http_custom);
	pd_authz_custom(tx, &authz, true, &set->tcp_custom);
	if (jwt)
		pd_vec_push_a(tx->arena, &set->http_authn, (struct pd_policy_filter){PD_JWT_FILTER, jwt});
	pd_authz_local(tx, &authz, false, &set->http_authz);
	pd_authz_local(tx, &authz, true, &set->tcp_authz);
	tx->policies = set;
	return set;
}
