// Objects of lists and watches: who they are, and what the store takes of them.
#include <errno.h>
#include <string.h>

#include "api/codec.h"
#include "api/json.h"
#include "base/hash.h"
#include "config/decode.h"
#include "k8s/wire_impl.h"

enum { OBJECT_META = 1, META_NAME = 1, META_NAMESPACE = 3, META_UID = 5, META_RV = 6, META_ANNOTATIONS = 12 };

static const char initial_end[] = "k8s.io/initial-events-end";

// What an object of a built-in kind is decoded with: the API server writes empty strings for absent ones.
#define UNPACK_FLAGS (PB_UNPACK_SKIP_UNKNOWN | PB_UNPACK_SKIP_EMPTY)

// ---- identity -------------------------------------------------------------------------------------------------------

static int take(char *out, size_t cap, const char *s, size_t n, const char *what, struct pd_k8s_wire_error *err)
{
	if (n >= cap)
		return pd_k8s_wire_fail(err, PD_E_LIMIT, "a %s of %zu bytes is longer than %zu", what, n, cap - 1);
	if (!pd_utf8_ok(s, n))
		return pd_k8s_wire_fail(err, PD_E_PARSE, "a %s that is not UTF-8", what);
	memcpy(out, s, n);
	out[n] = 0;
	return PD_OK;
}

static int take_field(struct pd_k8s_item *item, unsigned field, const char *s, size_t n, struct pd_k8s_wire_error *err)
{
	switch (field) {
	case META_NAME:
		return take(item->name, sizeof(item->name), s, n, "name", err);
	case META_NAMESPACE:
		return take(item->ns, sizeof(item->ns), s, n, "namespace", err);
	case META_RV:
		return take(item->rv, sizeof(item->rv), s, n, "resourceVersion", err);
	case META_UID:
		item->uid_hash = (uint32_t)pd_hash(s, n);
		return PD_OK;
	default:
		return PD_OK;
	}
}

uint64_t pd_k8s_version_number(const char *rv)
{
	char *end;
	uint64_t v;

	if (*rv < '0' || *rv > '9')
		return 0;
	errno = 0;
	v = strtoull(rv, &end, 10);
	return *end || errno ? 0 : v;
}

static int open_pb(struct pd_k8s_item *item, struct pd_k8s_wire_error *err)
{
	struct pb_wire meta, f;
	const uint8_t *p, *end;

	if (!pd_k8s_find_bytes(item->p, item->n, OBJECT_META, &meta))
		return pd_k8s_wire_fail(err, PD_E_PARSE, "broken object");
	p = meta.data;
	end = p ? p + meta.len : p;
	while (p < end) {
		int rc;

		p = pb_wire_field(p, end, &f);
		if (!p)
			return pd_k8s_wire_fail(err, PD_E_PARSE, "broken metadata of an object");
		if (f.wire != PB_WIRE_BYTES)
			continue;
		rc = take_field(item, f.id, (const char *)f.data, f.len, err);
		if (rc)
			return rc;
	}
	return PD_OK;
}

// The tree of the metadata; *out is NULL if there is none.
static int meta_json(const struct pd_k8s_item *item, struct pd_json **out, struct pd_k8s_wire_error *err)
{
	static const char *const names[] = {"metadata"};
	struct pd_json_error why = {0};
	struct pd_k8s_json_text meta;
	int rc;

	*out = NULL;
	if (pd_k8s_json_members(item->p, item->n, names, 1, &meta))
		return pd_k8s_wire_fail(err, PD_E_PARSE, "broken object");
	if (!meta.p)
		return PD_OK;
	rc = pd_json_parse(item->arena, meta.p, meta.n, out, &why);
	return rc ? pd_k8s_wire_fail(err, rc, "metadata of an object: %s", why.text) : PD_OK;
}

static int open_json(struct pd_k8s_item *item, struct pd_k8s_wire_error *err)
{
	static const struct {
		unsigned field;
		const char *name;
	} members[] = {{META_NAME, "name"},
		       {META_NAMESPACE, "namespace"},
		       {META_RV, "resourceVersion"},
		       {META_UID, "uid"}};
	struct pd_json *meta;
	int rc = meta_json(item, &meta, err);

	for (size_t i = 0; !rc && i < sizeof(members) / sizeof(members[0]); i++) {
		const struct pd_json *m = pd_json_get(meta, members[i].name);

		if (m && m->type == PD_JSON_STRING)
			rc = take_field(item, members[i].field, m->s, m->n, err);
	}
	return rc;
}

int pd_k8s_item_open(struct pd_k8s_item *item, struct pd_k8s_wire_error *err)
{
	int rc = item->form == PD_K8S_FORM_PROTOBUF ? open_pb(item, err) : open_json(item, err);

	item->rv_number = pd_k8s_version_number(item->rv);
	return rc;
}

// ---- metadata -------------------------------------------------------------------------------------------------------

static const K8s__ObjectMeta *meta_pb(const struct pd_k8s_item *item)
{
	struct pb_wire meta;
	void *out;

	if (!pd_k8s_find_bytes(item->p, item->n, OBJECT_META, &meta) ||
	    pb_unpack_with(item->arena, &k8s__object_meta__descriptor, meta.data, meta.len, UNPACK_FLAGS, &out, NULL))
		return NULL;
	return out;
}

const K8s__ObjectMeta *pd_k8s_item_meta(const struct pd_k8s_item *item)
{
	struct pd_codec c = {.arena = item->arena, .policy = PD_CODEC_LENIENT};
	struct pd_k8s_wire_error err;
	struct pd_json *json;
	void *out;

	if (item->form == PD_K8S_FORM_PROTOBUF)
		return meta_pb(item);
	if (meta_json(item, &json, &err))
		return NULL;
	if (!json)
		return pb_new(item->arena, &k8s__object_meta__descriptor);
	return pd_codec_decode(&c, json, &k8s__object_meta__descriptor, &out) ? NULL : out;
}

bool pd_k8s_item_is_initial_end(const struct pd_k8s_item *item)
{
	const K8s__ObjectMeta *meta = pd_k8s_item_meta(item);

	for (size_t i = 0; meta && i < meta->n_annotations; i++)
		if (pd_streq(meta->annotations[i]->key, initial_end))
			return pd_streq(meta->annotations[i]->value, "true");
	return false;
}

// ---- objects --------------------------------------------------------------------------------------------------------

// What issues of one object are filed under.
static char *origin_of(struct pd_arena *a, const struct pd_k8s_decode *d, const char *ns, const char *name)
{
	return pd_arena_printf(a, "%s/%s/%s%s%s", d->cluster, pd_object_kind_name(d->kind), ns, *ns ? "/" : "", name);
}

void pd_k8s_item_forget(const struct pd_k8s_decode *d, const char *ns, const char *name)
{
	struct pd_arena a = {0};

	if (!pd_kind_info(d->kind)->builtin)
		pd_issues_clear(d->issues, origin_of(&a, d, ns, name));
	pd_arena_free(&a);
}

static int decode_pb(const struct pd_k8s_item *item, const struct pd_k8s_decode *d, struct pd_object **out,
		     struct pd_k8s_wire_error *err)
{
	const struct pd_kind_info *info = pd_kind_info(d->kind);
	struct pd_key key = {d->kind, d->cluster, info->namespaced ? item->ns : "", item->name};
	struct pb_error why = {{0}};
	K8s__ObjectMeta **meta;
	void *object;
	int rc;

	if (!info->builtin)
		return pd_k8s_wire_fail(err, PD_E_PARSE, "%s has no protobuf form", info->kind);
	rc = pb_unpack_with(item->arena, info->object, item->p, item->n, UNPACK_FLAGS, &object, &why);
	if (rc)
		return pd_k8s_wire_fail(err, rc, "%s %s/%s: %s", info->kind, item->ns, item->name, why.text);
	// metadata is field 1 of every built-in kind
	meta = (K8s__ObjectMeta **)((char *)object + info->object->fields[0].offset);
	if (!*meta)
		*meta = pb_new(item->arena, &k8s__object_meta__descriptor);
	*out = pd_object_build(&key, *meta, object, NULL, "k8s");
	return PD_OK;
}

// Items of a list of a built-in kind do not say what they are.
static void name_kind(struct pd_json *object, const struct pd_kind_info *info, struct pd_arena *a)
{
	const char *version = info->versions[0];

	if (pd_json_get(object, "kind") && pd_json_get(object, "apiVersion"))
		return;
	version = *info->group ? pd_arena_printf(a, "%s/%s", info->group, version) : version;
	pd_json_set(a, object, "kind", pd_json_string(a, info->kind));
	pd_json_set(a, object, "apiVersion", pd_json_string(a, version));
}

static int decode_json(const struct pd_k8s_item *item, const struct pd_k8s_decode *d, struct pd_object **out,
		       struct pd_k8s_wire_error *err)
{
	const struct pd_kind_info *info = pd_kind_info(d->kind);
	struct pd_decode_config cfg = {.cluster = d->cluster, .issues = d->issues, .served = true};
	struct pd_decoded_text text = {0};
	struct pd_json_error why = {0};
	struct pd_json *root;
	int rc = pd_json_parse(item->arena, item->p, item->n, &root, &why);

	if (rc)
		return pd_k8s_wire_fail(err, rc, "%s %s/%s: %s", info->kind, item->ns, item->name, why.text);
	name_kind(root, info, item->arena);
	cfg.origin = origin_of(item->arena, d, item->ns, item->name);
	pd_issues_clear(d->issues, cfg.origin);
	pd_decode_tree(&cfg, root, 1, &text);
	if (text.items.n == 1 && text.items.v[0].kind == d->kind)
		*out = pd_obj_ref(text.items.v[0].object);
	pd_decoded_text_free(&text);
	return PD_OK;
}

int pd_k8s_item_decode(const struct pd_k8s_item *item, const struct pd_k8s_decode *d, struct pd_object **out,
		       struct pd_k8s_wire_error *err)
{
	*out = NULL;
	if (!*item->name || (pd_kind_info(d->kind)->namespaced && !*item->ns))
		return pd_k8s_wire_fail(err, PD_E_PARSE, "%s without name or namespace", pd_kind_info(d->kind)->kind);
	return item->form == PD_K8S_FORM_PROTOBUF ? decode_pb(item, d, out, err) : decode_json(item, d, out, err);
}
