// Service records, whatever they are made of, and the list of those with one host name.
#include "discovery/registry/internal.h"

// ---- lookups for readers ------------------------------------------------------------------------------------------------

const struct pd_port *pd_service_port(const struct pd_service *s, uint32_t port)
{
	for (size_t i = 0; i < s->n_ports; i++)
		if (s->ports[i].port == port)
			return &s->ports[i];
	return NULL;
}

int pd_service_cmp_age(const void *x, const void *y)
{
	const struct pd_service *a = *(const struct pd_service *const *)x, *b = *(const struct pd_service *const *)y;
	int c = (a->created_ns > b->created_ns) - (a->created_ns < b->created_ns);

	return c ? c : strcmp(a->host, b->host);
}

bool pd_export_visible(const struct pd_export *e, const char *ns)
{
	if (e->all || e->none)
		return e->all;
	for (size_t i = 0; i < e->n; i++)
		if (pd_streq(e->ns[i], ns))
			return true;
	return false;
}

// ---- one record -----------------------------------------------------------------------------------------------------------

static void service_release(struct pd_obj *o)
{
	struct pd_service *s = (struct pd_service *)o;

	pd_unintern(s->host);
	pd_unintern(s->name);
	pd_unintern(s->ns);
	pd_unintern(s->cluster);
	pd_unintern(s->alias_of);
	for (size_t i = 0; i < s->n_ports; i++) {
		pd_unintern(s->ports[i].name);
		pd_unintern(s->ports[i].target_name);
	}
	pd_reg_labels_drop(&s->selector);
	pd_reg_labels_drop(&s->labels);
	pd_reg_strings_drop(s->export_to.ns, s->export_to.n);
	pd_reg_strings_drop(s->vips, s->n_vips);
	pd_reg_strings_drop(s->auto_vips, s->n_auto_vips);
	pd_reg_strings_drop(s->aliases, s->n_aliases);
	pd_reg_strings_drop(s->sans, s->n_sans);
	pd_obj_unref((void *)s->source);
	free(s);
}

static uint64_t ports_hash(uint64_t h, const struct pd_service *s)
{
	h = pd_hash_mix(h, s->n_ports);
	for (size_t i = 0; i < s->n_ports; i++) {
		const struct pd_port *p = &s->ports[i];

		h = pd_hash_mix(h, (uint64_t)p->port << 32 | p->target_port);
		h = pd_hash_mix(reg_hash_str(reg_hash_str(h, p->name), p->target_name), p->protocol);
	}
	return h;
}

static uint64_t service_hash(const struct pd_service *s)
{
	uint64_t h = reg_hash_str(0, s->host);
	unsigned flags = (unsigned)s->kubernetes | s->mesh_external << 1 | s->node_local << 2 |
			 s->publish_not_ready << 3 | s->drains << 4 | s->export_to.all << 5 | s->export_to.none << 6 |
			 s->resolution << 8;

	h = reg_hash_str(reg_hash_str(reg_hash_str(h, s->name), s->ns), s->cluster);
	h = pd_hash_mix(pd_hash_mix(h, (uint64_t)s->created_ns), flags);
	h = pd_reg_strings_hash(h, s->vips, s->n_vips);
	h = pd_reg_strings_hash(h, s->auto_vips, s->n_auto_vips);
	h = pd_reg_labels_hash(pd_reg_labels_hash(ports_hash(h, s), &s->selector), &s->labels);
	h = pd_reg_strings_hash(h, s->export_to.ns, s->export_to.n);
	h = pd_reg_strings_hash(h, s->aliases, s->n_aliases);
	h = pd_reg_strings_hash(h, s->sans, s->n_sans);
	return reg_hash_str(reg_hash_str(h, s->alias_of), s->traffic_distribution);
}

static const struct pd_port *keep_ports(struct reg_block *b, const struct pd_port *v, size_t n)
{
	struct pd_port *kept = reg_block_take(b, n * sizeof(*kept));

	for (size_t i = 0; i < n; i++) {
		kept[i] = v[i];
		kept[i].name = pd_intern(v[i].name);
		kept[i].target_name = pd_intern(v[i].target_name);
	}
	return kept;
}

// The record of a draft.
static struct pd_service *finish(const struct pd_service *d)
{
	size_t strings = d->n_vips + d->n_auto_vips + d->export_to.n + d->n_aliases + d->n_sans;
	struct reg_block b;
	struct pd_service *s = reg_block_new(&b, sizeof(*s) + d->n_ports * sizeof(struct pd_port) +
							 (d->labels.n + d->selector.n) * sizeof(struct pd_label) +
							 strings * sizeof(char *));

	reg_block_take(&b, sizeof(*s));
	*s = *d;
	pd_obj_init(&s->obj, service_release);
	s->host = pd_intern(d->host);
	s->name = pd_intern(d->name);
	s->ns = pd_intern(d->ns);
	s->cluster = pd_intern(d->cluster);
	s->alias_of = pd_intern(d->alias_of);
	s->ports = keep_ports(&b, d->ports, d->n_ports);
	s->labels = pd_reg_labels_keep(&b, &d->labels);
	s->selector = pd_reg_labels_keep(&b, &d->selector);
	s->export_to.ns = pd_reg_strings_keep(&b, d->export_to.ns, d->export_to.n);
	s->vips = pd_reg_strings_keep(&b, d->vips, d->n_vips);
	s->auto_vips = pd_reg_strings_keep(&b, d->auto_vips, d->n_auto_vips);
	s->aliases = pd_reg_strings_keep(&b, d->aliases, d->n_aliases);
	s->sans = pd_reg_strings_keep(&b, d->sans, d->n_sans);
	s->source = pd_obj_ref((void *)d->source);
	s->hash = service_hash(s);
	return s;
}

// ---- parts that both kinds have ---------------------------------------------------------------------------------------------

struct pd_export pd_reg_export(struct reg_pass *p, const char *own_ns, const char *const *v, size_t n)
{
	struct pd_export e = {0};
	const char **ns;

	if (!n) {
		v = p->r->default_export;
		n = p->r->n_default_export;
	}
	for (size_t i = 0; i < n; i++) {
		e.all |= pd_streq(v[i], "*");
		e.none |= pd_streq(v[i], "~");
	}
	e.none &= !e.all;
	if (e.all || e.none || !n)
		return e;
	e.ns = ns = PD_NEWN(&p->r->tmp, const char *, n);
	for (size_t i = 0; i < n; i++)
		ns[e.n++] = pd_streq(v[i], ".") ? own_ns : v[i];
	return e;
}

static const char *distribution(const char *text)
{
	if (!strcasecmp(text, "PreferClose") || !strcasecmp(text, "PreferSameZone"))
		return "PreferSameZone";
	return !strcasecmp(text, "PreferSameNode") ? "PreferSameNode" : NULL;
}

const char *pd_reg_traffic_distribution(struct reg_pass *p, const struct pd_object *o, const char *spec)
{
	static const char key[] = "networking.istio.io/traffic-distribution";
	const struct pd_object *ns = pd_config_get(p->snap, PD_KIND_NAMESPACE, o->key.cluster, "", o->key.ns);
	const char *text = pd_or(pd_object_annotation(o, key), ns ? pd_object_annotation(ns, key) : NULL);
	const char *from_spec = spec ? distribution(spec) : NULL;

	if (from_spec)
		return from_spec;
	return pd_empty(text) ? NULL : distribution(text);
}

bool pd_reg_drains(const struct pd_labels *l)
{
	return !pd_empty(pd_labels_get(l, "istio.io/persistent-session")) ||
	       !pd_empty(pd_labels_get(l, "istio.io/persistent-session-header"));
}

// ---- lists ------------------------------------------------------------------------------------------------------------------

void pd_reg_service_list_release(struct pd_obj *o)
{
	struct pd_service_list *l = (struct pd_service_list *)o;

	for (size_t i = 0; i < l->n; i++)
		pd_obj_unref(l->v[i]);
	free(l);
}

// Clusters that have the same service: our own comes first.
static int cmp_cluster(const struct pd_service *a, const struct pd_service *b, const char *own)
{
	int c = pd_streq(b->cluster, own) - pd_streq(a->cluster, own);

	return c ? c : strcmp(a->cluster, b->cluster);
}

static int cmp_service(const void *x, const void *y, void *own_cluster)
{
	const struct pd_service *a = *(struct pd_service *const *)x, *b = *(struct pd_service *const *)y;
	int c = (a->created_ns > b->created_ns) - (a->created_ns < b->created_ns);

	c = c ? c : strcmp(a->name, b->name);
	c = c ? c : strcmp(a->ns, b->ns);
	c = c ? c : cmp_cluster(a, b, own_cluster);
	c = c ? c : strcmp(a->host, b->host);
	return c ? c : strcmp(a->source->key.name, b->source->key.name);
}

// Takes the references.
static struct pd_service_list *list_new(const struct pd_registry *r, struct pd_service **v, size_t n)
{
	struct pd_service_list *l = pd_xmalloc(sizeof(*l) + n * sizeof(l->v[0]));

	pd_obj_init(&l->obj, pd_reg_service_list_release);
	l->n = n;
	memcpy(l->v, v, n * sizeof(l->v[0]));
	qsort_r(l->v, n, sizeof(l->v[0]), cmp_service, (void *)r->own_cluster);
	return l;
}

static bool same_records(const struct pd_service_list *a, const struct pd_service_list *b)
{
	return a->n == b->n && !memcmp(a->v, b->v, a->n * sizeof(a->v[0]));
}

static bool equal_lists(const struct pd_service_list *a, const struct pd_service_list *b)
{
	if (!a || !b || a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (a->v[i]->hash != b->v[i]->hash)
			return false;
	return true;
}

// Files `list` (a reference, or NULL) in place of `old`; says so if a reader could tell the difference.
static void file_list(struct reg_pass *p, enum pd_derived_index index, const char *key, struct pd_service_list *list)
{
	struct pd_service_list *old = pd_reg_get(p->r, index, key);

	if (old == list)
		return;
	if (old && list && same_records(old, list))
		pd_obj_unref(list);
	else
		pd_reg_put(p, index, key, list, !equal_lists(old, list));
}

// ---- PD_IX_SERVICE ------------------------------------------------------------------------------------------------------------

struct services {
	struct pd_service **v;
	size_t n, cap;
};

static bool equal_labels(const struct pd_labels *a, const struct pd_labels *b)
{
	return a->n == b->n && pd_labels_match(a, b);
}

static bool equal_exports(const struct pd_export *a, const struct pd_export *b)
{
	if (a->all != b->all || a->none != b->none || a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (!pd_export_visible(b, a->ns[i]))
			return false;
	return true;
}

// ServiceEntries of one namespace may share a host and bring its ports in pieces: the oldest gets those of the others, unless
// they disagree on what kind of service it is.
static void absorb_ports(struct pd_arena *a, struct pd_service *s, const struct pd_service *younger)
{
	struct pd_port *v;

	if (s->ns != younger->ns || s->resolution != younger->resolution ||
	    !equal_labels(&s->labels, &younger->labels) || !equal_labels(&s->selector, &younger->selector) ||
	    !equal_exports(&s->export_to, &younger->export_to))
		return;
	v = PD_NEWN(a, struct pd_port, s->n_ports + younger->n_ports);
	for (size_t i = 0; i < s->n_ports; i++)
		v[i] = s->ports[i];
	s->ports = v;
	for (size_t i = 0; i < younger->n_ports; i++)
		if (!pd_service_port(s, younger->ports[i].port))
			v[s->n_ports++] = younger->ports[i];
}

struct drafts {
	struct pd_service *v;
	size_t n, cap;
};

static void collect(struct reg_pass *p, const char *host, struct drafts *out)
{
	const struct pd_posting *entries = pd_config_posting(p->snap, PD_IX_SE_BY_HOST, host);
	struct pd_arena *a = &p->r->tmp;
	const char *name, *ns;
	size_t first_entry;

	if (pd_reg_kube_name(p->r, a, host, &name, &ns)) {
		for (size_t i = 0; i < p->r->clusters.n; i++) {
			const struct pd_object *o =
				pd_config_get(p->snap, PD_KIND_SERVICE, p->r->clusters.v[i].name, ns, name);

			if (!o)
				continue;
			pd_vec_push_a(a, out, pd_reg_service_of_kube(p, o, host));
			// One service in several clusters is as old as it is in the first.
			out->v[out->n - 1].created_ns = out->v[0].created_ns;
		}
	}
	first_entry = out->n;
	for (size_t i = 0; i < entries->n; i++)
		pd_vec_push_a(a, out, pd_reg_service_of_entry(p, entries->v[i], host));
	for (size_t i = first_entry; i < out->n; i++)
		for (size_t k = i + 1; k < out->n; k++)
			absorb_ports(a, &out->v[i], &out->v[k]);
}

// The record of a draft: an old one that says the same about the same object, so that readers' pointers stay equal, or else a
// new one.
static struct pd_service *record_of(const struct pd_service_list *old, const struct pd_service *draft)
{
	struct pd_service *s = finish(draft);

	for (size_t i = 0; old && i < old->n; i++) {
		if (old->v[i]->hash != s->hash || old->v[i]->source != s->source)
			continue;
		pd_obj_unref(s);
		return pd_obj_ref(old->v[i]);
	}
	return s;
}

static void mark_targets(struct reg_pass *p, const struct pd_service_list *l)
{
	for (size_t i = 0; l && i < l->n; i++)
		if (l->v[i]->selector.n)
			pd_reg_mark(p, &p->targets, pd_reg_first_pair(p->a, l->v[i]->ns, &l->v[i]->selector));
}

void pd_reg_update_services(struct reg_pass *p, const char *host)
{
	struct pd_service_list *old = pd_obj_ref(pd_reg_get(p->r, PD_IX_SERVICE, host)), *list = NULL;
	struct services now = {0};
	struct drafts drafts = {0};

	pd_arena_reset(&p->r->tmp);
	collect(p, host, &drafts);
	for (size_t i = 0; i < drafts.n; i++)
		pd_vec_push_a(&p->r->tmp, &now, record_of(old, &drafts.v[i]));
	if (now.n)
		list = list_new(p->r, now.v, now.n);
	if (!old || !list || !same_records(old, list)) {
		mark_targets(p, old);
		mark_targets(p, list);
	}
	file_list(p, PD_IX_SERVICE, host, list);
	pd_obj_unref(old);
}

// ---- PD_IX_TARGETS --------------------------------------------------------------------------------------------------------------

static void add_targets(struct reg_pass *p, const struct pd_object *o, const char *host, struct services *out)
{
	struct pd_service_list *l = pd_reg_get(p->r, PD_IX_SERVICE, host);

	for (size_t i = 0; l && i < l->n; i++)
		if (l->v[i]->source == o && l->v[i]->resolution != PD_RES_ALIAS)
			pd_vec_push_a(&p->r->tmp, out, pd_obj_ref(l->v[i]));
}

static bool listed(char *const *v, size_t n, const char *s)
{
	for (size_t i = 0; i < n; i++)
		if (pd_streq(v[i], s))
			return true;
	return false;
}

void pd_reg_update_targets(struct reg_pass *p, const char *key)
{
	const struct pd_posting *services = pd_config_posting(p->snap, PD_IX_SERVICE_BY_SELECTOR, key);
	const struct pd_posting *entries = pd_config_posting(p->snap, PD_IX_SE_BY_SELECTOR, key);
	struct services now = {0};

	pd_arena_reset(&p->r->tmp);
	for (size_t i = 0; i < services->n; i++)
		add_targets(p, services->v[i], pd_reg_kube_host(p, services->v[i]->key.name, services->v[i]->key.ns),
			    &now);
	for (size_t i = 0; i < entries->n; i++) {
		const Istio__ServiceEntry *se = (const Istio__ServiceEntry *)entries->v[i]->spec;

		for (size_t k = 0; k < se->n_hosts; k++)
			if (!listed(se->hosts, k, se->hosts[k]))
				add_targets(p, entries->v[i], se->hosts[k], &now);
	}
	file_list(p, PD_IX_TARGETS, key, now.n ? list_new(p->r, now.v, now.n) : NULL);
}
