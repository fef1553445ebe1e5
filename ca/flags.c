#include "ca/flags.h"

#define SECOND_NS 1000000000ll
#define YEAR_NS (366 * 24 * 3600 * SECOND_NS)

struct pd_ca_settings pd_ca_settings;

// clang-format off
const struct pd_flag pd_ca_flags[] = {
	{.name = "caDir", .type = PD_FLAG_STRING, .target = &pd_ca_settings.ca_dir, .def = "",
	 .help = "Folder for the key of the self-signed CA; empty: the secret istio-ca-secret, or nowhere without Kubernetes"},
	{.name = "tlsCertFile", .type = PD_FLAG_STRING, .target = &pd_ca_settings.cert_file, .def = "",
	 .help = "Certificate chain of the TLS port; empty: our CA signs one"},
	{.name = "tlsKeyFile", .type = PD_FLAG_STRING, .target = &pd_ca_settings.key_file, .def = "", .help = "Its private key"},
	{.name = "caCertFile", .type = PD_FLAG_STRING, .target = &pd_ca_settings.ca_cert_file, .def = "",
	 .help = "Roots that verify clients, besides the mesh's"},
	{.name = "tls-cipher-suites", .type = PD_FLAG_LIST, .target = &pd_ca_settings.suites,
	 .help = "Suites of TLS 1.2, by IANA or OpenSSL name"},
	{.name = "tls-min-version", .type = PD_FLAG_STRING, .target = &pd_ca_settings.min_version, .def = "1.2",
	 .help = "Lowest version of TLS: 1.2 or 1.3"},
};
const size_t pd_ca_flags_n = sizeof(pd_ca_flags) / sizeof(*pd_ca_flags);

const struct pd_flag pd_ca_env[] = {
	{.name = "ENABLE_CA_SERVER", .type = PD_FLAG_BOOL, .target = &pd_ca_settings.enabled, .def = "true",
	 .help = "Sign certificates of workloads"},
	{.name = "DEFAULT_WORKLOAD_CERT_TTL", .type = PD_FLAG_DURATION, .target = &pd_ca_settings.default_ttl, .def = "24h",
	 .min = SECOND_NS, .max = 10 * YEAR_NS, .help = "Lifetime of a certificate that does not ask for one"},
	{.name = "MAX_WORKLOAD_CERT_TTL", .type = PD_FLAG_DURATION, .target = &pd_ca_settings.max_ttl, .def = "2160h",
	 .min = SECOND_NS, .max = 10 * YEAR_NS, .help = "Longest lifetime that may be asked for"},
	{.name = "CITADEL_SELF_SIGNED_CA_CERT_TTL", .type = PD_FLAG_DURATION, .target = &pd_ca_settings.ca_ttl, .def = "87600h",
	 .min = SECOND_NS, .max = 100 * YEAR_NS, .help = "Lifetime of the self-signed root"},
	{.name = "CITADEL_SELF_SIGNED_CA_RSA_KEY_SIZE", .type = PD_FLAG_INT, .target = &pd_ca_settings.rsa_bits, .def = "0",
	 .min = 0, .max = 8192, .help = "Bits of a self-signed root with an RSA key; 0 = ECDSA P-256"},
	{.name = "CITADEL_SELF_SIGNED_ROOT_CERT_CHECK_INTERVAL", .type = PD_FLAG_DURATION, .target = &pd_ca_settings.check_interval,
	 .def = "1h", .min = SECOND_NS, .max = YEAR_NS, .help = "How often the self-signed root is looked at"},
	{.name = "CITADEL_SELF_SIGNED_ROOT_CERT_GRACE_PERIOD_PERCENTILE", .type = PD_FLAG_INT, .target = &pd_ca_settings.grace_percent,
	 .def = "20", .min = 0, .max = 99, .help = "It is replaced in this last part of its life, percent"},
	{.name = "CITADEL_ENABLE_JITTER_FOR_ROOT_CERT_ROTATOR", .type = PD_FLAG_BOOL, .target = &pd_ca_settings.jitter, .def = "true",
	 .help = "Replicas look at different times"},
	{.name = "ISTIO_MULTIROOT_MESH", .type = PD_FLAG_BOOL, .target = &pd_ca_settings.multi_root, .def = "false",
	 .help = "Plugged-in roots may change if one bundle contains the other"},
	{.name = "ROOT_CA_DIR", .type = PD_FLAG_STRING, .target = &pd_ca_settings.root_ca_dir, .def = "./etc/cacerts",
	 .help = "Folder with plugged-in CA certificates"},
	{.name = "CA_TRUSTED_NODE_ACCOUNTS", .type = PD_FLAG_STRING, .target = &pd_ca_settings.trusted_accounts, .def = "",
	 .help = "namespace/account,... that may ask for the certificates of pods on their node"},
	{.name = "ISTIOD_CUSTOM_HOST", .type = PD_FLAG_STRING, .target = &pd_ca_settings.custom_hosts, .def = "",
	 .help = "Further names of the TLS port's certificate, comma-separated"},
	{.name = "TOKEN_AUDIENCES", .type = PD_FLAG_LIST, .target = &pd_ca_settings.token_audiences, .def = "istio-ca",
	 .help = "What tokens of service accounts must be for, comma-separated"},
	{.name = "TOKEN_ISSUER", .type = PD_FLAG_STRING, .target = &pd_ca_settings.token_issuer, .def = "",
	 .help = "Outside of a cluster: the issuer of its tokens, which are then verified with its published keys"},
	{.name = "JWT_RULE", .type = PD_FLAG_STRING, .target = &pd_ca_settings.jwt_rule, .def = "",
	 .help = "An OIDC provider whose tokens count, JSON: issuer, jwks_uri, audiences"},
	{.name = "PILOT_CA_CERT_CONFIGMAP", .type = PD_FLAG_STRING, .target = &pd_ca_settings.root_config_map, .def = "istio-ca-root-cert",
	 .help = "ConfigMap with the root certificates, in each namespace"},
	{.name = "TRUSTED_GATEWAY_CIDR", .type = PD_FLAG_STRING, .target = &pd_ca_settings.gateway_cidrs, .def = "",
	 .help = "Address ranges of gateways whose x-forwarded-client-cert counts"},
	{.name = "REVISION", .type = PD_FLAG_STRING, .target = &pd_ca_settings.revision, .def = "", .help = "Name of this revision"},
};
const size_t pd_ca_env_n = sizeof(pd_ca_env) / sizeof(*pd_ca_env);
// clang-format on
