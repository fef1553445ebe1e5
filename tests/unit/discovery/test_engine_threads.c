// The engine under threads: some keep proxies up to date by what the engine announces and nothing else, and make and drop
// views on the side, while the main thread applies random edits. Afterwards what was fetched on announcements is what is in
// force (no announcement was lost), and what is in force is what a new engine computes.
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "tests/unit/discovery/engine_random.h"

enum { THREADS = 4, PER_THREAD = 2, SUBSCRIBERS = THREADS * PER_THREAD, ROUNDS = 4, EDITS = 500 };
enum { ROUTES = 5, CLUSTERS = ENGINE_RANDOM_NAMES * ENGINE_RANDOM_NAMESPACES * 2 };

static const char *const routes[ROUTES] = {"80", "81", "9001", "http.80", "svc0.default.svc.cluster.local:80"};
static const char *clusters[CLUSTERS]; // interned

// A proxy: what it was told to look at again, and what it has.
struct subscriber {
	struct pd_view *view;
	_Atomic(uint32_t) types;           // announced: bit 1 << enum pd_type
	_Atomic(bool) endpoints[CLUSTERS]; // announced one by one
	struct pd_set *sets[PD_TYPE_COUNT];
	struct pd_resource *routes[ROUTES], *endpoint[CLUSTERS];
	uint64_t fetched;
};

struct threads {
	struct engine_world w;
	struct subscriber subscribers[SUBSCRIBERS];
	_Atomic(bool) stop;
};

static void announced(const struct pd_invalidation *inv, void *arg)
{
	struct threads *t = arg;
	t->w.announced++;
	for (int i = 0; i < SUBSCRIBERS; i++) {
		struct subscriber *s = &t->subscribers[i];
		for (size_t v = 0; v < inv->n_views; v++)
			if (inv->views[v].view == s->view)
				atomic_fetch_or(&s->types, inv->views[v].types);
		for (size_t n = 0; n < inv->n_names; n++)
			for (int c = 0; c < CLUSTERS; c++)
				if (clusters[c] == inv->names[n].name)
					atomic_store(&s->endpoints[c], true);
	}
}

static void fetch_set(struct pd_engine *e, struct subscriber *s, enum pd_type type)
{
	pd_obj_unref(s->sets[type]);
	s->sets[type] = pd_view_set(e, s->view, type);
	s->fetched++;
}

static void fetch(struct pd_engine *e, struct subscriber *s)
{
	uint32_t types = atomic_exchange(&s->types, 0);
	if (types & 1u << PD_CDS)
		fetch_set(e, s, PD_CDS);
	if (types & 1u << PD_LDS)
		fetch_set(e, s, PD_LDS);
	if (types & 1u << PD_NDS)
		fetch_set(e, s, PD_NDS);
	for (int i = 0; (types & 1u << PD_RDS) && i < ROUTES; i++) {
		pd_resource_unref(s->routes[i]);
		s->routes[i] = pd_view_resource(e, s->view, PD_RDS, routes[i]);
	}
	const char *names[CLUSTERS];
	struct pd_resource *got[CLUSTERS];
	int index[CLUSTERS];
	size_t n = 0;
	for (int i = 0; i < CLUSTERS; i++) {
		bool told = atomic_exchange(&s->endpoints[i], false);
		if (told || (types & 1u << PD_EDS)) {
			index[n] = i;
			names[n++] = clusters[i];
		}
	}
	pd_view_resources(e, s->view, PD_EDS, names, n, got);
	for (size_t i = 0; i < n; i++) {
		pd_resource_unref(s->endpoint[index[i]]);
		s->endpoint[index[i]] = got[i];
	}
}

// A proxy that comes, takes what it needs and goes.
static void visit(struct threads *t, unsigned turn)
{
	struct pd_view *v = engine_random_view(&t->w, (int)(turn % ENGINE_RANDOM_PROXIES));
	pd_obj_unref(pd_view_set(t->w.engine, v, turn % 2 ? PD_CDS : PD_LDS));
	pd_resource_unref(pd_view_resource(t->w.engine, v, PD_EDS, clusters[turn % CLUSTERS]));
	pd_resource_unref(pd_view_resource(t->w.engine, v, PD_RDS, routes[turn % ROUTES]));
	engine_world_view_free(&t->w, v);
}

struct worker {
	struct threads *t;
	unsigned index;
	pthread_t thread;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	struct threads *t = w->t;
	for (unsigned turn = w->index;; turn++) {
		bool last = atomic_load(&t->stop); // before the look: what was announced until then is fetched
		for (unsigned i = 0; i < PER_THREAD; i++)
			fetch(t->w.engine, &t->subscribers[w->index * PER_THREAD + i]);
		if (last)
			return NULL;
		if (turn % 3 == 0)
			visit(t, turn);
	}
}

static uint64_t version_of(struct pd_resource *r)
{
	uint64_t v = r ? r->version : 0;
	pd_resource_unref(r);
	return v;
}

static void check_subscriber(struct pd_engine *e, const struct subscriber *s)
{
	static const enum pd_type types[] = {PD_CDS, PD_LDS, PD_NDS};
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct pd_set *now = pd_view_set(e, s->view, types[i]);
		assert_int_equal(now->version, s->sets[types[i]]->version);
		pd_obj_unref(now);
	}
	for (int i = 0; i < ROUTES; i++)
		assert_int_equal(version_of(pd_view_resource(e, s->view, PD_RDS, routes[i])), s->routes[i]->version);
	for (int i = 0; i < CLUSTERS; i++)
		assert_int_equal(version_of(pd_view_resource(e, s->view, PD_EDS, clusters[i])),
				 s->endpoint[i]->version);
}

static void run_round(struct threads *t)
{
	struct worker workers[THREADS];
	atomic_store(&t->stop, false);
	for (unsigned i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){.t = t, .index = i};
		assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	}
	for (int i = 0; i < EDITS; i++)
		engine_random_edit(&t->w);
	atomic_store(&t->stop, true);
	for (int i = 0; i < THREADS; i++)
		pthread_join(workers[i].thread, NULL);
}

static void subscriber_free(struct engine_world *w, struct subscriber *s)
{
	for (int i = 0; i < PD_TYPE_COUNT; i++)
		pd_obj_unref(s->sets[i]);
	for (int i = 0; i < ROUTES; i++)
		pd_resource_unref(s->routes[i]);
	for (int i = 0; i < CLUSTERS; i++)
		pd_resource_unref(s->endpoint[i]);
	engine_world_view_free(w, s->view);
}

static void announcements_suffice(void **unused)
{
	(void)unused;
	struct threads *t = pd_xcalloc(1, sizeof(*t));
	engine_random_init(&t->w);
	pd_engine_listen(t->w.engine, announced, t);
	for (int i = 0; i < SUBSCRIBERS; i++) {
		struct subscriber *s = &t->subscribers[i];
		s->view = engine_random_view(&t->w, i % ENGINE_RANDOM_PROXIES);
		atomic_store(&s->types, UINT32_MAX); // all it needs to know of the beginning
	}
	for (int round = 0; round < ROUNDS; round++) {
		run_round(t);
		for (int i = 0; i < SUBSCRIBERS; i++)
			check_subscriber(t->w.engine, &t->subscribers[i]);
		engine_random_compare(&t->w);
	}
	assert_true(t->w.announced > ROUNDS * EDITS / 10);
	for (int i = 0; i < SUBSCRIBERS; i++) {
		assert_true(t->subscribers[i].fetched > 3 * ROUNDS);
		subscriber_free(&t->w, &t->subscribers[i]);
	}
	struct pd_engine_stats stats;
	pd_engine_stats(t->w.engine, &stats);
	assert_int_equal(stats.views, 0);
	assert_int_equal(stats.scopes, 0);
	assert_int_equal(stats.host_units, 0);
	engine_world_free(&t->w);
	engine_random_free();
	free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(announcements_suffice)};
	if (pd_log_set_levels("none"))
		return 1;
	for (int i = 0; i < CLUSTERS; i++) {
		static const char *const namespaces[] = {"default", "shop", "istio-system"};
		char name[96];
		snprintf(name, sizeof(name), "outbound|80|%s|svc%d.%s.svc.cluster.local", i % 2 ? "v0" : "",
			 i / 2 % ENGINE_RANDOM_NAMES, namespaces[i / 2 / ENGINE_RANDOM_NAMES]);
		clusters[i] = pd_intern(name);
	}
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	for (int i = 0; i < CLUSTERS; i++)
		pd_unintern(clusters[i]);
	return failed;
}
