#include "config/decode.h"

#include <stdlib.h>

#include "api/codec.h"
#include "api/pb.h"
#include "base/log.h"
#include "config/trim.h"
#include "config/validate.h"
#include "config/yaml.h"

// One document on its way to an object.
struct doc {
	const struct pd_decode_config *cfg;
	struct pd_arena *arena; // of this document
	struct pd_decoded_text *out;
	const struct pd_json *root;
	uint32_t line;
	enum pd_kind kind;
	const char *object; // title for issues; "" while unknown
	bool failed;        // an issue of severity error was reported
};

void pd_object_title(struct pd_buf *out, enum pd_kind kind, const char *ns, const char *name)
{
	pd_buf_printf(out, "%s %s%s%s", pd_kind_info(kind)->kind, ns, *ns ? "/" : "", name);
}

static void report(struct doc *d, enum pd_issue_severity severity, uint32_t line, const char *field, const char *reason)
{
	struct pd_issue i = {
		.severity = severity,
		.origin = pd_arena_printf(d->arena, "%s:%u", d->cfg->origin, line ? line : d->line),
		.object = d->object,
		.field = field,
		.reason = reason,
	};

	d->failed |= severity == PD_ISSUE_ERROR;
	pd_issues_add(d->cfg->issues, &i);
}

static void fail(struct doc *d, uint32_t line, const char *field, const char *reason)
{
	report(d, PD_ISSUE_ERROR, line, field, reason);
}

// ---- identity -------------------------------------------------------------------------------------------------------

// [a-z0-9]([-a-z0-9]*[a-z0-9])?, dots between such labels if `dots`.
static bool valid_name(const char *s, size_t max, bool dots)
{
	bool start = true;
	size_t n = strlen(s);

	if (!n || n > max)
		return false;
	for (size_t i = 0; i < n; i++) {
		bool alnum = (s[i] >= 'a' && s[i] <= 'z') || (s[i] >= '0' && s[i] <= '9');
		bool last = i + 1 == n || (dots && s[i + 1] == '.');

		if (dots && s[i] == '.' && !start) {
			start = true;
			continue;
		}
		if (!alnum && (s[i] != '-' || start || last))
			return false;
		start = false;
	}
	return !start;
}

// Name and namespace, as far as needed to say which object this is. False after a report.
static bool read_identity(struct doc *d, struct pd_key *key)
{
	const struct pd_json *meta = pd_json_get(d->root, "metadata");
	const struct pd_kind_info *info = pd_kind_info(d->kind);
	const char *name = meta ? pd_json_get_string(meta, "name") : NULL;
	const char *ns = meta ? pd_json_get_string(meta, "namespace") : NULL;
	struct pd_buf title = {0};
	bool ok = true;

	d->object = info->kind;
	if (pd_empty(name)) {
		const struct pd_json *given = pd_json_get(meta, "name");

		fail(d,
		     given  ? given->line
		     : meta ? meta->line
			    : 0,
		     "metadata.name",
		     given && given->type != PD_JSON_STRING ? "a name must be a string: quote it"
							    : "a name is required");
		return false;
	}
	ns = info->namespaced ? pd_or(ns, "default") : "";
	pd_object_title(&title, d->kind, ns, name);
	d->object = pd_arena_strdup(d->arena, title.p);
	pd_buf_free(&title);
	if (!valid_name(name, PD_NAME_MAX, true)) {
		fail(d, meta->line, "metadata.name",
		     "a name consists of lower case letters, digits, '-' and '.', and "
		     "starts and ends with a letter or digit");
		ok = false;
	}
	if (*ns && !valid_name(ns, PD_NAMESPACE_MAX, false)) {
		fail(d, meta->line, "metadata.namespace",
		     "a namespace consists of at most 63 lower case letters, digits "
		     "and '-', and starts and ends with a letter or digit");
		ok = false;
	}
	*key = (struct pd_key){d->kind, d->cfg->cluster, ns, name};
	return ok;
}

// ---- messages -------------------------------------------------------------------------------------------------------

// Values of Secrets and ConfigMaps are never shown: what the codec quotes is cut off.
static const char *safe_reason(struct doc *d, const char *reason)
{
	const char *cut;

	if (d->kind != PD_KIND_SECRET && d->kind != PD_KIND_CONFIG_MAP)
		return reason;
	cut = strstr(reason, ", got");
	cut = cut ? cut : strchr(reason, '"');
	return cut ? pd_arena_strndup(d->arena, reason, (size_t)(cut - reason)) : reason;
}

static void *decode_part(struct doc *d, const struct pd_json *json, const char *path, enum pd_codec_policy policy,
			 const ProtobufCMessageDescriptor *type)
{
	struct pd_codec c = {.arena = d->arena, .policy = policy, .path = path};
	void *out = NULL;

	if (!json || json->type == PD_JSON_NULL)
		return pb_new(d->arena, type);
	if (d->cfg->served)
		c.policy = PD_CODEC_LENIENT;
	if (pd_codec_decode(&c, json, type, &out) == PD_OK) {
		if (c.unknown && d->cfg->served)
			pd_debug("config", "%s: %s: %u values that are not known", d->object, path ? path : "",
				 c.unknown);
		return out;
	}
	for (uint32_t i = 0; i < c.n_errors; i++)
		fail(d, c.errors[i].line, c.errors[i].path, safe_reason(d, c.errors[i].reason));
	if (c.errors_dropped)
		fail(d, 0, "", pd_arena_printf(d->arena, "%u further errors", c.errors_dropped));
	return NULL;
}

// A copy of an object without some members; the values are shared.
static struct pd_json *without(struct pd_arena *a, const struct pd_json *object, const char *const *names)
{
	struct pd_json *copy = pd_json_object(a);

	copy->line = object->line;
	for (const struct pd_json *m = object->first; m; m = m->next) {
		struct pd_json *c;
		size_t i = 0;

		while (names[i] && strcmp(names[i], m->key))
			i++;
		if (names[i])
			continue;
		c = pd_json_null(a);
		*c = *m;
		pd_json_add_n(a, copy, m->key, m->key_len, c);
	}
	return copy;
}

static K8s__ObjectMeta *decode_meta(struct doc *d)
{
	static const char *const dropped[] = {"managedFields", NULL}; // half of an object, and read by nobody
	const struct pd_json *meta = pd_json_get(d->root, "metadata");

	return decode_part(d, without(d->arena, meta, dropped), "metadata", PD_CODEC_STRICT,
			   &k8s__object_meta__descriptor);
}

static enum pd_codec_policy builtin_policy(enum pd_kind kind)
{
	switch (kind) {
	case PD_KIND_SERVICE:
	case PD_KIND_ENDPOINT_SLICE:
	case PD_KIND_SECRET:
	case PD_KIND_CONFIG_MAP:
	case PD_KIND_NAMESPACE:
	case PD_KIND_SERVICE_ACCOUNT:
		return PD_CODEC_STRICT;
	default:
		return PD_CODEC_LENIENT; // api/proto has a subset of their fields
	}
}

static ProtobufCMessage *decode_builtin(struct doc *d, K8s__ObjectMeta *meta)
{
	static const char *const dropped[] = {"apiVersion", "kind", "metadata", NULL};
	const ProtobufCMessageDescriptor *type = pd_kind_info(d->kind)->object;
	ProtobufCMessage *m = decode_part(d, without(d->arena, d->root, dropped), NULL, builtin_policy(d->kind), type);

	if (m) // metadata is field 1 of every built-in kind
		*(K8s__ObjectMeta **)((char *)m + type->fields[0].offset) = meta;
	return m;
}

// Status is written by machines and read by few: a mistake in it is no reason to reject anything.
static ProtobufCMessage *decode_status(struct doc *d)
{
	const struct pd_kind_info *info = pd_kind_info(d->kind);
	const struct pd_json *json = pd_json_get(d->root, "status");
	struct pd_codec c = {.arena = d->arena, .policy = PD_CODEC_LENIENT, .path = "status"};
	void *out = NULL;

	if (!json || !info->status || !pd_trim_keeps_status(d->kind))
		return NULL;
	if (pd_codec_decode(&c, json, info->status, &out) != PD_OK && c.n_errors)
		report(d, PD_ISSUE_WARNING, c.errors[0].line, c.errors[0].path, c.errors[0].reason);
	return out;
}

// Members of a document beside the known ones, and known ones that are there twice.
static void check_members(struct doc *d)
{
	static const char *const known[] = {"apiVersion", "kind", "metadata", "spec", "status"};
	bool builtin = pd_kind_info(d->kind)->builtin;
	unsigned seen = 0;

	for (const struct pd_json *m = d->root->first; m; m = m->next) {
		size_t i = 0, n = builtin ? 3 : 5;

		while (i < n && strcmp(known[i], m->key))
			i++;
		if (i == n && !builtin && !d->cfg->served)
			fail(d, m->line, pd_arena_strdup(d->arena, m->key), "unknown field");
		if (i < n && (seen & 1u << i))
			fail(d, m->line, known[i], "duplicate field");
		seen |= i < n ? 1u << i : 0;
	}
}

// ---- one object -----------------------------------------------------------------------------------------------------

static void check(struct doc *d, const K8s__ObjectMeta *meta, const ProtobufCMessage *spec)
{
	struct pd_validation v = {.arena = d->arena};

	pd_validate(d->kind, meta, spec, &v);
	for (size_t i = 0; i < v.found.n; i++)
		report(d, v.found.v[i].severity, 0, v.found.v[i].field, v.found.v[i].reason);
	if (v.dropped)
		report(d, PD_ISSUE_WARNING, 0, "", pd_arena_printf(d->arena, "%zu further findings", v.dropped));
}

static struct pd_object *build(struct doc *d, const struct pd_key *key)
{
	K8s__ObjectMeta *meta = decode_meta(d);
	ProtobufCMessage *spec, *status = NULL;
	const char *origin;

	check_members(d);
	if (!meta)
		return NULL;
	if (pd_kind_info(d->kind)->builtin) {
		spec = decode_builtin(d, meta);
	} else {
		spec = decode_part(d, pd_json_get(d->root, "spec"), "spec", PD_CODEC_STRICT,
				   pd_kind_info(d->kind)->spec);
		status = decode_status(d);
	}
	if (spec)
		check(d, meta, spec);
	if (!spec || d->failed)
		return NULL;
	if (!*key->ns && meta->namespace_)
		report(d, PD_ISSUE_WARNING, 0, "metadata.namespace", "this kind belongs to no namespace");
	meta->namespace_ = *key->ns ? (char *)key->ns : NULL;
	origin = pd_arena_printf(d->arena, "%s:%u", d->cfg->origin, d->line);
	return pd_object_build(key, meta, spec, status, origin);
}

static void decode_object(struct doc *d)
{
	struct pd_object *o = NULL;
	struct pd_key key;

	if (!read_identity(d, &key)) {
		d->out->incomplete = true;
		return;
	}
	o = build(d, &key);
	pd_vec_push(&d->out->items, (struct pd_decoded){d->kind, pd_intern(key.ns), pd_intern(key.name), o, d->line});
}

static const char *served_versions(struct doc *d)
{
	const char *list = "";

	for (const char *const *v = pd_kind_info(d->kind)->versions; *v; v++)
		list = pd_arena_printf(d->arena, "%s%s%s", list, *list ? ", " : "", *v);
	return list;
}

static void decode_typed(struct doc *d, const char *api_version, const char *kind)
{
	int rc = pd_kind_find(api_version, kind, &d->kind);

	if (rc == PD_E_NOTFOUND) {
		d->out->ignored++;
		pd_debug("config", "%s:%u: %s %s is none of ours, ignored", d->cfg->origin, d->line, api_version, kind);
		return;
	}
	if (rc) {
		struct pd_key key;
		bool known = read_identity(d, &key);

		fail(d, d->root->line, "apiVersion",
		     pd_arena_printf(d->arena, "%s of %s is not known; known are %s", api_version, kind,
				     served_versions(d)));
		if (known)
			pd_vec_push(&d->out->items, (struct pd_decoded){d->kind, pd_intern(key.ns), pd_intern(key.name),
									NULL, d->line});
		else
			d->out->incomplete = true;
		return;
	}
	decode_object(d);
}

// ---- documents and lists --------------------------------------------------------------------------------------------

static void decode_any(const struct pd_decode_config *cfg, const struct pd_json *root, uint32_t line, unsigned lists,
		       const struct pd_json *list, struct pd_decoded_text *out);

static bool is_list(const struct pd_json *root, const char *kind)
{
	const struct pd_json *items = pd_json_get(root, "items");

	return pd_has_suffix(kind, "List") && items && items->type == PD_JSON_ARRAY;
}

// Items of a typed list may leave out kind and apiVersion.
static const char *own_or_list(struct doc *d, const struct pd_json *list, const char *member)
{
	const char *own = pd_json_get_string(d->root, member), *of_list;

	if (own || !list)
		return own;
	of_list = pd_json_get_string(list, member);
	if (!of_list || !strcmp(member, "apiVersion"))
		return of_list;
	return pd_arena_strndup(d->arena, of_list, strlen(of_list) - strlen("List"));
}

static void decode_in(struct doc *d, unsigned lists, const struct pd_json *list)
{
	const char *api_version, *kind;
	const struct pd_json *items;

	if (d->root->type != PD_JSON_OBJECT) {
		fail(d, 0, "",
		     pd_arena_printf(d->arena, "expected an object with apiVersion and kind, got %s",
				     pd_json_type_name(d->root)));
		d->out->incomplete = true;
		return;
	}
	api_version = own_or_list(d, list, "apiVersion");
	kind = own_or_list(d, list, "kind");
	if (pd_empty(api_version) || pd_empty(kind)) {
		fail(d, 0, pd_empty(kind) ? "kind" : "apiVersion", "missing");
		d->out->incomplete = true;
		return;
	}
	if (!is_list(d->root, kind)) {
		decode_typed(d, api_version, kind);
		return;
	}
	if (lists >= PD_DECODE_MAX_LISTS) {
		fail(d, 0, "items", "lists are nested too deep");
		d->out->incomplete = true;
		return;
	}
	items = pd_json_get(d->root, "items");
	for (const struct pd_json *item = items->first; item; item = item->next)
		decode_any(d->cfg, item, item->line, lists + 1, strcmp(kind, "List") ? d->root : NULL, d->out);
}

static void decode_any(const struct pd_decode_config *cfg, const struct pd_json *root, uint32_t line, unsigned lists,
		       const struct pd_json *list, struct pd_decoded_text *out)
{
	struct pd_arena arena = {0};
	struct doc d = {.cfg = cfg, .arena = &arena, .out = out, .root = root, .line = line, .object = ""};

	decode_in(&d, lists, list);
	pd_arena_free(&arena);
}

void pd_decode_tree(const struct pd_decode_config *cfg, const struct pd_json *root, uint32_t line,
		    struct pd_decoded_text *out)
{
	decode_any(cfg, root, line, 0, NULL, out);
}

static void report_text(const struct pd_decode_config *cfg, const struct pd_yaml_error *err,
			struct pd_decoded_text *out)
{
	struct pd_arena arena = {0};
	struct doc d = {.cfg = cfg, .arena = &arena, .out = out, .line = err->line ? err->line : 1, .object = ""};

	fail(&d, 0, "", err->text);
	out->incomplete = true;
	pd_arena_free(&arena);
}

void pd_decode_text(const struct pd_decode_config *cfg, const char *text, size_t len, struct pd_decoded_text *out)
{
	struct pd_arena tree = {0};
	struct pd_yaml *y;
	struct pd_yaml_error err;
	struct pd_json *root;
	uint32_t line;
	int rc;

	if (pd_yaml_open(text, len, &y, &err)) {
		report_text(cfg, &err, out);
		return;
	}
	while ((rc = pd_yaml_next(y, &tree, &root, &line, &err)) != PD_E_NOTFOUND) {
		if (rc)
			report_text(cfg, &err, out);
		else
			pd_decode_tree(cfg, root, line, out);
		pd_arena_reset(&tree);
	}
	pd_yaml_close(&y);
	pd_arena_free(&tree);
}

void pd_decoded_text_free(struct pd_decoded_text *t)
{
	for (size_t i = 0; i < t->items.n; i++) {
		pd_obj_unref(t->items.v[i].object);
		pd_unintern(t->items.v[i].ns);
		pd_unintern(t->items.v[i].name);
	}
	pd_vec_free(&t->items);
	t->ignored = 0;
	t->incomplete = false;
}
