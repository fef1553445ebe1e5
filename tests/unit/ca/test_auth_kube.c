// Tokens that an API server reviews: what it must say, what is remembered, and what nobody ever sees in a reason.
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
#include "base/metrics.h"
#include "ca/auth_kube.h"
#include "ca/key.h"
#include "tests/unit/ca/auth_outcome.h"
#include "tests/unit/ca/jwt_maker.h"

// An API server: answers at once with `answer`, or keeps the question until `release`.
struct api {
	struct pd_token_review answer;
	int asked;
	char cluster[64], audience[64];
	bool later;
	pd_token_reviewed done;
	void *arg;
};

static void review(void *self, const char *cluster, const char *token, const char *const *audiences, size_t n,
		   pd_token_reviewed done, void *arg)
{
	struct api *a = self;

	assert_true(*token);
	assert_int_equal(n, 1);
	a->asked++;
	snprintf(a->cluster, sizeof(a->cluster), "%s", cluster ? cluster : "(own)");
	snprintf(a->audience, sizeof(a->audience), "%s", audiences[0]);
	a->done = done;
	a->arg = arg;
	if (!a->later)
		done(&a->answer, arg);
}

static const char *const groups[] = {"system:authenticated", "system:serviceaccounts", "system:serviceaccounts:ns"};
static const char *const audience[] = {"istio-ca"};
static const struct pd_token_review good = {
	.authenticated = true,
	.username = "system:serviceaccount:ns:sa",
	.groups = groups,
	.n_groups = 3,
	.audiences = audience,
	.n_audiences = 1,
	.pod_name = "pod-1",
	.pod_uid = "uid-1",
	.node_name = "node-1",
};

static struct api api;
static struct pd_trust *trust;
static struct pd_authenticator kube;

static void begin(int64_t cache_ms)
{
	static const char *const aliases[] = {"alias"};

	api = (struct api){.answer = good};
	trust = pd_trust_new("td", NULL, 0);
	kube = pd_auth_kube(&(struct pd_auth_kube_config){.reviewer = {review, &api},
							  .trust = trust,
							  .audiences = audience,
							  .n_audiences = 1,
							  .cluster = "Kubernetes",
							  .cluster_aliases = aliases,
							  .n_cluster_aliases = 1,
							  .cache_ms = cache_ms});
}

static int end(void **state)
{
	(void)state;
	kube.free(kube.self);
	pd_trust_free(&trust);
	return 0;
}

static const char *ask(const char *token, const char *cluster)
{
	return auth_ask(&kube, &(struct auth_ask){.bearer = token, .cluster = cluster});
}

static void test_accepted(void **state)
{
	struct auth_outcome o;
	(void)state;

	begin(0);
	auth_begin(&kube, &(struct auth_ask){.bearer = "t"}, &o);
	auth_wait(&o);
	assert_string_equal(o.identity, "spiffe://td/ns/ns/sa/sa");
	assert_string_equal(o.caller->authenticator, "KubernetesJWT");
	assert_string_equal(o.caller->namespace_, "ns");
	assert_string_equal(o.caller->service_account, "sa");
	assert_string_equal(o.caller->pod_name, "pod-1");
	assert_string_equal(o.caller->pod_uid, "uid-1");
	assert_string_equal(o.caller->node_name, "node-1");
	assert_string_equal(o.caller->cluster, "Kubernetes");
	assert_string_equal(api.audience, "istio-ca");
	auth_end(&o);
}

static void expect_refused(const struct pd_token_review *r, const char *why)
{
	api.answer = *r;
	assert_string_equal(ask("secret-token", NULL), why);
	assert_null(strstr(why, "secret-token"));
}

static void test_refused(void **state)
{
	struct pd_token_review r;
	(void)state;

	begin(0);
	assert_string_equal(ask(NULL, NULL), "none: no bearer token");
	r = good;
	r.authenticated = false;
	expect_refused(&r, "refused: the API server does not accept the token");
	r.text = "token has expired";
	expect_refused(&r, "refused: the API server does not accept the token: token has expired");
	r = good;
	r.n_groups = 1;
	expect_refused(&r, "refused: the token is not of a service account");
	r = good;
	r.n_audiences = 0;
	expect_refused(&r, "refused: the API server does not say that the token is for us");
	r = good;
	r.audiences = groups;
	expect_refused(&r, "refused: the API server does not say that the token is for us");
	for (int i = 0; i < 7; i++) {
		static const char *const names[] = {"alice",
						    "system:serviceaccount:ns",
						    "system:serviceaccount:ns:",
						    "system:serviceaccount::sa",
						    "system:serviceaccount:a:b:c",
						    "system:serviceaccount:a/../b:c",
						    NULL};

		r = good;
		r.username = names[i];
		expect_refused(&r, "refused: the API server's user name is not that of a service account");
	}
	expect_refused(&(struct pd_token_review){.err = PD_E_TIMEOUT, .text = "no answer"},
		       "unknown: the API server could not be asked: no answer");
	expect_refused(&(struct pd_token_review){0}, "refused: the API server does not accept the token");
	// None of that was remembered.
	api.answer = good;
	assert_string_equal(ask("secret-token", NULL), "spiffe://td/ns/ns/sa/sa");
}

static void test_huge_token(void **state)
{
	char *huge = pd_xcalloc(1, PD_AUTH_KUBE_TOKEN_MAX + 2);
	(void)state;

	begin(0);
	memset(huge, 'x', PD_AUTH_KUBE_TOKEN_MAX + 1);
	assert_string_equal(ask(huge, NULL), "refused: the token is too large");
	assert_int_equal(api.asked, 0);
	huge[PD_AUTH_KUBE_TOKEN_MAX] = '\0';
	assert_string_equal(ask(huge, NULL), "spiffe://td/ns/ns/sa/sa");
	free(huge);
}

static void test_clusters(void **state)
{
	(void)state;

	begin(-1);
	assert_string_equal(ask("t", "alias"), "spiffe://td/ns/ns/sa/sa");
	assert_string_equal(api.cluster, "(own)");
	assert_string_equal(ask("t", ""), "spiffe://td/ns/ns/sa/sa");
	assert_string_equal(api.cluster, "(own)");
	assert_string_equal(ask("t", "remote-1"), "spiffe://td/ns/ns/sa/sa");
	assert_string_equal(api.cluster, "remote-1");
	api.answer.err = PD_E_NOTFOUND;
	assert_string_equal(ask("t", "elsewhere"), "refused: the cluster \"elsewhere\" is not known");
}

static void test_remembered(void **state)
{
	(void)state;

	begin(60000);
	assert_string_equal(ask("t1", NULL), "spiffe://td/ns/ns/sa/sa");
	assert_string_equal(ask("t1", NULL), "spiffe://td/ns/ns/sa/sa");
	assert_string_equal(ask("t1", "Kubernetes"), "spiffe://td/ns/ns/sa/sa");
	assert_int_equal(api.asked, 1);
	ask("t2", NULL);
	assert_int_equal(api.asked, 2);
	ask("t1", "remote"); // the same bytes elsewhere are another token
	assert_int_equal(api.asked, 3);
}

static void test_forgotten(void **state)
{
	uint64_t start;
	(void)state;

	begin(50);
	ask("t", NULL);
	for (start = pd_now_ms(); pd_now_ms() < start + 60;)
		usleep(1000);
	ask("t", NULL);
	assert_int_equal(api.asked, 2);
	end(state);
	begin(-1);
	ask("t", NULL);
	ask("t", NULL);
	assert_int_equal(api.asked, 2);
}

// A token is not remembered beyond its own end.
static void test_not_beyond_expiry(void **state)
{
	EVP_PKEY *key = pd_key_generate(PD_KEY_P256, 0);
	int64_t now = pd_wall_ns() / 1000000000;
	char *claims, *token;
	(void)state;

	begin(60000);
	claims = pd_xasprintf("{\"exp\":%lld}", (long long)now);
	token = jwt_sign("ES256", key, NULL, claims);
	ask(token, NULL);
	ask(token, NULL);
	assert_int_equal(api.asked, 2);
	free(claims);
	free(token);
	claims = pd_xasprintf("{\"exp\":%lld}", (long long)now + 3600);
	token = jwt_sign("ES256", key, NULL, claims);
	ask(token, NULL);
	ask(token, NULL);
	assert_int_equal(api.asked, 3);
	free(claims);
	free(token);
	EVP_PKEY_free(key);
}

// More tokens than are remembered: memory is bounded, all of them are answered.
static void test_many(void **state)
{
	char token[32];
	(void)state;

	begin(60000);
	for (int i = 0; i < PD_AUTH_KUBE_CACHE_ENTRIES * 2; i++) {
		snprintf(token, sizeof(token), "t%d", i);
		assert_string_equal(ask(token, NULL), "spiffe://td/ns/ns/sa/sa");
	}
	assert_int_equal(api.asked, PD_AUTH_KUBE_CACHE_ENTRIES * 2);
	ask(token, NULL);
	assert_int_equal(api.asked, PD_AUTH_KUBE_CACHE_ENTRIES * 2); // the last one is
}

static void test_answers_later(void **state)
{
	struct auth_outcome o;
	(void)state;

	begin(0);
	api.later = true;
	auth_begin(&kube, &(struct auth_ask){.bearer = "t"}, &o);
	assert_int_equal(o.times, 0);
	api.done(&api.answer, api.arg);
	auth_wait(&o);
	assert_string_equal(o.identity, "spiffe://td/ns/ns/sa/sa");
	auth_end(&o);
}

static void test_counted(void **state)
{
	struct pd_buf text = {0};
	(void)state;

	begin(0);
	pd_auth_register_metrics();
	api.answer.authenticated = false;
	ask("t", NULL);
	ask(NULL, NULL); // no credential is no refusal
	pd_metrics_write(&text);
	assert_non_null(strstr(text.p, "pilotd_authentication_refused_total{authenticator=\"KubernetesJWT\","
				       "reason=\"not_authenticated\"}"));
	assert_null(strstr(text.p, "reason=\"none\""));
	pd_buf_free(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_accepted, end),          cmocka_unit_test_teardown(test_refused, end),
		cmocka_unit_test_teardown(test_huge_token, end),        cmocka_unit_test_teardown(test_clusters, end),
		cmocka_unit_test_teardown(test_remembered, end),        cmocka_unit_test_teardown(test_forgotten, end),
		cmocka_unit_test_teardown(test_not_beyond_expiry, end), cmocka_unit_test_teardown(test_many, end),
		cmocka_unit_test_teardown(test_answers_later, end),     cmocka_unit_test_teardown(test_counted, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
