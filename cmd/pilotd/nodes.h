// What nodes' proxies may ask certificates for (struct pd_node_authorizer of ca/service.h), from the engine's snapshot.
#ifndef CMD_PILOTD_NODES_H
#define CMD_PILOTD_NODES_H

#include "ca/service.h"

struct pd_engine;

// `engine` is borrowed. Only callers whose token the API server has reviewed are believed: it compares the UID of their pod.
struct pd_node_authorizer nodes_authorizer(struct pd_engine *engine);

#endif
