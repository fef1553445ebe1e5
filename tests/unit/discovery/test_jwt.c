// RequestAuthentications of a proxy as its JWT filter.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "api/pb.h"
#include "base/str.h"
#include "config/jwks.h"
#include "discovery/policy/jwt.h"
#include "tests/unit/discovery/fixture.h"

#define KEY "{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}"
#define KEYS "{\"keys\":[" KEY "]}"
#define NODE(type, more)                                                                                               \
	"{\"id\": \"" type                                                                                             \
	"~10.1.0.1~web-1.default~default.svc.cluster.local\", \"metadata\": {\"NAMESPACE\": \"default\", "             \
	"\"CLUSTER_ID\": \"Kubernetes\", \"ISTIO_VERSION\": \"1.31.0\", \"LABELS\": {\"app\": \"web\"}}" more "}"
#define SIDECAR NODE("sidecar", "")
#define STOCK NODE("sidecar", ", \"extensions\": [{\"name\": \"envoy.filters.http.router\"}]")

static const char *policy(struct pd_arena *a, const char *ns, const char *name, int age, const char *spec)
{
	return pd_arena_printf(a,
			       "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\n"
			       "metadata: {name: %s, namespace: %s, creationTimestamp: '2026-01-01T00:00:%02dZ'}\n"
			       "spec: %s\n---\n",
			       name, ns, age, spec);
}

// The filter of a proxy; NULL if it has none. Objects of `yaml` and one policy of namespace "default".
static void *build(struct fixture *f, const char *yaml, const char *spec, const char *node)
{
	struct pd_arena a = {0};
	void *filter = NULL;
	memset(f, 0, sizeof(*f));
	fixture_init(f, "", pd_arena_printf(&a, "%s%s", yaml, policy(&a, "default", "p", 30, spec)));
	Google__Protobuf__Any *any = pd_jwt_filter(fixture_view(f, node));
	if (any)
		assert_int_equal(pb_any_unpack(&f->arena, any, &filter, NULL), PD_OK);
	pd_arena_free(&a);
	return filter;
}

static void test_none(void **state)
{
	struct fixture f;
	(void)state;
	assert_null(build(&f, "", "{selector: {matchLabels: {app: api}}, jwtRules: [{issuer: a}]}", SIDECAR));
	assert_true(fixture_depends(&f, PD_IX_REQUEST_AUTHN_BY_NS, "istio-system"));
	fixture_free(&f);
	assert_null(build(&f, "", "{}", SIDECAR));
	fixture_free(&f);
}

#define KEYS_YAML "jwks: '" KEYS "'"
#define OR_MISSING(name)                                                                                               \
	"{\"requires_any\":{\"requirements\":[{\"provider_name\":\"" name "\"},{\"allow_missing\":{}}]}}"

static void test_one_issuer(void **state)
{
	struct fixture f;
	(void)state;
	void *filter = build(&f, "",
			     "{jwtRules: [{issuer: me, " KEYS_YAML ", audiences: [b, a], forwardOriginalToken: true, "
			     "outputPayloadToHeader: x-p, fromHeaders: [{name: x-t, prefix: 'T '}], fromParams: [q], "
			     "fromCookies: [c], outputClaimToHeaders: [{header: x-s, claim: sub}], "
			     "spaceDelimitedClaims: [zone, scope, area]}]}",
			     SIDECAR);
	assert_json(
		&f, filter, "providers/origins-0",
		"{\"issuer\":\"me\",\"audiences\":[\"b\",\"a\"],\"local_jwks\":{\"inline_string\":"
		"\"{\\\"keys\\\":[{\\\"kty\\\":\\\"RSA\\\",\\\"n\\\":\\\"AQAB\\\",\\\"e\\\":\\\"AQAB\\\"}]}\"},"
		"\"forward\":true,\"from_headers\":[{\"name\":\"x-t\",\"value_prefix\":\"T \"}],\"from_params\":[\"q\"],"
		"\"forward_payload_header\":\"x-p\",\"payload_in_metadata\":\"payload\",\"from_cookies\":[\"c\"],"
		"\"claim_to_headers\":[{\"header_name\":\"x-s\",\"claim_name\":\"sub\"}],"
		"\"normalize_payload_in_metadata\":{\"space_delimited_claims\":"
		"[\"area\",\"permission\",\"scope\",\"zone\"]}}");
	assert_json(&f, filter, "rules", "[{\"match\":{\"prefix\":\"/\"},\"requires\":" OR_MISSING("origins-0") "}]");
	assert_json(&f, filter, "bypass_cors_preflight", "true");
	assert_true(fixture_used(&f, PD_KIND_REQUEST_AUTHENTICATION, "default", "p"));
	fixture_free(&f);
}

// All rules of all policies, by issuer; of one issuer those of the own namespace first, then by age.
static void test_several(void **state)
{
	struct fixture f;
	struct pd_arena a = {0};
	struct pd_buf y = {0};
	(void)state;
	pd_buf_adds(&y,
		    policy(&a, "istio-system", "root", 1, "{jwtRules: [{issuer: b, " KEYS_YAML ", fromParams: [r]}]}"));
	pd_buf_adds(&y, policy(&a, "default", "old", 2, "{jwtRules: [{issuer: b, " KEYS_YAML ", fromParams: [o]}]}"));
	void *filter = build(&f, y.p,
			     "{jwtRules: [{issuer: b, " KEYS_YAML ", fromParams: [new]}, {issuer: a, " KEYS_YAML "}]}",
			     SIDECAR);
	assert_json(&f, filter, "providers/origins-0/issuer", "\"a\"");
	assert_json(&f, filter, "providers/origins-1/from_params/0", "\"o\"");
	assert_json(&f, filter, "providers/origins-2/from_params/0", "\"new\"");
	assert_json(&f, filter, "providers/origins-3/from_params/0", "\"r\"");
	assert_json(&f, filter, "rules/0/requires/requires_any/requirements/3", "{\"provider_name\":\"origins-3\"}");
	assert_json(&f, filter, "rules/0/requires/requires_any/requirements/4/requires_all/requirements",
		    "[" OR_MISSING("origins-0") "," OR_MISSING("origins-1") "," OR_MISSING("origins-2") "," OR_MISSING(
			    "origins-3") "]");
	fixture_free(&f);
	pd_buf_free(&y);
	pd_arena_free(&a);
}

static void test_gateways_route_again(void **state)
{
	struct fixture f;
	(void)state;
	void *filter = build(&f, "", "{jwtRules: [{issuer: a, " KEYS_YAML "}]}", NODE("router", ""));
	assert_json(&f, filter, "providers/origins-0/clear_route_cache", "true");
	fixture_free(&f);
}

static void test_bad_headers_go(void **state)
{
	struct fixture f;
	(void)state;
	void *filter = build(&f, "",
			     "{jwtRules: [{issuer: a, " KEYS_YAML ", fromHeaders: [{name: ''}, {name: x}], "
			     "outputClaimToHeaders: [{header: 'a b', claim: c}, {header: a, claim: ''}]}]}",
			     SIDECAR);
	assert_json(&f, filter, "providers/origins-0/from_headers", "[{\"name\":\"x\"}]");
	assert_json(&f, filter, "providers/origins-0/claim_to_headers", "");
	assert_int_equal(pd_issues_count(f.issues), 3);
	fixture_free(&f);
}

// ---- keys ----------------------------------------------------------------------------------------------------------------------

#define INLINE "providers/origins-0/local_jwks/inline_string"

static const char *fetched(struct pd_arena *a, const char *issuer, const char *uri, const char *keys)
{
	return pd_arena_printf(a,
			       "apiVersion: internal.pilotd.io/v1\nkind: JsonWebKeySet\nmetadata: {name: \"%s\"}\n"
			       "spec: {issuer: \"%s\", uri: \"%s\", keys: '%s'}\n---\n",
			       pd_jwks_name(a, issuer, uri), issuer, uri, keys);
}

static bool is_closed(const char *keys)
{
	return strstr(keys, "0xObjM0UvS_") != NULL; // a key that nobody has
}

static void test_fetched_keys(void **state)
{
	struct fixture f;
	struct pd_arena a = {0};
	(void)state;
	const char *uri = "https://keys.example.com/jwks";
	const char *spec = "{jwtRules: [{issuer: me, jwksUri: 'https://keys.example.com/jwks'}]}";
	void *filter = build(&f, "", spec, SIDECAR);
	assert_true(is_closed(fixture_get(&f, filter, INLINE)));
	assert_true(fixture_depends(&f, PD_INDEX_OBJECT,
				    pd_arena_printf(&a, "JsonWebKeySet/Kubernetes//%s", pd_jwks_name(&a, "me", uri))));
	fixture_free(&f);
	filter = build(&f, fetched(&a, "me", uri, KEYS), spec, SIDECAR);
	assert_false(is_closed(fixture_get(&f, filter, INLINE)));
	fixture_free(&f);
	filter = build(&f, fetched(&a, "me", uri, "{\"keys\":[]}"), spec, SIDECAR); // all withdrawn
	assert_true(is_closed(fixture_get(&f, filter, INLINE)));
	fixture_free(&f);
	filter = build(&f, fetched(&a, "me", "", KEYS), "{jwtRules: [{issuer: me}]}", SIDECAR);
	assert_false(is_closed(fixture_get(&f, filter, INLINE)));
	fixture_free(&f);
	pd_arena_free(&a);
}

// istio-proxy gets what the user wrote, a stock Envoy nothing that it would refuse.
static void test_given_keys(void **state)
{
	static const char *const useless[] = {
		"{\"keys\":[]}",
		"none",
		"{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQAB\"}]}",
		"{\"keys\":[{\"kty\":\"RSA\",\"n\":\"A+B=\",\"e\":\"AQAB\"}]}",
		"{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\",\"alg\":\"HS256\"}]}",
		"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-1\",\"x\":\"AA\",\"y\":\"AA\"}]}",
		"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"AA\"}]}",
		"{\"keys\":[\"RSA\"]}",
	};
	static const char *const good[] = {
		KEYS,
		"{\"keys\":[{}, {\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"}]}",
		"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AA\"}]}",
		"{\"keys\":[{\"kty\":\"oct\",\"k\":\"AA\",\"alg\":\"HS256\"}]}",
	};
	struct fixture f;
	struct pd_arena a = {0};
	(void)state;
	for (size_t i = 0; i < sizeof(useless) / sizeof(useless[0]); i++) {
		const char *spec = pd_arena_printf(&a, "{jwtRules: [{issuer: me, jwks: '%s'}]}", useless[i]);
		void *filter = build(&f, "", spec, STOCK);
		assert_true(is_closed(fixture_get(&f, filter, INLINE)));
		fixture_free(&f);
		filter = build(&f, "", spec, SIDECAR);
		assert_false(is_closed(fixture_get(&f, filter, INLINE)));
		fixture_free(&f);
	}
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		const char *spec = pd_arena_printf(&a, "{jwtRules: [{issuer: me, jwks: '%s'}]}", good[i]);
		void *filter = build(&f, "", spec, STOCK);
		assert_false(is_closed(fixture_get(&f, filter, INLINE)));
		fixture_free(&f);
	}
	pd_arena_free(&a);
}

// ---- fetched by the proxy --------------------------------------------------------------------------------------------------------

static void check_mode(enum pd_jwks_mode mode, const char *uri, const char *want_cluster)
{
	struct fixture f;
	struct pd_arena a = {0};
	void *filter = NULL;
	memset(&f, 0, sizeof(f));
	fixture_init(&f, "",
		     pd_arena_printf(&a,
				     "apiVersion: v1\nkind: Service\nmetadata: {name: keys, namespace: auth}\n"
				     "spec: {clusterIP: 10.0.0.1, ports: [{name: http, port: 80}]}\n---\n%s",
				     policy(&a, "default", "p", 1,
					    pd_arena_printf(&a, "{jwtRules: [{issuer: me, jwksUri: '%s'}]}", uri))));
	f.settings.jwks_mode = mode;
	Google__Protobuf__Any *any = pd_jwt_filter(fixture_view(&f, SIDECAR));
	assert_int_equal(pb_any_unpack(&f.arena, any, &filter, NULL), PD_OK);
	assert_json(&f, filter, "providers/origins-0/remote_jwks/http_uri/cluster", want_cluster);
	if (*want_cluster)
		assert_json(&f, filter, "providers/origins-0/remote_jwks/cache_duration", "\"300s\"");
	fixture_free(&f);
	pd_arena_free(&a);
}

static void test_modes(void **state)
{
	(void)state;
	const char *in_mesh = "http://keys.auth.svc.cluster.local/jwks",
		   *outside = "https://keys.example.com:8443/jwks";
	const char *cluster = "\"outbound|80||keys.auth.svc.cluster.local\"";
	check_mode(PD_JWKS_ISTIOD, in_mesh, "");
	check_mode(PD_JWKS_HYBRID, in_mesh, cluster);
	check_mode(PD_JWKS_ENVOY, in_mesh, cluster);
	check_mode(PD_JWKS_HYBRID, outside, "");
	check_mode(PD_JWKS_ENVOY, outside, "\"outbound|8443||keys.example.com\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_none),           cmocka_unit_test(test_one_issuer),
		cmocka_unit_test(test_several),        cmocka_unit_test(test_gateways_route_again),
		cmocka_unit_test(test_bad_headers_go), cmocka_unit_test(test_fetched_keys),
		cmocka_unit_test(test_given_keys),     cmocka_unit_test(test_modes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
