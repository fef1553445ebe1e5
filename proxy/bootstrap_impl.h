// What bootstrap.c (node, ADS, SDS) and bootstrap_extras.c (the rest) share. Private to proxy/.
#ifndef PROXY_BOOTSTRAP_IMPL_H
#define PROXY_BOOTSTRAP_IMPL_H

#include "proxy/bootstrap.h"

json_t *pd_json_address(const char *host, unsigned port);
// `address` is taken.
json_t *pd_json_cluster(const char *name, const char *type, json_t *address);
// The same for "host:port". PD_E_INVALID.
int pd_json_cluster_at(const char *name, const char *address, json_t **out, struct pd_buf *err) PD_MUST_CHECK;

// Clusters of the admin interface, of the helper and of the tracing collector.
int pd_bootstrap_extras(const struct pd_bootstrap *, json_t *clusters, struct pd_buf *err) PD_MUST_CHECK;
// Array, maybe empty.
json_t *pd_bootstrap_listeners(const struct pd_bootstrap *);
// NULL: none.
json_t *pd_bootstrap_tracing(const struct pd_bootstrap *);
json_t *pd_bootstrap_stats(const struct pd_bootstrap *);

#endif
