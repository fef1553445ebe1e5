// Rules of HTTPRoutes as HTTP routes of a VirtualService. (reference: gateway-api.md §4 to §6)
#include <stdlib.h>

#include "api/pb.h"
#include "base/log.h"
#include "base/str.h"
#include "discovery/gwapi/gwapi.h"

enum { DEFAULT_RETRIES = 2 };

static void complain(const struct gw_route *r, size_t rule, const char *what)
{
	pd_warn("gwapi", "%s %s/%s: rule %zu: %s; the route is not served", pd_gw_kind_name(r->kind), r->object->key.ns,
		r->object->key.name, rule, what);
}

const char *pd_gw_rule_name(struct pd_arena *a, const struct gw_route *r, const char *name, size_t index)
{
	if (name)
		return name;
	return pd_arena_printf(a, "%s.%s.%zu", r->object->key.ns, r->object->key.name, index);
}

// ---- matches -------------------------------------------------------------------------------------------------------------

static bool set_path(struct pd_arena *a, Istio__HTTPMatchRequest *out, const Gwapi__HTTPPathMatch *path)
{
	const char *value = path && path->value ? path->value : "/", *type = path ? path->type : NULL;
	size_t n = strlen(value);
	if (!type || pd_streq(type, "PathPrefix")) {
		if (n > 1 && value[n - 1] == '/') // which says nothing
			value = pd_arena_strndup(a, value, n - 1);
		out->uri = pd_gw_match_prefix(a, value);
	} else if (pd_streq(type, "Exact")) {
		out->uri = pd_gw_match_exact(a, value);
	} else if (pd_streq(type, "RegularExpression")) {
		out->uri = pd_gw_match_regex(a, value);
	}
	return out->uri != NULL;
}

static bool add_query(struct pd_arena *a, Istio__HTTPMatchRequest *out, const Gwapi__HTTPQueryParamMatch *q)
{
	bool regex = pd_streq(q->type, "RegularExpression");
	if (q->type && !regex && !pd_streq(q->type, "Exact"))
		return false;
	Istio__HTTPMatchRequest__QueryParamsEntry *e =
		pb_new(a, &istio__httpmatch_request__query_params_entry__descriptor);
	e->key = pd_arena_strdup(a, pd_or(q->name, ""));
	e->value = regex ? pd_gw_match_regex(a, q->value) : pd_gw_match_exact(a, q->value);
	PB_PUSH(a, out, query_params, e);
	return true;
}

// NULL `m`: the default, everything. NULL result: a type that is not known.
static Istio__HTTPMatchRequest *match(struct pd_arena *a, const Gwapi__HTTPRouteMatch *m)
{
	Istio__HTTPMatchRequest *out = pb_new(a, &istio__httpmatch_request__descriptor);
	bool ok = set_path(a, out, m ? m->path : NULL);
	for (size_t i = 0; m && ok && i < m->n_headers; i++)
		ok = pd_gw_add_header_match(a, out, m->headers[i]);
	for (size_t i = 0; m && ok && i < m->n_query_params; i++)
		ok = add_query(a, out, m->query_params[i]);
	if (m && m->method)
		out->method = pd_gw_match_exact(a, m->method);
	pb_canonicalise(out);
	return ok ? out : NULL;
}

// ---- retries and timeouts --------------------------------------------------------------------------------------------------

static Istio__HTTPRetry *retry(struct pd_arena *a, const Gwapi__HTTPRouteRetry *r)
{
	const char *on = "connect-failure,refused-stream,unavailable,cancelled";
	Istio__HTTPRetry *out = pb_new(a, &istio__httpretry__descriptor);
	out->attempts = r->has_attempts ? r->attempts : DEFAULT_RETRIES;
	for (size_t i = 0; i < r->n_codes; i++)
		on = pd_arena_printf(a, "%s,%d", on, r->codes[i]);
	if (out->attempts)
		out->retry_on = (char *)on;
	out->backoff = pd_gw_duration(a, r->backoff);
	return out;
}

// The backend's timeout is that of a try where there are retries.
static void set_timeouts(struct pd_arena *a, const Gwapi__HTTPRouteTimeouts *t, Istio__HTTPRoute *out)
{
	Google__Protobuf__Duration *backend = pd_gw_duration(a, t->backend_request);
	out->timeout = pd_gw_duration(a, t->request);
	if (backend && out->retries)
		out->retries->per_try_timeout = backend;
	else if (backend)
		out->timeout = backend;
}

// ---- backends --------------------------------------------------------------------------------------------------------------

static bool backend_filters(struct pd_arena *a, const Gwapi__HTTPBackendRef *ref, Istio__HTTPRouteDestination *out)
{
	for (size_t i = 0; i < ref->n_filters; i++) {
		const Gwapi__HTTPRouteFilter *f = ref->filters[i];
		if (pd_streq(f->type, "RequestHeaderModifier")) {
			if (!pd_gw_set_request_headers(a, f->request_header_modifier, &out->headers))
				return false;
		} else if (pd_streq(f->type, "ResponseHeaderModifier")) {
			if (!pd_gw_set_response_headers(a, f->response_header_modifier, &out->headers))
				return false;
		} else {
			return false;
		}
	}
	return true;
}

static bool add_backends(struct gw_pass *p, const struct gw_route *r, bool mesh, const Gwapi__HTTPRouteRule *rule,
			 Istio__HTTPRoute *out)
{
	for (size_t i = 0; i < rule->n_backend_refs; i++) {
		struct gw_backend b = GW_BACKEND(rule->backend_refs[i]);
		if (!b.weight)
			continue;
		Istio__HTTPRouteDestination *d = pb_new(p->arena, &istio__httproute_destination__descriptor);
		d->weight = b.weight;
		if (pd_gw_destination(p, r, mesh, &b, &d->destination) == GW_BACKEND_HARD ||
		    !backend_filters(p->arena, rule->backend_refs[i], d))
			return false;
		PB_PUSH(p->arena, out, route, d);
	}
	if (out->n_route == 1)
		out->route[0]->weight = 0; // all of it
	return true;
}

static bool has_weight(const Gwapi__HTTPRouteRule *rule)
{
	for (size_t i = 0; i < rule->n_backend_refs; i++)
		if (!rule->backend_refs[i]->has_weight || rule->backend_refs[i]->weight > 0)
			return true;
	return false;
}

// ---- rules -----------------------------------------------------------------------------------------------------------------

// What all matches of a rule share. NULL: a mistake that spoils the route.
static Istio__HTTPRoute *rule_body(struct gw_pass *p, const struct gw_route *r, bool mesh,
				   const Gwapi__HTTPRouteRule *rule, size_t index)
{
	struct pd_arena *a = p->arena;
	Istio__HTTPRoute *out = pb_new(a, &istio__httproute__descriptor);
	out->name = (char *)pd_gw_rule_name(a, r, rule->name, index);
	for (size_t i = 0; i < rule->n_filters; i++) {
		if (pd_gw_http_filter(p, r, mesh, rule->filters[i], out))
			continue;
		complain(r, index, "a filter is not supported or invalid");
		return NULL;
	}
	if (rule->retry)
		out->retries = retry(a, rule->retry);
	if (rule->timeouts)
		set_timeouts(a, rule->timeouts, out);
	if (!out->redirect && !has_weight(rule)) { // nobody to answer
		out->direct_response = pb_new(a, &istio__httpdirect_response__descriptor);
		out->direct_response->status = 500;
	} else if (!add_backends(p, r, mesh, rule, out)) {
		complain(r, index, "a backend is malformed or has a filter that is not supported");
		return NULL;
	}
	return out;
}

bool pd_gw_convert_http(struct gw_pass *p, const struct gw_route *r, bool mesh, struct gw_http_routes *out)
{
	const Gwapi__HTTPRouteSpec *spec = (const Gwapi__HTTPRouteSpec *)r->object->spec;
	for (size_t i = 0; i < spec->n_rules; i++) {
		const Gwapi__HTTPRouteRule *rule = spec->rules[i];
		const Istio__HTTPRoute *body = rule_body(p, r, mesh, rule, i);
		if (!body)
			return false;
		for (size_t k = 0; k < (rule->n_matches ? rule->n_matches : 1) && out->n < GW_MATCHES_MAX; k++) {
			Istio__HTTPMatchRequest *m = match(p->arena, rule->n_matches ? rule->matches[k] : NULL);
			if (!m) {
				complain(r, i, "a match has an unknown type");
				return false;
			}
			Istio__HTTPRoute *route = pb_new(p->arena, &istio__httproute__descriptor);
			*route = *body;
			PB_PUSH(p->arena, route, match, m);
			pd_vec_push_a(p->arena, out, route);
		}
	}
	return true;
}

// ---- order -----------------------------------------------------------------------------------------------------------------

struct ranked {
	Istio__HTTPRoute *route;
	size_t index;
	int rank;
	size_t length;
};

static int rank(const Istio__StringMatch *uri)
{
	switch (uri ? uri->match_type_case : ISTIO__STRING_MATCH__MATCH_TYPE__NOT_SET) {
	case ISTIO__STRING_MATCH__MATCH_TYPE_EXACT:
		return 3;
	case ISTIO__STRING_MATCH__MATCH_TYPE_PREFIX:
		return 2;
	case ISTIO__STRING_MATCH__MATCH_TYPE_REGEX:
		return 1;
	default:
		return -1;
	}
}

#define DESCENDING(x, y) (((x) < (y)) - ((x) > (y)))

static int cmp_ranked(const void *x, const void *y)
{
	const struct ranked *a = x, *b = y;
	const Istio__HTTPMatchRequest *m = a->route->n_match ? a->route->match[0] : NULL;
	const Istio__HTTPMatchRequest *n = b->route->n_match ? b->route->match[0] : NULL;
	int c = DESCENDING(m != NULL, n != NULL); // without a match: last
	if (!c && m) {
		c = DESCENDING(a->rank, b->rank);
		c = c ? c : DESCENDING(a->length, b->length);
		c = c ? c : DESCENDING(m->method != NULL, n->method != NULL);
		c = c ? c : DESCENDING(m->n_headers, n->n_headers);
		c = c ? c : DESCENDING(m->n_query_params, n->n_query_params);
	}
	return c ? c : (a->index > b->index) - (a->index < b->index);
}

void pd_gw_sort_http(struct pd_arena *a, Istio__HTTPRoute **v, size_t n)
{
	struct ranked *r = pd_arena_alloc(a, (n + 1) * sizeof(*r));
	for (size_t i = 0; i < n; i++) {
		const Istio__StringMatch *uri = v[i]->n_match ? v[i]->match[0]->uri : NULL;
		r[i] = (struct ranked){v[i], i, rank(uri), 0};
		if (uri && r[i].rank > 0)
			r[i].length = strlen(pd_or(uri->exact, "")); // the members of the oneof are all strings
	}
	qsort(r, n, sizeof(*r), cmp_ranked);
	for (size_t i = 0; i < n; i++)
		v[i] = r[i].route;
}
