#include "api/base64.h"

static int digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+' || c == '-')
		return 62;
	return c == '/' || c == '_' ? 63 : -1;
}

bool pd_base64_decode(struct pd_arena *a, const char *s, size_t n, ProtobufCBinaryData *out)
{
	uint32_t bits = 0;
	int have = 0;

	// Padding only completes a group of four.
	if (n % 4 == 0)
		for (int i = 0; i < 2 && n && s[n - 1] == '='; i++)
			n--;
	if (n % 4 == 1)
		return false;
	uint8_t *p = (uint8_t *)pd_arena_bytes(a, n / 4 * 3 + 3), *o = p;
	for (size_t i = 0; i < n; i++) {
		int d = digit(s[i]);
		if (d < 0)
			return false;
		bits = bits << 6 | (uint32_t)d;
		have += 6;
		if (have >= 8) {
			have -= 8;
			*o++ = (uint8_t)(bits >> have);
		}
	}
	*out = (ProtobufCBinaryData){.len = (size_t)(o - p), .data = p};
	return true;
}

void pd_base64_encode(struct pd_buf *out, const uint8_t *p, size_t n)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < n; i += 3) {
		size_t left = n - i;
		uint32_t v = (uint32_t)p[i] << 16;
		if (left > 1)
			v |= (uint32_t)p[i + 1] << 8;
		if (left > 2)
			v |= p[i + 2];
		char quad[4] = {digits[v >> 18], digits[v >> 12 & 63], left > 1 ? digits[v >> 6 & 63] : '=',
				left > 2 ? digits[v & 63] : '='};
		pd_buf_add(out, quad, 4);
	}
}
