#include "discovery/listener/dns_cache.h"

#include "discovery/listener/tcp_filters.h"
#include "envoy/extensions/filters/http/dynamic_forward_proxy/v3/dynamic_forward_proxy.pb-c.h"
#include "envoy/extensions/filters/network/sni_dynamic_forward_proxy/v3/sni_dynamic_forward_proxy.pb-c.h"

enum { ANY_MAX_HOSTS = 1024 };

#define FAMILY(name) ENVOY__CONFIG__CLUSTER__V3__CLUSTER__DNS_LOOKUP_FAMILY__##name

typedef Envoy__Extensions__Common__DynamicForwardProxy__V3__DnsCacheConfig DnsCacheConfig;

static DnsCacheConfig *cache(struct pd_tx *tx, const char *name)
{
	const struct pd_proxy_key *k = tx->key;
	DnsCacheConfig *c =
		pb_new(tx->arena, &envoy__extensions__common__dynamic_forward_proxy__v3__dns_cache_config__descriptor);
	c->name = (char *)name;
	c->dns_lookup_family = FAMILY(V4_ONLY);
	if (k->ipv6 && !k->ipv4)
		c->dns_lookup_family = FAMILY(V6_ONLY);
	else if (k->ipv6 && tx->snap->settings->dual_stack)
		c->dns_lookup_family = FAMILY(ALL);
	return c;
}

EnvoyNetworkFilter *pd_sni_dynamic_proxy(struct pd_tx *tx, const char *host, uint32_t port)
{
	Envoy__Extensions__Filters__Network__SniDynamicForwardProxy__V3__FilterConfig *f =
		pb_new(tx->arena,
		       &envoy__extensions__filters__network__sni_dynamic_forward_proxy__v3__filter_config__descriptor);
	f->dns_cache_config = cache(tx, pd_arena_printf(tx->arena, "%s_dfp_dns_cache", host));
	f->port_specifier_case =
		ENVOY__EXTENSIONS__FILTERS__NETWORK__SNI_DYNAMIC_FORWARD_PROXY__V3__FILTER_CONFIG__PORT_SPECIFIER_PORT_VALUE;
	f->port_value = port;
	return pd_network_filter(tx->arena, "envoy.extensions.filters.network.sni_dynamic_forward_proxy", f);
}

EnvoyHttpFilter *pd_http_dynamic_proxy_any(struct pd_tx *tx)
{
	Envoy__Extensions__Filters__Http__DynamicForwardProxy__V3__FilterConfig *config =
		pb_new(tx->arena,
		       &envoy__extensions__filters__http__dynamic_forward_proxy__v3__filter_config__descriptor);
	config->implementation_specifier_case =
		ENVOY__EXTENSIONS__FILTERS__HTTP__DYNAMIC_FORWARD_PROXY__V3__FILTER_CONFIG__IMPLEMENTATION_SPECIFIER_DNS_CACHE_CONFIG;
	config->dns_cache_config = cache(tx, "allow_any_dfp_dns_cache");
	config->dns_cache_config->max_hosts = pb_u32(tx->arena, ANY_MAX_HOSTS);
	EnvoyHttpFilter *f =
		pb_new(tx->arena,
		       &envoy__extensions__filters__network__http_connection_manager__v3__http_filter__descriptor);
	f->name = "envoy.filters.http.dynamic_forward_proxy";
	f->config_type_case =
		ENVOY__EXTENSIONS__FILTERS__NETWORK__HTTP_CONNECTION_MANAGER__V3__HTTP_FILTER__CONFIG_TYPE_TYPED_CONFIG;
	f->typed_config = pb_any(tx->arena, config);
	return f;
}
