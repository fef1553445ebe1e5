// What http.c (server) and http_routes.c (table of routes, index page) share. Private to base/.
#ifndef BASE_HTTP_IMPL_H
#define BASE_HTTP_IMPL_H

#include "base/http.h"

struct pd_http_entry {
	const struct pd_http_route *route; // borrowed
	void *arg;
	size_t len;  // of the path
	bool prefix; // the path ends in '/'
};

// Sorted by path. All-zero is empty.
struct pd_http_routes {
	struct pd_http_entry *v;
	size_t n, cap;
};

void pd_http_routes_add(struct pd_http_routes *r, const struct pd_http_route *route, void *arg);
// The exact route, else the one with the longest prefix, else NULL.
const struct pd_http_entry *pd_http_routes_find(const struct pd_http_routes *r, const char *path);
static inline unsigned pd_http_route_methods(const struct pd_http_route *r)
{
	return r->methods ? r->methods : PD_HTTP_GET;
}
// "GET, HEAD, POST"
void pd_http_method_names(unsigned methods, struct pd_buf *out);
// An HTML page with all routes that have a help text.
void pd_http_index(const struct pd_http_routes *r, const char *title, struct pd_http_response *out);

#endif
