#include "config/semhash.h"

#include <stdbool.h>
#include <string.h>

#include "api/pb.h"
#include "base/hash.h"
#include "config/field.h"

static uint64_t hash_value(const ProtobufCFieldDescriptor *f, const void *value, uint64_t h)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_STRING: {
		const char *s = *(const char *const *)value;

		return pd_hash_seed(s ? s : "", s ? strlen(s) : 0, h);
	}
	case PROTOBUF_C_TYPE_BYTES: {
		const ProtobufCBinaryData *b = value;

		return pd_hash_seed(b->data, b->len, h);
	}
	case PROTOBUF_C_TYPE_MESSAGE:
		return pd_hash_mix(h, pd_message_hash(*(const ProtobufCMessage *const *)value));
	default: {
		uint64_t v = 0;

		memcpy(&v, value, pd_field_size(f->type));
		return pd_hash_mix(h, v);
	}
	}
}

static uint64_t hash_list(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, uint64_t h)
{
	size_t n = pd_field_count(m, f), step = pd_field_size(f->type);
	const char *v = *(const char *const *)((const char *)m + f->offset);
	bool map = f->type == PROTOBUF_C_TYPE_MESSAGE && pb_field_is_map(m->descriptor, f);
	uint64_t sum = 0;

	h = pd_hash_mix(h, n);
	for (size_t i = 0; i < n; i++) {
		if (map)
			sum += hash_value(f, v + i * step, 0);
		else
			h = hash_value(f, v + i * step, h);
	}
	return map ? pd_hash_mix(h, sum) : h;
}

uint64_t pd_message_hash_without(const ProtobufCMessage *m, uint32_t field)
{
	const ProtobufCMessageDescriptor *d = m->descriptor;
	uint64_t h = d->n_fields;

	for (unsigned i = 0; i < d->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &d->fields[i];

		if (f->id == field || !pb_field_is_set(m, f))
			continue;
		h = pd_hash_mix(h, f->id);
		if (f->label == PROTOBUF_C_LABEL_REPEATED)
			h = hash_list(m, f, h);
		else
			h = hash_value(f, (const char *)m + f->offset, h);
	}
	return h;
}

uint64_t pd_message_hash(const ProtobufCMessage *m)
{
	return pd_message_hash_without(m, 0);
}
