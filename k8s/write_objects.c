#include "k8s/write_objects.h"

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

int pd_k8s_send_event(struct pd_k8s_writer *w, const struct pd_k8s_event_object *e)
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
