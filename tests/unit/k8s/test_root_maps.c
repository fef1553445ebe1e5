// Roots in namespaces, against a server of objects: each selected namespace has them, whatever happens to its ConfigMap.
#include "k8s/root_maps.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"
#include "k8s/core.pb-c.h"
#include "k8s/leader.h"
#include "object_server.h"

#define AGAIN_MS 50
#define LOCK "/api/v1/namespaces/sys/configmaps/" PD_K8S_LOCK_NAMESPACES
#define MAP(ns) "/api/v1/namespaces/" ns "/configmaps/roots"
#define IS(ns, pem)                                                                                                    \
	"{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"namespace\":\"" ns                              \
	"\",\"name\":\"roots\",\"labels\":{\"istio.io/config\":\"true\"}},\"data\":{\"root-cert.pem\":\"" pem "\"}}"

struct rig {
	char *dir;
	struct os *server;
	struct pd_k8s_client *client;
	struct pd_k8s_root_maps *maps;
};

static int set_up(void **state)
{
	struct rig *r = pd_xcalloc(1, sizeof(*r));

	r->dir = rig_dir();
	r->server = os_start();
	r->client = rig_client(r->dir, hs_port(r->server->http), NULL);
	*state = r;
	return 0;
}

static int tear_down(void **state)
{
	struct rig *r = *state;

	pd_k8s_root_maps_stop(&r->maps);
	pd_k8s_client_free(&r->client);
	os_stop(&r->server);
	rig_dir_free(&r->dir);
	free(r);
	return 0;
}

static void start(struct rig *r)
{
	struct pd_k8s_root_maps_options o = {.client = r->client,
					     .name = "roots",
					     .system_ns = "sys",
					     .identity = "me",
					     .again_ms = AGAIN_MS};

	assert_int_equal(pd_k8s_root_maps_start(&o, &r->maps), PD_OK);
}

// A Namespace with the label team=TEAM.
static void put_namespace(struct rig *r, const char *name, const char *team)
{
	struct pd_key key = {.kind = PD_KIND_NAMESPACE, .cluster = "c1", .ns = "", .name = name};
	K8s__ObjectMeta__LabelsEntry label = K8S__OBJECT_META__LABELS_ENTRY__INIT, *labels[] = {&label};
	K8s__ObjectMeta meta = K8S__OBJECT_META__INIT;
	K8s__Namespace ns = K8S__NAMESPACE__INIT;
	struct pd_object *o;

	label.key = (char *)"team";
	label.value = (char *)team;
	meta.name = (char *)name;
	meta.labels = labels;
	meta.n_labels = 1;
	ns.metadata = &meta;
	o = pd_object_build(&key, &meta, &ns.base, NULL, "test");
	pd_k8s_root_maps_namespace(r->maps, name, o);
	pd_obj_unref(o);
}

// Waits until the object is there with this in it (NULL: is gone).
static bool becomes(struct rig *r, const char *path, const char *part)
{
	uint64_t until = pd_now_ms() + RIG_WAIT_MS;

	for (bool is = false; pd_now_ms() < until;) {
		char *json = os_get(r->server, path);

		is = part ? json && strstr(json, part) : !json;
		free(json);
		if (is)
			return true;
		nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
	}
	return false;
}

static void test_each_namespace(void **state)
{
	struct rig *r = *state;
	char *json;

	start(r);
	put_namespace(r, "a", "x");
	put_namespace(r, "kube-public", "x");
	pd_k8s_root_maps_set(r->maps, "");
	assert_true(becomes(r, LOCK, "me"));
	pd_k8s_root_maps_set(r->maps, "ONE");
	put_namespace(r, "b", "x");
	assert_true(becomes(r, MAP("a"), "ONE"));
	assert_true(becomes(r, MAP("b"), "\"root-cert.pem\":\"ONE\""));
	json = os_get(r->server, MAP("b"));
	assert_non_null(strstr(json, "\"labels\":{\"istio.io/config\":\"true\"}"));
	free(json);
	pd_k8s_root_maps_set(r->maps, "TWO");
	assert_true(becomes(r, MAP("a"), "TWO"));
	assert_true(becomes(r, MAP("b"), "TWO"));
	assert_null(os_get(r->server, MAP("kube-public")));
	assert_int_equal(rig_count(&r->server->log, "POST /api/v1/namespaces/kube-public"), 0);
}

static void test_deleted_and_altered(void **state)
{
	struct rig *r = *state;

	start(r);
	put_namespace(r, "a", "x");
	pd_k8s_root_maps_set(r->maps, "ONE");
	assert_true(becomes(r, MAP("a"), "ONE"));
	os_remove(r->server, MAP("a"));
	assert_true(becomes(r, MAP("a"), "ONE"));
	os_put(r->server, MAP("a"), IS("a", "WRONG"));
	assert_true(becomes(r, MAP("a"), "ONE"));
	os_put(r->server, MAP("a"),
	       "{\"metadata\":{\"namespace\":\"a\",\"name\":\"roots\"},\"data\":{\"root-cert.pem\":\"ONE\"}}");
	assert_true(becomes(r, MAP("a"), "istio.io/config"));
	// where there is no namespace nobody minds
	pd_k8s_root_maps_namespace(r->maps, "a", NULL);
	os_put(r->server, MAP("a"), IS("a", "WRONG"));
	os_put(r->server, MAP("b"), IS("b", "WRONG"));
	put_namespace(r, "c", "x");
	assert_true(becomes(r, MAP("c"), "ONE"));
	assert_true(becomes(r, MAP("a"), "WRONG"));
	assert_true(becomes(r, MAP("b"), "WRONG"));
}

// What is right already is not even read.
static void test_nothing_to_do(void **state)
{
	struct rig *r = *state;

	os_put(r->server, MAP("a"), IS("a", "ONE"));
	start(r);
	put_namespace(r, "a", "x");
	put_namespace(r, "b", "x");
	pd_k8s_root_maps_set(r->maps, "ONE");
	assert_true(becomes(r, MAP("b"), "ONE"));
	assert_int_equal(rig_count(&r->server->log, " " MAP("a")), 0);
}

static void test_selected(void **state)
{
	Istio__LabelSelector s = ISTIO__LABEL_SELECTOR__INIT, *list[] = {&s};
	Istio__LabelSelector__MatchLabelsEntry e = ISTIO__LABEL_SELECTOR__MATCH_LABELS_ENTRY__INIT, *entries[] = {&e};
	struct rig *r = *state;

	e.key = (char *)"team";
	e.value = (char *)"x";
	s.matchlabels = entries;
	s.n_matchlabels = 1;
	start(r);
	pd_k8s_root_maps_select(r->maps, list, 1);
	put_namespace(r, "a", "y");
	put_namespace(r, "b", "x");
	pd_k8s_root_maps_set(r->maps, "ONE");
	assert_true(becomes(r, MAP("b"), "ONE"));
	assert_true(becomes(r, MAP("a"), NULL));
	put_namespace(r, "a", "x"); // its label changes
	assert_true(becomes(r, MAP("a"), "ONE"));
	put_namespace(r, "c", "y");
	put_namespace(r, "d", "x");
	assert_true(becomes(r, MAP("d"), "ONE"));
	assert_true(becomes(r, MAP("c"), NULL));
	pd_k8s_root_maps_select(r->maps, NULL, 0);
	assert_true(becomes(r, MAP("c"), "ONE"));
}

// Somebody else leads: what they do is followed, and nothing is written.
static void test_not_the_leader(void **state)
{
	struct rig *r = *state;

	os_put(r->server, LOCK,
	       "{\"metadata\":{\"annotations\":{\"control-plane.alpha.kubernetes.io/leader\":\"{\\\"holderIdentity\\\":"
	       "\\\"other\\\",\\\"leaseDurationSeconds\\\":30,\\\"acquireTime\\\":\\\"2026-01-01T00:00:00Z\\\",\\\"renewTime\\\":"
	       "\\\"2026-01-01T00:00:00Z\\\",\\\"leaderTransitions\\\":0}\"}}}");
	start(r);
	put_namespace(r, "a", "x");
	pd_k8s_root_maps_set(r->maps, "ONE");
	rig_wait(&r->server->log, "GET " LOCK);
	rig_settle(r->client);
	nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
	assert_null(os_get(r->server, MAP("a")));
	assert_int_equal(rig_count(&r->server->log, MAP("a")), 0);
}

static void test_refused_is_tried_again(void **state)
{
	struct rig *r = *state;

	start(r);
	assert_true(becomes(r, LOCK, "me"));
	os_fault(r->server, 403);
	os_fault(r->server, 403);
	put_namespace(r, "a", "x");
	pd_k8s_root_maps_set(r->maps, "ONE");
	assert_true(becomes(r, MAP("a"), "ONE"));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_each_namespace), TEST(test_deleted_and_altered), TEST(test_nothing_to_do),
		TEST(test_selected),       TEST(test_not_the_leader),      TEST(test_refused_is_tried_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
