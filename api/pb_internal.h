// What the parts of the protobuf helpers and the codec share: a table per message type, made once on first use.
#ifndef API_PB_INTERNAL_H
#define API_PB_INTERNAL_H

#include "api/pb.h"

#define PB_MAX_TYPES 16384 // message types that one process can use; the Envoy API has about 1,500
#define PB_MAX_FIELDS 512  // fields of one message type; the largest of the Envoy API has 80

// Message types with a JSON form of their own.
enum pb_special {
	PB_PLAIN,
	PB_ANY,
	PB_DURATION,
	PB_TIMESTAMP,
	PB_FIELD_MASK,
	PB_STRUCT,
	PB_VALUE,
	PB_LIST_VALUE,
	PB_WRAPPER,
	PB_KUBE_TIME,
	PB_KUBE_MICRO_TIME,
	PB_KUBE_DURATION,
	PB_KUBE_INT_OR_STRING,
	PB_KUBE_QUANTITY,
	PB_KUBE_RAW,
};

enum pb_shape { PB_SINGULAR, PB_LIST, PB_MAP, PB_INLINE };

struct pb_field {
	const ProtobufCFieldDescriptor *f;
	const char *json_name;
	uint32_t json_len;
	enum pb_shape shape;
};

struct pb_name {
	const char *s;
	uint32_t len;
	uint32_t field; // index into fields
};

// Immutable and never freed once published.
struct pb_info {
	const ProtobufCMessageDescriptor *d;
	enum pb_special special;
	bool kube;        // of package k8s
	bool kube_object; // has metadata of type k8s.ObjectMeta
	bool has_inline;
	const char *type_url;
	struct pb_field *fields; // as many and in the same order as d->fields
	struct pb_name *names;   // JSON and proto names, sorted by length, then bytes
	uint32_t n_names;
};

const struct pb_info *pb_info(const ProtobufCMessageDescriptor *d);
// The field of that JSON or proto name, or NULL.
const struct pb_field *pb_info_find(const struct pb_info *info, const char *name, size_t n);

// The generated table (build folder): sorted by full name.
extern const ProtobufCMessageDescriptor *const pb_registry_table[];
extern const size_t pb_registry_count;

// Bytes of one value of that type in a message struct.
size_t pb_type_size(ProtobufCType type);
static inline void *pb_slot(const void *msg, unsigned offset)
{
	return (char *)(uintptr_t)msg + offset;
}
static inline void *pb_member(const void *msg, const ProtobufCFieldDescriptor *f)
{
	return pb_slot(msg, f->offset);
}
static inline size_t *pb_count(const void *msg, const ProtobufCFieldDescriptor *f)
{
	return pb_slot(msg, f->quantifier_offset);
}
static inline bool pb_in_oneof(const ProtobufCFieldDescriptor *f)
{
	return f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF;
}
// Marks a singular field as present: has_ flag or oneof case. For a oneof whose member changes, the union is cleared.
void pb_mark_set(void *msg, const ProtobufCFieldDescriptor *f);
// Makes room for one more element of a repeated field and returns its slot; the count is raised.
void *pb_append(struct pd_arena *a, void *msg, const ProtobufCFieldDescriptor *f);

// Copies one value of the type of f from slot to slot.
void pb_copy_value(struct pd_arena *a, const ProtobufCFieldDescriptor *f, void *dst, const void *src);
// Appends the unknown fields of src to those of dst.
void pb_copy_unknown(struct pd_arena *a, ProtobufCMessage *dst, const ProtobufCMessage *src);

// Orders map entries (messages with key in fields[0]) by key.
int pb_entry_cmp(const ProtobufCMessage *x, const ProtobufCMessage *y);
// Sorts entries by key, drops all but the last of equal keys, returns the new number.
size_t pb_sort_entries(ProtobufCMessage **entries, size_t n);

#endif
