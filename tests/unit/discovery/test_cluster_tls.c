#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/str.h"
#include "discovery/build.h"
#include "discovery/tls.h"
#include "tests/unit/discovery/fixture.h"

#define HOST "web.prod.svc.cluster.local"
#define WORLD(ports)                                                                                                   \
	"apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: prod}\n"                                      \
	"spec: {clusterIP: 10.0.0.1, ports: [" ports "]}\n---\n"                                                       \
	"apiVersion: v1\nkind: Pod\nmetadata: {name: p1, namespace: prod, labels: {security.istio.io/tlsMode: "        \
	"istio}}\nspec: {serviceAccountName: web}\nstatus: {phase: Running, podIP: 10.1.0.1, podIPs: [{ip: "           \
	"10.1.0.1}]}\n---\n"                                                                                           \
	"apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"                                                       \
	"metadata: {name: web-1, namespace: prod, labels: {kubernetes.io/service-name: web}}\n"                        \
	"addressType: IPv4\nports: [{name: http, port: 8080}]\nendpoints:\n"                                           \
	"- {addresses: [10.1.0.1], targetRef: {kind: Pod, name: p1, namespace: prod}}\n---\n"
#define HTTP "{name: http, port: 80}"
#define RULE_HEAD                                                                                                      \
	"apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: r, namespace: prod}\n"            \
	"spec: {host: " HOST ", "
#define TLS(settings) RULE_HEAD "trafficPolicy: {tls: {" settings "}}}\n---\n"
#define PEER(mode)                                                                                                     \
	"apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: p, namespace: prod}\n"           \
	"spec: {mtls: {mode: " mode "}}\n---\n"

#define AUTO "transport_socket_matches/0/transport_socket/typed_config/"
#define PLAIN "transport_socket/typed_config/"
#define COMMON "common_tls_context/"
#define ROOTS COMMON "combined_validation_context/"

static struct fixture f;

static int teardown(void **state)
{
	(void)state;
	fixture_free(&f);
	return 0;
}

static const void *nth(size_t i)
{
	struct pd_tx *tx = fixture_scope(&f);
	struct pd_cluster_vec out = {0};
	pd_build_outbound_clusters(tx, tx_service(tx, HOST), &out);
	assert_true(i < out.n);
	return out.v[i];
}

// ---- mesh mTLS ---------------------------------------------------------------------------------------------------------------

static void test_auto(void **state)
{
	(void)state;
	fixture_init(&f, "trustDomainAliases: [old.example, aaa.example]",
		     WORLD(HTTP) RULE_HEAD "subsets: [{name: v1}]}\n");
	assert_json(&f, nth(0), AUTO "sni", "\"outbound_.80_._." HOST "\"");
	assert_json(&f, nth(1), AUTO "sni", "\"outbound_.80_.v1_." HOST "\"");
	assert_json(&f, nth(0), AUTO COMMON "alpn_protocols", "[\"istio-peer-exchange\",\"istio\"]");
	assert_json(&f, nth(0), AUTO COMMON "tls_certificate_sds_secret_configs/0/name", "\"default\"");
	assert_json(&f, nth(0), AUTO ROOTS "validation_context_sds_secret_config/name", "\"ROOTCA\"");
	assert_json(&f, nth(0), AUTO ROOTS "default_validation_context/match_subject_alt_names",
		    "[{\"exact\":\"spiffe://aaa.example/ns/prod/sa/web\"},"
		    "{\"exact\":\"spiffe://cluster.local/ns/prod/sa/web\"},"
		    "{\"exact\":\"spiffe://old.example/ns/prod/sa/web\"}]");
	assert_json(&f, nth(0), "transport_socket_matches/0/match", "{\"tlsMode\":\"istio\"}");
	assert_json(&f, nth(0), "transport_socket_matches/1/name", "\"tlsMode-disabled\"");
	assert_json(&f, nth(0), "transport_socket_matches/1/match", "{}");
}

static void test_auto_follows_policies(void **state)
{
	(void)state;
	fixture_init(&f, "", WORLD(HTTP) PEER("DISABLE"));
	assert_json(&f, nth(0), "transport_socket_matches", "");
	fixture_free(&f);
	fixture_init(&f, "enableAutoMtls: false", WORLD(HTTP) PEER("STRICT"));
	assert_json(&f, nth(0), "transport_socket_matches", "");
	fixture_free(&f);
	fixture_init(&f, "", WORLD(HTTP) TLS("mode: DISABLE"));
	assert_json(&f, nth(0), "transport_socket_matches", "");
	assert_json(&f, nth(0), "transport_socket", "");
}

// Where the application chooses the endpoint there is one socket for all: mTLS only if all take it.
static void test_auto_on_passthrough(void **state)
{
	(void)state;
	fixture_init(&f, "", WORLD(HTTP) RULE_HEAD "trafficPolicy: {loadBalancer: {simple: PASSTHROUGH}}}\n");
	assert_json(&f, nth(0), PLAIN "sni", "\"outbound_.80_._." HOST "\"");
	assert_json(&f, nth(0), "transport_socket_matches", "");
	fixture_free(&f);
	fixture_init(&f, "",
		     WORLD("{name: other, port: 81}") RULE_HEAD
		     "trafficPolicy: {loadBalancer: {simple: PASSTHROUGH}}}\n");
	assert_json(&f, nth(0), "transport_socket", ""); // no endpoint is known
}

static void test_istio_mutual(void **state)
{
	(void)state;
	fixture_init(&f, "", WORLD("{name: grpc, port: 80}") PEER("DISABLE") TLS("mode: ISTIO_MUTUAL, sni: x.example"));
	assert_json(&f, nth(0), PLAIN "sni", "\"x.example\"");
	assert_json(&f, nth(0), PLAIN COMMON "alpn_protocols", "[\"istio-peer-exchange\",\"istio\",\"h2\"]");
	assert_json(&f, nth(0), "transport_socket_matches", "");
	fixture_free(&f);
	fixture_init(&f, "", WORLD(HTTP) TLS("mode: ISTIO_MUTUAL, subjectAltNames: [spiffe://a/b]"));
	assert_json(&f, nth(0), PLAIN ROOTS "default_validation_context/match_subject_alt_names",
		    "[{\"exact\":\"spiffe://a/b\"}]");
}

// A stock Envoy has neither the filter that reads the preamble of istio-peer-exchange nor the one that says the protocol of
// each request in the ALPN: the cluster says it instead.
static void test_alpn_of_stock_envoy(void **state)
{
	(void)state;
	fixture_init(&f, "", WORLD(HTTP ", {name: grpc, port: 81}, {name: tcp, port: 82}, {name: odd, port: 83}"));
	f.key.caps = 0;
	assert_json(&f, nth(0), AUTO COMMON "alpn_protocols", "[\"istio-http/1.1\",\"istio\",\"http/1.1\"]");
	assert_json(&f, nth(1), AUTO COMMON "alpn_protocols", "[\"istio-h2\",\"istio\",\"h2\"]");
	assert_json(&f, nth(2), AUTO COMMON "alpn_protocols", "[\"istio\"]");
	assert_json(&f, nth(3), AUTO COMMON "alpn_protocols", "[\"istio\"]");
	assert_json(&f, nth(0), "filters", "");
}

// ---- TLS of the user's ---------------------------------------------------------------------------------------------------------

#define AUTO_NAMES                                                                                                     \
	"typed_extension_protocol_options/envoy.extensions.upstreams.http.v3.HttpProtocolOptions/"                     \
	"upstream_http_protocol_options"

static void test_simple(void **state)
{
	(void)state;
	fixture_init(&f, "tlsDefaults: {cipherSuites: [ECDHE-RSA-AES256-GCM-SHA384], ecdhCurves: [P-256]}",
		     WORLD(HTTP) TLS("mode: SIMPLE"));
	assert_json(&f, nth(0), PLAIN ROOTS "validation_context_sds_secret_config/name", "\"file-root:system\"");
	assert_json(&f, nth(0), PLAIN COMMON "tls_params/cipher_suites", "[\"ECDHE-RSA-AES256-GCM-SHA384\"]");
	assert_json(&f, nth(0), PLAIN COMMON "tls_params/ecdh_curves", "[\"P-256\"]");
	assert_json(&f, nth(0), PLAIN COMMON "alpn_protocols", "");
	assert_json(&f, nth(0), AUTO_NAMES, "{\"auto_sni\":true,\"auto_san_validation\":true}");
	assert_json(&f, nth(0), "metadata/filter_metadata/istio/alpn_override", "\"false\"");
}

static void test_names_of_server(void **state)
{
	(void)state;
	fixture_init(&f, "", WORLD(HTTP) TLS("mode: SIMPLE, sni: a.example, insecureSkipVerify: true"));
	assert_json(&f, nth(0), PLAIN "sni", "\"a.example\"");
	assert_json(&f, nth(0), AUTO_NAMES, "");
	assert_json(&f, nth(0), PLAIN COMMON "validation_context", "{}");
	fixture_free(&f);
	fixture_init(&f, "", WORLD(HTTP) TLS("mode: SIMPLE, subjectAltNames: [a.example]"));
	assert_json(&f, nth(0), AUTO_NAMES, "{\"auto_sni\":true}");
	assert_json(&f, nth(0), PLAIN ROOTS "default_validation_context/match_subject_alt_names",
		    "[{\"exact\":\"a.example\"}]");
}

static void test_files(void **state)
{
	(void)state;
	fixture_init(&f, "",
		     WORLD("{name: http2, port: 80}") TLS(
			     "mode: MUTUAL, clientCertificate: /c.pem, privateKey: /k.pem, caCertificates: /ca.pem"));
	assert_json(&f, nth(0), PLAIN COMMON "tls_certificate_sds_secret_configs/0/name",
		    "\"file-cert:/c.pem~/k.pem\"");
	assert_json(&f, nth(0), PLAIN COMMON "tls_certificate_sds_secret_configs/0/sds_config/initial_fetch_timeout",
		    "");
	assert_json(&f, nth(0), PLAIN ROOTS "validation_context_sds_secret_config/name", "\"file-root:/ca.pem\"");
	assert_json(&f, nth(0), PLAIN COMMON "alpn_protocols", "[\"h2\"]");
}

static void test_credentials(void **state)
{
	(void)state;
	fixture_init(&f, "", WORLD(HTTP) TLS("mode: MUTUAL, credentialName: cred"));
	assert_json(&f, nth(0), "transport_socket", ""); // a Secret for all sidecars alike: no TLS at all
	assert_int_equal(pd_issues_count(f.issues), 1);
	f.key.type = PD_NODE_ROUTER;
	assert_json(&f, nth(0), PLAIN COMMON "tls_certificate_sds_secret_configs",
		    "[{\"name\":\"kubernetes://cred\",\"sds_config\":{\"ads\":{},\"resource_api_version\":\"V3\"}}]");
	assert_json(&f, nth(0), PLAIN ROOTS "validation_context_sds_secret_config/name",
		    "\"kubernetes://cred-cacert\"");
	fixture_free(&f);
	fixture_init(&f, "", WORLD(HTTP) TLS("mode: SIMPLE, credentialName: 'configmap://prod/ca'"));
	assert_json(&f, nth(0), PLAIN ROOTS "validation_context_sds_secret_config/name",
		    "\"configmap://prod/ca-cacert\"");
}

static void test_credential_of_selected_workloads(void **state)
{
	static const struct pd_label app = {"app", "sleep"};
	(void)state;
	fixture_init(
		&f, "",
		WORLD(HTTP) "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: r, namespace: "
			    "default}\nspec: {host: " HOST ", workloadSelector: {matchLabels: {app: sleep}}, "
			    "trafficPolicy: {tls: {mode: SIMPLE, credentialName: cred}}}\n");
	f.key.labels = (struct pd_labels){1, &app};
	assert_json(&f, nth(0), PLAIN ROOTS "validation_context_sds_secret_config/name",
		    "\"kubernetes://cred-cacert\"");
}

static void test_proxy_protocol(void **state)
{
	(void)state;
	fixture_init(&f, "", WORLD(HTTP) RULE_HEAD "trafficPolicy: {proxyProtocol: {version: V2}}}\n");
	assert_json(&f, nth(0), AUTO "config", "{\"version\":\"V2\"}");
	assert_json(&f, nth(0), AUTO "transport_socket/name", "\"envoy.transport_sockets.tls\"");
	assert_json(&f, nth(0), "transport_socket_matches/1/transport_socket/typed_config/transport_socket/name",
		    "\"envoy.transport_sockets.raw_buffer\"");
	fixture_free(&f);
	fixture_init(&f, "enableAutoMtls: false",
		     WORLD(HTTP) RULE_HEAD "trafficPolicy: {proxyProtocol: {version: V1}}}\n");
	assert_json(&f, nth(0), PLAIN "transport_socket/name", "\"envoy.transport_sockets.raw_buffer\"");
}

// ---- shared parts --------------------------------------------------------------------------------------------------------------

static void test_downstream(void **state)
{
	(void)state;
	fixture_init(
		&f,
		"trustDomain: a.example\ntrustDomainAliases: [b.example, a.example]\nmeshMTLS: {minProtocolVersion: "
		"TLSV1_3}\ncaCertificates: [{pem: x, trustDomains: [c.example, b.example]}]",
		"");
	const void *ctx = pd_tls_downstream_mtls(fixture_scope(&f), true);
	assert_json(&f, ctx, ROOTS "default_validation_context/match_subject_alt_names",
		    "[{\"prefix\":\"spiffe://a.example/\"},{\"prefix\":\"spiffe://b.example/\"},"
		    "{\"prefix\":\"spiffe://c.example/\"}]");
	assert_json(&f, ctx, COMMON "tls_params/tls_minimum_protocol_version", "\"TLSv1_3\"");
	assert_json(&f, ctx, COMMON "tls_params/cipher_suites/5", "\"AES128-GCM-SHA256\"");
	assert_json(&f, ctx, COMMON "alpn_protocols", "[\"istio-peer-exchange\",\"h2\",\"http/1.1\"]");
	assert_json(&f, ctx, "require_client_certificate", "true");
	ctx = pd_tls_downstream_mtls(fixture_scope(&f), false);
	assert_json(&f, ctx, COMMON "alpn_protocols", "[\"h2\",\"http/1.1\"]");
	f.key.caps = 0;
	ctx = pd_tls_downstream_mtls(fixture_scope(&f), true);
	assert_json(&f, ctx, COMMON "alpn_protocols", "[\"h2\",\"http/1.1\"]");
}

static void test_secret_names(void **state)
{
	static const char *const cases[][2] = {
		{"web", "kubernetes://web"},
		{"kubernetes://ns/web", "kubernetes://ns/web"},
		{"kubernetes-gateway://ns/web", "kubernetes-gateway://ns/web"},
		{"configmap://ns/ca", "configmap://ns/ca"},
		{"invalid://x", "invalid://x"},
		{"sds://remote", "kubernetes://remote"},
		{"builtin://", "default"},
		{"builtin://-cacert", "ROOTCA"},
	};
	(void)state;
	fixture_init(&f, "", "");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(pd_tls_credential_secret(&f.arena, cases[i][0])->name, cases[i][1]);
	assert_string_equal(pd_tls_credential_ca_secret(&f.arena, "web")->name, "kubernetes://web-cacert");
	assert_string_equal(pd_tls_credential_ca_secret(&f.arena, "builtin://")->name, "ROOTCA");
	assert_json(&f, pd_tls_agent_secret(&f.arena, "default"), "sds_config/initial_fetch_timeout", "\"0s\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_auto, teardown),
		cmocka_unit_test_teardown(test_auto_follows_policies, teardown),
		cmocka_unit_test_teardown(test_auto_on_passthrough, teardown),
		cmocka_unit_test_teardown(test_istio_mutual, teardown),
		cmocka_unit_test_teardown(test_alpn_of_stock_envoy, teardown),
		cmocka_unit_test_teardown(test_simple, teardown),
		cmocka_unit_test_teardown(test_names_of_server, teardown),
		cmocka_unit_test_teardown(test_files, teardown),
		cmocka_unit_test_teardown(test_credentials, teardown),
		cmocka_unit_test_teardown(test_credential_of_selected_workloads, teardown),
		cmocka_unit_test_teardown(test_proxy_protocol, teardown),
		cmocka_unit_test_teardown(test_downstream, teardown),
		cmocka_unit_test_teardown(test_secret_names, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
