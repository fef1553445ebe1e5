#include "cmd/pilot-proxy/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/log.h"
#include "proxy/node.h"
#include "proxy/proxy_config.h"

#define STRING(n, field, value, text)                                                                                  \
	{                                                                                                              \
		.name = (n), .type = PD_FLAG_STRING, .target = &o->field, .def = (value), .help = (text)               \
	}
#define BOOL(n, field, value, text)                                                                                    \
	{                                                                                                              \
		.name = (n), .type = PD_FLAG_BOOL, .target = &o->field, .def = (value), .help = (text)                 \
	}
#define NUMBER(n, field, value, lowest, highest, text)                                                                 \
	{                                                                                                              \
		.name = (n), .type = PD_FLAG_INT, .target = &o->field, .def = (value), .help = (text),                 \
		.min = (lowest), .max = (highest)                                                                      \
	}
#define PORT(n, field, value, text) NUMBER(n, field, value, 0, 65535, text)
#define DURATION(n, field, value, text)                                                                                \
	{                                                                                                              \
		.name = (n), .type = PD_FLAG_DURATION, .target = &o->field, .def = (value), .help = (text)             \
	}
#define FLOAT(n, field, value, text)                                                                                   \
	{                                                                                                              \
		.name = (n), .type = PD_FLAG_FLOAT, .target = &o->field, .def = (value), .help = (text)                \
	}
#define ENV(n, field, text)                                                                                            \
	{                                                                                                              \
		.name = (n), .type = PD_FLAG_STRING, .target = &e->field, .help = (text)                               \
	}
#define COUNT(t) (sizeof(t) / sizeof((t)[0]))

// ---- environment -----------------------------------------------------------------------------------------------------------

// Values whose flags have the default "": see `prefer`.
struct environment {
	const char *name, *ns, *account, *ip, *trust_domain, *cluster_id, *mesh_id, *network, *ca, *xds_root, *ca_root;
	const char *server_name, *ecc, *curve;
	int64_t termination_s, cpu_limit;
	bool delta;
};

// Sets `o` and `e` from the environment; or, if `help` is given, appends what there is.
static int environment(struct options *o, struct environment *e, struct pd_buf *help, struct pd_buf *err)
{
	const struct pd_flag env[] = {
		ENV("POD_NAME", name, "name of the workload"),
		ENV("POD_NAMESPACE", ns, "its namespace"),
		ENV("SERVICE_ACCOUNT", account, "its service account"),
		ENV("INSTANCE_IP", ip, "its address"),
		ENV("TRUST_DOMAIN", trust_domain, "of its SPIFFE ID"),
		ENV("ISTIO_META_CLUSTER_ID", cluster_id, "name of the cluster; default Kubernetes"),
		ENV("ISTIO_META_MESH_ID", mesh_id, "name of the mesh; default: the trust domain"),
		ENV("ISTIO_META_NETWORK", network, "network of the workload"),
		ENV("CA_ADDR", ca, "pilotd's CA"),
		ENV("XDS_ROOT_CA", xds_root, "file with the roots for pilotd's certificate"),
		ENV("CA_ROOT_CA", ca_root, "the same"),
		ENV("ISTIOD_SAN", server_name, "name in pilotd's certificate"),
		ENV("ECC_SIGNATURE_ALGORITHM", ecc, "ECDSA"),
		ENV("ECC_CURVE", curve, "P256 or P384"),
		{.name = "ISTIO_DELTA_XDS",
		 .type = PD_FLAG_BOOL,
		 .target = &e->delta,
		 .def = "true",
		 .help = "take configuration over the incremental protocol"},
		{.name = "TERMINATION_DRAIN_DURATION_SECONDS",
		 .type = PD_FLAG_INT,
		 .target = &e->termination_s,
		 .def = "-1",
		 .help = "how long Envoy goes on at the end; -1: PROXY_CONFIG, else 5"},
		{.name = "ISTIO_CPU_LIMIT",
		 .type = PD_FLAG_INT,
		 .target = &e->cpu_limit,
		 .def = "-1",
		 .help = "worker threads of Envoy; -1: one per core"},
		STRING("CERT_SIGNER", signer, "", "signer that the CA should use"),
		STRING("PROV_CERT", provisioned, "",
		       "folder with cert-chain.pem, key.pem, root-cert.pem: who we are if there is no token"),
		STRING("OUTPUT_CERTS", output, "", "folder into which each certificate is written, by the same names"),
		STRING("PROXY_CONFIG", proxy_config, "", "ProxyConfig as JSON"),
		STRING("ISTIO_BOOTSTRAP_OVERRIDE", override, "", "file with more bootstrap configuration for Envoy"),
		STRING("ISTIO_KUBE_APP_PROBERS", probes, "", "the application's probes as JSON"),
		STRING("ISTIO_PROMETHEUS_ANNOTATIONS", prometheus, "", "where the application's metrics are, as JSON"),
		NUMBER("WORKLOAD_RSA_KEY_SIZE", rsa_bits, "2048", PD_RSA_BITS_MIN, PD_RSA_BITS_MAX,
		       "bits of an RSA key"),
		DURATION("SECRET_TTL", ttl_ns, "24h", "lifetime of a certificate to ask for"),
		FLOAT("SECRET_GRACE_PERIOD_RATIO", grace_ratio, "0.5", "renewed when so much of its life is left"),
		FLOAT("SECRET_GRACE_PERIOD_RATIO_JITTER", grace_jitter, "0.01", "plus or minus so much"),
		BOOL("EXIT_ON_ZERO_ACTIVE_CONNECTIONS", exit_on_zero, "false",
		     "at the end, wait until no connection is open"),
		DURATION("MINIMUM_DRAIN_DURATION", minimum_drain_ns, "5s", "in that case, but at least so long"),
	};
	struct pd_flag_set set = {0};
	int rc = PD_OK;
	pd_flag_set_add(&set, env, COUNT(env));
	if (help)
		pd_env_help(&set, help);
	else
		rc = pd_env_load(&set, err);
	pd_flag_set_free(&set);
	return rc;
}

// ---- flags -----------------------------------------------------------------------------------------------------------------

static enum options_result read_flags(struct options *o, int argc, char **argv)
{
	const struct pd_flag flags[] = {
		STRING("domain", dns_domain, "", "DNS domain of the workload; default: NAMESPACE.svc.cluster.local"),
		STRING("name", name, "", "name of the workload; default: POD_NAME, else the host's name"),
		STRING("namespace", ns, "", "its namespace; default: POD_NAMESPACE, else default"),
		STRING("serviceAccount", account, "", "its service account; default: SERVICE_ACCOUNT, else default"),
		STRING("ip", ip, "", "its address; default: INSTANCE_IP, else the host's first"),
		STRING("labels", labels, "", "KEY=VALUE,...: more labels of the workload"),
		STRING("trustDomain", trust_domain, "", "of its SPIFFE ID; default: TRUST_DOMAIN, else cluster.local"),
		STRING("serviceCluster", service_cluster, "", "service cluster of the node; default: label app"),
		STRING("discoveryAddress", discovery, "",
		       "pilotd's xDS; default: PROXY_CONFIG, else "
		       "istiod.istio-system.svc:15012"),
		STRING("caAddress", ca, "", "pilotd's CA; default: CA_ADDR, else the address of xDS"),
		STRING("serverName", server_name, "",
		       "name in pilotd's certificate; default: ISTIOD_SAN, else the host"),
		BOOL("plaintext", plaintext, "false", "no TLS to xDS (always so on port 15010)"),
		STRING("protocol", protocol, "", "delta or sotw; default: ISTIO_DELTA_XDS, else delta"),
		STRING("rootCert", root_cert, "",
		       "file with the roots for pilotd's certificate; default: XDS_ROOT_CA, "
		       "CA_ROOT_CA, else ./var/run/secrets/istio/root-cert.pem"),
		STRING("token", token, "./var/run/secrets/tokens/istio-token", "file with the token for the CA"),
		STRING("keyType", key_type_name, "", "p256, p384 or rsa; default: ECC_CURVE, else p256"),
		DURATION("rootChangeDelay", root_change_ns, "10s",
			 "a changed file of roots leads to a new certificate within so long"),
		STRING("socket", socket, "./var/run/secrets/workload-spiffe-uds/socket", "Unix socket of SDS"),
		STRING("certFolder", cert_folder, "./var/run/secrets/workload-spiffe-credentials",
		       "folder whose key.pem, cert-chain.pem, root-cert.pem are used instead of a CA, if there"),
		STRING("podInfo", podinfo, "./etc/istio/pod", "folder with labels and annotations (downward API)"),
		STRING("configPath", config_path, "", "folder for Envoy's bootstrap; default ./etc/istio/proxy"),
		STRING("binaryPath", envoy, "", "Envoy; default: PROXY_CONFIG, else envoy in PATH"),
		STRING("proxyLogLevel", log_level, "warning", "log level of Envoy"),
		STRING("proxyComponentLogLevel", component_levels, "misc:error", "COMPONENT:LEVEL,... of Envoy"),
		NUMBER("concurrency", concurrency, "-1", -1, 1024,
		       "Envoy's worker threads; -1: PROXY_CONFIG, else "
		       "ISTIO_CPU_LIMIT, else one per core; 0: one per core"),
		PORT("adminPort", admin_port, "0", "Envoy's admin port on 127.0.0.1; 0: PROXY_CONFIG, else 15000"),
		PORT("statusPort", status_port, "0",
		     "own port: readiness, metrics, probes; 0: PROXY_CONFIG, else 15020"),
		PORT("readinessPort", readiness_port, "15021",
		     "Envoy's listener that forwards /healthz/ready; 0: none"),
		PORT("prometheusPort", prometheus_port, "15090", "Envoy's listener for /stats/prometheus; 0: none"),
		STRING("bind", bind, "0.0.0.0", "address of the status, readiness and prometheus port"),
		STRING("log_output_level", log_levels, "default:info", "SCOPE:LEVEL,... of our own lines"),
		BOOL("log_as_json", log_json, "false", "our own lines as JSON"),
	};
	struct pd_flag_set set = {0};
	struct pd_flag_args args = {0};
	struct pd_buf err = {0};
	enum options_result result = OPTIONS_ERROR;
	pd_flag_set_add(&set, flags, COUNT(flags));
	if (pd_flags_parse(&set, argc, argv, &args, &err) != PD_OK) {
		fprintf(stderr, "pilot-proxy: %s\n", err.p);
	} else if (args.help) {
		struct environment e;
		pd_flags_help(&set, &err);
		pd_buf_adds(&err, "\nEnvironment:\n\n");
		environment(o, &e, &err, NULL);
		printf("pilot-proxy proxy sidecar|router [flags]\n\n%s", err.p);
		result = OPTIONS_EXIT;
	} else if (args.n != 1 || (strcmp(args.v[0], "sidecar") != 0 && strcmp(args.v[0], "router") != 0)) {
		fprintf(stderr, "pilot-proxy: proxy sidecar or proxy router\n");
	} else {
		o->type = args.v[0];
		result = OPTIONS_RUN;
	}
	pd_buf_free(&err);
	pd_flag_args_free(&args);
	pd_flag_set_free(&set);
	return result;
}

// ---- what counts -----------------------------------------------------------------------------------------------------------

static void prefer(const char **value, const char *second, const char *third)
{
	*value = pd_or(*value, pd_or(second, third));
}

static const char *host_name(struct options *o)
{
	char name[PD_HOST_MAX] = "";
	if (gethostname(name, sizeof(name) - 1) != 0 || !*name)
		return "localhost";
	return pd_arena_strdup(&o->arena, name);
}

static void settle_identity(struct options *o, const struct environment *e)
{
	char *own = pd_own_ip();
	prefer(&o->name, e->name, host_name(o));
	prefer(&o->ns, e->ns, "default");
	prefer(&o->account, e->account, "default");
	prefer(&o->ip, e->ip, pd_arena_strdup(&o->arena, own));
	prefer(&o->trust_domain, e->trust_domain, "cluster.local");
	prefer(&o->dns_domain, pd_arena_printf(&o->arena, "%s.svc.cluster.local", o->ns), "");
	o->cluster_id = pd_or(e->cluster_id, "Kubernetes");
	o->mesh_id = pd_or(e->mesh_id, o->trust_domain);
	o->network = pd_or(e->network, "");
	free(own);
}

static int bad(const char *what, const char *value, const char *why)
{
	fprintf(stderr, "pilot-proxy: %s: %s %s\n", what, value, why);
	return PD_E_INVALID;
}

static int settle_addresses(struct options *o, const struct environment *e, const struct pd_proxy_config *pc)
{
	struct pd_addr xds, ca;
	prefer(&o->discovery, pc->discovery, "istiod.istio-system.svc:15012");
	prefer(&o->ca, e->ca, o->discovery);
	if (pd_addr_parse(o->discovery, &xds) != PD_OK || !xds.port)
		return bad("discovery address", o->discovery, "is not HOST:PORT");
	if (pd_addr_parse(o->ca, &ca) != PD_OK || !ca.port)
		return bad("address of the CA", o->ca, "is not HOST:PORT");
	o->plaintext |= xds.port == 15010 || pc->no_auth;
	o->ca_plaintext = ca.port == 15010 || (o->plaintext && strcmp(o->ca, o->discovery) == 0);
	// Through a forwarded port pilotd is reached by a name that its certificate does not bear.
	prefer(&o->server_name, e->server_name,
	       pd_addr_is_loopback(&xds) || !*xds.host ? "istiod.istio-system.svc"
						       : pd_arena_strdup(&o->arena, xds.host));
	prefer(&o->root_cert, e->xds_root, e->ca_root);
	prefer(&o->root_cert, "./var/run/secrets/istio/root-cert.pem", "");
	if (*o->provisioned && access(o->root_cert, F_OK) != 0)
		o->root_cert = pd_arena_printf(&o->arena, "%s/root-cert.pem", o->provisioned);
	return PD_OK;
}

static int settle_key(struct options *o, const struct environment *e)
{
	static const struct {
		const char *name;
		enum pd_key_type type;
	} types[] = {{"p256", PD_KEY_P256}, {"p384", PD_KEY_P384}, {"rsa", PD_KEY_RSA}};
	prefer(&o->key_type_name, pd_streq(e->curve, "P384") ? "p384" : "p256", "");
	if (!pd_empty(e->ecc) && strcmp(e->ecc, "ECDSA") != 0)
		return bad("ECC_SIGNATURE_ALGORITHM", e->ecc, "is not ECDSA");
	for (size_t i = 0; i < COUNT(types); i++)
		if (strcmp(types[i].name, o->key_type_name) == 0) {
			o->key_type = types[i].type;
			return PD_OK;
		}
	return bad("--keyType", o->key_type_name, "is none of p256, p384, rsa");
}

static int check(const struct options *o)
{
	if (!pd_is_ip(o->ip))
		return bad("--ip", o->ip, "is not an IP address");
	if (!pd_is_ip(o->bind))
		return bad("--bind", o->bind, "is not an IP address");
	if (strcmp(o->protocol, "delta") != 0 && strcmp(o->protocol, "sotw") != 0)
		return bad("--protocol", o->protocol, "is neither delta nor sotw");
	if (o->grace_ratio < 0 || o->grace_ratio > 1 || o->grace_jitter < 0 || o->grace_jitter > 1)
		return bad("SECRET_GRACE_PERIOD_RATIO", "and its jitter", "lie between 0 and 1");
	if (o->ttl_ns < 1000000000)
		return bad("SECRET_TTL", "", "is less than a second");
	if (pd_log_set_levels(o->log_levels) != PD_OK)
		return bad("--log_output_level", o->log_levels, "is not SCOPE:LEVEL,...");
	return PD_OK;
}

static void settle_envoy(struct options *o, const struct environment *e, const struct pd_proxy_config *pc)
{
	prefer(&o->protocol, e->delta ? "delta" : "sotw", "");
	prefer(&o->envoy, pc->binary, "envoy");
	prefer(&o->config_path, pc->config_path, "./etc/istio/proxy");
	prefer(&o->service_cluster, pc->service_cluster, "");
	o->admin_port = o->admin_port ? o->admin_port : pc->admin_port ? pc->admin_port : 15000;
	o->status_port = o->status_port ? o->status_port : pc->status_port ? pc->status_port : 15020;
	if (o->concurrency < 0)
		o->concurrency = pc->concurrency >= 0 ? pc->concurrency : e->cpu_limit;
	if (o->concurrency == 0)
		o->concurrency = -1;
	o->drain_ns = pc->drain_ns;
	o->termination_ns = e->termination_s >= 0 ? e->termination_s * 1000000000 : pc->termination_ns;
	o->zipkin = pc->zipkin;
	o->datadog = pc->datadog;
	o->stats_prefixes = pc->stats_prefixes;
	o->stats_suffixes = pc->stats_suffixes;
	o->stats_regexes = pc->stats_regexes;
}

enum options_result options_parse(struct options *o, int argc, char **argv)
{
	struct environment e = {0};
	struct pd_proxy_config pc;
	struct pd_buf err = {0};
	enum options_result result = read_flags(o, argc, argv);
	if (result != OPTIONS_RUN)
		return result;
	// ProxyConfig first: its proxyMetadata is environment.
	if (pd_proxy_config_read(&o->arena, getenv("PROXY_CONFIG"), &pc, &err) != PD_OK ||
	    environment(o, &e, NULL, &err) != PD_OK) {
		fprintf(stderr, "pilot-proxy: %s\n", err.p);
		result = OPTIONS_ERROR;
	} else {
		settle_identity(o, &e);
		settle_envoy(o, &e, &pc);
		if (settle_addresses(o, &e, &pc) != PD_OK || settle_key(o, &e) != PD_OK || check(o) != PD_OK)
			result = OPTIONS_ERROR;
	}
	pd_log_set_json(o->log_json);
	pd_buf_free(&err);
	return result;
}

void options_free(struct options *o)
{
	pd_arena_free(&o->arena);
}
