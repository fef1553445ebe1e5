// The clusters that depend on the proxy itself. Sidecars: to their own application, one for each port of the workload that a
// service leads to. Gateways that pass mTLS on: one for each SNI.
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "discovery/cluster/cluster.h"
#include "discovery/endpoint/endpoint.h"
#include "discovery/endpoint/target_port.h"
#include "discovery/gateway/gateway.h"

// Connections to the application are never closed for lack of use: the longest time that fits in nanoseconds, as istiod has it.
#define NEVER_S INT64_C(9223372035)

struct target {
	const struct pd_service *svc;
	const struct pd_port *port;
	uint32_t number; // port of the workload
};
struct target_vec {
	struct target *v;
	size_t n, cap;
};

// By service age within a port: the oldest service owns it.
static struct target_vec targets_of(struct pd_tx *tx)
{
	struct target_vec out = {0};
	struct tx_service_targets services = tx_service_targets(tx);
	for (size_t i = 0; i < services.n; i++) {
		const struct pd_service *s = services.v[i];
		tx_use(tx, s->source);
		for (size_t k = 0; k < s->n_ports; k++) {
			struct target t = {s, &s->ports[k], pd_target_port(tx, s, &s->ports[k])};
			if (t.number)
				pd_vec_push_a(tx->arena, &out, t);
		}
	}
	return out;
}

// The other services that lead here with the same port of theirs are named too.
static void add_services(struct cluster *c, const struct target_vec *all, const struct target *first)
{
	for (size_t i = 0; i < all->n; i++) {
		const struct target *t = &all->v[i];
		bool seen = t->number != first->number || t->port->port != first->port->port;
		for (size_t k = 0; k < i && !seen; k++)
			seen = all->v[k].number == t->number && all->v[k].port->port == t->port->port &&
			       pd_streq(all->v[k].svc->host, t->svc->host);
		if (!seen)
			pd_cluster_add_service(c, t->svc);
	}
}

static bool to_localhost(struct pd_tx *tx)
{
	const Istio__MeshConfig__InboundTrafficPolicy *p = tx_mesh(tx)->inbound_traffic_policy;
	return p && p->mode == ISTIO__MESH_CONFIG__INBOUND_TRAFFIC_POLICY__MODE__LOCALHOST;
}

static void set_local_endpoint(struct cluster *c, uint32_t port)
{
	struct pd_arena *a = c->tx->arena;
	EnvoyLbEndpoint *e = PB_NEW(a, EnvoyLbEndpoint, envoy__config__endpoint__v3__lb_endpoint);
	e->host_identifier_case = ENVOY__CONFIG__ENDPOINT__V3__LB_ENDPOINT__HOST_IDENTIFIER_ENDPOINT;
	e->endpoint = PB_NEW(a, Envoy__Config__Endpoint__V3__Endpoint, envoy__config__endpoint__v3__endpoint);
	e->endpoint->address = pd_endpoint_address(a, c->tx->key->ipv4 ? "127.0.0.1" : "::1", port);
	EnvoyLocalityLbEndpoints *l =
		PB_NEW(a, EnvoyLocalityLbEndpoints, envoy__config__endpoint__v3__locality_lb_endpoints);
	PB_PUSH(a, l, lb_endpoints, e);
	c->msg->load_assignment =
		PB_NEW(a, EnvoyClusterLoadAssignment, envoy__config__endpoint__v3__cluster_load_assignment);
	c->msg->load_assignment->cluster_name = c->msg->name;
	PB_PUSH(a, c->msg->load_assignment, endpoints, l);
}

// Of all that a DestinationRule says, the server's side takes the connection pool: it must bear what clients may send.
static void apply_policy(struct cluster *c)
{
	struct pd_tx *tx = c->tx;
	const struct pd_dest_rule *dr = pd_dest_rule_inbound(tx, c->svc);
	const Istio__TrafficPolicy *policy = dr ? dr->spec->traffic_policy : NULL;
	if (policy) {
		bool port_level;
		policy = pd_policy_for_port(tx->arena, policy, c->port->port, &port_level);
		if (!c->svc->mesh_external)
			pd_cluster_add_config(c, dr->object);
	}
	policy = pd_policy_with_default(tx->arena, policy, tx_mesh(tx)->default_traffic_policy);
	pd_cluster_apply_pool(c, policy ? policy->connection_pool : NULL, policy ? policy->retry_budget : NULL);
}

static EnvoyCluster *build(struct pd_tx *tx, const struct target_vec *all, const struct target *first)
{
	struct pd_arena *a = tx->arena;
	struct cluster c;
	bool local = to_localhost(tx);
	pd_cluster_init(&c, tx, pd_cluster_name(a, "inbound", first->number, "", ""),
			local ? CLUSTER_TYPE(STATIC) : CLUSTER_TYPE(ORIGINAL_DST));
	c.svc = first->svc;
	c.port = first->port;
	c.msg->common_lb_config = PB_NEW(a, Envoy__Config__Cluster__V3__Cluster__CommonLbConfig,
					 envoy__config__cluster__v3__cluster__common_lb_config);
	pd_cluster_set_protocol(&c);
	if (!c.svc->mesh_external)
		add_services(&c, all, first);
	pd_cluster_set_stat_name(&c, tx_mesh(tx)->inbound_cluster_stat_name, "", first->number);
	apply_policy(&c);
	if (local) {
		set_local_endpoint(&c, first->number);
		return pd_cluster_finish(&c);
	}
	c.msg->cleanup_interval = pb_duration(a, NEVER_S, 0);
	c.msg->lb_policy = CLUSTER_LB(CLUSTER_PROVIDED);
	// The application's answers to itself must not come back to the proxy: traffic from this address is left alone.
	pd_cluster_set_inbound_source(&c, tx->snap->settings->dual_stack);
	return pd_cluster_finish(&c);
}

static int by_number(const void *x, const void *y)
{
	uint32_t a = (*(const struct target *const *)x)->number, b = (*(const struct target *const *)y)->number;
	return (a > b) - (a < b);
}

static void add_service_ports(struct pd_tx *tx, struct pd_cluster_vec *out)
{
	struct target_vec all = targets_of(tx);
	const struct target **first = PD_NEWN(tx->arena, const struct target *, all.n + 1);
	size_t n = 0;
	for (size_t i = 0; i < all.n; i++) {
		bool seen = false;
		for (size_t k = 0; k < n && !seen; k++)
			seen = first[k]->number == all.v[i].number;
		if (!seen)
			first[n++] = &all.v[i];
	}
	qsort(first, n, sizeof(first[0]), by_number);
	for (size_t i = 0; i < n; i++)
		pd_vec_push_a(tx->arena, out, build(tx, &all, first[i]));
}

static bool passes_mtls_on(struct pd_tx *tx)
{
	struct pd_gateway_picks picks = pd_gateway_select(tx);
	for (size_t i = 0; i < picks.n; i++) {
		const Istio__Gateway *g = picks.v[i].spec;
		for (size_t k = 0; k < g->n_servers; k++) {
			const Istio__ServerTLSSettings *tls = g->servers[k]->tls;
			if (tls && tls->mode == ISTIO__SERVER_TLSSETTINGS__TLSMODE__AUTO_PASSTHROUGH)
				return true;
		}
	}
	return false;
}

void pd_build_inbound_clusters(struct pd_tx *tx, struct pd_cluster_vec *out)
{
	if (tx->key->type == PD_NODE_ROUTER && passes_mtls_on(tx))
		pd_cluster_add_sni(tx, out);
	if (tx->key->type != PD_NODE_SIDECAR)
		return;
	// Without interception proxy and application would want the same ports.
	if (tx->key->interception != PD_INTERCEPT_NONE)
		add_service_ports(tx, out);
	pd_cluster_add_inbound_passthrough(tx, out);
}
