// Network filters of TCP chains: codecs and tcp_proxy, for sidecars and gateways. (reference: §4 TCP routes)
#ifndef DISCOVERY_LISTENER_TCP_FILTERS_H
#define DISCOVERY_LISTENER_TCP_FILTERS_H

#include "discovery/listener/http_manager.h"

struct pd_filter_vec {
	EnvoyNetworkFilter **v;
	size_t n, cap; // in the arena
};

// What a TCP chain does with its connections. Zero what does not apply.
struct pd_tcp_chain {
	enum pd_listener_class class;
	enum pd_protocol protocol; // MONGO, REDIS and MYSQL get a codec filter where settings and the proxy allow it
	uint32_t port;             // of the listener; of destinations that name none
	const char *port_name;     // of the service's port, for stat names
	// Either one cluster,
	const char *cluster;
	const struct pd_service *svc; // whose DestinationRule sets timeouts, hashing and tunnels
	const char *subset;
	// or the destinations of a route of a VirtualService.
	const struct pd_vs *vs;
	Istio__RouteDestination **destinations;
	size_t n_destinations;
	const char *stat_prefix; // NULL: the cluster (or by the mesh's pattern); of several destinations "VSNAME.VSNS"
	bool exchange;           // metadata exchange in front, if the proxy has it
	bool no_tunnel;          // the DestinationRule's tunnel does not apply
	bool no_policies;        // nobody is kept out: whoever is behind the chain looks after that
};

// Appends the filters of a TCP chain, the terminal one last.
void pd_tcp_filters(struct pd_tx *tx, const struct pd_tcp_chain *c, struct pd_filter_vec *out);
// Filters for traffic to a fixed cluster that belongs to no service ("PassthroughCluster"), with the proxy's idle timeout
// and access log.
void pd_tcp_filters_plain(struct pd_tx *tx, enum pd_listener_class class, const char *cluster,
			  struct pd_filter_vec *out);
// A blackhole's: nothing is logged, nothing waits.
void pd_tcp_filters_blackhole(struct pd_tx *tx, enum pd_listener_class class, struct pd_filter_vec *out);

// A network filter with its configuration packed.
EnvoyNetworkFilter *pd_network_filter(struct pd_arena *a, const char *name, const void *config);
// Metadata that names the object a chain came from: "/apis/GROUP/VERSION/namespaces/NS/KIND/NAME".
EnvoyMetadata *pd_config_metadata(struct pd_arena *a, const struct pd_object *o);

#endif
