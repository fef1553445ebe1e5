// Load balancing policy of a cluster.
#include "discovery/cluster/cluster.h"
#include "discovery/endpoint/endpoint.h"

typedef Istio__LoadBalancerSettings Settings;
typedef Envoy__Config__Cluster__V3__Cluster__SlowStartConfig SlowStart;

enum { RING_SIZE = 1024, WARMUP_PERCENT = 10 };

static Envoy__Type__V3__Percent *percent(struct pd_arena *a, double value)
{
	Envoy__Type__V3__Percent *p = PB_NEW(a, Envoy__Type__V3__Percent, envoy__type__v3__percent);
	p->value = value;
	return p;
}

// ---- warmup --------------------------------------------------------------------------------------------------------------

static SlowStart *slow_start(struct pd_arena *a, const Settings *lb)
{
	if (!lb || (!lb->warmup && !lb->warmup_duration_secs))
		return NULL;
	SlowStart *s = PB_NEW(a, SlowStart, envoy__config__cluster__v3__cluster__slow_start_config);
	if (!lb->warmup) {
		s->slow_start_window = lb->warmup_duration_secs;
		return s;
	}
	const Istio__WarmupConfiguration *w = lb->warmup;
	s->slow_start_window = w->duration;
	s->aggression = PB_NEW(a, Envoy__Config__Core__V3__RuntimeDouble, envoy__config__core__v3__runtime_double);
	s->aggression->default_value = w->aggression ? w->aggression->value : 1;
	s->aggression->runtime_key = "("; // istiod's: a key is required, and nobody shall set it
	s->min_weight_percent = percent(a, w->minimum_percent ? w->minimum_percent->value : WARMUP_PERCENT);
	return s;
}

static void set_round_robin(struct cluster *c, const Settings *lb)
{
	SlowStart *s = slow_start(c->tx->arena, lb);
	c->msg->lb_policy = CLUSTER_LB(ROUND_ROBIN);
	if (!s)
		return;
	c->msg->lb_config_case = ENVOY__CONFIG__CLUSTER__V3__CLUSTER__LB_CONFIG_ROUND_ROBIN_LB_CONFIG;
	c->msg->round_robin_lb_config = PB_NEW(c->tx->arena, Envoy__Config__Cluster__V3__Cluster__RoundRobinLbConfig,
					       envoy__config__cluster__v3__cluster__round_robin_lb_config);
	c->msg->round_robin_lb_config->slow_start_config = s;
}

static void set_least_request(struct cluster *c, const Settings *lb)
{
	SlowStart *s = slow_start(c->tx->arena, lb);
	c->msg->lb_policy = CLUSTER_LB(LEAST_REQUEST);
	if (!s)
		return;
	c->msg->lb_config_case = ENVOY__CONFIG__CLUSTER__V3__CLUSTER__LB_CONFIG_LEAST_REQUEST_LB_CONFIG;
	c->msg->least_request_lb_config =
		PB_NEW(c->tx->arena, Envoy__Config__Cluster__V3__Cluster__LeastRequestLbConfig,
		       envoy__config__cluster__v3__cluster__least_request_lb_config);
	c->msg->least_request_lb_config->slow_start_config = s;
}

// ---- consistent hashing ----------------------------------------------------------------------------------------------------

static void set_ring_size(struct cluster *c, uint64_t size)
{
	c->msg->lb_config_case = ENVOY__CONFIG__CLUSTER__V3__CLUSTER__LB_CONFIG_RING_HASH_LB_CONFIG;
	c->msg->ring_hash_lb_config = PB_NEW(c->tx->arena, Envoy__Config__Cluster__V3__Cluster__RingHashLbConfig,
					     envoy__config__cluster__v3__cluster__ring_hash_lb_config);
	c->msg->ring_hash_lb_config->minimum_ring_size = pb_u64(c->tx->arena, size);
}

static void set_consistent_hash(struct cluster *c, const Istio__LoadBalancerSettings__ConsistentHashLB *h)
{
	c->msg->lb_policy = CLUSTER_LB(RING_HASH);
	switch (h->hash_algorithm_case) {
	case ISTIO__LOAD_BALANCER_SETTINGS__CONSISTENT_HASH_LB__HASH_ALGORITHM_MAGLEV:
		c->msg->lb_policy = CLUSTER_LB(MAGLEV);
		if (!h->maglev->table_size)
			break;
		c->msg->lb_config_case = ENVOY__CONFIG__CLUSTER__V3__CLUSTER__LB_CONFIG_MAGLEV_LB_CONFIG;
		c->msg->maglev_lb_config = PB_NEW(c->tx->arena, Envoy__Config__Cluster__V3__Cluster__MaglevLbConfig,
						  envoy__config__cluster__v3__cluster__maglev_lb_config);
		c->msg->maglev_lb_config->table_size = pb_u64(c->tx->arena, h->maglev->table_size);
		break;
	case ISTIO__LOAD_BALANCER_SETTINGS__CONSISTENT_HASH_LB__HASH_ALGORITHM_RING_HASH:
		if (h->ring_hash->minimum_ring_size)
			set_ring_size(c, h->ring_hash->minimum_ring_size);
		break;
	default:
		set_ring_size(c, h->minimum_ring_size ? h->minimum_ring_size : RING_SIZE);
	}
}

// ---- locality ----------------------------------------------------------------------------------------------------------------

static void set_locality_weighted(struct cluster *c)
{
	Envoy__Config__Cluster__V3__Cluster__CommonLbConfig *common = c->msg->common_lb_config;
	common->locality_config_specifier_case =
		ENVOY__CONFIG__CLUSTER__V3__CLUSTER__COMMON_LB_CONFIG__LOCALITY_CONFIG_SPECIFIER_LOCALITY_WEIGHTED_LB_CONFIG;
	common->locality_weighted_lb_config =
		pb_new(c->tx->arena,
		       &envoy__config__cluster__v3__cluster__common_lb_config__locality_weighted_lb_config__descriptor);
}

static void set_zone_aware(struct cluster *c, const Istio__ZoneAwareLoadBalancerSetting *z)
{
	struct pd_arena *a = c->tx->arena;
	Envoy__Config__Cluster__V3__Cluster__CommonLbConfig *common = c->msg->common_lb_config;
	Envoy__Config__Cluster__V3__Cluster__CommonLbConfig__ZoneAwareLbConfig *out =
		pb_new(a, &envoy__config__cluster__v3__cluster__common_lb_config__zone_aware_lb_config__descriptor);
	if (!pd_zone_aware_enabled(z))
		out->routing_enabled = percent(a, 0);
	if (z->min_cluster_size)
		out->min_cluster_size = pb_u64(a, z->min_cluster_size->value);
	common->locality_config_specifier_case =
		ENVOY__CONFIG__CLUSTER__V3__CLUSTER__COMMON_LB_CONFIG__LOCALITY_CONFIG_SPECIFIER_ZONE_AWARE_LB_CONFIG;
	common->zone_aware_lb_config = out;
}

static void apply_locality(struct cluster *c, const Settings *lb)
{
	struct locality_lb l = pd_locality_lb_of(c->tx, c->svc, lb);
	if (l.zone_aware && c->tx->key->type != PD_NODE_WAYPOINT)
		set_zone_aware(c, l.zone_aware);
	const Istio__LocalityLoadBalancerSetting *s = l.locality;
	if (!s)
		return;
	bool failover = l.force || c->msg->outlier_detection;
	// Only where it is asked for: weights of localities get in the way of policies like least request.
	if (s->n_distribute || (failover && (s->n_failover || s->n_failover_priority)))
		set_locality_weighted(c);
}

// ---- all of it -----------------------------------------------------------------------------------------------------------------

void pd_cluster_apply_load_balancer(struct cluster *c, const Settings *lb)
{
	if (c->msg->lb_policy == CLUSTER_LB(CLUSTER_PROVIDED))
		return;
	// Endpoints that are not ready are sent too (discovery/endpoint): Envoy must not panic and use them.
	if (!c->msg->common_lb_config->healthy_panic_threshold &&
	    (c->tx->snap->settings->send_unhealthy || c->svc->traffic_distribution))
		c->msg->common_lb_config->healthy_panic_threshold = percent(c->tx->arena, 0);
	apply_locality(c, lb);
	if (pd_cluster_is(c, CLUSTER_TYPE(ORIGINAL_DST))) {
		c->msg->lb_policy = CLUSTER_LB(CLUSTER_PROVIDED);
		return;
	}
	if (c->tx->snap->settings->redis_filter && c->port->protocol == PD_PROTO_REDIS) {
		c->msg->lb_policy = CLUSTER_LB(MAGLEV); // sharding in the client
		return;
	}
	Istio__LoadBalancerSettings__SimpleLB simple = ISTIO__LOAD_BALANCER_SETTINGS__SIMPLE_LB__UNSPECIFIED;
	if (lb && lb->lb_policy_case == ISTIO__LOAD_BALANCER_SETTINGS__LB_POLICY_SIMPLE)
		simple = lb->simple;
	switch (simple) {
	case ISTIO__LOAD_BALANCER_SETTINGS__SIMPLE_LB__RANDOM:
		c->msg->lb_policy = CLUSTER_LB(RANDOM);
		break;
	case ISTIO__LOAD_BALANCER_SETTINGS__SIMPLE_LB__ROUND_ROBIN:
		set_round_robin(c, lb);
		break;
	case ISTIO__LOAD_BALANCER_SETTINGS__SIMPLE_LB__PASSTHROUGH:
		c->msg->lb_policy = CLUSTER_LB(CLUSTER_PROVIDED);
		pd_cluster_set_type(c, CLUSTER_TYPE(ORIGINAL_DST));
		c->msg->load_assignment = NULL;
		break;
	default:
		set_least_request(c, lb);
	}
	if (lb && lb->lb_policy_case == ISTIO__LOAD_BALANCER_SETTINGS__LB_POLICY_CONSISTENT_HASH)
		set_consistent_hash(c, lb->consistent_hash);
}
