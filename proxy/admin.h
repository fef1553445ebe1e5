// Envoy's admin interface, as far as the helper needs it.
#ifndef PROXY_ADMIN_H
#define PROXY_ADMIN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

#define PD_ADMIN_TIMEOUT_MS 3000

// PD_OK: Envoy is live, its workers run, and it has had an answer to its first requests for clusters and listeners (accepted
// or rejected: a rejected one must not take a workload out of service that runs on an older one). PD_E_AGAIN: not yet; PD_E_IO,
// PD_E_TIMEOUT: no answer. `why` says what is missing.
int pd_admin_ready(uint16_t port, struct pd_buf *why) PD_MUST_CHECK;
// The same from the text of /stats. For tests.
int pd_admin_ready_of(const char *stats, struct pd_buf *why) PD_MUST_CHECK;

// Asks Envoy to drain its listeners: no keep-alive any more, and after the drain time they close. `inbound_only`: a sidecar's
// application may still call others.
int pd_admin_drain(uint16_t port, bool inbound_only, struct pd_buf *why) PD_MUST_CHECK;
// Open connections from clients (sum of listener.*.downstream_cx_active, without those of the ports named); -1: no answer.
int64_t pd_admin_connections(uint16_t port, const uint16_t *but, unsigned n_but);
int64_t pd_admin_connections_of(const char *stats, const uint16_t *but, unsigned n_but); // for tests

#endif
