// The client against a server that can misbehave: streams, ends of all kinds, cancelling, limits, the loop.
#include "k8s/client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "client_rig.h"
#include "http_server.h"

struct rig {
	char *dir;
	struct hs *server;
	struct pd_k8s_client *client;
	struct rig_log log;    // of calls
	struct rig_log others; // of further calls
	struct rig_call watches[PD_K8S_WATCHES_MAX + 1], calls[PD_K8S_STREAMS_MAX];
	struct rig_log served; // of the server
	struct rig_log gate;   // what holds the server back
};

// ---- the server

static void serve_stream(struct hs_conn *c, const struct hs_request *r, struct rig *rig)
{
	(void)r;
	hs_begin(c, 200, "text/x; a=b");
	hs_chunk(c, "one", 3);
	rig_wait(&rig->gate, "go 1;");
	hs_chunk(c, "two", 3);
	rig_wait(&rig->gate, "go 2;");
	hs_end(c);
}

static void serve_cut(struct hs_conn *c, const struct hs_request *r, struct rig *rig)
{
	(void)rig;
	if (strstr(r->path, "length"))
		hs_raw(c, "HTTP/1.1 200 X\r\nContent-Length: 10\r\n\r\none");
	else
		hs_begin(c, 200, "text/plain");
	if (strstr(r->path, "some"))
		hs_chunk(c, "one", 3);
	hs_cut(c);
}

static void serve_silence(struct hs_conn *c, const struct hs_request *r, struct rig *rig)
{
	(void)rig;
	if (strstr(r->path, "headers"))
		hs_begin(c, 200, "text/plain");
	hs_wait_gone(c);
	rig_note(&rig->served, "gone;");
}

static void serve_drip(struct hs_conn *c, const struct hs_request *r, struct rig *rig)
{
	(void)r;
	(void)rig;
	hs_begin(c, 200, "text/plain");
	for (int i = 0; i < 10; i++) {
		struct timespec pause = {.tv_nsec = 100000000};

		nanosleep(&pause, NULL);
		hs_chunk(c, ".", 1);
	}
	hs_end(c);
}

static void serve_error(struct hs_conn *c, const struct hs_request *r, struct rig *rig)
{
	static const char protobuf[] = "k8s\0\x0a\x0c\x0a\x02v1\x12\x06Status\x12\x12\x1a\x04gone\"\x07"
				       "Expired0\x9a\x03";
	const char *what = r->path + strlen("/error/");

	(void)rig;
	if (!strcmp(what, "protobuf"))
		hs_reply(c, 410, PD_K8S_PROTOBUF, NULL, protobuf, sizeof(protobuf) - 1);
	else if (!strcmp(what, "conflict"))
		hs_json(c, 409, "{\"kind\":\"Status\",\"reason\":\"Conflict\",\"message\":\"changed\"}");
	else if (!strcmp(what, "exists"))
		hs_json(c, 409, "{\"kind\":\"Status\",\"reason\":\"AlreadyExists\",\"message\":\"there\"}");
	else if (!strcmp(what, "busy"))
		hs_reply(c, 429, "text/plain", "Retry-After: 7\r\n", "slow\ndown", 9);
	else if (!strcmp(what, "later"))
		hs_json(c, 503, "{\"kind\":\"Status\",\"message\":\"m\",\"details\":{\"retryAfterSeconds\":3}}");
	else if (!strcmp(what, "moved"))
		hs_reply(c, 301, "text/plain", "Location: /ok\r\n", "", 0);
	else
		hs_reply(c, atoi(what), "text/plain", NULL, "", 0);
}

static void serve_large(struct hs_conn *c, const struct hs_request *r, struct rig *rig)
{
	size_t n = 1024 * 1024, times = strstr(r->path, "error") ? 1 : PD_K8S_BODY_MAX / n + 1;
	char *p = pd_xcalloc(1, n);

	(void)rig;
	memset(p, 'x', n);
	hs_begin(c, strstr(r->path, "error") ? 500 : 200, "text/plain");
	for (size_t i = 0; i < times; i++)
		hs_chunk(c, p, n);
	hs_end(c);
	free(p);
}

static void serve_echo(struct hs_conn *c, const struct hs_request *r, struct rig *rig)
{
	char accept[100], type[100], agent[100], auth[100], encoding[100];

	(void)rig;
	hs_json(c, 201, "%s %s [%s] [%s] [%s] [%s] [%s] body %zu %s", r->method, r->path,
		hs_header(r, "Accept", accept, sizeof(accept)), hs_header(r, "Content-Type", type, sizeof(type)),
		hs_header(r, "User-Agent", agent, sizeof(agent)), hs_header(r, "Authorization", auth, sizeof(auth)),
		hs_header(r, "Accept-Encoding", encoding, sizeof(encoding)), r->body_len, r->body);
}

static void serve(struct hs_conn *c, const struct hs_request *r, void *arg)
{
	static const struct {
		const char *prefix;
		void (*serve)(struct hs_conn *, const struct hs_request *, struct rig *);
	} table[] = {{"/stream", serve_stream}, {"/cut", serve_cut},      {"/silence", serve_silence},
		     {"/drip", serve_drip},     {"/error/", serve_error}, {"/large", serve_large},
		     {"/echo", serve_echo}};
	struct rig *rig = arg;

	rig_note(&rig->served, "%s %s;", r->method, r->path);
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		if (pd_has_prefix(r->path, table[i].prefix)) {
			table[i].serve(c, r, rig);
			return;
		}
	}
	hs_json(c, 200, "{}");
}

static int set_up(void **state)
{
	struct rig *r = pd_xcalloc(1, sizeof(*r));

	rig_log_init(&r->log);
	rig_log_init(&r->others);
	rig_log_init(&r->served);
	rig_log_init(&r->gate);
	r->dir = rig_dir();
	r->server = hs_start(NULL, serve, r);
	r->client = rig_client(r->dir, hs_port(r->server), "token: secret-a");
	*state = r;
	return 0;
}

static int tear_down(void **state)
{
	struct rig *r = *state;

	rig_note(&r->gate, "go 1;go 2;");
	pd_k8s_client_free(&r->client);
	hs_stop(&r->server);
	rig_dir_free(&r->dir);
	rig_log_free(&r->log);
	rig_log_free(&r->others);
	rig_log_free(&r->served);
	rig_log_free(&r->gate);
	free(r);
	return 0;
}

static void assert_log(struct rig_log *l, const char *expected)
{
	char *text = rig_text(l);

	assert_string_equal(text, expected);
	free(text);
}

// ---- ends of calls

static void test_stream_arrives_piece_by_piece(void **state)
{
	struct rig *r = *state;
	struct rig_call call = {.client = r->client, .log = &r->log, .req = {.path = "/stream", .watch = true}};

	rig_start(&call);
	rig_wait(&r->log, "data one;");
	rig_note(&r->gate, "go 1;");
	rig_wait(&r->log, "data two;");
	rig_note(&r->gate, "go 2;");
	rig_wait(&r->log, "done");
	rig_settle(r->client);
	assert_log(&r->log, "headers 200 text/x; a=b;data one;data two;done success 200;");
}

static void test_cut_in_the_middle_is_no_end(void **state)
{
	static const char *const paths[] = {"/cut", "/cut-some", "/cut-length"};
	struct rig *r = *state;
	struct pd_k8s_result result;

	for (size_t i = 0; i < 3; i++) {
		struct pd_buf body = {0};

		assert_int_equal(pd_k8s_call_wait(r->client, &(struct pd_k8s_request){.path = paths[i]}, &result,
						  &body),
				 PD_E_IO);
		assert_true(*result.status.message);
		assert_null(body.p);
	}
	hs_stop(&r->server);
	assert_int_equal(pd_k8s_call_wait(r->client, &(struct pd_k8s_request){.path = "/x"}, &result, NULL), PD_E_IO);
	assert_int_equal(result.code, 0);
	r->server = hs_start(NULL, serve, r);
}

static void test_errors_are_told_apart(void **state)
{
	static const struct {
		const char *path;
		int code, err;
		const char *reason, *message;
		uint32_t retry_after_ms;
	} cases[] = {
		{"/error/protobuf", 410, PD_E_CLOSED, "Expired", "gone", 0},
		{"/error/conflict", 409, PD_E_AGAIN, "Conflict", "changed", 0},
		{"/error/exists", 409, PD_E_EXISTS, "AlreadyExists", "there", 0},
		{"/error/busy", 429, PD_E_AGAIN, "", "HTTP 429: slow down", 7000},
		{"/error/later", 503, PD_E_AGAIN, "", "m", 3000},
		{"/error/moved", 301, PD_E_INVALID, "", "HTTP 301", 0},
		{"/error/404", 404, PD_E_NOTFOUND, "", "HTTP 404", 0},
		{"/error/403", 403, PD_E_DENIED, "", "HTTP 403", 0},
		{"/error/401", 401, PD_E_DENIED, "", "HTTP 401", 0},
		{"/error/422", 422, PD_E_INVALID, "", "HTTP 422", 0},
	};
	struct rig *r = *state;
	struct pd_k8s_result result;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_int_equal(pd_k8s_call_wait(r->client, &(struct pd_k8s_request){.path = cases[i].path}, &result,
						  NULL),
				 cases[i].err);
		assert_int_equal(result.code, cases[i].code);
		assert_int_equal(result.status.code, cases[i].code);
		assert_string_equal(result.status.reason, cases[i].reason);
		assert_string_equal(result.status.message, cases[i].message);
		assert_int_equal(result.status.retry_after_ms, cases[i].retry_after_ms);
	}
	// A fixed token is not worth a second try.
	assert_int_equal(rig_count(&r->served, "/error/401"), 1);
}

static void test_silence_ends_calls(void **state)
{
	struct rig *r = *state;
	struct rig_call calls[] = {
		{.client = r->client, .log = &r->log, .req = {.path = "/silence", .watch = true, .idle_ms = 100}},
		{.client = r->client,
		 .log = &r->log,
		 .req = {.path = "/silence-headers", .watch = true, .idle_ms = 100}},
	};
	struct rig_call whole = {.client = r->client,
				 .log = &r->log,
				 .req = {.path = "/silence-headers", .timeout_ms = 100}};

	rig_start(&calls[0]);
	rig_wait(&r->log, "done timed out 0 : silent for too long;");
	rig_start(&calls[1]);
	rig_wait(&r->log, "done timed out 200 : silent for too long;");
	rig_start(&whole);
	rig_wait(&r->log, "done timed out 200 : no complete answer in time;");
}

static void test_bytes_reset_the_idle_clock_but_not_the_total(void **state)
{
	struct rig *r = *state;
	struct rig_call idle = {.client = r->client,
				.log = &r->log,
				.req = {.path = "/drip", .watch = true, .idle_ms = 800}};
	struct rig_call total = {.client = r->client, .log = &r->log, .req = {.path = "/drip", .timeout_ms = 300}};

	rig_start(&idle);
	rig_wait(&r->log, "done success 200;");
	assert_int_equal(rig_count(&r->log, "data .;"), 10);
	rig_start(&total);
	rig_wait(&r->log, "done timed out 200 : no complete answer in time;");
}

// ---- cancelling

static int cancel_itself(void *user, const void *p, size_t n)
{
	struct rig_call *call = user;

	rig_note(call->log, "data %.*s;", (int)n, (const char *)p);
	pd_k8s_cancel(call->client, call->id);
	return PD_OK;
}

static int refuse_data(void *user, const void *p, size_t n)
{
	(void)user, (void)p, (void)n;
	return PD_E_PARSE;
}

static void test_cancel(void **state)
{
	struct rig *r = *state;
	struct rig_call call = {.client = r->client,
				.log = &r->log,
				.req = {.path = "/silence-headers", .watch = true}};
	struct rig_call self = {.client = r->client,
				.log = &r->log,
				.req = {.path = "/stream", .watch = true, .on_data = cancel_itself}};
	struct pd_k8s_client_stats stats;

	rig_start(&call);
	rig_wait(&r->log, "headers 200");
	rig_cancel(&call);
	rig_cancel(&call); // of what is over: nothing
	rig_wait(&r->served, "gone;");
	rig_start(&self);
	rig_wait(&r->log, "data one;");
	rig_settle(r->client);
	rig_settle(r->client);
	pd_k8s_client_stats(r->client, &stats);
	assert_int_equal(stats.active + stats.watches + stats.waiting, 0);
	assert_int_equal(rig_count(&r->log, "done"), 0);
	pd_k8s_client_free(&r->client);
	assert_int_equal(rig_count(&r->log, "done"), 0);
}

static void note_done(void *user, const struct pd_k8s_result *result)
{
	struct rig_call *call = user;

	rig_note(call->log, "done %d;", result->err);
}

static void start_and_cancel(void *user)
{
	struct rig_call *call = user;
	uint64_t id = pd_k8s_call(call->client, &call->req);

	assert_true(id);
	pd_k8s_cancel(call->client, id);
	pd_k8s_cancel(call->client, 0);
}

static void test_cancel_before_the_start(void **state)
{
	struct rig *r = *state;
	struct rig_call call = {.client = r->client, .log = &r->log, .req = {.path = "/never"}};
	struct pd_k8s_result result;

	call.req.user = &call;
	call.req.on_done = note_done;
	assert_int_equal(pd_k8s_post(r->client, start_and_cancel, &call), PD_OK);
	assert_int_equal(pd_k8s_call_wait(r->client, &(struct pd_k8s_request){.path = "/then"}, &result, NULL), PD_OK);
	assert_int_equal(rig_count(&r->served, "/never"), 0);
	assert_int_equal(rig_count(&r->log, "done"), 0);
}

static void test_refusing_data_ends_the_call(void **state)
{
	struct rig *r = *state;
	struct pd_k8s_result result;

	assert_int_equal(pd_k8s_call_wait(r->client,
					  &(struct pd_k8s_request){.path = "/stream", .on_data = refuse_data}, &result,
					  NULL),
			 PD_E_PARSE);
	assert_string_equal(result.status.message, "malformed input");
}

// ---- requests

static void test_what_is_sent(void **state)
{
	struct rig *r = *state;
	struct pd_k8s_result result;
	struct pd_buf body = {0}, path = {0};

	pd_buf_adds(&path, "/echo?x=");
	pd_k8s_path_add(&path, "a b/ü~1.-_");
	assert_int_equal(pd_k8s_call_wait(r->client, &(struct pd_k8s_request){.path = path.p}, &result, &body), PD_OK);
	assert_int_equal(result.code, 201);
	assert_string_equal(body.p, "GET /echo?x=a%20b%2F%C3%BC~1.-_ [application/json] [] [pilotd] [Bearer secret-a] "
				    "[] body 0 ");
	pd_buf_reset(&body);
	assert_int_equal(pd_k8s_call_wait(r->client,
					  &(struct pd_k8s_request){.method = "PATCH",
								   .path = "/echo/../x",
								   .accept = "a/b",
								   .content_type = "c/d",
								   .body = "{}\0z",
								   .body_len = 4,
								   .gzip = true},
					  &result, &body),
			 PD_OK);
	assert_string_equal(body.p, "PATCH /echo/../x [a/b] [c/d] [pilotd] [Bearer secret-a] [gzip] body 4 {}");
	pd_buf_reset(&body);
	assert_int_equal(pd_k8s_call_wait(r->client, &(struct pd_k8s_request){.method = "DELETE", .path = "/echo"},
					  &result, &body),
			 PD_OK);
	assert_int_equal(strncmp(body.p, "DELETE /echo [application/json] [] ", 35), 0);
	pd_buf_free(&body);
	pd_buf_free(&path);
}

// ---- limits

static void test_large_bodies(void **state)
{
	struct rig *r = *state;
	struct pd_k8s_result result;

	assert_int_equal(pd_k8s_call_wait(r->client, &(struct pd_k8s_request){.path = "/large"}, &result, NULL),
			 PD_E_LIMIT);
	assert_int_equal(pd_k8s_call_wait(r->client, &(struct pd_k8s_request){.path = "/large-error"}, &result, NULL),
			 PD_E_AGAIN);
	assert_true(pd_has_prefix(result.status.message, "HTTP 500: xxx"));
}

static void test_streams_are_limited(void **state)
{
	struct rig *r = *state;
	struct pd_k8s_client_stats stats;

	for (int i = 0; i <= PD_K8S_WATCHES_MAX; i++) {
		r->watches[i] = (struct rig_call){.client = r->client,
						  .log = &r->log,
						  .req = {.path = "/silence-headers", .watch = true}};
		rig_start(&r->watches[i]);
	}
	rig_wait(&r->log, "done limit exceeded 0 : too many watches;");
	for (int i = 0; i < PD_K8S_STREAMS_MAX; i++) {
		r->calls[i] = (struct rig_call){.client = r->client, .log = &r->others, .req = {.path = "/stream"}};
		rig_start(&r->calls[i]);
	}
	rig_wait_times(&r->others, "data one;", PD_K8S_STREAMS_MAX - PD_K8S_WATCHES_MAX);
	rig_settle(r->client);
	pd_k8s_client_stats(r->client, &stats);
	assert_int_equal(stats.active, PD_K8S_STREAMS_MAX);
	assert_int_equal(stats.watches, PD_K8S_WATCHES_MAX);
	assert_int_equal(stats.waiting, PD_K8S_WATCHES_MAX);
	assert_int_equal(rig_count(&r->others, "data one;"), PD_K8S_STREAMS_MAX - PD_K8S_WATCHES_MAX);
	rig_note(&r->gate, "go 1;go 2;"); // the others follow
	rig_wait_times(&r->others, "done success 200;", PD_K8S_STREAMS_MAX);
	pd_k8s_client_free(&r->client);
	assert_int_equal(rig_count(&r->log, "done closed 200 : the client is shutting down;") +
				 rig_count(&r->log, "done closed 0 : the client is shutting down;"),
			 PD_K8S_WATCHES_MAX);
}

struct flood {
	struct rig *rig;
	int done, refused;
};

static void count_done(void *user, const struct pd_k8s_result *r)
{
	struct flood *f = user;

	f->done++;
	f->refused += r->err == PD_E_LIMIT && !strcmp(r->status.message, "too many calls are waiting");
	if (f->refused == 3)
		rig_note(&f->rig->log, "flooded;");
}

static void flood(void *user)
{
	struct flood *f = user;

	for (int i = 0; i < PD_K8S_QUEUE_MAX + 3; i++)
		pd_k8s_call(f->rig->client,
			    &(struct pd_k8s_request){.path = "/stream", .on_done = count_done, .user = f});
}

static void test_queue_is_limited(void **state)
{
	struct rig *r = *state;
	struct flood f = {.rig = r};

	assert_int_equal(pd_k8s_post(r->client, flood, &f), PD_OK);
	rig_wait(&r->log, "flooded;");
	pd_k8s_client_free(&r->client);
	assert_int_equal(f.refused, 3);
	assert_int_equal(f.done, PD_K8S_QUEUE_MAX + 3);
}

// ---- the loop

struct ticks {
	struct rig *rig;
	uint64_t victim;
};

static void note_a(void *user)
{
	rig_note(&((struct ticks *)user)->rig->log, "a;");
}

static void note_b(void *user)
{
	struct ticks *t = user;

	rig_note(&t->rig->log, "b;");
	pd_k8s_timer_cancel(t->rig->client, t->victim);
	pd_k8s_timer_cancel(t->rig->client, t->victim);
}

static void note_victim(void *user)
{
	rig_note(&((struct ticks *)user)->rig->log, "victim;");
}

static void note_end(void *user)
{
	rig_note(&((struct ticks *)user)->rig->log, "end;");
}

static void set_timers(void *user)
{
	struct ticks *t = user;
	struct pd_k8s_client *c = t->rig->client;

	assert_true(pd_k8s_on_loop(c));
	pd_k8s_after(c, 60, note_end, t);
	t->victim = pd_k8s_after(c, 40, note_victim, t);
	pd_k8s_after(c, 20, note_b, t);
	pd_k8s_after(c, 0, note_a, t);
	pd_k8s_after(c, 0, note_a, t);
	pd_k8s_after(c, 3600000, note_victim, t); // never: the client goes before
}

static void test_timers(void **state)
{
	struct rig *r = *state;
	struct ticks t = {.rig = r};
	uint64_t start = pd_now_ms();

	assert_false(pd_k8s_on_loop(r->client));
	assert_int_equal(pd_k8s_post(r->client, set_timers, &t), PD_OK);
	rig_wait(&r->log, "end;");
	assert_in_range(pd_now_ms() - start, 60, 10000);
	pd_k8s_client_free(&r->client);
	assert_log(&r->log, "a;a;b;end;");
}

static void call_again(void *user, const struct pd_k8s_result *res)
{
	struct rig_call *call = user;

	rig_note(call->log, "done %s;", pd_strerror(res->err));
	if (rig_count(call->log, "done") < 3)
		pd_k8s_call(call->client, &call->req);
}

static void test_calls_from_callbacks(void **state)
{
	struct rig *r = *state;
	struct rig_call call = {.client = r->client, .log = &r->log, .req = {.path = "/ok", .on_done = call_again}};

	rig_start(&call);
	rig_wait(&r->log, "done success;headers 200 application/json;data {};done success;headers 200 "
			  "application/json;data {};done success;");
	rig_settle(r->client);
	assert_int_equal(hs_connections(r->server), 1); // one after the other
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_stream_arrives_piece_by_piece),
		TEST(test_cut_in_the_middle_is_no_end),
		TEST(test_errors_are_told_apart),
		TEST(test_silence_ends_calls),
		TEST(test_bytes_reset_the_idle_clock_but_not_the_total),
		TEST(test_cancel),
		TEST(test_cancel_before_the_start),
		TEST(test_refusing_data_ends_the_call),
		TEST(test_what_is_sent),
		TEST(test_large_bodies),
		TEST(test_streams_are_limited),
		TEST(test_queue_is_limited),
		TEST(test_timers),
		TEST(test_calls_from_callbacks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
