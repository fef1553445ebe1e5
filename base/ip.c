// IP addresses and ranges; the other half of addr.h.
#include <arpa/inet.h>
#include <ctype.h>

#include "base/addr.h"

int pd_ip_parse(const char *s, struct pd_ip *out)
{
	*out = (struct pd_ip){0};
	if (!s)
		return PD_E_PARSE;
	if (inet_pton(AF_INET, s, out->b) == 1)
		out->len = 4;
	else if (inet_pton(AF_INET6, s, out->b) == 1)
		out->len = 16;
	else
		*out = (struct pd_ip){0};
	return out->len ? PD_OK : PD_E_PARSE;
}

void pd_ip_format(const struct pd_ip *ip, char *out)
{
	out[0] = 0;
	if (ip->len)
		inet_ntop(ip->len == 4 ? AF_INET : AF_INET6, ip->b, out, PD_IP_TEXT);
}

bool pd_ip_equal(const struct pd_ip *a, const struct pd_ip *b)
{
	return a->len == b->len && memcmp(a->b, b->b, a->len) == 0;
}

bool pd_ip_is_loopback(const struct pd_ip *ip)
{
	static const uint8_t six[16] = {[15] = 1};

	return (ip->len == 4 && ip->b[0] == 127) || (ip->len == 16 && memcmp(ip->b, six, 16) == 0);
}

bool pd_ip_is_unspecified(const struct pd_ip *ip)
{
	static const uint8_t zero[16];

	return ip->len && memcmp(ip->b, zero, ip->len) == 0;
}

bool pd_is_ip(const char *s)
{
	struct pd_ip ip;

	return pd_ip_parse(s, &ip) == PD_OK;
}

bool pd_is_ipv4(const char *s)
{
	struct pd_ip ip;

	return pd_ip_parse(s, &ip) == PD_OK && ip.len == 4;
}

bool pd_is_ipv6(const char *s)
{
	struct pd_ip ip;

	return pd_ip_parse(s, &ip) == PD_OK && ip.len == 16;
}

// Digits without sign, blanks or leading zeros.
static int parse_bits(const char *s, unsigned max, uint8_t *bits)
{
	unsigned v = 0;
	size_t n;

	for (n = 0; isdigit((unsigned char)s[n]) && n < 4; n++)
		v = v * 10 + (unsigned)(s[n] - '0');
	if (n == 0 || s[n] || v > max || (s[0] == '0' && n > 1))
		return PD_E_PARSE;
	*bits = (uint8_t)v;
	return PD_OK;
}

int pd_cidr_parse(const char *s, struct pd_cidr *out)
{
	const char *slash = s ? strchr(s, '/') : NULL;
	char ip[PD_IP_TEXT];
	size_t n;

	*out = (struct pd_cidr){0};
	if (!s)
		return PD_E_PARSE;
	n = slash ? (size_t)(slash - s) : strlen(s);
	if (n >= sizeof(ip))
		return PD_E_PARSE;
	memcpy(ip, s, n);
	ip[n] = 0;
	if (pd_ip_parse(ip, &out->ip))
		return PD_E_PARSE;
	out->bits = (uint8_t)(8 * out->ip.len);
	if (slash && parse_bits(slash + 1, out->bits, &out->bits)) {
		*out = (struct pd_cidr){0};
		return PD_E_PARSE;
	}
	return PD_OK;
}

// The bits of byte `i` that belong to a prefix of `bits` bits.
static uint8_t mask_byte(unsigned bits, unsigned i)
{
	if (bits >= 8 * (i + 1))
		return 0xff;
	return bits <= 8 * i ? 0 : (uint8_t)(0xff00 >> (bits - 8 * i));
}

void pd_cidr_mask(struct pd_cidr *c)
{
	unsigned i;

	for (i = 0; i < c->ip.len; i++)
		c->ip.b[i] &= mask_byte(c->bits, i);
}

bool pd_cidr_contains(const struct pd_cidr *c, const struct pd_ip *ip)
{
	unsigned i;

	if (!c->ip.len || c->ip.len != ip->len)
		return false;
	for (i = 0; i < ip->len; i++)
		if ((c->ip.b[i] ^ ip->b[i]) & mask_byte(c->bits, i))
			return false;
	return true;
}

bool pd_cidr_covers(const struct pd_cidr *outer, const struct pd_cidr *inner)
{
	return outer->bits <= inner->bits && pd_cidr_contains(outer, &inner->ip);
}
