// EDS: the endpoints that a proxy may have of one port of a service, by locality.
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/str.h"
#include "discovery/cluster/dest_rule.h"
#include "discovery/endpoint/endpoint.h"

// ---- selection -------------------------------------------------------------------------------------------------------------

struct selection {
	const struct endpoint_query *q;
	const Istio__Subset *subset; // NULL: no labels asked for
	bool unhealthy;              // those that are not ready are sent, as such
	bool own_cluster;            // the service does not reach beyond a cluster
};

// The most specific host pattern of serviceSettings decides, over these defaults.
static bool is_cluster_local(struct pd_tx *tx, const char *host)
{
	const Istio__MeshConfig *mesh = tx_mesh(tx);
	const char *domain = tx->snap->settings->domain_suffix, *best = NULL;
	bool local = false;
	for (size_t i = 0; i < mesh->n_service_settings; i++) {
		const Istio__MeshConfig__ServiceSettings *s = mesh->service_settings[i];
		for (size_t j = 0; j < s->n_hosts; j++) {
			if (!pd_host_covers(s->hosts[j], host) || (best && strlen(s->hosts[j]) < strlen(best)))
				continue;
			best = s->hosts[j];
			local = s->settings && s->settings->cluster_local;
		}
	}
	if (best)
		return local;
	return pd_has_suffix(host, pd_arena_printf(tx->arena, ".kube-system.svc.%s", domain)) ||
	       pd_streq(host, pd_arena_printf(tx->arena, "kubernetes.default.svc.%s", domain));
}

// Endpoints that are not ready are sent by default, so that Envoy can tell how much of a service is left; a minHealthPercent
// would make it panic over them.
static bool sends_unhealthy(struct pd_tx *tx, const struct endpoint_query *q)
{
	if (q->svc->traffic_distribution)
		return true;
	if (!tx->snap->settings->send_unhealthy)
		return false;
	const Istio__TrafficPolicy *p = tx_traffic_policy(tx, q->dr, q->port->port, q->subset);
	return !(p && p->outlier_detection && p->outlier_detection->min_health_percent > 0);
}

static bool in_network_view(const struct pd_tx *tx, const char *network)
{
	const char *view = pd_or(tx->key->network_view, "");
	if (!*view || !*network)
		return true;
	size_t n = strlen(network);
	while (*view) {
		size_t len = strcspn(view, ",");
		if (len == n && memcmp(view, network, n) == 0)
			return true;
		view += len + (view[len] == ',');
	}
	return false;
}

static bool has_labels(const struct pd_labels *labels, const Istio__Subset *s)
{
	for (size_t i = 0; s && i < s->n_labels; i++) {
		const char *value = pd_labels_get(labels, s->labels[i]->key);
		if (!value || !pd_streq(value, s->labels[i]->value))
			return false;
	}
	return true;
}

static bool wanted_health(const struct selection *s, enum pd_health h)
{
	switch (h) {
	case PD_TERMINATING:
		return false;
	case PD_DRAINING:
		return s->q->svc->drains;
	case PD_UNHEALTHY:
		return s->unhealthy;
	default:
		return true;
	}
}

// With dual stack a workload is one endpoint with all its addresses: the first address stands for it.
static bool further_address(const struct pd_tx *tx, const struct pd_endpoint *e)
{
	const struct pd_workload *w = e->workload;
	if (!tx->snap->settings->dual_stack || w->n_ips < 2 || pd_streq(e->address, w->ips[0]))
		return false;
	for (size_t i = 1; i < w->n_ips; i++)
		if (pd_streq(e->address, w->ips[i]))
			return true;
	return false;
}

static bool selected(struct pd_tx *tx, const struct selection *s, const struct pd_endpoint *e)
{
	const struct pd_workload *w = e->workload;
	if (!pd_streq(e->source->key.ns, s->q->svc->ns) || !pd_streq(e->port_name, s->q->port->name))
		return false;
	if (!s->q->dns && e->port && !pd_is_ip(e->address))
		return false;
	if (!has_labels(&w->labels, s->subset) || !wanted_health(s, e->health))
		return false;
	if (s->own_cluster && !pd_streq(w->cluster, tx->key->cluster))
		return false;
	if (s->q->svc->node_local && !pd_streq(w->node, tx_node(tx)))
		return false;
	return in_network_view(tx, w->network) && !further_address(tx, e);
}

// ---- groups ----------------------------------------------------------------------------------------------------------------

static struct endpoint_group *group_for(struct pd_tx *tx, struct endpoint_groups *g, const char *locality)
{
	for (size_t i = 0; i < g->n; i++)
		if (g->v[i].locality == locality || pd_streq(g->v[i].locality, locality))
			return &g->v[i];
	struct endpoint_group new = {.locality = locality};
	new.msg = PB_NEW(tx->arena, EnvoyLocalityLbEndpoints, envoy__config__endpoint__v3__locality_lb_endpoints);
	new.msg->locality = pd_locality_message(tx->arena, locality);
	pd_vec_push_a(tx->arena, g, new);
	return &g->v[g->n - 1];
}

static int by_locality(const void *x, const void *y)
{
	return strcmp(((const struct endpoint_group *)x)->locality, ((const struct endpoint_group *)y)->locality);
}

static void set_weights(struct pd_arena *a, struct endpoint_groups *g)
{
	for (size_t i = 0; i < g->n; i++) {
		EnvoyLocalityLbEndpoints *m = g->v[i].msg;
		uint64_t sum = 0;
		for (size_t k = 0; k < m->n_lb_endpoints; k++)
			sum += m->lb_endpoints[k]->load_balancing_weight->value;
		if (m->n_lb_endpoints)
			m->load_balancing_weight = pb_u32(a, sum > UINT32_MAX ? UINT32_MAX : (uint32_t)sum);
	}
}

struct endpoint_groups pd_endpoint_groups_of(struct pd_tx *tx, const struct endpoint_query *q)
{
	struct endpoint_groups out = {0};
	const struct pd_endpoints *all = tx_endpoints(tx, q->svc->host);
	struct selection s = {
		.q = q,
		.subset = *q->subset ? pd_dest_rule_subset(q->dr, q->subset) : NULL,
		.unhealthy = sends_unhealthy(tx, q),
		.own_cluster = q->svc->node_local || is_cluster_local(tx, q->svc->host),
	};
	struct endpoint_mtls mtls = pd_endpoint_mtls_of(q);
	for (size_t i = 0; all && i < all->n; i++) {
		const struct pd_endpoint *e = &all->v[i];
		if (!selected(tx, &s, e))
			continue;
		bool has_mtls = pd_endpoint_has_mtls(tx, &mtls, e);
		struct endpoint_group *g = group_for(tx, &out, e->workload->locality);
		if (q->mtls_only && !has_mtls)
			continue;
		PB_PUSH(tx->arena, g->msg, lb_endpoints, pd_endpoint_message(tx, e, has_mtls));
		pd_vec_push_a(tx->arena, &g->from, e);
	}
	if (out.n)
		qsort(out.v, out.n, sizeof(out.v[0]), by_locality);
	pd_endpoint_cross_networks(tx, &mtls, &out);
	set_weights(tx->arena, &out);
	return out;
}

EnvoyClusterLoadAssignment *pd_endpoint_assignment(struct pd_tx *tx, const char *cluster,
						   const struct endpoint_groups *g)
{
	EnvoyClusterLoadAssignment *cla =
		PB_NEW(tx->arena, EnvoyClusterLoadAssignment, envoy__config__endpoint__v3__cluster_load_assignment);
	cla->cluster_name = pd_arena_strdup(tx->arena, cluster);
	for (size_t i = 0; i < g->n; i++)
		PB_PUSH(tx->arena, cla, endpoints, g->v[i].msg);
	return cla;
}

EnvoyClusterLoadAssignment *pd_build_endpoints(struct pd_tx *tx, const char *cluster)
{
	struct endpoint_groups none = {0};
	struct pd_cluster_name name;
	if (!pd_cluster_name_parse(tx->arena, cluster, &name))
		return pd_endpoint_assignment(tx, cluster, &none);
	struct endpoint_query q = {.svc = tx_service(tx, name.host), .subset = name.subset, .mtls_only = name.sni_form};
	q.port = q.svc ? pd_service_port(q.svc, name.port) : NULL;
	// A cluster whose service went over to DNS has no use for EDS any more.
	if (!q.port || q.svc->resolution == PD_RES_DNS || q.svc->resolution == PD_RES_DNS_RR)
		return pd_endpoint_assignment(tx, cluster, &none);
	tx_use(tx, q.svc->source);
	q.dr = tx_dest_rule(tx, q.svc);
	struct endpoint_groups groups = pd_endpoint_groups_of(tx, &q);
	const Istio__TrafficPolicy *p = tx_traffic_policy(tx, q.dr, q.port->port, q.subset);
	struct locality_lb lb = pd_locality_lb_of(tx, q.svc, p ? p->load_balancer : NULL);
	pd_locality_prioritise(tx, &lb, p && p->outlier_detection, &groups);
	return pd_endpoint_assignment(tx, cluster, &groups);
}
