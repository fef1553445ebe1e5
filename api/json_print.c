#include "api/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool print_odd(struct pd_buf *out, double d)
{
	if (isnan(d))
		pd_buf_adds(out, "\"NaN\"");
	else if (isinf(d))
		pd_buf_adds(out, d > 0 ? "\"Infinity\"" : "\"-Infinity\"");
	else if (d == trunc(d) && fabs(d) < 1e15 && !(d == 0 && signbit(d)))
		pd_buf_printf(out, "%" PRId64, (int64_t)d);
	else
		return false;
	return true;
}

void pd_json_print_double(struct pd_buf *out, double d)
{
	char text[40];

	if (print_odd(out, d))
		return;
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, d);
		if (strtod(text, NULL) == d)
			break;
	}
	pd_buf_adds(out, d == 0 ? "-0.0" : text);
}

void pd_json_print_float(struct pd_buf *out, float f)
{
	char text[40];

	if (print_odd(out, (double)f))
		return;
	for (int digits = 6; digits <= 9; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, (double)f);
		if (strtof(text, NULL) == f)
			break;
	}
	pd_buf_adds(out, f == 0 ? "-0.0" : text);
}

// Length of the well-formed UTF-8 sequence at s (RFC 3629), 0 if there is none.
static size_t sequence(const unsigned char *s, size_t n)
{
	size_t len = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
	unsigned char lo = 0x80, hi = 0xbf;

	if (s[0] < 0xc2 || s[0] > 0xf4 || n < len)
		return 0;
	if (s[0] == 0xe0)
		lo = 0xa0;
	if (s[0] == 0xed)
		hi = 0x9f;
	if (s[0] == 0xf0)
		lo = 0x90;
	if (s[0] == 0xf4)
		hi = 0x8f;
	if (s[1] < lo || s[1] > hi)
		return 0;
	for (size_t i = 2; i < len; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

static void print_escaped(struct pd_buf *out, unsigned char c)
{
	switch (c) {
	case '"':
		pd_buf_adds(out, "\\\"");
		break;
	case '\\':
		pd_buf_adds(out, "\\\\");
		break;
	case '\n':
		pd_buf_adds(out, "\\n");
		break;
	case '\r':
		pd_buf_adds(out, "\\r");
		break;
	case '\t':
		pd_buf_adds(out, "\\t");
		break;
	default:
		pd_buf_printf(out, "\\u%04x", c);
	}
}

void pd_json_print_string(struct pd_buf *out, const char *s, size_t n)
{
	const unsigned char *p = (const unsigned char *)s;
	size_t from = 0, i = 0;

	pd_buf_addc(out, '"');
	while (i < n) {
		size_t len = p[i] < 0x80 ? 1 : sequence(p + i, n - i);
		if (len > 1 || (len == 1 && p[i] >= 0x20 && p[i] != '"' && p[i] != '\\' && p[i] != 0x7f)) {
			i += len;
			continue;
		}
		pd_buf_add(out, s + from, i - from);
		if (len)
			print_escaped(out, p[i]);
		else
			pd_buf_adds(out, "\xef\xbf\xbd");
		from = ++i;
	}
	pd_buf_add(out, s + from, n - from);
	pd_buf_addc(out, '"');
}

static void newline(struct pd_buf *out, int indent)
{
	if (indent < 0)
		return;
	pd_buf_addc(out, '\n');
	for (int i = 0; i < indent; i++)
		pd_buf_adds(out, "  ");
}

// indent: levels, -1 for compact.
static void print(struct pd_buf *out, const struct pd_json *j, int indent);

static void print_children(struct pd_buf *out, const struct pd_json *j, int indent)
{
	int inner = indent < 0 ? -1 : indent + 1;

	pd_buf_addc(out, j->type == PD_JSON_ARRAY ? '[' : '{');
	for (const struct pd_json *x = j->first; x; x = x->next) {
		newline(out, inner);
		if (j->type == PD_JSON_OBJECT) {
			pd_json_print_string(out, x->key, x->key_len);
			pd_buf_adds(out, indent < 0 ? ":" : ": ");
		}
		print(out, x, inner);
		if (x->next)
			pd_buf_addc(out, ',');
	}
	if (j->first)
		newline(out, indent);
	pd_buf_addc(out, j->type == PD_JSON_ARRAY ? ']' : '}');
}

static void print(struct pd_buf *out, const struct pd_json *j, int indent)
{
	switch (j->type) {
	case PD_JSON_NULL:
		pd_buf_adds(out, "null");
		break;
	case PD_JSON_BOOL:
		pd_buf_adds(out, j->b ? "true" : "false");
		break;
	case PD_JSON_INT:
		pd_buf_printf(out, "%" PRId64, j->i);
		break;
	case PD_JSON_UINT:
		pd_buf_printf(out, "%" PRIu64, j->u);
		break;
	case PD_JSON_REAL:
		pd_json_print_double(out, j->d);
		break;
	case PD_JSON_STRING:
		pd_json_print_string(out, j->s, j->n);
		break;
	case PD_JSON_ARRAY:
	case PD_JSON_OBJECT:
		print_children(out, j, indent);
		break;
	}
}

void pd_json_print(struct pd_buf *out, const struct pd_json *j, bool indent)
{
	print(out, j, indent ? 0 : -1);
}
