#include "discovery/cluster/cluster.h"
#include "envoy/extensions/clusters/dynamic_forward_proxy/v3/cluster.pb-c.h"
#include "envoy/extensions/common/dynamic_forward_proxy/v3/dns_cache.pb-c.h"
#include "envoy/extensions/network/dns_resolver/cares/v3/cares_dns_resolver.pb-c.h"

enum { DNS_UDP_MAX_QUERIES = 100, DNS_JITTER_MS = 100 };

typedef Envoy__Extensions__Clusters__DynamicForwardProxy__V3__ClusterConfig DynamicProxyConfig;

struct dynamic_proxy {
	DynamicProxyConfig *config;
};

static Envoy__Config__Cluster__V3__Cluster__DnsLookupFamily dns_family(struct pd_tx *tx)
{
	if (tx->key->ipv6 && !tx->key->ipv4)
		return ENVOY__CONFIG__CLUSTER__V3__CLUSTER__DNS_LOOKUP_FAMILY__V6_ONLY;
	if (tx->key->ipv6 && tx->snap->settings->dual_stack)
		return ENVOY__CONFIG__CLUSTER__V3__CLUSTER__DNS_LOOKUP_FAMILY__ALL;
	return ENVOY__CONFIG__CLUSTER__V3__CLUSTER__DNS_LOOKUP_FAMILY__V4_ONLY;
}

void pd_cluster_set_dns(struct cluster *c)
{
	struct pd_arena *a = c->tx->arena;
	Envoy__Extensions__Network__DnsResolver__Cares__V3__CaresDnsResolverConfig *cares =
		pb_new(a, &envoy__extensions__network__dns_resolver__cares__v3__cares_dns_resolver_config__descriptor);
	cares->udp_max_queries = pb_u32(a, DNS_UDP_MAX_QUERIES);
	Envoy__Config__Core__V3__TypedExtensionConfig *resolver =
		PB_NEW(a, Envoy__Config__Core__V3__TypedExtensionConfig,
		       envoy__config__core__v3__typed_extension_config);
	resolver->name = "envoy.network.dns_resolver.cares";
	resolver->typed_config = pb_any(a, cares);
	c->msg->typed_dns_resolver_config = resolver;
	c->msg->dns_lookup_family = dns_family(c->tx);
	c->msg->dns_jitter = pb_duration_ms(a, DNS_JITTER_MS);
	c->msg->dns_refresh_rate = tx_mesh(c->tx)->dns_refresh_rate;
	c->msg->respect_dns_ttl = true;
}

void pd_cluster_set_dynamic_proxy(struct cluster *c, const char *cache_name)
{
	struct pd_arena *a = c->tx->arena;
	Envoy__Extensions__Common__DynamicForwardProxy__V3__DnsCacheConfig *cache =
		pb_new(a, &envoy__extensions__common__dynamic_forward_proxy__v3__dns_cache_config__descriptor);
	cache->name = (char *)cache_name;
	cache->dns_lookup_family = dns_family(c->tx);
	DynamicProxyConfig *config =
		pb_new(a, &envoy__extensions__clusters__dynamic_forward_proxy__v3__cluster_config__descriptor);
	config->cluster_implementation_specifier_case =
		ENVOY__EXTENSIONS__CLUSTERS__DYNAMIC_FORWARD_PROXY__V3__CLUSTER_CONFIG__CLUSTER_IMPLEMENTATION_SPECIFIER_DNS_CACHE_CONFIG;
	config->dns_cache_config = cache;
	c->dynamic = PD_NEW(a, struct dynamic_proxy);
	c->dynamic->config = config;
	c->msg->lb_policy = CLUSTER_LB(CLUSTER_PROVIDED);
	c->msg->common_lb_config = NULL;
}

void pd_cluster_dynamic_proxy_limit(struct cluster *c, uint32_t max_hosts)
{
	c->dynamic->config->dns_cache_config->max_hosts = pb_u32(c->tx->arena, max_hosts);
}

void pd_cluster_dynamic_proxy_insecure(struct cluster *c)
{
	c->dynamic->config->allow_insecure_cluster_options = true;
}

void pd_cluster_finish_dynamic_proxy(struct cluster *c)
{
	Envoy__Config__Cluster__V3__Cluster__CustomClusterType *type =
		pb_new(c->tx->arena, &envoy__config__cluster__v3__cluster__custom_cluster_type__descriptor);
	type->name = "envoy.clusters.dynamic_forward_proxy";
	type->typed_config = pb_any(c->tx->arena, c->dynamic->config);
	c->msg->cluster_discovery_type_case = ENVOY__CONFIG__CLUSTER__V3__CLUSTER__CLUSTER_DISCOVERY_TYPE_CLUSTER_TYPE;
	c->msg->cluster_type = type;
}
