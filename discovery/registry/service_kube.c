// Services made of Kubernetes Services, and ExternalNames as further names of others.
#include "discovery/registry/internal.h"

static const K8s__ServiceSpec *spec_of(struct pd_arena *a, const struct pd_object *o)
{
	static const K8s__ServiceSpec none = K8S__SERVICE_SPEC__INIT;
	const K8s__Service *s = (const K8s__Service *)pd_object_open(o, a);

	return s->spec ? s->spec : &none;
}

// ---- aliases ------------------------------------------------------------------------------------------------------------
//
// An ExternalName points to a host name; what has that name may be an ExternalName again. The service where the chain ends
// lists all names on the way; the ones in between list none. A loop, or more hops than a resolver would follow, end nowhere.

static const char *alias_of(const K8s__ServiceSpec *s)
{
	return pd_streq(s->type, "ExternalName") && !pd_empty(s->externalname) ? s->externalname : NULL;
}

const char *pd_reg_alias_target(struct reg_pass *p, const struct pd_object *o)
{
	struct pd_arena a = {.first_chunk = 1024};
	const char *target = alias_of(spec_of(&a, o));

	target = target ? pd_arena_strdup(p->a, target) : NULL;
	pd_arena_free(&a);
	return target;
}

const char *pd_reg_alias_at(struct reg_pass *p, const char *host)
{
	const char *name, *ns;

	if (!pd_reg_kube_name(p->r, p->a, host, &name, &ns))
		return NULL;
	for (size_t i = 0; i < p->r->clusters.n; i++) {
		const struct pd_object *o = pd_config_get(p->snap, PD_KIND_SERVICE, p->r->clusters.v[i].name, ns, name);

		if (o)
			return pd_reg_alias_target(p, o);
	}
	return NULL;
}

struct names {
	struct name {
		const char *host, *ns;
	} * v;
	size_t n, cap;
};

static void add_pointing_at(struct reg_pass *p, const char *host, struct names *out)
{
	const struct pd_posting *posting = pd_config_posting(p->snap, PD_IX_SERVICE_BY_EXTERNAL_NAME, host);

	for (size_t i = 0; i < posting->n; i++) {
		struct name n = {pd_reg_kube_host(p, posting->v[i]->key.name, posting->v[i]->key.ns),
				 posting->v[i]->key.ns};
		bool known = false;

		for (size_t k = 0; k < out->n; k++)
			known |= pd_streq(out->v[k].host, n.host);
		if (!known)
			pd_vec_push_a(&p->r->tmp, out, n);
	}
}

static int cmp_name(const void *x, const void *y)
{
	const struct name *a = x, *b = y;
	int c = strcmp(a->ns, b->ns);

	return c ? c : strcmp(a->host, b->host);
}

const char *const *pd_reg_aliases_of(struct reg_pass *p, const char *host, size_t *n)
{
	struct names found = {0};
	const char **v;

	*n = 0;
	if (pd_reg_alias_at(p, host))
		return NULL;
	add_pointing_at(p, host, &found);
	for (size_t hops = 1, i = 0; hops < PD_ALIAS_HOPS_MAX && i < found.n; hops++)
		for (size_t end = found.n; i < end; i++)
			add_pointing_at(p, found.v[i].host, &found);
	if (!found.n)
		return NULL;
	qsort(found.v, found.n, sizeof(found.v[0]), cmp_name);
	v = PD_NEWN(&p->r->tmp, const char *, found.n);
	for (size_t i = 0; i < found.n; i++)
		v[i] = found.v[i].host;
	*n = found.n;
	return v;
}

// ---- the record -----------------------------------------------------------------------------------------------------------

static void add_ports(struct pd_arena *a, struct pd_service *s, const K8s__ServiceSpec *spec)
{
	struct pd_port *v = PD_NEWN(a, struct pd_port, spec->n_ports);

	for (size_t i = 0; i < spec->n_ports; i++) {
		const K8s__ServicePort *p = spec->ports[i];
		const K8s__IntOrString *target = p->targetport;

		v[i].name = pd_or(p->name, "");
		v[i].port = (uint32_t)p->port;
		if (target && target->type == 1)
			v[i].target_name = pd_empty(target->strval) ? NULL : target->strval;
		else if (target && target->intval > 0)
			v[i].target_port = (uint32_t)target->intval;
		v[i].protocol = pd_protocol_of(p->protocol, p->appprotocol, p->name, v[i].port);
	}
	s->ports = v;
	s->n_ports = spec->n_ports;
}

static void add_vips(struct pd_service *s, const K8s__ServiceSpec *spec)
{
	if (pd_empty(spec->clusterip) || pd_streq(spec->clusterip, "None") || s->resolution == PD_RES_ALIAS)
		return;
	s->n_vips = spec->n_clusterips > 1 ? spec->n_clusterips : 1;
	s->vips = (const char *const *)(spec->n_clusterips > 1 ? spec->clusterips : &spec->clusterip);
}

// A comma-separated list, cut in place: pieces in the tmp arena.
static const char **split(struct pd_arena *a, const char *text, size_t *n)
{
	char *copy = pd_arena_strdup(a, pd_or(text, "")), *piece, *rest = copy;
	const char **v;
	size_t commas = 0;

	*n = 0;
	if (!*copy)
		return NULL;
	for (const char *c = copy; *c; c++)
		commas += *c == ',';
	v = PD_NEWN(a, const char *, commas + 1);
	while ((piece = strsep(&rest, ","))) {
		size_t len;

		piece += strspn(piece, " \t");
		len = strlen(piece);
		while (len && strchr(" \t", piece[len - 1]))
			len--;
		piece[len] = 0;
		v[(*n)++] = piece;
	}
	return v;
}

// Identities that a Service's annotations give to whatever is behind it.
static void add_accounts(struct reg_pass *p, struct pd_service *s, const struct pd_object *o)
{
	struct pd_arena *a = &p->r->tmp;
	size_t n_full, n_short;
	const char **full = split(a, pd_object_annotation(o, "alpha.istio.io/canonical-serviceaccounts"), &n_full);
	const char **names = split(a, pd_object_annotation(o, "alpha.istio.io/kubernetes-serviceaccounts"), &n_short);
	const char **all;

	if (!n_full && !n_short)
		return;
	all = PD_NEWN(a, const char *, n_full + n_short);
	for (size_t i = 0; i < n_full; i++)
		all[i] = full[i];
	for (size_t i = 0; i < n_short; i++)
		all[n_full + i] = pd_arena_printf(a, "spiffe://%s/ns/%s/sa/%s", p->r->trust_domain, s->ns, names[i]);
	s->n_sans = n_full + n_short;
	s->sans = all;
}

static enum pd_resolution resolution_of(const K8s__ServiceSpec *spec, bool alias)
{
	if (pd_streq(spec->clusterip, "None"))
		return PD_RES_PASSTHROUGH;
	return alias ? PD_RES_ALIAS : PD_RES_EDS;
}

struct pd_service pd_reg_service_of_kube(struct reg_pass *p, const struct pd_object *o, const char *host)
{
	struct pd_arena *a = &p->r->tmp;
	const K8s__ServiceSpec *spec = spec_of(a, o);
	const char *alias = alias_of(spec);
	struct reg_labels labels = {0}, selector = {0};
	size_t n_export;
	const char **export = split(a, pd_object_annotation(o, "networking.istio.io/exportTo"), &n_export);
	struct pd_service s = {
		.host = host,
		.name = o->key.name,
		.ns = o->key.ns,
		.cluster = o->key.cluster,
		.created_ns = o->created_ns,
		.kubernetes = true,
		.mesh_external = alias != NULL,
		.resolution = resolution_of(spec, alias),
		.alias_of = alias,
		.node_local = pd_streq(spec->internaltrafficpolicy, "Local"),
		.publish_not_ready = spec->publishnotreadyaddresses,
		.traffic_distribution = pd_reg_traffic_distribution(p, o, spec->trafficdistribution),
		.source = o,
	};

	pd_reg_labels_add_kept(a, &labels, pd_object_labels(o));
	pd_reg_labels_add(a, &selector, PD_LABEL_ENTRIES(spec->selector), spec->n_selector);
	s.labels = reg_labels_view(&labels);
	s.selector = reg_labels_view(&selector);
	s.drains = pd_reg_drains(&s.labels);
	add_vips(&s, spec);
	add_ports(a, &s, spec);
	s.export_to = pd_reg_export(p, s.ns, export, n_export);
	s.aliases = pd_reg_aliases_of(p, host, &s.n_aliases);
	add_accounts(p, &s, o);
	return s;
}
