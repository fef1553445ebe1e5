// Fetching documents: what is taken, what is refused, limits, delays and cancelling.
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/addr.h"
#include "base/clock.h"
#include "base/fetch.h"
#include "base/http.h"

#define WAIT_MS 20000

// What a callback was told.
struct outcome {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int times, err, http_code;
	char body[64], text[PD_FETCH_TEXT_MAX];
};

static void note(const struct pd_fetch_result *r, void *arg)
{
	struct outcome *o = arg;

	pthread_mutex_lock(&o->lock);
	o->times++;
	o->err = r->err;
	o->http_code = r->http_code;
	assert_int_equal(strlen(r->body), r->n);
	snprintf(o->body, sizeof(o->body), "%s", r->body);
	snprintf(o->text, sizeof(o->text), "%s", r->text);
	pthread_cond_signal(&o->changed);
	pthread_mutex_unlock(&o->lock);
}

static void outcome_init(struct outcome *o)
{
	memset(o, 0, sizeof(*o));
	pthread_mutex_init(&o->lock, NULL);
	pthread_cond_init(&o->changed, NULL);
}

static void outcome_wait(struct outcome *o)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += WAIT_MS / 1000;
	pthread_mutex_lock(&o->lock);
	while (!o->times)
		assert_int_equal(pthread_cond_timedwait(&o->changed, &o->lock, &until), 0);
	pthread_mutex_unlock(&o->lock);
}

// ---- a web server ------------------------------------------------------------------------------------------------------

static struct pd_http *web;
static char base[40];

static void doc(const struct pd_http_request *r, struct pd_http_response *out, void *arg)
{
	(void)r, (void)arg;
	pd_buf_adds(&out->body, "{\"keys\":[]}");
}

static void large(const struct pd_http_request *r, struct pd_http_response *out, void *arg)
{
	(void)r, (void)arg;
	for (int i = 0; i < 200; i++)
		pd_buf_adds(&out->body, "0123456789");
}

static void failing(const struct pd_http_request *r, struct pd_http_response *out, void *arg)
{
	(void)arg;
	pd_http_error(out, (int)strtol(r->rest, NULL, 10), "no");
}

static void redirect(const struct pd_http_request *r, struct pd_http_response *out, void *arg)
{
	(void)arg;
	out->status = 302;
	pd_http_set_header(out, "Location", pd_or(pd_http_query(r, "to"), "/circle"));
}

static const struct pd_http_route routes[] = {
	{.path = "/doc", .handler = doc},         {.path = "/large", .handler = large},
	{.path = "/fail/", .handler = failing},   {.path = "/redirect", .handler = redirect},
	{.path = "/circle", .handler = redirect},
};

static int setup(void **state)
{
	struct pd_buf err = {0};
	(void)state;

	unsetenv("http_proxy");
	unsetenv("all_proxy");
	unsetenv("ALL_PROXY");
	web = pd_http_new(&(struct pd_http_options){.name = "web", .address = "127.0.0.1:0"});
	pd_http_add_routes(web, routes, sizeof(routes) / sizeof(routes[0]), NULL);
	assert_int_equal(pd_http_start(web, &err), PD_OK);
	snprintf(base, sizeof(base), "http://127.0.0.1:%u", pd_http_port(web));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	pd_http_free(&web);
	return 0;
}

static const struct pd_fetch_options usual = {.files = true, .max_body = 1000, .timeout_ms = 5000};

// Fetches one document with a fetcher of its own.
static struct outcome fetch(const struct pd_fetch_options *options, const char *url)
{
	struct pd_fetcher *f = pd_fetcher_new(options);
	struct outcome o;

	outcome_init(&o);
	assert_true(pd_fetch(f, url, 0, note, &o) != 0);
	outcome_wait(&o);
	pd_fetcher_free(&f);
	assert_int_equal(o.times, 1);
	return o;
}

static struct outcome fetch_path(const char *path)
{
	char url[PD_FETCH_URL_MAX];

	snprintf(url, sizeof(url), "%s%s", base, path);
	return fetch(&usual, url);
}

// ---- tests -------------------------------------------------------------------------------------------------------------

static void test_http(void **state)
{
	struct outcome o = fetch_path("/doc");
	(void)state;

	assert_int_equal(o.err, PD_OK);
	assert_int_equal(o.http_code, 200);
	assert_string_equal(o.body, "{\"keys\":[]}");
	assert_string_equal(o.text, "");
	assert_int_equal(fetch_path("/fail/404").err, PD_E_NOTFOUND);
	assert_int_equal(fetch_path("/fail/403").err, PD_E_DENIED);
	o = fetch_path("/fail/500");
	assert_int_equal(o.err, PD_E_IO);
	assert_int_equal(o.http_code, 500);
	assert_string_equal(o.body, "");
	assert_string_equal(o.text, "the server answered 500");
	o = fetch_path("/large");
	assert_int_equal(o.err, PD_E_LIMIT);
	assert_string_equal(o.text, "the document is too large");
}

static void test_redirects(void **state)
{
	struct outcome o = fetch_path("/redirect?to=/doc");
	(void)state;

	assert_int_equal(o.err, PD_OK);
	assert_string_equal(o.body, "{\"keys\":[]}");
	o = fetch_path("/redirect?to=file:///etc/passwd");
	assert_int_equal(o.err, PD_E_INVALID);
	assert_string_equal(o.body, "");
	assert_int_equal(fetch_path("/redirect?to=gopher://127.0.0.1/").err, PD_E_INVALID);
	assert_int_equal(fetch_path("/circle").err, PD_E_IO);
}

static void test_files(void **state)
{
	char path[] = "/tmp/pd-fetch-XXXXXX", url[64];
	struct pd_fetch_options no_files = usual;
	struct outcome o;
	int fd = mkstemp(path);
	(void)state;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "local", 5), 5);
	snprintf(url, sizeof(url), "file://%s", path);
	o = fetch(&usual, url);
	assert_int_equal(o.err, PD_OK);
	assert_string_equal(o.body, "local");
	no_files.files = false;
	assert_int_equal(fetch(&no_files, url).err, PD_E_INVALID);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(write(fd, "x", 1), 1);
	assert_int_equal(fetch(&usual, url).err, PD_E_LIMIT);
	close(fd);
	unlink(path);
	assert_int_equal(fetch(&usual, url).err, PD_E_NOTFOUND);
	assert_int_equal(fetch(&usual, "file:///dev/zero").err, PD_E_INVALID);
	assert_int_equal(fetch(&usual, "file:///tmp").err, PD_E_INVALID);
	assert_int_equal(fetch(&usual, "file://elsewhere/etc/hostname").err, PD_E_INVALID);
}

static void test_not_an_url(void **state)
{
	static const char *const bad[] = {"", "jwks.json", "ftp://127.0.0.1/x", "data:,x", "http:", "://"};
	char *endless = pd_xcalloc(1, PD_FETCH_URL_MAX + 64);
	(void)state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(fetch(&usual, bad[i]).err, PD_E_INVALID);
	memset(endless, 'a', PD_FETCH_URL_MAX + 1);
	memcpy(endless, "http://", 7);
	assert_int_equal(fetch(&usual, endless).err, PD_E_INVALID);
	free(endless);
}

static void test_blocked(void **state)
{
	struct pd_cidr loopback[2];
	struct pd_fetch_options o = usual;
	char url[64];
	(void)state;

	assert_int_equal(pd_cidr_parse("127.0.0.0/8", &loopback[0]), PD_OK);
	assert_int_equal(pd_cidr_parse("::1", &loopback[1]), PD_OK);
	o.blocked = loopback;
	o.n_blocked = 2;
	snprintf(url, sizeof(url), "%s/doc", base);
	assert_int_equal(fetch(&o, url).err, PD_E_DENIED);
	snprintf(url, sizeof(url), "http://localhost:%u/doc", pd_http_port(web));
	assert_int_equal(fetch(&o, url).err, PD_E_DENIED);
}

static void test_silent_server(void **state)
{
	struct pd_fetch_options o = usual;
	struct pd_addr a = {.host = "127.0.0.1"};
	struct pd_buf err = {0};
	uint64_t start = pd_now_ms();
	uint16_t port;
	char url[64];
	int fd;
	(void)state;

	assert_int_equal(pd_addr_listen(&a, 1, &fd, &port, &err), PD_OK);
	snprintf(url, sizeof(url), "http://127.0.0.1:%u/", port);
	o.timeout_ms = 200;
	assert_int_equal(fetch(&o, url).err, PD_E_TIMEOUT);
	assert_true(pd_now_ms() - start >= 200);
	close(fd);
	assert_int_equal(fetch(&o, url).err, PD_E_IO); // nobody listens
}

static void test_delay_and_cancel(void **state)
{
	struct pd_fetcher *f = pd_fetcher_new(&usual);
	struct outcome never, later;
	uint64_t start = pd_now_ms(), id;
	char url[64];
	(void)state;

	outcome_init(&never);
	outcome_init(&later);
	snprintf(url, sizeof(url), "%s/doc", base);
	id = pd_fetch(f, url, 50, note, &never);
	assert_true(id != 0);
	assert_true(pd_fetch(f, url, 200, note, &later) != 0);
	pd_fetch_cancel(f, id);
	pd_fetch_cancel(f, 0);
	outcome_wait(&later);
	assert_true(pd_now_ms() - start >= 200);
	assert_int_equal(later.err, PD_OK);
	pd_fetch_cancel(f, id);
	pd_fetcher_free(&f);
	assert_int_equal(never.times, 0);
}

static void test_shutdown_answers_all(void **state)
{
	struct pd_fetcher *f = pd_fetcher_new(&usual);
	struct outcome o;
	(void)state;

	outcome_init(&o);
	for (int i = 0; i < PD_FETCH_OPEN_MAX; i++)
		assert_true(pd_fetch(f, "file:///x", 3600 * 1000, note, &o) != 0);
	assert_true(pd_fetch(f, "file:///x", 0, note, &o) == 0); // full
	pd_fetcher_free(&f);
	assert_int_equal(o.times, PD_FETCH_OPEN_MAX);
	assert_int_equal(o.err, PD_E_CLOSED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_http),
		cmocka_unit_test(test_redirects),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_not_an_url),
		cmocka_unit_test(test_blocked),
		cmocka_unit_test(test_silent_server),
		cmocka_unit_test(test_delay_and_cancel),
		cmocka_unit_test(test_shutdown_answers_all),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
