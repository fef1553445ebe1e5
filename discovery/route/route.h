// HTTP routes: from VirtualServices to Envoy routes, for sidecars and gateways. (reference: §5)
#ifndef DISCOVERY_ROUTE_ROUTE_H
#define DISCOVERY_ROUTE_ROUTE_H

#include "discovery/build.h"

typedef Envoy__Config__Route__V3__Route EnvRoute;
typedef Envoy__Config__Route__V3__RouteAction EnvRouteAction;
typedef Envoy__Config__Route__V3__RouteMatch EnvRouteMatch;
typedef Envoy__Config__Route__V3__RetryPolicy EnvRetryPolicy;
typedef Envoy__Config__Route__V3__VirtualHost EnvVirtualHost;
typedef Envoy__Config__Core__V3__HeaderValueOption EnvHeaderValueOption;

struct pd_route_vec {
	EnvRoute **v;
	size_t n, cap;
};

// For whom the routes of a VirtualService are made.
struct pd_route_ctx {
	struct pd_tx *tx;
	const struct pd_vs *vs;
	uint32_t port;               // of the listener: service port of a sidecar, server port of a gateway
	const char *const *gateways; // names that match.gateways may hit: "mesh", or those of the merged server
	size_t n_gateways;
	bool tls;               // the listener terminates TLS: default ports of redirects
	bool gateway_semantics; // made from Gateway API: prefixes by path element, missing backends answer 500
};

// Appends the routes of the VirtualService that apply, up to and including the first that catches everything.
void pd_routes_build(const struct pd_route_ctx *ctx, struct pd_route_vec *out);
// A route that matches everything whatever the request is.
bool pd_route_is_catch_all(const EnvRoute *r);
// The route of a host without VirtualService. `operation`: "HOST:PORT/*".
EnvRoute *pd_route_default(struct pd_tx *tx, const char *cluster, const char *operation);
// A virtual host with what all outbound and gateway ones share.
EnvVirtualHost *pd_vhost_new(struct pd_tx *tx, const char *name);

// ---- parts (retry.c, headers.c, match.c, filters.c, hash.c) ------------------------------------------------------------
// NULL = no retries. `http` may be NULL: the mesh default. `hashed`: the destination is chosen by consistent hash.
EnvRetryPolicy *pd_route_retry(struct pd_tx *tx, const Istio__HTTPRetry *retries, bool hashed);

struct pd_header_ops {
	EnvHeaderValueOption **add;
	size_t n_add;
	char **remove;
	size_t n_remove;
	const char *authority; // from set ":authority" or "host"; NULL = none
};
struct pd_header_ops pd_route_header_ops(struct pd_tx *tx, const Istio__Headers__HeaderOperations *ops);

// `match` may be NULL (matches everything).
EnvRouteMatch *pd_route_match(const struct pd_route_ctx *ctx, const Istio__HTTPMatchRequest *match);
// Whether the match can hit at all here: gateways, source labels, source namespace, port.
bool pd_route_match_applies(const struct pd_route_ctx *ctx, const Istio__HTTPMatchRequest *match);
// A header name "@request.auth.claims.a.b" or "[a][b]": a match on what jwt_authn found.
void pd_route_claim_match(struct pd_arena *a, EnvRouteMatch *out, const char *name, const Istio__StringMatch *m,
			  bool without);
Envoy__Type__Matcher__V3__StringMatcher *pd_string_matcher(struct pd_arena *a, const Istio__StringMatch *m);

// Sets typed_per_filter_config for fault injection and CORS.
void pd_route_filter_config(struct pd_tx *tx, EnvRoute *r, const Istio__HTTPRoute *http);
void pd_route_redirect(const struct pd_route_ctx *ctx, EnvRoute *r, const Istio__HTTPRedirect *redirect);
void pd_route_direct_response(struct pd_tx *tx, EnvRoute *r, const Istio__HTTPDirectResponse *direct);

// Name of the cluster that a destination means: outbound|PORT|SUBSET|HOST. `svc` gets the service, or NULL.
const char *pd_destination_cluster(struct pd_tx *tx, const struct pd_vs *vs, const Istio__Destination *d,
				   uint32_t listen_port, const struct pd_service **svc);
// Hash policy of a destination by its DestinationRule; NULL if it is not chosen by hash.
Envoy__Config__Route__V3__RouteAction__HashPolicy *pd_destination_hash(struct pd_tx *tx, const struct pd_service *svc,
								       const char *cluster);
Envoy__Type__V3__FractionalPercent *pd_percent(struct pd_arena *a, double percent); // of a million

#endif
