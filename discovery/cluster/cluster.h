// Inside of the cluster translator: one cluster in the making and the steps that shape it.
//
// Order of steps (each reads what the one before left): new → protocol → connection pool → outlier detection → load balancer
// → transport sockets → metadata → finish.
#ifndef DISCOVERY_CLUSTER_CLUSTER_H
#define DISCOVERY_CLUSTER_CLUSTER_H

#include "discovery/build.h"
#include "discovery/cluster/dest_rule.h"
#include "discovery/envoy.h"

struct cluster {
	struct pd_tx *tx;
	const struct pd_service *svc; // NULL for clusters that belong to no service
	const struct pd_port *port;   // NULL likewise
	EnvoyCluster *msg;
	EnvoyHttpProtocolOptions *http;  // NULL until something is to be said; packed by cluster_finish
	struct dynamic_proxy *dynamic;   // dynamic forward proxy: host names come with the requests; else NULL
	Google__Protobuf__Struct *istio; // filter_metadata.istio; NULL until something is to be said
};

typedef Envoy__Config__Cluster__V3__Cluster__DiscoveryType cluster_type;
#define CLUSTER_TYPE(name) ENVOY__CONFIG__CLUSTER__V3__CLUSTER__DISCOVERY_TYPE__##name
#define CLUSTER_LB(name) ENVOY__CONFIG__CLUSTER__V3__CLUSTER__LB_POLICY__##name

// ---- common.c ----------------------------------------------------------------------------------------------------------
// Name, alt_stat_name, type. `name` is kept, not copied.
void pd_cluster_init(struct cluster *c, struct pd_tx *tx, const char *name, cluster_type type);
static inline bool pd_cluster_is(const struct cluster *c, cluster_type type)
{
	return c->msg->cluster_discovery_type_case ==
		       ENVOY__CONFIG__CLUSTER__V3__CLUSTER__CLUSTER_DISCOVERY_TYPE_TYPE &&
	       c->msg->type == type;
}
void pd_cluster_set_type(struct cluster *c, cluster_type type);
// "NAME;", or by the mesh's pattern (%SERVICE%, %SUBSET_NAME%, ...). `target` is the port of the workload.
void pd_cluster_set_stat_name(struct cluster *c, const char *pattern, const char *subset, uint32_t target);
Google__Protobuf__Struct *pd_cluster_istio_metadata(struct cluster *c);
void pd_cluster_add_service(struct cluster *c, const struct pd_service *svc); // to metadata.istio.services
void pd_cluster_add_config(struct cluster *c, const struct pd_object *rule);  // metadata.istio.config
void pd_cluster_add_metadata_exchange(struct cluster *c);                     // if the proxy has the filter
// Packs the HTTP options and metadata into msg. Last step.
EnvoyCluster *pd_cluster_finish(struct cluster *c);

// ---- http.c ------------------------------------------------------------------------------------------------------------
EnvoyHttpProtocolOptions *pd_cluster_http(struct cluster *c);
void pd_cluster_set_http2(struct cluster *c); // unless a protocol is set
void pd_cluster_set_downstream_protocol(struct cluster *c);

Envoy__Config__Core__V3__Http2ProtocolOptions *pd_cluster_http2_options(const struct cluster *c); // NULL if not HTTP/2
void pd_cluster_set_protocol(struct cluster *c); // by the protocol of c->port
// What PassthroughCluster and its like have: the client's protocol, idle for at most five minutes.
void pd_cluster_set_passthrough_http(struct cluster *c);

// ---- connection_pool.c -------------------------------------------------------------------------------------------------
void pd_cluster_apply_pool(struct cluster *c, const Istio__ConnectionPoolSettings *pool,
			   const Istio__TrafficPolicy__RetryBudget *budget);
// Whether requests are to be carried over HTTP/2 though the port does not say so.
void pd_cluster_apply_h2_upgrade(struct cluster *c, const Istio__ConnectionPoolSettings *pool);
void pd_cluster_apply_outlier(struct cluster *c, const Istio__OutlierDetection *outlier);

// ---- load_balancer.c ---------------------------------------------------------------------------------------------------
void pd_cluster_apply_load_balancer(struct cluster *c, const Istio__LoadBalancerSettings *lb);

// ---- upstream_tls.c ----------------------------------------------------------------------------------------------------
struct upstream_tls {
	const Istio__ClientTLSSettings *settings; // of the policy, or NULL
	const char *sni;                          // default for mesh mTLS
	const char *const *sans;                  // default for mesh mTLS; n_sans = 0: none
	size_t n_sans;
	enum pd_mtls server;             // what the servers are expected to accept
	bool server_known;               // false: not in the mesh, no mTLS unless a rule says so
	const struct pd_dest_rule *rule; // where the settings are from, or NULL
};
void pd_cluster_apply_tls(struct cluster *c, const struct upstream_tls *t);
void pd_cluster_apply_proxy_protocol(struct cluster *c, const Istio__TrafficPolicy__ProxyProtocol *p);

// ---- outbound.c --------------------------------------------------------------------------------------------------------
// "outbound_.P_.SUBSET_.HOST" of every service of the mesh: for gateways that pass mTLS on as it is.
void pd_cluster_add_sni(struct pd_tx *tx, struct pd_cluster_vec *out);

// ---- static.c ----------------------------------------------------------------------------------------------------------
// Connections to the application come from 127.0.0.6 (::6), which interception leaves alone.
void pd_cluster_set_inbound_source(struct cluster *c, bool both_families);
void pd_cluster_add_inbound_passthrough(struct pd_tx *tx, struct pd_cluster_vec *out);

// ---- dns.c -------------------------------------------------------------------------------------------------------------
// What STRICT_DNS and LOGICAL_DNS clusters need besides their endpoints.
void pd_cluster_set_dns(struct cluster *c);
// A cluster that resolves the host of each request, for hosts that are not known one by one. Takes the place of the type.
void pd_cluster_set_dynamic_proxy(struct cluster *c, const char *cache_name);
void pd_cluster_dynamic_proxy_limit(struct cluster *c, uint32_t max_hosts);
void pd_cluster_dynamic_proxy_insecure(
	struct cluster *c); // Envoy wants to be told where the server's name is not checked
void pd_cluster_finish_dynamic_proxy(struct cluster *c); // part of cluster_finish

#endif
