// Writes against a server of objects: what is sent, order, retries, conflicts, rate, fencing, limits.
#include "k8s/write.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/json.h"
#include "base/clock.h"
#include "k8s/leader.h"
#include "k8s/write_impl.h"
#include "k8s/write_objects.h"
#include "object_server.h"

#define MAPS "/api/v1/namespaces/ns/configmaps"

struct rig {
	char *dir;
	struct os *server;
	struct pd_k8s_client *client;
	struct pd_k8s_writer *writer;
	struct rig_log log;
	int changes;
};

static int set_up(void **state)
{
	struct rig *r = pd_xcalloc(1, sizeof(*r));

	rig_log_init(&r->log);
	r->dir = rig_dir();
	r->server = os_start();
	r->client = rig_client(r->dir, hs_port(r->server->http), NULL);
	r->writer = pd_k8s_writer_new(&(struct pd_k8s_writer_options){.client = r->client});
	*state = r;
	return 0;
}

static int tear_down(void **state)
{
	struct rig *r = *state;

	pd_k8s_writer_free(&r->writer);
	pd_k8s_client_free(&r->client);
	os_stop(&r->server);
	rig_dir_free(&r->dir);
	rig_log_free(&r->log);
	free(r);
	return 0;
}

static void on_done(void *user, const struct pd_k8s_result *res)
{
	struct rig *r = user;

	rig_note(&r->log, "%s %d%s%s;", pd_strerror(res->err), res->code, res->err ? " " : "",
		 res->err ? res->status.message : "");
}

static struct pd_k8s_write write_of(struct rig *r, enum pd_k8s_write_op op, const char *name, const char *body)
{
	return (struct pd_k8s_write){.op = op,
				     .api = "/api/v1",
				     .plural = "configmaps",
				     .ns = "ns",
				     .name = op == PD_K8S_CREATE ? NULL : name,
				     .body = body,
				     .body_len = body ? strlen(body) : 0,
				     .on_done = on_done,
				     .user = r};
}

static void do_write(struct rig *r, const struct pd_k8s_write *w)
{
	assert_int_equal(pd_k8s_write(r->writer, w), PD_OK);
}

static void assert_object(struct rig *r, const char *path, const char *expected)
{
	char *json = os_get(r->server, path);

	if (!expected)
		assert_null(json);
	else
		assert_string_equal(json, expected);
	free(json);
}

static void test_verbs(void **state)
{
	struct rig *r = *state;
	struct pd_k8s_write w = write_of(r, PD_K8S_CREATE, NULL, "{\"metadata\":{\"name\":\"a\"}}");

	do_write(r, &w);
	rig_wait(&r->log, "success 200;");
	assert_object(r, MAPS "/a", "{\"metadata\":{\"name\":\"a\",\"resourceVersion\":\"1\"}}");
	do_write(r, &w);
	rig_wait(&r->log, "success 200;already exists 409 AlreadyExists;");
	w = write_of(r, PD_K8S_APPLY, "a", "{\"x\":1}");
	w.force = true;
	w.subresource = "status";
	do_write(r, &w);
	rig_wait(&r->server->log, "PATCH " MAPS "/a/status?fieldManager=pilotd&force=true;");
	w = write_of(r, PD_K8S_PATCH, "a b", "{\"x\":1}");
	do_write(r, &w);
	rig_wait(&r->server->log, "PATCH " MAPS "/a%20b;");
	w = write_of(r, PD_K8S_DELETE, "a", NULL);
	do_write(r, &w);
	rig_wait(&r->server->log, "DELETE " MAPS "/a;");
	rig_wait_times(&r->log, "success 200;", 4);
	assert_object(r, MAPS "/a", NULL);
}

static void test_what_may_pass_is_tried_again(void **state)
{
	static const int passing[] = {-1, 500, 429,
				      503}; // on a connection that was used before, curl repeats a cut itself
	struct rig *r = *state;
	struct pd_k8s_write w = write_of(r, PD_K8S_APPLY, "a", "{}");
	struct pd_k8s_writer_stats stats;

	for (size_t i = 0; i < 4; i++)
		os_fault(r->server, passing[i]);
	do_write(r, &w);
	rig_wait(&r->log, "success 200;");
	pd_k8s_writer_stats(r->writer, &stats);
	assert_int_equal(stats.tries, 5);
	os_fault(r->server, 422);
	do_write(r, &w);
	rig_wait(&r->log, "invalid value 422 injected;");
	os_fault(r->server, 409); // somebody else's fields
	do_write(r, &w);
	rig_wait(&r->log, "try again later 409 injected;");
	w.tries = 2;
	os_set_dead(r->server, true);
	do_write(r, &w);
	rig_wait(&r->log, "try again later 503 injected;");
	rig_settle(r->client); // done is counted before on_done
	pd_k8s_writer_stats(r->writer, &stats);
	assert_int_equal(stats.tries, 9);
	assert_int_equal(stats.pending, 0);
	assert_int_equal(stats.done, 1);
	assert_int_equal(stats.failed, 3);
}

// ---- updates

// Adds one to "n"; the first time somebody else changes the object meanwhile.
static int count_up(void *user, const char *present, size_t len, struct pd_buf *out)
{
	struct rig *r = user;
	struct pd_arena a = {0};
	struct pd_json *root;

	if (!present) {
		pd_buf_adds(out, "{\"metadata\":{\"name\":\"n\"},\"n\":1}");
		return PD_OK;
	}
	assert_int_equal(pd_json_parse(&a, present, len, &root, NULL), PD_OK);
	if (!r->changes++)
		os_put(r->server, MAPS "/n", "{\"n\":10}");
	if (pd_json_get(root, "n")->i == 11) {
		pd_arena_free(&a);
		return PD_E_EXISTS;
	}
	pd_json_set(&a, root, "n", pd_json_int(&a, pd_json_get(root, "n")->i + 1));
	pd_json_print(out, root, false);
	pd_arena_free(&a);
	return PD_OK;
}

static void test_update_repeats_after_a_conflict(void **state)
{
	struct rig *r = *state;
	struct pd_k8s_write w = write_of(r, PD_K8S_UPDATE, "n", NULL);
	struct pd_k8s_writer_stats stats;

	w.change = count_up;
	do_write(r, &w); // makes it
	rig_wait(&r->log, "success 200;");
	do_write(r, &w);
	rig_wait_times(&r->log, "success 200;", 2);
	assert_object(r, MAPS "/n", "{\"n\":11,\"metadata\":{\"resourceVersion\":\"3\"}}");
	pd_k8s_writer_stats(r->writer, &stats);
	assert_int_equal(stats.conflicts, 1);
	assert_int_equal(rig_count(&r->server->log, "PUT"), 2);
	do_write(r, &w); // it is as it should be
	rig_wait_times(&r->log, "success 200;", 3);
	assert_int_equal(rig_count(&r->server->log, "PUT"), 2);
}

static void test_config_map(void **state)
{
	static const char *const data[] = {"root-cert.pem", "X", NULL}, *const labels[] = {"istio.io/config", "true",
											   NULL};
	struct rig *r = *state;
	struct pd_k8s_config_map m = {.ns = "ns",
				      .name = "istio-ca-root-cert",
				      .data = data,
				      .labels = labels,
				      .on_done = on_done,
				      .user = r};

	assert_int_equal(pd_k8s_put_config_map(r->writer, &m), PD_OK);
	rig_wait(&r->log, "success 200;");
	assert_object(r, MAPS "/istio-ca-root-cert",
		      "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"namespace\":\"ns\",\"name\":"
		      "\"istio-ca-root-cert\",\"labels\":{\"istio.io/config\":\"true\"},\"resourceVersion\":\"1\"},"
		      "\"data\":{\"root-cert.pem\":\"X\"}}");
	os_put(r->server, MAPS "/istio-ca-root-cert",
	       "{\"metadata\":{\"uid\":\"u\"},\"data\":{\"root-cert.pem\":\"Y\",\"z\":\"1\"}}");
	assert_int_equal(pd_k8s_put_config_map(r->writer, &m), PD_OK);
	assert_int_equal(pd_k8s_put_config_map(r->writer, &m), PD_OK);
	rig_wait_times(&r->log, "success 200;", 3);
	assert_object(
		r, MAPS "/istio-ca-root-cert",
		"{\"metadata\":{\"uid\":\"u\",\"resourceVersion\":\"3\",\"labels\":{\"istio.io/config\":\"true\"}},"
		"\"data\":{\"root-cert.pem\":\"X\",\"z\":\"1\"}}");
}

// ---- order, rate, limits

static void block_loop(void *user)
{
	rig_wait(user, "go;");
}

static void test_applies_of_one_object(void **state)
{
	struct rig *r = *state;
	struct rig_log gate;
	struct pd_k8s_write w = write_of(r, PD_K8S_APPLY, "a", "{\"v\":1}");

	rig_log_init(&gate);
	assert_int_equal(pd_k8s_post(r->client, block_loop, &gate), PD_OK);
	do_write(r, &w); // begins at once
	w.body = "{\"v\":2}";
	do_write(r, &w);
	w.body = "{\"v\":3}";
	do_write(r, &w); // in place of 2
	w.manager = "other";
	w.body = "{\"v\":4}";
	do_write(r, &w); // waits, as it says something else
	rig_note(&gate, "go;");
	rig_wait(&r->log, "closed 0 superseded by a later write;");
	rig_wait_times(&r->log, "success 200;", 3);
	assert_object(r, MAPS "/a", "{\"v\":4,\"metadata\":{\"resourceVersion\":\"3\"}}");
	rig_log_free(&gate);
}

static void test_rate(void **state)
{
	struct rig *r = *state;
	struct pd_k8s_writer *slow =
		pd_k8s_writer_new(&(struct pd_k8s_writer_options){.client = r->client, .qps = 50, .burst = 5});
	struct pd_k8s_writer_stats stats;
	uint64_t start = pd_now_ms();

	for (int i = 0; i < 15; i++) {
		char *name = pd_xasprintf("o%d", i);
		struct pd_k8s_write w = write_of(r, PD_K8S_APPLY, name, "{}");

		assert_int_equal(pd_k8s_write(slow, &w), PD_OK);
		free(name);
	}
	rig_wait_times(&r->log, "success 200;", 15);
	assert_in_range(pd_now_ms() - start, 180, RIG_WAIT_MS); // ten tokens of 20 ms
	pd_k8s_writer_stats(slow, &stats);
	assert_true(stats.throttled > 0);
	pd_k8s_writer_free(&slow);
}

static void test_bucket(void **state)
{
	struct pd_k8s_bucket b;

	(void)state;
	pd_k8s_bucket_init(&b, 10, 2, 0);
	assert_int_equal(pd_k8s_bucket_take(&b, 0), 0);
	assert_int_equal(pd_k8s_bucket_take(&b, 0), 0);
	assert_in_range(pd_k8s_bucket_take(&b, 0), 100, 101);
	assert_in_range(pd_k8s_bucket_take(&b, 50000000), 50, 51);
	assert_int_equal(pd_k8s_bucket_take(&b, 101000000), 0);
	assert_true(pd_k8s_bucket_take(&b, 102000000) > 0);
	assert_int_equal(pd_k8s_bucket_take(&b, 3600000000000), 0); // not more than a burst
	assert_int_equal(pd_k8s_bucket_take(&b, 3600000000000), 0);
	assert_true(pd_k8s_bucket_take(&b, 3600000000000) > 0);
	for (unsigned n = 1; n < 80; n++)
		assert_in_range(pd_k8s_backoff_ms(n, 100, 10000), 50, 10000);
	assert_in_range(pd_k8s_backoff_ms(2, 100, 10000), 100, 200);
}

static void test_queue_is_limited(void **state)
{
	struct rig *r = *state;
	struct rig_log gate;

	rig_log_init(&gate);
	assert_int_equal(pd_k8s_post(r->client, block_loop, &gate), PD_OK);
	for (int i = 0; i <= PD_K8S_WRITES_MAX; i++) {
		struct pd_k8s_write w = write_of(r, PD_K8S_CREATE, NULL, "{}");

		w.on_done = i == PD_K8S_WRITES_MAX ? on_done : NULL;
		do_write(r, &w);
	}
	rig_note(&gate, "go;");
	rig_wait(&r->log, "limit exceeded 0 too many writes are waiting;");
	rig_log_free(&gate);
}

static void test_end_of_the_writer(void **state)
{
	struct rig *r = *state;
	struct pd_k8s_write w = write_of(r, PD_K8S_APPLY, "a", "{}");

	os_set_dead(r->server, true);
	do_write(r, &w);
	do_write(r, &w);
	rig_wait(&r->server->log, "PATCH");
	pd_k8s_writer_free(&r->writer);
	assert_int_equal(rig_count(&r->log, "closed 0 the writer is shutting down;"), 2);
}

// ---- events

static void test_event(void **state)
{
	struct rig *r = *state;
	struct pd_k8s_event_object e = {.api_version = "networking.istio.io/v1",
					.kind = "VirtualService",
					.ns = "ns",
					.name = "a",
					.warning = true,
					.reason = "Bad",
					.message = "m \"q\"",
					.component = "pilotd",
					.instance = "p-0"};
	char *json;

	assert_int_equal(pd_k8s_send_event(r->writer, &e), PD_OK);
	rig_wait(&r->server->log, "POST /api/v1/namespaces/ns/events;");
	json = os_get(r->server, "/api/v1/namespaces/ns/events/generated");
	assert_non_null(strstr(json, "\"involvedObject\":{\"apiVersion\":\"networking.istio.io/v1\",\"kind\":"
				     "\"VirtualService\",\"namespace\":\"ns\",\"name\":\"a\"},\"type\":\"Warning\","));
	assert_non_null(strstr(json, "\"reason\":\"Bad\",\"message\":\"m \\\"q\\\"\","));
	free(json);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_verbs),
		TEST(test_what_may_pass_is_tried_again),
		TEST(test_update_repeats_after_a_conflict),
		TEST(test_config_map),
		TEST(test_applies_of_one_object),
		TEST(test_rate),
		cmocka_unit_test(test_bucket),
		TEST(test_queue_is_limited),
		TEST(test_end_of_the_writer),
		TEST(test_event),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
