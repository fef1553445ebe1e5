// Deep copy, equality, canonical order.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "api/pb_internal.h"
#include "base/str.h"

static void *copy(struct pd_arena *a, const ProtobufCMessage *src, unsigned depth);

// One value of the type of f; an unset string or message (NULL) stays as it is.
static void copy_value(struct pd_arena *a, const ProtobufCFieldDescriptor *f, void *dst, const void *src,
		       unsigned depth)
{
	const char *s;
	const ProtobufCMessage *m;
	ProtobufCBinaryData b;

	switch (f->type) {
	case PROTOBUF_C_TYPE_STRING:
		s = *(const char *const *)src;
		*(char **)dst = s && s != f->default_value ? pd_arena_strdup(a, s) : (char *)(uintptr_t)s;
		break;
	case PROTOBUF_C_TYPE_BYTES:
		b = *(const ProtobufCBinaryData *)src;
		if (b.len) {
			uint8_t *p = (uint8_t *)pd_arena_bytes(a, b.len);
			memcpy(p, b.data, b.len);
			b.data = p;
		}
		*(ProtobufCBinaryData *)dst = b;
		break;
	case PROTOBUF_C_TYPE_MESSAGE:
		m = *(const ProtobufCMessage *const *)src;
		*(void **)dst = m ? copy(a, m, depth + 1) : NULL;
		break;
	default:
		memcpy(dst, src, pb_type_size(f->type));
	}
}

void pb_copy_value(struct pd_arena *a, const ProtobufCFieldDescriptor *f, void *dst, const void *src)
{
	copy_value(a, f, dst, src, 1);
}

static void copy_list(struct pd_arena *a, const ProtobufCFieldDescriptor *f, ProtobufCMessage *dst,
		      const ProtobufCMessage *src, unsigned depth)
{
	size_t n = *pb_count(src, f), size = pb_type_size(f->type);
	char *from = *(char **)pb_member(src, f);

	if (!n)
		return;
	char *to = pd_arena_alloc(a, pb_capacity(n) * size);
	for (size_t i = 0; i < n; i++)
		copy_value(a, f, to + i * size, from + i * size, depth);
	*(char **)pb_member(dst, f) = to;
	*pb_count(dst, f) = n;
}

void pb_copy_unknown(struct pd_arena *a, ProtobufCMessage *dst, const ProtobufCMessage *src)
{
	for (unsigned i = 0; i < src->n_unknown_fields; i++) {
		ProtobufCMessageUnknownField field = src->unknown_fields[i];
		field.data = (uint8_t *)pd_arena_bytes(a, field.len);
		memcpy(field.data, src->unknown_fields[i].data, field.len);
		dst->unknown_fields = pb_grow(a, dst->unknown_fields, dst->n_unknown_fields, sizeof(field));
		dst->unknown_fields[dst->n_unknown_fields++] = field;
	}
}

static void *copy(struct pd_arena *a, const ProtobufCMessage *src, unsigned depth)
{
	const ProtobufCMessageDescriptor *d = src->descriptor;
	ProtobufCMessage *dst = pb_new(a, d);

	PD_ASSERT(depth <= PB_MAX_NESTING);
	for (unsigned i = 0; i < d->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &d->fields[i];
		if (f->label == PROTOBUF_C_LABEL_REPEATED) {
			copy_list(a, f, dst, src, depth);
		} else if (pb_field_is_set(src, f)) {
			pb_mark_set(dst, f);
			copy_value(a, f, pb_member(dst, f), pb_member(src, f), depth);
		}
	}
	pb_copy_unknown(a, dst, src);
	return dst;
}

void *pb_copy(struct pd_arena *a, const void *msg)
{
	return msg ? copy(a, msg, 1) : NULL;
}

static bool equal(const ProtobufCMessage *x, const ProtobufCMessage *y, unsigned depth);

static bool equal_value(const ProtobufCFieldDescriptor *f, const void *x, const void *y, unsigned depth)
{
	const ProtobufCBinaryData *a = x, *b = y;
	float f1, f2;
	double d1, d2;

	switch (f->type) {
	case PROTOBUF_C_TYPE_STRING:
		return pd_streq(*(char *const *)x, *(char *const *)y);
	case PROTOBUF_C_TYPE_BYTES:
		return a->len == b->len && (!a->len || !memcmp(a->data, b->data, a->len));
	case PROTOBUF_C_TYPE_MESSAGE:
		return equal(*(ProtobufCMessage *const *)x, *(ProtobufCMessage *const *)y, depth + 1);
	case PROTOBUF_C_TYPE_FLOAT:
		memcpy(&f1, x, sizeof(f1));
		memcpy(&f2, y, sizeof(f2));
		return f1 == f2 || (isnan(f1) && isnan(f2));
	case PROTOBUF_C_TYPE_DOUBLE:
		memcpy(&d1, x, sizeof(d1));
		memcpy(&d2, y, sizeof(d2));
		return d1 == d2 || (isnan(d1) && isnan(d2));
	case PROTOBUF_C_TYPE_BOOL:
		return !*(const protobuf_c_boolean *)x == !*(const protobuf_c_boolean *)y;
	default:
		return !memcmp(x, y, pb_type_size(f->type));
	}
}

static bool equal_arrays(const ProtobufCFieldDescriptor *f, const char *x, const char *y, size_t n, unsigned depth)
{
	size_t size = pb_type_size(f->type);

	for (size_t i = 0; i < n; i++)
		if (!equal_value(f, x + i * size, y + i * size, depth))
			return false;
	return true;
}

static bool is_sorted(ProtobufCMessage *const *entries, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if (pb_entry_cmp(entries[i - 1], entries[i]) >= 0)
			return false;
	return true;
}

// Copies of both arrays, sorted; they may hold duplicates.
static bool equal_maps(const ProtobufCFieldDescriptor *f, ProtobufCMessage *const *x, size_t nx,
		       ProtobufCMessage *const *y, size_t ny, unsigned depth)
{
	if (is_sorted(x, nx) && is_sorted(y, ny))
		return nx == ny && equal_arrays(f, (const char *)x, (const char *)y, nx, depth);

	ProtobufCMessage **v = pd_xmalloc((nx + ny) * sizeof(*v)), **w = v + nx;
	memcpy(v, x, nx * sizeof(*v));
	memcpy(w, y, ny * sizeof(*w));
	nx = pb_sort_entries(v, nx);
	ny = pb_sort_entries(w, ny);
	bool same = nx == ny && equal_arrays(f, (const char *)v, (const char *)w, nx, depth);
	free(v);
	return same;
}

static bool equal_field(const struct pb_field *field, const ProtobufCMessage *x, const ProtobufCMessage *y,
			unsigned depth)
{
	const ProtobufCFieldDescriptor *f = field->f;

	if (f->label != PROTOBUF_C_LABEL_REPEATED) {
		bool set = pb_field_is_set(x, f);
		return set == pb_field_is_set(y, f) &&
		       (!set || equal_value(f, pb_member(x, f), pb_member(y, f), depth));
	}
	size_t nx = *pb_count(x, f), ny = *pb_count(y, f);
	void *vx = *(void **)pb_member(x, f), *vy = *(void **)pb_member(y, f);
	if (!nx || !ny)
		return nx == ny;
	if (field->shape == PB_MAP)
		return equal_maps(f, vx, nx, vy, ny, depth);
	return nx == ny && equal_arrays(f, vx, vy, nx, depth);
}

static bool equal_unknown(const ProtobufCMessage *x, const ProtobufCMessage *y)
{
	if (x->n_unknown_fields != y->n_unknown_fields)
		return false;
	for (unsigned i = 0; i < x->n_unknown_fields; i++) {
		const ProtobufCMessageUnknownField *a = &x->unknown_fields[i], *b = &y->unknown_fields[i];
		if (a->tag != b->tag || a->wire_type != b->wire_type || a->len != b->len ||
		    memcmp(a->data, b->data, a->len))
			return false;
	}
	return true;
}

static bool equal(const ProtobufCMessage *x, const ProtobufCMessage *y, unsigned depth)
{
	PD_ASSERT(depth <= PB_MAX_NESTING);
	if (!x || !y || x->descriptor != y->descriptor)
		return x == y;
	const struct pb_info *info = pb_info(x->descriptor);
	for (unsigned i = 0; i < info->d->n_fields; i++)
		if (!equal_field(&info->fields[i], x, y, depth))
			return false;
	return equal_unknown(x, y);
}

bool pb_equal(const void *x, const void *y)
{
	return x == y || equal(x, y, 1);
}

static void canonicalise(ProtobufCMessage *m, unsigned depth)
{
	const struct pb_info *info = pb_info(m->descriptor);

	PD_ASSERT(depth <= PB_MAX_NESTING);
	for (unsigned i = 0; i < info->d->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = info->fields[i].f;
		if (f->type != PROTOBUF_C_TYPE_MESSAGE || !pb_field_is_set(m, f))
			continue;
		if (f->label != PROTOBUF_C_LABEL_REPEATED) {
			canonicalise(*(ProtobufCMessage **)pb_member(m, f), depth + 1);
			continue;
		}
		size_t *n = pb_count(m, f);
		ProtobufCMessage **items = *(ProtobufCMessage ***)pb_member(m, f);
		if (info->fields[i].shape == PB_MAP)
			*n = pb_sort_entries(items, *n);
		for (size_t j = 0; j < *n; j++)
			canonicalise(items[j], depth + 1);
	}
}

void pb_canonicalise(void *msg)
{
	canonicalise(msg, 1);
}
