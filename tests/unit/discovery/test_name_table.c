// The name table: which services are in it and what they answer with.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/discovery/engine_world.h"

#define NODE "sidecar~10.1.0.6~a.default~default.svc.cluster.local"
#define META(capture)                                                                                                      \
	"{\"NAMESPACE\": \"default\", \"CLUSTER_ID\": \"Kubernetes\", \"INSTANCE_IPS\": \"10.1.0.6\", \"ISTIO_VERSION\": " \
	"\"1.31.0\"" capture "}"

static const char services[] =
	"apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\n"
	"spec: {clusterIP: 10.96.0.1, clusterIPs: [10.96.0.1, 'fd00::1'], ports: [{name: http, port: 80}]}\n"
	"---\n"
	"apiVersion: v1\nkind: Service\nmetadata: {name: hidden, namespace: shop, annotations: {networking.istio.io/exportTo: "
	"'.'}}\n"
	"spec: {clusterIP: 10.96.0.2, ports: [{name: http, port: 80}]}\n"
	"---\n"
	"apiVersion: v1\nkind: Service\nmetadata: {name: db, namespace: shop}\n"
	"spec: {clusterIP: None, selector: {app: db}, ports: [{name: tcp, port: 5432}]}\n"
	"---\n"
	"apiVersion: v1\nkind: Pod\nmetadata: {name: db-0, namespace: shop, labels: {app: db}}\n"
	"spec: {hostname: db-0, subdomain: db}\n"
	"status: {phase: Running, podIP: 10.1.0.30, podIPs: [{ip: 10.1.0.30}]}\n"
	"---\n"
	"apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
	"metadata: {name: db-1, namespace: shop, labels: {kubernetes.io/service-name: db}}\n"
	"addressType: IPv4\nendpoints:\n"
	"- {addresses: [10.1.0.30], conditions: {ready: true}, targetRef: {kind: Pod, name: db-0, namespace: shop}}\n"
	"- {addresses: [10.1.0.31], conditions: {ready: false}}\n"
	"ports: [{name: tcp, port: 5432, protocol: TCP}]\n"
	"---\n"
	"apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: e, namespace: shop}\n"
	"spec: {hosts: [ext.example.com, range.example.com], addresses: [240.1.1.1, 10.0.0.0/8], ports: [{number: 80, name: http, "
	"protocol: HTTP}], resolution: STATIC}\n";

static char *table(struct engine_world *w, const char *meta)
{
	struct pd_view *v = engine_world_view(w, NODE, meta);
	char *json = engine_world_json(w, v, PD_NDS, "");
	engine_world_view_free(w, v);
	return json;
}

static void only_with_capture(void **state)
{
	struct engine_world w;
	(void)state;
	engine_world_init(&w);
	engine_world_apply(&w, services);
	char *without = table(&w, META("")), *with = table(&w, META(", \"DNS_CAPTURE\": \"true\""));
	assert_null(without);
	assert_non_null(with);
	free(with);
	engine_world_free(&w);
}

static void addresses(void **state)
{
	struct engine_world w;
	(void)state;
	engine_world_init(&w);
	engine_world_apply(&w, services);
	char *json = table(&w, META(", \"DNS_CAPTURE\": \"true\""));
	assert_string_equal(json,
			    "{\"table\":{"
			    "\"db-0.db.shop.svc.cluster.local\":{\"ips\":[\"10.1.0.30\"],\"registry\":\"Kubernetes\","
			    "\"shortname\":\"db-0.db\",\"namespace\":\"shop\"},"
			    "\"db.shop.svc.cluster.local\":{\"ips\":[\"10.1.0.30\"],\"registry\":\"Kubernetes\","
			    "\"shortname\":\"db\",\"namespace\":\"shop\"},"
			    "\"ext.example.com\":{\"ips\":[\"240.1.1.1\"],\"registry\":\"External\"},"
			    "\"range.example.com\":{\"ips\":[\"240.1.1.1\"],\"registry\":\"External\"},"
			    "\"web.shop.svc.cluster.local\":{\"ips\":[\"10.96.0.1\"],\"registry\":\"Kubernetes\","
			    "\"shortname\":\"web\",\"namespace\":\"shop\"}}}");
	free(json);
	engine_world_free(&w);
}

static void follows_endpoints_of_headless_services(void **state)
{
	struct engine_world w;
	(void)state;
	engine_world_init(&w);
	engine_world_apply(&w, services);
	free(table(&w, META(", \"DNS_CAPTURE\": \"true\"")));
	engine_world_delete(&w, PD_KIND_ENDPOINT_SLICE, "shop", "db-1");
	char *json = table(&w, META(", \"DNS_CAPTURE\": \"true\""));
	assert_null(strstr(json, "db."));
	free(json);
	engine_world_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_with_capture),
		cmocka_unit_test(addresses),
		cmocka_unit_test(follows_endpoints_of_headless_services),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
