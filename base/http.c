// The server: libmicrohttpd calls `on_request` first with the headers, then for each piece of the body, then once more when
// the request is complete; `completed` follows in every case. A request that is refused (no such path, wrong method) has its
// body read and dropped all the same, up to twice the limit: closing a socket with unread bytes would reset the connection
// and the client might never see the answer.
#include "base/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <microhttpd.h>

#include "base/addr.h"
#include "base/http_impl.h"
#include "base/log.h"
#include "base/vec.h"

#define STREAM_BLOCK (16 * 1024)
#define LISTEN_BACKLOG 128

struct pd_http {
	struct pd_http_options o; // strings owned
	struct pd_http_routes routes;
	struct MHD_Daemon *daemon; // NULL while off
	uint16_t port;
};

// A request from its first header to its completion.
struct call {
	struct pd_http_request req;
	struct pd_buf body;
	const struct pd_http_entry *entry; // NULL: 404, or the index page
	bool index;
	bool wanted;    // a handler will run: the body is kept
	bool head;      // the client wants no body
	bool too_large; // the body exceeds the limit
	uint64_t seen;  // bytes of the body, kept or not
};

// The state of a streamed response, owned by MHD's response object.
struct stream {
	ssize_t (*read)(void *arg, uint64_t pos, char *out, size_t max);
	void (*done)(void *arg);
	void *arg;
};

struct pd_http *pd_http_new(const struct pd_http_options *o)
{
	struct pd_http *h = pd_xcalloc(1, sizeof(*h));

	h->o = *o;
	h->o.name = pd_xstrdup(pd_or(o->name, "http"));
	h->o.address = pd_xstrdup(pd_or(o->address, ""));
	h->o.threads = o->threads ? o->threads : PD_HTTP_THREADS;
	h->o.max_connections = o->max_connections ? o->max_connections : PD_HTTP_CONNECTIONS;
	h->o.max_per_ip = o->max_per_ip ? o->max_per_ip : PD_HTTP_PER_IP;
	h->o.timeout_s = o->timeout_s ? o->timeout_s : PD_HTTP_TIMEOUT_S;
	h->o.max_body = o->max_body ? o->max_body : PD_HTTP_BODY_MAX;
	if (h->o.threads > h->o.max_connections)
		h->o.threads = h->o.max_connections;
	return h;
}

void pd_http_add_routes(struct pd_http *h, const struct pd_http_route *table, size_t n, void *arg)
{
	size_t i;

	PD_ASSERT(!h->daemon);
	for (i = 0; i < n; i++)
		pd_http_routes_add(&h->routes, &table[i], arg);
}

// -- request ---------------------------------------------------------------------------------------------------------------

struct lookup {
	const char *name;
	const char *found;
	bool (*fn)(const char *name, const char *value, void *arg);
	void *arg;
};

static enum MHD_Result lookup_one(void *cls, enum MHD_ValueKind kind, const char *key, const char *value)
{
	struct lookup *l = cls;

	(void)kind;
	if (strcmp(key, l->name) != 0)
		return MHD_YES;
	l->found = value ? value : "";
	return MHD_NO;
}

static enum MHD_Result pass_one(void *cls, enum MHD_ValueKind kind, const char *key, const char *value)
{
	struct lookup *l = cls;

	(void)kind;
	return l->fn(key, value ? value : "", l->arg) ? MHD_YES : MHD_NO;
}

const char *pd_http_query(const struct pd_http_request *r, const char *name)
{
	struct lookup l = {.name = name};

	// MHD's own look-up takes no notice of case.
	MHD_get_connection_values(r->private_, MHD_GET_ARGUMENT_KIND, lookup_one, &l);
	return l.found;
}

void pd_http_query_each(const struct pd_http_request *r, bool (*fn)(const char *name, const char *value, void *arg),
			void *arg)
{
	struct lookup l = {.fn = fn, .arg = arg};

	MHD_get_connection_values(r->private_, MHD_GET_ARGUMENT_KIND, pass_one, &l);
}

const char *pd_http_header(const struct pd_http_request *r, const char *name)
{
	return MHD_lookup_connection_value(r->private_, MHD_HEADER_KIND, name);
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// Decodes %xx in place. "%00" and what is not two hex digits stay as they are: a NUL would cut the text short, and the rest
// of a path or value would be ignored instead of refused.
static size_t unescape(void *cls, struct MHD_Connection *c, char *s)
{
	char *in = s, *out = s;
	int hi, lo;

	(void)cls;
	(void)c;
	while (*in) {
		hi = in[0] == '%' ? hex(in[1]) : -1;
		lo = hi >= 0 ? hex(in[2]) : -1;
		if (lo >= 0 && (hi || lo)) {
			*out++ = (char)(hi << 4 | lo);
			in += 3;
		} else {
			*out++ = *in++;
		}
	}
	*out = 0;
	return (size_t)(out - s);
}

static unsigned method_bit(const char *method)
{
	static const struct {
		const char *name;
		unsigned bit;
	} methods[] = {{"GET", PD_HTTP_GET},
		       {"HEAD", PD_HTTP_GET},
		       {"POST", PD_HTTP_POST},
		       {"PUT", PD_HTTP_PUT},
		       {"DELETE", PD_HTTP_DELETE}};
	size_t i;

	for (i = 0; i < sizeof(methods) / sizeof(*methods); i++)
		if (strcmp(methods[i].name, method) == 0)
			return methods[i].bit;
	return 0;
}

// On a socket for both families IPv4 clients have mapped addresses.
static void set_peer(struct pd_http_request *r, struct MHD_Connection *c)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	const struct sockaddr *sa = info ? info->client_addr : NULL;
	const struct in6_addr *six;
	struct pd_ip ip = {0};

	if (sa && sa->sa_family == AF_INET) {
		ip.len = 4;
		memcpy(ip.b, &((const struct sockaddr_in *)sa)->sin_addr, 4);
	} else if (sa && sa->sa_family == AF_INET6) {
		six = &((const struct sockaddr_in6 *)sa)->sin6_addr;
		ip.len = IN6_IS_ADDR_V4MAPPED(six) ? 4 : 16;
		memcpy(ip.b, (const uint8_t *)six + 16 - ip.len, ip.len);
	}
	pd_ip_format(&ip, r->peer);
	r->peer_is_loopback = pd_ip_is_loopback(&ip);
}

// -- response --------------------------------------------------------------------------------------------------------------

void pd_http_set_header(struct pd_http_response *r, const char *name, const char *value)
{
	const char *p;

	PD_ASSERT(r->n_headers < PD_HTTP_RESPONSE_HEADERS);
	for (p = value; *p; p++)
		PD_ASSERT((unsigned char)*p >= 0x20 && *p != 0x7f);
	r->headers[r->n_headers][0] = pd_xstrdup(name);
	r->headers[r->n_headers][1] = pd_xstrdup(value);
	r->n_headers++;
}

void pd_http_error(struct pd_http_response *r, int status, const char *fmt, ...)
{
	va_list ap;

	r->status = status;
	r->content_type = NULL;
	pd_buf_reset(&r->body);
	va_start(ap, fmt);
	pd_buf_vprintf(&r->body, fmt, ap);
	va_end(ap);
	pd_buf_addc(&r->body, '\n');
}

static ssize_t stream_read(void *cls, uint64_t pos, char *out, size_t max)
{
	struct stream *s = cls;
	ssize_t n = s->read(s->arg, pos, out, max);

	PD_ASSERT(n <= (ssize_t)max);
	if (n > 0)
		return n;
	return n == 0 ? MHD_CONTENT_READER_END_OF_STREAM : MHD_CONTENT_READER_END_WITH_ERROR;
}

static void stream_free(void *cls)
{
	struct stream *s = cls;

	if (s->done)
		s->done(s->arg);
	free(s);
}

static struct MHD_Response *make_response(struct pd_http_response *r)
{
	struct MHD_Response *m;
	struct stream *s;

	if (r->read) {
		PD_ASSERT(r->body.n == 0);
		s = pd_xmalloc(sizeof(*s));
		*s = (struct stream){.read = r->read, .done = r->done, .arg = r->stream_arg};
		m = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, stream_read, s, stream_free);
		if (!m)
			stream_free(s);
	} else if (r->body.n) {
		m = MHD_create_response_from_buffer(r->body.n, r->body.p, MHD_RESPMEM_MUST_FREE);
		if (m)
			r->body = (struct pd_buf){0};
	} else {
		m = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
	}
	pd_buf_free(&r->body);
	return m;
}

// Consumes the response.
static enum MHD_Result send_response(struct MHD_Connection *c, struct pd_http_response *r, bool head)
{
	struct MHD_Response *m = make_response(r);
	enum MHD_Result rc = MHD_NO;
	size_t i;

	if (m) {
		// MHD 0.9.75 ends even an absent body with a last chunk, which the client would take for the next response.
		if (head && r->read)
			MHD_set_response_options(m, MHD_RF_HTTP_1_0_COMPATIBLE_STRICT, MHD_RO_END);
		MHD_add_response_header(m, "Content-Type", pd_or(r->content_type, "text/plain; charset=utf-8"));
		MHD_add_response_header(m, "X-Content-Type-Options", "nosniff");
		for (i = 0; i < r->n_headers; i++)
			MHD_add_response_header(m, r->headers[i][0], r->headers[i][1]);
		rc = MHD_queue_response(c, (unsigned)r->status, m);
		MHD_destroy_response(m);
	}
	for (i = 0; i < r->n_headers; i++) {
		free(r->headers[i][0]);
		free(r->headers[i][1]);
	}
	return rc;
}

static void method_not_allowed(const struct call *k, unsigned allowed, struct pd_http_response *r)
{
	struct pd_buf names = {0};

	pd_http_method_names(allowed, &names);
	pd_http_error(r, 405, "method not allowed: %s takes %s", k->req.path, names.p);
	pd_http_set_header(r, "Allow", names.p);
	pd_buf_free(&names);
}

static enum MHD_Result answer(struct pd_http *h, struct MHD_Connection *c, struct call *k)
{
	struct pd_http_response r = {.status = 200};
	unsigned allowed = k->entry ? pd_http_route_methods(k->entry->route) : PD_HTTP_GET;

	k->req.body = k->body.p ? k->body.p : "";
	k->req.body_len = k->body.n;
	if (!k->entry && !k->index)
		pd_http_error(&r, 404, "not found");
	else if (!(k->req.method & allowed))
		method_not_allowed(k, allowed, &r);
	else if (k->too_large)
		pd_http_error(&r, 413, "request body exceeds %zu bytes", h->o.max_body);
	else if (k->index)
		pd_http_index(&h->routes, h->o.name, &r);
	else
		k->entry->route->handler(&k->req, &r, k->entry->arg);
	return send_response(c, &r, k->head);
}

// -- glue ------------------------------------------------------------------------------------------------------------------

static bool announces_too_much(const struct pd_http *h, struct MHD_Connection *c)
{
	const char *text = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Content-Length");

	return text && strtoull(text, NULL, 10) > h->o.max_body;
}

// The first call for a request.
static enum MHD_Result begin(struct pd_http *h, struct MHD_Connection *c, const char *path, const char *method,
			     void **ctx)
{
	struct call *k = pd_xcalloc(1, sizeof(*k));

	*ctx = k;
	k->req.private_ = c;
	k->req.path = path;
	k->req.rest = "";
	k->req.method = method_bit(method);
	k->head = strcmp(method, "HEAD") == 0;
	set_peer(&k->req, c);
	k->entry = pd_http_routes_find(&h->routes, path);
	k->index = h->o.index && (strcmp(path, "/debug") == 0 || strcmp(path, "/debug/") == 0) &&
		   (!k->entry || strcmp(k->entry->route->path, path) != 0);
	if (k->index)
		k->entry = NULL;
	else if (k->entry && k->entry->prefix)
		k->req.rest = path + k->entry->len;
	k->wanted = k->entry && (k->req.method & pd_http_route_methods(k->entry->route));
	if (!announces_too_much(h, c))
		return MHD_YES;
	k->too_large = true;
	return answer(h, c, k); // refused before any of it is sent; MHD closes the connection
}

// Keeps what a handler wants. What nobody wants is read up to twice the limit, then the connection is cut.
static enum MHD_Result take_body(struct pd_http *h, struct call *k, const char *data, size_t n)
{
	k->seen += n;
	if (k->seen > h->o.max_body) {
		k->too_large = true;
		pd_buf_free(&k->body);
	} else if (k->wanted) {
		pd_buf_add(&k->body, data, n);
	}
	return k->seen > 2 * (uint64_t)h->o.max_body ? MHD_NO : MHD_YES;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *c, const char *path, const char *method,
				  const char *version, const char *data, size_t *data_size, void **ctx)
{
	struct pd_http *h = cls;
	size_t n = *data_size;

	(void)version;
	if (!*ctx)
		return begin(h, c, path, method, ctx);
	*data_size = 0;
	return n ? take_body(h, *ctx, data, n) : answer(h, c, *ctx);
}

static void completed(void *cls, struct MHD_Connection *c, void **ctx, enum MHD_RequestTerminationCode why)
{
	struct call *k = *ctx;

	(void)cls;
	(void)c;
	(void)why;
	if (!k)
		return;
	pd_buf_free(&k->body);
	free(k);
	*ctx = NULL;
}

// MHD's complaints are about single clients (resets, malformed requests): of interest only when looking for one.
static void mhd_log(void *cls, const char *fmt, va_list ap) PD_PRINTF(2, 0);
static void mhd_log(void *cls, const char *fmt, va_list ap)
{
	struct pd_http *h = cls;
	char text[512];
	size_t n;

	vsnprintf(text, sizeof(text), fmt, ap);
	for (n = strlen(text); n && text[n - 1] == '\n'; n--)
		text[n - 1] = 0;
	pd_debug("http", "%s: %s", h->o.name, text);
}

static struct MHD_Daemon *start_daemon(struct pd_http *h, int fd)
{
	return MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ITC | MHD_USE_ERROR_LOG, 0, NULL, NULL,
				on_request, h, MHD_OPTION_EXTERNAL_LOGGER, mhd_log, h, MHD_OPTION_LISTEN_SOCKET, fd,
				MHD_OPTION_THREAD_POOL_SIZE, h->o.threads, MHD_OPTION_CONNECTION_LIMIT,
				h->o.max_connections, MHD_OPTION_PER_IP_CONNECTION_LIMIT, h->o.max_per_ip,
				MHD_OPTION_CONNECTION_TIMEOUT, h->o.timeout_s, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
				(size_t)PD_HTTP_HEADERS_MAX, MHD_OPTION_UNESCAPE_CALLBACK, unescape, NULL,
				MHD_OPTION_NOTIFY_COMPLETED, completed, h, MHD_OPTION_END);
}

int pd_http_start(struct pd_http *h, struct pd_buf *err)
{
	struct pd_buf why = {0};
	struct pd_addr a;
	int fd, rc;

	PD_ASSERT(!h->daemon);
	if (!h->o.address[0])
		return PD_OK;
	rc = pd_addr_parse(h->o.address, &a);
	if (rc)
		pd_buf_printf(&why, "invalid address \"%s\": expected host:port or :port", h->o.address);
	else
		rc = pd_addr_listen(&a, LISTEN_BACKLOG, &fd, &h->port, &why);
	if (!rc) {
		h->daemon = start_daemon(h, fd);
		if (!h->daemon) {
			pd_buf_printf(&why, "cannot serve on %s: %s", h->o.address, strerror(errno));
			close(fd);
			rc = PD_E_IO;
		}
	}
	if (rc)
		pd_buf_printf(err, "%s: %s", h->o.name, why.p);
	else
		pd_info("http", "%s: listening on %s (port %u)", h->o.name, h->o.address, h->port);
	pd_buf_free(&why);
	return rc;
}

uint16_t pd_http_port(const struct pd_http *h)
{
	return h->daemon ? h->port : 0;
}

void pd_http_free(struct pd_http **hp)
{
	struct pd_http *h = *hp;

	if (!h)
		return;
	*hp = NULL;
	if (h->daemon)
		MHD_stop_daemon(h->daemon);
	pd_vec_free(&h->routes);
	free((void *)(uintptr_t)h->o.name);
	free((void *)(uintptr_t)h->o.address);
	free(h);
}
