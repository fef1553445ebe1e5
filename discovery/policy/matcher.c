#include "discovery/policy/matcher.h"

#include <string.h>

#include "api/pb.h"
#include "base/addr.h"
#include "base/str.h"

#define STRING(name) ENVOY__TYPE__MATCHER__V3__STRING_MATCHER__MATCH_PATTERN_##name
#define VALUE(name) ENVOY__TYPE__MATCHER__V3__VALUE_MATCHER__MATCH_PATTERN_##name
#define NEW(a, name) pb_new((a), &envoy__type__matcher__v3__##name##__descriptor)

// ---- strings -------------------------------------------------------------------------------------------------------

EnvoyStringMatcher *pd_match_exact(struct pd_arena *a, const char *text)
{
	EnvoyStringMatcher *m = NEW(a, string_matcher);
	m->match_pattern_case = STRING(EXACT);
	m->exact = pd_arena_strdup(a, text);
	return m;
}

EnvoyStringMatcher *pd_match_prefix(struct pd_arena *a, const char *prefix)
{
	EnvoyStringMatcher *m = NEW(a, string_matcher);
	m->match_pattern_case = STRING(PREFIX);
	m->prefix = pd_arena_strdup(a, prefix);
	return m;
}

EnvoyStringMatcher *pd_match_suffix(struct pd_arena *a, const char *suffix)
{
	EnvoyStringMatcher *m = NEW(a, string_matcher);
	m->match_pattern_case = STRING(SUFFIX);
	m->suffix = pd_arena_strdup(a, suffix);
	return m;
}

EnvoyStringMatcher *pd_match_regex(struct pd_arena *a, const char *regex)
{
	EnvoyStringMatcher *m = NEW(a, string_matcher);
	m->match_pattern_case = STRING(SAFE_REGEX);
	m->safe_regex = NEW(a, regex_matcher);
	m->safe_regex->regex = pd_arena_strdup(a, regex);
	return m;
}

char *pd_regex_quote(struct pd_arena *a, const char *text, size_t n)
{
	char *out = pd_arena_bytes(a, 2 * n + 1), *p = out;
	for (size_t i = 0; i < n; i++) {
		if (strchr("\\.+*?()|[]{}^$", text[i]))
			*p++ = '\\';
		*p++ = text[i];
	}
	*p = 0;
	return out;
}

// "*X", "X*" or "X": not "*" alone, since Envoy refuses an empty prefix or suffix.
static EnvoyStringMatcher *affix(struct pd_arena *a, const char *pattern, bool ignore_case)
{
	EnvoyStringMatcher *m;
	if (*pattern == '*')
		m = pd_match_suffix(a, pattern + 1);
	else if (pd_has_suffix(pattern, "*"))
		m = pd_match_prefix(a, pd_arena_strndup(a, pattern, strlen(pattern) - 1));
	else
		m = pd_match_exact(a, pattern);
	m->ignore_case = ignore_case;
	return m;
}

EnvoyStringMatcher *pd_match_text(struct pd_arena *a, const char *pattern)
{
	return pd_match_text_behind(a, "", pattern);
}

EnvoyStringMatcher *pd_match_text_behind(struct pd_arena *a, const char *scheme, const char *pattern)
{
	if (pd_streq(pattern, "*"))
		return pd_match_regex(a, ".+");
	if (*pattern == '*' && *scheme)
		return pd_match_regex(a, pd_arena_printf(a, "%s.*%s", scheme,
							 pd_regex_quote(a, pattern + 1, strlen(pattern + 1))));
	return affix(a, pd_arena_printf(a, "%s%s", scheme, pattern), false);
}

EnvoyListStringMatcher *pd_match_header_names(struct pd_arena *a, char *const *names, size_t n)
{
	if (!n)
		return NULL;
	EnvoyListStringMatcher *list = NEW(a, list_string_matcher);
	for (size_t i = 0; i < n; i++)
		PB_PUSH(a, list, patterns, affix(a, names[i], true));
	return list;
}

bool pd_is_header_name(const char *name)
{
	static const char token[] = "!#$%&'*+-.^_`|~0123456789"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	return *name && !name[strspn(name, token)];
}

// ---- headers and addresses -------------------------------------------------------------------------------------------

EnvoyHeaderMatcher *pd_match_header(struct pd_arena *a, const char *name, const char *pattern, bool ignore_case)
{
	EnvoyHeaderMatcher *m = pb_new(a, &envoy__config__route__v3__header_matcher__descriptor);
	m->name = pd_arena_strdup(a, name);
	if (pd_streq(pattern, "*")) {
		m->header_match_specifier_case =
			ENVOY__CONFIG__ROUTE__V3__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_PRESENT_MATCH;
		m->present_match = true;
	} else {
		m->header_match_specifier_case =
			ENVOY__CONFIG__ROUTE__V3__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_STRING_MATCH;
		m->string_match = affix(a, pattern, ignore_case);
	}
	return m;
}

EnvoyCidrRange *pd_match_cidr(struct pd_arena *a, const char *text)
{
	struct pd_cidr cidr;
	char ip[PD_IP_TEXT];
	if (pd_cidr_parse(text, &cidr) != PD_OK)
		return NULL;
	pd_ip_format(&cidr.ip, ip);
	EnvoyCidrRange *range = pb_new(a, &envoy__config__core__v3__cidr_range__descriptor);
	range->address_prefix = pd_arena_strdup(a, ip);
	range->prefix_len = pb_u32(a, cidr.bits);
	return range;
}

// ---- dynamic metadata --------------------------------------------------------------------------------------------------

EnvoyMetadataMatcher *pd_match_metadata(struct pd_arena *a, const char *filter, const char *const *path, size_t n,
					EnvoyValueMatcher *value)
{
	EnvoyMetadataMatcher *m = NEW(a, metadata_matcher);
	m->filter = pd_arena_strdup(a, filter);
	for (size_t i = 0; i < n; i++) {
		Envoy__Type__Matcher__V3__MetadataMatcher__PathSegment *s = NEW(a, metadata_matcher__path_segment);
		s->segment_case = ENVOY__TYPE__MATCHER__V3__METADATA_MATCHER__PATH_SEGMENT__SEGMENT_KEY;
		s->key = pd_arena_strdup(a, path[i]);
		PB_PUSH(a, m, path, s);
	}
	m->value = value;
	return m;
}

EnvoyValueMatcher *pd_match_value(struct pd_arena *a, EnvoyStringMatcher *text)
{
	EnvoyValueMatcher *v = NEW(a, value_matcher);
	v->match_pattern_case = VALUE(STRING_MATCH);
	v->string_match = text;
	return v;
}

EnvoyValueMatcher *pd_match_in_list(struct pd_arena *a, EnvoyValueMatcher *one)
{
	EnvoyValueMatcher *v = NEW(a, value_matcher);
	v->match_pattern_case = VALUE(LIST_MATCH);
	v->list_match = NEW(a, list_matcher);
	v->list_match->match_pattern_case = ENVOY__TYPE__MATCHER__V3__LIST_MATCHER__MATCH_PATTERN_ONE_OF;
	v->list_match->one_of = one;
	return v;
}

EnvoyValueMatcher *pd_match_one_of(struct pd_arena *a, EnvoyValueMatcher *const *v, size_t n)
{
	PD_ASSERT(n);
	if (n == 1)
		return v[0];
	EnvoyValueMatcher *any = NEW(a, value_matcher);
	any->match_pattern_case = VALUE(OR_MATCH);
	any->or_match = NEW(a, or_matcher);
	for (size_t i = 0; i < n; i++)
		PB_PUSH(a, any->or_match, value_matchers, v[i]);
	return any;
}
