#include "discovery/policy/ext_authz.h"

#include <stdlib.h>

#include "api/pb.h"
#include "base/str.h"
#include "discovery/policy/matcher.h"
#include "discovery/provider.h"
#include "envoy/config/core/v3/grpc_service.pb-c.h"
#include "envoy/config/core/v3/http_uri.pb-c.h"
#include "envoy/type/v3/http_status.pb-c.h"

#define NEW_HTTP(a, name) pb_new((a), &envoy__extensions__filters__http__ext_authz__v3__##name##__descriptor)
#define NEW_CORE(a, name) pb_new((a), &envoy__config__core__v3__##name##__descriptor)

typedef Istio__MeshConfig__ExtensionProvider Provider;
typedef Istio__MeshConfig__ExtensionProvider__EnvoyExternalAuthorizationHttpProvider HttpProvider;
typedef Istio__MeshConfig__ExtensionProvider__EnvoyExternalAuthorizationGrpcProvider GrpcProvider;
typedef Istio__MeshConfig__ExtensionProvider__EnvoyExternalAuthorizationRequestBody RequestBody;
typedef Envoy__Extensions__Filters__Http__ExtAuthz__V3__ExtAuthz HttpFilter;
typedef Envoy__Extensions__Filters__Network__ExtAuthz__V3__ExtAuthz TcpFilter;

enum { DEFAULT_TIMEOUT_S = 600, PROVIDER_NAME_MAX = 63 };

// ---- what is wrong with a provider --------------------------------------------------------------------------------------

// Names become part of metadata and policy keys: lower case letters, digits and inner hyphens.
static bool name_ok(const char *name)
{
	size_t n = strlen(name);
	if (!n || n > PROVIDER_NAME_MAX || name[0] == '-' || name[n - 1] == '-')
		return false;
	return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

// The code of "503"; -1 if it is none that Envoy knows.
static int status_code(const char *text)
{
	char *end;
	long code = strtol(text, &end, 10);
	if (*end || !protobuf_c_enum_descriptor_get_value(&envoy__type__v3__status_code__descriptor, (int)code))
		return -1;
	return (int)code;
}

static bool has_bare_wildcard(char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (pd_streq(names[i], "*"))
			return true;
	return false;
}

static const char *http_error(const HttpProvider *p)
{
	if (!pd_empty(p->status_on_error) && status_code(p->status_on_error) < 0)
		return "statusOnError is no HTTP status";
	if (!pd_empty(p->path_prefix) && *p->path_prefix != '/')
		return "pathPrefix does not begin with a slash";
	if (has_bare_wildcard(p->include_request_headers_in_check, p->n_include_request_headers_in_check) ||
	    has_bare_wildcard(p->include_headers_in_check, p->n_include_headers_in_check) ||
	    has_bare_wildcard(p->headers_to_upstream_on_allow, p->n_headers_to_upstream_on_allow) ||
	    has_bare_wildcard(p->headers_to_downstream_on_deny, p->n_headers_to_downstream_on_deny) ||
	    has_bare_wildcard(p->headers_to_downstream_on_allow, p->n_headers_to_downstream_on_allow))
		return "\"*\" alone is not supported in a list of headers";
	return NULL;
}

// ---- parts of both ---------------------------------------------------------------------------------------------------------

static Google__Protobuf__Duration *timeout_of(struct pd_arena *a, Google__Protobuf__Duration *given)
{
	return given ? given : pb_duration(a, DEFAULT_TIMEOUT_S, 0);
}

// Only what the RBAC filter in front found to be the provider's business.
static EnvoyMetadataMatcher *enabled_by(struct pd_arena *a, const char *rbac, const char *provider)
{
	static const char *const way[] = {PD_EXT_AUTHZ_STAT_PREFIX "shadow_effective_policy_id"};
	EnvoyStringMatcher *key = pd_match_prefix(a, pd_arena_printf(a, PD_EXT_AUTHZ_KEY "-%s", provider));
	return pd_match_metadata(a, rbac, way, 1, pd_match_value(a, key));
}

static HttpFilter *http_filter(struct pd_arena *a, const char *provider, bool fail_open, const char *status,
			       const RequestBody *body)
{
	HttpFilter *f = NEW_HTTP(a, ext_authz);
	f->failure_mode_allow = fail_open;
	f->transport_api_version = ENVOY__CONFIG__CORE__V3__API_VERSION__V3;
	f->filter_enabled_metadata = enabled_by(a, "envoy.filters.http.rbac", provider);
	if (!pd_empty(status)) {
		f->status_on_error = pb_new(a, &envoy__type__v3__http_status__descriptor);
		f->status_on_error->code = status_code(status);
	}
	if (body) {
		f->with_request_body = NEW_HTTP(a, buffer_settings);
		f->with_request_body->max_request_bytes = body->max_request_bytes;
		f->with_request_body->allow_partial_message = body->allow_partial_message;
		f->with_request_body->pack_as_bytes = body->pack_as_bytes;
	}
	return f;
}

// ---- HTTP ------------------------------------------------------------------------------------------------------------------

static int cmp_header(const void *x, const void *y)
{
	const Envoy__Config__Core__V3__HeaderValue *a = *(void *const *)x, *b = *(void *const *)y;
	return strcmp(a->key, b->key);
}

static Envoy__Extensions__Filters__Http__ExtAuthz__V3__AuthorizationRequest *request_part(struct pd_arena *a,
											  const HttpProvider *p)
{
	if (!p->n_include_additional_headers_in_check)
		return NULL;
	Envoy__Extensions__Filters__Http__ExtAuthz__V3__AuthorizationRequest *r = NEW_HTTP(a, authorization_request);
	for (size_t i = 0; i < p->n_include_additional_headers_in_check; i++) {
		Envoy__Config__Core__V3__HeaderValue *h = NEW_CORE(a, header_value);
		h->key = p->include_additional_headers_in_check[i]->key;
		h->value = p->include_additional_headers_in_check[i]->value;
		PB_PUSH(a, r, headers_to_add, h);
	}
	pd_sort(r->headers_to_add, r->n_headers_to_add, sizeof(r->headers_to_add[0]), cmp_header);
	return r;
}

static Envoy__Extensions__Filters__Http__ExtAuthz__V3__AuthorizationResponse *response_part(struct pd_arena *a,
											    const HttpProvider *p)
{
	if (!p->n_headers_to_upstream_on_allow && !p->n_headers_to_downstream_on_deny &&
	    !p->n_headers_to_downstream_on_allow)
		return NULL;
	Envoy__Extensions__Filters__Http__ExtAuthz__V3__AuthorizationResponse *r = NEW_HTTP(a, authorization_response);
	r->allowed_upstream_headers =
		pd_match_header_names(a, p->headers_to_upstream_on_allow, p->n_headers_to_upstream_on_allow);
	r->allowed_client_headers =
		pd_match_header_names(a, p->headers_to_downstream_on_deny, p->n_headers_to_downstream_on_deny);
	r->allowed_client_headers_on_success =
		pd_match_header_names(a, p->headers_to_downstream_on_allow, p->n_headers_to_downstream_on_allow);
	return r;
}

static struct pd_ext_authz ask_http(struct pd_tx *tx, const char *name, const HttpProvider *p)
{
	struct pd_arena *a = tx->arena;
	struct pd_provider_target target = pd_provider_target(tx, p->service, p->port);
	struct pd_ext_authz out = {.error = target.error ? target.error : http_error(p)};
	if (out.error)
		return out;
	Envoy__Config__Core__V3__HttpUri *uri = NEW_CORE(a, http_uri);
	uri->uri = pd_arena_printf(a, "http://%s", target.host); // Envoy wants one, but goes by the cluster
	uri->timeout = timeout_of(a, p->timeout);
	uri->http_upstream_type_case = ENVOY__CONFIG__CORE__V3__HTTP_URI__HTTP_UPSTREAM_TYPE_CLUSTER;
	uri->cluster = (char *)target.cluster;
	out.http = http_filter(a, name, p->fail_open, p->status_on_error, p->include_request_body_in_check);
	out.http->services_case = ENVOY__EXTENSIONS__FILTERS__HTTP__EXT_AUTHZ__V3__EXT_AUTHZ__SERVICES_HTTP_SERVICE;
	out.http->http_service = NEW_HTTP(a, http_service);
	out.http->http_service->server_uri = uri;
	out.http->http_service->path_prefix = p->path_prefix;
	out.http->http_service->authorization_request = request_part(a, p);
	out.http->http_service->authorization_response = response_part(a, p);
	out.http->allowed_headers =
		p->n_include_request_headers_in_check
			? pd_match_header_names(a, p->include_request_headers_in_check,
						p->n_include_request_headers_in_check)
			: pd_match_header_names(a, p->include_headers_in_check, p->n_include_headers_in_check);
	return out;
}

// ---- gRPC ------------------------------------------------------------------------------------------------------------------

static struct pd_ext_authz ask_grpc(struct pd_tx *tx, const char *name, const GrpcProvider *p)
{
	struct pd_arena *a = tx->arena;
	struct pd_provider_target target = pd_provider_target(tx, p->service, p->port);
	struct pd_ext_authz out = {.error = target.error};
	if (!out.error && !pd_empty(p->status_on_error) && status_code(p->status_on_error) < 0)
		out.error = "statusOnError is no HTTP status";
	if (out.error)
		return out;
	Envoy__Config__Core__V3__GrpcService *service = NEW_CORE(a, grpc_service);
	service->target_specifier_case = ENVOY__CONFIG__CORE__V3__GRPC_SERVICE__TARGET_SPECIFIER_ENVOY_GRPC;
	service->envoy_grpc = NEW_CORE(a, grpc_service__envoy_grpc);
	service->envoy_grpc->cluster_name = (char *)target.cluster;
	service->envoy_grpc->authority = (char *)target.host; // the cluster's name is no valid one
	service->timeout = timeout_of(a, p->timeout);
	out.http = http_filter(a, name, p->fail_open, p->status_on_error, p->include_request_body_in_check);
	out.http->services_case = ENVOY__EXTENSIONS__FILTERS__HTTP__EXT_AUTHZ__V3__EXT_AUTHZ__SERVICES_GRPC_SERVICE;
	out.http->grpc_service = service;
	out.tcp = pb_new(a, &envoy__extensions__filters__network__ext_authz__v3__ext_authz__descriptor);
	out.tcp->stat_prefix = "tcp.";
	out.tcp->failure_mode_allow = p->fail_open;
	out.tcp->transport_api_version = ENVOY__CONFIG__CORE__V3__API_VERSION__V3;
	out.tcp->grpc_service = service;
	out.tcp->filter_enabled_metadata = enabled_by(a, "envoy.filters.network.rbac", name);
	return out;
}

// ---- providers -------------------------------------------------------------------------------------------------------------

#define PROVIDER(name) ISTIO__MESH_CONFIG__EXTENSION_PROVIDER__PROVIDER_##name

struct pd_ext_authz pd_ext_authz(struct pd_tx *tx, const char *provider)
{
	const Istio__MeshConfig *mesh = tx_mesh(tx);
	for (size_t i = 0; i < mesh->n_extension_providers; i++) {
		const Provider *p = mesh->extension_providers[i];
		bool http = p->provider_case == PROVIDER(ENVOY_EXT_AUTHZ_HTTP);
		if (!pd_streq(p->name, provider) || (!http && p->provider_case != PROVIDER(ENVOY_EXT_AUTHZ_GRPC)))
			continue;
		if (!name_ok(provider))
			return (struct pd_ext_authz){.error = "its name is no DNS label"};
		return http ? ask_http(tx, provider, p->envoy_ext_authz_http)
			    : ask_grpc(tx, provider, p->envoy_ext_authz_grpc);
	}
	return (struct pd_ext_authz){.error = "there is no such extension provider for authorization"};
}
