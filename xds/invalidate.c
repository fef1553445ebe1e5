// From changes of the configuration to the streams that they may concern. Runs on the control thread: it only leaves marks.
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "xds/server_impl.h"

#define uthash_fatal(msg) abort()
#include <uthash.h>

// ---- streams by view ---------------------------------------------------------------------------------------------------

struct entry {
	struct pd_view *view; // borrowed: its streams hold references
	struct pd_subscriber *streams;
	UT_hash_handle hh;
};

struct pd_views {
	pthread_mutex_t lock;
	struct entry *entries;
};

struct pd_views *pd_views_new(void)
{
	struct pd_views *v = pd_xcalloc(1, sizeof(*v));

	pthread_mutex_init(&v->lock, NULL);
	return v;
}

void pd_views_free(struct pd_views **vp)
{
	if (!*vp)
		return;
	PD_ASSERT(!(*vp)->entries);
	pthread_mutex_destroy(&(*vp)->lock);
	free(*vp);
	*vp = NULL;
}

void pd_views_add(struct pd_views *v, struct pd_view *view, struct pd_subscriber *s)
{
	struct entry *e;

	pthread_mutex_lock(&v->lock);
	HASH_FIND_PTR(v->entries, &view, e);
	if (!e) {
		e = pd_xcalloc(1, sizeof(*e));
		e->view = view;
		HASH_ADD_PTR(v->entries, view, e);
	}
	pd_subscriber_link(&e->streams, s);
	pthread_mutex_unlock(&v->lock);
}

void pd_views_remove(struct pd_views *v, struct pd_view *view, struct pd_subscriber *s)
{
	struct entry *e;

	pthread_mutex_lock(&v->lock);
	pd_subscriber_unlink(s);
	HASH_FIND_PTR(v->entries, &view, e);
	if (e && !e->streams) {
		HASH_DEL(v->entries, e);
		free(e);
	}
	pthread_mutex_unlock(&v->lock);
}

// ---- marks -------------------------------------------------------------------------------------------------------------

void pd_marks_clear(struct pd_marks *m)
{
	for (size_t i = 0; i < m->names.n; i++)
		pd_unintern(m->names.v[i].name);
	pd_vec_free(&m->names);
	*m = (struct pd_marks){0};
}

static void mark_time_locked(struct pd_stream *s, uint64_t changed_ns)
{
	if (changed_ns && (!s->marks.changed_ns || changed_ns < s->marks.changed_ns))
		s->marks.changed_ns = changed_ns;
}

static void mark_types(struct pd_stream *s, uint32_t types, uint64_t changed_ns)
{
	pthread_mutex_lock(&s->mu);
	s->marks.types |= types;
	mark_time_locked(s, changed_ns);
	pthread_mutex_unlock(&s->mu);
	pd_stream_queue(s, PD_JOB_PUSH);
}

struct named {
	enum pd_type type;
	const char *name;
	uint64_t changed_ns;
};

static void mark_name(void *owner, void *arg)
{
	const struct named *n = arg;
	struct pd_stream *s = owner;
	bool known;

	pthread_mutex_lock(&s->mu);
	known = s->marks.types & 1u << n->type;
	for (size_t i = 0; i < s->marks.names.n && !known; i++)
		known = s->marks.names.v[i].name == n->name && s->marks.names.v[i].type == n->type;
	if (!known && s->marks.names.n >= PD_MARKS_MAX)
		s->marks.types |= 1u << n->type;
	else if (!known)
		pd_vec_push(&s->marks.names, (struct pd_mark){n->type, pd_intern_ref(n->name)});
	mark_time_locked(s, n->changed_ns);
	pthread_mutex_unlock(&s->mu);
	pd_stream_queue(s, PD_JOB_PUSH);
}

// "TYPE~IP~NAME~DOMAIN": is the address one of these?
static bool has_address(const char *node_id, const struct pd_invalidation *inv)
{
	const char *ip = strchr(node_id, '~');
	size_t n = ip ? strcspn(++ip, "~") : 0;

	for (size_t i = 0; n && i < inv->n_addresses; i++)
		if (strlen(inv->addresses[i]) == n && memcmp(inv->addresses[i], ip, n) == 0)
			return true;
	return false;
}

// What a proxy is, is settled when it connects; where that is no longer true it must do so again. It comes back with the
// versions that it has, so it is sent what its new labels make different and nothing else.
static void renew_proxies(struct pd_xds *x, const struct pd_invalidation *inv)
{
	size_t n;
	struct pd_stream **v = pd_xds_streams(x, &n);

	for (size_t i = 0; i < n; i++) {
		bool moved;

		pthread_mutex_lock(&v[i]->mu);
		moved = v[i]->said_who && has_address(v[i]->node_id, inv);
		pthread_mutex_unlock(&v[i]->mu);
		if (moved)
			pd_stream_end(v[i], GRPC_STATUS_UNAVAILABLE, "the workload has changed: connect again");
		pd_stream_unref(v[i]);
	}
	free(v);
}

void pd_invalidate(const struct pd_invalidation *inv, void *arg)
{
	struct pd_xds *x = arg;
	struct entry *e;

	pthread_mutex_lock(&x->views->lock);
	for (size_t i = 0; i < inv->n_views; i++) {
		HASH_FIND_PTR(x->views->entries, &inv->views[i].view, e);
		for (struct pd_subscriber *s = e ? e->streams : NULL; s; s = s->next)
			mark_types(s->owner, inv->views[i].types, inv->changed_ns);
	}
	pthread_mutex_unlock(&x->views->lock);
	for (size_t i = 0; i < inv->n_names; i++) {
		struct named n = {inv->names[i].type, inv->names[i].name, inv->changed_ns};

		pd_names_visit(x->env.names[n.type], n.name, mark_name, &n);
	}
	if (inv->n_addresses)
		renew_proxies(x, inv);
}
