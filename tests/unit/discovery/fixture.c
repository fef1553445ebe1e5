#include "tests/unit/discovery/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "api/codec.h"
#include "api/json.h"
#include "base/str.h"
#include "config/decode.h"

static void print_issue(const struct pd_issue *i, void *arg)
{
	(void)arg;
	printf("%s: %s %s: %s\n", i->origin, i->object, i->field, i->reason);
}

static void apply(struct fixture *f, const char *yaml)
{
	struct pd_decode_config cfg = {.cluster = f->settings.cluster, .origin = "test.yaml", .issues = f->issues};
	struct pd_decoded_text text = {0};
	pd_decode_text(&cfg, yaml, strlen(yaml), &text);
	pd_issues_each(f->issues, print_issue, NULL);
	assert_int_equal(pd_issues_count(f->issues), 0);
	struct pd_change *v = pd_xcalloc(text.items.n + 1, sizeof(*v));
	for (size_t i = 0; i < text.items.n; i++)
		v[i] = (struct pd_change){text.items.v[i].object->key, pd_obj_ref(text.items.v[i].object)};
	struct pd_changeset set = {0};
	struct pd_token_vec tokens = {0};
	pd_store_apply(f->store, v, text.items.n, &set);
	f->snap.config = pd_store_snapshot(f->store);
	pd_registry_apply(f->registry, f->snap.config, &set, f->snap.mesh, &tokens);
	f->snap.derived = pd_registry_map(f->registry);
	free(tokens.v);
	pd_changeset_free(&set);
	free(v);
	pd_decoded_text_free(&text);
}

void fixture_init(struct fixture *f, const char *mesh, const char *yaml)
{
	memset(f, 0, sizeof(*f));
	pd_settings_defaults(&f->settings);
	f->issues = pd_issues_new();
	f->store = pd_store_new(pd_indexes, pd_indexes_n);
	f->registry = pd_registry_new(f->settings.domain_suffix, f->settings.cluster);
	f->snap.generation = 1;
	f->snap.settings = &f->settings;
	assert_int_equal(pd_mesh_parse(mesh, strlen(mesh), "mesh.yaml", f->issues, &f->snap.mesh), PD_OK);
	apply(f, yaml);
	f->key = (struct pd_proxy_key){
		.type = PD_NODE_SIDECAR,
		.ns = "default",
		.dns_domain = "default.svc.cluster.local",
		.cluster = f->settings.cluster,
		.network = "",
		.network_view = "",
		.locality = "",
		.caps = PD_CAP_ALL,
		.ipv4 = true,
	};
}

void fixture_free(struct fixture *f)
{
	pd_obj_unref(f->view);
	pd_hamt_unref(f->snap.derived);
	pd_config_snap_unref(f->snap.config);
	pd_obj_unref(f->snap.mesh);
	pd_registry_free(&f->registry);
	pd_store_free(&f->store);
	pd_issues_free(&f->issues);
	pd_arena_free(&f->arena);
}

struct pd_tx *fixture_scope(struct fixture *f)
{
	f->tx = (struct pd_tx){.snap = &f->snap, .key = &f->key, .arena = &f->arena, .issues = f->issues};
	return &f->tx;
}

struct pd_tx *fixture_view(struct fixture *f, const char *node)
{
	struct pd_codec codec = {.arena = &f->arena, .policy = PD_CODEC_STRICT};
	void *msg;
	char err[256];
	assert_int_equal(pd_codec_decode_text(&codec, node, strlen(node), &envoy__config__core__v3__node__descriptor,
					      &msg),
			 PD_OK);
	pd_obj_unref(f->view);
	f->view = NULL;
	assert_int_equal(pd_view_from_node(&f->snap, msg, f->account ? f->account : "", &f->view, err, sizeof(err)),
			 PD_OK);
	fixture_scope(f);
	f->tx.view = f->view;
	f->tx.key = &f->view->key;
	return &f->tx;
}

bool fixture_depends(const struct fixture *f, unsigned index, const char *key)
{
	for (size_t i = 0; i < f->tx.tokens.n; i++)
		if (f->tx.tokens.v[i] == pd_token_make(index, key))
			return true;
	return false;
}

bool fixture_used(const struct fixture *f, enum pd_kind kind, const char *ns, const char *name)
{
	for (size_t i = 0; i < f->tx.used.n; i++) {
		const struct pd_key *k = &f->tx.used.v[i];
		if (k->kind == kind && pd_streq(k->ns, ns) && pd_streq(k->name, name))
			return true;
	}
	return false;
}

// ---- JSON ----------------------------------------------------------------------------------------------------------------

const char *fixture_json(struct fixture *f, const void *msg)
{
	struct pd_buf out = {0};
	assert_int_equal(pd_codec_encode(&out, msg, PD_ENCODE_PROTO_NAMES), PD_OK);
	const char *text = pd_arena_strdup(&f->arena, out.p);
	pd_buf_free(&out);
	return text;
}

static const struct pd_json *step(const struct pd_json *j, const char *name)
{
	if (j->type == PD_JSON_OBJECT)
		return pd_json_get(j, name);
	if (j->type != PD_JSON_ARRAY)
		return NULL;
	const struct pd_json *item = j->first;
	for (unsigned long i = strtoul(name, NULL, 10); item && i; i--)
		item = item->next;
	return item;
}

const char *fixture_get(struct fixture *f, const void *msg, const char *path)
{
	const char *text = fixture_json(f, msg);
	struct pd_json *root;
	assert_int_equal(pd_json_parse(&f->arena, text, strlen(text), &root, NULL), PD_OK);
	const struct pd_json *j = root;
	while (j && *path) {
		size_t n = strcspn(path, "/");
		j = step(j, pd_arena_strndup(&f->arena, path, n));
		path += n + (path[n] == '/');
	}
	if (!j)
		return "";
	struct pd_buf out = {0};
	pd_json_print(&out, j, false);
	const char *value = pd_arena_strdup(&f->arena, out.p);
	pd_buf_free(&out);
	return value;
}
