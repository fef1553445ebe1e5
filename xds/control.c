#include "xds/control.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "xds/metrics.h"

#define uthash_fatal(msg) abort()
#include <uthash.h>

#define CHURN_PER_CHANGE 4096 // bytes that an object and its translation allocate and free, roughly

struct entry {
	struct pd_key key; // one reference to each string; as bytes it is the hash key, so padding is zero
	struct pd_object *next;
	UT_hash_handle hh;
};

// Whether a service account may read Secrets, as the API server says.
struct access {
	char *ns, *account;
	bool allowed;
};

struct pd_control {
	struct pd_sink sink; // first: a sink is a control
	struct pd_engine *engine;
	struct pd_xds *x;
	struct pd_control_config config;
	pthread_t thread;
	bool started;

	pthread_mutex_t lock; // guards what follows
	pthread_cond_t wake;
	struct entry *entries; // in order of coming
	struct pd_mesh *mesh;
	PD_VEC(struct access) access;
	uint64_t first_ns, last_ns;
	uint64_t drained;        // how often the server told that a push is done
	unsigned synced, others; // `others`: waiting changes that are not of endpoints
	bool more, stop, ready;
	struct pd_control_stats stats;
};

void pd_control_config_defaults(struct pd_control_config *c)
{
	*c = (struct pd_control_config){.debounce_after_ns = 100 * 1000 * 1000ull,
					.debounce_max_ns = 10 * 1000 * 1000 * 1000ull,
					.debounce_endpoints = true,
					.sources = 1};
}

uint64_t pd_debounce_until(const struct pd_control_config *c, const struct pd_debounce *d)
{
	uint64_t quiet = d->last_ns + c->debounce_after_ns, max = d->first_ns + c->debounce_max_ns;

	if (d->endpoints_only && !c->debounce_endpoints)
		return 0;
	if (!d->pushing && !d->more)
		return 0;
	return quiet < max ? quiet : max;
}

// ---- taking in ---------------------------------------------------------------------------------------------------------

static void note_locked(struct pd_control *c, bool more)
{
	c->last_ns = pd_now_ns();
	if (!c->first_ns)
		c->first_ns = c->last_ns;
	c->more = more;
	pthread_cond_signal(&c->wake);
}

static void add_locked(struct pd_control *c, const struct pd_change *change)
{
	struct pd_key key;
	struct entry *e;

	memset(&key, 0, sizeof(key));
	key.kind = change->key.kind;
	key.cluster = pd_intern(change->key.cluster);
	key.ns = pd_intern(change->key.ns);
	key.name = pd_intern(change->key.name);
	HASH_FIND(hh, c->entries, &key, sizeof(key), e);
	if (e) { // the last counts
		pd_obj_unref(e->next);
		e->next = change->next;
		pd_unintern(key.cluster);
		pd_unintern(key.ns);
		pd_unintern(key.name);
		return;
	}
	e = pd_xcalloc(1, sizeof(*e));
	memcpy(&e->key, &key, sizeof(key)); // with its padding
	e->next = change->next;
	c->others += key.kind != PD_KIND_ENDPOINT_SLICE;
	HASH_ADD(hh, c->entries, key, sizeof(e->key), e);
}

static void on_changes(struct pd_sink *sink, struct pd_change *v, size_t n, bool more)
{
	struct pd_control *c = (struct pd_control *)sink;

	pthread_mutex_lock(&c->lock);
	for (size_t i = 0; i < n; i++)
		add_locked(c, &v[i]);
	c->stats.changes += n;
	if (n || !more)
		note_locked(c, more);
	pthread_mutex_unlock(&c->lock);
}

static void on_synced(struct pd_sink *sink, const char *source)
{
	struct pd_control *c = (struct pd_control *)sink;

	pd_info("config", "%s: all objects that there were at the start are in", source);
	pthread_mutex_lock(&c->lock);
	c->synced++;
	c->more = false;
	pthread_cond_signal(&c->wake);
	pthread_mutex_unlock(&c->lock);
}

void pd_control_mesh(struct pd_control *c, struct pd_mesh *mesh)
{
	struct pd_mesh *old;

	pthread_mutex_lock(&c->lock);
	old = c->mesh;
	c->mesh = mesh;
	note_locked(c, false);
	pthread_mutex_unlock(&c->lock);
	pd_obj_unref(old);
}

void pd_control_access(struct pd_control *c, const char *ns, const char *account, bool allowed)
{
	pthread_mutex_lock(&c->lock);
	pd_vec_push(&c->access, (struct access){pd_xstrdup(ns), pd_xstrdup(account), allowed});
	note_locked(c, false);
	pthread_mutex_unlock(&c->lock);
}

static void on_drained(void *arg)
{
	struct pd_control *c = arg;

	pthread_mutex_lock(&c->lock);
	c->drained++;
	pthread_cond_signal(&c->wake);
	pthread_mutex_unlock(&c->lock);
}

// ---- applying ----------------------------------------------------------------------------------------------------------

struct batch {
	struct pd_change *v;
	size_t n;
	struct pd_mesh *mesh;
	PD_VEC(struct access) access;
	uint64_t first_ns;
	bool set_ready;
};

static void entry_free(struct entry *e)
{
	pd_unintern(e->key.cluster);
	pd_unintern(e->key.ns);
	pd_unintern(e->key.name);
	free(e);
}

static void take_locked(struct pd_control *c, struct batch *b, struct entry **entries)
{
	struct entry *e, *tmp;

	*b = (struct batch){.mesh = c->mesh, .first_ns = c->first_ns};
	memcpy(&b->access, &c->access, sizeof(b->access));
	memset(&c->access, 0, sizeof(c->access));
	b->v = pd_xmalloc((HASH_COUNT(c->entries) + 1) * sizeof(*b->v));
	HASH_ITER(hh, c->entries, e, tmp)
	b->v[b->n++] = (struct pd_change){e->key, e->next};
	*entries = c->entries;
	c->entries = NULL;
	c->mesh = NULL;
	c->first_ns = c->last_ns = 0;
	c->others = 0;
	c->stats.batches += b->n || b->mesh || b->access.n;
	b->set_ready = !c->ready && c->synced >= c->config.sources;
	c->ready |= b->set_ready;
}

static void apply(struct pd_control *c, struct batch *b, struct entry *entries)
{
	uint64_t start = pd_now_ns();
	struct entry *e, *tmp;
	size_t changed = 0;

	if (b->mesh)
		changed += pd_engine_set_mesh(c->engine, b->mesh);
	if (b->n)
		changed += pd_engine_apply(c->engine, b->v, b->n, b->first_ns);
	for (size_t i = 0; i < b->access.n; i++) {
		struct access *a = &b->access.v[i];

		changed += pd_engine_set_access(c->engine, a->ns, a->account, a->allowed);
		free(a->ns);
		free(a->account);
	}
	pd_vec_free(&b->access);
	if (b->set_ready) {
		pd_engine_set_ready(c->engine);
		pd_info("config", "ready to serve");
	}
	HASH_ITER(hh, entries, e, tmp)
	{
		HASH_DEL(entries, e);
		entry_free(e);
	}
	free(b->v);
	pd_count_batch(b->n, changed, b->first_ns ? start - b->first_ns : 0, pd_now_ns() - start);
	if (c->x)
		pd_xds_note_churn(c->x, b->n * CHURN_PER_CHANGE);
	pthread_mutex_lock(&c->lock);
	c->stats.effective += changed != 0;
	pthread_mutex_unlock(&c->lock);
}

static void wait_locked(struct pd_control *c, uint64_t until_ns)
{
	struct timespec at = {.tv_sec = (time_t)(until_ns / 1000000000), .tv_nsec = (long)(until_ns % 1000000000)};

	if (until_ns == UINT64_MAX)
		pthread_cond_wait(&c->wake, &c->lock);
	else
		pthread_cond_timedwait(&c->wake, &c->lock, &at);
}

// When the waiting changes must be applied; UINT64_MAX if there are none.
static uint64_t due_locked(struct pd_control *c, bool pushing)
{
	bool all_in = c->synced >= c->config.sources;
	struct pd_debounce d = {.first_ns = c->first_ns,
				.last_ns = c->last_ns,
				.pushing = pushing,
				.more = c->more || !all_in,
				.endpoints_only = !c->others && !c->mesh && !c->access.n};

	if (!c->ready && all_in)
		return 0;
	if (!c->entries && !c->mesh && !c->access.n)
		return UINT64_MAX;
	if (HASH_COUNT(c->entries) >= PD_CONTROL_BATCH_MAX)
		return 0;
	return pd_debounce_until(&c->config, &d);
}

static void *control_main(void *arg)
{
	struct pd_control *c = arg;
	struct entry *entries;
	uint64_t due, drained;
	struct batch b;
	bool pushing;

	pthread_mutex_lock(&c->lock);
	while (!c->stop) {
		drained = c->drained;
		pthread_mutex_unlock(&c->lock);
		pushing = c->x && pd_xds_pushing(c->x); // takes a lock that comes before ours
		pthread_mutex_lock(&c->lock);
		if (c->stop)
			break;
		if (drained != c->drained) // it was done between the two locks
			continue;
		due = due_locked(c, pushing);
		if (due > pd_now_ns()) {
			wait_locked(c, due);
			continue;
		}
		take_locked(c, &b, &entries);
		pthread_mutex_unlock(&c->lock);
		apply(c, &b, entries);
		pthread_mutex_lock(&c->lock);
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

// ---- life --------------------------------------------------------------------------------------------------------------

struct pd_control *pd_control_new(struct pd_engine *engine, struct pd_xds *x, const struct pd_control_config *config)
{
	struct pd_control *c = pd_xcalloc(1, sizeof(*c));
	pthread_condattr_t monotonic;

	c->sink = (struct pd_sink){.changes = on_changes, .synced = on_synced};
	c->engine = engine;
	c->x = x;
	c->config = *config;
	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&c->wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
	if (x)
		pd_xds_on_drained(x, on_drained, c);
	return c;
}

struct pd_sink *pd_control_sink(struct pd_control *c)
{
	return &c->sink;
}

void pd_control_start(struct pd_control *c)
{
	c->started = true;
	PD_ASSERT(pthread_create(&c->thread, NULL, control_main, c) == 0);
}

void pd_control_free(struct pd_control **cp)
{
	struct pd_control *c = *cp;
	struct entry *e, *tmp;

	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	c->stop = true;
	pthread_cond_signal(&c->wake);
	pthread_mutex_unlock(&c->lock);
	if (c->started)
		pthread_join(c->thread, NULL);
	if (c->x)
		pd_xds_on_drained(c->x, NULL, NULL);
	HASH_ITER(hh, c->entries, e, tmp)
	{
		HASH_DEL(c->entries, e);
		pd_obj_unref(e->next);
		entry_free(e);
	}
	pd_obj_unref(c->mesh);
	for (size_t i = 0; i < c->access.n; i++) {
		free(c->access.v[i].ns);
		free(c->access.v[i].account);
	}
	pd_vec_free(&c->access);
	pthread_mutex_destroy(&c->lock);
	pthread_cond_destroy(&c->wake);
	free(c);
	*cp = NULL;
}

void pd_control_stats(struct pd_control *c, struct pd_control_stats *out)
{
	pthread_mutex_lock(&c->lock);
	*out = c->stats;
	out->waiting = HASH_COUNT(c->entries);
	pthread_mutex_unlock(&c->lock);
}
