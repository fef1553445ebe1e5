// Destinations: the cluster that they name, and consistent hashing by their DestinationRule. (reference: §5)
#include "api/pb.h"
#include "base/str.h"
#include "discovery/route/route.h"

typedef Envoy__Config__Route__V3__RouteAction__HashPolicy EnvHashPolicy;

const char *pd_destination_cluster(struct pd_tx *tx, const struct pd_vs *vs, const Istio__Destination *d,
				   uint32_t listen_port, const struct pd_service **svc)
{
	const char *host = pd_expand_host(tx->arena, d->host, vs->object->key.ns, tx->snap->settings->domain_suffix);
	const struct pd_service *s = tx_service(tx, host);
	if (s && s->alias_of) { // an alias has no cluster of its own
		host = s->alias_of;
		s = tx_service(tx, host);
	}
	uint32_t port = listen_port;
	if (d->port)
		port = d->port->number;
	else if (s && s->n_ports == 1)
		port = s->ports[0].port;
	*svc = s;
	return pd_cluster_name(tx->arena, "outbound", port, d->subset, host);
}

static EnvHashPolicy *hash_policy(struct pd_arena *a, const Istio__LoadBalancerSettings__ConsistentHashLB *ch)
{
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
		if (!ch->use_source_ip)
			return NULL;
		p->policy_specifier_case =
			ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__HASH_POLICY__POLICY_SPECIFIER_CONNECTION_PROPERTIES;
		p->connection_properties =
			pb_new(a,
			       &envoy__config__route__v3__route_action__hash_policy__connection_properties__descriptor);
		p->connection_properties->source_ip = true;
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

EnvHashPolicy *pd_destination_hash(struct pd_tx *tx, const struct pd_service *svc, const char *cluster)
{
	struct pd_cluster_name name;
	if (!svc || !pd_cluster_name_parse(tx->arena, cluster, &name))
		return NULL;
	const struct pd_dest_rule *dr = tx_dest_rule(tx, svc);
	if (!dr)
		return NULL;
	const Istio__TrafficPolicy *policy = tx_traffic_policy(tx, dr, name.port, *name.subset ? name.subset : NULL);
	const Istio__LoadBalancerSettings *lb = policy ? policy->load_balancer : NULL;
	if (!lb || lb->lb_policy_case != ISTIO__LOAD_BALANCER_SETTINGS__LB_POLICY_CONSISTENT_HASH)
		return NULL;
	tx_use(tx, dr->object);
	return hash_policy(tx->arena, lb->consistent_hash);
}
