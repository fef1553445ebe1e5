// Callers and bearer tokens.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "ca/auth.h"

static void test_subjects(void **state)
{
	static const char *const bad[] = {"",
					  "system:serviceaccount",
					  "system:serviceaccount:",
					  "system:serviceaccount:ns",
					  "system:serviceaccount:ns:",
					  "system:serviceaccount::sa",
					  "system:serviceaccount:a:b:c",
					  "system:serviceaccount:a b:c",
					  "system:node:n1",
					  "x system:serviceaccount:a:b"};
	struct pd_caller *c = pd_caller_of_subject("T", "td", "system:serviceaccount:ns:sa.x");
	char longest[400];
	(void)state;

	assert_string_equal(c->identities.v[0], "spiffe://td/ns/ns/sa/sa.x");
	assert_string_equal(c->namespace_, "ns");
	assert_string_equal(c->service_account, "sa.x");
	pd_caller_free(&c);
	assert_null(c);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_null(pd_caller_of_subject("T", "td", bad[i]));
	assert_null(pd_caller_of_subject("T", "TD", "system:serviceaccount:ns:sa"));
	memset(longest, 'a', sizeof(longest));
	memcpy(longest, "system:serviceaccount:ns:", 25);
	longest[sizeof(longest) - 1] = '\0';
	assert_null(pd_caller_of_subject("T", "td", longest));
}

static void test_copy(void **state)
{
	struct pd_caller *a = pd_caller_of_account("T", "td", "ns", "sa"), *b;
	(void)state;

	pd_vec_push(&a->identities, pd_xstrdup("second"));
	a->cluster = pd_xstrdup("c");
	a->pod_name = pd_xstrdup("p");
	a->pod_uid = pd_xstrdup("u");
	a->node_name = pd_xstrdup("n");
	b = pd_caller_copy(a);
	pd_caller_free(&a);
	assert_string_equal(b->authenticator, "T");
	assert_int_equal(b->identities.n, 2);
	assert_string_equal(b->identities.v[1], "second");
	assert_string_equal(b->namespace_, "ns");
	assert_string_equal(b->service_account, "sa");
	assert_string_equal(b->cluster, "c");
	assert_string_equal(b->pod_name, "p");
	assert_string_equal(b->pod_uid, "u");
	assert_string_equal(b->node_name, "n");
	pd_caller_free(&b);
}

static void test_bearer(void **state)
{
	static const struct {
		const char *header, *token;
	} table[] = {{"Bearer t", "t"}, {"bearer t.u", "t.u"}, {"BEARER  t", "t"}, {"Bearer ", NULL},
		     {"Bearer", NULL},  {"Bearert", NULL},     {"Basic t", NULL},  {"", NULL}};
	const struct pd_rpc_peer nobody = {0};
	(void)state;

	assert_null(pd_auth_bearer(&nobody));
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const struct pd_rpc_header headers[] = {{"x", "Bearer x"}, {"authorization", table[i].header}};
		const struct pd_rpc_peer peer = {.headers = headers, .n_headers = 2};

		assert_true(pd_streq(pd_auth_bearer(&peer), table[i].token));
		assert_int_equal(!pd_auth_bearer(&peer), !table[i].token);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_subjects),
		cmocka_unit_test(test_copy),
		cmocka_unit_test(test_bearer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
