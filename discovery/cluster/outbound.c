// Outbound clusters: one for each port of a service, and one for each subset of its DestinationRule.
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "discovery/cluster/cluster.h"
#include "discovery/endpoint/endpoint.h"

// What all clusters of one port have in common.
struct port_clusters {
	struct pd_tx *tx;
	const struct pd_service *svc;
	const struct pd_port *port;
	const struct pd_dest_rule *dr;      // or NULL
	const Istio__TrafficPolicy *policy; // of the host for this port, with the mesh's defaults; or NULL
	const char *const *accounts;        // what servers may present as their name
	size_t n_accounts;
	cluster_type type; // of the default cluster once its policy is applied
	bool sni;          // for gateways that pass mTLS on: named after the SNI, with no TLS of their own
	struct pd_cluster_vec *out;
};

// ---- identities ------------------------------------------------------------------------------------------------------------

struct name_vec {
	const char **v;
	size_t n, cap;
};

// "spiffe://TD/ns/NS/sa/SA": returns what follows the trust domain, or NULL if it is no such name.
static const char *after_trust_domain(const char *id)
{
	static const char scheme[] = "spiffe://";
	if (!pd_has_prefix(id, scheme))
		return NULL;
	const char *rest = strchr(id + sizeof(scheme) - 1, '/');
	if (!rest || !pd_has_prefix(rest, "/ns/"))
		return NULL;
	const char *sa = strchr(rest + strlen("/ns/"), '/');
	if (!sa || !pd_has_prefix(sa, "/sa/") || strchr(sa + strlen("/sa/"), '/'))
		return NULL;
	return rest;
}

static int by_text(const void *x, const void *y)
{
	return strcmp(*(const char *const *)x, *(const char *const *)y);
}

// The accounts of a service, each in every trust domain of the mesh; sorted, distinct.
static struct name_vec accounts_of(struct pd_tx *tx, const char *host)
{
	struct name_vec out = {0};
	const struct pd_accounts *a = tx_accounts(tx, host);
	const Istio__MeshConfig *mesh = tx_mesh(tx);
	for (size_t i = 0; a && i < a->n; i++) {
		pd_vec_push_a(tx->arena, &out, a->v[i]);
		const char *rest = after_trust_domain(a->v[i]);
		for (size_t k = 0; rest && k < mesh->n_trust_domain_aliases; k++)
			pd_vec_push_a(tx->arena, &out,
				      pd_arena_printf(tx->arena, "spiffe://%s%s", mesh->trust_domain_aliases[k], rest));
	}
	if (!out.n)
		return out;
	qsort(out.v, out.n, sizeof(out.v[0]), by_text);
	size_t n = 0;
	for (size_t i = 0; i < out.n; i++)
		if (!n || !pd_streq(out.v[n - 1], out.v[i]))
			out.v[n++] = out.v[i];
	out.n = n;
	return out;
}

// ---- mTLS of the servers -----------------------------------------------------------------------------------------------------

static bool is_passthrough(const Istio__TrafficPolicy *p)
{
	const Istio__LoadBalancerSettings *lb = p ? p->load_balancer : NULL;
	return lb && lb->lb_policy_case == ISTIO__LOAD_BALANCER_SETTINGS__LB_POLICY_SIMPLE &&
	       lb->simple == ISTIO__LOAD_BALANCER_SETTINGS__SIMPLE_LB__PASSTHROUGH;
}

// Where the application chooses the endpoint, all of them must take mTLS.
static bool all_take_mtls(const struct port_clusters *p)
{
	const struct pd_endpoints *all = tx_endpoints(p->tx, p->svc->host);
	bool any = false;
	for (size_t i = 0; all && i < all->n; i++) {
		const struct pd_endpoint *e = &all->v[i];
		if (!pd_streq(e->source->key.ns, p->svc->ns) || !pd_streq(e->port_name, p->port->name))
			continue;
		if (!e->workload->tls_istio)
			return false;
		any = true;
	}
	return any;
}

// `said`: the policy as it is written in the rule (or subset), not yet resolved for the port.
static enum pd_mtls server_mtls(const struct port_clusters *p, const Istio__TrafficPolicy *said)
{
	bool passthrough = p->svc->resolution == PD_RES_PASSTHROUGH || is_passthrough(said);
	if (passthrough && !all_take_mtls(p))
		return PD_MTLS_DISABLE;
	return tx_namespace_mtls(p->tx, p->svc->ns);
}

// ---- one cluster -------------------------------------------------------------------------------------------------------------

static cluster_type type_of(struct pd_tx *tx, const struct pd_service *svc)
{
	switch (svc->resolution) {
	case PD_RES_DNS:
		return CLUSTER_TYPE(STRICT_DNS);
	case PD_RES_DNS_RR:
		return CLUSTER_TYPE(LOGICAL_DNS);
	case PD_RES_PASSTHROUGH:
		// Gateways get no connections that still know where they were going.
		if (tx->key->type == PD_NODE_ROUTER)
			return CLUSTER_TYPE(EDS);
		if (svc->kubernetes && tx->snap->settings->eds_for_headless)
			return CLUSTER_TYPE(EDS);
		return CLUSTER_TYPE(ORIGINAL_DST);
	default:
		return CLUSTER_TYPE(EDS);
	}
}

// Of a service with DNS_ROUND_ROBIN the registry has one endpoint for each port, as LOGICAL_DNS clusters want it.
static struct endpoint_groups dns_groups(const struct port_clusters *p, const char *subset)
{
	struct endpoint_query q = {.svc = p->svc, .port = p->port, .subset = subset, .dr = p->dr, .dns = true};
	return pd_endpoint_groups_of(p->tx, &q);
}

// The one target of a ServiceEntry without endpoints of its own may be another port.
static void set_port_override(struct cluster *c)
{
	if (c->svc->kubernetes || c->svc->resolution != PD_RES_PASSTHROUGH || !c->port->target_port)
		return;
	c->msg->lb_config_case = ENVOY__CONFIG__CLUSTER__V3__CLUSTER__LB_CONFIG_ORIGINAL_DST_LB_CONFIG;
	c->msg->original_dst_lb_config = PB_NEW(c->tx->arena, Envoy__Config__Cluster__V3__Cluster__OriginalDstLbConfig,
						envoy__config__cluster__v3__cluster__original_dst_lb_config);
	c->msg->original_dst_lb_config->upstream_port_override = pb_u32(c->tx->arena, c->port->target_port);
}

// "outbound_.80_.v1_.HOST": also the SNI by which mesh mTLS says where it wants to go.
static const char *sni_name(const struct port_clusters *p, const char *subset)
{
	return pd_arena_printf(p->tx->arena, "outbound_.%u_.%s_.%s", p->port->port, subset, p->svc->host);
}

// False: a cluster of this kind cannot be without endpoints and has none.
static bool init(struct cluster *c, const struct port_clusters *p, cluster_type type, const char *subset)
{
	struct pd_arena *a = p->tx->arena;
	const char *name =
		p->sni ? sni_name(p, subset) : pd_cluster_name(a, "outbound", p->port->port, subset, p->svc->host);
	pd_cluster_init(c, p->tx, name, type);
	c->svc = p->svc;
	c->port = p->port;
	c->msg->common_lb_config = PB_NEW(a, Envoy__Config__Cluster__V3__Cluster__CommonLbConfig,
					  envoy__config__cluster__v3__cluster__common_lb_config);
	if (type == CLUSTER_TYPE(STRICT_DNS) || type == CLUSTER_TYPE(LOGICAL_DNS)) {
		struct endpoint_groups g = dns_groups(p, subset);
		if (!g.n)
			return false;
		pd_cluster_set_dns(c);
		c->msg->load_assignment = pd_endpoint_assignment(p->tx, name, &g);
	} else if (type == CLUSTER_TYPE(ORIGINAL_DST)) {
		set_port_override(c);
	}
	pd_cluster_set_protocol(c);
	pd_cluster_add_service(c, p->svc);
	pd_cluster_set_stat_name(c, tx_mesh(p->tx)->outbound_cluster_stat_name, subset, 0);
	return true;
}

// DNS clusters carry their endpoints, which get their priorities here. Clusters are shared by all proxies of a scope, wherever
// they are.
static void prioritise(struct cluster *c, const struct port_clusters *p, const Istio__LoadBalancerSettings *lb,
		       const char *subset)
{
	if (!c->msg->load_assignment)
		return;
	struct endpoint_groups g = dns_groups(p, subset);
	struct locality_lb l = pd_locality_lb_of(p->tx, p->svc, lb);
	pd_locality_prioritise(p->tx, &l, c->msg->outlier_detection, &g);
	c->msg->load_assignment = pd_endpoint_assignment(p->tx, c->msg->name, &g);
}

static void set_eds(struct cluster *c)
{
	struct pd_arena *a = c->tx->arena;
	if (!pd_cluster_is(c, CLUSTER_TYPE(EDS)))
		return;
	EnvoyConfigSource *source = PB_NEW(a, EnvoyConfigSource, envoy__config__core__v3__config_source);
	source->config_source_specifier_case = ENVOY__CONFIG__CORE__V3__CONFIG_SOURCE__CONFIG_SOURCE_SPECIFIER_ADS;
	source->ads = PB_NEW(a, Envoy__Config__Core__V3__AggregatedConfigSource,
			     envoy__config__core__v3__aggregated_config_source);
	source->initial_fetch_timeout = pb_duration(a, 0, 0);
	source->resource_api_version = ENVOY__CONFIG__CORE__V3__API_VERSION__V3;
	c->msg->eds_cluster_config = PB_NEW(a, Envoy__Config__Cluster__V3__Cluster__EdsClusterConfig,
					    envoy__config__cluster__v3__cluster__eds_cluster_config);
	c->msg->eds_cluster_config->eds_config = source;
	c->msg->eds_cluster_config->service_name = c->msg->name;
}

static void set_transport(struct cluster *c, const struct port_clusters *p, const Istio__TrafficPolicy *policy,
			  const Istio__TrafficPolicy *said, const char *subset)
{
	struct upstream_tls tls = {
		.settings = policy ? policy->tls : NULL,
		.sans = p->accounts,
		.n_sans = p->n_accounts,
		.server_known = !p->svc->mesh_external,
		.rule = p->dr,
	};
	if (!c->dynamic)
		tls.sni = sni_name(p, subset);
	if (tls.server_known)
		tls.server = server_mtls(p, said);
	pd_cluster_apply_tls(c, &tls);
	pd_cluster_apply_proxy_protocol(c, policy ? policy->proxy_protocol : NULL);
}

static void apply_policy(struct cluster *c, const struct port_clusters *p, const Istio__TrafficPolicy *policy,
			 const Istio__TrafficPolicy *said, const char *subset)
{
	const Istio__ConnectionPoolSettings *pool = policy ? policy->connection_pool : NULL;
	pd_cluster_apply_h2_upgrade(c, pool);
	pd_cluster_apply_pool(c, pool, policy ? policy->retry_budget : NULL);
	pd_cluster_apply_outlier(c, policy ? policy->outlier_detection : NULL);
	pd_cluster_apply_load_balancer(c, policy ? policy->load_balancer : NULL);
	prioritise(c, p, policy ? policy->load_balancer : NULL, subset);
	if (!p->sni)
		set_transport(c, p, policy, said, subset);
	if (pd_cluster_is(c, CLUSTER_TYPE(ORIGINAL_DST)))
		c->msg->lb_policy = CLUSTER_LB(CLUSTER_PROVIDED);
	set_eds(c);
	pd_cluster_add_metadata_exchange(c);
	if (!p->dr)
		return;
	pd_cluster_add_config(c, p->dr->object);
	const Istio__ClientTLSSettings *tls = policy ? policy->tls : NULL;
	if (tls && (tls->mode == ISTIO__CLIENT_TLSSETTINGS__TLSMODE__SIMPLE ||
		    tls->mode == ISTIO__CLIENT_TLSSETTINGS__TLSMODE__MUTUAL))
		pb_struct_set_string(p->tx->arena, pd_cluster_istio_metadata(c), "alpn_override", "false");
}

// ---- the clusters of a port --------------------------------------------------------------------------------------------------

// Draining endpoints stay usable for those who already have a session with them.
static void set_override_host_status(struct cluster *c)
{
	static const Envoy__Config__Core__V3__HealthStatus statuses[] = {
		ENVOY__CONFIG__CORE__V3__HEALTH_STATUS__HEALTHY,
		ENVOY__CONFIG__CORE__V3__HEALTH_STATUS__DRAINING,
		ENVOY__CONFIG__CORE__V3__HEALTH_STATUS__UNKNOWN,
		ENVOY__CONFIG__CORE__V3__HEALTH_STATUS__DEGRADED,
	};
	struct pd_arena *a = c->tx->arena;
	Envoy__Config__Core__V3__HealthStatusSet *set =
		PB_NEW(a, Envoy__Config__Core__V3__HealthStatusSet, envoy__config__core__v3__health_status_set);
	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
		PB_PUSH(a, set, statuses, statuses[i]);
	c->msg->common_lb_config->override_host_status = set;
}

static const Istio__TrafficPolicy *written_policy(const struct port_clusters *p)
{
	return p->dr ? p->dr->spec->traffic_policy : NULL;
}

static void finish_default(struct cluster *c, struct port_clusters *p)
{
	apply_policy(c, p, p->policy, written_policy(p), "");
	if (p->svc->mesh_external)
		pb_struct_set_bool(p->tx->arena, pd_cluster_istio_metadata(c), "external", true);
	p->type = c->msg->type;
	pd_vec_push_a(p->tx->arena, p->out, pd_cluster_finish(c));
}

static void add_subset(const struct port_clusters *p, const Istio__Subset *s)
{
	struct cluster c;
	cluster_type type = is_passthrough(s->traffic_policy) ? CLUSTER_TYPE(ORIGINAL_DST) : p->type;
	if (!init(&c, p, type, s->name))
		return;
	const Istio__TrafficPolicy *policy =
		pd_policy_with_subset(p->tx->arena, p->policy, s->traffic_policy, p->port->port);
	apply_policy(&c, p, policy, s->traffic_policy, s->name);
	pb_struct_set_string(p->tx->arena, pd_cluster_istio_metadata(&c), "subset", s->name);
	pd_vec_push_a(p->tx->arena, p->out, pd_cluster_finish(&c));
}

static void add_port(struct port_clusters *p)
{
	struct cluster c;
	if (!init(&c, p, type_of(p->tx, p->svc), ""))
		return;
	if (p->svc->drains)
		set_override_host_status(&c);
	finish_default(&c, p);
	for (size_t i = 0; p->dr && i < p->dr->spec->n_subsets; i++)
		add_subset(p, p->dr->spec->subsets[i]);
}

static bool can_resolve_requests(enum pd_protocol p)
{
	return p == PD_PROTO_HTTP || p == PD_PROTO_HTTP2 || p == PD_PROTO_GRPC || p == PD_PROTO_TLS;
}

// A wildcard host that is resolved for each request. There are no endpoints, so no subsets either.
static void add_dynamic_port(struct port_clusters *p)
{
	struct pd_arena *a = p->tx->arena;
	struct cluster c;
	if (!can_resolve_requests(p->port->protocol))
		return;
	pd_cluster_init(&c, p->tx, pd_cluster_name(a, "outbound", p->port->port, "", p->svc->host),
			CLUSTER_TYPE(STATIC));
	c.svc = p->svc;
	c.port = p->port;
	pd_cluster_set_dynamic_proxy(&c, pd_arena_printf(a, "%s_dfp_dns_cache", p->svc->host));
	pd_cluster_set_protocol(&c);
	p->accounts = NULL;
	p->n_accounts = 0;
	finish_default(&c, p);
}

static void add_service(struct pd_tx *tx, const struct pd_service *svc, bool sni, struct pd_cluster_vec *out)
{
	bool dynamic = svc->resolution == PD_RES_DYNAMIC_DNS && *svc->host == '*';
	const struct pd_dest_rule *dr = tx_dest_rule(tx, svc);
	struct name_vec accounts = {0};
	if (!sni)
		accounts = accounts_of(tx, svc->host);
	for (size_t i = 0; i < svc->n_ports; i++) {
		bool port_level;
		if (svc->ports[i].protocol == PD_PROTO_UDP)
			continue;
		struct port_clusters p = {
			.tx = tx,
			.svc = svc,
			.port = &svc->ports[i],
			.dr = dr,
			.accounts = accounts.v,
			.n_accounts = accounts.n,
			.sni = sni,
			.out = out,
		};
		p.policy = pd_policy_for_port(tx->arena, written_policy(&p), p.port->port, &port_level);
		p.policy = pd_policy_with_default(tx->arena, p.policy, tx_mesh(tx)->default_traffic_policy);
		(dynamic && !sni ? add_dynamic_port : add_port)(&p);
	}
}

void pd_build_outbound_clusters(struct pd_tx *tx, const struct pd_service *svc, struct pd_cluster_vec *out)
{
	if (tx->key->type != PD_NODE_SIDECAR && tx->key->type != PD_NODE_ROUTER)
		return;
	if (svc->resolution != PD_RES_ALIAS)
		add_service(tx, svc, false, out);
}

static void add_sni_clusters(struct pd_tx *tx, const struct pd_service *svc, void *arg)
{
	if (svc->mesh_external || svc->resolution == PD_RES_ALIAS)
		return;
	tx_use(tx, svc->source);
	add_service(tx, svc, true, arg);
}

void pd_cluster_add_sni(struct pd_tx *tx, struct pd_cluster_vec *out)
{
	tx_each_service(tx, add_sni_clusters, out);
}
