// Message to JSON text.
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "api/base64.h"
#include "api/codec_internal.h"

static void newline(struct pd_encoder *e)
{
	if (!(e->flags & PD_ENCODE_INDENT))
		return;
	pd_buf_addc(e->out, '\n');
	for (int i = 0; i < e->indent; i++)
		pd_buf_adds(e->out, "  ");
}

void pd_encode_open(struct pd_encoder *e, char bracket)
{
	pd_buf_addc(e->out, bracket);
	e->indent++;
}

void pd_encode_next(struct pd_encoder *e, bool *first)
{
	if (!*first)
		pd_buf_addc(e->out, ',');
	*first = false;
	newline(e);
}

void pd_encode_key(struct pd_encoder *e, bool *first, const char *key)
{
	pd_encode_next(e, first);
	pd_encode_text(e, key);
	pd_buf_adds(e->out, e->flags & PD_ENCODE_INDENT ? ": " : ":");
}

void pd_encode_close(struct pd_encoder *e, bool empty, char bracket)
{
	e->indent--;
	if (!empty)
		newline(e);
	pd_buf_addc(e->out, bracket);
}

void pd_encode_text(struct pd_encoder *e, const char *s)
{
	pd_json_print_string(e->out, s ? s : "", s ? strlen(s) : 0);
}

static void encode_bytes(struct pd_encoder *e, const ProtobufCBinaryData *b)
{
	pd_buf_addc(e->out, '"');
	pd_base64_encode(e->out, b->data, b->len);
	pd_buf_addc(e->out, '"');
}

static void encode_enum(struct pd_encoder *e, const ProtobufCEnumDescriptor *d, int number)
{
	const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(d, number);

	if (!strcmp(d->name, "google.protobuf.NullValue"))
		pd_buf_adds(e->out, "null");
	else if (v)
		pd_encode_text(e, v->name);
	else
		pd_buf_printf(e->out, "%d", number);
}

static void encode_integer(struct pd_encoder *e, ProtobufCType type, const void *slot, bool kube)
{
	uint64_t v = 0;
	uint32_t u32;
	bool quoted = pb_type_size(type) == 8 && !kube && !(e->flags & PD_ENCODE_INT64_NUMBERS);
	bool is_unsigned = type == PROTOBUF_C_TYPE_UINT64 || type == PROTOBUF_C_TYPE_FIXED64 ||
			   type == PROTOBUF_C_TYPE_UINT32 || type == PROTOBUF_C_TYPE_FIXED32;

	if (pb_type_size(type) == 8) {
		memcpy(&v, slot, 8);
	} else {
		memcpy(&u32, slot, 4);
		v = is_unsigned ? u32 : (uint64_t)(int32_t)u32;
	}
	if (quoted)
		pd_buf_addc(e->out, '"');
	if (is_unsigned)
		pd_buf_printf(e->out, "%" PRIu64, v);
	else
		pd_buf_printf(e->out, "%" PRId64, (int64_t)v);
	if (quoted)
		pd_buf_addc(e->out, '"');
}

void pd_encode_value(struct pd_encoder *e, const ProtobufCFieldDescriptor *f, const void *slot, bool kube)
{
	const ProtobufCMessage *m;
	float real32;
	double real64;

	switch (f->type) {
	case PROTOBUF_C_TYPE_FLOAT:
		memcpy(&real32, slot, sizeof(real32));
		pd_json_print_float(e->out, real32);
		break;
	case PROTOBUF_C_TYPE_DOUBLE:
		memcpy(&real64, slot, sizeof(real64));
		pd_json_print_double(e->out, real64);
		break;
	case PROTOBUF_C_TYPE_BOOL:
		pd_buf_adds(e->out, *(const protobuf_c_boolean *)slot ? "true" : "false");
		break;
	case PROTOBUF_C_TYPE_ENUM:
		encode_enum(e, f->descriptor, *(const int *)slot);
		break;
	case PROTOBUF_C_TYPE_STRING:
		pd_encode_text(e, *(char *const *)slot);
		break;
	case PROTOBUF_C_TYPE_BYTES:
		encode_bytes(e, slot);
		break;
	case PROTOBUF_C_TYPE_MESSAGE:
		m = *(const ProtobufCMessage *const *)slot;
		if (m)
			pd_encode_message(e, m);
		else
			pd_buf_adds(e->out, "{}"); // an entry of a map, made by hand without its value
		break;
	default:
		encode_integer(e, f->type, slot, kube);
	}
}

void pd_encode_list(struct pd_encoder *e, const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
	size_t n = *pb_count(m, f), size = pb_type_size(f->type);
	const char *v = *(char *const *)pb_member(m, f);
	bool first = true, kube = pb_info(m->descriptor)->kube;

	pd_encode_open(e, '[');
	for (size_t i = 0; i < n; i++) {
		pd_encode_next(e, &first);
		pd_encode_value(e, f, v + i * size, kube);
	}
	pd_encode_close(e, first, ']');
}

static void encode_map_key(struct pd_encoder *e, bool *first, const ProtobufCMessage *entry)
{
	const ProtobufCFieldDescriptor *key = &entry->descriptor->fields[0];
	const void *slot = pb_member(entry, key);

	pd_encode_next(e, first);
	if (key->type == PROTOBUF_C_TYPE_STRING) {
		pd_encode_text(e, *(char *const *)slot);
	} else {
		pd_buf_addc(e->out, '"');
		pd_encode_value(e, key, slot, true); // "kube": a 64-bit key is quoted once already
		pd_buf_addc(e->out, '"');
	}
	pd_buf_adds(e->out, e->flags & PD_ENCODE_INDENT ? ": " : ":");
}

void pd_encode_map(struct pd_encoder *e, const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
	size_t n = *pb_count(m, f);
	bool first = true, kube = pb_info(m->descriptor)->kube;
	ProtobufCMessage **entries = pd_xmalloc((n + 1) * sizeof(*entries));

	if (n)
		memcpy(entries, *(void **)pb_member(m, f), n * sizeof(*entries));
	n = pb_sort_entries(entries, n);
	pd_encode_open(e, '{');
	for (size_t i = 0; i < n; i++) {
		const ProtobufCFieldDescriptor *value = &entries[i]->descriptor->fields[1];
		encode_map_key(e, &first, entries[i]);
		pd_encode_value(e, value, pb_member(entries[i], value), kube);
	}
	pd_encode_close(e, first, '}');
	free(entries);
}

static bool wanted(const struct pd_encoder *e, const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
	if (pb_field_is_set(m, f))
		return true;
	if (!(e->flags & PD_ENCODE_DEFAULTS) || pb_in_oneof(f))
		return false;
	return f->label == PROTOBUF_C_LABEL_REPEATED ||
	       (f->label == PROTOBUF_C_LABEL_NONE && f->type != PROTOBUF_C_TYPE_MESSAGE);
}

void pd_encode_fields(struct pd_encoder *e, const ProtobufCMessage *m, bool *first)
{
	const struct pb_info *info = pb_info(m->descriptor);

	for (unsigned i = 0; i < info->d->n_fields; i++) {
		const struct pb_field *field = &info->fields[i];
		if (!wanted(e, m, field->f))
			continue;
		if (field->shape == PB_INLINE) {
			pd_encode_fields(e, *(ProtobufCMessage **)pb_member(m, field->f), first);
			continue;
		}
		pd_encode_key(e, first, e->flags & PD_ENCODE_PROTO_NAMES ? field->f->name : field->json_name);
		if (field->shape == PB_MAP)
			pd_encode_map(e, m, field->f);
		else if (field->shape == PB_LIST)
			pd_encode_list(e, m, field->f);
		else
			pd_encode_value(e, field->f, pb_member(m, field->f), info->kube);
	}
}

void pd_encode_message(struct pd_encoder *e, const ProtobufCMessage *m)
{
	const struct pb_info *info = pb_info(m->descriptor);
	bool first = true;

	if (e->depth == PB_MAX_NESTING) {
		e->too_deep = true;
		pd_buf_adds(e->out, "null");
		return;
	}
	e->depth++;
	if (info->special != PB_PLAIN) {
		pd_encode_special(e, info, m);
	} else {
		pd_encode_open(e, '{');
		pd_encode_fields(e, m, &first);
		pd_encode_close(e, first, '}');
	}
	e->depth--;
}

int pd_codec_encode(struct pd_buf *out, const void *msg, unsigned flags)
{
	struct pd_encoder e = {.out = out, .flags = flags};

	pd_encode_message(&e, msg);
	pd_arena_free(&e.arena);
	return e.too_deep ? PD_E_LIMIT : PD_OK;
}
