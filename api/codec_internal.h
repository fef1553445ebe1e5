// What the parts of the codec share.
#ifndef API_CODEC_INTERNAL_H
#define API_CODEC_INTERNAL_H

#include "api/codec.h"
#include "api/pb_internal.h"

// One step of a path. Frames live on the stack of the recursion and are turned into text only for an error.
enum pd_step { PD_STEP_ROOT, PD_STEP_MEMBER, PD_STEP_KEY, PD_STEP_INDEX };
struct pd_frame {
	const struct pd_frame *up;
	enum pd_step step;
	uint32_t len;     // of name
	const char *name; // ROOT (prefix), MEMBER, KEY
	size_t index;     // INDEX
};
static inline struct pd_frame pd_frame_of(const struct pd_frame *up, enum pd_step step, const struct pd_json *member)
{
	return (struct pd_frame){.up = up, .step = step, .name = member->key, .len = member->key_len};
}

struct pd_decoder {
	struct pd_codec *c;
	unsigned depth; // messages around the current value
};

enum pd_outcome {
	PD_GOT,     // the value is in its slot
	PD_SKIPPED, // lenient: left out and counted
	PD_FAILED,  // left out and reported
};

// Reports an error. Returns PD_FAILED.
enum pd_outcome pd_codec_fail(struct pd_codec *c, const struct pd_frame *at, uint32_t line, const char *fmt, ...)
	PD_PRINTF(4, 5);
// "expected WHAT, got string \"abc\"".
enum pd_outcome pd_codec_expected(struct pd_codec *c, const struct pd_frame *at, const struct pd_json *got,
				  const char *what);
// Strict: an error with a suggestion out of the names of `info` (NULL = none). Lenient: counted.
enum pd_outcome pd_codec_unknown_field(struct pd_codec *c, const struct pd_frame *at, const struct pd_json *member,
				       const struct pb_info *info);
// The candidate nearest to `name` in spelling, if near enough to be meant.
struct pd_suggestion {
	const char *name, *best;
	size_t distance;
};
void pd_codec_suggest(struct pd_suggestion *s, const char *candidate);

// One value of a type that is no message into its slot.
enum pd_outcome pd_codec_scalar(struct pd_codec *c, const struct pd_frame *at, const struct pd_json *j,
				const ProtobufCFieldDescriptor *f, void *slot);
// A map key into its slot.
enum pd_outcome pd_codec_map_key(struct pd_codec *c, const struct pd_frame *at, const struct pd_json *member,
				 const ProtobufCFieldDescriptor *f, void *slot);
// A string of JSON that must be UTF-8 without NUL, copied into the arena.
enum pd_outcome pd_codec_text(struct pd_codec *c, const struct pd_frame *at, uint32_t line, const char *s, size_t n,
			      char **out);

// Counts one message more around the current value (the caller counts it off again); false, and an error, at the limit.
bool pd_codec_enter(struct pd_decoder *dec, const struct pd_frame *at, const struct pd_json *j);
// A message into `m`, which is new. Counts one level of depth.
enum pd_outcome pd_codec_message(struct pd_decoder *dec, const struct pd_frame *at, const struct pd_json *j,
				 ProtobufCMessage *m);
// The members of an object into `m`; `any`: skip "@type".
enum pd_outcome pd_codec_members(struct pd_decoder *dec, const struct pd_frame *at, const struct pd_json *j,
				 ProtobufCMessage *m, bool any);
enum pd_outcome pd_codec_map(struct pd_decoder *dec, const struct pd_frame *at, const struct pd_json *j,
			     ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, enum pd_step step);
enum pd_outcome pd_codec_list(struct pd_decoder *dec, const struct pd_frame *at, const struct pd_json *j,
			      ProtobufCMessage *m, const ProtobufCFieldDescriptor *f);
// A message type with a JSON form of its own.
enum pd_outcome pd_codec_special(struct pd_decoder *dec, const struct pd_frame *at, const struct pd_json *j,
				 const struct pb_info *info, ProtobufCMessage *m);

// Text forms of time. The parsers return false if the text is malformed or out of the range that protobuf allows.
// Durations: "1.5s" and Go's "1h2m3.4s", "250ms", "-1µs", "0".
bool pd_parse_duration(const char *s, int64_t *seconds, int32_t *nanos);
bool pd_parse_timestamp(const char *s, int64_t *seconds, int32_t *nanos);
// "1.500s", with 0, 3, 6 or 9 digits.
void pd_print_duration(struct pd_buf *out, int64_t seconds, int32_t nanos);
// Go's form, from nanoseconds: "1h2m3.5s".
void pd_print_go_duration(struct pd_buf *out, int64_t ns);
// RFC 3339 in UTC; at least min_digits (0, 6) digits of a second.
void pd_print_timestamp(struct pd_buf *out, int64_t seconds, int32_t nanos, int min_digits);

// Appends the members of an Any, a Duration …: all of PB_* but PB_PLAIN.
struct pd_encoder {
	struct pd_buf *out;
	unsigned flags;
	unsigned depth; // messages around the current value
	int indent;     // levels, for PD_ENCODE_INDENT
	bool too_deep;
	struct pd_arena arena; // contents of Any
};
void pd_encode_message(struct pd_encoder *e, const ProtobufCMessage *m);
void pd_encode_special(struct pd_encoder *e, const struct pb_info *info, const ProtobufCMessage *m);
// `{ … }` and `[ … ]`: open, then next before each element, then close.
void pd_encode_open(struct pd_encoder *e, char bracket);
void pd_encode_next(struct pd_encoder *e, bool *first);
void pd_encode_key(struct pd_encoder *e, bool *first, const char *key);
void pd_encode_close(struct pd_encoder *e, bool empty, char bracket);
// The fields of m as members of the object that is open.
void pd_encode_fields(struct pd_encoder *e, const ProtobufCMessage *m, bool *first);
// A map as an object, a list as an array; empty ones too.
void pd_encode_map(struct pd_encoder *e, const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f);
void pd_encode_list(struct pd_encoder *e, const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f);
// One value in its slot.
void pd_encode_value(struct pd_encoder *e, const ProtobufCFieldDescriptor *f, const void *slot, bool kube);
void pd_encode_text(struct pd_encoder *e, const char *s);

#endif
