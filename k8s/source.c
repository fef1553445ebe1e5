// See k8s/source.h. Everything but the functions of that header runs on the loop.
//
//	begin ─► ConfigMap ─► `mesh` ─► (selectors) ─► Namespaces ─► the other kinds ─► synced
//	      └► discovery ────────────────────────────┘
#include <stdlib.h>

#include "api/pb.h"
#include "base/log.h"
#include "k8s/source_impl.h"

// ---- handing over ---------------------------------------------------------------------------------------------------

static void hand_over(struct pd_k8s_source *s, bool more)
{
	if (!s->pending.n)
		return;
	s->cfg.sink->changes(s->cfg.sink, s->pending.v, s->pending.n, more);
	pthread_mutex_lock(&s->lock);
	s->stats.changes += s->pending.n;
	s->stats.batches++;
	pthread_mutex_unlock(&s->lock);
	for (size_t i = 0; i < s->pending.n; i++) {
		pd_unintern(s->pending.v[i].key.ns);
		pd_unintern(s->pending.v[i].key.name);
	}
	s->pending.n = 0;
}

// Takes the object's reference.
static void add_change(struct pd_k8s_follower *f, const char *ns, const char *name, struct pd_object *next)
{
	struct pd_key key = {f->kind, f->source->cluster, pd_intern(ns), pd_intern(name)};

	pd_vec_push(&f->source->pending, (struct pd_change){key, next});
	if (f->source->pending.n >= PD_K8S_BATCH)
		hand_over(f->source, true);
}

// What other threads may see of a kind.
static void publish(struct pd_k8s_follower *f)
{
	struct pd_k8s_source *s = f->source;
	struct pd_k8s_kind_status *st = &s->stats.v[f->kind];

	pthread_mutex_lock(&s->lock);
	st->kind = f->kind;
	st->version = f->version;
	st->reflector = (struct pd_k8s_reflector_status){0};
	st->known_bytes = 0;
	if (f->reflector) {
		st->reflector = *pd_k8s_reflector_status(f->reflector);
		st->known_bytes = pd_k8s_reflector_memory(f->reflector);
	}
	s->stats.namespaces = s->namespaces.n;
	s->stats.selected = s->namespaces.n_selected;
	s->stats.synced = s->synced;
	pthread_mutex_unlock(&s->lock);
}

// ---- namespaces -----------------------------------------------------------------------------------------------------

static bool is_filtered(const struct pd_k8s_follower *f)
{
	return f->reflector && pd_kind_info(f->kind)->namespaced;
}

static void prune_all(struct pd_k8s_source *s)
{
	for (int i = 0; i < PD_KIND_COUNT; i++)
		if (is_filtered(&s->followers[i]))
			pd_k8s_reflector_prune(s->followers[i].reflector);
}

static void resync_all(struct pd_k8s_source *s)
{
	for (int i = 0; i < PD_KIND_COUNT; i++)
		if (is_filtered(&s->followers[i]))
			pd_k8s_reflector_resync(s->followers[i].reflector);
}

static void fetch_all(struct pd_k8s_source *s, const char *const *names, size_t n)
{
	if (n > PD_K8S_FETCHES_MAX) {
		resync_all(s);
		return;
	}
	for (int i = 0; i < PD_KIND_COUNT; i++) {
		if (!is_filtered(&s->followers[i]))
			continue;
		for (size_t j = 0; j < n; j++)
			pd_k8s_reflector_fetch(s->followers[i].reflector, names[j]);
	}
}

static void on_ns_change(struct pd_k8s_source *s, enum pd_k8s_ns_change change, const char *name)
{
	if (change == PD_K8S_NS_IN)
		fetch_all(s, &name, 1);
	else if (change == PD_K8S_NS_OUT)
		prune_all(s);
}

struct selection {
	struct pd_k8s_source *source;
	struct pd_arena arena;
	Istio__LabelSelector **selectors;
	size_t n;
};

static void select_on_loop(void *user)
{
	struct selection *sel = user;
	struct pd_k8s_source *s = sel->source;
	struct pd_k8s_ns_names in = {0};
	bool had = s->namespaces.n_selectors > 0;

	if (!s->stopping) {
		if (pd_k8s_ns_select(&s->namespaces, sel->selectors, sel->n, &in))
			prune_all(s);
		if (had && !sel->n) // also of namespaces that are not known yet
			resync_all(s);
		else
			fetch_all(s, in.list.v, in.list.n);
		pd_vec_free(&in.list);
		publish(&s->followers[PD_KIND_NAMESPACE]);
	}
	pd_arena_free(&sel->arena);
	free(sel);
}

void pd_k8s_source_select(struct pd_k8s_source *s, Istio__LabelSelector *const *selectors, size_t n)
{
	struct selection *sel = pd_xcalloc(1, sizeof(*sel));

	sel->source = s;
	sel->n = n;
	sel->selectors = PD_NEWN(&sel->arena, Istio__LabelSelector *, n);
	for (size_t i = 0; i < n; i++)
		sel->selectors[i] = pb_copy(&sel->arena, selectors[i]);
	if (s->transport.post(s->transport.ctx, select_on_loop, sel) != PD_OK) {
		pd_arena_free(&sel->arena);
		free(sel);
	}
}

// ---- one kind -------------------------------------------------------------------------------------------------------

static struct pd_k8s_decode decode_of(const struct pd_k8s_follower *f)
{
	return (struct pd_k8s_decode){f->kind, f->source->cluster, f->source->cfg.issues};
}

static int on_put(void *user, const struct pd_k8s_item *item, struct pd_k8s_wire_error *why)
{
	struct pd_k8s_follower *f = user;
	struct pd_k8s_decode d = decode_of(f);
	struct pd_object *o;
	int rc = pd_k8s_item_decode(item, &d, &o, why);

	if (rc || !o)
		return rc;
	if (f->kind == PD_KIND_NAMESPACE)
		on_ns_change(f->source, pd_k8s_ns_put(&f->source->namespaces, o), o->key.name);
	add_change(f, o->key.ns, o->key.name, o);
	return PD_OK;
}

static void on_remove(void *user, const char *ns, const char *name)
{
	struct pd_k8s_follower *f = user;
	struct pd_k8s_decode d = decode_of(f);

	pd_k8s_item_forget(&d, ns, name);
	if (f->kind == PD_KIND_NAMESPACE)
		on_ns_change(f->source, pd_k8s_ns_remove(&f->source->namespaces, name), name);
	add_change(f, ns, name, NULL);
}

static bool on_wanted(void *user, const char *ns)
{
	struct pd_k8s_follower *f = user;

	return pd_k8s_ns_selected(&f->source->namespaces, ns);
}

static void on_flush(void *user, bool more)
{
	struct pd_k8s_follower *f = user;

	if (!more && f->source->synced) // before, nobody waits for less than everything
		hand_over(f->source, false);
	if (!more && f->reflector)
		publish(f);
}

static void on_change(void *user)
{
	struct pd_k8s_follower *f = user;

	if (!f->reflector) // it is being made
		return;
	publish(f);
	if (pd_k8s_reflector_status(f->reflector)->phase == PD_K8S_NOT_SERVED && f->source->kinds)
		pd_k8s_kinds_refresh(f->source->kinds);
	pd_k8s_source_advance(f->source);
}

static void follower_start(struct pd_k8s_follower *f)
{
	const struct pd_kind_info *info = pd_kind_info(f->kind);
	struct pd_k8s_reflector_config cfg = {.resource = info->plural,
					      .field_selector = pd_k8s_kind_selector(f->kind),
					      .transport = f->source->transport,
					      .handler = {f, on_put, on_remove, NULL, on_flush, on_change}};
	struct pd_buf base = {0};
	char *title =
		pd_xasprintf("%s: %s%s%s", f->source->cluster, info->plural, *info->group ? "." : "", info->group);

	if (info->namespaced)
		cfg.handler.wanted = on_wanted;
	if (info->builtin) {
		cfg.accept = PD_K8S_PROTOBUF "," PD_K8S_JSON;
		cfg.accept_watch = PD_K8S_PROTOBUF_WATCH "," PD_K8S_JSON;
	}
	pd_k8s_kind_base(f->kind, f->version, &base);
	cfg.base = base.p;
	cfg.title = title;
	f->reflector = pd_k8s_reflector_new(&cfg);
	publish(f);
	pd_buf_free(&base);
	free(title);
}

static void follower_move(struct pd_k8s_follower *f)
{
	struct pd_buf base = {0};

	pd_k8s_kind_base(f->kind, f->version, &base);
	pd_k8s_reflector_move(f->reflector, base.p);
	pd_buf_free(&base);
}

// ---- all kinds ------------------------------------------------------------------------------------------------------

// Whether nothing has to be waited for: delivered, forbidden, or not there.
static bool is_settled(const struct pd_k8s_follower *f)
{
	const struct pd_k8s_reflector_status *st;

	if (!f->asked || !f->version)
		return true;
	if (!f->reflector)
		return false;
	st = pd_k8s_reflector_status(f->reflector);
	return st->synced || st->phase == PD_K8S_FORBIDDEN || st->phase == PD_K8S_NOT_SERVED;
}

static void tell_synced(struct pd_k8s_source *s)
{
	unsigned kinds = 0;
	size_t objects = 0;

	for (int i = 0; i < PD_KIND_COUNT; i++) {
		if (!s->followers[i].reflector)
			continue;
		kinds++;
		objects += pd_k8s_reflector_status(s->followers[i].reflector)->objects;
	}
	s->synced = true;
	hand_over(s, false);
	publish(&s->followers[PD_KIND_NAMESPACE]);
	pd_info("k8s", "%s: %zu objects of %u kinds in %llu ms", s->cluster, objects, kinds,
		(unsigned long long)(s->transport.now_ms(s->transport.ctx) - s->started_ms));
	s->cfg.sink->synced(s->cfg.sink, s->name);
}

void pd_k8s_source_advance(struct pd_k8s_source *s)
{
	bool settled = true;

	if (s->stopping || !s->mesh_told || !s->kinds || !pd_k8s_kinds_known(s->kinds))
		return;
	if (s->followers[PD_KIND_NAMESPACE].version && !s->followers[PD_KIND_NAMESPACE].reflector)
		follower_start(&s->followers[PD_KIND_NAMESPACE]);
	if (!is_settled(&s->followers[PD_KIND_NAMESPACE]))
		return;
	for (int i = 0; i < PD_KIND_COUNT; i++) {
		struct pd_k8s_follower *f = &s->followers[i];

		if (f->asked && f->version && !f->reflector)
			follower_start(f);
		settled = settled && is_settled(f);
	}
	if (settled && !s->synced)
		tell_synced(s);
}

// What is served now is another set of kinds or versions.
static void on_kinds(void *user)
{
	struct pd_k8s_source *s = user;

	for (int i = 0; i < PD_KIND_COUNT; i++) {
		struct pd_k8s_follower *f = &s->followers[i];
		const char *before = f->version;

		f->version = pd_k8s_kinds_version(s->kinds, f->kind);
		if (!f->asked || before == f->version)
			continue;
		if (before || s->synced)
			pd_info("k8s", "%s: %s: %s", s->cluster, pd_object_kind_name(f->kind),
				f->version ? f->version : "not served any more");
		if (f->reflector && f->version)
			follower_move(f);
		else if (f->reflector)
			pd_k8s_reflector_free(&f->reflector, true);
		publish(f);
	}
	pd_k8s_source_advance(s);
}

// ---- life -----------------------------------------------------------------------------------------------------------

static void begin(void *user)
{
	struct pd_k8s_source *s = user;
	struct pd_k8s_kinds_config cfg = {s->cluster, s->transport, on_kinds, s};

	s->started_ms = s->transport.now_ms(s->transport.ctx);
	s->kinds = pd_k8s_kinds_new(&cfg);
	pd_k8s_source_mesh_begin(s);
	pd_k8s_source_advance(s);
}

// Namespaces go last: while they are there, what is removed is known to count.
static void end(struct pd_k8s_source *s, bool forget)
{
	s->stopping = true;
	pd_k8s_kinds_free(&s->kinds);
	pd_k8s_reflector_free(&s->mesh, false);
	for (int i = 0; i < PD_KIND_COUNT; i++)
		if (i != PD_KIND_NAMESPACE)
			pd_k8s_reflector_free(&s->followers[i].reflector, forget);
	pd_k8s_reflector_free(&s->followers[PD_KIND_NAMESPACE].reflector, forget);
	hand_over(s, false);
}

static void stop_on_loop(void *user)
{
	struct pd_k8s_source *s = user;

	end(s, s->forget);
	pthread_mutex_lock(&s->lock);
	s->stopped = true;
	pthread_cond_signal(&s->stopped_cond);
	pthread_mutex_unlock(&s->lock);
}

static void source_free(struct pd_k8s_source *s)
{
	pd_k8s_ns_free(&s->namespaces);
	pd_vec_free(&s->pending);
	pd_unintern(s->cluster);
	free(s->name);
	free(s->mesh_text);
	free(s->networks_text);
	free((char *)s->cfg.mesh_namespace);
	free((char *)s->cfg.mesh_name);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->stopped_cond);
	free(s);
}

static void choose_kinds(struct pd_k8s_source *s, const struct pd_k8s_source_config *cfg)
{
	for (int i = 0; i < PD_KIND_COUNT; i++) {
		s->followers[i].source = s;
		s->followers[i].kind = (enum pd_kind)i;
		s->followers[i].asked = pd_k8s_kind_is_default((enum pd_kind)i);
	}
	for (size_t i = 0; i < cfg->n_more; i++)
		s->followers[cfg->more[i]].asked = true;
}

int pd_k8s_source_start(const struct pd_k8s_source_config *cfg, struct pd_k8s_source **out)
{
	struct pd_k8s_source *s = pd_xcalloc(1, sizeof(*s));
	int rc;

	s->cfg = *cfg;
	s->cfg.more = NULL;
	s->cfg.mesh_namespace = cfg->mesh_name ? pd_xstrdup(cfg->mesh_namespace) : NULL;
	s->cfg.mesh_name = cfg->mesh_name ? pd_xstrdup(cfg->mesh_name) : NULL;
	s->transport = cfg->transport ? *cfg->transport : pd_k8s_transport_of(cfg->client);
	s->cluster = pd_intern(cfg->cluster);
	s->name = pd_xasprintf("k8s:%s", cfg->cluster);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->stopped_cond, NULL);
	choose_kinds(s, cfg);
	*out = s;
	rc = s->transport.post(s->transport.ctx, begin, s);
	if (rc) {
		*out = NULL;
		source_free(s);
	}
	return rc;
}

void pd_k8s_source_stop(struct pd_k8s_source **sp, bool forget)
{
	struct pd_k8s_source *s = *sp;

	if (!s)
		return;
	*sp = NULL;
	s->forget = forget;
	if (s->transport.post(s->transport.ctx, stop_on_loop, s) == PD_OK) {
		pthread_mutex_lock(&s->lock);
		while (!s->stopped)
			pthread_cond_wait(&s->stopped_cond, &s->lock);
		pthread_mutex_unlock(&s->lock);
	} else { // the loop has ended
		end(s, forget);
	}
	source_free(s);
}

void pd_k8s_source_stats(struct pd_k8s_source *s, struct pd_k8s_source_stats *out)
{
	size_t n = 0;

	pthread_mutex_lock(&s->lock);
	*out = s->stats;
	pthread_mutex_unlock(&s->lock);
	for (int i = 0; i < PD_KIND_COUNT; i++)
		if (s->followers[i].asked) {
			out->v[n] = out->v[i];
			out->v[n++].kind = (enum pd_kind)i;
		}
	out->n = n;
}
