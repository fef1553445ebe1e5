// The control loop: what is applied, in which batches, and when the engine becomes ready.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "tests/unit/xds/fake_engine.h"
#include "xds/control.h"
#include "xds/server_impl.h"

static struct pd_engine *engine;
static struct pd_xds *x;
static struct pd_control *c;
static unsigned batches, meshes, live;

static void release(struct pd_obj *o)
{
	live--;
	free(o);
}

static struct pd_object *object(void)
{
	struct pd_object *o = pd_xcalloc(1, sizeof(*o));

	pd_obj_init(&o->item.obj, release);
	live++;
	return o;
}

static void change(enum pd_kind kind, const char *name, bool deleted, bool more)
{
	struct pd_change v = {.key = {kind, "Kubernetes", "default", name}, .next = deleted ? NULL : object()};

	pd_control_sink(c)->changes(pd_control_sink(c), &v, 1, more);
}

static void expect(const char *want)
{
	struct timespec nap = {.tv_nsec = 1000000};

	for (int i = 0; i < 10000 && strcmp(fake_applied(engine, &batches, &meshes), want) != 0; i++)
		nanosleep(&nap, NULL);
	assert_string_equal(fake_applied(engine, &batches, &meshes), want);
}

static void open_control(bool with_server)
{
	struct pd_control_config config;
	struct pd_xds_config xc;

	assert_int_equal(pd_log_set_levels("default:error"), PD_OK);
	pd_control_config_defaults(&config);
	config.debounce_after_ns = config.debounce_max_ns = 3600 * 1000000000ull; // nothing here waits for time to pass
	engine = pd_engine_new(NULL, NULL);
	fake_set_not_ready(engine);
	if (with_server) {
		pd_xds_config_defaults(&xc);
		x = pd_xds_new(engine, &xc);
	}
	c = pd_control_new(engine, x, &config);
}

static int teardown(void **state)
{
	(void)state;
	pd_control_free(&c);
	pd_xds_free(&x);
	pd_engine_free(&engine);
	assert_int_equal(live, 0);
	return 0;
}

static void test_last_counts_and_ready(void **state)
{
	struct pd_control_stats stats;

	(void)state;
	open_control(false);
	change(PD_KIND_SERVICE, "a", false, false);
	change(PD_KIND_SERVICE, "b", false, false);
	change(PD_KIND_SERVICE, "a", true, false);
	change(PD_KIND_SERVICE, "b", true, false);
	change(PD_KIND_SERVICE, "b", false, false);
	change(PD_KIND_VIRTUAL_SERVICE, "b", false, false); // another kind is another object
	pd_control_stats(c, &stats);
	assert_int_equal(stats.waiting, 3);
	assert_int_equal(stats.changes, 6);
	pd_control_start(c);
	assert_false(pd_engine_ready(engine));
	pd_control_sink(c)->synced(pd_control_sink(c), "test");
	expect("-a b b");
	assert_int_equal(batches, 1);
	change(PD_KIND_SERVICE, "c", false, false); // after quiet: at once
	expect("-a b b; c");
	assert_true(pd_engine_ready(engine));
}

static void test_ready_without_objects(void **state)
{
	struct timespec nap = {.tv_nsec = 1000000};

	(void)state;
	open_control(false);
	pd_control_start(c);
	pd_control_sink(c)->synced(pd_control_sink(c), "test");
	for (int i = 0; i < 10000 && !pd_engine_ready(engine); i++)
		nanosleep(&nap, NULL);
	assert_true(pd_engine_ready(engine));
}

static void test_more_follows(void **state)
{
	(void)state;
	open_control(false);
	pd_control_start(c);
	pd_control_sink(c)->synced(pd_control_sink(c), "test");
	change(PD_KIND_SERVICE, "a", false, true);
	change(PD_KIND_SERVICE, "b", false, true);
	change(PD_KIND_SERVICE, "c", false, false);
	expect("a b c");
	assert_int_equal(batches, 1);
}

static void test_gather_while_pushing(void **state)
{
	struct pd_job job = {0};
	enum pd_urgency u;
	uint64_t ns;

	(void)state;
	open_control(true);
	pd_control_start(c);
	pd_control_sink(c)->synced(pd_control_sink(c), "test");
	change(PD_KIND_SERVICE, "a", false, false);
	expect("a");
	assert_true(pd_queue_push(&x->queue, &job, PD_JOB_PUSH)); // what an invalidation does
	change(PD_KIND_SERVICE, "b", false, false);
	change(PD_KIND_SERVICE, "c", false, false);
	change(PD_KIND_SERVICE, "b", true, false);
	assert_string_equal(fake_applied(engine, &batches, &meshes), "a");
	assert_ptr_equal(pd_queue_pop(&x->queue, &u, &ns), &job);
	assert_string_equal(fake_applied(engine, &batches, &meshes), "a"); // it is being worked on
	pd_queue_done(&x->queue, u);
	expect("a; -b c");
}

static void test_mesh(void **state)
{
	struct pd_mesh *m;

	(void)state;
	open_control(false);
	for (int i = 0; i < 3; i++) {
		m = (struct pd_mesh *)pd_xcalloc(1, sizeof(*m));
		pd_obj_init(&m->obj, release);
		live++;
		pd_control_mesh(c, m);
	}
	change(PD_KIND_SERVICE, "a", false, false);
	pd_control_start(c);
	pd_control_sink(c)->synced(pd_control_sink(c), "test");
	expect("a");
	assert_int_equal(meshes, 1);
}

static void test_bounded(void **state)
{
	struct timespec nap = {.tv_nsec = 1000000};
	char name[16];

	(void)state;
	open_control(false);
	pd_control_start(c);
	for (int i = 0; i < PD_CONTROL_BATCH_MAX; i++) { // never synced, always more to come
		snprintf(name, sizeof(name), "n%d", i);
		change(PD_KIND_SERVICE, name, true, true);
	}
	for (int i = 0; i < 10000 && !batches; i++) {
		nanosleep(&nap, NULL);
		fake_applied(engine, &batches, &meshes);
	}
	assert_int_equal(batches, 1);
	assert_false(pd_engine_ready(engine));
	change(PD_KIND_SERVICE, "left", false, true); // is dropped at the end
}

static void test_debounce(void **state)
{
	struct pd_control_config config = {.debounce_after_ns = 100,
					   .debounce_max_ns = 1000,
					   .debounce_endpoints = true};
	struct pd_debounce d = {.first_ns = 5000, .last_ns = 5000};

	(void)state;
	assert_int_equal(pd_debounce_until(&config, &d), 0);
	d.pushing = true;
	assert_int_equal(pd_debounce_until(&config, &d), 5100);
	d.last_ns = 5990;
	assert_int_equal(pd_debounce_until(&config, &d), 6000);
	d.pushing = false;
	d.more = true;
	assert_int_equal(pd_debounce_until(&config, &d), 6000);
	d.pushing = true;
	d.endpoints_only = true;
	assert_int_equal(pd_debounce_until(&config, &d), 6000);
	config.debounce_endpoints = false;
	assert_int_equal(pd_debounce_until(&config, &d), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_teardown(name, teardown)
	const struct CMUnitTest tests[] = {
		T(test_last_counts_and_ready),
		T(test_ready_without_objects),
		T(test_more_follows),
		T(test_gather_while_pushing),
		T(test_mesh),
		T(test_bounded),
		cmocka_unit_test(test_debounce),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
