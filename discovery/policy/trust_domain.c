#include "discovery/policy/trust_domain.h"

#include <string.h>

#include "base/str.h"
#include "base/vec.h"

static bool has(const struct pd_texts *list, size_t from, const char *text)
{
	for (size_t i = from; i < list->n; i++)
		if (pd_streq(list->v[i], text))
			return true;
	return false;
}

// ---- wildcards, which may be on either side --------------------------------------------------------------------------

static bool ends_like(const char *text, const char *pattern)
{
	return *pattern == '*' && pd_has_suffix(text, pattern + 1);
}

static bool begins_like(const char *text, const char *pattern)
{
	size_t n = strlen(pattern);
	return n && pattern[n - 1] == '*' && strncmp(text, pattern, n - 1) == 0;
}

static bool same_domain(const char *x, const char *y)
{
	return pd_streq(x, y) || ends_like(x, y) || ends_like(y, x) || begins_like(x, y) || begins_like(y, x);
}

static bool is_ours(const struct pd_trust_domains *domains, const char *domain)
{
	for (size_t i = 0; i < domains->n; i++)
		if (same_domain(domain, domains->v[i]))
			return true;
	return pd_streq(domain, "cluster.local");
}

// ---- principals --------------------------------------------------------------------------------------------------------

// The domain of "DOMAIN/ns/NS/sa/SA"; NULL if it has another shape or does not care.
static const char *domain_of(struct pd_arena *a, const char *principal)
{
	size_t slashes = 0;
	for (const char *p = principal; *p; p++)
		slashes += *p == '/';
	if (slashes != 4)
		return NULL;
	const char *domain = pd_arena_strndup(a, principal, strcspn(principal, "/"));
	return pd_streq(domain, "*") ? NULL : domain;
}

struct pd_texts pd_trust_expand_principals(struct pd_arena *a, const struct pd_trust_domains *domains,
					   char *const *principals, size_t n)
{
	struct pd_texts out = {0};
	for (size_t i = 0; i < n; i++) {
		const char *domain = domain_of(a, principals[i]);
		if (!domain || !is_ours(domains, domain)) {
			pd_vec_push_a(a, &out, principals[i]);
			continue;
		}
		size_t first = out.n;
		for (size_t k = 0; k < domains->n; k++) {
			// "*-td" stands for each domain that ends so.
			const char *text =
				ends_like(domains->v[k], domain)
					? principals[i]
					: pd_arena_printf(a, "%s%s", domains->v[k], principals[i] + strlen(domain));
			if (!has(&out, first, text))
				pd_vec_push_a(a, &out, text);
		}
	}
	return out;
}

static void add_once(struct pd_arena *a, struct pd_texts *list, const char *text)
{
	if (!has(list, 0, text))
		pd_vec_push_a(a, list, text);
}

struct pd_texts pd_trust_expand_domains(struct pd_arena *a, const struct pd_trust_domains *domains, char *const *names,
					size_t n)
{
	struct pd_texts out = {0};
	for (size_t i = 0; i < n; i++) {
		size_t known = 0;
		while (known < domains->n && !pd_streq(domains->v[known], names[i]))
			known++;
		if (known == domains->n)
			add_once(a, &out, names[i]);
		for (size_t k = 0; known < domains->n && k < domains->n; k++)
			add_once(a, &out, domains->v[k]);
	}
	return out;
}
