// Who is given which secret, and what is in it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "api/base64.h"
#include "base/log.h"
#include "base/str.h"
#include "discovery/build.h"
#include "tests/unit/discovery/fixture.h"

// Not real ones: only Envoy looks inside.
#define CERT "-----BEGIN CERTIFICATE-----\\nYQ==\\n-----END CERTIFICATE-----\\n"
#define KEY "-----BEGIN PRIVATE KEY-----\\nYg==\\n-----END PRIVATE KEY-----\\n"
#define ROOT "-----BEGIN CERTIFICATE-----\\nYw==\\n-----END CERTIFICATE-----\\n"
#define SECRET(ns, name, data)                                                                                         \
	"{apiVersion: v1, kind: Secret, metadata: {name: " name ", namespace: " ns "}, stringData: {" data "}}\n---\n"
#define PAIR "tls.crt: \"" CERT "\", tls.key: \"" KEY "\""
#define GATEWAY(ns, credential)                                                                                         \
	"{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: gw, namespace: " ns                       \
	"}, spec: {selector: {istio: gw}, servers: [{port: {number: 443, name: https, protocol: HTTPS}, hosts: ['*'], " \
	"tls: {mode: SIMPLE, credentialName: '" credential "'}}]}}\n---\n"
#define GRANT(ns, from_ns, name)                                                                                       \
	"{apiVersion: gateway.networking.k8s.io/v1beta1, kind: ReferenceGrant, metadata: {name: g, namespace: " ns     \
	"}, spec: {from: [{group: gateway.networking.k8s.io, kind: Gateway, namespace: " from_ns                       \
	"}], to: [{group: '', kind: Secret" name "}]}}\n---\n"
#define NODE                                                                                                           \
	"{\"id\":\"router~10.1.0.1~gw.edge~edge.svc.cluster.local\",\"metadata\":{\"NAMESPACE\":\"edge\","             \
	"\"LABELS\":{\"istio\":\"gw\"},\"ISTIO_VERSION\":\"1.31.0\",\"WORKLOAD_NAME\":\"gw\"}}"

static struct fixture f;

static int teardown(void **state)
{
	(void)state;
	fixture_free(&f);
	return 0;
}

static void init(const char *yaml)
{
	fixture_init(&f, "", yaml);
	f.account = "gw";
}

static Envoy__Extensions__TransportSockets__Tls__V3__Secret *get(const char *name)
{
	return pd_build_secret(fixture_view(&f, NODE), name);
}

// "Y2VydA==" in JSON is what inline_bytes hold.
static void expect_text(const void *msg, const char *path, const char *pem)
{
	struct pd_buf want = {0};
	const char *text = fixture_get(&f, msg, path);
	ProtobufCBinaryData bytes;

	assert_true(strlen(text) > 2); // with its quotes
	assert_true(pd_base64_decode(&f.arena, text + 1, strlen(text) - 2, &bytes));
	for (const char *p = pem; *p; p++) // the macros are YAML text
		if (p[0] == '\\' && p[1] == 'n')
			pd_buf_addc(&want, '\n'), p++;
		else
			pd_buf_addc(&want, *p);
	assert_int_equal(bytes.len, want.n);
	assert_memory_equal(bytes.data, want.p, want.n);
	pd_buf_free(&want);
}

static void test_key_pair(void **state)
{
	(void)state;
	init(SECRET("edge", "web", PAIR ", tls.ocsp-staple: x") SECRET("other", "web", PAIR)
		     SECRET("edge", "generic", "cert: \"" CERT "\", key: \"" KEY "\"")
			     SECRET("edge", "half", "tls.crt: \"" CERT "\""));
	f.account = NULL;
	assert_null(get("kubernetes://web")); // nobody has proved anything
	f.account = "gw";
	const void *s = get("kubernetes://web");
	assert_json(&f, s, "name", "\"kubernetes://web\"");
	expect_text(s, "tls_certificate/certificate_chain/inline_bytes", CERT);
	expect_text(s, "tls_certificate/private_key/inline_bytes", KEY);
	expect_text(s, "tls_certificate/ocsp_staple/inline_bytes", "x");
	assert_true(fixture_used(&f, PD_KIND_SECRET, "edge", "web"));
	assert_json(&f, get("kubernetes://edge/web"), "name", "\"kubernetes://edge/web\"");
	assert_non_null(get("kubernetes://generic"));
	assert_null(get("kubernetes://half"));
	assert_null(get("kubernetes://other/web"));
	assert_null(get("kubernetes://none"));
	assert_true(fixture_depends(&f, PD_INDEX_OBJECT, "Secret/Kubernetes/edge/none"));
}

static void test_names(void **state)
{
	static const char *const bad[] =
		{"web",          "kubernetes://",           "kubernetes:///web", "kubernetes://edge/",
		 "invalid://x",  "kubernetes://a/b/c",      "default",           "",
		 "configmap://", "kubernetes-gateway://web"};
	(void)state;
	init(SECRET("edge", "web", PAIR));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_null(get(bad[i]));
}

static void test_roots(void **state)
{
	(void)state;
	init(SECRET("edge", "web", PAIR ", ca.crt: \"" CERT "\"") SECRET("edge", "web-cacert", "cacert: \"" ROOT "\"") SECRET(
		"edge", "both",
		PAIR
		", ca.crt: \"" ROOT
		"\"") "{apiVersion: v1, kind: ConfigMap, metadata: {name: roots, namespace: far}, data: {ca.crt: \"" ROOT
		      "\"}}\n");
	// A Secret of its own counts; else what lies beside the key pair.
	expect_text(get("kubernetes://web-cacert"), "validation_context/trusted_ca/inline_bytes", ROOT);
	expect_text(get("kubernetes://both-cacert"), "validation_context/trusted_ca/inline_bytes", ROOT);
	expect_text(get("configmap://far/roots"), "validation_context/trusted_ca/inline_bytes", ROOT);
	expect_text(get("configmap://far/roots-cacert"), "validation_context/trusted_ca/inline_bytes", ROOT);
	assert_null(get("configmap://far/none"));
}

static void test_gateway_references(void **state)
{
	(void)state;
	init(SECRET("certs", "web", PAIR) GATEWAY("edge", "kubernetes-gateway://certs/web"));
	assert_null(get("kubernetes-gateway://certs/web")); // no grant
	assert_true(fixture_depends(&f, PD_IX_GRANT_BY_NS, "certs"));
	fixture_free(&f);
	init(SECRET("certs", "web", PAIR) GATEWAY("edge", "kubernetes-gateway://certs/web") GRANT("certs", "edge", ""));
	assert_non_null(get("kubernetes-gateway://certs/web"));
	assert_true(fixture_used(&f, PD_KIND_GATEWAY, "edge", "gw"));
	assert_null(get("kubernetes-gateway://certs/other")); // nobody names it
	fixture_free(&f);
	init(SECRET("certs", "web", PAIR) GATEWAY("edge", "kubernetes-gateway://certs/web")
		     GRANT("certs", "edge", ", name: other"));
	assert_null(get("kubernetes-gateway://certs/web"));
	fixture_free(&f);
	init(SECRET("certs", "web", PAIR) GATEWAY("edge", "kubernetes-gateway://certs/web")
		     GRANT("certs", "elsewhere", ""));
	assert_null(get("kubernetes-gateway://certs/web"));
	fixture_free(&f);
	init(SECRET("edge", "web", PAIR) GATEWAY("edge", "kubernetes-gateway://edge/web"));
	assert_non_null(get("kubernetes-gateway://edge/web"));
}

static unsigned asked;

static void ask(void *arg, const char *ns, const char *account)
{
	assert_ptr_equal(arg, &asked);
	assert_string_equal(ns, "edge");
	assert_string_equal(account, "gw");
	asked++;
}

static void test_permission(void **state)
{
	struct pd_access *access = pd_access_new(ask, &asked);

	(void)state;
	asked = 0;
	init(SECRET("edge", "web", PAIR ", ca.crt: \"" CERT "\""));
	f.snap.access = access;
	assert_null(get("kubernetes://web"));
	assert_true(fixture_depends(&f, PD_IX_ACCESS, "edge/gw"));
	assert_null(get("kubernetes://web"));
	assert_int_equal(asked, 1);                      // not again while the answer is awaited, or fresh
	assert_non_null(get("kubernetes://web-cacert")); // roots are no secret
	assert_true(pd_access_answer(access, "edge", "gw", true));
	assert_false(pd_access_answer(access, "edge", "gw", true));
	assert_non_null(get("kubernetes://web"));
	assert_true(pd_access_answer(access, "edge", "gw", false));
	assert_null(get("kubernetes://web"));
	assert_int_equal(asked, 1);
	pd_access_free(&access);
	assert_null(access);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_key_pair, teardown),
		cmocka_unit_test_teardown(test_names, teardown),
		cmocka_unit_test_teardown(test_roots, teardown),
		cmocka_unit_test_teardown(test_gateway_references, teardown),
		cmocka_unit_test_teardown(test_permission, teardown),
	};

	if (pd_log_set_levels("none"))
		return 1;
	return cmocka_run_group_tests_name("secret", tests, NULL, NULL);
}
