// Inside of discovery/route: what one host contributes to the route configurations of sidecars.
#ifndef DISCOVERY_ROUTE_VHOST_H
#define DISCOVERY_ROUTE_VHOST_H

#include "discovery/route/domains.h"
#include "discovery/route/route.h"
#include "discovery/route/vs_lookup.h"

#define PD_HTTP_PROXY_ROUTE "http_proxy"
#define PD_DEFAULT_HTTP_PORT 80

struct pd_host_pass {
	struct pd_tx *tx;
	const char *host;
	const struct pd_service *svc; // NULL: only VirtualServices name the host
	struct pd_vs_candidates candidates;
	bool http_proxy; // sidecars have a listener for applications that use them as a proxy
	struct pd_vhost_vec *out;
};

// HTTP or detected.
bool pd_port_has_routes(const struct pd_service *svc, const struct pd_port *p);
// Whether routes from the Gateway API may be used for this service by clients in the namespace of tx.
bool pd_vs_may_route(struct pd_tx *tx, const struct pd_vs *vs, const struct pd_service *svc);
void pd_sidecar_routes(struct pd_tx *tx, const struct pd_vs *vs, uint32_t port, struct pd_route_vec *out);
void pd_vhost_emit(struct pd_host_pass *p, const char *route_name, EnvVirtualHost *vh, enum pd_vhost_rank rank);

// The virtual hosts of the host where it is no service (bare.c). Some VirtualService names this very host.
void pd_bare_vhosts(struct pd_host_pass *p);

#endif
