// Making and packing messages; Any; wrappers.
#include "api/pb.h"

#include <stdio.h>
#include <string.h>

#include "api/pb_internal.h"
#include "base/str.h"

void *pb_new(struct pd_arena *a, const ProtobufCMessageDescriptor *d)
{
	ProtobufCMessage *m = pd_arena_alloc(a, d->sizeof_message);
	d->message_init(m);
	return m;
}

size_t pb_packed_size(const void *msg)
{
	return protobuf_c_message_get_packed_size(msg);
}

size_t pb_pack(const void *msg, uint8_t *out)
{
	return protobuf_c_message_pack(msg, out);
}

ProtobufCBinaryData pb_pack_arena(struct pd_arena *a, const void *msg)
{
	ProtobufCBinaryData bytes = {.len = pb_packed_size(msg)};

	bytes.data = (uint8_t *)pd_arena_bytes(a, bytes.len);
	PD_ASSERT(pb_pack(msg, bytes.data) == bytes.len);
	return bytes;
}

struct pd_blob *pb_pack_blob(const void *msg)
{
	struct pd_blob *b = pd_blob_alloc(pb_packed_size(msg));

	PD_ASSERT(pb_pack(msg, b->data) == b->len);
	return pd_blob_seal(b);
}

Google__Protobuf__Any *pb_any(struct pd_arena *a, const void *msg)
{
	Google__Protobuf__Any *any = pb_new(a, &google__protobuf__any__descriptor);

	any->type_url = (char *)(uintptr_t)pb_info(((const ProtobufCMessage *)msg)->descriptor)->type_url;
	any->value = pb_pack_arena(a, msg);
	return any;
}

Google__Protobuf__Any *pb_any_bytes(struct pd_arena *a, const char *type_name, const void *bytes, size_t len)
{
	Google__Protobuf__Any *any = pb_new(a, &google__protobuf__any__descriptor);

	any->type_url = pd_arena_printf(a, PB_TYPE_PREFIX "%s", type_name);
	any->value.len = len;
	any->value.data = (uint8_t *)pd_arena_bytes(a, len);
	if (len)
		memcpy(any->value.data, bytes, len);
	return any;
}

const char *pb_any_type(const Google__Protobuf__Any *any)
{
	const char *slash = any && any->type_url ? strrchr(any->type_url, '/') : NULL;
	return slash ? slash + 1 : "";
}

bool pb_any_is(const Google__Protobuf__Any *any, const ProtobufCMessageDescriptor *d)
{
	return !strcmp(pb_any_type(any), d->name);
}

int pb_any_unpack(struct pd_arena *a, const Google__Protobuf__Any *any, void **out, struct pb_error *err)
{
	const ProtobufCMessageDescriptor *d = pb_find(any->type_url);

	*out = NULL;
	if (!d) {
		if (err)
			snprintf(err->text, sizeof(err->text), "unknown type %s", pd_or(any->type_url, "\"\""));
		return PD_E_NOTFOUND;
	}
	return pb_unpack(a, d, any->value.data, any->value.len, out, err);
}

Google__Protobuf__UInt32Value *pb_u32(struct pd_arena *a, uint32_t v)
{
	Google__Protobuf__UInt32Value *w = pb_new(a, &google__protobuf__uint32_value__descriptor);
	w->value = v;
	return w;
}

Google__Protobuf__UInt64Value *pb_u64(struct pd_arena *a, uint64_t v)
{
	Google__Protobuf__UInt64Value *w = pb_new(a, &google__protobuf__uint64_value__descriptor);
	w->value = v;
	return w;
}

Google__Protobuf__Int32Value *pb_i32(struct pd_arena *a, int32_t v)
{
	Google__Protobuf__Int32Value *w = pb_new(a, &google__protobuf__int32_value__descriptor);
	w->value = v;
	return w;
}

Google__Protobuf__Int64Value *pb_i64(struct pd_arena *a, int64_t v)
{
	Google__Protobuf__Int64Value *w = pb_new(a, &google__protobuf__int64_value__descriptor);
	w->value = v;
	return w;
}

Google__Protobuf__BoolValue *pb_bool(struct pd_arena *a, bool v)
{
	Google__Protobuf__BoolValue *w = pb_new(a, &google__protobuf__bool_value__descriptor);
	w->value = v;
	return w;
}

Google__Protobuf__DoubleValue *pb_double(struct pd_arena *a, double v)
{
	Google__Protobuf__DoubleValue *w = pb_new(a, &google__protobuf__double_value__descriptor);
	w->value = v;
	return w;
}

Google__Protobuf__StringValue *pb_string(struct pd_arena *a, const char *v)
{
	Google__Protobuf__StringValue *w = pb_new(a, &google__protobuf__string_value__descriptor);
	w->value = pd_arena_strdup(a, pd_or(v, ""));
	return w;
}

Google__Protobuf__Duration *pb_duration(struct pd_arena *a, int64_t seconds, int32_t nanos)
{
	Google__Protobuf__Duration *d = pb_new(a, &google__protobuf__duration__descriptor);
	d->seconds = seconds;
	d->nanos = nanos;
	return d;
}

Google__Protobuf__Duration *pb_duration_ms(struct pd_arena *a, int64_t ms)
{
	return pb_duration(a, ms / 1000, (int32_t)(ms % 1000) * 1000000);
}

int64_t pb_duration_ns(const Google__Protobuf__Duration *d)
{
	if (!d)
		return 0;
	__int128 ns = (__int128)d->seconds * 1000000000 + d->nanos;
	return ns > INT64_MAX ? INT64_MAX : ns < INT64_MIN ? INT64_MIN : (int64_t)ns;
}

Google__Protobuf__Timestamp *pb_timestamp(struct pd_arena *a, int64_t seconds, int32_t nanos)
{
	Google__Protobuf__Timestamp *t = pb_new(a, &google__protobuf__timestamp__descriptor);
	t->seconds = seconds;
	t->nanos = nanos;
	return t;
}
