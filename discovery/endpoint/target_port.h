// Which port of the proxy's own workload a service's port leads to.
#ifndef DISCOVERY_ENDPOINT_TARGET_PORT_H
#define DISCOVERY_ENDPOINT_TARGET_PORT_H

#include "discovery/tx.h"

// 0 if it is not known: a named target port that the workload does not have. Needs tx->view.
uint32_t pd_target_port(struct pd_tx *tx, const struct pd_service *svc, const struct pd_port *port);

#endif
