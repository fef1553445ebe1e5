// Destinations: the cluster that they name, and consistent hashing by their DestinationRule. (reference: §5)
#include "api/pb.h"
#include "base/str.h"
#include "discovery/cluster/dest_rule.h"
#include "discovery/route/route.h"
#include "discovery/route/vs_lookup.h"

typedef Istio__LoadBalancerSettings__ConsistentHashLB ConsistentHash;

// An invalid backendRef of the Gateway API: no such cluster exists, which is what makes it fail.
static const char unknown_cluster[] = "UnknownService";

struct target {
	const char *host;
	const struct pd_service *svc; // by that name; an alias is not followed
};

static struct target target_of(struct pd_tx *tx, const struct pd_vs *vs, const Istio__Destination *d)
{
	struct target t = {.host = d->host};
	if (!pd_vs_is_gateway_api(vs->object)) // their hosts are full names
		t.host = pd_expand_host(tx->arena, d->host, vs->object->key.ns, tx->snap->settings->domain_suffix);
	t.svc = tx_service(tx, t.host);
	return t;
}

// `known`: the service if the listener knows it, else NULL. An alias has no cluster of its own, but its ports count.
static const char *cluster_of(struct pd_tx *tx, const struct target *t, const struct pd_service *known, uint32_t port,
			      const char *subset)
{
	const char *host = known && known->alias_of ? known->alias_of : t->host;
	return pd_cluster_name(tx->arena, "outbound", port, subset, host);
}

static uint32_t only_port(const struct pd_service *svc, uint32_t otherwise)
{
	return svc && svc->n_ports == 1 ? svc->ports[0].port : otherwise;
}

const char *pd_destination_cluster(struct pd_tx *tx, const struct pd_vs *vs, const Istio__Destination *d,
				   uint32_t listen_port, const struct pd_service **svc)
{
	struct target t = target_of(tx, vs, d);
	uint32_t port = d->port ? d->port->number : only_port(t.svc, listen_port);
	*svc = t.svc && t.svc->alias_of ? tx_service(tx, t.svc->alias_of) : t.svc;
	return cluster_of(tx, &t, t.svc, port, d->subset);
}

struct pd_http_destination pd_http_destination(const struct pd_route_ctx *ctx, const Istio__Destination *d)
{
	struct pd_http_destination out = {.cluster = unknown_cluster};
	if (!d || pd_empty(d->host) || (ctx->gateway_semantics && pd_streq(d->host, unknown_cluster)))
		return out;
	struct target t = target_of(ctx->tx, ctx->vs, d);
	// Listeners of sidecars know the services that have their port, and of these that port alone.
	bool own_port = ctx->by_port && ctx->port;
	const struct pd_service *known = own_port && t.svc && !pd_service_port(t.svc, ctx->port) ? NULL : t.svc;
	uint32_t port = own_port ? ctx->port : only_port(known, ctx->port);
	out.cluster = cluster_of(ctx->tx, &t, known, d->port ? d->port->number : port, d->subset);
	if (t.svc)
		out.hash = pd_destination_hash(ctx->tx, t.svc, d->port ? d->port->number : 0, d->subset);
	return out;
}

EnvHashPolicy *pd_hash_policy(struct pd_arena *a, const ConsistentHash *ch)
{
	if (!ch)
		return NULL;
	EnvHashPolicy *p = pb_new(a, &envoy__config__route__v3__route_action__hash_policy__descriptor);
	switch (ch->hash_key_case) {
	case ISTIO__LOAD_BALANCER_SETTINGS__CONSISTENT_HASH_LB__HASH_KEY_HTTP_HEADER_NAME:
		p->policy_specifier_case = ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__HASH_POLICY__POLICY_SPECIFIER_HEADER;
		p->header = pb_new(a, &envoy__config__route__v3__route_action__hash_policy__header__descriptor);
		p->header->header_name = ch->http_header_name;
		return p;
	case ISTIO__LOAD_BALANCER_SETTINGS__CONSISTENT_HASH_LB__HASH_KEY_HTTP_COOKIE:
		p->policy_specifier_case = ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__HASH_POLICY__POLICY_SPECIFIER_COOKIE;
		p->cookie = pb_new(a, &envoy__config__route__v3__route_action__hash_policy__cookie__descriptor);
		p->cookie->name = ch->http_cookie->name;
		p->cookie->path = ch->http_cookie->path;
		p->cookie->ttl = ch->http_cookie->ttl;
		for (size_t i = 0; i < ch->http_cookie->n_attributes; i++) {
			Envoy__Config__Route__V3__RouteAction__HashPolicy__CookieAttribute *attribute = pb_new(
				a, &envoy__config__route__v3__route_action__hash_policy__cookie_attribute__descriptor);
			attribute->name = ch->http_cookie->attributes[i]->name;
			attribute->value = ch->http_cookie->attributes[i]->value;
			PB_PUSH(a, p->cookie, attributes, attribute);
		}
		return p;
	case ISTIO__LOAD_BALANCER_SETTINGS__CONSISTENT_HASH_LB__HASH_KEY_USE_SOURCE_IP:
		p->policy_specifier_case =
			ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__HASH_POLICY__POLICY_SPECIFIER_CONNECTION_PROPERTIES;
		p->connection_properties =
			pb_new(a,
			       &envoy__config__route__v3__route_action__hash_policy__connection_properties__descriptor);
		p->connection_properties->source_ip = ch->use_source_ip;
		return p;
	case ISTIO__LOAD_BALANCER_SETTINGS__CONSISTENT_HASH_LB__HASH_KEY_HTTP_QUERY_PARAMETER_NAME:
		p->policy_specifier_case =
			ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__HASH_POLICY__POLICY_SPECIFIER_QUERY_PARAMETER;
		p->query_parameter =
			pb_new(a, &envoy__config__route__v3__route_action__hash_policy__query_parameter__descriptor);
		p->query_parameter->name = ch->http_query_parameter_name;
		return p;
	default:
		return NULL;
	}
}

static const ConsistentHash *hash_of(const Istio__LoadBalancerSettings *lb)
{
	bool hash = lb && lb->lb_policy_case == ISTIO__LOAD_BALANCER_SETTINGS__LB_POLICY_CONSISTENT_HASH;
	return hash ? lb->consistent_hash : NULL;
}

static const ConsistentHash *hash_of_port(const Istio__TrafficPolicy *p, uint32_t port)
{
	for (size_t i = 0; p && port && i < p->n_port_level_settings; i++)
		if (p->port_level_settings[i]->port && p->port_level_settings[i]->port->number == port)
			return hash_of(p->port_level_settings[i]->load_balancer);
	return NULL;
}

// Not the effective policy of the cluster (there a port's settings stand for the whole policy): here a hash is looked for in
// each place that may have one, the most specific first.
const ConsistentHash *pd_destination_hash(struct pd_tx *tx, const struct pd_service *svc, uint32_t port,
					  const char *subset)
{
	const struct pd_dest_rule *dr = tx_dest_rule(tx, svc);
	if (!dr)
		return NULL;
	const Istio__TrafficPolicy *policy = dr->spec->traffic_policy;
	const Istio__Subset *s = pd_empty(subset) ? NULL : pd_dest_rule_subset(dr, subset);
	const ConsistentHash *hash = s ? hash_of_port(s->traffic_policy, port) : NULL;
	if (!hash && s && s->traffic_policy)
		hash = hash_of(s->traffic_policy->load_balancer);
	if (!hash)
		hash = hash_of_port(policy, port);
	if (!hash && policy)
		hash = hash_of(policy->load_balancer);
	if (hash)
		tx_use(tx, dr->object);
	return hash;
}
