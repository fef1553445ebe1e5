// SubjectAccessReviews against a server: what is asked, and what becomes of the answers.
#include "k8s/access_review.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "client_rig.h"
#include "http_server.h"

struct rig {
	char *dir;
	struct hs *server;
	struct pd_k8s_client *client;
	struct pd_k8s_access_reviewer *reviewer;
	struct rig_log served, said; // requests; answers
};

// About account "yes" it says yes, about "no" no; "rot" gets no JSON, all others an error.
static void serve(struct hs_conn *c, const struct hs_request *r, void *arg)
{
	struct rig *rig = arg;

	if (strstr(r->body, ":yes\""))
		hs_json(c, 201, "{\"kind\":\"SubjectAccessReview\",\"status\":{\"allowed\":true}}");
	else if (strstr(r->body, ":no\""))
		hs_json(c, 201, "{\"kind\":\"SubjectAccessReview\",\"status\":{\"allowed\":false,\"denied\":true}}");
	else if (strstr(r->body, ":rot\""))
		hs_json(c, 201, "{");
	else
		hs_json(c, 403, "{\"kind\":\"Status\",\"code\":403,\"message\":\"you may not ask\"}");
	rig_note(&rig->served, "%s %s %s;", r->method, r->path, r->body);
}

static void answered(void *arg, const char *ns, const char *account, bool allowed)
{
	rig_note(arg, "%s/%s %s;", ns, account, allowed ? "may" : "may not");
}

static void test_answers(void **state)
{
	struct rig r = {0};

	(void)state;
	rig_log_init(&r.served);
	rig_log_init(&r.said);
	r.dir = rig_dir();
	r.server = hs_start(NULL, serve, &r);
	r.client = rig_client(r.dir, hs_port(r.server), "token: own");
	r.reviewer = pd_k8s_access_reviewer_new(r.client, answered, &r.said);
	pd_k8s_review_access(r.reviewer, "edge", "yes");
	rig_wait(&r.said, "edge/yes may;");
	rig_wait(
		&r.served,
		"POST /apis/authorization.k8s.io/v1/subjectaccessreviews {\"apiVersion\":\"authorization.k8s.io/v1\","
		"\"kind\":\"SubjectAccessReview\",\"spec\":{\"resourceAttributes\":{\"verb\":\"list\",\"resource\":\"secrets\","
		"\"namespace\":\"edge\"},\"user\":\"system:serviceaccount:edge:yes\",\"groups\":[\"system:serviceaccounts\","
		"\"system:serviceaccounts:edge\"]}};");
	pd_k8s_review_access(r.reviewer, "edge", "no");
	rig_wait(&r.said, "edge/no may not;");
	// Where there is no answer nobody is told: who wants to know asks again.
	pd_k8s_review_access(r.reviewer, "edge", "rot");
	pd_k8s_review_access(r.reviewer, "edge", "other");
	rig_wait(&r.served, ":rot\"");
	rig_wait(&r.served, ":other\"");
	pd_k8s_client_free(&r.client);
	assert_int_equal(rig_count(&r.said, "edge/"), 2);
	pd_k8s_access_reviewer_free(&r.reviewer);
	assert_null(r.reviewer);
	hs_stop(&r.server);
	rig_dir_free(&r.dir);
	rig_log_free(&r.served);
	rig_log_free(&r.said);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
	};

	if (pd_log_set_levels("none"))
		return 1;
	return cmocka_run_group_tests_name("access_review", tests, NULL, NULL);
}
