// Route configurations of sidecars but for the hosts in them: their head, and the virtual host that ends them. (reference: §5)
#include "api/pb.h"
#include "base/hash.h"
#include "base/str.h"
#include "discovery/listener/proxy.h"
#include "discovery/route/route.h"

enum { MAX_DIRECT_RESPONSE_BODY = 1 << 20, STATUS_BAD_GATEWAY = 502 };

// ---- what ProxyConfig says of headers ---------------------------------------------------------------------------------------

struct header_flags {
	bool counts_attempts, appends_host;
};

static struct header_flags flags_of(const Istio__ProxyConfig *pc)
{
	const Istio__ProxyConfig__ProxyHeaders *h = pc->proxy_headers;
	struct header_flags f = {.counts_attempts = true};
	if (h && h->attempt_count && h->attempt_count->disabled)
		f.counts_attempts = !h->attempt_count->disabled->value;
	if (h && h->x_forwarded_host && h->x_forwarded_host->enabled)
		f.appends_host = h->x_forwarded_host->enabled->value;
	return f;
}

// Asked for each virtual host, while decoding what a node says takes as long as building one: each thread keeps the answer
// for the last text.
static struct header_flags header_flags(struct pd_tx *tx)
{
	static _Thread_local struct {
		uint64_t text;
		struct header_flags flags;
	} last;
	if (pd_empty(tx->key->proxy_config))
		return flags_of(pd_proxy_config(tx));
	uint64_t text = pd_hash_str(tx->key->proxy_config);
	if (last.text != text) {
		last.flags = flags_of(pd_proxy_config(tx));
		last.text = text;
	}
	return last.flags;
}

bool pd_route_counts_attempts(struct pd_tx *tx)
{
	return header_flags(tx).counts_attempts;
}

bool pd_route_appends_host(struct pd_tx *tx)
{
	return header_flags(tx).appends_host;
}

EnvVirtualHost *pd_vhost_new(struct pd_tx *tx, const char *name)
{
	EnvVirtualHost *vh = pb_new(tx->arena, &envoy__config__route__v3__virtual_host__descriptor);
	vh->name = (char *)name;
	vh->include_request_attempt_count = pd_route_counts_attempts(tx);
	return vh;
}

// ---- head and end -----------------------------------------------------------------------------------------------------------

Envoy__Config__Route__V3__RouteConfiguration *pd_build_route_head(struct pd_tx *tx, const char *route_name)
{
	Envoy__Config__Route__V3__RouteConfiguration *rc =
		pb_new(tx->arena, &envoy__config__route__v3__route_configuration__descriptor);
	rc->name = (char *)route_name;
	rc->validate_clusters = pb_bool(tx->arena, false);
	rc->max_direct_response_body_size_bytes = pb_u32(tx->arena, MAX_DIRECT_RESPONSE_BODY);
	rc->ignore_port_in_host_matching = true;
	return rc;
}

static EnvRoute *forward(struct pd_tx *tx, const char *cluster)
{
	EnvRoute *r = pb_new(tx->arena, &envoy__config__route__v3__route__descriptor);
	r->action_case = ENVOY__CONFIG__ROUTE__V3__ROUTE__ACTION_ROUTE;
	r->route = pb_new(tx->arena, &envoy__config__route__v3__route_action__descriptor);
	r->route->cluster_specifier_case = ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__CLUSTER_SPECIFIER_CLUSTER;
	r->route->cluster = (char *)cluster;
	r->route->timeout = r->route->max_grpc_timeout = pb_duration(tx->arena, 0, 0);
	r->route->append_x_forwarded_host = pd_route_appends_host(tx);
	return r;
}

static EnvRoute *refuse(struct pd_tx *tx)
{
	EnvRoute *r = pb_new(tx->arena, &envoy__config__route__v3__route__descriptor);
	r->action_case = ENVOY__CONFIG__ROUTE__V3__ROUTE__ACTION_DIRECT_RESPONSE;
	r->direct_response = pb_new(tx->arena, &envoy__config__route__v3__direct_response_action__descriptor);
	r->direct_response->status = STATUS_BAD_GATEWAY;
	return r;
}

static EnvVirtualHost *for_all(struct pd_tx *tx, const char *name, EnvRoute *r)
{
	EnvVirtualHost *vh = pd_vhost_new(tx, name);
	PB_PUSH(tx->arena, vh, domains, "*");
	r->name = (char *)name;
	r->match = pb_new(tx->arena, &envoy__config__route__v3__route_match__descriptor);
	r->match->path_specifier_case = ENVOY__CONFIG__ROUTE__V3__ROUTE_MATCH__PATH_SPECIFIER_PREFIX;
	r->match->prefix = "/";
	PB_PUSH(tx->arena, vh, routes, r);
	return vh;
}

EnvVirtualHost *pd_build_catch_all(struct pd_tx *tx, const char *route_name)
{
	if (strchr(route_name, ':') || tx->key->type != PD_NODE_SIDECAR)
		return NULL;
	const char *cluster = pd_proxy_catch_all_cluster(tx);
	if (pd_proxy_resolves_any(tx))
		return for_all(tx, "allow_any_dynamic_dns", forward(tx, "AllowAnyDynamicDNSCluster"));
	if (pd_streq(cluster, "BlackHoleCluster"))
		return for_all(tx, "block_all", refuse(tx));
	return for_all(tx, "allow_any", forward(tx, cluster));
}
