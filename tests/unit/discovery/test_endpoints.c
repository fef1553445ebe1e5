#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/str.h"
#include "discovery/build.h"
#include "tests/unit/discovery/fixture.h"

#define NAME "outbound|80||web.prod.svc.cluster.local"
#define SERVICE(more)                                                                                                  \
	"apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: prod}\n"                                      \
	"spec: {clusterIP: 10.0.0.1, " more "ports: [{name: http, port: 80}, {name: admin, port: 90}]}\n---\n"
#define NODE(name, region, zone)                                                                                       \
	"apiVersion: v1\nkind: Node\nmetadata: {name: " name ", labels: {topology.kubernetes.io/region: " region       \
	", topology.kubernetes.io/zone: " zone "}}\n---\n"
#define POD(name, ip, node, labels)                                                                                    \
	"apiVersion: v1\nkind: Pod\nmetadata: {name: " name ", namespace: prod, labels: {app: web, "                   \
	"security.istio.io/tlsMode: istio, " labels "}}\n"                                                             \
	"spec: {serviceAccountName: web, nodeName: " node "}\n"                                                        \
	"status: {phase: Running, podIP: " ip ", podIPs: [{ip: " ip "}]}\n---\n"
#define SLICE_HEAD                                                                                                     \
	"apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"                                                       \
	"metadata: {name: web-1, namespace: prod, labels: {kubernetes.io/service-name: web}}\n"                        \
	"addressType: IPv4\nports: [{name: http, port: 8080}, {name: admin, port: 9090}]\nendpoints:\n"
#define ENDPOINT(ip, pod, node, conditions)                                                                            \
	"- {addresses: [" ip "], nodeName: " node ", conditions: {" conditions "}, targetRef: {kind: Pod, name: " pod  \
	", namespace: prod}}\n"
#define END "---\n"
#define RULE(spec)                                                                                                     \
	"apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: web, namespace: prod}\n"          \
	"spec: {host: web.prod.svc.cluster.local, " spec "}\n---\n"
#define OUTLIER "outlierDetection: {consecutive5xxErrors: 3}"

#define THREE_NODES NODE("n1", "west", "a") NODE("n2", "west", "b") NODE("n3", "east", "a")
#define THREE_PODS                                                                                                     \
	POD("p1", "10.1.0.1", "n1", "v: one")                                                                          \
	POD("p2", "10.1.0.2", "n2", "v: two")                                                                          \
	POD("p3", "10.1.0.3", "n3",                                                                                    \
	    "v: "                                                                                                      \
	    "one")
#define THREE_ENDPOINTS                                                                                                \
	SLICE_HEAD ENDPOINT("10.1.0.1", "p1", "n1", "ready: true") ENDPOINT("10.1.0.2", "p2", "n2", "ready: true")     \
		ENDPOINT("10.1.0.3", "p3", "n3", "ready: true") END
#define WORLD THREE_NODES SERVICE("") THREE_PODS THREE_ENDPOINTS

static struct fixture f;

static int teardown(void **state)
{
	(void)state;
	fixture_free(&f);
	return 0;
}

static Envoy__Config__Endpoint__V3__ClusterLoadAssignment *build(const char *name)
{
	return pd_build_endpoints(fixture_scope(&f), name);
}

// "west/a/ 0 1: 10.1.0.1:8080" for each locality: place, priority, weight, endpoints; one a line.
static const char *picture(const char *name)
{
	const Envoy__Config__Endpoint__V3__ClusterLoadAssignment *cla = build(name);
	struct pd_buf b = {0};
	assert_string_equal(cla->cluster_name, name);
	for (size_t i = 0; i < cla->n_endpoints; i++) {
		const Envoy__Config__Endpoint__V3__LocalityLbEndpoints *l = cla->endpoints[i];
		pd_buf_printf(&b, "%s/%s %u %u:", l->locality->region, l->locality->zone, l->priority,
			      l->load_balancing_weight ? l->load_balancing_weight->value : 0);
		for (size_t k = 0; k < l->n_lb_endpoints; k++) {
			const Envoy__Config__Core__V3__SocketAddress *s =
				l->lb_endpoints[k]->endpoint->address->socket_address;
			pd_buf_printf(&b, " %s:%u", s->address, s->port_value);
		}
		pd_buf_addc(&b, '\n');
	}
	const char *text = pd_arena_strdup(&f.arena, b.n ? b.p : "");
	pd_buf_free(&b);
	return text;
}

// ---- selection -------------------------------------------------------------------------------------------------------------

static void test_unknown_names(void **state)
{
	(void)state;
	fixture_init(&f, "", WORLD);
	assert_string_equal(fixture_json(&f, build("nonsense")), "{\"cluster_name\":\"nonsense\"}");
	assert_string_equal(picture("outbound|81||web.prod.svc.cluster.local"), "");
	assert_string_equal(picture("outbound|80||gone.prod.svc.cluster.local"), "");
	// It has to be noticed when there is such a service.
	assert_true(fixture_depends(&f, PD_IX_SERVICE, "gone.prod.svc.cluster.local"));
}

static void test_groups_by_locality_and_port_name(void **state)
{
	(void)state;
	fixture_init(&f, "", WORLD);
	assert_string_equal(picture(NAME), "east/a 0 1: 10.1.0.3:8080\nwest/a 0 1: 10.1.0.1:8080\n"
					   "west/b 0 1: 10.1.0.2:8080\n");
	assert_string_equal(picture("outbound|90||web.prod.svc.cluster.local"),
			    "east/a 0 1: 10.1.0.3:9090\nwest/a 0 1: 10.1.0.1:9090\nwest/b 0 1: 10.1.0.2:9090\n");
	assert_false(f.tx.read_locality); // one answer for proxies of all localities
	const void *cla = build(NAME);
	assert_json(&f, cla, "endpoints/0/lb_endpoints/0/metadata/filter_metadata",
		    "{\"envoy.transport_socket_match\":{\"tlsMode\":\"istio\"},"
		    "\"istio\":{\"workload\":\"p3;prod;web;;Kubernetes\"}}");
	assert_json(&f, cla, "endpoints/0/lb_endpoints/0/health_status", "\"HEALTHY\"");
}

static void test_subset(void **state)
{
	(void)state;
	fixture_init(&f, "", WORLD RULE("subsets: [{name: one, labels: {v: one}}, {name: none, labels: {v: three}}]"));
	assert_string_equal(picture("outbound|80|one|web.prod.svc.cluster.local"),
			    "east/a 0 1: 10.1.0.3:8080\nwest/a 0 1: 10.1.0.1:8080\n");
	assert_string_equal(picture("outbound|80|none|web.prod.svc.cluster.local"), "");
	// No such subset: no labels to ask for. No cluster has this name, so nobody is misled.
	assert_int_equal(build("outbound|80|other|web.prod.svc.cluster.local")->n_endpoints, 3);
}

#define UNREADY                                                                                                        \
	THREE_NODES THREE_PODS SLICE_HEAD ENDPOINT("10.1.0.1", "p1", "n1", "ready: true")                              \
		ENDPOINT("10.1.0.2", "p2", "n2", "ready: false, terminating: false")                                   \
			ENDPOINT("10.1.0.3", "p3", "n3", "ready: false, serving: true, terminating: true") END

static void test_health(void **state)
{
	(void)state;
	fixture_init(&f, "", UNREADY SERVICE(""));
	assert_string_equal(picture(NAME), "west/a 0 1: 10.1.0.1:8080\nwest/b 0 1: 10.1.0.2:8080\n");
	assert_json(&f, build(NAME), "endpoints/1/lb_endpoints/0/health_status", "\"UNHEALTHY\"");
	f.settings.send_unhealthy = false;
	assert_string_equal(picture(NAME), "west/a 0 1: 10.1.0.1:8080\n");
}

static void test_min_health_percent_hides_unready(void **state)
{
	(void)state;
	fixture_init(&f, "",
		     UNREADY SERVICE("") RULE("trafficPolicy: {outlierDetection: {minHealthPercent: 20}, "
					      "portLevelSettings: [{port: {number: 90}}]}"));
	assert_int_equal(build(NAME)->n_endpoints, 1);
	assert_int_equal(build("outbound|90||web.prod.svc.cluster.local")->n_endpoints, 2);
}

static void test_node_local(void **state)
{
	(void)state;
	fixture_init(&f, "", THREE_NODES THREE_PODS THREE_ENDPOINTS SERVICE("internalTrafficPolicy: Local, "));
	build(NAME);
	assert_true(f.tx.read_node);
	f.tx.read_node = false;
	fixture_free(&f);
	fixture_init(&f, "", WORLD);
	build(NAME);
	assert_false(f.tx.read_node);
}

static void test_network_view(void **state)
{
	(void)state;
	fixture_init(&f, "",
		     THREE_NODES SERVICE("") POD("p1", "10.1.0.1", "n1", "topology.istio.io/network: net1")
			     POD("p2", "10.1.0.2", "n2", "topology.istio.io/network: net12")
				     POD("p3", "10.1.0.3", "n3", "x: z") THREE_ENDPOINTS);
	f.key.network_view = "net2,net1";
	assert_string_equal(picture(NAME), "east/a 0 1: 10.1.0.3:8080\nwest/a 0 1: 10.1.0.1:8080\n");
}

static void test_cluster_local(void **state)
{
	(void)state;
	fixture_init(&f, "serviceSettings: [{settings: {clusterLocal: true}, hosts: ['*.prod.svc.cluster.local']}]",
		     WORLD);
	assert_int_equal(build(NAME)->n_endpoints, 3);
	f.key.cluster = "elsewhere";
	assert_int_equal(build(NAME)->n_endpoints, 0);
	fixture_free(&f);
	fixture_init(&f, "", WORLD);
	f.key.cluster = "elsewhere";
	assert_int_equal(build(NAME)->n_endpoints, 3);
}

// ---- mTLS ------------------------------------------------------------------------------------------------------------------

#define TLS_MATCH "endpoints/0/lb_endpoints/0/metadata/filter_metadata/envoy.transport_socket_match"
#define PEER(spec)                                                                                                      \
	"apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: p, namespace: prod}\nspec: " spec \
	"\n---\n"

static void test_mtls(void **state)
{
	(void)state;
	fixture_init(&f, "", WORLD RULE("trafficPolicy: {tls: {mode: DISABLE}}"));
	assert_json(&f, build(NAME), TLS_MATCH, "");
	fixture_free(&f);
	fixture_init(&f, "",
		     WORLD PEER("{selector: {matchLabels: {app: web}}, portLevelMtls: {8080: {mode: DISABLE}}}"));
	assert_json(&f, build(NAME), TLS_MATCH, "");
	assert_json(&f, build("outbound|90||web.prod.svc.cluster.local"), TLS_MATCH "/tlsMode", "\"istio\"");
	fixture_free(&f);
	// What a rule says goes before PeerAuthentication.
	fixture_init(&f, "", WORLD PEER("{mtls: {mode: DISABLE}}") RULE("trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}"));
	assert_json(&f, build(NAME), TLS_MATCH "/tlsMode", "\"istio\"");
}

static void test_mtls_of_port_and_subset(void **state)
{
	(void)state;
	fixture_init(&f, "",
		     WORLD RULE(
			     "trafficPolicy: {tls: {mode: ISTIO_MUTUAL}, portLevelSettings: [{port: {number: 80}, tls: "
			     "{mode: SIMPLE}}]}, subsets: [{name: one, labels: {v: one}, trafficPolicy: {tls: {mode: "
			     "ISTIO_MUTUAL}}}]"));
	assert_json(&f, build(NAME), TLS_MATCH, "");
	assert_json(&f, build("outbound|90||web.prod.svc.cluster.local"), TLS_MATCH "/tlsMode", "\"istio\"");
	assert_json(&f, build("outbound|80|one|web.prod.svc.cluster.local"), TLS_MATCH "/tlsMode", "\"istio\"");
}

// Clusters for AUTO_PASSTHROUGH forward mTLS that somebody else speaks: who does not is left out, though not his locality.
static void test_passthrough_name_wants_mtls(void **state)
{
	(void)state;
	fixture_init(&f, "", WORLD PEER("{selector: {matchLabels: {v: two}}, mtls: {mode: DISABLE}}"));
	assert_string_equal(picture("outbound_.80_._.web.prod.svc.cluster.local"),
			    "east/a 0 1: 10.1.0.3:8080\nwest/a 0 1: 10.1.0.1:8080\nwest/b 0 0:\n");
}

// ---- dual stack ----------------------------------------------------------------------------------------------------------

#define DUAL_POD                                                                                                       \
	"apiVersion: v1\nkind: Pod\nmetadata: {name: p1, namespace: prod}\nspec: {nodeName: n1}\n"                     \
	"status: {phase: Running, podIP: 10.1.0.1, podIPs: [{ip: 10.1.0.1}, {ip: 'fd00::1'}]}\n---\n"
#define V6_SLICE                                                                                                       \
	"apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"                                                       \
	"metadata: {name: web-2, namespace: prod, labels: {kubernetes.io/service-name: web}}\n"                        \
	"addressType: IPv6\nports: [{name: http, port: 8080}]\nendpoints:\n" ENDPOINT("'fd00::1'", "p1", "n1", "") END

static void test_dual_stack(void **state)
{
	(void)state;
	fixture_init(&f, "",
		     NODE("n1", "west", "a") SERVICE("") DUAL_POD SLICE_HEAD ENDPOINT("10.1.0.1", "p1", "n1", "")
			     END V6_SLICE);
	assert_string_equal(picture(NAME), "west/a 0 2: 10.1.0.1:8080 fd00::1:8080\n");
	f.settings.dual_stack = true;
	assert_string_equal(picture(NAME), "west/a 0 1: 10.1.0.1:8080\n");
	assert_json(&f, build(NAME),
		    "endpoints/0/lb_endpoints/0/endpoint/additional_addresses/0/address/socket_address/address",
		    "\"fd00::1\"");
}

// ---- locality ------------------------------------------------------------------------------------------------------------

static void test_failover_by_distance(void **state)
{
	(void)state;
	fixture_init(&f, "", WORLD RULE("trafficPolicy: {" OUTLIER "}"));
	f.key.locality = "west/b/";
	assert_string_equal(picture(NAME), "east/a 2 1: 10.1.0.3:8080\nwest/a 1 1: 10.1.0.1:8080\n"
					   "west/b 0 1: 10.1.0.2:8080\n");
	assert_true(f.tx.read_locality);
	f.key.locality = "north/x/"; // all equally far: dense from 0
	assert_string_equal(picture(NAME), "east/a 0 1: 10.1.0.3:8080\nwest/a 0 1: 10.1.0.1:8080\n"
					   "west/b 0 1: 10.1.0.2:8080\n");
	fixture_free(&f);
	fixture_init(&f, "localityLbSetting: {enabled: false}", WORLD RULE("trafficPolicy: {" OUTLIER "}"));
	f.key.locality = "west/b/";
	picture(NAME);
	assert_false(f.tx.read_locality);
}

static void test_failover_to_region(void **state)
{
	(void)state;
	fixture_init(&f, "",
		     WORLD RULE("trafficPolicy: {" OUTLIER
				", loadBalancer: {localityLbSetting: {failover: [{from: north, "
				"to: east}]}}}"));
	f.key.locality = "north/x/";
	assert_string_equal(picture(NAME), "east/a 0 1: 10.1.0.3:8080\nwest/a 1 1: 10.1.0.1:8080\n"
					   "west/b 1 1: 10.1.0.2:8080\n");
}

static void test_failover_priority_splits(void **state)
{
	static const struct pd_label mine = {"v", "one"};
	(void)state;
	fixture_init(&f, "",
		     NODE("n1", "west", "a") SERVICE("") POD("p1", "10.1.0.1", "n1", "v: one")
			     POD("p2", "10.1.0.2", "n1", "v: two") POD("p3", "10.1.0.3", "n1", "v: one")
				     THREE_ENDPOINTS RULE(
					     "trafficPolicy: {" OUTLIER
					     ", loadBalancer: {localityLbSetting: {failoverPriority: [v]}}}"));
	f.key.labels = (struct pd_labels){1, &mine};
	assert_string_equal(picture(NAME), "west/a 0 2: 10.1.0.1:8080 10.1.0.3:8080\nwest/a 1 1: 10.1.0.2:8080\n");
	fixture_free(&f);
	// The rule may say what to look for instead of what the proxy has.
	fixture_init(&f, "",
		     NODE("n1", "west", "a") SERVICE("") POD("p1", "10.1.0.1", "n1", "v: one")
			     POD("p2", "10.1.0.2", "n1", "v: two") POD("p3", "10.1.0.3", "n1", "v: one")
				     THREE_ENDPOINTS RULE(
					     "trafficPolicy: {" OUTLIER
					     ", loadBalancer: {localityLbSetting: {failoverPriority: [v=two]}}}"));
	assert_string_equal(picture(NAME), "west/a 0 1: 10.1.0.2:8080\nwest/a 1 2: 10.1.0.1:8080 10.1.0.3:8080\n");
}

static void test_traffic_distribution(void **state)
{
	(void)state;
	fixture_init(&f, "", THREE_NODES SERVICE("trafficDistribution: PreferClose, ") THREE_PODS THREE_ENDPOINTS);
	f.key.locality = "west/b/";
	assert_string_equal(picture(NAME), "east/a 2 1: 10.1.0.3:8080\nwest/a 1 1: 10.1.0.1:8080\n"
					   "west/b 0 1: 10.1.0.2:8080\n");
}

static void test_distribute(void **state)
{
	(void)state;
	fixture_init(&f, "",
		     WORLD RULE(
			     "trafficPolicy: {loadBalancer: {localityLbSetting: {distribute: [{from: 'west/a/*', to: "
			     "{'west/a/*': 80, 'west/b/*': 20}}, {from: 'east/*', to: {'west/*': 90, 'east/*': "
			     "10}}]}}}"));
	f.key.locality = "west/a/";
	assert_string_equal(picture(NAME), "east/a 0 1:\nwest/a 0 80: 10.1.0.1:8080\nwest/b 0 20: 10.1.0.2:8080\n");
	f.key.locality = "east/a/"; // a pattern's share is divided
	assert_string_equal(picture(NAME), "east/a 0 10: 10.1.0.3:8080\nwest/a 0 45: 10.1.0.1:8080\n"
					   "west/b 0 45: 10.1.0.2:8080\n");
	f.key.locality = "north/a/";
	assert_string_equal(picture(NAME), "east/a 0 1: 10.1.0.3:8080\nwest/a 0 1: 10.1.0.1:8080\n"
					   "west/b 0 1: 10.1.0.2:8080\n");
}

static void test_zone_aware(void **state)
{
	(void)state;
	fixture_init(&f, "",
		     WORLD RULE("trafficPolicy: {loadBalancer: {zoneAwareLbSetting: {failover: [{from: north, to: "
				"west}]}}}"));
	f.key.locality = "west/a/"; // zones of the region together
	assert_string_equal(picture(NAME), "east/a 1 1: 10.1.0.3:8080\nwest/a 0 1: 10.1.0.1:8080\n"
					   "west/b 0 1: 10.1.0.2:8080\n");
	f.key.locality = "north/a/";
	assert_string_equal(picture(NAME), "east/a 1 1: 10.1.0.3:8080\nwest/a 0 1: 10.1.0.1:8080\n"
					   "west/b 0 1: 10.1.0.2:8080\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_unknown_names, teardown),
		cmocka_unit_test_teardown(test_groups_by_locality_and_port_name, teardown),
		cmocka_unit_test_teardown(test_subset, teardown),
		cmocka_unit_test_teardown(test_health, teardown),
		cmocka_unit_test_teardown(test_min_health_percent_hides_unready, teardown),
		cmocka_unit_test_teardown(test_node_local, teardown),
		cmocka_unit_test_teardown(test_network_view, teardown),
		cmocka_unit_test_teardown(test_cluster_local, teardown),
		cmocka_unit_test_teardown(test_mtls, teardown),
		cmocka_unit_test_teardown(test_mtls_of_port_and_subset, teardown),
		cmocka_unit_test_teardown(test_passthrough_name_wants_mtls, teardown),
		cmocka_unit_test_teardown(test_dual_stack, teardown),
		cmocka_unit_test_teardown(test_failover_by_distance, teardown),
		cmocka_unit_test_teardown(test_failover_to_region, teardown),
		cmocka_unit_test_teardown(test_failover_priority_splits, teardown),
		cmocka_unit_test_teardown(test_traffic_distribution, teardown),
		cmocka_unit_test_teardown(test_distribute, teardown),
		cmocka_unit_test_teardown(test_zone_aware, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
