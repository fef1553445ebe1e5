// Envoy's matchers as policies need them: Istio writes "exact", "prefix*", "*suffix" and "*" for every kind of text.
#ifndef DISCOVERY_POLICY_MATCHER_H
#define DISCOVERY_POLICY_MATCHER_H

#include <stdbool.h>

#include "base/mem.h"
#include "envoy/config/core/v3/address.pb-c.h"
#include "envoy/config/route/v3/route_components.pb-c.h"
#include "envoy/type/matcher/v3/metadata.pb-c.h"
#include "envoy/type/matcher/v3/string.pb-c.h"
#include "envoy/type/matcher/v3/value.pb-c.h"

typedef Envoy__Config__Core__V3__CidrRange EnvoyCidrRange;
typedef Envoy__Config__Route__V3__HeaderMatcher EnvoyHeaderMatcher;
typedef Envoy__Type__Matcher__V3__ListStringMatcher EnvoyListStringMatcher;
typedef Envoy__Type__Matcher__V3__MetadataMatcher EnvoyMetadataMatcher;
typedef Envoy__Type__Matcher__V3__StringMatcher EnvoyStringMatcher;
typedef Envoy__Type__Matcher__V3__ValueMatcher EnvoyValueMatcher;

// Everything returned is new in the arena and never NULL unless it says so.

// ---- strings -------------------------------------------------------------------------------------------------------
EnvoyStringMatcher *pd_match_exact(struct pd_arena *a, const char *text);
EnvoyStringMatcher *pd_match_prefix(struct pd_arena *a, const char *prefix);
EnvoyStringMatcher *pd_match_suffix(struct pd_arena *a, const char *suffix);
EnvoyStringMatcher *pd_match_regex(struct pd_arena *a, const char *regex); // RE2, must match the whole text
// "*" is any text that is not empty.
EnvoyStringMatcher *pd_match_text(struct pd_arena *a, const char *pattern);
// The same with `scheme` in front of what the pattern says: "*X" becomes the regular expression SCHEME.*X.
EnvoyStringMatcher *pd_match_text_behind(struct pd_arena *a, const char *scheme, const char *pattern);
// Names of headers, without regard to case; "*X" and "X*". NULL for an empty list.
EnvoyListStringMatcher *pd_match_header_names(struct pd_arena *a, char *const *names, size_t n);
// The text with everything escaped that means something in RE2.
char *pd_regex_quote(struct pd_arena *a, const char *text, size_t n);

// RFC 9110 section 5.1. Envoy refuses others in some places.
bool pd_is_header_name(const char *name);

// ---- other things ----------------------------------------------------------------------------------------------------
// A header's value; "*" is presence.
EnvoyHeaderMatcher *pd_match_header(struct pd_arena *a, const char *name, const char *pattern, bool ignore_case);
// "10.0.0.0/8" (host bits stay) or an address alone. NULL: it is neither.
EnvoyCidrRange *pd_match_cidr(struct pd_arena *a, const char *text);

// A member of a filter's dynamic metadata, by the names on the way to it. `value` is taken as it is.
EnvoyMetadataMatcher *pd_match_metadata(struct pd_arena *a, const char *filter, const char *const *path, size_t n,
					EnvoyValueMatcher *value);
EnvoyValueMatcher *pd_match_value(struct pd_arena *a, EnvoyStringMatcher *text);
EnvoyValueMatcher *pd_match_in_list(struct pd_arena *a, EnvoyValueMatcher *one); // a list with such a member
EnvoyValueMatcher *pd_match_one_of(struct pd_arena *a, EnvoyValueMatcher *const *v, size_t n); // n > 0; of 1: itself

#endif
