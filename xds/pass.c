#include "xds/pass.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"

static void answer_free(struct pd_answer *a)
{
	pd_obj_unref(a->set);
	for (size_t i = 0; i < a->res.n; i++)
		pd_resource_unref(a->res.v[i]);
	for (size_t i = 0; i < a->removed.n; i++)
		pd_unintern(a->removed.v[i]);
	for (size_t i = 0; i < a->leaving.n; i++) {
		pd_unintern(a->leaving.v[i].name);
		pd_resource_unref(a->leaving.v[i].r);
	}
	for (size_t i = 0; i < a->rewarm.n; i++)
		pd_unintern(a->rewarm.v[i]);
	pd_vec_free(&a->res);
	pd_vec_free(&a->removed);
	pd_vec_free(&a->leaving);
	pd_vec_free(&a->rewarm);
}

void pd_pass_free(struct pd_pass *p)
{
	for (size_t i = 0; i < p->n; i++)
		answer_free(&p->v[i]);
	p->n = 0;
}

static void add_removed(struct pd_answer *a, const char *name)
{
	for (size_t i = 0; i < a->removed.n && a->removed.n <= PD_WATCH_TODO_MAX; i++)
		if (a->removed.v[i] == name)
			return;
	pd_vec_push(&a->removed, pd_intern_ref(name));
}

// ---- wildcard ----------------------------------------------------------------------------------------------------------

struct diff {
	struct pd_answer *a;
	const struct pd_watch *w;
	bool delta;
};

static void on_changed(struct pd_resource *r, void *arg)
{
	struct diff *d = arg;

	if (d->delta)
		pd_vec_push(&d->a->res, pd_resource_ref(r));
	if (d->a->type == PD_CDS)
		pd_vec_push(&d->a->rewarm, pd_intern_ref(r->name));
}

static void add_leaving(struct pd_answer *a, const char *name, const struct pd_resource *r)
{
	pd_vec_push(&a->leaving, (struct pd_leaving){pd_intern_ref(name), r ? pd_resource_ref(r) : NULL});
}

static void on_removed(const char *name, void *arg)
{
	struct diff *d = arg;

	if (pd_set_get(d->a->set, name)) // it only moved to another segment
		return;
	if (d->a->type == PD_CDS)
		add_leaving(d->a, name, d->w->sent ? pd_set_get(d->w->sent, name) : NULL);
	else if (d->delta)
		add_removed(d->a, name);
}

static int initial_cmp(const void *x, const void *y)
{
	return strcmp(((const struct pd_initial *)x)->name, ((const struct pd_initial *)y)->name);
}

// What differs from what the client announced. Segments are sorted, but their order among each other is not: look up.
static void diff_initial(struct diff *d)
{
	const struct pd_watch *w = d->w;

	for (int k = 0; k < PD_SET_SEGMENTS; k++) {
		const struct pd_segment *seg = d->a->set->seg[k];

		for (size_t i = 0; seg && i < seg->n; i++) {
			struct pd_initial key = {.name = seg->v[i]->name}, *known;

			known = bsearch(&key, w->initial, w->n_initial, sizeof(key), initial_cmp);
			if (!known || known->version != seg->v[i]->version)
				on_changed(seg->v[i], d);
		}
	}
	for (size_t i = 0; i < w->n_initial; i++)
		if (!pd_set_get(d->a->set, w->initial[i].name))
			on_removed(w->initial[i].name, d);
}

static bool has_resource(const struct pd_answer *a, const char *name)
{
	for (size_t i = 0; i < a->res.n; i++)
		if (a->res.v[i]->name == name)
			return true;
	return false;
}

// Names under a wildcard that have to be answered whether or not they changed.
static void collect_again(struct pd_answer *a, const struct pd_watch *w)
{
	for (size_t i = 0; i < w->todo.n; i++) {
		struct pd_resource *r = pd_set_get(a->set, w->todo.v[i]);

		if (!r)
			add_removed(a, w->todo.v[i]);
		else if (!a->full && !has_resource(a, r->name))
			pd_vec_push(&a->res, pd_resource_ref(r));
	}
}

static void collect_wildcard(struct pd_session *s, const struct pd_watch *w, struct pd_answer *a)
{
	struct diff d = {.a = a, .w = w, .delta = s->delta};
	bool fresh = !w->sent && !w->n_initial;

	a->set = pd_view_set(s->env->engine, s->view, a->type);
	PD_ASSERT(a->set);
	a->version = a->set->version;
	a->full = !s->delta || fresh;
	a->rewarm_all = fresh && a->type == PD_CDS;
	for (size_t i = 0; i < w->leaving.n; i++)
		if (!pd_set_get(a->set, w->leaving.v[i].name))
			add_leaving(a, w->leaving.v[i].name, w->leaving.v[i].r);
	if (w->n_initial)
		diff_initial(&d);
	else if (!fresh && w->sent != a->set && (s->delta || a->type == PD_CDS))
		pd_set_diff(w->sent, a->set, on_changed, on_removed, &d);
	if (s->delta) {
		collect_again(a, w);
		a->send = w->must_answer || a->res.n || a->removed.n || (fresh && pd_set_count(a->set));
	} else {
		a->send = w->must_answer || fresh || w->sent->version != a->version;
	}
}

// ---- by name -----------------------------------------------------------------------------------------------------------

static struct pd_resource *fetch(struct pd_session *s, enum pd_type t, struct pd_set *set, const char *name)
{
	struct pd_resource *r;

	if (t == PD_SDS && s->no_secrets)
		return NULL;
	if (!set)
		return pd_view_resource(s->env->engine, s->view, t, name);
	r = pd_set_get(set, name);
	return r ? pd_resource_ref(r) : NULL;
}

// Takes the reference to `r`, which is what there is of name number i now.
static void compare(struct pd_session *s, const struct pd_watch *w, struct pd_resource *r, size_t i, bool again,
		    struct pd_answer *a)
{
	const char *name = w->names->v[i];
	uint64_t version = r ? r->version : PD_HAVE_REMOVED, have = pd_watch_have(w, i);

	if (version == have && !(again && r)) {
		pd_resource_unref(r);
		return;
	}
	if (r)
		pd_vec_push(&a->res, r);
	else if (s->delta && a->type != PD_ECDS) // an extension is never taken away under a running filter
		add_removed(a, name);
	else
		return;
	if (have != PD_HAVE_NOTHING)
		a->version -= pd_weight(name, have);
	a->version += pd_weight(name, version);
	if (a->type == PD_CDS && r)
		pd_vec_push(&a->rewarm, pd_intern_ref(name));
}

static void look_at(struct pd_session *s, const struct pd_watch *w, struct pd_set *set, size_t i, bool again,
		    struct pd_answer *a)
{
	compare(s, w, fetch(s, a->type, set, w->names->v[i]), i, again, a);
}

// All names of the watch; `again`: positions, sorted, to send even if unchanged.
static void look_at_all(struct pd_session *s, const struct pd_watch *w, struct pd_set *set, const size_t *again,
			size_t n_again, bool all_again, struct pd_answer *a)
{
	size_t n = w->names->n, k = 0;
	struct pd_resource **r = pd_xmalloc((n + 1) * sizeof(struct pd_resource *));

	bool by_name = set || (a->type == PD_SDS && s->no_secrets);

	if (!by_name)
		pd_view_resources(s->env->engine, s->view, a->type, w->names->v, n, r);
	for (size_t i = 0; i < n; i++) {
		while (k < n_again && again[k] < i)
			k++;
		compare(s, w, by_name ? fetch(s, a->type, set, w->names->v[i]) : r[i], i,
			all_again || (k < n_again && again[k] == i), a);
	}
	free(r);
}

static int cmp_index(const void *x, const void *y)
{
	size_t a = *(const size_t *)x, b = *(const size_t *)y;

	return (a > b) - (a < b);
}

// `rewarm`: names to send again, or NULL.
static void collect_named(struct pd_session *s, const struct pd_watch *w, const struct pd_answer *rewarm,
			  struct pd_answer *a)
{
	struct pd_set *set = pd_types[a->type].wildcard ? pd_view_set(s->env->engine, s->view, a->type) : NULL;
	PD_VEC(size_t) again = {0};
	PD_VEC(size_t) todo = {0};
	bool all = w->all || (rewarm && rewarm->rewarm_all);
	long at;

	for (size_t i = 0; rewarm && i < rewarm->rewarm.n; i++)
		if ((at = pd_names_index(w->names, rewarm->rewarm.v[i])) >= 0)
			pd_vec_push(&again, (size_t)at);
	if (again.n)
		qsort(again.v, again.n, sizeof(*again.v), cmp_index);
	a->version = w->have.sum;
	if (all) {
		look_at_all(s, w, set, again.v, again.n, rewarm && rewarm->rewarm_all, a);
	} else {
		for (size_t i = 0; i < w->todo.n; i++)
			if ((at = pd_names_index(w->names, w->todo.v[i])) >= 0)
				pd_vec_push(&todo, (size_t)at);
		for (size_t i = 0; i < again.n; i++)
			look_at(s, w, set, again.v[i], true, a);
		for (size_t i = 0; i < todo.n; i++)
			if (!again.n || !bsearch(&todo.v[i], again.v, again.n, sizeof(*again.v), cmp_index))
				look_at(s, w, set, todo.v[i], false, a);
	}
	a->send = a->res.n || a->removed.n;
	pd_vec_free(&again);
	pd_vec_free(&todo);
	pd_obj_unref(set);
}

// ---- the pass ----------------------------------------------------------------------------------------------------------

static struct pd_answer *collect(struct pd_session *s, enum pd_type t, const struct pd_answer *rewarm,
				 struct pd_pass *p)
{
	struct pd_answer *a = &p->v[p->n++];
	const struct pd_watch *w = s->watch[t];

	*a = (struct pd_answer){.type = t};
	if (w->wildcard)
		collect_wildcard(s, w, a);
	else
		collect_named(s, w, rewarm, a);
	return a;
}

// Says the removals in this very answer.
static void remove_now(struct pd_session *s, struct pd_answer *a)
{
	for (size_t i = 0; i < a->leaving.n; i++) {
		if (s->delta)
			add_removed(a, a->leaving.v[i].name);
		pd_unintern(a->leaving.v[i].name);
		pd_resource_unref(a->leaving.v[i].r);
	}
	pd_vec_free(&a->leaving);
	a->send = true;
}

// State of the world: the clusters that leave are named once more beside the new ones.
static void keep_for_now(struct pd_session *s, struct pd_answer *a)
{
	a->keeps_dirty = true;
	for (size_t i = 0; !s->delta && i < a->leaving.n; i++) {
		struct pd_resource *r = a->leaving.v[i].r;

		pd_vec_push(&a->res, pd_resource_ref(r));
		a->version += pd_weight(r->name, r->version);
	}
}

// Whether the client gets clusters that it did not have. False if they differ by what left only.
static bool grows(const struct pd_session *s, const struct pd_answer *a)
{
	return a->send && (a->rewarm.n || a->rewarm_all || s->watch[PD_CDS]->must_answer || (s->delta && a->res.n));
}

// Decides when the clusters that left the set are taken from the client. `renewing`: listeners or routes are sent in this
// pass; `waiting`: some cannot be sent yet.
static void place_removals(struct pd_session *s, struct pd_pass *p, bool renewing, bool waiting)
{
	struct pd_answer *a = &p->v[0], tail;

	if (!renewing && !waiting) {
		remove_now(s, a);
	} else if (grows(s, a)) {
		keep_for_now(s, a);
	} else if (waiting) {
		a->keeps_dirty = true;
		a->send = false;
	} else {
		remove_now(s, a);
		tail = *a;
		memmove(&p->v[0], &p->v[1], (p->n - 1) * sizeof(p->v[0]));
		p->v[p->n - 1] = tail;
	}
}

// The client has nothing of this type yet, or asked for all of it: it is not in use, and it waits for it.
static bool is_first(const struct pd_watch *w)
{
	return w->must_answer || (!w->nonce_sent && !w->sent && !w->n_initial && !w->have.base && !w->have.own);
}

static void run_once(struct pd_session *s, struct pd_pass *p)
{
	struct pd_watch *cds = s->watch[PD_CDS];
	struct pd_answer *clusters = NULL;
	bool blocked = false, hold, renewing = false, waiting = false;

	if (cds && cds->dirty) {
		clusters = collect(s, PD_CDS, NULL, p);
		blocked = cds->in_flight && (clusters->send || clusters->leaving.n);
		if (blocked) {
			pd_pass_free(p);
			clusters = NULL;
		}
	}
	hold = blocked || (cds && cds->in_flight) || (clusters && grows(s, clusters) && s->n_held < PD_HELD_MAX);
	for (enum pd_type t = PD_EDS; t < PD_TYPE_COUNT; t++) {
		const struct pd_answer *rewarm = t == PD_EDS && clusters && clusters->send ? clusters : NULL;
		bool frontend = t == PD_LDS || t == PD_RDS;
		struct pd_watch *w = s->watch[t];

		if (!w || !(w->dirty || (rewarm && (rewarm->rewarm.n || rewarm->rewarm_all))))
			continue;
		if (w->in_flight || (frontend && hold && !is_first(w)))
			waiting |= frontend;
		else
			renewing |= collect(s, t, rewarm, p)->send && frontend;
	}
	if (clusters && clusters->leaving.n)
		place_removals(s, p, renewing, waiting);
}

void pd_pass_run(struct pd_session *s, struct pd_pass *p)
{
	p->n = 0;
	for (int i = 0; i < PD_PASS_ATTEMPTS; i++) {
		pd_pass_free(p);
		p->generation = pd_engine_generation(s->env->engine);
		run_once(s, p);
		if (pd_engine_generation(s->env->engine) == p->generation)
			return;
	}
}

// ---- commit ------------------------------------------------------------------------------------------------------------

// The endpoints of these clusters have to be sent again. What this pass sends anyway is noted by its own commit.
static void rewarm_endpoints(struct pd_session *s, const struct pd_answer *a)
{
	struct pd_watch *w = s->watch[PD_EDS];
	long at;

	if (!w || !w->names)
		return;
	if (a->rewarm_all) {
		pd_have_clear(&w->have, s->env->names[PD_EDS]);
		w->dirty = w->all = true;
		pd_watch_clear_todo(w);
		return;
	}
	for (size_t i = 0; i < a->rewarm.n; i++) {
		at = pd_names_index(w->names, a->rewarm.v[i]);
		if (at < 0)
			continue;
		pd_watch_set_have(w, (size_t)at, PD_HAVE_NOTHING);
		pd_watch_todo(s, PD_EDS, a->rewarm.v[i]);
	}
	pd_have_settle(&w->have, s->env->names[PD_EDS], w->names);
}

static void commit_wildcard(struct pd_session *s, const struct pd_answer *a)
{
	struct pd_watch *w = s->watch[a->type];

	pd_watch_forget_sent(s, a->type);
	w->sent = pd_obj_ref(a->set);
	for (size_t i = 0; i < a->leaving.n; i++)
		pd_vec_push(&w->leaving,
			    (struct pd_leaving){pd_intern_ref(a->leaving.v[i].name), pd_obj_ref(a->leaving.v[i].r)});
	pd_watch_clear_initial(w);
}

static void commit_named(struct pd_session *s, const struct pd_answer *a)
{
	struct pd_watch *w = s->watch[a->type];
	long at;

	for (size_t i = 0; i < a->res.n; i++) {
		at = pd_names_index(w->names, a->res.v[i]->name);
		PD_ASSERT(at >= 0);
		pd_watch_set_have(w, (size_t)at, a->res.v[i]->version);
	}
	for (size_t i = 0; i < a->removed.n; i++) {
		at = pd_names_index(w->names, a->removed.v[i]);
		PD_ASSERT(at >= 0);
		pd_watch_set_have(w, (size_t)at, PD_HAVE_REMOVED);
	}
	pd_have_settle(&w->have, s->env->names[a->type], w->names);
}

// Clusters are committed before the listeners and routes of the same pass: if these go with them the count ends at 0.
static void count_held(struct pd_session *s, const struct pd_answer *a)
{
	if (a->type == PD_LDS || a->type == PD_RDS)
		s->n_held = 0;
	else if (a->type == PD_CDS && a->send && pd_session_frontends_dirty(s))
		s->n_held++;
}

uint64_t pd_session_commit(struct pd_session *s, const struct pd_answer *a)
{
	struct pd_watch *w = s->watch[a->type];

	count_held(s, a);
	if (a->set)
		commit_wildcard(s, a);
	else
		commit_named(s, a);
	w->dirty = a->keeps_dirty;
	w->all = w->must_answer = false;
	pd_watch_clear_todo(w);
	if (a->send && a->type == PD_CDS)
		rewarm_endpoints(s, a);
	if (!a->send)
		return 0;
	w->in_flight = true;
	w->nonce_sent = 1 + atomic_fetch_add(&s->env->nonce, 1);
	w->version_sent = a->version;
	w->sent_ns = pd_wall_ns();
	w->n_sent++;
	return w->nonce_sent;
}
