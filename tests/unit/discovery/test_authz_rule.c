// Rules of AuthorizationPolicies as policies of Envoy's RBAC filter: each field, each key, what cannot be expressed.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "api/codec.h"
#include "discovery/policy/authz_rule.h"
#include "tests/unit/discovery/fixture.h"

static struct fixture fixture; // for its arena and its JSON
static struct authz_context http_context, tcp_context;

static int setup(void **state)
{
	static const char *const domains[] = {"cluster.local"};
	(void)state;
	http_context = (struct authz_context){.arena = &fixture.arena, .policy_ns = "default", .domains = {1, domains}};
	tcp_context = http_context;
	tcp_context.tcp = true;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	pd_arena_free(&fixture.arena);
	return 0;
}

static const EnvoyRbacPolicy *translate(const struct authz_context *c, bool allow, const char *json)
{
	struct pd_codec codec = {.arena = &fixture.arena, .policy = PD_CODEC_STRICT};
	void *rule;
	const char *why;
	assert_int_equal(pd_codec_decode_text(&codec, json, strlen(json), &istio__rule__descriptor, &rule), PD_OK);
	const EnvoyRbacPolicy *p = pd_authz_rule(c, rule, allow, &why);
	assert_true(p ? !why : *why != 0);
	return p;
}

#define ANY "[{\"and_rules\":{\"rules\":[{\"any\":true}]}}]"
#define ANYBODY "[{\"and_ids\":{\"ids\":[{\"any\":true}]}}]"

static void check_half(const char *json, const char *half, const char *want)
{
	const EnvoyRbacPolicy *p = translate(&http_context, true, json);
	assert_non_null(p);
	assert_json(&fixture, p, half, want);
}

// One operation with one field.
static void check_to(const char *field, const char *want)
{
	struct pd_arena *a = &fixture.arena;
	const char *json = pd_arena_printf(a, "{\"to\": [{\"operation\": {%s}}]}", field);
	check_half(json, "principals", ANYBODY);
	check_half(json, "permissions", pd_arena_printf(a, "[{\"and_rules\":{\"rules\":[%s]}}]", want));
}

static void check_from(const char *field, const char *want)
{
	struct pd_arena *a = &fixture.arena;
	const char *json = pd_arena_printf(a, "{\"from\": [{\"source\": {%s}}]}", field);
	check_half(json, "permissions", ANY);
	check_half(json, "principals", pd_arena_printf(a, "[{\"and_ids\":{\"ids\":[%s]}}]", want));
}

static void check_when(const char *key, const char *values, const char *half, const char *want)
{
	struct pd_arena *a = &fixture.arena;
	bool who = *half == 'p' && half[2] == 'i';
	check_half(pd_arena_printf(a, "{\"when\": [{\"key\": \"%s\", \"values\": [%s]}]}", key, values), half,
		   pd_arena_printf(a, who ? "[{\"and_ids\":{\"ids\":[%s]}}]" : "[{\"and_rules\":{\"rules\":[%s]}}]",
				   want));
}

// ---- fields ----------------------------------------------------------------------------------------------------------------

static void test_operations(void **state)
{
	(void)state;
	check_to("\"hosts\": [\"A.com\", \"*\"]",
		 "{\"or_rules\":{\"rules\":["
		 "{\"header\":{\"name\":\":authority\",\"string_match\":{\"exact\":\"A.com\",\"ignore_case\":true}}},"
		 "{\"header\":{\"name\":\":authority\",\"present_match\":true}}]}}");
	check_to(
		"\"methods\": [\"GET\"], \"notMethods\": [\"P*\", \"*T\"]",
		"{\"or_rules\":{\"rules\":[{\"header\":{\"name\":\":method\",\"string_match\":{\"exact\":\"GET\"}}}]}},"
		"{\"not_rule\":{\"or_rules\":{\"rules\":["
		"{\"header\":{\"name\":\":method\",\"string_match\":{\"prefix\":\"P\"}}},"
		"{\"header\":{\"name\":\":method\",\"string_match\":{\"suffix\":\"T\"}}}]}}}");
	check_to("\"paths\": [\"/a\", \"/b*\", \"*c\", \"*\"]",
		 "{\"or_rules\":{\"rules\":[{\"url_path\":{\"path\":{\"exact\":\"/a\"}}},"
		 "{\"url_path\":{\"path\":{\"prefix\":\"/b\"}}},{\"url_path\":{\"path\":{\"suffix\":\"c\"}}},"
		 "{\"url_path\":{\"path\":{\"safe_regex\":{\"regex\":\".+\"}}}}]}}");
	check_to("\"ports\": [\"80\"], \"hosts\": [\"a\"]",
		 "{\"or_rules\":{\"rules\":[{\"header\":{\"name\":\":authority\",\"string_match\":"
		 "{\"exact\":\"a\",\"ignore_case\":true}}}]}},{\"or_rules\":{\"rules\":[{\"destination_port\":80}]}}");
}

static const char *template_of(const char *path)
{
	const EnvoyRbacPolicy *p =
		translate(&http_context, true,
			  pd_arena_printf(&fixture.arena, "{\"to\": [{\"operation\": {\"paths\": [\"%s\"]}}]}", path));
	return p ? fixture_get(
			   &fixture, p,
			   "permissions/0/and_rules/rules/0/or_rules/rules/0/uri_template/typed_config/path_template")
		 : "none";
}

// A bad template would end every Envoy that gets it.
static void test_templates(void **state)
{
	(void)state;
	assert_string_equal(template_of("/users/{*}/x"), "\"/users/*/x\"");
	assert_string_equal(template_of("/files/{**}"), "\"/files/**\"");
	assert_string_equal(template_of("/{*}/{**}/x.y/"), "\"/*/**/x.y/\"");
	static const char *const bad[] = {"users/{*}", "{**}",     "/{**}/{*}", "/{**}/{**}", "/a//{*}",
					  "/a b/{*}",  "/a?b/{*}", "/{x}/{*}",  "/ä/{*}",     "/a=b/{*}"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_string_equal(template_of(bad[i]), "none");
}

#define NAME(m) "{\"authenticated\":{\"principal_name\":" m "}}"

static void test_sources(void **state)
{
	(void)state;
	check_from(
		"\"principals\": [\"td/ns/a/sa/b\", \"*\", \"*/b.c\", \"td/*\"]",
		"{\"or_ids\":{\"ids\":[" NAME("{\"exact\":\"spiffe://td/ns/a/sa/b\"}") "," NAME("{\"safe_regex\":{\"regex\":\".+\"}}") "," NAME(
			"{\"safe_regex\":{\"regex\":\"spiffe://.*/b\\\\.c\"}}") "," NAME("{\"prefix\":\"spiffe://td/\"}") "]}}");
	check_from("\"namespaces\": [\"a.b*\"]",
		   "{\"or_ids\":{\"ids\":[" NAME("{\"safe_regex\":{\"regex\":\".*/ns/a\\\\.b.*/.*\"}}") "]}}");
	check_from(
		"\"serviceAccounts\": [\"x\", \"ns/y\"]",
		"{\"or_ids\":{\"ids\":[" NAME("{\"safe_regex\":{\"regex\":\"spiffe://.+/ns/default/(.+/|)sa/x(/.+)?\"}}") "," NAME(
			"{\"safe_regex\":{\"regex\":\"spiffe://.+/ns/ns/(.+/|)sa/y(/.+)?\"}}") "]}}");
	check_from(
		"\"notTrustDomains\": [\"td\", \"*\", \"a*.b\"]",
		"{\"not_id\":{\"or_ids\":{\"ids\":[" NAME("{\"prefix\":\"spiffe://td/\"}") "," NAME(
			"{\"prefix\":\"spiffe://\"}") "," NAME("{\"safe_regex\":{\"regex\":\"spiffe://a[^/]*\\\\.b/.*\"}}") "]}}}");
	check_from("\"ipBlocks\": [\"10.1.2.3/8\"], \"notRemoteIpBlocks\": [\"fd00::1\"]",
		   "{\"not_id\":{\"or_ids\":{\"ids\":[{\"remote_ip\":{\"address_prefix\":\"fd00::1\","
		   "\"prefix_len\":128}}]}}},{\"or_ids\":{\"ids\":[{\"direct_remote_ip\":{\"address_prefix\":"
		   "\"10.1.2.3\",\"prefix_len\":8}}]}}");
}

#define CLAIM(way, value)                                                                                              \
	"{\"metadata\":{\"filter\":\"envoy.filters.http.jwt_authn\",\"path\":[{\"key\":\"payload\"}," way              \
	"],\"value\":" value "}}"
#define EXACT(text) "{\"string_match\":{\"exact\":\"" text "\"}}"
#define SOME "{\"string_match\":{\"safe_regex\":{\"regex\":\".+\"}}}"
#define IDENTITY(iss, sub)                                                                                             \
	"{\"and_ids\":{\"ids\":[" CLAIM("{\"key\":\"iss\"}", iss) "," CLAIM("{\"key\":\"sub\"}", sub) "]}}"
#define EITHER(value) "{\"or_match\":{\"value_matchers\":[{\"list_match\":{\"one_of\":" value "}}," value "]}}"

static void test_request_principals(void **state)
{
	(void)state;
	check_from("\"requestPrincipals\": [\"https://a/b/me\"]", IDENTITY(EXACT("https://a/b"), EXACT("me")));
	check_from("\"requestPrincipals\": [\"*\"]", IDENTITY(SOME, SOME));
	check_from("\"requestPrincipals\": [\"*/me\"]", IDENTITY(SOME, EXACT("me")));
	check_from("\"requestPrincipals\": [\"a/*\"]", IDENTITY(EXACT("a"), SOME));
	check_from("\"requestPrincipals\": [\"*me\"]", IDENTITY(SOME, "{\"string_match\":{\"suffix\":\"me\"}}"));
	check_from("\"requestPrincipals\": [\"a*\"]", IDENTITY("{\"string_match\":{\"prefix\":\"a\"}}", SOME));
	check_from("\"notRequestPrincipals\": [\"a/b\", \"c/d\"]",
		   "{\"not_id\":{\"or_ids\":{\"ids\":[" IDENTITY(EXACT("a"),
								 EXACT("b")) "," IDENTITY(EXACT("c"),
											  EXACT("d")) "]}}}");
}

// ---- conditions --------------------------------------------------------------------------------------------------------------

static void test_conditions(void **state)
{
	(void)state;
	check_when("source.namespace", "\"a\"", "principals",
		   "{\"or_ids\":{\"ids\":[" NAME("{\"safe_regex\":{\"regex\":\".*/ns/a/.*\"}}") "]}}");
	check_when("destination.ip", "\"10.0.0.1\"", "permissions",
		   "{\"or_rules\":{\"rules\":[{\"destination_ip\":{\"address_prefix\":\"10.0.0.1\","
		   "\"prefix_len\":32}}]}}");
	check_when("connection.sni", "\"*.a\"", "permissions",
		   "{\"or_rules\":{\"rules\":[{\"requested_server_name\":{\"suffix\":\".a\"}}]}}");
	check_when("request.headers[x-a]", "\"b\"", "principals",
		   "{\"or_ids\":{\"ids\":[{\"header\":{\"name\":\"x-a\",\"string_match\":{\"exact\":\"b\"}}}]}}");
	check_when("request.auth.claims[a][b]", "\"c\"", "principals",
		   CLAIM("{\"key\":\"a\"},{\"key\":\"b\"}", EITHER(EXACT("c"))));
	check_when("request.auth.claims[a[b]", "\"c\"", "principals", CLAIM("{\"key\":\"a[b\"}", EITHER(EXACT("c"))));
	check_when("request.auth.audiences", "\"c\"", "principals", CLAIM("{\"key\":\"aud\"}", EITHER(EXACT("c"))));
	check_when("request.auth.presenter", "\"c\", \"d\"", "principals",
		   CLAIM("{\"key\":\"azp\"}",
			 EITHER("{\"or_match\":{\"value_matchers\":[" EXACT("c") "," EXACT("d") "]}}")));
	check_when("experimental.envoy.filters.x.y[z]", "\"[a]\", \"b\"", "permissions",
		   "{\"metadata\":{\"filter\":\"envoy.filters.x.y\",\"path\":[{\"key\":\"z\"}],\"value\":{\"or_match\":"
		   "{\"value_matchers\":[{\"list_match\":{\"one_of\":" EXACT("a") "}}," EXACT("b") "]}}}}");
}

// Conditions hold for each entry of both lists.
static void test_conditions_join_entries(void **state)
{
	(void)state;
	const EnvoyRbacPolicy *p = translate(
		&http_context, true,
		"{\"from\": [{\"source\": {\"namespaces\": [\"a\"]}}, {}], \"to\": [{\"operation\": {\"ports\": [\"1\"]}},"
		" {\"operation\": {\"ports\": [\"2\"]}}], \"when\": [{\"key\": \"source.ip\", \"notValues\": [\"10.0.0.1\"]},"
		" {\"key\": \"destination.port\", \"values\": [\"3\"]}]}");
	const char *ip = "{\"not_id\":{\"or_ids\":{\"ids\":[{\"direct_remote_ip\":{\"address_prefix\":\"10.0.0.1\","
			 "\"prefix_len\":32}}]}}}";
	assert_int_equal(p->n_permissions, 2);
	assert_json(&fixture, p, "permissions/1/and_rules/rules",
		    "[{\"or_rules\":{\"rules\":[{\"destination_port\":2}]}},{\"or_rules\":{\"rules\":"
		    "[{\"destination_port\":3}]}}]");
	assert_int_equal(p->n_principals, 2);
	assert_json(&fixture, p, "principals/0/and_ids/ids/1", ip);
	assert_json(&fixture, p, "principals/1/and_ids/ids", pd_arena_printf(&fixture.arena, "[%s]", ip));
}

// ---- what cannot be expressed --------------------------------------------------------------------------------------------------

#define GET_5432 "{\"to\": [{\"operation\": {\"methods\": [\"GET\"], \"ports\": [\"5432\"]}}]}"

static void test_http_on_tcp(void **state)
{
	(void)state;
	assert_null(translate(&tcp_context, true, GET_5432)); // or GET would be allowed to whoever is allowed the port
	const EnvoyRbacPolicy *p = translate(&tcp_context, false, GET_5432);
	assert_json(&fixture, p, "permissions",
		    "[{\"and_rules\":{\"rules\":[{\"or_rules\":{\"rules\":[{\"destination_port\":5432}]}}]}}]");
	assert_null(translate(&tcp_context, true, "{\"from\": [{\"source\": {\"requestPrincipals\": [\"*\"]}}]}"));
	p = translate(&tcp_context, false, "{\"when\": [{\"key\": \"request.headers[a]\", \"notValues\": [\"b\"]}]}");
	assert_json(&fixture, p, "principals", ANYBODY);
}

static void check_meaningless(const char *json)
{
	assert_null(translate(&http_context, true, json));
	const EnvoyRbacPolicy *p = translate(&http_context, false, json);
	assert_json(&fixture, p, "permissions", ANY);
	assert_json(&fixture, p, "principals", ANYBODY);
}

static void test_values_without_meaning(void **state)
{
	(void)state;
	check_meaningless("{\"from\": [{\"source\": {\"ipBlocks\": [\"here\"]}}]}");
	check_meaningless("{\"to\": [{\"operation\": {\"ports\": [\"http\"]}}]}");
	check_meaningless("{\"to\": [{\"operation\": {\"notPorts\": [\"65536\"]}}]}");
	check_meaningless("{\"when\": [{\"key\": \"request.headers[]\", \"values\": [\"a\"]}]}");
	check_meaningless("{\"when\": [{\"key\": \"request.auth.claims[]\", \"values\": [\"a\"]}]}");
	check_meaningless("{\"when\": [{\"key\": \"request.auth.claims\", \"values\": [\"a\"]}]}");
	check_meaningless("{\"when\": [{\"key\": \"experimental.envoy.filters.a\", \"values\": [\"a\"]}]}");
	check_meaningless("{\"when\": [{\"key\": \"experimental.envoy.filters.a[]\", \"values\": [\"a\"]}]}");
	// One of several is left out of a denial.
	const EnvoyRbacPolicy *p =
		translate(&http_context, false, "{\"to\": [{\"operation\": {\"ports\": [\"x\", \"80\"]}}]}");
	assert_json(&fixture, p, "permissions/0/and_rules/rules/0/or_rules/rules", "[{\"destination_port\":80}]");
}

static void test_unknown_key(void **state)
{
	(void)state;
	assert_null(translate(&http_context, true, "{\"when\": [{\"key\": \"source.mood\", \"values\": [\"a\"]}]}"));
	assert_null(translate(&http_context, false, "{\"when\": [{\"key\": \"source.mood\", \"values\": [\"a\"]}]}"));
}

static void test_empty_and_never(void **state)
{
	(void)state;
	check_half("{}", "permissions", ANY);
	check_half("{}", "principals", ANYBODY);
	assert_string_equal(
		fixture_json(&fixture, pd_authz_never(&fixture.arena)),
		"{\"permissions\":[{\"not_rule\":{\"any\":true}}],\"principals\":[{\"not_id\":{\"any\":true}}]}");
}

// Where TLS ends before the proxy, the identity is handed on beside the connection.
static void test_peer_in_filter_state(void **state)
{
	(void)state;
	struct authz_context c = http_context;
	c.peer_in_state = true;
	const EnvoyRbacPolicy *p = translate(&c, true, "{\"from\": [{\"source\": {\"principals\": [\"a\"]}}]}");
	assert_json(
		&fixture, p, "principals/0/and_ids/ids/0/or_ids/ids/0",
		"{\"filter_state\":{\"key\":\"io.istio.peer_principal\",\"string_match\":{\"exact\":\"spiffe://a\"}}}");
}

// ---- trust domains -------------------------------------------------------------------------------------------------------------

static void check_expansion(const char *principal, const char *want)
{
	static const char *const names[] = {"new", "old-td", "other-td"};
	const struct pd_trust_domains domains = {3, names};
	char *v[] = {(char *)principal};
	struct pd_texts got = pd_trust_expand_principals(&fixture.arena, &domains, v, 1);
	struct pd_buf all = {0};
	for (size_t i = 0; i < got.n; i++)
		pd_buf_printf(&all, "%s%s", i ? " " : "", got.v[i]);
	assert_string_equal(all.p, want);
	pd_buf_free(&all);
}

static void test_trust_domains(void **state)
{
	(void)state;
	check_expansion("old-td/ns/a/sa/b", "new/ns/a/sa/b old-td/ns/a/sa/b other-td/ns/a/sa/b");
	check_expansion("cluster.local/ns/a/sa/b", "new/ns/a/sa/b old-td/ns/a/sa/b other-td/ns/a/sa/b");
	check_expansion("*-td/ns/a/sa/b", "new/ns/a/sa/b *-td/ns/a/sa/b");
	check_expansion("foreign/ns/a/sa/b", "foreign/ns/a/sa/b");
	check_expansion("*/ns/a/sa/b", "*/ns/a/sa/b");
	check_expansion("*", "*");
	check_expansion("old-td/ns/a/*", "old-td/ns/a/*");
	static const char *const names[] = {"new", "old"};
	const struct pd_trust_domains domains = {2, names};
	char *v[] = {"old", "x", "new"};
	struct pd_texts got = pd_trust_expand_domains(&fixture.arena, &domains, v, 3);
	assert_int_equal(got.n, 3);
	assert_string_equal(got.v[0], "new");
	assert_string_equal(got.v[1], "old");
	assert_string_equal(got.v[2], "x");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_operations),
		cmocka_unit_test(test_templates),
		cmocka_unit_test(test_sources),
		cmocka_unit_test(test_request_principals),
		cmocka_unit_test(test_conditions),
		cmocka_unit_test(test_conditions_join_entries),
		cmocka_unit_test(test_http_on_tcp),
		cmocka_unit_test(test_values_without_meaning),
		cmocka_unit_test(test_unknown_key),
		cmocka_unit_test(test_empty_and_never),
		cmocka_unit_test(test_peer_in_filter_state),
		cmocka_unit_test(test_trust_domains),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
