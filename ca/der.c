#include "ca/der.h"

#include <string.h>

// The length field; *used is how many bytes it took. False: malformed or beyond what there is.
static bool length(const uint8_t *p, size_t n, size_t *len, size_t *used)
{
	size_t bytes;

	if (n == 0)
		return false;
	if (p[0] < 0x80) {
		*len = p[0];
		*used = 1;
		return *len <= n - 1;
	}
	bytes = p[0] & 0x7f;
	if (bytes == 0 || bytes > 4 || bytes > n - 1 || p[1] == 0)
		return false;
	*len = 0;
	for (size_t i = 1; i <= bytes; i++)
		*len = *len << 8 | p[i];
	*used = 1 + bytes;
	return *len >= 0x80 && *len <= n - *used;
}

bool pd_der_take_any(struct pd_der *in, uint8_t *tag, struct pd_der *content)
{
	size_t len, used;

	if (in->n < 2 || (in->p[0] & 0x1f) == 0x1f || !length(in->p + 1, in->n - 1, &len, &used))
		return false;
	*tag = in->p[0];
	*content = (struct pd_der){in->p + 1 + used, len};
	in->p += 1 + used + len;
	in->n -= 1 + used + len;
	return true;
}

bool pd_der_take(struct pd_der *in, uint8_t tag, struct pd_der *content, struct pd_der *whole)
{
	struct pd_der rest = *in;
	uint8_t got;

	if (!pd_der_take_any(&rest, &got, content) || got != tag)
		return false;
	if (whole)
		*whole = (struct pd_der){in->p, (size_t)(rest.p - in->p)};
	*in = rest;
	return true;
}

bool pd_der_take_bits(struct pd_der *in, struct pd_der *bits)
{
	struct pd_der rest = *in;

	if (!pd_der_take(&rest, PD_DER_BIT_STRING, bits, NULL) || bits->n < 1 || bits->p[0] != 0)
		return false;
	bits->p++;
	bits->n--;
	*in = rest;
	return true;
}

bool pd_der_equal(const struct pd_der *d, const void *bytes, size_t n)
{
	return d->n == n && memcmp(d->p, bytes, n) == 0;
}
