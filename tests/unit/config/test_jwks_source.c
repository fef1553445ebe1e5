// The source of key sets against a server of our own: what it holds back, delivers, keeps and forgets.
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/http.h"
#include "base/log.h"
#include "config/jwks_source.h"
#include "istio/security/request_authentication.pb-c.h"
#include "pilotd/jwks.pb-c.h"
#include "tests/unit/config/make.h"

enum { WAIT_MS = 20000 };

// ---- a server of keys and a sink that notes what comes ---------------------------------------------------------------------

struct world {
	struct pd_sink sink; // first
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct pd_buf
		log;      // "+RequestAuthentication ra1\n", "-JsonWebKeySet\n", "=JsonWebKeySet KEYS\n", "synced dir\n"
	const char *keys; // what the server answers; NULL: 500
	unsigned asked;
	struct pd_http *http;
	char base[64]; // "http://127.0.0.1:PORT"
	struct pd_jwks_source *source;
};

static void on_changes(struct pd_sink *sink, struct pd_change *v, size_t n, bool more)
{
	struct world *w = (struct world *)sink;
	(void)more;
	pthread_mutex_lock(&w->lock);
	for (size_t i = 0; i < n; i++) {
		bool keys = v[i].key.kind == PD_KIND_JSON_WEB_KEY_SET;
		pd_buf_printf(&w->log, "%c%s %s\n", v[i].next ? '+' : '-', pd_object_kind_name(v[i].key.kind),
			      !keys       ? v[i].key.name
			      : v[i].next ? ((const Pilotd__JsonWebKeySet *)v[i].next->spec)->keys
					  : "");
		if (v[i].next)
			pd_obj_unref(v[i].next);
	}
	pthread_cond_broadcast(&w->changed);
	pthread_mutex_unlock(&w->lock);
}

static void on_synced(struct pd_sink *sink, const char *source)
{
	struct world *w = (struct world *)sink;
	pthread_mutex_lock(&w->lock);
	pd_buf_printf(&w->log, "synced %s\n", source);
	pthread_cond_broadcast(&w->changed);
	pthread_mutex_unlock(&w->lock);
}

static void serve_keys(const struct pd_http_request *r, struct pd_http_response *out, void *arg)
{
	struct world *w = arg;
	(void)r;
	pthread_mutex_lock(&w->lock);
	w->asked++;
	if (w->keys)
		pd_buf_adds(&out->body, w->keys);
	else
		pd_http_error(out, 500, "no keys today");
	pthread_cond_broadcast(&w->changed);
	pthread_mutex_unlock(&w->lock);
}

static void serve_openid(const struct pd_http_request *r, struct pd_http_response *out, void *arg)
{
	struct world *w = arg;
	(void)r;
	pthread_mutex_lock(&w->lock);
	pd_buf_printf(&out->body, "{\"issuer\": \"x\", \"jwks_uri\": \"%s/keys\"}", w->base);
	pthread_mutex_unlock(&w->lock);
}

static const struct pd_http_route routes[] = {
	{.path = "/keys", .handler = serve_keys},
	{.path = "/.well-known/openid-configuration", .handler = serve_openid},
};

static void world_init(struct world *w, const char *keys, uint64_t refresh_ms, enum pd_jwks_mode mode)
{
	struct pd_buf err = {0};
	memset(w, 0, sizeof(*w));
	w->sink = (struct pd_sink){.changes = on_changes, .synced = on_synced};
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->changed, NULL);
	w->keys = keys;
	w->http = pd_http_new(&(struct pd_http_options){.name = "keys", .address = "127.0.0.1:0"});
	pd_http_add_routes(w->http, routes, sizeof(routes) / sizeof(routes[0]), w);
	assert_int_equal(pd_http_start(w->http, &err), PD_OK);
	pthread_mutex_lock(&w->lock); // the server runs
	snprintf(w->base, sizeof(w->base), "http://127.0.0.1:%u", pd_http_port(w->http));
	pthread_mutex_unlock(&w->lock);
	w->source = pd_jwks_source_new(&(struct pd_jwks_source_config){.cluster = "Kubernetes",
								       .sink = &w->sink,
								       .mode = mode,
								       .refresh_ms = refresh_ms});
}

static void world_free(struct world *w)
{
	pd_jwks_source_free(&w->source);
	pd_http_free(&w->http);
	pd_buf_free(&w->log);
	pthread_cond_destroy(&w->changed);
	pthread_mutex_destroy(&w->lock);
}

static void set_keys(struct world *w, const char *keys)
{
	pthread_mutex_lock(&w->lock);
	w->keys = keys;
	w->asked = 0;
	pthread_mutex_unlock(&w->lock);
}

// Waits until the log holds the text, or the server was asked so often since set_keys.
static void wait_for(struct world *w, const char *text, unsigned asked)
{
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += WAIT_MS / 1000;
	int rc = 0;
	pthread_mutex_lock(&w->lock);
	while (!rc && (text ? !w->log.p || !strstr(w->log.p, text) : w->asked < asked))
		rc = pthread_cond_timedwait(&w->changed, &w->lock, &until);
	if (rc)
		print_error("wanted \"%s\" (%u), there is:\n%s", text ? text : "requests", asked,
			    w->log.p ? w->log.p : "");
	pthread_mutex_unlock(&w->lock);
	assert_int_equal(rc, 0);
}

static void assert_log(struct world *w, const char *want)
{
	pthread_mutex_lock(&w->lock);
	assert_string_equal(w->log.p ? w->log.p : "", want);
	pthread_mutex_unlock(&w->lock);
}

// ---- RequestAuthentications ------------------------------------------------------------------------------------------------

struct rule {
	const char *issuer, *uri, *jwks;
};

static struct pd_object *make_ra(const char *name, const struct rule *rules, size_t n)
{
	struct pd_arena a = {0};
	struct pd_key key = key_of(PD_KIND_REQUEST_AUTHENTICATION, "default", name);
	Istio__RequestAuthentication *ra = PD_NEW(&a, Istio__RequestAuthentication);
	istio__request_authentication__init(ra);
	ra->jwt_rules = PD_NEWN(&a, Istio__JWTRule *, n);
	for (size_t i = 0; i < n; i++) {
		Istio__JWTRule *r = ra->jwt_rules[ra->n_jwt_rules++] = PD_NEW(&a, Istio__JWTRule);
		istio__jwtrule__init(r);
		r->issuer = pd_arena_strdup(&a, rules[i].issuer);
		r->jwks_uri = pd_arena_strdup(&a, rules[i].uri);
		r->jwks = pd_arena_strdup(&a, rules[i].jwks);
	}
	struct pd_object *o = pd_object_build(&key, make_meta(&a, "default", name, 0), &ra->base, NULL, "test");
	pd_arena_free(&a);
	return o;
}

static void apply(struct world *w, const char *name, const struct rule *rules, size_t n)
{
	struct pd_sink *s = pd_jwks_source_sink(w->source);
	struct pd_change c = {key_of(PD_KIND_REQUEST_AUTHENTICATION, "default", name), NULL};
	if (rules)
		c.next = make_ra(name, rules, n);
	s->changes(s, &c, 1, false);
}

static void apply_uri(struct world *w, const char *name, const char *uri)
{
	struct rule r = {"me", uri, ""};
	apply(w, name, &r, 1);
}

static const char *uri_of(struct world *w, const char *path)
{
	static char uri[128];
	snprintf(uri, sizeof(uri), "%s%s", w->base, path);
	return uri;
}

static void synced(struct world *w)
{
	struct pd_sink *s = pd_jwks_source_sink(w->source);
	s->synced(s, "dir");
}

// ---- tests -----------------------------------------------------------------------------------------------------------------

#define KEYS1 "{\"keys\": [1]}"
#define KEYS2 "{\"keys\": [2]}"

static void test_passes_on(void **state)
{
	struct world w;
	(void)state;
	world_init(&w, KEYS1, 0, PD_JWKS_ISTIOD);
	struct pd_sink *s = pd_jwks_source_sink(w.source);
	struct pd_change other = {key_of(PD_KIND_SERVICE, "default", "web"), NULL};
	struct rule inline_keys = {"me", "http://127.0.0.1:1/keys", KEYS1}, nothing = {"", "", ""};
	s->changes(s, &other, 1, true);
	apply(&w, "given", &inline_keys, 1);
	apply(&w, "nothing", &nothing, 1);
	synced(&w);
	assert_log(&w, "-Service web\n+RequestAuthentication given\n+RequestAuthentication nothing\nsynced dir\n");
	world_free(&w);
}

// Keys come first, then the object that names them, and only then is everything in.
static void test_holds_until_keys_are_there(void **state)
{
	struct world w;
	(void)state;
	world_init(&w, KEYS1, 0, PD_JWKS_ISTIOD);
	apply_uri(&w, "ra", uri_of(&w, "/keys"));
	synced(&w);
	wait_for(&w, "synced", 0);
	assert_log(&w, "+JsonWebKeySet " KEYS1 "\n+RequestAuthentication ra\nsynced dir\n");
	apply_uri(&w, "again", uri_of(&w, "/keys")); // they are there: no need to wait
	assert_log(&w, "+JsonWebKeySet " KEYS1 "\n+RequestAuthentication ra\nsynced dir\n"
		       "+RequestAuthentication again\n");
	world_free(&w);
}

static void test_asks_the_issuer(void **state)
{
	struct world w;
	(void)state;
	world_init(&w, KEYS1, 0, PD_JWKS_ENVOY);
	struct rule by_issuer = {uri_of(&w, "/"), "", ""};
	apply(&w, "ra", &by_issuer, 1);
	wait_for(&w, "+RequestAuthentication ra", 0);
	assert_log(&w, "+JsonWebKeySet " KEYS1 "\n+RequestAuthentication ra\n");
	set_keys(&w, KEYS1);
	apply_uri(&w, "theirs", uri_of(&w, "/keys")); // the proxies' business
	assert_log(&w, "+JsonWebKeySet " KEYS1 "\n+RequestAuthentication ra\n+RequestAuthentication theirs\n");
	world_free(&w);
}

static void check_useless(const char *keys, const char *path)
{
	struct world w;
	world_init(&w, keys, 0, PD_JWKS_ISTIOD);
	apply_uri(&w, "ra", *path == '/' ? uri_of(&w, path) : path);
	wait_for(&w, "+RequestAuthentication ra", 0);
	assert_log(&w, "+RequestAuthentication ra\n");
	world_free(&w);
}

static void test_useless_answers(void **state)
{
	(void)state;
	check_useless(NULL, "/keys");
	check_useless("<html>", "/keys");
	check_useless("{\"secret\": \"of somebody else\"}", "/keys");
	check_useless(KEYS1, "/nowhere");
	check_useless(KEYS1, "file:///etc/hostname");
	check_useless(KEYS1, "http://169.254.169.254/latest/meta-data"); // never asked
}

static void test_refreshed_and_kept(void **state)
{
	struct world w;
	(void)state;
	world_init(&w, KEYS1, 10, PD_JWKS_ISTIOD);
	apply_uri(&w, "ra", uri_of(&w, "/keys"));
	wait_for(&w, "+RequestAuthentication ra", 0);
	set_keys(&w, KEYS2);
	wait_for(&w, "+JsonWebKeySet " KEYS2, 0);
	set_keys(&w, NULL);
	wait_for(&w, NULL, 1);
	assert_log(&w, "+JsonWebKeySet " KEYS1 "\n+RequestAuthentication ra\n+JsonWebKeySet " KEYS2 "\n");
	world_free(&w);
}

static void test_forgotten_with_the_last_one(void **state)
{
	struct world w;
	(void)state;
	world_init(&w, KEYS1, 0, PD_JWKS_ISTIOD);
	apply_uri(&w, "ra", uri_of(&w, "/keys"));
	wait_for(&w, "+RequestAuthentication ra", 0);
	apply_uri(&w, "second", uri_of(&w, "/keys"));
	apply_uri(&w, "ra", uri_of(&w, "/keys")); // names the same as before
	apply(&w, "ra", NULL, 0);
	assert_null(strstr(w.log.p, "-JsonWebKeySet"));
	apply(&w, "second", NULL, 0);
	assert_non_null(strstr(w.log.p, "-JsonWebKeySet \n-RequestAuthentication second\n"));
	apply_uri(&w, "third", uri_of(&w, "/keys")); // the document is still known
	assert_non_null(strstr(w.log.p, "second\n+JsonWebKeySet " KEYS1 "\n+RequestAuthentication third\n"));
	world_free(&w);
}

// A server that takes connections and says nothing.
static int silent_server(char *uri, size_t n)
{
	struct pd_addr a;
	struct pd_buf err = {0};
	int fd;
	uint16_t port;
	assert_int_equal(pd_addr_parse("127.0.0.1:0", &a), PD_OK);
	assert_int_equal(pd_addr_listen(&a, 16, &fd, &port, &err), PD_OK);
	snprintf(uri, n, "http://127.0.0.1:%u/keys", port);
	return fd;
}

static void test_held_ones_change(void **state)
{
	struct world w;
	char uri[64];
	int fd = silent_server(uri, sizeof(uri));
	(void)state;
	world_init(&w, KEYS1, 0, PD_JWKS_ISTIOD);
	apply_uri(&w, "goes", uri);
	apply_uri(&w, "turns", uri);
	apply_uri(&w, "stays", uri);
	synced(&w);
	assert_log(&w, "");
	struct rule now = {"me", "", KEYS1};
	apply(&w, "goes", NULL, 0);
	apply(&w, "turns", &now, 1);
	assert_log(&w, "-RequestAuthentication goes\n+RequestAuthentication turns\n");
	uint64_t begin = pd_now_ms();
	wait_for(&w, "synced", 0); // not for longer than is allowed
	assert_in_range(pd_now_ms() - begin, PD_JWKS_HOLD_MS / 2, PD_JWKS_HOLD_MS * 3);
	assert_log(&w, "-RequestAuthentication goes\n+RequestAuthentication turns\n+RequestAuthentication stays\n"
		       "synced dir\n");
	world_free(&w);
	close(fd);
}

// What is still held when everything ends is dropped.
static void test_ends_while_holding(void **state)
{
	struct world w;
	char uri[64];
	int fd = silent_server(uri, sizeof(uri));
	(void)state;
	world_init(&w, KEYS1, 0, PD_JWKS_ISTIOD);
	apply_uri(&w, "ra", uri);
	synced(&w);
	world_free(&w);
	close(fd);
}

static void test_limit(void **state)
{
	struct world w;
	static char uris[PD_JWKS_DOCS_MAX][64];
	static struct rule rules[PD_JWKS_DOCS_MAX];
	(void)state;
	world_init(&w, KEYS1, 0, PD_JWKS_ISTIOD);
	for (size_t i = 0; i < PD_JWKS_DOCS_MAX; i++) {
		snprintf(uris[i], sizeof(uris[i]), "http://169.254.1.1/%zu", i);
		rules[i] = (struct rule){"me", uris[i], ""};
	}
	apply(&w, "many", rules, PD_JWKS_DOCS_MAX);
	apply_uri(&w, "late", uri_of(&w, "/keys")); // goes on without keys, which nobody asks for
	wait_for(&w, "+RequestAuthentication late", 0);
	pthread_mutex_lock(&w.lock);
	assert_int_equal(w.asked, 0);
	pthread_mutex_unlock(&w.lock);
	world_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_passes_on),
		cmocka_unit_test(test_holds_until_keys_are_there),
		cmocka_unit_test(test_asks_the_issuer),
		cmocka_unit_test(test_useless_answers),
		cmocka_unit_test(test_refreshed_and_kept),
		cmocka_unit_test(test_forgotten_with_the_last_one),
		cmocka_unit_test(test_held_ones_change),
		cmocka_unit_test(test_ends_while_holding),
		cmocka_unit_test(test_limit),
	};
	assert_int_equal(pd_log_set_levels("none"), PD_OK);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
