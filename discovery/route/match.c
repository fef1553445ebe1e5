// Matches of HTTP routes. (reference: §5)
#include <stdlib.h>

#include "api/pb.h"
#include "base/str.h"
#include "discovery/route/route.h"
#include "discovery/route/vs_lookup.h"
#include "envoy/type/matcher/v3/regex.pb-c.h"
#include "envoy/type/matcher/v3/string.pb-c.h"

typedef Envoy__Config__Route__V3__HeaderMatcher EnvHeaderMatcher;
typedef Envoy__Type__Matcher__V3__StringMatcher EnvStringMatcher;

// ---- does it apply here? -------------------------------------------------------------------------------------------------

static bool hits_gateway(const struct pd_route_ctx *ctx, const Istio__HTTPMatchRequest *m)
{
	for (size_t i = 0; i < m->n_gateways; i++) {
		const char *name = pd_expand_gateway(ctx->tx->arena, m->gateways[i], ctx->vs->object->key.ns);
		for (size_t k = 0; k < ctx->n_gateways; k++)
			if (pd_streq(name, ctx->gateways[k]))
				return true;
	}
	return false;
}

static bool source_matches(const struct pd_tx *tx, const Istio__HTTPMatchRequest *m)
{
	const struct pd_labels *labels = tx->view ? &tx->view->labels : &tx->key->labels;
	for (size_t i = 0; i < m->n_source_labels; i++) {
		const char *v = pd_labels_get(labels, m->source_labels[i]->key);
		if (!v || !pd_streq(v, m->source_labels[i]->value))
			return false;
	}
	return pd_empty(m->source_namespace) || pd_streq(m->source_namespace, tx->key->ns);
}

bool pd_route_match_applies(const struct pd_route_ctx *ctx, const Istio__HTTPMatchRequest *m)
{
	if (!m)
		return true;
	if (m->port && m->port != ctx->port)
		return false;
	// Where gateways are named, source labels are not looked at: istiod's rule.
	return m->n_gateways ? hits_gateway(ctx, m) : source_matches(ctx->tx, m);
}

// ---- string matches ------------------------------------------------------------------------------------------------------

static Envoy__Type__Matcher__V3__RegexMatcher *regex(struct pd_arena *a, const char *re)
{
	Envoy__Type__Matcher__V3__RegexMatcher *m = pb_new(a, &envoy__type__matcher__v3__regex_matcher__descriptor);
	m->regex = (char *)re;
	return m;
}

EnvStringMatcher *pd_string_matcher(struct pd_arena *a, const Istio__StringMatch *m)
{
	if (!m || !m->match_type_case)
		return NULL;
	EnvStringMatcher *s = pb_new(a, &envoy__type__matcher__v3__string_matcher__descriptor);
	switch (m->match_type_case) {
	case ISTIO__STRING_MATCH__MATCH_TYPE_PREFIX:
		s->match_pattern_case = ENVOY__TYPE__MATCHER__V3__STRING_MATCHER__MATCH_PATTERN_PREFIX;
		s->prefix = m->prefix;
		break;
	case ISTIO__STRING_MATCH__MATCH_TYPE_REGEX:
		s->match_pattern_case = ENVOY__TYPE__MATCHER__V3__STRING_MATCHER__MATCH_PATTERN_SAFE_REGEX;
		s->safe_regex = regex(a, m->regex);
		break;
	default:
		s->match_pattern_case = ENVOY__TYPE__MATCHER__V3__STRING_MATCHER__MATCH_PATTERN_EXACT;
		s->exact = pd_arena_strdup(a, pd_or(m->exact, ""));
		break;
	}
	return s;
}

// No value, or the regular expression "*" (which is none): the header only has to be there. So it is with an empty prefix
// or regular expression, which Envoy would refuse.
bool pd_asks_presence(const Istio__StringMatch *m)
{
	if (!m)
		return true;
	switch (m->match_type_case) {
	case ISTIO__STRING_MATCH__MATCH_TYPE_EXACT:
		return false;
	case ISTIO__STRING_MATCH__MATCH_TYPE_PREFIX:
		return pd_empty(m->prefix);
	case ISTIO__STRING_MATCH__MATCH_TYPE_REGEX:
		return pd_empty(m->regex) || pd_streq(m->regex, "*");
	default:
		return true;
	}
}

static EnvHeaderMatcher *header_matcher(struct pd_arena *a, const char *name, const Istio__StringMatch *m)
{
	EnvHeaderMatcher *h = pb_new(a, &envoy__config__route__v3__header_matcher__descriptor);
	h->name = (char *)name;
	if (pd_asks_presence(m)) {
		h->header_match_specifier_case =
			ENVOY__CONFIG__ROUTE__V3__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_PRESENT_MATCH;
		h->present_match = true;
	} else {
		h->header_match_specifier_case =
			ENVOY__CONFIG__ROUTE__V3__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_STRING_MATCH;
		h->string_match = pd_string_matcher(a, m);
	}
	return h;
}

// ---- the parts -----------------------------------------------------------------------------------------------------------

struct named {
	const char *name;
	const Istio__StringMatch *match;
	bool without;
};

static int cmp_named(const void *x, const void *y)
{
	return strcmp(((const struct named *)x)->name, ((const struct named *)y)->name);
}

static void add_headers(struct pd_arena *a, EnvRouteMatch *out, const Istio__HTTPMatchRequest *m)
{
	struct named *v = pd_arena_alloc(a, (m->n_headers + m->n_without_headers + 1) * sizeof(*v));
	size_t n = 0;
	for (size_t i = 0; i < m->n_headers; i++)
		v[n++] = (struct named){m->headers[i]->key, m->headers[i]->value, false};
	for (size_t i = 0; i < m->n_without_headers; i++)
		v[n++] = (struct named){m->without_headers[i]->key, m->without_headers[i]->value, true};
	pd_sort(v, n, sizeof(*v), cmp_named);
	for (size_t i = 0; i < n; i++) {
		if (pd_route_claim_match(a, out, v[i].name, v[i].match, v[i].without))
			continue;
		EnvHeaderMatcher *h = header_matcher(a, v[i].name, v[i].match);
		h->invert_match = v[i].without;
		h->treat_missing_header_as_empty =
			v[i].without &&
			h->header_match_specifier_case !=
				ENVOY__CONFIG__ROUTE__V3__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_PRESENT_MATCH;
		PB_PUSH(a, out, headers, h);
	}
	const struct named pseudo[] = {{":method", m->method, false},
				       {":authority", m->authority, false},
				       {":scheme", m->scheme, false}};
	for (size_t i = 0; i < sizeof(pseudo) / sizeof(pseudo[0]); i++)
		if (pseudo[i].match)
			PB_PUSH(a, out, headers, header_matcher(a, pseudo[i].name, pseudo[i].match));
}

static void add_query(struct pd_arena *a, EnvRouteMatch *out, const Istio__HTTPMatchRequest *m)
{
	for (size_t i = 0; i < m->n_query_params; i++) {
		Envoy__Config__Route__V3__QueryParameterMatcher *q =
			pb_new(a, &envoy__config__route__v3__query_parameter_matcher__descriptor);
		q->name = m->query_params[i]->key;
		if (pd_asks_presence(m->query_params[i]->value)) {
			q->query_parameter_match_specifier_case =
				ENVOY__CONFIG__ROUTE__V3__QUERY_PARAMETER_MATCHER__QUERY_PARAMETER_MATCH_SPECIFIER_PRESENT_MATCH;
			q->present_match = true;
		} else {
			q->query_parameter_match_specifier_case =
				ENVOY__CONFIG__ROUTE__V3__QUERY_PARAMETER_MATCHER__QUERY_PARAMETER_MATCH_SPECIFIER_STRING_MATCH;
			q->string_match = pd_string_matcher(a, m->query_params[i]->value);
		}
		PB_PUSH(a, out, query_parameters, q);
	}
}

static void set_prefix(const struct pd_route_ctx *ctx, EnvRouteMatch *out, const char *prefix)
{
	struct pd_arena *a = ctx->tx->arena;
	size_t n = strlen(prefix);
	bool by_element = ctx->gateway_semantics || pd_vs_is_ingress(ctx->vs->object);
	if (by_element && !pd_streq(prefix, "/")) { // a trailing slash means nothing
		out->path_specifier_case = ENVOY__CONFIG__ROUTE__V3__ROUTE_MATCH__PATH_SPECIFIER_PATH_SEPARATED_PREFIX;
		out->path_separated_prefix = pd_arena_strndup(a, prefix, n && prefix[n - 1] == '/' ? n - 1 : n);
		return;
	}
	out->path_specifier_case = ENVOY__CONFIG__ROUTE__V3__ROUTE_MATCH__PATH_SPECIFIER_PREFIX;
	out->prefix = pd_arena_strdup(a, prefix);
}

static void set_path(const struct pd_route_ctx *ctx, EnvRouteMatch *out, const Istio__StringMatch *uri)
{
	struct pd_arena *a = ctx->tx->arena;
	switch (uri ? uri->match_type_case : ISTIO__STRING_MATCH__MATCH_TYPE__NOT_SET) {
	case ISTIO__STRING_MATCH__MATCH_TYPE_EXACT:
		out->path_specifier_case = ENVOY__CONFIG__ROUTE__V3__ROUTE_MATCH__PATH_SPECIFIER_PATH;
		out->path = pd_arena_strdup(a, uri->exact);
		return;
	case ISTIO__STRING_MATCH__MATCH_TYPE_PREFIX:
		set_prefix(ctx, out, uri->prefix);
		return;
	case ISTIO__STRING_MATCH__MATCH_TYPE_REGEX:
		out->path_specifier_case = ENVOY__CONFIG__ROUTE__V3__ROUTE_MATCH__PATH_SPECIFIER_SAFE_REGEX;
		out->safe_regex = regex(a, uri->regex);
		return;
	default:
		out->path_specifier_case = ENVOY__CONFIG__ROUTE__V3__ROUTE_MATCH__PATH_SPECIFIER_PREFIX;
		out->prefix = pd_arena_strdup(a, "/");
	}
}

EnvRouteMatch *pd_route_match(const struct pd_route_ctx *ctx, const Istio__HTTPMatchRequest *m)
{
	struct pd_arena *a = ctx->tx->arena;
	EnvRouteMatch *out = pb_new(a, &envoy__config__route__v3__route_match__descriptor);
	set_path(ctx, out, m ? m->uri : NULL);
	if (!m)
		return out;
	out->case_sensitive = pb_bool(a, !m->ignore_uri_case);
	add_headers(a, out, m);
	add_query(a, out, m);
	return out;
}
