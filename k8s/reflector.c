// The state machine: see k8s/reflector.h.
//
// At any time a reflector has either one call under way (a page, or a stream) or one timer (phase WAITING, FORBIDDEN,
// NOT_SERVED), never both, never neither.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "k8s/reflector_impl.h"

static void sync_begin(struct pd_k8s_reflector *r);
static void watch_begin(struct pd_k8s_reflector *r);
static void page_begin(struct pd_k8s_reflector *r, const char *next);

// ---- small things ---------------------------------------------------------------------------------------------------

uint64_t pd_k8s_backoff(unsigned failures, uint64_t min_ms, uint64_t max_ms)
{
	uint64_t ms = min_ms << (failures < 20 ? failures : 20);

	ms = ms > max_ms ? max_ms : ms;
	return ms / 2 + arc4random_uniform((uint32_t)(ms - ms / 2) + 1);
}

void pd_k8s_reflector_path(const struct pd_k8s_reflector *r, const char *ns, struct pd_buf *out)
{
	pd_buf_adds(out, r->base);
	if (ns) {
		pd_buf_adds(out, "/namespaces/");
		pd_k8s_path_add(out, ns);
	}
	pd_buf_printf(out, "/%s?", r->resource);
	if (r->field_selector) {
		pd_buf_adds(out, "fieldSelector=");
		pd_k8s_path_add(out, r->field_selector);
		pd_buf_addc(out, '&');
	}
}

static void flush(struct pd_k8s_reflector *r, bool more)
{
	r->status.objects = r->known.n;
	r->handler.flush(r->handler.user, more);
}

static void set_phase(struct pd_k8s_reflector *r, enum pd_k8s_phase phase)
{
	r->status.phase = phase;
	r->handler.changed(r->handler.user);
}

static void call_end(struct pd_k8s_reflector *r)
{
	r->transport.cancel(r->transport.ctx, r->call);
	r->transport.timer_cancel(r->transport.ctx, r->timer);
	r->call = r->timer = 0;
	pd_k8s_list_free(&r->list);
	pd_k8s_frames_free(&r->frames);
	r->why.text[0] = 0;
	r->failed = r->heard = false;
	r->since_ms = 0;
}

// A call that went well: what failed before is over.
static void went_well(struct pd_k8s_reflector *r)
{
	r->failures = r->denials = 0;
	r->status.error[0] = 0;
	if (r->warned)
		pd_info("k8s", "%s: followed again", r->title);
	r->warned = false;
	r->warned_of = PD_K8S_SYNCING;
}

// ---- objects --------------------------------------------------------------------------------------------------------

bool pd_k8s_reflector_wants(const struct pd_k8s_reflector *r, const char *ns)
{
	return !r->handler.wanted || r->handler.wanted(r->handler.user, ns);
}

// Interned for the time of a look-up.
static struct pd_k8s_known_entry *known(const struct pd_k8s_reflector *r, const char **ns, const char **name)
{
	*ns = pd_intern(*ns);
	*name = pd_intern(*name);
	return pd_k8s_known_get(&r->known, *ns, *name);
}

static bool same(const struct pd_k8s_known_entry *e, const struct pd_k8s_item *item)
{
	return e->rv && e->rv == item->rv_number && e->uid_hash == item->uid_hash;
}

// An object whose bytes are broken. PD_OK: passed over, its last good version stays.
static int put_broken(struct pd_k8s_reflector *r, int rc, const struct pd_k8s_item *item)
{
	if (r->broken < PD_K8S_BROKEN_TRIES)
		return rc;
	pd_error("k8s", "%s: %s/%s is passed over: %s", r->title, item->ns, item->name, r->why.text);
	r->why.text[0] = 0;
	r->status.skipped++;
	return PD_OK;
}

static void note(struct pd_k8s_reflector *r, struct pd_k8s_known_entry *e, const struct pd_k8s_item *item,
		 const char *ns, const char *name)
{
	if (!e)
		e = pd_k8s_known_add(&r->known, ns, name);
	e->rv = item->rv_number;
	e->uid_hash = item->uid_hash;
	e->mark = r->mark;
}

int pd_k8s_reflector_put(struct pd_k8s_reflector *r, const struct pd_k8s_item *item, bool authoritative)
{
	const char *ns = item->ns, *name = item->name;
	struct pd_k8s_known_entry *e;
	int rc = PD_OK;

	if (!pd_k8s_reflector_wants(r, ns))
		return PD_OK;
	e = known(r, &ns, &name);
	if (e && same(e, item)) {
		r->status.unchanged++;
		e->mark = r->mark;
	} else if (e && !authoritative && e->uid_hash == item->uid_hash && item->rv_number && item->rv_number < e->rv) {
		r->status.repeated++;
	} else {
		rc = r->handler.put(r->handler.user, item, &r->why);
		if (!rc)
			note(r, e, item, ns, name);
		else if (e)
			e->mark = r->mark; // it is there, whatever it says
		if (rc)
			rc = put_broken(r, rc, item);
	}
	pd_unintern(ns);
	pd_unintern(name);
	return rc;
}

static void remove_entry(struct pd_k8s_reflector *r, struct pd_k8s_known_entry *e)
{
	r->handler.remove(r->handler.user, e->ns, e->name);
	pd_k8s_known_remove(&r->known, e);
}

static void remove_item(struct pd_k8s_reflector *r, const struct pd_k8s_item *item)
{
	const char *ns = item->ns, *name = item->name;
	struct pd_k8s_known_entry *e = known(r, &ns, &name);

	pd_k8s_fetch_removed(r, ns, name);
	if (e && e->rv && item->rv_number && item->rv_number < e->rv)
		r->status.repeated++;
	else if (e)
		remove_entry(r, e);
	pd_unintern(ns);
	pd_unintern(name);
}

// ---- after a failure ------------------------------------------------------------------------------------------------

static void on_timer(void *user)
{
	struct pd_k8s_reflector *r = user;

	r->timer = 0;
	if (r->syncing)
		sync_begin(r);
	else
		watch_begin(r);
}

static void wait_for(struct pd_k8s_reflector *r, enum pd_k8s_phase phase, uint64_t ms)
{
	flush(r, false);
	call_end(r);
	r->timer = r->transport.after(r->transport.ctx, ms, on_timer, r);
	set_phase(r, phase);
}

// The server does not have the version any more, or not yet: everything is listed again, the first time at once.
static void expire(struct pd_k8s_reflector *r)
{
	unsigned before = r->expired++;

	r->status.expired++;
	pd_info("k8s", "%s: version %s is gone, listing again", r->title, r->status.rv);
	r->syncing = true;
	if (before)
		wait_for(r, PD_K8S_WAITING, pd_k8s_backoff(before - 1, PD_K8S_BACKOFF_MIN_MS, PD_K8S_BACKOFF_MAX_MS));
	else
		sync_begin(r);
}

static bool is_expired(int code, const struct pd_k8s_status *s)
{
	// A version from the future: the server was set back, or is behind another replica.
	return code == 410 || (code == 504 && strstr(s->message, "Too large resource version"));
}

// A stream that was lost is mostly there again at once: the second failure in a row is worth a warning, and so is the first
// refusal; each once while it lasts.
static void say(struct pd_k8s_reflector *r, enum pd_k8s_phase phase, const char *text)
{
	bool warn = phase == PD_K8S_WAITING ? r->failures && !r->warned : r->warned_of != phase;

	pd_log(warn ? PD_LOG_WARN : PD_LOG_DEBUG, "k8s", "%s: %s", r->title, text);
	if (warn) {
		r->warned = true;
		r->warned_of = phase;
	}
	snprintf(r->status.error, sizeof(r->status.error), "%s", *text ? text : "failed");
}

static enum pd_k8s_phase phase_of(int code)
{
	if (code == 401 || code == 403)
		return PD_K8S_FORBIDDEN;
	return code == 404 ? PD_K8S_NOT_SERVED : PD_K8S_WAITING;
}

// The time to wait and the phase to wait in, by the code of the answer (0 = there was none).
static void wait_by_code(struct pd_k8s_reflector *r, int code, uint32_t retry_after_ms)
{
	enum pd_k8s_phase phase = phase_of(code);
	uint64_t ms;

	if (phase == PD_K8S_WAITING) {
		r->denials = 0;
		ms = pd_k8s_backoff(r->failures++, PD_K8S_BACKOFF_MIN_MS, PD_K8S_BACKOFF_MAX_MS);
	} else {
		r->failures = 0;
		ms = pd_k8s_backoff(r->denials++, PD_K8S_DENIED_MIN_MS, PD_K8S_DENIED_MAX_MS);
	}
	if (retry_after_ms > PD_K8S_RETRY_AFTER_MAX_MS)
		retry_after_ms = PD_K8S_RETRY_AFTER_MAX_MS;
	if (retry_after_ms > ms) // everybody was told the same
		ms = retry_after_ms + arc4random_uniform(retry_after_ms / 4 + 1);
	wait_for(r, phase, ms);
}

// A server that cannot stream lists says so with 400 or 422; one that breaks them again and again is not asked again.
static bool gives_up_streaming(struct pd_k8s_reflector *r, int code)
{
	if (!r->syncing || !r->streaming)
		return false;
	if (code >= 400 && code < 500)
		return code != 401 && code != 403 && code != 404 && code != 429;
	return r->since_ms && ++r->stream_failures >= PD_K8S_STREAM_TRIES;
}

static void fail(struct pd_k8s_reflector *r, int code, const struct pd_k8s_status *s, const char *text)
{
	r->status.failures++;
	if (is_expired(code, s)) {
		expire(r);
		return;
	}
	if (gives_up_streaming(r, code)) {
		pd_info("k8s", "%s: no streamed list, taking pages: %s", r->title, text);
		r->no_stream = true;
		r->stream_failures = 0;
		sync_begin(r);
		return;
	}
	say(r, phase_of(code), text);
	wait_by_code(r, code, s->retry_after_ms);
}

// The end of a call that is not what it should be. result->err may be what on_data returned.
static void fail_call(struct pd_k8s_reflector *r, const struct pd_k8s_result *result)
{
	struct pd_k8s_status error = r->error;

	r->call = 0;
	if (r->failed) {
		fail(r, error.code ? error.code : 500, &error, error.message);
	} else if (*r->why.text) {
		struct pd_k8s_wire_error why = r->why;

		r->status.broken++;
		if (++r->broken > PD_K8S_BROKEN_TRIES)
			r->syncing = true; // it does not get better from here
		fail(r, 0, &result->status, why.text);
	} else if (result->err) {
		fail(r, result->code, &result->status, result->status.message);
	} else {
		fail(r, 0, &result->status, "the server ended the stream before its time");
	}
}

// ---- the list, in pages ---------------------------------------------------------------------------------------------

static void list_whole(struct pd_k8s_reflector *r, const char *rv, uint64_t number)
{
	for (size_t i = r->known.n; i-- > 0;)
		if (r->known.v[i].mark != r->mark)
			remove_entry(r, &r->known.v[i]);
	memcpy(r->status.rv, rv, strlen(rv) + 1);
	r->high = number;
	r->syncing = false;
	r->status.synced = true;
	r->stream_failures = r->broken = 0;
	went_well(r);
	flush(r, false);
}

static void on_headers(void *user, int code, const char *content_type)
{
	struct pd_k8s_reflector *r = user;

	(void)code;
	r->list.form = r->frames.form = pd_k8s_form_of(content_type);
	r->since_ms = r->transport.now_ms(r->transport.ctx);
}

static int on_item(void *user, const struct pd_k8s_item *item)
{
	struct pd_k8s_reflector *r = user;

	return pd_k8s_reflector_put(r, item, true);
}

static int on_page_data(void *user, const void *p, size_t n)
{
	struct pd_k8s_reflector *r = user;
	int rc = pd_k8s_list_feed(&r->list, p, n, on_item, r, &r->why);

	flush(r, true);
	return rc;
}

static void on_page_done(void *user, const struct pd_k8s_result *result)
{
	struct pd_k8s_reflector *r = user;
	char *next;

	if (result->err || pd_k8s_list_end(&r->list, &r->why)) {
		fail_call(r, result);
		return;
	}
	r->call = 0;
	next = r->list.next;
	r->list.next = NULL;
	if (next) {
		page_begin(r, next);
	} else {
		char rv[PD_K8S_RV_MAX];

		memcpy(rv, r->list.rv, sizeof(rv));
		list_whole(r, rv, pd_k8s_version_number(rv));
		watch_begin(r);
	}
	free(next);
}

static void page_begin(struct pd_k8s_reflector *r, const char *next)
{
	struct pd_k8s_request req = {.accept = r->accept,
				     .on_headers = on_headers,
				     .on_data = on_page_data,
				     .on_done = on_page_done,
				     .user = r};
	struct pd_buf path = {0};

	call_end(r);
	r->streaming = false;
	pd_k8s_reflector_path(r, r->ns, &path);
	pd_buf_printf(&path, "limit=%d", PD_K8S_PAGE);
	if (next) {
		pd_buf_adds(&path, "&continue=");
		pd_k8s_path_add(&path, next);
	}
	req.path = path.p;
	r->status.pages++;
	r->call = r->transport.call(r->transport.ctx, &req);
	pd_buf_free(&path);
}

// ---- streams --------------------------------------------------------------------------------------------------------

static void on_bookmark(struct pd_k8s_reflector *r, const struct pd_k8s_event *e)
{
	r->status.bookmarks++;
	if (r->syncing && !e->initial_end)
		return;
	if (r->syncing) {
		list_whole(r, e->item.rv, e->item.rv_number);
		set_phase(r, PD_K8S_WATCHING);
	} else {
		memcpy(r->status.rv, e->item.rv, sizeof(r->status.rv));
		r->expired = r->broken = 0;
	}
}

// An event that changes something. The point to resume from moves on, unless a bookmark has put it further already.
static int on_change(struct pd_k8s_reflector *r, const struct pd_k8s_event *e)
{
	const struct pd_k8s_item *item = &e->item;
	int rc = PD_OK;

	r->status.events++;
	if (!r->syncing && r->high && item->rv_number && item->rv_number <= r->high) {
		r->status.repeated++;
		return PD_OK;
	}
	if (e->type == PD_K8S_DELETED)
		remove_item(r, item);
	else
		rc = pd_k8s_reflector_put(r, item, r->syncing);
	if (rc || r->syncing)
		return rc;
	r->broken = r->expired = 0;
	if (item->rv_number)
		r->high = item->rv_number;
	if (!item->rv_number || item->rv_number > pd_k8s_version_number(r->status.rv))
		memcpy(r->status.rv, item->rv, sizeof(r->status.rv));
	return PD_OK;
}

static int on_event(void *user, const struct pd_k8s_event *e)
{
	struct pd_k8s_reflector *r = user;

	if (e->type == PD_K8S_ERROR) {
		r->error = e->status;
		r->failed = true;
		return PD_E_CLOSED;
	}
	if (e->type == PD_K8S_BOOKMARK) {
		on_bookmark(r, e);
	} else {
		int rc = on_change(r, e);

		if (rc)
			return rc;
	}
	r->heard = true;
	return PD_OK;
}

static int on_stream_data(void *user, const void *p, size_t n)
{
	struct pd_k8s_reflector *r = user;
	int rc = pd_k8s_frames_feed(&r->frames, p, n, on_event, r, &r->why);

	if (!rc && !r->syncing && r->heard)
		went_well(r);
	flush(r, r->syncing || pd_k8s_frames_partial(&r->frames));
	return rc;
}

static void on_stream_done(void *user, const struct pd_k8s_result *result)
{
	struct pd_k8s_reflector *r = user;
	uint64_t lasted = r->since_ms ? r->transport.now_ms(r->transport.ctx) - r->since_ms : 0;
	bool fine = r->heard || lasted >= PD_K8S_SHORT_WATCH_MS;

	if (fine && !r->syncing && !r->failed && !*r->why.text)
		r->failures = 0;
	if (result->err || r->failed || r->syncing || !fine) {
		fail_call(r, result);
		return;
	}
	r->call = 0;
	watch_begin(r);
}

static void stream_query(const struct pd_k8s_reflector *r, struct pd_buf *path)
{
	pd_buf_printf(path, "watch=true&allowWatchBookmarks=true&timeoutSeconds=%u",
		      PD_K8S_WATCH_MIN_S + arc4random_uniform(PD_K8S_WATCH_MIN_S));
	if (r->syncing) {
		pd_buf_adds(path, "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan");
	} else {
		pd_buf_adds(path, "&resourceVersion=");
		pd_k8s_path_add(path, r->status.rv);
	}
}

static void watch_begin(struct pd_k8s_reflector *r)
{
	struct pd_k8s_request req = {.accept = r->accept_watch,
				     .watch = true,
				     .on_headers = on_headers,
				     .on_data = on_stream_data,
				     .on_done = on_stream_done,
				     .user = r};
	struct pd_buf path = {0};

	call_end(r);
	r->streaming = true;
	pd_k8s_reflector_path(r, r->ns, &path);
	stream_query(r, &path);
	req.path = path.p;
	r->status.watches++;
	r->call = r->transport.call(r->transport.ctx, &req);
	pd_buf_free(&path);
	if (!r->syncing)
		set_phase(r, PD_K8S_WATCHING);
}

static void sync_begin(struct pd_k8s_reflector *r)
{
	call_end(r);
	pd_k8s_fetch_cancel_all(r); // this list shows their namespaces too, and newer
	r->mark++;
	r->syncing = true;
	r->status.lists++;
	set_phase(r, PD_K8S_SYNCING);
	if (r->no_stream) {
		page_begin(r, NULL);
	} else {
		r->status.streamed++;
		watch_begin(r);
	}
}

// ---- life -----------------------------------------------------------------------------------------------------------

static char *copy(const char *s)
{
	return s ? pd_xstrdup(s) : NULL;
}

struct pd_k8s_reflector *pd_k8s_reflector_new(const struct pd_k8s_reflector_config *cfg)
{
	struct pd_k8s_reflector *r = pd_xcalloc(1, sizeof(*r));

	r->title = copy(cfg->title);
	r->base = copy(cfg->base);
	r->resource = copy(cfg->resource);
	r->ns = copy(cfg->ns);
	r->field_selector = copy(cfg->field_selector);
	r->accept = copy(cfg->accept);
	r->accept_watch = copy(cfg->accept_watch ? cfg->accept_watch : cfg->accept);
	r->no_stream = cfg->no_stream;
	r->transport = cfg->transport;
	r->handler = cfg->handler;
	sync_begin(r);
	return r;
}

void pd_k8s_reflector_free(struct pd_k8s_reflector **rp, bool forget)
{
	struct pd_k8s_reflector *r = *rp;

	if (!r)
		return;
	*rp = NULL;
	pd_k8s_fetch_cancel_all(r);
	call_end(r);
	while (forget && r->known.n)
		remove_entry(r, &r->known.v[r->known.n - 1]);
	if (forget)
		flush(r, false);
	pd_k8s_known_free(&r->known);
	free(r->title);
	free(r->base);
	free(r->resource);
	free(r->ns);
	free(r->field_selector);
	free(r->accept);
	free(r->accept_watch);
	free(r);
}

void pd_k8s_reflector_move(struct pd_k8s_reflector *r, const char *base)
{
	if (pd_streq(r->base, base))
		return;
	free(r->base);
	r->base = pd_xstrdup(base);
	pd_k8s_reflector_resync(r);
}

void pd_k8s_reflector_resync(struct pd_k8s_reflector *r)
{
	r->failures = 0;
	flush(r, false);
	sync_begin(r);
}

void pd_k8s_reflector_nudge(struct pd_k8s_reflector *r)
{
	if (r->status.phase != PD_K8S_FORBIDDEN && r->status.phase != PD_K8S_NOT_SERVED)
		return;
	r->transport.timer_cancel(r->transport.ctx, r->timer);
	on_timer(r);
}

void pd_k8s_reflector_prune(struct pd_k8s_reflector *r)
{
	pd_k8s_fetch_prune(r);
	for (size_t i = r->known.n; i-- > 0;)
		if (!pd_k8s_reflector_wants(r, r->known.v[i].ns))
			remove_entry(r, &r->known.v[i]);
	flush(r, false);
}

const struct pd_k8s_reflector_status *pd_k8s_reflector_status(const struct pd_k8s_reflector *r)
{
	return &r->status;
}

size_t pd_k8s_reflector_memory(const struct pd_k8s_reflector *r)
{
	return pd_k8s_known_memory(&r->known);
}
