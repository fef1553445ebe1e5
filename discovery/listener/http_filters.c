#include "discovery/listener/http_filters.h"

#include "discovery/listener/constants.h"
#include "discovery/listener/dns_cache.h"
#include "discovery/listener/proxy.h"
#include "discovery/policy/policy_filters.h"

static void add(struct pd_tx *tx, EnvoyHttpManager *hcm, enum pd_constant c)
{
	PB_PUSH(tx->arena, hcm, http_filters, pd_constant_http_filter(tx->arena, c));
}

static enum pd_constant exchange(const struct pd_http_manager *m, const Istio__ProxyConfig__ProxyHeaders *h)
{
	if (m->class == PD_CLASS_SIDECAR_INBOUND)
		return PD_HTTP_EXCHANGE_INBOUND;
	bool in_mesh = h && h->metadata_exchange_headers &&
		       h->metadata_exchange_headers->mode ==
			       ISTIO__PROXY_CONFIG__PROXY_HEADERS__METADATA_EXCHANGE_MODE__IN_MESH;
	// A forward proxy's clients name any host, so its headers are not held back either.
	return in_mesh && !m->absolute_url ? PD_HTTP_EXCHANGE_IN_MESH : PD_HTTP_EXCHANGE_OUTBOUND;
}

static void add_policy_filters(struct pd_tx *tx, EnvoyHttpManager *hcm, const struct pd_policy_filters *filters)
{
	for (size_t i = 0; i < filters->n; i++) {
		EnvoyHttpFilter *f = pb_new(
			tx->arena,
			&envoy__extensions__filters__network__http_connection_manager__v3__http_filter__descriptor);
		f->name = (char *)filters->v[i].name;
		f->config_type_case =
			ENVOY__EXTENSIONS__FILTERS__NETWORK__HTTP_CONNECTION_MANAGER__V3__HTTP_FILTER__CONFIG_TYPE_TYPED_CONFIG;
		f->typed_config = filters->v[i].config;
		PB_PUSH(tx->arena, hcm, http_filters, f);
	}
}

static void add_policies(struct pd_tx *tx, EnvoyHttpManager *hcm)
{
	const struct pd_policy_set *policies = pd_policy_set(tx);
	add_policy_filters(tx, hcm, &policies->http_custom);
	add_policy_filters(tx, hcm, &policies->http_authn);
	add_policy_filters(tx, hcm, &policies->http_authz);
}

void pd_http_filters(struct pd_tx *tx, const struct pd_http_manager *m, const Istio__ProxyConfig *pc,
		     EnvoyHttpManager *hcm)
{
	const Istio__ProxyConfig__ProxyHeaders *h = pc->proxy_headers;
	// First, so that policy filters know the peer.
	if (tx->key->caps & PD_CAP_METADATA_EXCHANGE_HTTP)
		add(tx, hcm, exchange(m, h));
	if (m->class != PD_CLASS_SIDECAR_OUTBOUND)
		add_policies(tx, hcm);
	if (m->protocol == PD_PROTO_GRPC_WEB)
		add(tx, hcm, PD_HTTP_GRPC_WEB);
	add(tx, hcm, PD_HTTP_GRPC_STATS);
	if (m->class != PD_CLASS_SIDECAR_INBOUND && tx->key->caps & PD_CAP_ALPN)
		add(tx, hcm, PD_HTTP_ALPN);
	add(tx, hcm, PD_HTTP_FAULT); // configured by routes, as the next
	add(tx, hcm, PD_HTTP_CORS);
	// Unknown hosts of any route configuration go to the cluster that resolves them.
	if (m->class == PD_CLASS_SIDECAR_OUTBOUND && pd_proxy_resolves_any(tx))
		PB_PUSH(tx->arena, hcm, http_filters, pd_http_dynamic_proxy_any(tx));
	bool quiet = h && h->envoy_debug_headers && h->envoy_debug_headers->disabled &&
		     h->envoy_debug_headers->disabled->value;
	add(tx, hcm, quiet ? PD_HTTP_ROUTER_QUIET : PD_HTTP_ROUTER);
}
