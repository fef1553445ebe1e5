// Gateways between networks: which ones there are, and how endpoints are reached through them.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/str.h"
#include "discovery/build.h"
#include "tests/unit/discovery/fixture.h"
#include "tests/unit/discovery/registry_world.h"

// ---- the record ----------------------------------------------------------------------------------------------------------

#define GATEWAY(name, labels, annotations, spec, status)                                                               \
	"{apiVersion: v1, kind: Service, metadata: {name: " name ", namespace: istio-system, labels: {" labels         \
	"}, annotations: {" annotations "}}, spec: {" spec ", ports: [{name: tls, port: 15443, nodePort: 31000}, "     \
	"{name: x, port: 443}]}, status: {" status "}}\n---\n"
#define BALANCED(name, labels, ingress)                                                                                \
	GATEWAY(name, labels, "", "type: LoadBalancer", "loadBalancer: {ingress: [" ingress "]}")
#define NODE(name, labels, address)                                                                                    \
	"{apiVersion: v1, kind: Node, metadata: {name: " name ", labels: {" labels "}}, status: {addresses: "          \
	"[{type: InternalIP, address: 192.168.0.1}, " address "]}}\n---\n"

#define NAME "outbound|80||web.prod.svc.cluster.local"
#define POD(name, ip, labels)                                                                                          \
	"{apiVersion: v1, kind: Pod, metadata: {name: " name ", namespace: prod, labels: {app: web, " labels           \
	"}}, spec: {nodeName: n1}, status: {phase: Running, podIP: " ip ", podIPs: [{ip: " ip "}]}}\n---\n"
#define ENDPOINT(ip, pod) "{addresses: [" ip "], targetRef: {kind: Pod, name: " pod ", namespace: prod}}"
#define MTLS "security.istio.io/tlsMode: istio"
#define SERVICE                                                                                                        \
	"{apiVersion: v1, kind: Service, metadata: {name: web, namespace: prod}, "                                     \
	"spec: {clusterIP: 10.0.0.1, ports: [{name: http, port: 80}]}}\n---\n"
#define SLICE(endpoints)                                                                                               \
	"{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, "                                                      \
	"metadata: {name: web-1, namespace: prod, labels: {kubernetes.io/service-name: web}}, "                        \
	"addressType: IPv4, ports: [{name: http, port: 8080}], endpoints: [" endpoints "]}\n---\n"

// "net2 Kubernetes 1.2.3.4:15443" for each gateway, one a line, after the scale.
static void expect(const struct world *w, const char *want)
{
	const struct pd_networks *n = pd_registry_get(w->map, PD_IX_NETWORKS, "");
	struct pd_buf b = {0};

	pd_buf_adds(&b, "");
	if (n)
		pd_buf_printf(&b, "x%u\n", n->weight_scale);
	for (size_t i = 0; n && i < n->n; i++)
		pd_buf_printf(&b, "%s %s %s:%u\n", n->v[i].network, n->v[i].cluster, n->v[i].address, n->v[i].port);
	assert_string_equal(b.p, want);
	pd_buf_free(&b);
}

static void test_load_balancers(void **state)
{
	struct world *w = *state;

	expect(w, "");
	world_apply(w, BALANCED("a", "topology.istio.io/network: net2",
				"{ip: 203.0.113.2}, {ip: 203.0.113.1}, "
				"{hostname: gw.example.com}"));
	expect(w, "x2\nnet2 Kubernetes 203.0.113.1:15443\nnet2 Kubernetes 203.0.113.2:15443\n");
	assert_true(world_touched(w, PD_IX_NETWORKS, ""));
	// A port of its own, and an address that is no gateway's.
	world_apply(w, BALANCED("b", "topology.istio.io/network: net3, networking.istio.io/gatewayPort: '15008'",
				"{ip: 203.0.113.9}") BALANCED("c", "app: c", "{ip: 203.0.113.8}"));
	expect(w, "x2\nnet2 Kubernetes 203.0.113.1:15443\nnet2 Kubernetes 203.0.113.2:15443\n"
		  "net3 Kubernetes 203.0.113.9:15008\n");
	// The same again is no change.
	world_apply(w,
		    BALANCED("b", "topology.istio.io/network: net3, networking.istio.io/gatewayPort: '15008', v: '2'",
			     "{ip: 203.0.113.9}"));
	assert_false(world_touched(w, PD_IX_NETWORKS, ""));
	world_apply(w, BALANCED("a", "", "{ip: 203.0.113.2}"));
	expect(w, "x1\nnet3 Kubernetes 203.0.113.9:15008\n");
	world_delete(w, PD_KIND_SERVICE, "istio-system", "b");
	expect(w, "");
	assert_true(world_touched(w, PD_IX_NETWORKS, ""));
}

static void test_node_ports(void **state)
{
	struct world *w = *state;

	world_apply(w, NODE("n1", "edge: 'yes'", "{type: ExternalIP, address: 198.51.100.1}")
			       NODE("n2", "", "{type: ExternalIP, address: 198.51.100.2}")
				       NODE("n3", "edge: 'yes'", "{type: Hostname, address: n3}"));
	world_apply(w, GATEWAY("a", "topology.istio.io/network: net2",
			       "traffic.istio.io/nodeSelector: '{\"edge\": \"yes\"}'", "type: NodePort", ""));
	expect(w, "x1\nnet2 Kubernetes 198.51.100.1:31000\n");
	world_apply(w, NODE("n2", "edge: 'yes'", "{type: ExternalIP, address: 198.51.100.2}"));
	expect(w, "x2\nnet2 Kubernetes 198.51.100.1:31000\nnet2 Kubernetes 198.51.100.2:31000\n");
	// Without the annotation a NodePort service has no address for others, and with a broken one neither.
	world_apply(w, GATEWAY("a", "topology.istio.io/network: net2", "", "type: NodePort", ""));
	expect(w, "");
	world_apply(w, GATEWAY("a", "topology.istio.io/network: net2", "traffic.istio.io/nodeSelector: '['",
			       "type: NodePort", ""));
	expect(w, "");
	world_apply(w, GATEWAY("a", "topology.istio.io/network: net2", "", "externalIPs: [203.0.113.5]", ""));
	expect(w, "x1\nnet2 Kubernetes 203.0.113.5:15443\n");
}

static void test_scale(void **state)
{
	struct world *w = *state;

	world_apply(w,
		    BALANCED("a", "topology.istio.io/network: net2", "{ip: 10.0.0.1}, {ip: 10.0.0.2}, {ip: 10.0.0.3}")
			    BALANCED("b", "topology.istio.io/network: net3", "{ip: 10.0.0.4}, {ip: 10.0.0.5}"));
	w->cluster = "remote";
	world_apply(w, BALANCED("a", "topology.istio.io/network: net3", "{ip: 10.0.0.6}, {ip: 10.0.0.7}"));
	// Three in net2; four in net3, two of them in each cluster.
	expect(w, "x12\nnet2 Kubernetes 10.0.0.1:15443\nnet2 Kubernetes 10.0.0.2:15443\n"
		  "net2 Kubernetes 10.0.0.3:15443\nnet3 Kubernetes 10.0.0.4:15443\nnet3 Kubernetes 10.0.0.5:15443\n"
		  "net3 remote 10.0.0.6:15443\nnet3 remote 10.0.0.7:15443\n");
}

static void set_networks(struct world *w, const char *text)
{
	pd_obj_unref(w->mesh.networks);
	w->mesh.networks = NULL;
	if (*text)
		assert_int_equal(pd_mesh_networks_parse(text, strlen(text), "networks", w->issues, &w->mesh.networks),
				 PD_OK);
	world_mesh_changed(w);
}

static void test_configured(void **state)
{
	struct world *w = *state;

	world_apply(w, BALANCED("a", "", "{ip: 203.0.113.1}")
			       BALANCED("b", "topology.istio.io/network: net9", "{ip: 203.0.113.2}"));
	set_networks(w,
		     "networks:\n"
		     "  net1: {endpoints: [{fromRegistry: Kubernetes}], gateways: [\n"
		     "    {registryServiceName: a.istio-system.svc.cluster.local, port: 443},\n"
		     "    {registryServiceName: b.istio-system.svc.cluster.local, port: 443}]}\n"
		     "  net2: {gateways: [{address: 198.51.100.7, port: 15443}, {address: gw.example.com, port: 1}]}\n"
		     "  net3: {gateways: [{registryServiceName: a.istio-system.svc.cluster.local, port: 443}]}\n");
	expect(w, "x1\nnet1 Kubernetes 203.0.113.1:443\nnet2  198.51.100.7:15443\nnet9 Kubernetes 203.0.113.2:15443\n");
	world_apply(w, BALANCED("a", "", "{ip: 203.0.113.3}"));
	expect(w, "x1\nnet1 Kubernetes 203.0.113.3:443\nnet2  198.51.100.7:15443\nnet9 Kubernetes 203.0.113.2:15443\n");
	set_networks(w, "");
	expect(w, "x1\nnet9 Kubernetes 203.0.113.2:15443\n");
}

static const char *network_of(struct world *w, size_t i)
{
	const struct pd_endpoints *e = world_endpoints(w, "web.prod.svc.cluster.local");

	assert_true(i < e->n);
	return e->v[i].workload->network;
}

// The label of the Pod, then the system namespace or the whole cluster, then the address.
static void test_network_of_endpoints(void **state)
{
	struct world *w = *state;

	world_apply(w, SERVICE POD("p1", "10.1.0.1", "topology.istio.io/network: own") POD("p2", "10.2.0.1", "v: a")
			       SLICE(ENDPOINT("10.1.0.1", "p1") ", " ENDPOINT("10.2.0.1", "p2") ", {addresses: "
												"[10.3.0.1]}"));
	set_networks(w, "networks: {two: {endpoints: [{fromCidr: 10.2.0.0/16}]}, three: {endpoints: [{fromCidr: "
			"10.3.0.0/16}]}}");
	assert_string_equal(network_of(w, 0), "own");
	assert_string_equal(network_of(w, 1), "two");
	assert_string_equal(network_of(w, 2), "three");
	set_networks(w, "networks: {two: {endpoints: [{fromRegistry: Kubernetes}]}, three: {endpoints: [{fromCidr: "
			"10.3.0.0/16}]}}");
	assert_string_equal(network_of(w, 0), "own");
	assert_string_equal(network_of(w, 1), "two");
	assert_string_equal(network_of(w, 2), "two");
	world_apply(w, "{apiVersion: v1, kind: Namespace, metadata: {name: istio-system, labels: "
		       "{topology.istio.io/network: sys}}}");
	assert_string_equal(network_of(w, 1), "sys");
	assert_string_equal(network_of(w, 2), "sys");
	set_networks(w, "");
	assert_string_equal(network_of(w, 2), "sys");
}

// ---- endpoints -------------------------------------------------------------------------------------------------------------

static const char world[] = SERVICE POD("p1", "10.1.0.1", "topology.istio.io/network: net1, " MTLS)
	POD("p2", "10.2.0.1", "topology.istio.io/network: net2, " MTLS) POD("p3", "10.2.0.2",
									    "topology.istio.io/network: net2")
		POD("p4", "10.3.0.1", MTLS) POD("p5", "10.4.0.1", "topology.istio.io/network: net4, " MTLS)
			SLICE(ENDPOINT("10.1.0.1", "p1") ", " ENDPOINT("10.2.0.1", "p2") ", " ENDPOINT(
				"10.2.0.2", "p3") ", " ENDPOINT("10.3.0.1", "p4") ", " ENDPOINT("10.4.0.1", "p5"));
#define NETWORK_2                                                                                                      \
	BALANCED("a", "topology.istio.io/network: net2", "{ip: 203.0.113.1}, {ip: 203.0.113.2}, {ip: 203.0.113.3}")

static struct fixture f;

static int teardown(void **state)
{
	(void)state;
	fixture_free(&f);
	return 0;
}

static void init(const char *more)
{
	char *yaml = pd_xasprintf("%s%s", world, more);
	fixture_init(&f, "", yaml);
	free(yaml);
}

// "10.1.0.1:8080*3" for each endpoint.
static void expect_endpoints(const char *network, const char *want)
{
	f.key.network = network;
	const Envoy__Config__Endpoint__V3__ClusterLoadAssignment *cla = pd_build_endpoints(fixture_scope(&f), NAME);
	struct pd_buf b = {0};
	for (size_t i = 0; i < cla->n_endpoints; i++)
		for (size_t k = 0; k < cla->endpoints[i]->n_lb_endpoints; k++) {
			const Envoy__Config__Endpoint__V3__LbEndpoint *e = cla->endpoints[i]->lb_endpoints[k];
			const Envoy__Config__Core__V3__SocketAddress *s = e->endpoint->address->socket_address;
			pd_buf_printf(&b, "%s:%u*%u ", s->address, s->port_value, e->load_balancing_weight->value);
		}
	assert_string_equal(b.p, want);
	pd_buf_free(&b);
	assert_true(fixture_depends(&f, PD_IX_NETWORKS, ""));
}

static void test_split_horizon(void **state)
{
	(void)state;
	init(NETWORK_2);
	// Own network, unknown network and one without gateways: directly. net2: its one endpoint with mTLS, by three gateways.
	expect_endpoints("net1", "10.1.0.1:8080*3 10.3.0.1:8080*3 10.4.0.1:8080*3 203.0.113.1:15443*1 "
				 "203.0.113.2:15443*1 203.0.113.3:15443*1 ");
	assert_true(fixture_used(&f, PD_KIND_SERVICE, "istio-system", "a"));
	expect_endpoints("net2", "10.1.0.1:8080*3 10.2.0.1:8080*3 10.2.0.2:8080*3 10.3.0.1:8080*3 10.4.0.1:8080*3 ");
	expect_endpoints("", "10.1.0.1:8080*3 10.2.0.1:8080*3 10.2.0.2:8080*3 10.3.0.1:8080*3 10.4.0.1:8080*3 ");
	assert_false(fixture_used(&f, PD_KIND_SERVICE, "istio-system", "a"));
}

static void test_one_network(void **state)
{
	(void)state;
	init("");
	expect_endpoints("net1", "10.1.0.1:8080*1 10.2.0.1:8080*1 10.2.0.2:8080*1 10.3.0.1:8080*1 10.4.0.1:8080*1 ");
}

static void test_gateway_endpoint(void **state)
{
	(void)state;
	init(NETWORK_2);
	f.key.network = "net1";
	const void *cla = pd_build_endpoints(fixture_scope(&f), NAME);
	assert_json(&f, cla, "endpoints/0/lb_endpoints/3/metadata/filter_metadata",
		    "{\"envoy.transport_socket_match\":{\"tlsMode\":\"istio\"},"
		    "\"istio\":{\"workload\":\";;;;Kubernetes\"}}");
	assert_json(&f, cla, "endpoints/0/lb_endpoints/3/health_status", "");
	assert_json(&f, cla, "endpoints/0/load_balancing_weight", "12");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_load_balancers, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_node_ports, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_scale, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_configured, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_network_of_endpoints, world_setup, world_teardown),
		cmocka_unit_test_teardown(test_split_horizon, teardown),
		cmocka_unit_test_teardown(test_one_network, teardown),
		cmocka_unit_test_teardown(test_gateway_endpoint, teardown),
	};

	return cmocka_run_group_tests_name("networks", tests, NULL, NULL);
}
