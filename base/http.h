// A small HTTP/1.1 server on libmicrohttpd, for readiness, metrics, debug pages and webhooks.
//
//	struct pd_http *h = pd_http_new(&(struct pd_http_options){.name = "monitoring", .address = ":15014", .index = true});
//	pd_http_add_routes(h, routes, n, arg);
//	rc = pd_http_start(h, &err);
//	...
//	pd_http_free(&h);
//
// Handlers run on the server's threads, several at once; each thread serves many connections, so a handler must not block
// for long. Nothing here is meant for the open internet: limits keep a mistaken or hostile client of the cluster harmless.
#ifndef BASE_HTTP_H
#define BASE_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"

#define PD_HTTP_BODY_MAX (64 * 1024) // bytes of a request body unless the options say otherwise; beyond: 413
#define PD_HTTP_CONNECTIONS 256      // open connections of a server; newcomers wait
#define PD_HTTP_PER_IP 128           // open connections from one address; further ones are closed
#define PD_HTTP_TIMEOUT_S 15         // a connection silent for so long is closed
#define PD_HTTP_THREADS 2
#define PD_HTTP_HEADERS_MAX (32 * 1024) // bytes of request line and headers; beyond: 431 or 414
#define PD_HTTP_ROUTES_MAX 256          // routes of a server
#define PD_HTTP_RESPONSE_HEADERS 8      // pd_http_set_header calls for a response

enum { PD_HTTP_GET = 1, PD_HTTP_POST = 2, PD_HTTP_PUT = 4, PD_HTTP_DELETE = 8 }; // GET includes HEAD

// A request, borrowed by the handler for its call.
struct pd_http_request {
	unsigned method;  // one of the bits above; a HEAD is a GET here
	const char *path; // percent-decoded; "%00" stays as it is
	const char *rest; // what follows the route's prefix; "" for an exact route
	const char *body; // never NULL; a NUL follows
	size_t body_len;
	char peer[48]; // IP address of the client
	bool peer_is_loopback;
	void *private_;
};

// First value of a query parameter, decoded; "" for one without "="; NULL if absent.
const char *pd_http_query(const struct pd_http_request *r, const char *name);
// Calls fn for each query parameter in order, until it returns false.
void pd_http_query_each(const struct pd_http_request *r, bool (*fn)(const char *name, const char *value, void *arg),
			void *arg);
// First value of a header (case does not matter), or NULL.
const char *pd_http_header(const struct pd_http_request *r, const char *name);

// A response: 200 with an empty body until the handler says otherwise.
struct pd_http_response {
	int status;
	const char *content_type; // borrowed until the response is sent: a constant. NULL: text/plain; charset=utf-8
	struct pd_buf body;       // taken over
	// If set, the body is what `read` yields instead: up to `max` bytes at `pos`; 0 = end, -1 = failure (the connection is
	// cut, so that nobody takes the part for the whole). Called on a server thread. `done` is called exactly once at the end.
	ssize_t (*read)(void *arg, uint64_t pos, char *out, size_t max);
	void (*done)(void *arg);
	void *stream_arg;
	// Private: extra headers.
	char *headers[PD_HTTP_RESPONSE_HEADERS][2];
	size_t n_headers;
};

// Copies both. A value with control characters is a bug of the caller: asserted.
void pd_http_set_header(struct pd_http_response *r, const char *name, const char *value);
// Status and a line of text, in place of what the body held.
void pd_http_error(struct pd_http_response *r, int status, const char *fmt, ...) PD_PRINTF(3, 4);

typedef void (*pd_http_handler)(const struct pd_http_request *, struct pd_http_response *, void *arg);

struct pd_http_route {
	unsigned methods; // PD_HTTP_… bits; 0 = PD_HTTP_GET
	const char *path; // "/ready" exactly, or a prefix that ends in '/': "/debug/proxies/"; the longest prefix wins
	pd_http_handler handler;
	void *arg;        // NULL: the `arg` of pd_http_add_routes
	const char *help; // one line for the index page; NULL: not listed
};

struct pd_http_options {
	const char *name;    // for log lines and errors: "monitoring"
	const char *address; // "host:port", ":port"; "" or NULL: off
	bool index;          // serve a page at /debug that lists the routes
	unsigned threads;    // 0 = PD_HTTP_THREADS, and so on below
	unsigned max_connections;
	unsigned max_per_ip;
	unsigned timeout_s;
	size_t max_body;
};

struct pd_http;
// Copies the options.
struct pd_http *pd_http_new(const struct pd_http_options *o);
// Before start. The table is borrowed for the life of the server. Two equal paths, or more than PD_HTTP_ROUTES_MAX: asserted.
void pd_http_add_routes(struct pd_http *h, const struct pd_http_route *table, size_t n, void *arg);
// Listens and serves. Returns PD_OK at once if the address is empty. PD_E_PARSE or PD_E_IO with a text in `err` that names
// server and address: "monitoring: cannot listen on :15014: Address already in use".
int pd_http_start(struct pd_http *h, struct pd_buf *err) PD_MUST_CHECK;
// The port listened on (the kernel's choice if the address said 0); 0 when off.
uint16_t pd_http_port(const struct pd_http *h);
// Ends all connections, waits for running handlers, frees everything, sets *h to NULL. NULL is fine.
void pd_http_free(struct pd_http **h);

#endif
