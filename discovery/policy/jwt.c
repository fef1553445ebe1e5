#include "discovery/policy/jwt.h"

#include "api/pb.h"
#include "base/str.h"
#include "config/jwks.h"
#include "discovery/build.h"
#include "discovery/policy/attach.h"
#include "discovery/policy/matcher.h"
#include "discovery/provider.h"
#include "envoy/config/core/v3/http_uri.pb-c.h"
#include "envoy/config/route/v3/route_components.pb-c.h"
#include "envoy/extensions/filters/http/jwt_authn/v3/config.pb-c.h"
#include "istio/security/request_authentication.pb-c.h"
#include "pilotd/jwks.pb-c.h"

#define JWT(name) ENVOY__EXTENSIONS__FILTERS__HTTP__JWT_AUTHN__V3__##name
#define NEW(a, name) pb_new((a), &envoy__extensions__filters__http__jwt_authn__v3__##name##__descriptor)

typedef Istio__RequestAuthentication RequestAuthentication;
typedef Envoy__Extensions__Filters__Http__JwtAuthn__V3__JwtProvider JwtProvider;
typedef Envoy__Extensions__Filters__Http__JwtAuthn__V3__JwtRequirement JwtRequirement;
typedef Envoy__Extensions__Filters__Http__JwtAuthn__V3__JwtAuthentication JwtAuthentication;

enum { FETCH_TIMEOUT_S = 5, CACHE_S = 300 };

// ---- which rules hold ------------------------------------------------------------------------------------------------------

struct rule {
	const struct pd_object *object;
	const Istio__JWTRule *spec;
	size_t order;
};
struct rules {
	struct rule *v;
	size_t n, cap;
};

static void select_in(struct pd_tx *tx, const char *ns, struct rules *out)
{
	const struct pd_posting *found = tx_posting(tx, PD_IX_REQUEST_AUTHN_BY_NS, ns);
	for (size_t i = 0; i < found->n; i++) {
		const RequestAuthentication *p = (const RequestAuthentication *)found->v[i]->spec;
		const struct pd_policy_scope scope = {p->selector, p->targetref, p->targetrefs, p->n_targetrefs};
		if (!pd_policy_attached(tx, ns, &scope))
			continue;
		tx_use(tx, found->v[i]);
		for (size_t k = 0; k < p->n_jwt_rules; k++)
			pd_vec_push_a(tx->arena, out, (struct rule){found->v[i], p->jwt_rules[k], out->n});
	}
}

static int cmp_rule(const void *x, const void *y)
{
	const struct rule *a = x, *b = y;
	int c = strcmp(a->spec->issuer, b->spec->issuer);
	return c ? c : (a->order > b->order) - (a->order < b->order);
}

static struct rules rules_of(struct pd_tx *tx)
{
	struct rules out = {0};
	const char *root = tx_mesh(tx)->root_namespace;
	select_in(tx, tx->key->ns, &out);
	if (!pd_streq(tx->key->ns, root))
		select_in(tx, root, &out);
	pd_sort(out.v, out.n, sizeof(out.v[0]), cmp_rule);
	return out;
}

// ---- keys --------------------------------------------------------------------------------------------------------------------

// Stands for keys that could not be had: a public key whose private half nobody has, so that no token passes. These are the bytes
// that istiod sends, so that a proxy cannot tell.
static const char no_keys[] =
	"{\n"
	"  \"keys\": [\n"
	"    {\n"
	"      \"kty\": \"RSA\",\n"
	"      \"e\": \"AQAB\",\n"
	"      \"n\": \"0xObjM0UvS_oaazjpEYlAbwctEJ4L8pH3OuTb7qth7gUwqet-EzQB4dgFdvSdMgrLnSncQGRjpEYz3F3viIbH-"
	"3EN3TxSlPNviHxeOdyiBVfumN8dMxbLvVJUpfNOnvmMxJcl-8NNjAwcOjk4otSALaYgYYyOPyvKtgVdrQr-FoubWX4yrjxW-MJ2-"
	"7OBeepUUNOsVwGV23YX03sVkkyvY3otRflkBcY3_HKpBxJl9wk2GyOShN4_PNUF9-vwfnvOXMbCDX-w4PTef4geeb_"
	"GiT40YCKHTKMSPVanGRn5GExIWmki-mmqh94-mPTJyBR74ShspL3BxPZitDL574T1w\"\n"
	"    }\n"
	"  ]\n"
	"}";

static const char *fetched_keys(struct pd_tx *tx, const Istio__JWTRule *r)
{
	const char *name = pd_jwks_name(tx->arena, r->issuer, r->jwks_uri);
	const struct pd_object *o = tx_object(tx, PD_KIND_JSON_WEB_KEY_SET, "", name);
	const char *keys = o ? ((const Pilotd__JsonWebKeySet *)o->spec)->keys : "";
	return pd_jwks_usable(keys, strlen(keys)) ? keys : no_keys;
}

// istiod passes on what the user wrote; so do we to its own proxies, but a stock Envoy must not be told what it refuses.
static const char *given_keys(struct pd_tx *tx, const Istio__JWTRule *r)
{
	bool istio = tx->key->caps & PD_CAP_METADATA_EXCHANGE_HTTP;
	return istio || pd_jwks_usable(r->jwks, strlen(r->jwks)) ? r->jwks : no_keys;
}

static void set_local_keys(struct pd_tx *tx, JwtProvider *p, const Istio__JWTRule *r)
{
	const char *keys = pd_empty(r->jwks) ? fetched_keys(tx, r) : given_keys(tx, r);
	p->jwks_source_specifier_case = JWT(JWT_PROVIDER__JWKS_SOURCE_SPECIFIER_LOCAL_JWKS);
	p->local_jwks = pb_new(tx->arena, &envoy__config__core__v3__data_source__descriptor);
	p->local_jwks->specifier_case = ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_INLINE_STRING;
	p->local_jwks->inline_string = (char *)keys;
}

// The proxy fetches them itself, through a cluster.
static void set_remote_keys(struct pd_arena *a, JwtProvider *p, const Istio__JWTRule *r, const char *cluster)
{
	Envoy__Config__Core__V3__HttpUri *uri = pb_new(a, &envoy__config__core__v3__http_uri__descriptor);
	uri->uri = r->jwks_uri;
	uri->http_upstream_type_case = ENVOY__CONFIG__CORE__V3__HTTP_URI__HTTP_UPSTREAM_TYPE_CLUSTER;
	uri->cluster = (char *)cluster;
	uri->timeout = r->timeout ? r->timeout : pb_duration(a, FETCH_TIMEOUT_S, 0);
	p->jwks_source_specifier_case = JWT(JWT_PROVIDER__JWKS_SOURCE_SPECIFIER_REMOTE_JWKS);
	p->remote_jwks = NEW(a, remote_jwks);
	p->remote_jwks->http_uri = uri;
	p->remote_jwks->cache_duration = pb_duration(a, CACHE_S, 0);
}

static void set_keys(struct pd_tx *tx, JwtProvider *p, const Istio__JWTRule *r)
{
	enum pd_jwks_mode mode = tx->snap->settings->jwks_mode;
	struct pd_jwks_place place;
	if (mode == PD_JWKS_ISTIOD || pd_empty(r->jwks_uri) || pd_jwks_place(tx->arena, r->jwks_uri, &place) != PD_OK) {
		set_local_keys(tx, p, r);
		return;
	}
	struct pd_provider_target target = pd_provider_target(tx, place.host, place.port);
	if (!target.error)
		set_remote_keys(tx->arena, p, r, target.cluster);
	else if (mode == PD_JWKS_HYBRID)
		set_local_keys(tx, p, r);
	else // the cluster may come
		set_remote_keys(tx->arena, p, r, pd_cluster_name(tx->arena, "outbound", place.port, NULL, place.host));
}

// ---- providers ---------------------------------------------------------------------------------------------------------------

static int cmp_text(const void *x, const void *y)
{
	return strcmp(*(const char *const *)x, *(const char *const *)y);
}

// Claims that hold several values with blanks between them.
static void set_claims_with_blanks(struct pd_arena *a, JwtProvider *p, const Istio__JWTRule *r)
{
	p->normalize_payload_in_metadata = NEW(a, jwt_provider__normalize_payload);
	char ***v = &p->normalize_payload_in_metadata->space_delimited_claims;
	PB_PUSH(a, p->normalize_payload_in_metadata, space_delimited_claims, "permission");
	PB_PUSH(a, p->normalize_payload_in_metadata, space_delimited_claims, "scope");
	for (size_t i = 0; i < r->n_space_delimited_claims; i++)
		PB_PUSH(a, p->normalize_payload_in_metadata, space_delimited_claims, r->space_delimited_claims[i]);
	size_t n = p->normalize_payload_in_metadata->n_space_delimited_claims, kept = 0;
	pd_sort(*v, n, sizeof(**v), cmp_text);
	for (size_t i = 0; i < n; i++)
		if (!kept || !pd_streq((*v)[i], (*v)[kept - 1]))
			(*v)[kept++] = (*v)[i];
	p->normalize_payload_in_metadata->n_space_delimited_claims = kept;
}

static bool is_header(struct pd_tx *tx, const struct rule *rule, const char *field, const char *name)
{
	if (pd_is_header_name(name))
		return true;
	tx_issue(tx, rule->object, field, "left out: \"%s\" is no name of a header", name);
	return false;
}

#define CLAIM_TO_HEADERS "spec.jwtRules.outputClaimToHeaders"

static void set_headers(struct pd_tx *tx, JwtProvider *p, const struct rule *rule)
{
	struct pd_arena *a = tx->arena;
	const Istio__JWTRule *r = rule->spec;
	for (size_t i = 0; i < r->n_output_claim_to_headers; i++) {
		const Istio__ClaimToHeader *from = r->output_claim_to_headers[i];
		if (!is_header(tx, rule, CLAIM_TO_HEADERS, from->header))
			continue;
		if (pd_empty(from->claim)) {
			tx_issue(tx, rule->object, CLAIM_TO_HEADERS ".claim", "left out: it names no claim");
			continue;
		}
		Envoy__Extensions__Filters__Http__JwtAuthn__V3__JwtClaimToHeader *h = NEW(a, jwt_claim_to_header);
		h->header_name = from->header;
		h->claim_name = from->claim;
		PB_PUSH(a, p, claim_to_headers, h);
	}
	for (size_t i = 0; i < r->n_from_headers; i++) {
		if (!is_header(tx, rule, "spec.jwtRules.fromHeaders", r->from_headers[i]->name))
			continue;
		Envoy__Extensions__Filters__Http__JwtAuthn__V3__JwtHeader *h = NEW(a, jwt_header);
		h->name = r->from_headers[i]->name;
		h->value_prefix = r->from_headers[i]->prefix;
		PB_PUSH(a, p, from_headers, h);
	}
}

static JwtProvider *provider(struct pd_tx *tx, const struct rule *rule)
{
	struct pd_arena *a = tx->arena;
	const Istio__JWTRule *r = rule->spec;
	JwtProvider *p = NEW(a, jwt_provider);
	p->issuer = r->issuer;
	p->audiences = r->audiences;
	p->n_audiences = r->n_audiences;
	p->forward = r->forward_original_token;
	p->forward_payload_header = r->output_payload_to_header;
	p->payload_in_metadata = "payload";
	p->clear_route_cache = tx->key->type != PD_NODE_SIDECAR; // routes there may depend on claims
	set_claims_with_blanks(a, p, r);
	set_headers(tx, p, rule);
	p->from_params = r->from_params;
	p->n_from_params = r->n_from_params;
	p->from_cookies = r->from_cookies;
	p->n_from_cookies = r->n_from_cookies;
	set_keys(tx, p, r);
	return p;
}

// ---- requirements --------------------------------------------------------------------------------------------------------------

static JwtRequirement *by_provider(struct pd_arena *a, const char *name)
{
	JwtRequirement *r = NEW(a, jwt_requirement);
	r->requires_type_case = JWT(JWT_REQUIREMENT__REQUIRES_TYPE_PROVIDER_NAME);
	r->provider_name = (char *)name;
	return r;
}

static JwtRequirement *any_of(struct pd_arena *a)
{
	JwtRequirement *r = NEW(a, jwt_requirement);
	r->requires_type_case = JWT(JWT_REQUIREMENT__REQUIRES_TYPE_REQUIRES_ANY);
	r->requires_any = NEW(a, jwt_requirement_or_list);
	return r;
}

static JwtRequirement *valid_or_missing(struct pd_arena *a, const char *name)
{
	JwtRequirement *missing = NEW(a, jwt_requirement), *either = any_of(a);
	missing->requires_type_case = JWT(JWT_REQUIREMENT__REQUIRES_TYPE_ALLOW_MISSING);
	missing->allow_missing = pb_new(a, &google__protobuf__empty__descriptor);
	PB_PUSH(a, either->requires_any, requirements, by_provider(a, name));
	PB_PUSH(a, either->requires_any, requirements, missing);
	return either;
}

// One provider: a token that is there must be good. Several: each that is there must be good; or one is enough, since providers
// may look at the same place, where each finds the other's token bad.
static JwtRequirement *requirement(struct pd_arena *a, const JwtAuthentication *f)
{
	if (f->n_providers == 1)
		return valid_or_missing(a, f->providers[0]->key);
	JwtRequirement *any = any_of(a), *all = NEW(a, jwt_requirement);
	all->requires_type_case = JWT(JWT_REQUIREMENT__REQUIRES_TYPE_REQUIRES_ALL);
	all->requires_all = NEW(a, jwt_requirement_and_list);
	for (size_t i = 0; i < f->n_providers; i++) {
		PB_PUSH(a, any->requires_any, requirements, by_provider(a, f->providers[i]->key));
		PB_PUSH(a, all->requires_all, requirements, valid_or_missing(a, f->providers[i]->key));
	}
	PB_PUSH(a, any->requires_any, requirements, all);
	return any;
}

Google__Protobuf__Any *pd_jwt_filter(struct pd_tx *tx)
{
	struct pd_arena *a = tx->arena;
	struct rules rules = rules_of(tx);
	if (!rules.n)
		return NULL;
	JwtAuthentication *f = NEW(a, jwt_authentication);
	for (size_t i = 0; i < rules.n; i++) {
		Envoy__Extensions__Filters__Http__JwtAuthn__V3__JwtAuthentication__ProvidersEntry *e =
			NEW(a, jwt_authentication__providers_entry);
		e->key = pd_arena_printf(a, "origins-%zu", i);
		e->value = provider(tx, &rules.v[i]);
		PB_PUSH(a, f, providers, e);
	}
	Envoy__Extensions__Filters__Http__JwtAuthn__V3__RequirementRule *all = NEW(a, requirement_rule);
	all->match = pb_new(a, &envoy__config__route__v3__route_match__descriptor);
	all->match->path_specifier_case = ENVOY__CONFIG__ROUTE__V3__ROUTE_MATCH__PATH_SPECIFIER_PREFIX;
	all->match->prefix = "/";
	all->requirement_type_case = JWT(REQUIREMENT_RULE__REQUIREMENT_TYPE_REQUIRES);
	all->requires = requirement(a, f); // in the order of the issuers
	PB_PUSH(a, f, rules, all);
	f->bypass_cors_preflight = true;
	pb_canonicalise(f);
	return pb_any(a, f);
}
