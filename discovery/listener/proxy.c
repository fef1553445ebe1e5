#include "discovery/listener/proxy.h"

#include <string.h>

#include "api/codec.h"
#include "api/pb.h"
#include "base/flags.h"
#include "base/str.h"

typedef Istio__ProxyConfig__ConnectionSettings ConnectionSettings;

// ---- ProxyConfig -------------------------------------------------------------------------------------------------------

const Istio__ProxyConfig *pd_proxy_config(struct pd_tx *tx)
{
	const char *text = tx->key->proxy_config;
	if (!pd_empty(text)) {
		struct pd_codec codec = {.arena = tx->arena, .policy = PD_CODEC_LENIENT};
		void *pc = NULL;
		// A field that does not decode is left out; the rest of what the proxy says holds.
		int rc = pd_codec_decode_text(&codec, text, strlen(text), &istio__proxy_config__descriptor, &pc);
		if (rc == PD_OK || pc)
			return pc;
	}
	const Istio__ProxyConfig *mesh = tx_mesh(tx)->default_config;
	return mesh ? mesh : pb_new(tx->arena, &istio__proxy_config__descriptor);
}

static void edge_int(struct pd_arena *a, Google__Protobuf__Int32Value **field, int32_t v)
{
	if (!*field)
		*field = pb_i32(a, v);
}

static void edge_seconds(struct pd_arena *a, Google__Protobuf__Duration **field, int64_t v)
{
	if (!*field)
		*field = pb_duration(a, v, 0);
}

#define UNDERSCORES(name)                                                                                              \
	ISTIO__PROXY_CONFIG__CONNECTION_SETTINGS__HEADERS_WITH_UNDERSCORES_ACTION__HEADERS_WITH_UNDERSCORES_##name
#define SLASHES(name) ISTIO__PROXY_CONFIG__CONNECTION_SETTINGS__PATH_WITH_ESCAPED_SLASHES_ACTION__##name

// Envoy's recommendations for a proxy at the edge, where the user left a field open.
static const ConnectionSettings *with_edge_profile(struct pd_arena *a, const ConnectionSettings *from)
{
	ConnectionSettings *s = pb_copy(a, from);
	edge_int(a, &s->listener_per_connection_buffer_limit_bytes, 32 * 1024);
	edge_seconds(a, &s->http_idle_timeout, 3600);
	edge_seconds(a, &s->http_stream_idle_timeout, 300);
	edge_seconds(a, &s->http_request_timeout, 300);
	edge_seconds(a, &s->http_request_headers_timeout, 60);
	edge_int(a, &s->http_max_concurrent_streams, 100);
	edge_int(a, &s->http2_initial_stream_window_size, 64 * 1024);
	edge_int(a, &s->http2_initial_connection_window_size, 1024 * 1024);
	if (s->http_headers_with_underscores_action == UNDERSCORES(UNSPECIFIED))
		s->http_headers_with_underscores_action = UNDERSCORES(REJECT_REQUEST);
	if (!s->http_merge_slashes)
		s->http_merge_slashes = pb_bool(a, true);
	if (s->http_path_with_escaped_slashes_action == SLASHES(PATH_WITH_ESCAPED_SLASHES_UNSPECIFIED))
		s->http_path_with_escaped_slashes_action = SLASHES(UNESCAPE_AND_REDIRECT);
	return s;
}

const ConnectionSettings *pd_connection_settings(struct pd_tx *tx, const Istio__ProxyConfig *pc)
{
	const Istio__ProxyConfig *mesh = tx_mesh(tx)->default_config;
	const ConnectionSettings *s = pc->connection_settings;
	if (!s && mesh)
		s = mesh->connection_settings;
	bool edge = s && s->profile == ISTIO__PROXY_CONFIG__CONNECTION_SETTINGS__PROFILE__EDGE;
	return edge && tx->key->type == PD_NODE_ROUTER ? with_edge_profile(tx->arena, s) : s;
}

// ---- node metadata -------------------------------------------------------------------------------------------------------

Google__Protobuf__Duration *pd_proxy_idle_timeout(struct pd_tx *tx)
{
	const char *text = tx->key->idle_timeout;
	int64_t ns;
	if (pd_empty(text) || pd_parse_go_duration(text, &ns) != PD_OK)
		return NULL;
	return pb_duration(tx->arena, ns / 1000000000, (int32_t)(ns % 1000000000));
}

bool pd_proxy_http10(struct pd_tx *tx)
{
	return tx->snap->settings->http10 || tx->key->http10;
}

bool pd_proxy_uses_auto_vips(struct pd_tx *tx)
{
	return tx->key->type == PD_NODE_WAYPOINT || tx->key->dns_capture;
}

// ---- addresses -----------------------------------------------------------------------------------------------------------

static struct pd_addresses by_family(const struct pd_tx *tx, const char *const both[2])
{
	size_t from = tx->key->ipv4 ? 0 : 1, n = tx->key->ipv4 && tx->key->ipv6 ? 2 : 1;
	return (struct pd_addresses){n, both + from};
}

struct pd_addresses pd_proxy_wildcards(struct pd_tx *tx)
{
	static const char *const both[] = {"0.0.0.0", "::"};
	return by_family(tx, both);
}

struct pd_addresses pd_proxy_localhosts(struct pd_tx *tx)
{
	static const char *const both[] = {"127.0.0.1", "::1"};
	return by_family(tx, both);
}

static bool is_reserved(struct pd_tx *tx, uint32_t port, bool mesh_ports)
{
	const struct pd_proxy_key *k = tx->key;
	for (size_t i = 0; i < sizeof(k->reserved_ports) / sizeof(k->reserved_ports[0]); i++)
		if (k->reserved_ports[i] && k->reserved_ports[i] == port)
			return true;
	const Istio__MeshConfig *mesh = tx_mesh(tx);
	return mesh_ports &&
	       (port == (uint32_t)mesh->proxy_listen_port || port == (uint32_t)mesh->proxy_inbound_listen_port);
}

bool pd_proxy_can_bind(struct pd_tx *tx, const char *bind, uint32_t port, bool http, bool bind_to_port, bool mesh_ports)
{
	if (bind_to_port && port > 0 && port < 1024 && tx->key->unprivileged_pod)
		return false;
	bool wildcard = *bind ? pd_streq(bind, pd_proxy_wildcards(tx).v[0]) : http;
	return !wildcard || !is_reserved(tx, port, mesh_ports);
}

// ---- policy --------------------------------------------------------------------------------------------------------------

const char *pd_proxy_catch_all_cluster(struct pd_tx *tx)
{
	const Istio__MeshConfig__OutboundTrafficPolicy *p = tx_mesh(tx)->outbound_traffic_policy;
	bool any = !p || p->mode != ISTIO__MESH_CONFIG__OUTBOUND_TRAFFIC_POLICY__MODE__REGISTRY_ONLY;
	return any ? "PassthroughCluster" : "BlackHoleCluster";
}

bool pd_proxy_resolves_any(struct pd_tx *tx)
{
	const Istio__MeshConfig__OutboundTrafficPolicy *p = tx_mesh(tx)->outbound_traffic_policy;
	return tx->key->type == PD_NODE_SIDECAR && p &&
	       p->mode == ISTIO__MESH_CONFIG__OUTBOUND_TRAFFIC_POLICY__MODE__ALLOW_ANY_DYNAMIC_DNS;
}
