// The server on the wire: both protocols from end to end. (Every rule by itself: test_sotw.c, test_delta.c.)
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "tests/unit/xds/wire.h"
#include "xds/session.h"

static struct wire w;

static int setup(void **state)
{
	(void)state;
	wire_open(&w, NULL);
	wire_config(&w, "CDS a=1 b=1 EDS a=1 b=1 LDS l=1 RDS r=1 s=1 ECDS x=1 SDS k=1 NDS n=1");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	wire_close(&w);
	return 0;
}

static void test_sotw(void **state)
{
	struct cli *c = wire_client(&w, false);

	(void)state;
	cli_sotw(c, PD_CDS, "", "", NULL);
	expect_take(c, "CDS{a=1,b=1}");
	cli_sotw(c, PD_EDS, "a b", "", NULL);
	expect_take(c, "EDS{a=1,b=1}");
	cli_sotw(c, PD_LDS, "", "", NULL);
	expect_take(c, "LDS{l=1}");
	cli_sotw(c, PD_RDS, "r", "", NULL);
	expect_take(c, "RDS{r=1}");
	cli_sotw(c, PD_ECDS, "x", "", NULL);
	expect_take(c, "ECDS{x=1}");
	cli_sotw(c, PD_SDS, "k", "", NULL);
	expect_take(c, "SDS{k=1}");
	cli_sotw(c, PD_NDS, "", "", NULL);
	expect_take(c, "NDS{n=1}");
	expect_quiet(c);
	wire_config(&w, "EDS b=2");
	expect_take(c, "EDS{b=2}");
	cli_sotw(c, PD_RDS, "r s", NULL, NULL);
	expect_take(c, "RDS{s=1}");
	wire_config(&w, "CDS b=2 LDS l=2 RDS r=2");
	expect_next(c, "CDS{a=1,b=2}");
	expect_take(c, "EDS{b=2}");
	expect_quiet(c); // routes and listeners wait until the clusters are warm
	cli_ack(c, PD_CDS);
	expect_take(c, "LDS{l=2}");
	expect_take(c, "RDS{r=2}");
	fake_touch_all(w.engine);
	expect_quiet(c);
	cli_sotw(c, PD_EDS, "a b", "stale", NULL);
	expect_quiet(c);
	wire_config(&w, "LDS l=3");
	expect_next(c, "LDS{l=3}");
	cli_nack(c, PD_LDS, "bad listener");
	fake_touch_all(w.engine);
	expect_quiet(c);
	wire_config(&w, "LDS l=4");
	expect_take(c, "LDS{l=4}");
	assert_int_equal(wire_stats(&w).requests[PD_REQ_NACK], 1);
	assert_int_equal(wire_stats(&w).requests[PD_REQ_STALE], 1);
	cli_close(c);
	wire_wait_empty(&w);
	assert_int_equal(wire_stats(&w).name_sets, 0);
}

static void test_delta(void **state)
{
	struct cli *c = wire_client(&w, true);

	(void)state;
	cli_delta(c, PD_CDS, "", "", "");
	expect_take(c, "CDS{a=1,b=1}");
	cli_delta(c, PD_EDS, "a b", "", "");
	expect_take(c, "EDS{a=1,b=1}");
	cli_delta(c, PD_LDS, "*", "", "");
	expect_take(c, "LDS{l=1}");
	cli_delta(c, PD_RDS, "r nobody", "", "");
	expect_take(c, "RDS{nobody=,r=1}");
	wire_config(&w, "CDS a c=1 RDS r=2");
	expect_next(c, "CDS{c=1}");
	expect_quiet(c);
	cli_ack(c, PD_CDS);
	expect_take(c, "RDS{r=2}");
	expect_take(c, "CDS{-a}");
	cli_delta(c, PD_EDS, "b", "a", "");
	expect_take(c, "EDS{b=1}");
	wire_config(&w, "EDS a=2");
	expect_quiet(c);
	cli_close(c);
}

static void test_delta_reconnect(void **state)
{
	struct cli *c = wire_client(&w, true), *d;
	char cds[200], eds[200];

	(void)state;
	cli_delta(c, PD_CDS, "", "", "");
	expect_take(c, "CDS{a=1,b=1}");
	cli_delta(c, PD_EDS, "a b", "", "");
	expect_take(c, "EDS{a=1,b=1}");
	snprintf(cds, sizeof(cds), "%s", cli_versions(c, PD_CDS));
	snprintf(eds, sizeof(eds), "%s", cli_versions(c, PD_EDS));
	cli_close(c);

	d = wire_client(&w, true);
	cli_delta(d, PD_CDS, "", "", cds);
	cli_delta(d, PD_EDS, "a b", "", eds);
	expect_quiet(d);
	assert_int_equal(cli_bytes_received(d), 0);
	wire_config(&w, "CDS a=2 b c=1");
	expect_take(d, "CDS{a=2,c=1,-b}");
	expect_take(d, "EDS{a=1}");
	cli_close(d);

	c = wire_client(&w, true); // with what it had before
	cli_delta(c, PD_CDS, "*", "", cds);
	expect_take(c, "CDS{a=2,c=1,-b}");
	cli_close(c);
}

static void test_two_processes_same_versions(void **state)
{
	struct wire other;
	struct cli *c[2];

	(void)state;
	wire_open(&other, NULL);
	wire_config(&other, "CDS b=1 EDS b=1"); // the same, by another way
	wire_config(&other, "CDS a=0 EDS a=1");
	wire_config(&other, "CDS a=1");
	c[0] = wire_client(&w, false);
	c[1] = wire_client(&other, false);
	for (int i = 0; i < 2; i++) {
		cli_sotw(c[i], PD_CDS, "", "", NULL);
		expect_take(c[i], "CDS{a=1,b=1}");
		cli_sotw(c[i], PD_EDS, i ? "a b" : "b a", "", NULL);
		expect_take(c[i], "EDS{a=1,b=1}");
	}
	assert_string_equal(cli_version(c[0], PD_CDS), cli_version(c[1], PD_CDS));
	assert_string_equal(cli_version(c[0], PD_EDS), cli_version(c[1], PD_EDS));
	assert_string_not_equal(cli_nonce(c[0], PD_CDS), cli_nonce(c[1], PD_CDS));
	cli_close(c[0]);
	cli_close(c[1]);
	c[0] = wire_client(&w, true);
	cli_delta(c[0], PD_CDS, "*", "", "");
	expect_take(c[0], "CDS{a=1,b=1}");
	c[1] = wire_client(&other, true);
	cli_delta(c[1], PD_CDS, "*", "", cli_versions(c[0], PD_CDS));
	expect_quiet(c[1]);
	cli_close(c[0]);
	cli_close(c[1]);
	wire_close(&other);
}

static void test_collapse(void **state)
{
	struct cli *c = wire_client(&w, true);
	char change[64];

	(void)state;
	cli_delta(c, PD_EDS, "a", "", "");
	expect_next(c, "EDS{a=1}");
	for (int i = 0; i < 100; i++) {
		snprintf(change, sizeof(change), "EDS a=%d", i);
		wire_config(&w, change);
	}
	expect_quiet(c); // not before it has acknowledged
	cli_ack(c, PD_EDS);
	expect_take(c, "EDS{a=99}");
	expect_quiet(c);
	cli_close(c);
}

static void test_subscribers_only(void **state)
{
	struct cli *a = wire_client(&w, false), *b = wire_client(&w, true);

	(void)state;
	cli_sotw(a, PD_EDS, "a", "", NULL);
	expect_take(a, "EDS{a=1}");
	cli_delta(b, PD_EDS, "b", "", "");
	expect_take(b, "EDS{b=1}");
	wire_wait_responses(&w, 2);
	wire_config(&w, "EDS b=2");
	expect_take(b, "EDS{b=2}");
	expect_quiet(a);
	wire_wait_responses(&w, 3);
	cli_close(a);
	cli_close(b);
}

static void test_large_sets_share_a_body(void **state)
{
	enum { N = 3000 };
	struct cli *c[3];
	struct pd_buf names = {0};
	struct pd_xds_stats s;

	(void)state;
	for (int i = 0; i < N; i++) {
		char name[16];

		snprintf(name, sizeof(name), "c%04d", i);
		fake_set(w.engine, PD_CDS, name, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
		fake_set(w.engine, PD_EDS, name, "y");
		pd_buf_printf(&names, "%s ", name);
	}
	fake_publish(w.engine);
	for (int i = 0; i < 3; i++) {
		c[i] = wire_client(&w, i == 2);
		if (i == 2) {
			cli_delta(c[i], PD_CDS, "*", "", "");
			assert_memory_equal(cli_take(c[i]), "CDS{a=1,b=1,c0000=", 18);
			cli_delta(c[i], PD_EDS, names.p, "", "");
		} else {
			cli_sotw(c[i], PD_CDS, "", "", NULL);
			assert_memory_equal(cli_take(c[i]), "CDS{a=1,b=1,c0000=", 18);
			cli_sotw(c[i], PD_EDS, names.p, "", NULL);
		}
		assert_memory_equal(cli_take(c[i]), "EDS{c0000=y,c0001=y,", 20);
	}
	s = wire_stats(&w);
	assert_int_equal(s.body_misses, 4); // clusters and endpoints, in each protocol
	assert_int_equal(s.body_hits, 2);
	assert_int_equal(s.name_sets, 2); // the thousands, and the empty one beside *
	fake_set(w.engine, PD_EDS, "c1500", "z");
	fake_publish(w.engine);
	for (int i = 0; i < 3; i++) {
		expect_take(c[i], "EDS{c1500=z}");
		cli_close(c[i]);
	}
	pd_buf_free(&names);
}

static void test_ignored_types(void **state)
{
	struct cli *c = wire_client(&w, false), *d = wire_client(&w, true);

	(void)state;
	cli_type_url(c, "type.googleapis.com/istio.mesh.v1alpha1.ProxyConfig");
	cli_type_url(c, "type.googleapis.com/istio.v1.HealthInformation");
	cli_type_url(c, "type.googleapis.com/nobody.knows.This");
	cli_type_url(d, "");
	expect_quiet(c);
	expect_quiet(d);
	cli_sotw(c, PD_CDS, "", "", NULL); // the Node came with the first
	expect_take(c, "CDS{a=1,b=1}");
	cli_delta(d, PD_CDS, "", "", "");
	expect_take(d, "CDS{a=1,b=1}");
	assert_int_equal(wire_stats(&w).requests[PD_REQ_IGNORED], 4);
	cli_close(c);
	cli_close(d);
}

static void test_half_close(void **state)
{
	struct cli *c = wire_client(&w, false);

	(void)state;
	cli_sotw(c, PD_CDS, "", "", NULL);
	expect_take(c, "CDS{a=1,b=1}");
	cli_half_close(c);
	expect_next(c, "status 0: ");
	cli_close(c);
	wire_wait_empty(&w);
}

static void test_two_streams_of_a_namespace_and_vanishing(void **state)
{
	struct cli *c[20];

	(void)state;
	for (int i = 0; i < 20; i++) {
		c[i] = wire_client(&w, i & 1);
		if (i & 1)
			cli_delta(c[i], PD_CDS, "*", "", "");
		else
			cli_sotw(c[i], PD_CDS, "", "", NULL);
		expect_take(c[i], "CDS{a=1,b=1}");
	}
	for (int i = 0; i < 20; i += 2)
		cli_close(c[i]);
	wire_config(&w, "CDS a=2");
	for (int i = 1; i < 20; i += 2) {
		expect_take(c[i], "CDS{a=2}");
		cli_close(c[i]);
	}
	wire_wait_empty(&w);
	assert_int_equal(wire_stats(&w).connected, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_sotw),
		T(test_delta),
		T(test_delta_reconnect),
		T(test_two_processes_same_versions),
		T(test_collapse),
		T(test_subscribers_only),
		T(test_large_sets_share_a_body),
		T(test_ignored_types),
		T(test_half_close),
		T(test_two_streams_of_a_namespace_and_vanishing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
