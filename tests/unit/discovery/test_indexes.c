#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/str.h"
#include "base/vec.h"
#include "config/decode.h"
#include "registry_world.h"

static void test_hosts_expand(void **state)
{
	static const char *const same[] =
		{"reviews.foo", "a.b.svc.cluster.local", "*", "*.example.com", "fd00::1", "10.0.0.1", ""};
	struct pd_arena a = {0};

	(void)state;
	assert_string_equal(pd_expand_host(&a, "reviews", "ns1", "cluster.local"), "reviews.ns1.svc.cluster.local");
	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++)
		assert_ptr_equal(pd_expand_host(&a, same[i], "ns1", "cluster.local"), same[i]);
	pd_arena_free(&a);
}

static void test_gateways_expand(void **state)
{
	struct pd_arena a = {0};

	(void)state;
	assert_string_equal(pd_expand_gateway(&a, "gw", "ns1"), "ns1/gw");
	assert_string_equal(pd_expand_gateway(&a, "./gw", "ns1"), "ns1/gw");
	assert_string_equal(pd_expand_gateway(&a, "other/gw", "ns1"), "other/gw");
	assert_string_equal(pd_expand_gateway(&a, "mesh", "ns1"), "mesh");
	assert_string_equal(pd_expand_gateway(&a, "gw.other", "ns1"), "other/gw");
	assert_string_equal(pd_expand_gateway(&a, "gw.other.svc.cluster.local", "ns1"), "other/gw");
	pd_arena_free(&a);
}

static void test_patterns_cover(void **state)
{
	(void)state;
	assert_true(pd_host_covers("*", "a.b"));
	assert_true(pd_host_covers("*", "*"));
	assert_true(pd_host_covers("*", "*.b"));
	assert_true(pd_host_covers("*.b", "a.b"));
	assert_true(pd_host_covers("*.b", "x.a.b"));
	assert_true(pd_host_covers("*.b", "*.a.b"));
	assert_true(pd_host_covers("*.b", "*.b"));
	assert_true(pd_host_covers("a.b", "a.b"));
	assert_false(pd_host_covers("*.b", "b"));
	assert_false(pd_host_covers("*.a.b", "*.b"));
	assert_false(pd_host_covers("a.b", "*.b"));
	assert_false(pd_host_covers("*.b", "*"));
	assert_false(pd_host_covers("a.b", "a.c"));
}

// ---- rows -----------------------------------------------------------------------------------------------------------

static void collect(void *ctx, const char *key)
{
	struct pd_buf *b = ctx;

	pd_buf_printf(b, "%s%s", b->n ? " " : "", *key ? key : "\"\"");
}

// The keys that row `id` gives for the one object of the text.
static void expect(unsigned id, const char *yaml, const char *want)
{
	struct pd_decoded_text text = {0};
	struct pd_buf got = {0};
	struct world w;

	world_init(&w);
	world_decode(&w, yaml, &text);
	assert_int_equal(text.items.n, 1);
	pd_buf_adds(&got, "");
	for (size_t i = 0; i < pd_indexes_n; i++)
		if (pd_indexes[i].id == id && pd_indexes[i].kind == text.items.v[0].kind)
			pd_indexes[i].keys(text.items.v[0].object, collect, &got);
	assert_string_equal(got.p, want);
	pd_buf_free(&got);
	pd_decoded_text_free(&text);
	world_free(&w);
}

static void test_kubernetes_rows(void **state)
{
	static const char slice[] =
		"{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4, "
		"metadata: {name: s, namespace: ns, labels: {kubernetes.io/service-name: web}}, endpoints: ["
		"{addresses: [10.0.0.1], targetRef: {kind: Pod, name: p1, namespace: ns}}, {addresses: [10.0.0.2, 10.0.0.3]}]}";
	static const char pod[] =
		"{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: ns, labels: {version: v1, app: web, "
		"pod-template-hash: abc}}, spec: {nodeName: n1}, "
		"status: {podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}]}}";
	static const char service[] = "{apiVersion: v1, kind: Service, metadata: {name: s, namespace: ns}, "
				      "spec: {selector: {version: v1, app: web}}}";

	(void)state;
	expect(PD_IX_SLICE_BY_SERVICE, slice, "ns/web");
	expect(PD_IX_SLICE_BY_POD, slice, "ns/p1");
	expect(PD_IX_SLICE_BY_IP, slice, "ns/10.0.0.2 ns/10.0.0.3");
	expect(PD_IX_POD_BY_IP, pod, "10.0.0.1 fd00::1");
	expect(PD_IX_POD_BY_NODE, pod, "n1");
	expect(PD_IX_POD_BY_LABEL, pod, "ns/app=web ns/version=v1");
	expect(PD_IX_SERVICE_BY_SELECTOR, service, "ns/app=web");
	expect(PD_IX_SERVICE_BY_EXTERNAL_NAME, service, "");
	expect(PD_IX_SERVICE_BY_EXTERNAL_NAME,
	       "{apiVersion: v1, kind: Service, metadata: {name: s, namespace: ns}, "
	       "spec: {type: ExternalName, externalName: a.example.com}}",
	       "a.example.com");
	expect(PD_IX_POD_BY_IP,
	       "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: ns}, spec: {hostNetwork: true}, "
	       "status: {podIP: 10.0.0.1}}",
	       "");
}

static void test_istio_rows(void **state)
{
	static const char vs[] =
		"{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: v, namespace: ns}, "
		"spec: {hosts: [web, a.example.com, '*.b.com'], gateways: [mesh, gw, o/gw2], "
		"http: [{route: [{destination: {host: web}}]}]}}";
	static const char partial[] =
		"{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: v, namespace: ns}, "
		"spec: {hosts: ['*-x.b.com', '*c'], http: [{route: [{destination: {host: web}}]}]}}";
	static const char gw_vs[] =
		"{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: v, namespace: ns}, "
		"spec: {hosts: [web.example.com], gateways: [gw], http: [{route: [{destination: {host: web}}]}]}}";
	static const char inner[] =
		"{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: v, namespace: ns}, "
		"spec: {hosts: [web, a.ns.svc.cluster.local], http: [{route: [{destination: {host: web}}]}]}}";
	static const char dr[] = "{apiVersion: networking.istio.io/v1, kind: DestinationRule, "
				 "metadata: {name: d, namespace: ns}, spec: {host: '*.example.com'}}";
	static const char we[] =
		"{apiVersion: networking.istio.io/v1, kind: WorkloadEntry, metadata: {name: w, namespace: ns, "
		"labels: {b: '2'}}, spec: {address: 192.0.2.1, labels: {a: '1'}}}";
	static const char se[] =
		"{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: s, namespace: ns}, spec: {hosts: [a.com, b.com], "
		"resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}], workloadSelector: {labels: {z: '1', k: v}}}}";

	(void)state;
	expect(PD_IX_VS_BY_HOST, vs, "web.ns.svc.cluster.local a.example.com *.b.com");
	expect(PD_IX_VS_WILDCARD, vs, "\"\"");
	expect(PD_IX_VS_BY_HOST, partial, "*-x.b.com *.b.com *c.ns.svc.cluster.local *.ns.svc.cluster.local");
	expect(PD_IX_VS_MESH, vs, "\"\" \"\"");
	expect(PD_IX_VS_BY_GATEWAY, vs, "ns/gw o/gw2");
	expect(PD_IX_VS_BY_HOST, gw_vs, "");
	expect(PD_IX_VS_MESH, gw_vs, "");
	expect(PD_IX_VS_BY_GATEWAY, gw_vs, "ns/gw");
	expect(PD_IX_VS_MESH, inner, "");
	expect(PD_IX_VS_BY_HOST, inner, "web.ns.svc.cluster.local a.ns.svc.cluster.local");
	expect(PD_IX_DR_BY_HOST, dr, "*.example.com");
	expect(PD_IX_DR_WILDCARD, dr, "ns \"\"");
	expect(PD_IX_WE_BY_LABEL, we, "ns/a=1 ns/b=2");
	expect(PD_IX_WE_BY_IP, we, "192.0.2.1");
	expect(PD_IX_SE_BY_HOST, se, "a.com b.com");
	expect(PD_IX_SE_BY_SELECTOR, se, "ns/k=v");
	expect(PD_IX_SIDECAR_BY_NS,
	       "{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: s, namespace: ns}, "
	       "spec: {egress: [{hosts: ['./*']}]}}",
	       "ns");
	expect(PD_IX_GATEWAY_BY_SELECTOR,
	       "{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: g, namespace: ns}, "
	       "spec: {selector: {istio: ingress, app: gw}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]}}",
	       "app=gw");
}

static void test_gateway_api_rows(void **state)
{
	(void)state;
	expect(PD_IX_ROUTE_BY_PARENT,
	       "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: r, namespace: ns}, "
	       "spec: {parentRefs: [{name: gw}, {group: '', kind: Service, name: web, namespace: o}]}}",
	       "Gateway/ns/gw Service/o/web");
	expect(PD_IX_GRANT_BY_NS,
	       "{apiVersion: gateway.networking.k8s.io/v1beta1, kind: ReferenceGrant, metadata: {name: g, namespace: ns}, "
	       "spec: {from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: a}], to: [{group: '', kind: Service}]}}",
	       "ns");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hosts_expand),   cmocka_unit_test(test_gateways_expand),
		cmocka_unit_test(test_patterns_cover), cmocka_unit_test(test_kubernetes_rows),
		cmocka_unit_test(test_istio_rows),     cmocka_unit_test(test_gateway_api_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
