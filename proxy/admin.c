#include "proxy/admin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/http_client.h"

static int ask(uint16_t port, const char *method, const char *path, struct pd_buf *body, struct pd_buf *why)
{
	int status;
	char *url = pd_xasprintf("http://127.0.0.1:%u%s", port, path);
	int rc = pd_http_call(&(struct pd_http_call){.url = url, .method = method, .timeout_ms = PD_ADMIN_TIMEOUT_MS},
			      &status, body, why);
	free(url);
	if (rc == PD_OK && status != 200) {
		pd_buf_printf(why, "Envoy answers %d", status);
		rc = PD_E_IO;
	}
	return rc;
}

// Value of the line "NAME: NUMBER"; -1: there is none.
static int64_t value_of(const char *stats, const char *name)
{
	size_t n = strlen(name);
	for (const char *s = stats; (s = strstr(s, name)); s += n)
		if ((s == stats || s[-1] == '\n') && s[n] == ':')
			return strtoll(s + n + 1, NULL, 10);
	return -1;
}

static bool answered(const char *stats, const char *success, const char *rejected)
{
	return value_of(stats, success) > 0 || value_of(stats, rejected) > 0;
}

int pd_admin_ready_of(const char *stats, struct pd_buf *why)
{
	if (!answered(stats, "cluster_manager.cds.update_success", "cluster_manager.cds.update_rejected"))
		pd_buf_adds(why, "Envoy has no clusters yet");
	else if (!answered(stats, "listener_manager.lds.update_success", "listener_manager.lds.update_rejected"))
		pd_buf_adds(why, "Envoy has no listeners yet");
	else if (value_of(stats, "server.state") != 0)
		pd_buf_adds(why, "Envoy is not live");
	else if (value_of(stats, "listener_manager.workers_started") != 1)
		pd_buf_adds(why, "Envoy's workers have not started");
	else
		return PD_OK;
	return PD_E_AGAIN;
}

int pd_admin_ready(uint16_t port, struct pd_buf *why)
{
	// ^(cluster_manager.cds|listener_manager.(lds|workers_started)|server.state)
	static const char path[] = "/stats?filter=%5E%28cluster_manager.cds%7Clistener_manager.%28lds%7Cworkers_started"
				   "%29%7Cserver.state%29";
	struct pd_buf body = {0};
	int rc = ask(port, "GET", path, &body, why);
	if (rc == PD_OK)
		rc = pd_admin_ready_of(pd_or(body.p, ""), why);
	pd_buf_free(&body);
	return rc;
}

int pd_admin_drain(uint16_t port, bool inbound_only, struct pd_buf *why)
{
	struct pd_buf body = {0};
	int rc = ask(port, "POST", inbound_only ? "/drain_listeners?inboundonly&graceful" : "/drain_listeners?graceful",
		     &body, why);
	pd_buf_free(&body);
	return rc;
}

// "listener.ADDRESS_PORT.downstream_cx_active": is PORT one of `but`?
static bool is_of(const char *line, size_t n, const uint16_t *but, unsigned n_but)
{
	for (unsigned i = 0; i < n_but; i++) {
		char port[16];
		snprintf(port, sizeof(port), "_%u.", but[i]);
		if (memmem(line, n, port, strlen(port)))
			return true;
	}
	return false;
}

int64_t pd_admin_connections_of(const char *stats, const uint16_t *but, unsigned n_but)
{
	int64_t sum = 0;
	for (const char *line = stats; *line;) {
		size_t n = strcspn(line, "\n");
		const char *colon = memrchr(line, ':', n); // an IPv6 address has some, too
		if (colon && pd_has_prefix(line, "listener.") && !pd_has_prefix(line, "listener.admin.") &&
		    !memmem(line, n, ".worker_", strlen(".worker_")) &&
		    !is_of(line, (size_t)(colon - line), but, n_but))
			sum += strtoll(colon + 1, NULL, 10);
		line += n + (line[n] == '\n');
	}
	return sum;
}

int64_t pd_admin_connections(uint16_t port, const uint16_t *but, unsigned n_but)
{
	// ^listener.*downstream_cx_active$
	static const char path[] = "/stats?filter=%5Elistener.*downstream_cx_active%24";
	struct pd_buf body = {0}, why = {0};
	int64_t n = -1;
	if (ask(port, "GET", path, &body, &why) == PD_OK)
		n = pd_admin_connections_of(pd_or(body.p, ""), but, n_but);
	pd_buf_free(&body);
	pd_buf_free(&why);
	return n;
}
