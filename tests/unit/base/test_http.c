// The HTTP server over real sockets, with requests written byte by byte: limits and refusals as well as the good path.
#include "base/http.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/addr.h"
#include "base/clock.h"
#include "base/log.h"

#define BODY_MAX 1000

static struct pd_http *server;
static atomic_int streams_done;

static bool add_pair(const char *name, const char *value, void *arg)
{
	pd_buf_printf(arg, "%s=%s;", name, value);
	return true;
}

// Tells what arrived.
static void echo(const struct pd_http_request *r, struct pd_http_response *out, void *arg)
{
	pd_buf_printf(&out->body, "%s path=%s rest=%s body=%zu:%s peer=%s/%d agent=%s query=", (const char *)arg,
		      r->path, r->rest, r->body_len, r->body, r->peer, r->peer_is_loopback,
		      pd_or(pd_http_header(r, "x-agent"), "-"));
	pd_http_query_each(r, add_pair, &out->body);
	pd_buf_printf(&out->body, " a=%s b=%s", pd_or(pd_http_query(r, "a"), "-"),
		      pd_http_query(r, "b") ? "there" : "absent");
}

static void teapot(const struct pd_http_request *r, struct pd_http_response *out, void *arg)
{
	(void)r;
	(void)arg;
	pd_buf_adds(&out->body, "to be forgotten");
	pd_http_error(out, 418, "short and %s", "stout");
	pd_http_set_header(out, "X-Pot", "tea");
}

static void empty(const struct pd_http_request *r, struct pd_http_response *out, void *arg)
{
	(void)r;
	(void)arg;
	out->status = 204;
}

struct numbers {
	uint64_t end;
	bool fail;
};

static ssize_t read_numbers(void *arg, uint64_t pos, char *out, size_t max)
{
	struct numbers *n = arg;
	size_t i;

	if (pos >= n->end)
		return n->fail ? -1 : 0;
	for (i = 0; i < max && pos + i < n->end; i++)
		out[i] = (char)('0' + (pos + i) % 10);
	return (ssize_t)i;
}

static void done_numbers(void *arg)
{
	free(arg);
	atomic_fetch_add(&streams_done, 1);
}

static void stream(const struct pd_http_request *r, struct pd_http_response *out, void *arg)
{
	struct numbers *n = calloc(1, sizeof(*n));

	(void)arg;
	n->end = strtoull(pd_or(pd_http_query(r, "n"), "0"), NULL, 10);
	n->fail = pd_http_query(r, "fail") != NULL;
	out->content_type = "application/octet-stream";
	out->read = read_numbers;
	out->done = done_numbers;
	out->stream_arg = n;
}

static char table_arg[] = "own";
static const struct pd_http_route routes[] = {
	{.path = "/echo", .handler = echo, .help = "Echo <&\">"},
	{.path = "/things/",
	 .handler = echo,
	 .methods = PD_HTTP_GET | PD_HTTP_POST | PD_HTTP_PUT,
	 .arg = table_arg,
	 .help = "Things"},
	{.path = "/things/special/", .handler = echo, .help = "Special things"},
	{.path = "/things/exact", .handler = teapot},
	{.path = "/post", .handler = echo, .methods = PD_HTTP_POST | PD_HTTP_DELETE, .help = "Post"},
	{.path = "/empty", .handler = empty},
	{.path = "/stream", .handler = stream},
};

static struct pd_http *start(struct pd_http_options o)
{
	struct pd_http *h;
	struct pd_buf err = {0};

	o.name = pd_or(o.name, "test");
	o.address = pd_or(o.address, "127.0.0.1:0");
	h = pd_http_new(&o);
	pd_http_add_routes(h, routes, sizeof(routes) / sizeof(*routes), (void *)(uintptr_t) "shared");
	assert_int_equal(pd_http_start(h, &err), PD_OK);
	assert_int_equal(err.n, 0);
	assert_int_not_equal(pd_http_port(h), 0);
	return h;
}

static int dial(uint16_t port)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_port = htons(port),
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct timeval tv = {.tv_sec = 20};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)), 0);
	return fd;
}

static void send_all(int fd, const char *p, size_t n)
{
	ssize_t w;

	for (; n; p += w, n -= (size_t)w) {
		w = send(fd, p, n, MSG_NOSIGNAL);
		if (w <= 0)
			return; // the server may refuse to read on
	}
}

// Reads until the server closes.
static void receive_all(int fd, struct pd_buf *out)
{
	char piece[4096];
	ssize_t n;

	while ((n = recv(fd, piece, sizeof(piece), 0)) > 0)
		pd_buf_add(out, piece, (size_t)n);
	close(fd);
}

static struct pd_buf reply;

static const char *exchange(struct pd_http *h, const char *request, size_t n)
{
	int fd = dial(pd_http_port(h));

	pd_buf_reset(&reply);
	pd_buf_addc(&reply, 0);
	pd_buf_reset(&reply);
	send_all(fd, request, n);
	receive_all(fd, &reply);
	return reply.p;
}

// Sends "METHOD target" with further header lines and a body.
static const char *ask(const char *line, const char *headers, const char *body)
{
	struct pd_buf b = {0};

	pd_buf_printf(&b, "%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s", line, headers ? headers : "");
	if (body)
		pd_buf_printf(&b, "Content-Length: %zu\r\n", strlen(body));
	pd_buf_printf(&b, "\r\n%s", body ? body : "");
	exchange(server, b.p, b.n);
	pd_buf_free(&b);
	return reply.p;
}

static const char *body_of(const char *response)
{
	const char *p = strstr(response, "\r\n\r\n");

	assert_non_null(p);
	return p + 4;
}

static bool has_status(const char *response, int status)
{
	char line[32];

	snprintf(line, sizeof(line), "HTTP/1.1 %d ", status);
	return pd_has_prefix(response, line);
}

static void test_get(void **state)
{
	const char *r = ask("GET /echo?a=1%202&b&c=x%26y+z&a=second", "X-Agent: me\r\n", NULL);

	(void)state;
	assert_true(has_status(r, 200));
	assert_non_null(strstr(r, "Content-Type: text/plain; charset=utf-8\r\n"));
	assert_non_null(strstr(r, "X-Content-Type-Options: nosniff\r\n"));
	assert_string_equal(body_of(r), "shared path=/echo rest= body=0: peer=127.0.0.1/1 agent=me "
					"query=a=1 2;b=;c=x&y z;a=second; a=1 2 b=there");
	// Names of parameters are told apart by case; those of headers are not.
	r = ask("GET /echo?A=1", "x-AGENT: me\r\n", NULL);
	assert_non_null(strstr(r, "agent=me query=A=1; a=- b=absent"));
}

static void test_head(void **state)
{
	const char *r = ask("HEAD /echo", NULL, NULL);

	(void)state;
	assert_true(has_status(r, 200));
	assert_null(strstr(r, "Content-Length: 0"));
	assert_non_null(strstr(r, "Content-Length: "));
	assert_string_equal(body_of(r), "");
	r = ask("HEAD /stream?n=5", NULL, NULL);
	assert_true(has_status(r, 200));
	assert_string_equal(body_of(r), "");
	r = ask("HEAD /nowhere", NULL, NULL);
	assert_true(has_status(r, 404));
	assert_string_equal(body_of(r), "");
}

static void test_routes(void **state)
{
	(void)state;
	assert_non_null(strstr(ask("GET /things/", NULL, NULL), "own path=/things/ rest= "));
	assert_non_null(strstr(ask("GET /things/a/b%2fc", NULL, NULL), "own path=/things/a/b/c rest=a/b/c "));
	assert_non_null(strstr(ask("GET /things/special/x", NULL, NULL), "shared path=/things/special/x rest=x "));
	assert_non_null(strstr(ask("GET /things/specia", NULL, NULL), "own path=/things/specia rest=specia "));
	assert_true(has_status(ask("GET /things/exact", NULL, NULL), 418));
	assert_non_null(strstr(ask("GET /things/exact/", NULL, NULL), "rest=exact/ "));
	assert_true(has_status(ask("GET /empty", NULL, NULL), 204));
}

static void test_not_found(void **state)
{
	static const char *const lines[] = {"GET /",          "GET /things", "GET /echo/",       "GET /echo%00",
					    "GET /Echo",      "GET //echo",  "GET /things%00/x", "POST /nowhere",
					    "PATCH /nowhere", "GET /debug/", "GET /debug"};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		assert_true(has_status(ask(lines[i], NULL, NULL), 404));
		assert_string_equal(body_of(reply.p), "not found\n"); // neither routes nor the path
	}
	assert_true(has_status(ask("POST /nowhere", NULL, "with a body"), 404));
}

static void test_escapes(void **state)
{
	(void)state;
	// A NUL would cut the text, and a broken escape is not ours to repair.
	assert_non_null(strstr(ask("GET /echo?a=1%002", NULL, NULL), " a=1%002 "));
	assert_non_null(strstr(ask("GET /echo?a=%zz%4", NULL, NULL), " a=%zz%4 "));
	assert_non_null(strstr(ask("GET /echo?a=%", NULL, NULL), " a=% "));
	assert_non_null(strstr(ask("GET /%65cho?a=%C3%A9%c3%a9", NULL, NULL), " a=\xc3\xa9\xc3\xa9 "));
}

static void test_methods(void **state)
{
	const char *r = ask("POST /echo", NULL, "x");

	(void)state;
	assert_true(has_status(r, 405));
	assert_non_null(strstr(r, "Allow: GET, HEAD\r\n"));
	assert_string_equal(body_of(r), "method not allowed: /echo takes GET, HEAD\n");
	assert_true(has_status(ask("PATCH /echo", NULL, NULL), 405));
	assert_true(has_status(ask("OPTIONS /echo", NULL, NULL), 405));
	assert_true(has_status(ask("HEAD /post", NULL, NULL), 405));
	assert_true(has_status(ask("DELETE /post", NULL, NULL), 200));
	r = ask("GET /post", NULL, NULL);
	assert_true(has_status(r, 405));
	assert_non_null(strstr(r, "Allow: POST, DELETE\r\n"));
}

static void test_body(void **state)
{
	(void)state;
	assert_non_null(strstr(ask("POST /post", NULL, "hello"), " body=5:hello "));
	assert_non_null(strstr(ask("PUT /things/x", NULL, "hello"), "own path=/things/x rest=x body=5:hello "));
	assert_non_null(
		strstr(ask("POST /post", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n", NULL),
		       " body=5:abcde "));
	assert_non_null(strstr(ask("POST /post", NULL, ""), " body=0: "));
}

static void test_body_limit(void **state)
{
	char body[BODY_MAX + 2], chunked[3 * BODY_MAX];
	int n;

	(void)state;
	memset(body, 'x', sizeof(body));
	body[BODY_MAX] = 0;
	assert_non_null(strstr(ask("POST /post", NULL, body), " body=1000:xx"));
	body[BODY_MAX] = 'x';
	body[BODY_MAX + 1] = 0;
	assert_true(has_status(ask("POST /post", NULL, body), 413));
	assert_string_equal(body_of(reply.p), "request body exceeds 1000 bytes\n");
	// Without an announced length the server reads on for a while to be able to answer,
	n = snprintf(chunked, sizeof(chunked), "Transfer-Encoding: chunked\r\n\r\n3e9\r\n%s\r\n0\r\n", body);
	assert_true(n > BODY_MAX && (size_t)n < sizeof(chunked));
	assert_true(has_status(ask("POST /post", chunked, NULL), 413));
	// but not endlessly.
	n = snprintf(chunked, sizeof(chunked), "Transfer-Encoding: chunked\r\n\r\n3e9\r\n%s\r\n3e9\r\n%s\r\n", body,
		     body);
	assert_true(n > 2 * BODY_MAX && (size_t)n < sizeof(chunked));
	ask("POST /post", chunked, NULL);
	assert_false(has_status(reply.p, 200));
	// The client of an unknown path may send as much in vain.
	assert_true(has_status(ask("POST /nowhere", NULL, body), 404));
}

static void test_header_limit(void **state)
{
	struct pd_buf b = {0};
	size_t i;

	(void)state;
	pd_buf_adds(&b, "X-Long: ");
	for (i = 0; i < PD_HTTP_HEADERS_MAX; i++)
		pd_buf_addc(&b, 'x');
	pd_buf_adds(&b, "\r\n");
	ask("GET /echo", b.p, NULL);
	assert_true(reply.n == 0 || has_status(reply.p, 431) || has_status(reply.p, 413));
	pd_buf_free(&b);
	assert_true(has_status(ask("GET /echo", NULL, NULL), 200));
}

static void test_error_and_headers(void **state)
{
	const char *r = ask("GET /things/exact", NULL, NULL);

	(void)state;
	assert_true(has_status(r, 418));
	assert_non_null(strstr(r, "X-Pot: tea\r\n"));
	assert_string_equal(body_of(r), "short and stout\n");
}

// Undoes chunked transfer; returns the bytes, or -1 if the end is missing.
static long unchunk(const char *p)
{
	long total = 0, n;
	char *end;

	for (;;) {
		n = strtol(p, &end, 16);
		if (end == p)
			return -1;
		if (n == 0)
			return total;
		p = end + 2 + n + 2;
		if (p > reply.p + reply.n)
			return -1;
		total += n;
	}
}

static void test_stream(void **state)
{
	int before = atomic_load(&streams_done), tries;

	(void)state;
	ask("GET /stream?n=300000", NULL, NULL);
	assert_true(has_status(reply.p, 200));
	assert_non_null(strstr(reply.p, "Content-Type: application/octet-stream\r\n"));
	assert_int_equal(unchunk(body_of(reply.p)), 300000);
	ask("GET /stream?n=0", NULL, NULL);
	assert_int_equal(unchunk(body_of(reply.p)), 0);
	// A failure must not look like the end.
	ask("GET /stream?n=70000&fail", NULL, NULL);
	assert_int_equal(unchunk(body_of(reply.p)), -1);
	for (tries = 0; tries < 500 && atomic_load(&streams_done) < before + 3; tries++)
		usleep(10000);
	assert_int_equal(atomic_load(&streams_done), before + 3);
}

static void test_malformed(void **state)
{
	static const char *const lines[] =
		{"\r\n\r\n\r\n",
		 "GET\r\n\r\n",
		 "nonsense\r\n\r\n",
		 "GET /echo HTTP/9.9\r\n\r\n",
		 "POST /post HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
		 "POST /post HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
		 "POST /post HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"};
	int fd;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		fd = dial(pd_http_port(server));
		send_all(fd, lines[i], strlen(lines[i]));
		shutdown(fd, SHUT_WR);
		pd_buf_reset(&reply);
		receive_all(fd, &reply);
		assert_false(reply.n && has_status(reply.p, 200));
	}
	assert_true(has_status(ask("GET /echo", NULL, NULL), 200));
}

static void test_index(void **state)
{
	struct pd_http *h = start((struct pd_http_options){.index = true, .name = "a<b"});
	const char request[] = "GET /debug HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

	(void)state;
	exchange(h, request, sizeof(request) - 1);
	assert_true(has_status(reply.p, 200));
	assert_string_equal(
		body_of(reply.p),
		"<!doctype html>\n<title>a&lt;b</title>\n<table>\n"
		"<tr><td><a href=\"/echo\">/echo</a></td><td>GET, HEAD</td><td>Echo &lt;&amp;&quot;&gt;</td></tr>\n"
		"<tr><td>/post</td><td>POST, DELETE</td><td>Post</td></tr>\n"
		"<tr><td><a href=\"/things/\">/things/</a></td><td>GET, HEAD, POST, PUT</td><td>Things</td></tr>\n"
		"<tr><td><a href=\"/things/special/\">/things/special/</a></td><td>GET, HEAD</td><td>Special "
		"things</td></tr>\n</table>\n");
	pd_http_free(&h);
	assert_null(h);
	pd_http_free(&h);
}

static void test_port_taken(void **state)
{
	struct pd_buf err = {0};
	char address[64], expected[128];
	struct pd_http *h;

	(void)state;
	snprintf(address, sizeof(address), "127.0.0.1:%u", pd_http_port(server));
	h = pd_http_new(&(struct pd_http_options){.name = "monitoring", .address = address});
	assert_int_equal(pd_http_start(h, &err), PD_E_IO);
	snprintf(expected, sizeof(expected), "monitoring: cannot listen on %s: Address already in use", address);
	assert_string_equal(err.p, expected);
	assert_int_equal(pd_http_port(h), 0);
	pd_http_free(&h);
	pd_buf_reset(&err);
	h = pd_http_new(&(struct pd_http_options){.name = "debug", .address = "nonsense"});
	assert_int_equal(pd_http_start(h, &err), PD_E_PARSE);
	assert_string_equal(err.p, "debug: invalid address \"nonsense\": expected host:port or :port");
	pd_http_free(&h);
	pd_buf_free(&err);
}

static void test_off(void **state)
{
	struct pd_http *h = pd_http_new(&(struct pd_http_options){.address = ""});
	struct pd_buf err = {0};

	(void)state;
	assert_int_equal(pd_http_start(h, &err), PD_OK);
	assert_int_equal(pd_http_port(h), 0);
	pd_http_free(&h);
	h = pd_http_new(&(struct pd_http_options){0});
	pd_http_free(&h); // never started
}

static void test_port_is_free_after_stop(void **state)
{
	struct pd_http *h = start((struct pd_http_options){0});
	char address[64];
	int fd = dial(pd_http_port(h)); // a client that never asks does not keep the server from stopping

	(void)state;
	snprintf(address, sizeof(address), "127.0.0.1:%u", pd_http_port(h));
	pd_http_free(&h);
	h = start((struct pd_http_options){.address = address});
	pd_http_free(&h);
	close(fd);
}

// All interfaces: IPv4 clients come with mapped addresses on the common socket.
static void test_all_interfaces(void **state)
{
	struct pd_http *h = start((struct pd_http_options){.address = ":0"});
	const char request[] = "GET /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

	(void)state;
	exchange(h, request, sizeof(request) - 1);
	assert_non_null(strstr(reply.p, " peer=127.0.0.1/1 "));
	pd_http_free(&h);
}

static void test_silent_client_is_closed(void **state)
{
	struct pd_http *h = start((struct pd_http_options){.timeout_s = 1});
	uint64_t begin = pd_now_ms();

	(void)state;
	pd_buf_reset(&reply);
	receive_all(dial(pd_http_port(h)), &reply);
	assert_in_range(pd_now_ms() - begin, 500, 15000);
	pd_http_free(&h);
}

static void test_per_ip_limit(void **state)
{
	struct pd_http *h = start((struct pd_http_options){.max_per_ip = 3, .timeout_s = 10});
	const char request[] = "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n";
	char piece[512];
	int fd[5], i, served = 0;

	(void)state;
	for (i = 0; i < 5; i++) {
		fd[i] = dial(pd_http_port(h));
		send_all(fd[i], request, sizeof(request) - 1);
		served += recv(fd[i], piece, sizeof(piece), 0) > 0; // kept alive afterwards
	}
	assert_int_equal(served, 3);
	for (i = 0; i < 5; i++)
		close(fd[i]);
	pd_http_free(&h);
}

// Beyond the limit newcomers wait, and are served when others go.
static void test_connection_limit(void **state)
{
	struct pd_http *h = start((struct pd_http_options){.max_connections = 2, .threads = 1, .timeout_s = 10});
	const char request[] = "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n";
	struct timeval brief = {.tv_usec = 300000}, patient = {.tv_sec = 20};
	char piece[512];
	int fd[3], i;

	(void)state;
	for (i = 0; i < 3; i++) {
		fd[i] = dial(pd_http_port(h));
		send_all(fd[i], request, sizeof(request) - 1);
		setsockopt(fd[i], SOL_SOCKET, SO_RCVTIMEO, i < 2 ? &patient : &brief, sizeof(brief));
		assert_int_equal(recv(fd[i], piece, sizeof(piece), 0) > 0, i < 2);
	}
	close(fd[0]);
	setsockopt(fd[2], SOL_SOCKET, SO_RCVTIMEO, &patient, sizeof(patient));
	assert_true(recv(fd[2], piece, sizeof(piece), 0) > 0);
	close(fd[1]);
	close(fd[2]);
	pd_http_free(&h);
}

static void *client(void *arg)
{
	const char request[] = "GET /stream?n=50000 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
	struct pd_buf b = {0};
	int i, fd;

	for (i = 0; i < 20; i++) {
		fd = dial(pd_http_port(arg));
		send_all(fd, request, sizeof(request) - 1);
		if (i % 3 == 0) {
			close(fd); // vanishes
			continue;
		}
		pd_buf_reset(&b);
		receive_all(fd, &b);
		assert_true(b.n > 50000);
	}
	pd_buf_free(&b);
	return NULL;
}

static void test_many_clients(void **state)
{
	struct pd_http *h = start((struct pd_http_options){0});
	pthread_t t[6];
	int i;

	(void)state;
	for (i = 0; i < 6; i++)
		assert_int_equal(pthread_create(&t[i], NULL, client, h), 0);
	for (i = 0; i < 6; i++)
		pthread_join(t[i], NULL);
	pd_http_free(&h);
}

static int setup(void **state)
{
	(void)state;
	assert_int_equal(pd_log_set_levels("none"), PD_OK);
	server = start((struct pd_http_options){.max_body = BODY_MAX, .timeout_s = 2});
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	pd_http_free(&server);
	pd_buf_free(&reply);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_get),
		cmocka_unit_test(test_head),
		cmocka_unit_test(test_routes),
		cmocka_unit_test(test_not_found),
		cmocka_unit_test(test_escapes),
		cmocka_unit_test(test_methods),
		cmocka_unit_test(test_body),
		cmocka_unit_test(test_body_limit),
		cmocka_unit_test(test_header_limit),
		cmocka_unit_test(test_error_and_headers),
		cmocka_unit_test(test_stream),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_index),
		cmocka_unit_test(test_port_taken),
		cmocka_unit_test(test_off),
		cmocka_unit_test(test_port_is_free_after_stop),
		cmocka_unit_test(test_all_interfaces),
		cmocka_unit_test(test_silent_client_is_closed),
		cmocka_unit_test(test_per_ip_limit),
		cmocka_unit_test(test_connection_limit),
		cmocka_unit_test(test_many_clients),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
