// The secondary indexes that translators read (config/store.h explains indexes and tokens). Each row says who files what.
#ifndef DISCOVERY_INDEXES_H
#define DISCOVERY_INDEXES_H

#include "config/store.h"

enum pd_index_id {
	// Kubernetes, for the registry
	PD_IX_SLICE_BY_SERVICE = PD_INDEX_USER, // EndpointSlice, "NS/SERVICE" (label kubernetes.io/service-name)
	PD_IX_SLICE_BY_POD,                     // EndpointSlice, "NS/POD" (targetRef)
	PD_IX_SLICE_BY_IP,                      // EndpointSlice, "NS/IP" of endpoints without a Pod as targetRef
	PD_IX_POD_BY_IP,                        // Pod, "IP", each of its addresses; not with hostNetwork
	PD_IX_POD_BY_NODE,                      // Pod, "NODE"
	PD_IX_POD_BY_LABEL,                     // Pod, "NS/KEY=VALUE", each label that is pd_label_indexed
	PD_IX_SERVICE_BY_SELECTOR,              // Service, "NS/KEY=VALUE", first selector pair
	PD_IX_SERVICE_BY_EXTERNAL_NAME,         // Service of type ExternalName, "NAME" that it points to
	PD_IX_NETWORK_GATEWAY,                  // Service with label topology.istio.io/network, ""
	PD_IX_WE_BY_LABEL,                      // WorkloadEntry, "NS/KEY=VALUE", each label that is pd_label_indexed
	PD_IX_WE_BY_IP,                         // WorkloadEntry, "ADDRESS"
	PD_IX_SE_BY_HOST,                       // ServiceEntry, "HOST"
	PD_IX_SE_BY_SELECTOR, // ServiceEntry, "NS/KEY=VALUE", first workloadSelector pair; "NS/" if it has none
	// Istio networking
	PD_IX_DR_BY_HOST,    // DestinationRule, "HOST" (expanded, wildcards as written)
	PD_IX_DR_WILDCARD,   // DestinationRule with a wildcard host, "NS" and ""
	PD_IX_VS_BY_HOST,    // VirtualService bound to mesh, "HOST" each host, expanded, wildcards as written;
			     // "*-x.example.com" also under "*.example.com"
	PD_IX_VS_WILDCARD,   // VirtualService bound to mesh with a wildcard host, ""
	PD_IX_VS_BY_GATEWAY, // VirtualService, "NS/NAME" of each gateway, expanded; not "mesh"
	PD_IX_VS_MESH,       // VirtualService bound to mesh with a host outside the cluster's domain or wildcard, ""
	PD_IX_GATEWAY_BY_SELECTOR, // Gateway, "KEY=VALUE" of the first selector pair; "" without selector
	PD_IX_SIDECAR_BY_NS,       // Sidecar, "NS"
	PD_IX_CLIENT_LABEL, // VirtualService (sourceLabels), DestinationRule (workloadSelector): "KEY" of each label by which
			    // clients are told apart, and "" once
	// policy and the rest: by namespace
	PD_IX_PEER_AUTHN_BY_NS,
	PD_IX_AUTHZ_BY_NS,
	PD_IX_REQUEST_AUTHN_BY_NS,
	PD_IX_TELEMETRY_BY_NS,
	PD_IX_ENVOY_FILTER_BY_NS,
	// Gateway API
	PD_IX_ROUTE_BY_PARENT, // HTTPRoute, GRPCRoute, TLSRoute, TCPRoute: "KIND/NS/NAME" of each parentRef
	PD_IX_GRANT_BY_NS,     // ReferenceGrant, "NS"
};

// "First pair" of a selector means the one with the smallest key (byte order); a selector without pairs is filed nowhere
// (but see Gateway and ServiceEntry).
extern const struct pd_index pd_indexes[];
extern const size_t pd_indexes_n;

// Index functions are pure functions of an object, and of the cluster's domain, which is one constant of the process:
// "cluster.local" unless set here, before the store gets its first object. Copied.
void pd_indexes_set_domain(const char *suffix);

// Labels that say nothing about what a workload is (one value per Pod, or one value for all) are not filed: they would cost
// a posting per Pod or one posting with all Pods. Selectors that use nothing else have to look at the whole namespace.
bool pd_label_indexed(const char *key);

// Istio's short host names: a name without a dot means a service of `ns`: "reviews" -> "reviews.NS.svc.DOMAIN". Everything
// else ("reviews.foo", "*", an IP address) is returned as it is. The result lives in `a` or is `host`.
const char *pd_expand_host(struct pd_arena *a, const char *host, const char *ns, const char *domain);
// "name" -> "NS/name"; "mesh" and "other/name" stay, "./name" is "NS/name", and so is "name.NS" with anything behind it (an
// old form). The result lives in `a` or is `gateway`.
const char *pd_expand_gateway(struct pd_arena *a, const char *gateway, const char *ns);
// Host patterns: "*", "*.example.com" or exact. True if the pattern covers `host` (which may itself be a wildcard that the
// pattern fully covers).
bool pd_host_covers(const char *pattern, const char *host);

#endif
