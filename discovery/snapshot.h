// A snapshot: everything that translators may read, immutable, one pointer swap apart from the next.
#ifndef DISCOVERY_SNAPSHOT_H
#define DISCOVERY_SNAPSHOT_H

#include "config/jwks.h"
#include "config/mesh.h"
#include "config/store.h"
#include "discovery/access.h"
#include "discovery/registry.h"

// Settings that do not change while the process runs: istiod's environment flags and command line.
struct pd_settings {
	const char *domain_suffix;      // "cluster.local"
	const char *cluster;            // "Kubernetes"
	const char *system_ns;          // "istio-system"
	bool dual_stack;                // ISTIO_DUAL_STACK
	bool enable_ambient;            // PILOT_ENABLE_AMBIENT
	bool send_unhealthy;            // PILOT_AUTO_SEND_UNHEALTHY_ENDPOINTS
	bool mongo_filter;              // PILOT_ENABLE_MONGO_FILTER
	bool redis_filter;              // PILOT_ENABLE_REDIS_FILTER
	bool mysql_filter;              // PILOT_ENABLE_MYSQL_FILTER
	bool http10;                    // PILOT_HTTP10
	double trace_sampling;          // PILOT_TRACE_SAMPLING, percent
	bool eds_for_headless;          // PILOT_ENABLE_EDS_FOR_HEADLESS_SERVICES
	bool disable_track_remaining;   // DISABLE_TRACK_REMAINING_CB_METRICS
	bool multiple_custom_providers; // PILOT_ENABLE_MULTIPLE_CUSTOM_AUTHZ_PROVIDERS
	enum pd_jwks_mode jwks_mode;    // PILOT_JWT_ENABLE_REMOTE_JWKS
};
void pd_settings_defaults(struct pd_settings *s);

struct pd_snapshot {
	struct pd_obj obj;
	uint64_t generation;           // 1, 2, 3, ... of this process
	struct pd_config_snap *config; // configuration objects
	pd_hamt derived;               // registry records (pd_registry_get)
	struct pd_mesh *mesh;
	const struct pd_settings *settings; // borrowed for the process
	struct pd_access *access;           // borrowed for the engine's life; NULL: nobody needs permission
};

#endif
