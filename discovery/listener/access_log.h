// Access logs of HTTP connection managers, tcp_proxy filters and listeners. (reference: §10)
#ifndef DISCOVERY_LISTENER_ACCESS_LOG_H
#define DISCOVERY_LISTENER_ACCESS_LOG_H

#include "discovery/listener/http_manager.h"

struct pd_access_logs {
	EnvoyAccessLog **v; // in the arena
	size_t n;
};
// What a proxy logs about requests or connections of this class.
struct pd_access_logs pd_access_logs_http(struct pd_tx *tx, enum pd_listener_class class);
struct pd_access_logs pd_access_logs_tcp(struct pd_tx *tx, enum pd_listener_class class);
// Sets the log of a listener itself: connections for which no filter chain was found.
void pd_access_log_listener(struct pd_tx *tx, EnvoyListener *l, enum pd_listener_class class);

#endif
