#include "proxy/status.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/json.h"
#include "base/addr.h"
#include "base/http.h"
#include "base/log.h"
#include "base/metrics.h"
#include "proxy/admin.h"
#include "proxy/http_client.h"
#include "proxy/probes.h"

#define THREADS 4 // a handler waits for Envoy or the application

struct pd_status {
	struct pd_status_config cfg;
	struct pd_http *http;
	struct pd_probes probes;
	char *app_metrics; // URL or NULL
	atomic_bool draining, was_ready;
};

enum { SCRAPES, SCRAPE_FAILURES };
static struct pd_metric metrics[] = {
	[SCRAPES] = {.name = "istio_agent_scrapes_total", .help = "Requests for metrics.", .type = PD_COUNTER},
	[SCRAPE_FAILURES] = {.name = "istio_agent_scrape_failures_total",
			     .help = "Metrics of Envoy or of the application that could not be had.",
			     .type = PD_COUNTER,
			     .labels = {"type"}},
};

void pd_status_register_metrics(void)
{
	pd_metrics_register(metrics, sizeof(metrics) / sizeof(metrics[0]));
}

// ---- readiness -------------------------------------------------------------------------------------------------------------

static void ready(const struct pd_http_request *r, struct pd_http_response *out, void *arg)
{
	struct pd_status *s = arg;
	struct pd_buf why = {0};
	(void)r;
	if (s->draining) {
		pd_http_error(out, 503, "draining");
	} else if (pd_admin_ready(s->cfg.admin_port, &why) != PD_OK) {
		pd_http_error(out, 503, "%s", why.p);
		if (atomic_exchange(&s->was_ready, false))
			pd_warn("status", "Envoy is not ready any more: %s", why.p);
	} else if (!atomic_exchange(&s->was_ready, true)) {
		pd_info("status", "Envoy is ready");
	}
	pd_buf_free(&why);
}

// ---- metrics ---------------------------------------------------------------------------------------------------------------

// Adds what a URL yields. "# EOF" ends an OpenMetrics text; in the middle of ours it would cut off the rest.
static void scrape(const char *url, const char *type, struct pd_buf *out)
{
	static const char *const headers[] = {"Accept: text/plain;version=0.0.4", NULL};
	struct pd_buf body = {0}, why = {0};
	int status = 0;
	int rc =
		pd_http_call(&(struct pd_http_call){.url = url, .headers = headers, .timeout_ms = PD_SCRAPE_TIMEOUT_MS},
			     &status, &body, &why);
	if (rc != PD_OK || status != 200) {
		pd_metric_inc(&metrics[SCRAPE_FAILURES], type);
		pd_warn("status", "no metrics of the %s: %s %d", type, why.p ? why.p : "answer", status);
	}
	for (const char *line = rc == PD_OK && status == 200 ? body.p : NULL; line && *line;) {
		size_t n = strcspn(line, "\n");
		if (n < strlen("# EOF") || memcmp(line, "# EOF", strlen("# EOF")) != 0) {
			pd_buf_add(out, line, n);
			pd_buf_addc(out, '\n');
		}
		line += n + (line[n] == '\n');
	}
	pd_buf_free(&body);
	pd_buf_free(&why);
}

static void serve_metrics(const struct pd_http_request *r, struct pd_http_response *out, void *arg)
{
	struct pd_status *s = arg;
	char *envoy = pd_xasprintf("http://127.0.0.1:%u/stats/prometheus", s->cfg.admin_port);
	struct pd_buf others = {0};
	(void)r;
	pd_metric_inc(&metrics[SCRAPES]);
	scrape(envoy, "envoy", &others);
	if (s->app_metrics)
		scrape(s->app_metrics, "application", &others);
	out->content_type = PD_METRICS_CONTENT_TYPE;
	pd_metrics_write(&out->body);
	pd_buf_add(&out->body, others.p, others.n);
	pd_buf_free(&others);
	free(envoy);
}

static int set_app_metrics(struct pd_status *s, const char *scrape_it, const char *port, const char *path,
			   struct pd_buf *err)
{
	struct pd_addr a = {.port = 0};
	char address[PD_ADDR_TEXT];
	char *end;
	unsigned long n = strtoul(port, &end, 10);
	if (pd_streq(scrape_it, "false"))
		return PD_OK;
	if (*end || !n || n > UINT16_MAX) {
		pd_buf_printf(err, "annotations of Prometheus: %s is no port", port);
		return PD_E_INVALID;
	}
	a.port = (uint16_t)n;
	snprintf(a.host, sizeof(a.host), "%s", s->cfg.app_host);
	pd_addr_format(&a, address);
	s->app_metrics = pd_xasprintf("http://%s%s%s", address, *path == '/' ? "" : "/", path);
	return PD_OK;
}

// The annotations prometheus.io/scrape, path and port as the injector leaves them: strings, all optional.
static int read_prometheus(struct pd_status *s, struct pd_buf *err)
{
	struct pd_arena a = {0};
	struct pd_json *o;
	struct pd_json_error why;
	if (pd_empty(s->cfg.prometheus))
		return PD_OK;
	int rc = pd_json_parse(&a, s->cfg.prometheus, strlen(s->cfg.prometheus), &o, &why);
	if (rc != PD_OK) {
		pd_buf_printf(err, "annotations of Prometheus: %s", why.text);
	} else {
		rc = set_app_metrics(s, pd_json_get_string(o, "scrape"), pd_or(pd_json_get_string(o, "port"), "80"),
				     pd_or(pd_json_get_string(o, "path"), "/metrics"), err);
	}
	pd_arena_free(&a);
	return rc;
}

// ---- the application's probes ----------------------------------------------------------------------------------------------

static void probe(const struct pd_http_request *r, struct pd_http_response *out, void *arg)
{
	struct pd_status *s = arg;
	struct pd_buf why = {0};
	const struct pd_probe *p = pd_probes_find(&s->probes, r->path);
	if (!p) {
		pd_http_error(out, 404, "no such probe");
		return;
	}
	int status = pd_probe_run(p, s->cfg.app_host, &why);
	if (why.n) {
		pd_debug("status", "%s: %s", r->path, why.p);
		pd_http_error(out, status, "%s", why.p);
	} else {
		out->status = status;
	}
	pd_buf_free(&why);
}

// ---- orders ----------------------------------------------------------------------------------------------------------------

static bool from_here(const struct pd_http_request *r, struct pd_http_response *out)
{
	if (!r->peer_is_loopback)
		pd_http_error(out, 403, "only from this host");
	return r->peer_is_loopback;
}

static void quit(const struct pd_http_request *r, struct pd_http_response *out, void *arg)
{
	struct pd_status *s = arg;
	if (!from_here(r, out))
		return;
	pd_info("status", "asked to end");
	pd_buf_adds(&out->body, "OK");
	s->cfg.quit(s->cfg.arg);
}

static void drain(const struct pd_http_request *r, struct pd_http_response *out, void *arg)
{
	struct pd_status *s = arg;
	struct pd_buf why = {0};
	if (!from_here(r, out))
		return;
	pd_info("status", "asked to drain");
	if (pd_admin_drain(s->cfg.admin_port, s->cfg.sidecar, &why) != PD_OK)
		pd_http_error(out, 503, "%s", why.p);
	else
		pd_buf_adds(&out->body, "OK");
	pd_buf_free(&why);
}

// ---- start and stop --------------------------------------------------------------------------------------------------------

static const struct pd_http_route routes[] = {
	{.path = "/healthz/ready", .handler = ready},
	{.path = "/stats/prometheus", .handler = serve_metrics},
	{.path = "/metrics", .handler = serve_metrics},
	{.path = "/app-health/", .handler = probe},
	{.path = "/app-lifecycle/", .handler = probe},
	{.methods = PD_HTTP_POST, .path = "/quitquitquit", .handler = quit},
	{.methods = PD_HTTP_POST, .path = "/drain", .handler = drain},
};

int pd_status_start(const struct pd_status_config *cfg, struct pd_status **out, struct pd_buf *err)
{
	struct pd_status *s = pd_xcalloc(1, sizeof(*s));
	*out = s;
	s->cfg = *cfg;
	int rc = pd_probes_parse(cfg->probes, &s->probes, err);
	if (rc == PD_OK)
		rc = read_prometheus(s, err);
	if (rc == PD_OK) {
		s->http = pd_http_new(
			&(struct pd_http_options){.name = "status", .address = cfg->address, .threads = THREADS});
		pd_http_add_routes(s->http, routes, sizeof(routes) / sizeof(routes[0]), s);
		rc = pd_http_start(s->http, err);
	}
	if (rc != PD_OK)
		pd_status_stop(out);
	return rc;
}

void pd_status_stop(struct pd_status **p)
{
	struct pd_status *s = *p;
	*p = NULL;
	if (!s)
		return;
	pd_http_free(&s->http);
	pd_probes_free(&s->probes);
	free(s->app_metrics);
	free(s);
}

uint16_t pd_status_port(const struct pd_status *s)
{
	return pd_http_port(s->http);
}

void pd_status_draining(struct pd_status *s)
{
	s->draining = true;
}
