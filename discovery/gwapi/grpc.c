// Rules of GRPCRoutes: a method is the path /SERVICE/METHOD. (reference: gateway-api.md §4)
#include "api/pb.h"
#include "base/log.h"
#include "base/str.h"
#include "discovery/gwapi/gwapi.h"

static void complain(const struct gw_route *r, size_t rule, const char *what)
{
	pd_warn("gwapi", "%s %s/%s: rule %zu: %s; the route is not served", pd_gw_kind_name(r->kind), r->object->key.ns,
		r->object->key.name, rule, what);
}

static bool set_method(struct pd_arena *a, Istio__HTTPMatchRequest *out, const Gwapi__GRPCMethodMatch *m)
{
	bool regex = pd_streq(m->type, "RegularExpression");
	if ((m->type && !regex && !pd_streq(m->type, "Exact")) || (!m->service && !m->method))
		return false;
	if (!m->service)
		out->uri = pd_gw_match_regex(a, pd_arena_printf(a, "/[^/]+/%s", m->method));
	else if (!m->method && regex)
		out->uri = pd_gw_match_regex(a, pd_arena_printf(a, "/%s/.+", m->service));
	else if (!m->method)
		out->uri = pd_gw_match_prefix(a, pd_arena_printf(a, "/%s/", m->service));
	else if (regex)
		out->uri = pd_gw_match_regex(a, pd_arena_printf(a, "/%s/%s", m->service, m->method));
	else
		out->uri = pd_gw_match_exact(a, pd_arena_printf(a, "/%s/%s", m->service, m->method));
	return true;
}

static Istio__HTTPMatchRequest *match(struct pd_arena *a, const Gwapi__GRPCRouteMatch *m)
{
	Istio__HTTPMatchRequest *out = pb_new(a, &istio__httpmatch_request__descriptor);
	bool ok = !m->method || set_method(a, out, m->method);
	for (size_t i = 0; ok && i < m->n_headers; i++)
		ok = pd_gw_add_header_match(a, out, m->headers[i]);
	pb_canonicalise(out);
	return ok ? out : NULL;
}

static bool filter(struct gw_pass *p, const struct gw_route *r, bool mesh, const Gwapi__GRPCRouteFilter *f,
		   Istio__HTTPRoute *out)
{
	if (pd_streq(f->type, "RequestHeaderModifier"))
		return pd_gw_set_request_headers(p->arena, f->request_header_modifier, &out->headers);
	if (pd_streq(f->type, "ResponseHeaderModifier"))
		return pd_gw_set_response_headers(p->arena, f->response_header_modifier, &out->headers);
	return pd_streq(f->type, "RequestMirror") && pd_gw_mirror(p, r, mesh, f->request_mirror, out);
}

static bool backend_filters(struct pd_arena *a, const Gwapi__GRPCBackendRef *ref, Istio__HTTPRouteDestination *out)
{
	for (size_t i = 0; i < ref->n_filters; i++) {
		const Gwapi__GRPCRouteFilter *f = ref->filters[i];
		bool request = pd_streq(f->type, "RequestHeaderModifier");
		if (!request && !pd_streq(f->type, "ResponseHeaderModifier"))
			return false;
		if (!(request ? pd_gw_set_request_headers(a, f->request_header_modifier, &out->headers)
			      : pd_gw_set_response_headers(a, f->response_header_modifier, &out->headers)))
			return false;
	}
	return true;
}

static bool add_backends(struct gw_pass *p, const struct gw_route *r, bool mesh, const Gwapi__GRPCRouteRule *rule,
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
		out->route[0]->weight = 0;
	return true;
}

static Istio__HTTPRoute *rule_body(struct gw_pass *p, const struct gw_route *r, bool mesh,
				   const Gwapi__GRPCRouteRule *rule, size_t index)
{
	struct pd_arena *a = p->arena;
	Istio__HTTPRoute *out = pb_new(a, &istio__httproute__descriptor);
	out->name = (char *)pd_gw_rule_name(a, r, rule->name, index);
	for (size_t i = 0; i < rule->n_filters; i++) {
		if (filter(p, r, mesh, rule->filters[i], out))
			continue;
		complain(r, index, "a filter is not supported or invalid");
		return NULL;
	}
	if (!add_backends(p, r, mesh, rule, out)) {
		complain(r, index, "a backend is malformed or has a filter that is not supported");
		return NULL;
	}
	if (!out->n_route) {
		out->direct_response = pb_new(a, &istio__httpdirect_response__descriptor);
		out->direct_response->status = 500;
	}
	return out;
}

bool pd_gw_convert_grpc(struct gw_pass *p, const struct gw_route *r, bool mesh, struct gw_http_routes *out)
{
	const Gwapi__GRPCRouteSpec *spec = (const Gwapi__GRPCRouteSpec *)r->object->spec;
	for (size_t i = 0; i < spec->n_rules; i++) {
		const Gwapi__GRPCRouteRule *rule = spec->rules[i];
		Istio__HTTPRoute *body = rule_body(p, r, mesh, rule, i);
		if (!body)
			return false;
		if (!rule->n_matches)
			pd_vec_push_a(p->arena, out, body);
		for (size_t k = 0; k < rule->n_matches && out->n < GW_MATCHES_MAX; k++) {
			Istio__HTTPMatchRequest *m = match(p->arena, rule->matches[k]);
			if (!m) {
				complain(r, i, "a match has an unknown type, or names neither service nor method");
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
