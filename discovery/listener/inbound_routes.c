#include "base/str.h"
#include "discovery/listener/inbound.h"
#include "envoy/config/route/v3/route_components.pb-c.h"

enum { ATTEMPTS = 2 };

#define NEW_ROUTE(a, name) pb_new((a), &envoy__config__route__v3__##name##__descriptor)

// Before the request was sent nothing can have happened: a connection that the application closed meanwhile does no harm.
// Streams of gRPC are better ended than repeated.
static Envoy__Config__Route__V3__RetryPolicy *retries(struct pd_arena *a, enum pd_protocol protocol)
{
	if (protocol == PD_PROTO_GRPC || protocol == PD_PROTO_GRPC_WEB)
		return NULL;
	Envoy__Config__Route__V3__RetryPolicy *p = NEW_ROUTE(a, retry_policy);
	p->num_retries = pb_u32(a, ATTEMPTS);
	p->retry_on = "reset-before-request";
	return p;
}

static Envoy__Config__Route__V3__Route *route(struct pd_arena *a, const struct inbound *in)
{
	Envoy__Config__Route__V3__Route *r = NEW_ROUTE(a, route);
	r->name = "default";
	r->match = NEW_ROUTE(a, route_match);
	r->match->path_specifier_case = ENVOY__CONFIG__ROUTE__V3__ROUTE_MATCH__PATH_SPECIFIER_PREFIX;
	r->match->prefix = "/";
	r->decorator = NEW_ROUTE(a, decorator);
	r->decorator->operation = pd_arena_printf(a, "%s:%u/*", in->host, in->service_port);
	r->action_case = ENVOY__CONFIG__ROUTE__V3__ROUTE__ACTION_ROUTE;
	r->route = NEW_ROUTE(a, route_action);
	r->route->cluster_specifier_case = ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__CLUSTER_SPECIFIER_CLUSTER;
	r->route->cluster = (char *)in->cluster;
	r->route->timeout = pb_duration(a, 0, 0); // the client's side decides
	r->route->max_stream_duration = NEW_ROUTE(a, route_action__max_stream_duration);
	r->route->max_stream_duration->max_stream_duration = pb_duration(a, 0, 0);
	r->route->max_stream_duration->grpc_timeout_header_max = pb_duration(a, 0, 0);
	r->route->retry_policy = retries(a, in->protocol);
	return r;
}

EnvoyRouteConfiguration *pd_inbound_routes(struct pd_tx *tx, const struct inbound *in)
{
	struct pd_arena *a = tx->arena;
	EnvoyRouteConfiguration *rc = NEW_ROUTE(a, route_configuration);
	Envoy__Config__Route__V3__VirtualHost *vh = NEW_ROUTE(a, virtual_host);
	rc->name = (char *)in->cluster;
	rc->validate_clusters = pb_bool(a, false);
	vh->name = pd_arena_printf(a, "inbound|http|%u", in->service_port);
	PB_PUSH(a, vh, domains, "*");
	PB_PUSH(a, vh, routes, route(a, in));
	PB_PUSH(a, rc, virtual_hosts, vh);
	return rc;
}
