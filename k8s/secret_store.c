#include "k8s/secret_store.h"

#include <stdlib.h>

#include "api/base64.h"
#include "api/json.h"
#include "api/secret_text.h"
#include "base/mem.h"

struct store {
	struct pd_k8s_client *client;
	char *ns, *name, *type, *title, *collection, *path;
};

// ---- calls -----------------------------------------------------------------------------------------------------------------

// A body that never moves, so that all of it can be erased.
struct text {
	char *p; // NULL = none
	size_t n;
};

static void erase(struct text *t)
{
	pd_free_secret(t->p, t->n);
	*t = (struct text){0};
}

// On the loop.
static int on_data(void *user, const void *p, size_t n)
{
	struct text *t = user;

	if (n > PD_K8S_SECRET_TEXT_MAX - t->n)
		return PD_E_LIMIT;
	memcpy(t->p + t->n, p, n);
	t->n += n;
	return PD_OK;
}

// The answer's body is in `answer` (erase it), which is empty after a failure. Returns the codes of a call, but PD_E_AGAIN only
// for a conflict: of other failures that may pass, our users have nothing to read again.
static int call(const struct store *s, const char *method, const char *path, const struct pd_buf *body,
		struct text *answer, struct pd_buf *why)
{
	struct pd_k8s_request req = {
		.method = method,
		.path = path,
		.body = body ? body->p : NULL,
		.body_len = body ? body->n : 0,
		.timeout_ms = PD_K8S_SECRET_TIMEOUT_MS,
		.on_data = on_data,
		.user = answer,
	};
	struct pd_k8s_result result;
	int rc;

	*answer = (struct text){.p = pd_xmalloc(PD_K8S_SECRET_TEXT_MAX)};
	rc = pd_k8s_call_wait(s->client, &req, &result, NULL);
	if (rc != PD_OK) {
		pd_buf_adds(why, result.status.message);
		erase(answer);
	}
	return rc == PD_E_AGAIN && result.code != 409 ? PD_E_IO : rc;
}

// What the codes of a call that failed mean to users of a store, but for those that the caller has looked at.
static int code_of(int rc)
{
	return rc == PD_E_DENIED || rc == PD_E_TIMEOUT ? rc : PD_E_IO;
}

// ---- reading ---------------------------------------------------------------------------------------------------------------

static int load(void *self, struct pd_secret *out, struct pd_buf *why)
{
	const struct store *s = self;
	struct text text;
	int rc = call(s, "GET", s->path, NULL, &text, why);

	if (rc != PD_OK)
		return rc == PD_E_NOTFOUND ? rc : code_of(rc);
	rc = pd_secret_decode(text.p, text.n, out, why);
	if (rc == PD_OK && !out->version) {
		pd_buf_adds(why, "it has no resourceVersion");
		rc = PD_E_PARSE;
	}
	erase(&text);
	return rc;
}

// ---- writing ---------------------------------------------------------------------------------------------------------------

static struct pd_json *data_of(struct pd_arena *a, const struct pd_secret *data)
{
	struct pd_json *object = pd_json_object(a);

	for (size_t i = 0; i < data->entries.n; i++) {
		const struct pd_secret_entry *e = &data->entries.v[i];
		size_t room = e->n / 3 * 4 + 8;
		struct pd_buf b = {.p = pd_xmalloc(room), .cap = room};

		pd_base64_encode(&b, (const uint8_t *)e->value, e->n);
		PD_ASSERT(b.cap == room); // it did not move
		pd_json_add(a, object, e->key, pd_json_string_n(a, b.p, b.n));
		pd_free_secret(b.p, b.n);
	}
	return object;
}

static struct pd_json *new_secret(const struct store *s, struct pd_arena *a)
{
	struct pd_json *root = pd_json_object(a), *meta = pd_json_object(a);

	pd_json_add(a, root, "apiVersion", pd_json_string(a, "v1"));
	pd_json_add(a, root, "kind", pd_json_string(a, "Secret"));
	pd_json_add(a, meta, "namespace", pd_json_string(a, s->ns));
	pd_json_add(a, meta, "name", pd_json_string(a, s->name));
	pd_json_add(a, root, "metadata", meta);
	pd_json_add(a, root, "type", pd_json_string(a, s->type));
	return root;
}

static int changed_meanwhile(struct pd_buf *why)
{
	pd_buf_reset(why);
	pd_buf_adds(why, "somebody else wrote it meanwhile");
	return PD_E_AGAIN;
}

static const char *version_of(const struct pd_json *root)
{
	return pd_json_get_string(pd_json_get(root, "metadata"), "resourceVersion");
}

// The Secret as it is, if it has the version that was read.
static int read_present(const struct store *s, const char *version, struct pd_arena *a, struct pd_json **root,
			struct pd_buf *why)
{
	struct text text;
	int rc = call(s, "GET", s->path, NULL, &text, why);

	if (rc == PD_E_NOTFOUND)
		return changed_meanwhile(why);
	if (rc != PD_OK)
		return code_of(rc);
	rc = pd_json_parse(a, text.p, text.n, root, NULL);
	erase(&text);
	if (rc != PD_OK || (*root)->type != PD_JSON_OBJECT) {
		pd_buf_adds(why, "it is not JSON");
		return PD_E_IO;
	}
	return pd_streq(version_of(*root), version) ? PD_OK : changed_meanwhile(why);
}

// Sends it, and takes over the version it got.
static int send(const struct store *s, struct pd_secret *data, const struct pd_json *root, struct pd_buf *why)
{
	size_t room = 3 * PD_K8S_SECRET_TEXT_MAX;
	struct pd_buf body = {.p = pd_xmalloc(room), .cap = room};
	bool fresh = !data->version;
	struct pd_secret written = {0};
	struct text answer;
	int rc;

	pd_json_print(&body, root, false);
	rc = call(s, fresh ? "POST" : "PUT", fresh ? s->collection : s->path, &body, &answer, why);
	pd_free_secret(body.p, body.n);
	if (rc == PD_E_EXISTS || rc == PD_E_AGAIN || (!fresh && rc == PD_E_NOTFOUND))
		return changed_meanwhile(why);
	if (rc != PD_OK)
		return code_of(rc);
	rc = pd_secret_decode(answer.p, answer.n, &written, why);
	erase(&answer);
	if (rc == PD_OK && written.version) {
		free(data->version);
		data->version = pd_xstrdup(written.version);
	} else {
		rc = PD_E_IO;
	}
	pd_secret_free(&written);
	return rc;
}

static int save(void *self, struct pd_secret *data, struct pd_buf *why)
{
	const struct store *s = self;
	struct pd_arena a = {.secret = true};
	struct pd_json *root;
	int rc = PD_OK;

	if (data->version)
		rc = read_present(s, data->version, &a, &root, why);
	else
		root = new_secret(s, &a);
	if (rc == PD_OK) {
		pd_json_set(&a, root, "data", data_of(&a, data));
		rc = send(s, data, root, why);
	}
	pd_arena_free(&a);
	return rc;
}

// ---- life ------------------------------------------------------------------------------------------------------------------

void pd_k8s_secret_store_init(struct pd_secret_store *out, struct pd_k8s_client *client, const char *ns,
			      const char *name, const char *type)
{
	struct store *s = pd_xcalloc(1, sizeof(*s));
	struct pd_buf path = {0};

	pd_buf_adds(&path, "/api/v1/namespaces/");
	pd_k8s_path_add(&path, ns);
	pd_buf_adds(&path, "/secrets");
	s->collection = pd_xstrdup(path.p);
	pd_buf_addc(&path, '/');
	pd_k8s_path_add(&path, name);
	s->path = path.p;
	s->client = client;
	s->ns = pd_xstrdup(ns);
	s->name = pd_xstrdup(name);
	s->type = pd_xstrdup(type);
	s->title = pd_xasprintf("secret %s/%s", ns, name);
	*out = (struct pd_secret_store){s->title, load, save, s};
}

void pd_k8s_secret_store_free(struct pd_secret_store *st)
{
	struct store *s = st->self;

	if (!s)
		return;
	free(s->ns);
	free(s->name);
	free(s->type);
	free(s->title);
	free(s->collection);
	free(s->path);
	free(s);
	*st = (struct pd_secret_store){0};
}
