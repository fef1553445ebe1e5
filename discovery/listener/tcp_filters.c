#include "discovery/listener/tcp_filters.h"

#include <string.h>

#include "api/kinds.h"
#include "base/str.h"
#include "base/vec.h"
#include "discovery/listener/access_log.h"
#include "discovery/listener/constants.h"
#include "discovery/listener/dns_cache.h"
#include "discovery/listener/proxy.h"
#include "discovery/listener/stat_name.h"
#include "discovery/policy/policy_filters.h"
#include "discovery/route/route.h"
#include "envoy/extensions/filters/network/mongo_proxy/v3/mongo_proxy.pb-c.h"
#include "envoy/extensions/filters/network/redis_proxy/v3/redis_proxy.pb-c.h"
#include "envoy/type/v3/hash_policy.pb-c.h"

#define TCP(name) ENVOY__EXTENSIONS__FILTERS__NETWORK__TCP_PROXY__V3__TCP_PROXY__##name
#define NEW_TCP(a, name) pb_new((a), &envoy__extensions__filters__network__tcp_proxy__v3__##name##__descriptor)

enum { REDIS_TIMEOUT_SECONDS = 5 };

EnvoyNetworkFilter *pd_network_filter(struct pd_arena *a, const char *name, const void *config)
{
	EnvoyNetworkFilter *f = pb_new(a, &envoy__config__listener__v3__filter__descriptor);
	f->name = (char *)name;
	f->config_type_case = ENVOY__CONFIG__LISTENER__V3__FILTER__CONFIG_TYPE_TYPED_CONFIG;
	f->typed_config = pb_any(a, config);
	return f;
}

EnvoyMetadata *pd_config_metadata(struct pd_arena *a, const struct pd_object *o)
{
	const struct pd_kind_info *k = pd_kind_info(o->key.kind);
	Google__Protobuf__Struct *fields = pb_struct_new(a);
	pb_struct_set_string(a, fields, "config",
			     pd_arena_printf(a, "/apis/%s/%s/namespaces/%s/%s/%s", k->group, k->versions[0], o->key.ns,
					     k->debug_name, o->key.name));
	Envoy__Config__Core__V3__Metadata__FilterMetadataEntry *e =
		pb_new(a, &envoy__config__core__v3__metadata__filter_metadata_entry__descriptor);
	e->key = "istio";
	e->value = fields;
	EnvoyMetadata *m = pb_new(a, &envoy__config__core__v3__metadata__descriptor);
	PB_PUSH(a, m, filter_metadata, e);
	return m;
}

static void push(struct pd_tx *tx, struct pd_filter_vec *out, EnvoyNetworkFilter *f)
{
	pd_vec_push_a(tx->arena, out, f);
}

// ---- destinations ----------------------------------------------------------------------------------------------------------

// Where a chain leads, and by whose DestinationRule.
struct target {
	const char *cluster; // the only one, or the first
	const char *stat_prefix, *subset;
	Envoy__Extensions__Filters__Network__TcpProxy__V3__TcpProxy__WeightedCluster *weighted; // NULL: `cluster` alone
	const Istio__DestinationRule *rule;
};

static const Istio__DestinationRule *rule_of(struct pd_tx *tx, const struct pd_service *svc)
{
	const struct pd_dest_rule *dr = svc ? tx_dest_rule(tx, svc) : NULL;
	if (!dr)
		return NULL;
	tx_use(tx, dr->object);
	return dr->spec;
}

static void weigh(struct pd_tx *tx, const struct pd_tcp_chain *c, struct target *t)
{
	struct pd_arena *a = tx->arena;
	const struct pd_service *svc;
	t->weighted = NEW_TCP(a, tcp_proxy__weighted_cluster);
	for (size_t i = 0; i < c->n_destinations; i++) {
		if (c->destinations[i]->weight <= 0)
			continue;
		Envoy__Extensions__Filters__Network__TcpProxy__V3__TcpProxy__WeightedCluster__ClusterWeight *w =
			NEW_TCP(a, tcp_proxy__weighted_cluster__cluster_weight);
		w->name = (char *)pd_destination_cluster(tx, c->vs, c->destinations[i]->destination, c->port, &svc);
		w->weight = (uint32_t)c->destinations[i]->weight;
		PB_PUSH(a, t->weighted, clusters, w);
	}
	t->stat_prefix = pd_arena_printf(a, "%s.%s", c->vs->object->key.name, c->vs->object->key.ns);
	if (t->weighted->n_clusters) {
		t->cluster = t->weighted->clusters[0]->name;
		return;
	}
	t->weighted = NULL; // nothing is wanted: Envoy would refuse an empty list
	t->cluster = "BlackHoleCluster";
}

static struct target target_of(struct pd_tx *tx, const struct pd_tcp_chain *c)
{
	const char *pattern = tx_mesh(tx)->outbound_cluster_stat_name;
	struct target t = {.cluster = c->cluster, .subset = c->subset};
	struct pd_stat_name name = {.svc = c->svc, .subset = c->subset, .port = c->port, .port_name = c->port_name};
	if (c->n_destinations) {
		const Istio__Destination *d = c->destinations[0]->destination;
		t.cluster = pd_destination_cluster(tx, c->vs, d, c->port, &name.svc);
		t.subset = name.subset = d->subset;
	}
	t.rule = rule_of(tx, name.svc);
	if (c->n_destinations > 1)
		weigh(tx, c, &t);
	if (c->n_destinations > 1 || c->stat_prefix)
		t.stat_prefix = pd_or(c->stat_prefix, t.stat_prefix);
	else if (name.svc && !pd_empty(pattern)) {
		name.host = name.svc->host;
		t.stat_prefix = pd_stat_name(tx->arena, pattern, &name);
	} else {
		t.stat_prefix = t.cluster;
	}
	return t;
}

// ---- tcp_proxy -------------------------------------------------------------------------------------------------------------

static const Istio__TrafficPolicy *subset_policy(const Istio__DestinationRule *rule, const char *subset)
{
	for (size_t i = 0; i < rule->n_subsets; i++)
		if (pd_streq(rule->subsets[i]->name, subset))
			return rule->subsets[i]->traffic_policy;
	return NULL;
}

static bool by_source_ip(const Istio__LoadBalancerSettings *lb)
{
	return lb && lb->lb_policy_case == ISTIO__LOAD_BALANCER_SETTINGS__LB_POLICY_CONSISTENT_HASH &&
	       lb->consistent_hash->hash_key_case ==
		       ISTIO__LOAD_BALANCER_SETTINGS__CONSISTENT_HASH_LB__HASH_KEY_USE_SOURCE_IP &&
	       lb->consistent_hash->use_source_ip;
}

static void set_hash(struct pd_arena *a, EnvoyTcpProxy *tcp, const struct target *t)
{
	const Istio__TrafficPolicy *top = t->rule->traffic_policy;
	const Istio__TrafficPolicy *own = t->weighted || pd_empty(t->subset) ? NULL : subset_policy(t->rule, t->subset);
	bool hash =
		own && own->load_balancer ? by_source_ip(own->load_balancer) : top && by_source_ip(top->load_balancer);
	if (!hash)
		return;
	Envoy__Type__V3__HashPolicy *p = pb_new(a, &envoy__type__v3__hash_policy__descriptor);
	p->policy_specifier_case = ENVOY__TYPE__V3__HASH_POLICY__POLICY_SPECIFIER_SOURCE_IP;
	p->source_ip = pb_new(a, &envoy__type__v3__hash_policy__source_ip__descriptor);
	PB_PUSH(a, tcp, hash_policy, p);
}

// Several destinations share one filter, so only the rule's own tunnel can count then.
static void set_tunnel(struct pd_arena *a, EnvoyTcpProxy *tcp, const struct target *t)
{
	const Istio__TrafficPolicy *p =
		t->weighted || pd_empty(t->subset) ? t->rule->traffic_policy : subset_policy(t->rule, t->subset);
	const Istio__TrafficPolicy__TunnelSettings *tunnel = p ? p->tunnel : NULL;
	if (!tunnel)
		return;
	bool v6 = strchr(tunnel->target_host, ':');
	tcp->tunneling_config = NEW_TCP(a, tcp_proxy__tunneling_config);
	tcp->tunneling_config->hostname =
		pd_arena_printf(a, v6 ? "[%s]:%u" : "%s:%u", tunnel->target_host, tunnel->target_port);
	tcp->tunneling_config->use_post = pd_streq(tunnel->protocol, "POST");
}

static EnvoyTcpProxy *tcp_proxy(struct pd_tx *tx, const char *cluster, const char *stat_prefix)
{
	EnvoyTcpProxy *tcp = NEW_TCP(tx->arena, tcp_proxy);
	tcp->stat_prefix = (char *)stat_prefix;
	tcp->cluster_specifier_case = TCP(CLUSTER_SPECIFIER_CLUSTER);
	tcp->cluster = (char *)cluster;
	return tcp;
}

static void set_log(struct pd_tx *tx, EnvoyTcpProxy *tcp, enum pd_listener_class class)
{
	struct pd_access_logs logs = pd_access_logs_tcp(tx, class);
	tcp->access_log = logs.v;
	tcp->n_access_log = logs.n;
}

static void push_tcp(struct pd_tx *tx, struct pd_filter_vec *out, const EnvoyTcpProxy *tcp)
{
	push(tx, out, pd_network_filter(tx->arena, "envoy.filters.network.tcp_proxy", tcp));
}

static void push_target(struct pd_tx *tx, const struct pd_tcp_chain *c, const struct target *t,
			struct pd_filter_vec *out)
{
	EnvoyTcpProxy *tcp = tcp_proxy(tx, t->cluster, t->stat_prefix);
	if (t->weighted) {
		tcp->cluster_specifier_case = TCP(CLUSTER_SPECIFIER_WEIGHTED_CLUSTERS);
		tcp->weighted_clusters = t->weighted;
	}
	const Istio__TrafficPolicy *p = t->rule ? t->rule->traffic_policy : NULL;
	const Istio__ConnectionPoolSettings__TCPSettings *pool =
		p && p->connection_pool ? p->connection_pool->tcp : NULL;
	tcp->idle_timeout = pool && pool->idle_timeout ? pool->idle_timeout : pd_proxy_idle_timeout(tx);
	if (pool)
		tcp->max_downstream_connection_duration = pool->max_connection_duration;
	if (t->rule) {
		set_hash(tx->arena, tcp, t);
		if (!c->no_tunnel)
			set_tunnel(tx->arena, tcp, t);
	}
	set_log(tx, tcp, c->class);
	push_tcp(tx, out, tcp);
}

// ---- codecs ----------------------------------------------------------------------------------------------------------------

static void push_mongo(struct pd_tx *tx, const struct target *t, struct pd_filter_vec *out)
{
	Envoy__Extensions__Filters__Network__MongoProxy__V3__MongoProxy *m =
		pb_new(tx->arena, &envoy__extensions__filters__network__mongo_proxy__v3__mongo_proxy__descriptor);
	m->stat_prefix = (char *)t->stat_prefix;
	push(tx, out, pd_network_filter(tx->arena, "envoy.filters.network.mongo_proxy", m));
}

// A contrib extension: its type is not in the API that we are built from, but its first field is all that is used.
static void push_mysql(struct pd_tx *tx, const struct target *t, struct pd_filter_vec *out)
{
	size_t n = strlen(t->stat_prefix);
	uint8_t *bytes = pd_arena_alloc(tx->arena, n + 11), *end;
	bytes[0] = 1 << 3 | 2; // string stat_prefix = 1
	end = pd_put_varint(bytes + 1, n);
	memcpy(end, t->stat_prefix, n);
	EnvoyNetworkFilter *f = pb_new(tx->arena, &envoy__config__listener__v3__filter__descriptor);
	f->name = "envoy.filters.network.mysql_proxy";
	f->config_type_case = ENVOY__CONFIG__LISTENER__V3__FILTER__CONFIG_TYPE_TYPED_CONFIG;
	f->typed_config = pb_any_bytes(tx->arena, "envoy.extensions.filters.network.mysql_proxy.v3.MySQLProxy", bytes,
				       (size_t)(end - bytes) + n);
	push(tx, out, f);
}

// Terminal: it speaks to the cluster itself.
static void push_redis(struct pd_tx *tx, const struct target *t, struct pd_filter_vec *out)
{
#define NEW_REDIS(name) pb_new(tx->arena, &envoy__extensions__filters__network__redis_proxy__v3__##name##__descriptor)
	Envoy__Extensions__Filters__Network__RedisProxy__V3__RedisProxy *r = NEW_REDIS(redis_proxy);
	r->stat_prefix = (char *)t->stat_prefix;
	r->latency_in_micros = true;
	r->settings = NEW_REDIS(redis_proxy__conn_pool_settings);
	r->settings->op_timeout = pb_duration(tx->arena, REDIS_TIMEOUT_SECONDS, 0);
	r->prefix_routes = NEW_REDIS(redis_proxy__prefix_routes);
	r->prefix_routes->catch_all_route = NEW_REDIS(redis_proxy__prefix_routes__route);
	r->prefix_routes->catch_all_route->cluster = (char *)t->cluster;
	push(tx, out, pd_network_filter(tx->arena, "envoy.filters.network.redis_proxy", r));
#undef NEW_REDIS
}

// A host that is known only when the client names it.
static bool is_dynamic(const struct pd_service *svc)
{
	return svc && svc->resolution == PD_RES_DYNAMIC_DNS && svc->host[0] == '*';
}

// ---- chains ----------------------------------------------------------------------------------------------------------------

static void push_exchange(struct pd_tx *tx, struct pd_filter_vec *out)
{
	if (tx->key->caps & PD_CAP_METADATA_EXCHANGE_NETWORK)
		push(tx, out, pd_constant_network_filter(tx->arena, PD_NETWORK_EXCHANGE));
}

static void push_policy_filters(struct pd_tx *tx, const struct pd_policy_filters *filters, struct pd_filter_vec *out)
{
	for (size_t i = 0; i < filters->n; i++) {
		EnvoyNetworkFilter *f = pb_new(tx->arena, &envoy__config__listener__v3__filter__descriptor);
		f->name = (char *)filters->v[i].name;
		f->config_type_case = ENVOY__CONFIG__LISTENER__V3__FILTER__CONFIG_TYPE_TYPED_CONFIG;
		f->typed_config = filters->v[i].config;
		push(tx, out, f);
	}
}

static void push_policies(struct pd_tx *tx, struct pd_filter_vec *out)
{
	const struct pd_policy_set *policies = pd_policy_set(tx);
	push_policy_filters(tx, &policies->tcp_custom, out);
	push_policy_filters(tx, &policies->tcp_authz, out);
}

void pd_tcp_filters(struct pd_tx *tx, const struct pd_tcp_chain *c, struct pd_filter_vec *out)
{
	const struct pd_settings *s = tx->snap->settings;
	uint32_t caps = tx->key->caps;
	struct target t = target_of(tx, c);
	// Metadata exchange first, so that policy filters know the peer; statistics behind them.
	if (c->exchange)
		push_exchange(tx, out);
	if (c->class != PD_CLASS_SIDECAR_OUTBOUND && !c->no_policies)
		push_policies(tx, out);
	if (c->class == PD_CLASS_SIDECAR_OUTBOUND && is_dynamic(c->svc))
		push(tx, out, pd_sni_dynamic_proxy(tx, c->svc->host, c->port));
	if (c->protocol == PD_PROTO_REDIS && s->redis_filter && caps & PD_CAP_REDIS) {
		push_redis(tx, &t, out);
		return;
	}
	if (c->protocol == PD_PROTO_MONGO && s->mongo_filter && caps & PD_CAP_MONGO)
		push_mongo(tx, &t, out);
	if (c->protocol == PD_PROTO_MYSQL && s->mysql_filter && caps & PD_CAP_MYSQL)
		push_mysql(tx, &t, out);
	push_target(tx, c, &t, out);
}

void pd_tcp_filters_plain(struct pd_tx *tx, enum pd_listener_class class, const char *cluster,
			  struct pd_filter_vec *out)
{
	EnvoyTcpProxy *tcp = tcp_proxy(tx, cluster, cluster);
	tcp->idle_timeout = pd_proxy_idle_timeout(tx);
	set_log(tx, tcp, class);
	if (class == PD_CLASS_SIDECAR_INBOUND)
		push_exchange(tx, out);
	push_tcp(tx, out, tcp);
}

void pd_tcp_filters_blackhole(struct pd_tx *tx, enum pd_listener_class class, struct pd_filter_vec *out)
{
	if (class == PD_CLASS_SIDECAR_INBOUND)
		push_exchange(tx, out);
	push_tcp(tx, out, tcp_proxy(tx, "BlackHoleCluster", "BlackHoleCluster"));
}
