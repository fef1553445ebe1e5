#include "config/compact.h"

#include <stdbool.h>
#include <string.h>

#include "api/pb.h"
#include "config/field.h"

#define ALIGN 8

static size_t round_up(size_t n)
{
	return (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

static void measure_value(struct pd_compact *c, const ProtobufCFieldDescriptor *f, const void *value)
{
	const void *p = *(const void *const *)value;

	if (f->type == PROTOBUF_C_TYPE_STRING && p && p != f->default_value)
		c->bytes += strlen(p) + 1;
	else if (f->type == PROTOBUF_C_TYPE_BYTES)
		c->bytes += ((const ProtobufCBinaryData *)value)->len;
	else if (f->type == PROTOBUF_C_TYPE_MESSAGE)
		pd_compact_measure(c, p);
}

static bool has_payload(ProtobufCType t)
{
	return t == PROTOBUF_C_TYPE_STRING || t == PROTOBUF_C_TYPE_BYTES || t == PROTOBUF_C_TYPE_MESSAGE;
}

void pd_compact_measure(struct pd_compact *c, const ProtobufCMessage *m)
{
	if (!m)
		return;
	c->structs += round_up(m->descriptor->sizeof_message);
	for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
		const char *value = (const char *)m + f->offset;
		size_t n = 1, step = pd_field_size(f->type);

		if (!pb_field_is_set(m, f))
			continue;
		if (f->label == PROTOBUF_C_LABEL_REPEATED) {
			n = pd_field_count(m, f);
			value = *(const char *const *)value;
			c->structs += round_up(n * step);
		}
		for (size_t e = 0; has_payload(f->type) && e < n; e++)
			measure_value(c, f, value + e * step);
	}
}

void pd_compact_begin(struct pd_compact *c, void *block)
{
	c->at = block;
	c->text = c->at + c->structs;
}

static void *take(struct pd_compact *c, size_t n)
{
	void *p = c->at;

	c->at += round_up(n);
	return p;
}

static void *take_bytes(struct pd_compact *c, const void *from, size_t n)
{
	void *p = c->text;

	if (n)
		memcpy(p, from, n);
	c->text += n;
	return p;
}

static void copy_value(struct pd_compact *c, const ProtobufCFieldDescriptor *f, void *to, const void *from)
{
	const void *p = *(const void *const *)from;

	if (f->type == PROTOBUF_C_TYPE_BYTES) {
		const ProtobufCBinaryData *b = from;

		*(ProtobufCBinaryData *)to = (ProtobufCBinaryData){b->len, take_bytes(c, b->data, b->len)};
	} else if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
		*(void **)to = pd_compact_copy(c, p);
	} else if (p && p != f->default_value) {
		*(void **)to = take_bytes(c, p, strlen(p) + 1);
	} else {
		*(const void **)to = p;
	}
}

// Copies the payload of a field whose struct member was copied bit by bit.
static void copy_field(struct pd_compact *c, const ProtobufCFieldDescriptor *f, ProtobufCMessage *to,
		       const ProtobufCMessage *m)
{
	const char *from = (const char *)m + f->offset;
	char *at = (char *)to + f->offset;
	size_t n = 1, step = pd_field_size(f->type);

	if (f->label == PROTOBUF_C_LABEL_REPEATED) {
		char *list;

		n = pd_field_count(m, f);
		from = *(const char *const *)from;
		list = take(c, n * step);
		memcpy(list, from, n * step);
		*(char **)at = list;
		at = list;
	}
	for (size_t e = 0; has_payload(f->type) && e < n; e++)
		copy_value(c, f, at + e * step, from + e * step);
}

// An unset field may still point into the source: an empty list's array, an empty string of its own.
static void clear_field(const ProtobufCFieldDescriptor *f, ProtobufCMessage *to)
{
	void *at = (char *)to + f->offset;

	if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
		return; // the storage is another member's, or NULL or the default
	if (f->label == PROTOBUF_C_LABEL_REPEATED)
		*(void **)at = NULL;
	else if (f->type == PROTOBUF_C_TYPE_STRING)
		*(const void **)at = f->default_value;
	else if (f->type == PROTOBUF_C_TYPE_BYTES)
		*(ProtobufCBinaryData *)at = (ProtobufCBinaryData){0, NULL};
}

ProtobufCMessage *pd_compact_copy(struct pd_compact *c, const ProtobufCMessage *m)
{
	ProtobufCMessage *to;

	if (!m)
		return NULL;
	to = take(c, m->descriptor->sizeof_message);
	memcpy(to, m, m->descriptor->sizeof_message);
	to->n_unknown_fields = 0;
	to->unknown_fields = NULL;
	for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];

		if (pb_field_is_set(m, f))
			copy_field(c, f, to, m);
		else
			clear_field(f, to);
	}
	return to;
}
