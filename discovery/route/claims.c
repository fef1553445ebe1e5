// Routing on JWT claims: "@request.auth.claims.group" or "@request.auth.claims[a][b]". (reference: §5)
#include <strings.h>

#include "api/pb.h"
#include "base/str.h"
#include "discovery/route/route.h"
#include "envoy/type/matcher/v3/metadata.pb-c.h"
#include "envoy/type/matcher/v3/string.pb-c.h"
#include "envoy/type/matcher/v3/value.pb-c.h"

typedef Envoy__Type__Matcher__V3__MetadataMatcher EnvMetadataMatcher;
typedef Envoy__Type__Matcher__V3__ValueMatcher EnvValueMatcher;

static void add_segment(struct pd_arena *a, EnvMetadataMatcher *m, const char *key, size_t n)
{
	Envoy__Type__Matcher__V3__MetadataMatcher__PathSegment *s =
		pb_new(a, &envoy__type__matcher__v3__metadata_matcher__path_segment__descriptor);
	s->segment_case = ENVOY__TYPE__MATCHER__V3__METADATA_MATCHER__PATH_SEGMENT__SEGMENT_KEY;
	s->key = pd_arena_strndup(a, key, n);
	PB_PUSH(a, m, path, s);
}

static const char header_claim[] = "@request.auth.claims";

// What follows the prefix is ".a.b" or "[a][b]", one way throughout: names may hold the other's separators.
static void add_path(struct pd_arena *a, EnvMetadataMatcher *m, const char *rest)
{
	bool dots = *rest == '.';
	add_segment(a, m, "payload", strlen("payload"));
	for (rest++;;) {
		const char *end = strstr(rest, dots ? "." : "][");
		size_t n = end ? (size_t)(end - rest) : strlen(rest) - !dots;
		add_segment(a, m, rest, n);
		if (!end)
			return;
		rest = end + (dots ? 1 : 2);
	}
}

static bool is_claim(const char *name)
{
	size_t n = strlen(header_claim), len = strlen(name);
	if (strncasecmp(name, header_claim, n) != 0)
		return false;
	return (name[n] == '.' && len - n > 1) || (name[n] == '[' && name[len - 1] == ']' && len - n > 2);
}

static EnvValueMatcher *string_value(struct pd_arena *a, const Istio__StringMatch *m)
{
	EnvValueMatcher *v = pb_new(a, &envoy__type__matcher__v3__value_matcher__descriptor);
	v->match_pattern_case = ENVOY__TYPE__MATCHER__V3__VALUE_MATCHER__MATCH_PATTERN_STRING_MATCH;
	v->string_match = pd_string_matcher(a, m);
	return v;
}

static EnvValueMatcher *list_of(struct pd_arena *a, EnvValueMatcher *one)
{
	EnvValueMatcher *v = pb_new(a, &envoy__type__matcher__v3__value_matcher__descriptor);
	v->match_pattern_case = ENVOY__TYPE__MATCHER__V3__VALUE_MATCHER__MATCH_PATTERN_LIST_MATCH;
	v->list_match = pb_new(a, &envoy__type__matcher__v3__list_matcher__descriptor);
	v->list_match->match_pattern_case = ENVOY__TYPE__MATCHER__V3__LIST_MATCHER__MATCH_PATTERN_ONE_OF;
	v->list_match->one_of = one;
	return v;
}

bool pd_route_claim_match(struct pd_arena *a, EnvRouteMatch *out, const char *name, const Istio__StringMatch *m,
			  bool without)
{
	if (!is_claim(name))
		return false;
	EnvMetadataMatcher *meta = pb_new(a, &envoy__type__matcher__v3__metadata_matcher__descriptor);
	meta->filter = "envoy.filters.http.jwt_authn";
	meta->invert = without;
	add_path(a, meta, name + strlen(header_claim));
	meta->value = pb_new(a, &envoy__type__matcher__v3__value_matcher__descriptor);
	if (pd_asks_presence(m)) {
		meta->value->match_pattern_case = ENVOY__TYPE__MATCHER__V3__VALUE_MATCHER__MATCH_PATTERN_PRESENT_MATCH;
		meta->value->present_match = true;
	} else { // a claim may be a string or a list of strings
		meta->value->match_pattern_case = ENVOY__TYPE__MATCHER__V3__VALUE_MATCHER__MATCH_PATTERN_OR_MATCH;
		meta->value->or_match = pb_new(a, &envoy__type__matcher__v3__or_matcher__descriptor);
		PB_PUSH(a, meta->value->or_match, value_matchers, list_of(a, string_value(a, m)));
		PB_PUSH(a, meta->value->or_match, value_matchers, string_value(a, m));
	}
	PB_PUSH(a, out, dynamic_metadata, meta);
	return true;
}
