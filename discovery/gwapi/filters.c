// Filters of HTTPRoute and GRPCRoute. (reference: gateway-api.md §6)
#include <ctype.h>

#include "api/pb.h"
#include "base/flags.h"
#include "base/str.h"
#include "discovery/gwapi/gwapi.h"

// Defaults of the API, which an API server fills in and a file may leave out.
enum { DEFAULT_MAX_AGE_S = 5, DEFAULT_REDIRECT_CODE = 302 };

Istio__StringMatch *pd_gw_match_exact(struct pd_arena *a, const char *s)
{
	Istio__StringMatch *m = pb_new(a, &istio__string_match__descriptor);
	m->match_type_case = ISTIO__STRING_MATCH__MATCH_TYPE_EXACT;
	m->exact = pd_arena_strdup(a, pd_or(s, ""));
	return m;
}

Istio__StringMatch *pd_gw_match_prefix(struct pd_arena *a, const char *s)
{
	Istio__StringMatch *m = pb_new(a, &istio__string_match__descriptor);
	m->match_type_case = ISTIO__STRING_MATCH__MATCH_TYPE_PREFIX;
	m->prefix = pd_arena_strdup(a, pd_or(s, ""));
	return m;
}

Istio__StringMatch *pd_gw_match_regex(struct pd_arena *a, const char *s)
{
	Istio__StringMatch *m = pb_new(a, &istio__string_match__descriptor);
	m->match_type_case = ISTIO__STRING_MATCH__MATCH_TYPE_REGEX;
	m->regex = pd_arena_strdup(a, pd_or(s, ""));
	return m;
}

Google__Protobuf__Duration *pd_gw_duration(struct pd_arena *a, const char *text)
{
	int64_t ns;
	if (pd_empty(text) || pd_parse_go_duration(text, &ns) != PD_OK || ns <= 0)
		return NULL;
	return pb_duration(a, ns / 1000000000, (int32_t)(ns % 1000000000));
}

// ---- headers -------------------------------------------------------------------------------------------------------------

static bool valid_value(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s == 0x7f || ((unsigned char)*s < 0x20 && *s != '\t'))
			return false;
	return true;
}

static bool valid_values(Gwapi__HTTPHeader *const *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!valid_value(pd_or(v[i]->value, "")))
			return false;
	return true;
}

static char *lower(struct pd_arena *a, const char *s)
{
	char *out = pd_arena_strdup(a, pd_or(s, ""));
	for (char *p = out; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	return out;
}

// Names are compared without regard to case; of equal ones the first counts. `set` and `add` entries have one shape.
static void add_set(struct pd_arena *a, Istio__Headers__HeaderOperations *ops, const Gwapi__HTTPHeader *h)
{
	char *name = lower(a, h->name);
	for (size_t i = 0; i < ops->n_set; i++)
		if (pd_streq(ops->set[i]->key, name))
			return;
	Istio__Headers__HeaderOperations__SetEntry *e =
		pb_new(a, &istio__headers__header_operations__set_entry__descriptor);
	e->key = name;
	e->value = pd_arena_strdup(a, pd_or(h->value, ""));
	PB_PUSH(a, ops, set, e);
}

static void add_add(struct pd_arena *a, Istio__Headers__HeaderOperations *ops, const Gwapi__HTTPHeader *h)
{
	char *name = lower(a, h->name);
	for (size_t i = 0; i < ops->n_add; i++)
		if (pd_streq(ops->add[i]->key, name))
			return;
	Istio__Headers__HeaderOperations__AddEntry *e =
		pb_new(a, &istio__headers__header_operations__add_entry__descriptor);
	e->key = name;
	e->value = pd_arena_strdup(a, pd_or(h->value, ""));
	PB_PUSH(a, ops, add, e);
}

static bool operations(struct pd_arena *a, const Gwapi__HTTPHeaderFilter *f, Istio__Headers__HeaderOperations **out)
{
	if (!valid_values(f->set, f->n_set) || !valid_values(f->add, f->n_add))
		return false;
	*out = pb_new(a, &istio__headers__header_operations__descriptor);
	for (size_t i = 0; i < f->n_set; i++)
		add_set(a, *out, f->set[i]);
	for (size_t i = 0; i < f->n_add; i++)
		add_add(a, *out, f->add[i]);
	for (size_t i = 0; i < f->n_remove; i++)
		PB_PUSH(a, *out, remove, f->remove[i]);
	return true;
}

static Istio__Headers *need_headers(struct pd_arena *a, Istio__Headers **h)
{
	if (!*h)
		*h = pb_new(a, &istio__headers__descriptor);
	return *h;
}

bool pd_gw_set_request_headers(struct pd_arena *a, const Gwapi__HTTPHeaderFilter *f, Istio__Headers **out)
{
	return !f || operations(a, f, &need_headers(a, out)->request);
}

bool pd_gw_set_response_headers(struct pd_arena *a, const Gwapi__HTTPHeaderFilter *f, Istio__Headers **out)
{
	return !f || operations(a, f, &need_headers(a, out)->response);
}

bool pd_gw_add_header_match(struct pd_arena *a, Istio__HTTPMatchRequest *m, const Gwapi__HTTPHeaderMatch *h)
{
	bool regex = pd_streq(h->type, "RegularExpression");
	if (h->type && !regex && !pd_streq(h->type, "Exact"))
		return false;
	Istio__HTTPMatchRequest__HeadersEntry *e = pb_new(a, &istio__httpmatch_request__headers_entry__descriptor);
	e->key = pd_arena_strdup(a, pd_or(h->name, ""));
	e->value = regex ? pd_gw_match_regex(a, h->value) : pd_gw_match_exact(a, h->value);
	PB_PUSH(a, m, headers, e);
	return true;
}

// ---- redirect, rewrite -----------------------------------------------------------------------------------------------------

static Istio__HTTPRedirect *redirect(struct pd_arena *a, const Gwapi__HTTPRequestRedirectFilter *f)
{
	Istio__HTTPRedirect *out = pb_new(a, &istio__httpredirect__descriptor);
	out->redirect_code = f->has_status_code ? (uint32_t)f->status_code : DEFAULT_REDIRECT_CODE;
	out->authority = (char *)pd_or(f->hostname, "");
	out->scheme = (char *)pd_or(f->scheme, "");
	if (f->has_port) {
		out->redirect_port_case = ISTIO__HTTPREDIRECT__REDIRECT_PORT_PORT;
		out->port = (uint32_t)f->port;
	} else { // no port: that of the request, or of the new scheme
		out->redirect_port_case = ISTIO__HTTPREDIRECT__REDIRECT_PORT_DERIVE_PORT;
		out->derive_port = f->scheme ? ISTIO__HTTPREDIRECT__REDIRECT_PORT_SELECTION__FROM_PROTOCOL_DEFAULT
					     : ISTIO__HTTPREDIRECT__REDIRECT_PORT_SELECTION__FROM_REQUEST_PORT;
	}
	if (f->path && pd_streq(f->path->type, "ReplaceFullPath"))
		out->uri = (char *)pd_or(f->path->replace_full_path, "");
	else if (f->path && pd_streq(f->path->type, "ReplacePrefixMatch"))
		out->prefix_rewrite = (char *)pd_or(f->path->replace_prefix_match, "");
	return out;
}

// NULL if nothing is rewritten.
static Istio__HTTPRewrite *rewrite(struct pd_arena *a, const Gwapi__HTTPURLRewriteFilter *f)
{
	Istio__HTTPRewrite *out = pb_new(a, &istio__httprewrite__descriptor);
	out->authority = (char *)pd_or(f->hostname, "");
	if (f->path && pd_streq(f->path->type, "ReplacePrefixMatch")) {
		const char *to = pd_or(f->path->replace_prefix_match, "");
		size_t n = strlen(to);
		n -= n && to[n - 1] == '/';
		out->uri = n ? pd_arena_strndup(a, to, n) : "/"; // "/" takes the prefix away
	} else if (f->path && pd_streq(f->path->type, "ReplaceFullPath")) {
		out->uri_regex_rewrite = pb_new(a, &istio__regex_rewrite__descriptor);
		out->uri_regex_rewrite->match = "/.*";
		out->uri_regex_rewrite->rewrite = (char *)pd_or(f->path->replace_full_path, "");
	}
	return *out->authority || !pd_empty(out->uri) || out->uri_regex_rewrite ? out : NULL;
}

// ---- mirrors ---------------------------------------------------------------------------------------------------------------

bool pd_gw_mirror(struct gw_pass *p, const struct gw_route *r, bool mesh, const Gwapi__HTTPRequestMirrorFilter *f,
		  Istio__HTTPRoute *out)
{
	struct pd_arena *a = p->arena;
	Istio__Destination *d = NULL;
	if (!f || !f->backend_ref)
		return true;
	const Gwapi__BackendObjectReference *ref = f->backend_ref;
	struct gw_backend b = {ref->group,    ref->kind,           ref->name, ref->namespace_,
			       ref->has_port, (uint32_t)ref->port, 1};
	if (pd_gw_destination(p, r, mesh, &b, &d) != GW_BACKEND_OK)
		return r->kind == GW_HTTP; // requests are served without their copies; a GRPCRoute is refused
	Istio__HTTPMirrorPolicy *m = pb_new(a, &istio__httpmirror_policy__descriptor);
	m->destination = d;
	if (f->fraction || f->has_percent) {
		m->percentage = pb_new(a, &istio__percent__descriptor);
		m->percentage->value = f->percent;
	}
	if (f->fraction) {
		int32_t of =
			f->fraction->has_denominator && f->fraction->denominator > 0 ? f->fraction->denominator : 100;
		m->percentage->value = 100.0 * f->fraction->numerator / of;
	}
	PB_PUSH(a, out, mirrors, m);
	return true;
}

// ---- CORS ------------------------------------------------------------------------------------------------------------------

// "*" is any origin as RFC 6454 writes them; a single "*" at the end makes a prefix, others a regular expression.
static Istio__StringMatch *origin(struct pd_arena *a, const char *s)
{
	const char *star = strchr(s, '*');
	if (pd_streq(s, "*"))
		return pd_gw_match_regex(a, "^[a-zA-Z][a-zA-Z0-9+.-]*://[^/\\s?#]+$");
	if (!star)
		return pd_gw_match_exact(a, s);
	if (!star[1])
		return pd_gw_match_prefix(a, pd_arena_strndup(a, s, (size_t)(star - s)));
	char *re = pd_arena_bytes(a, strlen(s) * 2 + 3), *at = re;
	*at++ = '^';
	for (; *s; s++) {
		if (*s == '*') {
			*at++ = '.';
			*at++ = '*';
			continue;
		}
		if (strchr("\\.+?()|[]{}^$", *s))
			*at++ = '\\';
		*at++ = *s;
	}
	*at++ = '$';
	*at = 0;
	return pd_gw_match_regex(a, re);
}

static Istio__CorsPolicy *cors(struct pd_arena *a, const Gwapi__HTTPCORSFilter *f)
{
	Istio__CorsPolicy *out = pb_new(a, &istio__cors_policy__descriptor);
	for (size_t i = 0; i < f->n_allow_origins; i++)
		if (*f->allow_origins[i])
			PB_PUSH(a, out, allow_origins, origin(a, f->allow_origins[i]));
	for (size_t i = 0; i < f->n_allow_methods; i++)
		PB_PUSH(a, out, allow_methods, f->allow_methods[i]);
	for (size_t i = 0; i < f->n_allow_headers; i++)
		PB_PUSH(a, out, allow_headers, f->allow_headers[i]);
	for (size_t i = 0; i < f->n_expose_headers; i++)
		PB_PUSH(a, out, expose_headers, f->expose_headers[i]);
	int32_t max_age = f->has_max_age ? f->max_age : DEFAULT_MAX_AGE_S;
	if (max_age > 0)
		out->max_age = pb_duration(a, max_age, 0);
	if (f->allow_credentials)
		out->allow_credentials = pb_bool(a, true);
	out->unmatched_preflights = ISTIO__CORS_POLICY__UNMATCHED_PREFLIGHTS__IGNORE;
	return out;
}

// ---- dispatch --------------------------------------------------------------------------------------------------------------

bool pd_gw_http_filter(struct gw_pass *p, const struct gw_route *r, bool mesh, const Gwapi__HTTPRouteFilter *f,
		       Istio__HTTPRoute *out)
{
	struct pd_arena *a = p->arena;
	if (pd_streq(f->type, "RequestHeaderModifier"))
		return pd_gw_set_request_headers(a, f->request_header_modifier, &out->headers);
	if (pd_streq(f->type, "ResponseHeaderModifier"))
		return pd_gw_set_response_headers(a, f->response_header_modifier, &out->headers);
	if (pd_streq(f->type, "RequestMirror"))
		return pd_gw_mirror(p, r, mesh, f->request_mirror, out);
	if (pd_streq(f->type, "RequestRedirect"))
		out->redirect = f->request_redirect ? redirect(a, f->request_redirect) : NULL;
	else if (pd_streq(f->type, "URLRewrite"))
		out->rewrite = f->url_rewrite ? rewrite(a, f->url_rewrite) : NULL;
	else if (pd_streq(f->type, "CORS"))
		out->cors_policy = f->cors ? cors(a, f->cors) : NULL;
	else
		return false;
	return true;
}
