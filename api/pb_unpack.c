// Wire format to message, for bytes of any origin.
//
// Instead of protobuf-c's own unpack because that recurses without limit (40 KB of nested Structs kill an 8 MB stack), takes
// strings as they come (an embedded NUL truncates, bad UTF-8 is NACKed by Envoy later) and has no bound on the memory that
// a small message may cost. Here all of this is checked in the one pass that decodes, strings are packed tight into the
// arena, and arrays get the capacity that PB_PUSH expects. As in other implementations a field whose wire type does not
// fit its declared type counts as unknown, a singular message sent twice is merged, and lists of numbers are taken packed
// or not. Groups are refused.
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "api/pb_internal.h"
#include "base/str.h"

struct unpacker {
	struct pd_arena *arena;
	size_t used_before;
	unsigned flags; // enum pb_unpack_flags
	struct pb_error *err;
};

static int fail(const struct unpacker *u, int code, const char *fmt, ...) PD_PRINTF(3, 4);
static int fail(const struct unpacker *u, int code, const char *fmt, ...)
{
	va_list ap;

	if (u->err) {
		va_start(ap, fmt);
		vsnprintf(u->err->text, sizeof(u->err->text), fmt, ap);
		va_end(ap);
	}
	return code;
}

static bool room(const struct unpacker *u, size_t n)
{
	size_t used = u->arena->used - u->used_before;
	return used <= PB_MAX_MEMORY && n <= PB_MAX_MEMORY - used;
}

static int no_room(const struct unpacker *u)
{
	return fail(u, PD_E_LIMIT, "message would take more than %u bytes of memory", PB_MAX_MEMORY);
}

const uint8_t *pb_wire_varint(const uint8_t *p, const uint8_t *end, uint64_t *out)
{
	uint64_t v = 0;

	for (int i = 0; i < PB_WIRE_VARINT_MAX && p < end; i++) {
		uint8_t b = *p++;
		v |= (uint64_t)(b & 0x7f) << (7 * i);
		if (b < 0x80) {
			*out = v;
			return p;
		}
	}
	return NULL;
}

static uint64_t little_endian(const uint8_t *p, int n)
{
	uint64_t v = 0;

	for (int i = 0; i < n; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

const uint8_t *pb_wire_field(const uint8_t *p, const uint8_t *end, struct pb_wire *raw)
{
	uint64_t tag;

	p = pb_wire_varint(p, end, &tag);
	if (!p || tag > UINT32_MAX || tag < 8)
		return NULL;
	raw->id = (uint32_t)(tag >> 3);
	raw->wire = tag & 7;
	switch (raw->wire) {
	case PB_WIRE_VARINT:
		return pb_wire_varint(p, end, &raw->number);
	case PB_WIRE_64:
	case PB_WIRE_32: {
		int n = raw->wire == PB_WIRE_64 ? 8 : 4;
		if (end - p < n)
			return NULL;
		raw->number = little_endian(p, n);
		return p + n;
	}
	case PB_WIRE_BYTES: {
		uint64_t len;
		p = pb_wire_varint(p, end, &len);
		if (!p || len > (uint64_t)(end - p))
			return NULL;
		raw->data = p;
		raw->len = (size_t)len;
		return p + len;
	}
	default:
		return NULL;
	}
}

static enum pb_wire_type wire_of(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_FLOAT:
		return PB_WIRE_32;
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return PB_WIRE_64;
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_BYTES:
	case PROTOBUF_C_TYPE_MESSAGE:
		return PB_WIRE_BYTES;
	default:
		return PB_WIRE_VARINT;
	}
}

static void store_number(void *slot, ProtobufCType type, uint64_t v)
{
	uint32_t v32 = (uint32_t)v;

	switch (type) {
	case PROTOBUF_C_TYPE_SINT32:
		v32 = (v32 >> 1) ^ -(v32 & 1);
		break;
	case PROTOBUF_C_TYPE_SINT64:
		v = (v >> 1) ^ -(v & 1);
		break;
	case PROTOBUF_C_TYPE_BOOL:
		*(protobuf_c_boolean *)slot = v != 0;
		return;
	default:
		break;
	}
	if (pb_type_size(type) == 4)
		memcpy(slot, &v32, 4);
	else
		memcpy(slot, &v, 8);
}

static int store_text(struct unpacker *u, const ProtobufCMessageDescriptor *d, const ProtobufCFieldDescriptor *f,
		      void *slot, const struct pb_wire *raw)
{
	if (!room(u, raw->len + 1))
		return no_room(u);
	if (f->type == PROTOBUF_C_TYPE_BYTES) {
		ProtobufCBinaryData *b = slot;
		b->len = raw->len;
		b->data = (uint8_t *)pd_arena_bytes(u->arena, raw->len);
		memcpy(b->data, raw->data, raw->len);
		return PD_OK;
	}
	if (memchr(raw->data, '\0', raw->len))
		return fail(u, PD_E_PARSE, "%s.%s: string has a NUL byte", d->name, f->name);
	if (!pd_utf8_ok((const char *)raw->data, raw->len))
		return fail(u, PD_E_PARSE, "%s.%s: string is not UTF-8", d->name, f->name);
	*(char **)slot = pd_arena_strndup(u->arena, (const char *)raw->data, raw->len);
	return PD_OK;
}

static int unpack(struct unpacker *u, ProtobufCMessage *m, const uint8_t *p, const uint8_t *end, unsigned depth);

// Into the message in the slot, which is made if there is none.
static int store_message(struct unpacker *u, const ProtobufCFieldDescriptor *f, void *slot, const struct pb_wire *raw,
			 unsigned depth)
{
	const ProtobufCMessageDescriptor *d = f->descriptor;
	ProtobufCMessage **m = slot;

	if (!*m) {
		if (!room(u, d->sizeof_message))
			return no_room(u);
		*m = pb_new(u->arena, d);
	}
	return unpack(u, *m, raw->data, raw->data + raw->len, depth + 1);
}

static int store(struct unpacker *u, const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, void *slot,
		 const struct pb_wire *raw, unsigned depth)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_BYTES:
		return store_text(u, m->descriptor, f, slot, raw);
	case PROTOBUF_C_TYPE_MESSAGE:
		return store_message(u, f, slot, raw, depth);
	default:
		store_number(slot, f->type, raw->number);
		return PD_OK;
	}
}

// A slot for one more element, zeroed; NULL if the memory limit is reached.
static void *append(struct unpacker *u, ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
	size_t size = pb_type_size(f->type), n = *pb_count(m, f);

	if (pb_capacity(n) == n && !room(u, 2 * (n + 1) * size))
		return NULL;
	return memset(pb_append(u->arena, m, f), 0, size);
}

// Room for n more elements at once, so that a packed list does not leave its smaller copies in the arena.
static bool reserve(struct unpacker *u, ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, size_t n)
{
	size_t have = *pb_count(m, f), size = pb_type_size(f->type), cap = pb_capacity(have + n);
	void **array = pb_member(m, f);

	if (cap == pb_capacity(have))
		return true;
	if (!room(u, cap * size))
		return false;
	void *bigger = pd_arena_alloc(u->arena, cap * size);
	if (have)
		memcpy(bigger, *array, have * size);
	*array = bigger;
	return true;
}

static int unpack_packed(struct unpacker *u, ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
			 const struct pb_wire *raw)
{
	const uint8_t *p = raw->data, *end = p + raw->len;
	enum pb_wire_type wire = wire_of(f->type);
	size_t width = wire == PB_WIRE_64 ? 8 : 4, n = 0, *count = pb_count(m, f), size = pb_type_size(f->type);

	if (wire == PB_WIRE_VARINT)
		for (const uint8_t *q = p; q < end; q++)
			n += *q < 0x80;
	else if (raw->len % width)
		return fail(u, PD_E_PARSE, "%s.%s: broken list", m->descriptor->name, f->name);
	else
		n = raw->len / width;
	if (n && !reserve(u, m, f, n))
		return no_room(u);

	char *array = *(char **)pb_member(m, f);
	while (p < end) {
		uint64_t v;
		if (wire == PB_WIRE_VARINT) {
			p = pb_wire_varint(p, end, &v);
			if (!p)
				return fail(u, PD_E_PARSE, "%s.%s: broken list", m->descriptor->name, f->name);
		} else {
			v = little_endian(p, (int)width);
			p += width;
		}
		store_number(array + size * (*count)++, f->type, v);
	}
	return PD_OK;
}

static int keep_unknown(struct unpacker *u, ProtobufCMessage *m, const struct pb_wire *raw, const uint8_t *p,
			size_t len)
{
	ProtobufCMessageUnknownField field = {.tag = raw->id, .wire_type = (ProtobufCWireType)raw->wire, .len = len};
	size_t n = m->n_unknown_fields;

	// `len` bytes at p: the field without its tag, length prefix included, which is what protobuf-c packs again.
	if (!room(u, len + 2 * (n + 1) * sizeof(field)))
		return no_room(u);
	field.data = (uint8_t *)pd_arena_bytes(u->arena, len);
	memcpy(field.data, p, len);
	m->unknown_fields = pb_grow(u->arena, m->unknown_fields, n, sizeof(field));
	m->unknown_fields[m->n_unknown_fields++] = field;
	return PD_OK;
}

static const uint8_t *skip_tag(const uint8_t *p)
{
	while (*p & 0x80)
		p++;
	return p + 1;
}

// Fields mostly come in the order of their numbers: *hint is the index behind the field found last.
static const ProtobufCFieldDescriptor *field_by_id(const ProtobufCMessageDescriptor *d, uint32_t id, unsigned *hint)
{
	unsigned lo = 0, hi = d->n_fields;

	if (*hint < hi && d->fields[*hint].id == id)
		return &d->fields[(*hint)++];
	if (*hint && d->fields[*hint - 1].id == id)
		return &d->fields[*hint - 1];
	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;
		if (d->fields[mid].id == id) {
			*hint = mid + 1;
			return &d->fields[mid];
		}
		if (d->fields[mid].id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

// Key and value may be missing on the wire, which means their defaults. Whoever reads a map may rely on both being there.
static void complete_entry(struct unpacker *u, ProtobufCMessage *entry)
{
	for (unsigned i = 0; i < 2; i++) {
		const ProtobufCFieldDescriptor *f = &entry->descriptor->fields[i];
		void **slot = pb_member(entry, f);
		pb_mark_set(entry, f);
		if (f->type == PROTOBUF_C_TYPE_STRING && !*slot)
			*slot = pd_arena_strdup(u->arena, "");
		if (f->type == PROTOBUF_C_TYPE_MESSAGE && !*slot)
			*slot = pb_new(u->arena, f->descriptor);
	}
}

static bool may_be_entry(const ProtobufCFieldDescriptor *f)
{
	const ProtobufCMessageDescriptor *d = f->descriptor;
	return f->type == PROTOBUF_C_TYPE_MESSAGE && d->n_fields == 2 && pd_has_suffix(d->short_name, "Entry");
}

static int unpack_field(struct unpacker *u, ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
			const struct pb_wire *raw, unsigned depth)
{
	if (f->label == PROTOBUF_C_LABEL_REPEATED) {
		if (wire_of(f->type) != raw->wire)
			return unpack_packed(u, m, f, raw);
		void *slot = append(u, m, f);
		if (!slot)
			return no_room(u);
		int rc = store(u, m, f, slot, raw, depth);
		if (!rc && may_be_entry(f) && pb_field_is_map(m->descriptor, f))
			complete_entry(u, *(ProtobufCMessage **)slot);
		return rc;
	}
	if ((u->flags & PB_UNPACK_SKIP_EMPTY) && !raw->len && f->type == PROTOBUF_C_TYPE_STRING &&
	    !pd_has_suffix(m->descriptor->short_name, "Entry"))
		return PD_OK;
	pb_mark_set(m, f);
	return store(u, m, f, pb_member(m, f), raw, depth);
}

static int unpack(struct unpacker *u, ProtobufCMessage *m, const uint8_t *p, const uint8_t *end, unsigned depth)
{
	const ProtobufCMessageDescriptor *d = m->descriptor;
	unsigned hint = 0;

	if (depth > PB_MAX_DEPTH)
		return fail(u, PD_E_LIMIT, "nested more than %d messages deep", PB_MAX_DEPTH);
	while (p < end) {
		struct pb_wire raw;
		const uint8_t *next = pb_wire_field(p, end, &raw);
		if (!next)
			return fail(u, PD_E_PARSE, "%s: broken bytes", d->name);
		const ProtobufCFieldDescriptor *f = field_by_id(d, raw.id, &hint);
		bool fits = f && wire_of(f->type) == raw.wire;
		bool packed = f && f->label == PROTOBUF_C_LABEL_REPEATED && raw.wire == PB_WIRE_BYTES;
		int rc;
		if (fits || packed) {
			rc = unpack_field(u, m, f, &raw, depth);
		} else if (u->flags & PB_UNPACK_SKIP_UNKNOWN) {
			rc = PD_OK;
		} else {
			const uint8_t *content = skip_tag(p);
			rc = keep_unknown(u, m, &raw, content, (size_t)(next - content));
		}
		if (rc)
			return rc;
		p = next;
	}
	return PD_OK;
}

int pb_unpack_with(struct pd_arena *a, const ProtobufCMessageDescriptor *d, const void *bytes, size_t len,
		   unsigned flags, void **out, struct pb_error *err)
{
	struct unpacker u = {.arena = a, .used_before = a->used, .flags = flags, .err = err};

	*out = NULL;
	if (len > PB_MAX_BYTES)
		return fail(&u, PD_E_LIMIT, "%s: more than %u bytes", d->name, PB_MAX_BYTES);
	ProtobufCMessage *m = pb_new(a, d);
	int rc = len ? unpack(&u, m, bytes, (const uint8_t *)bytes + len, 1) : PD_OK;
	if (!rc)
		*out = m;
	return rc;
}

int pb_unpack(struct pd_arena *a, const ProtobufCMessageDescriptor *d, const void *bytes, size_t len, void **out,
	      struct pb_error *err)
{
	return pb_unpack_with(a, d, bytes, len, 0, out, err);
}
