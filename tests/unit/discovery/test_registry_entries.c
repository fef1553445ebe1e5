// ServiceEntries: addresses, endpoints, several of one host.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/str.h"
#include "registry_world.h"

static void test_entry_addresses(void **state)
{
	struct world *w = *state;
	const struct pd_service *s;

	world_apply(
		w,
		"{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: e, namespace: shop}, spec: {hosts: "
		"[a.example.com], addresses: [192.0.2.1, 192.0.2.2/32, 198.51.100.0/24, 'fd00::1/128'], resolution: STATIC, "
		"subjectAltNames: [spiffe://x/y], ports: [{number: 443, name: tls, protocol: TLS, targetPort: 8443}], "
		"endpoints: [{address: 'unix:///run/a.sock'}]}}");
	s = world_service(w, "a.example.com");
	assert_int_equal(s->n_vips, 4);
	assert_string_equal(s->vips[1], "192.0.2.2");
	assert_string_equal(s->vips[2], "198.51.100.0/24");
	assert_string_equal(s->vips[3], "fd00::1");
	assert_true(s->mesh_external && !s->kubernetes);
	assert_string_equal(s->name, "a.example.com");
	assert_string_equal(s->sans[0], "spiffe://x/y");
	assert_int_equal(s->ports[0].protocol, PD_PROTO_TLS);
	assert_int_equal(s->ports[0].target_port, 8443);
	world_expect(w, "a.example.com", "/run/a.sock:0/tls UNKNOWN e-0;shop;e-0;latest\n");
}

static void test_auto_allocated(void **state)
{
	static const char text[] =
		"{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: e, namespace: shop%s}, "
		"spec: {hosts: [a.com, b.com], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]}, "
		"status: {addresses: [{value: 240.240.0.1, host: a.com}, {value: '2001:2::1', host: a.com}, "
		"{value: 240.240.0.2, host: b.com}]}}";
	struct world *w = *state;
	char *yaml = pd_xasprintf(text, "");

	world_apply(w, yaml);
	free(yaml);
	assert_int_equal(world_service(w, "a.com")->n_auto_vips, 2);
	assert_string_equal(world_service(w, "b.com")->auto_vips[0], "240.240.0.2");
	assert_int_equal(world_service(w, "a.com")->n_vips, 0);
	yaml = pd_xasprintf(text, ", labels: {networking.istio.io/enable-autoallocate-ip: 'False'}");
	world_apply(w, yaml);
	free(yaml);
	assert_int_equal(world_service(w, "a.com")->n_auto_vips, 0);
}

static void test_round_robin_takes_one(void **state)
{
	struct world *w = *state;

	world_apply(
		w,
		"{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: e, namespace: shop}, spec: {hosts: "
		"[a.com], resolution: DNS_ROUND_ROBIN, ports: [{number: 80, name: http, protocol: HTTP}], "
		"endpoints: [{address: b.com}]}}\n---\n"
		"{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: f, namespace: shop}, spec: {hosts: "
		"[a.com], resolution: DNS_ROUND_ROBIN, ports: [{number: 80, name: http, protocol: HTTP}]}}");
	world_expect(w, "a.com", "b.com:80/http UNKNOWN e-0;shop;e-0;latest\n");
}

static void test_same_host(void **state)
{
	struct world *w = *state;
	const struct pd_service_list *l;

	world_apply(
		w,
		"{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: e, namespace: shop, creationTimestamp: "
		"'2026-08-01T00:00:01Z'}, spec: {hosts: [a.com], resolution: STATIC, ports: [{number: 80, name: http, "
		"protocol: HTTP}], endpoints: [{address: 192.0.2.1}]}}\n---\n"
		"{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: f, namespace: shop, creationTimestamp: "
		"'2026-08-01T00:00:02Z'}, spec: {hosts: [a.com], resolution: STATIC, ports: [{number: 81, name: http2, "
		"protocol: HTTP2}, {number: 80, name: other, protocol: TCP}], endpoints: [{address: 192.0.2.2}]}}\n---\n"
		"{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: g, namespace: bar, creationTimestamp: "
		"'2026-08-01T00:00:00Z'}, spec: {hosts: [a.com], resolution: STATIC, ports: [{number: 82, name: http, "
		"protocol: HTTP}], endpoints: [{address: 192.0.2.3}]}}");
	l = pd_registry_get(w->map, PD_IX_SERVICE, "a.com");
	assert_int_equal(l->n, 3);
	assert_string_equal(l->v[0]->ns, "bar");
	assert_int_equal(l->v[0]->n_ports, 1);
	// The oldest of a namespace gets the ports of the others.
	assert_string_equal(l->v[1]->source->key.name, "e");
	assert_int_equal(l->v[1]->n_ports, 2);
	assert_int_equal(pd_service_port(l->v[1], 81)->protocol, PD_PROTO_HTTP2);
	assert_int_equal(pd_service_port(l->v[1], 80)->protocol, PD_PROTO_HTTP);
	assert_string_equal(world_endpoints(w, "a.com")->ns, "bar");
	world_expect(w, "a.com",
		     "192.0.2.3:82/http UNKNOWN g-0;bar;g-0;latest\n"
		     "192.0.2.1:80/http UNKNOWN e-0;shop;e-0;latest\n"
		     "192.0.2.2:81/http2 UNKNOWN f-0;shop;f-0;latest\n"
		     "192.0.2.2:80/other UNKNOWN f-0;shop;f-0;latest\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_entry_addresses, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_auto_allocated, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_round_robin_takes_one, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_same_host, world_setup, world_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
