// Split horizon: endpoints in other networks are reached through the gateways of their network.
#include "base/str.h"
#include "discovery/endpoint/endpoint.h"

// Gateways of a network: those in the endpoint's cluster where there are any. `share` collects what each one stands for.
struct crossing {
	const struct pd_networks *networks;
	uint32_t *share; // parallel to networks->v
};

static bool serves(const struct pd_network_gateway *g, const struct pd_workload *w, bool same_cluster)
{
	return pd_streq(g->network, w->network) && (!same_cluster || pd_streq(g->cluster, w->cluster));
}

static uint32_t count(const struct crossing *c, const struct pd_workload *w, bool same_cluster)
{
	uint32_t n = 0;
	for (size_t i = 0; i < c->networks->n; i++)
		n += serves(&c->networks->v[i], w, same_cluster);
	return n;
}

static uint32_t saturated(uint64_t weight)
{
	return weight > UINT32_MAX ? UINT32_MAX : (uint32_t)weight;
}

// False if the endpoint is reached directly: from its own network, from one that is not known, or for lack of a gateway.
static bool through_gateways(struct pd_tx *tx, struct crossing *c, const struct pd_endpoint *e, uint32_t weight,
			     bool mtls)
{
	const struct pd_workload *w = e->workload;
	if (pd_empty(w->network) || pd_empty(tx->key->network) || pd_streq(w->network, tx->key->network))
		return false;
	bool same_cluster = count(c, w, true) > 0;
	uint32_t n = count(c, w, same_cluster);
	for (size_t i = 0; n && mtls && i < c->networks->n; i++)
		if (serves(&c->networks->v[i], w, same_cluster))
			c->share[i] = saturated((uint64_t)c->share[i] + weight / n);
	return n > 0;
}

// A gateway as if it were an endpoint: its only labels say where it is.
static const struct pd_endpoint *gateway_endpoint(struct pd_tx *tx, const struct pd_network_gateway *g, uint32_t weight)
{
	struct pd_label *labels = PD_NEWN(tx->arena, struct pd_label, 2);
	struct pd_workload *w = PD_NEW(tx->arena, struct pd_workload);
	struct pd_endpoint *e = PD_NEW(tx->arena, struct pd_endpoint);
	labels[0] = (struct pd_label){"topology.istio.io/cluster", g->cluster};
	labels[1] = (struct pd_label){"topology.istio.io/network", g->network};
	*w = (struct pd_workload){
		.name = "",
		.ns = "",
		.cluster = g->cluster,
		.workload_name = "",
		.service_account = "",
		.spiffe = "",
		.node = "",
		.network = g->network,
		.locality = "",
		.canonical_name = "",
		.canonical_revision = "",
		.hostname = "",
		.subdomain = "",
		.labels = {2, labels},
		.tls_istio = true,
	};
	*e = (struct pd_endpoint){
		.workload = w,
		.address = g->address,
		.port_name = "",
		.port = g->port,
		.weight = weight ? weight : 1,
		.health = PD_HEALTH_UNKNOWN,
		.source = g->source,
	};
	return e;
}

static void cross(struct pd_tx *tx, struct crossing *c, const struct endpoint_mtls *m, struct endpoint_group *g)
{
	EnvoyLocalityLbEndpoints *msg = g->msg;
	size_t kept = 0;
	memset(c->share, 0, c->networks->n * sizeof(c->share[0]));
	for (size_t i = 0; i < g->from.n; i++) {
		const struct pd_endpoint *e = g->from.v[i];
		uint32_t weight = saturated((uint64_t)msg->lb_endpoints[i]->load_balancing_weight->value *
					    c->networks->weight_scale);
		if (through_gateways(tx, c, e, weight, pd_endpoint_has_mtls(tx, m, e)))
			continue;
		msg->lb_endpoints[i]->load_balancing_weight->value = weight;
		msg->lb_endpoints[kept] = msg->lb_endpoints[i];
		g->from.v[kept++] = e;
	}
	msg->n_lb_endpoints = g->from.n = kept;
	for (size_t i = 0; i < c->networks->n; i++) {
		if (!c->share[i])
			continue;
		const struct pd_endpoint *e = gateway_endpoint(tx, &c->networks->v[i], c->share[i]);
		tx_use(tx, e->source);
		PB_PUSH(tx->arena, msg, lb_endpoints, pd_endpoint_message(tx, e, true));
		pd_vec_push_a(tx->arena, &g->from, e);
	}
}

void pd_endpoint_cross_networks(struct pd_tx *tx, const struct endpoint_mtls *m, struct endpoint_groups *g)
{
	struct crossing c = {.networks = tx_networks(tx)};
	if (!c.networks)
		return;
	c.share = PD_NEWN(tx->arena, uint32_t, c.networks->n);
	for (size_t i = 0; i < g->n; i++)
		cross(tx, &c, m, &g->v[i]);
}
