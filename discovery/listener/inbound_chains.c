// Chains for one port of a workload. Which there are follows from two questions: what the mTLS mode lets in, and whether the
// protocol is known or has to be detected.
//
// Clients with a sidecar offer protocols of their own in ALPN ("istio-http/1.1", "istio-peer-exchange"), by which their
// TLS is told from an application's, and HTTP inside of TLS from TCP.
#include "base/str.h"
#include "discovery/listener/inbound.h"
#include "discovery/listener/stat_name.h"
#include "discovery/tls.h"

enum alpn { ALPN_NONE, ALPN_PLAIN_HTTP, ALPN_MESH_HTTP, ALPN_MESH_TCP, ALPN_MESH };
enum transport { RAW, TLS };
enum kind { HTTP, TCP };

struct chain_shape {
	enum alpn alpn;
	enum transport transport;
	enum kind kind;
	bool mtls; // the proxy ends TLS; else it is the application's
};
struct chain_set {
	size_t n;
	const struct chain_shape *v;
};

#define SET(...)                                                                                                       \
	{                                                                                                              \
		sizeof((const struct chain_shape[]){__VA_ARGS__}) / sizeof(struct chain_shape),                        \
			(const struct chain_shape[])                                                                   \
		{                                                                                                      \
			__VA_ARGS__                                                                                    \
		}                                                                                                      \
	}

static const struct chain_set sets[3][3] = {
	// by mode and protocol: HTTP, TCP, unknown
	[PD_MTLS_PERMISSIVE] = {SET({ALPN_MESH, TLS, HTTP, true}, {ALPN_NONE, RAW, HTTP, false}),
				SET({ALPN_MESH, TLS, TCP, true}, {ALPN_NONE, TLS, TCP, false},
				    {ALPN_NONE, RAW, TCP, false}),
				SET({ALPN_MESH_HTTP, TLS, HTTP, true}, {ALPN_PLAIN_HTTP, RAW, HTTP, false},
				    {ALPN_MESH_TCP, TLS, TCP, true}, {ALPN_NONE, RAW, TCP, false},
				    {ALPN_NONE, TLS, TCP, false})},
	[PD_MTLS_STRICT] = {SET({ALPN_NONE, TLS, HTTP, true}), SET({ALPN_NONE, TLS, TCP, true}),
			    SET({ALPN_MESH_HTTP, TLS, HTTP, true}, {ALPN_NONE, TLS, TCP, true})},
	[PD_MTLS_DISABLE] = {SET({ALPN_NONE, RAW, HTTP, false}), SET({ALPN_NONE, RAW, TCP, false}),
			     SET({ALPN_PLAIN_HTTP, RAW, HTTP, false}, {ALPN_NONE, RAW, TCP, false})},
};

static const struct chain_set *set_for(enum pd_mtls mode, enum pd_protocol p)
{
	size_t column = pd_protocol_is_http(p) ? 0 : p == PD_PROTO_SNIFF || p == PD_PROTO_HBONE ? 2 : 1;
	return &sets[mode][column];
}

static struct alpn_list alpn_of(struct pd_tx *tx, enum alpn alpn)
{
	static const char *const http[] = {"istio-http/1.0", "istio-http/1.1", "istio-h2"};
	static const char *const tcp[] = {"istio-peer-exchange", "istio"};
	static const char *const all[] = {"istio", "istio-peer-exchange", "istio-http/1.0", "istio-http/1.1",
					  "istio-h2"};
	switch (alpn) {
	case ALPN_PLAIN_HTTP:
		return pd_listener_plain_http(tx);
	case ALPN_MESH_HTTP:
		return (struct alpn_list){3, http};
	case ALPN_MESH_TCP:
		return (struct alpn_list){2, tcp};
	case ALPN_MESH:
		return (struct alpn_list){5, all};
	default:
		return (struct alpn_list){0, NULL};
	}
}

// ---- filters -------------------------------------------------------------------------------------------------------------------

static const char *chain_name(struct pd_tx *tx, const struct inbound *in, enum kind kind)
{
	if (in->passthrough)
		return kind == HTTP ? "virtualInbound-catchall-http" : "virtualInbound";
	return pd_listener_name(tx->arena, in->bind, in->port);
}

static void http_filters(struct pd_tx *tx, const struct inbound *in, struct pd_filter_vec *out)
{
	struct pd_arena *a = tx->arena;
	struct pd_http_manager m = {
		.class = PD_CLASS_SIDECAR_INBOUND,
		.stat_prefix = in->passthrough ? pd_arena_printf(a, "%s;", in->cluster)
					       : pd_arena_printf(a, "inbound_%s;", chain_name(tx, in, HTTP)),
		.route_config = pd_inbound_routes(tx, in),
		.protocol = in->protocol,
		.port = in->port,
	};
	if (tx->key->caps & PD_CAP_METADATA_EXCHANGE_NETWORK)
		pd_vec_push_a(a, out, pd_constant_network_filter(a, PD_NETWORK_EXCHANGE));
	pd_vec_push_a(a, out, pd_http_manager_filter(tx, &m));
}

static void tcp_filters(struct pd_tx *tx, const struct inbound *in, struct pd_filter_vec *out)
{
	const char *pattern = tx_mesh(tx)->inbound_cluster_stat_name;
	struct pd_stat_name name = {.host = in->host,
				    .svc = in->svc,
				    .port = in->service_port,
				    .port_name = in->port_name};
	struct pd_tcp_chain c = {
		.class = PD_CLASS_SIDECAR_INBOUND,
		.protocol = in->protocol,
		.port = in->port,
		.cluster = in->cluster,
		.stat_prefix = pd_empty(pattern) ? in->cluster : pd_stat_name(tx->arena, pattern, &name),
		.exchange = true,
	};
	pd_tcp_filters(tx, &c, out);
}

// ---- chains --------------------------------------------------------------------------------------------------------------------

static EnvoyFilterChain *build(struct pd_tx *tx, const struct inbound *in, const struct chain_shape *shape)
{
	struct pd_arena *a = tx->arena;
	EnvoyFilterChain *fc = pb_new(a, &envoy__config__listener__v3__filter_chain__descriptor);
	EnvoyFilterChainMatch *m = pd_match_new(a);
	struct pd_filter_vec filters = {0};
	fc->name = (char *)chain_name(tx, in, shape->kind);
	fc->filter_chain_match = m;
	pd_match_set_alpn(a, m, alpn_of(tx, shape->alpn));
	m->transport_protocol = shape->transport == TLS ? "tls" : "raw_buffer";
	if (in->port)
		m->destination_port = pb_u32(a, in->port);
	if (shape->kind == HTTP)
		http_filters(tx, in, &filters);
	else
		tcp_filters(tx, in, &filters);
	for (size_t i = 0; i < filters.n; i++)
		PB_PUSH(a, fc, filters, filters.v[i]);
	if (shape->mtls)
		fc->transport_socket = pd_tls_socket(a, pd_tls_downstream_mtls(tx, shape->kind == TCP));
	return fc;
}

void pd_inbound_chains(struct pd_tx *tx, const struct inbound *in, enum pd_mtls mode, EnvoyListener *l)
{
	const struct chain_set *set = set_for(mode, in->protocol);
	for (size_t i = 0; i < set->n; i++)
		PB_PUSH(tx->arena, l, filter_chains, build(tx, in, &set->v[i]));
}
