// What is known of the process behind an address.
#include "discovery/registry/internal.h"

#include "istio/meta/status.pb-c.h"

// A record under construction: borrowed strings, NULL counts as "".
struct draft {
	struct pd_workload w;
	struct reg_labels labels;
	const char *const *ips;
	size_t n_ips;
};

// All strings of a workload, to be treated alike.
#define STRINGS(w)                                                                                                     \
	{                                                                                                              \
		&(w)->name, &(w)->ns, &(w)->cluster, &(w)->workload_name, &(w)->service_account, &(w)->spiffe,         \
			&(w)->node, &(w)->network, &(w)->locality, &(w)->canonical_name, &(w)->canonical_revision,     \
			&(w)->hostname, &(w)->subdomain                                                                \
	}
#define N_STRINGS 13

void pd_reg_workload_release(struct pd_obj *o)
{
	struct pd_workload *w = (struct pd_workload *)o;
	const char **strings[N_STRINGS] = STRINGS(w);

	for (size_t i = 0; i < N_STRINGS; i++)
		pd_unintern(*strings[i]);
	pd_reg_labels_drop(&w->labels);
	pd_reg_strings_drop(w->ips, w->n_ips);
	free(w);
}

static const char *first_label(const struct reg_labels *l, const char *const *keys, const char *otherwise)
{
	for (; *keys; keys++) {
		const char *v = pd_reg_labels_get(l, *keys);

		if (v)
			return v;
	}
	return otherwise;
}

static void add_canonical(struct draft *d)
{
	static const char *const name_keys[] = {"service.istio.io/canonical-name", "app.kubernetes.io/name", "app",
						NULL};
	static const char *const revision_keys[] = {"service.istio.io/canonical-revision", "app.kubernetes.io/version",
						    "version", NULL};

	d->w.canonical_name = first_label(&d->labels, name_keys, d->w.workload_name);
	d->w.canonical_revision = first_label(&d->labels, revision_keys, "latest");
}

// The labels that say where it runs: "region/zone/subzone", cluster, node, and the network if it has no label for that.
static void add_topology(struct pd_arena *a, struct draft *d, const char *network)
{
	static const char *const keys[] = {"topology.kubernetes.io/region", "topology.kubernetes.io/zone",
					   "topology.istio.io/subzone"};
	const char *part = pd_or(d->w.locality, "");
	const char *own = pd_reg_labels_get(&d->labels, "topology.istio.io/network");

	for (size_t i = 0; i < 3; i++) {
		size_t n = strcspn(part, "/");

		if (n)
			pd_reg_labels_set(a, &d->labels, keys[i], pd_arena_strndup(a, part, n));
		part += n + (part[n] == '/');
	}
	pd_reg_labels_set(a, &d->labels, "topology.istio.io/cluster", d->w.cluster);
	if (!pd_empty(d->w.node))
		pd_reg_labels_set(a, &d->labels, "kubernetes.io/hostname", d->w.node);
	if (!pd_empty(network) && pd_empty(own))
		pd_reg_labels_set(a, &d->labels, "topology.istio.io/network", network);
}

static uint64_t workload_hash(struct pd_workload *w)
{
	const char **strings[N_STRINGS] = STRINGS(w);
	uint64_t h = pd_hash_mix(w->tls_istio, w->has_pod);

	for (size_t i = 0; i < N_STRINGS; i++)
		h = pd_hash_mix(h, pd_intern_hash(*strings[i]));
	return pd_reg_strings_hash(pd_reg_labels_hash(h, &w->labels), w->ips, w->n_ips);
}

static struct pd_workload *finish(const struct draft *d)
{
	struct pd_labels labels = reg_labels_view(&d->labels);
	struct reg_block b;
	struct pd_workload *w =
		reg_block_new(&b, sizeof(*w) + labels.n * sizeof(labels.v[0]) + d->n_ips * sizeof(d->ips[0]));
	const char **strings[N_STRINGS] = STRINGS(w);

	reg_block_take(&b, sizeof(*w));
	*w = d->w;
	pd_obj_init(&w->obj, pd_reg_workload_release);
	for (size_t i = 0; i < N_STRINGS; i++)
		*strings[i] = pd_intern(pd_or(*strings[i], ""));
	w->labels = pd_reg_labels_keep(&b, &labels);
	w->ips = pd_reg_strings_keep(&b, d->ips, d->n_ips);
	w->n_ips = d->n_ips;
	w->hash = workload_hash(w);
	return w;
}

// Labels cannot hold a slash: a dot stands for it, unless there is a slash after all.
static const char *label_locality(struct pd_arena *a, const struct reg_labels *l)
{
	static const char *const keys[] = {"topology.istio.io/locality", "istio-locality", NULL};
	const char *v = first_label(l, keys, "");
	char *copy;

	if (strchr(v, '/'))
		return v;
	copy = pd_arena_strdup(a, v);
	for (char *c = copy; *c; c++)
		if (*c == '.')
			*c = '/';
	return copy;
}

static const char *spiffe(struct reg_pass *p, const char *ns, const char *account)
{
	if (pd_empty(ns) || pd_empty(account))
		return "";
	return pd_arena_printf(&p->r->tmp, "spiffe://%s/ns/%s/sa/%s", p->r->trust_domain, ns, account);
}

// ---- Pods -----------------------------------------------------------------------------------------------------------------

static const struct pd_object *node_of(struct reg_pass *p, const struct pd_object *pod, const char *node)
{
	return pd_empty(node) ? NULL : pd_config_get(p->snap, PD_KIND_NODE, pod->key.cluster, "", node);
}

static const char *either_label(const struct pd_object *o, const char *key, const char *older)
{
	const char *v = pd_object_label(o, key);

	return pd_empty(v) ? pd_or(pd_object_label(o, older), "") : v;
}

const char *pd_reg_node_locality(struct pd_arena *a, const struct pd_object *node)
{
	const char *region, *zone, *subzone;

	if (!node)
		return "";
	region = either_label(node, "topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region");
	zone = either_label(node, "topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone");
	subzone = pd_or(pd_object_label(node, "topology.istio.io/subzone"), "");
	if (!*region && !*zone && !*subzone)
		return "";
	return pd_arena_printf(a, "%s/%s/%s", region, zone, subzone);
}

static const K8s__OwnerReference *controller(const K8s__ObjectMeta *m)
{
	for (size_t i = 0; m && i < m->n_ownerreferences; i++)
		if (m->ownerreferences[i]->has_controller && m->ownerreferences[i]->controller)
			return m->ownerreferences[i];
	return NULL;
}

// A controller names its Pods after itself (generateName); a mirror Pod is owned by its Node, which does not. Long names are
// cut to leave room for the random end.
#define GENERATED_PREFIX_MAX 58
static bool named_after(const char *pod, const char *owner)
{
	size_t n = strlen(owner);

	if (n >= GENERATED_PREFIX_MAX)
		return strncmp(pod, owner, GENERATED_PREFIX_MAX) == 0;
	return strncmp(pod, owner, n) == 0 && pod[n] == '-';
}

// `name` without "-TAIL", or NULL if it does not end in `tail`.
static const char *without_tail(struct pd_arena *a, const char *name, const char *tail)
{
	size_t n = strlen(name), t = tail ? strlen(tail) : 0;

	if (!t || !pd_has_suffix(name, tail))
		return NULL;
	return n > t && name[n - t - 1] == '-' ? pd_arena_strndup(a, name, n - t - 1) : name;
}

// A CronJob's Jobs end in a time stamp of 8 to 10 digits.
static const char *cron_job(struct pd_arena *a, const char *job)
{
	const char *dash = strrchr(job, '-');
	size_t digits = dash ? strspn(dash + 1, "0123456789") : 0;

	if (!dash || dash == job || dash[1 + digits] || digits < 8 || digits > 10)
		return job;
	return pd_arena_strndup(a, job, (size_t)(dash - job));
}

static const char *workload_name(struct pd_arena *a, const struct pd_object *pod, const K8s__ObjectMeta *meta)
{
	const K8s__OwnerReference *owner = controller(meta);
	const char *name = pd_object_label(pod, "service.istio.io/workload-name"), *cut;

	if (name)
		return name;
	name = pod->key.name;
	if (!owner || pd_empty(owner->name) || !named_after(name, owner->name))
		return name;
	name = owner->name;
	if (pd_streq(owner->kind, "ReplicaSet")) {
		cut = without_tail(a, name, pd_object_label(pod, "pod-template-hash"));
		if (!cut)
			cut = without_tail(a, name, pd_object_label(pod, "rollouts-pod-template-hash"));
		return cut ? cut : name;
	}
	if (pd_streq(owner->kind, "ReplicationController"))
		return pd_or(pd_object_label(pod, "deploymentconfig"), name);
	return pd_streq(owner->kind, "Job") ? cron_job(a, name) : name;
}

static void add_ips(struct pd_arena *a, struct draft *d, const K8s__PodStatus *s)
{
	const char **v;

	if (!s)
		return;
	d->ips = v = PD_NEWN(a, const char *, s->n_podips + 1);
	if (!pd_empty(s->podip))
		v[d->n_ips++] = s->podip;
	for (size_t i = 0; i < s->n_podips; i++)
		if (!pd_empty(s->podips[i]->ip) && !pd_streq(s->podips[i]->ip, s->podip))
			v[d->n_ips++] = s->podips[i]->ip;
}

static const char *primary_ip(const K8s__Pod *p)
{
	if (!p->status)
		return "";
	if (!pd_empty(p->status->podip) || !p->status->n_podips)
		return pd_or(p->status->podip, "");
	return pd_or(p->status->podips[0]->ip, "");
}

static struct pd_workload *build_pod(struct reg_pass *p, const struct pd_object *o)
{
	static const K8s__PodSpec no_spec = K8S__POD_SPEC__INIT;
	struct pd_arena *a = &p->r->tmp;
	const K8s__Pod *pod = (const K8s__Pod *)pd_object_open(o, a);
	const K8s__PodSpec *spec = pod->spec ? pod->spec : &no_spec;
	const struct reg_cluster *cluster = pd_reg_cluster(p->r, o->key.cluster);
	struct draft d = {.w = {
				  .name = o->key.name,
				  .ns = o->key.ns,
				  .cluster = o->key.cluster,
				  .workload_name = workload_name(a, o, pod->metadata),
				  .service_account = spec->serviceaccountname,
				  .spiffe = spiffe(p, o->key.ns, spec->serviceaccountname),
				  .node = spec->nodename,
				  .has_pod = true,
			  }};

	pd_reg_labels_add_kept(a, &d.labels, pd_object_labels(o));
	d.w.tls_istio = pd_streq(pd_reg_labels_get(&d.labels, "security.istio.io/tlsMode"), "istio");
	d.w.locality = label_locality(a, &d.labels);
	if (!*d.w.locality)
		d.w.locality = pd_reg_node_locality(a, node_of(p, o, spec->nodename));
	if (!pd_empty(spec->subdomain)) {
		d.w.subdomain = spec->subdomain;
		d.w.hostname = pd_or(spec->hostname, o->key.name);
	}
	add_ips(a, &d, pod->status);
	add_canonical(&d);
	add_topology(a, &d, pd_reg_network(p->r, cluster, primary_ip(pod)));
	d.w.network = pd_or(pd_reg_labels_get(&d.labels, "topology.istio.io/network"), "");
	return finish(&d);
}

static bool finished(const K8s__Pod *p)
{
	return p->status && (pd_streq(p->status->phase, "Succeeded") || pd_streq(p->status->phase, "Failed"));
}

static bool leaving(const K8s__Pod *p)
{
	return p->metadata && p->metadata->deletiontimestamp;
}

bool pd_reg_pod_serves(const K8s__Pod *p)
{
	if (!p->status || finished(p) || leaving(p) || (pd_empty(p->status->podip) && !p->status->n_podips))
		return false;
	for (size_t i = 0; i < p->status->n_conditions; i++)
		if (pd_streq(p->status->conditions[i]->type, "Ready"))
			return pd_streq(p->status->conditions[i]->status, "True");
	return false;
}

// The record filed under `ip`, if it is that of `o`; one more reference.
static struct pd_workload *filed(struct reg_pass *p, const char *ip, const struct pd_object *o, bool pod)
{
	struct pd_workload *w = *ip ? pd_reg_get(p->r, PD_IX_WORKLOAD, ip) : NULL;

	if (!w || w->has_pod != pod || w->name != o->key.name || w->ns != o->key.ns || w->cluster != o->key.cluster)
		return NULL;
	return pd_obj_ref(w);
}

struct pd_workload *pd_reg_workload_of_pod(struct reg_pass *p, const struct pd_object *o)
{
	struct pd_workload *w = filed(p, primary_ip((const K8s__Pod *)pd_object_open(o, &p->r->tmp)), o, true);

	return w ? w : build_pod(p, o);
}

// ---- WorkloadEntries and what ServiceEntries list ---------------------------------------------------------------------------

static struct pd_workload *build_entry(struct reg_pass *p, const struct pd_object *o, const Istio__WorkloadEntry *e,
				       const char *name, const char *workload, struct pd_labels more)
{
	struct pd_arena *a = &p->r->tmp;
	const struct reg_cluster *cluster = pd_reg_cluster(p->r, o->key.cluster);
	struct draft d = {.w = {
				  .name = name,
				  .ns = o->key.ns,
				  .cluster = o->key.cluster,
				  .workload_name = workload,
				  .service_account = e->service_account,
				  .spiffe = spiffe(p, o->key.ns, e->service_account),
				  .network = e->network,
			  }};
	const char *tls;

	pd_reg_labels_add(a, &d.labels, PD_LABEL_ENTRIES(e->labels), e->n_labels);
	pd_reg_labels_add_kept(a, &d.labels, more);
	tls = pd_reg_labels_get(&d.labels, "security.istio.io/tlsMode");
	d.w.tls_istio = tls ? pd_streq(tls, "istio") : !pd_empty(e->service_account);
	d.w.locality = pd_empty(e->locality) ? label_locality(a, &d.labels) : e->locality;
	add_canonical(&d);
	add_topology(a, &d, pd_empty(e->network) ? cluster->network : e->network);
	return finish(&d);
}

static const char *entry_workload_name(const struct pd_object *o)
{
	const char *name = pd_object_annotation(o, "istio.io/autoRegistrationGroup");

	if (!name)
		name = pd_object_label(o, "service.istio.io/workload-name");
	return name ? name : o->key.name;
}

struct pd_workload *pd_reg_workload_of_entry(struct reg_pass *p, const struct pd_object *o)
{
	const Istio__WorkloadEntry *e = (const Istio__WorkloadEntry *)o->spec;
	struct pd_workload *w = filed(p, e->address, o, false);

	if (w)
		return w;
	return build_entry(p, o, e, o->key.name, entry_workload_name(o), pd_object_labels(o));
}

struct pd_workload *pd_reg_workload_of_inline(struct reg_pass *p, const struct pd_object *o, size_t i)
{
	const Istio__ServiceEntry *se = (const Istio__ServiceEntry *)o->spec;
	const char *name = pd_arena_printf(&p->r->tmp, "%s-%zu", o->key.name, i);

	return build_entry(p, o, se->endpoints[i], name, name, (struct pd_labels){0});
}

struct pd_workload *pd_reg_workload_of_host(struct reg_pass *p, const struct pd_object *o)
{
	struct draft d = {.w = {.ns = o->key.ns, .cluster = o->key.cluster, .workload_name = o->key.name}};

	(void)p;
	add_canonical(&d);
	return finish(&d);
}

static struct pd_workload *build_bare(struct reg_pass *p, const char *cluster, const char *network)
{
	struct draft d = {.w = {.cluster = cluster, .network = network}};

	add_canonical(&d);
	add_topology(&p->r->tmp, &d, network);
	return finish(&d);
}

// One record for all addresses of a cluster, unless it is their ranges that tell their networks.
struct pd_workload *pd_reg_workload_bare(struct reg_pass *p, const char *name, const char *address)
{
	struct reg_cluster *c = (struct reg_cluster *)pd_reg_cluster(p->r, name);
	const char *network = pd_reg_network(p->r, c, address);

	if (!pd_streq(network, c->network))
		return build_bare(p, name, network);
	if (!c->bare)
		c->bare = build_bare(p, name, network);
	return pd_obj_ref(c->bare);
}

static bool parse_bool(const char *s)
{
	static const char *const yes[] = {"1", "t", "T", "true", "TRUE", "True"};

	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
		if (pd_streq(s, yes[i]))
			return true;
	return false;
}

bool pd_reg_entry_healthy(const struct pd_object *o)
{
	const Istio__IstioStatus *s = (const Istio__IstioStatus *)o->status;

	if (!parse_bool(pd_object_annotation(o, "proxy.istio.io/health-checks-enabled")))
		return true;
	for (size_t i = 0; s && i < s->n_conditions; i++)
		if (pd_streq(s->conditions[i]->type, "Healthy"))
			return pd_streq(s->conditions[i]->status, "True");
	return false;
}

// ---- by address -------------------------------------------------------------------------------------------------------------

// Of several Pods with one address: not one that finished; rather not one that is being deleted; then the youngest, since
// addresses are used again.
static const struct pd_object *pod_at(struct reg_pass *p, const char *ip)
{
	const struct pd_posting *posting = pd_config_posting(p->snap, PD_IX_POD_BY_IP, ip);
	const struct pd_object *best = NULL;
	bool best_leaves = false;

	for (size_t i = 0; i < posting->n; i++) {
		const K8s__Pod *pod = (const K8s__Pod *)pd_object_open(posting->v[i], &p->r->tmp);

		if (finished(pod) || (best && leaving(pod) && !best_leaves))
			continue;
		best = posting->v[i];
		best_leaves = leaving(pod);
	}
	return best;
}

void pd_reg_update_workload(struct reg_pass *p, const char *ip)
{
	struct pd_workload *old = pd_reg_get(p->r, PD_IX_WORKLOAD, ip), *now = NULL;
	const struct pd_object *pod;
	const struct pd_posting *entries;

	pd_arena_reset(&p->r->tmp);
	pod = pod_at(p, ip);
	if (pod) {
		now = build_pod(p, pod);
	} else {
		entries = pd_config_posting(p->snap, PD_IX_WE_BY_IP, ip);
		if (entries->n) {
			const struct pd_object *o = entries->v[0];

			now = build_entry(p, o, (const Istio__WorkloadEntry *)o->spec, o->key.name,
					  entry_workload_name(o), pd_object_labels(o));
		}
	}
	if (old && now && old->hash == now->hash)
		pd_obj_unref(now);
	else if (old || now)
		pd_reg_put(p, PD_IX_WORKLOAD, ip, now, true);
}
