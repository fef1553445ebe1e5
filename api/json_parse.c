// JSON text to tree. Recursive descent, depth-limited; one pass; strings without escapes are one memcpy.
#include "api/json.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_NUMBER 512 // bytes of a number literal

struct parser {
	struct pd_arena *arena;
	const char *start, *p, *end, *line_start;
	uint32_t line;
	uint32_t nodes;
	unsigned depth;
	struct pd_json_error *err;
};

static int fail(struct parser *ps, int code, const char *fmt, ...) PD_PRINTF(3, 4);
static int fail(struct parser *ps, int code, const char *fmt, ...)
{
	va_list ap;

	if (ps->err) {
		ps->err->line = ps->line;
		ps->err->column = (uint32_t)(ps->p - ps->line_start) + 1;
		va_start(ap, fmt);
		vsnprintf(ps->err->text, sizeof(ps->err->text), fmt, ap);
		va_end(ap);
	}
	return code;
}

static int unexpected(struct parser *ps)
{
	if (ps->p == ps->end)
		return fail(ps, PD_E_PARSE, "unexpected end");
	unsigned char c = (unsigned char)*ps->p;
	if (c < 0x20 || c >= 0x7f)
		return fail(ps, PD_E_PARSE, "unexpected byte 0x%02x", c);
	return fail(ps, PD_E_PARSE, "unexpected character '%c'", c);
}

static void skip_space(struct parser *ps)
{
	for (; ps->p < ps->end; ps->p++) {
		if (*ps->p == '\n') {
			ps->line++;
			ps->line_start = ps->p + 1;
		} else if (*ps->p != ' ' && *ps->p != '\t' && *ps->p != '\r') {
			return;
		}
	}
}

static int hex4(const char *p, const char *end)
{
	int v = 0;

	if (end - p < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		char c = p[i];
		int d = c >= '0' && c <= '9'   ? c - '0'
			: c >= 'a' && c <= 'f' ? c - 'a' + 10
			: c >= 'A' && c <= 'F' ? c - 'A' + 10
					       : -1;
		if (d < 0)
			return -1;
		v = v << 4 | d;
	}
	return v;
}

static char *put_utf8(char *o, uint32_t c)
{
	if (c < 0x80) {
		*o++ = (char)c;
	} else if (c < 0x800) {
		*o++ = (char)(0xc0 | c >> 6);
		*o++ = (char)(0x80 | (c & 0x3f));
	} else if (c < 0x10000) {
		*o++ = (char)(0xe0 | c >> 12);
		*o++ = (char)(0x80 | (c >> 6 & 0x3f));
		*o++ = (char)(0x80 | (c & 0x3f));
	} else {
		*o++ = (char)(0xf0 | c >> 18);
		*o++ = (char)(0x80 | (c >> 12 & 0x3f));
		*o++ = (char)(0x80 | (c >> 6 & 0x3f));
		*o++ = (char)(0x80 | (c & 0x3f));
	}
	return o;
}

// At the four digits behind \u. Advances p; returns the code point or -1.
static int32_t unicode_escape(const char **p, const char *end)
{
	int hi = hex4(*p, end);

	if (hi < 0)
		return -1;
	*p += 4;
	if (hi < 0xd800 || hi > 0xdfff)
		return hi;
	if (hi < 0xdc00 && end - *p >= 6 && (*p)[0] == '\\' && (*p)[1] == 'u') {
		int lo = hex4(*p + 2, end);
		if (lo >= 0xdc00 && lo <= 0xdfff) {
			*p += 6;
			return 0x10000 + ((hi - 0xd800) << 10 | (lo - 0xdc00));
		}
	}
	return 0xfffd;
}

// Decodes the escapes of [p, end) into o, which has room: an escape is never shorter than what it stands for.
static char *unescape(struct parser *ps, const char *p, const char *end, char *o)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";

	while (p < end) {
		if (*p != '\\') {
			*o++ = *p++;
			continue;
		}
		const char *known = memchr(from, p[1], sizeof(from) - 1);
		if (known) {
			*o++ = to[known - from];
			p += 2;
			continue;
		}
		ps->p = p;
		if (p[1] != 'u')
			return NULL;
		p += 2;
		int32_t c = unicode_escape(&p, end);
		if (c < 0)
			return NULL;
		o = put_utf8(o, (uint32_t)c);
	}
	return o;
}

// At the opening quote.
static int parse_string(struct parser *ps, const char **out, uint32_t *len)
{
	const char *p = ++ps->p;
	bool escapes = false;

	while (p < ps->end && *p != '"') {
		if ((unsigned char)*p < 0x20) {
			ps->p = p;
			return fail(ps, PD_E_PARSE, "control character 0x%02x in a string", (unsigned char)*p);
		}
		if (*p == '\\') {
			escapes = true;
			p++;
		}
		p++;
	}
	if (p >= ps->end) {
		ps->p = ps->end;
		return fail(ps, PD_E_PARSE, "unexpected end in a string");
	}
	if (!escapes) {
		*len = (uint32_t)(p - ps->p);
		*out = pd_arena_strndup(ps->arena, ps->p, *len);
	} else {
		char *s = pd_arena_bytes(ps->arena, (size_t)(p - ps->p) + 1);
		char *o = unescape(ps, ps->p, p, s);
		if (!o)
			return fail(ps, PD_E_PARSE, "bad escape in a string");
		*o = '\0';
		*out = s;
		*len = (uint32_t)(o - s);
	}
	ps->p = p + 1;
	return PD_OK;
}

static const char *digits(const char *p, const char *end)
{
	while (p < end && *p >= '0' && *p <= '9')
		p++;
	return p;
}

// The end of the number literal at p, NULL if it is none; *integer tells whether it has neither fraction nor exponent.
static const char *number_end(const char *p, const char *end, bool *integer)
{
	const char *q;

	*integer = true;
	if (p < end && *p == '-')
		p++;
	if (p == end || *p < '0' || *p > '9')
		return NULL;
	p = *p == '0' ? p + 1 : digits(p, end);
	if (p < end && *p == '.') {
		*integer = false;
		q = digits(p + 1, end);
		if (q == p + 1)
			return NULL;
		p = q;
	}
	if (p < end && (*p == 'e' || *p == 'E')) {
		*integer = false;
		p++;
		if (p < end && (*p == '+' || *p == '-'))
			p++;
		q = digits(p, end);
		if (q == p)
			return NULL;
		p = q;
	}
	return p;
}

static int parse_number(struct parser *ps, struct pd_json *j)
{
	char text[MAX_NUMBER + 1];
	bool integer;
	const char *end = number_end(ps->p, ps->end, &integer);

	if (!end)
		return fail(ps, PD_E_PARSE, "bad number");
	size_t n = (size_t)(end - ps->p);
	if (n > MAX_NUMBER)
		return fail(ps, PD_E_LIMIT, "number of more than %d bytes", MAX_NUMBER);
	memcpy(text, ps->p, n);
	text[n] = '\0';

	errno = 0;
	if (integer && strcmp(text, "-0")) {
		j->type = PD_JSON_INT;
		j->i = strtoll(text, NULL, 10);
		if (errno == ERANGE && text[0] != '-') {
			errno = 0;
			j->type = PD_JSON_UINT;
			j->u = strtoull(text, NULL, 10);
		}
	}
	if (!integer || errno == ERANGE || !strcmp(text, "-0")) {
		j->type = PD_JSON_REAL;
		j->d = strtod(text, NULL);
		if (isinf(j->d))
			return fail(ps, PD_E_PARSE, "number out of range");
	}
	ps->p = end;
	return PD_OK;
}

static int parse_value(struct parser *ps, struct pd_json **out);

// At the opening bracket.
static int parse_list(struct parser *ps, struct pd_json *j)
{
	ps->p++;
	skip_space(ps);
	if (ps->p < ps->end && *ps->p == ']') {
		ps->p++;
		return PD_OK;
	}
	for (;;) {
		struct pd_json *item;
		int rc = parse_value(ps, &item);
		if (rc)
			return rc;
		pd_json_append(j, item);
		skip_space(ps);
		if (ps->p == ps->end || (*ps->p != ',' && *ps->p != ']'))
			return unexpected(ps);
		if (*ps->p++ == ']')
			return PD_OK;
	}
}

static int parse_object(struct parser *ps, struct pd_json *j)
{
	ps->p++;
	skip_space(ps);
	if (ps->p < ps->end && *ps->p == '}') {
		ps->p++;
		return PD_OK;
	}
	for (;;) {
		const char *key;
		uint32_t len, line;
		struct pd_json *value;
		skip_space(ps);
		if (ps->p == ps->end || *ps->p != '"')
			return unexpected(ps);
		line = ps->line;
		int rc = parse_string(ps, &key, &len);
		if (rc)
			return rc;
		skip_space(ps);
		if (ps->p == ps->end || *ps->p != ':')
			return unexpected(ps);
		ps->p++;
		rc = parse_value(ps, &value);
		if (rc)
			return rc;
		value->key = key;
		value->key_len = len;
		value->line = line;
		pd_json_append(j, value);
		skip_space(ps);
		if (ps->p == ps->end || (*ps->p != ',' && *ps->p != '}'))
			return unexpected(ps);
		if (*ps->p++ == '}')
			return PD_OK;
	}
}

static int parse_word(struct parser *ps, struct pd_json *j)
{
	static const struct {
		const char *word;
		enum pd_json_type type;
		bool b;
	} words[] = {{"null", PD_JSON_NULL, false}, {"true", PD_JSON_BOOL, true}, {"false", PD_JSON_BOOL, false}};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		size_t n = strlen(words[i].word);
		if ((size_t)(ps->end - ps->p) >= n && !memcmp(ps->p, words[i].word, n)) {
			j->type = words[i].type;
			j->b = words[i].b;
			ps->p += n;
			return PD_OK;
		}
	}
	return unexpected(ps);
}

static int parse_nested(struct parser *ps, struct pd_json *j)
{
	if (ps->depth == PD_JSON_MAX_DEPTH)
		return fail(ps, PD_E_LIMIT, "nested more than %d levels deep", PD_JSON_MAX_DEPTH);
	ps->depth++;
	j->type = *ps->p == '[' ? PD_JSON_ARRAY : PD_JSON_OBJECT;
	int rc = j->type == PD_JSON_ARRAY ? parse_list(ps, j) : parse_object(ps, j);
	ps->depth--;
	return rc;
}

static int parse_value(struct parser *ps, struct pd_json **out)
{
	struct pd_json *j;

	skip_space(ps);
	if (ps->p == ps->end)
		return unexpected(ps);
	if (++ps->nodes > PD_JSON_MAX_NODES)
		return fail(ps, PD_E_LIMIT, "more than %u values", PD_JSON_MAX_NODES);
	*out = j = PD_NEW(ps->arena, struct pd_json);
	j->line = ps->line;
	switch (*ps->p) {
	case '{':
	case '[':
		return parse_nested(ps, j);
	case '"':
		j->type = PD_JSON_STRING;
		return parse_string(ps, &j->s, &j->n);
	case '-':
	case '0' ... '9':
		return parse_number(ps, j);
	default:
		return parse_word(ps, j);
	}
}

int pd_json_parse(struct pd_arena *a, const char *text, size_t len, struct pd_json **out, struct pd_json_error *err)
{
	struct parser ps =
		{.arena = a, .start = text, .p = text, .end = text + len, .line_start = text, .line = 1, .err = err};
	struct pd_json *j;

	if (len > PD_JSON_MAX_BYTES)
		return fail(&ps, PD_E_LIMIT, "text of more than %u bytes", PD_JSON_MAX_BYTES);
	int rc = parse_value(&ps, &j);
	if (rc)
		return rc;
	skip_space(&ps);
	if (ps.p != ps.end)
		return unexpected(&ps);
	*out = j;
	return PD_OK;
}
