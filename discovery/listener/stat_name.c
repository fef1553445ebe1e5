#include "discovery/listener/stat_name.h"

#include <string.h>

#include "base/str.h"

static bool is(const char *s, size_t n, const char *text)
{
	return strlen(text) == n && memcmp(s, text, n) == 0;
}

// The value of "%NAME%"; NULL if there is no such name.
static const char *value_of(struct pd_arena *a, const char *s, size_t n, const struct pd_stat_name *v)
{
	bool short_form = v->svc && v->svc->kubernetes;
	if (is(s, n, "%SERVICE%"))
		return short_form ? pd_arena_printf(a, "%s.%s", v->svc->name, v->svc->ns) : v->host;
	if (is(s, n, "%SERVICE_NAME%"))
		return short_form ? v->svc->name : v->host;
	if (is(s, n, "%SERVICE_FQDN%"))
		return v->host;
	if (is(s, n, "%SUBSET_NAME%"))
		return pd_or(v->subset, "");
	if (is(s, n, "%TARGET_PORT%"))
		return pd_arena_printf(a, "%u", v->target_port);
	if (is(s, n, "%SERVICE_PORT%"))
		return pd_arena_printf(a, "%u", v->port);
	if (is(s, n, "%SERVICE_PORT_NAME%"))
		return pd_or(v->port_name, "");
	return NULL;
}

const char *pd_stat_name(struct pd_arena *a, const char *pattern, const struct pd_stat_name *n)
{
	struct pd_buf out = {0};
	while (*pattern) {
		const char *end = *pattern == '%' ? strchr(pattern + 1, '%') : NULL;
		const char *value = end ? value_of(a, pattern, (size_t)(end - pattern) + 1, n) : NULL;
		if (value) {
			pd_buf_adds(&out, value);
			pattern = end + 1;
		} else {
			pd_buf_addc(&out, *pattern++);
		}
	}
	const char *text = pd_arena_strdup(a, out.p ? out.p : "");
	pd_buf_free(&out);
	return text;
}
