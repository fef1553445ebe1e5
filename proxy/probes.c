#include "proxy/probes.h"

#include <stdlib.h>
#include <string.h>

#include "api/json.h"

// ---- reading ---------------------------------------------------------------------------------------------------------------

static int complain(struct pd_buf *err, const char *path, const char *what)
{
	pd_buf_printf(err, "probe %s: %s", path, what);
	return PD_E_INVALID;
}

// The injector has resolved port names; a number as text is Kubernetes' IntOrString.
static int read_port(const struct pd_json *o, struct pd_probe *p, struct pd_buf *err)
{
	const struct pd_json *port = pd_json_get(o, "port");
	int64_t v = 0;
	if (port && port->type == PD_JSON_INT)
		v = port->i;
	else if (port && port->type == PD_JSON_STRING)
		v = strtoll(port->s, NULL, 10);
	if (v <= 0 || v > UINT16_MAX)
		return complain(err, p->path, "no port number");
	p->port = (uint16_t)v;
	p->host = pd_or(pd_json_get_string(o, "host"), "");
	return PD_OK;
}

static int read_http(struct pd_arena *a, const struct pd_json *o, struct pd_probe *p, struct pd_buf *err)
{
	const struct pd_json *headers = pd_json_get(o, "httpHeaders");
	size_t n = 0;
	p->http_path = pd_or(pd_json_get_string(o, "path"), "/");
	p->scheme = pd_or(pd_json_get_string(o, "scheme"), "HTTP");
	if (*p->http_path != '/')
		p->http_path = pd_arena_printf(a, "/%s", p->http_path);
	if (strcmp(p->scheme, "HTTP") != 0 && strcmp(p->scheme, "HTTPS") != 0)
		return complain(err, p->path, "the scheme is neither HTTP nor HTTPS");
	p->scheme = strcmp(p->scheme, "HTTP") == 0 ? "http" : "https";
	if (!headers || headers->type != PD_JSON_ARRAY)
		return PD_OK;
	for (const struct pd_json *h = headers->first; h; h = h->next) {
		const char *name = pd_json_get_string(h, "name"), *value = pd_or(pd_json_get_string(h, "value"), "");
		if (n == PD_PROBE_HEADERS_MAX)
			return complain(err, p->path, "too many headers");
		if (pd_empty(name) || strpbrk(name, "\r\n:") || strpbrk(value, "\r\n"))
			return complain(err, p->path, "a header that is none");
		// (libcurl sends a header without value as "Name;", and takes "Name:" as a wish to leave it out)
		p->headers[n++] = *value ? pd_arena_printf(a, "%s: %s", name, value) : pd_arena_printf(a, "%s;", name);
	}
	return PD_OK;
}

static int read_probe(struct pd_arena *a, const struct pd_json *o, struct pd_probe *p, struct pd_buf *err)
{
	static const char *const kinds[] = {"httpGet", "tcpSocket", "grpc"};
	const struct pd_json *what = NULL, *timeout = pd_json_get(o, "timeoutSeconds");
	p->path = o->key;
	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]) && !what; k++)
		if ((what = pd_json_get(o, kinds[k])))
			p->kind = (enum pd_probe_kind)k;
	if (!what || what->type != PD_JSON_OBJECT)
		return complain(err, p->path, "neither httpGet nor tcpSocket nor grpc");
	p->timeout_s = PD_PROBE_TIMEOUT_S;
	if (timeout && timeout->type == PD_JSON_INT && timeout->i > 0)
		p->timeout_s = timeout->i < PD_PROBE_TIMEOUT_MAX_S ? (unsigned)timeout->i : PD_PROBE_TIMEOUT_MAX_S;
	p->service = pd_or(pd_json_get_string(what, "service"), "");
	int rc = read_port(what, p, err);
	return rc == PD_OK && p->kind == PD_PROBE_HTTP ? read_http(a, what, p, err) : rc;
}

int pd_probes_parse(const char *json, struct pd_probes *out, struct pd_buf *err)
{
	struct pd_json *all;
	struct pd_json_error why;
	if (pd_empty(json))
		return PD_OK;
	int rc = pd_json_parse(&out->arena, json, strlen(json), &all, &why);
	if (rc != PD_OK) {
		pd_buf_printf(err, "probes: %s", why.text);
	} else if (all->type != PD_JSON_OBJECT) {
		pd_buf_adds(err, "probes: no JSON object");
		rc = PD_E_INVALID;
	} else if (all->n > PD_PROBES_MAX) {
		pd_buf_printf(err, "probes: %u are more than %d", all->n, PD_PROBES_MAX);
		rc = PD_E_LIMIT;
	} else {
		out->v = PD_NEWN(&out->arena, struct pd_probe, all->n);
		for (const struct pd_json *o = all->first; o && rc == PD_OK; o = o->next)
			rc = read_probe(&out->arena, o, &out->v[out->n++], err);
	}
	if (rc != PD_OK)
		pd_probes_free(out);
	return rc;
}

void pd_probes_free(struct pd_probes *p)
{
	pd_arena_free(&p->arena);
	*p = (struct pd_probes){0};
}

const struct pd_probe *pd_probes_find(const struct pd_probes *p, const char *path)
{
	for (size_t i = 0; i < p->n; i++)
		if (strcmp(p->v[i].path, path) == 0)
			return &p->v[i];
	return NULL;
}
