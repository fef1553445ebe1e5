// Encoding of message types that have a JSON form of their own; trees from Struct.
#include <math.h>
#include <string.h>

#include "api/base64.h"
#include "api/codec_internal.h"
#include "google/protobuf/field_mask.pb-c.h"
#include "k8s/meta.pb-c.h"

#define MAX_EXACT 0x1p53 // integers up to here are exact in a double

static void encode_any(struct pd_encoder *e, const Google__Protobuf__Any *any)
{
	bool first = true;
	void *content = NULL;

	pd_encode_open(e, '{');
	if (pd_empty(any->type_url) && !any->value.len) {
		pd_encode_close(e, true, '}');
		return;
	}
	pd_encode_key(e, &first, "@type");
	pd_encode_text(e, any->type_url);
	if (pb_any_unpack(&e->arena, any, &content, NULL)) {
		pd_encode_key(e, &first, "value");
		pd_buf_addc(e->out, '"');
		pd_base64_encode(e->out, any->value.data, any->value.len);
		pd_buf_addc(e->out, '"');
	} else if (pb_info(((ProtobufCMessage *)content)->descriptor)->special != PB_PLAIN) {
		pd_encode_key(e, &first, "value");
		pd_encode_message(e, content);
	} else if (e->depth == PB_MAX_NESTING) {
		e->too_deep = true;
	} else {
		e->depth++;
		pd_encode_fields(e, content, &first);
		e->depth--;
	}
	pd_encode_close(e, first, '}');
}

static void encode_field_mask(struct pd_encoder *e, const Google__Protobuf__FieldMask *mask)
{
	struct pd_buf text = {0};

	for (size_t i = 0; i < mask->n_paths; i++) {
		bool up = false;
		if (i)
			pd_buf_addc(&text, ',');
		for (const char *s = mask->paths[i]; *s; s++) {
			if (*s != '_')
				pd_buf_addc(&text, up && *s >= 'a' && *s <= 'z' ? (char)(*s - 'a' + 'A') : *s);
			up = *s == '_';
		}
	}
	pd_json_print_string(e->out, text.p ? text.p : "", text.n);
	pd_buf_free(&text);
}

static void encode_value(struct pd_encoder *e, const ProtobufCMessage *m)
{
	const ProtobufCMessageDescriptor *d = m->descriptor;

	for (unsigned i = 0; i < d->n_fields; i++) {
		if (pb_field_is_set(m, &d->fields[i])) {
			pd_encode_value(e, &d->fields[i], pb_member(m, &d->fields[i]), false);
			return;
		}
	}
	pd_buf_adds(e->out, "null");
}

static void encode_raw(struct pd_encoder *e, const K8s__RawExtension *raw)
{
	struct pd_json *j;

	if (!raw->raw.len)
		pd_buf_adds(e->out, "null");
	else if (!pd_json_parse(&e->arena, (const char *)raw->raw.data, raw->raw.len, &j, NULL))
		pd_json_print(e->out, j, false);
	else {
		// Kubernetes' protobuf form of the object: no JSON to show.
		pd_buf_addc(e->out, '"');
		pd_base64_encode(e->out, raw->raw.data, raw->raw.len);
		pd_buf_addc(e->out, '"');
	}
}

static void encode_kube(struct pd_encoder *e, enum pb_special kind, const ProtobufCMessage *m)
{
	const K8s__IntOrString *either = (const K8s__IntOrString *)m;
	const K8s__MicroTime *micro = (const K8s__MicroTime *)m;
	const K8s__Time *time = (const K8s__Time *)m;

	switch (kind) {
	case PB_KUBE_TIME:
	case PB_KUBE_MICRO_TIME:
	case PB_KUBE_DURATION:
		pd_buf_addc(e->out, '"');
		if (kind == PB_KUBE_TIME)
			pd_print_timestamp(e->out, time->seconds, time->nanos, 0);
		else if (kind == PB_KUBE_MICRO_TIME)
			pd_print_timestamp(e->out, micro->seconds, micro->nanos, 6);
		else
			pd_print_go_duration(e->out, ((const K8s__Duration *)m)->duration);
		pd_buf_addc(e->out, '"');
		break;
	case PB_KUBE_INT_OR_STRING:
		if (either->type == 1)
			pd_encode_text(e, either->strval);
		else
			pd_buf_printf(e->out, "%d", either->intval);
		break;
	case PB_KUBE_QUANTITY:
		pd_encode_text(e, ((const K8s__Quantity *)m)->string);
		break;
	default:
		encode_raw(e, (const K8s__RawExtension *)m);
	}
}

void pd_encode_special(struct pd_encoder *e, const struct pb_info *info, const ProtobufCMessage *m)
{
	const ProtobufCFieldDescriptor *first = &info->d->fields[0];
	const Google__Protobuf__Duration *d = (const Google__Protobuf__Duration *)m;
	const Google__Protobuf__Timestamp *t = (const Google__Protobuf__Timestamp *)m;

	switch (info->special) {
	case PB_ANY:
		encode_any(e, (const Google__Protobuf__Any *)m);
		break;
	case PB_DURATION:
		pd_buf_addc(e->out, '"');
		pd_print_duration(e->out, d->seconds, d->nanos);
		pd_buf_addc(e->out, '"');
		break;
	case PB_TIMESTAMP:
		pd_buf_addc(e->out, '"');
		pd_print_timestamp(e->out, t->seconds, t->nanos, 0);
		pd_buf_addc(e->out, '"');
		break;
	case PB_FIELD_MASK:
		encode_field_mask(e, (const Google__Protobuf__FieldMask *)m);
		break;
	case PB_STRUCT:
		pd_encode_map(e, m, first);
		break;
	case PB_LIST_VALUE:
		pd_encode_list(e, m, first);
		break;
	case PB_VALUE:
		encode_value(e, m);
		break;
	case PB_WRAPPER:
		pd_encode_value(e, first, pb_member(m, first), false);
		break;
	default:
		encode_kube(e, info->special, m);
	}
}

static struct pd_json *from_struct(struct pd_arena *a, const Google__Protobuf__Struct *s, unsigned depth);

static struct pd_json *from_value(struct pd_arena *a, const Google__Protobuf__Value *v, unsigned depth)
{
	struct pd_json *list;

	PD_ASSERT(depth <= PB_MAX_NESTING);
	switch (v ? v->kind_case : GOOGLE__PROTOBUF__VALUE__KIND__NOT_SET) {
	case GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE:
		if (v->number_value == trunc(v->number_value) && fabs(v->number_value) <= MAX_EXACT)
			return pd_json_int(a, (int64_t)v->number_value);
		return pd_json_real(a, v->number_value);
	case GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE:
		return pd_json_string(a, pd_or(v->string_value, ""));
	case GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE:
		return pd_json_bool(a, v->bool_value);
	case GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE:
		return from_struct(a, v->struct_value, depth + 1);
	case GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE:
		list = pd_json_array(a);
		for (size_t i = 0; v->list_value && i < v->list_value->n_values; i++)
			pd_json_append(list, from_value(a, v->list_value->values[i], depth + 1));
		return list;
	default:
		return pd_json_null(a);
	}
}

static struct pd_json *from_struct(struct pd_arena *a, const Google__Protobuf__Struct *s, unsigned depth)
{
	struct pd_json *object = pd_json_object(a);

	for (size_t i = 0; s && i < s->n_fields; i++)
		pd_json_add(a, object, pd_or(s->fields[i]->key, ""), from_value(a, s->fields[i]->value, depth + 1));
	return object;
}

struct pd_json *pd_json_from_struct(struct pd_arena *a, const Google__Protobuf__Struct *s)
{
	return from_struct(a, s, 1);
}
