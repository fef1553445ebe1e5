// Domains of virtual hosts.
#ifndef DISCOVERY_ROUTE_DOMAINS_H
#define DISCOVERY_ROUTE_DOMAINS_H

#include "discovery/build.h"

// Appends every name under which the proxy of tx may call the service: the host first, its other forms, aliases, addresses.
void pd_service_domains(struct pd_tx *tx, const struct pd_service *svc, Envoy__Config__Route__V3__VirtualHost *vh);
// The same each with ":PORT"; `bare`: also without.
void pd_service_domains_with_port(struct pd_tx *tx, const struct pd_service *svc, uint32_t port, bool bare,
				  Envoy__Config__Route__V3__VirtualHost *vh);
// Appends a host that only a VirtualService names.
void pd_bare_domain(struct pd_tx *tx, const char *host, Envoy__Config__Route__V3__VirtualHost *vh);
// "HOST:PORT", the host in brackets if it is an IPv6 address.
char *pd_host_port(struct pd_arena *a, const char *host, uint32_t port);

#endif
