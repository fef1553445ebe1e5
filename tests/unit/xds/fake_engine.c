#include "tests/unit/xds/fake_engine.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/pb.h"
#include "base/clock.h"
#include "base/str.h"
#include "base/vec.h"

struct pending {
	enum pd_type type;
	char *name, *text;
};

struct pd_engine {
	pthread_mutex_t lock;
	struct pd_segment *seg[PD_TYPE_COUNT]; // what is visible
	PD_VEC(struct pending) pending;
	PD_VEC(struct pd_view *) views;
	uint64_t generation;
	bool ready;
	unsigned long lookups;
	unsigned moves;
	unsigned batches, meshes;
	struct pd_buf applied; // "batch; batch", see fake_applied
	pd_invalidate_fn listen;
	void *listen_arg;
};

struct pd_resource *fake_resource(enum pd_type type, const char *name, const char *text)
{
	struct pd_provenance *prov = pd_xcalloc(1, sizeof(*prov));
	struct pd_arena a = {0};
	struct pd_resource *r;

	pd_obj_init(&prov->obj, (void (*)(struct pd_obj *))free);
	r = pd_resource_new(type, name, &pb_string(&a, pd_arena_printf(&a, "%s=%s", name, text))->base, prov);
	pd_obj_unref(prov);
	pd_arena_free(&a);
	return r;
}

struct pd_engine *pd_engine_new(const struct pd_settings *settings, struct pd_issues *issues)
{
	struct pd_engine *e = pd_xcalloc(1, sizeof(*e));

	(void)settings;
	(void)issues;
	pthread_mutex_init(&e->lock, NULL);
	for (int t = 0; t < PD_TYPE_COUNT; t++)
		e->seg[t] = pd_segment_new(NULL, 0);
	e->ready = true;
	e->generation = 1;
	return e;
}

static void view_release(struct pd_obj *o)
{
	struct pd_view *v = (struct pd_view *)o;

	pd_unintern(v->key.ns);
	pd_unintern(v->service_account);
	free(v);
}

void pd_engine_free(struct pd_engine **ep)
{
	struct pd_engine *e = *ep;

	for (int t = 0; t < PD_TYPE_COUNT; t++)
		pd_obj_unref(e->seg[t]);
	for (size_t i = 0; i < e->views.n; i++)
		pd_obj_unref(e->views.v[i]);
	for (size_t i = 0; i < e->pending.n; i++) {
		free(e->pending.v[i].name);
		free(e->pending.v[i].text);
	}
	pd_vec_free(&e->views);
	pd_vec_free(&e->pending);
	pd_buf_free(&e->applied);
	pthread_mutex_destroy(&e->lock);
	free(e);
	*ep = NULL;
}

void pd_engine_listen(struct pd_engine *e, pd_invalidate_fn fn, void *arg)
{
	e->listen = fn;
	e->listen_arg = arg;
}

void pd_engine_set_ready(struct pd_engine *e)
{
	pthread_mutex_lock(&e->lock);
	e->ready = true;
	pthread_mutex_unlock(&e->lock);
}

bool pd_engine_ready(struct pd_engine *e)
{
	bool ready;

	pthread_mutex_lock(&e->lock);
	ready = e->ready;
	pthread_mutex_unlock(&e->lock);
	return ready;
}

uint64_t pd_engine_generation(struct pd_engine *e)
{
	uint64_t g;

	pthread_mutex_lock(&e->lock);
	if (e->moves) {
		e->moves--;
		e->generation++;
	}
	g = e->generation;
	pthread_mutex_unlock(&e->lock);
	return g;
}

// One view per namespace, which is the first label of the node id's fourth field.
// A reference, or NULL.
static const char *account_of(const Envoy__Config__Core__V3__Node *node)
{
	for (size_t i = 0; node->metadata && i < node->metadata->n_fields; i++)
		if (pd_streq(node->metadata->fields[i]->key, "SERVICE_ACCOUNT") &&
		    node->metadata->fields[i]->value->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE)
			return pd_intern(node->metadata->fields[i]->value->string_value);
	return NULL;
}

int pd_engine_view(struct pd_engine *e, const Envoy__Config__Core__V3__Node *node, const char *verified_account,
		   struct pd_view **out, char *err, size_t err_len)
{
	const char *tilde = strrchr(pd_or(node->id, ""), '~'), *dot = tilde ? strchr(tilde, '.') : NULL;
	const char *ns, *account;
	struct pd_view *v = NULL;

	(void)verified_account;
	if (!dot) {
		snprintf(err, err_len, "invalid node id \"%.60s\"", pd_or(node->id, ""));
		return PD_E_INVALID;
	}
	ns = pd_intern_n(tilde + 1, (size_t)(dot - tilde - 1));
	account = account_of(node);
	pthread_mutex_lock(&e->lock);
	for (size_t i = 0; i < e->views.n; i++)
		if (e->views.v[i]->key.ns == ns && e->views.v[i]->service_account == account)
			v = e->views.v[i];
	if (!v) {
		v = pd_xcalloc(1, sizeof(*v));
		pd_obj_init(&v->obj, view_release);
		v->key.ns = pd_intern_ref(ns);
		v->service_account = account ? pd_intern_ref(account) : NULL;
		pd_vec_push(&e->views, v);
	}
	*out = pd_obj_ref(v);
	pthread_mutex_unlock(&e->lock);
	pd_unintern(ns);
	pd_unintern(account);
	return PD_OK;
}

void pd_view_unref(struct pd_engine *e, struct pd_view *v)
{
	(void)e;
	pd_obj_unref(v);
}

struct pd_set *pd_view_set(struct pd_engine *e, struct pd_view *view, enum pd_type type)
{
	struct pd_segment *seg[PD_SET_SEGMENTS] = {NULL};
	struct pd_set *s;

	(void)view;
	pthread_mutex_lock(&e->lock);
	e->lookups++;
	seg[0] = pd_obj_ref(e->seg[type]);
	s = pd_set_new(seg);
	pthread_mutex_unlock(&e->lock);
	return s;
}

struct pd_resource *pd_view_resource(struct pd_engine *e, struct pd_view *view, enum pd_type type, const char *name)
{
	struct pd_resource *r;

	(void)view;
	pthread_mutex_lock(&e->lock);
	e->lookups++;
	r = pd_segment_get(e->seg[type], name);
	if (r)
		pd_resource_ref(r);
	else if (type == PD_EDS || type == PD_RDS)
		r = fake_resource(type, name, "");
	pthread_mutex_unlock(&e->lock);
	return r;
}

void pd_view_resources(struct pd_engine *e, struct pd_view *view, enum pd_type type, const char *const *names, size_t n,
		       struct pd_resource **out)
{
	for (size_t i = 0; i < n; i++)
		out[i] = pd_view_resource(e, view, type, names[i]);
}

void fake_set(struct pd_engine *e, enum pd_type type, const char *name, const char *text)
{
	pthread_mutex_lock(&e->lock);
	pd_vec_push(&e->pending, (struct pending){type, pd_xstrdup(name), text ? pd_xstrdup(text) : NULL});
	pthread_mutex_unlock(&e->lock);
}

static void apply_pending(struct pd_engine *e)
{
	for (size_t i = 0; i < e->pending.n; i++) {
		struct pending *p = &e->pending.v[i];
		struct pd_resource *r = p->text ? fake_resource(p->type, p->name, p->text) : NULL;
		const char *gone = p->name;
		struct pd_segment *old = e->seg[p->type];

		e->seg[p->type] = pd_segment_update(old, &r, r ? 1 : 0, &gone, r ? 0 : 1);
		pd_obj_unref(old);
		free(p->text);
	}
}

void fake_change_workload(struct pd_engine *e, const char *address)
{
	struct pd_invalidation inv = {.changed_ns = pd_now_ns(), .n_addresses = 1, .addresses = &address};

	e->listen(&inv, e->listen_arg);
}

void fake_publish(struct pd_engine *e)
{
	PD_VEC(struct pd_name_change) names = {0};
	PD_VEC(struct pd_view_change) views = {0};
	struct pd_invalidation inv = {.changed_ns = pd_now_ns()};
	uint32_t types = 0;

	pthread_mutex_lock(&e->lock);
	for (size_t i = 0; i < e->pending.n; i++) {
		struct pending *p = &e->pending.v[i];

		if (pd_types[p->type].wildcard || p->type == PD_RDS)
			types |= 1u << p->type;
		else
			pd_vec_push(&names, (struct pd_name_change){p->type, pd_intern(p->name)});
	}
	apply_pending(e);
	for (size_t i = 0; i < e->pending.n; i++)
		free(e->pending.v[i].name);
	e->pending.n = 0;
	for (size_t i = 0; types && i < e->views.n; i++)
		pd_vec_push(&views, (struct pd_view_change){e->views.v[i], types});
	inv.generation = ++e->generation;
	pthread_mutex_unlock(&e->lock);
	inv.n_views = views.n;
	inv.views = views.v;
	inv.n_names = names.n;
	inv.names = names.v;
	if (e->listen)
		e->listen(&inv, e->listen_arg);
	for (size_t i = 0; i < names.n; i++)
		pd_unintern(names.v[i].name);
	pd_vec_free(&names);
	pd_vec_free(&views);
}

void fake_touch_all(struct pd_engine *e)
{
	PD_VEC(struct pd_view_change) views = {0};
	struct pd_invalidation inv = {.changed_ns = pd_now_ns()};

	pthread_mutex_lock(&e->lock);
	for (size_t i = 0; i < e->views.n; i++)
		pd_vec_push(&views, (struct pd_view_change){e->views.v[i], (1u << PD_TYPE_COUNT) - 1});
	inv.generation = ++e->generation;
	pthread_mutex_unlock(&e->lock);
	inv.n_views = views.n;
	inv.views = views.v;
	if (e->listen)
		e->listen(&inv, e->listen_arg);
	pd_vec_free(&views);
}

unsigned long fake_lookups(struct pd_engine *e)
{
	unsigned long n;

	pthread_mutex_lock(&e->lock);
	n = e->lookups;
	pthread_mutex_unlock(&e->lock);
	return n;
}

void fake_move_during(struct pd_engine *e, unsigned n)
{
	pthread_mutex_lock(&e->lock);
	e->moves = n;
	pthread_mutex_unlock(&e->lock);
}

size_t pd_engine_apply(struct pd_engine *e, struct pd_change *changes, size_t n, uint64_t changed_ns)
{
	PD_ASSERT(changed_ns);
	pthread_mutex_lock(&e->lock);
	if (e->batches++)
		pd_buf_adds(&e->applied, "; ");
	for (size_t i = 0; i < n; i++) {
		pd_buf_printf(&e->applied, "%s%s%s", i ? " " : "", changes[i].next ? "" : "-", changes[i].key.name);
		pd_obj_unref(changes[i].next);
	}
	pthread_mutex_unlock(&e->lock);
	return n;
}

size_t pd_engine_set_access(struct pd_engine *e, const char *ns, const char *account, bool allowed)
{
	(void)e, (void)ns, (void)account, (void)allowed;
	return 1;
}

size_t pd_engine_set_mesh(struct pd_engine *e, struct pd_mesh *mesh)
{
	pd_obj_unref(mesh);
	pthread_mutex_lock(&e->lock);
	e->meshes++;
	pthread_mutex_unlock(&e->lock);
	return 1;
}

const char *fake_applied(struct pd_engine *e, unsigned *batches, unsigned *meshes)
{
	static char text[4096];

	pthread_mutex_lock(&e->lock);
	snprintf(text, sizeof(text), "%s", pd_or(e->applied.p, ""));
	*batches = e->batches;
	*meshes = e->meshes;
	pthread_mutex_unlock(&e->lock);
	return text;
}

void fake_set_not_ready(struct pd_engine *e)
{
	pthread_mutex_lock(&e->lock);
	e->ready = false;
	pthread_mutex_unlock(&e->lock);
}
