#include "k8s/leader.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "k8s/leader_record.h"
#include "k8s/write_impl.h"

struct pd_k8s_leader {
	struct pd_k8s_client *client;
	char *ns, *name, *identity;
	bool config_map;
	uint32_t lease_ms, renew_ms, retry_ms;
	void (*on_change)(void *user, bool leads);
	void *user;
	_Atomic uint64_t valid_until_ms; // we lead until then; 0 = we do not

	// The loop's.
	bool leads; // as on_change was told
	bool stopping;
	uint64_t call, timer; // the call in flight; when to look next
	uint64_t expiry;      // timer: when leadership ends
	uint64_t try_ms;      // when the write in flight began
	char *lock;           // JSON as last read or written; NULL = not known
	char *seen;           // record as last seen: "HOLDER RENEWED TRANSITIONS"
	uint64_t seen_ms;     // since when
	uint64_t seen_lease_ms;

	pthread_mutex_t mutex;
	pthread_cond_t released;
	// Under mutex.
	struct pd_k8s_leader_state state;
	bool is_released;
};

static void look(void *user);
bool pd_k8s_leader_is(const struct pd_k8s_leader *l)
{
	return pd_now_ms() < atomic_load(&((struct pd_k8s_leader *)l)->valid_until_ms);
}

// ---- leadership begins and ends

static void note_change(struct pd_k8s_leader *l, bool leads)
{
	l->leads = leads;
	pthread_mutex_lock(&l->mutex);
	l->state.changes++;
	pthread_mutex_unlock(&l->mutex);
	pd_info("leader", "%s/%s: %s %s", l->ns, l->name, l->identity, leads ? "leads" : "does not lead any more");
	if (l->on_change)
		l->on_change(l->user, leads);
}

static void lose(struct pd_k8s_leader *l)
{
	atomic_store(&l->valid_until_ms, 0);
	pd_k8s_timer_cancel(l->client, l->expiry);
	l->expiry = 0;
	if (l->leads)
		note_change(l, false);
}

static void expire(void *user)
{
	struct pd_k8s_leader *l = user;

	l->expiry = 0;
	pd_warn("leader", "%s/%s: could not be renewed in time", l->ns, l->name);
	lose(l);
}

// A write that began at try_ms says that the lock is ours. If the answer came too late, it is ours but of no use yet.
static void win(struct pd_k8s_leader *l)
{
	uint64_t until = l->try_ms + l->renew_ms, now = pd_now_ms();

	if (now >= until) {
		lose(l);
		return;
	}
	pd_k8s_timer_cancel(l->client, l->expiry);
	l->expiry = pd_k8s_after(l->client, until - now, expire, l);
	atomic_store(&l->valid_until_ms, until);
	if (!l->leads)
		note_change(l, true);
}

// ---- what we know of the lock

static void note_state(struct pd_k8s_leader *l, const char *holder, const char *error)
{
	pthread_mutex_lock(&l->mutex);
	if (holder)
		snprintf(l->state.holder, sizeof(l->state.holder), "%s", holder);
	snprintf(l->state.error, sizeof(l->state.error), "%.*s", (int)sizeof(l->state.error) - 1, error);
	pthread_mutex_unlock(&l->mutex);
}

static void forget_lock(struct pd_k8s_leader *l)
{
	free(l->lock);
	l->lock = NULL;
}

// A record that differs from the last one is news of its holder.
static void observe(struct pd_k8s_leader *l, const struct pd_k8s_record *r)
{
	char *now = pd_xasprintf("%s %s %lld", pd_or(r->holder, ""), pd_or(r->renew, ""), (long long)r->transitions);

	if (pd_streq(now, l->seen)) {
		free(now);
		return;
	}
	free(l->seen);
	l->seen = now;
	l->seen_ms = pd_now_ms();
	l->seen_lease_ms = r->duration_s > 0 && r->duration_s < 86400 ? (uint64_t)r->duration_s * 1000 : l->lease_ms;
}

static void schedule(struct pd_k8s_leader *l)
{
	if (!l->stopping)
		l->timer = pd_k8s_after(l->client, l->retry_ms + arc4random_uniform(l->retry_ms / 5 + 1), look, l);
}

// ---- calls

static void path_of(const struct pd_k8s_leader *l, bool with_name, struct pd_buf *out)
{
	pd_buf_adds(out, l->config_map ? "/api/v1" : "/apis/coordination.k8s.io/v1");
	pd_buf_adds(out, "/namespaces/");
	pd_k8s_path_add(out, l->ns);
	pd_buf_adds(out, l->config_map ? "/configmaps" : "/leases");
	if (with_name) {
		pd_buf_addc(out, '/');
		pd_k8s_path_add(out, l->name);
	}
}

static void send(struct pd_k8s_leader *l, const char *method, const struct pd_buf *body,
		 void (*done)(void *, const struct pd_k8s_result *))
{
	struct pd_buf path = {0};
	struct pd_k8s_request q = {.method = method,
				   .timeout_ms = l->stopping ? PD_K8S_RELEASE_MS / 2 : l->renew_ms,
				   .on_done = done,
				   .user = l};

	path_of(l, strcmp(method, "POST") != 0, &path);
	q.path = path.p;
	q.body = body ? body->p : NULL;
	q.body_len = body ? body->n : 0;
	l->call = pd_k8s_call(l->client, &q);
	pd_buf_free(&path);
}

static void failed(struct pd_k8s_leader *l, const struct pd_k8s_result *r)
{
	note_state(l, NULL, r->status.message);
	pd_debug("leader", "%s/%s: %s", l->ns, l->name, r->status.message);
	schedule(l);
}

// The answer to our taking or renewing the lock.
static void on_written(void *user, const struct pd_k8s_result *r)
{
	struct pd_k8s_leader *l = user;

	l->call = 0;
	forget_lock(l); // after a failure who knows what it is
	if (!r->err) {
		l->lock = pd_xstrndup(r->body, r->body_len);
		note_state(l, l->identity, "");
		win(l);
		schedule(l);
	} else if (r->code == 409 && l->leads) {
		look(l); // somebody else wrote it: is it still ours?
	} else {
		failed(l, r);
	}
}

// Takes or renews the lock, given as it is (NULL: there is none).
static void write_lock(struct pd_k8s_leader *l, struct pd_arena *a, struct pd_json *lock,
		       const struct pd_k8s_record *old)
{
	bool ours = lock && pd_streq(old->holder, l->identity);
	struct pd_k8s_record r = {.holder = l->identity, .duration_s = (l->lease_ms + 999) / 1000};
	struct pd_buf body = {0};

	r.renew = pd_k8s_record_time(a, l->config_map);
	r.acquire = ours && old->acquire ? old->acquire : r.renew;
	r.transitions = old->transitions + (lock && !ours);
	if (lock) {
		pd_k8s_record_write(a, lock, l->config_map, &r);
		pd_json_print(&body, lock, false);
		l->try_ms = pd_now_ms();
		send(l, "PUT", &body, on_written);
	} else {
		lock = pd_k8s_record_lock(a, l->config_map, l->ns, l->name);
		pd_k8s_record_write(a, lock, l->config_map, &r);
		pd_json_print(&body, lock, false);
		l->try_ms = pd_now_ms();
		send(l, "POST", &body, on_written);
	}
	pd_buf_free(&body);
}

// Whether the record lets us take the lock.
static bool is_free(const struct pd_k8s_leader *l, const struct pd_k8s_record *r)
{
	return pd_empty(r->holder) || pd_streq(r->holder, l->identity) || pd_now_ms() >= l->seen_ms + l->seen_lease_ms;
}

// Goes by the lock as it is. False: the text is no JSON.
static bool consider(struct pd_k8s_leader *l, const char *text, size_t len)
{
	struct pd_arena a = {0};
	struct pd_k8s_record r;
	struct pd_json *lock;
	int rc = pd_json_parse(&a, text, len, &lock, NULL);

	if (!rc) {
		pd_k8s_record_read(&a, lock, l->config_map, &r);
		observe(l, &r);
		note_state(l, pd_or(r.holder, ""), "");
		if (l->leads && !pd_streq(r.holder, l->identity))
			lose(l);
		if (is_free(l, &r))
			write_lock(l, &a, lock, &r);
		else
			schedule(l);
	}
	pd_arena_free(&a);
	return !rc;
}

static void on_read(void *user, const struct pd_k8s_result *r)
{
	struct pd_k8s_leader *l = user;
	struct pd_k8s_result bad = *r;
	struct pd_arena a = {0};

	l->call = 0;
	if (r->code == 404) {
		write_lock(l, &a, NULL, &(struct pd_k8s_record){0});
	} else if (r->err) {
		failed(l, r);
	} else if (!consider(l, r->body, r->body_len)) {
		pd_k8s_result_text(&bad, "the lock is not JSON");
		failed(l, &bad);
	}
	pd_arena_free(&a);
}

// Renews from what we wrote last, without reading; else reads.
static void look(void *user)
{
	struct pd_k8s_leader *l = user;
	char *lock = l->lock;

	l->timer = 0;
	l->lock = NULL;
	if (!lock || !pd_k8s_leader_is(l) || !consider(l, lock, strlen(lock)))
		send(l, "GET", NULL, on_read);
	free(lock);
}

// ---- release

static void note_released(struct pd_k8s_leader *l)
{
	pthread_mutex_lock(&l->mutex);
	l->is_released = true;
	pthread_cond_signal(&l->released);
	pthread_mutex_unlock(&l->mutex);
}

static void on_released(void *user, const struct pd_k8s_result *r)
{
	struct pd_k8s_leader *l = user;

	l->call = 0;
	if (r->err)
		pd_warn("leader", "%s/%s: not released: %s", l->ns, l->name, r->status.message);
	note_released(l);
}

// The lock as it is now: if it is ours, it becomes nobody's.
static void on_read_last(void *user, const struct pd_k8s_result *r)
{
	struct pd_k8s_leader *l = user;
	struct pd_arena a = {0};
	struct pd_k8s_record record;
	struct pd_buf body = {0};
	struct pd_json *lock;

	l->call = 0;
	if (r->err || pd_json_parse(&a, r->body, r->body_len, &lock, NULL)) {
		on_released(l, r);
	} else {
		pd_k8s_record_read(&a, lock, l->config_map, &record);
		if (!pd_streq(record.holder, l->identity)) {
			note_released(l);
		} else {
			record.holder = "";
			record.duration_s = 1;
			record.renew = pd_k8s_record_time(&a, l->config_map);
			pd_k8s_record_write(&a, lock, l->config_map, &record);
			pd_json_print(&body, lock, false);
			send(l, "PUT", &body, on_released);
		}
	}
	pd_buf_free(&body);
	pd_arena_free(&a);
}

// A write of ours may be under way, and it may make us the holder after all: so the lock is read even if we do not lead.
static void release(void *user)
{
	struct pd_k8s_leader *l = user;
	bool may_hold = l->leads || l->call;

	l->stopping = true;
	pd_k8s_cancel(l->client, l->call);
	pd_k8s_timer_cancel(l->client, l->timer);
	l->call = l->timer = 0;
	lose(l);
	if (may_hold)
		send(l, "GET", NULL, on_read_last);
	else
		note_released(l);
}

// ---- life

void pd_k8s_leader_free(struct pd_k8s_leader **lp)
{
	struct pd_k8s_leader *l = *lp;

	if (!l)
		return;
	pd_k8s_run_wait(l->client, release, l);
	pthread_mutex_lock(&l->mutex);
	while (!l->is_released) // both calls have a time limit
		pthread_cond_wait(&l->released, &l->mutex);
	pthread_mutex_unlock(&l->mutex);
	pthread_mutex_destroy(&l->mutex);
	pthread_cond_destroy(&l->released);
	free(l->ns);
	free(l->name);
	free(l->identity);
	free(l->lock);
	free(l->seen);
	free(l);
	*lp = NULL; // not before: on_change may ask
}

int pd_k8s_leader_new(const struct pd_k8s_leader_options *o, struct pd_k8s_leader **out)
{
	struct pd_k8s_leader *l = pd_xcalloc(1, sizeof(*l));
	int rc;

	l->client = o->client;
	l->ns = pd_xstrdup(o->ns);
	l->name = pd_xstrdup(o->name);
	l->identity = pd_xstrdup(o->identity);
	l->config_map = o->config_map;
	l->lease_ms = o->lease_ms ? o->lease_ms : PD_K8S_LEASE_MS;
	l->renew_ms = o->renew_ms ? o->renew_ms : PD_K8S_RENEW_MS;
	l->retry_ms = o->retry_ms ? o->retry_ms : PD_K8S_RETRY_MS;
	PD_ASSERT(*l->identity && l->retry_ms < l->renew_ms && l->renew_ms < l->lease_ms);
	l->on_change = o->on_change;
	l->user = o->user;
	pthread_mutex_init(&l->mutex, NULL);
	pthread_cond_init(&l->released, NULL);
	*out = l;
	rc = pd_k8s_post(o->client, look, l);
	if (rc) {
		pthread_mutex_destroy(&l->mutex);
		pthread_cond_destroy(&l->released);
		free(l->ns);
		free(l->name);
		free(l->identity);
		free(l);
		*out = NULL;
	}
	return rc;
}

void pd_k8s_leader_state(struct pd_k8s_leader *l, struct pd_k8s_leader_state *out)
{
	pthread_mutex_lock(&l->mutex);
	*out = l->state;
	pthread_mutex_unlock(&l->mutex);
	out->leads = pd_k8s_leader_is(l);
}
