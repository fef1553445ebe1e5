#include "config/validate.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdlib.h>
#include <strings.h>

#include "config/validate_impl.h"

static void (*const validators[PD_KIND_COUNT])(const ProtobufCMessage *, struct pd_validation *) = {
	[PD_KIND_VIRTUAL_SERVICE] = pd_validate_virtual_service,
	[PD_KIND_DESTINATION_RULE] = pd_validate_destination_rule,
	[PD_KIND_GATEWAY] = pd_validate_gateway,
	[PD_KIND_SERVICE_ENTRY] = pd_validate_service_entry,
	[PD_KIND_SERVICE] = pd_validate_service,
	[PD_KIND_ENDPOINT_SLICE] = pd_validate_endpoint_slice,
};

void pd_validate(enum pd_kind kind, const K8s__ObjectMeta *meta, const ProtobufCMessage *spec, struct pd_validation *v)
{
	(void)meta;
	if (validators[kind])
		validators[kind](spec, v);
}

// ---- findings -------------------------------------------------------------------------------------------------------

static void add_path(struct pd_buf *b, const struct pd_at *at)
{
	if (!at)
		return;
	add_path(b, at->up);
	if (b->n)
		pd_buf_addc(b, '.');
	pd_buf_adds(b, at->name);
	if (at->index >= 0)
		pd_buf_printf(b, "[%d]", at->index);
}

static void find(struct pd_validation *v, enum pd_issue_severity severity, const struct pd_at *at, const char *fmt,
		 va_list ap)
{
	struct pd_buf path = {0};

	v->errors += severity == PD_ISSUE_ERROR;
	if (v->found.n == PD_VALIDATION_MAX) {
		v->dropped++;
		return;
	}
	add_path(&path, at);
	v->found.v[v->found.n++] = (struct pd_finding){
		.severity = severity,
		.field = pd_arena_strdup(v->arena, path.p ? path.p : ""),
		.reason = pd_arena_vprintf(v->arena, fmt, ap),
	};
	pd_buf_free(&path);
}

void pd_find_error(struct pd_validation *v, const struct pd_at *at, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	find(v, PD_ISSUE_ERROR, at, fmt, ap);
	va_end(ap);
}

void pd_find_warning(struct pd_validation *v, const struct pd_at *at, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	find(v, PD_ISSUE_WARNING, at, fmt, ap);
	va_end(ap);
}

// ---- values ---------------------------------------------------------------------------------------------------------

void pd_check_port(struct pd_validation *v, const struct pd_at *at, uint32_t port)
{
	if (port < 1 || port > 65535)
		pd_find_error(v, at, "port %u is not in 1..65535", port);
}

void pd_check_not_negative(struct pd_validation *v, const struct pd_at *at, int64_t value)
{
	if (value < 0)
		pd_find_error(v, at, "must not be negative");
}

void pd_check_percent(struct pd_validation *v, const struct pd_at *at, double value)
{
	if (!(value >= 0 && value <= 100))
		pd_find_error(v, at, "%g is not in 0..100", value);
}

void pd_check_duration(struct pd_validation *v, const struct pd_at *at, const Google__Protobuf__Duration *d,
		       bool positive)
{
	if (!d)
		return;
	if (d->seconds < 0 || d->nanos < 0)
		pd_find_error(v, at, "a duration must not be negative");
	else if (positive && d->seconds == 0 && d->nanos < 1000000)
		pd_find_error(v, at, "a duration must be at least 1ms");
}

bool pd_is_cidr(const char *s)
{
	const char *slash = strchr(s, '/');
	char address[INET6_ADDRSTRLEN];
	unsigned bits = 0;

	if (!slash)
		return pd_is_ip(s);
	if ((size_t)(slash - s) >= sizeof(address) || !slash[1] || strlen(slash) > 4)
		return false;
	memcpy(address, s, (size_t)(slash - s));
	address[slash - s] = 0;
	for (const char *p = slash + 1; *p; p++) {
		if (*p < '0' || *p > '9')
			return false;
		bits = bits * 10 + (unsigned)(*p - '0');
	}
	return pd_is_ip(address) && bits <= (strchr(address, ':') ? 128u : 32u);
}

// Labels of letters, digits, '-' and '_', 1 to 63 bytes, not starting or ending with '-'.
static bool valid_dns(const char *s)
{
	size_t label = 0, n = strlen(s);

	if (n > 253)
		return false;
	for (size_t i = 0; i <= n; i++) {
		char c = s[i];
		bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';

		if (c == '.' && i + 1 == n)
			return label > 0; // a final dot
		if (c == '.' || !c) {
			if (!label || label > 63 || s[i - 1] == '-')
				return false;
			label = 0;
			continue;
		}
		if (!alnum && (c != '-' || !label))
			return false;
		label++;
	}
	return true;
}

void pd_check_host(struct pd_validation *v, const struct pd_at *at, const char *host, bool wildcard)
{
	if (pd_empty(host))
		pd_find_error(v, at, "a host name is required");
	else if (wildcard && !strcmp(host, "*"))
		return;
	else if (wildcard && *host == '*')
		pd_check_host(v, at, host + 1 + (host[1] == '.' || host[1] == '-'), false);
	else if (!valid_dns(host))
		pd_find_error(v, at, "\"%.80s\" is not a DNS name%s", host,
			      strchr(host, '*') && !wildcard ? "; wildcards are not possible here" : "");
}

static const char *const protocols[] = {"tcp",   "udp", "grpc",  "grpc-web", "http",  "http_proxy", "http2",
					"https", "tls", "mongo", "redis",    "mysql", "hbone",      "double-hbone"};

void pd_check_protocol(struct pd_validation *v, const struct pd_at *at, const char *protocol)
{
	for (size_t i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++)
		if (!strcasecmp(protocols[i], protocol))
			return;
	pd_find_error(v, at, pd_empty(protocol) ? "a protocol is required" : "\"%.40s\" is not a known protocol",
		      protocol);
}

bool pd_is_tls_protocol(const char *protocol)
{
	return !strcasecmp(protocol, "https") || !strcasecmp(protocol, "tls");
}
