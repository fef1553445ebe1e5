// Clients that are broken, rude or out to harm: each gets a status, is counted, and the others notice nothing.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <grpc/status.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "tests/unit/xds/wire.h"
#include "xds/session.h"

static struct wire w;
static struct pd_xds_config config;

static int setup(void **state)
{
	(void)state;
	pd_xds_config_defaults(&config);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	wire_close(&w);
	return 0;
}

static void open_server(void)
{
	wire_open(&w, &config);
	wire_config(&w, "CDS a=1 EDS a=1");
}

// The server still serves.
static void assert_alive(void)
{
	struct cli *c = wire_client(&w, false);

	cli_sotw(c, PD_CDS, "", "", NULL);
	expect_take(c, "CDS{a=1}");
	cli_close(c);
}

static void field(struct pd_buf *b, unsigned number, const void *bytes, size_t n)
{
	uint8_t head[12], *p = pd_put_varint(head, number << 3 | 2);

	p = pd_put_varint(p, n);
	pd_buf_add(b, head, (size_t)(p - head));
	pd_buf_add(b, bytes, n);
}

static void text(struct pd_buf *b, unsigned number, const char *s)
{
	field(b, number, s, strlen(s));
}

// Sends one message on a new stream and wants this status.
static void expect_refused(bool delta, const struct pd_buf *message, int status, const char *part)
{
	struct cli *c = wire_client(&w, delta);

	cli_bytes(c, message->p, message->n);
	assert_int_equal(cli_status(c, CLI_WAIT_MS), status);
	if (!strstr(cli_status_text(c), part))
		fail_msg("\"%s\" is not in \"%s\"", part, cli_status_text(c));
	cli_close(c);
}

// A request with a Node of these bytes.
static void request(struct pd_buf *b, bool delta, const struct pd_buf *node)
{
	pd_buf_reset(b);
	field(b, delta ? 1 : 2, node->p, node->n);
	text(b, delta ? 2 : 4, pd_types[PD_CDS].type_url);
}

static void test_node(void **state)
{
	struct pd_buf b = {0}, node = {0};
	char big[PD_NODE_ID_MAX + 100];

	(void)state;
	open_server();
	for (int delta = 0; delta < 2; delta++) {
		pd_buf_reset(&b);
		text(&b, delta ? 2 : 4, pd_types[PD_CDS].type_url);
		expect_refused(delta, &b, GRPC_STATUS_INVALID_ARGUMENT, "the first request has no node");
		pd_buf_reset(&node);
		text(&node, 2, "cluster");
		request(&b, delta, &node);
		expect_refused(delta, &b, GRPC_STATUS_INVALID_ARGUMENT, "the node has no id");
		text(&node, 1, "nonsense");
		request(&b, delta, &node);
		expect_refused(delta, &b, GRPC_STATUS_INVALID_ARGUMENT, "invalid node id \"nonsense\"");
		pd_buf_reset(&node);
		text(&node, 1, "sidecar~1.1.1.1~\xff\xfe~default.svc");
		request(&b, delta, &node);
		expect_refused(delta, &b, GRPC_STATUS_INVALID_ARGUMENT, "UTF-8");
		pd_buf_reset(&node);
		field(&node, 1, "sidecar~1.1.1.1~a\0b~default.svc", 31);
		request(&b, delta, &node);
		expect_refused(delta, &b, GRPC_STATUS_INVALID_ARGUMENT, "node");
		pd_buf_reset(&node);
		memset(big, '~', sizeof(big));
		field(&node, 1, big, sizeof(big));
		request(&b, delta, &node);
		expect_refused(delta, &b, GRPC_STATUS_RESOURCE_EXHAUSTED, "too long");
		pd_buf_reset(&node);
		text(&node, 1, CLI_NODE);
		pd_buf_add(&node, "\x12\x50\x01", 3); // cut in the middle of a field
		request(&b, delta, &node);
		expect_refused(delta, &b, GRPC_STATUS_INVALID_ARGUMENT, "node");
	}
	assert_int_equal(wire_stats(&w).refused, 14);
	assert_int_equal(wire_stats(&w).connected, 0);
	assert_alive();
	pd_buf_free(&b);
	pd_buf_free(&node);
}

// Struct{a: Struct{a: ...}}: protobuf-c's own decoder would need a kilobyte of stack for each level.
static void nested(struct pd_buf *out, int levels)
{
	struct pd_buf in = {0}, tmp;

	for (int i = 0; i < levels; i++) {
		struct pd_buf value = {0}, entry = {0}, strct = {0};

		field(&value, 5, in.p ? in.p : "", in.n); // Value.struct_value
		text(&entry, 1, "a");
		field(&entry, 2, value.p, value.n);
		field(&strct, 1, entry.p, entry.n); // Struct.fields
		pd_buf_free(&value);
		pd_buf_free(&entry);
		tmp = in;
		in = strct;
		pd_buf_free(&tmp);
	}
	*out = in;
}

static void test_nested_metadata(void **state)
{
	struct pd_buf b = {0}, node = {0}, metadata;

	(void)state;
	open_server();
	nested(&metadata, 4000);
	text(&node, 1, CLI_NODE);
	field(&node, 3, metadata.p, metadata.n);
	for (int delta = 0; delta < 2; delta++) {
		request(&b, delta, &node);
		expect_refused(delta, &b, GRPC_STATUS_RESOURCE_EXHAUSTED, "node");
	}
	assert_alive();
	pd_buf_free(&b);
	pd_buf_free(&node);
	pd_buf_free(&metadata);
}

static void test_large_node(void **state)
{
	struct pd_buf b = {0}, node = {0};
	char *big = pd_xcalloc(1, 1 << 20);

	(void)state;
	open_server();
	memset(big, 'x', (1 << 20) - 1);
	text(&node, 1, CLI_NODE);
	text(&node, 2, big);
	request(&b, false, &node);
	expect_refused(false, &b, GRPC_STATUS_RESOURCE_EXHAUSTED, "too large");
	pd_buf_free(&b);
	pd_buf_free(&node);
	free(big);
}

static void test_bad_names(void **state)
{
	static const char *const bad[] = {"\xc3\x28", "a\xff", "\xed\xa0\x80"};
	struct pd_buf b = {0}, node = {0};

	(void)state;
	open_server();
	text(&node, 1, CLI_NODE);
	for (int delta = 0; delta < 2; delta++) {
		for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
			request(&b, delta, &node);
			text(&b, delta ? 2 : 4, pd_types[PD_EDS].type_url);
			text(&b, 3, bad[i]);
			expect_refused(delta, &b, GRPC_STATUS_INVALID_ARGUMENT, "UTF-8");
		}
		request(&b, delta, &node);
		text(&b, delta ? 2 : 4, pd_types[PD_EDS].type_url);
		field(&b, 3, "a\0b", 3);
		expect_refused(delta, &b, GRPC_STATUS_INVALID_ARGUMENT, "NUL");
	}
	assert_alive();
	pd_buf_free(&b);
	pd_buf_free(&node);
}

static void test_malformed(void **state)
{
	struct pd_buf b = {0};
	struct cli *c;

	(void)state;
	open_server();
	pd_buf_add(&b, "\x0a\xff\xff\xff\x7f", 5);
	expect_refused(false, &b, GRPC_STATUS_INVALID_ARGUMENT, "malformed");
	expect_refused(true, &b, GRPC_STATUS_INVALID_ARGUMENT, "malformed");
	c = wire_client(&w, true); // also on a stream that was well so far
	cli_delta(c, PD_CDS, "*", "", "");
	expect_take(c, "CDS{a=1}");
	cli_bytes(c, b.p, b.n);
	assert_int_equal(cli_status(c, CLI_WAIT_MS), GRPC_STATUS_INVALID_ARGUMENT);
	cli_close(c);
	assert_int_equal(wire_stats(&w).malformed, 3);
	assert_alive();
	pd_buf_free(&b);
}

static void test_too_many_names(void **state)
{
	struct pd_buf b = {0}, node = {0};

	(void)state;
	open_server();
	text(&node, 1, CLI_NODE);
	for (int delta = 0; delta < 2; delta++) {
		request(&b, delta, &node);
		text(&b, delta ? 2 : 4, pd_types[PD_EDS].type_url);
		for (int i = 0; i <= PD_NAMES_MAX; i++)
			text(&b, 3, "n");
		expect_refused(delta, &b, GRPC_STATUS_RESOURCE_EXHAUSTED, "too many");
	}
	pd_buf_free(&b);
	pd_buf_free(&node);
}

static void test_message_size(void **state)
{
	struct pd_buf b = {0};
	char *big = pd_xcalloc(1, 70000);

	(void)state;
	config.max_message = 65536;
	open_server();
	field(&b, 1, big, 70000);
	expect_refused(false, &b, GRPC_STATUS_RESOURCE_EXHAUSTED, "");
	assert_alive();
	pd_buf_free(&b);
	free(big);
}

static void test_unknown_method(void **state)
{
	struct cli *c;

	(void)state;
	open_server();
	c = cli_open(&(struct cli_options){.address = w.address, .method = "/grpc.health.v1.Health/Check"});
	assert_int_equal(cli_status(c, CLI_WAIT_MS), GRPC_STATUS_UNIMPLEMENTED);
	cli_close(c);
	assert_int_equal(wire_stats(&w).refused, 1);
	assert_alive();
}

static void test_max_streams(void **state)
{
	struct cli *c[3];

	(void)state;
	config.max_streams = 2;
	open_server();
	for (int i = 0; i < 2; i++) {
		c[i] = wire_client(&w, false);
		cli_sotw(c[i], PD_CDS, "", "", NULL);
		expect_take(c[i], "CDS{a=1}");
	}
	c[2] = wire_client(&w, false);
	expect_next(c[2], "status 8: too many streams");
	for (int i = 0; i < 3; i++)
		cli_close(c[i]);
	wire_wait_empty(&w);
	assert_alive();
}

static void test_stream_rate(void **state)
{
	struct cli *c[2];

	(void)state;
	config.streams_per_second = 0.001;
	config.streams_burst = 1;
	open_server();
	c[0] = wire_client(&w, false);
	cli_sotw(c[0], PD_CDS, "", "", NULL);
	expect_take(c[0], "CDS{a=1}");
	c[1] = wire_client(&w, false);
	expect_next(c[1], "status 8: too many new streams");
	cli_close(c[0]);
	cli_close(c[1]);
}

static void test_stream_rate_waits(void **state)
{
	struct cli *c[5];

	(void)state;
	config.streams_per_second = 50;
	config.streams_burst = 1;
	config.admission_ms = 60000;
	open_server();
	for (int i = 0; i < 5; i++) {
		c[i] = wire_client(&w, false);
		cli_sotw(c[i], PD_CDS, "", "", NULL);
	}
	cli_close(c[4]); // vanishes, perhaps while it waits
	for (int i = 0; i < 4; i++) {
		expect_take(c[i], "CDS{a=1}");
		cli_close(c[i]);
	}
}

static void test_request_rate(void **state)
{
	struct cli *c;

	(void)state;
	config.requests_per_second = 0.001;
	config.requests_burst = 5;
	open_server();
	c = wire_client(&w, false);
	cli_sotw(c, PD_CDS, "", "", NULL);
	expect_take(c, "CDS{a=1}");
	for (int i = 0; i < 20; i++) { // acknowledgements are no burden
		wire_config(&w, i & 1 ? "CDS a=1" : "CDS a=2");
		expect_take(c, i & 1 ? "CDS{a=1}" : "CDS{a=2}");
	}
	for (int i = 0; i < 5; i++)
		cli_sotw(c, PD_LDS, "", "no-such-nonce", NULL);
	assert_int_equal(cli_status(c, CLI_WAIT_MS), GRPC_STATUS_RESOURCE_EXHAUSTED);
	cli_close(c);
	assert_alive();
}

static void test_not_ready(void **state)
{
	struct cli *c;

	(void)state;
	open_server();
	fake_set_not_ready(w.engine);
	c = wire_client(&w, true);
	expect_next(c, "status 14: configuration has not been read yet");
	cli_close(c);
	pd_engine_set_ready(w.engine);
	assert_alive();
}

static void test_second_server_on_the_port(void **state)
{
	struct pd_engine *engine = pd_engine_new(NULL, NULL);
	struct pd_buf err = {0};
	struct pd_xds *x;
	uint16_t port;

	(void)state;
	open_server();
	x = pd_xds_new(engine, &config);
	assert_int_equal(pd_xds_listen(x, w.address, NULL, &port, &err), PD_E_IO);
	assert_non_null(strstr(err.p, w.address));
	assert_non_null(strstr(err.p, "Address already in use"));
	pd_buf_reset(&err);
	assert_int_equal(pd_xds_listen(x, "no address", NULL, &port, &err), PD_E_PARSE);
	assert_non_null(strstr(err.p, "no address"));
	pd_buf_free(&err);
	pd_xds_free(&x);
	pd_engine_free(&engine);
	assert_alive();
}

static void test_pings(void **state)
{
	struct cli *c;

	(void)state;
	// An agent pings an idle connection every 30 s and we allow one in 10; here a hundred times faster.
	config.min_ping_interval_ms = 100;
	open_server();
	c = cli_open(&(struct cli_options){.address = w.address, .delta = true, .ping_ms = 300});
	cli_delta(c, PD_CDS, "*", "", "");
	expect_take(c, "CDS{a=1}");
	assert_string_equal(cli_next(c, 3000), ""); // some ten pings
	assert_int_equal(cli_status(c, 0), -1);
	wire_config(&w, "CDS a=2");
	expect_take(c, "CDS{a=2}");
	cli_close(c);
}

static void test_too_many_pings(void **state)
{
	struct cli *c;

	(void)state;
	config.min_ping_interval_ms = 3600 * 1000;
	open_server();
	c = cli_open(&(struct cli_options){.address = w.address, .delta = true, .ping_ms = 50});
	cli_delta(c, PD_CDS, "*", "", "");
	expect_take(c, "CDS{a=1}");
	assert_int_equal(cli_status(c, CLI_WAIT_MS), GRPC_STATUS_UNAVAILABLE);
	cli_close(c);
	assert_alive();
}

static void test_never_acknowledges(void **state)
{
	struct cli *c;

	(void)state;
	config.ack_patience_ms = 1500;
	open_server();
	c = wire_client(&w, false);
	cli_sotw(c, PD_CDS, "", "", NULL);
	expect_next(c, "CDS{a=1}");
	wire_config(&w, "CDS a=2");
	wire_config(&w, "CDS a=3");
	expect_next(c, "CDS{a=3}"); // it gets newer states, but not each of them
	assert_int_equal(wire_stats(&w).acks_given_up, 1);
	cli_ack(c, PD_CDS);
	wire_config(&w, "CDS a=4");
	expect_take(c, "CDS{a=4}");
	cli_close(c);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_node),
		T(test_nested_metadata),
		T(test_large_node),
		T(test_bad_names),
		T(test_malformed),
		T(test_too_many_names),
		T(test_message_size),
		T(test_unknown_method),
		T(test_max_streams),
		T(test_stream_rate),
		T(test_stream_rate_waits),
		T(test_request_rate),
		T(test_not_ready),
		T(test_second_server_on_the_port),
		T(test_pings),
		T(test_too_many_pings),
		T(test_never_acknowledges),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
