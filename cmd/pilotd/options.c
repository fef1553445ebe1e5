#include "cmd/pilotd/options.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/vec.h"
#include "ca/flags.h"
#include "xds/flags.h"

#define STRING(n, field, value, text)                                                                                  \
	{                                                                                                              \
		.name = (n), .type = PD_FLAG_STRING, .target = &o->field, .def = (value), .help = (text)               \
	}
#define DURATION(n, field, value, text)                                                                                \
	{                                                                                                              \
		.name = (n), .type = PD_FLAG_DURATION, .target = &o->field, .def = (value), .help = (text)             \
	}
#define INT(n, field, value, text)                                                                                     \
	{                                                                                                              \
		.name = (n), .type = PD_FLAG_INT, .target = &o->field, .def = (value), .help = (text)                  \
	}
#define BOOL(n, field, value, text)                                                                                    \
	{                                                                                                              \
		.name = (n), .type = PD_FLAG_BOOL, .target = &o->field, .def = (value), .help = (text)                 \
	}
#define COUNT(t) (sizeof(t) / sizeof((t)[0]))

static enum options_result parse_flags(struct options *o, int argc, char **argv)
{
	const struct pd_flag flags[] = {
		STRING("grpcAddr", grpc_addr, ":15010", "xDS, plaintext"),
		STRING("secureGRPCAddr", secure_grpc_addr, ":15012", "xDS and CA, TLS"),
		STRING("httpAddr", http_addr, ":8080", "readiness and debug pages"),
		STRING("httpsAddr", https_addr, ":15017", "webhooks (not served yet)"),
		STRING("monitoringAddr", monitoring_addr, ":15014", "metrics and debug pages"),
		STRING("configDir", config_dir, "", "folder of YAML and JSON files to take configuration from"),
		STRING("kubeconfig", kubeconfig, "",
		       "API server to take configuration from; without this and --configDir: $KUBECONFIG, ~/.kube/config, or "
		       "the cluster around us"),
		STRING("context", context, "", "context of the kubeconfig; default: its current one"),
		STRING("meshConfig", mesh_config, "./etc/istio/config/mesh", "file with the mesh configuration"),
		STRING("networksConfig", networks_config, "./etc/istio/config/meshNetworks",
		       "file with the networks of the mesh"),
		STRING("domain", domain, "cluster.local", "DNS domain suffix of the cluster"),
		STRING("clusterID", cluster, "",
		       "name of the cluster; default: environment CLUSTER_ID, else Kubernetes"),
		{.name = "namespace",
		 .letter = 'n',
		 .type = PD_FLAG_STRING,
		 .target = &o->namespace_,
		 .def = "",
		 .help = "own namespace; default: environment POD_NAMESPACE, else istio-system"},
		STRING("log_output_level", log_levels, "default:info",
		       "SCOPE:LEVEL,...; levels none, error, warn, info, debug"),
		BOOL("log_as_json", log_json, "false", "log lines as JSON"),
		DURATION("shutdownDuration", shutdown_duration, "10s", "time to give streams to move away at shutdown"),
	};
	struct pd_flag_set set = {0};
	struct pd_flag_args args = {0};
	struct pd_buf err = {0};
	enum options_result result = OPTIONS_RUN;
	pd_flag_set_add(&set, flags, COUNT(flags));
	pd_flag_set_add(&set, pd_xds_flags, pd_xds_flags_n);
	pd_flag_set_add(&set, pd_ca_flags, pd_ca_flags_n);
	if (pd_flags_parse(&set, argc, argv, &args, &err) != PD_OK) {
		fprintf(stderr, "pilotd: %s\n", err.p);
		result = OPTIONS_ERROR;
	} else if (args.help) {
		pd_buf_reset(&err);
		pd_flags_help(&set, &err);
		printf("pilotd [discovery] [flags]\npilotd version\n\n%s", err.p ? err.p : "");
		result = OPTIONS_EXIT;
	} else if (args.n == 1 && strcmp(args.v[0], "version") == 0) {
		puts("pilotd " PD_VERSION);
		result = OPTIONS_EXIT;
	} else if (args.n > 1 || (args.n == 1 && strcmp(args.v[0], "discovery") != 0)) {
		fprintf(stderr, "pilotd: unknown command %s (there are: discovery, version)\n", args.v[0]);
		result = OPTIONS_ERROR;
	}
	pd_buf_free(&err);
	pd_flag_args_free(&args);
	pd_flag_set_free(&set);
	return result;
}

static void parse_blocked(struct options *o)
{
	for (const char *p = o->jwks_blocked_text; *p;) {
		size_t n = strcspn(p, ", ");
		char *text = pd_xstrndup(p, n);
		struct pd_cidr cidr;
		if (n && pd_cidr_parse(text, &cidr) == PD_OK)
			pd_vec_push(&o->jwks_blocked, cidr);
		else if (n)
			pd_warn("options", "BLOCKED_CIDRS_IN_JWKS_URIS: %s is no range of addresses", text);
		free(text);
		p += n + (p[n] != 0);
	}
}

static void parse_environment(struct options *o)
{
	const char *pod_namespace, *cluster;
	struct pd_settings *s = &o->settings;
	const struct pd_flag env[] = {
		{.name = "POD_NAMESPACE",
		 .type = PD_FLAG_STRING,
		 .target = &pod_namespace,
		 .def = "istio-system",
		 .help = "own namespace"},
		{.name = "CLUSTER_ID",
		 .type = PD_FLAG_STRING,
		 .target = &cluster,
		 .def = "Kubernetes",
		 .help = "name of the cluster"},
		INT("ISTIO_GPRC_MAXSTREAMS", max_streams, "100000", "streams per connection"),
		INT("ISTIO_GPRC_MAXRECVMSGSIZE", max_recv_size, "4194304", "bytes of a request"),
		BOOL("PILOTD_CORE_DUMPS", core_dumps, "false", "leave core dumps as they are: they hold private keys"),
		BOOL("ISTIO_DUAL_STACK", settings.dual_stack, "false", "IPv4 and IPv6 side by side"),
		BOOL("PILOT_ENABLE_AMBIENT", settings.enable_ambient, "false", "ambient mode"),
		BOOL("PILOT_AUTO_SEND_UNHEALTHY_ENDPOINTS", settings.send_unhealthy, "true",
		     "send endpoints that are not ready too"),
		BOOL("PILOT_ENABLE_MONGO_FILTER", settings.mongo_filter, "true", "mongo_proxy on ports named mongo"),
		BOOL("PILOT_ENABLE_REDIS_FILTER", settings.redis_filter, "false", "redis_proxy on ports named redis"),
		BOOL("PILOT_ENABLE_MYSQL_FILTER", settings.mysql_filter, "false", "mysql_proxy on ports named mysql"),
		BOOL("PILOT_HTTP10", settings.http10, "false", "accept HTTP/1.0"),
		BOOL("PILOT_ENABLE_EDS_FOR_HEADLESS_SERVICES", settings.eds_for_headless, "false",
		     "endpoints of headless services by EDS"),
		BOOL("DISABLE_TRACK_REMAINING_CB_METRICS", settings.disable_track_remaining, "true",
		     "no gauges of what circuit breakers have left"),
		BOOL("PILOT_ENABLE_MULTIPLE_CUSTOM_AUTHZ_PROVIDERS", settings.multiple_custom_providers, "false",
		     "CUSTOM policies of one workload may have several providers"),
		STRING("PILOT_JWT_ENABLE_REMOTE_JWKS", jwks_mode, "false",
		       "who fetches keys of a jwksUri: false or istiod (we), true or hybrid, envoy"),
		DURATION("PILOT_JWT_PUB_KEY_REFRESH_INTERVAL", jwks_refresh, "20m", "how often keys are fetched again"),
		STRING("BLOCKED_CIDRS_IN_JWKS_URIS", jwks_blocked_text, "",
		       "address ranges, with commas between them, where no keys are fetched"),
		{.name = "PILOT_TRACE_SAMPLING",
		 .type = PD_FLAG_FLOAT,
		 .target = &s->trace_sampling,
		 .def = "1.0",
		 .help = "traced requests, percent"},
	};
	struct pd_flag_set set = {0};
	struct pd_buf err = {0};
	pd_settings_defaults(s);
	pd_flag_set_add(&set, env, COUNT(env));
	pd_flag_set_add(&set, pd_xds_env, pd_xds_env_n);
	pd_flag_set_add(&set, pd_ca_env, pd_ca_env_n);
	if (pd_env_load(&set, &err) != PD_OK) // the default holds
		pd_warn("options", "%s", err.p);
	parse_blocked(o);
	if (pd_jwks_mode_parse(o->jwks_mode, &s->jwks_mode) != PD_OK)
		pd_warn("options", "PILOT_JWT_ENABLE_REMOTE_JWKS: no such mode: %s", o->jwks_mode);
	pd_buf_free(&err);
	pd_flag_set_free(&set);
	s->domain_suffix = o->domain;
	s->cluster = *o->cluster ? o->cluster : cluster;
	s->system_ns = *o->namespace_ ? o->namespace_ : pod_namespace;
}

enum options_result options_parse(struct options *o, int argc, char **argv)
{
	enum options_result result = parse_flags(o, argc, argv);
	if (result != OPTIONS_RUN)
		return result;
	pd_log_set_json(o->log_json);
	if (pd_log_set_levels(o->log_levels) != PD_OK) {
		fprintf(stderr, "pilotd: --log_output_level: unknown level in %s\n", o->log_levels);
		return OPTIONS_ERROR;
	}
	parse_environment(o);
	return OPTIONS_RUN;
}

void options_free(struct options *o)
{
	pd_vec_free(&o->jwks_blocked);
}
