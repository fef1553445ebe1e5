// Where a config comes from: files, environment, our own pod.
#include "k8s/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/vec.h"
#include "config/file.h"
#include "k8s/config_impl.h"

struct pd_k8s_config *pd_k8s_config_new(void)
{
	struct pd_k8s_config *c = pd_xcalloc(1, sizeof(*c));

	c->arena.secret = true;
	return c;
}

void pd_k8s_config_free(struct pd_k8s_config **cp)
{
	if (*cp)
		pd_arena_free(&(*cp)->arena);
	free(*cp);
	*cp = NULL;
}

// ---- files

static int read_file(const char *path, size_t max, char **out, size_t *len, const char **why)
{
	struct stat st;
	int rc = pd_file_read(path, max, out, len, &st);

	*why = rc == PD_E_IO ? strerror(errno) : rc == PD_E_LIMIT ? "too large" : rc ? "not a file" : "";
	return rc;
}

int pd_k8s_text_read(const struct pd_k8s_text *t, size_t max, char **out, size_t *len, struct pd_buf *err)
{
	const char *why;
	int rc = read_file(t->file, max, out, len, &why);

	if (rc)
		pd_buf_printf(err, "%s: cannot read %s: %s", t->name, t->file, why);
	return rc;
}

// A text's content, inline or from its file; nothing if it has neither. *out is NULL then.
static int text_content(const struct pd_k8s_text *t, char **out, size_t *len, struct pd_buf *err)
{
	*out = NULL;
	*len = 0;
	if (t->data) {
		*out = pd_xstrndup(t->data, t->len);
		*len = t->len;
		return PD_OK;
	}
	return t->file ? pd_k8s_text_read(t, PD_K8S_PEM_MAX_BYTES, out, len, err) : PD_OK;
}

static int check_ca(const struct pd_k8s_text *ca, struct pd_buf *err)
{
	char *pem;
	size_t len;
	int rc = text_content(ca, &pem, &len, err);

	if (!rc && pem) {
		pd_buf_printf(err, "%s: ", ca->name);
		rc = pd_k8s_check_ca(pem, len, err);
	}
	pd_free_secret(pem, len);
	return rc;
}

static int check_pair(const struct pd_k8s_config *c, struct pd_buf *err)
{
	char *cert, *key = NULL;
	size_t cert_len, key_len = 0;
	int rc = text_content(&c->cert, &cert, &cert_len, err);

	if (!rc)
		rc = text_content(&c->key, &key, &key_len, err);
	if (!rc && cert) {
		pd_buf_printf(err, "%s, %s: ", c->cert.name, c->key.name);
		rc = pd_k8s_check_pair(cert, cert_len, key, key_len, err);
	}
	pd_free_secret(cert, cert_len);
	pd_free_secret(key, key_len);
	return rc;
}

static int check_token(const struct pd_k8s_text *t, struct pd_buf *err)
{
	char *token;
	size_t len;
	int rc;

	if (!t->file || t->data)
		return PD_OK;
	rc = pd_k8s_text_read(t, PD_K8S_TOKEN_MAX_BYTES, &token, &len, err);
	if (!rc)
		pd_free_secret(token, len);
	return rc;
}

int pd_k8s_config_check(const struct pd_k8s_config *c, struct pd_buf *err)
{
	struct pd_buf why = {0};
	int rc = check_ca(&c->ca, &why);

	if (!rc) {
		pd_buf_reset(&why);
		rc = check_pair(c, &why);
	}
	if (!rc) {
		pd_buf_reset(&why);
		rc = check_token(&c->token, &why);
	}
	if (rc)
		pd_buf_printf(err, "%s: %s", c->origin, why.p);
	pd_buf_free(&why);
	return rc;
}

// ---- kubeconfigs

// The files to merge, while they are parsed. All-zero is empty.
struct files {
	struct pd_arena arena; // of the trees; wiped
	PD_VEC(struct pd_kubeconfig) v;
};

// Adds a file. One that must be there and is not is an error; an empty one adds nothing.
static int add_file(struct files *f, const char *path, bool must_exist, struct pd_buf *err)
{
	struct pd_kubeconfig kc = {0};
	char *text = NULL;
	size_t len = 0;
	const char *why;
	int rc = read_file(path, PD_K8S_CONFIG_MAX_BYTES, &text, &len, &why);

	if (rc == PD_E_IO && errno == ENOENT && !must_exist)
		return PD_OK;
	if (rc) {
		pd_buf_printf(err, "%s: %s", path, why);
		return rc;
	}
	rc = pd_kubeconfig_parse(&f->arena, text, len, path, &kc, err);
	pd_free_secret(text, len);
	if (rc == PD_E_NOTFOUND && !must_exist)
		return PD_OK;
	if (rc == PD_E_NOTFOUND) {
		pd_buf_printf(err, "%s: it is empty", path);
		return PD_E_INVALID;
	}
	if (!rc) {
		const char *slash = strrchr(path, '/');

		kc.dir = slash ? pd_arena_strndup(&f->arena, path, (size_t)(slash - path) + 1) : "";
		pd_vec_push(&f->v, kc);
	}
	return rc;
}

// $KUBECONFIG: paths between colons.
static int add_list(struct files *f, const char *list, struct pd_buf *err)
{
	size_t count = 0;
	int rc = PD_OK;

	for (const char *p = list, *end; !rc && *p; p = *end ? end + 1 : end) {
		char *path;

		end = strchrnul(p, ':');
		if (end == p)
			continue;
		if (++count > PD_K8S_CONFIG_MAX_FILES) {
			pd_buf_printf(err, "KUBECONFIG: more than %d files", PD_K8S_CONFIG_MAX_FILES);
			return PD_E_LIMIT;
		}
		path = pd_xstrndup(p, (size_t)(end - p));
		rc = add_file(f, path, false, err);
		free(path);
	}
	return rc;
}

static int add_default(struct files *f, struct pd_buf *err)
{
	const char *home = getenv("HOME");
	char *path;
	int rc;

	if (pd_empty(home))
		return PD_OK;
	path = pd_xasprintf("%s/.kube/config", home);
	rc = add_file(f, path, false, err);
	free(path);
	return rc;
}

int pd_k8s_config_load(const struct pd_k8s_config_options *o, struct pd_k8s_config **out, struct pd_buf *err)
{
	struct files f = {.arena.secret = true};
	struct pd_k8s_config *c = NULL;
	int rc;

	if (!pd_empty(o->kubeconfig))
		rc = add_file(&f, o->kubeconfig, true, err);
	else if (!pd_empty(getenv("KUBECONFIG")))
		rc = add_list(&f, getenv("KUBECONFIG"), err);
	else
		rc = add_default(&f, err);
	if (!rc && f.v.n)
		rc = pd_kubeconfig_pick(f.v.v, f.v.n, o->context, true, &c, err);
	else if (!rc)
		rc = pd_k8s_config_in_cluster(o->service_account_dir, &c, err);
	pd_vec_free(&f.v);
	pd_arena_free(&f.arena);
	if (!rc && (rc = pd_k8s_config_check(c, err)))
		pd_k8s_config_free(&c);
	if (!rc)
		*out = c;
	return rc;
}

int pd_k8s_config_parse(const char *text, size_t len, const char *origin, const char *context,
			struct pd_k8s_config **out, struct pd_buf *err)
{
	struct pd_arena arena = {.secret = true};
	struct pd_kubeconfig kc = {0};
	struct pd_k8s_config *c = NULL;
	int rc = PD_E_LIMIT;

	if (len > PD_K8S_CONFIG_MAX_BYTES)
		pd_buf_printf(err, "%s: larger than %d bytes", origin, PD_K8S_CONFIG_MAX_BYTES);
	else
		rc = pd_kubeconfig_parse(&arena, text, len, origin, &kc, err);
	if (rc == PD_E_NOTFOUND)
		pd_buf_printf(err, "%s: it is empty", origin);
	if (!rc)
		rc = pd_kubeconfig_pick(&kc, 1, context, false, &c, err);
	pd_arena_free(&arena);
	if (!rc && (rc = pd_k8s_config_check(c, err)))
		pd_k8s_config_free(&c);
	if (!rc)
		*out = c;
	return rc;
}

// ---- in-cluster

// The namespace that we run in. Not being told is no failure.
static const char *own_namespace(struct pd_arena *a, const char *dir)
{
	char *path = pd_xasprintf("%s/namespace", dir), *text = NULL;
	const char *ns = NULL, *why;
	size_t len;

	if (!read_file(path, PD_K8S_TOKEN_MAX_BYTES, &text, &len, &why)) {
		len = strcspn(text, " \t\r\n");
		ns = len ? pd_arena_strndup(a, text, len) : NULL;
	}
	free(text);
	free(path);
	return ns;
}

int pd_k8s_config_in_cluster(const char *dir, struct pd_k8s_config **out, struct pd_buf *err)
{
	const char *host = getenv("KUBERNETES_SERVICE_HOST"), *port = getenv("KUBERNETES_SERVICE_PORT");
	struct pd_k8s_config *c;
	bool v6;

	if (pd_empty(host) || pd_empty(port)) {
		pd_buf_adds(
			err,
			"no kubeconfig, and no KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT in the environment");
		return PD_E_NOTFOUND;
	}
	dir = pd_or(dir, PD_K8S_SERVICE_ACCOUNT_DIR);
	c = pd_k8s_config_new();
	v6 = strchr(host, ':');
	c->origin = "in-cluster";
	c->server = pd_arena_printf(&c->arena, v6 ? "https://[%s]:%s" : "https://%s:%s", host, port);
	c->ns = own_namespace(&c->arena, dir);
	c->token.file = pd_arena_printf(&c->arena, "%s/token", dir);
	c->token.name = "service account token";
	c->ca.file = pd_arena_printf(&c->arena, "%s/ca.crt", dir);
	c->ca.name = "service account CA";
	*out = c;
	return PD_OK;
}
