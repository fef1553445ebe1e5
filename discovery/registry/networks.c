// The gateways through which each network is reached from others (reference: platform.md §8.5). One record for the mesh, or
// none while no network has a gateway.
#include "api/json.h"
#include "base/log.h"
#include "discovery/registry/internal.h"

#define LABEL_NETWORK "topology.istio.io/network"
#define LABEL_PORT "networking.istio.io/gatewayPort"
#define NODE_SELECTOR "traffic.istio.io/nodeSelector"
#define DEFAULT_PORT 15443
#define SCALE_MAX (1u << 20) // weights are multiplied by it, and must not become so large that Envoy refuses their sum

struct draft {
	PD_VEC(struct pd_network_gateway) v; // borrowed strings, in the tmp arena
};

// ---- addresses of a Service ---------------------------------------------------------------------------------------------

// An address that is no IP would have to be resolved first; Envoy takes none in EDS.
static void add(struct reg_pass *p, struct draft *d, const struct pd_network_gateway *gateway, const char *address)
{
	struct pd_network_gateway g = *gateway;

	g.address = address;
	if (pd_is_ip(address))
		pd_vec_push_a(&p->r->tmp, &d->v, g);
	else if (!pd_empty(address))
		pd_warn("registry", "gateway address %s of network %s is no IP address: left out", address, g.network);
}

// The annotation is a JSON object of node labels; without any, all nodes count.
static bool node_selected(const struct pd_object *node, const struct pd_json *selector)
{
	for (const struct pd_json *label = selector->first; label; label = label->next)
		if (!pd_streq(pd_or(pd_object_label(node, label->key), ""),
			      label->type == PD_JSON_STRING ? label->s : ""))
			return false;
	return true;
}

struct node_walk {
	struct reg_pass *p;
	struct draft *d;
	const struct pd_network_gateway *gateway;
	struct pd_json *selector;
};

static bool add_node(const struct pd_object *o, void *arg)
{
	struct node_walk *w = arg;
	const K8s__NodeStatus *s = ((const K8s__Node *)o->spec)->status;

	if (o->key.cluster != w->gateway->cluster || !node_selected(o, w->selector))
		return true;
	for (size_t i = 0; s && i < s->n_addresses; i++)
		if (pd_streq(s->addresses[i]->type, "ExternalIP"))
			add(w->p, w->d, w->gateway, s->addresses[i]->address);
	return true;
}

// A NodePort service is reached at the external addresses of the nodes that its annotation selects.
static void add_nodes(struct reg_pass *p, struct draft *d, struct pd_network_gateway g, const K8s__ServiceSpec *spec,
		      const char *annotation)
{
	struct node_walk w = {p, d, &g, NULL};
	struct pd_json_error err;

	for (size_t i = 0; i < spec->n_ports; i++)
		if ((uint32_t)spec->ports[i]->port == g.port && spec->ports[i]->nodeport) {
			g.port = (uint32_t)spec->ports[i]->nodeport;
			break;
		}
	if (pd_json_parse(&p->r->tmp, annotation, strlen(annotation), &w.selector, &err) == PD_OK &&
	    w.selector->type == PD_JSON_OBJECT)
		pd_config_each(p->snap, PD_KIND_NODE, add_node, &w);
	else
		pd_warn("registry", "Service %s/%s: annotation " NODE_SELECTOR " is no JSON object: no nodes",
			g.source->key.ns, g.source->key.name);
}

static void add_service(struct reg_pass *p, struct draft *d, const struct pd_network_gateway *g)
{
	const K8s__Service *s = (const K8s__Service *)pd_object_open(g->source, &p->r->tmp);
	const char *selector = pd_object_annotation(g->source, NODE_SELECTOR);

	if (!s->spec)
		return;
	if (pd_streq(s->spec->type, "NodePort") && selector)
		add_nodes(p, d, *g, s->spec, *selector ? selector : "{}");
	if (pd_streq(s->spec->type, "LoadBalancer") && s->status && s->status->loadbalancer)
		for (size_t i = 0; i < s->status->loadbalancer->n_ingress; i++) {
			const K8s__LoadBalancerIngress *in = s->status->loadbalancer->ingress[i];

			add(p, d, g, pd_empty(in->ip) ? in->hostname : in->ip);
		}
	for (size_t i = 0; i < s->spec->n_externalips; i++)
		add(p, d, g, s->spec->externalips[i]);
}

static void add_labelled_service(struct reg_pass *p, struct draft *d, const struct pd_object *o)
{
	const char *port = pd_object_label(o, LABEL_PORT);
	struct pd_network_gateway g = {.network = pd_object_label(o, LABEL_NETWORK),
				       .cluster = o->key.cluster,
				       .port = DEFAULT_PORT,
				       .source = o};
	char *end;
	unsigned long n;

	if (!pd_empty(port)) {
		n = strtoul(port, &end, 10);
		if (*port >= '0' && *port <= '9' && !*end && n && n <= 65535)
			g.port = (uint32_t)n;
		else
			pd_warn("registry", "Service %s/%s: label " LABEL_PORT " is no port: %s; %d is used", o->key.ns,
				o->key.name, port, DEFAULT_PORT);
	}
	add_service(p, d, &g);
}

// ---- meshNetworks ------------------------------------------------------------------------------------------------------------

static const struct pd_object *named_service(struct reg_pass *p, const char *cluster, const char *host)
{
	const char *name, *ns;
	const struct pd_object *o = NULL;

	if (pd_reg_kube_name(p->r, p->a, host, &name, &ns))
		o = pd_config_get(p->snap, PD_KIND_SERVICE, cluster, ns, name);
	return o && pd_empty(pd_object_label(o, LABEL_NETWORK)) ? o : NULL; // its label goes before
}

// A gateway by the name of a Service: in the clusters that the network is `fromRegistry` of.
static void add_named(struct reg_pass *p, struct draft *d, const char *network,
		      const Istio__Network__IstioNetworkGateway *configured)
{
	for (size_t i = 0; i < p->r->clusters.n; i++) {
		const char *cluster = p->r->clusters.v[i].name;
		const struct pd_object *o = named_service(p, cluster, configured->registry_service_name);

		if (o && pd_streq(pd_mesh_networks_of_registry(p->r->networks, cluster), network))
			add_service(p, d,
				    &(struct pd_network_gateway){.network = network,
								 .cluster = cluster,
								 .port = configured->port,
								 .source = o});
	}
}

static void add_configured(struct reg_pass *p, struct draft *d)
{
	const Istio__MeshNetworks *m = p->r->networks ? p->r->networks->config : NULL;

	for (size_t i = 0; m && i < m->n_networks; i++)
		for (size_t k = 0; m->networks[i]->value && k < m->networks[i]->value->n_gateways; k++) {
			const Istio__Network__IstioNetworkGateway *g = m->networks[i]->value->gateways[k];

			if (g->gw_case == ISTIO__NETWORK__ISTIO_NETWORK_GATEWAY__GW_ADDRESS)
				add(p, d,
				    &(struct pd_network_gateway){.network = m->networks[i]->key,
								 .cluster = "",
								 .port = g->port},
				    g->address);
			else
				add_named(p, d, m->networks[i]->key, g);
		}
}

// Whether a gateway is configured by the name of this Service.
static bool is_named(const struct reg_pass *p, const struct pd_object *o)
{
	const Istio__MeshNetworks *m = p->r->networks ? p->r->networks->config : NULL;
	const char *name, *ns;

	for (size_t i = 0; m && i < m->n_networks; i++)
		for (size_t k = 0; m->networks[i]->value && k < m->networks[i]->value->n_gateways; k++) {
			const Istio__Network__IstioNetworkGateway *g = m->networks[i]->value->gateways[k];

			if (g->gw_case == ISTIO__NETWORK__ISTIO_NETWORK_GATEWAY__GW_REGISTRY_SERVICE_NAME &&
			    pd_reg_kube_name(p->r, p->a, g->registry_service_name, &name, &ns) &&
			    pd_streq(name, o->key.name) && pd_streq(ns, o->key.ns))
				return true;
		}
	return false;
}

// ---- the record -----------------------------------------------------------------------------------------------------------

static int cmp_gateway(const void *x, const void *y)
{
	const struct pd_network_gateway *a = x, *b = y;
	int c = strcmp(a->network, b->network);

	c = c ? c : strcmp(a->address, b->address);
	if (!c && a->port != b->port)
		c = a->port < b->port ? -1 : 1;
	return c ? c : strcmp(a->cluster, b->cluster);
}

static uint32_t lcm(uint32_t a, uint32_t b)
{
	uint32_t x = a, y = b;

	PD_ASSERT(a && b);
	while (y) {
		uint32_t rest = x % y;

		x = y;
		y = rest;
	}
	return (uint64_t)a / x * b > SCALE_MAX ? a : a / x * b;
}

// Least common multiple of how many gateways each network has, and each network in each cluster.
static uint32_t scale_of(const struct pd_networks *d)
{
	uint32_t scale = 1;

	for (size_t i = 0; i < d->n; i++) {
		uint32_t in_network = 0, in_cluster = 0;

		for (size_t k = 0; k < d->n; k++) {
			bool same = d->v[k].network == d->v[i].network;

			in_network += same;
			in_cluster += same && d->v[k].cluster == d->v[i].cluster;
		}
		scale = lcm(lcm(scale, in_network), in_cluster);
	}
	return scale;
}

void pd_reg_networks_release(struct pd_obj *o)
{
	struct pd_networks *n = (struct pd_networks *)o;

	for (size_t i = 0; i < n->n; i++) {
		pd_unintern(n->v[i].network);
		pd_unintern(n->v[i].cluster);
		pd_unintern(n->v[i].address);
		pd_obj_unref((struct pd_object *)n->v[i].source);
	}
	free(n);
}

static struct pd_networks *record_of(const struct draft *d)
{
	struct pd_networks *n = pd_xcalloc(1, sizeof(*n) + d->v.n * sizeof(n->v[0]));

	pd_obj_init(&n->obj, pd_reg_networks_release);
	for (size_t i = 0; i < d->v.n; i++) {
		const struct pd_network_gateway *g = &d->v.v[i];

		if (i && cmp_gateway(g, &d->v.v[i - 1]) == 0)
			continue;
		n->v[n->n++] = (struct pd_network_gateway){
			.network = pd_intern(g->network),
			.cluster = pd_intern(g->cluster),
			.address = pd_intern(g->address),
			.port = g->port,
			.source = g->source ? pd_obj_ref((struct pd_object *)g->source) : NULL,
		};
	}
	n->weight_scale = scale_of(n);
	return n;
}

static bool equal(const struct pd_networks *a, const struct pd_networks *b)
{
	if (!a || !b || a->n != b->n)
		return a == b;
	for (size_t i = 0; i < a->n; i++)
		if (cmp_gateway(&a->v[i], &b->v[i]) != 0)
			return false;
	return true;
}

void pd_reg_update_networks(struct reg_pass *p)
{
	const struct pd_posting *services = pd_config_posting(p->snap, PD_IX_NETWORK_GATEWAY, "");
	struct draft d = {0};
	struct pd_networks *now;

	add_configured(p, &d);
	for (size_t i = 0; i < services->n; i++)
		add_labelled_service(p, &d, services->v[i]);
	pd_sort(d.v.v, d.v.n, sizeof(d.v.v[0]), cmp_gateway);
	now = d.v.n ? record_of(&d) : NULL;
	pd_reg_put(p, PD_IX_NETWORKS, "", now, !equal(pd_reg_get(p->r, PD_IX_NETWORKS, ""), now));
	pd_arena_reset(&p->r->tmp);
}

bool pd_reg_shapes_networks(struct reg_pass *p, const struct pd_object *o)
{
	if (o->key.kind == PD_KIND_NODE) // rare, and only some mesh needs it
		return p->r->networks || pd_config_posting(p->snap, PD_IX_NETWORK_GATEWAY, "")->n > 0;
	return o->key.kind == PD_KIND_SERVICE && (!pd_empty(pd_object_label(o, LABEL_NETWORK)) || is_named(p, o));
}
