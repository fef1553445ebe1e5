// /debug/config_dump and its parts: what a proxy was sent, in the form of Envoy's own config_dump; /debug/why: the
// configuration objects that a resource came from.
#include <stdlib.h>
#include <string.h>

#include "api/codec.h"
#include "api/pb.h"
#include "base/clock.h"
#include "cmd/pilotd/debug.h"

// ---- which proxy ---------------------------------------------------------------------------------------------------------

struct find {
	const char *wanted;
	char *node_id;
};

static void match_client(const struct pd_xds_client *c, void *arg)
{
	struct find *f = arg;
	size_t n;
	const char *name = debug_proxy_name(c->node_id, &n);
	char *connection = pd_xasprintf("%.*s-%llu", (int)n, name, (unsigned long long)c->id);
	if (strstr(connection, f->wanted) || pd_streq(c->node_id, f->wanted)) {
		free(f->node_id);
		f->node_id = pd_xstrdup(c->node_id); // the newest wins
	}
	free(connection);
}

// The node id, or NULL with the response set. Caller frees.
static char *find_client(const struct pd_http_request *r, struct pd_http_response *out, struct debug_sources *s)
{
	struct find f = {pd_http_query(r, "proxyID"), NULL};
	if (pd_empty(f.wanted)) {
		pd_http_error(out, 400, "You must provide a proxyID in the query string");
		return NULL;
	}
	pd_xds_each_client(s->xds, match_client, &f);
	if (!f.node_id)
		pd_http_error(out, 404,
			      "Proxy not connected to this Pilot instance. It may be connected to another instance.");
	return f.node_id;
}

// ---- the dump ------------------------------------------------------------------------------------------------------------

struct section { // of the ConfigDump
	enum pd_type type;
	const char *dump_type, *list, *member; // Envoy's names: message, list, and the member that holds the resource
};
static const struct section sections[] = {
	{PD_CDS, "ClustersConfigDump", "dynamicActiveClusters", "cluster"},
	{PD_EDS, "EndpointsConfigDump", "dynamicEndpointConfigs", "endpointConfig"},
	{PD_LDS, "ListenersConfigDump", "dynamicListeners", "listener"},
	{PD_RDS, "RoutesConfigDump", "dynamicRouteConfigs", "routeConfig"},
	{PD_ECDS, "EcdsConfigDump", "ecdsFilters", "ecdsFilter"},
	{PD_SDS, "SecretsConfigDump", "dynamicActiveSecrets", "secret"},
};
enum { SECTIONS = sizeof(sections) / sizeof(sections[0]) };

struct dump {
	struct pd_buf parts[PD_TYPE_COUNT];
	char now[36];
};

// The resource as an Any, so that it carries its "@type".
static void add_resource(struct pd_buf *b, const struct pd_resource *r)
{
	struct pd_arena a = {0};
	size_t len;
	uint8_t *value = pd_resource_value(r, &len);
	Google__Protobuf__Any *any = pb_any_bytes(&a, strchr(pd_types[r->type].type_url, '/') + 1, value, len);
	if (pd_codec_encode(b, any, 0) != PD_OK)
		pd_buf_adds(b, "null");
	free(value);
	pd_arena_free(&a);
}

static void dump_resource(const struct pd_resource *r, bool current, void *arg)
{
	struct dump *d = arg;
	struct pd_buf *b = &d->parts[r->type];
	char version[17];
	pd_version_text(r->version, version);
	for (int i = 0; i < SECTIONS; i++) {
		const struct section *s = &sections[i];
		if (s->type != r->type)
			continue;
		pd_buf_adds(b, b->n ? ",{" : "{");
		if (r->type == PD_LDS || r->type == PD_SDS) {
			pd_buf_adds(b, "\"name\":");
			pd_buf_json(b, r->name);
			pd_buf_addc(b, ',');
		}
		if (r->type == PD_LDS)
			pd_buf_adds(b, "\"activeState\":{");
		pd_buf_printf(b, "\"versionInfo\":\"%s\",%s\"%s\":", version,
			      current ? "" : "\"clientStatus\":\"STALE\",", s->member);
		add_resource(b, r);
		pd_buf_printf(b, ",\"lastUpdated\":\"%s\"%s}", d->now, r->type == PD_LDS ? "}" : "");
		return;
	}
	pd_buf_adds(b, b->n ? "," : "");
	add_resource(b, r);
}

static bool run_dump(const struct pd_http_request *r, struct pd_http_response *out, struct debug_sources *s,
		     struct dump *d)
{
	memset(d, 0, sizeof(*d));
	pd_format_time(pd_wall_ns(), d->now);
	char *node_id = find_client(r, out, s);
	if (!node_id)
		return false;
	int rc = pd_xds_dump(s->xds, node_id, dump_resource, d);
	free(node_id);
	if (rc != PD_OK)
		pd_http_error(out, rc == PD_E_NOTFOUND ? 404 : 503, "%s", pd_strerror(rc));
	return rc == PD_OK;
}

static void free_dump(struct dump *d)
{
	for (int i = 0; i < PD_TYPE_COUNT; i++)
		pd_buf_free(&d->parts[i]);
}

static void add_section(struct pd_buf *b, const struct section *s, const struct dump *d)
{
	pd_buf_printf(b, ",{\"@type\":\"type.googleapis.com/envoy.admin.v3.%s\",\"%s\":[", s->dump_type, s->list);
	if (d->parts[s->type].n)
		pd_buf_add(b, d->parts[s->type].p, d->parts[s->type].n);
	pd_buf_adds(b, "]}");
}

static void config_dump(const struct pd_http_request *r, struct pd_http_response *out, void *arg)
{
	struct dump d;
	if (run_dump(r, out, arg, &d)) {
		bool endpoints = pd_http_query(r, "include_eds") != NULL;
		pd_buf_adds(&out->body,
			    "{\"configs\":[{\"@type\":\"type.googleapis.com/envoy.admin.v3.BootstrapConfigDump\"}");
		for (int i = 0; i < SECTIONS; i++)
			if (sections[i].type != PD_EDS || endpoints)
				add_section(&out->body, &sections[i], &d);
		pd_buf_adds(&out->body, "]}");
		debug_send_json(r, out);
	}
	free_dump(&d);
}

static void one_type(const struct pd_http_request *r, struct pd_http_response *out, void *arg, enum pd_type type)
{
	struct dump d;
	if (run_dump(r, out, arg, &d)) {
		pd_buf_adds(&out->body, "{\"configs\":[");
		for (int i = 0; i < SECTIONS; i++)
			if (sections[i].type == type) {
				struct pd_buf section = {0};
				add_section(&section, &sections[i], &d);
				pd_buf_adds(&out->body, section.p + 1);
				pd_buf_free(&section);
			}
		if (type == PD_NDS && d.parts[type].n)
			pd_buf_add(&out->body, d.parts[type].p, d.parts[type].n);
		pd_buf_adds(&out->body, "]}");
		debug_send_json(r, out);
	}
	free_dump(&d);
}

static void edsz(const struct pd_http_request *r, struct pd_http_response *out, void *arg)
{
	one_type(r, out, arg, PD_EDS);
}
static void ndsz(const struct pd_http_request *r, struct pd_http_response *out, void *arg)
{
	one_type(r, out, arg, PD_NDS);
}
static void ecdsz(const struct pd_http_request *r, struct pd_http_response *out, void *arg)
{
	one_type(r, out, arg, PD_ECDS);
}

// ---- why -----------------------------------------------------------------------------------------------------------------

struct why {
	const char *name;
	struct pd_buf *out;
};

static void why_resource(const struct pd_resource *r, bool current, void *arg)
{
	struct why *w = arg;
	if (w->name && !pd_streq(w->name, r->name))
		return;
	char version[17];
	pd_version_text(r->version, version);
	pd_buf_printf(w->out, "%s{\"type\":\"%s\",\"name\":", w->out->n > 1 ? "," : "", pd_types[r->type].short_name);
	pd_buf_json(w->out, r->name);
	pd_buf_printf(w->out, ",\"version\":\"%s\",\"sent\":%s,\"from\":[", version, current ? "true" : "false");
	for (size_t i = 0; i < r->prov->n; i++) {
		char key[1024];
		const struct pd_key *k = &r->prov->keys[i];
		if (pd_object_key(key, sizeof(key), k->kind, k->cluster, k->ns, k->name) < 0)
			continue;
		pd_buf_adds(w->out, i ? "," : "");
		pd_buf_json(w->out, key);
	}
	pd_buf_adds(w->out, "]}");
}

static void why(const struct pd_http_request *r, struct pd_http_response *out, void *arg)
{
	struct debug_sources *s = arg;
	char *node_id = find_client(r, out, s);
	if (!node_id)
		return;
	struct why w = {pd_http_query(r, "name"), &out->body};
	pd_buf_addc(&out->body, '[');
	int rc = pd_xds_dump(s->xds, node_id, why_resource, &w);
	free(node_id);
	pd_buf_addc(&out->body, ']');
	if (rc != PD_OK)
		pd_http_error(out, rc == PD_E_NOTFOUND ? 404 : 503, "%s", pd_strerror(rc));
	else
		debug_send_json(r, out);
}

static const struct pd_http_route routes[] = {
	{.path = "/debug/config_dump",
	 .handler = config_dump,
	 .help = "what a proxy was sent (?proxyID=, &include_eds)"},
	{.path = "/debug/edsz", .handler = edsz, .help = "endpoints of a proxy (?proxyID=)"},
	{.path = "/debug/ndsz", .handler = ndsz, .help = "name table of a proxy (?proxyID=)"},
	{.path = "/debug/ecdsz", .handler = ecdsz, .help = "extension configuration of a proxy (?proxyID=)"},
	{.path = "/debug/why",
	 .handler = why,
	 .help = "configuration objects behind a proxy's resources (?proxyID=, &name=)"},
};

void debug_add_dumps(struct pd_http *h, struct debug_sources *s)
{
	pd_http_add_routes(h, routes, sizeof(routes) / sizeof(routes[0]), s);
}
