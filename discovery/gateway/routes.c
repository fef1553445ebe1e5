// Route configurations of a gateway.
#include "api/pb.h"
#include "discovery/build.h"

Envoy__Config__Route__V3__RouteConfiguration *pd_build_gateway_routes(struct pd_tx *tx, const char *route_name)
{
	Envoy__Config__Route__V3__RouteConfiguration *rc =
		PB_NEW(tx->arena, Envoy__Config__Route__V3__RouteConfiguration,
		       envoy__config__route__v3__route_configuration);
	rc->name = pd_arena_strdup(tx->arena, route_name);
	rc->validate_clusters = pb_bool(tx->arena, false);
	return rc;
}
