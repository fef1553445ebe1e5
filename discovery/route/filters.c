// What a route tells filters (fault injection, CORS) and the actions that end a request (redirect, direct response).
#include "api/pb.h"
#include "base/str.h"
#include "discovery/route/route.h"
#include "envoy/extensions/filters/common/fault/v3/fault.pb-c.h"
#include "envoy/extensions/filters/http/cors/v3/cors.pb-c.h"
#include "envoy/extensions/filters/http/fault/v3/fault.pb-c.h"
#include "envoy/type/v3/percent.pb-c.h"

typedef Envoy__Extensions__Filters__Http__Fault__V3__HTTPFault EnvFault;
typedef Envoy__Extensions__Filters__Http__Cors__V3__CorsPolicy EnvCors;

Envoy__Type__V3__FractionalPercent *pd_percent(struct pd_arena *a, double percent)
{
	Envoy__Type__V3__FractionalPercent *p = pb_new(a, &envoy__type__v3__fractional_percent__descriptor);
	double parts = percent * 10000; // cut off, not rounded: as istiod does
	p->numerator = parts >= UINT32_MAX ? UINT32_MAX : parts > 0 ? (uint32_t)parts : 0;
	p->denominator = ENVOY__TYPE__V3__FRACTIONAL_PERCENT__DENOMINATOR_TYPE__MILLION;
	return p;
}

static void set_filter_config(struct pd_arena *a, EnvRoute *r, const char *filter, const void *config)
{
	Envoy__Config__Route__V3__Route__TypedPerFilterConfigEntry *e =
		pb_new(a, &envoy__config__route__v3__route__typed_per_filter_config_entry__descriptor);
	e->key = (char *)filter;
	e->value = pb_any(a, config);
	PB_PUSH(a, r, typed_per_filter_config, e);
}

// ---- fault injection ------------------------------------------------------------------------------------------------------

static const char *const grpc_codes[] =
	{"OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
	 "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
	 "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
	 "DATA_LOSS", "UNAUTHENTICATED"};

static uint32_t grpc_code(const char *name)
{
	for (uint32_t i = 0; i < sizeof(grpc_codes) / sizeof(grpc_codes[0]); i++)
		if (pd_streq(name, grpc_codes[i]))
			return i;
	return 2; // UNKNOWN
}

static void set_delay(struct pd_arena *a, EnvFault *f, const Istio__HTTPFaultInjection__Delay *delay)
{
	if (!delay || delay->http_delay_type_case != ISTIO__HTTPFAULT_INJECTION__DELAY__HTTP_DELAY_TYPE_FIXED_DELAY)
		return;
	f->delay = pb_new(a, &envoy__extensions__filters__common__fault__v3__fault_delay__descriptor);
	if (delay->percentage) {
		f->delay->percentage = pd_percent(a, delay->percentage->value);
	} else { // the old field counts whole per cent; absent means none at all
		f->delay->percentage = pb_new(a, &envoy__type__v3__fractional_percent__descriptor);
		f->delay->percentage->numerator = (uint32_t)delay->percent;
	}
	f->delay->fault_delay_secifier_case =
		ENVOY__EXTENSIONS__FILTERS__COMMON__FAULT__V3__FAULT_DELAY__FAULT_DELAY_SECIFIER_FIXED_DELAY;
	f->delay->fixed_delay = delay->fixed_delay;
}

static void set_abort(struct pd_arena *a, EnvFault *f, const Istio__HTTPFaultInjection__Abort *fault)
{
	if (!fault || !fault->error_type_case)
		return;
	f->abort = pb_new(a, &envoy__extensions__filters__http__fault__v3__fault_abort__descriptor);
	if (fault->percentage)
		f->abort->percentage = pd_percent(a, fault->percentage->value);
	if (fault->error_type_case == ISTIO__HTTPFAULT_INJECTION__ABORT__ERROR_TYPE_GRPC_STATUS) {
		f->abort->error_type_case =
			ENVOY__EXTENSIONS__FILTERS__HTTP__FAULT__V3__FAULT_ABORT__ERROR_TYPE_GRPC_STATUS;
		f->abort->grpc_status = grpc_code(fault->grpc_status);
	} else {
		f->abort->error_type_case =
			ENVOY__EXTENSIONS__FILTERS__HTTP__FAULT__V3__FAULT_ABORT__ERROR_TYPE_HTTP_STATUS;
		f->abort->http_status = (uint32_t)fault->http_status;
	}
}

// ---- CORS -----------------------------------------------------------------------------------------------------------------

static char *join(struct pd_arena *a, char *const *v, size_t n)
{
	struct pd_buf b = {0};
	for (size_t i = 0; i < n; i++)
		pd_buf_printf(&b, "%s%s", i ? "," : "", v[i]);
	char *out = pd_arena_strdup(a, b.p ? b.p : "");
	pd_buf_free(&b);
	return out;
}

static EnvCors *cors(struct pd_arena *a, const Istio__CorsPolicy *policy)
{
	EnvCors *c = pb_new(a, &envoy__extensions__filters__http__cors__v3__cors_policy__descriptor);
	for (size_t i = 0; i < policy->n_allow_origins; i++)
		if (policy->allow_origins[i]->match_type_case)
			PB_PUSH(a, c, allow_origin_string_match, pd_string_matcher(a, policy->allow_origins[i]));
	for (size_t i = 0; !policy->n_allow_origins && i < policy->n_allow_origin; i++) {
		Istio__StringMatch m = ISTIO__STRING_MATCH__INIT;
		m.match_type_case = ISTIO__STRING_MATCH__MATCH_TYPE_EXACT;
		m.exact = policy->allow_origin[i];
		PB_PUSH(a, c, allow_origin_string_match, pd_string_matcher(a, &m));
	}
	c->filter_enabled = pb_new(a, &envoy__config__core__v3__runtime_fractional_percent__descriptor);
	c->filter_enabled->default_value = pb_new(a, &envoy__type__v3__fractional_percent__descriptor);
	c->filter_enabled->default_value->numerator = 100;
	c->allow_methods = join(a, policy->allow_methods, policy->n_allow_methods);
	c->allow_headers = join(a, policy->allow_headers, policy->n_allow_headers);
	c->expose_headers = join(a, policy->expose_headers, policy->n_expose_headers);
	if (policy->max_age)
		c->max_age = pd_arena_printf(a, "%lld", (long long)policy->max_age->seconds);
	c->allow_credentials = policy->allow_credentials;
	c->forward_not_matching_preflights =
		pb_bool(a, policy->unmatched_preflights != ISTIO__CORS_POLICY__UNMATCHED_PREFLIGHTS__IGNORE);
	return c;
}

void pd_route_filter_config(struct pd_tx *tx, EnvRoute *r, const Istio__HTTPRoute *http)
{
	struct pd_arena *a = tx->arena;
	if (http->cors_policy) // map order: cors before fault
		set_filter_config(a, r, "envoy.filters.http.cors", cors(a, http->cors_policy));
	if (http->fault) {
		EnvFault *f = pb_new(a, &envoy__extensions__filters__http__fault__v3__httpfault__descriptor);
		set_delay(a, f, http->fault->delay);
		set_abort(a, f, http->fault->abort);
		set_filter_config(a, r, "envoy.filters.http.fault", f);
	}
}

// ---- redirect, direct response ----------------------------------------------------------------------------------------

static bool redirect_code(uint32_t code, int *out)
{
	switch (code) {
	case 0:
	case 301:
		*out = ENVOY__CONFIG__ROUTE__V3__REDIRECT_ACTION__REDIRECT_RESPONSE_CODE__MOVED_PERMANENTLY;
		return true;
	case 302:
		*out = ENVOY__CONFIG__ROUTE__V3__REDIRECT_ACTION__REDIRECT_RESPONSE_CODE__FOUND;
		return true;
	case 303:
		*out = ENVOY__CONFIG__ROUTE__V3__REDIRECT_ACTION__REDIRECT_RESPONSE_CODE__SEE_OTHER;
		return true;
	case 307:
		*out = ENVOY__CONFIG__ROUTE__V3__REDIRECT_ACTION__REDIRECT_RESPONSE_CODE__TEMPORARY_REDIRECT;
		return true;
	case 308:
		*out = ENVOY__CONFIG__ROUTE__V3__REDIRECT_ACTION__REDIRECT_RESPONSE_CODE__PERMANENT_REDIRECT;
		return true;
	default:
		return false;
	}
}

// A port that the scheme implies is left out of Location.
static uint32_t redirect_port(const struct pd_route_ctx *ctx, const Istio__HTTPRedirect *redirect)
{
	uint32_t port = 0;
	if (redirect->redirect_port_case == ISTIO__HTTPREDIRECT__REDIRECT_PORT_PORT)
		port = redirect->port;
	else if (redirect->redirect_port_case == ISTIO__HTTPREDIRECT__REDIRECT_PORT_DERIVE_PORT &&
		 redirect->derive_port == ISTIO__HTTPREDIRECT__REDIRECT_PORT_SELECTION__FROM_REQUEST_PORT)
		port = ctx->port;
	const char *scheme = pd_or(redirect->scheme, ctx->tls ? "https" : "http");
	if ((port == 80 && pd_streq(scheme, "http")) || (port == 443 && pd_streq(scheme, "https")))
		return 0;
	return port;
}

void pd_route_redirect(const struct pd_route_ctx *ctx, EnvRoute *r, const Istio__HTTPRedirect *redirect)
{
	struct pd_arena *a = ctx->tx->arena;
	int code;
	if (!redirect_code(redirect->redirect_code, &code)) {
		tx_issue(ctx->tx, ctx->vs->object, "spec.http.redirect.redirectCode", "%u is no redirect code",
			 redirect->redirect_code);
		return;
	}
	Envoy__Config__Route__V3__RedirectAction *out =
		pb_new(a, &envoy__config__route__v3__redirect_action__descriptor);
	out->response_code = code;
	out->host_redirect = redirect->authority;
	if (!pd_empty(redirect->prefix_rewrite)) {
		out->path_rewrite_specifier_case =
			ENVOY__CONFIG__ROUTE__V3__REDIRECT_ACTION__PATH_REWRITE_SPECIFIER_PREFIX_REWRITE;
		out->prefix_rewrite = redirect->prefix_rewrite;
	} else {
		out->path_rewrite_specifier_case =
			ENVOY__CONFIG__ROUTE__V3__REDIRECT_ACTION__PATH_REWRITE_SPECIFIER_PATH_REDIRECT;
		out->path_redirect = pd_arena_strdup(a, pd_or(redirect->uri, ""));
	}
	if (!pd_empty(redirect->scheme)) {
		out->scheme_rewrite_specifier_case =
			ENVOY__CONFIG__ROUTE__V3__REDIRECT_ACTION__SCHEME_REWRITE_SPECIFIER_SCHEME_REDIRECT;
		out->scheme_redirect = redirect->scheme;
	}
	out->port_redirect = redirect_port(ctx, redirect);
	r->action_case = ENVOY__CONFIG__ROUTE__V3__ROUTE__ACTION_REDIRECT;
	r->redirect = out;
}

void pd_route_direct_response(struct pd_tx *tx, EnvRoute *r, const Istio__HTTPDirectResponse *direct)
{
	struct pd_arena *a = tx->arena;
	Envoy__Config__Route__V3__DirectResponseAction *out =
		pb_new(a, &envoy__config__route__v3__direct_response_action__descriptor);
	out->status = direct->status;
	if (direct->body && direct->body->specifier_case) {
		out->body = pb_new(a, &envoy__config__core__v3__data_source__descriptor);
		if (direct->body->specifier_case == ISTIO__HTTPBODY__SPECIFIER_STRING) {
			out->body->specifier_case = ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_INLINE_STRING;
			out->body->inline_string = pd_arena_strdup(a, direct->body->string);
		} else {
			out->body->specifier_case = ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_INLINE_BYTES;
			out->body->inline_bytes = direct->body->bytes;
		}
	}
	r->action_case = ENVOY__CONFIG__ROUTE__V3__ROUTE__ACTION_DIRECT_RESPONSE;
	r->direct_response = out;
}
