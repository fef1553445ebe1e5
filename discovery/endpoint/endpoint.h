// Inside of the endpoint translator, for EDS and for DNS clusters, which carry their endpoints themselves.
//
// Steps: select (which endpoints a proxy may have) → group by locality → cross networks → prioritise (failover, distribution:
// the only step that looks at where in its network the proxy is).
#ifndef DISCOVERY_ENDPOINT_ENDPOINT_H
#define DISCOVERY_ENDPOINT_ENDPOINT_H

#include "discovery/build.h"
#include "discovery/envoy.h"

struct endpoint_query {
	const struct pd_service *svc;
	const struct pd_port *port;
	const char *subset; // "" = all
	const struct pd_dest_rule *dr;
	bool dns;       // host names are addresses too
	bool mtls_only; // the cluster passes mTLS through
};

// The endpoints of one locality (and, once prioritised, of one priority).
struct endpoint_group {
	const char *locality; // "region/zone/subzone" as the endpoints say it
	EnvoyLocalityLbEndpoints *msg;
	PD_VEC(const struct pd_endpoint *) from; // parallel to msg->lb_endpoints
};
struct endpoint_groups {
	struct endpoint_group *v;
	size_t n, cap;
};

// Sorted by locality.
struct endpoint_groups pd_endpoint_groups_of(struct pd_tx *tx, const struct endpoint_query *q);
EnvoyClusterLoadAssignment *pd_endpoint_assignment(struct pd_tx *tx, const char *cluster,
						   const struct endpoint_groups *g);

// ---- lb_endpoint.c -----------------------------------------------------------------------------------------------------
// Whether clients may speak mesh mTLS to an endpoint (it is known to serve it, and neither rule nor policy is against it).
struct endpoint_mtls {
	bool by_rule, rule_allows;
};
struct endpoint_mtls pd_endpoint_mtls_of(const struct endpoint_query *q);
bool pd_endpoint_has_mtls(struct pd_tx *tx, const struct endpoint_mtls *m, const struct pd_endpoint *e);
EnvoyLbEndpoint *pd_endpoint_message(struct pd_tx *tx, const struct pd_endpoint *e, bool mtls);
EnvoyAddress *pd_endpoint_address(struct pd_arena *a, const char *address, uint32_t port);

// ---- networks.c --------------------------------------------------------------------------------------------------------
// What lies in other networks is replaced by the gateways of its network, in the same locality; weights are scaled so that
// they can be split among the gateways. Nothing changes while no network has a gateway.
void pd_endpoint_cross_networks(struct pd_tx *tx, const struct endpoint_mtls *m, struct endpoint_groups *g);

// ---- locality.c --------------------------------------------------------------------------------------------------------
// What is in force for a service: rule > Service.trafficDistribution > mesh; zone aware goes before locality.
struct locality_lb {
	const Istio__LocalityLoadBalancerSetting *locality; // at most one of the two is set
	const Istio__ZoneAwareLoadBalancerSetting *zone_aware;
	bool force; // failover also without outlier detection
};
struct locality_lb pd_locality_lb_of(struct pd_tx *tx, const struct pd_service *svc,
				     const Istio__LoadBalancerSettings *lb);
bool pd_zone_aware_enabled(const Istio__ZoneAwareLoadBalancerSetting *z);
// Sets priorities or weights relative to the proxy; may split groups. `outlier`: the cluster detects bad endpoints.
void pd_locality_prioritise(struct pd_tx *tx, const struct locality_lb *lb, bool outlier, struct endpoint_groups *g);
Envoy__Config__Core__V3__Locality *pd_locality_message(struct pd_arena *a, const char *label);

#endif
