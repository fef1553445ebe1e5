// Where the secrets of servers come from.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "discovery/tls.h"
#include "tests/unit/discovery/fixture.h"

#define SERVICE                                                                                                        \
	"apiVersion: v1\nkind: Service\nmetadata: {name: vault, namespace: auth}\n"                                    \
	"spec: {clusterIP: 10.0.0.1, ports: [{name: grpc, port: 8200}]}\n"
#define PROVIDER "extensionProviders: [{name: v, sds: {name: v, service: vault.auth.svc.cluster.local, port: 8200}}]"

static void check(const char *mesh, const char *yaml, const char *credential, const char *want)
{
	struct fixture f;
	fixture_init(&f, mesh, yaml);
	const EnvoySdsSecretConfig *s = pd_tls_server_secret(fixture_scope(&f), credential);
	assert_string_equal(fixture_json(&f, s), want);
	fixture_free(&f);
}

#define ADS(name) "{\"name\":\"" name "\",\"sds_config\":{\"ads\":{},\"resource_api_version\":\"V3\"}}"
#define VAULT(name)                                                                                                      \
	"{\"name\":\"" name "\",\"sds_config\":{\"api_config_source\":{\"api_type\":\"GRPC\",\"grpc_services\":"         \
	"[{\"envoy_grpc\":{\"cluster_name\":\"outbound|8200||vault.auth.svc.cluster.local\",\"authority\":"              \
	"\"vault.auth.svc.cluster.local\"}}],\"set_node_on_first_message_only\":true,\"transport_api_version\":\"V3\"}," \
	"\"resource_api_version\":\"V3\"}}"

static void test_external(void **state)
{
	(void)state;
	check(PROVIDER, SERVICE, "sds://cert", VAULT("cert"));
	check(PROVIDER, SERVICE, "cert", ADS("kubernetes://cert"));  // only what says so
	check("", SERVICE, "sds://cert", ADS("kubernetes://cert"));  // there is no provider
	check(PROVIDER, "", "sds://cert", ADS("kubernetes://cert")); // or no service behind it
}

static void test_roots(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, PROVIDER, SERVICE);
	assert_string_equal(fixture_json(&f, pd_tls_server_ca_secret(fixture_scope(&f), "sds://cert")),
			    VAULT("cert-cacert"));
	assert_true(fixture_depends(&f, PD_IX_SERVICE, "vault.auth.svc.cluster.local"));
	fixture_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_external),
		cmocka_unit_test(test_roots),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
