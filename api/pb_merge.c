// Merge as EnvoyFilter defines it: proto merge with three exceptions, see pb_merge in pb.h.
#include <string.h>

#include "api/pb_internal.h"
#include "base/str.h"

static void merge(struct pd_arena *a, ProtobufCMessage *dst, const ProtobufCMessage *src, unsigned flags,
		  unsigned depth);

static void merge_list(struct pd_arena *a, ProtobufCMessage *dst, const ProtobufCMessage *src,
		       const ProtobufCFieldDescriptor *f, unsigned flags)
{
	size_t n = *pb_count(src, f), size = pb_type_size(f->type);
	const char *from = *(char *const *)pb_member(src, f);

	if (n && (flags & PB_MERGE_REPLACE_LISTS))
		*pb_count(dst, f) = 0;
	for (size_t i = 0; i < n; i++)
		pb_copy_value(a, f, pb_append(a, dst, f), from + i * size);
}

// Appending and sorting sets by key: of equal keys the last stays.
static void merge_map(struct pd_arena *a, ProtobufCMessage *dst, const ProtobufCMessage *src,
		      const ProtobufCFieldDescriptor *f)
{
	if (!*pb_count(src, f))
		return;
	merge_list(a, dst, src, f, 0);
	*pb_count(dst, f) = pb_sort_entries(*(ProtobufCMessage ***)pb_member(dst, f), *pb_count(dst, f));
}

// True if both are Any of one known type and the contents could be merged.
static bool merge_any(struct pd_arena *a, Google__Protobuf__Any *dst, const Google__Protobuf__Any *src, unsigned flags,
		      unsigned depth)
{
	void *x, *y;
	struct pb_error err;

	if (strcmp(pb_any_type(dst), pb_any_type(src)) || pb_any_unpack(a, dst, &x, &err) ||
	    pb_any_unpack(a, src, &y, &err))
		return false;
	merge(a, x, y, flags, depth);
	dst->value = pb_pack_arena(a, x);
	return true;
}

static void merge_message(struct pd_arena *a, ProtobufCMessage *dst, const ProtobufCMessage *src,
			  const ProtobufCFieldDescriptor *f, unsigned flags, unsigned depth)
{
	ProtobufCMessage **to = pb_member(dst, f), *from = *(ProtobufCMessage **)pb_member(src, f);
	bool was_set = pb_field_is_set(dst, f);
	enum pb_special special = pb_info(from->descriptor)->special;

	pb_mark_set(dst, f);
	if (!was_set || special == PB_DURATION)
		*to = pb_copy(a, from);
	else if (special != PB_ANY)
		merge(a, *to, from, flags, depth + 1);
	else if (!(flags & PB_MERGE_ANY) ||
		 !merge_any(a, (Google__Protobuf__Any *)*to, (const Google__Protobuf__Any *)from, flags, depth + 1))
		*to = pb_copy(a, from);
}

static void merge(struct pd_arena *a, ProtobufCMessage *dst, const ProtobufCMessage *src, unsigned flags,
		  unsigned depth)
{
	const struct pb_info *info = pb_info(src->descriptor);

	PD_ASSERT(depth <= PB_MAX_NESTING && dst->descriptor == src->descriptor);
	for (unsigned i = 0; i < info->d->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = info->fields[i].f;
		if (info->fields[i].shape == PB_MAP) {
			merge_map(a, dst, src, f);
		} else if (info->fields[i].shape == PB_LIST) {
			merge_list(a, dst, src, f, flags);
		} else if (pb_field_is_set(src, f)) {
			if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
				merge_message(a, dst, src, f, flags, depth);
				continue;
			}
			pb_mark_set(dst, f);
			pb_copy_value(a, f, pb_member(dst, f), pb_member(src, f));
		}
	}
	pb_copy_unknown(a, dst, src);
}

void pb_merge(struct pd_arena *a, void *dst, const void *src, unsigned flags)
{
	const ProtobufCMessageDescriptor *d = ((const ProtobufCMessage *)dst)->descriptor;

	// A Duration or an Any given directly follows the same rules as one inside a message.
	if (pb_info(d)->special == PB_DURATION)
		memcpy(dst, pb_copy(a, src), d->sizeof_message);
	else if (pb_info(d)->special != PB_ANY)
		merge(a, dst, src, flags, 1);
	else if (!(flags & PB_MERGE_ANY) || !merge_any(a, dst, src, flags, 1))
		memcpy(dst, pb_copy(a, src), d->sizeof_message);
}
