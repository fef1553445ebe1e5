// AUTO_PASSTHROUGH: an east-west gateway that sends mesh mTLS on to the cluster that its SNI names.
//
// The ALPN match lets nothing else through, and the clusters hold only endpoints that speak mTLS: nobody gets at a plaintext
// port from outside this way.
#include <stdlib.h>

#include "base/str.h"
#include "discovery/gateway/gateway.h"
#include "discovery/listener/tcp_filters.h"

static const char *const mesh_alpn[] = {"istio", "istio-peer-exchange", "istio-http/1.0", "istio-http/1.1", "istio-h2"};

struct services {
	struct pd_arena *arena;
	const struct pd_hosts *hosts;
	PD_VEC(const struct pd_service *) v;
};

static void collect(struct pd_tx *tx, const struct pd_service *svc, void *arg)
{
	struct services *s = arg;
	(void)tx;
	if (svc->mesh_external)
		return;
	for (size_t i = 0; i < s->hosts->n; i++) {
		if (pd_host_covers(s->hosts->v[i], svc->host)) {
			pd_vec_push_a(s->arena, &s->v, svc);
			return;
		}
	}
}

static void add_chain(struct pd_tx *tx, const struct pd_gateway_server *s, const struct pd_service *svc,
		      const struct pd_port *port, const char *subset, struct pd_chain_set *out)
{
	struct pd_arena *a = tx->arena;
	const char *cluster = pd_arena_printf(a, "outbound_.%u_.%s_.%s", port->port, pd_or(subset, ""), svc->host);
	struct pd_hosts sni = {0};
	pd_hosts_add(a, &sni, cluster);
	EnvoyFilterChain *c = pd_gateway_chain_new(tx, &sni);
	for (size_t i = 0; i < sizeof(mesh_alpn) / sizeof(mesh_alpn[0]); i++)
		PB_PUSH(a, c->filter_chain_match, application_protocols, (char *)mesh_alpn[i]);
	struct pd_tcp_chain tcp = {.class = PD_CLASS_GATEWAY, .protocol = PD_PROTO_TLS, .cluster = cluster};
	tcp.port = port->port;
	tcp.svc = svc;
	tcp.no_policies = true;
	struct pd_filter_vec filters = {0};
	pd_tcp_filters(tx, &tcp, &filters);
	for (size_t i = 0; i < filters.n; i++)
		PB_PUSH(a, c, filters, filters.v[i]);
	pd_gateway_add_chain(tx, out, c, s->gateway);
}

static void add_service(struct pd_tx *tx, const struct pd_gateway_server *s, const struct pd_service *svc,
			struct pd_chain_set *out)
{
	const struct pd_dest_rule *dr = tx_dest_rule(tx, svc);
	if (dr)
		tx_use(tx, dr->object);
	for (size_t i = 0; i < svc->n_ports; i++) {
		if (svc->ports[i].protocol == PD_PROTO_UDP)
			continue;
		add_chain(tx, s, svc, &svc->ports[i], NULL, out);
		for (size_t k = 0; dr && k < dr->spec->n_subsets; k++)
			add_chain(tx, s, svc, &svc->ports[i], dr->spec->subsets[k]->name, out);
	}
}

void pd_gateway_auto_passthrough(struct pd_tx *tx, const struct pd_gateway_server *s, struct pd_chain_set *out)
{
	struct services found = {.arena = tx->arena, .hosts = &s->sni};
	tx_each_service(tx, collect, &found);
	if (found.v.n)
		qsort(found.v.v, found.v.n, sizeof(found.v.v[0]), pd_service_cmp_age);
	for (size_t i = 0; i < found.v.n; i++)
		add_service(tx, s, found.v.v[i], out);
}
