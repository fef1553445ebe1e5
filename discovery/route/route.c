// From the HTTP routes of a VirtualService to Envoy routes. (reference: §5, the table)
#include "discovery/route/route.h"

#include "api/pb.h"
#include "base/str.h"

// ---- what all routes share ---------------------------------------------------------------------------------------------

// No timeout is `0s`, not absent: Envoy's default would be 15 s.
static void set_timeout(struct pd_arena *a, EnvRouteAction *action, const Google__Protobuf__Duration *timeout)
{
	action->timeout = timeout ? (Google__Protobuf__Duration *)timeout : pb_duration(a, 0, 0);
	action->max_grpc_timeout = action->timeout;
}

static void set_cluster(EnvRouteAction *action, const char *cluster)
{
	action->cluster_specifier_case = ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__CLUSTER_SPECIFIER_CLUSTER;
	action->cluster = (char *)cluster;
}

static EnvRouteAction *route_action(struct pd_arena *a, EnvRoute *r)
{
	r->action_case = ENVOY__CONFIG__ROUTE__V3__ROUTE__ACTION_ROUTE;
	r->route = pb_new(a, &envoy__config__route__v3__route_action__descriptor);
	return r->route;
}

static Envoy__Config__Route__V3__Decorator *decorator(struct pd_arena *a, const char *operation)
{
	Envoy__Config__Route__V3__Decorator *d = pb_new(a, &envoy__config__route__v3__decorator__descriptor);
	d->operation = (char *)operation;
	return d;
}

EnvRoute *pd_route_default(struct pd_tx *tx, const char *cluster, const char *operation)
{
	struct pd_arena *a = tx->arena;
	EnvRoute *r = pb_new(a, &envoy__config__route__v3__route__descriptor);
	r->name = "default";
	r->match = pb_new(a, &envoy__config__route__v3__route_match__descriptor);
	r->match->path_specifier_case = ENVOY__CONFIG__ROUTE__V3__ROUTE_MATCH__PATH_SPECIFIER_PREFIX;
	r->match->prefix = "/";
	EnvRouteAction *action = route_action(a, r);
	set_cluster(action, cluster);
	set_timeout(a, action, NULL);
	action->retry_policy = pd_route_retry(tx, NULL, false);
	r->decorator = decorator(a, operation);
	return r;
}

bool pd_route_is_catch_all(const EnvRoute *r)
{
	const EnvRouteMatch *m = r->match;
	if (m->n_headers || m->n_query_parameters || m->n_dynamic_metadata)
		return false;
	switch (m->path_specifier_case) {
	case ENVOY__CONFIG__ROUTE__V3__ROUTE_MATCH__PATH_SPECIFIER_PREFIX:
		return pd_streq(m->prefix, "/");
	case ENVOY__CONFIG__ROUTE__V3__ROUTE_MATCH__PATH_SPECIFIER_SAFE_REGEX:
		return pd_streq(m->safe_regex->regex, "*") || pd_streq(m->safe_regex->regex, ".*");
	default:
		return false;
	}
}

// ---- names and marks -----------------------------------------------------------------------------------------------------

static char *route_name(struct pd_arena *a, const Istio__HTTPRoute *http, const Istio__HTTPMatchRequest *m)
{
	return m && !pd_empty(m->name) ? pd_arena_printf(a, "%s.%s", pd_or(http->name, ""), m->name)
				       : (char *)pd_or(http->name, "");
}

static Envoy__Config__Core__V3__Metadata *config_metadata(const struct pd_route_ctx *ctx)
{
	struct pd_arena *a = ctx->tx->arena;
	const struct pd_key *k = &ctx->vs->object->key;
	Google__Protobuf__Struct *fields = pb_struct_new(a);
	pb_struct_set_string(a, fields, "config",
			     pd_arena_printf(a, "/apis/networking.istio.io/v1/namespaces/%s/virtual-service/%s", k->ns,
					     k->name));
	Envoy__Config__Core__V3__Metadata *meta = pb_new(a, &envoy__config__core__v3__metadata__descriptor);
	Envoy__Config__Core__V3__Metadata__FilterMetadataEntry *e =
		pb_new(a, &envoy__config__core__v3__metadata__filter_metadata_entry__descriptor);
	e->key = "istio";
	e->value = fields;
	PB_PUSH(a, meta, filter_metadata, e);
	return meta;
}

// The name of the operation in traces: "HOST:PORT/path*" for one destination, "VSNAME:PORT/path*" otherwise.
static char *operation(const struct pd_route_ctx *ctx, const EnvRoute *r)
{
	struct pd_arena *a = ctx->tx->arena;
	const char *path = "/*";
	switch (r->match->path_specifier_case) {
	case ENVOY__CONFIG__ROUTE__V3__ROUTE_MATCH__PATH_SPECIFIER_PREFIX:
		path = pd_arena_printf(a, "%s*", r->match->prefix);
		break;
	case ENVOY__CONFIG__ROUTE__V3__ROUTE_MATCH__PATH_SPECIFIER_PATH:
		path = r->match->path;
		break;
	case ENVOY__CONFIG__ROUTE__V3__ROUTE_MATCH__PATH_SPECIFIER_SAFE_REGEX:
		path = r->match->safe_regex->regex;
		break;
	default:
		break;
	}
	struct pd_cluster_name c;
	if (r->action_case == ENVOY__CONFIG__ROUTE__V3__ROUTE__ACTION_ROUTE &&
	    r->route->cluster_specifier_case == ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__CLUSTER_SPECIFIER_CLUSTER &&
	    pd_cluster_name_parse(a, r->route->cluster, &c))
		return pd_arena_printf(a, "%s:%u%s", c.host, c.port, path);
	return pd_arena_printf(a, "%s:%u%s", ctx->vs->object->key.name, ctx->port, path);
}

static void add_request_headers(struct pd_arena *a, EnvRoute *r, const struct pd_header_ops *ops)
{
	for (size_t i = 0; i < ops->n_add; i++)
		PB_PUSH(a, r, request_headers_to_add, ops->add[i]);
	for (size_t i = 0; i < ops->n_remove; i++)
		PB_PUSH(a, r, request_headers_to_remove, ops->remove[i]);
}

static void add_response_headers(struct pd_arena *a, EnvRoute *r, const struct pd_header_ops *ops)
{
	for (size_t i = 0; i < ops->n_add; i++)
		PB_PUSH(a, r, response_headers_to_add, ops->add[i]);
	for (size_t i = 0; i < ops->n_remove; i++)
		PB_PUSH(a, r, response_headers_to_remove, ops->remove[i]);
}

static void set_host_rewrite(EnvRouteAction *action, const char *authority)
{
	if (pd_empty(authority))
		return;
	action->host_rewrite_specifier_case =
		ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__HOST_REWRITE_SPECIFIER_HOST_REWRITE_LITERAL;
	action->host_rewrite_literal = (char *)authority;
}

// ---- rewrites and mirrors ------------------------------------------------------------------------------------------------

static void set_regex_rewrite(struct pd_arena *a, EnvRouteAction *action, const char *pattern, const char *substitution)
{
	action->regex_rewrite = pb_new(a, &envoy__type__matcher__v3__regex_match_and_substitute__descriptor);
	action->regex_rewrite->pattern = pb_new(a, &envoy__type__matcher__v3__regex_matcher__descriptor);
	action->regex_rewrite->pattern->regex = (char *)pattern;
	action->regex_rewrite->substitution = (char *)substitution;
}

static const char *regex_quote(struct pd_arena *a, const char *s)
{
	char *out = pd_arena_bytes(a, strlen(s) * 2 + 1), *p = out;
	for (; *s; s++) {
		if (strchr("\\.+*?()|[]{}^$", *s))
			*p++ = '\\';
		*p++ = *s;
	}
	*p = 0;
	return out;
}

static void set_rewrite(const struct pd_route_ctx *ctx, EnvRoute *r, const Istio__HTTPRewrite *rewrite,
			const Istio__HTTPMatchRequest *m)
{
	static const char full_marker[] = "%FULLREPLACE()%";
	struct pd_arena *a = ctx->tx->arena;
	if (!rewrite)
		return;
	if (rewrite->uri_regex_rewrite) {
		set_regex_rewrite(a, r->route, rewrite->uri_regex_rewrite->match, rewrite->uri_regex_rewrite->rewrite);
		return;
	}
	if (pd_empty(rewrite->uri))
		return;
	bool prefix = m && m->uri && m->uri->match_type_case == ISTIO__STRING_MATCH__MATCH_TYPE_PREFIX;
	if (ctx->gateway_semantics && pd_has_prefix(rewrite->uri, full_marker)) {
		set_regex_rewrite(a, r->route, "/.*", rewrite->uri + strlen(full_marker));
	} else if (ctx->gateway_semantics && pd_streq(rewrite->uri, "/") && prefix) {
		// A plain prefix rewrite would leave two slashes, or none.
		const char *path =
			r->match->path_specifier_case ==
					ENVOY__CONFIG__ROUTE__V3__ROUTE_MATCH__PATH_SPECIFIER_PATH_SEPARATED_PREFIX
				? r->match->path_separated_prefix
				: m->uri->prefix;
		set_regex_rewrite(a, r->route, pd_arena_printf(a, "^%s(/?)(.*)", regex_quote(a, path)), "/\\2");
	} else {
		r->route->prefix_rewrite = rewrite->uri;
	}
}

static void add_mirror(const struct pd_route_ctx *ctx, EnvRouteAction *action, const Istio__Destination *d,
		       Envoy__Type__V3__FractionalPercent *fraction)
{
	struct pd_arena *a = ctx->tx->arena;
	const struct pd_service *svc;
	Envoy__Config__Route__V3__RouteAction__RequestMirrorPolicy *p =
		pb_new(a, &envoy__config__route__v3__route_action__request_mirror_policy__descriptor);
	p->cluster = (char *)pd_destination_cluster(ctx->tx, ctx->vs, d, ctx->port, &svc);
	p->runtime_fraction = pb_new(a, &envoy__config__core__v3__runtime_fractional_percent__descriptor);
	p->runtime_fraction->default_value = fraction;
	p->trace_sampled = pb_bool(a, false);
	p->disable_shadow_host_suffix_append = true;
	PB_PUSH(a, action, request_mirror_policies, p);
}

static Envoy__Type__V3__FractionalPercent *whole_percent(struct pd_arena *a, uint32_t percent)
{
	Envoy__Type__V3__FractionalPercent *p = pb_new(a, &envoy__type__v3__fractional_percent__descriptor);
	p->numerator = percent;
	return p;
}

// NULL: nothing is mirrored.
static Envoy__Type__V3__FractionalPercent *mirror_fraction(struct pd_arena *a, const Istio__Percent *percentage,
							   const Google__Protobuf__UInt32Value *whole)
{
	if (percentage)
		return percentage->value > 0 ? pd_percent(a, percentage->value) : NULL;
	if (whole)
		return whole->value > 0 ? whole_percent(a, whole->value) : NULL;
	return whole_percent(a, 100);
}

static void set_mirrors(const struct pd_route_ctx *ctx, EnvRouteAction *action, const Istio__HTTPRoute *http)
{
	struct pd_arena *a = ctx->tx->arena;
	Envoy__Type__V3__FractionalPercent *fraction;
	if (http->mirror && (fraction = mirror_fraction(a, http->mirror_percentage, http->mirror_percent)))
		add_mirror(ctx, action, http->mirror, fraction);
	for (size_t i = 0; i < http->n_mirrors; i++)
		if ((fraction = mirror_fraction(a, http->mirrors[i]->percentage, NULL)))
			add_mirror(ctx, action, http->mirrors[i]->destination, fraction);
}

// ---- destinations --------------------------------------------------------------------------------------------------------

static const char unknown_cluster[] = "UnknownService"; // what an invalid backendRef becomes

static const char *destination(const struct pd_route_ctx *ctx, EnvRouteAction *action, const Istio__Destination *d,
			       bool *hashed)
{
	const struct pd_service *svc = NULL;
	if (!d)
		return unknown_cluster;
	const char *cluster = pd_destination_cluster(ctx->tx, ctx->vs, d, ctx->port, &svc);
	if (!svc && ctx->gateway_semantics && pd_streq(d->host, unknown_cluster))
		return unknown_cluster;
	Envoy__Config__Route__V3__RouteAction__HashPolicy *hash = pd_destination_hash(ctx->tx, svc, cluster);
	if (hash)
		PB_PUSH(ctx->tx->arena, action, hash_policy, hash);
	*hashed |= hash != NULL;
	return cluster;
}

static void add_weighted(const struct pd_route_ctx *ctx, EnvRouteAction *action, const Istio__HTTPRouteDestination *d)
{
	struct pd_arena *a = ctx->tx->arena;
	bool hashed = false;
	Envoy__Config__Route__V3__WeightedCluster__ClusterWeight *w =
		pb_new(a, &envoy__config__route__v3__weighted_cluster__cluster_weight__descriptor);
	w->name = (char *)destination(ctx, action, d->destination, &hashed);
	w->weight = pb_u32(a, (uint32_t)d->weight);
	if (d->headers) {
		struct pd_header_ops req = pd_route_header_ops(ctx->tx, d->headers->request);
		struct pd_header_ops resp = pd_route_header_ops(ctx->tx, d->headers->response);
		w->n_request_headers_to_add = req.n_add;
		w->request_headers_to_add = req.add;
		w->n_request_headers_to_remove = req.n_remove;
		w->request_headers_to_remove = req.remove;
		w->n_response_headers_to_add = resp.n_add;
		w->response_headers_to_add = resp.add;
		w->n_response_headers_to_remove = resp.n_remove;
		w->response_headers_to_remove = resp.remove;
		if (req.authority) {
			w->host_rewrite_specifier_case =
				ENVOY__CONFIG__ROUTE__V3__WEIGHTED_CLUSTER__CLUSTER_WEIGHT__HOST_REWRITE_SPECIFIER_HOST_REWRITE_LITERAL;
			w->host_rewrite_literal = (char *)req.authority;
		}
	}
	PB_PUSH(a, action->weighted_clusters, clusters, w);
}

// Returns whether retries must keep to the same host.
static bool set_destinations(const struct pd_route_ctx *ctx, EnvRoute *r, const Istio__HTTPRoute *http)
{
	struct pd_arena *a = ctx->tx->arena;
	EnvRouteAction *action = r->route;
	bool hashed = false;
	if (http->n_route > 1) {
		action->cluster_specifier_case =
			ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__CLUSTER_SPECIFIER_WEIGHTED_CLUSTERS;
		action->weighted_clusters = pb_new(a, &envoy__config__route__v3__weighted_cluster__descriptor);
		for (size_t i = 0; i < http->n_route; i++)
			if (http->route[i]->weight > 0)
				add_weighted(ctx, action, http->route[i]);
		return false;
	}
	const Istio__HTTPRouteDestination *d = http->route[0];
	set_cluster(action, destination(ctx, action, d->destination, &hashed));
	if (d->headers) { // of a single destination: they go to the route
		struct pd_header_ops req = pd_route_header_ops(ctx->tx, d->headers->request);
		struct pd_header_ops resp = pd_route_header_ops(ctx->tx, d->headers->response);
		add_request_headers(a, r, &req);
		add_response_headers(a, r, &resp);
		set_host_rewrite(action, req.authority);
	}
	return hashed;
}

static void set_forward(const struct pd_route_ctx *ctx, EnvRoute *r, const Istio__HTTPRoute *http,
			const Istio__HTTPMatchRequest *m, const char *authority)
{
	struct pd_arena *a = ctx->tx->arena;
	EnvRouteAction *action = route_action(a, r);
	set_host_rewrite(action, authority);
	bool hashed = set_destinations(ctx, r, http);
	set_rewrite(ctx, r, http->rewrite, m);
	if (http->rewrite)
		set_host_rewrite(action, http->rewrite->authority);
	set_timeout(a, action, http->timeout);
	action->retry_policy = pd_route_retry(ctx->tx, http->retries, hashed);
	set_mirrors(ctx, action, http);
	if (ctx->gateway_semantics)
		action->cluster_not_found_response_code =
			ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__CLUSTER_NOT_FOUND_RESPONSE_CODE__INTERNAL_SERVER_ERROR;
}

// ---- routes --------------------------------------------------------------------------------------------------------------

static EnvRoute *translate(const struct pd_route_ctx *ctx, const Istio__HTTPRoute *http,
			   const Istio__HTTPMatchRequest *m)
{
	struct pd_arena *a = ctx->tx->arena;
	struct pd_header_ops req = {0};
	EnvRoute *r = pb_new(a, &envoy__config__route__v3__route__descriptor);
	r->name = route_name(a, http, m);
	r->match = pd_route_match(ctx, m);
	r->metadata = config_metadata(ctx);
	if (http->headers) {
		req = pd_route_header_ops(ctx->tx, http->headers->request);
		struct pd_header_ops resp = pd_route_header_ops(ctx->tx, http->headers->response);
		add_request_headers(a, r, &req);
		add_response_headers(a, r, &resp);
	}
	if (http->redirect)
		pd_route_redirect(ctx, r, http->redirect);
	else if (http->direct_response)
		pd_route_direct_response(ctx->tx, r, http->direct_response);
	else if (http->n_route)
		set_forward(ctx, r, http, m, req.authority);
	pd_route_filter_config(ctx->tx, r, http);
	r->decorator = decorator(a, operation(ctx, r));
	return r;
}

// False: what follows can never match.
static bool add_route(const struct pd_route_ctx *ctx, struct pd_route_vec *out, const Istio__HTTPRoute *http,
		      const Istio__HTTPMatchRequest *m)
{
	if (!pd_route_match_applies(ctx, m))
		return true;
	EnvRoute *r = translate(ctx, http, m);
	pd_vec_push_a(ctx->tx->arena, out, r);
	return !pd_route_is_catch_all(r);
}

void pd_routes_build(const struct pd_route_ctx *ctx, struct pd_route_vec *out)
{
	const Istio__VirtualService *spec = ctx->vs->spec;
	bool more = true;
	for (size_t i = 0; i < spec->n_http && more; i++) {
		const Istio__HTTPRoute *http = spec->http[i];
		if (!http->n_match)
			more = add_route(ctx, out, http, NULL);
		for (size_t k = 0; k < http->n_match && more; k++)
			more = add_route(ctx, out, http, http->match[k]);
	}
	if (out->n)
		tx_use(ctx->tx, ctx->vs->object);
}

EnvVirtualHost *pd_vhost_new(struct pd_tx *tx, const char *name)
{
	EnvVirtualHost *vh = pb_new(tx->arena, &envoy__config__route__v3__virtual_host__descriptor);
	vh->name = (char *)name;
	vh->include_request_attempt_count = true;
	return vh;
}
