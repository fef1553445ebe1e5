// Host units: what one host contributes to the outbound side of a scope.
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "api/pb.h"
#include "base/hash.h"
#include "base/str.h"
#include "discovery/engine_impl.h"

enum { ROUTE_CONFIG_VIRTUAL_HOSTS = 2 }; // field number in RouteConfiguration

struct family *pd_family_get_locked(struct pd_engine *e, const char *host)
{
	struct family *f;
	const char *key = pd_intern(host);
	HASH_FIND_PTR(e->families, &key, f);
	if (f) {
		pd_unintern(key);
		return f;
	}
	f = pd_xcalloc(1, sizeof(*f));
	f->unit.kind = UNIT_FAMILY;
	f->host = key;
	HASH_ADD_PTR(e->families, host, f);
	return f;
}

void pd_family_unref_locked(struct pd_engine *e, struct family *f)
{
	PD_ASSERT(f->refs > 0);
	if (--f->refs)
		return;
	pd_deps_clear(e->deps, &f->unit.deps);
	HASH_DEL(e->families, f);
	pd_unintern(f->host);
	free(f->by_scope);
	free(f);
}

static void host_result_release(struct pd_obj *o)
{
	struct host_result *r = (struct host_result *)o;
	for (size_t i = 0; i < r->n_clusters; i++)
		pd_resource_unref(r->clusters[i]);
	for (size_t i = 0; i < r->n_vhosts; i++) {
		pd_unintern(r->vhosts[i].route_name);
		pd_unintern(r->vhosts[i].name);
		pd_blob_unref(r->vhosts[i].field);
		free(r->vhosts[i].domains);
	}
	pd_obj_unref(r->prov);
	free(r->clusters);
	free(r->vhosts);
	free(r->ports);
	free(r);
}

static uint64_t domain_hash(const char *domain)
{
	char lower[512];
	size_t n = 0;
	for (; domain[n] && n < sizeof(lower); n++)
		lower[n] = (char)tolower((unsigned char)domain[n]);
	return pd_hash(lower, n);
}

static void add_clusters(struct pd_tx *tx, struct host_result *r, const struct pd_service *svc)
{
	struct pd_cluster_vec clusters = {0};
	pd_build_outbound_clusters(tx, svc, &clusters);
	r->prov = tx_provenance(tx);
	r->clusters = pd_xmalloc((clusters.n + 1) * sizeof(struct pd_resource *));
	for (size_t i = 0; i < clusters.n; i++) {
		struct pd_resource *c = pd_resource_new(PD_CDS, clusters.v[i]->name, &clusters.v[i]->base, r->prov);
		r->hash = pd_hash_mix(r->hash, c->version);
		r->clusters[r->n_clusters++] = c;
	}
}

// Returns whether the host must be looked at again even if there is nothing now.
static bool add_vhosts(struct pd_tx *tx, struct host_result *r, const char *host)
{
	struct pd_vhost_vec vhosts = {0};
	pd_build_host_routes(tx, host, &vhosts);
	r->vhosts = pd_xcalloc(vhosts.n + 1, sizeof(*r->vhosts));
	for (size_t i = 0; i < vhosts.n; i++) {
		struct host_vhost *v = &r->vhosts[r->n_vhosts++];
		const Envoy__Config__Route__V3__VirtualHost *msg = vhosts.v[i].msg;
		v->route_name = pd_intern(vhosts.v[i].route_name);
		v->name = pd_intern(msg->name);
		v->rank = vhosts.v[i].rank;
		v->field = pd_field_blob(ROUTE_CONFIG_VIRTUAL_HOSTS, &msg->base);
		v->n_domains = (uint32_t)msg->n_domains;
		v->domains = pd_xmalloc((msg->n_domains + 1) * sizeof(uint64_t));
		for (size_t d = 0; d < msg->n_domains; d++)
			v->domains[d] = domain_hash(msg->domains[d]);
		r->hash = pd_hash_mix(r->hash, pd_hash_mix(pd_intern_hash(v->route_name), v->field->hash));
	}
	return vhosts.watch;
}

static int cmp_u32(const void *x, const void *y)
{
	uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
	return (a > b) - (a < b);
}

static void add_ports(struct host_result *r, const struct pd_service *svc)
{
	r->ports = pd_xmalloc((svc->n_ports + 1) * sizeof(uint32_t));
	for (size_t i = 0; i < svc->n_ports; i++)
		if (svc->ports[i].protocol != PD_PROTO_UDP)
			r->ports[r->n_ports++] = svc->ports[i].port;
	pd_sort(r->ports, r->n_ports, sizeof(uint32_t), cmp_u32);
	size_t n = 0;
	for (size_t i = 0; i < r->n_ports; i++)
		if (!n || r->ports[n - 1] != r->ports[i])
			r->ports[n++] = r->ports[i];
	r->n_ports = n;
	for (size_t i = 0; i < n; i++)
		r->hash = pd_hash_mix(r->hash, r->ports[i]);
}

struct host_result *pd_host_result_build(struct pd_tx *tx, const char *host)
{
	struct host_result *r = pd_xcalloc(1, sizeof(*r));
	pd_obj_init(&r->obj, host_result_release);
	const struct pd_service *svc = tx_service(tx, host);
	if (svc) {
		tx_use(tx, svc->source);
		r->service = svc->hash;
		r->hash = pd_hash_mix(r->hash, svc->hash);
		add_clusters(tx, r, svc);
		if (svc->resolution != PD_RES_ALIAS)
			add_ports(r, svc);
	}
	bool watch = tx->key->type == PD_NODE_SIDECAR && add_vhosts(tx, r, host);
	if (r->n_clusters || r->n_vhosts || r->n_ports || watch) {
		if (r->n_vhosts || !r->prov) { // routes may have used more than the clusters did
			struct pd_provenance *all = tx_provenance(tx);
			pd_obj_unref(r->prov);
			r->prov = all;
		}
		return r;
	}
	pd_obj_unref(r);
	return NULL;
}

bool pd_host_result_equal(const struct host_result *a, const struct host_result *b)
{
	if (a->hash != b->hash || a->n_clusters != b->n_clusters || a->n_vhosts != b->n_vhosts ||
	    a->n_ports != b->n_ports || !pd_provenance_equal(a->prov, b->prov))
		return false;
	for (size_t i = 0; i < a->n_clusters; i++)
		if (a->clusters[i]->name != b->clusters[i]->name || a->clusters[i]->version != b->clusters[i]->version)
			return false;
	for (size_t i = 0; i < a->n_vhosts; i++)
		if (a->vhosts[i].route_name != b->vhosts[i].route_name || a->vhosts[i].rank != b->vhosts[i].rank ||
		    a->vhosts[i].field->hash != b->vhosts[i].field->hash)
			return false;
	return a->n_ports == 0 || memcmp(a->ports, b->ports, a->n_ports * sizeof(uint32_t)) == 0;
}
