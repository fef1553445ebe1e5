// The service registry: services, endpoints and workloads, made of Kubernetes objects and ServiceEntries as istiod does
// (reference: sidecar-and-gateway-xds.md §12). Records are immutable, reference-counted and live in the snapshot; strings in
// them are interned, arrays are part of the record.
//
// Derived indexes (tokens as in config/store.h):
//   PD_IX_SERVICE   "HOST"          struct pd_service_list: every service with this host name
//   PD_IX_ENDPOINTS "HOST"          struct pd_endpoints: all endpoints of the host name
//   PD_IX_ACCOUNTS  "HOST"          struct pd_accounts: the service accounts of its endpoints (certificate SANs)
//   PD_IX_TARGETS   "NS/KEY=VALUE"  struct pd_service_list: services of NS whose selector's first pair is KEY=VALUE
//   PD_IX_WORKLOAD  "IP"            struct pd_workload: the workload with this address (per network)
//   PD_IX_NETWORKS  ""              struct pd_networks: the gateways between networks
#ifndef DISCOVERY_REGISTRY_H
#define DISCOVERY_REGISTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hamt.h"
#include "config/store.h"

enum pd_derived_index {
	PD_IX_SERVICE = PD_INDEX_DERIVED,
	PD_IX_ENDPOINTS,
	PD_IX_ACCOUNTS,
	PD_IX_TARGETS,
	PD_IX_WORKLOAD,
	PD_IX_MESH,     // "" : the mesh configuration
	PD_IX_NETWORKS, // ""
	PD_IX_ACCESS,   // "NS/ACCOUNT": whether it may read Secrets (discovery/access.h)
};

enum pd_protocol {
	PD_PROTO_SNIFF, // not declared: detected on the wire ("unsupported" in istiod)
	PD_PROTO_TCP,
	PD_PROTO_HTTP,
	PD_PROTO_HTTP2,
	PD_PROTO_GRPC,
	PD_PROTO_GRPC_WEB,
	PD_PROTO_HTTP_PROXY,
	PD_PROTO_HTTPS,
	PD_PROTO_TLS,
	PD_PROTO_MONGO,
	PD_PROTO_REDIS,
	PD_PROTO_MYSQL,
	PD_PROTO_UDP,
	PD_PROTO_HBONE,
};
// From a service port (pkg/config/kube/conversion.go rules). Any argument may be NULL. port is the service port number.
enum pd_protocol pd_protocol_of(const char *transport, const char *app_protocol, const char *port_name, uint32_t port);
// From the `protocol` text of Gateway servers, ServiceEntry and Sidecar ports: "HTTP", "GRPC-Web", ...
enum pd_protocol pd_protocol_parse(const char *text);
static inline bool pd_protocol_is_http(enum pd_protocol p)
{
	return p >= PD_PROTO_HTTP && p <= PD_PROTO_HTTP_PROXY;
}
static inline bool pd_protocol_is_http2(enum pd_protocol p)
{
	return p >= PD_PROTO_HTTP2 && p <= PD_PROTO_GRPC_WEB;
}
static inline bool pd_protocol_is_tls(enum pd_protocol p)
{
	return p == PD_PROTO_HTTPS || p == PD_PROTO_TLS;
}
// TCP and what is carried as opaque TCP (MONGO, REDIS, MYSQL).
static inline bool pd_protocol_is_tcp(enum pd_protocol p)
{
	return p == PD_PROTO_TCP || p == PD_PROTO_MONGO || p == PD_PROTO_REDIS || p == PD_PROTO_MYSQL;
}

enum pd_resolution {
	PD_RES_EDS,         // Kubernetes ClusterIP, ServiceEntry STATIC ("client side load balancing")
	PD_RES_DNS,         // ServiceEntry DNS
	PD_RES_DNS_RR,      // ServiceEntry DNS_ROUND_ROBIN
	PD_RES_PASSTHROUGH, // headless, ServiceEntry NONE
	PD_RES_ALIAS,       // ExternalName
	PD_RES_DYNAMIC_DNS,
};

struct pd_port {
	const char *name;        // never NULL
	uint32_t port;           // service port
	uint32_t target_port;    // number; 0 when unset or named
	const char *target_name; // named targetPort, or NULL
	enum pd_protocol protocol;
};

// exportTo: bit set over "everybody" and a list of namespaces.
struct pd_export {
	bool all, none;
	size_t n;
	const char *const *ns; // interned; "." already replaced by the own namespace
};
bool pd_export_visible(const struct pd_export *e, const char *ns);

struct pd_service {
	struct pd_obj obj;
	const char *host, *name, *ns, *cluster; // interned; name: Kubernetes name, or the host for a ServiceEntry
	int64_t created_ns;
	bool kubernetes; // else ServiceEntry
	bool mesh_external;
	enum pd_resolution resolution;
	size_t n_vips;
	const char *const *vips; // addresses of the service; none for headless; auto-allocated ones are in auto_vips
	size_t n_auto_vips;
	const char *const *auto_vips;
	size_t n_ports;
	const struct pd_port *ports;
	struct pd_labels selector, labels;
	struct pd_export export_to;
	size_t n_aliases;
	const char *const *aliases; // host names of ExternalName services that end here, also by several hops
	const char *alias_of;       // ExternalName as written, or NULL
	size_t n_sans;
	const char *const *sans; // ServiceEntry.subjectAltNames; of a Service: identities that its annotations declare
	bool node_local;         // internalTrafficPolicy Local
	bool publish_not_ready;
	bool drains;                      // draining endpoints are sent: one of the persistent session labels is set
	const char *traffic_distribution; // "PreferSameZone" (also written PreferClose), "PreferSameNode", or NULL
	// The Service or ServiceEntry, one reference. For its key and provenance: a change of something in it that has no field
	// above renews the record without a token.
	const struct pd_object *source;
	uint64_t hash; // semantic hash over all of the above but source
};
struct pd_service_list {
	struct pd_obj obj;
	size_t n;
	// By creation time, name, namespace; one reference each. A Kubernetes service that several clusters have is there once for
	// each, our own cluster first; their endpoints are together in PD_IX_ENDPOINTS (workload->cluster tells them apart).
	struct pd_service *v[];
};
const struct pd_port *pd_service_port(const struct pd_service *s, uint32_t port); // NULL if none
// The order in which services claim what only one can have (a port, a proxy's service): oldest first, then by host. For qsort
// over struct pd_service *.
int pd_service_cmp_age(const void *a, const void *b);

enum pd_health { PD_HEALTHY, PD_UNHEALTHY, PD_DRAINING, PD_TERMINATING, PD_HEALTH_UNKNOWN };

// What is known of the process behind an address: a Pod, a WorkloadEntry or a ServiceEntry endpoint.
struct pd_workload {
	struct pd_obj obj;
	// All strings are interned and never NULL. name: of the Pod or WorkloadEntry, "NAME-i" for endpoint i of a ServiceEntry;
	// "" for bare addresses (ns too) and for hosts that are their own endpoint.
	const char *name, *ns, *cluster;
	const char *workload_name;   // owner-derived
	const char *service_account; // Kubernetes name; "" if unknown
	const char *spiffe;          // "spiffe://TD/ns/NS/sa/SA" or ""
	const char *node, *network;
	const char *locality; // "region/zone/subzone" as written; nodes give "r/z/" without subzone; "" if unknown
	const char *canonical_name, *canonical_revision; // revision "latest" if nothing says it
	const char *hostname,
		*subdomain;      // of a Pod with a subdomain: its DNS name is HOSTNAME.SUBDOMAIN.NS.svc.DOMAIN; else ""
	struct pd_labels labels; // its own, and as istiod adds: topology labels of locality, node, cluster, network
	bool tls_istio;          // security.istio.io/tlsMode: istio
	bool has_pod;
	size_t n_ips;
	const char *const *ips; // of a Pod, primary first; else none
	uint64_t hash;
};

struct pd_endpoint {
	struct pd_workload *workload; // one reference; never NULL
	const char *address;          // interned IP, host name (DNS) or path of a unix socket ("/run/x.sock", port 0)
	const char *port_name;        // the service port's name: endpoints are matched by it; interned
	const char *hostname;         // workload->hostname, or NULL if that is ""
	uint32_t port;
	uint32_t weight; // 0 = default (1)
	enum pd_health health;
	// EndpointSlice, ServiceEntry or WorkloadEntry; borrowed from the record. source->key.ns is the namespace of the service
	// that the endpoint belongs to: the same host may be declared in several.
	const struct pd_object *source;
};
// Addresses of both families, whatever the dual-stack setting: a Pod with two addresses is two endpoints with one workload.
struct pd_endpoints {
	struct pd_obj obj;
	const char *ns; // of the first service with the host name; interned
	size_t n;
	const struct pd_endpoint *v; // stable order: by source, then as listed
	size_t n_sources;
	const struct pd_object *const *sources; // one reference each
	uint64_t hash;
};
struct pd_accounts {
	struct pd_obj obj;
	size_t n;
	// Sorted, distinct, interned: SPIFFE URIs of the endpoints, and what the services themselves declare (annotations,
	// ServiceEntry.subjectAltNames). mesh.trustDomainAliases are not expanded. No record when there is none.
	const char *v[];
};

// How a network is reached from others. Only mTLS passes a gateway: it routes by SNI.
struct pd_network_gateway {
	const char *network, *cluster, *address; // interned; an IP address
	uint32_t port;
	const struct pd_object *source; // the Service, one reference; NULL: meshNetworks
};
struct pd_networks {
	struct pd_obj obj;
	uint32_t weight_scale; // endpoints' weights times this can be split evenly among the gateways of any network
	size_t n;
	struct pd_network_gateway v[]; // by network, address, port, cluster
};

// The registry proper: owned by the control loop's thread. Keeps a persistent map of the derived records.
struct pd_registry;
struct pd_mesh;
// `domain_suffix` must be what pd_indexes_set_domain was given. `cluster`: our own. Strings are copied.
struct pd_registry *pd_registry_new(const char *domain_suffix, const char *cluster);
void pd_registry_free(struct pd_registry **);
// Follows one change set of the store. `snap` is the config snapshot after the change; both are borrowed during the call.
// `mesh` is the one in force: when it is another than at the last call, PD_IX_MESH changes, and a change of trust domain, root
// namespace or defaultServiceExportTo recomputes everything. Appends the tokens of the derived postings that changed (each
// once, in no particular order; the array is the caller's to free).
// Cost: proportional to the objects touched (a Pod touches the services whose slices name it).
struct pd_token_vec {
	pd_token *v;
	size_t n, cap;
};
void pd_registry_apply(struct pd_registry *, const struct pd_config_snap *snap, const struct pd_changeset *changes,
		       const struct pd_mesh *mesh, struct pd_token_vec *tokens);
// The derived records as of now: a new reference to the persistent map. Entries: hash pd_token_make(index, key), key `key`.
pd_hamt pd_registry_map(struct pd_registry *);
// Lookup in such a map. Borrowed or NULL.
void *pd_registry_get(pd_hamt map, enum pd_derived_index index, const char *key);
// All host names, for a fresh scope.
void pd_registry_each_service(pd_hamt map, bool (*fn)(const char *host, struct pd_service_list *l, void *arg),
			      void *arg);

// The indexes over config objects that the registry itself needs (EndpointSlices by service, Pods by IP, ...) are part of
// pd_indexes[] (discovery/indexes.h).

#endif
