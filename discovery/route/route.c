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

static void add_hash_policy(struct pd_arena *a, EnvRouteAction *action,
			    const Istio__LoadBalancerSettings__ConsistentHashLB *hash)
{
	EnvHashPolicy *policy = pd_hash_policy(a, hash);
	if (policy)
		PB_PUSH(a, action, hash_policy, policy);
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

EnvRoute *pd_route_default(struct pd_tx *tx, const struct pd_service *svc, uint32_t port)
{
	struct pd_arena *a = tx->arena;
	EnvRoute *r = pb_new(a, &envoy__config__route__v3__route__descriptor);
	r->name = "default";
	r->match = pb_new(a, &envoy__config__route__v3__route_match__descriptor);
	r->match->path_specifier_case = ENVOY__CONFIG__ROUTE__V3__ROUTE_MATCH__PATH_SPECIFIER_PREFIX;
	r->match->prefix = "/";
	EnvRouteAction *action = route_action(a, r);
	set_cluster(action, pd_cluster_name(a, "outbound", port, NULL, svc->host));
	set_timeout(a, action, NULL);
	action->retry_policy = pd_route_retry(tx, NULL, false);
	add_hash_policy(a, action, pd_destination_hash(tx, svc, port, NULL));
	r->decorator = decorator(a, pd_arena_printf(a, "%s:%u/*", svc->host, port));
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
	case ENVOY__CONFIG__ROUTE__V3__ROUTE_MATCH__PATH_SPECIFIER_PATH_SEPARATED_PREFIX:
		return pd_streq(m->path_separated_prefix, "/");
	case ENVOY__CONFIG__ROUTE__V3__ROUTE_MATCH__PATH_SPECIFIER_SAFE_REGEX:
		return pd_streq(m->safe_regex->regex, ".*");
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

static void set_rewrite(const struct pd_route_ctx *ctx, EnvRoute *r, const Istio__HTTPRewrite *rewrite)
{
	struct pd_arena *a = ctx->tx->arena;
	EnvRouteAction *action = r->route;
	action->append_x_forwarded_host = pd_route_appends_host(ctx->tx);
	if (rewrite->uri_regex_rewrite) {
		set_regex_rewrite(a, action, rewrite->uri_regex_rewrite->match, rewrite->uri_regex_rewrite->rewrite);
	} else if (ctx->gateway_semantics && pd_streq(rewrite->uri, "/")) {
		// Takes the prefix away. A plain rewrite of it would leave two slashes, or none.
		bool prefix = r->match->path_specifier_case ==
			      ENVOY__CONFIG__ROUTE__V3__ROUTE_MATCH__PATH_SPECIFIER_PATH_SEPARATED_PREFIX;
		const char *path = regex_quote(a, prefix ? r->match->path_separated_prefix : "");
		set_regex_rewrite(a, action, pd_arena_printf(a, "^%s(/?)(.*)", path), "/\\2");
	} else if (!pd_empty(rewrite->uri)) {
		action->prefix_rewrite = rewrite->uri;
	}
}

static void add_mirror(const struct pd_route_ctx *ctx, EnvRouteAction *action, const Istio__Destination *d,
		       Envoy__Type__V3__FractionalPercent *fraction)
{
	struct pd_arena *a = ctx->tx->arena;
	Envoy__Config__Route__V3__RouteAction__RequestMirrorPolicy *p =
		pb_new(a, &envoy__config__route__v3__route_action__request_mirror_policy__descriptor);
	p->cluster = (char *)pd_http_destination(ctx, d).cluster;
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
		if (http->mirrors[i]->destination &&
		    (fraction = mirror_fraction(a, http->mirrors[i]->percentage, NULL)))
			add_mirror(ctx, action, http->mirrors[i]->destination, fraction);
}

// ---- destinations --------------------------------------------------------------------------------------------------------

static void add_weighted(const struct pd_route_ctx *ctx, EnvRouteAction *action, const Istio__HTTPRouteDestination *d)
{
	struct pd_arena *a = ctx->tx->arena;
	struct pd_http_destination to = pd_http_destination(ctx, d->destination);
	Envoy__Config__Route__V3__WeightedCluster__ClusterWeight *w =
		pb_new(a, &envoy__config__route__v3__weighted_cluster__cluster_weight__descriptor);
	add_hash_policy(a, action, to.hash);
	w->name = (char *)to.cluster;
	w->weight = pb_u32(a, (uint32_t)d->weight);
	if (d->headers) {
		struct pd_header_ops req = pd_route_header_ops(a, d->headers->request);
		struct pd_header_ops resp = pd_route_header_ops(a, d->headers->response);
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

static void set_weighted(const struct pd_route_ctx *ctx, EnvRouteAction *action, const Istio__HTTPRoute *http)
{
	action->cluster_specifier_case = ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__CLUSTER_SPECIFIER_WEIGHTED_CLUSTERS;
	action->weighted_clusters = pb_new(ctx->tx->arena, &envoy__config__route__v3__weighted_cluster__descriptor);
	for (size_t i = 0; i < http->n_route; i++)
		if (http->route[i]->weight > 0)
			add_weighted(ctx, action, http->route[i]);
}

// A single destination: its header operations go to the route. Returns whether it is chosen by hash.
static bool set_single(const struct pd_route_ctx *ctx, EnvRoute *r, const Istio__HTTPRouteDestination *d)
{
	struct pd_arena *a = ctx->tx->arena;
	struct pd_http_destination to = pd_http_destination(ctx, d->destination);
	set_cluster(r->route, to.cluster);
	add_hash_policy(a, r->route, to.hash);
	if (d->headers) {
		struct pd_header_ops req = pd_route_header_ops(a, d->headers->request);
		struct pd_header_ops resp = pd_route_header_ops(a, d->headers->response);
		add_request_headers(a, r, &req);
		add_response_headers(a, r, &resp);
		if (r->route->host_rewrite_specifier_case ==
		    ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__HOST_REWRITE_SPECIFIER__NOT_SET)
			set_host_rewrite(r->route, req.authority);
	}
	return to.hash != NULL;
}

// `authority`: from the header operations of the route; a rewrite wins over it, and it over those of a destination.
static void set_forward(const struct pd_route_ctx *ctx, EnvRoute *r, const Istio__HTTPRoute *http,
			const char *authority)
{
	struct pd_arena *a = ctx->tx->arena;
	EnvRouteAction *action = route_action(a, r);
	bool hashed = false;
	set_timeout(a, action, http->timeout);
	if (http->rewrite) {
		set_rewrite(ctx, r, http->rewrite);
		authority = pd_or(http->rewrite->authority, authority);
	}
	set_host_rewrite(action, authority);
	set_mirrors(ctx, action, http);
	if (http->n_route == 1)
		hashed = set_single(ctx, r, http->route[0]);
	else
		set_weighted(ctx, action, http);
	action->retry_policy = pd_route_retry(ctx->tx, http->retries, hashed);
	if (ctx->gateway_semantics)
		action->cluster_not_found_response_code =
			ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__CLUSTER_NOT_FOUND_RESPONSE_CODE__INTERNAL_SERVER_ERROR;
}

// ---- routes --------------------------------------------------------------------------------------------------------------

static bool has_action(const EnvRoute *r)
{
	if (r->action_case != ENVOY__CONFIG__ROUTE__V3__ROUTE__ACTION_ROUTE)
		return r->action_case != ENVOY__CONFIG__ROUTE__V3__ROUTE__ACTION__NOT_SET;
	return r->route->cluster_specifier_case !=
		       ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__CLUSTER_SPECIFIER_WEIGHTED_CLUSTERS ||
	       r->route->weighted_clusters->n_clusters;
}

// Envoy would refuse the whole configuration for a route that goes nowhere. What it matches fails instead.
static void fail(const struct pd_route_ctx *ctx, EnvRoute *r, const Istio__HTTPRoute *http)
{
	static const Istio__HTTPDirectResponse failure = {PROTOBUF_C_MESSAGE_INIT(
								  &istio__httpdirect_response__descriptor),
							  .status = 500};
	tx_issue(ctx->tx, ctx->vs->object, "spec.http", "route \"%s\" has no destination: its requests fail with 500",
		 pd_or(http->name, ""));
	pd_route_direct_response(ctx->tx, r, &failure);
}

static EnvRoute *translate(const struct pd_route_ctx *ctx, const Istio__HTTPRoute *http,
			   const Istio__HTTPMatchRequest *m)
{
	struct pd_arena *a = ctx->tx->arena;
	struct pd_header_ops req = {0};
	EnvRoute *r = pb_new(a, &envoy__config__route__v3__route__descriptor);
	r->name = route_name(a, http, m);
	r->match = pd_route_match(ctx, m);
	r->metadata = config_metadata(ctx);
	r->stat_prefix = m ? m->stat_prefix : NULL;
	if (http->headers) {
		req = pd_route_header_ops(a, http->headers->request);
		struct pd_header_ops resp = pd_route_header_ops(a, http->headers->response);
		add_request_headers(a, r, &req);
		add_response_headers(a, r, &resp);
	}
	if (http->redirect)
		pd_route_redirect(ctx, r, http->redirect);
	else if (http->direct_response)
		pd_route_direct_response(ctx->tx, r, http->direct_response);
	else
		set_forward(ctx, r, http, req.authority);
	if (!has_action(r))
		fail(ctx, r, http);
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
	struct pd_http_routes routes = pd_vs_http_routes(ctx->tx, ctx->vs);
	bool more = true;
	for (size_t i = 0; i < routes.n && more; i++) {
		const Istio__HTTPRoute *http = routes.v[i];
		if (!http->n_match)
			more = add_route(ctx, out, http, NULL);
		for (size_t k = 0; k < http->n_match && more; k++)
			more = add_route(ctx, out, http, http->match[k]);
	}
	if (out->n)
		tx_use(ctx->tx, ctx->vs->object);
}
