// Candidates against a server of objects: taking, renewing, losing and releasing a lock; and writers that stop with it.
#include "k8s/leader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"
#include "k8s/leader_record.h"
#include "k8s/write.h"
#include "object_server.h"

#define LEASE "/apis/coordination.k8s.io/v1/namespaces/ns/leases/lock"
#define MAP "/api/v1/namespaces/ns/configmaps/lock"
#define LEASE_MS 2000 // long enough for machines that are busy
#define RENEW_MS 1500
#define RETRY_MS 100

struct candidate {
	struct pd_k8s_client *client;
	struct pd_k8s_leader *leader;
	struct rig_log *log;
	char name[8];
};

struct rig {
	char *dir;
	struct os *server;
	struct rig_log log; // "a leads;", "a ends;"
	struct candidate a, b;
};

static void on_change(void *user, bool leads)
{
	struct candidate *c = user;

	if (leads != pd_k8s_leader_is(c->leader))
		rig_note(c->log, "%s is torn;", c->name);
	rig_note(c->log, "%s %s;", c->name, leads ? "leads" : "ends");
}

static int set_up(void **state)
{
	struct rig *r = pd_xcalloc(1, sizeof(*r));

	rig_log_init(&r->log);
	r->dir = rig_dir();
	r->server = os_start();
	r->a.client = rig_client(r->dir, hs_port(r->server->http), NULL);
	r->b.client = rig_client(r->dir, hs_port(r->server->http), NULL);
	r->a.log = r->b.log = &r->log;
	memcpy(r->a.name, "a", 2);
	memcpy(r->b.name, "b", 2);
	*state = r;
	return 0;
}

static int tear_down(void **state)
{
	struct rig *r = *state;

	pd_k8s_leader_free(&r->a.leader);
	pd_k8s_leader_free(&r->b.leader);
	pd_k8s_client_free(&r->a.client);
	pd_k8s_client_free(&r->b.client);
	os_stop(&r->server);
	rig_dir_free(&r->dir);
	rig_log_free(&r->log);
	free(r);
	return 0;
}

static void start(struct candidate *c, bool config_map)
{
	struct pd_k8s_leader_options o = {.client = c->client,
					  .ns = "ns",
					  .name = "lock",
					  .identity = c->name,
					  .config_map = config_map,
					  .lease_ms = LEASE_MS,
					  .renew_ms = RENEW_MS,
					  .retry_ms = RETRY_MS,
					  .on_change = on_change,
					  .user = c};

	assert_int_equal(pd_k8s_leader_new(&o, &c->leader), PD_OK);
}

static void assert_log(struct rig *r, const char *expected)
{
	char *text = rig_text(&r->log);

	assert_string_equal(text, expected);
	free(text);
}

static void sleep_ms(int ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

	nanosleep(&t, NULL);
}

static void record_of(struct rig *r, const char *path, struct pd_arena *a, struct pd_k8s_record *out)
{
	char *json = os_get(r->server, path);
	struct pd_json *lock;

	assert_non_null(json);
	assert_int_equal(pd_json_parse(a, json, strlen(json), &lock, NULL), PD_OK);
	pd_k8s_record_read(a, lock, !strcmp(path, MAP), out);
	free(json);
}

static void hand_over(struct rig *r, bool config_map, const char *path)
{
	struct pd_arena arena = {0};
	struct pd_k8s_record record;
	struct pd_k8s_leader_state s;
	uint64_t released;

	start(&r->a, config_map);
	rig_wait(&r->log, "a leads;");
	start(&r->b, config_map);
	sleep_ms(LEASE_MS * 3 / 2); // renewed all the while
	pd_k8s_leader_state(r->b.leader, &s);
	assert_string_equal(s.holder, "a");
	assert_false(s.leads);
	record_of(r, path, &arena, &record);
	assert_string_equal(record.holder, "a");
	assert_int_equal(record.duration_s, LEASE_MS / 1000);
	assert_int_equal(record.transitions, 0);
	released = pd_now_ms();
	pd_k8s_leader_free(&r->a.leader);
	rig_wait(&r->log, "b leads;");
	assert_in_range(pd_now_ms() - released, 0, LEASE_MS * 3 / 4); // it did not wait for the lease to end
	assert_log(r, "a leads;a ends;b leads;");
	record_of(r, path, &arena, &record);
	assert_string_equal(record.holder, "b");
	assert_int_equal(record.transitions, 1);
	pd_k8s_leader_state(r->b.leader, &s);
	assert_true(s.leads);
	assert_int_equal(s.changes, 1);
	pd_arena_free(&arena);
}

static void test_lease_is_handed_over(void **state)
{
	hand_over(*state, false, LEASE);
}

static void test_config_map_is_handed_over(void **state)
{
	hand_over(*state, true, MAP);
}

// The server is out of reach for the leader: it ends by its own clock, before the other one may begin.
static void test_silent_leader_ends_in_time(void **state)
{
	struct rig *r = *state;
	uint64_t start_ms, ended;

	start(&r->a, false);
	rig_wait(&r->log, "a leads;");
	os_set_dead(r->server, true);
	start_ms = pd_now_ms();
	rig_wait(&r->log, "a ends;");
	ended = pd_now_ms() - start_ms;
	assert_in_range(ended, 1, RENEW_MS + LEASE_MS / 3);
	assert_false(pd_k8s_leader_is(r->a.leader));
	os_set_dead(r->server, false);
	rig_wait(&r->log, "a ends;a leads;"); // nobody else was there
}

static void block(void *user)
{
	rig_wait(user, "go;");
}

// The loop hangs: nobody can call anybody, but the clock goes on.
static void test_stuck_loop_does_not_lead(void **state)
{
	struct rig *r = *state;
	struct rig_log gate;
	uint64_t until = pd_now_ms() + RIG_WAIT_MS;

	rig_log_init(&gate);
	start(&r->a, false);
	rig_wait(&r->log, "a leads;");
	start(&r->b, false);
	assert_int_equal(pd_k8s_post(r->a.client, block, &gate), PD_OK);
	while (pd_k8s_leader_is(r->a.leader) && pd_now_ms() < until)
		assert_int_equal(rig_count(&r->log, "b leads;"), 0);
	rig_wait(&r->log, "b leads;");
	assert_false(pd_k8s_leader_is(r->a.leader));
	assert_int_equal(rig_count(&r->log, "a ends;"), 0);
	rig_note(&gate, "go;");
	rig_wait(&r->log, "a ends;");
	rig_settle(r->a.client);
	assert_log(r, "a leads;b leads;a ends;");
	rig_log_free(&gate);
}

static void test_stolen_lock(void **state)
{
	struct rig *r = *state;

	start(&r->a, false);
	rig_wait(&r->log, "a leads;");
	os_put(r->server, LEASE,
	       "{\"metadata\":{\"labels\":{\"keep\":\"me\"}},\"spec\":{\"holderIdentity\":\"thief\",\"leaseDurationSeconds\":1,"
	       "\"renewTime\":\"2026-01-01T00:00:00.000000Z\",\"leaseTransitions\":7}}");
	rig_wait(&r->log, "a ends;");
	rig_wait(&r->log, "a leads;a ends;a leads;"); // the thief was silent for its lease
	{
		struct pd_arena arena = {0};
		struct pd_k8s_record record;
		char *json = os_get(r->server, LEASE);

		assert_non_null(strstr(json, "\"keep\":\"me\""));
		free(json);
		record_of(r, LEASE, &arena, &record);
		assert_int_equal(record.transitions, 8);
		assert_int_equal(strlen(record.renew), strlen("2026-01-01T00:00:00.000000Z"));
		pd_arena_free(&arena);
	}
}

static void test_damaged_locks(void **state)
{
	static const char *const bad[] = {"{\"metadata\":{},\"spec\":7}", "{\"spec\":{\"holderIdentity\":5}}", "{}"};
	struct rig *r = *state;

	for (size_t i = 0; i < 3; i++) {
		os_put(r->server, LEASE, bad[i]);
		start(&r->a, false);
		rig_wait_times(&r->log, "a leads;", (int)i + 1);
		pd_k8s_leader_free(&r->a.leader);
	}
	os_put(r->server, MAP, "{\"metadata\":{\"annotations\":{\"" PD_K8S_LEADER_ANNOTATION "\":\"{\"}}}");
	start(&r->a, true);
	rig_wait_times(&r->log, "a leads;", 4);
}

static void note_write(void *user, const struct pd_k8s_result *res)
{
	rig_note(user, "write %s %d;", pd_strerror(res->err), res->code);
}

static void test_writers_stop(void **state)
{
	struct rig *r = *state;
	struct pd_k8s_writer *w = pd_k8s_writer_new(&(struct pd_k8s_writer_options){.client = r->a.client});
	struct pd_k8s_write write = {.op = PD_K8S_APPLY,
				     .api = "/api/v1",
				     .plural = "services",
				     .ns = "ns",
				     .name = "s",
				     .subresource = "status",
				     .body = "{}",
				     .body_len = 2,
				     .on_done = note_write,
				     .user = &r->log};

	start(&r->a, false);
	rig_wait(&r->log, "a leads;");
	write.leader = r->a.leader;
	assert_int_equal(pd_k8s_write(w, &write), PD_OK);
	rig_wait(&r->log, "write success 200;");
	os_set_dead(r->server, true);
	assert_int_equal(pd_k8s_write(w, &write), PD_OK); // repeated while we lead
	rig_wait(&r->log, "a ends;");
	rig_wait(&r->log, "write permission denied 0;");
	pd_k8s_writer_free(&w);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_lease_is_handed_over),
		TEST(test_config_map_is_handed_over),
		TEST(test_silent_leader_ends_in_time),
		TEST(test_stuck_loop_does_not_lead),
		TEST(test_stolen_lock),
		TEST(test_damaged_locks),
		TEST(test_writers_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
