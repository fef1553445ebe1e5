// Health checks of the application, asked by the kubelet and answered by us.
//
// Under mutual TLS the kubelet cannot reach the application's port. So the injector points each probe (and lifecycle handler) at
// our port 15020, path /app-health/CONTAINER/readyz and the like, and leaves the original in ISTIO_KUBE_APP_PROBERS:
//
//   {"/app-health/app/readyz": {"httpGet": {"path": "/ready", "port": 8080, "scheme": "HTTP", "httpHeaders": […]},
//                               "timeoutSeconds": 1}}      or "tcpSocket": {"port": 1}, "grpc": {"port": 1, "service": "s"}
#ifndef PROXY_PROBES_H
#define PROXY_PROBES_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

#define PD_PROBES_MAX 64          // probes of a pod
#define PD_PROBE_HEADERS_MAX 32   // headers of a probe
#define PD_PROBE_TIMEOUT_S 1      // unless it says otherwise; Kubernetes' default
#define PD_PROBE_TIMEOUT_MAX_S 60 // more would keep a thread too long

enum pd_probe_kind { PD_PROBE_HTTP, PD_PROBE_TCP, PD_PROBE_GRPC };

// Strings are in the list's arena.
struct pd_probe {
	const char *path; // of ours: "/app-health/app/readyz"
	enum pd_probe_kind kind;
	const char *host; // "" = the pod's address
	uint16_t port;
	unsigned timeout_s;
	const char *http_path, *scheme;                // HTTP
	const char *headers[PD_PROBE_HEADERS_MAX + 1]; // HTTP: "Name: value", NULL-terminated
	const char *service;                           // gRPC
};

// All-zero is empty; release with pd_probes_free.
struct pd_probes {
	struct pd_arena arena;
	struct pd_probe *v;
	size_t n;
};
// PD_E_PARSE, PD_E_INVALID, PD_E_LIMIT with a text in `err`; "" is no probes.
int pd_probes_parse(const char *json, struct pd_probes *out, struct pd_buf *err) PD_MUST_CHECK;
void pd_probes_free(struct pd_probes *);
const struct pd_probe *pd_probes_find(const struct pd_probes *, const char *path); // NULL: none

// Asks the application. `host` is used where the probe names none. Returns the HTTP status to answer with: of an HTTP probe
// the application's, else 200 or 500; `why` has a text if it is not healthy.
int pd_probe_run(const struct pd_probe *, const char *host, struct pd_buf *why);

#endif
