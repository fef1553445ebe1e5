// Endpoints of Kubernetes Services: those of their EndpointSlices, and the WorkloadEntries that they select.
#include "discovery/registry/internal.h"

// ---- duplicates -------------------------------------------------------------------------------------------------------------
// An endpoint that moves from one slice to another may be in both for a while: the first one counts.

struct seen {
	uint32_t *slots; // index + 1 into the endpoints; 0 = free
	size_t mask;
};

static bool same_place(const struct pd_endpoint *a, const struct pd_endpoint *b)
{
	return pd_streq(a->address, b->address) && pd_streq(a->port_name, b->port_name) &&
	       a->source->key.cluster == b->source->key.cluster;
}

static uint64_t place_hash(const struct pd_endpoint *e)
{
	return reg_hash_str(pd_hash_str(e->address), e->port_name);
}

static void seen_put(struct seen *s, uint64_t hash, uint32_t value)
{
	size_t i = hash & s->mask;

	while (s->slots[i])
		i = (i + 1) & s->mask;
	s->slots[i] = value;
}

// Room for one more than out->n.
static void seen_grow(struct reg_pass *p, struct seen *s, const struct reg_endpoints *out, size_t first)
{
	size_t want = s->slots ? (s->mask + 1) * 2 : 16;

	if (s->slots && (out->n - first + 1) * 2 <= s->mask + 1)
		return;
	s->slots = PD_NEWN(&p->r->tmp, uint32_t, want);
	s->mask = want - 1;
	for (size_t i = first; i < out->n; i++)
		seen_put(s, place_hash(&out->v[i]), (uint32_t)i + 1);
}

static bool seen_before(const struct seen *s, const struct reg_endpoints *out, const struct pd_endpoint *e)
{
	for (size_t i = place_hash(e) & s->mask; s->slots[i]; i = (i + 1) & s->mask)
		if (same_place(&out->v[s->slots[i] - 1], e))
			return true;
	return false;
}

// ---- slices -----------------------------------------------------------------------------------------------------------------

static bool true_or_absent(protobuf_c_boolean has, protobuf_c_boolean value)
{
	return !has || value;
}

static enum pd_health health_of(const struct pd_service *s, const K8s__EndpointConditions *c)
{
	if (!c || true_or_absent(c->has_ready, c->ready))
		return PD_HEALTHY;
	if (!true_or_absent(c->has_terminating, c->terminating))
		return PD_UNHEALTHY;
	return s->drains && true_or_absent(c->has_serving, c->serving) ? PD_DRAINING : PD_TERMINATING;
}

// Addresses without a reference may belong to a Pod of the same namespace all the same.
static struct pd_workload *workload_at(struct reg_pass *p, const struct pd_object *slice, const char *ip)
{
	const struct pd_posting *posting = pd_config_posting(p->snap, PD_IX_POD_BY_IP, ip);

	for (size_t i = 0; i < posting->n; i++)
		if (posting->v[i]->key.ns == slice->key.ns && posting->v[i]->key.cluster == slice->key.cluster &&
		    pd_reg_pod_serves((const K8s__Pod *)pd_object_open(posting->v[i], &p->r->tmp)))
			return pd_reg_workload_of_pod(p, posting->v[i]);
	return pd_reg_workload_bare(p, slice->key.cluster, ip);
}

// NULL: the endpoint names a Pod that is not known (yet). Without its labels and identity nobody may talk to it.
static struct pd_workload *workload_of(struct reg_pass *p, const struct pd_object *slice, const K8s__Endpoint *e,
				       const char *ip)
{
	const struct pd_object *pod;

	if (!e->targetref || !pd_streq(e->targetref->kind, "Pod"))
		return workload_at(p, slice, ip);
	pod = pd_config_get(p->snap, PD_KIND_POD, slice->key.cluster, pd_or(e->targetref->namespace_, ""),
			    pd_or(e->targetref->name, ""));
	return pod ? pd_reg_workload_of_pod(p, pod) : NULL;
}

static void add_endpoint(struct reg_pass *p, const struct pd_service *s, const struct pd_object *o,
			 const K8s__EndpointSlice *slice, const K8s__Endpoint *e, struct seen *seen, size_t first,
			 struct reg_endpoints *out)
{
	struct pd_endpoint ep = {.source = o, .health = health_of(s, e->conditions)};

	for (size_t i = 0; i < e->n_addresses; i++) {
		struct pd_workload *w = workload_of(p, o, e, e->addresses[i]);

		for (size_t k = 0; w && k < slice->n_ports; k++) {
			ep.address = e->addresses[i];
			ep.port_name = pd_or(slice->ports[k]->name, "");
			ep.port = (uint32_t)slice->ports[k]->port;
			seen_grow(p, seen, out, first);
			if (seen_before(seen, out, &ep))
				continue;
			ep.workload = pd_obj_ref(w);
			pd_reg_endpoint_add(p, out, ep);
			seen_put(seen, place_hash(&ep), (uint32_t)out->n);
		}
		pd_obj_unref(w);
	}
}

// ---- WorkloadEntries ----------------------------------------------------------------------------------------------------------

// A port by the name that targetPort gives, or else (it gives a number) by the service port's own name.
static uint32_t entry_port(const Istio__WorkloadEntry *e, const struct pd_port *port)
{
	const char *name = port->target_name ? port->target_name : port->name;

	for (size_t i = 0; i < e->n_ports; i++)
		if (pd_streq(e->ports[i]->key, name) && e->ports[i]->value)
			return e->ports[i]->value;
	if (port->target_name)
		return 0;
	return port->target_port ? port->target_port : port->port;
}

static void add_entries(struct reg_pass *p, const struct pd_service *s, struct reg_endpoints *out)
{
	struct reg_candidates c;

	if (s->resolution != PD_RES_EDS || !s->selector.n)
		return;
	c = pd_reg_candidates(p, PD_IX_WE_BY_LABEL, PD_KIND_WORKLOAD_ENTRY, s->ns, &s->selector);
	for (size_t i = 0; i < c.n; i++) {
		const Istio__WorkloadEntry *e = (const Istio__WorkloadEntry *)c.v[i]->spec;
		struct pd_workload *w;

		if (c.v[i]->key.cluster != s->cluster || (*e->address && !pd_is_ip(e->address)))
			continue;
		if (!pd_reg_entry_healthy(c.v[i]) || !pd_reg_selects(&s->selector, c.v[i]))
			continue;
		w = pd_reg_workload_of_entry(p, c.v[i]);
		for (size_t k = 0; k < s->n_ports; k++) {
			struct pd_endpoint ep = {
				.source = c.v[i],
				.address = e->address,
				.port_name = s->ports[k].name,
				.port = entry_port(e, &s->ports[k]),
				.weight = e->weight,
				.health = PD_HEALTH_UNKNOWN,
			};

			// Nothing says which port the name would be.
			if (!ep.port)
				continue;
			ep.workload = pd_obj_ref(w);
			pd_reg_endpoint_add(p, out, ep);
		}
		pd_obj_unref(w);
	}
}

void pd_reg_endpoints_of_kube(struct reg_pass *p, const struct pd_service *s, struct reg_endpoints *out)
{
	const struct pd_posting *slices = pd_config_posting(p->snap, PD_IX_SLICE_BY_SERVICE,
							    pd_arena_printf(&p->r->tmp, "%s/%s", s->ns, s->name));
	struct seen seen = {0};
	size_t first = out->n;

	for (size_t i = 0; i < slices->n; i++) {
		const K8s__EndpointSlice *slice;

		if (slices->v[i]->key.cluster != s->cluster)
			continue;
		slice = (const K8s__EndpointSlice *)pd_object_open(slices->v[i], &p->r->tmp);
		for (size_t k = 0; k < slice->n_endpoints && !pd_streq(slice->addresstype, "FQDN"); k++)
			add_endpoint(p, s, slices->v[i], slice, slice->endpoints[k], &seen, first, out);
	}
	add_entries(p, s, out);
}
