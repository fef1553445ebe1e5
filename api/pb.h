// protobuf-c, made pleasant: messages in arenas, packing, wrappers, Any, Struct, copy, equality, merge, a type registry.
//
// Every message that these functions make lives in an arena and is freed with it: never call a generated …__free_unpacked
// on it. Functions that take or return `void *` messages accept any generated message struct (its first member is a
// ProtobufCMessage with its descriptor set, i.e. it was initialised).
//
// Three habits of protobuf-c to know when filling structs by hand:
// - a proto3 string is never NULL after pb_new (it points to ""); setting NULL means "" too;
// - a oneof needs its `…_case` set beside the member; a string member set to a *literal of the default* is taken as absent,
//   so use a copy in the arena for an empty string (pd_arena_strdup(a, ""));
// - a proto2 scalar needs its `has_…` flag.
//
// Maps are arrays of entry messages here. They must be sorted by key to give the same bytes every time: what this module
// builds (pb_struct_set, codec, merge, copy of such) is sorted; after pushing entries in another order call pb_canonicalise.
//
// Thread-safety: all functions are reentrant; the registry and the per-type tables are built on first use by any thread.
#ifndef API_PB_H
#define API_PB_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/err.h"
#include "base/mem.h"
#include "google/protobuf/any.pb-c.h"
#include "google/protobuf/duration.pb-c.h"
#include "google/protobuf/struct.pb-c.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "google/protobuf/wrappers.pb-c.h"

#define PB_MAX_DEPTH 100           // nested messages in bytes given to pb_unpack
#define PB_MAX_NESTING 400         // nested messages that copy, merge, equality and encode can take
#define PB_MAX_BYTES (64u << 20)   // length of bytes given to pb_unpack
#define PB_MAX_MEMORY (256u << 20) // memory that one pb_unpack may take: a 2-byte empty message can cost 500 bytes

#define PB_TYPE_PREFIX "type.googleapis.com/"

// ---- making -------------------------------------------------------------------------------------------------------

// A new message with all fields at their defaults. Never NULL.
void *pb_new(struct pd_arena *a, const ProtobufCMessageDescriptor *d);
// PB_NEW(arena, Envoy__Config__Cluster__V3__Cluster, envoy__config__cluster__v3__cluster): prefix as in …__descriptor.
#define PB_NEW(arena, Type, prefix) ((Type *)pb_new((arena), &prefix##__descriptor))

// Appends a value to the repeated field `field` of `msg`. The array lives in the arena and grows by doubling, its capacity
// being the next power of two of n_field: so use it only on arrays that PB_PUSH, pb_unpack, pb_copy, pb_merge or the codec
// made (or that are empty), never on one of exact size that you allocated yourself.
#define PB_PUSH(arena, msg, field, value)                                                                              \
	do {                                                                                                           \
		__typeof__(msg) push_ = (msg);                                                                         \
		push_->field = pb_grow((arena), push_->field, push_->n_##field, sizeof(*push_->field));                \
		push_->field[push_->n_##field++] = (value);                                                            \
	} while (0)

// Returns an array with room for element number n (counted from 0): `array` itself or a copy of twice the size.
void *pb_grow(struct pd_arena *a, void *array, size_t n, size_t element_size);
// Capacity that PB_PUSH assumes for an array of n elements.
size_t pb_capacity(size_t n);

// ---- wire format --------------------------------------------------------------------------------------------------

struct pb_error {
	char text[160]; // "envoy.config.core.v3.Node.id: string is not UTF-8"
};

// Decodes bytes into a message in the arena. For bytes of any origin: unlike protobuf-c's own unpack it checks depth,
// memory, UTF-8 and NUL in strings, in one pass and with bounded stack. Fields unknown to the descriptor are kept and
// packed again. `err` may be NULL.
// Returns PD_OK; PD_E_PARSE: not a message of this type; PD_E_LIMIT: PB_MAX_DEPTH, PB_MAX_BYTES or PB_MAX_MEMORY.
// *out is NULL on failure (the arena keeps what was allocated).
int pb_unpack(struct pd_arena *a, const ProtobufCMessageDescriptor *d, const void *bytes, size_t len, void **out,
	      struct pb_error *err) PD_MUST_CHECK;
enum pb_unpack_flags {
	PB_UNPACK_SKIP_UNKNOWN = 1, // fields unknown to the descriptor are skipped instead of kept
	PB_UNPACK_SKIP_EMPTY = 2,   // a singular string that is empty counts as absent, except in a map entry
};
// The same with flags, for readers who want only what they know.
int pb_unpack_with(struct pd_arena *a, const ProtobufCMessageDescriptor *d, const void *bytes, size_t len,
		   unsigned flags, void **out, struct pb_error *err) PD_MUST_CHECK;

// One field as it stands on the wire, for code that walks over bytes without a descriptor.
#define PB_WIRE_VARINT_MAX 10 // bytes
enum pb_wire_type { PB_WIRE_VARINT = 0, PB_WIRE_64 = 1, PB_WIRE_BYTES = 2, PB_WIRE_32 = 5 };
struct pb_wire {
	uint32_t id;
	enum pb_wire_type wire;
	uint64_t number;     // of VARINT, 64, 32
	const uint8_t *data; // of BYTES; borrowed from the bytes read
	size_t len;          // of BYTES
};
// Reads the field at p. The position behind it, or NULL if the bytes are broken or end before it does (groups are refused).
const uint8_t *pb_wire_field(const uint8_t *p, const uint8_t *end, struct pb_wire *out);
// Reads a varint. The position behind it, or NULL likewise: cut if fewer than PB_WIRE_VARINT_MAX bytes were there, else broken.
const uint8_t *pb_wire_varint(const uint8_t *p, const uint8_t *end, uint64_t *out);

size_t pb_packed_size(const void *msg);
// Packs into `out`, which must hold pb_packed_size(msg) bytes. Returns the number written.
size_t pb_pack(const void *msg, uint8_t *out);
// Packed into the arena.
ProtobufCBinaryData pb_pack_arena(struct pd_arena *a, const void *msg);
// Packed into a new sealed blob with one reference; the caller unrefs it.
struct pd_blob *pb_pack_blob(const void *msg);

// ---- Any ----------------------------------------------------------------------------------------------------------

// An Any holding msg packed. The type_url is a constant of the process.
Google__Protobuf__Any *pb_any(struct pd_arena *a, const void *msg);
// The same from bytes already packed (copied). type_name without prefix: "envoy.config.cluster.v3.Cluster".
Google__Protobuf__Any *pb_any_bytes(struct pd_arena *a, const char *type_name, const void *bytes, size_t len);
// The name behind the last '/' of a type_url ("" for NULL or none). Borrowed from type_url.
const char *pb_any_type(const Google__Protobuf__Any *any);
bool pb_any_is(const Google__Protobuf__Any *any, const ProtobufCMessageDescriptor *d);
// Unpacks by the registry. PD_E_NOTFOUND: type unknown; else as pb_unpack.
int pb_any_unpack(struct pd_arena *a, const Google__Protobuf__Any *any, void **out, struct pb_error *err) PD_MUST_CHECK;

// ---- well-known types ---------------------------------------------------------------------------------------------

Google__Protobuf__UInt32Value *pb_u32(struct pd_arena *a, uint32_t v);
Google__Protobuf__UInt64Value *pb_u64(struct pd_arena *a, uint64_t v);
Google__Protobuf__Int32Value *pb_i32(struct pd_arena *a, int32_t v);
Google__Protobuf__Int64Value *pb_i64(struct pd_arena *a, int64_t v);
Google__Protobuf__BoolValue *pb_bool(struct pd_arena *a, bool v);
Google__Protobuf__DoubleValue *pb_double(struct pd_arena *a, double v);
Google__Protobuf__StringValue *pb_string(struct pd_arena *a, const char *v); // copies
Google__Protobuf__Duration *pb_duration(struct pd_arena *a, int64_t seconds, int32_t nanos);
Google__Protobuf__Duration *pb_duration_ms(struct pd_arena *a, int64_t ms);
Google__Protobuf__Timestamp *pb_timestamp(struct pd_arena *a, int64_t seconds, int32_t nanos);
// Nanoseconds, clamped to int64_t; 0 for NULL.
int64_t pb_duration_ns(const Google__Protobuf__Duration *d);

// Struct, Value, ListValue. Keys stay sorted by byte value, a key set again is replaced, keys and strings are copied.
// Values and lists given are taken as they are (same arena or longer-lived).
Google__Protobuf__Struct *pb_struct_new(struct pd_arena *a);
void pb_struct_set(struct pd_arena *a, Google__Protobuf__Struct *s, const char *key, Google__Protobuf__Value *v);
void pb_struct_set_string(struct pd_arena *a, Google__Protobuf__Struct *s, const char *key, const char *v);
void pb_struct_set_bool(struct pd_arena *a, Google__Protobuf__Struct *s, const char *key, bool v);
void pb_struct_set_number(struct pd_arena *a, Google__Protobuf__Struct *s, const char *key, double v);
void pb_struct_set_struct(struct pd_arena *a, Google__Protobuf__Struct *s, const char *key,
			  Google__Protobuf__Struct *v);
void pb_struct_set_list(struct pd_arena *a, Google__Protobuf__Struct *s, const char *key,
			Google__Protobuf__ListValue *v);
// Borrowed value or NULL (also for s == NULL). Works on unsorted Structs too: linear.
Google__Protobuf__Value *pb_struct_get(const Google__Protobuf__Struct *s, const char *key);
// The string member, or NULL if absent or no string.
const char *pb_struct_get_string(const Google__Protobuf__Struct *s, const char *key);
Google__Protobuf__Struct *pb_struct_get_struct(const Google__Protobuf__Struct *s, const char *key);

Google__Protobuf__Value *pb_value_null(struct pd_arena *a);
Google__Protobuf__Value *pb_value_string(struct pd_arena *a, const char *v);
Google__Protobuf__Value *pb_value_bool(struct pd_arena *a, bool v);
Google__Protobuf__Value *pb_value_number(struct pd_arena *a, double v);
Google__Protobuf__Value *pb_value_struct(struct pd_arena *a, Google__Protobuf__Struct *v);
Google__Protobuf__Value *pb_value_list(struct pd_arena *a, Google__Protobuf__ListValue *v);
Google__Protobuf__ListValue *pb_list_new(struct pd_arena *a);
void pb_list_add(struct pd_arena *a, Google__Protobuf__ListValue *l, Google__Protobuf__Value *v);

// ---- whole messages -----------------------------------------------------------------------------------------------
// Messages deeper than PB_MAX_NESTING are a bug of ours here (both ways in, pb_unpack and the codec, stop at 100): asserted.

// Deep copy; shares nothing with the source but constant defaults.
void *pb_copy(struct pd_arena *a, const void *msg);
// Same type and content: what would pack to the same bytes, but maps compare regardless of order. Any compares by bytes.
// Doubles compare by bits, except that all NaN are equal and -0 equals 0. NULL equals only NULL.
bool pb_equal(const void *x, const void *y);
// Sorts the entries of all maps by key, in depth, and drops all but the last of equal keys (as a map would).
// Does not look into Any.
void pb_canonicalise(void *msg);

enum pb_merge_flags {
	PB_MERGE_REPLACE_LISTS = 1, // a repeated field set in src replaces that of dst instead of being appended
	PB_MERGE_ANY = 2,           // an Any of a known type is merged in depth when both sides have the same type
};
// Merges src into dst (same type), as EnvoyFilter's MERGE needs it: fields set in src replace scalars, merge into messages,
// append to lists; map entries are set by key, whole; google.protobuf.Duration is replaced whole, as is an Any of another
// type. A oneof of src replaces the member of dst unless both hold the same message member. An unset or zero proto3 scalar
// in src changes nothing. What is taken from src is copied into the arena. Any bytes that do not unpack are replaced whole.
void pb_merge(struct pd_arena *a, void *dst, const void *src, unsigned flags);

// ---- registry -----------------------------------------------------------------------------------------------------

// The descriptor of a message by full name ("envoy.config.cluster.v3.Cluster") or type URL; NULL if there is none. All
// messages of the Envoy API and of api/proto are known.
const ProtobufCMessageDescriptor *pb_find(const char *name);
// All of them sorted by name, map entry types included; *n set to their number.
const ProtobufCMessageDescriptor *const *pb_types(size_t *n);

// ---- fields by descriptor, for generic code -------------------------------------------------------------------------

// True if `f` is a map field of the message type `d`.
bool pb_field_is_map(const ProtobufCMessageDescriptor *d, const ProtobufCFieldDescriptor *f);
// True if the field would be packed: set oneof member, has_ flag, non-NULL message, non-zero proto3 scalar, non-empty list.
bool pb_field_is_set(const void *msg, const ProtobufCFieldDescriptor *f);
// The field by its JSON (lowerCamel) or proto name, n bytes long; NULL if unknown.
const ProtobufCFieldDescriptor *pb_field_by_name(const ProtobufCMessageDescriptor *d, const char *name, size_t n);
// lowerCamel name of a field of `d`; a constant of the process.
const char *pb_field_json_name(const ProtobufCMessageDescriptor *d, const ProtobufCFieldDescriptor *f);

#endif
