#include "ca/spiffe.h"

#include <stdbool.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

static bool name_char(char c, bool upper)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' ||
	       (upper && c >= 'A' && c <= 'Z');
}

// Copies the characters of a name to `out` (`max` bytes without NUL). Returns what follows them, NULL: none, or too many.
static const char *take_name(const char *s, char *out, size_t max, bool upper)
{
	size_t n = 0;

	while (name_char(s[n], upper))
		n++;
	if (n == 0 || n > max)
		return NULL;
	memcpy(out, s, n);
	out[n] = '\0';
	return s + n;
}

static const char *take(const char *s, const char *prefix)
{
	return s && pd_has_prefix(s, prefix) ? s + strlen(prefix) : NULL;
}

int pd_spiffe_parse(const char *id, struct pd_spiffe *out)
{
	const char *s = strnlen(id, PD_SPIFFE_MAX + 1) > PD_SPIFFE_MAX ? NULL : take(id, "spiffe://");

	if (s)
		s = take(take_name(s, out->trust_domain, PD_TRUST_DOMAIN_MAX, false), "/ns/");
	if (s)
		s = take(take_name(s, out->namespace_, PD_SPIFFE_NAME_MAX, true), "/sa/");
	if (s)
		s = take_name(s, out->service_account, PD_SPIFFE_NAME_MAX, true);
	return s && !*s ? PD_OK : PD_E_PARSE;
}

char *pd_spiffe_format(const char *trust_domain, const char *namespace_, const char *service_account)
{
	return pd_xasprintf("spiffe://%s/ns/%s/sa/%s", trust_domain, namespace_, service_account);
}
