// The one test that carries the design: after thousands of random edits, what the engine has computed bit by bit equals what
// a fresh engine computes from the final configuration, for sidecars and a gateway, resource by resource.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/discovery/engine_random.h"

enum { EDITS = 3000, COMPARE_EVERY = 150, PROXIES = ENGINE_RANDOM_PROXIES };

static void incremental_equals_fresh(void **unused)
{
	(void)unused;
	struct engine_world w;
	struct pd_view *views[PROXIES];
	engine_random_init(&w);
	for (int i = 0; i < PROXIES; i++)
		views[i] = engine_random_view(&w, i);
	for (unsigned i = 1; i <= EDITS; i++) {
		engine_random_edit(&w);
		struct pd_view *v = views[engine_random(PROXIES)]; // some proxies look in between, others fall behind
		if (engine_random(3) == 0)
			pd_obj_unref(pd_view_set(w.engine, v, engine_random(2) ? PD_CDS : PD_LDS));
		if (engine_random(3) == 0)
			pd_resource_unref(pd_view_resource(w.engine, v, PD_RDS, "80"));
		if (i % COMPARE_EVERY == 0) {
			engine_random_compare(&w);
			for (int k = 0; k < PROXIES; k++)
				pd_obj_unref(pd_view_set(w.engine, views[k], PD_LDS)); // the old ones go on too
		}
	}
	assert_true(w.announced > EDITS / 10);
	for (int i = 0; i < PROXIES; i++)
		engine_world_view_free(&w, views[i]);
	engine_world_free(&w);
	engine_random_free();
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(incremental_equals_fresh)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
