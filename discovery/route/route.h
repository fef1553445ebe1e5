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
typedef Envoy__Config__Route__V3__RouteAction__HashPolicy EnvHashPolicy;

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
	bool by_port;           // of a sidecar: its listeners know services only that have their port (0: all)
};

// Appends the routes of the VirtualService that apply, up to and including the first that catches everything.
void pd_routes_build(const struct pd_route_ctx *ctx, struct pd_route_vec *out);
// A route that matches everything whatever the request is.
bool pd_route_is_catch_all(const EnvRoute *r);
// The route of a service without VirtualService.
EnvRoute *pd_route_default(struct pd_tx *tx, const struct pd_service *svc, uint32_t port);
// A virtual host with what all outbound and gateway ones share.
EnvVirtualHost *pd_vhost_new(struct pd_tx *tx, const char *name);

// The routes of a VirtualService with those of its delegates in place (delegate.c). They live in the snapshot or the arena.
struct pd_http_routes {
	size_t n;
	Istio__HTTPRoute *const *v;
};
struct pd_http_routes pd_vs_http_routes(struct pd_tx *tx, const struct pd_vs *vs);

// What ProxyConfig says of headers (mesh's, or the proxy's own), as far as routes carry it.
bool pd_route_counts_attempts(struct pd_tx *tx); // tell the server which attempt this is
bool pd_route_appends_host(struct pd_tx *tx);    // tell it the host before a rewrite

// ---- parts (retry.c, headers.c, match.c, filters.c, destination.c) ------------------------------------------------------
// NULL = no retries. `retries` may be NULL: the mesh default. `hashed`: the destination is chosen by consistent hash.
EnvRetryPolicy *pd_route_retry(struct pd_tx *tx, const Istio__HTTPRetry *retries, bool hashed);

struct pd_header_ops {
	EnvHeaderValueOption **add;
	size_t n_add;
	char **remove;
	size_t n_remove;
	const char *authority; // from set (else add) of ":authority" or "host"; NULL = none
};
struct pd_header_ops pd_route_header_ops(struct pd_arena *a, const Istio__Headers__HeaderOperations *ops);

// `match` may be NULL (matches everything).
EnvRouteMatch *pd_route_match(const struct pd_route_ctx *ctx, const Istio__HTTPMatchRequest *match);
// Whether the match can hit at all here: gateways, source labels, source namespace, port.
bool pd_route_match_applies(const struct pd_route_ctx *ctx, const Istio__HTTPMatchRequest *match);
// If the header name means a claim of a JWT ("@request.auth.claims.a.b" or "[a][b]"): adds a match on what jwt_authn found.
bool pd_route_claim_match(struct pd_arena *a, EnvRouteMatch *out, const char *name, const Istio__StringMatch *m,
			  bool without);
// Whether the match only asks that there be a value.
bool pd_asks_presence(const Istio__StringMatch *m);
// NULL if the match has no value.
Envoy__Type__Matcher__V3__StringMatcher *pd_string_matcher(struct pd_arena *a, const Istio__StringMatch *m);

// Sets typed_per_filter_config for fault injection and CORS.
void pd_route_filter_config(struct pd_tx *tx, EnvRoute *r, const Istio__HTTPRoute *http);
void pd_route_redirect(const struct pd_route_ctx *ctx, EnvRoute *r, const Istio__HTTPRedirect *redirect);
void pd_route_direct_response(struct pd_tx *tx, EnvRoute *r, const Istio__HTTPDirectResponse *direct);

// Name of the cluster that a destination means: outbound|PORT|SUBSET|HOST. `svc` gets the service, or NULL.
const char *pd_destination_cluster(struct pd_tx *tx, const struct pd_vs *vs, const Istio__Destination *d,
				   uint32_t listen_port, const struct pd_service **svc);
struct pd_http_destination {
	const char *cluster;
	const Istio__LoadBalancerSettings__ConsistentHashLB *hash; // how endpoints are chosen; NULL = not by hash
};
// The same for requests. `d` may be NULL: a cluster that does not exist.
struct pd_http_destination pd_http_destination(const struct pd_route_ctx *ctx, const Istio__Destination *d);
// By the DestinationRule of the service. `port` 0 = none was named; `subset` may be NULL.
const Istio__LoadBalancerSettings__ConsistentHashLB *pd_destination_hash(struct pd_tx *tx, const struct pd_service *svc,
									 uint32_t port, const char *subset);
// NULL for NULL, and where the hash has no key.
EnvHashPolicy *pd_hash_policy(struct pd_arena *a, const Istio__LoadBalancerSettings__ConsistentHashLB *hash);
Envoy__Type__V3__FractionalPercent *pd_percent(struct pd_arena *a, double percent); // of a million

#endif
