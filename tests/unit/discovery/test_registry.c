// What the registry makes of single objects, and which records a change touches.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/str.h"
#include "registry_world.h"

#define WEB "web.shop.svc.cluster.local"

static const char web[] =
	"{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop, creationTimestamp: "
	"'2026-08-01T00:00:01Z', labels: {team: red}}, spec: {clusterIP: 10.96.0.1, clusterIPs: [10.96.0.1], "
	"selector: {tier: front, app: web}, ports: [{name: http, port: 80, targetPort: 8080}, "
	"{name: db, port: 3306, targetPort: mysql}, {name: grpc-x, port: 90, protocol: TCP}]}}\n";
static const char slice[] =
	"---\n{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: web-1, namespace: shop, "
	"labels: {kubernetes.io/service-name: web}}, addressType: IPv4, ports: [{name: http, port: 8080}], "
	"endpoints: [{addresses: [10.1.0.1], conditions: {ready: true}, "
	"targetRef: {kind: Pod, name: web-5d-abcde, namespace: shop}}]}\n";
static const char pod[] =
	"---\n{apiVersion: v1, kind: Pod, metadata: {name: web-5d-abcde, namespace: shop, "
	"labels: {app: web, tier: front, pod-template-hash: 5d, version: v2, security.istio.io/tlsMode: istio}, "
	"ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-5d, controller: true, uid: u}]}, "
	"spec: {serviceAccountName: shopper, nodeName: n1}, status: {phase: Running, podIP: 10.1.0.1, "
	"podIPs: [{ip: 10.1.0.1}, {ip: 'fd00::1'}], conditions: [{type: Ready, status: 'True'}]}}\n";
static const char node[] =
	"---\n{apiVersion: v1, kind: Node, metadata: {name: n1, labels: {topology.kubernetes.io/region: west, "
	"topology.kubernetes.io/zone: west-1}}}\n";

static void apply_all(struct world *w)
{
	struct pd_buf b = {0};

	pd_buf_printf(&b, "%s%s%s%s", web, slice, pod, node);
	world_apply(w, b.p);
	pd_buf_free(&b);
}

// ---- Services -------------------------------------------------------------------------------------------------------

static void test_service(void **state)
{
	struct world *w = *state;
	const struct pd_service *s;

	world_apply(w, web);
	s = world_service(w, WEB);
	assert_string_equal(s->name, "web");
	assert_string_equal(s->ns, "shop");
	assert_string_equal(s->cluster, "Kubernetes");
	assert_true(s->kubernetes && !s->mesh_external && !s->node_local && !s->publish_not_ready);
	assert_int_equal(s->resolution, PD_RES_EDS);
	assert_int_equal(s->n_vips, 1);
	assert_string_equal(s->vips[0], "10.96.0.1");
	assert_int_equal(s->n_ports, 3);
	assert_int_equal(pd_service_port(s, 80)->target_port, 8080);
	assert_int_equal(pd_service_port(s, 80)->protocol, PD_PROTO_HTTP);
	assert_string_equal(pd_service_port(s, 3306)->target_name, "mysql");
	assert_int_equal(pd_service_port(s, 3306)->protocol, PD_PROTO_TCP);
	assert_int_equal(pd_service_port(s, 90)->protocol, PD_PROTO_GRPC);
	assert_null(pd_service_port(s, 81));
	assert_true(s->export_to.all);
	assert_string_equal(pd_labels_get(&s->labels, "team"), "red");
	assert_string_equal(s->selector.v[0].key, "app");
	assert_true(world_touched(w, PD_IX_SERVICE, WEB));
	assert_true(world_touched(w, PD_IX_TARGETS, "shop/app=web"));
	world_delete(w, PD_KIND_SERVICE, "shop", "web");
	assert_null(pd_registry_get(w->map, PD_IX_SERVICE, WEB));
	assert_true(world_touched(w, PD_IX_SERVICE, WEB) && world_touched(w, PD_IX_TARGETS, "shop/app=web"));
	assert_null(w->map);
}

static void test_service_kinds(void **state)
{
	struct world *w = *state;
	const struct pd_service *s;

	world_apply(w,
		    "{apiVersion: v1, kind: Service, metadata: {name: h, namespace: shop}, spec: {clusterIP: None, "
		    "publishNotReadyAddresses: true, internalTrafficPolicy: Local, trafficDistribution: PreferClose, "
		    "ports: [{name: tcp, port: 1}]}}");
	s = world_service(w, "h.shop.svc.cluster.local");
	assert_int_equal(s->resolution, PD_RES_PASSTHROUGH);
	assert_int_equal(s->n_vips, 0);
	assert_true(s->publish_not_ready && s->node_local);
	assert_string_equal(s->traffic_distribution, "PreferSameZone");
	world_apply(w,
		    "{apiVersion: v1, kind: Service, metadata: {name: d, namespace: shop, labels: "
		    "{istio.io/persistent-session: c}, annotations: {networking.istio.io/exportTo: '., red'}}, spec: "
		    "{clusterIP: 10.96.0.2, clusterIPs: [10.96.0.2, 'fd00::2'], ports: [{name: tcp, port: 1}]}}");
	s = world_service(w, "d.shop.svc.cluster.local");
	assert_int_equal(s->n_vips, 2);
	assert_true(s->drains);
	assert_true(pd_export_visible(&s->export_to, "shop") && pd_export_visible(&s->export_to, "red"));
	assert_false(pd_export_visible(&s->export_to, "blue"));
	world_apply(
		w,
		"{apiVersion: v1, kind: Service, metadata: {name: d, namespace: shop, "
		"annotations: {networking.istio.io/exportTo: '~', alpha.istio.io/kubernetes-serviceaccounts: 'a, b'}}, "
		"spec: {clusterIP: 10.96.0.2, ports: [{name: tcp, port: 1}]}}");
	s = world_service(w, "d.shop.svc.cluster.local");
	assert_false(pd_export_visible(&s->export_to, "shop"));
	assert_int_equal(s->n_sans, 2);
	assert_string_equal(s->sans[1], "spiffe://cluster.local/ns/shop/sa/b");
	assert_true(world_touched(w, PD_IX_ACCOUNTS, "d.shop.svc.cluster.local"));
}

static void external_name(struct world *w, const char *name, const char *target)
{
	struct pd_buf b = {0};

	pd_buf_printf(&b,
		      "{apiVersion: v1, kind: Service, metadata: {name: %s, namespace: shop}, "
		      "spec: {type: ExternalName, externalName: %s}}",
		      name, target);
	world_apply(w, b.p);
	pd_buf_free(&b);
}

static void expect_aliases(struct world *w, const char *host, const char *want)
{
	const struct pd_service *s = world_service(w, host);
	struct pd_buf b = {0};

	pd_buf_adds(&b, "");
	for (size_t i = 0; i < s->n_aliases; i++)
		pd_buf_printf(&b, "%.1s", s->aliases[i]);
	assert_string_equal(b.p, want);
	pd_buf_free(&b);
}

static void test_aliases(void **state)
{
	struct world *w = *state;

	world_apply(w, web);
	external_name(w, "b", WEB);
	assert_int_equal(world_service(w, "b.shop.svc.cluster.local")->resolution, PD_RES_ALIAS);
	assert_string_equal(world_service(w, "b.shop.svc.cluster.local")->alias_of, WEB);
	expect_aliases(w, WEB, "b");
	// By two hops; announced for the end of the chain.
	external_name(w, "a", "b.shop.svc.cluster.local");
	assert_true(world_touched(w, PD_IX_SERVICE, WEB));
	assert_false(world_touched(w, PD_IX_SERVICE, "b.shop.svc.cluster.local"));
	expect_aliases(w, WEB, "ab");
	expect_aliases(w, "b.shop.svc.cluster.local", "");
	// The link in the middle goes: a points to nothing that there is.
	world_delete(w, PD_KIND_SERVICE, "shop", "b");
	expect_aliases(w, WEB, "");
	external_name(w, "b", WEB);
	expect_aliases(w, WEB, "ab");
	// A loop that no longer ends at web.
	external_name(w, "b", "a.shop.svc.cluster.local");
	expect_aliases(w, WEB, "");
	expect_aliases(w, "a.shop.svc.cluster.local", "");
}

// As far as a resolver would follow.
static void test_long_chain(void **state)
{
	struct world *w = *state;
	char name[32], target[64];

	world_apply(w, web);
	external_name(w, "x1", WEB);
	for (int i = 2; i <= 20; i++) {
		snprintf(name, sizeof(name), "x%d", i);
		snprintf(target, sizeof(target), "x%d.shop.svc.cluster.local", i - 1);
		external_name(w, name, target);
	}
	assert_int_equal(world_service(w, WEB)->n_aliases, 16);
}

static void test_clusters(void **state)
{
	struct world *w = *state;
	const struct pd_service_list *l;

	apply_all(w);
	w->cluster = "Another";
	world_apply(w,
		    "{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop, creationTimestamp: "
		    "'2026-08-01T00:00:00Z'}, spec: {clusterIP: 10.97.0.1, ports: [{name: http, port: 81}]}}\n---\n"
		    "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: web-1, namespace: shop, "
		    "labels: {kubernetes.io/service-name: web}}, addressType: IPv4, ports: [{name: http, port: 8081}], "
		    "endpoints: [{addresses: [10.1.0.1]}]}");
	l = pd_registry_get(w->map, PD_IX_SERVICE, WEB);
	assert_int_equal(l->n, 2);
	assert_string_equal(l->v[0]->cluster, "Kubernetes");
	assert_string_equal(l->v[1]->vips[0], "10.97.0.1");
	world_expect(w, WEB,
		     "10.1.0.1:8080/http HEALTHY @west/west-1/ web;shop;web;v2 tls\n"
		     "10.1.0.1:8081/http HEALTHY ;;;latest\n");
	assert_string_equal(world_endpoints(w, WEB)->v[1].workload->cluster, "Another");
}

static void test_namespace_annotation(void **state)
{
	struct world *w = *state;

	world_apply(w, web);
	assert_null(world_service(w, WEB)->traffic_distribution);
	world_apply(w, "{apiVersion: v1, kind: Namespace, metadata: {name: shop, annotations: "
		       "{networking.istio.io/traffic-distribution: prefersamenode}}}");
	assert_string_equal(world_service(w, WEB)->traffic_distribution, "PreferSameNode");
	assert_true(world_touched(w, PD_IX_SERVICE, WEB));
}

// ---- endpoints ------------------------------------------------------------------------------------------------------

static void test_pod_endpoint(void **state)
{
	struct world *w = *state;
	const struct pd_workload *l;

	apply_all(w);
	world_expect(w, WEB, "10.1.0.1:8080/http HEALTHY @west/west-1/ web;shop;web;v2 tls\n");
	l = world_endpoints(w, WEB)->v[0].workload;
	assert_string_equal(l->spiffe, "spiffe://cluster.local/ns/shop/sa/shopper");
	assert_string_equal(l->service_account, "shopper");
	assert_string_equal(l->node, "n1");
	assert_int_equal(l->n_ips, 2);
	assert_string_equal(pd_labels_get(&l->labels, "topology.kubernetes.io/zone"), "west-1");
	assert_string_equal(pd_labels_get(&l->labels, "topology.istio.io/cluster"), "Kubernetes");
	assert_string_equal(pd_labels_get(&l->labels, "kubernetes.io/hostname"), "n1");
	assert_ptr_equal(pd_registry_get(w->map, PD_IX_WORKLOAD, "10.1.0.1"), l);
	assert_non_null(pd_registry_get(w->map, PD_IX_WORKLOAD, "fd00::1"));
	assert_string_equal(((struct pd_accounts *)pd_registry_get(w->map, PD_IX_ACCOUNTS, WEB))->v[0], l->spiffe);
}

static void test_order_of_arrival(void **state)
{
	struct world *w = *state;

	world_apply(w, slice + 4);
	assert_null(world_endpoints(w, WEB));
	world_apply(w, web);
	// The Pod is not known: nothing is said about its address.
	assert_null(world_endpoints(w, WEB));
	world_apply(w, pod + 4);
	world_expect(w, WEB, "10.1.0.1:8080/http HEALTHY web;shop;web;v2 tls\n");
	assert_true(world_touched(w, PD_IX_ENDPOINTS, WEB) && world_touched(w, PD_IX_ACCOUNTS, WEB));
	assert_true(world_touched(w, PD_IX_WORKLOAD, "10.1.0.1"));
	assert_false(world_touched(w, PD_IX_SERVICE, WEB));
	world_apply(w, node + 4);
	world_expect(w, WEB, "10.1.0.1:8080/http HEALTHY @west/west-1/ web;shop;web;v2 tls\n");
	assert_false(world_touched(w, PD_IX_ACCOUNTS, WEB));
	world_delete(w, PD_KIND_POD, "shop", "web-5d-abcde");
	assert_null(world_endpoints(w, WEB));
	assert_null(pd_registry_get(w->map, PD_IX_WORKLOAD, "10.1.0.1"));
	assert_true(world_touched(w, PD_IX_ACCOUNTS, WEB));
}

static void test_conditions(void **state)
{
	static const struct {
		const char *conditions, *want;
	} cases[] = {
		{"{}", "HEALTHY"},
		{"{ready: true, terminating: true}", "HEALTHY"},
		{"{ready: false, terminating: false}", "UNHEALTHY"},
		{"{ready: false}", "TERMINATING"},
		{"{ready: false, serving: true, terminating: true}", "TERMINATING"},
	};
	struct world *w = *state;

	world_apply(w, web);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pd_buf yaml = {0}, want = {0};

		pd_buf_printf(
			&yaml,
			"{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: x, namespace: shop, labels: "
			"{kubernetes.io/service-name: web}}, addressType: IPv4, ports: [{name: http, port: 1}], "
			"endpoints: [{addresses: [10.9.0.1], conditions: %s}]}",
			cases[i].conditions);
		world_apply(w, yaml.p);
		pd_buf_printf(&want, "10.9.0.1:1/http %s ;;;latest\n", cases[i].want);
		world_expect(w, WEB, want.p);
		pd_buf_free(&yaml);
		pd_buf_free(&want);
	}
	// With a persistent session, who is being drained still gets its own clients.
	world_apply(
		w, "{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop, labels: "
		   "{istio.io/persistent-session: c}}, spec: {clusterIP: 10.96.0.1, ports: [{name: http, port: 80}]}}");
	world_expect(w, WEB, "10.9.0.1:1/http DRAINING ;;;latest\n");
}

static void test_slices(void **state)
{
	struct world *w = *state;

	apply_all(w);
	// The same address in a second slice counts once; another port name is another endpoint; FQDN slices do not count.
	world_apply(
		w,
		"{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: web-2, namespace: shop, "
		"creationTimestamp: '2026-08-01T00:00:09Z', labels: {kubernetes.io/service-name: web}}, addressType: IPv4, "
		"ports: [{name: http, port: 8080}, {name: db, port: 3306}], endpoints: [{addresses: [10.1.0.1, 10.1.0.2]}]}\n"
		"---\n{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: web-3, namespace: shop, "
		"labels: {kubernetes.io/service-name: web}}, addressType: FQDN, ports: [{name: http, port: 8080}], "
		"endpoints: [{addresses: [a.example.com]}]}");
	world_expect(w, WEB,
		     "10.1.0.1:8080/http HEALTHY @west/west-1/ web;shop;web;v2 tls\n"
		     "10.1.0.1:3306/db HEALTHY @west/west-1/ web;shop;web;v2 tls\n"
		     "10.1.0.2:8080/http HEALTHY ;;;latest\n"
		     "10.1.0.2:3306/db HEALTHY ;;;latest\n");
	assert_false(world_touched(w, PD_IX_ACCOUNTS, WEB));
	// A Pod that has this address now lends it its identity, though the slice does not name it.
	world_apply(
		w,
		"{apiVersion: v1, kind: Pod, metadata: {name: p2, namespace: shop}, spec: {serviceAccountName: other}, "
		"status: {phase: Running, podIP: 10.1.0.2, conditions: [{type: Ready, status: 'True'}]}}");
	assert_true(world_touched(w, PD_IX_ACCOUNTS, WEB));
	world_delete(w, PD_KIND_ENDPOINT_SLICE, "shop", "web-2");
	world_expect(w, WEB, "10.1.0.1:8080/http HEALTHY @west/west-1/ web;shop;web;v2 tls\n");
}

static void test_many_endpoints(void **state)
{
	struct world *w = *state;
	struct pd_buf b = {0};

	pd_buf_printf(&b, "%s", web);
	for (int s = 0; s < 3; s++) {
		pd_buf_printf(
			&b,
			"---\n{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: s%d, namespace: shop, "
			"labels: {kubernetes.io/service-name: web}}, addressType: IPv4, ports: [{name: http, port: 80}], "
			"endpoints: [{addresses: [10.2.0.1]}",
			s);
		for (int i = 0; i < 500; i++)
			pd_buf_printf(&b, ", {addresses: [10.3.%d.%d]}", (s * 250 + i) / 250, (s * 250 + i) % 250);
		pd_buf_adds(&b, "]}\n");
	}
	world_apply(w, b.p);
	assert_int_equal(world_endpoints(w, WEB)->n, 1 + 1000);
	pd_buf_free(&b);
}

// ---- workloads ------------------------------------------------------------------------------------------------------

static void expect_workload_name(struct world *w, const char *pod_name, const char *kind, const char *owner,
				 const char *labels, const char *want)
{
	struct pd_buf b = {0};

	pd_buf_printf(
		&b,
		"{apiVersion: v1, kind: Pod, metadata: {name: %s, namespace: shop, labels: {%s}, ownerReferences: "
		"[{apiVersion: v1, kind: %s, name: %s, controller: true, uid: u}]}, spec: {nodeName: n9}, "
		"status: {podIP: 10.1.1.1}}",
		pod_name, labels, kind, owner);
	world_apply(w, b.p);
	assert_string_equal(((struct pd_workload *)pd_registry_get(w->map, PD_IX_WORKLOAD, "10.1.1.1"))->workload_name,
			    want);
	world_delete(w, PD_KIND_POD, "shop", pod_name);
	assert_null(pd_registry_get(w->map, PD_IX_WORKLOAD, "10.1.1.1"));
	pd_buf_free(&b);
}

static void test_workload_names(void **state)
{
	struct world *w = *state;

	expect_workload_name(w, "web-5d-abcde", "ReplicaSet", "web-5d", "pod-template-hash: 5d", "web");
	expect_workload_name(w, "web-5d-abcde", "ReplicaSet", "web-5d", "rollouts-pod-template-hash: 5d", "web");
	expect_workload_name(w, "web-5d-abcde", "ReplicaSet", "web-5d", "", "web-5d");
	expect_workload_name(w, "db-0", "StatefulSet", "db", "", "db");
	expect_workload_name(w, "once-xyz", "Job", "once", "", "once");
	expect_workload_name(w, "tick-27384950-xyz", "Job", "tick-27384950", "", "tick");
	expect_workload_name(w, "tick-2738495-xyz", "Job", "tick-2738495", "", "tick-2738495");
	expect_workload_name(w, "rc-xyz", "ReplicationController", "rc", "deploymentconfig: dc", "dc");
	expect_workload_name(w, "etcd-n1", "Node", "n1", "", "etcd-n1");
	expect_workload_name(w, "db-0", "StatefulSet", "db", "service.istio.io/workload-name: mine", "mine");
}

static void test_pods_that_do_not_count(void **state)
{
	struct world *w = *state;

	world_apply(w, "{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: shop}, spec: {hostNetwork: true}, "
		       "status: {podIP: 10.1.1.1}}\n---\n"
		       "{apiVersion: v1, kind: Pod, metadata: {name: b, namespace: shop}, spec: {nodeName: n9}, "
		       "status: {phase: Succeeded, podIP: 10.1.1.2}}");
	assert_null(pd_registry_get(w->map, PD_IX_WORKLOAD, "10.1.1.1"));
	assert_null(pd_registry_get(w->map, PD_IX_WORKLOAD, "10.1.1.2"));
	// The address is used again: by the younger one, unless that one is going away.
	world_apply(
		w,
		"{apiVersion: v1, kind: Pod, metadata: {name: c, namespace: shop, creationTimestamp: "
		"'2026-08-01T00:00:01Z'}, status: {podIP: 10.1.1.2}}\n---\n{apiVersion: v1, kind: Pod, metadata: {name: d, "
		"namespace: shop, creationTimestamp: '2026-08-01T00:00:02Z'}, status: {podIP: 10.1.1.2}}");
	assert_string_equal(((struct pd_workload *)pd_registry_get(w->map, PD_IX_WORKLOAD, "10.1.1.2"))->name, "d");
	world_apply(w,
		    "{apiVersion: v1, kind: Pod, metadata: {name: d, namespace: shop, creationTimestamp: "
		    "'2026-08-01T00:00:02Z', deletionTimestamp: '2026-08-01T00:00:03Z'}, status: {podIP: 10.1.1.2}}");
	assert_string_equal(((struct pd_workload *)pd_registry_get(w->map, PD_IX_WORKLOAD, "10.1.1.2"))->name, "c");
}

static void test_host_network_endpoint(void **state)
{
	struct world *w = *state;

	world_apply(w, web);
	world_apply(w, slice + 4);
	world_apply(w,
		    "{apiVersion: v1, kind: Pod, metadata: {name: web-5d-abcde, namespace: shop, labels: {app: web}}, "
		    "spec: {hostNetwork: true, serviceAccountName: s, subdomain: web}, status: {podIP: 10.1.0.1}}");
	world_expect(w, WEB, "10.1.0.1:8080/http HEALTHY web-5d-abcde;shop;web;latest\n");
	assert_string_equal(world_endpoints(w, WEB)->v[0].hostname, "web-5d-abcde");
	assert_string_equal(world_endpoints(w, WEB)->v[0].workload->subdomain, "web");
	assert_null(pd_registry_get(w->map, PD_IX_WORKLOAD, "10.1.0.1"));
}

static void test_networks(void **state)
{
	struct world *w = *state;

	apply_all(w);
	assert_string_equal(world_endpoints(w, WEB)->v[0].workload->network, "");
	world_apply(
		w,
		"{apiVersion: v1, kind: Namespace, metadata: {name: istio-system, labels: {topology.istio.io/network: net1}}}");
	assert_string_equal(world_endpoints(w, WEB)->v[0].workload->network, "net1");
	assert_string_equal(pd_labels_get(&world_endpoints(w, WEB)->v[0].workload->labels, "topology.istio.io/network"),
			    "net1");
	assert_true(world_touched(w, PD_IX_ENDPOINTS, WEB));
}

static void test_entries_of_services(void **state)
{
	static const char entry[] =
		"{apiVersion: networking.istio.io/v1, kind: WorkloadEntry, metadata: {name: vm, namespace: shop, "
		"labels: {tier: front}, annotations: {proxy.istio.io/health-checks-enabled: 'true'}}, "
		"spec: {address: 192.0.2.1, labels: {app: web}, ports: {mysql: 3307}, serviceAccount: vm, "
		"weight: 3, locality: r/z/s}, status: {conditions: [{type: Healthy, status: '%s'}]}}";
	struct world *w = *state;
	char *text;

	world_apply(w, web);
	text = pd_xasprintf(entry, "False");
	world_apply(w, text);
	free(text);
	world_expect(w, WEB, "");
	text = pd_xasprintf(entry, "True");
	world_apply(w, text);
	free(text);
	world_expect(w, WEB,
		     "192.0.2.1:8080/http UNKNOWN @r/z/s x3 vm;shop;web;latest tls\n"
		     "192.0.2.1:3307/db UNKNOWN @r/z/s x3 vm;shop;web;latest tls\n"
		     "192.0.2.1:90/grpc-x UNKNOWN @r/z/s x3 vm;shop;web;latest tls\n");
	assert_string_equal(((struct pd_workload *)pd_registry_get(w->map, PD_IX_WORKLOAD, "192.0.2.1"))->spiffe,
			    "spiffe://cluster.local/ns/shop/sa/vm");
	world_delete(w, PD_KIND_WORKLOAD_ENTRY, "shop", "vm");
	world_expect(w, WEB, "");
}

// ---- Pods of ServiceEntries -------------------------------------------------------------------------------------------

static void test_selected_pods(void **state)
{
	struct world *w = *state;

	apply_all(w);
	world_apply(
		w,
		"{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: e, namespace: shop}, spec: {hosts: "
		"[a.com], resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}], "
		"workloadSelector: {labels: {security.istio.io/tlsMode: istio, version: v2}}}}");
	world_expect(w, "a.com", "10.1.0.1:80/http HEALTHY @west/west-1/ web;shop;web;v2 tls\n");
	assert_non_null(pd_registry_get(w->map, PD_IX_TARGETS, "shop/security.istio.io/tlsMode=istio"));
	// Not ready: out, though its slice still lists it.
	world_apply(
		w,
		"{apiVersion: v1, kind: Pod, metadata: {name: web-5d-abcde, namespace: shop, labels: {version: v2, "
		"security.istio.io/tlsMode: istio}}, status: {podIP: 10.1.0.1, conditions: [{type: Ready, status: 'False'}]}}");
	world_expect(w, "a.com", "");
}

// ---- what is announced --------------------------------------------------------------------------------------------------

static void test_quiet(void **state)
{
	struct world *w = *state;

	apply_all(w);
	apply_all(w);
	assert_int_equal(w->tokens.n, 0);
	// A label of the slice that nobody reads, a Node's label that is no locality.
	world_apply(
		w,
		"{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: web-1, namespace: shop, "
		"labels: {kubernetes.io/service-name: web, other: x}}, addressType: IPv4, ports: [{name: http, port: 8080}], "
		"endpoints: [{addresses: [10.1.0.1], conditions: {ready: true}, hints: {forZones: [{name: z}]}, "
		"targetRef: {kind: Pod, name: web-5d-abcde, namespace: shop}}]}");
	assert_int_equal(w->tokens.n, 0);
	world_apply(w,
		    "{apiVersion: v1, kind: Node, metadata: {name: n1, labels: {topology.kubernetes.io/region: west, "
		    "topology.kubernetes.io/zone: west-1, other: x}}}");
	assert_int_equal(w->tokens.n, 0);
	world_apply(w, "{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {a: b}}}");
	assert_int_equal(w->tokens.n, 0);
}

static void test_endpoint_change_is_small(void **state)
{
	struct world *w = *state;

	apply_all(w);
	world_apply(w,
		    "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: web-1, namespace: shop, "
		    "labels: {kubernetes.io/service-name: web}}, addressType: IPv4, ports: [{name: http, port: 8080}], "
		    "endpoints: [{addresses: [10.1.0.1], conditions: {ready: false, terminating: false}, "
		    "targetRef: {kind: Pod, name: web-5d-abcde, namespace: shop}}]}");
	assert_int_equal(w->tokens.n, 1);
	assert_true(world_touched(w, PD_IX_ENDPOINTS, WEB));
}

static void test_mesh(void **state)
{
	struct world *w = *state;

	apply_all(w);
	world_mesh_changed(w);
	assert_int_equal(w->tokens.n, 1);
	assert_true(world_touched(w, PD_IX_MESH, ""));
	w->mesh.trust_domain = "td";
	w->export_all[0] = (char *)".";
	world_mesh_changed(w);
	assert_true(world_touched(w, PD_IX_SERVICE, WEB) && world_touched(w, PD_IX_ENDPOINTS, WEB));
	assert_true(world_touched(w, PD_IX_ACCOUNTS, WEB) && world_touched(w, PD_IX_WORKLOAD, "10.1.0.1"));
	assert_false(pd_export_visible(&world_service(w, WEB)->export_to, "bar"));
	assert_string_equal(world_endpoints(w, WEB)->v[0].workload->spiffe, "spiffe://td/ns/shop/sa/shopper");
}

static bool count_service(const char *host, struct pd_service_list *l, void *arg)
{
	size_t *n = arg;

	assert_string_equal(l->v[0]->host, host);
	(*n)++;
	return true;
}

static void test_each_service(void **state)
{
	struct world *w = *state;
	size_t n = 0;

	apply_all(w);
	external_name(w, "b", WEB);
	pd_registry_each_service(w->map, count_service, &n);
	assert_int_equal(n, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_service, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_service_kinds, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_aliases, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_long_chain, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_clusters, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_namespace_annotation, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_pod_endpoint, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_order_of_arrival, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_conditions, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_slices, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_many_endpoints, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_workload_names, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_pods_that_do_not_count, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_host_network_endpoint, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_networks, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_entries_of_services, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_selected_pods, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_quiet, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_endpoint_change_is_small, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_mesh, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_each_service, world_setup, world_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
