// The bootstrap configuration of a stock Envoy in the mesh: who it is, where it takes everything else from.
//
// Envoy talks to pilotd by itself (ADS, either protocol), with the workload's certificate where that connection is TLS. An
// istio-agent stands in between and forwards the stream; what it adds there (DNS names, remote wasm modules) is for its own
// patched Envoy, and a second hop costs a copy of every resource and hides from pilotd who is connected. So: no xDS proxy.
//
// Static names as istio-proxy's, because the mesh's resources mention them: clusters xds-grpc, sds-grpc, prometheus_stats,
// agent, zipkin, datadog_agent; listeners on the ports of readiness (15021) and statistics (15090).
#ifndef PROXY_BOOTSTRAP_H
#define PROXY_BOOTSTRAP_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

// All-zero and NULL: none of it, unless said otherwise. Everything is borrowed during the call.
struct pd_bootstrap {
	// the node
	const char *id;      // "sidecar~10.1.2.3~pod.ns~ns.svc.cluster.local"
	const char *cluster; // "app.ns"
	json_t *metadata;    // object
	const char *region, *zone, *sub_zone;

	// ADS
	const char *xds;         // "host:port"
	const char *protocol;    // "delta" or "sotw"
	const char *server_name; // that pilotd's certificate must bear; NULL: plaintext
	const char *root_secret; // name of the SDS secret with the roots for it: "file-root:/path"

	const char *sds;          // path of the Unix socket where the workload's certificate is
	const char *admin_host;   // NULL: 127.0.0.1
	uint16_t admin_port;      // 0: no admin interface
	const char *listen_host;  // of the two listeners below; NULL: 0.0.0.0
	uint16_t readiness_port;  // forwards /healthz/ready to `agent_port`; 0: no such listener
	uint16_t prometheus_port; // only /stats/prometheus of the admin interface; 0: no such listener
	uint16_t agent_port;      // of the proxy helper; 0: none
	const char *agent_host;   // where it listens; NULL: 127.0.0.1

	const char *zipkin, *datadog; // "host:port" of a tracing collector; at most one
	// NULL-terminated lists; if any is given, only such statistics are kept, and those that readiness needs.
	const char *const *stats_prefixes;
	const char *const *stats_suffixes;
	const char *const *stats_regexes;
};

// Appends the configuration as JSON. PD_E_INVALID with a text in `err`: an address is no HOST:PORT.
int pd_bootstrap_write(const struct pd_bootstrap *, struct pd_buf *out, struct pd_buf *err) PD_MUST_CHECK;

// "KEY=VALUE,..." as an object of strings; adds to `o` and returns it.
json_t *pd_json_add_pairs(json_t *o, const char *text);
// The node's id; caller frees. `type` is "sidecar" or "router".
char *pd_node_id(const char *type, const char *ip, const char *name, const char *ns, const char *dns_domain);

#endif
