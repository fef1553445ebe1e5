// What each attribute of an AuthorizationPolicy becomes in Envoy. (reference: §9, the table of fields and keys)
#include "discovery/policy/authz_terms.h"

#include <stdlib.h>
#include <string.h>

#include "api/pb.h"
#include "base/str.h"
#include "base/vec.h"
#include "discovery/policy/matcher.h"
#include "envoy/config/core/v3/extension.pb-c.h"
#include "envoy/extensions/path/match/uri_template/v3/uri_template_match.pb-c.h"
#include "envoy/type/matcher/v3/filter_state.pb-c.h"
#include "envoy/type/matcher/v3/path.pb-c.h"

#define RULE(name) ENVOY__CONFIG__RBAC__V3__PERMISSION__RULE_##name
#define ID(name) ENVOY__CONFIG__RBAC__V3__PRINCIPAL__IDENTIFIER_##name
#define SPIFFE "spiffe://"
#define JWT_FILTER "envoy.filters.http.jwt_authn"
#define PORT_MAX 65535

typedef Envoy__Config__Rbac__V3__Permission Permission;
typedef Envoy__Config__Rbac__V3__Principal Principal;
typedef struct authz_context Context;

static Permission *permission(struct pd_arena *a, int rule_case)
{
	Permission *p = pb_new(a, &envoy__config__rbac__v3__permission__descriptor);
	p->rule_case = rule_case;
	return p;
}

static Principal *principal(struct pd_arena *a, int identifier_case)
{
	Principal *p = pb_new(a, &envoy__config__rbac__v3__principal__descriptor);
	p->identifier_case = identifier_case;
	return p;
}

// ---- where to ----------------------------------------------------------------------------------------------------------

static void *destination_ip(const Context *c, const char *key, const char *value)
{
	(void)key;
	EnvoyCidrRange *range = pd_match_cidr(c->arena, value);
	if (!range)
		return NULL;
	Permission *p = permission(c->arena, RULE(DESTINATION_IP));
	p->destination_ip = range;
	return p;
}

static void *destination_port(const Context *c, const char *key, const char *value)
{
	(void)key;
	char *end;
	unsigned long port = strtoul(value, &end, 10);
	if (*value < '0' || *value > '9' || *end || port > PORT_MAX)
		return NULL;
	Permission *p = permission(c->arena, RULE(DESTINATION_PORT));
	p->destination_port = (uint32_t)port;
	return p;
}

static void *sni(const Context *c, const char *key, const char *value)
{
	(void)key;
	Permission *p = permission(c->arena, RULE(REQUESTED_SERVER_NAME));
	p->requested_server_name = pd_match_text(c->arena, value);
	return p;
}

// "experimental.envoy.filters.network.mysql_proxy[db.table]": a member of what that filter notes; "[v]" means in a list.
static void *envoy_filter(const Context *c, const char *key, const struct pd_texts *values)
{
	struct pd_arena *a = c->arena;
	struct {
		EnvoyValueMatcher **v;
		size_t n, cap;
	} found = {0};
	const char *filter = key + strlen("experimental."), *name = strchr(filter, '[');
	if (!name)
		return NULL;
	for (size_t i = 0; i < values->n; i++) {
		const char *text = values->v[i];
		size_t n = strlen(text);
		bool list = *text == '[' && text[n - 1] == ']';
		if (list) {
			text += strspn(text, "[]");
			n = strcspn(text, "[]");
		}
		EnvoyValueMatcher *v = pd_match_value(a, pd_match_text(a, pd_arena_strndup(a, text, n)));
		pd_vec_push_a(a, &found, list ? pd_match_in_list(a, v) : v);
	}
	size_t n = strlen(name + 1);
	const char *member = pd_arena_strndup(a, name + 1, n - (n && name[n] == ']'));
	if (!*member)
		return NULL; // Envoy refuses it
	Permission *p = permission(a, RULE(METADATA));
	p->metadata = pd_match_metadata(a, pd_arena_strndup(a, filter, (size_t)(name - filter)), &member, 1,
					pd_match_one_of(a, found.v, found.n));
	return p;
}

// ---- what --------------------------------------------------------------------------------------------------------------

static void *host(const Context *c, const char *key, const char *value)
{
	(void)key;
	Permission *p = permission(c->arena, RULE(HEADER));
	p->header = pd_match_header(c->arena, ":authority", value, true);
	return p;
}

static void *method(const Context *c, const char *key, const char *value)
{
	(void)key;
	Permission *p = permission(c->arena, RULE(HEADER));
	p->header = pd_match_header(c->arena, ":method", value, false);
	return p;
}

// Whether Envoy takes a template in its own spelling: "/users/*/x", "/files/**". It matters: an Envoy (1.40) that is given a bad
// one here does not refuse it, it ends.
static bool is_template(const char *text)
{
	static const char literal[] = "-._~%!$&'()+,;:@*0123456789"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	bool rest = false;
	if (*text != '/')
		return false;
	while (*text) {
		size_t n = strcspn(++text, "/");
		bool one = n == 1 && *text == '*', many = n == 2 && text[0] == '*' && text[1] == '*';
		if ((!n && *text) || strspn(text, literal) < n || (rest && (one || many)))
			return false;
		rest |= many; // the last operator
		text += n;
	}
	return true;
}

// "{*}" and "{**}" as Envoy writes them.
static char *envoy_template(struct pd_arena *a, const char *value)
{
	char *out = pd_arena_strdup(a, value), *to = out;
	for (const char *p = value; *p; p++) {
		bool many = pd_has_prefix(p, "{**}");
		if (many || pd_has_prefix(p, "{*}")) {
			*to++ = '*';
			if (many)
				*to++ = '*';
			p += many ? 3 : 2;
		} else {
			*to++ = *p;
		}
	}
	*to = 0;
	return out;
}

static void *path_template(const Context *c, const char *value)
{
	struct pd_arena *a = c->arena;
	char *out = envoy_template(a, value);
	if (!is_template(out))
		return NULL;
	Envoy__Extensions__Path__Match__UriTemplate__V3__UriTemplateMatchConfig *config =
		pb_new(a, &envoy__extensions__path__match__uri_template__v3__uri_template_match_config__descriptor);
	config->path_template = out;
	Permission *p = permission(a, RULE(URI_TEMPLATE));
	p->uri_template = pb_new(a, &envoy__config__core__v3__typed_extension_config__descriptor);
	p->uri_template->name = "uri-template";
	p->uri_template->typed_config = pb_any(a, config);
	return p;
}

static void *path(const Context *c, const char *key, const char *value)
{
	(void)key;
	if (strstr(value, "{*}") || strstr(value, "{**}"))
		return path_template(c, value);
	Permission *p = permission(c->arena, RULE(URL_PATH));
	p->url_path = pb_new(c->arena, &envoy__type__matcher__v3__path_matcher__descriptor);
	p->url_path->rule_case = ENVOY__TYPE__MATCHER__V3__PATH_MATCHER__RULE_PATH;
	p->url_path->path = pd_match_text(c->arena, value);
	return p;
}

// ---- who, by connection --------------------------------------------------------------------------------------------------

static void *source_ip(const Context *c, const char *key, const char *value)
{
	(void)key;
	Principal *p = principal(c->arena, ID(DIRECT_REMOTE_IP));
	p->direct_remote_ip = pd_match_cidr(c->arena, value);
	return p->direct_remote_ip ? p : NULL;
}

static void *remote_ip(const Context *c, const char *key, const char *value)
{
	(void)key;
	Principal *p = principal(c->arena, ID(REMOTE_IP));
	p->remote_ip = pd_match_cidr(c->arena, value);
	return p->remote_ip ? p : NULL;
}

// The peer's identity, "spiffe://TD/ns/NS/sa/SA".
static void *peer(const Context *c, EnvoyStringMatcher *name)
{
	if (c->peer_in_state) {
		Principal *p = principal(c->arena, ID(FILTER_STATE));
		p->filter_state = pb_new(c->arena, &envoy__type__matcher__v3__filter_state_matcher__descriptor);
		p->filter_state->key = "io.istio.peer_principal";
		p->filter_state->matcher_case = ENVOY__TYPE__MATCHER__V3__FILTER_STATE_MATCHER__MATCHER_STRING_MATCH;
		p->filter_state->string_match = name;
		return p;
	}
	Principal *p = principal(c->arena, ID(AUTHENTICATED));
	p->authenticated = pb_new(c->arena, &envoy__config__rbac__v3__principal__authenticated__descriptor);
	p->authenticated->principal_name = name;
	return p;
}

static void *source_principal(const Context *c, const char *key, const char *value)
{
	(void)key;
	return peer(c, pd_match_text_behind(c->arena, SPIFFE, value));
}

// Wildcards become `any`; the rest is quoted. At most `max` of them count.
static const char *wildcard_regex(struct pd_arena *a, const char *value, const char *any, size_t max)
{
	const char *out = "";
	for (;; max--) {
		const char *star = max ? strchr(value, '*') : NULL;
		out = pd_arena_printf(a, "%s%s", out,
				      pd_regex_quote(a, value, star ? (size_t)(star - value) : strlen(value)));
		if (!star)
			return out;
		out = pd_arena_printf(a, "%s%s", out, any);
		value = star + 1;
	}
}

static void *source_namespace(const Context *c, const char *key, const char *value)
{
	(void)key;
	struct pd_arena *a = c->arena;
	const char *ns = wildcard_regex(a, value, ".*", SIZE_MAX);
	return peer(c, pd_match_regex(a, pd_arena_printf(a, ".*/ns/%s/.*", ns)));
}

static void *source_trust_domain(const Context *c, const char *key, const char *value)
{
	(void)key;
	struct pd_arena *a = c->arena;
	if (pd_streq(value, "*"))
		return peer(c, pd_match_prefix(a, SPIFFE));
	if (!strchr(value, '*'))
		return peer(c, pd_match_prefix(a, pd_arena_printf(a, SPIFFE "%s/", value)));
	const char *domain = wildcard_regex(a, value, "[^/]*", 1);
	return peer(c, pd_match_regex(a, pd_arena_printf(a, SPIFFE "%s/.*", domain)));
}

// "NS/SA", or "SA" of the policy's namespace. An identity may say more than namespace and account.
static void *source_account(const Context *c, const char *key, const char *value)
{
	(void)key;
	struct pd_arena *a = c->arena;
	const char *slash = strchr(value, '/'), *account = slash ? slash + 1 : value;
	const char *ns = slash ? value : c->policy_ns;
	const char *regex = pd_arena_printf(a, SPIFFE ".+/ns/%s/(.+/|)sa/%s(/.+)?",
					    pd_regex_quote(a, ns, slash ? (size_t)(slash - value) : strlen(ns)),
					    pd_regex_quote(a, account, strlen(account)));
	return peer(c, pd_match_regex(a, regex));
}

// ---- who, by request -------------------------------------------------------------------------------------------------------

static void *request_header(const Context *c, const char *key, const char *value)
{
	const char *name = strchr(key, '[');
	if (!name || !pd_has_suffix(name, "]"))
		return NULL;
	name = pd_arena_strndup(c->arena, name + 1, strlen(name) - 2);
	if (!*name)
		return NULL;
	Principal *p = principal(c->arena, ID(HEADER));
	p->header = pd_match_header(c->arena, name, value, false);
	return p;
}

static void *claim_term(const Context *c, const char *const *path, size_t n, EnvoyValueMatcher *value)
{
	Principal *p = principal(c->arena, ID(METADATA));
	p->metadata = pd_match_metadata(c->arena, JWT_FILTER, path, n, value);
	return p;
}

static void *identity_claim(const Context *c, const char *claim, EnvoyStringMatcher *text)
{
	const char *way[] = {"payload", claim};
	return claim_term(c, way, 2, pd_match_value(c->arena, text));
}

// "ISSUER/SUBJECT". The issuer may be a URL, so the last slash divides. A wildcard counts at one end only.
static void *request_principal_term(const Context *c, const char *value)
{
	struct pd_arena *a = c->arena;
	const char *slash = strrchr(value, '/');
	const char *iss = slash ? pd_arena_strndup(a, value, (size_t)(slash - value)) : value;
	const char *sub = slash ? slash + 1 : "";
	EnvoyStringMatcher *mi, *ms;
	if (pd_streq(value, "*")) {
		mi = pd_match_text(a, "*");
		ms = pd_match_text(a, "*");
	} else if (*value == '*') {
		mi = pd_match_text(a, slash ? iss : "*");
		ms = slash ? pd_match_exact(a, sub) : pd_match_suffix(a, value + 1);
	} else if (pd_has_suffix(value, "*")) {
		mi = slash ? pd_match_exact(a, iss) : pd_match_text(a, value);
		ms = pd_match_text(a, slash ? sub : "*");
	} else {
		mi = pd_match_exact(a, iss);
		ms = pd_match_exact(a, sub);
	}
	struct terms both = {0};
	pd_vec_push_a(a, &both, identity_claim(c, "iss", mi));
	pd_vec_push_a(a, &both, identity_claim(c, "sub", ms));
	return pd_authz_and(a, AUTHZ_PRINCIPAL, &both);
}

static void *request_principal(const Context *c, const char *key, const struct pd_texts *values)
{
	(void)key;
	struct terms t = {0};
	for (size_t i = 0; i < values->n; i++)
		pd_vec_push_a(c->arena, &t, request_principal_term(c, values->v[i]));
	return t.n == 1 ? t.v[0] : pd_authz_or(c->arena, AUTHZ_PRINCIPAL, &t);
}

// A claim may be a text or a list of texts.
static void *claim(const Context *c, const char *const *way, size_t n, const struct pd_texts *values)
{
	struct pd_arena *a = c->arena;
	struct {
		EnvoyValueMatcher **v;
		size_t n, cap;
	} found = {0};
	for (size_t i = 0; i < values->n; i++)
		pd_vec_push_a(a, &found, pd_match_value(a, pd_match_text(a, values->v[i])));
	EnvoyValueMatcher *text = pd_match_one_of(a, found.v, found.n);
	EnvoyValueMatcher *either[] = {pd_match_in_list(a, text), text};
	return claim_term(c, way, n, pd_match_one_of(a, either, 2));
}

static void *request_audiences(const Context *c, const char *key, const struct pd_texts *values)
{
	(void)key;
	const char *way[] = {"payload", "aud"};
	return claim(c, way, 2, values);
}

static void *request_presenter(const Context *c, const char *key, const struct pd_texts *values)
{
	(void)key;
	const char *way[] = {"payload", "azp"};
	return claim(c, way, 2, values);
}

// "[a][b]" is a way of two names; where brackets are not in pairs, all between the first and the last is one name.
static void *request_claims(const Context *c, const char *key, const struct pd_texts *values)
{
	struct pd_arena *a = c->arena;
	struct pd_texts way = {0};
	const char *rest = strchr(key, '[');
	if (!rest || !pd_has_suffix(rest, "]"))
		return NULL;
	pd_vec_push_a(a, &way, "payload");
	for (const char *p = rest; *p;) {
		size_t n = *p == '[' ? strcspn(p + 1, "[]") : 0;
		if (*p != '[' || p[1 + n] != ']') {
			way.n = 1;
			pd_vec_push_a(a, &way, pd_arena_strndup(a, rest + 1, strlen(rest) - 2));
			break;
		}
		pd_vec_push_a(a, &way, pd_arena_strndup(a, p + 1, n));
		p += n + 2;
	}
	for (size_t i = 0; i < way.n; i++)
		if (!*way.v[i])
			return NULL; // Envoy refuses it
	return claim(c, way.v, way.n, values);
}

// ---- the table -----------------------------------------------------------------------------------------------------------

#define P AUTHZ_PERMISSION
#define I AUTHZ_PRINCIPAL
const struct authz_attribute pd_authz_attributes[AUTHZ_ATTRIBUTES] = {
	[AUTHZ_HOST] = {.key = "hosts", .http_only = true, .half = P, .one = host},
	[AUTHZ_METHOD] = {.key = "methods", .http_only = true, .half = P, .one = method},
	[AUTHZ_PATH] = {.key = "paths", .http_only = true, .half = P, .one = path},
	[AUTHZ_DESTINATION_IP] = {.key = "destination.ip", .half = P, .one = destination_ip},
	[AUTHZ_DESTINATION_PORT] = {.key = "destination.port", .half = P, .one = destination_port},
	[AUTHZ_SNI] = {.key = "connection.sni", .half = P, .one = sni},
	[AUTHZ_ENVOY_FILTER] = {.key = "experimental.envoy.filters.", .bracket = true, .half = P, .all = envoy_filter},
	[AUTHZ_SOURCE_IP] = {.key = "source.ip", .half = I, .one = source_ip},
	[AUTHZ_REMOTE_IP] = {.key = "remote.ip", .half = I, .one = remote_ip},
	[AUTHZ_SOURCE_NAMESPACE] = {.key = "source.namespace", .half = I, .one = source_namespace},
	[AUTHZ_SOURCE_TRUST_DOMAIN] = {.key = "source.trustDomain",
				       .trust = AUTHZ_TRUST_DOMAINS,
				       .half = I,
				       .one = source_trust_domain},
	[AUTHZ_SOURCE_ACCOUNT] = {.key = "source.serviceAccount", .half = I, .one = source_account},
	[AUTHZ_SOURCE_PRINCIPAL] = {.key = "source.principal",
				    .trust = AUTHZ_TRUST_PRINCIPALS,
				    .half = I,
				    .one = source_principal},
	[AUTHZ_REQUEST_PRINCIPAL] = {.key = "request.auth.principal",
				     .http_only = true,
				     .half = I,
				     .all = request_principal},
	[AUTHZ_REQUEST_AUDIENCES] = {.key = "request.auth.audiences",
				     .http_only = true,
				     .half = I,
				     .all = request_audiences},
	[AUTHZ_REQUEST_PRESENTER] = {.key = "request.auth.presenter",
				     .http_only = true,
				     .half = I,
				     .all = request_presenter},
	[AUTHZ_REQUEST_HEADER] =
		{.key = "request.headers", .bracket = true, .http_only = true, .half = I, .one = request_header},
	[AUTHZ_REQUEST_CLAIMS] =
		{.key = "request.auth.claims", .bracket = true, .http_only = true, .half = I, .all = request_claims},
};
#undef P
#undef I

const struct authz_attribute *pd_authz_condition(const char *key)
{
	for (size_t i = AUTHZ_DESTINATION_IP; i < AUTHZ_ATTRIBUTES; i++) {
		const struct authz_attribute *attribute = &pd_authz_attributes[i];
		if (attribute->bracket ? pd_has_prefix(key, attribute->key) : pd_streq(key, attribute->key))
			return attribute;
	}
	return NULL;
}
