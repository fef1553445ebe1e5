// Hosts that the proxy resolves itself. Envoy refuses a filter whose DNS cache is configured otherwise than its cluster's.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/str.h"
#include "discovery/build.h"
#include "discovery/envoy.h"
#include "discovery/listener/http_manager.h"
#include "tests/unit/discovery/fixture.h"

#define NODE(ips)                                                                                                      \
	"{\"id\":\"sidecar~10.1.0.1~x.default~default.svc.cluster.local\",\"metadata\":{\"NAMESPACE\":\"default\","    \
	"\"ISTIO_VERSION\":\"1.31.0\",\"INSTANCE_IPS\":\"" ips "\"}}"

static const void *cluster(const struct pd_cluster_vec *v, const char *name)
{
	for (size_t i = 0; i < v->n; i++)
		if (pd_streq(v->v[i]->name, name))
			return v->v[i];
	fail_msg("no cluster %s", name);
	return NULL;
}

#define CLUSTER_CACHE "cluster_type/typed_config/dns_cache_config"

static void test_any_host(void **state)
{
	static const char *const nodes[] = {NODE("10.1.0.1"), NODE("fd00::1"), NODE("10.1.0.1,fd00::1")};
	struct fixture f;
	(void)state;
	fixture_init(&f, "outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS}", "");
	f.settings.dual_stack = true;
	for (size_t i = 0; i < 3; i++) {
		struct pd_cluster_vec clusters = {0};
		struct pd_listener_vec listeners = {0};
		struct pd_tx *tx = fixture_view(&f, nodes[i]);
		pd_build_static_clusters(tx, &clusters);
		pd_build_view_listeners(tx, &listeners);
		const void *any = cluster(&clusters, "AllowAnyDynamicDNSCluster"), *l = listeners.v[0];
		assert_json(&f, l, "name", "\"virtualOutbound\"");
		assert_json(&f, l, "filter_chains/1/name", "\"virtualOutbound-catchall-tcp-http\"");
		assert_json(&f, l, "listener_filters/0/name", "\"envoy.filters.listener.http_inspector\"");
		assert_json(&f, l,
			    "filter_chains/1/filters/0/typed_config/http_filters/5/typed_config/dns_cache_config",
			    fixture_get(&f, any, CLUSTER_CACHE));
		assert_json(&f, l, "filter_chains/1/filters/0/typed_config/http_filters/6/name",
			    "\"envoy.filters.http.router\"");
		assert_json(&f, l, "filter_chains/2/filters/0/typed_config/cluster", "\"PassthroughCluster\"");
	}
	fixture_free(&f);
}

static void test_wildcard_host(void **state)
{
	struct fixture f;
	struct pd_cluster_vec clusters = {0};
	struct pd_template_vec listeners = {0};
	(void)state;
	fixture_init(&f, "",
		     "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: d, namespace: default}\n"
		     "spec: {hosts: ['*.dyn.test'], resolution: DYNAMIC_DNS, location: MESH_EXTERNAL, "
		     "ports: [{number: 443, name: tls, protocol: TLS}]}\n");
	struct pd_tx *tx = fixture_scope(&f);
	const struct pd_service *svc = tx_service(tx, "*.dyn.test");
	pd_build_outbound_clusters(tx, svc, &clusters);
	pd_build_port_listeners(tx, 443, &svc, 1, &listeners);
	const void *l = listeners.v[0].msg;
	assert_json(&f, l, "filter_chains/0/filters/0/typed_config/dns_cache_config",
		    fixture_get(&f, cluster(&clusters, "outbound|443||*.dyn.test"), CLUSTER_CACHE));
	assert_json(&f, l, "filter_chains/0/filters/0/typed_config/port_value", "443");
	assert_json(&f, l, "filter_chains/0/filter_chain_match/server_names", "[\"*.dyn.test\"]");
	assert_json(&f, l, "listener_filters/0/name", "\"envoy.filters.listener.tls_inspector\"");
	fixture_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_host),
		cmocka_unit_test(test_wildcard_host),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
