// The state-of-the-world protocol, rule by rule.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "tests/unit/xds/rig.h"

static struct rig r;

static int setup(void **state)
{
	(void)state;
	rig_open(&r, false);
	rig_config(&r, "CDS a=1 b=1 EDS a=1 b=1 LDS l=1 RDS r=1 s=1 ECDS x=1");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	rig_close(&r);
	return 0;
}

static void ok(int rc)
{
	assert_int_equal(rc, PD_OK);
}

static void test_wildcard(void **state)
{
	(void)state;
	rig_expect(&r, "");
	ok(rig_sotw(&r, PD_CDS, "", "", NULL));
	assert_int_equal(r.kind, PD_REQ_SUBSCRIBE);
	rig_expect(&r, "CDS{a=1,b=1}");
	ok(rig_ack(&r, PD_CDS));
	assert_int_equal(r.kind, PD_REQ_ACK);
	rig_expect(&r, "");
	rig_config(&r, "CDS b=2");
	rig_expect(&r, "CDS{a=1,b=2}");
	ok(rig_ack(&r, PD_CDS));
	rig_config(&r, "CDS a");
	rig_expect(&r, "CDS{b=2}");
}

static void test_empty_wildcard_is_answered(void **state)
{
	(void)state;
	ok(rig_sotw(&r, PD_NDS, "", "", NULL));
	rig_expect(&r, "NDS{}");
}

static void test_nothing_new_sends_nothing(void **state)
{
	(void)state;
	ok(rig_sotw(&r, PD_CDS, "", "", NULL));
	ok(rig_sotw(&r, PD_EDS, "a b", "", NULL));
	rig_expect(&r, "CDS{a=1,b=1} EDS{a=1,b=1}");
	ok(rig_ack(&r, PD_CDS));
	ok(rig_ack(&r, PD_EDS));
	fake_touch_all(r.engine);
	rig_expect(&r, "");
	assert_false(pd_session_has_work(&r.s));
	rig_config(&r, "CDS a=1 EDS b=1");
	rig_expect(&r, "");
}

static void test_one_in_flight_and_collapse(void **state)
{
	(void)state;
	ok(rig_sotw(&r, PD_CDS, "", "", NULL));
	rig_expect(&r, "CDS{a=1,b=1}");
	rig_config(&r, "CDS a=2");
	rig_expect(&r, "");
	rig_config(&r, "CDS a=3 b=3");
	rig_expect(&r, "");
	assert_int_equal(pd_session_blocked(&r.s), 1u << PD_CDS);
	ok(rig_ack(&r, PD_CDS));
	assert_true(pd_session_has_work(&r.s));
	rig_expect(&r, "CDS{a=3,b=3}");
	rig_config(&r, "CDS a=4");
	rig_expect(&r, "");
	rig_config(&r, "CDS a=3"); // back to what the client has
	ok(rig_ack(&r, PD_CDS));
	rig_expect(&r, "");
}

static void test_give_up_ack(void **state)
{
	(void)state;
	ok(rig_sotw(&r, PD_CDS, "", "", NULL));
	rig_expect(&r, "CDS{a=1,b=1}");
	rig_config(&r, "CDS a=2");
	rig_expect(&r, "");
	pd_session_give_up_ack(&r.s, PD_CDS);
	assert_true(pd_session_has_work(&r.s));
	rig_expect(&r, "CDS{a=2,b=1}");
}

static void test_stale_nonce(void **state)
{
	char first[PD_NONCE_TEXT];

	(void)state;
	ok(rig_sotw(&r, PD_EDS, "a", "", NULL));
	rig_expect(&r, "EDS{a=1}");
	memcpy(first, r.nonce[PD_EDS], sizeof(first));
	ok(rig_ack(&r, PD_EDS));
	rig_config(&r, "EDS a=2");
	rig_expect(&r, "EDS{a=2}");
	ok(rig_sotw(&r, PD_EDS, "a b", first, NULL));
	assert_int_equal(r.kind, PD_REQ_STALE);
	rig_expect(&r, "");
	ok(rig_sotw(&r, PD_EDS, "a b", "no-such-nonce", NULL));
	assert_int_equal(r.kind, PD_REQ_STALE);
	rig_expect(&r, "");
	assert_true(r.s.watch[PD_EDS]->in_flight);
	ok(rig_sotw(&r, PD_EDS, "a b", NULL, NULL));
	rig_expect(&r, "EDS{b=1}");
}

static void test_nack(void **state)
{
	(void)state;
	ok(rig_sotw(&r, PD_CDS, "", "", NULL));
	rig_expect(&r, "CDS{a=1,b=1}");
	ok(rig_sotw(&r, PD_CDS, "", NULL, "no such thing"));
	assert_int_equal(r.kind, PD_REQ_NACK);
	assert_string_equal(r.s.watch[PD_CDS]->error, "no such thing");
	assert_int_equal(r.s.watch[PD_CDS]->nonce_acked, 0);
	rig_expect(&r, "");
	fake_touch_all(r.engine);
	rig_expect(&r, "");
	rig_config(&r, "CDS a=2");
	rig_expect(&r, "CDS{a=2,b=1}");
	ok(rig_ack(&r, PD_CDS));
	assert_null(r.s.watch[PD_CDS]->error);
	assert_true(r.s.watch[PD_CDS]->nonce_acked == r.s.watch[PD_CDS]->nonce_sent);
}

static void test_nack_without_watch(void **state)
{
	(void)state;
	ok(rig_sotw(&r, PD_CDS, "", "", "strange"));
	assert_int_equal(r.kind, PD_REQ_NACK);
	rig_expect(&r, "");
}

static void test_nack_with_added_names(void **state)
{
	(void)state;
	ok(rig_sotw(&r, PD_RDS, "r", "", NULL));
	rig_expect(&r, "RDS{r=1}");
	ok(rig_sotw(&r, PD_RDS, "r s", NULL, "bad"));
	rig_expect(&r, "RDS{s=1}");
}

static void test_no_names_ends_watch(void **state)
{
	static const enum pd_type named[] = {PD_EDS, PD_RDS, PD_ECDS, PD_SDS};

	(void)state;
	for (size_t i = 0; i < sizeof(named) / sizeof(*named); i++) {
		ok(rig_sotw(&r, named[i], "", "", NULL));
		assert_int_equal(r.kind, PD_REQ_UNSUBSCRIBE);
		assert_null(r.s.watch[named[i]]);
	}
	ok(rig_sotw(&r, PD_EDS, "a", "", NULL));
	rig_expect(&r, "EDS{a=1}");
	ok(rig_sotw(&r, PD_EDS, "", NULL, NULL));
	rig_config(&r, "EDS a=2");
	rig_expect(&r, "");
	ok(rig_sotw(&r, PD_EDS, "a", NULL, NULL)); // the old nonce, but the watch is unknown: it begins again
	rig_expect(&r, "EDS{a=2}");
}

static void test_added_and_removed_names(void **state)
{
	(void)state;
	ok(rig_sotw(&r, PD_EDS, "a", "", NULL));
	rig_expect(&r, "EDS{a=1}");
	ok(rig_sotw(&r, PD_EDS, "a b", NULL, NULL));
	assert_int_equal(r.kind, PD_REQ_SUBSCRIBE);
	rig_expect(&r, "EDS{b=1}");
	ok(rig_sotw(&r, PD_EDS, "b", NULL, NULL));
	assert_int_equal(r.kind, PD_REQ_UNSUBSCRIBE);
	rig_expect(&r, "");
	rig_config(&r, "EDS a=2");
	rig_expect(&r, "");
	rig_config(&r, "EDS b=2");
	rig_expect(&r, "EDS{b=2}");
}

static void test_partial_push(void **state)
{
	(void)state;
	ok(rig_sotw(&r, PD_EDS, "a b", "", NULL));
	ok(rig_sotw(&r, PD_RDS, "r s", "", NULL));
	rig_expect(&r, "EDS{a=1,b=1} RDS{r=1,s=1}");
	ok(rig_ack(&r, PD_EDS));
	ok(rig_ack(&r, PD_RDS));
	rig_config(&r, "EDS b=2 RDS s=2");
	rig_expect(&r, "EDS{b=2} RDS{s=2}");
}

static void test_unknown_names(void **state)
{
	(void)state;
	ok(rig_sotw(&r, PD_EDS, "nobody", "", NULL));
	ok(rig_sotw(&r, PD_RDS, "nobody", "", NULL));
	ok(rig_sotw(&r, PD_ECDS, "nobody", "", NULL));
	ok(rig_sotw(&r, PD_SDS, "nobody", "", NULL));
	rig_expect(&r, "EDS{nobody=} RDS{nobody=}");
	rig_config(&r, "SDS nobody=1");
	rig_expect(&r, "SDS{nobody=1}");
}

static void test_many_names(void **state)
{
	struct pd_buf names = {0};

	(void)state;
	for (int i = 0; i < PD_WATCH_TODO_MAX + 20; i++)
		pd_buf_printf(&names, "n%03d ", i);
	ok(rig_sotw(&r, PD_EDS, "a b", "", NULL));
	rig_expect(&r, "EDS{a=1,b=1}");
	pd_buf_addc(&names, 'a');
	ok(rig_sotw(&r, PD_EDS, names.p, NULL, NULL));
	pd_buf_free(&names);
	assert_int_equal(strncmp(rig_pass(&r), "EDS{n000=,n001=,", 16), 0);
	assert_null(strstr(r.text, "a=1"));
	ok(rig_ack(&r, PD_EDS));
	for (int i = 0; i < PD_WATCH_TODO_MAX + 20; i++) {
		char change[32];

		snprintf(change, sizeof(change), "EDS n%03d=%d", i, i);
		rig_config(&r, change);
	}
	assert_true(strlen(rig_pass(&r)) > 10 * PD_WATCH_TODO_MAX / 2);
	assert_null(strstr(r.text, "a=1"));
}

static void test_order(void **state)
{
	(void)state;
	ok(rig_sotw(&r, PD_ECDS, "x", "", NULL));
	ok(rig_sotw(&r, PD_RDS, "r", "", NULL));
	ok(rig_sotw(&r, PD_LDS, "", "", NULL));
	ok(rig_sotw(&r, PD_EDS, "a", "", NULL));
	ok(rig_sotw(&r, PD_CDS, "", "", NULL));
	rig_expect(&r, "CDS{a=1,b=1} EDS{a=1} LDS{l=1} RDS{r=1} ECDS{x=1}");
}

static void subscribe_all(void)
{
	ok(rig_sotw(&r, PD_CDS, "", "", NULL));
	ok(rig_sotw(&r, PD_EDS, "a b", "", NULL));
	ok(rig_sotw(&r, PD_LDS, "", "", NULL));
	ok(rig_sotw(&r, PD_RDS, "r", "", NULL));
	rig_expect(&r, "CDS{a=1,b=1} EDS{a=1,b=1} LDS{l=1} RDS{r=1}");
	for (enum pd_type t = PD_CDS; t <= PD_RDS; t++)
		ok(rig_ack(&r, t));
	rig_expect(&r, "");
}

static void test_warming(void **state)
{
	(void)state;
	subscribe_all();
	rig_config(&r, "CDS a=2");
	rig_expect(&r, "CDS{a=2,b=1} EDS{a=1}"); // only the changed cluster's
	ok(rig_ack(&r, PD_CDS));
	// The endpoints are on their way: those of a further changed cluster follow when they are acknowledged.
	rig_config(&r, "CDS b=2");
	rig_expect(&r, "CDS{a=2,b=2}");
	ok(rig_ack(&r, PD_EDS));
	rig_expect(&r, "EDS{b=1}");
	ok(rig_ack(&r, PD_EDS));
	rig_expect(&r, "");
}

static void test_removed_clusters_go_last(void **state)
{
	(void)state;
	subscribe_all();
	rig_config(&r, "CDS a RDS r=2");
	rig_expect(&r, "RDS{r=2} CDS{b=1}");
	ok(rig_ack(&r, PD_CDS));
	ok(rig_ack(&r, PD_RDS));
	// Added and removed at once: both, and when that is acknowledged routes, and the new ones alone.
	rig_config(&r, "CDS b c=1 RDS r=3");
	rig_expect(&r, "CDS{c=1,b=1}");
	rig_expect(&r, "");
	ok(rig_ack(&r, PD_CDS));
	rig_expect(&r, "RDS{r=3} CDS{c=1}");
	ok(rig_ack(&r, PD_RDS));
	ok(rig_ack(&r, PD_CDS));
	rig_expect(&r, "");
	// Nothing else changes: at once.
	rig_config(&r, "CDS c d=1");
	rig_expect(&r, "CDS{d=1}");
}

static void test_removed_clusters_wait_for_routes_in_flight(void **state)
{
	(void)state;
	subscribe_all();
	rig_config(&r, "RDS r=2");
	rig_expect(&r, "RDS{r=2}");
	rig_config(&r, "CDS a RDS r=3");
	rig_expect(&r, "");
	ok(rig_ack(&r, PD_RDS));
	rig_expect(&r, "RDS{r=3} CDS{b=1}");
}

static void test_a_leaving_cluster_comes_back(void **state)
{
	(void)state;
	subscribe_all();
	rig_config(&r, "CDS a c=1 RDS r=2");
	rig_expect(&r, "CDS{b=1,c=1,a=1}");
	rig_config(&r, "CDS a=1");
	ok(rig_ack(&r, PD_CDS));
	rig_expect(&r, "CDS{a=1,b=1,c=1} EDS{a=1}");
	ok(rig_ack(&r, PD_CDS));
	rig_expect(&r, "RDS{r=2}");
}

static void test_routes_wait_for_blocked_clusters(void **state)
{
	(void)state;
	subscribe_all();
	rig_config(&r, "CDS c=1");
	rig_expect(&r, "CDS{a=1,b=1,c=1}");
	rig_config(&r, "CDS d=1 RDS r=2 EDS a=2");
	rig_expect(&r, "EDS{a=2}"); // endpoints wait for nobody
	ok(rig_ack(&r, PD_CDS));
	rig_expect(&r, "CDS{a=1,b=1,c=1,d=1}");
	rig_config(&r, "RDS r=3"); // clusters are in flight, with nothing new to follow: not yet all the same
	fake_touch_all(r.engine);
	rig_expect(&r, "");
	ok(rig_ack(&r, PD_CDS));
	rig_expect(&r, "RDS{r=3}");
}

static void test_one_generation(void **state)
{
	unsigned long before;

	(void)state;
	ok(rig_sotw(&r, PD_CDS, "", "", NULL));
	before = fake_lookups(r.engine);
	fake_move_during(r.engine, 2);
	rig_expect(&r, "CDS{a=1,b=1}");
	assert_true(fake_lookups(r.engine) - before >= 2);
	ok(rig_ack(&r, PD_CDS));
	before = fake_lookups(r.engine);
	fake_move_during(r.engine, 1000);
	fake_touch_all(r.engine);
	rig_expect(&r, "");
	assert_int_equal(fake_lookups(r.engine) - before, PD_PASS_ATTEMPTS);
}

static void test_versions_depend_on_content_only(void **state)
{
	char eds[17], cds[17];

	(void)state;
	ok(rig_sotw(&r, PD_EDS, "b a", "", NULL));
	ok(rig_sotw(&r, PD_CDS, "", "", NULL));
	rig_pass(&r);
	memcpy(eds, r.version[PD_EDS], sizeof(eds));
	memcpy(cds, r.version[PD_CDS], sizeof(cds));
	rig_reconnect(&r);
	ok(rig_sotw(&r, PD_EDS, "a", "", NULL));
	rig_pass(&r);
	ok(rig_sotw(&r, PD_EDS, "a b", NULL, NULL));
	ok(rig_sotw(&r, PD_CDS, "", "", NULL));
	rig_expect(&r, "CDS{a=1,b=1} EDS{a=1,b=1}"); // clusters are new to this stream: their endpoints again
	assert_string_equal(r.version[PD_EDS], eds);
	assert_string_equal(r.version[PD_CDS], cds);
	ok(rig_ack(&r, PD_EDS));
	rig_config(&r, "EDS a=2");
	rig_expect(&r, "EDS{a=2}");
	assert_string_not_equal(r.version[PD_EDS], eds);
	ok(rig_ack(&r, PD_EDS));
	rig_config(&r, "EDS a=1");
	rig_expect(&r, "EDS{a=1}");
	assert_string_equal(r.version[PD_EDS], eds);
}

static void test_begin_again_without_nonce(void **state)
{
	(void)state;
	ok(rig_sotw(&r, PD_EDS, "a", "", NULL));
	rig_expect(&r, "EDS{a=1}");
	ok(rig_sotw(&r, PD_EDS, "a b", "", NULL));
	rig_expect(&r, "EDS{a=1,b=1}");
}

static void test_names_of_a_wildcard_type(void **state)
{
	(void)state;
	ok(rig_sotw(&r, PD_CDS, "a", "", NULL));
	rig_expect(&r, "CDS{a=1,b=1}");
	ok(rig_sotw(&r, PD_CDS, "a", NULL, NULL));
	rig_expect(&r, "");
	ok(rig_sotw(&r, PD_CDS, "b", NULL, NULL));
	rig_expect(&r, "CDS{a=1,b=1}");
}

static void test_ignored_type(void **state)
{
	struct pd_request req = {.type = PD_TYPE_COUNT};

	(void)state;
	assert_int_equal(pd_session_request(&r.s, &req, &r.kind, &r.err), PD_OK);
	assert_int_equal(r.kind, PD_REQ_IGNORED);
	rig_expect(&r, "");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_wildcard),
		T(test_empty_wildcard_is_answered),
		T(test_nothing_new_sends_nothing),
		T(test_one_in_flight_and_collapse),
		T(test_give_up_ack),
		T(test_stale_nonce),
		T(test_nack),
		T(test_nack_without_watch),
		T(test_nack_with_added_names),
		T(test_no_names_ends_watch),
		T(test_added_and_removed_names),
		T(test_partial_push),
		T(test_unknown_names),
		T(test_many_names),
		T(test_order),
		T(test_warming),
		T(test_removed_clusters_go_last),
		T(test_removed_clusters_wait_for_routes_in_flight),
		T(test_a_leaving_cluster_comes_back),
		T(test_routes_wait_for_blocked_clusters),
		T(test_one_generation),
		T(test_versions_depend_on_content_only),
		T(test_begin_again_without_nonce),
		T(test_names_of_a_wildcard_type),
		T(test_ignored_type),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
