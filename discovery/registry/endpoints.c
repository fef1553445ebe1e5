// Endpoints of a host name: collected from every service that has it, then made a record.
#include "discovery/registry/internal.h"

void pd_reg_endpoint_add(struct reg_pass *p, struct reg_endpoints *out, struct pd_endpoint ep)
{
	pd_vec_push_a(&p->r->tmp, out, ep);
}

// ---- records --------------------------------------------------------------------------------------------------------------

void pd_reg_endpoints_release(struct pd_obj *o)
{
	struct pd_endpoints *e = (struct pd_endpoints *)o;

	for (size_t i = 0; i < e->n; i++) {
		pd_obj_unref(e->v[i].workload);
		pd_unintern(e->v[i].address);
		pd_unintern(e->v[i].port_name);
	}
	for (size_t i = 0; i < e->n_sources; i++)
		pd_obj_unref((void *)e->sources[i]);
	pd_unintern(e->ns);
	free(e);
}

void pd_reg_accounts_release(struct pd_obj *o)
{
	struct pd_accounts *a = (struct pd_accounts *)o;

	pd_reg_strings_drop(a->v, a->n);
	free(a);
}

static uint64_t endpoints_hash(const struct pd_endpoints *e)
{
	uint64_t h = reg_hash_str(0, e->ns);

	for (size_t i = 0; i < e->n; i++) {
		const struct pd_endpoint *ep = &e->v[i];

		h = pd_hash_mix(h, ep->workload->hash);
		h = pd_hash_mix(pd_hash_mix(h, pd_intern_hash(ep->address)), pd_intern_hash(ep->port_name));
		h = pd_hash_mix(h, (uint64_t)ep->port << 32 | ep->weight);
		h = pd_hash_mix(pd_hash_mix(h, ep->health), pd_intern_hash(ep->source->key.ns));
	}
	return h;
}

// Sources come in runs; one reference for each run is enough.
static size_t count_runs(const struct reg_endpoints *in)
{
	size_t runs = 0;

	for (size_t i = 0; i < in->n; i++)
		runs += !i || in->v[i].source != in->v[i - 1].source;
	return runs;
}

// Takes the workload references of `in`.
static struct pd_endpoints *endpoints_new(const char *ns, const struct reg_endpoints *in)
{
	size_t runs = count_runs(in), r = 0;
	struct reg_block b;
	struct pd_endpoints *e =
		reg_block_new(&b, sizeof(*e) + in->n * sizeof(struct pd_endpoint) + runs * sizeof(e->sources[0]));
	struct pd_endpoint *v;
	const struct pd_object **sources;

	reg_block_take(&b, sizeof(*e));
	v = reg_block_take(&b, in->n * sizeof(*v));
	sources = reg_block_take(&b, runs * sizeof(*sources));
	pd_obj_init(&e->obj, pd_reg_endpoints_release);
	for (size_t i = 0; i < in->n; i++) {
		v[i] = in->v[i];
		v[i].address = pd_intern(in->v[i].address);
		v[i].port_name = pd_intern(in->v[i].port_name);
		v[i].hostname = *v[i].workload->hostname ? v[i].workload->hostname : NULL;
		if (!i || v[i].source != v[i - 1].source)
			sources[r++] = pd_obj_ref((void *)v[i].source);
	}
	e->ns = pd_intern(ns);
	e->n = in->n;
	e->v = v;
	e->n_sources = runs;
	e->sources = sources;
	e->hash = endpoints_hash(e);
	return e;
}

static int cmp_str(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

// NULL if nobody has an identity.
static struct pd_accounts *accounts_new(struct reg_pass *p, const struct pd_service_list *services,
					const struct reg_endpoints *in)
{
	struct reg_keys found = {0};
	struct pd_accounts *a;
	size_t n = 0;

	for (size_t i = 0; i < in->n; i++)
		if (*in->v[i].workload->spiffe)
			pd_vec_push_a(&p->r->tmp, &found, in->v[i].workload->spiffe);
	for (size_t i = 0; i < services->n; i++)
		for (size_t k = 0; k < services->v[i]->n_sans; k++)
			pd_vec_push_a(&p->r->tmp, &found, services->v[i]->sans[k]);
	if (!found.n)
		return NULL;
	qsort(found.v, found.n, sizeof(found.v[0]), cmp_str);
	for (size_t i = 0; i < found.n; i++)
		if (!n || strcmp(found.v[i], found.v[n - 1]) != 0)
			found.v[n++] = found.v[i];
	a = pd_xmalloc(sizeof(*a) + n * sizeof(a->v[0]));
	pd_obj_init(&a->obj, pd_reg_accounts_release);
	a->n = n;
	for (size_t i = 0; i < n; i++)
		a->v[i] = pd_intern(found.v[i]);
	return a;
}

static bool equal_accounts(const struct pd_accounts *a, const struct pd_accounts *b)
{
	return a && b && a->n == b->n && !memcmp(a->v, b->v, a->n * sizeof(a->v[0]));
}

static void file_accounts(struct reg_pass *p, const char *host, struct pd_accounts *now)
{
	struct pd_accounts *old = pd_reg_get(p->r, PD_IX_ACCOUNTS, host);

	if (old == now)
		return;
	if (equal_accounts(old, now))
		pd_obj_unref(now);
	else
		pd_reg_put(p, PD_IX_ACCOUNTS, host, now, true);
}

// An equal record is filed too: it refers to the objects and workloads of today, and lets go of yesterday's.
static void file_endpoints(struct reg_pass *p, const char *host, struct pd_endpoints *now)
{
	struct pd_endpoints *old = pd_reg_get(p->r, PD_IX_ENDPOINTS, host);

	if (old || now)
		pd_reg_put(p, PD_IX_ENDPOINTS, host, now, !old || !now || old->hash != now->hash);
}

void pd_reg_update_endpoints(struct reg_pass *p, const char *host)
{
	const struct pd_service_list *services = pd_reg_get(p->r, PD_IX_SERVICE, host);
	struct reg_endpoints found = {0};

	if (!services) {
		file_accounts(p, host, NULL);
		file_endpoints(p, host, NULL);
		return;
	}
	pd_arena_reset(&p->r->tmp);
	for (size_t i = 0; i < services->n; i++) {
		if (services->v[i]->kubernetes)
			pd_reg_endpoints_of_kube(p, services->v[i], &found);
		else
			pd_reg_endpoints_of_entry(p, services->v[i], &found);
	}
	file_accounts(p, host, accounts_new(p, services, &found));
	file_endpoints(p, host, found.n ? endpoints_new(services->v[0]->ns, &found) : NULL);
}
