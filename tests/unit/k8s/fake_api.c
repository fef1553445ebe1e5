#include "tests/unit/k8s/fake_api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/pb.h"
#include "k8s/core.pb-c.h"
#include "tests/unit/k8s/wire_make.h"

struct fake_call {
	uint64_t id;
	struct pd_k8s_request req;
	char *path;
	struct fake_resource *resource;
	struct pd_buf out; // what is still to be sent
	size_t sent;
	bool answered, watch, ends; // ends: when `out` is empty
	bool whole;  // `out` holds a bookmark that is ahead: a cut behind it would lose what no client can know
	uint64_t rv; // watch: sent up to this version
	char *ns, *field_name; // only these; NULL = all
	int code;
};

uint32_t fake_random(struct fake_api *f, uint32_t below)
{
	f->random = f->random * 1664525u + 1013904223u;
	return below ? (uint32_t)(((uint64_t)f->random * below) >> 32) : 0;
}

static bool happens(struct fake_api *f, unsigned per_mille)
{
	return fake_random(f, 1000) < per_mille;
}

// ---- the model ------------------------------------------------------------------------------------------------------

struct fake_resource *fake_add(struct fake_api *f, const char *base, const char *plural)
{
	struct fake_resource *r = &f->resources[f->n_resources++];

	PD_ASSERT(f->n_resources <= FAKE_RESOURCES);
	r->base = base;
	r->plural = plural;
	return r;
}

static const struct fake_version *version_at(const struct fake_resource *r, const char *ns, const char *name,
					     uint64_t rv)
{
	for (size_t i = r->history.n; i-- > 0;) {
		const struct fake_version *v = &r->history.v[i];

		if (v->rv <= rv && pd_streq(v->ns, ns) && pd_streq(v->name, name))
			return v->deleted ? NULL : v;
	}
	return NULL;
}

const struct fake_version *fake_get(const struct fake_resource *r, const char *ns, const char *name)
{
	return version_at(r, ns, name, UINT64_MAX);
}

void fake_set(struct fake_api *f, struct fake_resource *r, const char *ns, const char *name, const char *value)
{
	const struct fake_version *old = fake_get(r, ns, name);
	struct fake_version v = {.ns = pd_xstrdup(ns), .name = pd_xstrdup(name)};

	if (!value && !old) {
		free(v.ns);
		free(v.name);
		return;
	}
	v.rv = ++f->rv;
	v.deleted = !value;
	v.value = pd_xstrdup(value ? value : old->value);
	pd_vec_push(&r->history, v);
}

// Objects at a version, in the order of their last change.
static void each_at(const struct fake_resource *r, uint64_t rv, void (*fn)(const struct fake_version *, void *),
		    void *arg)
{
	for (size_t i = 0; i < r->history.n; i++) {
		const struct fake_version *v = &r->history.v[i];

		if (v->rv <= rv && version_at(r, v->ns, v->name, rv) == v)
			fn(v, arg);
	}
}

void fake_each(const struct fake_resource *r, void (*fn)(const struct fake_version *, void *), void *arg)
{
	each_at(r, UINT64_MAX, fn, arg);
}

void fake_compact(struct fake_api *f)
{
	for (size_t i = 0; i < f->n_resources; i++)
		f->resources[i].compacted = f->rv;
}

// ---- objects as they are sent ---------------------------------------------------------------------------------------

static K8s__ObjectMeta *meta_of(struct pd_arena *a, const struct fake_resource *r, const struct fake_version *v)
{
	K8s__ObjectMeta *m = wire_meta(a, v->ns, v->name, pd_arena_printf(a, "%llu", (unsigned long long)v->rv));

	if (pd_streq(r->plural, "namespaces")) { // value: the label "team"
		K8s__ObjectMeta__LabelsEntry *e =
			PB_NEW(a, K8s__ObjectMeta__LabelsEntry, k8s__object_meta__labels_entry);

		e->key = (char *)"team";
		e->value = v->value;
		PB_PUSH(a, m, labels, e);
	}
	return m;
}

// Services: value = clusterIP. ConfigMaps: data.mesh. All else: metadata alone.
static void *message(struct pd_arena *a, const struct fake_resource *r, const struct fake_version *v)
{
	K8s__ConfigMap *c;
	K8s__Service *s = PB_NEW(a, K8s__Service, k8s__service);

	s->metadata = meta_of(a, r, v);
	if (pd_streq(r->plural, "services")) {
		s->spec = PB_NEW(a, K8s__ServiceSpec, k8s__service_spec);
		s->spec->clusterip = v->value;
	}
	if (!pd_streq(r->plural, "configmaps"))
		return s;
	c = PB_NEW(a, K8s__ConfigMap, k8s__config_map);
	c->metadata = s->metadata;
	PB_PUSH(a, c, data, PB_NEW(a, K8s__ConfigMap__DataEntry, k8s__config_map__data_entry));
	c->data[0]->key = (char *)"mesh";
	c->data[0]->value = v->value;
	return c;
}

// Value: spec.host.
static void json_object(struct pd_buf *out, const struct fake_resource *r, const struct fake_version *v)
{
	pd_buf_printf(out,
		      "{\"apiVersion\":\"%s\",\"kind\":\"DestinationRule\",\"metadata\":{\"name\":\"%s\",\"namespace\":"
		      "\"%s\",\"resourceVersion\":\"%llu\",\"uid\":\"uid-%s\"},\"spec\":{\"host\":\"%s\"}}",
		      r->base + strlen("/apis/"), v->name, v->ns, (unsigned long long)v->rv, v->name, v->value);
}

static void frame(struct fake_call *c, const char *type, const struct fake_version *v)
{
	struct pd_arena a = {0};

	if (c->resource->json) {
		pd_buf_printf(&c->out, "{\"type\":\"%s\",\"object\":", type);
		json_object(&c->out, c->resource, v);
		pd_buf_adds(&c->out, "}\n");
	} else {
		wire_frame(&c->out, type, "Object", message(&a, c->resource, v));
	}
	pd_arena_free(&a);
}

static void bookmark(struct fake_call *c, uint64_t rv, bool initial_end)
{
	struct pd_arena a = {0};
	K8s__Service s = K8S__SERVICE__INIT;

	if (c->resource->json) {
		pd_buf_printf(&c->out,
			      "{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"%llu\"%s}}}\n",
			      (unsigned long long)rv,
			      initial_end ? ",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}" : "");
	} else {
		s.metadata = wire_meta(&a, "", "", pd_arena_printf(&a, "%llu", (unsigned long long)rv));
		if (initial_end) {
			PB_PUSH(&a, s.metadata, annotations,
				PB_NEW(&a, K8s__ObjectMeta__AnnotationsEntry, k8s__object_meta__annotations_entry));
			s.metadata->annotations[0]->key = (char *)"k8s.io/initial-events-end";
			s.metadata->annotations[0]->value = (char *)"true";
		}
		wire_frame(&c->out, "BOOKMARK", "Object", &s);
	}
	pd_arena_free(&a);
}

static void error_event(struct fake_call *c)
{
	K8s__Status s = K8S__STATUS__INIT;

	if (c->resource->json) {
		pd_buf_adds(&c->out, "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"apiVersion\":\"v1\","
				     "\"status\":\"Failure\",\"reason\":\"Expired\",\"code\":410}}\n");
		return;
	}
	s.status = (char *)"Failure";
	s.reason = (char *)"Expired";
	s.has_code = 1;
	s.code = 410;
	wire_frame(&c->out, "ERROR", "Status", &s);
}

// ---- requests -------------------------------------------------------------------------------------------------------

// The value of a query parameter, decoded as far as tests need; caller frees. NULL = absent.
static char *query(const char *path, const char *name)
{
	char *pattern = pd_xasprintf("%s=", name), *out = NULL;
	const char *at = strchr(path, '?');

	while (at && !pd_has_prefix(at + 1, pattern))
		at = strchr(at + 1, '&');
	if (at) {
		at += 1 + strlen(pattern);
		out = pd_xstrndup(at, strcspn(at, "&"));
	}
	free(pattern);
	return out;
}

static struct fake_resource *resource_of(struct fake_api *f, const char *path, char **ns)
{
	for (size_t i = 0; i < f->n_resources; i++) {
		struct fake_resource *r = &f->resources[i];
		const char *p = path;
		size_t n = strlen(r->plural);

		*ns = NULL;
		if (!pd_has_prefix(p, r->base) || p[strlen(r->base)] != '/')
			continue;
		p += strlen(r->base) + 1;
		if (pd_has_prefix(p, "namespaces/")) {
			p += strlen("namespaces/");
			*ns = pd_xstrndup(p, strcspn(p, "/?"));
			p += strlen(*ns) + 1;
		}
		if (!strncmp(p, r->plural, n) && p[n] == '?')
			return r;
		free(*ns);
	}
	*ns = NULL;
	return NULL;
}

static bool fits(const struct fake_call *c, const struct fake_version *v)
{
	return (!c->ns || pd_streq(c->ns, v->ns)) && (!c->field_name || pd_streq(c->field_name, v->name));
}

struct page {
	struct fake_call *call;
	struct wire_list items;
	struct pd_buf json;
	size_t skip, room, left;
};

static void add_to_page(const struct fake_version *v, void *arg)
{
	struct page *p = arg;
	struct pd_arena a = {0};

	if (!fits(p->call, v))
		return;
	if (p->skip) {
		p->skip--;
	} else if (!p->room) {
		p->left++;
	} else {
		p->room--;
		if (p->call->resource->json) {
			pd_buf_adds(&p->json, p->json.n ? "," : "");
			json_object(&p->json, p->call->resource, v);
		} else {
			wire_list_item(&p->items, message(&a, p->call->resource, v));
		}
	}
	pd_arena_free(&a);
}

static void answer_list(struct fake_api *f, struct fake_call *c)
{
	struct page p = {.call = c};
	char *limit = query(c->path, "limit"), *token = query(c->path, "continue"), *next = NULL, *end;
	uint64_t rv = f->rv;
	size_t at = 0;

	if (token) {
		rv = strtoull(token, &end, 10);
		at = strtoull(end + 1, NULL, 10);
	} else {
		c->resource->lists++;
	}
	c->resource->pages++;
	c->ends = true;
	if (token && rv < c->resource->compacted) {
		c->code = 410;
		c->resource->expired++;
	} else {
		p.skip = at;
		p.room = strtoull(limit, NULL, 10);
		p.room = f->page && f->page < p.room ? f->page : p.room;
		at += p.room;
		each_at(c->resource, rv, add_to_page, &p);
		next = p.left ? pd_xasprintf("%llu.%zu", (unsigned long long)rv, at) : pd_xstrdup("");
		end = pd_xasprintf("%llu", (unsigned long long)rv);
		if (c->resource->json)
			pd_buf_printf(&c->out,
				      "{\"metadata\":{\"resourceVersion\":\"%s\",\"continue\":\"%s\"},\"items\":[%s]}",
				      end, next, p.json.p ? p.json.p : "");
		else
			wire_list_end(&p.items, &c->out, end, next);
		free(end);
	}
	pd_buf_free(&p.json);
	free(next);
	free(token);
	free(limit);
}

static void add_initial(const struct fake_version *v, void *arg)
{
	struct fake_call *c = arg;

	if (fits(c, v))
		frame(c, "ADDED", v);
}

static void answer_watch(struct fake_api *f, struct fake_call *c)
{
	char *rv = query(c->path, "resourceVersion"), *initial = query(c->path, "sendInitialEvents");

	c->resource->watches++;
	c->watch = true;
	if (initial && c->resource->no_stream) {
		c->code = 422;
		c->ends = true;
	} else if (initial) {
		c->rv = f->rv;
		each_at(c->resource, c->rv, add_initial, c);
		bookmark(c, c->rv, true);
	} else {
		c->rv = strtoull(rv, NULL, 10);
		if (c->rv < c->resource->compacted) {
			c->resource->expired++;
			c->ends = true;
			if (fake_random(f, 2))
				c->code = 410;
			else
				error_event(c);
		}
	}
	free(rv);
	free(initial);
}

static void answer(struct fake_api *f, struct fake_call *c)
{
	char *watch = query(c->path, "watch"), *field = query(c->path, "fieldSelector");

	c->code = 200;
	c->answered = true;
	c->resource = resource_of(f, c->path, &c->ns);
	if (pd_has_prefix(field, "metadata.name%3D"))
		c->field_name = pd_xstrdup(field + strlen("metadata.name%3D"));
	if (c->resource && c->resource->refuse) {
		c->code = c->resource->refuse;
		c->ends = true;
	} else if (c->resource && happens(f, f->faults.refuse)) {
		static const int codes[] = {500, 503, 429, 504};

		c->code = codes[fake_random(f, 4)];
		c->ends = true;
	} else if (c->resource && watch) {
		answer_watch(f, c);
	} else if (c->resource) {
		answer_list(f, c);
	} else {
		c->code = 404;
		c->ends = true;
		for (size_t i = 0; i < f->answers.n; i++)
			if (pd_streq(f->answers.v[i].path, c->path)) {
				c->code = f->answers.v[i].code;
				f->answers.v[i].asked++;
				pd_buf_adds(&c->out, f->answers.v[i].body);
			}
	}
	free(field);
	free(watch);
}

// ---- calls ----------------------------------------------------------------------------------------------------------

static void call_free(struct fake_call *c)
{
	pd_buf_free(&c->out);
	free(c->path);
	free(c->ns);
	free(c->field_name);
	free(c);
}

static void call_drop(struct fake_api *f, struct fake_call *c)
{
	for (size_t i = 0; i < f->calls.n; i++)
		if (f->calls.v[i] == c) {
			f->calls.v[i] = f->calls.v[--f->calls.n];
			break;
		}
}

static bool is_live(const struct fake_api *f, const struct fake_call *c)
{
	for (size_t i = 0; i < f->calls.n; i++)
		if (f->calls.v[i] == c)
			return true;
	return false;
}

static int err_of(int code)
{
	switch (code) {
	case 200:
		return PD_OK;
	case 401:
	case 403:
		return PD_E_DENIED;
	case 404:
		return PD_E_NOTFOUND;
	case 410:
		return PD_E_CLOSED;
	default:
		return code == 429 || code >= 500 ? PD_E_AGAIN : PD_E_INVALID;
	}
}

static void call_done(struct fake_api *f, struct fake_call *c, int err)
{
	struct pd_k8s_result result = {.err = err, .code = c->code, .content_type = ""};

	result.status.code = c->code == 200 ? 0 : c->code;
	snprintf(result.status.message, sizeof(result.status.message), "%s (code %d)", pd_strerror(err), c->code);
	if (!err && !c->req.on_data) {
		result.body = c->out.p ? c->out.p : "";
		result.body_len = c->out.n;
	}
	call_drop(f, c);
	f->running = NULL;
	c->req.on_done(c->req.user, &result);
	call_free(c);
}

// Sends `n` bytes. False: the call is over.
static bool send_bytes(struct fake_api *f, struct fake_call *c, const char *p, size_t n)
{
	char *piece = pd_xmalloc(n); // of its own, so that reading beyond it is seen
	int rc;

	memcpy(piece, p, n);
	rc = c->req.on_data(c->req.user, piece, n);
	free(piece);
	if (!is_live(f, c)) { // cancelled from within
		call_free(c);
		return false;
	}
	if (rc)
		call_done(f, c, rc);
	return rc == PD_OK;
}

// The next events of a watch. True if there were any.
static bool fill_watch(struct fake_api *f, struct fake_call *c)
{
	struct fake_resource *r = c->resource;

	for (size_t i = 0; i < r->history.n; i++) {
		const struct fake_version *v = &r->history.v[i];

		if (v->rv <= c->rv)
			continue;
		if (i && happens(f, f->faults.repeat)) {
			const struct fake_version *old = &r->history.v[fake_random(f, (uint32_t)i)];

			if (fits(c, old) && old->rv <= c->rv)
				frame(c, old->deleted ? "DELETED" : "MODIFIED", old);
		}
		c->whole = happens(f, f->faults.early);
		if (c->whole)
			bookmark(c, v->rv, false);
		c->rv = v->rv;
		if (fits(c, v))
			frame(c, v->deleted ? "DELETED" : i % 2 ? "ADDED" : "MODIFIED", v);
		return true;
	}
	if (!happens(f, f->faults.bookmark))
		return false;
	c->rv = f->rv;
	bookmark(c, c->rv, false);
	return true;
}

static void send_some(struct fake_api *f, struct fake_call *c)
{
	size_t left = c->out.n - c->sent, n = 1 + fake_random(f, (uint32_t)left);

	if (!c->sent && !c->whole && happens(f, f->faults.garbage)) {
		static const char garbage[] = "\x00\x00\x00\x03\xff{\xff\x00garbage";

		if (!send_bytes(f, c, garbage, sizeof(garbage) - 1))
			return;
	}
	n = fake_random(f, 3) ? left : n;
	c->sent += n;
	if (send_bytes(f, c, c->out.p + c->sent - n, n) && c->sent == c->out.n) {
		pd_buf_reset(&c->out);
		c->sent = 0;
	}
}

// True if something was done.
static bool advance(struct fake_api *f, struct fake_call *c)
{
	bool stream;

	if (!c->answered) {
		answer(f, c);
		if (c->code == 200 && c->req.on_headers)
			c->req.on_headers(c->req.user, 200,
					  c->resource && !c->resource->json ? PD_K8S_PROTOBUF : PD_K8S_JSON);
		return true;
	}
	if (c->code != 200 || (c->ends && (c->sent == c->out.n || !c->req.on_data))) {
		call_done(f, c, err_of(c->code));
		return true;
	}
	stream = c->req.on_data && c->resource;
	if (stream && !(c->whole && c->sent < c->out.n) && happens(f, f->faults.cut)) {
		call_done(f, c, PD_E_IO);
		return true;
	}
	if (c->watch && !c->ends && c->sent == c->out.n && happens(f, f->faults.end)) {
		call_done(f, c, PD_OK);
		return true;
	}
	if (c->sent == c->out.n && (!c->watch || c->ends || !fill_watch(f, c)))
		return false;
	send_some(f, c);
	return true;
}

void fake_cut_all(struct fake_api *f)
{
	struct fake_call **copy = pd_xmalloc((f->calls.n + 1) * sizeof(struct fake_call *));
	size_t n = f->calls.n;

	memcpy(copy, f->calls.v, n * sizeof(copy[0]));
	for (size_t i = 0; i < n; i++) {
		while (is_live(f, copy[i]) && copy[i]->whole && copy[i]->sent < copy[i]->out.n)
			send_some(f, copy[i]);
		if (is_live(f, copy[i]) && copy[i]->watch)
			call_done(f, copy[i], PD_E_IO);
	}
	free(copy);
}

// ---- the transport --------------------------------------------------------------------------------------------------

static uint64_t do_call(void *ctx, const struct pd_k8s_request *req)
{
	struct fake_api *f = ctx;
	struct fake_call *c = pd_xcalloc(1, sizeof(*c));

	c->id = ++f->next_id;
	c->req = *req;
	c->path = pd_xstrdup(req->path);
	pd_vec_push(&f->calls, c);
	return c->id;
}

static void do_cancel(void *ctx, uint64_t id)
{
	struct fake_api *f = ctx;

	for (size_t i = 0; i < f->calls.n; i++)
		if (f->calls.v[i]->id == id) {
			struct fake_call *c = f->calls.v[i];

			call_drop(f, c);
			if (c != f->running)
				call_free(c);
			return;
		}
}

static uint64_t do_after(void *ctx, uint64_t ms, void (*fn)(void *user), void *user)
{
	struct fake_api *f = ctx;

	pd_vec_push(&f->timers, (struct fake_timer){++f->next_id, f->now_ms + ms, fn, user});
	return f->next_id;
}

static void do_timer_cancel(void *ctx, uint64_t id)
{
	struct fake_api *f = ctx;

	for (size_t i = 0; i < f->timers.n; i++)
		if (f->timers.v[i].id == id) {
			f->timers.v[i] = f->timers.v[--f->timers.n];
			return;
		}
}

static int do_post(void *ctx, void (*fn)(void *user), void *user)
{
	struct fake_api *f = ctx;

	pthread_mutex_lock(&f->lock);
	pd_vec_push(&f->posts, (struct fake_post){fn, user});
	pthread_mutex_unlock(&f->lock);
	return PD_OK;
}

static uint64_t do_now_ms(void *ctx)
{
	return ((struct fake_api *)ctx)->now_ms;
}

struct pd_k8s_transport fake_transport(struct fake_api *f)
{
	return (struct pd_k8s_transport){f, do_call, do_cancel, do_after, do_timer_cancel, do_post, do_now_ms};
}

// ---- time -----------------------------------------------------------------------------------------------------------

static bool run_post(struct fake_api *f)
{
	struct fake_post p = {0};

	pthread_mutex_lock(&f->lock);
	if (f->posts.n) {
		p = f->posts.v[0];
		memmove(f->posts.v, f->posts.v + 1, --f->posts.n * sizeof(p));
	}
	pthread_mutex_unlock(&f->lock);
	if (p.fn)
		p.fn(p.user);
	return p.fn != NULL;
}

static bool run_call(struct fake_api *f)
{
	size_t n = f->calls.n, first = fake_random(f, (uint32_t)n);

	for (size_t i = 0; i < n && i < f->calls.n; i++) {
		struct fake_call *c = f->calls.v[(first + i) % f->calls.n];
		bool done;

		f->running = c;
		done = advance(f, c);
		f->running = NULL;
		if (done)
			return true;
	}
	return false;
}

static bool run_timer(struct fake_api *f, uint64_t until_ms)
{
	size_t first = 0;
	struct fake_timer t;

	for (size_t i = 1; i < f->timers.n; i++)
		if (f->timers.v[i].due_ms < f->timers.v[first].due_ms)
			first = i;
	if (!f->timers.n || f->timers.v[first].due_ms > until_ms)
		return false;
	t = f->timers.v[first];
	f->timers.v[first] = f->timers.v[--f->timers.n];
	f->now_ms = t.due_ms > f->now_ms ? t.due_ms : f->now_ms;
	t.fn(t.user);
	return true;
}

bool fake_step(struct fake_api *f, uint64_t until_ms)
{
	return run_post(f) || run_call(f) || run_timer(f, until_ms);
}

void fake_settle(struct fake_api *f, uint64_t ms)
{
	uint64_t until = f->now_ms + ms;

	while (fake_step(f, until))
		;
}

void fake_init(struct fake_api *f, uint32_t seed)
{
	*f = (struct fake_api){.random = seed, .now_ms = 1000, .rv = 100};
	pthread_mutex_init(&f->lock, NULL);
}

void fake_free(struct fake_api *f)
{
	for (size_t i = 0; i < f->calls.n; i++)
		call_free(f->calls.v[i]);
	for (size_t i = 0; i < f->n_resources; i++) {
		struct fake_resource *r = &f->resources[i];

		for (size_t j = 0; j < r->history.n; j++) {
			free(r->history.v[j].ns);
			free(r->history.v[j].name);
			free(r->history.v[j].value);
		}
		pd_vec_free(&r->history);
	}
	pd_vec_free(&f->calls);
	pd_vec_free(&f->timers);
	pd_vec_free(&f->posts);
	pd_vec_free(&f->answers);
	pthread_mutex_destroy(&f->lock);
}
