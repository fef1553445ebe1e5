// What the helper answers on its own port, between an Envoy and an application that the test plays.
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/http.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "proxy/admin.h"
#include "proxy/http_client.h"
#include "proxy/probes.h"
#include "proxy/status.h"
#include "tests/unit/proxy/rig.h"

#define READY                                                                                                          \
	"cluster_manager.cds.update_rejected: 0\ncluster_manager.cds.update_success: 1\n"                              \
	"listener_manager.lds.update_success: 0\nlistener_manager.lds.update_rejected: 2\n"                            \
	"listener_manager.workers_started: 1\nserver.state: 0\n"

struct world {
	struct pd_http *envoy, *app;
	struct pd_status *status;
	atomic_bool ready, quit, drained, app_down;
	char *app_address, *probes, *prometheus;
};

static void envoy_stats(const struct pd_http_request *r, struct pd_http_response *out, void *arg)
{
	struct world *w = arg;
	const char *filter = pd_http_query(r, "filter");
	if (!filter || !strstr(filter, "server.state"))
		pd_http_error(out, 400, "filter?");
	else
		pd_buf_adds(&out->body, w->ready ? READY : "server.state: 2\n");
}

static void envoy_metrics(const struct pd_http_request *r, struct pd_http_response *out, void *arg)
{
	(void)r;
	(void)arg;
	pd_buf_adds(&out->body, "envoy_server_live 1");
}

static void envoy_drain(const struct pd_http_request *r, struct pd_http_response *out, void *arg)
{
	struct world *w = arg;
	if (pd_http_query(r, "inboundonly") && pd_http_query(r, "graceful"))
		w->drained = true;
	else
		pd_http_error(out, 400, "how?");
}

static void app_metrics(const struct pd_http_request *r, struct pd_http_response *out, void *arg)
{
	struct world *w = arg;
	(void)r;
	if (w->app_down)
		pd_http_error(out, 500, "down");
	else
		pd_buf_adds(&out->body, "app_requests 7\n# EOF\n");
}

static void app_health(const struct pd_http_request *r, struct pd_http_response *out, void *arg)
{
	struct world *w = arg;
	if (!pd_streq(pd_http_header(r, "x-probe"), "yes") || !pd_streq(pd_http_header(r, "host"), "app.example"))
		pd_http_error(out, 400, "headers?");
	else if (w->app_down)
		pd_http_error(out, 503, "down");
	else
		out->status = 204;
}

static const struct pd_http_route envoy_routes[] = {
	{.path = "/stats", .handler = envoy_stats},
	{.path = "/stats/prometheus", .handler = envoy_metrics},
	{.methods = PD_HTTP_POST, .path = "/drain_listeners", .handler = envoy_drain},
};
static const struct pd_http_route app_routes[] = {
	{.path = "/app/metrics", .handler = app_metrics},
	{.path = "/health", .handler = app_health},
};

static void quit(void *arg)
{
	((struct world *)arg)->quit = true;
}

static struct pd_http *serve(const char *name, const struct pd_http_route *routes, size_t n, void *arg)
{
	struct pd_buf err = {0};
	struct pd_http *h = pd_http_new(&(struct pd_http_options){.name = name, .address = "127.0.0.1:0"});
	pd_http_add_routes(h, routes, n, arg);
	assert_int_equal(pd_http_start(h, &err), PD_OK);
	return h;
}

static int start(void **state)
{
	struct world *w = pd_xcalloc(1, sizeof(*w));
	struct pd_buf err = {0};
	w->envoy = serve("envoy", envoy_routes, 3, w);
	w->app = serve("app", app_routes, 2, w);
	unsigned port = pd_http_port(w->app);
	w->prometheus = pd_xasprintf("{\"scrape\": \"true\", \"path\": \"app/metrics\", \"port\": \"%u\"}", port);
	w->probes = pd_xasprintf(
		"{\"/app-health/app/readyz\": {\"httpGet\": {\"path\": \"/health\", \"port\": %u, \"scheme\": \"HTTP\","
		" \"httpHeaders\": [{\"name\": \"X-Probe\", \"value\": \"yes\"}, {\"name\": \"Host\", \"value\": "
		"\"app.example\"}]}, \"timeoutSeconds\": 3},"
		" \"/app-health/app/livez\": {\"tcpSocket\": {\"port\": %u}},"
		" \"/app-health/app/startupz\": {\"tcpSocket\": {\"port\": 1}},"
		" \"/app-health/rpc/livez\": {\"grpc\": {\"port\": 1, \"service\": \"s\"}}}",
		port, port);
	*state = w;
	return pd_status_start(&(struct pd_status_config){.address = "127.0.0.1:0",
							  .admin_port = pd_http_port(w->envoy),
							  .sidecar = true,
							  .app_host = "127.0.0.1",
							  .probes = w->probes,
							  .prometheus = w->prometheus,
							  .quit = quit,
							  .arg = w},
			       &w->status, &err);
}

static int stop(void **state)
{
	struct world *w = *state;
	pd_status_stop(&w->status);
	pd_http_free(&w->envoy);
	pd_http_free(&w->app);
	free(w->probes);
	free(w->prometheus);
	free(w);
	return 0;
}

static int ask(struct world *w, const char *method, const char *path, struct pd_buf *body)
{
	int status = 0;
	struct pd_buf why = {0};
	char *url = pd_xasprintf("http://127.0.0.1:%u%s", pd_status_port(w->status), path);
	pd_buf_reset(body);
	if (pd_http_call(&(struct pd_http_call){.url = url, .method = method, .timeout_ms = 20000}, &status, body,
			 &why) != PD_OK)
		fail_msg("%s", why.p);
	free(url);
	return status;
}

static void test_readiness(void **state)
{
	struct world *w = *state;
	struct pd_buf body = {0};
	assert_int_equal(ask(w, "GET", "/healthz/ready", &body), 503);
	assert_non_null(strstr(body.p, "no clusters yet"));
	w->ready = true;
	assert_int_equal(ask(w, "GET", "/healthz/ready", &body), 200);
	pd_status_draining(w->status);
	assert_int_equal(ask(w, "GET", "/healthz/ready", &body), 503);
	pd_buf_free(&body);
}

static void test_metrics(void **state)
{
	struct world *w = *state;
	struct pd_buf body = {0};
	pd_status_register_metrics();
	assert_int_equal(ask(w, "GET", "/stats/prometheus", &body), 200);
	assert_non_null(strstr(body.p, "istio_agent_scrapes_total 1\n"));
	assert_non_null(strstr(body.p, "\nenvoy_server_live 1\napp_requests 7\n"));
	assert_null(strstr(body.p, "# EOF"));
	w->app_down = true; // the rest is still there
	assert_int_equal(ask(w, "GET", "/stats/prometheus", &body), 200);
	assert_non_null(strstr(body.p, "envoy_server_live 1\n"));
	assert_null(strstr(body.p, "app_requests"));
	assert_int_equal(ask(w, "GET", "/stats/prometheus", &body), 200);
	assert_non_null(strstr(body.p, "istio_agent_scrape_failures_total{type=\"application\"} 2\n"));
	pd_buf_free(&body);
}

static void test_probes(void **state)
{
	struct world *w = *state;
	struct pd_buf body = {0};
	assert_int_equal(ask(w, "GET", "/app-health/app/readyz", &body), 204);
	w->app_down = true;
	assert_int_equal(ask(w, "GET", "/app-health/app/readyz", &body), 503);
	assert_int_equal(ask(w, "GET", "/app-health/app/livez", &body), 200);
	assert_int_equal(ask(w, "GET", "/app-health/app/startupz", &body), 500);
	assert_int_equal(ask(w, "GET", "/app-health/rpc/livez", &body), 500);
	assert_int_equal(ask(w, "GET", "/app-health/app/none", &body), 404);
	pd_buf_free(&body);
}

static void test_orders(void **state)
{
	struct world *w = *state;
	struct pd_buf body = {0};
	assert_int_equal(ask(w, "GET", "/quitquitquit", &body), 405);
	assert_false(w->quit);
	assert_int_equal(ask(w, "POST", "/drain", &body), 200);
	assert_true(w->drained);
	assert_false(w->quit);
	assert_int_equal(ask(w, "POST", "/quitquitquit", &body), 200);
	assert_true(w->quit);
	pd_buf_free(&body);
}

static void test_envoy_away(void **state)
{
	struct world *w = *state;
	struct pd_buf body = {0};
	w->ready = true;
	assert_int_equal(ask(w, "GET", "/healthz/ready", &body), 200);
	pd_http_free(&w->envoy);
	assert_int_equal(ask(w, "GET", "/healthz/ready", &body), 503);
	assert_int_equal(ask(w, "POST", "/drain", &body), 503);
	pd_buf_free(&body);
}

// ---- what Envoy says, and what the injector says ----------------------------------------------------------------------------

static void test_ready_of(void **state)
{
	static const struct {
		const char *stats, *why;
	} cases[] = {
		{"", "no clusters"},
		{"xcluster_manager.cds.update_success: 1\n", "no clusters"},
		{"cluster_manager.cds.update_success: 1\n", "no listeners"},
		{"cluster_manager.cds.update_rejected: 1\nlistener_manager.lds.update_success: 1\n", "not live"},
		{"cluster_manager.cds.update_rejected: 1\nlistener_manager.lds.update_success: 1\nserver.state: 1\n",
		 "not live"},
		{"cluster_manager.cds.update_rejected: 1\nlistener_manager.lds.update_success: 1\nserver.state: 0\n",
		 "workers"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pd_buf why = {0};
		assert_int_equal(pd_admin_ready_of(cases[i].stats, &why), PD_E_AGAIN);
		assert_non_null(strstr(why.p, cases[i].why));
		pd_buf_free(&why);
	}
}

static void test_connections_of(void **state)
{
	static const char text[] = "listener.0.0.0.0_15006.downstream_cx_active: 2\n"
				   "listener.0.0.0.0_15006.worker_0.downstream_cx_active: 2\n"
				   "listener.[__1]_8080.downstream_cx_active: 3\n"
				   "listener.0.0.0.0_15021.downstream_cx_active: 5\n"
				   "listener.admin.downstream_cx_active: 7\n"
				   "cluster.x.downstream_cx_active: 11\n";
	const uint16_t own[] = {15021, 0};
	(void)state;
	assert_int_equal(pd_admin_connections_of(text, own, 2), 5);
	assert_int_equal(pd_admin_connections_of("", own, 2), 0);
}

static void test_bad_probes(void **state)
{
	static const struct {
		const char *json;
		int rc;
	} cases[] = {
		{"{", PD_E_PARSE},
		{"[]", PD_E_INVALID},
		{"{\"/p\": {}}", PD_E_INVALID},
		{"{\"/p\": {\"httpGet\": {}}}", PD_E_INVALID},
		{"{\"/p\": {\"httpGet\": {\"port\": 70000}}}", PD_E_INVALID},
		{"{\"/p\": {\"httpGet\": {\"port\": 1, \"scheme\": \"FTP\"}}}", PD_E_INVALID},
		{"{\"/p\": {\"httpGet\": {\"port\": 1, \"httpHeaders\": [{\"name\": \"a\\nb\"}]}}}", PD_E_INVALID},
	};
	struct pd_probes p = {0};
	struct pd_buf why = {0};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		pd_buf_reset(&why);
		assert_int_equal(pd_probes_parse(cases[i].json, &p, &why), cases[i].rc);
		assert_true(why.n > 0);
		assert_int_equal(p.n, 0);
	}
	pd_buf_reset(&why);
	pd_buf_addc(&why, '{');
	for (int i = 0; i <= PD_PROBES_MAX; i++)
		pd_buf_printf(&why, "%s\"/%d\": {\"tcpSocket\": {\"port\": 1}}", i ? "," : "", i);
	pd_buf_addc(&why, '}');
	struct pd_buf text = {0};
	assert_int_equal(pd_probes_parse(why.p, &p, &text), PD_E_LIMIT);
	assert_int_equal(pd_probes_parse("{\"/p\": {\"httpGet\": {\"port\": \"8080\", \"path\": \"x\"},"
					 " \"timeoutSeconds\": 1000}}",
					 &p, &text),
			 PD_OK);
	assert_int_equal(p.v[0].port, 8080);
	assert_string_equal(p.v[0].http_path, "/x");
	assert_int_equal(p.v[0].timeout_s, PD_PROBE_TIMEOUT_MAX_S);
	pd_probes_free(&p);
	pd_buf_free(&why);
	pd_buf_free(&text);
}

static void test_bad_config(void **state)
{
	static const struct pd_status_config cases[] = {
		{.address = "127.0.0.1:0", .app_host = "h", .probes = "[", .prometheus = ""},
		{.address = "127.0.0.1:0", .app_host = "h", .probes = "", .prometheus = "{\"port\": \"http\"}"},
		{.address = "nonsense", .app_host = "h", .probes = "", .prometheus = ""},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pd_status *s;
		struct pd_buf err = {0};
		assert_int_not_equal(pd_status_start(&cases[i], &s, &err), PD_OK);
		assert_null(s);
		assert_true(err.n > 0);
		pd_buf_free(&err);
	}
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, start, stop)
	const struct CMUnitTest tests[] = {
		T(test_readiness),
		T(test_metrics),
		T(test_probes),
		T(test_orders),
		T(test_envoy_away),
		cmocka_unit_test(test_ready_of),
		cmocka_unit_test(test_connections_of),
		cmocka_unit_test(test_bad_probes),
		cmocka_unit_test(test_bad_config),
	};
	return cmocka_run_group_tests(tests, rig_setup, rig_teardown);
}
