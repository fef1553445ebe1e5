#include "k8s/write_objects.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "api/json.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/vec.h"
#include "k8s/write_impl.h"

// ---- ConfigMaps

struct put {
	struct pd_arena arena;
	struct pd_k8s_config_map want;
};

static const char *const *copy_pairs(struct pd_arena *a, const char *const *pairs)
{
	PD_VEC(const char *) out = {0};

	for (; pairs && *pairs; pairs++)
		pd_vec_push_a(a, &out, pd_arena_strdup(a, *pairs));
	PD_ASSERT(out.n % 2 == 0 && out.n / 2 <= PD_K8S_CONFIG_MAP_KEYS_MAX);
	pd_vec_push_a(a, &out, NULL);
	return out.v;
}

// True if something had to be changed.
static bool set_pairs(struct pd_arena *a, struct pd_json *parent, const char *key, const char *const *pairs)
{
	struct pd_json *object;
	bool changed = false;

	if (!*pairs)
		return false;
	object = pd_k8s_json_object(a, parent, key);
	for (; *pairs; pairs += 2) {
		if (pd_streq(pd_json_get_string(object, pairs[0]), pairs[1]) && pd_json_get(object, pairs[0]))
			continue;
		pd_json_set(a, object, pairs[0], pd_json_string(a, pairs[1]));
		changed = true;
	}
	return changed;
}

static struct pd_json *new_config_map(struct pd_arena *a, const struct pd_k8s_config_map *want)
{
	struct pd_json *root = pd_json_object(a), *meta = pd_json_object(a);

	pd_json_add(a, root, "apiVersion", pd_json_string(a, "v1"));
	pd_json_add(a, root, "kind", pd_json_string(a, "ConfigMap"));
	pd_json_add(a, meta, "namespace", pd_json_string(a, want->ns));
	pd_json_add(a, meta, "name", pd_json_string(a, want->name));
	pd_json_add(a, root, "metadata", meta);
	return root;
}

static int change_config_map(void *user, const char *present, size_t len, struct pd_buf *out)
{
	const struct pd_k8s_config_map *want = &((struct put *)user)->want;
	struct pd_arena a = {0};
	struct pd_json *root;
	bool changed = !present;
	int rc = PD_OK;

	if (!present)
		root = new_config_map(&a, want);
	else
		rc = pd_json_parse(&a, present, len, &root, NULL);
	if (!rc) {
		changed |= set_pairs(&a, root, "data", want->data);
		changed |= set_pairs(&a, pd_k8s_json_object(&a, root, "metadata"), "labels", want->labels);
		if (changed)
			pd_json_print(out, root, false);
		else
			rc = PD_E_EXISTS;
	}
	pd_arena_free(&a);
	return rc;
}

static void put_done(void *user, const struct pd_k8s_result *r)
{
	struct put *p = user;

	if (p->want.on_done)
		p->want.on_done(p->want.user, r);
	pd_arena_free(&p->arena);
	free(p);
}

int pd_k8s_put_config_map(struct pd_k8s_writer *w, const struct pd_k8s_config_map *want)
{
	struct put *p = pd_xcalloc(1, sizeof(*p));
	struct pd_k8s_write write = {.op = PD_K8S_UPDATE,
				     .api = "/api/v1",
				     .plural = "configmaps",
				     .ns = want->ns,
				     .name = want->name,
				     .change = change_config_map,
				     .leader = want->leader,
				     .on_done = put_done,
				     .user = p};
	int rc;

	p->want = *want;
	p->want.ns = pd_arena_strdup(&p->arena, want->ns);
	p->want.name = pd_arena_strdup(&p->arena, want->name);
	p->want.data = copy_pairs(&p->arena, want->data);
	p->want.labels = copy_pairs(&p->arena, want->labels);
	rc = pd_k8s_write(w, &write);
	if (rc) {
		pd_arena_free(&p->arena);
		free(p);
	}
	return rc;
}

// ---- Events

static void event_done(void *user, const struct pd_k8s_result *r)
{
	(void)user;
	if (r->err && r->err != PD_E_CLOSED)
		pd_warn("k8s", "an event could not be written: %s", r->status.message);
}

static void add(struct pd_buf *b, const char *key, const char *value)
{
	if (pd_empty(value))
		return;
	if (b->p[b->n - 1] != '{')
		pd_buf_addc(b, ',');
	pd_buf_printf(b, "\"%s\":", key);
	pd_buf_json(b, value);
}

static void add_message(struct pd_buf *b, const char *message)
{
	size_t n = strlen(message);

	if (n > PD_K8S_EVENT_MESSAGE_MAX) {
		n = PD_K8S_EVENT_MESSAGE_MAX;
		while (n && ((unsigned char)message[n] & 0xc0) == 0x80)
			n--;
	}
	pd_buf_adds(b, ",\"message\":");
	pd_buf_json_n(b, message, n);
}

int pd_k8s_send_event(struct pd_k8s_writer *w, const struct pd_k8s_event *e)
{
	const char *ns = pd_or(e->ns, "default"); // where Kubernetes keeps events of cluster-scoped objects
	int64_t now = pd_wall_ns();
	struct pd_buf b = {0};
	char time[36];
	int rc;

	pd_format_time(now - now % 1000000000, time);
	pd_buf_printf(&b, "{\"apiVersion\":\"v1\",\"kind\":\"Event\",\"metadata\":{\"generateName\":\"pilotd-\"");
	add(&b, "namespace", ns);
	pd_buf_adds(&b, "},\"involvedObject\":{");
	add(&b, "apiVersion", e->api_version);
	add(&b, "kind", e->kind);
	add(&b, "namespace", e->ns);
	add(&b, "name", e->name);
	add(&b, "uid", e->uid);
	pd_buf_printf(&b, "},\"type\":\"%s\",\"count\":1", e->warning ? "Warning" : "Normal");
	add(&b, "reason", e->reason);
	add_message(&b, e->message);
	add(&b, "firstTimestamp", time);
	add(&b, "lastTimestamp", time);
	pd_buf_adds(&b, ",\"source\":{");
	add(&b, "component", e->component);
	add(&b, "host", e->instance);
	pd_buf_addc(&b, '}');
	add(&b, "reportingComponent", e->component);
	add(&b, "reportingInstance", e->instance);
	pd_buf_addc(&b, '}');
	rc = pd_k8s_write(w, &(struct pd_k8s_write){.op = PD_K8S_CREATE,
						    .api = "/api/v1",
						    .plural = "events",
						    .ns = ns,
						    .body = b.p,
						    .body_len = b.n,
						    .on_done = event_done});
	pd_buf_free(&b);
	return rc;
}

// ---- TokenReviews

static const char *text_of(struct pd_arena *a, const struct pd_json *object, const char *key)
{
	return pd_arena_strdup(a, pd_or(pd_json_get_string(object, key), ""));
}

static const char *const *groups_of(struct pd_arena *a, const struct pd_json *user)
{
	const struct pd_json *list = pd_json_get(user, "groups"), *j;
	PD_VEC(const char *) out = {0};

	for (j = list && list->type == PD_JSON_ARRAY ? list->first : NULL; j; j = j->next)
		if (j->type == PD_JSON_STRING && out.n < PD_K8S_REVIEW_GROUPS_MAX)
			pd_vec_push_a(a, &out, pd_arena_strndup(a, j->s, j->n));
	pd_vec_push_a(a, &out, NULL);
	return out.v;
}

int pd_k8s_token_review_decode(const char *json, size_t len, struct pd_k8s_token_review *out)
{
	struct pd_arena a = {.secret = true}; // the token is in it
	const struct pd_json *status, *authenticated, *user;
	struct pd_json *root;

	*out = (struct pd_k8s_token_review){0};
	if (pd_json_parse(&a, json, len, &root, NULL) || !pd_streq(pd_json_get_string(root, "kind"), "TokenReview")) {
		pd_arena_free(&a);
		return PD_E_PARSE;
	}
	status = pd_json_get(root, "status");
	user = pd_json_get(status, "user");
	authenticated = pd_json_get(status, "authenticated");
	out->authenticated = authenticated && authenticated->type == PD_JSON_BOOL && authenticated->b;
	out->username = text_of(&out->arena, user, "username");
	out->uid = text_of(&out->arena, user, "uid");
	out->groups = groups_of(&out->arena, user);
	out->error = text_of(&out->arena, status, "error");
	pd_arena_free(&a);
	return PD_OK;
}

struct review {
	struct pd_k8s_token_review *out;
	struct pd_buf *err;
	int rc;
	pthread_mutex_t lock;
	pthread_cond_t over;
	bool done; // under lock
};

static void review_done(void *user, const struct pd_k8s_result *r)
{
	struct review *v = user;

	v->rc = r->err;
	if (r->err)
		pd_buf_adds(v->err, r->status.message);
	else if ((v->rc = pd_k8s_token_review_decode(r->body, r->body_len, v->out)))
		pd_buf_adds(v->err, "the answer is no TokenReview");
	pthread_mutex_lock(&v->lock);
	v->done = true;
	pthread_cond_signal(&v->over);
	pthread_mutex_unlock(&v->lock);
}

static void print_review(struct pd_buf *b, const char *token, const char *const *audiences)
{
	pd_buf_adds(b, "{\"apiVersion\":\"authentication.k8s.io/v1\",\"kind\":\"TokenReview\",\"spec\":{\"token\":");
	pd_buf_json(b, token);
	for (size_t i = 0; audiences && audiences[i]; i++) {
		pd_buf_adds(b, i ? "," : ",\"audiences\":[");
		pd_buf_json(b, audiences[i]);
		if (!audiences[i + 1])
			pd_buf_addc(b, ']');
	}
	pd_buf_adds(b, "}}");
}

int pd_k8s_review_token(struct pd_k8s_writer *w, const char *token, const char *const *audiences,
			struct pd_k8s_token_review *out, struct pd_buf *err)
{
	struct review v = {.out = out, .err = err};
	struct pd_k8s_write write = {.op = PD_K8S_CREATE,
				     .api = "/apis/authentication.k8s.io/v1",
				     .plural = "tokenreviews",
				     .tries = 2, // somebody waits
				     .on_done = review_done,
				     .user = &v};
	struct pd_buf body = {0};

	*out = (struct pd_k8s_token_review){0};
	print_review(&body, token, audiences);
	write.body = body.p;
	write.body_len = body.n;
	pthread_mutex_init(&v.lock, NULL);
	pthread_cond_init(&v.over, NULL);
	if (pd_k8s_write(w, &write)) {
		v.rc = PD_E_CLOSED;
		pd_buf_adds(err, "the client is shutting down");
	} else {
		pthread_mutex_lock(&v.lock);
		while (!v.done)
			pthread_cond_wait(&v.over, &v.lock);
		pthread_mutex_unlock(&v.lock);
	}
	pthread_mutex_destroy(&v.lock);
	pthread_cond_destroy(&v.over);
	explicit_bzero(body.p, body.cap);
	pd_buf_free(&body);
	return v.rc;
}
