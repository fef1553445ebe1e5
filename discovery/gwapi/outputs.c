// What units have made, and what of it changed.
#include <stdlib.h>

#include "base/str.h"
#include "discovery/gwapi/gwapi.h"

static bool is_in(const struct gw_fresh *fresh, const struct gw_made *m)
{
	for (size_t i = 0; i < fresh->n; i++)
		if (fresh->v[i]->key.ns == m->ns && fresh->v[i]->key.name == m->name)
			return true;
	return false;
}

static bool same_as_made(const struct gw_outputs *made, const struct pd_object *o)
{
	for (size_t i = 0; i < made->n; i++)
		if (made->v[i].ns == o->key.ns && made->v[i].name == o->key.name)
			return made->v[i].hash == o->hash;
	return false;
}

void pd_gw_forget(struct gw_outputs *made)
{
	for (size_t i = 0; i < made->n; i++) {
		pd_unintern(made->v[i].ns);
		pd_unintern(made->v[i].name);
	}
	pd_vec_free(made);
}

void pd_gw_publish(const char *cluster, struct gw_names *retired, enum pd_kind kind, struct gw_outputs *made,
		   struct gw_fresh *fresh, struct pd_change_vec *out)
{
	struct gw_outputs now = {0};
	for (size_t i = 0; i < made->n; i++) {
		const struct gw_made *m = &made->v[i];
		if (is_in(fresh, m))
			continue;
		struct pd_key key = {kind, cluster, pd_intern_ref(m->ns), pd_intern_ref(m->name)};
		pd_vec_push(retired, key.ns);
		pd_vec_push(retired, key.name);
		pd_vec_push(out, (struct pd_change){key, NULL});
	}
	for (size_t i = 0; i < fresh->n; i++) {
		struct pd_object *o = fresh->v[i];
		pd_vec_push(&now, (struct gw_made){pd_intern_ref(o->key.ns), pd_intern_ref(o->key.name), o->hash});
		if (same_as_made(made, o))
			pd_obj_unref(o);
		else
			pd_vec_push(out, (struct pd_change){o->key, o});
	}
	pd_gw_forget(made);
	*made = now;
}

static int cmp_change(const void *x, const void *y)
{
	const struct pd_key *a = &(*(const struct pd_change *const *)x)->key,
			    *b = &(*(const struct pd_change *const *)y)->key;
	int c = (a->kind > b->kind) - (a->kind < b->kind);
	c = c ? c : strcmp(a->ns, b->ns);
	return c ? c : strcmp(a->name, b->name);
}

void pd_gw_drop_false_deletions(struct pd_arena *a, struct pd_change_vec *out, size_t from)
{
	const struct pd_change **made = pd_arena_alloc(a, (out->n - from + 1) * sizeof(*made));
	size_t n = 0, kept = from;
	for (size_t i = from; i < out->n; i++)
		if (out->v[i].next)
			made[n++] = &out->v[i];
	if (n == out->n - from)
		return;
	bool *drop = PD_NEWN(a, bool, out->n);
	qsort(made, n, sizeof(*made), cmp_change);
	for (size_t i = from; i < out->n; i++) {
		const struct pd_change *c = &out->v[i];
		drop[i] = !c->next && bsearch(&c, made, n, sizeof(*made), cmp_change);
	}
	for (size_t i = from; i < out->n; i++)
		if (!drop[i])
			out->v[kept++] = out->v[i];
	out->n = kept;
}

void pd_gw_release(struct gw_names *retired)
{
	for (size_t i = 0; i < retired->n; i++)
		pd_unintern(retired->v[i]);
	retired->n = 0;
}
