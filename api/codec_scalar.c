// Numbers, strings, bytes, enums.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "api/base64.h"
#include "api/codec_internal.h"

#define MAX_ENUM_LISTED 10 // an error lists the names of an enum up to this number

// The number that a string holds ("12", "1e3"), or NULL.
static const struct pd_json *number_in(struct pd_codec *c, const struct pd_json *j)
{
	struct pd_json *number;
	char first = j->n ? j->s[0] : '\0', last = j->n ? j->s[j->n - 1] : '\0';

	// The reader of JSON texts would skip white space.
	if (!(first == '-' || (first >= '0' && first <= '9')) || !(last >= '0' && last <= '9'))
		return NULL;
	return pd_json_parse(c->arena, j->s, j->n, &number, NULL) ? NULL : number;
}

static const char *integer_name(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
		return "int64";
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		return "uint32";
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		return "uint64";
	default:
		return "int32";
	}
}

// False: not an integer. Doubles up to 2^64 convert exactly; what is beyond is out of every range.
static bool integer_of(const struct pd_json *n, __int128 *v)
{
	switch (n->type) {
	case PD_JSON_INT:
		*v = n->i;
		return true;
	case PD_JSON_UINT:
		*v = n->u;
		return true;
	case PD_JSON_REAL:
		if (n->d != trunc(n->d) || isinf(n->d))
			return false;
		*v = n->d > 0x1p65 ? (__int128)1 << 65 : n->d < -0x1p65 ? -((__int128)1 << 65) : (__int128)n->d;
		return true;
	default:
		return false;
	}
}

static enum pd_outcome integer(struct pd_codec *c, const struct pd_frame *at, const struct pd_json *j,
			       ProtobufCType type, void *slot)
{
	const char *name = integer_name(type);
	const struct pd_json *n = j->type == PD_JSON_STRING ? number_in(c, j) : j;
	__int128 v, lo, hi;
	bool is_unsigned = name[0] == 'u', wide = pb_type_size(type) == 8;

	if (!n || !integer_of(n, &v))
		return pd_codec_expected(c, at, j, name);
	hi = ((__int128)1 << ((wide ? 64 : 32) - !is_unsigned)) - 1;
	lo = is_unsigned ? 0 : -hi - 1;
	if (v < lo || v > hi) {
		struct pd_buf text = {0};
		pd_json_print(&text, n, false);
		pd_codec_fail(c, at, j->line, "%s is out of range for %s", text.p, name);
		pd_buf_free(&text);
		return PD_FAILED;
	}
	uint64_t bits = (uint64_t)v;
	uint32_t low = (uint32_t)bits;
	if (wide)
		memcpy(slot, &bits, 8);
	else
		memcpy(slot, &low, 4);
	return PD_GOT;
}

static bool real_of(struct pd_codec *c, const struct pd_json *j, double *d)
{
	static const struct {
		const char *text;
		double value;
	} odd[] = {{"NaN", NAN}, {"Infinity", INFINITY}, {"-Infinity", -INFINITY}};

	switch (j->type) {
	case PD_JSON_INT:
		*d = (double)j->i;
		return true;
	case PD_JSON_UINT:
		*d = (double)j->u;
		return true;
	case PD_JSON_REAL:
		*d = j->d;
		return true;
	case PD_JSON_STRING:
		for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
			if (!strcmp(j->s, odd[i].text)) {
				*d = odd[i].value;
				return true;
			}
		}
		j = number_in(c, j);
		return j && real_of(c, j, d);
	default:
		return false;
	}
}

static enum pd_outcome real(struct pd_codec *c, const struct pd_frame *at, const struct pd_json *j, ProtobufCType type,
			    void *slot)
{
	double d;
	bool is_float = type == PROTOBUF_C_TYPE_FLOAT;

	if (!real_of(c, j, &d))
		return pd_codec_expected(c, at, j, is_float ? "float" : "double");
	if (!is_float) {
		memcpy(slot, &d, sizeof(d));
		return PD_GOT;
	}
	float f = (float)d;
	if (isinf(f) && !isinf(d))
		return pd_codec_fail(c, at, j->line, "%g is out of range for float", d);
	memcpy(slot, &f, sizeof(f));
	return PD_GOT;
}

enum pd_outcome pd_codec_text(struct pd_codec *c, const struct pd_frame *at, uint32_t line, const char *s, size_t n,
			      char **out)
{
	if (memchr(s, '\0', n))
		return pd_codec_fail(c, at, line, "string has a NUL byte");
	if (!pd_utf8_ok(s, n))
		return pd_codec_fail(c, at, line, "string is not UTF-8");
	*out = pd_arena_strndup(c->arena, s, n);
	return PD_GOT;
}

static int enum_by_name(const ProtobufCEnumDescriptor *d, const struct pd_json *j)
{
	unsigned lo = 0, hi = d->n_value_names;

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;
		int order = strcmp(d->values_by_name[mid].name, j->s);
		if (order == 0)
			return strlen(j->s) == j->n ? (int)d->values_by_name[mid].index : -1;
		if (order < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return -1;
}

static enum pd_outcome unknown_enum_name(struct pd_codec *c, const struct pd_frame *at, const struct pd_json *j,
					 const ProtobufCEnumDescriptor *d)
{
	struct pd_buf what = {0};
	struct pd_suggestion s = {.name = j->s};

	if (c->policy == PD_CODEC_LENIENT) {
		c->unknown++;
		return PD_SKIPPED;
	}
	for (unsigned i = 0; i < d->n_value_names; i++)
		pd_codec_suggest(&s, d->values_by_name[i].name);
	if (d->n_values > MAX_ENUM_LISTED) {
		pd_buf_printf(&what, "a name of %s", d->name);
		if (s.best)
			pd_buf_printf(&what, " (did you mean \"%s\"?)", s.best);
	} else {
		pd_buf_adds(&what, "one of ");
		for (unsigned i = 0; i < d->n_values; i++)
			pd_buf_printf(&what, "%s%s", i ? ", " : "", d->values[i].name);
	}
	pd_codec_expected(c, at, j, what.p);
	pd_buf_free(&what);
	return PD_FAILED;
}

static enum pd_outcome enumeration(struct pd_codec *c, const struct pd_frame *at, const struct pd_json *j,
				   const ProtobufCEnumDescriptor *d, void *slot)
{
	if (j->type == PD_JSON_STRING) {
		int i = enum_by_name(d, j);
		if (i < 0)
			return unknown_enum_name(c, at, j, d);
		memcpy(slot, &d->values[i].value, sizeof(int));
		return PD_GOT;
	}
	if (j->type == PD_JSON_NULL) { // only a NullValue gets here
		memset(slot, 0, sizeof(int));
		return PD_GOT;
	}
	if (j->type != PD_JSON_INT && j->type != PD_JSON_UINT && j->type != PD_JSON_REAL)
		return pd_codec_expected(c, at, j, "name or number of an enum");
	return integer(c, at, j, PROTOBUF_C_TYPE_INT32, slot);
}

enum pd_outcome pd_codec_scalar(struct pd_codec *c, const struct pd_frame *at, const struct pd_json *j,
				const ProtobufCFieldDescriptor *f, void *slot)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_FLOAT:
	case PROTOBUF_C_TYPE_DOUBLE:
		return real(c, at, j, f->type, slot);
	case PROTOBUF_C_TYPE_BOOL:
		if (j->type != PD_JSON_BOOL)
			return pd_codec_expected(c, at, j, "bool");
		*(protobuf_c_boolean *)slot = j->b;
		return PD_GOT;
	case PROTOBUF_C_TYPE_ENUM:
		return enumeration(c, at, j, f->descriptor, slot);
	case PROTOBUF_C_TYPE_STRING:
		if (j->type != PD_JSON_STRING)
			return pd_codec_expected(c, at, j, "string");
		return pd_codec_text(c, at, j->line, j->s, j->n, slot);
	case PROTOBUF_C_TYPE_BYTES:
		if (j->type != PD_JSON_STRING || !pd_base64_decode(c->arena, j->s, j->n, slot))
			return pd_codec_expected(c, at, j, "base64");
		return PD_GOT;
	default:
		return integer(c, at, j, f->type, slot);
	}
}

enum pd_outcome pd_codec_map_key(struct pd_codec *c, const struct pd_frame *at, const struct pd_json *member,
				 const ProtobufCFieldDescriptor *f, void *slot)
{
	struct pd_json key = {.type = PD_JSON_STRING, .line = member->line, .s = member->key, .n = member->key_len};

	if (f->type == PROTOBUF_C_TYPE_BOOL) {
		bool yes = !strcmp(key.s, "true");
		if (!yes && strcmp(key.s, "false"))
			return pd_codec_expected(c, at, &key, "bool as key");
		*(protobuf_c_boolean *)slot = yes;
		return PD_GOT;
	}
	return pd_codec_scalar(c, at, &key, f, slot);
}
