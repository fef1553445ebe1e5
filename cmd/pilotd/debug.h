// Debug pages: what istiod serves below /debug, and what pilotd can tell beyond it. Each file has a table of its pages.
#ifndef CMD_PILOTD_DEBUG_H
#define CMD_PILOTD_DEBUG_H

#include "base/http.h"
#include "config/issue.h"
#include "discovery/engine.h"
#include "xds/server.h"

// What the pages look at. All borrowed; outlives the HTTP servers.
struct debug_sources {
	struct pd_engine *engine;
	struct pd_xds *xds;
	struct pd_issues *issues;
};

void debug_add_clients(struct pd_http *h, struct debug_sources *s); // syncz, connections
void debug_add_dumps(struct pd_http *h, struct debug_sources *s);   // config_dump, edsz, ndsz, ecdsz, why
void debug_add_config(struct pd_http *h, struct debug_sources *s);  // configz, mesh, issuesz
void debug_add_all(struct pd_http *h, struct debug_sources *s);

// "pod.ns" of a node id "type~ip~pod.ns~domain"; *n is its length. The whole id if it has another form.
const char *debug_proxy_name(const char *node_id, size_t *n);
// Indents compact JSON in place if the request asks for it (?pretty).
void debug_send_json(const struct pd_http_request *r, struct pd_http_response *out);

#endif
