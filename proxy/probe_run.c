#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/addr.h"
#include "proxy/http_client.h"
#include "proxy/probes.h"
#include "proxy/unary.h"

#define HEALTH_METHOD "/grpc.health.v1.Health/Check"
#define HEALTH_SERVING 1
#define SERVICE_MAX 127 // bytes of a service's name: its length then takes one byte

static void format(const struct pd_probe *p, const char *host, char *out)
{
	struct pd_addr a = {.port = p->port};
	snprintf(a.host, sizeof(a.host), "%s", *p->host ? p->host : host);
	pd_addr_format(&a, out);
}

static int run_http(const struct pd_probe *p, const char *address, struct pd_buf *why)
{
	int status;
	struct pd_buf body = {0};
	char *url = pd_xasprintf("%s://%s%s", p->scheme, address, p->http_path);
	int rc = pd_http_call(&(struct pd_http_call){.url = url,
						     .headers = p->headers,
						     .timeout_ms = p->timeout_s * 1000},
			      &status, &body, why);
	free(url);
	pd_buf_free(&body);
	if (rc == PD_OK && status >= 400)
		pd_buf_printf(why, "the application answers %d", status);
	return rc == PD_OK ? status : 500;
}

static bool connects(const struct addrinfo *a, unsigned timeout_s)
{
	int error = 0, fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	socklen_t n = sizeof(error);
	bool ok = false;
	if (fd < 0)
		return false;
	if (connect(fd, a->ai_addr, a->ai_addrlen) == 0) {
		ok = true;
	} else if (errno == EINPROGRESS) {
		struct pollfd p = {.fd = fd, .events = POLLOUT};
		ok = poll(&p, 1, (int)timeout_s * 1000) == 1 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) == 0 &&
		     !error;
	}
	close(fd);
	return ok;
}

static int run_tcp(const struct pd_probe *p, const char *host, struct pd_buf *why)
{
	char port[8];
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
	bool ok = false;
	snprintf(port, sizeof(port), "%u", p->port);
	if (getaddrinfo(*p->host ? p->host : host, port, &hints, &list) == 0)
		for (const struct addrinfo *a = list; a && !ok; a = a->ai_next)
			ok = connects(a, p->timeout_s);
	if (list)
		freeaddrinfo(list);
	if (!ok)
		pd_buf_printf(why, "nobody accepts connections on port %u", p->port);
	return ok ? 200 : 500;
}

// HealthCheckRequest{service = 1} and HealthCheckResponse{status = 1} of gRPC's health checking protocol, by hand: one field
// each.
static int run_grpc(const struct pd_probe *p, const char *address, struct pd_buf *why)
{
	uint8_t request[2 + SERVICE_MAX] = {0x0a};
	size_t n = strlen(p->service);
	struct pd_buf reply = {0};
	bool serving = false;
	if (n > SERVICE_MAX) {
		pd_buf_adds(why, "the service's name is too long");
		return 500;
	}
	request[1] = (uint8_t)n;
	memcpy(request + 2, p->service, n);
	int rc = pd_unary_call(&(struct pd_unary){.target = address,
						  .method = HEALTH_METHOD,
						  .request = request,
						  .request_len = n ? n + 2 : 0,
						  .timeout_ms = p->timeout_s * 1000},
			       &reply, why);
	if (rc == PD_OK) {
		serving = reply.n == 2 && reply.p[0] == 0x08 && reply.p[1] == HEALTH_SERVING;
		if (!serving)
			pd_buf_adds(why, "the application says that it is not serving");
	}
	pd_buf_free(&reply);
	return serving ? 200 : 500;
}

int pd_probe_run(const struct pd_probe *p, const char *host, struct pd_buf *why)
{
	char address[PD_ADDR_TEXT];
	format(p, host, address);
	switch (p->kind) {
	case PD_PROBE_HTTP:
		return run_http(p, address, why);
	case PD_PROBE_TCP:
		return run_tcp(p, host, why);
	case PD_PROBE_GRPC:
		return run_grpc(p, address, why);
	}
	PD_UNREACHABLE();
}
