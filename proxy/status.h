// What the helper answers on its own port (15020), as istio-agent does:
//
//   GET  /healthz/ready        200 once Envoy can serve; 503 with the reason before, and while it drains
//   GET  /stats/prometheus     our metrics, Envoy's, and the application's (ISTIO_PROMETHEUS_ANNOTATIONS), one after the other
//   *    /app-health/…, /app-lifecycle/…   the application's probes (proxy/probes.h)
//   POST /quitquitquit         from this host only: end, as SIGTERM
//   POST /drain                from this host only: Envoy's listeners drain, nothing ends
#ifndef PROXY_STATUS_H
#define PROXY_STATUS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

#define PD_SCRAPE_TIMEOUT_MS 5000 // for Envoy's and for the application's metrics

// Strings are borrowed for the server's life.
struct pd_status_config {
	const char *address;  // "host:port"; "" = none
	uint16_t admin_port;  // Envoy's
	bool sidecar;         // /drain leaves its application's outbound listeners alone
	const char *app_host; // where the application listens
	const char *probes;   // JSON of proxy/probes.h; "" = none
	const char
		*prometheus; // {"scrape":"true","path":"/metrics","port":"8080"}; "" = the application has no metrics
	void (*quit)(void *arg); // for /quitquitquit
	void *arg;
};

struct pd_status;
// PD_E_INVALID, PD_E_PARSE, PD_E_LIMIT: probes or prometheus; PD_E_IO: the address. `err` says which and why.
int pd_status_start(const struct pd_status_config *, struct pd_status **out, struct pd_buf *err) PD_MUST_CHECK;
void pd_status_stop(struct pd_status **); // NULL is fine
uint16_t pd_status_port(const struct pd_status *);
// Not ready any more, for good: the proxy is about to end.
void pd_status_draining(struct pd_status *);

// istio_agent_scrapes_total, istio_agent_scrape_failures_total; once per process.
void pd_status_register_metrics(void);

#endif
