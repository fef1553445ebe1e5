#include "tests/load/load_world.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"

#define STAMP "2026-08-01T00:00:00Z"

void pd_world_namespace(uint32_t service, char out[PD_WORLD_NAME])
{
	snprintf(out, PD_WORLD_NAME, "ns-%u", service % PD_WORLD_NAMESPACES);
}

void pd_world_service(uint32_t service, char out[PD_WORLD_NAME])
{
	snprintf(out, PD_WORLD_NAME, "svc-%05u", service);
}

void pd_world_pod(uint32_t service, uint32_t pod, char out[PD_WORLD_NAME])
{
	snprintf(out, PD_WORLD_NAME, "svc-%05u-%u", service, pod);
}

void pd_world_pod_ip(const struct pd_world *w, uint32_t service, uint32_t pod, char out[PD_WORLD_NAME])
{
	uint32_t i = service * w->pods + pod + 1;
	snprintf(out, PD_WORLD_NAME, "10.%u.%u.%u", 16 + (i >> 16), i >> 8 & 255, i & 255);
}

void pd_world_endpoint_marker(uint32_t seq, char out[PD_WORLD_NAME])
{
	snprintf(out, PD_WORLD_NAME, "10.88.%u.%u", 100 + (seq >> 7), 100 + (seq & 127));
}

void pd_world_route_marker(uint32_t seq, char out[PD_WORLD_NAME])
{
	snprintf(out, PD_WORLD_NAME, "marker-%06u", seq);
}

static bool has_tcp(uint32_t service)
{
	return service % 4 == 3;
}

// metadata of an object; `seq` > 0 changes what nobody reads.
static void put_meta(struct pd_buf *b, uint32_t service, const char *name, uint32_t seq)
{
	char ns[PD_WORLD_NAME];
	pd_world_namespace(service, ns);
	pd_buf_printf(b,
		      "metadata:\n  name: %s\n  namespace: %s\n  creationTimestamp: '" STAMP "'\n"
		      "  resourceVersion: '%u'\n",
		      name, ns, 1000 + seq);
	if (seq > 0)
		pd_buf_printf(b, "  annotations:\n    load.example.com/touched: '%u'\n", seq);
}

static void put_service(struct pd_buf *b, uint32_t service, uint32_t seq)
{
	char name[PD_WORLD_NAME];
	uint32_t i = service + 1;
	pd_world_service(service, name);
	pd_buf_adds(b, "---\napiVersion: v1\nkind: Service\n");
	put_meta(b, service, name, seq);
	pd_buf_printf(b, "spec:\n  clusterIP: 10.%u.%u.%u\n  selector:\n    app: %s\n  ports:\n", 96 + (i >> 16),
		      i >> 8 & 255, i & 255, name);
	pd_buf_adds(b, "  - name: http\n    port: 80\n    targetPort: 8080\n    protocol: TCP\n");
	if (has_tcp(service))
		pd_buf_adds(b, "  - name: tcp\n    port: 9000\n    targetPort: 9001\n    protocol: TCP\n");
	if (seq > 0)
		pd_buf_printf(b,
			      "status:\n  conditions:\n  - type: Touched\n    status: 'True'\n    reason: Load\n"
			      "    message: round %u\n    lastTransitionTime: '" STAMP "'\n",
			      seq);
}

// `extra` (may be NULL) is the address of one more endpoint, which has no pod.
static void put_slice(struct pd_buf *b, const struct pd_world *w, uint32_t service, const char *extra, uint32_t seq)
{
	char name[PD_WORLD_NAME], ns[PD_WORLD_NAME], pod[PD_WORLD_NAME], ip[PD_WORLD_NAME];
	pd_world_service(service, name);
	pd_world_namespace(service, ns);
	pd_buf_adds(b, "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n");
	put_meta(b, service, name, seq);
	pd_buf_printf(b, "  labels:\n    kubernetes.io/service-name: %s\naddressType: IPv4\nendpoints:\n", name);
	for (uint32_t i = 0; i < w->pods; i++) {
		pd_world_pod(service, i, pod);
		pd_world_pod_ip(w, service, i, ip);
		pd_buf_printf(b,
			      "- addresses: [%s]\n  conditions: {ready: true, serving: true, terminating: false}\n"
			      "  nodeName: n%u\n  targetRef: {kind: Pod, name: %s, namespace: %s}\n",
			      ip, 1 + i % 3, pod, ns);
	}
	if (extra)
		pd_buf_printf(b,
			      "- addresses: [%s]\n"
			      "  conditions: {ready: true, serving: true, terminating: false}\n  nodeName: n1\n",
			      extra);
	pd_buf_adds(b, "ports:\n- name: http\n  port: 8080\n  protocol: TCP\n");
	if (has_tcp(service))
		pd_buf_adds(b, "- name: tcp\n  port: 9001\n  protocol: TCP\n");
}

static void put_pod(struct pd_buf *b, const struct pd_world *w, uint32_t service, uint32_t pod, uint32_t seq)
{
	char app[PD_WORLD_NAME], name[PD_WORLD_NAME], ip[PD_WORLD_NAME];
	pd_world_service(service, app);
	pd_world_pod(service, pod, name);
	pd_world_pod_ip(w, service, pod, ip);
	pd_buf_adds(b, "---\napiVersion: v1\nkind: Pod\n");
	put_meta(b, service, name, seq);
	pd_buf_printf(b,
		      "  labels:\n    app: %s\n    version: v1\n    service.istio.io/canonical-name: %s\n"
		      "    service.istio.io/canonical-revision: v1\n    security.istio.io/tlsMode: istio\n",
		      app, app);
	pd_buf_printf(b,
		      "spec:\n  serviceAccountName: %s\n  nodeName: n%u\nstatus:\n  phase: Running\n  podIP: %s\n"
		      "  podIPs: [{ip: %s}]\n  conditions:\n  - type: Ready\n    status: 'True'\n",
		      app, 1 + pod % 3, ip, ip);
	if (seq > 0)
		pd_buf_printf(b, "    message: round %u\n", seq);
}

static void put_virtual_service(struct pd_buf *b, uint32_t service, uint32_t seq)
{
	char name[PD_WORLD_NAME], ns[PD_WORLD_NAME], marker[PD_WORLD_NAME];
	pd_world_service(service, name);
	pd_world_namespace(service, ns);
	pd_world_route_marker(seq, marker);
	pd_buf_adds(b, "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\n");
	put_meta(b, service, name, 0);
	pd_buf_printf(b,
		      "spec:\n  hosts: [%s.%s.svc.cluster.local]\n  http:\n  - name: %s\n    match:\n"
		      "    - uri: {prefix: /special}\n    timeout: 3s\n    route:\n"
		      "    - destination: {host: %s.%s.svc.cluster.local}\n  - name: otherwise\n    route:\n"
		      "    - destination: {host: %s.%s.svc.cluster.local}\n",
		      name, ns, marker, name, ns, name, ns);
}

static void put_destination_rule(struct pd_buf *b, uint32_t service)
{
	char name[PD_WORLD_NAME], ns[PD_WORLD_NAME];
	pd_world_service(service, name);
	pd_world_namespace(service, ns);
	pd_buf_adds(b, "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\n");
	put_meta(b, service, name, 0);
	pd_buf_printf(b,
		      "spec:\n  host: %s.%s.svc.cluster.local\n  trafficPolicy:\n    loadBalancer: {simple: RANDOM}\n"
		      "    connectionPool: {http: {maxRequestsPerConnection: 100}}\n",
		      name, ns);
}

static void put_config_map(struct pd_buf *b, uint32_t seq)
{
	pd_buf_adds(b, "---\napiVersion: v1\nkind: ConfigMap\n");
	put_meta(b, PD_WORLD_SERVICE_NOOP, "nobody-reads-this", seq);
	pd_buf_printf(b, "data:\n  round: '%u'\n", seq);
}

static void put_cluster_objects(struct pd_buf *b)
{
	for (unsigned i = 1; i <= 3; i++)
		pd_buf_printf(b,
			      "---\napiVersion: v1\nkind: Node\nmetadata:\n  name: n%u\n  labels:\n"
			      "    topology.kubernetes.io/region: region-1\n    topology.kubernetes.io/zone: zone-%u\n"
			      "  creationTimestamp: '" STAMP "'\n",
			      i, i);
	for (uint32_t i = 0; i < PD_WORLD_NAMESPACES; i++) {
		char ns[PD_WORLD_NAME];
		pd_world_namespace(i, ns);
		pd_buf_printf(b,
			      "---\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: %s\n  labels:\n"
			      "    kubernetes.io/metadata.name: %s\n  creationTimestamp: '" STAMP "'\n",
			      ns, ns);
	}
}

static int write_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t done = write(fd, p, n);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return PD_E_IO;
		p += done;
		n -= (size_t)done;
	}
	return PD_OK;
}

// Replaces dir/name by a rename; *renamed_ns (may be NULL) is the time just before it. Empties b.
static int replace(const char *dir, const char *name, struct pd_buf *b, uint64_t *renamed_ns)
{
	char path[4096], tmp[4096];
	int rc = PD_E_IO;
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	snprintf(tmp, sizeof(tmp), "%s/.%s.tmp", dir, name);
	int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd >= 0) {
		rc = write_all(fd, b->p, b->n);
		if (close(fd) != 0)
			rc = PD_E_IO;
	}
	if (rc == PD_OK) {
		if (renamed_ns)
			*renamed_ns = pd_now_ns();
		if (rename(tmp, path) != 0)
			rc = PD_E_IO;
	}
	pd_buf_reset(b);
	return rc;
}

int pd_world_edit_endpoint(const struct pd_world *w, const char *dir, uint32_t seq, uint64_t *renamed_ns)
{
	struct pd_buf b = {0};
	char marker[PD_WORLD_NAME];
	pd_world_endpoint_marker(seq, marker);
	put_slice(&b, w, PD_WORLD_SERVICE_ENDPOINT, seq ? marker : NULL, 0);
	int rc = replace(dir, "edit-endpoint.yaml", &b, renamed_ns);
	pd_buf_free(&b);
	return rc;
}

int pd_world_edit_route(const struct pd_world *w, const char *dir, uint32_t seq, uint64_t *renamed_ns)
{
	(void)w;
	struct pd_buf b = {0};
	put_virtual_service(&b, PD_WORLD_SERVICE_VS, seq);
	int rc = replace(dir, "edit-virtualservice.yaml", &b, renamed_ns);
	pd_buf_free(&b);
	return rc;
}

int pd_world_edit_nobody(const struct pd_world *w, const char *dir, uint32_t seq, uint64_t *renamed_ns)
{
	struct pd_buf b = {0};
	put_service(&b, PD_WORLD_SERVICE_NOOP, seq);
	int rc = replace(dir, "edit-nobody-service.yaml", &b, renamed_ns);
	if (rc == PD_OK) {
		put_slice(&b, w, PD_WORLD_SERVICE_NOOP, NULL, seq);
		rc = replace(dir, "edit-nobody-endpointslice.yaml", &b, NULL);
	}
	if (rc == PD_OK) {
		for (uint32_t i = 0; i < w->pods; i++)
			put_pod(&b, w, PD_WORLD_SERVICE_NOOP, i, seq);
		rc = replace(dir, "edit-nobody-pod.yaml", &b, NULL);
	}
	if (rc == PD_OK) {
		put_config_map(&b, seq);
		rc = replace(dir, "edit-nobody-configmap.yaml", &b, NULL);
	}
	pd_buf_free(&b);
	return rc;
}

static int write_namespace(const struct pd_world *w, const char *dir, uint32_t ns, struct pd_buf *b)
{
	char name[PD_WORLD_NAME];
	for (uint32_t i = ns; i < w->services; i += PD_WORLD_NAMESPACES) {
		if (i != PD_WORLD_SERVICE_NOOP) {
			put_service(b, i, 0);
			for (uint32_t pod = 0; pod < w->pods; pod++)
				put_pod(b, w, i, pod, 0);
			if (i != PD_WORLD_SERVICE_ENDPOINT)
				put_slice(b, w, i, NULL, 0);
		}
		uint32_t rank = (i + w->services - PD_WORLD_SERVICE_VS) % w->services; // counted from the edited one
		if (rank != 0 && rank < w->virtual_services)
			put_virtual_service(b, i, 0);
		if (rank < w->destination_rules)
			put_destination_rule(b, i);
	}
	snprintf(name, sizeof(name), "ns-%u.yaml", ns);
	return replace(dir, name, b, NULL);
}

int pd_world_write(const struct pd_world *w, const char *dir)
{
	if (w->services < PD_WORLD_SERVICES_MIN || w->services > PD_WORLD_SERVICES_MAX || w->pods < 1 ||
	    (uint64_t)w->services * w->pods > PD_WORLD_PODS_MAX)
		return PD_E_LIMIT;
	if (mkdir(dir, 0755) != 0 && errno != EEXIST)
		return PD_E_IO;
	struct pd_buf b = {0};
	put_cluster_objects(&b);
	int rc = replace(dir, "cluster.yaml", &b, NULL);
	for (uint32_t i = 0; rc == PD_OK && i < PD_WORLD_NAMESPACES; i++)
		rc = write_namespace(w, dir, i, &b);
	pd_buf_free(&b);
	if (rc == PD_OK)
		rc = pd_world_edit_endpoint(w, dir, 0, NULL);
	if (rc == PD_OK)
		rc = pd_world_edit_route(w, dir, 0, NULL);
	if (rc == PD_OK)
		rc = pd_world_edit_nobody(w, dir, 0, NULL);
	return rc;
}
