// Fetches the key sets that RequestAuthentications name by URI, or by nothing but their issuer, and delivers them as objects
// (PD_KIND_JSON_WEB_KEY_SET). It stands between the other sources and the control loop and passes everything on:
//
//   sources ──► pd_jwks_source_sink ──► control loop
//                     │  ▲ keys
//                 pd_fetcher
//
// New names. A RequestAuthentication that names a document which nobody has asked for yet is held back until there is an answer,
// good or bad, but no longer than PD_JWKS_HOLD_MS: or else proxies would refuse good tokens for a moment. So is `synced` of a
// source while such objects are held.
//
// Keeping them fresh. A document is fetched again each `refresh_ms`. If that fails the last good one stays in force, for
// PD_JWKS_KEEP_S at most, and it is tried again more often; what has never been had is tried once a minute or more often.
// What nobody names any more goes.
#ifndef CONFIG_JWKS_SOURCE_H
#define CONFIG_JWKS_SOURCE_H

#include "base/addr.h"
#include "config/jwks.h"
#include "config/source.h"

#define PD_JWKS_DOCS_MAX 1000           // documents; further ones are not fetched, and a log line says so
#define PD_JWKS_HOLD_MS 5000            // an object waits so long at most
#define PD_JWKS_REFRESH_MS 1200000      // 20 minutes
#define PD_JWKS_KEEP_S (7 * 24 * 3600)  // how long keys are used that cannot be fetched any more
#define PD_JWKS_RETRY_MIN_MS 1000       // after a failure, doubled with each further one
#define PD_JWKS_RETRY_MAX_MS 60000      // where there are no keys yet
#define PD_JWKS_RETRY_KEPT_MIN_MS 60000 // where there are
#define PD_JWKS_RETRY_KEPT_MAX_MS 3600000

struct pd_jwks_source_config {
	const char *cluster;    // of the objects' keys: our own; borrowed for the source's life
	struct pd_sink *sink;   // where everything goes; likewise
	enum pd_jwks_mode mode; // PD_JWKS_ENVOY: documents with a URI are left to the proxies
	uint64_t refresh_ms;    // 0 = PD_JWKS_REFRESH_MS
	const char *ca_file;    // PEM with the only roots to trust; NULL = the system's
	// Addresses that are not to be asked; besides, link-local ones and those of clouds' metadata never are.
	const struct pd_cidr *blocked;
	size_t n_blocked;
};

struct pd_jwks_source;
struct pd_jwks_source *pd_jwks_source_new(const struct pd_jwks_source_config *);
// What other sources deliver to. Lives as long as the source.
struct pd_sink *pd_jwks_source_sink(struct pd_jwks_source *);
// The sources that deliver to it must be stopped. What is held is dropped.
void pd_jwks_source_free(struct pd_jwks_source **);

// Fetches since the start of the process: pilot_jwks_resolver_network_fetch_success_total and ..._fail_total.
void pd_jwks_register_metrics(void);

#endif
