// Flow control, drain, memory, and what debug pages see.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <grpc/status.h>
#include <malloc.h>
#include <pthread.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "tests/unit/xds/wire.h"
#include "xds/slice.h"

static struct wire w;
static struct pd_xds_config config;

static int setup(void **state)
{
	(void)state;
	pd_xds_config_defaults(&config);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	wire_close(&w);
	return 0;
}

static void nap_ms(long ms)
{
	nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

// n clusters of 20 KB each, all different from those of another round.
static void large_config(int n, int round)
{
	char name[16], *text = pd_xcalloc(1, 20001);

	memset(text, 'a' + round % 26, 20000);
	for (int i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "c%03d", i);
		fake_set(w.engine, PD_CDS, name, text);
	}
	fake_publish(w.engine);
	free(text);
}

static size_t heap(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

static void test_a_client_that_never_reads(void **state)
{
	struct cli *stuck, *well;
	size_t early = 0, late;

	(void)state;
	wire_open(&w, &config);
	large_config(200, 0); // 4 MB
	stuck = cli_open(&(struct cli_options){.address = w.address, .window = 65535});
	cli_sotw(stuck, PD_CDS, "", "", NULL);
	cli_sotw(stuck, PD_EDS, "a b c", "", NULL);
	well = wire_client(&w, true);
	cli_delta(well, PD_EDS, "x", "", "");
	expect_take(well, "EDS{x=}");
	for (int round = 1; round <= 40; round++) {
		char change[40], want[40];

		large_config(200, round);
		snprintf(change, sizeof(change), "EDS x=%d a=%d b=%d", round, round, round);
		snprintf(want, sizeof(want), "EDS{x=%d}", round);
		wire_config(&w, change);
		expect_take(well, want);
		if (round == 10)
			early = heap();
	}
	late = heap();
	assert_true(late < early + 3 * 4000000); // 30 rounds made 120 MB
	cli_close(stuck);
	cli_close(well);
}

static void test_send_timeout(void **state)
{
	struct cli *stuck, *well;

	(void)state;
	config.send_timeout_ms = 200;
	wire_open(&w, &config);
	large_config(200, 0);
	well = wire_client(&w, true);
	cli_delta(well, PD_EDS, "x", "", "");
	expect_take(well, "EDS{x=}");
	stuck = cli_open(&(struct cli_options){.address = w.address, .delta = true, .window = 65535});
	cli_delta(stuck, PD_CDS, "*", "", "");
	while (!wire_stats(&w).send_timeouts || wire_stats(&w).streams != 1)
		nap_ms(5);
	assert_int_equal(wire_stats(&w).send_timeouts, 1);
	wire_config(&w, "EDS x=1");
	expect_take(well, "EDS{x=1}");
	assert_int_not_equal(cli_status(stuck, CLI_WAIT_MS), GRPC_STATUS_OK);
	cli_close(stuck);
	cli_close(well);
}

// A workload that got other labels: its proxies come again, and are sent what is different for them. Others notice nothing.
static void test_changed_workload(void **state)
{
	static const char other[] = "sidecar~1.1.1.11~b.default~default.svc.cluster.local";
	struct cli *moved, *again, *stays;

	(void)state;
	wire_open(&w, &config);
	wire_config(&w, "CDS a=1 b=1");
	for (int delta = 0; delta < 2; delta++) {
		moved = wire_client(&w, delta);
		stays = cli_open(&(struct cli_options){.address = w.address, .delta = delta, .node = other});
		for (int i = 0; i < 2; i++) {
			if (delta)
				cli_delta(i ? stays : moved, PD_CDS, "*", "", "");
			else
				cli_sotw(i ? stays : moved, PD_CDS, "", "", NULL);
			expect_take(i ? stays : moved, delta ? "CDS{a=1,b=2}" : "CDS{a=1,b=1}");
		}
		fake_change_workload(w.engine, "1.1.1.1");
		expect_next(moved, "status 14: the workload has changed: connect again");
		expect_quiet(stays);
		if (!delta) { // and it goes on being served
			wire_config(&w, "CDS b=2");
			expect_take(stays, "CDS{a=1,b=2}");
		}
		again = wire_client(&w, true);
		cli_delta(again, PD_CDS, "*", "", delta ? cli_versions(moved, PD_CDS) : "");
		if (delta)
			expect_quiet(again); // it has all of it
		cli_close(moved);
		cli_close(stays);
		cli_close(again);
	}
}

static void *drain(void *ms)
{
	pd_xds_drain(w.x, *(uint64_t *)ms);
	return NULL;
}

static void test_drain(void **state)
{
	struct cli *c[6], *late;
	uint64_t ms = 300;
	pthread_t t;

	(void)state;
	wire_open(&w, &config);
	wire_config(&w, "CDS a=1");
	for (int i = 0; i < 6; i++) {
		c[i] = wire_client(&w, i & 1);
		if (i & 1)
			cli_delta(c[i], PD_CDS, "*", "", "");
		else
			cli_sotw(c[i], PD_CDS, "", "", NULL);
		expect_take(c[i], "CDS{a=1}");
	}
	assert_int_equal(pthread_create(&t, NULL, drain, &ms), 0);
	for (int i = 0; i < 6; i++)
		expect_next(c[i], "status 14: server is draining");
	pthread_join(t, NULL);
	wire_wait_empty(&w);
	late = wire_client(&w, false);
	assert_int_equal(cli_status(late, CLI_WAIT_MS), GRPC_STATUS_UNAVAILABLE);
	cli_close(late);
	for (int i = 0; i < 6; i++)
		cli_close(c[i]);
}

static void test_drain_without_clients_and_twice(void **state)
{
	(void)state;
	wire_open(&w, &config);
	pd_xds_drain(w.x, 100000); // nobody to wait for
	pd_xds_drain(w.x, 100000);
}

static void test_free_with_clients(void **state)
{
	struct cli *c[3];

	(void)state;
	wire_open(&w, &config);
	large_config(200, 0);
	for (int i = 0; i < 3; i++) {
		c[i] = cli_open(&(struct cli_options){.address = w.address, .window = 65535});
		cli_sotw(c[i], PD_CDS, "", "", NULL);
	}
	while (wire_stats(&w).streams < 3)
		nap_ms(1);
	pd_xds_free(&w.x);
	for (int i = 0; i < 3; i++) {
		assert_int_not_equal(cli_status(c[i], CLI_WAIT_MS), GRPC_STATUS_OK);
		cli_close(c[i]);
	}
}

static long resident(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	long pages = 0;

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%*d %ld", &pages), 1);
	fclose(f);
	return pages * sysconf(_SC_PAGESIZE);
}

static bool sanitized(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(PD_TSAN)
	return true; // their allocators keep what is freed
#else
	return false;
#endif
}

static void test_memory_is_given_back(void **state)
{
	struct cli *c[8];
	long before, peak;

	(void)state;
	config.trim_after_ms = 100;
	config.trim_interval_ms = 100;
	wire_open(&w, &config);
	large_config(1, 0);
	before = resident();
	large_config(2000, 1); // 40 MB of clusters
	for (int i = 0; i < 8; i++) {
		c[i] = wire_client(&w, false);
		cli_sotw(c[i], PD_CDS, "", "", NULL);
		cli_take(c[i]);
	}
	peak = resident();
	for (int i = 0; i < 8; i++)
		cli_close(c[i]);
	for (int i = 0; i < 2000; i++) {
		char name[16];

		snprintf(name, sizeof(name), "c%03d", i);
		fake_set(w.engine, PD_CDS, name, NULL);
	}
	fake_publish(w.engine);
	pd_xds_note_churn(w.x, 40000000); // what the control loop says of such a change
	for (int i = 0; i < 4000 && (!wire_stats(&w).trims || resident() > before + (peak - before) / 2); i++)
		nap_ms(5);
	assert_true(wire_stats(&w).trims > 0);
	if (!sanitized())
		assert_true(resident() <= before + (peak - before) / 2);
}

// ---- debug pages -------------------------------------------------------------------------------------------------------

static struct pd_buf seen;

static void show_client(const struct pd_xds_client *c, void *arg)
{
	(void)arg;
	pd_buf_printf(&seen, "%s %s", c->node_id, c->delta ? "delta" : "sotw");
	assert_non_null(strstr(c->peer, "127.0.0.1:"));
	assert_true(c->connected_ns > 0);
	assert_non_null(c->view);
	for (size_t i = 0; i < c->n; i++) {
		const struct pd_xds_type_status *t = &c->v[i];

		pd_buf_printf(&seen, " %s:%s%s%s%s%s", pd_types[t->type].short_name, t->wildcard ? "*" : "",
			      *t->nonce_sent ? "S" : "", strcmp(t->nonce_sent, t->nonce_acked) == 0 ? "A" : "",
			      t->pending ? "P" : "", t->error ? "E" : "");
		if (t->error)
			assert_string_equal(t->error, "no good");
		assert_int_equal(t->acked_ns != 0, *t->version_acked != 0);
	}
	pd_buf_adds(&seen, "\n");
}

static void expect_clients(const char *want)
{
	for (int i = 0; i < 2000; i++) {
		pd_buf_reset(&seen);
		pd_buf_adds(&seen, "");
		assert_int_equal(pd_xds_each_client(w.x, show_client, NULL), 0);
		if (strcmp(seen.p, want) == 0)
			break;
		nap_ms(5);
	}
	assert_string_equal(seen.p, want);
}

static void show_resource(const struct pd_resource *r, bool current, void *arg)
{
	(void)arg;
	pd_buf_printf(&seen, "%s/%s%s ", pd_types[r->type].short_name, r->name, current ? "" : "!");
}

static void test_debug(void **state)
{
	struct cli *a, *b;

	(void)state;
	wire_open(&w, &config);
	wire_config(&w, "CDS a=1 b=1 EDS a=1");
	expect_clients("");
	assert_int_equal(pd_xds_dump(w.x, CLI_NODE, show_resource, NULL), PD_E_NOTFOUND);
	a = wire_client(&w, false);
	cli_sotw(a, PD_CDS, "", "", NULL);
	expect_take(a, "CDS{a=1,b=1}");
	b = cli_open(&(struct cli_options){.address = w.address,
					   .delta = true,
					   .node = "router~2.2.2.2~gw.gw~gw.svc.cluster.local"});
	cli_delta(b, PD_EDS, "a", "", "");
	expect_next(b, "EDS{a=1}");
	expect_clients(CLI_NODE " sotw CDS:*SA\nrouter~2.2.2.2~gw.gw~gw.svc.cluster.local delta EDS:S\n");
	wire_config(&w, "CDS a=2 b EDS a=2");
	expect_next(a, "CDS{a=2}");
	expect_clients(CLI_NODE " sotw CDS:*S\nrouter~2.2.2.2~gw.gw~gw.svc.cluster.local delta EDS:SP\n");
	cli_nack(a, PD_CDS, "no good");
	expect_clients(CLI_NODE " sotw CDS:*SE\nrouter~2.2.2.2~gw.gw~gw.svc.cluster.local delta EDS:SP\n");
	pd_buf_reset(&seen);
	assert_int_equal(pd_xds_dump(w.x, CLI_NODE, show_resource, NULL), PD_OK);
	assert_string_equal(seen.p, "CDS/a ");
	pd_buf_reset(&seen);
	assert_int_equal(pd_xds_dump(w.x, "router~2.2.2.2~gw.gw~gw.svc.cluster.local", show_resource, NULL), PD_OK);
	assert_string_equal(seen.p, "EDS/a! "); // the newer one was not sent yet
	cli_close(a);
	cli_close(b);
	pd_buf_free(&seen);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_a_client_that_never_reads),
		T(test_send_timeout),
		T(test_changed_workload),
		T(test_drain),
		T(test_drain_without_clients_and_twice),
		T(test_free_with_clients),
		T(test_memory_is_given_back),
		T(test_debug),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
