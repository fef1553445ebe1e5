// Endpoints of ServiceEntries: listed in them, selected by labels, or their own host name.
#include "discovery/registry/internal.h"

#define UNIX_PREFIX "unix://"

// One endpoint for each port of the entry. `named` tells the port of the workload that has the service port's name; 0 if
// there is none.
struct backend {
	struct pd_workload *workload; // borrowed
	const char *address;
	uint32_t weight;
	enum pd_health health;
	const struct pd_object *source;
	uint32_t (*named)(const void *of, const char *name);
	const void *of;
};

// Several ServiceEntries of a namespace may declare the host.
static bool has_port(const struct reg_endpoints *out, const char *ns, const char *name)
{
	for (size_t i = 0; i < out->n; i++)
		if (out->v[i].source->key.ns == ns && out->v[i].source->key.kind != PD_KIND_ENDPOINT_SLICE &&
		    pd_streq(out->v[i].port_name, name))
			return true;
	return false;
}

static void add_backend(struct reg_pass *p, const struct pd_service *s, const struct backend *b,
			struct reg_endpoints *out)
{
	const Istio__ServiceEntry *se = (const Istio__ServiceEntry *)s->source->spec;
	bool socket = pd_has_prefix(b->address, UNIX_PREFIX);

	for (size_t i = 0; i < se->n_ports; i++) {
		const Istio__ServicePort *port = se->ports[i];
		uint32_t named = b->named ? b->named(b->of, pd_or(port->name, "")) : 0;
		uint32_t number = port->target_port ? port->target_port : port->number;
		struct pd_endpoint ep = {
			.address = socket ? b->address + strlen(UNIX_PREFIX) : b->address,
			.port_name = pd_or(port->name, ""),
			.port = socket  ? 0
				: named ? named
					: number,
			.weight = b->weight,
			.health = b->health,
			.source = b->source,
		};

		// One name, one address: the first.
		if (s->resolution == PD_RES_DNS_RR && has_port(out, s->ns, ep.port_name))
			continue;
		ep.workload = pd_obj_ref(b->workload);
		pd_reg_endpoint_add(p, out, ep);
	}
}

static uint32_t entry_port(const void *of, const char *name)
{
	const Istio__WorkloadEntry *e = of;

	for (size_t i = 0; i < e->n_ports; i++)
		if (pd_streq(e->ports[i]->key, name))
			return e->ports[i]->value;
	return 0;
}

static uint32_t container_port(K8s__Container *const *v, size_t n, const char *name, bool sidecars)
{
	for (size_t i = 0; i < n; i++) {
		if (sidecars && !pd_streq(v[i]->restartpolicy, "Always"))
			continue;
		for (size_t k = 0; k < v[i]->n_ports; k++)
			if (pd_streq(v[i]->ports[k]->name, name) &&
			    pd_streq(pd_or(v[i]->ports[k]->protocol, "TCP"), "TCP"))
				return (uint32_t)v[i]->ports[k]->containerport;
	}
	return 0;
}

static uint32_t pod_port(const void *of, const char *name)
{
	const K8s__PodSpec *s = ((const K8s__Pod *)of)->spec;
	uint32_t port;

	if (!s || !*name)
		return 0;
	port = container_port(s->containers, s->n_containers, name, false);
	return port ? port : container_port(s->initcontainers, s->n_initcontainers, name, true);
}

static bool by_dns(const struct pd_service *s)
{
	return s->resolution == PD_RES_DNS || s->resolution == PD_RES_DNS_RR;
}

static int cmp_name(const void *x, const void *y)
{
	const struct pd_object *a = *(const struct pd_object *const *)x, *b = *(const struct pd_object *const *)y;
	int c = strcmp(a->key.name, b->key.name);

	return c ? c : strcmp(a->key.cluster, b->key.cluster);
}

static struct reg_candidates by_name(struct reg_pass *p, struct reg_candidates c)
{
	const struct pd_object **v = PD_NEWN(&p->r->tmp, const struct pd_object *, c.n);

	if (c.n) {
		memcpy(v, c.v, c.n * sizeof(*v));
		qsort(v, c.n, sizeof(*v), cmp_name);
	}
	return (struct reg_candidates){c.n, v};
}

static void add_pods(struct reg_pass *p, const struct pd_service *s, struct reg_endpoints *out)
{
	struct reg_candidates c =
		by_name(p, pd_reg_candidates(p, PD_IX_POD_BY_LABEL, PD_KIND_POD, s->ns, &s->selector));

	for (size_t i = 0; i < c.n; i++) {
		const K8s__Pod *pod = (const K8s__Pod *)pd_object_open(c.v[i], &p->r->tmp);
		struct pd_workload *w;
		struct backend b;

		if (!pd_reg_pod_serves(pod) || !pd_reg_selects(&s->selector, c.v[i]))
			continue;
		w = pd_reg_workload_of_pod(p, c.v[i]);
		b = (struct backend){w, w->ips[0], 0, PD_HEALTHY, s->source, pod_port, pod};
		add_backend(p, s, &b, out);
		pd_obj_unref(w);
	}
}

static void add_entries(struct reg_pass *p, const struct pd_service *s, struct reg_endpoints *out)
{
	struct reg_candidates c =
		by_name(p, pd_reg_candidates(p, PD_IX_WE_BY_LABEL, PD_KIND_WORKLOAD_ENTRY, s->ns, &s->selector));

	for (size_t i = 0; i < c.n; i++) {
		const Istio__WorkloadEntry *e = (const Istio__WorkloadEntry *)c.v[i]->spec;
		struct pd_workload *w;
		struct backend b;

		// Host names and sockets make sense only where names are resolved.
		if (*e->address && !pd_is_ip(e->address) && !by_dns(s))
			continue;
		if (!pd_reg_entry_healthy(c.v[i]) || !pd_reg_selects(&s->selector, c.v[i]))
			continue;
		w = pd_reg_workload_of_entry(p, c.v[i]);
		b = (struct backend){w, e->address, e->weight, PD_HEALTH_UNKNOWN, c.v[i], entry_port, e};
		add_backend(p, s, &b, out);
		pd_obj_unref(w);
	}
}

void pd_reg_endpoints_of_entry(struct reg_pass *p, const struct pd_service *s, struct reg_endpoints *out)
{
	const Istio__ServiceEntry *se = (const Istio__ServiceEntry *)s->source->spec;

	if (se->workload_selector) {
		add_pods(p, s, out);
		add_entries(p, s, out);
	} else if (!se->n_endpoints && by_dns(s)) {
		struct backend b =
			{pd_reg_workload_of_host(p, s->source), s->host, 0, PD_HEALTH_UNKNOWN, s->source, NULL, NULL};

		add_backend(p, s, &b, out);
		pd_obj_unref(b.workload);
	}
	for (size_t i = 0; !se->workload_selector && i < se->n_endpoints; i++) {
		struct backend b = {pd_reg_workload_of_inline(p, s->source, i),
				    se->endpoints[i]->address,
				    se->endpoints[i]->weight,
				    PD_HEALTH_UNKNOWN,
				    s->source,
				    entry_port,
				    se->endpoints[i]};

		add_backend(p, s, &b, out);
		pd_obj_unref(b.workload);
	}
}
