// What pilot-proxy takes from PROXY_CONFIG: the JSON of an istio.mesh.v1alpha1.ProxyConfig, as the injector leaves it.
#ifndef PROXY_PROXY_CONFIG_H
#define PROXY_PROXY_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

// Strings are in the arena; "" or NULL, 0 where not given, unless said otherwise.
struct pd_proxy_config {
	const char *discovery, *binary, *config_path, *service_cluster;
	bool no_auth; // controlPlaneAuthPolicy NONE, written out (that of no policy is mutual TLS)
	int32_t admin_port, status_port;
	int64_t concurrency;              // -1 = not given
	int64_t drain_ns, termination_ns; // 45 s and 5 s if not given
	const char *zipkin, *datadog;     // NULL = none
	const char **stats_prefixes, **stats_suffixes, **stats_regexes;
};

// `json` NULL or "": all defaults. The entries of proxyMetadata are put into the environment of this process. PD_E_PARSE,
// PD_E_INVALID, PD_E_LIMIT with a text in `err`. Unknown fields are left alone.
int pd_proxy_config_read(struct pd_arena *, const char *json, struct pd_proxy_config *out, struct pd_buf *err)
	PD_MUST_CHECK;

#endif
