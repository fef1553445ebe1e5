// Clusters that belong to no service: where traffic without a known destination goes.
#include "base/str.h"
#include "discovery/cluster/cluster.h"
#include "discovery/tls.h"

enum { DYNAMIC_DNS_MAX_HOSTS = 1024 };

static void add(struct cluster *c, struct pd_cluster_vec *out)
{
	pd_vec_push_a(c->tx->arena, out, pd_cluster_finish(c));
}

// To the address that the client meant. Outlier detection makes no sense here: there is no other endpoint to turn to.
static void init_passthrough(struct cluster *c, struct pd_tx *tx, const char *name)
{
	const Istio__MeshConfig__DefaultTrafficPolicy *d = tx_mesh(tx)->default_traffic_policy;
	pd_cluster_init(c, tx, name, CLUSTER_TYPE(ORIGINAL_DST));
	c->msg->alt_stat_name = "PassthroughCluster;";
	c->msg->lb_policy = CLUSTER_LB(CLUSTER_PROVIDED);
	pd_cluster_set_passthrough_http(c);
	// Said for the whole mesh, connection pools hold here for TCP; what a pool says of HTTP stays with services.
	EnvoyHttpProtocolOptions *http = c->http;
	c->http = NULL;
	pd_cluster_apply_pool(c, d ? d->connection_pool : NULL, NULL);
	c->http = http;
}

static void add_black_hole(struct pd_tx *tx, struct pd_cluster_vec *out)
{
	struct cluster c;
	pd_cluster_init(&c, tx, "BlackHoleCluster", CLUSTER_TYPE(STATIC));
	add(&c, out);
}

static void add_passthrough(struct pd_tx *tx, struct pd_cluster_vec *out)
{
	struct cluster c;
	init_passthrough(&c, tx, "PassthroughCluster");
	pd_cluster_add_metadata_exchange(&c);
	add(&c, out);
}

// To whatever host a request names, resolved by the proxy itself.
static void add_dynamic_dns(struct pd_tx *tx, const Istio__ClientTLSSettings *tls, struct pd_cluster_vec *out)
{
	struct cluster c;
	pd_cluster_init(&c, tx, "AllowAnyDynamicDNSCluster", CLUSTER_TYPE(STATIC));
	pd_cluster_set_dynamic_proxy(&c, "allow_any_dfp_dns_cache");
	pd_cluster_dynamic_proxy_limit(&c, DYNAMIC_DNS_MAX_HOSTS);
	pd_cluster_apply_pool(&c, NULL, NULL);
	pd_cluster_set_passthrough_http(&c);
	if (tls && tls->mode != ISTIO__CLIENT_TLSSETTINGS__TLSMODE__DISABLE) {
		struct upstream_tls t = {.settings = tls};
		pd_cluster_apply_tls(&c, &t);
	} else {
		pd_cluster_dynamic_proxy_insecure(&c);
	}
	pd_cluster_add_metadata_exchange(&c);
	add(&c, out);
}

void pd_build_static_clusters(struct pd_tx *tx, struct pd_cluster_vec *out)
{
	if (tx->key->type != PD_NODE_SIDECAR && tx->key->type != PD_NODE_ROUTER)
		return;
	add_black_hole(tx, out);
	if (tx->key->type != PD_NODE_SIDECAR) // gateways have no listeners on foreign addresses
		return;
	add_passthrough(tx, out);
	const Istio__MeshConfig__OutboundTrafficPolicy *p = tx_mesh(tx)->outbound_traffic_policy;
	if (p && p->mode == ISTIO__MESH_CONFIG__OUTBOUND_TRAFFIC_POLICY__MODE__ALLOW_ANY_DYNAMIC_DNS)
		add_dynamic_dns(tx, p->tls, out);
}

// ---- inbound ---------------------------------------------------------------------------------------------------------------

static void set_socket_address(struct pd_arena *a, EnvoySocketAddress **out, const char *address)
{
	*out = PB_NEW(a, EnvoySocketAddress, envoy__config__core__v3__socket_address);
	(*out)->address = (char *)address;
	(*out)->port_specifier_case = ENVOY__CONFIG__CORE__V3__SOCKET_ADDRESS__PORT_SPECIFIER_PORT_VALUE;
}

void pd_cluster_set_inbound_source(struct cluster *c, bool both_families)
{
	struct pd_arena *a = c->tx->arena;
	Envoy__Config__Core__V3__BindConfig *bind =
		PB_NEW(a, Envoy__Config__Core__V3__BindConfig, envoy__config__core__v3__bind_config);
	set_socket_address(a, &bind->source_address, c->tx->key->ipv4 ? "127.0.0.6" : "::6");
	if (both_families && c->tx->key->ipv4 && c->tx->key->ipv6) {
		Envoy__Config__Core__V3__ExtraSourceAddress *extra =
			PB_NEW(a, Envoy__Config__Core__V3__ExtraSourceAddress,
			       envoy__config__core__v3__extra_source_address);
		set_socket_address(a, &extra->address, "::6");
		PB_PUSH(a, bind, extra_source_addresses, extra);
	}
	c->msg->upstream_bind_config = bind;
}

void pd_cluster_add_inbound_passthrough(struct pd_tx *tx, struct pd_cluster_vec *out)
{
	struct cluster c;
	init_passthrough(&c, tx, "InboundPassthroughCluster");
	pd_cluster_set_inbound_source(&c, true);
	add(&c, out);
}
