// Tokens of an OpenID Connect provider: rules, where the keys come from, rotation, and a provider that does not answer.
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/http.h"
#include "ca/key.h"
#include "ca/oidc.h"
#include "tests/unit/ca/auth_outcome.h"
#include "tests/unit/ca/jwt_maker.h"

#define ACCEPTED "spiffe://td/ns/ns/sa/sa"

// ---- a provider --------------------------------------------------------------------------------------------------------

static struct pd_http *web;
static char issuer[64];
static struct {
	pthread_mutex_t lock;
	char *keys;   // what /keys answers; NULL = 500
	char *config; // what the configuration answers
	int served;   // answers with keys, or with 500
} provider = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void serve_keys(const struct pd_http_request *r, struct pd_http_response *out, void *arg)
{
	(void)r, (void)arg;
	pthread_mutex_lock(&provider.lock);
	provider.served++;
	if (provider.keys)
		pd_buf_adds(&out->body, provider.keys);
	else
		pd_http_error(out, 500, "out of order");
	pthread_mutex_unlock(&provider.lock);
}

static void serve_config(const struct pd_http_request *r, struct pd_http_response *out, void *arg)
{
	(void)r, (void)arg;
	pthread_mutex_lock(&provider.lock);
	pd_buf_adds(&out->body, provider.config);
	pthread_mutex_unlock(&provider.lock);
}

static const struct pd_http_route routes[] = {
	{.path = "/keys", .handler = serve_keys},
	{.path = "/.well-known/openid-configuration", .handler = serve_config},
};

// Takes both; NULL leaves the configuration as it is.
static void publish(char *keys, char *config)
{
	pthread_mutex_lock(&provider.lock);
	free(provider.keys);
	provider.keys = keys;
	if (config) {
		free(provider.config);
		provider.config = config;
	}
	pthread_mutex_unlock(&provider.lock);
}

static int served(void)
{
	int n;

	pthread_mutex_lock(&provider.lock);
	n = provider.served;
	pthread_mutex_unlock(&provider.lock);
	return n;
}

static EVP_PKEY *key, *next_key;
static struct pd_trust *trust;
static struct pd_fetcher *fetcher;

static char *key_set(const EVP_PKEY *k, const char *kid)
{
	return jwks_close(jwk_add(NULL, k, kid, "ES256", NULL));
}

static int setup(void **state)
{
	struct pd_buf err = {0};
	(void)state;

	unsetenv("http_proxy");
	unsetenv("all_proxy");
	unsetenv("ALL_PROXY");
	web = pd_http_new(&(struct pd_http_options){.name = "web", .address = "127.0.0.1:0"});
	pd_http_add_routes(web, routes, sizeof(routes) / sizeof(routes[0]), NULL);
	assert_int_equal(pd_http_start(web, &err), PD_OK);
	snprintf(issuer, sizeof(issuer), "http://127.0.0.1:%u", pd_http_port(web));
	key = pd_key_generate(PD_KEY_P256, 0);
	next_key = pd_key_generate(PD_KEY_P256, 0);
	trust = pd_trust_new("td", NULL, 0);
	fetcher = pd_fetcher_new(&(struct pd_fetch_options){.timeout_ms = 5000, .files = true});
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	pd_fetcher_free(&fetcher);
	pd_http_free(&web);
	publish(NULL, pd_xstrdup(""));
	free(provider.config);
	EVP_PKEY_free(key);
	EVP_PKEY_free(next_key);
	pd_trust_free(&trust);
	return 0;
}

static int begin_test(void **state)
{
	(void)state;
	publish(key_set(key, "k1"), pd_xasprintf("{\"issuer\":\"%s\",\"jwks_uri\":\"%s/keys\"}", issuer, issuer));
	pthread_mutex_lock(&provider.lock);
	provider.served = 0;
	pthread_mutex_unlock(&provider.lock);
	return 0;
}

// An authenticator with a rule of these members beside issuer and audiences.
static struct pd_authenticator oidc(const char *members, uint64_t reload_ms)
{
	char *json = pd_xasprintf("{\"issuer\":\"%s\",\"audiences\":[\"istio-ca\"]%s}", issuer, members);
	struct pd_oidc_config c = {.fetcher = fetcher, .trust = trust, .reload_ms = reload_ms};
	struct pd_authenticator a = {0};
	struct pd_buf err = {0};

	if (pd_oidc_rule_parse(json, &c.rule, &err) != PD_OK || pd_oidc_new(&c, &a, &err) != PD_OK)
		fail_msg("%s", err.p);
	free(json);
	return a;
}

static struct pd_authenticator oidc_by_uri(uint64_t reload_ms)
{
	char *member = pd_xasprintf(",\"jwks_uri\":\"%s/keys\"", issuer);
	struct pd_authenticator a = oidc(member, reload_ms);

	free(member);
	return a;
}

// A token for this subject and audience that ends in an hour.
static char *token_for(EVP_PKEY *k, const char *kid, const char *sub, const char *aud)
{
	long long now = pd_wall_ns() / 1000000000;
	char *claims = pd_xasprintf("{\"iss\":\"%s\",\"aud\":\"%s\",\"sub\":\"%s\",\"exp\":%lld}", issuer, aud, sub,
				    now + 3600);
	char *t = jwt_sign("ES256", k, kid, claims);

	free(claims);
	return t;
}

static char *token(EVP_PKEY *k, const char *kid)
{
	return token_for(k, kid, "system:serviceaccount:ns:sa", "istio-ca");
}

// Takes the token.
static void expect(const struct pd_authenticator *a, char *t, const char *want)
{
	assert_string_equal(auth_ask(a, &(struct auth_ask){.bearer = t}), want);
	free(t);
}

// ---- rules -------------------------------------------------------------------------------------------------------------

static void test_rule(void **state)
{
	static const struct {
		const char *json;
		int code;
		const char *why;
	} bad[] = {
		{"", PD_E_PARSE, "line 1"},
		{"[]", PD_E_PARSE, "not an object"},
		{"{\"issuer\":\"https://a\"}", PD_E_INVALID, "\"audiences\" must name"},
		{"{\"issuer\":\"https://a\",\"audiences\":[]}", PD_E_INVALID, "\"audiences\" must name"},
		{"{\"issuer\":\"https://a\",\"audiences\":[1]}", PD_E_INVALID, "an audience is not a string"},
		{"{\"issuer\":7,\"audiences\":[\"a\"]}", PD_E_INVALID, "\"issuer\" is not a string"},
		{"{\"audiences\":[\"a\"]}", PD_E_INVALID, "\"issuer\" is missing"},
		{"{\"issuer\":\"accounts\",\"audiences\":[\"a\"]}", PD_E_INVALID, "\"issuer\" is not an URL"},
		{"{\"issuer\":\"a\",\"jwksUri\":\"ftp://x\",\"audiences\":[\"a\"]}", PD_E_INVALID,
		 "\"jwksUri\" is not"},
	};
	struct pd_oidc_rule r;
	struct pd_buf err = {0};
	char *huge = pd_xcalloc(1, PD_OIDC_RULE_MAX + 2);
	(void)state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		pd_buf_reset(&err);
		assert_int_equal(pd_oidc_rule_parse(bad[i].json, &r, &err), bad[i].code);
		assert_non_null(strstr(err.p, bad[i].why));
		assert_null(r.issuer);
	}
	memset(huge, ' ', PD_OIDC_RULE_MAX + 1);
	assert_int_equal(pd_oidc_rule_parse(huge, &r, &err), PD_E_LIMIT);
	free(huge);
	assert_int_equal(pd_oidc_rule_parse("{\"issuer\":\"accounts\",\"jwksUri\":\"file:///x\",\"fromHeaders\":[],"
					    "\"audiences\":[\"a\",\"b\"]}",
					    &r, &err),
			 PD_OK);
	assert_string_equal(r.issuer, "accounts");
	assert_string_equal(r.jwks_uri, "file:///x");
	assert_int_equal(r.audiences.n, 2);
	pd_oidc_rule_free(&r);
	pd_buf_free(&err);
}

// ---- tokens ------------------------------------------------------------------------------------------------------------

static void test_tokens(void **state)
{
	struct pd_authenticator a = oidc_by_uri(60000);
	char *t;
	(void)state;

	expect(&a, token(key, "k1"), ACCEPTED);
	expect(&a, token(key, NULL), ACCEPTED);
	expect(&a, token_for(key, "k1", "system:serviceaccount:ns:sa", "other"),
	       "refused: the token is for the audience \"other\", not for us");
	expect(&a, token_for(key, "k1", "alice", "istio-ca"), "refused: the token's subject is not a service account");
	expect(&a, token_for(key, "k1", "system:serviceaccount:ns:sa/../x", "istio-ca"),
	       "refused: the token's subject is not a service account");
	expect(&a, token(next_key, "k1"), "refused: the token's signature is wrong");
	expect(&a, jwt_sign("ES256", key, "k1", "{\"iss\":\"https://elsewhere\"}"),
	       "refused: the token's issuer is \"https://elsewhere\"");
	expect(&a, pd_xstrdup("not-a-token"), "refused: the token is malformed: it does not have three parts");
	assert_string_equal(auth_ask(&a, &(struct auth_ask){.cert_pem = "x"}), "none: no bearer token");
	t = token(key, "k1");
	memcpy(strrchr(t, '.'), "\0", 1); // without its signature
	expect(&a, t, "refused: the token is malformed: it does not have three parts");
	assert_int_equal(served(), 1);
	a.free(a.self);
}

static void test_configuration(void **state)
{
	struct pd_authenticator a = oidc("", 60000);
	(void)state;

	expect(&a, token(key, "k1"), ACCEPTED);
	a.free(a.self);
	// One that speaks for somebody else is not believed.
	publish(key_set(key, "k1"), pd_xasprintf("{\"issuer\":\"https://x\",\"jwks_uri\":\"%s/keys\"}", issuer));
	a = oidc("", 60000);
	expect(&a, token(key, "k1"), "unknown: the provider's keys could not be loaded");
	a.free(a.self);
	publish(key_set(key, "k1"), pd_xstrdup("<html>"));
	a = oidc("", 60000);
	expect(&a, token(key, "k1"), "unknown: the provider's keys could not be loaded");
	a.free(a.self);
}

static void test_file_and_inline(void **state)
{
	char path[] = "/tmp/pd-jwks-XXXXXX", *member, *quoted;
	char *set = key_set(key, "k1");
	struct pd_authenticator a;
	struct pd_buf text = {0};
	int fd = mkstemp(path);
	(void)state;

	assert_true(fd >= 0 && write(fd, set, strlen(set)) == (ssize_t)strlen(set));
	close(fd);
	member = pd_xasprintf(",\"jwksUri\":\"file://%s\"", path);
	a = oidc(member, 60000);
	expect(&a, token(key, "k1"), ACCEPTED);
	a.free(a.self);
	unlink(path);
	free(member);

	pd_buf_json(&text, set);
	quoted = pd_xasprintf(",\"jwks\":%s", text.p);
	a = oidc(quoted, 60000);
	expect(&a, token(key, "k1"), ACCEPTED);
	expect(&a, token(next_key, "k2"), "refused: no ES256 key with the id \"k2\" is known");
	a.free(a.self);
	pd_buf_free(&text);
	free(quoted);
	free(set);
	assert_int_equal(served(), 0);
}

// ---- rotation ----------------------------------------------------------------------------------------------------------

static void test_rotation(void **state)
{
	struct pd_authenticator a = oidc_by_uri(200);
	uint64_t start;
	(void)state;

	start = pd_now_ms();
	expect(&a, token(key, "k1"), ACCEPTED);
	publish(key_set(next_key, "k2"), NULL);
	expect(&a, token(next_key, "k2"), ACCEPTED); // at once
	assert_int_equal(served(), 2);
	expect(&a, token(key, "k1"), "refused: no ES256 key with the id \"k1\" is known"); // too soon to ask again
	for (int i = 0; i < 100; i++)
		expect(&a, token(key, "made-up"), "refused: no ES256 key with the id \"made-up\" is known");
	assert_true((uint64_t)served() <= 2 + (pd_now_ms() - start) / 200);
	for (start = pd_now_ms(); pd_now_ms() < start + 250;)
		usleep(1000);
	publish(key_set(key, "k3"), NULL);
	expect(&a, token(key, "k3"), ACCEPTED);
	a.free(a.self);
}

// The last good keys stay in force while the provider is out of order.
static void test_outage(void **state)
{
	struct pd_authenticator a = oidc_by_uri(1);
	(void)state;

	expect(&a, token(key, "k1"), ACCEPTED);
	publish(NULL, NULL);
	usleep(2000);
	expect(&a, token(next_key, "k2"), "refused: no ES256 key with the id \"k2\" is known");
	assert_int_equal(served(), 2);
	expect(&a, token(key, "k1"), ACCEPTED);
	publish(pd_xstrdup("{\"keys\":[]}"), NULL);
	usleep(2000);
	expect(&a, token(next_key, "k2"), "refused: no ES256 key with the id \"k2\" is known");
	expect(&a, token(key, "k1"), ACCEPTED);
	a.free(a.self);
}

static void test_never_reachable(void **state)
{
	struct pd_authenticator a = oidc(",\"jwks_uri\":\"http://127.0.0.1:1/keys\"", 60000);
	(void)state;

	expect(&a, token(key, "k1"), "unknown: the provider's keys could not be loaded");
	expect(&a, jwt_make("none", NULL, NULL, "{\"alg\":\"none\"}", "{}"), "refused: the token's issuer is \"\"");
	a.free(a.self);
	a = oidc(",\"jwks_uri\":\"file:///nowhere/keys\"", 60000); // freed while it tries
	a.free(a.self);
}

// Callers that come while the first load is under way all get their answer from it.
static void test_many_at_once(void **state)
{
	enum { N = 200 };
	struct auth_outcome *o = pd_xcalloc(N, sizeof(*o));
	struct pd_authenticator a;
	char *good = token(key, "k1"), *bad = token(next_key, "k1");
	(void)state;

	a = oidc_by_uri(60000);
	for (int i = 0; i < N; i++)
		auth_begin(&a, &(struct auth_ask){.bearer = i % 2 ? good : bad}, &o[i]);
	for (int i = 0; i < N; i++) {
		auth_wait(&o[i]);
		assert_string_equal(o[i].identity, i % 2 ? ACCEPTED : "");
		auth_end(&o[i]);
	}
	assert_int_equal(served(), 1);
	a.free(a.self);
	free(good);
	free(bad);
	free(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rule),
		cmocka_unit_test_setup(test_tokens, begin_test),
		cmocka_unit_test_setup(test_configuration, begin_test),
		cmocka_unit_test_setup(test_file_and_inline, begin_test),
		cmocka_unit_test_setup(test_rotation, begin_test),
		cmocka_unit_test_setup(test_outage, begin_test),
		cmocka_unit_test_setup(test_never_reachable, begin_test),
		cmocka_unit_test_setup(test_many_at_once, begin_test),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
