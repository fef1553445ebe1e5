// Extension providers of the mesh configuration name the service that they talk to; here is which cluster that is.
#ifndef DISCOVERY_PROVIDER_H
#define DISCOVERY_PROVIDER_H

#include "discovery/tx.h"

struct pd_provider_target {
	const char *host;    // of the service
	const char *cluster; // "outbound|PORT||HOST"
	const char *error;   // why there is none: then the others are NULL
};
// `service`: "HOST", which one namespace only may have, or "NS/HOST". Visibility does not matter: a provider is the mesh's.
struct pd_provider_target pd_provider_target(struct pd_tx *tx, const char *service, uint32_t port);

#endif
