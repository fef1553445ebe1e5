// pilotd-heap: what the objects of a large cluster cost in memory, without an API server, a file or a proxy.
//
//   pilotd-heap [--services N] [--pods N] [--virtual-services N]      (10,000; 50,000; 2,000)
//
// Puts Nodes, Services, Pods, EndpointSlices (one for each Service) and VirtualServices into a store and a registry, a page at a
// time as a reflector does, and prints the heap that each kind took: objects, secondary indexes, records of the registry.
// They are as large as those of a real cluster: generated names, owners, the labels that injection adds, 200 nodes.
#include <getopt.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "config/decode.h"
#include "config/mesh.h"
#include "discovery/indexes.h"
#include "discovery/registry.h"

enum { PAGE = 500, NODES = 200, NAMESPACES = 50 };
#define CREATED "\"creationTimestamp\":\"2026-08-01T00:00:00Z\""

struct heap {
	struct pd_store *store;
	struct pd_registry *registry;
	struct pd_mesh *mesh;
	struct pd_issues *issues;
	PD_VEC(struct pd_change) page;
	unsigned services, pods, virtual_services;
};

// ---- objects, as JSON ---------------------------------------------------------------------------------------------------

static void put_ip(struct pd_buf *b, unsigned net, unsigned i)
{
	pd_buf_printf(b, "\"%u.%u.%u.%u\"", net, i >> 16, i >> 8 & 255, i & 255);
}

static void put_head(struct pd_buf *b, const char *api, const char *kind, unsigned ns)
{
	pd_buf_printf(b, "{\"apiVersion\":\"%s\",\"kind\":\"%s\",\"metadata\":{" CREATED ",\"namespace\":\"team-%02u\"",
		      api, kind, ns % NAMESPACES);
}

static void put_node(const struct heap *h, struct pd_buf *b, unsigned i)
{
	(void)h;
	pd_buf_printf(
		b,
		"{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{" CREATED ",\"name\":\"ip-10-0-%u.internal\","
		"\"labels\":{\"topology.kubernetes.io/region\":\"eu-west-1\",\"topology.kubernetes.io/zone\":\"eu-west-1%c\"}}}",
		i, 'a' + i % 3);
}

static void put_service(const struct heap *h, struct pd_buf *b, unsigned i)
{
	(void)h;
	put_head(b, "v1", "Service", i);
	pd_buf_printf(
		b,
		",\"name\":\"app-%05u\",\"labels\":{\"app\":\"app-%05u\"}},\"spec\":{\"selector\":{\"app\":\"app-%05u\"},"
		"\"type\":\"ClusterIP\",\"sessionAffinity\":\"None\",\"ipFamilies\":[\"IPv4\"],\"ipFamilyPolicy\":"
		"\"SingleStack\",\"internalTrafficPolicy\":\"Cluster\",\"ports\":[{\"name\":\"http\",\"port\":80,"
		"\"protocol\":\"TCP\",\"targetPort\":8080}],\"clusterIP\":",
		i, i, i);
	put_ip(b, 172, i);
	pd_buf_adds(b, ",\"clusterIPs\":[");
	put_ip(b, 172, i);
	pd_buf_adds(b, "]}}");
}

static void put_pod_name(struct pd_buf *b, unsigned service, unsigned pod)
{
	pd_buf_printf(b, "app-%05u-6f4b9bd%03x-%05x", service, service & 0xfff, pod);
}

static void put_pod(const struct heap *h, struct pd_buf *b, unsigned i)
{
	unsigned s = i % h->services;

	put_head(b, "v1", "Pod", s);
	pd_buf_adds(b, ",\"name\":\"");
	put_pod_name(b, s, i);
	pd_buf_printf(
		b,
		"\",\"generateName\":\"app-%05u-6f4b9bd%03x-\",\"uid\":\"8c5cb1e6-0c5e-4a5e-b8a5-%012x\","
		"\"resourceVersion\":\"%u\",\"labels\":{\"app\":\"app-%05u\",\"version\":\"v1\",\"pod-template-hash\":"
		"\"6f4b9bd%03x\",\"security.istio.io/tlsMode\":\"istio\",\"service.istio.io/canonical-name\":\"app-%05u\","
		"\"service.istio.io/canonical-revision\":\"v1\"},\"ownerReferences\":[{\"apiVersion\":\"apps/v1\","
		"\"kind\":\"ReplicaSet\",\"name\":\"app-%05u-6f4b9bd%03x\",\"uid\":\"u\",\"controller\":true}]},"
		"\"spec\":{\"serviceAccountName\":\"app-%05u\",\"nodeName\":\"ip-10-0-%u.internal\",\"containers\":["
		"{\"name\":\"app\",\"image\":\"registry.example.com/app:1\",\"ports\":[{\"containerPort\":8080}]}]},"
		"\"status\":{\"phase\":\"Running\",\"conditions\":[{\"type\":\"Initialized\",\"status\":\"True\"},"
		"{\"type\":\"Ready\",\"status\":\"True\"}],\"hostIP\":\"192.168.0.1\",\"podIP\":",
		s, s & 0xfff, i, i, s, s & 0xfff, s, s, s & 0xfff, s, i % NODES);
	put_ip(b, 10, i);
	pd_buf_adds(b, ",\"podIPs\":[{\"ip\":");
	put_ip(b, 10, i);
	pd_buf_adds(b, "}]}}");
}

static void put_slice(const struct heap *h, struct pd_buf *b, unsigned i)
{
	put_head(b, "discovery.k8s.io/v1", "EndpointSlice", i);
	pd_buf_printf(b,
		      ",\"name\":\"app-%05u-x7k2p\",\"labels\":{\"kubernetes.io/service-name\":\"app-%05u\"}},"
		      "\"addressType\":\"IPv4\",\"ports\":[{\"name\":\"http\",\"port\":8080,\"protocol\":\"TCP\"}],"
		      "\"endpoints\":[",
		      i, i);
	for (unsigned p = i; p < h->pods; p += h->services) {
		pd_buf_printf(b, "%s{\"addresses\":[", p == i ? "" : ",");
		put_ip(b, 10, p);
		pd_buf_printf(
			b,
			"],\"conditions\":{\"ready\":true,\"serving\":true,\"terminating\":false},\"nodeName\":"
			"\"ip-10-0-%u.internal\",\"zone\":\"eu-west-1%c\",\"targetRef\":{\"kind\":\"Pod\",\"uid\":\"u\","
			"\"namespace\":\"team-%02u\",\"name\":\"",
			p % NODES, 'a' + p % NODES % 3, i % NAMESPACES);
		put_pod_name(b, i, p);
		pd_buf_adds(b, "\"}}");
	}
	pd_buf_adds(b, "]}");
}

static void put_virtual_service(const struct heap *h, struct pd_buf *b, unsigned i)
{
	(void)h;
	put_head(b, "networking.istio.io/v1", "VirtualService", i);
	pd_buf_printf(
		b,
		",\"name\":\"app-%05u\"},\"spec\":{\"hosts\":[\"app-%05u\"],\"http\":[{\"match\":[{\"uri\":{\"prefix\":"
		"\"/v2\"}}],\"route\":[{\"destination\":{\"host\":\"app-%05u\",\"subset\":\"v2\"}}]},{\"route\":["
		"{\"destination\":{\"host\":\"app-%05u\",\"subset\":\"v1\"}}]}]}}",
		i, i, i, i);
}

// ---- taking them in -----------------------------------------------------------------------------------------------------

static void apply(struct heap *h)
{
	struct pd_changeset set = {0};
	struct pd_token_vec tokens = {0};
	struct pd_config_snap *snap;

	pd_store_apply(h->store, h->page.v, h->page.n, &set);
	snap = pd_store_snapshot(h->store);
	pd_registry_apply(h->registry, snap, &set, h->mesh, &tokens);
	pd_config_snap_unref(snap);
	pd_changeset_free(&set);
	pd_vec_free(&tokens);
	h->page.n = 0;
}

static void take(struct heap *h, const struct pd_buf *text)
{
	const struct pd_decode_config cfg = {.cluster = "Kubernetes",
					     .origin = "k8s",
					     .issues = h->issues,
					     .served = true};
	struct pd_decoded_text out = {0};

	pd_decode_text(&cfg, text->p, text->n, &out);
	PD_ASSERT(out.items.n == 1 && out.items.v[0].object);
	pd_vec_push(&h->page,
		    (struct pd_change){.key = out.items.v[0].object->key, .next = pd_obj_ref(out.items.v[0].object)});
	pd_decoded_text_free(&out);
}

static size_t heap_used(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

static size_t resident_kb(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	unsigned long pages = 0;

	PD_ASSERT(f && fscanf(f, "%*u %lu", &pages) == 1);
	fclose(f);
	return pages * 4;
}

static void load(struct heap *h, const char *what, unsigned n,
		 void (*put)(const struct heap *h, struct pd_buf *b, unsigned i))
{
	size_t before = heap_used(), after;
	struct pd_buf text = {0};

	for (unsigned i = 0; i < n; i++) {
		pd_buf_reset(&text);
		put(h, &text, i);
		take(h, &text);
		if (h->page.n == PAGE || i + 1 == n)
			apply(h);
	}
	pd_buf_free(&text);
	pd_vec_free(&h->page);
	after = heap_used();
	malloc_trim(0);
	printf("%-16s %7u %9.1f MB %8.0f bytes each %9.1f MB resident\n", what, n, (double)(after - before) / 1e6,
	       (double)(after - before) / n, (double)resident_kb() / 1024);
}

static unsigned number(const char *s)
{
	char *end;
	unsigned long n = strtoul(s, &end, 10);

	if (*end || !n || n > 1u << 20) {
		fprintf(stderr, "pilotd-heap: %s is no number from 1 to %u\n", s, 1u << 20);
		exit(2);
	}
	return (unsigned)n;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"services", 1, NULL, 's'},
						{"pods", 1, NULL, 'p'},
						{"virtual-services", 1, NULL, 'v'},
						{NULL, 0, NULL, 0}};
	struct heap h = {.services = 10000, .pods = 50000, .virtual_services = 2000, .issues = pd_issues_new()};
	int id;

	while ((id = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (id == 's')
			h.services = number(optarg);
		else if (id == 'p')
			h.pods = number(optarg);
		else if (id == 'v')
			h.virtual_services = number(optarg);
		else
			return 2;
	}
	h.store = pd_store_new(pd_indexes, pd_indexes_n);
	h.registry = pd_registry_new("cluster.local", "Kubernetes");
	PD_ASSERT(pd_mesh_parse("", 0, "mesh", h.issues, &h.mesh) == PD_OK);
	load(&h, "Node", NODES, put_node);
	load(&h, "Service", h.services, put_service);
	load(&h, "Pod", h.pods, put_pod);
	load(&h, "EndpointSlice", h.services, put_slice);
	load(&h, "VirtualService", h.virtual_services, put_virtual_service);
	pd_registry_free(&h.registry);
	pd_store_free(&h.store);
	pd_obj_unref(h.mesh);
	pd_issues_free(&h.issues);
	return 0;
}
