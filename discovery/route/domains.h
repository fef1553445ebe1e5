// Domains of virtual hosts.
#ifndef DISCOVERY_ROUTE_DOMAINS_H
#define DISCOVERY_ROUTE_DOMAINS_H

#include "discovery/build.h"

// Appends every name under which the proxy of tx may call the service: the host, its short forms, aliases, addresses.
void pd_service_domains(struct pd_tx *tx, const struct pd_service *svc, Envoy__Config__Route__V3__VirtualHost *vh);

#endif
