// /debug/syncz, /debug/connections: who is connected and what each was sent and accepted.
#include <string.h>

#include "api/json.h"
#include "base/clock.h"
#include "cmd/pilotd/debug.h"
#include <stdio.h>

const char *debug_proxy_name(const char *node_id, size_t *n)
{
	const char *s = node_id;
	for (int i = 0; i < 2; i++) {
		s = strchr(s, '~');
		if (!s++) {
			*n = strlen(node_id);
			return node_id;
		}
	}
	*n = strcspn(s, "~");
	return s;
}

void debug_send_json(const struct pd_http_request *r, struct pd_http_response *out)
{
	out->content_type = "application/json";
	if (!pd_http_query(r, "pretty"))
		return;
	struct pd_arena a = {0};
	struct pd_json *tree;
	struct pd_json_error err;
	if (pd_json_parse(&a, out->body.p, out->body.n, &tree, &err) == PD_OK) {
		pd_buf_reset(&out->body);
		pd_json_print(&out->body, tree, true);
	}
	pd_arena_free(&a);
}

static void add_string(struct pd_buf *b, const char *key, const char *value)
{
	pd_buf_printf(b, "\"%s\":", key);
	pd_buf_json(b, value);
	pd_buf_addc(b, ',');
}

static void add_time(struct pd_buf *b, const char *key, int64_t wall_ns)
{
	char text[36];
	pd_format_time(wall_ns, text);
	add_string(b, key, text);
}

static void end(struct pd_buf *b, char c)
{
	if (b->n && b->p[b->n - 1] == ',')
		b->p[--b->n] = 0;
	pd_buf_addc(b, c);
}

struct page {
	struct pd_buf *out;
	const char *ns; // only this namespace; NULL = all
};

static const char *type_word(enum pd_type t)
{
	static const char *const words[PD_TYPE_COUNT] = {[PD_CDS] = "cluster",
							 [PD_EDS] = "endpoint",
							 [PD_LDS] = "listener",
							 [PD_RDS] = "route",
							 [PD_ECDS] = "extensionconfig"};
	return words[t];
}

static void add_type(struct pd_buf *b, const struct pd_xds_type_status *t)
{
	const char *word = type_word(t->type);
	if (!word)
		return;
	pd_buf_printf(b, "\"%s_sent\":\"%s\",\"%s_acked\":\"%s\",", word, t->nonce_sent, word, t->nonce_acked);
}

static void add_type_detail(struct pd_buf *b, const struct pd_xds_type_status *t)
{
	pd_buf_json(b, pd_types[t->type].type_url);
	pd_buf_adds(b, ":{");
	add_string(b, "sent", t->nonce_sent);
	add_string(b, "acked", t->nonce_acked);
	add_string(b, "sentVersion", t->version_sent);
	add_string(b, "ackedVersion", t->version_acked);
	if (t->sent_ns)
		add_time(b, "sentTime", t->sent_ns);
	if (t->error)
		add_string(b, "lastError", t->error);
	end(b, '}');
	pd_buf_addc(b, ',');
}

static const char *node_type(const struct pd_view *v)
{
	static const char *const names[] = {"sidecar", "router", "waypoint", "ztunnel"};
	return names[v->key.type];
}

static void sync_entry(const struct pd_xds_client *c, void *arg)
{
	struct page *p = arg;
	struct pd_buf *b = p->out;
	if (p->ns && !pd_streq(c->view->key.ns, p->ns))
		return;
	size_t n;
	const char *name = debug_proxy_name(c->node_id, &n);
	pd_buf_adds(b, "{");
	add_string(b, "cluster_id", c->view->key.cluster);
	pd_buf_adds(b, "\"proxy\":");
	pd_buf_json_n(b, name, n);
	pd_buf_addc(b, ',');
	add_string(b, "proxy_type", node_type(c->view));
	add_string(b, "istio_version", c->view->istio_version);
	for (size_t i = 0; i < c->n; i++)
		add_type(b, &c->v[i]);
	pd_buf_adds(b, "\"resources\":{");
	for (size_t i = 0; i < c->n; i++)
		add_type_detail(b, &c->v[i]);
	end(b, '}');
	pd_buf_adds(b, "},");
}

static void syncz(const struct pd_http_request *r, struct pd_http_response *out, void *arg)
{
	struct debug_sources *s = arg;
	struct page p = {&out->body, pd_http_query(r, "namespace")};
	pd_buf_addc(&out->body, '[');
	pd_xds_each_client(s->xds, sync_entry, &p);
	end(&out->body, ']');
	debug_send_json(r, out);
}

static void connection_entry(const struct pd_xds_client *c, void *arg)
{
	struct pd_buf *b = arg;
	size_t n;
	const char *name = debug_proxy_name(c->node_id, &n);
	char id[512];
	snprintf(id, sizeof(id), "%.*s-%llu", (int)n, name, (unsigned long long)c->id);
	pd_buf_addc(b, '{');
	add_string(b, "connectionId", id);
	add_time(b, "connectedAt", c->connected_ns);
	add_string(b, "address", c->peer);
	end(b, '}');
	pd_buf_addc(b, ',');
}

static void connections(const struct pd_http_request *r, struct pd_http_response *out, void *arg)
{
	struct debug_sources *s = arg;
	struct pd_xds_stats stats;
	pd_xds_stats(s->xds, &stats);
	pd_buf_printf(&out->body, "{\"totalClients\":%zu,\"clients\":[", stats.connected);
	pd_xds_each_client(s->xds, connection_entry, &out->body);
	end(&out->body, ']');
	pd_buf_addc(&out->body, '}');
	debug_send_json(r, out);
}

static const struct pd_http_route routes[] = {
	{.path = "/debug/syncz", .handler = syncz, .help = "what each proxy was sent and accepted (?namespace=)"},
	{.path = "/debug/connections", .handler = connections, .help = "connected proxies"},
};

void debug_add_clients(struct pd_http *h, struct debug_sources *s)
{
	pd_http_add_routes(h, routes, sizeof(routes) / sizeof(routes[0]), s);
}

void debug_add_all(struct pd_http *h, struct debug_sources *s)
{
	debug_add_clients(h, s);
	debug_add_dumps(h, s);
	debug_add_config(h, s);
}
