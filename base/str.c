#include "base/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

bool pd_streq(const char *a, const char *b)
{
	return a == b || pd_strcmp(a, b) == 0;
}

int pd_strcmp(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "");
}

bool pd_has_prefix(const char *s, const char *prefix)
{
	return pd_empty(prefix) || (s && strncmp(s, prefix, strlen(prefix)) == 0);
}

bool pd_has_suffix(const char *s, const char *suffix)
{
	size_t n = s ? strlen(s) : 0, m = suffix ? strlen(suffix) : 0;

	return m == 0 || (m <= n && memcmp(s + n - m, suffix, m) == 0);
}

// Length in bytes of the well-formed sequence at p, 0 if there is none. Table 3-7 of the Unicode standard: the range of
// the second byte excludes overlong forms, surrogates and what lies beyond U+10FFFF.
static size_t utf8_len(const unsigned char *p, size_t n)
{
	unsigned char lo = 0x80, hi = 0xbf;
	size_t len, i;

	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (len > n)
		return 0;
	switch (p[0]) {
	case 0xe0:
		lo = 0xa0;
		break;
	case 0xed:
		hi = 0x9f;
		break;
	case 0xf0:
		lo = 0x90;
		break;
	case 0xf4:
		hi = 0x8f;
		break;
	}
	if (p[1] < lo || p[1] > hi)
		return 0;
	for (i = 2; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

bool pd_utf8_ok(const char *s, size_t n)
{
	const unsigned char *p = (const unsigned char *)s;
	size_t i = 0, len;
	uint64_t w;

	while (i < n) {
		// Eight ASCII bytes at once: no high bit, and none of them zero.
		if (n - i >= 8) {
			memcpy(&w, p + i, 8);
			if (!((w | (w - 0x0101010101010101ull)) & 0x8080808080808080ull)) {
				i += 8;
				continue;
			}
		}
		if (p[i] == 0)
			return false;
		len = utf8_len(p + i, n - i);
		if (len == 0)
			return false;
		i += len;
	}
	return true;
}

static void buf_room(struct pd_buf *b, size_t n)
{
	size_t want = b->n + n + 1, cap = b->cap ? b->cap : 64;

	PD_ASSERT(n < SIZE_MAX / 4 && b->n < SIZE_MAX / 4);
	if (want <= b->cap)
		return;
	while (cap < want)
		cap += cap / 2 + 16;
	b->p = pd_xrealloc(b->p, cap);
	b->cap = cap;
}

void pd_buf_add(struct pd_buf *b, const void *p, size_t n)
{
	buf_room(b, n);
	if (n)
		memcpy(b->p + b->n, p, n);
	b->n += n;
	b->p[b->n] = 0;
}

void pd_buf_adds(struct pd_buf *b, const char *s)
{
	pd_buf_add(b, s, s ? strlen(s) : 0);
}

void pd_buf_addc(struct pd_buf *b, char c)
{
	pd_buf_add(b, &c, 1);
}

void pd_buf_vprintf(struct pd_buf *b, const char *fmt, va_list ap)
{
	va_list again;
	int n;

	buf_room(b, 64);
	va_copy(again, ap);
	n = vsnprintf(b->p + b->n, b->cap - b->n, fmt, ap);
	PD_ASSERT(n >= 0);
	if ((size_t)n >= b->cap - b->n) {
		buf_room(b, (size_t)n);
		vsnprintf(b->p + b->n, b->cap - b->n, fmt, again);
	}
	va_end(again);
	b->n += (size_t)n;
}

void pd_buf_printf(struct pd_buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	pd_buf_vprintf(b, fmt, ap);
	va_end(ap);
}

static void json_escape(struct pd_buf *b, unsigned char c)
{
	switch (c) {
	case '"':
		pd_buf_add(b, "\\\"", 2);
		return;
	case '\\':
		pd_buf_add(b, "\\\\", 2);
		return;
	case '\n':
		pd_buf_add(b, "\\n", 2);
		return;
	case '\r':
		pd_buf_add(b, "\\r", 2);
		return;
	case '\t':
		pd_buf_add(b, "\\t", 2);
		return;
	}
	pd_buf_printf(b, "\\u%04x", c);
}

void pd_buf_json_n(struct pd_buf *b, const char *s, size_t n)
{
	const unsigned char *p = (const unsigned char *)s;
	size_t i = 0, plain = 0, len;

	pd_buf_addc(b, '"');
	while (i < n) {
		if (p[i] >= 0x20 && p[i] < 0x7f && p[i] != '"' && p[i] != '\\') {
			i++;
			continue;
		}
		len = utf8_len(p + i, n - i);
		if (len > 1) {
			i += len;
			continue;
		}
		pd_buf_add(b, p + plain, i - plain);
		if (len == 0)
			pd_buf_adds(b, "\\ufffd");
		else
			json_escape(b, p[i]);
		plain = ++i;
	}
	if (n > plain)
		pd_buf_add(b, p + plain, n - plain);
	pd_buf_addc(b, '"');
}

void pd_buf_json(struct pd_buf *b, const char *s)
{
	pd_buf_json_n(b, s, s ? strlen(s) : 0);
}

void pd_buf_reset(struct pd_buf *b)
{
	b->n = 0;
	if (b->p)
		b->p[0] = 0;
}

void pd_buf_free(struct pd_buf *b)
{
	free(b->p);
	*b = (struct pd_buf){0};
}
