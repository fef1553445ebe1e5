#include "tests/unit/discovery/engine_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/codec.h"
#include "api/pb.h"
#include "base/clock.h"
#include "config/decode.h"

static void announced(const struct pd_invalidation *inv, void *arg)
{
	struct engine_world *w = arg;
	w->announced++;
	w->announced_views += inv->n_views;
	w->announced_names += inv->n_names;
}

void engine_world_init(struct engine_world *w)
{
	memset(w, 0, sizeof(*w));
	pd_settings_defaults(&w->settings);
	w->issues = pd_issues_new();
	w->engine = pd_engine_new(&w->settings, w->issues);
	pd_engine_listen(w->engine, announced, w);
}

void engine_world_free(struct engine_world *w)
{
	pd_engine_free(&w->engine);
	pd_issues_free(&w->issues);
}

size_t engine_world_apply(struct engine_world *w, const char *yaml)
{
	struct pd_decoded_text text = {0};
	struct pd_issues *issues = pd_issues_new(); // not the engine's, to which other threads may add
	struct pd_decode_config cfg = {.cluster = w->settings.cluster, .origin = "test.yaml", .issues = issues};
	pd_decode_text(&cfg, yaml, strlen(yaml), &text);
	assert_int_equal(pd_issues_count(issues), 0);
	pd_issues_free(&issues);
	struct pd_change *v = pd_xcalloc(text.items.n + 1, sizeof(*v));
	for (size_t i = 0; i < text.items.n; i++)
		v[i] = (struct pd_change){text.items.v[i].object->key, pd_obj_ref(text.items.v[i].object)};
	size_t tokens = pd_engine_apply(w->engine, v, text.items.n, pd_now_ns());
	free(v);
	pd_decoded_text_free(&text);
	return tokens;
}

size_t engine_world_delete(struct engine_world *w, enum pd_kind kind, const char *ns, const char *name)
{
	struct pd_change c = {{kind, pd_intern(w->settings.cluster), pd_intern(ns), pd_intern(name)}, NULL};
	struct pd_key key = c.key;
	size_t tokens = pd_engine_apply(w->engine, &c, 1, pd_now_ns());
	pd_unintern(key.cluster);
	pd_unintern(key.ns);
	pd_unintern(key.name);
	return tokens;
}

struct pd_view *engine_world_view(struct engine_world *w, const char *node_id, const char *metadata)
{
	struct pd_arena a = {0};
	struct pd_codec codec = {.arena = &a};
	void *msg;
	char err[256] = "";
	char *text = pd_arena_printf(&a, "{\"id\": \"%s\", \"metadata\": %s}", node_id, metadata);
	assert_int_equal(pd_codec_decode_text(&codec, text, strlen(text), &envoy__config__core__v3__node__descriptor,
					      &msg),
			 PD_OK);
	struct pd_view *view = NULL;
	if (pd_engine_view(w->engine, msg, "", &view, err, sizeof(err)) != PD_OK)
		fail_msg("%s", err);
	pd_arena_free(&a);
	return view;
}

void engine_world_view_free(struct engine_world *w, struct pd_view *view)
{
	pd_view_unref(w->engine, view);
}

static struct pd_resource *get(struct engine_world *w, struct pd_view *view, enum pd_type type, const char *name)
{
	if (!pd_types[type].wildcard)
		return pd_view_resource(w->engine, view, type, name);
	struct pd_set *set = pd_view_set(w->engine, view, type);
	struct pd_resource *r = pd_set_get(set, name);
	r = r ? pd_resource_ref(r) : NULL;
	pd_obj_unref(set);
	return r;
}

char *engine_world_json(struct engine_world *w, struct pd_view *view, enum pd_type type, const char *name)
{
	struct pd_resource *r = get(w, view, type, name);
	if (!r)
		return NULL;
	struct pd_arena a = {0};
	struct pd_buf out = {0};
	void *msg;
	size_t len;
	uint8_t *value = pd_resource_value(r, &len);
	assert_int_equal(pb_unpack(&a, pb_find(pd_types[type].type_url), value, len, &msg, NULL), PD_OK);
	assert_int_equal(pd_codec_encode(&out, msg, PD_ENCODE_PROTO_NAMES), PD_OK);
	free(value);
	pd_arena_free(&a);
	pd_resource_unref(r);
	return out.p;
}

uint64_t engine_world_version(struct engine_world *w, struct pd_view *view, enum pd_type type, const char *name)
{
	struct pd_resource *r = get(w, view, type, name);
	uint64_t v = r ? r->version : 0;
	if (r)
		pd_resource_unref(r);
	return v;
}
