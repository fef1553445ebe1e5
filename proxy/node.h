// Who the proxy is, in the words of istio-proxy: the Node of xDS, put together from the environment of the pod (or of a VM's
// unit file).
//
//   ISTIO_META_X=v          metadata X, text           ISTIO_METAJSON_LABELS={…}   labels, also STATIC_LABELS
//   ISTIO_METAJSON_X={…}    its members, as they are   POD_NAME, POD_NAMESPACE, SERVICE_ACCOUNT, INSTANCE_IP, PROXY_CONFIG
//   files labels, annotations of the downward API in ./etc/istio/pod
#ifndef PROXY_NODE_H
#define PROXY_NODE_H

#include <jansson.h>

#include "base/err.h"
#include "base/str.h"

#define PD_INSTANCE_IPS_MAX 32 // addresses of a node

// Borrowed. What is "" is left out.
struct pd_node_input {
	char *const *env; // NULL-terminated "KEY=VALUE"
	const char *name, *ns, *account, *ip;
	const char *cluster_id, *mesh_id, *network;
	const char *labels;                  // "KEY=VALUE,…": added to those of the environment
	const char *podinfo;                 // folder of the downward API's files; they need not be there
	const char *proxy_config;            // JSON
	const char *pilot_san;               // name that pilotd's certificate bears
	int readiness_port, prometheus_port; // 0 = none
};

// The metadata: caller releases with json_decref. PD_E_PARSE: something that should be JSON is not; `err` names it.
int pd_node_metadata(const struct pd_node_input *, json_t **out, struct pd_buf *err) PD_MUST_CHECK;

// "app.ns" as istio-proxy's serviceCluster: `wanted` if it is given, else from the labels app, service.istio.io/canonical-name,
// else the name of the workload. Caller frees.
char *pd_node_cluster(const char *wanted, const json_t *metadata);

// The locality in label istio-locality: "region/zone/sub-zone" or "region.zone.sub-zone". Caller frees all three, NULL if absent.
void pd_node_locality(const json_t *metadata, char **region, char **zone, char **sub_zone);

// "KEY=\"value\"" lines of the downward API, values quoted as Go does.
json_t *pd_podinfo_parse(const char *text);
// The first address of this host that is neither loopback nor link-local; "127.0.0.1" if there is none. Caller frees.
char *pd_own_ip(void);

#endif
