#include "xds/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/str.h"
#include "xds/pass.h"

void pd_session_env_init(struct pd_session_env *env, struct pd_engine *engine)
{
	uint32_t r;

	memset(env, 0, sizeof(*env));
	env->engine = engine;
	for (unsigned t = 0; t < PD_TYPE_COUNT; t++)
		env->names[t] = pd_names_table_new();
	PD_ASSERT(getrandom(&r, sizeof(r), 0) == sizeof(r));
	snprintf(env->nonce_prefix, sizeof(env->nonce_prefix), "%08x", r);
}

void pd_session_env_free(struct pd_session_env *env)
{
	for (unsigned t = 0; t < PD_TYPE_COUNT; t++)
		pd_names_table_free(&env->names[t]);
}

void pd_nonce_text(const struct pd_session_env *env, uint64_t nonce, char out[PD_NONCE_TEXT])
{
	snprintf(out, PD_NONCE_TEXT, "%s-%llx", env->nonce_prefix, (unsigned long long)nonce);
}

uint64_t pd_nonce_parse(const struct pd_session_env *env, struct pd_span text)
{
	char want[PD_NONCE_TEXT], digits[17];
	size_t n = strlen(env->nonce_prefix);
	uint64_t v;

	if (text.n < n + 2 || text.n > n + 17 || memcmp(text.p, env->nonce_prefix, n) != 0)
		return 0;
	memcpy(digits, text.p + n + 1, text.n - n - 1);
	digits[text.n - n - 1] = 0;
	v = strtoull(digits, NULL, 16);
	pd_nonce_text(env, v, want); // only the spelling that we give out
	return pd_span_is(text, want, strlen(want)) ? v : 0;
}

// ---- watches -----------------------------------------------------------------------------------------------------------

struct pd_watch *pd_watch_new(struct pd_session *s, enum pd_type t)
{
	struct pd_watch *w;

	pd_watch_delete(s, t);
	w = s->watch[t] = pd_xcalloc(1, sizeof(*w));
	w->sub.owner = s->owner;
	return w;
}

void pd_watch_clear_todo(struct pd_watch *w)
{
	for (size_t i = 0; i < w->todo.n; i++)
		pd_unintern(w->todo.v[i]);
	pd_vec_free(&w->todo);
}

void pd_watch_clear_initial(struct pd_watch *w)
{
	for (size_t i = 0; i < w->n_initial; i++)
		pd_unintern(w->initial[i].name);
	free(w->initial);
	w->initial = NULL;
	w->n_initial = 0;
}

void pd_watch_forget_sent(struct pd_session *s, enum pd_type t)
{
	struct pd_watch *w = s->watch[t];

	pd_obj_unref(w->sent);
	w->sent = NULL;
	for (size_t i = 0; i < w->leaving.n; i++) {
		pd_unintern(w->leaving.v[i].name);
		pd_resource_unref(w->leaving.v[i].r);
	}
	pd_vec_free(&w->leaving);
	pd_have_clear(&w->have, s->env->names[t]);
}

void pd_watch_delete(struct pd_session *s, enum pd_type t)
{
	struct pd_watch *w = s->watch[t];

	if (!w)
		return;
	pd_watch_forget_sent(s, t);
	s->watch[t] = NULL;
	pd_watch_clear_todo(w);
	pd_watch_clear_initial(w);
	pd_names_unsubscribe(s->env->names[t], &w->sub);
	pd_names_unref(s->env->names[t], w->names);
	free(w->error);
	free(w);
}

void pd_watch_set_names(struct pd_session *s, enum pd_type t, struct pd_names *names)
{
	struct pd_names_table *table = s->env->names[t];
	struct pd_watch *w = s->watch[t];
	struct pd_names *old = w->names;
	struct pd_have had = w->have;

	if (old == names) {
		pd_names_unref(table, names);
		return;
	}
	pd_names_unsubscribe(table, &w->sub);
	w->names = names;
	w->have = (struct pd_have){0};
	for (size_t i = 0, j = 0; i < names->n && (had.base || had.own); i++) {
		while (j < old->n && old->v[j] != names->v[i] && strcmp(old->v[j], names->v[i]) < 0)
			j++;
		if (j < old->n && old->v[j] == names->v[i])
			pd_watch_set_have(w, i, pd_have_get(&had, j));
	}
	pd_have_settle(&w->have, table, names);
	pd_have_clear(&had, table);
	pd_names_subscribe(table, names, &w->sub);
	pd_names_unref(table, old);
}

void pd_watch_todo(struct pd_session *s, enum pd_type t, const char *interned)
{
	struct pd_watch *w = s->watch[t];

	w->dirty = true;
	if (w->all)
		return;
	for (size_t i = 0; i < w->todo.n; i++)
		if (w->todo.v[i] == interned)
			return;
	if (w->todo.n >= PD_WATCH_TODO_MAX) {
		pd_watch_clear_todo(w);
		if (w->wildcard) // its list is of names to be sent again: send everything again
			pd_watch_forget_sent(s, t);
		else
			w->all = true;
		return;
	}
	pd_vec_push(&w->todo, pd_intern_ref(interned));
}

void pd_watch_acked(struct pd_session *s, struct pd_watch *w, const struct pd_request *r)
{
	(void)s;
	w->in_flight = false;
	free(w->error);
	w->error = NULL;
	if (r->has_error) {
		w->error = pd_xstrndup(r->error.p, r->error.n);
		return;
	}
	w->nonce_acked = w->nonce_sent;
	w->version_acked = w->version_sent;
	w->acked_ns = pd_wall_ns();
}

// ---- sessions ----------------------------------------------------------------------------------------------------------

void pd_session_init(struct pd_session *s, struct pd_session_env *env, struct pd_view *view, bool delta, void *owner)
{
	*s = (struct pd_session){.env = env, .view = view, .delta = delta, .owner = owner};
}

void pd_session_free(struct pd_session *s)
{
	for (unsigned t = 0; t < PD_TYPE_COUNT; t++)
		pd_watch_delete(s, t);
}

int pd_session_request(struct pd_session *s, const struct pd_request *r, enum pd_request_kind *kind,
		       struct pb_error *err)
{
	struct pd_watch *w;
	int rc;

	*kind = PD_REQ_IGNORED;
	if (r->type == PD_TYPE_COUNT)
		return PD_OK;
	rc = s->delta ? pd_delta_request(s, r, kind, err) : pd_sotw_request(s, r, kind, err);
	w = s->watch[r->type];
	if (w && w->names)
		pd_have_settle(&w->have, s->env->names[r->type], w->names);
	return rc;
}

void pd_session_mark_type(struct pd_session *s, enum pd_type t)
{
	struct pd_watch *w = s->watch[t];

	if (!w)
		return;
	w->dirty = true;
	if (!w->wildcard) {
		w->all = true;
		pd_watch_clear_todo(w);
	}
}

void pd_session_mark_name(struct pd_session *s, enum pd_type t, const char *interned)
{
	struct pd_watch *w = s->watch[t];

	if (!w)
		return;
	if (w->wildcard)
		w->dirty = true;
	else if (w->names && pd_names_index(w->names, interned) >= 0)
		pd_watch_todo(s, t, interned);
}

bool pd_session_has_work(const struct pd_session *s)
{
	for (unsigned t = 0; t < PD_TYPE_COUNT; t++)
		if (s->watch[t] && s->watch[t]->dirty && !s->watch[t]->in_flight)
			return true;
	return false;
}

bool pd_session_frontends_dirty(const struct pd_session *s)
{
	return (s->watch[PD_LDS] && s->watch[PD_LDS]->dirty) || (s->watch[PD_RDS] && s->watch[PD_RDS]->dirty);
}

uint32_t pd_session_blocked(const struct pd_session *s)
{
	uint32_t types = 0;

	for (unsigned t = 0; t < PD_TYPE_COUNT; t++)
		if (s->watch[t] && s->watch[t]->dirty && s->watch[t]->in_flight)
			types |= 1u << t;
	if (s->watch[PD_CDS] && s->watch[PD_CDS]->in_flight && pd_session_frontends_dirty(s))
		types |= 1u << PD_CDS;
	return types;
}

void pd_session_give_up_ack(struct pd_session *s, enum pd_type t)
{
	if (s->watch[t])
		s->watch[t]->in_flight = false;
	if (t == PD_CDS)
		s->n_held = PD_HELD_MAX; // nor for that of the clusters that may have to be sent first
}
