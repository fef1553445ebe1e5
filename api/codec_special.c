// Decoding of message types that have a JSON form of their own.
#include <math.h>
#include <string.h>

#include "api/base64.h"
#include "api/codec_internal.h"
#include "google/protobuf/field_mask.pb-c.h"
#include "k8s/meta.pb-c.h"

static bool is_text(const struct pd_json *j)
{
	return j->type == PD_JSON_STRING && strlen(j->s) == j->n;
}

static enum pd_outcome any_of_unknown_type(struct pd_codec *c, const struct pd_frame *at, const struct pd_json *j,
					   const struct pd_json *type, Google__Protobuf__Any *any)
{
	const struct pd_json *value = pd_json_get(j, "value");

	if (value && value->type == PD_JSON_STRING && j->n == 2 &&
	    pd_base64_decode(c->arena, value->s, value->n, &any->value))
		return PD_GOT;
	if (c->policy == PD_CODEC_LENIENT) {
		c->unknown++;
		return PD_SKIPPED;
	}
	return pd_codec_fail(c, at, type->line, "unknown type \"%s\"", type->s);
}

// The content of an Any whose type has a JSON form of its own stands under "value", beside nothing else.
static enum pd_outcome any_value(struct pd_decoder *dec, const struct pd_frame *at, const struct pd_json *j,
				 ProtobufCMessage *content)
{
	const struct pd_json *value = pd_json_get(j, "value");

	for (const struct pd_json *member = j->first; member; member = member->next)
		if (strcmp(member->key, "@type") != 0 && strcmp(member->key, "value") != 0)
			pd_codec_unknown_field(dec->c, at, member, NULL);
	if (!value)
		return pd_codec_fail(dec->c, at, j->line, "missing \"value\"");
	struct pd_frame here = pd_frame_of(at, PD_STEP_MEMBER, value);
	return pd_codec_message(dec, &here, value, content);
}

static bool is_empty_value(const ProtobufCMessageDescriptor *d, const struct pd_json *j)
{
	const struct pd_json *value = pd_json_get(j, "value");
	return value && value->type == PD_JSON_OBJECT && !value->n && !strcmp(d->name, "google.protobuf.Empty");
}

static enum pd_outcome any(struct pd_decoder *dec, const struct pd_frame *at, const struct pd_json *j,
			   Google__Protobuf__Any *out)
{
	const struct pd_json *type = pd_json_get(j, "@type");
	enum pd_outcome got;

	if (j->type != PD_JSON_OBJECT)
		return pd_codec_expected(dec->c, at, j, "object with \"@type\"");
	if (!j->n)
		return PD_GOT;
	if (!type)
		return pd_codec_fail(dec->c, at, j->line, "missing \"@type\"");
	if (!is_text(type) || !strchr(type->s, '/'))
		return pd_codec_expected(dec->c, at, type, "\"@type\" like \"type.googleapis.com/name\"");
	got = pd_codec_text(dec->c, at, type->line, type->s, type->n, &out->type_url);
	if (got != PD_GOT)
		return got;
	const ProtobufCMessageDescriptor *d = pb_find(type->s);
	if (!d)
		return any_of_unknown_type(dec->c, at, j, type, out);

	ProtobufCMessage *content = pb_new(dec->c->arena, d);
	if (!pd_codec_enter(dec, at, j))
		return PD_FAILED;
	if (pb_info(d)->special != PB_PLAIN)
		got = any_value(dec, at, j, content);
	else if (is_empty_value(d, j))
		got = PD_GOT;
	else
		got = pd_codec_members(dec, at, j, content, true);
	dec->depth--;
	if (got == PD_GOT)
		out->value = pb_pack_arena(dec->c->arena, content);
	return got;
}

static enum pd_outcome duration(struct pd_codec *c, const struct pd_frame *at, const struct pd_json *j,
				int64_t *seconds, int32_t *nanos)
{
	if (!is_text(j) || !pd_parse_duration(j->s, seconds, nanos))
		return pd_codec_expected(c, at, j, "duration like \"1.5s\"");
	return PD_GOT;
}

static enum pd_outcome timestamp(struct pd_codec *c, const struct pd_frame *at, const struct pd_json *j,
				 int64_t *seconds, int32_t *nanos)
{
	if (!is_text(j) || !pd_parse_timestamp(j->s, seconds, nanos))
		return pd_codec_expected(c, at, j, "time like \"2006-01-02T15:04:05Z\"");
	return PD_GOT;
}

// "fooBar.baz,qux" → "foo_bar.baz", "qux".
static enum pd_outcome field_mask(struct pd_codec *c, const struct pd_frame *at, const struct pd_json *j,
				  Google__Protobuf__FieldMask *mask)
{
	char *text;

	if (j->type != PD_JSON_STRING)
		return pd_codec_expected(c, at, j, "field mask like \"fooBar,baz\"");
	if (pd_codec_text(c, at, j->line, j->s, j->n, &text) != PD_GOT)
		return PD_FAILED;
	while (*text) {
		size_t n = strcspn(text, ",");
		if (!n || (text[n] && !text[n + 1]))
			return pd_codec_expected(c, at, j, "field mask like \"fooBar,baz\"");
		char *path = pd_arena_bytes(c->arena, 2 * n + 1), *o = path;
		for (size_t i = 0; i < n; i++) {
			if (text[i] == '_')
				return pd_codec_expected(c, at, j, "field mask like \"fooBar,baz\"");
			bool upper = text[i] >= 'A' && text[i] <= 'Z';
			if (upper)
				*o++ = '_';
			*o++ = upper ? (char)(text[i] - 'A' + 'a') : text[i];
		}
		*o = '\0';
		PB_PUSH(c->arena, mask, paths, path);
		text += n + (text[n] == ',');
	}
	return PD_GOT;
}

static enum pd_outcome value(struct pd_decoder *dec, const struct pd_frame *at, const struct pd_json *j,
			     ProtobufCMessage *m)
{
	static const char *const members[] = {
		[PD_JSON_NULL] = "null_value",   [PD_JSON_BOOL] = "bool_value",     [PD_JSON_INT] = "number_value",
		[PD_JSON_UINT] = "number_value", [PD_JSON_REAL] = "number_value",   [PD_JSON_STRING] = "string_value",
		[PD_JSON_ARRAY] = "list_value",  [PD_JSON_OBJECT] = "struct_value",
	};
	const char *name = members[j->type];
	const ProtobufCFieldDescriptor *f = pb_field_by_name(m->descriptor, name, strlen(name));
	void *slot = pb_member(m, f);
	enum pd_outcome got;

	if (j->type == PD_JSON_REAL && !isfinite(j->d))
		return pd_codec_expected(dec->c, at, j, "finite number");
	pb_mark_set(m, f);
	if (f->type != PROTOBUF_C_TYPE_MESSAGE)
		return pd_codec_scalar(dec->c, at, j, f, slot);
	ProtobufCMessage *nested = pb_new(dec->c->arena, f->descriptor);
	got = pd_codec_message(dec, at, j, nested);
	*(ProtobufCMessage **)slot = nested;
	return got;
}

static enum pd_outcome int_or_string(struct pd_codec *c, const struct pd_frame *at, const struct pd_json *j,
				     K8s__IntOrString *out)
{
	out->has_type = true;
	if (j->type == PD_JSON_STRING) {
		out->type = 1;
		return pd_codec_text(c, at, j->line, j->s, j->n, &out->strval);
	}
	if (j->type != PD_JSON_INT || j->i < INT32_MIN || j->i > INT32_MAX)
		return pd_codec_expected(c, at, j, "int32 or string");
	out->type = 0;
	out->has_intval = true;
	out->intval = (int32_t)j->i;
	return PD_GOT;
}

static enum pd_outcome quantity(struct pd_codec *c, const struct pd_frame *at, const struct pd_json *j,
				K8s__Quantity *out)
{
	struct pd_buf text = {0};

	if (j->type == PD_JSON_STRING)
		return pd_codec_text(c, at, j->line, j->s, j->n, &out->string);
	if (j->type != PD_JSON_INT && j->type != PD_JSON_UINT && (j->type != PD_JSON_REAL || !isfinite(j->d)))
		return pd_codec_expected(c, at, j, "quantity like \"100m\"");
	pd_json_print(&text, j, false);
	out->string = pd_arena_strdup(c->arena, text.p);
	pd_buf_free(&text);
	return PD_GOT;
}

static enum pd_outcome raw(struct pd_codec *c, const struct pd_json *j, K8s__RawExtension *out)
{
	struct pd_buf text = {0};

	pd_json_print(&text, j, false);
	out->has_raw = true;
	out->raw.len = text.n;
	out->raw.data = (uint8_t *)pd_arena_strndup(c->arena, text.p, text.n);
	pd_buf_free(&text);
	return PD_GOT;
}

static enum pd_outcome kube_duration(struct pd_codec *c, const struct pd_frame *at, const struct pd_json *j,
				     K8s__Duration *out)
{
	Google__Protobuf__Duration d = GOOGLE__PROTOBUF__DURATION__INIT;
	enum pd_outcome got = duration(c, at, j, &d.seconds, &d.nanos);

	out->has_duration = true;
	out->duration = pb_duration_ns(&d);
	return got;
}

static enum pd_outcome kube(struct pd_codec *c, const struct pd_frame *at, const struct pd_json *j,
			    enum pb_special kind, ProtobufCMessage *m)
{
	K8s__Time *time = (K8s__Time *)m;
	K8s__MicroTime *micro = (K8s__MicroTime *)m;

	switch (kind) {
	case PB_KUBE_TIME:
		time->has_seconds = time->has_nanos = true;
		return timestamp(c, at, j, &time->seconds, &time->nanos);
	case PB_KUBE_MICRO_TIME:
		micro->has_seconds = micro->has_nanos = true;
		return timestamp(c, at, j, &micro->seconds, &micro->nanos);
	case PB_KUBE_DURATION:
		return kube_duration(c, at, j, (K8s__Duration *)m);
	case PB_KUBE_INT_OR_STRING:
		return int_or_string(c, at, j, (K8s__IntOrString *)m);
	case PB_KUBE_QUANTITY:
		return quantity(c, at, j, (K8s__Quantity *)m);
	default:
		return raw(c, j, (K8s__RawExtension *)m);
	}
}

enum pd_outcome pd_codec_special(struct pd_decoder *dec, const struct pd_frame *at, const struct pd_json *j,
				 const struct pb_info *info, ProtobufCMessage *m)
{
	const ProtobufCFieldDescriptor *first = &info->d->fields[0];
	Google__Protobuf__Duration *d = (Google__Protobuf__Duration *)m;
	Google__Protobuf__Timestamp *t = (Google__Protobuf__Timestamp *)m;

	switch (info->special) {
	case PB_ANY:
		return any(dec, at, j, (Google__Protobuf__Any *)m);
	case PB_DURATION:
		return duration(dec->c, at, j, &d->seconds, &d->nanos);
	case PB_TIMESTAMP:
		return timestamp(dec->c, at, j, &t->seconds, &t->nanos);
	case PB_FIELD_MASK:
		return field_mask(dec->c, at, j, (Google__Protobuf__FieldMask *)m);
	case PB_STRUCT:
		return pd_codec_map(dec, at, j, m, first, PD_STEP_MEMBER);
	case PB_VALUE:
		return value(dec, at, j, m);
	case PB_LIST_VALUE:
		return pd_codec_list(dec, at, j, m, first);
	case PB_WRAPPER:
		return pd_codec_scalar(dec->c, at, j, first, pb_member(m, first));
	default:
		return kube(dec->c, at, j, info->special, m);
	}
}
