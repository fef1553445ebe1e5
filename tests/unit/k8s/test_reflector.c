// Reflectors against an API server that misbehaves: what the handler was told equals what the server has.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>
#include <cmocka.h>

#include "base/log.h"
#include "istio/networking/destination_rule.pb-c.h"
#include "k8s/core.pb-c.h"
#include "k8s/reflector_known.h"
#include "tests/unit/k8s/fake_api.h"

// ---- a handler that remembers ---------------------------------------------------------------------------------------

struct told {
	char *key, *value;
	UT_hash_handle hh;
};

struct rig {
	struct fake_api *api;
	struct fake_resource *resource;
	struct pd_k8s_reflector *reflector;
	struct told *told;
	enum pd_kind kind;
	struct pd_issues *issues;
	unsigned puts, removes, flushes;
	const char *unwanted; // a namespace
	const char *broken;   // a name that does not decode
	bool strict;          // removing what was not told is a mistake
};

static void forget(struct rig *g, struct told *t)
{
	HASH_DEL(g->told, t);
	free(t->key);
	free(t->value);
	free(t);
}

static struct told *find(struct rig *g, const char *ns, const char *name)
{
	char *key = pd_xasprintf("%s/%s", ns, name);
	struct told *t;

	HASH_FIND_STR(g->told, key, t);
	free(key);
	return t;
}

// Caller frees.
static char *value_of(const struct pd_object *o)
{
	struct pd_arena a = {0};
	const ProtobufCMessage *m = pd_object_open(o, &a);
	char *value = pd_xstrdup(o->key.kind == PD_KIND_DESTINATION_RULE ? ((const Istio__DestinationRule *)m)->host
									 : ((const K8s__Service *)m)->spec->clusterip);

	pd_arena_free(&a);
	return value;
}

static int put(void *user, const struct pd_k8s_item *item, struct pd_k8s_wire_error *why)
{
	struct rig *g = user;
	struct pd_k8s_decode d = {g->kind, "c", g->issues};
	struct told *t = find(g, item->ns, item->name);
	struct pd_object *o;
	int rc = pd_k8s_item_decode(item, &d, &o, why);

	if (!rc && pd_streq(g->broken, item->name)) {
		pd_obj_unref(o);
		snprintf(why->text, sizeof(why->text), "made to fail");
		return PD_E_PARSE;
	}
	if (rc)
		return rc;
	assert_non_null(o);
	g->puts++;
	if (!t) {
		t = pd_xcalloc(1, sizeof(*t));
		t->key = pd_xasprintf("%s/%s", item->ns, item->name);
		HASH_ADD_KEYPTR(hh, g->told, t->key, strlen(t->key), t);
	}
	free(t->value);
	t->value = value_of(o);
	pd_obj_unref(o);
	return PD_OK;
}

static void removed(void *user, const char *ns, const char *name)
{
	struct rig *g = user;
	struct told *t = find(g, ns, name);

	assert_non_null(t);
	g->removes++;
	forget(g, t);
}

static bool wanted(void *user, const char *ns)
{
	struct rig *g = user;

	return !pd_streq(g->unwanted, ns);
}

static void flushed(void *user, bool more)
{
	struct rig *g = user;

	(void)more;
	g->flushes++;
}

static void changed(void *user)
{
	(void)user;
}

static void rig_start(struct rig *g, struct fake_api *api, bool json)
{
	struct pd_k8s_reflector_config cfg = {.title = "test",
					      .transport = fake_transport(api),
					      .handler = {g, put, removed, wanted, flushed, changed}};

	*g = (struct rig){.api = api, .kind = json ? PD_KIND_DESTINATION_RULE : PD_KIND_SERVICE};
	g->issues = pd_issues_new();
	g->resource = json ? fake_add(api, "/apis/networking.istio.io/v1", "destinationrules")
			   : fake_add(api, "/api/v1", "services");
	g->resource->json = json;
	cfg.base = g->resource->base;
	cfg.resource = g->resource->plural;
	g->reflector = pd_k8s_reflector_new(&cfg);
}

static void rig_stop(struct rig *g)
{
	struct told *t, *next;

	pd_k8s_reflector_free(&g->reflector, false);
	HASH_ITER(hh, g->told, t, next)
	forget(g, t);
	pd_issues_free(&g->issues);
}

static void expect_told(const struct fake_version *v, void *arg)
{
	struct rig *g = arg;
	struct told *t;

	if (pd_streq(v->ns, g->unwanted))
		return;
	t = find(g, v->ns, v->name);
	if (!t)
		fail_msg("%s/%s@%llu was not told", v->ns, v->name, (unsigned long long)v->rv);
	assert_string_equal(t->value, v->value);
}

static void expect_equal(struct rig *g)
{
	struct told *t, *next;

	fake_each(g->resource, expect_told, g);
	HASH_ITER(hh, g->told, t, next)
	{
		char *slash = strchr(t->key, '/'), *ns = pd_xstrndup(t->key, (size_t)(slash - t->key));

		if (!fake_get(g->resource, ns, slash + 1) || pd_streq(ns, g->unwanted))
			fail_msg("%s was told and is not there", t->key);
		free(ns);
	}
	assert_int_equal(pd_k8s_reflector_status(g->reflector)->objects, HASH_COUNT(g->told));
}

static const struct pd_k8s_reflector_status *status(struct rig *g)
{
	return pd_k8s_reflector_status(g->reflector);
}

static void set(struct rig *g, const char *ns, const char *name, const char *value)
{
	fake_set(g->api, g->resource, ns, name, value);
}

// ---- cases ----------------------------------------------------------------------------------------------------------

static void in_pages(void **state)
{
	struct fake_api api;
	struct rig g;
	char name[16];

	(void)state;
	fake_init(&api, 1);
	rig_start(&g, &api, false);
	g.resource->no_stream = true;
	for (int i = 0; i < 1201; i++) {
		snprintf(name, sizeof(name), "s%d", i);
		set(&g, "default", name, "1");
	}
	fake_settle(&api, 1000);
	expect_equal(&g);
	assert_int_equal(g.resource->lists, 1);
	assert_int_equal(g.resource->pages, 3);
	assert_int_equal(status(&g)->phase, PD_K8S_WATCHING);
	set(&g, "default", "s5", "2");
	set(&g, "default", "s6", NULL);
	fake_settle(&api, 1000);
	expect_equal(&g);
	assert_int_equal(g.puts, 1202);
	rig_stop(&g);
	fake_free(&api);
}

// The list expires between two pages.
static void page_expired(void **state)
{
	struct fake_api api;
	struct rig g;
	char name[16];

	(void)state;
	fake_init(&api, 2);
	api.page = 4;
	rig_start(&g, &api, true);
	g.resource->no_stream = true;
	for (int i = 0; i < 10; i++) {
		snprintf(name, sizeof(name), "s%d", i);
		set(&g, "default", name, "1");
	}
	while (g.resource->pages < 2)
		assert_true(fake_step(&api, 10000));
	set(&g, "default", "s1", NULL);
	fake_compact(&api);
	fake_settle(&api, 10000);
	expect_equal(&g);
	assert_int_equal(g.resource->expired, 1);
	assert_int_equal(status(&g)->expired, 1);
	rig_stop(&g);
	fake_free(&api);
}

// An old version is gone while the watch is down: a streamed list finds what was deleted, and puts only what is new.
static void watch_expired(void **state)
{
	struct fake_api api;
	struct rig g;

	(void)state;
	fake_init(&api, 3);
	rig_start(&g, &api, false);
	set(&g, "a", "kept", "1");
	set(&g, "a", "gone", "1");
	set(&g, "b", "changed", "1");
	fake_settle(&api, 1000);
	expect_equal(&g);
	assert_int_equal(g.puts, 3);
	assert_int_equal(status(&g)->streamed, 1);
	fake_cut_all(&api);
	set(&g, "a", "gone", NULL);
	set(&g, "b", "changed", "2");
	fake_compact(&api);
	fake_settle(&api, 10000);
	expect_equal(&g);
	assert_int_equal(g.puts, 4);
	assert_int_equal(status(&g)->unchanged, 1);
	assert_int_equal(status(&g)->expired, 1);
	assert_string_equal(status(&g)->error, "");
	rig_stop(&g);
	fake_free(&api);
}

static void refused(void **state)
{
	struct fake_api api;
	struct rig g;
	uint64_t lists;

	(void)state;
	fake_init(&api, 4);
	rig_start(&g, &api, false);
	g.resource->refuse = 403;
	set(&g, "a", "x", "1");
	fake_settle(&api, 3600000); // an hour of trying
	assert_int_equal(status(&g)->phase, PD_K8S_FORBIDDEN);
	assert_string_not_equal(status(&g)->error, "");
	assert_true(status(&g)->failures > 30 && status(&g)->failures < 80);
	g.resource->refuse = 0;
	pd_k8s_reflector_nudge(g.reflector);
	fake_settle(&api, 1000);
	expect_equal(&g);
	assert_string_equal(status(&g)->error, "");
	lists = status(&g)->lists;
	// Taken away later: what is known stays in force, and the watch resumes.
	g.resource->refuse = 403;
	fake_cut_all(&api);
	fake_settle(&api, 60000);
	assert_int_equal(status(&g)->phase, PD_K8S_FORBIDDEN);
	assert_int_equal(HASH_COUNT(g.told), 1);
	set(&g, "a", "x", "2");
	g.resource->refuse = 0;
	fake_settle(&api, PD_K8S_DENIED_MAX_MS);
	expect_equal(&g);
	assert_int_equal(status(&g)->lists, lists);
	assert_int_equal(g.puts, 2);
	g.resource->refuse = 404;
	fake_cut_all(&api);
	fake_settle(&api, 60000);
	assert_int_equal(status(&g)->phase, PD_K8S_NOT_SERVED);
	rig_stop(&g);
	fake_free(&api);
}

// A server that comes back denies everybody at first: the long outage before does not count then.
static void denied_at_first(void **state)
{
	struct fake_api api;
	struct rig g;

	(void)state;
	fake_init(&api, 11);
	rig_start(&g, &api, false);
	set(&g, "a", "x", "1");
	fake_settle(&api, 1000);
	g.resource->refuse = 503;
	fake_cut_all(&api);
	fake_settle(&api, 600000);
	g.resource->refuse = 403;
	while (status(&g)->phase != PD_K8S_FORBIDDEN)
		assert_true(fake_step(&api, api.now_ms + PD_K8S_BACKOFF_MAX_MS));
	g.resource->refuse = 0;
	fake_settle(&api, PD_K8S_DENIED_MIN_MS);
	assert_int_equal(status(&g)->phase, PD_K8S_WATCHING);
	rig_stop(&g);
	fake_free(&api);
}

// A server that is down is not asked more often than the back-off allows.
static void back_off(void **state)
{
	struct fake_api api;
	struct rig g;

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		uint64_t ms = pd_k8s_backoff(i, 100, 30000), full = i < 9 ? 100u << i : 30000;

		assert_true(ms >= full / 2 && ms <= full);
	}
	fake_init(&api, 5);
	rig_start(&g, &api, false);
	g.resource->refuse = 503;
	fake_settle(&api, 600000);
	assert_true(status(&g)->failures > 40 && status(&g)->failures < 110);
	assert_int_equal(status(&g)->phase, PD_K8S_WAITING);
	rig_stop(&g);
	fake_free(&api);
}

// An object that does not decode holds up nobody else, and keeps its last good version.
static void broken_object(void **state)
{
	struct fake_api api;
	struct rig g;

	(void)state;
	fake_init(&api, 6);
	rig_start(&g, &api, false);
	set(&g, "a", "x", "1");
	set(&g, "a", "bad", "1");
	fake_settle(&api, 1000);
	expect_equal(&g);
	g.broken = "bad";
	set(&g, "a", "bad", "2");
	set(&g, "a", "x", "2");
	fake_settle(&api, 60000);
	assert_string_equal(find(&g, "a", "x")->value, "2");
	assert_string_equal(find(&g, "a", "bad")->value, "1");
	assert_int_equal(status(&g)->skipped, 1);
	assert_int_equal(status(&g)->broken, PD_K8S_BROKEN_TRIES);
	fake_cut_all(&api);
	fake_compact(&api); // also in a list
	set(&g, "a", "y", "1");
	fake_compact(&api);
	fake_settle(&api, 60000);
	assert_string_equal(find(&g, "a", "bad")->value, "1");
	assert_string_equal(find(&g, "a", "y")->value, "1");
	g.broken = NULL;
	set(&g, "a", "bad", "3");
	fake_settle(&api, 60000);
	expect_equal(&g);
	rig_stop(&g);
	fake_free(&api);
}

static void namespaces(void **state)
{
	struct fake_api api;
	struct rig g;

	(void)state;
	fake_init(&api, 7);
	rig_start(&g, &api, false);
	g.unwanted = "b";
	set(&g, "a", "x", "1");
	set(&g, "b", "x", "1");
	set(&g, "b", "y", "1");
	fake_settle(&api, 1000);
	expect_equal(&g);
	assert_int_equal(g.puts, 1);
	g.unwanted = NULL;
	pd_k8s_reflector_fetch(g.reflector, "b");
	set(&g, "b", "y", NULL); // while the list is on its way
	set(&g, "b", "x", "2");
	fake_settle(&api, 1000);
	expect_equal(&g);
	g.unwanted = "a";
	pd_k8s_reflector_prune(g.reflector);
	expect_equal(&g);
	set(&g, "a", "x", "3");
	fake_settle(&api, 1000);
	expect_equal(&g);
	assert_int_equal(status(&g)->objects, 1);
	rig_stop(&g);
	fake_free(&api);
}

// More namespaces than are fetched one by one: everything is listed.
static void many_namespaces(void **state)
{
	struct fake_api api;
	struct rig g;
	char ns[16];

	(void)state;
	fake_init(&api, 8);
	rig_start(&g, &api, false);
	fake_settle(&api, 1000);
	for (int i = 0; i <= PD_K8S_FETCHES_MAX; i++) {
		snprintf(ns, sizeof(ns), "n%d", i);
		set(&g, ns, "x", "1");
		pd_k8s_reflector_fetch(g.reflector, ns);
	}
	assert_int_equal(status(&g)->lists, 2);
	fake_settle(&api, 1000);
	expect_equal(&g);
	rig_stop(&g);
	fake_free(&api);
}

static void moved_and_forgotten(void **state)
{
	struct fake_api api;
	struct rig g;
	struct fake_resource *other;

	(void)state;
	fake_init(&api, 9);
	rig_start(&g, &api, true);
	set(&g, "a", "x", "1");
	fake_settle(&api, 1000);
	other = fake_add(&api, "/apis/networking.istio.io/v1beta1", "destinationrules");
	other->json = true;
	pd_vec_push(&other->history,
		    (struct fake_version){api.rv, false, pd_xstrdup("a"), pd_xstrdup("x"), pd_xstrdup("1")});
	g.resource->refuse = 404;
	g.resource = other;
	pd_k8s_reflector_move(g.reflector, other->base);
	fake_settle(&api, 1000);
	expect_equal(&g);
	assert_int_equal(g.puts, 1); // the same version of the same object
	set(&g, "a", "x", "2");
	fake_settle(&api, 1000);
	expect_equal(&g);
	pd_k8s_reflector_free(&g.reflector, true);
	assert_int_equal(HASH_COUNT(g.told), 0);
	assert_int_equal(g.removes, 1);
	rig_stop(&g);
	fake_free(&api);
}

// A server that is set back to an earlier state counts, whatever its versions are.
static void set_back(void **state)
{
	struct fake_api api;
	struct rig g;

	(void)state;
	fake_init(&api, 10);
	rig_start(&g, &api, false);
	api.rv = 5000;
	set(&g, "a", "x", "new");
	fake_settle(&api, 1000);
	for (size_t i = 0; i < g.resource->history.n; i++) {
		g.resource->history.v[i].rv = 10;
		free(g.resource->history.v[i].value);
		g.resource->history.v[i].value = pd_xstrdup("old");
	}
	api.rv = 20;
	g.resource->compacted = 20000; // makes the next watch expire
	fake_cut_all(&api);
	while (g.resource->expired < 1)
		assert_true(fake_step(&api, 100000));
	g.resource->compacted = 0;
	fake_settle(&api, 10000);
	expect_equal(&g);
	set(&g, "a", "x", "newer");
	fake_settle(&api, 10000);
	expect_equal(&g);
	rig_stop(&g);
	fake_free(&api);
}

// ---- at random ------------------------------------------------------------------------------------------------------

static void random_change(struct rig *g)
{
	char ns[8], name[8], value[16];

	snprintf(ns, sizeof(ns), "n%u", fake_random(g->api, 3));
	snprintf(name, sizeof(name), "o%u", fake_random(g->api, 12));
	snprintf(value, sizeof(value), "v%u", fake_random(g->api, 1000));
	set(g, ns, name, fake_random(g->api, 3) ? value : NULL);
}

static void one_run(uint32_t seed)
{
	struct fake_api api;
	struct rig g[2];

	fake_init(&api, seed);
	api.page = 1 + fake_random(&api, 6);
	for (int i = 0; i < 2; i++) {
		rig_start(&g[i], &api, i);
		g[i].resource->no_stream = fake_random(&api, 2);
	}
	api.faults = (struct fake_faults){.cut = fake_random(&api, 60),
					  .garbage = fake_random(&api, 30),
					  .repeat = fake_random(&api, 300),
					  .early = fake_random(&api, 200),
					  .refuse = fake_random(&api, 200),
					  .bookmark = fake_random(&api, 100),
					  .end = fake_random(&api, 50)};
	for (int round = 0; round < 4; round++) {
		for (int i = 0; i < 150; i++) {
			random_change(&g[fake_random(&api, 2)]);
			if (!fake_random(&api, 60))
				fake_compact(&api);
			for (uint32_t n = fake_random(&api, 12); n; n--)
				fake_step(&api, api.now_ms + 1000);
		}
		struct fake_faults faults = api.faults;

		api.faults = (struct fake_faults){0};
		fake_cut_all(&api); // a stream that garbage has put out of step ends with its time
		fake_settle(&api, 120000);
		expect_equal(&g[0]);
		expect_equal(&g[1]);
		api.faults = faults;
	}
	rig_stop(&g[0]);
	rig_stop(&g[1]);
	fake_free(&api);
}

static void at_random(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 40; seed++)
		one_run(seed * 7919);
}

// ---- the table ------------------------------------------------------------------------------------------------------

static void table(void **state)
{
	struct pd_k8s_known k = {0};
	const char *ns = pd_intern("ns"), *names[500];
	bool there[500] = {false};
	struct fake_api dice = {.random = 99};
	char name[16];
	size_t n = 0;

	(void)state;
	for (int i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		names[i] = pd_intern(name);
	}
	for (int i = 0; i < 20000; i++) {
		uint32_t at = fake_random(&dice, 500);
		struct pd_k8s_known_entry *e = pd_k8s_known_get(&k, ns, names[at]);

		assert_int_equal(e != NULL, there[at]);
		if (e) {
			assert_int_equal(e->rv, at);
			pd_k8s_known_remove(&k, e);
		} else {
			pd_k8s_known_add(&k, ns, names[at])->rv = at;
		}
		n += there[at] ? (size_t)-1 : 1;
		there[at] = !there[at];
		assert_int_equal(k.n, n);
	}
	assert_true(pd_k8s_known_memory(&k) <= k.n * 80 + 1024);
	pd_k8s_known_free(&k);
	for (int i = 0; i < 500; i++)
		pd_unintern(names[i]);
	pd_unintern(ns);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table),
		cmocka_unit_test(in_pages),
		cmocka_unit_test(page_expired),
		cmocka_unit_test(watch_expired),
		cmocka_unit_test(refused),
		cmocka_unit_test(back_off),
		cmocka_unit_test(denied_at_first),
		cmocka_unit_test(broken_object),
		cmocka_unit_test(namespaces),
		cmocka_unit_test(many_namespaces),
		cmocka_unit_test(moved_and_forgotten),
		cmocka_unit_test(set_back),
		cmocka_unit_test(at_random),
	};

	pd_log_set_levels("none") == PD_OK ? (void)0 : abort();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
