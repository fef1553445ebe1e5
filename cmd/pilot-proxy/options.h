// Flags and environment of pilot-proxy: names and defaults as pilot-agent's where it has them.
//
// What counts: flag, then environment, then PROXY_CONFIG (JSON of a ProxyConfig), then the default.
#ifndef CMD_PILOT_PROXY_OPTIONS_H
#define CMD_PILOT_PROXY_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/flags.h"
#include "base/mem.h"
#include "ca/key.h"

struct options {
	struct pd_arena arena; // what strings below point into, beside argv and the environment

	// who
	const char *type; // "sidecar" or "router"
	const char *name, *ns, *account, *ip, *dns_domain, *trust_domain, *cluster_id, *mesh_id, *network, *labels;
	const char *service_cluster, *podinfo, *proxy_config;
	// pilotd and the CA
	const char *discovery, *ca, *root_cert, *token, *server_name, *protocol, *signer, *provisioned, *output;
	bool plaintext, ca_plaintext;
	// the certificate
	const char *key_type_name, *socket, *cert_folder;
	enum pd_key_type key_type;
	int64_t rsa_bits, ttl_ns, root_change_ns;
	double grace_ratio, grace_jitter;
	// Envoy
	const char *envoy, *config_path, *override, *log_level, *component_levels;
	int64_t concurrency, admin_port, status_port, readiness_port, prometheus_port;
	const char *bind;
	int64_t drain_ns, termination_ns, minimum_drain_ns;
	bool exit_on_zero;
	const char *zipkin, *datadog;
	const char **stats_prefixes, **stats_suffixes, **stats_regexes; // NULL-terminated or NULL
	// the application
	const char *probes, *prometheus;
	// our own lines
	const char *log_levels;
	bool log_json;
};

enum options_result { OPTIONS_RUN, OPTIONS_EXIT, OPTIONS_ERROR };
// Says on stderr what is wrong. `argv` is that of "proxy TYPE": argv[1] is the type or a flag.
enum options_result options_parse(struct options *, int argc, char **argv);
void options_free(struct options *);

#endif
