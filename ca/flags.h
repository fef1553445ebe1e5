// Flags and environment variables of the CA and of TLS, with istiod's names, as tables for base/flags.h: cmd/ adds them to its
// sets and loads them. `--caDir` is ours.
#ifndef CA_FLAGS_H
#define CA_FLAGS_H

#include "base/flags.h"

// Strings are borrowed as base/flags.h says. Durations are nanoseconds.
struct pd_ca_settings {
	// flags
	const char *ca_dir; // where the self-signed CA is kept, in istio-ca-secret.json; "" = in memory
	const char *cert_file, *key_file, *ca_cert_file; // of the TLS port; "" = our CA signs
	struct pd_flag_list suites;
	const char *min_version;
	// environment
	bool enabled; // ENABLE_CA_SERVER
	int64_t default_ttl, max_ttl, ca_ttl, check_interval;
	int64_t grace_percent, rsa_bits;
	bool jitter, multi_root;
	const char *root_ca_dir;      // plugged-in certificates
	const char *trusted_accounts; // that may ask for others: "namespace/account,…"
	const char *custom_hosts;     // further names of the TLS port, comma-separated
	const char *revision;
	struct pd_flag_list token_audiences; // that tokens must be for
	const char *jwt_rule;                // of an OIDC provider; "" = none
	const char *token_issuer; // whose tokens are verified with its published keys, outside of a cluster; "" = none
	const char *root_config_map; // in which each namespace of Kubernetes has the roots
	const char *gateway_cidrs;   // whose x-forwarded-client-cert counts
};
extern struct pd_ca_settings pd_ca_settings;

extern const struct pd_flag pd_ca_flags[];
extern const size_t pd_ca_flags_n;
extern const struct pd_flag pd_ca_env[];
extern const size_t pd_ca_env_n;

#endif
