// Proxies, views and scopes: what a proxy's configuration depends on, interned.
//
// A *view* holds every property of a proxy that some rule reads, and nothing else: the replicas of a Deployment share one.
// A *scope* is the part of a view that the outbound side depends on: proxy type, namespace, Sidecar, network and so on; all
// sidecars of a namespace normally share one. Work is done once per scope or per view, never per connection.
//
// Views and scopes are immutable here; what is computed for them lives in the engine (discovery/engine.h).
#ifndef DISCOVERY_VIEW_H
#define DISCOVERY_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "discovery/registry.h"
#include "envoy/config/core/v3/base.pb-c.h"

enum pd_node_type { PD_NODE_SIDECAR, PD_NODE_ROUTER, PD_NODE_WAYPOINT, PD_NODE_ZTUNNEL };
enum pd_interception { PD_INTERCEPT_REDIRECT, PD_INTERCEPT_TPROXY, PD_INTERCEPT_NONE };

// What the client's Envoy has. A stock Envoy lists its extensions; istio-proxy lists more; a client that lists none but sends
// an ISTIO_VERSION is taken for an istio-proxy with everything.
enum pd_capability {
	PD_CAP_METADATA_EXCHANGE_HTTP = 1 << 0,    // istio.metadata_exchange / peer_metadata HTTP filter
	PD_CAP_METADATA_EXCHANGE_NETWORK = 1 << 1, // network and cluster filter
	PD_CAP_ALPN = 1 << 2,                      // istio.alpn
	PD_CAP_STATS = 1 << 3,                     // istio.stats
	PD_CAP_MONGO = 1 << 4,
	PD_CAP_MYSQL = 1 << 5,
	PD_CAP_REDIS = 1 << 6,
	PD_CAP_ALL = (1 << 7) - 1,
};

// Limits on what a client may say of itself (Node): beyond them the stream ends with InvalidArgument.
#define PD_NODE_ID_MAX 1024
#define PD_NODE_METADATA_MAX (256 * 1024)
#define PD_NODE_LABELS_MAX 512

struct pd_proxy_key { // also the head of struct pd_view; strings interned
	enum pd_node_type type;
	const char *ns;           // config namespace
	const char *dns_domain;   // "default.svc.cluster.local"
	const char *cluster;      // CLUSTER_ID
	const char *network;      // NETWORK
	const char *network_view; // REQUESTED_NETWORK_VIEW
	const char *locality;     // "region/zone/subzone"; of a scope: "" (tx_locality)
	const char *node;         // NODE_NAME; of a scope: "" (tx_node)
	uint32_t caps;            // enum pd_capability bits
	bool ipv4, ipv6;          // address families of the proxy
	enum pd_interception interception;
	const char *idle_timeout;   // IDLE_TIMEOUT as written; "" = none
	const char *proxy_config;   // PROXY_CONFIG as canonical JSON; "" = none
	uint32_t reserved_ports[4]; // ENVOY_STATUS_PORT, ENVOY_PROMETHEUS_PORT, ...; 0 = none
	bool unprivileged_pod, http10, dns_capture, dns_auto_allocate;
	struct pd_labels labels; // scopes: the labels that some rule selects clients by (sourceLabels); views: none
};

struct pd_view {
	struct pd_obj obj;
	struct pd_proxy_key key;
	struct pd_labels labels; // registry (pod) labels, else metadata LABELS
	size_t n_ips;
	const char *const *ips; // own addresses, only where a rule reads them (headless services); else none
	const char *service_account, *mesh_id, *istio_version, *workload_name;
	const char *canonical_name, *canonical_revision;
	const char *verified_account; // service account (in key.ns) that the proxy proved to be; "" if it did not
	const char *metadata;         // remaining metadata that some rule reads, canonical JSON, or NULL
	uint64_t hash;                // over all of the above
	struct view_state *state;     // the engine's; NULL before it is interned
	struct pd_arena arena;
};

// Checks and reduces the Node of a first request against a snapshot. `verified_account`: the service account that the peer
// proved to be, in the namespace that the Node names; "" if it proved nothing. *out: a new view, one reference, not interned
// (the engine does that). PD_E_INVALID: err says what is wrong, for the client.
struct pd_snapshot;
int pd_view_from_node(const struct pd_snapshot *snap, const Envoy__Config__Core__V3__Node *node,
		      const char *verified_account, struct pd_view **out, char *err, size_t err_len) PD_MUST_CHECK;
bool pd_view_equal(const struct pd_view *a, const struct pd_view *b);

// What a client told in the first request of a stream, checked and reduced. `node_id` and addresses are per connection and
// stay with the stream; `view` is shared.
struct pd_proxy {
	char *node_id;
	struct pd_view *view; // one reference
};

#endif
