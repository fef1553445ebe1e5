// meshNetworks, and the CIDR ranges in it.
#include <stdlib.h>

#include "api/codec.h"
#include "base/addr.h"
#include "base/str.h"
#include "config/mesh_impl.h"
#include "config/semhash.h"
#include "config/validate_impl.h"

static void networks_release(struct pd_obj *obj)
{
	struct pd_arena arena = ((struct pd_mesh_networks *)obj)->arena;

	pd_arena_free(&arena);
}

static int cmp_range(const void *x, const void *y)
{
	const struct pd_network_range *a = x, *b = y;

	if (a->cidr.bits != b->cidr.bits)
		return a->cidr.bits < b->cidr.bits ? -1 : 1;
	return strcmp(a->network, b->network);
}

static void check_network(const struct pd_at *at, const Istio__Network *n, struct pd_validation *v)
{
	struct pd_cidr ignored;

	for (size_t i = 0; i < n->n_endpoints; i++)
		if (n->endpoints[i]->ne_case == ISTIO__NETWORK__NETWORK_ENDPOINTS__NE_FROM_CIDR &&
		    pd_cidr_parse(n->endpoints[i]->from_cidr, &ignored) != PD_OK)
			pd_find_error(v, PD_AT_I(at, "endpoints", i), "\"%.60s\" is no CIDR range",
				      n->endpoints[i]->from_cidr);
	for (size_t i = 0; i < n->n_gateways; i++) {
		const Istio__Network__IstioNetworkGateway *g = n->gateways[i];

		pd_check_port(v, PD_AT_I(at, "gateways", i), g->port);
		if (g->gw_case == ISTIO__NETWORK__ISTIO_NETWORK_GATEWAY__GW__NOT_SET)
			pd_find_error(v, PD_AT_I(at, "gateways", i), "address or registryServiceName is required");
	}
}

static void check_values(struct mesh_load *l, const Istio__MeshNetworks *m)
{
	struct pd_validation v = {.arena = &l->arena};

	for (size_t i = 0; i < m->n_networks; i++)
		if (m->networks[i]->value)
			check_network(PD_AT(PD_AT(NULL, "networks"), m->networks[i]->key), m->networks[i]->value, &v);
	for (size_t i = 0; i < v.found.n; i++)
		pd_mesh_report(l, v.found.v[i].severity, 0, v.found.v[i].field, v.found.v[i].reason);
}

static void collect_ranges(struct pd_mesh_networks *n)
{
	const Istio__MeshNetworks *m = n->config;

	for (size_t i = 0; i < m->n_networks; i++)
		for (size_t k = 0; m->networks[i]->value && k < m->networks[i]->value->n_endpoints; k++) {
			const Istio__Network__NetworkEndpoints *e = m->networks[i]->value->endpoints[k];
			struct pd_network_range r = {.network = m->networks[i]->key};

			if (e->ne_case == ISTIO__NETWORK__NETWORK_ENDPOINTS__NE_FROM_CIDR &&
			    pd_cidr_parse(e->from_cidr, &r.cidr) == PD_OK)
				pd_vec_push_a(&n->arena, &n->ranges, r);
		}
	pd_sort(n->ranges.v, n->ranges.n, sizeof(n->ranges.v[0]), cmp_range);
}

int pd_mesh_networks_parse(const char *text, size_t len, const char *origin, struct pd_issues *issues,
			   struct pd_mesh_networks **out)
{
	struct mesh_load l = {.origin = origin, .object = "MeshNetworks", .issues = issues};
	struct pd_arena arena = {0};
	struct pd_codec c = {.arena = &arena, .policy = PD_CODEC_LENIENT};
	struct pd_mesh_networks *n = PD_NEW(&arena, struct pd_mesh_networks);
	struct pd_json *root = pd_mesh_read(&l, text, len);
	void *config = NULL;

	if (!root)
		root = pd_json_object(&l.arena);
	if (!l.failed)
		pd_mesh_check(&l, root, &istio__mesh_networks__descriptor);
	if (!l.failed && pd_codec_decode(&c, root, &istio__mesh_networks__descriptor, &config) == PD_OK)
		check_values(&l, config);
	pd_arena_free(&l.arena);
	if (l.failed || !config) {
		pd_arena_free(&arena);
		return PD_E_PARSE;
	}
	pd_obj_init(&n->obj, networks_release);
	n->config = config;
	n->hash = pd_message_hash(&n->config->base);
	n->arena = arena;
	collect_ranges(n);
	*out = n;
	return PD_OK;
}

const char *pd_mesh_networks_of(const struct pd_mesh_networks *n, const char *address)
{
	struct pd_ip ip;

	if (!n || !n->ranges.n || pd_ip_parse(address, &ip) != PD_OK)
		return "";
	for (size_t i = 0; i < n->ranges.n; i++)
		if (pd_cidr_contains(&n->ranges.v[i].cidr, &ip))
			return n->ranges.v[i].network;
	return "";
}

const char *pd_mesh_networks_of_registry(const struct pd_mesh_networks *n, const char *cluster)
{
	const char *found = "";

	for (size_t i = 0; n && i < n->config->n_networks; i++) {
		const Istio__Network *net = n->config->networks[i]->value;

		for (size_t k = 0; net && k < net->n_endpoints; k++)
			if (net->endpoints[k]->ne_case == ISTIO__NETWORK__NETWORK_ENDPOINTS__NE_FROM_REGISTRY &&
			    pd_streq(net->endpoints[k]->from_registry, cluster) &&
			    (!*found || strcmp(n->config->networks[i]->key, found) < 0))
				found = n->config->networks[i]->key;
	}
	return found;
}
