// Calls from the queue to their end.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "k8s/client_impl.h"

// ---- making and unmaking

static void copy_request(struct pd_k8s_call *call, const struct pd_k8s_request *r)
{
	struct pd_arena *a = &call->arena;
	char *body;

	call->req = *r;
	call->req.method = pd_arena_strdup(a, pd_or(r->method, "GET"));
	call->req.path = pd_arena_strdup(a, r->path);
	call->req.accept = r->accept ? pd_arena_strdup(a, r->accept) : NULL;
	call->req.content_type = r->content_type ? pd_arena_strdup(a, r->content_type) : NULL;
	if (r->body) {
		body = pd_arena_bytes(a, r->body_len + 1);
		memcpy(body, r->body, r->body_len);
		call->req.body = body;
	}
	if (!r->timeout_ms && !r->watch)
		call->req.timeout_ms = PD_K8S_TIMEOUT_MS;
	if (!r->idle_ms && r->watch)
		call->req.idle_ms = PD_K8S_WATCH_IDLE_MS;
}

static void count(struct pd_k8s_client *c)
{
	c->counters.waiting = c->n_waiting;
	c->counters.active = c->n_active;
	c->counters.watches = c->n_watches;
	c->counters.renewals = pd_k8s_auth_renewals(c->auth);
}

uint64_t pd_k8s_call(struct pd_k8s_client *c, const struct pd_k8s_request *r)
{
	struct pd_k8s_call *call = pd_xcalloc(1, sizeof(*call));

	PD_ASSERT(pd_k8s_on_loop(c));
	PD_ASSERT(r->path && *r->path == '/' && r->on_done);
	call->client = c;
	call->id = ++c->last_id;
	call->arena.secret = true;
	copy_request(call, r);
	if (c->n_waiting >= PD_K8S_QUEUE_MAX) {
		call->preset = PD_E_LIMIT;
		call->preset_text = "too many calls are waiting";
	} else if (r->watch && c->n_watches >= PD_K8S_WATCHES_MAX) {
		call->preset = PD_E_LIMIT;
		call->preset_text = "too many watches";
	}
	c->n_watches += r->watch;
	c->n_waiting++;
	if (call->preset) // what is refused must not wait behind others
		TAILQ_INSERT_HEAD(&c->waiting, call, link);
	else
		TAILQ_INSERT_TAIL(&c->waiting, call, link);
	count(c);
	return call->id;
}

// Takes a call off its list and off curl.
static void detach(struct pd_k8s_call *call)
{
	struct pd_k8s_client *c = call->client;

	if (call->active) {
		TAILQ_REMOVE(&c->active, call, link);
		c->n_active--;
		curl_multi_remove_handle(c->multi, call->easy);
		pd_k8s_curl_close(call);
		call->active = false;
	} else {
		TAILQ_REMOVE(&c->waiting, call, link);
		c->n_waiting--;
	}
}

static void discard(struct pd_k8s_call *call)
{
	struct pd_k8s_client *c = call->client;

	c->n_watches -= call->req.watch;
	if (call->body.p)
		explicit_bzero(call->body.p, call->body.cap); // may be a Secret or a token
	pd_buf_free(&call->body);
	pd_arena_free(&call->arena);
	free(call);
	count(c);
}

static struct pd_k8s_call *find(struct pd_k8s_calls *list, uint64_t id)
{
	struct pd_k8s_call *call;

	TAILQ_FOREACH(call, list, link)
	if (call->id == id)
		return call;
	return NULL;
}

void pd_k8s_cancel(struct pd_k8s_client *c, uint64_t id)
{
	struct pd_k8s_call *call;

	PD_ASSERT(pd_k8s_on_loop(c));
	if ((call = find(&c->active, id))) {
		call->cancelled = true; // we may be inside of curl: the loop takes it out
		c->progress = true;
	} else if ((call = find(&c->waiting, id))) {
		detach(call);
		discard(call);
	}
}

// ---- ends

static uint32_t elapsed_ms(const struct pd_k8s_call *call)
{
	return call->started_ms ? (uint32_t)(pd_now_ms() - call->started_ms) : 0;
}

// Calls on_done and frees. `result->err` counts; a text is filled in where there is none.
static void end(struct pd_k8s_call *call, struct pd_k8s_result *result)
{
	struct pd_k8s_client *c = call->client;
	bool cancelled = call->cancelled;

	if (result->err && !*result->status.message)
		snprintf(result->status.message, sizeof(result->status.message), "%s", pd_strerror(result->err));
	result->content_type = pd_or(result->content_type, "");
	result->duration_ms = elapsed_ms(call);
	if (!result->err && !call->req.on_data) {
		pd_buf_add(&call->body, "", 0);
		result->body = pd_or(call->body.p, "");
		result->body_len = call->body.n;
	}
	c->progress = true;
	if (!cancelled) {
		c->counters.calls++;
		c->counters.failures += result->err != PD_OK;
		call->req.on_done(call->req.user, result);
	}
	discard(call);
}

static void end_early(struct pd_k8s_call *call, int err, const char *text)
{
	struct pd_k8s_result result = {.err = err};

	pd_k8s_status_text(result.status.message, sizeof(result.status.message), text, strlen(text));
	detach(call);
	end(call, &result);
}

// What curl's end of the transfer means.
static void transfer_result(struct pd_k8s_call *call, CURLcode code, struct pd_k8s_result *r)
{
	const char *text;

	if (call->stop) {
		r->err = call->stop;
		text = call->stop == PD_E_TIMEOUT
			       ? (call->too_late ? "no complete answer in time" : "silent for too long")
			       : pd_strerror(call->stop);
	} else if (code == CURLE_OK) {
		r->err = pd_k8s_status_err(call->code, "");
		return;
	} else {
		r->err = code == CURLE_OPERATION_TIMEDOUT ? PD_E_TIMEOUT : PD_E_IO;
		text = *call->curl_error ? call->curl_error : curl_easy_strerror(code);
	}
	pd_k8s_status_text(r->status.message, sizeof(r->status.message), text, strlen(text));
}

// Of an answer other than 2xx, whole or cut: what it said is worth more than how it ended.
static void error_result(struct pd_k8s_call *call, struct pd_k8s_result *r)
{
	curl_off_t seconds = 0;

	pd_k8s_status_of_body(call->code, call->body.p, call->body.n, &r->status);
	r->err = pd_k8s_status_err(call->code, r->status.reason);
	curl_easy_getinfo(call->easy, CURLINFO_RETRY_AFTER, &seconds);
	if (seconds > 0 && !r->status.retry_after_ms)
		r->status.retry_after_ms = (uint32_t)(seconds > 3600 ? 3600 : seconds) * 1000;
}

// 401: once more with other credentials, if there may be any.
static bool repeat(struct pd_k8s_call *call)
{
	struct pd_k8s_client *c = call->client;

	if (call->code != 401)
		return false;
	c->counters.unauthorized++;
	if (call->retried || call->cancelled || c->closing || !pd_k8s_auth_refused(c->auth, call->creds->generation))
		return false;
	detach(call);
	call->retried = true;
	call->code = 0;
	*call->curl_error = 0;
	pd_buf_reset(&call->body);
	TAILQ_INSERT_HEAD(&c->waiting, call, link);
	c->n_waiting++;
	count(c);
	return true;
}

static void finish(struct pd_k8s_call *call, CURLcode code)
{
	struct pd_k8s_result r = {.code = call->code};
	curl_off_t bytes = 0;
	char *type = NULL, *type_copy;

	if (!call->stop && repeat(call))
		return;
	curl_easy_getinfo(call->easy, CURLINFO_SIZE_DOWNLOAD_T, &bytes);
	curl_easy_getinfo(call->easy, CURLINFO_CONTENT_TYPE, &type);
	type_copy = pd_arena_strdup(&call->arena, pd_or(type, ""));
	r.bytes = (uint64_t)bytes;
	call->client->counters.bytes += r.bytes;
	if (call->code >= 300)
		error_result(call, &r);
	else
		transfer_result(call, code, &r);
	r.content_type = type_copy;
	detach(call);
	end(call, &r);
}

// ---- the loop's steps

static void start(struct pd_k8s_call *call, struct pd_k8s_creds *creds)
{
	struct pd_k8s_client *c = call->client;

	call->creds = creds;
	if (!call->started_ms)
		call->started_ms = pd_now_ms();
	call->last_ms = pd_now_ms();
	if (!pd_k8s_curl_open(call)) {
		end_early(call, PD_E_NOMEM, "no curl handle to be had");
		return;
	}
	TAILQ_REMOVE(&c->waiting, call, link);
	c->n_waiting--;
	TAILQ_INSERT_TAIL(&c->active, call, link);
	c->n_active++;
	call->active = true;
	count(c);
	if (curl_multi_add_handle(c->multi, call->easy) != CURLM_OK)
		call->stop = PD_E_NOMEM;
}

void pd_k8s_calls_start(struct pd_k8s_client *c)
{
	struct pd_buf why = {0};
	struct pd_k8s_call *call;

	while ((call = TAILQ_FIRST(&c->waiting))) {
		struct pd_k8s_creds *creds = NULL;
		int rc = PD_OK;

		if (call->preset) {
			end_early(call, call->preset, call->preset_text);
			continue;
		}
		if (c->n_active >= PD_K8S_STREAMS_MAX)
			break;
		pd_buf_reset(&why);
		rc = pd_k8s_auth_get(c->auth, &creds, &why);
		if (rc == PD_E_AGAIN)
			break;
		if (rc)
			end_early(call, PD_E_DENIED, why.p);
		else
			start(call, creds);
	}
	pd_buf_free(&why);
}

void pd_k8s_calls_finish(struct pd_k8s_client *c)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(c->multi, &left))) {
		struct pd_k8s_call *call = NULL;

		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&call);
		finish(call, m->data.result);
	}
}

// When the call's time is over; UINT64_MAX = never.
static uint64_t deadline(const struct pd_k8s_call *call, bool *total)
{
	uint64_t late = UINT64_MAX, idle = UINT64_MAX;

	if (call->req.timeout_ms)
		late = call->started_ms + call->req.timeout_ms;
	if (call->req.idle_ms)
		idle = call->last_ms + call->req.idle_ms;
	*total = late <= idle;
	return *total ? late : idle;
}

void pd_k8s_calls_reap(struct pd_k8s_client *c)
{
	struct pd_k8s_call *call, *next;
	uint64_t now = pd_now_ms();

	// No callback runs in the first pass: so none can take the next call away.
	TAILQ_FOREACH(call, &c->active, link)
	{
		if (!call->stop && !call->cancelled && deadline(call, &call->too_late) <= now)
			call->stop = PD_E_TIMEOUT;
	}
	for (call = TAILQ_FIRST(&c->active); call; call = next) {
		next = TAILQ_NEXT(call, link);
		if (call->cancelled) {
			detach(call);
			discard(call);
		}
	}
	// A callback may cancel others, which only marks them, and make calls, which only queues them.
	for (call = TAILQ_FIRST(&c->active); call; call = next) {
		next = TAILQ_NEXT(call, link);
		if (call->stop)
			finish(call, CURLE_OK);
	}
}

void pd_k8s_calls_poll(const struct pd_k8s_client *c, int *timeout_ms)
{
	const struct pd_k8s_call *call;
	uint64_t now = pd_now_ms();
	bool total;

	TAILQ_FOREACH(call, &c->active, link)
	{
		uint64_t due = call->stop || call->cancelled ? now : deadline(call, &total);

		if (due <= now)
			*timeout_ms = 0;
		else if (due - now < (uint64_t)*timeout_ms)
			*timeout_ms = (int)(due - now);
	}
}

void pd_k8s_calls_close(struct pd_k8s_client *c)
{
	struct pd_k8s_call *call;

	c->closing = true;
	while ((call = TAILQ_FIRST(&c->active)) || (call = TAILQ_FIRST(&c->waiting)))
		end_early(call, PD_E_CLOSED, "the client is shutting down");
}
