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
#include "proxy/bootstrap.h"

struct bootstrap {
	const char *type, *ip, *name, *ns, *domain, *cluster_id, *labels, *metadata, *xds, *sds, *protocol;
	int64_t admin_port;
};

static int print(const struct bootstrap *b)
{
	struct pd_buf text = {0}, why = {0};
	char *dns_domain = pd_xasprintf("%s.svc.%s", b->ns, b->domain);
	char *id = pd_node_id(b->type, b->ip, b->name, b->ns, dns_domain);
	char *cluster = pd_xasprintf("%s.%s", b->name, b->ns);
	json_t *meta = json_pack("{s:s, s:s, s:s, s:s, s:s, s:o}", "NAME", b->name, "NAMESPACE", b->ns, "CLUSTER_ID",
				 b->cluster_id, "INSTANCE_IPS", b->ip, "MESH_ID", b->domain, "LABELS",
				 pd_json_add_pairs(json_object(), b->labels));
	const struct pd_bootstrap all = {
		.id = id,
		.cluster = cluster,
		.metadata = pd_json_add_pairs(meta, b->metadata),
		.xds = b->xds,
		.protocol = b->protocol,
		.sds = b->sds,
		.admin_port = (uint16_t)b->admin_port,
	};
	int rc = pd_bootstrap_write(&all, &text, &why);
	if (rc == PD_OK)
		fputs(text.p, stdout);
	else
		fprintf(stderr, "pilotctl bootstrap: --xds: %s\n", why.p);
	json_decref(meta);
	free(dns_domain);
	free(id);
	free(cluster);
	pd_buf_free(&text);
	pd_buf_free(&why);
	return rc == PD_OK ? 0 : 2;
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
	} else if (!pd_is_ip(b.ip)) {
		fprintf(stderr, "pilotctl bootstrap: --ip: %s is not an IP address\n", b.ip);
	} else {
		status = print(&b);
	}
	pd_buf_free(&text);
	pd_flag_args_free(&args);
	pd_flag_set_free(&set);
	return status;
}
