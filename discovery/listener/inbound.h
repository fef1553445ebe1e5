// Inside of the listener translator: what comes in to a sidecar.
#ifndef DISCOVERY_LISTENER_INBOUND_H
#define DISCOVERY_LISTENER_INBOUND_H

#include "discovery/listener/listener.h"

// One port of the proxy's workload, or everything else.
struct inbound {
	uint32_t port;    // of the workload; 0 = all that have no chain of their own
	bool passthrough; // not the port of a service
	enum pd_protocol protocol;
	const char *cluster;   // "inbound|8080||", "InboundPassthroughCluster"
	const char *bind;      // "0.0.0.0"; part of the name
	const char *host;      // of the service, for traces; "" = none
	const char *port_name; // of the service's port
	uint32_t service_port;
	const struct pd_service *svc;
};

// The route configuration of an HTTP chain, inline: everything goes to the application.
EnvoyRouteConfiguration *pd_inbound_routes(struct pd_tx *tx, const struct inbound *in);
// Appends the chains for a port, by the mTLS mode in force and the protocol.
void pd_inbound_chains(struct pd_tx *tx, const struct inbound *in, enum pd_mtls mode, EnvoyListener *l);

#endif
