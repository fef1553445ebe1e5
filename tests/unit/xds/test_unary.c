// Unary calls that somebody else answers: at once, later, from another thread, and clients that misbehave.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <cmocka.h>

#include <grpc/status.h>

#include "tests/support/rpc_client.h"
#include "tests/unit/xds/wire.h"

#define LONGEST 1000

static struct wire w;
static atomic_int handled;

static void echo(struct pd_rpc_call *call, void *arg)
{
	(void)arg;
	atomic_fetch_add(&handled, 1);
	pd_rpc_reply(call, call->request, call->request_len);
}

static void refuse(struct pd_rpc_call *call, void *arg)
{
	(void)arg;
	pd_rpc_fail(call, PD_RPC_UNAUTHENTICATED, "who are you?");
}

static void who(struct pd_rpc_call *call, void *arg)
{
	const char *token = pd_rpc_header(&call->peer, "authorization");
	struct pd_buf b = {0};
	(void)arg;

	pd_buf_printf(&b, "%.10s tls=%d cert=%d %s", call->peer.address, call->peer.tls, call->peer.cert_pem != NULL,
		      token ? token : "-");
	pd_rpc_reply(call, b.p, b.n);
	pd_buf_free(&b);
}

// Calls that are kept until the test answers them.
static struct {
	pthread_mutex_t mu;
	struct pd_rpc_call *v[64];
	size_t n;
} kept = {.mu = PTHREAD_MUTEX_INITIALIZER};

static void keep(struct pd_rpc_call *call, void *arg)
{
	(void)arg;
	pthread_mutex_lock(&kept.mu);
	kept.v[kept.n++] = call;
	pthread_mutex_unlock(&kept.mu);
}

static size_t wait_kept(size_t n)
{
	struct timespec nap = {.tv_nsec = 2000000};
	size_t have = 0;

	for (int i = 0; i < 5000 && have < n; i++) {
		nanosleep(&nap, NULL);
		pthread_mutex_lock(&kept.mu);
		have = kept.n;
		pthread_mutex_unlock(&kept.mu);
	}
	return have;
}

static void answer_kept(void)
{
	pthread_mutex_lock(&kept.mu);
	for (size_t i = 0; i < kept.n; i++)
		pd_rpc_reply(kept.v[i], "late", 4);
	kept.n = 0;
	pthread_mutex_unlock(&kept.mu);
}

static const struct pd_rpc_method methods[] = {
	{"/test.T/Echo", LONGEST, echo, NULL},
	{"/test.T/Refuse", LONGEST, refuse, NULL},
	{"/test.T/Who", LONGEST, who, NULL},
	{"/test.T/Keep", LONGEST, keep, NULL},
};

static void open_server(size_t max_calls, uint64_t timeout_ms)
{
	struct pd_xds_config config;

	pd_xds_config_defaults(&config);
	config.max_calls = max_calls;
	config.call_timeout_ms = timeout_ms;
	atomic_store(&handled, 0);
	wire_open_methods(&w, &config, methods, sizeof(methods) / sizeof(methods[0]));
}

static struct rpc_cli *client(void)
{
	return rpc_open(&(struct rpc_options){.address = w.address});
}

static int call(struct rpc_cli *c, const char *method, const char *text, struct pd_buf *out)
{
	return rpc_call(c, &(struct rpc_wish){.method = method, .bytes = text, .n = text ? strlen(text) : 0}, out,
			NULL);
}

static void test_answers(void **state)
{
	const struct pd_rpc_header headers[] = {{"authorization", "Bearer x"}, {"blob-bin", "abc"}};
	struct pd_buf out = {0}, text = {0};
	struct rpc_cli *c;
	(void)state;

	open_server(100, 20000);
	c = client();
	assert_int_equal(call(c, "/test.T/Echo", "hello", &out), GRPC_STATUS_OK);
	assert_string_equal(out.p, "hello");
	assert_int_equal(call(c, "/test.T/Echo", "", &out), GRPC_STATUS_OK);
	assert_int_equal(out.n, 0);
	assert_int_equal(rpc_call(c, &(struct rpc_wish){.method = "/test.T/Refuse", .bytes = "x", .n = 1}, &out, &text),
			 GRPC_STATUS_UNAUTHENTICATED);
	assert_string_equal(text.p, "who are you?");
	assert_int_equal(rpc_call(c, &(struct rpc_wish){"/test.T/Who", headers, 2, "x", 1, false, false}, &out, NULL),
			 GRPC_STATUS_OK);
	assert_string_equal(out.p, "127.0.0.1: tls=0 cert=0 Bearer x");
	assert_int_equal(call(c, "/test.T/Nothing", "x", &out), GRPC_STATUS_UNIMPLEMENTED);
	rpc_close(c);
	pd_buf_free(&out);
	pd_buf_free(&text);
	wire_close(&w);
}

static void test_bad_requests(void **state)
{
	char *big = calloc(1, 5 << 20);
	struct pd_buf text = {0};
	struct rpc_cli *c;
	(void)state;

	open_server(100, 20000);
	c = client();
	// too long for the method, too long for the server, and none at all
	assert_int_equal(rpc_call(c, &(struct rpc_wish){.method = "/test.T/Echo", .bytes = big, .n = LONGEST + 1}, NULL,
				  &text),
			 GRPC_STATUS_RESOURCE_EXHAUSTED);
	assert_string_equal(text.p, "the request is too long");
	assert_int_equal(rpc_call(c, &(struct rpc_wish){.method = "/test.T/Echo", .bytes = big, .n = 5 << 20}, NULL,
				  NULL),
			 GRPC_STATUS_RESOURCE_EXHAUSTED);
	assert_int_equal(rpc_call(c, &(struct rpc_wish){.method = "/test.T/Echo"}, NULL, &text),
			 GRPC_STATUS_INVALID_ARGUMENT);
	assert_string_equal(text.p, "no request came");
	assert_int_equal(atomic_load(&handled), 0);
	assert_int_equal(rpc_call(c, &(struct rpc_wish){.method = "/test.T/Echo", .bytes = big, .n = LONGEST}, NULL,
				  NULL),
			 GRPC_STATUS_OK);
	rpc_close(c);
	pd_buf_free(&text);
	free(big);
	wire_close(&w);
}

static void test_client_that_never_sends(void **state)
{
	struct rpc_cli *c;
	(void)state;

	open_server(100, 200);
	c = client();
	assert_int_equal(rpc_call(c, &(struct rpc_wish){.method = "/test.T/Echo", .keep_open = true}, NULL, NULL),
			 GRPC_STATUS_DEADLINE_EXCEEDED);
	assert_int_equal(atomic_load(&handled), 0);
	// a request without half-close is one all the same
	assert_int_equal(rpc_call(c,
				  &(struct rpc_wish){.method = "/test.T/Echo", .bytes = "x", .n = 1, .keep_open = true},
				  NULL, NULL),
			 GRPC_STATUS_OK);
	rpc_close(c);
	wire_close(&w);
}

// The method holds a call whose client has gone; its answer goes nowhere, and nothing is left.
static void test_cancel_mid_call(void **state)
{
	struct rpc_cli *c;
	(void)state;

	open_server(100, 20000);
	c = client();
	for (size_t i = 1; i <= 20; i++) {
		int rc = rpc_call(c, &(struct rpc_wish){.method = "/test.T/Keep", .bytes = "x", .n = 1, .cancel = true},
				  NULL, NULL);
		assert_int_equal(rc, GRPC_STATUS_CANCELLED);
	}
	rpc_close(c);
	answer_kept();
	// what arrives after the reset may never reach the method; what did is answered now or when it comes
	struct timespec nap = {.tv_nsec = 50000000};
	nanosleep(&nap, NULL);
	answer_kept();
	wire_close(&w);
}

static void *ask(void *arg)
{
	struct rpc_cli *c = client();
	struct pd_buf out = {0};
	int *status = arg;

	*status = call(c, "/test.T/Keep", "x", &out);
	if (*status == GRPC_STATUS_OK && strcmp(out.p, "late") != 0)
		*status = -1;
	pd_buf_free(&out);
	rpc_close(c);
	return NULL;
}

// More calls than may be under way: the rest is told so at once, and those under way are served.
static void test_too_many(void **state)
{
	pthread_t t[3];
	int status[3];
	struct rpc_cli *c;
	(void)state;

	open_server(3, 20000);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&t[i], NULL, ask, &status[i]), 0);
	assert_int_equal(wait_kept(3), 3);
	c = client();
	assert_int_equal(call(c, "/test.T/Echo", "x", NULL), GRPC_STATUS_RESOURCE_EXHAUSTED);
	answer_kept();
	for (int i = 0; i < 3; i++) {
		pthread_join(t[i], NULL);
		assert_int_equal(status[i], GRPC_STATUS_OK);
	}
	assert_int_equal(call(c, "/test.T/Echo", "x", NULL), GRPC_STATUS_OK);
	rpc_close(c);
	wire_close(&w);
}

static void *answer_soon(void *arg)
{
	struct timespec nap = {.tv_nsec = 100000000};
	(void)arg;

	nanosleep(&nap, NULL);
	answer_kept();
	return NULL;
}

// The server is freed while a call is under way: it waits for the answer.
static void test_free_waits_for_answers(void **state)
{
	pthread_t t, later;
	int status;
	(void)state;

	open_server(3, 20000);
	assert_int_equal(pthread_create(&t, NULL, ask, &status), 0);
	assert_int_equal(wait_kept(1), 1);
	assert_int_equal(pthread_create(&later, NULL, answer_soon, NULL), 0);
	wire_close(&w);
	pthread_join(later, NULL);
	pthread_join(t, NULL);
	assert_int_not_equal(status, GRPC_STATUS_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_bad_requests),
		cmocka_unit_test(test_client_that_never_sends),
		cmocka_unit_test(test_cancel_mid_call),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_free_waits_for_answers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
