// The incremental protocol, rule by rule.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/xds/rig.h"

static struct rig r;

static int setup(void **state)
{
	(void)state;
	rig_open(&r, true);
	rig_config(&r, "CDS a=1 b=1 EDS a=1 b=1 LDS l=1 RDS r=1 s=1 ECDS x=1 SDS k=1");
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

static void test_legacy_wildcard(void **state)
{
	(void)state;
	ok(rig_delta(&r, PD_CDS, "", "", ""));
	assert_int_equal(r.kind, PD_REQ_SUBSCRIBE);
	rig_expect(&r, "CDS{a=1,b=1}");
	ok(rig_ack(&r, PD_CDS));
	assert_int_equal(r.kind, PD_REQ_ACK);
	rig_expect(&r, "");
	rig_config(&r, "CDS b=2 c=1 a");
	rig_expect(&r, "CDS{b=2,c=1,-a}");
	ok(rig_ack(&r, PD_CDS));
	fake_touch_all(r.engine);
	rig_expect(&r, "");
}

static void test_explicit_wildcard(void **state)
{
	(void)state;
	ok(rig_delta(&r, PD_CDS, "*", "", ""));
	rig_expect(&r, "CDS{a=1,b=1}");
}

static void test_star_and_unstar_means_nothing_yet(void **state)
{
	(void)state;
	ok(rig_delta(&r, PD_CDS, "*", "*", ""));
	rig_expect(&r, "");
	rig_config(&r, "CDS a=2");
	rig_expect(&r, "");
	ok(rig_delta(&r, PD_CDS, "a", "", ""));
	rig_expect(&r, "CDS{a=2}");
	rig_config(&r, "CDS b=2");
	ok(rig_ack(&r, PD_CDS));
	rig_expect(&r, "");
}

static void test_empty_wildcard(void **state)
{
	(void)state;
	ok(rig_delta(&r, PD_NDS, "", "", ""));
	rig_expect(&r, "NDS{}"); // Envoy waits for it
	ok(rig_ack(&r, PD_NDS));
	rig_expect(&r, "");
}

static void test_reconnect_up_to_date(void **state)
{
	(void)state;
	ok(rig_delta(&r, PD_CDS, "", "", "b=1 a=1"));
	assert_int_equal(r.s.watch[PD_CDS]->n_initial, 0); // recognised as a whole
	ok(rig_delta(&r, PD_EDS, "a b", "", "a=1 b=1"));
	rig_expect(&r, "");
	assert_false(r.s.watch[PD_CDS]->in_flight);
	rig_config(&r, "CDS a=2");
	rig_expect(&r, "CDS{a=2} EDS{a=1}");
}

static void test_reconnect_with_differences(void **state)
{
	(void)state;
	ok(rig_delta(&r, PD_CDS, "*", "", "a=1 b=0 gone=1"));
	ok(rig_delta(&r, PD_LDS, "*", "", "l=1 old=1"));
	ok(rig_delta(&r, PD_EDS, "a b nobody", "", "a=1 b=0"));
	rig_expect(&r, "CDS{b=1} EDS{b=1,nobody=}");
	ok(rig_ack(&r, PD_CDS));
	rig_expect(&r, "LDS{-old} CDS{-gone}"); // first the listeners, then what they referred to
}

static void test_initial_versions_are_subscriptions(void **state)
{
	(void)state;
	ok(rig_delta(&r, PD_EDS, "a", "", "b=1"));
	rig_expect(&r, "EDS{a=1}");
	ok(rig_ack(&r, PD_EDS));
	rig_config(&r, "EDS b=2");
	rig_expect(&r, "EDS{b=2}");
}

static void test_subscribe_unsubscribe(void **state)
{
	(void)state;
	ok(rig_delta(&r, PD_EDS, "a", "", ""));
	rig_expect(&r, "EDS{a=1}");
	ok(rig_ack(&r, PD_EDS));
	ok(rig_delta(&r, PD_EDS, "b", "a", ""));
	assert_int_equal(r.kind, PD_REQ_SUBSCRIBE);
	rig_expect(&r, "EDS{b=1}");
	ok(rig_ack(&r, PD_EDS));
	rig_config(&r, "EDS a=2");
	rig_expect(&r, "");
	ok(rig_delta(&r, PD_EDS, "", "b", ""));
	assert_int_equal(r.kind, PD_REQ_UNSUBSCRIBE);
	rig_expect(&r, "");
	rig_config(&r, "EDS b=2");
	rig_expect(&r, "");
	ok(rig_delta(&r, PD_EDS, "a", "", "")); // an empty subscription is not a first request
	rig_expect(&r, "EDS{a=2}");
}

static void test_subscribe_again(void **state)
{
	(void)state;
	ok(rig_delta(&r, PD_EDS, "a b", "", ""));
	ok(rig_delta(&r, PD_CDS, "*", "", ""));
	rig_expect(&r, "CDS{a=1,b=1} EDS{a=1,b=1}");
	ok(rig_ack(&r, PD_EDS));
	ok(rig_ack(&r, PD_CDS));
	ok(rig_delta(&r, PD_EDS, "b", "", "")); // it has it, and gets it
	rig_expect(&r, "EDS{b=1}");
	ok(rig_delta(&r, PD_CDS, "a nobody", "", ""));
	rig_expect(&r, "CDS{a=1,-nobody}");
}

static void test_subscribe_while_in_flight(void **state)
{
	(void)state;
	ok(rig_delta(&r, PD_EDS, "a", "", ""));
	rig_expect(&r, "EDS{a=1}");
	ok(rig_delta(&r, PD_EDS, "b", "", ""));
	rig_expect(&r, "");
	rig_config(&r, "EDS a=2");
	ok(rig_ack(&r, PD_EDS));
	assert_true(pd_session_has_work(&r.s));
	rig_expect(&r, "EDS{b=1,a=2}");
}

static void test_stale_nonce_keeps_subscription(void **state)
{
	(void)state;
	ok(rig_delta(&r, PD_EDS, "a", "", ""));
	rig_expect(&r, "EDS{a=1}");
	ok(rig_delta_ack(&r, PD_EDS, "no-such-nonce", NULL));
	assert_int_equal(r.kind, PD_REQ_STALE);
	assert_true(r.s.watch[PD_EDS]->in_flight);
	rig_expect(&r, "");
}

static void test_nack(void **state)
{
	(void)state;
	ok(rig_delta(&r, PD_CDS, "*", "", ""));
	rig_expect(&r, "CDS{a=1,b=1}");
	ok(rig_delta_ack(&r, PD_CDS, NULL, "b is bad"));
	assert_int_equal(r.kind, PD_REQ_NACK);
	assert_string_equal(r.s.watch[PD_CDS]->error, "b is bad");
	fake_touch_all(r.engine);
	rig_expect(&r, "");
	rig_config(&r, "CDS a=2");
	rig_expect(&r, "CDS{a=2}");
}

static void test_unknown_names(void **state)
{
	(void)state;
	ok(rig_delta(&r, PD_EDS, "n", "", ""));
	ok(rig_delta(&r, PD_RDS, "n", "", ""));
	ok(rig_delta(&r, PD_SDS, "n", "", ""));
	ok(rig_delta(&r, PD_ECDS, "n", "", ""));
	rig_expect(&r, "EDS{n=} RDS{n=} SDS{-n}");
	ok(rig_ack(&r, PD_SDS));
	fake_touch_all(r.engine);
	rig_expect(&r, "");
	rig_config(&r, "SDS n=1 ECDS n=1");
	rig_expect(&r, "ECDS{n=1} SDS{n=1}");
	ok(rig_ack(&r, PD_SDS));
	ok(rig_ack(&r, PD_ECDS));
	rig_config(&r, "SDS n ECDS n");
	rig_expect(&r, "SDS{-n}"); // an extension is never removed
}

static void test_clusters_by_name(void **state)
{
	(void)state;
	ok(rig_delta(&r, PD_CDS, "a nobody", "", ""));
	ok(rig_delta(&r, PD_EDS, "a", "", ""));
	rig_expect(&r, "CDS{a=1,-nobody} EDS{a=1}");
	ok(rig_ack(&r, PD_CDS));
	ok(rig_ack(&r, PD_EDS));
	rig_config(&r, "CDS b=2 nobody=1");
	rig_expect(&r, "CDS{nobody=1}");
	ok(rig_ack(&r, PD_CDS));
	rig_config(&r, "CDS a=2");
	rig_expect(&r, "CDS{a=2} EDS{a=1}"); // it warms: its endpoints again
	ok(rig_ack(&r, PD_CDS));
	rig_config(&r, "CDS a");
	rig_expect(&r, "CDS{-a}");
}

static void test_wildcard_beside_names(void **state)
{
	(void)state;
	ok(rig_delta(&r, PD_CDS, "* a nobody", "", ""));
	rig_expect(&r, "CDS{a=1,b=1,-nobody}");
	ok(rig_ack(&r, PD_CDS));
	// Without the wildcard the names stay.
	ok(rig_delta(&r, PD_CDS, "", "*", ""));
	rig_expect(&r, "");
	rig_config(&r, "CDS b=2");
	rig_expect(&r, "");
	rig_config(&r, "CDS a=2 nobody=1");
	rig_expect(&r, "CDS{a=2,nobody=1}");
	ok(rig_ack(&r, PD_CDS));
	// And back: it gets what it lacks.
	ok(rig_delta(&r, PD_CDS, "*", "", ""));
	rig_expect(&r, "CDS{b=2}");
}

static void test_unsubscribe_name_under_wildcard(void **state)
{
	(void)state;
	ok(rig_delta(&r, PD_CDS, "* a nobody", "", ""));
	rig_expect(&r, "CDS{a=1,b=1,-nobody}");
	ok(rig_ack(&r, PD_CDS));
	ok(rig_delta(&r, PD_CDS, "", "a nobody", ""));
	rig_expect(&r, "CDS{a=1,-nobody}"); // the client cannot know whether * covers it
}

static void test_reconnect_wildcard_beside_names(void **state)
{
	(void)state;
	ok(rig_delta(&r, PD_CDS, "* a", "", "a=1 b=1"));
	rig_expect(&r, "");
	ok(rig_delta(&r, PD_CDS, "", "*", ""));
	rig_config(&r, "CDS b=2");
	rig_expect(&r, "");
}

static void subscribe_all(void)
{
	ok(rig_delta(&r, PD_CDS, "*", "", ""));
	ok(rig_delta(&r, PD_EDS, "a b", "", ""));
	ok(rig_delta(&r, PD_LDS, "*", "", ""));
	ok(rig_delta(&r, PD_RDS, "r", "", ""));
	rig_expect(&r, "CDS{a=1,b=1} EDS{a=1,b=1} LDS{l=1} RDS{r=1}");
	for (enum pd_type t = PD_CDS; t <= PD_RDS; t++)
		ok(rig_ack(&r, t));
}

static void test_removed_clusters_go_last(void **state)
{
	(void)state;
	subscribe_all();
	rig_config(&r, "CDS a RDS r=2");
	rig_expect(&r, "RDS{r=2} CDS{-a}");
	ok(rig_ack(&r, PD_CDS));
	ok(rig_ack(&r, PD_RDS));
	rig_config(&r, "CDS b c=1 RDS r=3");
	rig_expect(&r, "CDS{c=1}");
	ok(rig_ack(&r, PD_CDS));
	rig_expect(&r, "RDS{r=3} CDS{-b}");
	ok(rig_ack(&r, PD_CDS));
	ok(rig_ack(&r, PD_RDS));
	rig_expect(&r, "");
	rig_config(&r, "CDS c d=1"); // nothing refers to them: at once
	rig_expect(&r, "CDS{d=1,-c}");
}

static void test_removed_clusters_wait_for_listeners_in_flight(void **state)
{
	(void)state;
	subscribe_all();
	rig_config(&r, "LDS l=2");
	rig_expect(&r, "LDS{l=2}");
	rig_config(&r, "CDS a LDS l=3");
	rig_expect(&r, "");
	rig_config(&r, "CDS a=1"); // it comes back before it went
	ok(rig_ack(&r, PD_LDS));
	rig_expect(&r, "CDS{a=1} EDS{a=1}");
	ok(rig_ack(&r, PD_CDS));
	rig_expect(&r, "LDS{l=3}");
}

static void test_listeners_and_routes_wait_until_new_clusters_are_acknowledged(void **state)
{
	(void)state;
	subscribe_all();
	rig_config(&r, "CDS c=1 EDS b=2 LDS l=2 RDS r=2");
	rig_expect(&r, "CDS{c=1} EDS{b=2}"); // endpoints wait for nobody
	assert_int_equal(pd_session_blocked(&r.s), 1u << PD_CDS);
	rig_expect(&r, "");
	ok(rig_delta(&r, PD_RDS, "s", "", "")); // more names of a running subscription wait too
	rig_expect(&r, "");
	ok(rig_ack(&r, PD_CDS));
	assert_int_equal(pd_session_blocked(&r.s), 0);
	rig_expect(&r, "LDS{l=2} RDS{r=2,s=1}");
	ok(rig_ack(&r, PD_LDS));
	ok(rig_ack(&r, PD_RDS));
	// A refusal is an answer too.
	rig_config(&r, "CDS d=1 RDS r=3");
	rig_expect(&r, "CDS{d=1}");
	ok(rig_delta_ack(&r, PD_CDS, NULL, "d is bad"));
	rig_expect(&r, "RDS{r=3}");
	ok(rig_ack(&r, PD_RDS));
	// With endpoints, or with no clusters, on their way nothing waits.
	rig_config(&r, "RDS r=4");
	rig_expect(&r, "RDS{r=4}");
}

static void test_first_subscriptions_do_not_wait(void **state)
{
	(void)state;
	ok(rig_delta(&r, PD_CDS, "*", "", ""));
	rig_expect(&r, "CDS{a=1,b=1}");
	ok(rig_delta(&r, PD_LDS, "*", "", ""));
	ok(rig_delta(&r, PD_RDS, "r", "", ""));
	rig_expect(&r, "LDS{l=1} RDS{r=1}");
}

static void test_an_acknowledgement_that_never_comes(void **state)
{
	(void)state;
	subscribe_all();
	rig_config(&r, "CDS c=1 RDS r=2");
	rig_expect(&r, "CDS{c=1}");
	rig_config(&r, "CDS d=1");
	rig_expect(&r, "");
	pd_session_give_up_ack(&r.s, PD_CDS);
	rig_expect(&r, "CDS{d=1} RDS{r=2}"); // and not once more for d
}

static void test_clusters_that_change_all_the_time(void **state)
{
	char change[32], want[64];

	(void)state;
	subscribe_all();
	for (int i = 1; i <= PD_HELD_MAX; i++) {
		snprintf(change, sizeof(change), "CDS c=%d RDS r=%d", i, i + 1);
		snprintf(want, sizeof(want), "CDS{c=%d}", i);
		rig_config(&r, change);
		rig_expect(&r, want);
		ok(rig_ack(&r, PD_CDS));
		// It has changed again before the pass that the acknowledgement causes.
	}
	rig_config(&r, "CDS c=99 RDS r=99");
	rig_expect(&r, "CDS{c=99} RDS{r=99}");
	ok(rig_ack(&r, PD_CDS));
	ok(rig_ack(&r, PD_RDS));
	rig_config(&r, "CDS c=100 RDS r=100"); // and then they wait again
	rig_expect(&r, "CDS{c=100}");
}

static void test_warming(void **state)
{
	(void)state;
	subscribe_all();
	rig_config(&r, "CDS b=2 c=1");
	rig_expect(&r, "CDS{b=2,c=1} EDS{b=1}");
	ok(rig_ack(&r, PD_CDS));
	rig_expect(&r, "");
	ok(rig_ack(&r, PD_EDS));
	rig_expect(&r, "");
}

static void test_limits(void **state)
{
	struct pd_request req;
	static const char url[] = "type.googleapis.com/envoy.config.cluster.v3.Cluster";

	(void)state;
	// Half of the names that are allowed in each request: the third exceeds.
	for (int round = 0; round < 3; round++) {
		static uint8_t big[8 * (PD_NAMES_MAX / 2 + 10) + sizeof(url) + 2];
		size_t at = 0;
		int rc;

		big[at++] = 2 << 3 | 2;
		big[at++] = sizeof(url) - 1;
		memcpy(big + at, url, sizeof(url) - 1);
		at += sizeof(url) - 1;
		for (int i = 0; i < PD_NAMES_MAX / 2; i++) {
			char name[16];
			int len = snprintf(name, sizeof(name), "%x%04x", round, i);

			big[at++] = 3 << 3 | 2;
			big[at++] = (uint8_t)len;
			memcpy(big + at, name, (size_t)len);
			at += (size_t)len;
		}
		ok(pd_request_parse(&req, true, big, at, &r.err));
		rc = pd_session_request(&r.s, &req, &r.kind, &r.err);
		assert_int_equal(rc, round < 2 ? PD_OK : PD_E_LIMIT);
	}
	assert_int_equal(r.s.watch[PD_CDS]->names->n, PD_NAMES_MAX);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_legacy_wildcard),
		T(test_explicit_wildcard),
		T(test_star_and_unstar_means_nothing_yet),
		T(test_empty_wildcard),
		T(test_reconnect_up_to_date),
		T(test_reconnect_with_differences),
		T(test_initial_versions_are_subscriptions),
		T(test_subscribe_unsubscribe),
		T(test_subscribe_again),
		T(test_subscribe_while_in_flight),
		T(test_stale_nonce_keeps_subscription),
		T(test_nack),
		T(test_unknown_names),
		T(test_clusters_by_name),
		T(test_wildcard_beside_names),
		T(test_unsubscribe_name_under_wildcard),
		T(test_reconnect_wildcard_beside_names),
		T(test_removed_clusters_go_last),
		T(test_removed_clusters_wait_for_listeners_in_flight),
		T(test_listeners_and_routes_wait_until_new_clusters_are_acknowledged),
		T(test_first_subscriptions_do_not_wait),
		T(test_an_acknowledgement_that_never_comes),
		T(test_clusters_that_change_all_the_time),
		T(test_warming),
		T(test_limits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
