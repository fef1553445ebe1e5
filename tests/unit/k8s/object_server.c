#include "object_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/json.h"

static struct os_object *find(struct os *s, const char *path)
{
	for (size_t i = 0; i < s->n; i++)
		if (!strcmp(s->objects[i].path, path))
			return s->objects + i;
	return NULL;
}

// The text with metadata.resourceVersion set.
static char *with_version(const char *json, int version)
{
	struct pd_arena a = {0};
	struct pd_json *root, *meta;
	struct pd_buf out = {0};
	char text[16];

	PD_ASSERT(!pd_json_parse(&a, json, strlen(json), &root, NULL));
	meta = pd_json_get(root, "metadata");
	if (!meta) {
		meta = pd_json_object(&a);
		pd_json_add(&a, root, "metadata", meta);
	}
	snprintf(text, sizeof(text), "%d", version);
	pd_json_set(&a, meta, "resourceVersion", pd_json_string(&a, text));
	pd_json_print(&out, root, false);
	pd_arena_free(&a);
	return out.p;
}

static int version_of(const char *json)
{
	struct pd_arena a = {0};
	struct pd_json *root;
	int version = 0;

	if (!pd_json_parse(&a, json, strlen(json), &root, NULL))
		version = atoi(pd_or(pd_json_get_string(pd_json_get(root, "metadata"), "resourceVersion"), "0"));
	pd_arena_free(&a);
	return version;
}

static void record(struct os *s, const struct os_object *o)
{
	const struct os_object copy = {pd_xstrdup(o->path), o->json ? pd_xstrdup(o->json) : NULL, o->version};

	pd_vec_push(&s->history, copy);
}

static const char *store(struct os *s, const char *path, const char *json)
{
	struct os_object *o = find(s, path);

	if (!o) {
		PD_ASSERT(s->n < OS_OBJECTS_MAX);
		o = s->objects + s->n++;
		o->path = pd_xstrdup(path);
	}
	free(o->json);
	o->version = ++s->version;
	o->json = with_version(json, o->version);
	record(s, o);
	return o->json;
}

static void remove_object(struct os *s, struct os_object *o)
{
	free(o->json);
	o->json = NULL;
	o->version = ++s->version;
	record(s, o);
}

// A POST goes to the collection: the object's name is in the body.
static char *path_of_new(const char *collection, const char *json)
{
	struct pd_arena a = {0};
	struct pd_json *root;
	char *path = NULL;

	if (!pd_json_parse(&a, json, strlen(json), &root, NULL))
		path = pd_xasprintf("%s/%s", collection,
				    pd_or(pd_json_get_string(pd_json_get(root, "metadata"), "name"), "generated"));
	pd_arena_free(&a);
	return path;
}

static void status(struct hs_conn *c, int code, const char *reason)
{
	hs_json(c, code, "{\"kind\":\"Status\",\"code\":%d,\"reason\":\"%s\",\"message\":\"%s\"}", code, reason,
		reason);
}

// Under lock. What is answered: a body (200), or a code with its reason.
static const char *apply(struct os *s, const struct hs_request *r, const char *path, int *code, const char **reason)
{
	struct os_object *o = find(s, path);
	bool there = o && o->json;
	const char *body = NULL;

	*code = 200;
	if (!strcmp(r->method, "POST")) {
		char *fresh = path_of_new(path, r->body);

		o = find(s, fresh);
		if (o && o->json)
			*code = 409, *reason = "AlreadyExists";
		else
			body = store(s, fresh, r->body);
		free(fresh);
	} else if (!strcmp(r->method, "PATCH")) {
		body = store(s, path, r->body);
	} else if (!there) {
		*code = 404, *reason = "NotFound";
	} else if (!strcmp(r->method, "GET")) {
		body = o->json;
	} else if (!strcmp(r->method, "DELETE")) {
		remove_object(s, o);
		body = "{}";
	} else if (version_of(r->body) && version_of(r->body) != o->version) {
		*code = 409, *reason = "Conflict";
	} else {
		body = store(s, path, r->body);
	}
	return body;
}

static int next_fault(struct os *s)
{
	int fault;

	if (s->dead)
		return 503;
	if (!s->n_faults)
		return 0;
	fault = s->faults[0];
	memmove(s->faults, s->faults + 1, --s->n_faults * sizeof(*s->faults));
	return fault;
}

// ---- ConfigMaps of one name in all namespaces

#define ALL_MAPS "/api/v1/configmaps?"
#define NAMED "fieldSelector=metadata.name%3D"

// The namespace, if the path is that of such a ConfigMap; caller frees.
static char *namespace_of(const char *path, const char *name)
{
	static const char prefix[] = "/api/v1/namespaces/", middle[] = "/configmaps/";
	const char *ns = path + sizeof(prefix) - 1, *end = strstr(path, middle);

	if (strncmp(path, prefix, sizeof(prefix) - 1) || !end || strcmp(end + sizeof(middle) - 1, name))
		return NULL;
	return pd_xstrndup(ns, (size_t)(end - ns));
}

static void list(struct os *s, const char *name, struct pd_buf *out)
{
	const char *comma = "";

	pthread_mutex_lock(&s->lock);
	pd_buf_printf(out, "{\"kind\":\"ConfigMapList\",\"metadata\":{\"resourceVersion\":\"%d\"},\"items\":[",
		      ++s->version);
	for (size_t i = 0; i < s->n; i++) {
		char *ns = namespace_of(s->objects[i].path, name);

		if (ns && s->objects[i].json) {
			pd_buf_printf(out, "%s%s", comma, s->objects[i].json);
			comma = ",";
		}
		free(ns);
	}
	pthread_mutex_unlock(&s->lock);
	pd_buf_adds(out, "]}");
}

// The oldest change after a version. False: there is none.
static bool next_event(struct os *s, const char *name, int *version, struct pd_buf *out)
{
	bool found = false;

	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->history.n && !found; i++) {
		const struct os_object *o = s->history.v + i;
		char *ns = o->version > *version ? namespace_of(o->path, name) : NULL;

		found = ns;
		if (found && o->json)
			pd_buf_printf(out, "{\"type\":\"MODIFIED\",\"object\":%s}\n", o->json);
		else if (found)
			pd_buf_printf(
				out,
				"{\"type\":\"DELETED\",\"object\":{\"metadata\":{\"namespace\":\"%s\",\"name\":\"%s\","
				"\"resourceVersion\":\"%d\"}}}\n",
				ns, name, o->version);
		if (found)
			*version = o->version;
		free(ns);
	}
	pthread_mutex_unlock(&s->lock);
	return found;
}

static void watch(struct os *s, struct hs_conn *c, const char *name, const char *path)
{
	const char *from = strstr(path, "resourceVersion=");
	int version = from ? atoi(from + 16) : 0;

	hs_begin(c, 200, "application/json");
	while (!atomic_load(&s->stopping)) {
		struct pd_buf event = {0};

		if (next_event(s, name, &version, &event))
			hs_chunk(c, event.p, event.n);
		else
			nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
		pd_buf_free(&event);
	}
	hs_cut(c);
}

static void serve_all(struct os *s, struct hs_conn *c, const struct hs_request *r)
{
	const char *named = strstr(r->path, NAMED);
	char *name;

	PD_ASSERT(named);
	named += sizeof(NAMED) - 1;
	name = pd_xstrndup(named, strcspn(named, "&"));
	if (strstr(r->path, "watch=")) {
		watch(s, c, name, r->path);
	} else {
		struct pd_buf b = {0};

		list(s, name, &b);
		hs_json(c, 200, "%s", b.p);
		pd_buf_free(&b);
	}
	free(name);
}

// ----

static void serve(struct hs_conn *c, const struct hs_request *r, void *arg)
{
	struct os *s = arg;
	char *path = pd_xstrndup(r->path, strcspn(r->path, "?")), *body = NULL;
	const char *reason = "injected";
	int fault, code = 0;

	if (pd_has_prefix(r->path, ALL_MAPS)) {
		free(path);
		serve_all(s, c, r);
		return;
	}
	pthread_mutex_lock(&s->lock);
	fault = next_fault(s);
	if (fault == 0 || fault == -2)
		body = (char *)apply(s, r, path, &code, &reason);
	body = body ? pd_xstrdup(body) : NULL;
	pthread_mutex_unlock(&s->lock);
	rig_note(&s->log, "%s %s;", r->method, r->path);
	if (fault < 0)
		hs_cut(c);
	else if (body)
		hs_json(c, 200, "%s", body);
	else
		status(c, fault ? fault : code, reason);
	free(body);
	free(path);
}

struct os *os_start(void)
{
	struct os *s = pd_xcalloc(1, sizeof(*s));

	pthread_mutex_init(&s->lock, NULL);
	rig_log_init(&s->log);
	s->http = hs_start(NULL, serve, s);
	return s;
}

void os_stop(struct os **sp)
{
	struct os *s = *sp;

	*sp = NULL;
	atomic_store(&s->stopping, true);
	hs_stop(&s->http);
	for (size_t i = 0; i < s->n; i++) {
		free(s->objects[i].path);
		free(s->objects[i].json);
	}
	for (size_t i = 0; i < s->history.n; i++) {
		free(s->history.v[i].path);
		free(s->history.v[i].json);
	}
	pd_vec_free(&s->history);
	rig_log_free(&s->log);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

void os_fault(struct os *s, int fault)
{
	pthread_mutex_lock(&s->lock);
	PD_ASSERT(s->n_faults < OS_FAULTS_MAX);
	s->faults[s->n_faults++] = fault;
	pthread_mutex_unlock(&s->lock);
}

void os_set_dead(struct os *s, bool dead)
{
	pthread_mutex_lock(&s->lock);
	s->dead = dead;
	pthread_mutex_unlock(&s->lock);
}

void os_put(struct os *s, const char *path, const char *json)
{
	pthread_mutex_lock(&s->lock);
	store(s, path, json);
	pthread_mutex_unlock(&s->lock);
}

void os_remove(struct os *s, const char *path)
{
	struct os_object *o;

	pthread_mutex_lock(&s->lock);
	o = find(s, path);
	if (o && o->json)
		remove_object(s, o);
	pthread_mutex_unlock(&s->lock);
}

char *os_get(struct os *s, const char *path)
{
	struct os_object *o;
	char *json = NULL;

	pthread_mutex_lock(&s->lock);
	o = find(s, path);
	if (o && o->json)
		json = pd_xstrdup(o->json);
	pthread_mutex_unlock(&s->lock);
	return json;
}
