// Which VirtualServices may govern a host of the mesh, best first.
#ifndef DISCOVERY_ROUTE_VS_LOOKUP_H
#define DISCOVERY_ROUTE_VS_LOOKUP_H

#include "discovery/tx.h"

// Who may see it: what is kept to the own namespace comes before what is exported to it, and that before what all may see.
enum pd_vs_tier { PD_VS_PRIVATE, PD_VS_EXPORTED, PD_VS_PUBLIC, PD_VS_INVISIBLE };

struct pd_vs_candidate {
	struct pd_vs vs;
	size_t specificity; // of the host of it that covers: SIZE_MAX = it is the very host, else the length of the wildcard
	enum pd_vs_tier tier;
	bool own_route; // made of a Gateway API route of the proxy's namespace: first of its tier
};

struct pd_vs_candidates {
	struct pd_vs_candidate *v;
	size_t n, cap;
};

// Bound to the mesh and visible, with a host that is or covers `host`: the most specific first, then by tier, then oldest.
struct pd_vs_candidates pd_vs_for_host(struct pd_tx *tx, const char *host);
// Host i of it as a full name.
const char *pd_vs_host(struct pd_tx *tx, const struct pd_vs *vs, size_t i);

// Made of Gateway API routes (prefixes match by path element, missing backends answer 500, ...), or of an Ingress.
bool pd_vs_is_gateway_api(const struct pd_object *o);
bool pd_vs_is_ingress(const struct pd_object *o);

#endif
