// What a kubeconfig says: entries by name from several files, and one context of them as a config.
//
// The reader stops at the first mistake, which it reports as "FILE: users[dev].user.exec.command: missing (line 12)".
#include <stdlib.h>
#include <string.h>

#include "api/base64.h"
#include "base/vec.h"
#include "config/yaml.h"
#include "k8s/config_impl.h"

#define V1 "client.authentication.k8s.io/v1"

// Where we are in which file, for messages and relative paths.
struct reader {
	struct pd_k8s_config *out;
	struct pd_buf *err;
	int rc; // the first mistake; PD_OK = none so far
	const struct pd_kubeconfig *file;
	const char *where; // "users[dev].user", in the config's arena
	bool own;
};

static void PD_PRINTF(4, 5) fail(struct reader *r, int rc, const char *field, const char *fmt, ...)
{
	va_list ap;

	if (r->rc)
		return;
	r->rc = rc;
	pd_buf_printf(r->err, "%s: %s%s%s: ", r->file->path, r->where, *r->where && *field ? "." : "", field);
	va_start(ap, fmt);
	pd_buf_vprintf(r->err, fmt, ap);
	va_end(ap);
}

static bool is_null(const struct pd_json *j)
{
	return !j || j->type == PD_JSON_NULL;
}

// A member of a wanted type, or NULL: absent, null, or a mistake.
static const struct pd_json *member(struct reader *r, const struct pd_json *object, const char *field,
				    enum pd_json_type type, const char *wanted)
{
	const struct pd_json *j = pd_json_get(object, field);

	if (r->rc || is_null(j))
		return NULL;
	if (j->type == type)
		return j;
	fail(r, PD_E_INVALID, field, "expected %s, got %s (line %u)", wanted, pd_json_type_name(j), j->line);
	return NULL;
}

// A string that is not empty, borrowed from the tree.
static const struct pd_json *string_node(struct reader *r, const struct pd_json *object, const char *field)
{
	const struct pd_json *j = member(r, object, field, PD_JSON_STRING, "a string");

	if (!j || !j->n)
		return NULL;
	if (memchr(j->s, 0, j->n)) {
		fail(r, PD_E_INVALID, field, "it holds a NUL byte (line %u)", j->line);
		return NULL;
	}
	return j;
}

// The same as the config's own.
static const char *string(struct reader *r, const struct pd_json *object, const char *field)
{
	const struct pd_json *j = string_node(r, object, field);

	return j ? pd_arena_strndup(&r->out->arena, j->s, j->n) : NULL;
}

static bool boolean(struct reader *r, const struct pd_json *object, const char *field)
{
	const struct pd_json *j = member(r, object, field, PD_JSON_BOOL, "true or false");

	return j && j->b;
}

// A string that ends up in a header or on curl's command line.
static const char *printable(struct reader *r, const struct pd_json *object, const char *field)
{
	const char *s = string(r, object, field);

	for (const char *p = pd_or(s, ""); *p; p++) {
		if ((unsigned char)*p < ' ' || *p == 0x7f) {
			fail(r, PD_E_INVALID, field, "it holds a control character");
			return NULL;
		}
	}
	return s;
}

static const char *path_of(struct reader *r, const char *path)
{
	if (!path || *path == '/' || pd_empty(r->file->dir))
		return path;
	return pd_arena_printf(&r->out->arena, "%s%s", r->file->dir, path);
}

// Base64, in which line breaks do not count.
static void data(struct reader *r, const struct pd_json *object, const char *field, struct pd_k8s_text *out)
{
	const struct pd_json *j = string_node(r, object, field);
	struct pd_arena *a = &r->out->arena;
	ProtobufCBinaryData bytes;
	size_t n = 0;
	char *packed;

	if (!j)
		return;
	packed = pd_arena_bytes(a, j->n);
	for (size_t i = 0; i < j->n; i++)
		if (j->s[i] != '\n' && j->s[i] != '\r')
			packed[n++] = j->s[i];
	if (!pd_base64_decode(a, packed, n, &bytes) || !bytes.len) {
		fail(r, PD_E_INVALID, field, "it is not base64 (line %u)", j->line);
		return;
	}
	out->data = (const char *)bytes.data;
	out->len = bytes.len;
	out->name = pd_arena_printf(a, "%s.%s", r->where, field);
}

// `foreign` = whether somebody else's text may name files of ours here.
static void file(struct reader *r, const struct pd_json *object, const char *field, bool foreign,
		 struct pd_k8s_text *out)
{
	const char *path = string(r, object, field);

	if (!path)
		return;
	if (!r->own && !foreign) {
		fail(r, PD_E_DENIED, field, "files of ours are not for this kubeconfig");
		return;
	}
	out->file = path_of(r, path);
	if (!out->data)
		out->name = pd_arena_printf(&r->out->arena, "%s.%s", r->where, field);
}

// ---- entries

// The entry `name` of a list in one file, or NULL. *at is its index.
static const struct pd_json *entry_in(struct reader *r, const char *list, const char *name)
{
	const struct pd_json *all = member(r, r->file->root, list, PD_JSON_ARRAY, "a list"), *found = NULL, *j;

	for (j = all ? all->first : NULL; j && !r->rc; j = j->next) {
		const char *n = pd_json_get_string(j, "name");

		if (j->type != PD_JSON_OBJECT)
			fail(r, PD_E_INVALID, list, "expected objects, got %s (line %u)", pd_json_type_name(j),
			     j->line);
		else if (!n)
			fail(r, PD_E_INVALID, list, "an entry without a name (line %u)", j->line);
		else if (pd_streq(n, name) && found)
			fail(r, PD_E_INVALID, list, "the name %s is there twice (line %u)", name, j->line);
		else if (pd_streq(n, name))
			found = j;
	}
	return found;
}

// Finds list[name].member in the first file that has it, and makes the reader stand there. An entry without content counts
// as an empty one: NULL, without a mistake.
static const struct pd_json *entry(struct reader *r, const struct pd_kubeconfig *files, size_t n, const char *list,
				   const char *name, const char *content)
{
	const struct pd_json *e = NULL;
	struct reader at = *r;

	r->where = "";
	for (size_t i = 0; i < n && !e && !r->rc; i++) {
		r->file = files + i;
		e = entry_in(r, list, name);
	}
	if (r->rc)
		return NULL;
	if (!e) {
		r->file = at.file;
		r->where = at.where;
		fail(r, PD_E_INVALID, content, "there is no %s named \"%s\"", content, name);
		return NULL;
	}
	r->where = pd_arena_printf(&r->out->arena, "%s[%s]", list, name);
	e = member(r, e, content, PD_JSON_OBJECT, "an object");
	r->where = pd_arena_printf(&r->out->arena, "%s.%s", r->where, content);
	return e;
}

// ---- cluster

static bool has_scheme(const char *url, const char *const *schemes)
{
	for (; *schemes; schemes++)
		if (pd_has_prefix(url, *schemes) && url[strlen(*schemes)])
			return true;
	return false;
}

static void read_cluster(struct reader *r, const struct pd_json *cluster)
{
	static const char *const server[] = {"https://", "http://", NULL};
	static const char *const proxy[] = {"https://", "http://", "socks5://", "socks5h://", NULL};
	struct pd_k8s_config *c = r->out;
	const char *url = printable(r, cluster, "server");

	if (!url)
		fail(r, PD_E_INVALID, "server", "missing");
	else if (!has_scheme(url, server))
		fail(r, PD_E_INVALID, "server", "expected https://HOST or http://HOST");
	else if (strpbrk(url, " ?#"))
		fail(r, PD_E_INVALID, "server", "no place for a query or blanks");
	else
		c->server = pd_arena_strndup(&c->arena, url, strlen(url) - pd_has_suffix(url, "/"));
	c->proxy_url = printable(r, cluster, "proxy-url");
	if (c->proxy_url && !has_scheme(c->proxy_url, proxy))
		fail(r, PD_E_INVALID, "proxy-url", "expected a URL with http, https or socks5");
	c->tls_server_name = printable(r, cluster, "tls-server-name");
	if (c->tls_server_name && strpbrk(c->tls_server_name, "/:@?# []"))
		fail(r, PD_E_INVALID, "tls-server-name", "expected a host name");
	c->insecure = boolean(r, cluster, "insecure-skip-tls-verify");
	data(r, cluster, "certificate-authority-data", &c->ca);
	file(r, cluster, "certificate-authority", true, &c->ca);
	if (c->insecure && (c->ca.data || c->ca.file))
		fail(r, PD_E_INVALID, "insecure-skip-tls-verify", "cannot be true beside a certificate authority");
}

// ---- user

static const char *const *read_args(struct reader *r, const struct pd_json *exec)
{
	const struct pd_json *list = member(r, exec, "args", PD_JSON_ARRAY, "a list"), *j;
	PD_VEC(const char *) out = {0};
	struct pd_arena *a = &r->out->arena;

	for (j = list ? list->first : NULL; j; j = j->next) {
		if (j->type != PD_JSON_STRING || memchr(j->s, 0, j->n))
			fail(r, PD_E_INVALID, "args", "expected strings, got %s (line %u)", pd_json_type_name(j),
			     j->line);
		else if (out.n >= PD_K8S_EXEC_MAX_ARGS)
			fail(r, PD_E_LIMIT, "args", "more than %d", PD_K8S_EXEC_MAX_ARGS);
		if (r->rc)
			return NULL;
		pd_vec_push_a(a, &out, pd_arena_strndup(a, j->s, j->n));
	}
	pd_vec_push_a(a, &out, NULL);
	return out.v;
}

static const char *const *read_env(struct reader *r, const struct pd_json *exec)
{
	const struct pd_json *list = member(r, exec, "env", PD_JSON_ARRAY, "a list"), *j;
	PD_VEC(const char *) out = {0};
	struct pd_arena *a = &r->out->arena;

	for (j = list ? list->first : NULL; j; j = j->next) {
		const char *name = pd_json_get_string(j, "name"), *value = pd_json_get_string(j, "value");

		if (pd_empty(name) || strchr(name, '=') || !value)
			fail(r, PD_E_INVALID, "env", "expected a name and a value (line %u)", j->line);
		else if (out.n >= PD_K8S_EXEC_MAX_ARGS)
			fail(r, PD_E_LIMIT, "env", "more than %d", PD_K8S_EXEC_MAX_ARGS);
		if (r->rc)
			return NULL;
		pd_vec_push_a(a, &out, pd_arena_printf(a, "%s=%s", name, value));
	}
	pd_vec_push_a(a, &out, NULL);
	return out.v;
}

// v1 wants the mode to be given; we have no terminal to offer.
static void check_interactive(struct reader *r, const struct pd_json *exec, const char *version)
{
	const char *mode = string(r, exec, "interactiveMode");

	if (!mode && pd_streq(version, V1))
		fail(r, PD_E_INVALID, "interactiveMode", "missing");
	else if (pd_streq(mode, "Always"))
		fail(r, PD_E_INVALID, "interactiveMode", "Always: there is no terminal here");
	else if (mode && !pd_streq(mode, "Never") && !pd_streq(mode, "IfAvailable"))
		fail(r, PD_E_INVALID, "interactiveMode", "expected Never, IfAvailable or Always");
}

static void read_exec(struct reader *r, const struct pd_json *user)
{
	const struct pd_json *exec = member(r, user, "exec", PD_JSON_OBJECT, "an object");
	const char *where = r->where;
	struct pd_k8s_exec *x;

	if (!exec)
		return;
	if (!r->own) {
		fail(r, PD_E_DENIED, "exec", "programs are not for this kubeconfig");
		return;
	}
	r->where = pd_arena_printf(&r->out->arena, "%s.exec", where);
	x = PD_NEW(&r->out->arena, struct pd_k8s_exec);
	x->command = string(r, exec, "command");
	if (!x->command)
		fail(r, PD_E_INVALID, "command", "missing");
	else if (strchr(x->command, '/'))
		x->command = path_of(r, x->command);
	x->api_version = string(r, exec, "apiVersion");
	if (!x->api_version)
		fail(r, PD_E_INVALID, "apiVersion", "missing");
	else if (!pd_streq(x->api_version, V1) && !pd_streq(x->api_version, V1 "beta1"))
		fail(r, PD_E_INVALID, "apiVersion", "expected %s or %sbeta1", V1, V1);
	check_interactive(r, exec, x->api_version);
	x->args = read_args(r, exec);
	x->env = read_env(r, exec);
	x->install_hint = string(r, exec, "installHint");
	x->provide_cluster_info = boolean(r, exec, "provideClusterInfo");
	r->where = where;
	r->out->exec = x;
}

static void refuse_unsupported(struct reader *r, const struct pd_json *user)
{
	static const struct {
		const char *field, *why;
	} no[] = {{"auth-provider", "removed from Kubernetes in 1.26: use exec"},
		  {"as", "impersonation is not supported"},
		  {"as-uid", "impersonation is not supported"},
		  {"as-groups", "impersonation is not supported"},
		  {"as-user-extra", "impersonation is not supported"}};

	for (size_t i = 0; i < sizeof(no) / sizeof(*no); i++)
		if (!is_null(pd_json_get(user, no[i].field)))
			fail(r, PD_E_INVALID, no[i].field, "%s", no[i].why);
}

static void read_token(struct reader *r, const struct pd_json *user)
{
	struct pd_k8s_text *t = &r->out->token;

	t->data = printable(r, user, "token");
	if (t->data) {
		t->len = strlen(t->data);
		t->name = pd_arena_printf(&r->out->arena, "%s.token", r->where);
	}
	if (t->len > PD_K8S_TOKEN_MAX_BYTES)
		fail(r, PD_E_LIMIT, "token", "longer than %d bytes", PD_K8S_TOKEN_MAX_BYTES);
	file(r, user, "tokenFile", false, t);
	if (t->file) // it wins
		t->name = pd_arena_printf(&r->out->arena, "%s.tokenFile", r->where);
}

static void read_user(struct reader *r, const struct pd_json *user)
{
	struct pd_k8s_config *c = r->out;
	bool cert, key;

	refuse_unsupported(r, user);
	data(r, user, "client-certificate-data", &c->cert);
	file(r, user, "client-certificate", false, &c->cert);
	data(r, user, "client-key-data", &c->key);
	file(r, user, "client-key", false, &c->key);
	cert = c->cert.data || c->cert.file;
	key = c->key.data || c->key.file;
	if (cert != key)
		fail(r, PD_E_INVALID, cert ? "client-key" : "client-certificate", "missing beside the %s",
		     cert ? "certificate" : "key");
	read_token(r, user);
	c->username = string(r, user, "username");
	c->password = string(r, user, "password");
	if (c->password && !c->username)
		fail(r, PD_E_INVALID, "username", "missing beside the password");
	read_exec(r, user);
	if ((c->token.data || c->token.file) + !!c->username + !!c->exec > 1)
		fail(r, PD_E_INVALID, "", "only one of token, username and exec may be given");
}

// ---- contexts

static const char *current_context(struct reader *r, const struct pd_kubeconfig *files, size_t n)
{
	const char *name = NULL;

	for (size_t i = 0; i < n && !name && !r->rc; i++) {
		r->file = files + i;
		name = string(r, files[i].root, "current-context");
	}
	if (!name) {
		r->file = files;
		fail(r, PD_E_INVALID, "current-context", "missing, and no context was asked for");
	}
	return name;
}

static void read_context(struct reader *r, const struct pd_kubeconfig *files, size_t n, const char *context)
{
	const struct pd_json *e = entry(r, files, n, "contexts", context, "context");
	const char *cluster = string(r, e, "cluster"), *user = string(r, e, "user"), *path = r->file->path;
	struct reader at;

	r->out->ns = string(r, e, "namespace");
	if (!cluster)
		fail(r, PD_E_INVALID, "cluster", "missing");
	if (r->rc)
		return;
	r->out->origin = pd_arena_printf(&r->out->arena, "%s, context %s", path, context);
	at = *r;
	read_cluster(r, entry(r, files, n, "clusters", cluster, "cluster"));
	r->file = at.file;
	r->where = at.where;
	if (user)
		read_user(r, entry(r, files, n, "users", user, "user"));
}

int pd_kubeconfig_pick(const struct pd_kubeconfig *files, size_t n, const char *context, bool own,
		       struct pd_k8s_config **out, struct pd_buf *err)
{
	struct pd_k8s_config *c = pd_k8s_config_new();
	struct reader r = {.out = c, .err = err, .file = files, .where = "", .own = own};

	if (pd_empty(context))
		context = current_context(&r, files, n);
	if (!r.rc)
		read_context(&r, files, n, context);
	if (r.rc)
		pd_k8s_config_free(&c);
	else
		*out = c;
	return r.rc;
}

int pd_kubeconfig_parse(struct pd_arena *a, const char *text, size_t len, const char *path, struct pd_kubeconfig *out,
			struct pd_buf *err)
{
	struct pd_yaml_error why = {0};
	struct pd_yaml *y;
	struct pd_json *root;
	uint32_t line;
	int rc = pd_yaml_open(text, len, &y, &why);

	if (!rc) {
		rc = pd_yaml_next(y, a, &root, &line, &why);
		pd_yaml_close(&y);
	}
	if (rc == PD_E_NOTFOUND)
		return rc;
	if (rc) {
		// The parser's text may quote a line, and with it a secret: the place must do.
		pd_buf_printf(err, "%s: line %u: it is not YAML", path, why.line);
		return rc;
	}
	if (root->type != PD_JSON_OBJECT) {
		pd_buf_printf(err, "%s: expected an object, got %s", path, pd_json_type_name(root));
		return PD_E_INVALID;
	}
	*out = (struct pd_kubeconfig){.path = pd_arena_strdup(a, path), .root = root};
	return PD_OK;
}
