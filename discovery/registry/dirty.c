// Which records an object can shape. Both states of a changed object are asked: what it shaped, and what it shapes now.
#include "discovery/registry/internal.h"

static void mark_kube(struct reg_pass *p, struct reg_keys *keys, const char *name, const char *ns)
{
	pd_reg_mark(p, keys, pd_reg_kube_host(p, name, ns));
}

static void mark_host(struct reg_pass *p, const char *host)
{
	pd_reg_mark(p, &p->hosts, host);
	pd_reg_mark(p, &p->backends, host);
}

// ---- Services and ServiceEntries ----------------------------------------------------------------------------------------

// Everything on the way that an ExternalName leads. Old chains are covered too: each link of one that is gone was an object
// that changed, and is followed from what it pointed to.
static void mark_chain(struct reg_pass *p, const char *host)
{
	for (size_t hops = 0; host && hops < PD_ALIAS_HOPS_MAX; hops++) {
		pd_reg_mark(p, &p->hosts, host);
		host = pd_reg_alias_at(p, host);
	}
}

static void touch_service(struct reg_pass *p, const struct pd_object *o)
{
	mark_host(p, pd_reg_kube_host(p, o->key.name, o->key.ns));
	mark_chain(p, pd_reg_alias_target(p, o));
}

static void touch_entry(struct reg_pass *p, const struct pd_object *o)
{
	const Istio__ServiceEntry *se = (const Istio__ServiceEntry *)o->spec;

	for (size_t i = 0; i < se->n_hosts; i++)
		mark_host(p, pd_arena_strdup(p->a, se->hosts[i]));
}

static void touch_slice(struct reg_pass *p, const struct pd_object *o)
{
	const char *service = pd_object_label(o, "kubernetes.io/service-name");

	if (!pd_empty(service))
		mark_kube(p, &p->backends, service, o->key.ns);
}

// ---- workloads ------------------------------------------------------------------------------------------------------------

static void touch_slices(struct reg_pass *p, unsigned index, const char *key)
{
	const struct pd_posting *posting = pd_config_posting(p->snap, index, key);

	for (size_t i = 0; i < posting->n; i++)
		touch_slice(p, posting->v[i]);
}

static void touch_address(struct reg_pass *p, const char *ns, const char *ip)
{
	if (pd_empty(ip))
		return;
	pd_reg_mark(p, &p->ips, pd_arena_strdup(p->a, ip));
	touch_slices(p, PD_IX_SLICE_BY_IP, pd_arena_printf(p->a, "%s/%s", ns, ip));
}

static void touch_selecting_entries(struct reg_pass *p, const char *key)
{
	const struct pd_posting *posting = pd_config_posting(p->snap, PD_IX_SE_BY_SELECTOR, key);

	for (size_t i = 0; i < posting->n; i++) {
		const Istio__ServiceEntry *se = (const Istio__ServiceEntry *)posting->v[i]->spec;

		for (size_t k = 0; k < se->n_hosts; k++)
			pd_reg_mark(p, &p->backends, pd_arena_strdup(p->a, se->hosts[k]));
	}
}

static void touch_selecting_services(struct reg_pass *p, const char *key)
{
	const struct pd_posting *posting = pd_config_posting(p->snap, PD_IX_SERVICE_BY_SELECTOR, key);

	for (size_t i = 0; i < posting->n; i++)
		mark_kube(p, &p->backends, posting->v[i]->key.name, posting->v[i]->key.ns);
}

// Whatever may select something with these labels: a selector's first pair is among them.
static void touch_selecting(struct reg_pass *p, const char *ns, struct pd_labels l, bool services)
{
	for (size_t i = 0; i < l.n; i++) {
		const char *key = pd_arena_printf(p->a, "%s/%s=%s", ns, l.v[i].key, l.v[i].value);

		touch_selecting_entries(p, key);
		if (services)
			touch_selecting_services(p, key);
	}
	touch_selecting_entries(p, pd_arena_printf(p->a, "%s/", ns));
}

static void touch_pod(struct reg_pass *p, const struct pd_object *o)
{
	struct pd_arena a = {.first_chunk = 1024};
	const K8s__PodStatus *s = ((const K8s__Pod *)pd_object_open(o, &a))->status;

	touch_slices(p, PD_IX_SLICE_BY_POD, pd_arena_printf(p->a, "%s/%s", o->key.ns, o->key.name));
	if (s)
		touch_address(p, o->key.ns, s->podip);
	for (size_t i = 0; s && i < s->n_podips; i++)
		if (!pd_streq(s->podips[i]->ip, s->podip))
			touch_address(p, o->key.ns, s->podips[i]->ip);
	touch_selecting(p, o->key.ns, pd_object_labels(o), false);
	pd_arena_free(&a);
}

static void touch_workload_entry(struct reg_pass *p, const struct pd_object *o)
{
	const Istio__WorkloadEntry *e = (const Istio__WorkloadEntry *)o->spec;
	struct reg_labels own = {0};

	if (!pd_empty(e->address))
		pd_reg_mark(p, &p->ips, pd_arena_strdup(p->a, e->address));
	pd_reg_labels_add(p->a, &own, PD_LABEL_ENTRIES(e->labels), e->n_labels);
	touch_selecting(p, o->key.ns, reg_labels_view(&own), true);
	touch_selecting(p, o->key.ns, pd_object_labels(o), true);
}

// ---- what lies around -------------------------------------------------------------------------------------------------------

static void touch_node(struct reg_pass *p, const struct pd_object *before, const struct pd_object *after)
{
	const struct pd_object *o = after ? after : before;
	const struct pd_posting *pods;

	if (pd_streq(pd_reg_node_locality(p->a, before), pd_reg_node_locality(p->a, after)))
		return;
	pods = pd_config_posting(p->snap, PD_IX_POD_BY_NODE, o->key.name);
	for (size_t i = 0; i < pods->n; i++)
		if (pods->v[i]->key.cluster == o->key.cluster)
			touch_pod(p, pods->v[i]);
}

struct in_namespace {
	struct reg_pass *p;
	const struct pd_object *ns;
};

static bool touch_if_inside(const struct pd_object *o, void *arg)
{
	struct in_namespace *in = arg;

	if (o->key.ns == in->ns->key.name && o->key.cluster == in->ns->key.cluster)
		pd_reg_touch(in->p, NULL, o);
	return true;
}

// Services inherit an annotation of their namespace. It changes too rarely for an index.
static void touch_namespace(struct reg_pass *p, const struct pd_object *before, const struct pd_object *after)
{
	static const char key[] = "networking.istio.io/traffic-distribution";
	struct in_namespace in = {p, after ? after : before};

	if (pd_streq(before ? pd_object_annotation(before, key) : "", after ? pd_object_annotation(after, key) : ""))
		return;
	pd_config_each(p->snap, PD_KIND_SERVICE, touch_if_inside, &in);
	pd_config_each(p->snap, PD_KIND_SERVICE_ENTRY, touch_if_inside, &in);
}

static void touch_one(struct reg_pass *p, const struct pd_object *o)
{
	switch (o->key.kind) {
	case PD_KIND_SERVICE:
		touch_service(p, o);
		break;
	case PD_KIND_SERVICE_ENTRY:
		touch_entry(p, o);
		break;
	case PD_KIND_ENDPOINT_SLICE:
		touch_slice(p, o);
		break;
	case PD_KIND_POD:
		touch_pod(p, o);
		break;
	case PD_KIND_WORKLOAD_ENTRY:
		touch_workload_entry(p, o);
		break;
	default:
		break;
	}
}

void pd_reg_touch(struct reg_pass *p, const struct pd_object *before, const struct pd_object *after)
{
	enum pd_kind kind = (after ? after : before)->key.kind;

	p->networks |= (before && pd_reg_shapes_networks(p, before)) || (after && pd_reg_shapes_networks(p, after));
	if (kind == PD_KIND_NODE) {
		touch_node(p, before, after);
	} else if (kind == PD_KIND_NAMESPACE) {
		touch_namespace(p, before, after);
	} else {
		if (before)
			touch_one(p, before);
		if (after)
			touch_one(p, after);
	}
}

static bool touch_each(const struct pd_object *o, void *arg)
{
	touch_one(arg, o);
	return true;
}

static bool meet_cluster(const struct pd_object *o, void *arg)
{
	pd_reg_cluster(((struct reg_pass *)arg)->r, o->key.cluster);
	return true;
}

static void each_object(struct reg_pass *p, bool (*fn)(const struct pd_object *, void *))
{
	static const enum pd_kind kinds[] = {PD_KIND_SERVICE, PD_KIND_SERVICE_ENTRY, PD_KIND_POD,
					     PD_KIND_WORKLOAD_ENTRY};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		pd_config_each(p->snap, kinds[i], fn, p);
}

void pd_reg_touch_all(struct reg_pass *p)
{
	each_object(p, touch_each);
}

void pd_reg_meet_clusters(struct reg_pass *p)
{
	each_object(p, meet_cluster);
}
