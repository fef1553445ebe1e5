#include "base/addr.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static int parse_port(const char *s, uint16_t *port)
{
	unsigned v = 0;
	size_t n;

	for (n = 0; isdigit((unsigned char)s[n]) && n < 6; n++)
		v = v * 10 + (unsigned)(s[n] - '0');
	if (n == 0 || s[n] || v > UINT16_MAX)
		return PD_E_PARSE;
	*port = (uint16_t)v;
	return PD_OK;
}

static bool host_char_ok(char c)
{
	return isalnum((unsigned char)c) || c == '.' || c == '-' || c == '_';
}

int pd_addr_parse(const char *s, struct pd_addr *out)
{
	const char *host = s, *colon;
	size_t n, i;

	*out = (struct pd_addr){0};
	if (!s)
		return PD_E_PARSE;
	colon = strrchr(s, ':');
	if (!colon || parse_port(colon + 1, &out->port))
		return PD_E_PARSE;
	n = (size_t)(colon - s);
	if (n >= 2 && s[0] == '[' && s[n - 1] == ']') {
		host++;
		n -= 2;
	}
	if (n >= PD_HOST_MAX)
		return PD_E_PARSE;
	memcpy(out->host, host, n);
	out->host[n] = 0;
	if (host > s)
		return pd_is_ipv6(out->host) ? PD_OK : PD_E_PARSE;
	for (i = 0; i < n; i++)
		if (!host_char_ok(host[i]))
			return PD_E_PARSE;
	return PD_OK;
}

void pd_addr_format(const struct pd_addr *a, char *out)
{
	const char *form = strchr(a->host, ':') ? "[%s]:%u" : "%s:%u";

	snprintf(out, PD_ADDR_TEXT, form, a->host, a->port);
}

bool pd_addr_is_loopback(const struct pd_addr *a)
{
	struct pd_ip ip;

	if (pd_ip_parse(a->host, &ip) == PD_OK)
		return pd_ip_is_loopback(&ip);
	return strcmp(a->host, "localhost") == 0;
}

// Returns a descriptor or -1 with errno.
static int listen_on(const struct addrinfo *ai, int backlog)
{
	int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1, off = 0, saved;

	if (fd < 0)
		return -1;
	// Without SO_REUSEADDR a restarted daemon would wait for TIME_WAIT; it does not allow two listeners.
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    (ai->ai_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off))) ||
	    bind(fd, ai->ai_addr, ai->ai_addrlen) || listen(fd, backlog)) {
		saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

static uint16_t bound_port(int fd)
{
	struct sockaddr_storage ss = {0};
	socklen_t len = sizeof(ss);

	if (getsockname(fd, (struct sockaddr *)&ss, &len))
		return 0;
	return ntohs(ss.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&ss)->sin6_port
					      : ((struct sockaddr_in *)&ss)->sin_port);
}

// All interfaces: one socket for both families, or IPv4 alone where the kernel has no IPv6.
static int listen_any(uint16_t port, int backlog)
{
	struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct addrinfo ai = {.ai_family = AF_INET6, .ai_addr = (struct sockaddr *)&six, .ai_addrlen = sizeof(six)};
	int fd = listen_on(&ai, backlog);

	if (fd >= 0 || (errno != EAFNOSUPPORT && errno != EADDRNOTAVAIL))
		return fd;
	ai = (struct addrinfo){.ai_family = AF_INET, .ai_addr = (struct sockaddr *)&four, .ai_addrlen = sizeof(four)};
	return listen_on(&ai, backlog);
}

int pd_addr_listen(const struct pd_addr *a, int backlog, int *fd, uint16_t *port, struct pd_buf *err)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
	struct addrinfo *list, *ai;
	char text[PD_ADDR_TEXT], service[8];
	int rc;

	pd_addr_format(a, text);
	*fd = -1;
	if (!a->host[0]) {
		*fd = listen_any(a->port, backlog);
	} else {
		snprintf(service, sizeof(service), "%u", a->port);
		rc = getaddrinfo(a->host, service, &hints, &list);
		if (rc) {
			pd_buf_printf(err, "cannot listen on %s: %s", text, gai_strerror(rc));
			return PD_E_IO;
		}
		for (ai = list; ai && *fd < 0; ai = ai->ai_next)
			*fd = listen_on(ai, backlog);
		rc = errno;
		freeaddrinfo(list);
		errno = rc;
	}
	if (*fd < 0) {
		pd_buf_printf(err, "cannot listen on %s: %s", text, strerror(errno));
		return PD_E_IO;
	}
	if (port)
		*port = bound_port(*fd);
	return PD_OK;
}
