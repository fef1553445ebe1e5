// The listeners that belong to a sidecar itself: where captured traffic arrives, in and out, and the forward proxy.
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "discovery/endpoint/target_port.h"
#include "discovery/listener/access_log.h"
#include "discovery/listener/inbound.h"
#include "discovery/policy/selector.h"
#include "istio/security/peer_authentication.pb-c.h"

// Listeners that traffic is redirected to take it on all addresses; with dual stack on those of both families.
static struct pd_addresses captured_addresses(struct pd_tx *tx)
{
	struct pd_addresses all = pd_proxy_wildcards(tx);
	if (!tx->snap->settings->dual_stack)
		all.n = 1;
	return all;
}

static EnvoyListener *captured_listener(struct pd_tx *tx, const char *name, uint32_t port)
{
	EnvoyListener *l = pd_listener_new(tx, name, captured_addresses(tx), port);
	if (tx->key->interception == PD_INTERCEPT_TPROXY)
		l->transparent = pb_bool(tx->arena, true);
	pd_listener_accept_evenly(tx->arena, l);
	return l;
}

static EnvoyFilterChain *chain(struct pd_arena *a, const char *name, const struct pd_filter_vec *filters)
{
	EnvoyFilterChain *fc = pb_new(a, &envoy__config__listener__v3__filter_chain__descriptor);
	fc->name = (char *)name;
	for (size_t i = 0; i < filters->n; i++)
		PB_PUSH(a, fc, filters, filters->v[i]);
	return fc;
}

// What was sent to the listener's own port would come back to it for ever.
static EnvoyFilterChain *blackhole(struct pd_tx *tx, enum pd_listener_class class, const char *name, uint32_t port)
{
	struct pd_filter_vec filters = {0};
	pd_tcp_filters_blackhole(tx, class, &filters);
	EnvoyFilterChain *fc = chain(tx->arena, name, &filters);
	fc->filter_chain_match = pd_match_new(tx->arena);
	fc->filter_chain_match->destination_port = pb_u32(tx->arena, port);
	return fc;
}

// ---- out -----------------------------------------------------------------------------------------------------------------------

// HTTP to hosts that nobody declared: resolved by the proxy.
static EnvoyFilterChain *any_host(struct pd_tx *tx)
{
	struct pd_arena *a = tx->arena;
	EnvoyRouteConfiguration *routes = pd_build_route_head(tx, "allow_any_dynamic_dns");
	PB_PUSH(a, routes, virtual_hosts, pd_build_catch_all(tx, routes->name));
	struct pd_http_manager m = {
		.class = PD_CLASS_SIDECAR_OUTBOUND,
		.stat_prefix = "outbound_virtualOutbound_allow_any_dynamic_dns;",
		.route_config = routes,
		.protocol = PD_PROTO_HTTP,
	};
	struct pd_filter_vec filters = {0};
	pd_vec_push_a(a, &filters, pd_http_manager_filter(tx, &m));
	EnvoyFilterChain *fc = chain(a, "virtualOutbound-catchall-tcp-http", &filters);
	fc->filter_chain_match = pd_match_new(a);
	pd_match_set_alpn(a, fc->filter_chain_match, pd_listener_plain_http(tx));
	return fc;
}

static EnvoyListener *virtual_outbound(struct pd_tx *tx)
{
	uint32_t port = (uint32_t)tx_mesh(tx)->proxy_listen_port;
	EnvoyListener *l = captured_listener(tx, "virtualOutbound", port);
	struct pd_filter_vec filters = {0};
	pd_tcp_filters_plain(tx, PD_CLASS_SIDECAR_OUTBOUND, pd_proxy_catch_all_cluster(tx), &filters);
	l->use_original_dst = pb_bool(tx->arena, true); // hands over to the listener of that address, if there is one
	l->traffic_direction = ENVOY__CONFIG__CORE__V3__TRAFFIC_DIRECTION__OUTBOUND;
	PB_PUSH(tx->arena, l, filter_chains,
		blackhole(tx, PD_CLASS_SIDECAR_OUTBOUND, "virtualOutbound-blackhole", port));
	if (pd_proxy_resolves_any(tx)) {
		PB_PUSH(tx->arena, l, filter_chains, any_host(tx));
		pd_listener_add_filter(tx->arena, l, PD_LISTENER_HTTP_INSPECTOR);
	}
	PB_PUSH(tx->arena, l, filter_chains, chain(tx->arena, "virtualOutbound-catchall-tcp", &filters));
	pd_access_log_listener(tx, l, PD_CLASS_SIDECAR_OUTBOUND);
	return l;
}

// For applications that are told to use a proxy.
static EnvoyListener *http_proxy(struct pd_tx *tx)
{
	struct pd_arena *a = tx->arena;
	uint32_t port = (uint32_t)tx_mesh(tx)->proxy_http_port;
	struct pd_addresses binds = pd_proxy_localhosts(tx);
	EnvoyListener *l = pd_listener_new(tx, pd_listener_name(a, binds.v[0], port), binds, port);
	struct pd_http_manager m = {
		.class = PD_CLASS_SIDECAR_OUTBOUND,
		.stat_prefix = pd_arena_printf(a, "outbound_%s;", l->name),
		.route_name = "http_proxy",
		.protocol = PD_PROTO_HTTP_PROXY,
		.port = port,
		.absolute_url = true,
	};
	struct pd_filter_vec filters = {0};
	pd_vec_push_a(a, &filters, pd_http_manager_filter(tx, &m));
	EnvoyFilterChain *fc = chain(a, "", &filters);
	fc->transport_socket_connect_timeout = pd_listener_handshake_timeout(a);
	PB_PUSH(a, l, filter_chains, fc);
	l->traffic_direction = ENVOY__CONFIG__CORE__V3__TRAFFIC_DIRECTION__OUTBOUND;
	l->continue_on_listener_filters_timeout = true;
	l->listener_filters_timeout = pb_duration(a, 0, 0);
	pd_listener_accept_evenly(a, l);
	return l;
}

// ---- in ------------------------------------------------------------------------------------------------------------------------

struct inbound_vec {
	struct inbound *v;
	size_t n, cap;
};

static bool owned(const struct inbound_vec *ports, uint32_t port)
{
	for (size_t i = 0; i < ports->n; i++)
		if (ports->v[i].port == port)
			return true;
	return false;
}

static int cmp_port(const void *x, const void *y)
{
	const struct inbound *a = x, *b = y;
	return (a->port > b->port) - (a->port < b->port);
}

// The ports that services lead to; of several services on one port the oldest counts.
static struct inbound_vec service_ports(struct pd_tx *tx)
{
	struct inbound_vec out = {0};
	struct tx_service_targets services = tx_service_targets(tx);
	const char *bind = pd_proxy_wildcards(tx).v[0];
	for (size_t i = 0; i < services.n; i++) {
		const struct pd_service *s = services.v[i];
		tx_use(tx, s->source);
		for (size_t k = 0; k < s->n_ports; k++) {
			uint32_t target = pd_target_port(tx, s, &s->ports[k]);
			if (!target || owned(&out, target) || !pd_proxy_can_bind(tx, bind, target, false, false, true))
				continue;
			struct inbound in = {.port = target,
					     .protocol = s->ports[k].protocol,
					     .cluster = pd_cluster_name(tx->arena, "inbound", target, NULL, ""),
					     .bind = bind,
					     .host = s->host,
					     .port_name = s->ports[k].name,
					     .service_port = s->ports[k].port,
					     .svc = s};
			pd_vec_push_a(tx->arena, &out, in);
		}
	}
	if (out.n)
		qsort(out.v, out.n, sizeof(*out.v), cmp_port);
	return out;
}

// Everything that no service leads to.
static struct inbound passthrough(uint32_t port)
{
	return (struct inbound){.port = port,
				.passthrough = true,
				.protocol = PD_PROTO_SNIFF,
				.cluster = "InboundPassthroughCluster",
				.host = "",
				.port_name = "virtualInbound"};
}

struct port_vec {
	uint32_t *v;
	size_t n, cap;
};

static int cmp_u32(const void *x, const void *y)
{
	uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
	return (a > b) - (a < b);
}

// Ports that the workload's policy names one by one: they may differ from the rest though no service leads to them.
static struct port_vec policy_ports(struct pd_tx *tx)
{
	struct port_vec out = {0};
	if (pd_streq(tx->key->ns, tx_mesh(tx)->root_namespace))
		return out;
	const struct pd_posting *p = tx_posting(tx, PD_IX_PEER_AUTHN_BY_NS, tx->key->ns);
	for (size_t i = 0; i < p->n; i++) {
		const Istio__PeerAuthentication *pa = (const Istio__PeerAuthentication *)p->v[i]->spec;
		if (pd_selector_empty(pa->selector) || !pd_selector_matches(pa->selector, &tx->view->labels))
			continue;
		for (size_t k = 0; k < pa->n_port_level_mtls; k++)
			pd_vec_push_a(tx->arena, &out, pa->port_level_mtls[k]->key);
		break; // the oldest that selects the workload is the one in force
	}
	if (out.n)
		qsort(out.v, out.n, sizeof(*out.v), cmp_u32);
	return out;
}

static void add_chains(struct pd_tx *tx, const struct inbound *in, EnvoyListener *l)
{
	pd_inbound_chains(tx, in, tx_workload_mtls(tx, tx->key->ns, &tx->view->labels, in->port), l);
}

static EnvoyListener *virtual_inbound(struct pd_tx *tx)
{
	struct pd_arena *a = tx->arena;
	uint32_t port = (uint32_t)tx_mesh(tx)->proxy_inbound_listen_port;
	struct inbound_vec ports = service_ports(tx);
	struct port_vec extra = policy_ports(tx);
	EnvoyListener *l = captured_listener(tx, "virtualInbound", port);
	l->traffic_direction = ENVOY__CONFIG__CORE__V3__TRAFFIC_DIRECTION__INBOUND;
	l->continue_on_listener_filters_timeout = true;
	l->listener_filters_timeout = tx_mesh(tx)->protocol_detection_timeout;
	PB_PUSH(a, l, filter_chains, blackhole(tx, PD_CLASS_SIDECAR_INBOUND, "virtualInbound-blackhole", port));
	struct inbound rest = passthrough(0);
	add_chains(tx, &rest, l);
	for (size_t i = 0; i < extra.n; i++) {
		struct inbound one = passthrough(extra.v[i]);
		if (!owned(&ports, one.port))
			add_chains(tx, &one, l);
	}
	for (size_t i = 0; i < ports.n; i++)
		add_chains(tx, &ports.v[i], l);
	pd_listener_add_filter(a, l, PD_LISTENER_ORIGINAL_DST);
	if (tx->key->interception == PD_INTERCEPT_TPROXY)
		pd_listener_add_filter(a, l, PD_LISTENER_ORIGINAL_SRC);
	pd_listener_add_inspectors(a, l);
	pd_access_log_listener(tx, l, PD_CLASS_SIDECAR_INBOUND);
	return l;
}

// Without interception nothing arrives by itself: listeners for the application's own ports would take those from it.
void pd_build_view_listeners(struct pd_tx *tx, struct pd_listener_vec *out)
{
	bool captured = tx->key->interception != PD_INTERCEPT_NONE;
	if (tx_mesh(tx)->proxy_listen_port <= 0)
		return;
	if (tx_mesh(tx)->proxy_http_port > 0)
		pd_vec_push_a(tx->arena, out, http_proxy(tx));
	if (captured) {
		pd_vec_push_a(tx->arena, out, virtual_outbound(tx));
		pd_vec_push_a(tx->arena, out, virtual_inbound(tx));
	}
}
