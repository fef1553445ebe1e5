// Names in statistics by the mesh's patterns: outboundClusterStatName, inboundClusterStatName.
#ifndef DISCOVERY_LISTENER_STAT_NAME_H
#define DISCOVERY_LISTENER_STAT_NAME_H

#include "discovery/tx.h"

struct pd_stat_name {
	const char *host;
	const struct pd_service *svc; // for the short forms of a Kubernetes service's name; may be NULL
	const char *subset, *port_name;
	uint32_t port, target_port;
};
// %SERVICE% %SERVICE_NAME% %SERVICE_FQDN% %SERVICE_PORT% %SERVICE_PORT_NAME% %TARGET_PORT% %SUBSET_NAME%; anything else is
// kept. In the arena.
const char *pd_stat_name(struct pd_arena *a, const char *pattern, const struct pd_stat_name *n);

#endif
