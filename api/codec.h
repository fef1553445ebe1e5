// JSON ⇄ protobuf-c messages by descriptor, after the proto3 JSON mapping, with the forms that Kubernetes and istiod add.
//
// Accepted, beyond the plain mapping of each type:
// - field names in lowerCamel or as in the .proto; null = absent (a google.protobuf.Value takes it as a value);
// - integers as numbers (1, 1.0, 1e3) or strings, range-checked exactly; enums by name or number;
// - doubles also as strings ("1.5", "NaN", "Infinity", "-Infinity");
// - bytes in standard or URL-safe base64, padded or not;
// - google.protobuf: Duration as "1.5s" and as istiod takes it (Go: "1h30m", "250ms"), Timestamp as RFC 3339, FieldMask,
//   wrappers, Struct, Value, ListValue, NullValue, Any with "@type" (well-known types inside under "value");
// - Any of a type that the registry lacks: {"@type": …, "value": base64} keeps the bytes; otherwise strict = error naming the
//   type, lenient = the Any is left out and counted as unknown;
// - Kubernetes: Time and MicroTime as RFC 3339, IntOrString as number or string, Quantity as string or number, RawExtension
//   as any JSON (kept as text), members of a field named inline_X (they lie beside it), and in an object with metadata the
//   members apiVersion and kind (skipped, as is metadata.managedFields: they are not errors, nor counted).
// - Map keys are sorted. Oneof: two members set is an error.
// Strings must be UTF-8 without NUL, in both policies.
//
// An error is a value: path, reason and line. "spec.http[0].route[1].weight: expected int32, got string \"abc\"".
// Path of a map entry: metadata.labels["app"]; of a member inside an Any: its path through the Any.
#ifndef API_CODEC_H
#define API_CODEC_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/json.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "google/protobuf/struct.pb-c.h"

#define PD_CODEC_MAX_DEPTH                                                                                             \
	100 // decode: nested messages as in the wire format (a level of a Struct counts three), Any included
#define PD_CODEC_MAX_ERRORS 32 // collected per decode; more are counted in errors_dropped
#define PD_CODEC_MAX_PATH 512  // bytes of a path in an error; longer ones are cut at the front ("…")

enum pd_codec_policy {
	PD_CODEC_STRICT,  // unknown fields, unknown enum names and duplicates are errors
	PD_CODEC_LENIENT, // unknown fields and enum names are skipped and counted; of duplicates the last counts
};

struct pd_codec_error {
	const char *path;   // "spec.http[0].route[1].weight"; "" for the root
	const char *reason; // "expected int32, got string \"abc\""
	uint32_t line;      // of the offending value in its source; 0 = unknown
};

// One decode run. Fill the inputs, zero the rest. May be used for several decodes: errors add up.
struct pd_codec {
	struct pd_arena *arena;        // in: messages, and the texts of errors, are allocated here
	enum pd_codec_policy policy;   // in
	const char *path;              // in: prefix of all paths, e.g. "spec"; NULL = none. Borrowed during the call
	struct pd_codec_error *errors; // out, in the arena
	uint32_t n_errors;             // out, at most PD_CODEC_MAX_ERRORS
	uint32_t errors_dropped;       // out: further errors beyond the limit
	uint32_t unknown;              // out, lenient: fields, enum names and Any values that were skipped
};

// Decodes a tree into a message of type `d`. Nothing of the tree is referenced afterwards.
// Returns PD_OK, or PD_E_INVALID after one or more errors. *out is set in both cases, on error to the message without the
// fields that failed; it is NULL only if `json` itself has the wrong shape.
int pd_codec_decode(struct pd_codec *c, const struct pd_json *json, const ProtobufCMessageDescriptor *d, void **out)
	PD_MUST_CHECK;
// The same from JSON text. PD_E_PARSE, PD_E_LIMIT: the text is not JSON or too large; errors holds why and where.
int pd_codec_decode_text(struct pd_codec *c, const char *text, size_t len, const ProtobufCMessageDescriptor *d,
			 void **out) PD_MUST_CHECK;
// The same from a Struct that stands for a message (EnvoyFilter patches).
int pd_codec_decode_struct(struct pd_codec *c, const Google__Protobuf__Struct *s, const ProtobufCMessageDescriptor *d,
			   void **out) PD_MUST_CHECK;

// "spec.x: unknown field (line 12)\n" for each error, and the number of dropped ones. For logs and tests.
void pd_codec_print_errors(struct pd_buf *out, const struct pd_codec *c);

enum pd_encode_flags {
	PD_ENCODE_INDENT = 1,      // two spaces, one member a line; else compact
	PD_ENCODE_PROTO_NAMES = 2, // field names as in the .proto instead of lowerCamel
	PD_ENCODE_DEFAULTS = 4,    // also unset proto3 scalars (zero), empty lists and maps
	PD_ENCODE_INT64_NUMBERS =
		8, // 64-bit integers as numbers, as Kubernetes wants them in custom resources; messages of
		   // package k8s always print them so, others as strings by default
};
// Appends a message as JSON text. The output is stable: fields by number, maps sorted by key. Any is expanded through the
// registry; a type that is unknown or does not unpack prints as {"@type": …, "value": base64}. Bytes of strings that are not
// UTF-8 become U+FFFD. Unknown fields of a message are left out.
// Returns PD_OK, or PD_E_LIMIT: deeper than PB_MAX_NESTING (out then holds a cut text).
int pd_codec_encode(struct pd_buf *out, const void *msg, unsigned flags) PD_MUST_CHECK;

// A Struct as a tree; numbers without fraction become PD_JSON_INT.
struct pd_json *pd_json_from_struct(struct pd_arena *a, const Google__Protobuf__Struct *s);

#endif
