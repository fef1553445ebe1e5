// TokenReviews against a server: what is asked, what is read of the answer, and servers that do not answer.
#include "k8s/token_review.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client_rig.h"
#include "http_server.h"

struct rig {
	char *dir;
	struct hs *server;
	struct pd_k8s_client *client;
	struct pd_k8s_reviewer *reviewer;
	struct rig_log served, said; // requests; answers
	const char *answer;          // of the server; NULL = silence
};

static void serve(struct hs_conn *c, const struct hs_request *r, void *arg)
{
	struct rig *rig = arg;

	rig_note(&rig->served, "%s %s %s;", r->method, r->path, r->body);
	if (rig->answer)
		hs_json(c, strncmp(rig->answer, "{\"kind\":\"Status\"", 16) == 0 ? 403 : 201, "%s", rig->answer);
	else
		hs_wait_gone(c);
}

static void begin(struct rig *r, const char *answer)
{
	memset(r, 0, sizeof(*r));
	r->answer = answer;
	rig_log_init(&r->served);
	rig_log_init(&r->said);
	r->dir = rig_dir();
	r->server = hs_start(NULL, serve, r);
	r->client = rig_client(r->dir, hs_port(r->server), "token: own");
	r->reviewer = pd_k8s_reviewer_new(r->client, "c1");
}

static void end(struct rig *r)
{
	pd_k8s_client_free(&r->client);
	pd_k8s_reviewer_free(&r->reviewer);
	hs_stop(&r->server);
	rig_dir_free(&r->dir);
	rig_log_free(&r->served);
	rig_log_free(&r->said);
}

static void reviewed(const struct pd_token_review *v, void *arg)
{
	struct pd_buf b = {0};

	pd_buf_printf(&b, "err %d auth %d user %s groups", v->err, v->authenticated, pd_or(v->username, "-"));
	for (size_t i = 0; i < v->n_groups; i++)
		pd_buf_printf(&b, " %s", v->groups[i]);
	pd_buf_adds(&b, " aud");
	for (size_t i = 0; i < v->n_audiences; i++)
		pd_buf_printf(&b, " %s", v->audiences[i]);
	rig_note(arg, "%s pod %s %s node %s text %s;", b.p, pd_or(v->pod_name, "-"), pd_or(v->pod_uid, "-"),
		 pd_or(v->node_name, "-"), pd_or(v->text, "-"));
	pd_buf_free(&b);
}

static void ask(struct rig *r, const char *cluster, const char *token)
{
	static const char *const audiences[] = {"istio-ca", "x\"y"};
	struct pd_token_reviewer i = pd_k8s_reviewer_interface(r->reviewer);

	i.review(i.self, cluster, token, audiences, 2, reviewed, &r->said);
}

#define EMPTY " auth 0 user - groups aud pod - - node - text "

static void test_accepted(void **state)
{
	struct rig r;
	(void)state;

	begin(&r, "{\"kind\":\"TokenReview\",\"spec\":{\"token\":\"t\"},\"status\":{\"authenticated\":true,"
		  "\"user\":{\"username\":\"system:serviceaccount:ns:sa\",\"groups\":[\"g1\",\"g2\",7],"
		  "\"extra\":{\"authentication.kubernetes.io/pod-name\":[\"p\"],"
		  "\"authentication.kubernetes.io/pod-uid\":[\"u\"],"
		  "\"authentication.kubernetes.io/node-name\":[\"n\"]}},\"audiences\":[\"istio-ca\"]}}");
	ask(&r, NULL, "to\"ken\n");
	rig_wait(&r.said,
		 "err 0 auth 1 user system:serviceaccount:ns:sa groups g1 g2 aud istio-ca pod p u node n text -;");
	rig_wait(&r.served, "POST /apis/authentication.k8s.io/v1/tokenreviews "
			    "{\"apiVersion\":\"authentication.k8s.io/v1\",\"kind\":\"TokenReview\",\"spec\":"
			    "{\"token\":\"to\\\"ken\\n\",\"audiences\":[\"istio-ca\",\"x\\\"y\"]}};");
	ask(&r, "c1", "t");
	rig_wait_times(&r.said, "err 0 auth 1", 2);
	ask(&r, "c2", "t");
	rig_wait(&r.said, "err -5" EMPTY "-;");
	assert_int_equal(rig_count(&r.served, "POST"), 2);
	end(&r);
}

static void test_other_answers(void **state)
{
	static const struct {
		const char *answer, *want;
	} table[] = {
		{"{\"status\":{\"error\":\"[invalid bearer token]\"}}", "err 0" EMPTY "[invalid bearer token];"},
		{"{}", "err 0" EMPTY "-;"},
		{"{\"status\":{\"authenticated\":\"true\",\"user\":7,\"audiences\":{}}}", "err 0" EMPTY "-;"},
		{"{\"status\":{\"user\":{\"extra\":{\"authentication.kubernetes.io/pod-name\":[]}}}}",
		 "err 0" EMPTY "-;"},
		{"<html>", "err -3" EMPTY "its answer cannot be read;"},
		{"{\"kind\":\"Status\",\"reason\":\"Forbidden\",\"message\":\"may not\"}", "err -10" EMPTY "may not;"},
	};
	(void)state;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct rig r;

		begin(&r, table[i].answer);
		ask(&r, NULL, "t");
		rig_wait(&r.said, table[i].want);
		end(&r);
	}
}

static void test_many_groups(void **state)
{
	struct pd_buf b = {0};
	struct rig r;
	(void)state;

	pd_buf_adds(&b, "{\"status\":{\"user\":{\"groups\":[\"first\"");
	for (int i = 0; i < PD_TOKEN_REVIEW_ITEMS_MAX; i++)
		pd_buf_adds(&b, ",\"more\"");
	pd_buf_adds(&b, "]}}}");
	begin(&r, b.p);
	ask(&r, NULL, "t");
	rig_wait(&r.said, " text -;");
	assert_int_equal(rig_count(&r.said, " more"), PD_TOKEN_REVIEW_ITEMS_MAX - 1);
	end(&r);
	pd_buf_free(&b);
}

// Every question is answered: beyond the limit at once, the others when the client shuts down.
static void test_silent_server(void **state)
{
	struct rig r;
	(void)state;

	begin(&r, NULL);
	for (int i = 0; i < PD_TOKEN_REVIEWS_MAX; i++)
		ask(&r, NULL, "t");
	assert_int_equal(rig_count(&r.said, ";"), 0);
	ask(&r, NULL, "t");
	rig_wait(&r.said, "err -4" EMPTY "too many questions are open;");
	pd_k8s_client_free(&r.client);
	assert_int_equal(rig_count(&r.said, "err -8"), PD_TOKEN_REVIEWS_MAX);
	end(&r);
}

static void test_timeout(void **state)
{
	struct rig r;
	(void)state;

	begin(&r, NULL);
	ask(&r, NULL, "t");
	rig_wait(&r.said, "err -9" EMPTY);
	assert_int_equal(rig_count(&r.said, ";"), 1);
	end(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accepted),    cmocka_unit_test(test_other_answers),
		cmocka_unit_test(test_many_groups), cmocka_unit_test(test_silent_server),
		cmocka_unit_test(test_timeout),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
