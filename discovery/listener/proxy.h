// What listeners read of the proxy itself.
//
// Several of these properties belong to a view; passes without one (scopes) see the default. All such reads are here, so that
// a property which moves into struct pd_proxy_key needs a change in this file only.
#ifndef DISCOVERY_LISTENER_PROXY_H
#define DISCOVERY_LISTENER_PROXY_H

#include "discovery/tx.h"
#include "istio/mesh/proxy.pb-c.h"

// PROXY_CONFIG of the node, which stands for the whole of mesh.defaultConfig where it is given. Never NULL.
const Istio__ProxyConfig *pd_proxy_config(struct pd_tx *tx);
// Of the ProxyConfig, else of the mesh's; NULL if neither has any. Gateways with profile EDGE get its defaults.
const Istio__ProxyConfig__ConnectionSettings *pd_connection_settings(struct pd_tx *tx, const Istio__ProxyConfig *pc);
// IDLE_TIMEOUT of the node; NULL if unset or unreadable.
Google__Protobuf__Duration *pd_proxy_idle_timeout(struct pd_tx *tx);
bool pd_proxy_http10(struct pd_tx *tx);

// "0.0.0.0", "::" or both; "127.0.0.1", "::1" or both; by the proxy's address families.
struct pd_addresses {
	size_t n;
	const char *const *v;
};
struct pd_addresses pd_proxy_wildcards(struct pd_tx *tx);
struct pd_addresses pd_proxy_localhosts(struct pd_tx *tx);

// Whether a listener may take this address: not what the proxy itself listens on, nor a port below 1024 where that is not
// permitted. `bind` "" = not known yet: decided by the protocol. `mesh_ports`: 15001 and 15006 count as taken.
bool pd_proxy_can_bind(struct pd_tx *tx, const char *bind, uint32_t port, bool http, bool bind_to_port,
		       bool mesh_ports);
// Whether automatically allocated addresses of services are resolved for this proxy.
bool pd_proxy_uses_auto_vips(struct pd_tx *tx);

// Where traffic to unknown places goes: "PassthroughCluster", "BlackHoleCluster" or what the policy names.
const char *pd_proxy_catch_all_cluster(struct pd_tx *tx);
// Whether the proxy resolves hosts that nobody declared and goes there (HTTP): ALLOW_ANY_DYNAMIC_DNS.
bool pd_proxy_resolves_any(struct pd_tx *tx);

#endif
