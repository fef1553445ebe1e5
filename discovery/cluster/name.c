#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "discovery/build.h"

const char *pd_cluster_name(struct pd_arena *a, const char *direction, uint32_t port, const char *subset,
			    const char *host)
{
	return pd_arena_printf(a, "%s|%u|%s|%s", direction, port, pd_or(subset, ""), host);
}

// One to five digits that make a port, ended by `end`. Returns what follows `end`, or NULL.
static const char *parse_port(const char *s, const char *end, uint32_t *port)
{
	uint32_t v = 0;
	size_t n = 0;
	for (; s[n] >= '0' && s[n] <= '9' && n < 6; n++)
		v = v * 10 + (uint32_t)(s[n] - '0');
	if (!n || v > UINT16_MAX || !pd_has_prefix(s + n, end))
		return NULL;
	*port = v;
	return s + n + strlen(end);
}

bool pd_cluster_name_parse(struct pd_arena *a, const char *name, struct pd_cluster_name *out)
{
	static const char plain[] = "outbound|", sni[] = "outbound_.";
	*out = (struct pd_cluster_name){.sni_form = pd_has_prefix(name, sni)};
	if (!out->sni_form && !pd_has_prefix(name, plain))
		return false;
	const char *end = out->sni_form ? "_." : "|";
	const char *subset = parse_port(name + (out->sni_form ? sizeof(sni) : sizeof(plain)) - 1, end, &out->port);
	const char *host = subset ? strstr(subset, end) : NULL;
	if (!host)
		return false;
	out->subset = pd_arena_strndup(a, subset, (size_t)(host - subset));
	out->host = pd_arena_strdup(a, host + strlen(end));
	return *out->host && !strchr(out->host, '|');
}
