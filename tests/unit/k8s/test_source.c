// A whole source against the API server of fake_api.h: what the sink has equals what the server has, of what is selected.
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <uthash.h>
#include <cmocka.h>

#include "base/log.h"
#include "k8s/source.h"
#include "tests/unit/k8s/fake_api.h"

struct kept {
	char *key; // kind/ns/name
	struct pd_object *object;
	UT_hash_handle hh;
};

struct rig {
	struct pd_sink sink; // first: it is what the source knows
	struct fake_api api;
	struct fake_resource *services, *namespaces, *maps, *definitions, *rules;
	struct pd_issues *issues;
	struct pd_k8s_source *source;
	struct pd_buf core, groups; // what discovery says
	struct kept *kept;
	unsigned batches, mores, synced, effective;
	struct pd_buf mesh;          // what the callback was told, one line each
	const char *const *selected; // label values to select when the mesh is told; NULL = no selectors
	const char *team;            // the selector in force; NULL = none
};

// ---- the sink -------------------------------------------------------------------------------------------------------

static void keep(struct rig *g, const struct pd_key *key, struct pd_object *o)
{
	char *name = pd_xasprintf("%s/%s/%s", pd_kind_info(key->kind)->plural, key->ns, key->name);
	struct kept *k;

	assert_string_equal(key->cluster, "c1");
	HASH_FIND_STR(g->kept, name, k);
	g->effective += !k || !o || k->object->hash != o->hash;
	if (k) {
		HASH_DEL(g->kept, k);
		pd_obj_unref(k->object);
		free(k->key);
		free(k);
	}
	if (!o) {
		free(name);
		return;
	}
	k = pd_xcalloc(1, sizeof(*k));
	k->key = name;
	k->object = o;
	HASH_ADD_KEYPTR(hh, g->kept, k->key, strlen(k->key), k);
}

static void on_changes(struct pd_sink *sink, struct pd_change *v, size_t n, bool more)
{
	struct rig *g = (struct rig *)sink;

	assert_true(n > 0 && n <= PD_K8S_BATCH);
	g->batches++;
	g->mores += more;
	for (size_t i = 0; i < n; i++)
		keep(g, &v[i].key, v[i].next);
}

static void on_synced(struct pd_sink *sink, const char *source)
{
	struct rig *g = (struct rig *)sink;

	assert_string_equal(source, "k8s:c1");
	g->synced++;
}

static struct pd_object *kept(struct rig *g, const char *key)
{
	struct kept *k;

	HASH_FIND_STR(g->kept, key, k);
	return k ? k->object : NULL;
}

// ---- the rig --------------------------------------------------------------------------------------------------------

static void select_team(struct rig *g, const char *team)
{
	Istio__LabelSelector s = ISTIO__LABEL_SELECTOR__INIT, *list[] = {&s};
	Istio__LabelSelector__MatchLabelsEntry e = ISTIO__LABEL_SELECTOR__MATCH_LABELS_ENTRY__INIT, *entries[] = {&e};

	e.key = (char *)"team";
	e.value = (char *)team;
	s.n_matchlabels = 1;
	s.matchlabels = entries;
	g->team = team;
	pd_k8s_source_select(g->source, list, team ? 1 : 0);
}

static void on_mesh(void *arg, const char *mesh, const char *networks)
{
	struct rig *g = arg;

	assert_null(networks);
	pd_buf_printf(&g->mesh, "%s\n", mesh ? mesh : "-");
	if (g->selected)
		select_team(g, g->selected[0]);
}

#define RESOURCE(name) "{\"resource\":\"" name "\",\"verbs\":[\"get\",\"list\",\"watch\"]},"

static void answer(struct rig *g, const char *path, const char *body)
{
	for (size_t i = 0; i < g->api.answers.n; i++)
		if (!strcmp(g->api.answers.v[i].path, path)) {
			g->api.answers.v[i].body = body;
			return;
		}
	pd_vec_push(&g->api.answers, (struct fake_answer){.path = path, .body = body, .code = 200});
}

// What discovery says; `version` of destinationrules, NULL = they are not served.
static void serve_rules(struct rig *g, const char *version)
{
	pd_buf_reset(&g->groups);
	pd_buf_printf(&g->groups,
		      "{\"kind\":\"APIGroupDiscoveryList\",\"items\":[{\"metadata\":{\"name\":"
		      "\"networking.istio.io\"},\"versions\":[{\"version\":\"%s\",\"resources\":[%s"
		      "{\"resource\":\"gateways\",\"verbs\":[\"get\"]}]}]}]}",
		      version ? version : "v1", version ? RESOURCE("destinationrules") : "");
	answer(g, "/apis", g->groups.p);
	if (version)
		g->rules->base =
			pd_streq(version, "v1") ? "/apis/networking.istio.io/v1" : "/apis/networking.istio.io/v1beta1";
	g->rules->refuse = version ? 0 : 404;
}

static void rig_init(struct rig *g, uint32_t seed)
{
	memset(g, 0, sizeof(*g));
	g->sink = (struct pd_sink){on_changes, on_synced};
	fake_init(&g->api, seed);
	g->services = fake_add(&g->api, "/api/v1", "services");
	g->namespaces = fake_add(&g->api, "/api/v1", "namespaces");
	g->maps = fake_add(&g->api, "/api/v1", "configmaps");
	g->definitions = fake_add(&g->api, "/apis/apiextensions.k8s.io/v1", "customresourcedefinitions");
	g->rules = fake_add(&g->api, "/apis/networking.istio.io/v1", "destinationrules");
	g->rules->json = true;
	g->issues = pd_issues_new();
	pd_buf_adds(&g->mesh, "");
	answer(g, "/api",
	       "{\"kind\":\"APIGroupDiscoveryList\",\"items\":[{\"metadata\":{\"name\":\"\"},\"versions\":["
	       "{\"version\":\"v1\",\"resources\":[" RESOURCE("services") RESOURCE("namespaces")
		       RESOURCE("configmaps") "{}]}]}]}");
	serve_rules(g, NULL);
}

static void rig_start(struct rig *g)
{
	struct pd_k8s_transport transport = fake_transport(&g->api);
	struct pd_k8s_source_config cfg = {.transport = &transport,
					   .cluster = "c1",
					   .sink = &g->sink,
					   .issues = g->issues,
					   .mesh_namespace = "istio-system",
					   .mesh_name = "istio",
					   .mesh = on_mesh,
					   .arg = g};

	assert_int_equal(pd_k8s_source_start(&cfg, &g->source), PD_OK);
}

static void *stop_it(void *arg)
{
	struct rig *g = arg;

	pd_k8s_source_stop(&g->source, true);
	return NULL;
}

// The loop is this thread: somebody else has to wait for it.
static void rig_stop(struct rig *g)
{
	pthread_t t;

	pthread_create(&t, NULL, stop_it, g);
	while (HASH_COUNT(g->kept) || g->api.calls.n || g->api.timers.n) {
		fake_step(&g->api, 0);
		usleep(100);
	}
	pthread_join(t, NULL);
	assert_int_equal(pd_issues_count(g->issues), 0);
	pd_issues_free(&g->issues);
	pd_buf_free(&g->mesh);
	pd_buf_free(&g->groups);
	fake_free(&g->api);
}

static void set(struct rig *g, struct fake_resource *r, const char *ns, const char *name, const char *value)
{
	fake_set(&g->api, r, ns, name, value);
}

static const struct pd_k8s_kind_status *status_of(struct rig *g, enum pd_kind kind)
{
	static struct pd_k8s_source_stats stats;

	pd_k8s_source_stats(g->source, &stats);
	for (size_t i = 0; i < stats.n; i++)
		if (stats.v[i].kind == kind)
			return &stats.v[i];
	return NULL;
}

// ---- what has to be there -------------------------------------------------------------------------------------------

struct expectation {
	struct rig *rig;
	struct fake_resource *resource;
	size_t n;
};

static bool is_selected(struct rig *g, const char *ns)
{
	const struct fake_version *v = *ns && g->team ? fake_get(g->namespaces, "", ns) : NULL;

	return !*ns || !g->team || (v && !strcmp(v->value, g->team));
}

static void expect(const struct fake_version *v, void *arg)
{
	struct expectation *e = arg;
	char *key = pd_xasprintf("%s/%s/%s", e->resource->plural, v->ns, v->name);

	if (is_selected(e->rig, v->ns)) {
		if (!kept(e->rig, key))
			fail_msg("%s is missing", key);
		e->n++;
	}
	free(key);
}

static void expect_equal(struct rig *g)
{
	struct expectation e = {.rig = g};
	struct fake_resource *const all[] = {g->services, g->namespaces, g->rules->refuse ? NULL : g->rules};

	for (size_t i = 0; i < 3; i++)
		if (all[i]) {
			e.resource = all[i];
			fake_each(all[i], expect, &e);
		}
	assert_int_equal(HASH_COUNT(g->kept), e.n);
}

// ---- cases ----------------------------------------------------------------------------------------------------------

static void starts(void **state)
{
	struct rig g;

	(void)state;
	rig_init(&g, 1);
	set(&g, g.maps, "istio-system", "istio", "one");
	set(&g, g.maps, "istio-system", "other", "no");
	set(&g, g.namespaces, "", "a", "x");
	set(&g, g.services, "a", "s", "10.0.0.1");
	rig_start(&g);
	fake_settle(&g.api, 1000);
	assert_int_equal(g.synced, 1);
	expect_equal(&g);
	assert_string_equal(g.mesh.p, "one\n");
	assert_null(kept(&g, "configmaps/istio-system/istio"));
	assert_int_equal(g.mores, g.batches - 1); // the last says that it is the last
	set(&g, g.services, "a", "s", "10.0.0.2");
	set(&g, g.maps, "istio-system", "istio", "two");
	fake_settle(&g.api, 1000);
	assert_int_equal(g.mores, g.batches - 2);
	assert_string_equal(g.mesh.p, "one\ntwo\n");
	set(&g, g.maps, "istio-system", "istio", NULL);
	fake_settle(&g.api, 1000);
	assert_string_equal(g.mesh.p, "one\ntwo\n-\n");
	expect_equal(&g);
	assert_int_equal(g.synced, 1);
	assert_int_equal(status_of(&g, PD_KIND_SERVICE)->reflector.objects, 1);
	assert_string_equal(status_of(&g, PD_KIND_SERVICE)->version, "v1");
	assert_null(status_of(&g, PD_KIND_DESTINATION_RULE)->version);
	assert_null(status_of(&g, PD_KIND_SECRET));
	rig_stop(&g);
}

static void definitions_come_and_go(void **state)
{
	struct rig g;
	uint64_t from;
	unsigned effective;

	(void)state;
	rig_init(&g, 2);
	set(&g, g.namespaces, "", "a", "x");
	rig_start(&g);
	fake_settle(&g.api, 1000);
	assert_int_equal(g.synced, 1);
	set(&g, g.definitions, "", "destinationrules.networking.istio.io", "1");
	set(&g, g.definitions, "", "nobodys.example.com", "1");
	set(&g, g.rules, "a", "r", "host");
	from = g.api.now_ms;
	while (g.api.now_ms < from + 1000) // the server takes its time to serve it
		if (!fake_step(&g.api, from + 1000))
			g.api.now_ms = from + 1000;
	serve_rules(&g, "v1");
	fake_settle(&g.api, 4000);
	assert_non_null(kept(&g, "destinationrules/a/r"));
	expect_equal(&g);
	effective = g.effective;
	serve_rules(&g, "v1beta1");
	set(&g, g.definitions, "", "destinationrules.networking.istio.io", "2");
	fake_settle(&g.api, 5000);
	assert_string_equal(status_of(&g, PD_KIND_DESTINATION_RULE)->version, "v1beta1");
	assert_int_equal(g.effective, effective); // the same objects
	set(&g, g.rules, "a", "r2", "host");
	fake_settle(&g.api, 5000);
	expect_equal(&g);
	serve_rules(&g, NULL);
	set(&g, g.definitions, "", "destinationrules.networking.istio.io", NULL);
	fake_settle(&g.api, 5000);
	assert_null(status_of(&g, PD_KIND_DESTINATION_RULE)->version);
	assert_null(kept(&g, "destinationrules/a/r"));
	expect_equal(&g);
	rig_stop(&g);
}

// Nothing waits for what is forbidden, or for discovery of definitions that are.
static void forbidden(void **state)
{
	struct rig g;

	(void)state;
	rig_init(&g, 3);
	serve_rules(&g, "v1");
	g.rules->refuse = g.definitions->refuse = g.maps->refuse = 403;
	set(&g, g.namespaces, "", "a", "x");
	set(&g, g.services, "a", "s", "10.0.0.1");
	rig_start(&g);
	fake_settle(&g.api, 1000);
	assert_int_equal(g.synced, 1);
	assert_string_equal(g.mesh.p, "-\n");
	expect_equal(&g);
	assert_int_equal(status_of(&g, PD_KIND_DESTINATION_RULE)->reflector.phase, PD_K8S_FORBIDDEN);
	g.rules->refuse = 0;
	set(&g, g.rules, "a", "r", "host");
	fake_settle(&g.api, 60000);
	expect_equal(&g);
	serve_rules(&g, NULL); // found by looking now and then
	fake_settle(&g.api, 2 * PD_K8S_KINDS_POLL_BLIND_MS);
	expect_equal(&g);
	rig_stop(&g);
}

static void namespaces_selected(void **state)
{
	static const char *const red[] = {"red"};
	struct rig g;

	(void)state;
	rig_init(&g, 4);
	g.selected = red;
	serve_rules(&g, "v1");
	set(&g, g.namespaces, "", "a", "red");
	set(&g, g.namespaces, "", "b", "blue");
	set(&g, g.services, "a", "s", "10.0.0.1");
	set(&g, g.services, "b", "s", "10.0.0.1");
	set(&g, g.rules, "b", "r", "host");
	rig_start(&g);
	fake_settle(&g.api, 1000);
	expect_equal(&g);
	assert_int_equal(g.effective, 3); // nothing was delivered and taken back
	set(&g, g.namespaces, "", "b", "red");
	fake_settle(&g.api, 1000);
	assert_non_null(kept(&g, "destinationrules/b/r"));
	expect_equal(&g);
	set(&g, g.namespaces, "", "a", "blue");
	set(&g, g.services, "c", "early", "10.0.0.3"); // before its namespace
	fake_settle(&g.api, 1000);
	expect_equal(&g);
	set(&g, g.namespaces, "", "c", "red");
	fake_settle(&g.api, 1000);
	assert_non_null(kept(&g, "services/c/early"));
	expect_equal(&g);
	select_team(&g, "blue");
	fake_settle(&g.api, 1000);
	expect_equal(&g);
	assert_null(kept(&g, "services/c/early"));
	select_team(&g, NULL);
	fake_settle(&g.api, 1000);
	expect_equal(&g);
	select_team(&g, "red");
	set(&g, g.namespaces, "", "b", NULL);
	set(&g, g.services, "b", "s", NULL);
	set(&g, g.rules, "b", "r", NULL);
	fake_settle(&g.api, 1000);
	expect_equal(&g);
	rig_stop(&g);
}

// The older form of discovery, and a server that fails at first.
static void older_discovery(void **state)
{
	struct rig g;

	(void)state;
	rig_init(&g, 5);
	serve_rules(&g, "v1");
	answer(&g, "/apis", "not json");
	set(&g, g.namespaces, "", "a", "x");
	set(&g, g.rules, "a", "r", "host");
	rig_start(&g);
	fake_settle(&g.api, 1000);
	assert_int_equal(g.synced, 0);
	answer(&g, "/apis",
	       "{\"kind\":\"APIGroupList\",\"groups\":[{\"name\":\"networking.istio.io\",\"versions\":["
	       "{\"version\":\"v1\"},{\"version\":\"v9\"}]},{\"name\":\"apps\",\"versions\":[{\"version\":"
	       "\"v1\"}]}]}");
	answer(&g, "/api", "{\"kind\":\"APIVersions\",\"versions\":[\"v1\"]}");
	answer(&g, "/api/v1",
	       "{\"kind\":\"APIResourceList\",\"groupVersion\":\"v1\",\"resources\":[{\"name\":"
	       "\"services\",\"verbs\":[\"list\",\"watch\"]},{\"name\":\"namespaces\",\"verbs\":"
	       "[\"list\",\"watch\"]},{\"name\":\"pods\",\"verbs\":[\"list\"]}]}");
	answer(&g, "/apis/networking.istio.io/v1",
	       "{\"kind\":\"APIResourceList\",\"groupVersion\":\"networking.istio.io/v1\",\"resources\":[{\"name\":"
	       "\"destinationrules\",\"verbs\":[\"list\",\"watch\"]}]}");
	fake_settle(&g.api, 20000);
	assert_int_equal(g.synced, 1);
	expect_equal(&g);
	assert_null(status_of(&g, PD_KIND_POD)->version);
	rig_stop(&g);
}

// ---- at random ------------------------------------------------------------------------------------------------------

static void random_change(struct rig *g)
{
	static const char *const teams[] = {"red", "blue"};
	char ns[8], name[8], value[16];

	snprintf(ns, sizeof(ns), "n%u", fake_random(&g->api, 12));
	snprintf(name, sizeof(name), "o%u", fake_random(&g->api, 6));
	snprintf(value, sizeof(value), "v%u", fake_random(&g->api, 1000));
	switch (fake_random(&g->api, 16)) {
	case 0:
		set(g, g->namespaces, "", ns, fake_random(&g->api, 4) ? teams[fake_random(&g->api, 2)] : NULL);
		break;
	case 1:
		if (!fake_random(&g->api, 8))
			select_team(g, fake_random(&g->api, 3) ? teams[fake_random(&g->api, 2)] : NULL);
		break;
	case 2:
		if (!fake_random(&g->api, 8))
			fake_compact(&g->api);
		break;
	default:
		set(g, fake_random(&g->api, 2) ? g->services : g->rules, ns, name,
		    fake_random(&g->api, 3) ? value : NULL);
	}
}

static void one_run(uint32_t seed)
{
	struct rig g;

	rig_init(&g, seed);
	serve_rules(&g, "v1");
	g.api.page = 1 + fake_random(&g.api, 8);
	g.services->no_stream = fake_random(&g.api, 2);
	rig_start(&g);
	for (int round = 0; round < 4; round++) {
		g.api.faults = (struct fake_faults){.cut = fake_random(&g.api, 40),
						    .repeat = fake_random(&g.api, 200),
						    .refuse = fake_random(&g.api, 150),
						    .bookmark = fake_random(&g.api, 100),
						    .end = fake_random(&g.api, 40)};
		for (int i = 0; i < 200; i++) {
			random_change(&g);
			for (uint32_t n = fake_random(&g.api, 15); n; n--)
				fake_step(&g.api, g.api.now_ms + 1000);
		}
		g.api.faults = (struct fake_faults){0};
		fake_settle(&g.api, 120000);
		assert_int_equal(g.synced, 1);
		expect_equal(&g);
	}
	rig_stop(&g);
}

static void at_random(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 20; seed++)
		one_run(seed * 104729);
}

// ---- threads --------------------------------------------------------------------------------------------------------

struct loop {
	struct rig *rig;
	atomic_bool stop;
};

static void *run_loop(void *arg)
{
	struct loop *l = arg;

	while (!atomic_load(&l->stop))
		if (!fake_step(&l->rig->api, l->rig->api.now_ms))
			usleep(100);
	return NULL;
}

// Other threads ask and tell while the loop runs.
static void threads(void **state)
{
	static struct pd_k8s_source_stats stats;
	struct loop loop = {0};
	struct rig g;
	pthread_t t;

	(void)state;
	rig_init(&g, 6);
	serve_rules(&g, "v1");
	set(&g, g.namespaces, "", "a", "red");
	for (int i = 0; i < 50; i++) {
		char name[16];

		snprintf(name, sizeof(name), "s%d", i);
		set(&g, g.services, "a", name, "10.0.0.1");
	}
	loop.rig = &g;
	pthread_create(&t, NULL, run_loop, &loop);
	rig_start(&g);
	do {
		pd_k8s_source_stats(g.source, &stats);
		usleep(100);
	} while (!stats.synced);
	for (int i = 0; i < 20; i++)
		select_team(&g, i % 2 ? "red" : "blue");
	do {
		pd_k8s_source_stats(g.source, &stats);
		usleep(100);
	} while (stats.selected != 1);
	pd_k8s_source_stop(&g.source, true);
	atomic_store(&loop.stop, true);
	pthread_join(t, NULL);
	assert_int_equal(HASH_COUNT(g.kept), 0);
	rig_stop(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(starts),          cmocka_unit_test(definitions_come_and_go),
		cmocka_unit_test(forbidden),       cmocka_unit_test(namespaces_selected),
		cmocka_unit_test(older_discovery), cmocka_unit_test(at_random),
		cmocka_unit_test(threads),
	};

	pd_log_set_levels("none") == PD_OK ? (void)0 : abort();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
