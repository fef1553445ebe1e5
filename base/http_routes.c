#include "base/http_impl.h"

#include "base/vec.h"

void pd_http_routes_add(struct pd_http_routes *r, const struct pd_http_route *route, void *arg)
{
	struct pd_http_entry e = {.route = route, .arg = route->arg ? route->arg : arg};
	size_t at;
	int c;

	PD_ASSERT(route->path && route->path[0] == '/' && route->handler && r->n < PD_HTTP_ROUTES_MAX);
	e.len = strlen(route->path);
	e.prefix = route->path[e.len - 1] == '/' && e.len > 1;
	pd_vec_push(r, e);
	for (at = r->n - 1; at > 0; at--) {
		c = strcmp(r->v[at - 1].route->path, route->path);
		PD_ASSERT(c != 0);
		if (c < 0)
			break;
		r->v[at] = r->v[at - 1];
	}
	r->v[at] = e;
}

const struct pd_http_entry *pd_http_routes_find(const struct pd_http_routes *r, const char *path)
{
	const struct pd_http_entry *best = NULL, *e;
	size_t i;

	for (i = 0; i < r->n; i++) {
		e = &r->v[i];
		if (strcmp(e->route->path, path) == 0)
			return e;
		if (e->prefix && strncmp(e->route->path, path, e->len) == 0 && (!best || e->len > best->len))
			best = e;
	}
	return best;
}

void pd_http_method_names(unsigned methods, struct pd_buf *out)
{
	static const struct {
		unsigned bit;
		const char *name;
	} names[] = {{PD_HTTP_GET, "GET, HEAD"},
		     {PD_HTTP_POST, "POST"},
		     {PD_HTTP_PUT, "PUT"},
		     {PD_HTTP_DELETE, "DELETE"}};
	const char *separator = "";
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (methods & names[i].bit) {
			pd_buf_printf(out, "%s%s", separator, names[i].name);
			separator = ", ";
		}
	}
}

static void add_html(struct pd_buf *b, const char *s)
{
	for (; *s; s++) {
		switch (*s) {
		case '<':
			pd_buf_adds(b, "&lt;");
			break;
		case '>':
			pd_buf_adds(b, "&gt;");
			break;
		case '&':
			pd_buf_adds(b, "&amp;");
			break;
		case '"':
			pd_buf_adds(b, "&quot;");
			break;
		default:
			pd_buf_addc(b, *s);
		}
	}
}

void pd_http_index(const struct pd_http_routes *r, const char *title, struct pd_http_response *out)
{
	const struct pd_http_route *route;
	struct pd_buf *b = &out->body;
	bool link;
	size_t i;

	out->content_type = "text/html; charset=utf-8";
	pd_buf_adds(b, "<!doctype html>\n<title>");
	add_html(b, title);
	pd_buf_adds(b, "</title>\n<table>\n");
	for (i = 0; i < r->n; i++) {
		route = r->v[i].route;
		if (!route->help)
			continue;
		link = pd_http_route_methods(route) & PD_HTTP_GET;
		pd_buf_adds(b, "<tr><td>");
		if (link) {
			pd_buf_adds(b, "<a href=\"");
			add_html(b, route->path);
			pd_buf_adds(b, "\">");
		}
		add_html(b, route->path);
		pd_buf_adds(b, link ? "</a></td><td>" : "</td><td>");
		pd_http_method_names(pd_http_route_methods(route), b);
		pd_buf_adds(b, "</td><td>");
		add_html(b, route->help);
		pd_buf_adds(b, "</td></tr>\n");
	}
	pd_buf_adds(b, "</table>\n");
}
