// pilotctl bootstrap: what a stock Envoy needs to take everything else from pilotd.
//
// The node is identified as istio-proxy does it (id "TYPE~IP~NAME.NS~NS.svc.DOMAIN", metadata). Clusters and listeners come
// by ADS. The static cluster `sds-grpc` is where resources of the mesh look for the workload's certificate: it must exist, or
// Envoy refuses them, and an agent must answer there, or Envoy waits for the certificate before it uses them. A gateway whose
// mesh says `enableAutoMtls: false` needs neither.
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/flags.h"
#include "base/mem.h"
#include "cmd/pilotctl/commands.h"

struct bootstrap {
	const char *type, *ip, *name, *ns, *domain, *cluster_id, *labels, *metadata, *xds, *sds, *protocol;
	int64_t admin_port;
};

// "KEY=VALUE,..." added to an object.
static json_t *add_pairs(json_t *o, const char *text)
{
	for (const char *s = text; *s;) {
		size_t n = strcspn(s, ","), k = strcspn(s, "=");
		if (k < n)
			json_object_setn_new(o, s, k, json_stringn(s + k + 1, n - k - 1));
		s += n + (s[n] == ',');
	}
	return o;
}

static json_t *node(const struct bootstrap *b)
{
	char *id = pd_xasprintf("%s~%s~%s.%s~%s.svc.%s", b->type, b->ip, b->name, b->ns, b->ns, b->domain);
	char *cluster = pd_xasprintf("%s.%s", b->name, b->ns);
	json_t *meta = json_pack("{s:s, s:s, s:s, s:s, s:s, s:o}", "NAME", b->name, "NAMESPACE", b->ns, "CLUSTER_ID",
				 b->cluster_id, "INSTANCE_IPS", b->ip, "MESH_ID", b->domain, "LABELS",
				 add_pairs(json_object(), b->labels));
	add_pairs(meta, b->metadata);
	json_t *o = json_pack("{s:s, s:s, s:o}", "id", id, "cluster", cluster, "metadata", meta);
	free(id);
	free(cluster);
	return o;
}

static json_t *socket_address(const char *host, unsigned port)
{
	return json_pack("{s:{s:s, s:i}}", "socket_address", "address", host, "port_value", (int)port);
}

static json_t *cluster(const char *name, const char *type, json_t *address)
{
	json_t *endpoints = json_pack("[{s:[{s:{s:o}}]}]", "lb_endpoints", "endpoint", "address", address);
	json_t *http2 = json_pack("{s:{s:s, s:{s:{}}}}", "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
				  "@type", "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
				  "explicit_http_config", "http2_protocol_options");
	return json_pack("{s:s, s:s, s:s, s:o, s:{s:s, s:o}, s:{s:{s:i, s:i}}}", "name", name, "type", type,
			 "connect_timeout", "1s", "typed_extension_protocol_options", http2, "load_assignment",
			 "cluster_name", name, "endpoints", endpoints, "upstream_connection_options", "tcp_keepalive",
			 "keepalive_time", 300, "keepalive_interval", 60);
}

static json_t *dynamic_resources(const char *protocol)
{
	const char *api = strcmp(protocol, "sotw") == 0 ? "GRPC" : "DELTA_GRPC";
	return json_pack("{s:{s:{}, s:s}, s:{s:{}, s:s}, s:{s:s, s:s, s:b, s:[{s:{s:s}}]}}", "cds_config", "ads",
			 "resource_api_version", "V3", "lds_config", "ads", "resource_api_version", "V3", "ads_config",
			 "api_type", api, "transport_api_version", "V3", "set_node_on_first_message_only", 1,
			 "grpc_services", "envoy_grpc", "cluster_name", "xds-grpc");
}

static int print(const struct bootstrap *b)
{
	struct pd_addr xds;
	if (pd_addr_parse(b->xds, &xds) != PD_OK || !xds.port) {
		fprintf(stderr, "pilotctl bootstrap: --xds: %s is not HOST:PORT\n", b->xds);
		return 2;
	}
	if (!pd_is_ip(b->ip)) {
		fprintf(stderr, "pilotctl bootstrap: --ip: %s is not an IP address\n", b->ip);
		return 2;
	}
	const char *colon = strrchr(b->xds, ':');
	char *host = colon == b->xds ? pd_xstrdup("127.0.0.1") : pd_xstrndup(b->xds, (size_t)(colon - b->xds));
	json_t *xds_cluster =
		cluster("xds-grpc", pd_is_ip(host) ? "STATIC" : "STRICT_DNS", socket_address(host, xds.port));
	json_t *sds_cluster = cluster("sds-grpc", "STATIC", json_pack("{s:{s:s}}", "pipe", "path", b->sds));
	json_t *all =
		json_pack("{s:o, s:{s:o}, s:o, s:{s:[o, o]}}", "node", node(b), "admin", "address",
			  socket_address("127.0.0.1", (unsigned)b->admin_port), "dynamic_resources",
			  dynamic_resources(b->protocol), "static_resources", "clusters", xds_cluster, sds_cluster);
	char *text = json_dumps(all, JSON_INDENT(2));
	puts(text);
	free(text);
	free(host);
	json_decref(all);
	return 0;
}

#define STRING(n, field, value, text)                                                                                  \
	{                                                                                                              \
		.name = (n), .type = PD_FLAG_STRING, .target = &b.field, .def = (value), .help = (text)                \
	}

int command_bootstrap(int argc, char **argv)
{
	struct bootstrap b;
	const struct pd_flag flags[] = {
		STRING("type", type, "router", "router (a gateway) or sidecar"),
		STRING("ip", ip, "127.0.0.1", "address of the workload"),
		STRING("name", name, "gateway", "name of the workload"),
		STRING("namespace", ns, "default", "its namespace"),
		STRING("domain", domain, "cluster.local", "DNS domain suffix of the cluster"),
		STRING("cluster", cluster_id, "Kubernetes", "name of the cluster"),
		STRING("labels", labels, "", "KEY=VALUE,... of the workload: what Gateways select by"),
		STRING("metadata", metadata, "", "KEY=VALUE,... more metadata of the node, as INTERCEPTION_MODE=NONE"),
		STRING("xds", xds, "127.0.0.1:15010", "pilotd's xDS address"),
		STRING("sds", sds, "./var/run/secrets/workload-spiffe-uds/socket",
		       "Unix socket of the agent that holds the certificate; unused if nothing asks for mutual TLS"),
		STRING("protocol", protocol, "delta", "delta or sotw"),
		{.name = "admin",
		 .type = PD_FLAG_INT,
		 .target = &b.admin_port,
		 .def = "15000",
		 .help = "Envoy's admin port",
		 .min = 0,
		 .max = 65535},
	};
	struct pd_flag_set set = {0};
	struct pd_flag_args args = {0};
	struct pd_buf text = {0};
	int status = 2;
	pd_flag_set_add(&set, flags, sizeof(flags) / sizeof(flags[0]));
	if (pd_flags_parse(&set, argc, argv, &args, &text) != PD_OK) {
		fprintf(stderr, "pilotctl bootstrap: %s\n", text.p);
	} else if (args.help || args.n) {
		pd_flags_help(&set, &text);
		printf("pilotctl bootstrap [flags]\n\n%s", text.p ? text.p : "");
		status = args.help ? 0 : 2;
	} else if (strcmp(b.type, "router") != 0 && strcmp(b.type, "sidecar") != 0) {
		fprintf(stderr, "pilotctl bootstrap: --type: %s is neither router nor sidecar\n", b.type);
	} else if (strcmp(b.protocol, "delta") != 0 && strcmp(b.protocol, "sotw") != 0) {
		fprintf(stderr, "pilotctl bootstrap: --protocol: %s is neither delta nor sotw\n", b.protocol);
	} else {
		status = print(&b);
	}
	pd_buf_free(&text);
	pd_flag_args_free(&args);
	pd_flag_set_free(&set);
	return status;
}
