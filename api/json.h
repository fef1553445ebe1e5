// A JSON value tree with source lines: what both readers of configuration (JSON text here, YAML in config/) produce and what
// the codec (api/codec.h) turns into messages.
//
// Why not jansson's values: they hold no source line, so an error could not say where it is, and no integer above 2^63-1,
// which uint64 fields need. Nodes live in an arena and are freed with it; nothing is reference-counted. A tree is plain data:
// build it with the functions below or by hand, read its members freely, never free a node.
//
// Objects keep the order of the source and may hold a key twice: the reader cannot know whether that is an error. The codec
// does (strict: an error; lenient: the last one counts, as pd_json_get does).
#ifndef API_JSON_H
#define API_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

#define PD_JSON_MAX_DEPTH 100         // nested arrays and objects in a text; the codec has the same limit
#define PD_JSON_MAX_BYTES (64u << 20) // length of one text
#define PD_JSON_MAX_NODES (4u << 20)  // values in one text: 64 bytes of memory each

enum pd_json_type {
	PD_JSON_NULL,
	PD_JSON_BOOL,
	PD_JSON_INT,  // an integer literal within int64_t
	PD_JSON_UINT, // an integer literal from 2^63 to 2^64-1, nothing below
	PD_JSON_REAL, // every other number; finite when it comes from JSON text, may be NaN or infinite when from YAML
	PD_JSON_STRING,
	PD_JSON_ARRAY,
	PD_JSON_OBJECT,
};

struct pd_json {
	enum pd_json_type type;
	uint32_t line;        // 1-based line of the value in its source; 0 = unknown
	struct pd_json *next; // next sibling in the array or object, or NULL
	const char *key;      // member name in an object, NUL-terminated; NULL in an array and at the root
	uint32_t key_len;     // bytes in key; larger than strlen(key) if it holds a NUL (the codec rejects that)
	uint32_t n;           // STRING: bytes in s; ARRAY, OBJECT: number of children; else 0
	union {
		bool b;
		int64_t i;
		uint64_t u;
		double d;
		const char *s; // NUL-terminated; may hold NUL bytes, see n; not checked for UTF-8
		struct {
			struct pd_json *first, *last; // children in source order, NULL when empty
		};
	};
};

// Constructors: a new node in the arena with line 0 (set it yourself). Never NULL.
struct pd_json *pd_json_null(struct pd_arena *a);
struct pd_json *pd_json_bool(struct pd_arena *a, bool v);
struct pd_json *pd_json_int(struct pd_arena *a, int64_t v);
struct pd_json *pd_json_uint(struct pd_arena *a, uint64_t v); // becomes PD_JSON_INT where it fits
struct pd_json *pd_json_real(struct pd_arena *a, double v);
struct pd_json *pd_json_string(struct pd_arena *a, const char *s);             // copies
struct pd_json *pd_json_string_n(struct pd_arena *a, const char *s, size_t n); // copies
struct pd_json *pd_json_array(struct pd_arena *a);
struct pd_json *pd_json_object(struct pd_arena *a);

// Appends `item`, which must not be in another tree, to an array.
void pd_json_append(struct pd_json *array, struct pd_json *item);
// Appends a member to an object without looking whether the key exists. The key is copied.
void pd_json_add(struct pd_arena *a, struct pd_json *object, const char *key, struct pd_json *value);
void pd_json_add_n(struct pd_arena *a, struct pd_json *object, const char *key, size_t key_len, struct pd_json *value);
// Replaces the member `key` (the last one of that name), or appends it.
void pd_json_set(struct pd_arena *a, struct pd_json *object, const char *key, struct pd_json *value);

// The last member named `key`; NULL if there is none or `object` is NULL or no object. Linear in the number of members.
struct pd_json *pd_json_get(const struct pd_json *object, const char *key);
// The text of a string member without NUL bytes, else NULL.
const char *pd_json_get_string(const struct pd_json *object, const char *key);
// "null", "bool", "number", "string", "list", "object": words for messages to users.
const char *pd_json_type_name(const struct pd_json *j);
// Same type and value; integers and reals are equal by value; the order of members does not matter (the last of a key counts).
bool pd_json_equal(const struct pd_json *a, const struct pd_json *b);
// Deep copy into an arena, lines included.
struct pd_json *pd_json_copy(struct pd_arena *a, const struct pd_json *j);

// Where and why a text is no JSON. All-zero = no error.
struct pd_json_error {
	uint32_t line, column; // 1-based; column in bytes
	char text[96];         // "unexpected character 'x'"
};

// Parses one JSON text (RFC 8259; surrounding white space allowed, nothing else). Strings are copied into the arena.
// Escapes are decoded; a lone surrogate becomes U+FFFD; other bytes pass unchecked: the codec checks UTF-8 per field, so the
// error names it. `err` may be NULL.
// Returns PD_OK, PD_E_PARSE (no JSON) or PD_E_LIMIT (a limit above); *out is untouched on failure.
int pd_json_parse(struct pd_arena *a, const char *text, size_t len, struct pd_json **out, struct pd_json_error *err)
	PD_MUST_CHECK;

// Appends the value as JSON text: compact on one line, or indented by two spaces. Members in tree order. Reals print with
// the fewest digits that read back equal; NaN and infinities as the strings "NaN", "Infinity", "-Infinity".
void pd_json_print(struct pd_buf *out, const struct pd_json *j, bool indent);
// The number formats of pd_json_print, for other writers.
void pd_json_print_double(struct pd_buf *out, double d);
void pd_json_print_float(struct pd_buf *out, float f);
// Appends a string literal of n bytes, which may hold NUL (written \u0000). Invalid UTF-8 becomes U+FFFD.
void pd_json_print_string(struct pd_buf *out, const char *s, size_t n);

#endif
