// /debug/configz, /debug/mesh, /debug/issuesz: what pilotd was told, and what is wrong with it.
#include "api/codec.h"
#include "base/clock.h"
#include "cmd/pilotd/debug.h"

static void add_message(struct pd_buf *b, const char *key, const ProtobufCMessage *msg)
{
	if (!msg)
		return;
	size_t before = b->n;
	pd_buf_printf(b, ",\"%s\":", key);
	if (pd_codec_encode(b, msg, PD_ENCODE_INT64_NUMBERS) != PD_OK) {
		b->n = before;
		b->p[before] = 0;
	}
}

static bool add_object(const struct pd_object *o, void *arg)
{
	struct pd_buf *b = arg;
	struct pd_arena a = {0};
	const struct pd_kind_info *k = pd_kind_info(o->key.kind);
	pd_buf_printf(b, "%s{\"apiVersion\":\"%s%s%s\",\"kind\":\"%s\"", b->n > 1 ? "," : "", k->group,
		      *k->group ? "/" : "", k->versions[0], k->kind);
	add_message(b, "metadata", &pd_object_meta(o, &a)->base);
	add_message(b, "spec", pd_object_open(o, &a));
	add_message(b, "status", o->status);
	pd_buf_addc(b, '}');
	pd_arena_free(&a);
	return true;
}

// As istiod: the mesh's and the Gateway API's kinds, not Kubernetes' own (among them Secrets).
static void configz(const struct pd_http_request *r, struct pd_http_response *out, void *arg)
{
	struct debug_sources *s = arg;
	struct pd_snapshot *snap = pd_engine_snapshot(s->engine);
	pd_buf_addc(&out->body, '[');
	for (int k = 0; k < PD_KIND_COUNT; k++)
		if (!pd_kind_info(k)->builtin)
			pd_config_each(snap->config, k, add_object, &out->body);
	pd_buf_addc(&out->body, ']');
	pd_obj_unref(snap);
	debug_send_json(r, out);
}

static void mesh(const struct pd_http_request *r, struct pd_http_response *out, void *arg)
{
	struct debug_sources *s = arg;
	struct pd_snapshot *snap = pd_engine_snapshot(s->engine);
	if (pd_codec_encode(&out->body, snap->mesh->config, 0) != PD_OK)
		pd_http_error(out, 500, "the mesh configuration cannot be printed");
	pd_obj_unref(snap);
	if (out->status == 200)
		debug_send_json(r, out);
}

static void add_issue(const struct pd_issue *i, void *arg)
{
	struct pd_buf *b = arg;
	const char *const names[] = {"origin", "object", "field", "reason"}, *const values[] = {i->origin, i->object,
												i->field, i->reason};
	pd_buf_printf(b, "%s{\"severity\":\"%s\"", b->n > 1 ? "," : "",
		      i->severity == PD_ISSUE_ERROR ? "error" : "warning");
	for (int k = 0; k < 4; k++) {
		pd_buf_printf(b, ",\"%s\":", names[k]);
		pd_buf_json(b, values[k]);
	}
	pd_buf_printf(b, ",\"generation\":%lld}", (long long)i->generation);
}

static void issuesz(const struct pd_http_request *r, struct pd_http_response *out, void *arg)
{
	struct debug_sources *s = arg;
	pd_buf_addc(&out->body, '[');
	pd_issues_each(s->issues, add_issue, &out->body);
	pd_buf_addc(&out->body, ']');
	debug_send_json(r, out);
}

static const struct pd_http_route routes[] = {
	{.path = "/debug/configz", .handler = configz, .help = "all mesh configuration"},
	{.path = "/debug/mesh", .handler = mesh, .help = "the mesh configuration in force"},
	{.path = "/debug/issuesz", .handler = issuesz, .help = "mistakes in configuration objects"},
};

void debug_add_config(struct pd_http *h, struct debug_sources *s)
{
	pd_http_add_routes(h, routes, sizeof(routes) / sizeof(routes[0]), s);
}
