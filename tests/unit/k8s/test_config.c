// Kubeconfigs: what is read, how several are merged, and every mistake by file, field and reason.
#include "k8s/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/base64.h"
#include "certs.h"
#include "client_rig.h"

struct rig {
	char *dir;
	struct tc_pair ca, client, other;
	char *ca64, *cert64, *key64;
};

static char *base64(const char *s)
{
	struct pd_buf b = {0};

	pd_base64_encode(&b, (const uint8_t *)s, strlen(s));
	return b.p;
}

static int set_up(void **state)
{
	struct rig *r = pd_xcalloc(1, sizeof(*r));

	r->dir = rig_dir();
	r->ca = tc_make(NULL, "ca", NULL);
	r->client = tc_make(&r->ca, "me", NULL);
	r->other = tc_make(&r->ca, "other", NULL);
	r->ca64 = base64(r->ca.cert);
	r->cert64 = base64(r->client.cert);
	r->key64 = base64(r->client.key);
	unsetenv("KUBECONFIG");
	unsetenv("KUBERNETES_SERVICE_HOST");
	unsetenv("KUBERNETES_SERVICE_PORT");
	setenv("HOME", r->dir, 1);
	*state = r;
	return 0;
}

static int tear_down(void **state)
{
	struct rig *r = *state;

	tc_free(&r->ca);
	tc_free(&r->client);
	tc_free(&r->other);
	free(r->ca64);
	free(r->cert64);
	free(r->key64);
	rig_dir_free(&r->dir);
	free(r);
	return 0;
}

static char *in_dir(struct rig *r, const char *name)
{
	return pd_xasprintf("%s/%s", r->dir, name);
}

// Loads DIR/config with this text. The error, without the folder's name, is in *err; caller frees.
static int load(struct rig *r, const char *text, struct pd_k8s_config **out, char **err)
{
	struct pd_buf b = {0};
	char *path = in_dir(r, "config");
	size_t n = strlen(r->dir) + 1;
	int rc;

	rig_write(r->dir, "config", text);
	rc = pd_k8s_config_load(&(struct pd_k8s_config_options){.kubeconfig = path}, out, &b);
	*err = pd_xstrdup(pd_or(b.p, "") + (b.n > n && !strncmp(b.p, r->dir, n - 1) ? n : 0));
	pd_buf_free(&b);
	free(path);
	return rc;
}

static struct pd_k8s_config *must_load(struct rig *r, const char *text)
{
	struct pd_k8s_config *c = NULL;
	char *err;

	if (load(r, text, &c, &err))
		fail_msg("%s", err);
	free(err);
	return c;
}

#define HEAD "current-context: x\ncontexts: [{name: x, context: {cluster: c, user: u, namespace: ns1}}]\n"
#define CLUSTER "clusters: [{name: c, cluster: {server: 'https://h:6443'}}]\n"

static void test_everything_inline(void **state)
{
	struct rig *r = *state;
	char *text = pd_xasprintf(HEAD "clusters:\n- name: c\n  cluster:\n    server: https://h:6443/base/\n"
				       "    tls-server-name: kubernetes\n    proxy-url: socks5://p:1080\n"
				       "    certificate-authority-data: %s\n    extensions: [{name: x}]\n"
				       "users:\n- name: u\n  user:\n    token: abc\n    client-certificate-data: %s\n"
				       "    client-key-data: |\n      %.40s\n      %s\n",
				  r->ca64, r->cert64, r->key64, r->key64 + 40);
	struct pd_k8s_config *c = must_load(r, text);

	assert_string_equal(c->server, "https://h:6443/base");
	assert_string_equal(c->ns, "ns1");
	assert_string_equal(c->tls_server_name, "kubernetes");
	assert_string_equal(c->proxy_url, "socks5://p:1080");
	assert_false(c->insecure);
	assert_int_equal(c->ca.len, strlen(r->ca.cert));
	assert_memory_equal(c->ca.data, r->ca.cert, c->ca.len);
	assert_memory_equal(c->key.data, r->client.key, c->key.len);
	assert_string_equal(c->token.data, "abc");
	assert_true(pd_has_suffix(c->origin, "/config, context x"));
	pd_k8s_config_free(&c);
	assert_null(c);
	free(text);
}

static void test_files_are_relative_to_the_kubeconfig(void **state)
{
	struct rig *r = *state;
	struct pd_k8s_config *c;
	char *path = in_dir(r, "client.key"), *program = in_dir(r, "bin/login");

	rig_write(r->dir, "ca.crt", r->ca.cert);
	rig_write(r->dir, "client.crt", r->client.cert);
	rig_write(r->dir, "client.key", r->client.key);
	rig_write(r->dir, "token", "abc\n");
	c = must_load(r, HEAD "clusters: [{name: c, cluster: {server: 'https://h', certificate-authority: ca.crt}}]\n"
			      "users: [{name: u, user: {client-certificate: client.crt, client-key: client.key, "
			      "tokenFile: token, token: old}}]\n");
	assert_string_equal(c->key.file, path);
	assert_null(c->key.data);
	assert_true(pd_has_suffix(c->token.file, "/token"));
	pd_k8s_config_free(&c);
	c = must_load(r,
		      HEAD CLUSTER "users: [{name: u, user: {exec: {command: bin/login, args: [a, b], env: [{name: A, "
				   "value: b=c}], apiVersion: client.authentication.k8s.io/v1beta1, installHint: hint, "
				   "provideClusterInfo: true}}}]\n");
	assert_string_equal(c->exec->command, program);
	assert_string_equal(c->exec->args[1], "b");
	assert_null(c->exec->args[2]);
	assert_string_equal(c->exec->env[0], "A=b=c");
	assert_true(c->exec->provide_cluster_info);
	pd_k8s_config_free(&c);
	c = must_load(r, HEAD CLUSTER
		      "users: [{name: u, user: {exec: {command: login, interactiveMode: Never, apiVersion: "
		      "client.authentication.k8s.io/v1}}}]\n");
	assert_string_equal(c->exec->command, "login"); // looked up in $PATH
	pd_k8s_config_free(&c);
	free(path);
	free(program);
}

// For each name the first file that has it counts; files that are missing or empty count nothing.
static void test_merge(void **state)
{
	struct rig *r = *state;
	char *list = pd_xasprintf("%s/one::%s/missing:%s/empty:%s/two", r->dir, r->dir, r->dir, r->dir);
	struct pd_k8s_config_options o = {0};
	struct pd_k8s_config *c;
	struct pd_buf err = {0};

	rig_write(r->dir, "empty", "");
	rig_write(r->dir, "one",
		  "contexts: [{name: a, context: {cluster: c1, user: u2}}]\n"
		  "clusters: [{name: c1, cluster: {server: 'https://one'}}]\n");
	rig_write(r->dir, "two",
		  "current-context: a\ncontexts: [{name: a, context: {cluster: c2}}, {name: b, context: "
		  "{cluster: c2}}]\nclusters: [{name: c1, cluster: {server: 'https://two', insecure-skip-tls-"
		  "verify: true}}, {name: c2, cluster: {server: 'http://three'}}]\n"
		  "users: [{name: u2, user: {token: t}}]\n");
	setenv("KUBECONFIG", list, 1);
	assert_int_equal(pd_k8s_config_load(&o, &c, &err), PD_OK);
	assert_string_equal(c->server, "https://one");
	assert_string_equal(c->token.data, "t");
	assert_false(c->insecure); // entries are not mixed
	pd_k8s_config_free(&c);
	o.context = "b";
	assert_int_equal(pd_k8s_config_load(&o, &c, &err), PD_OK);
	assert_string_equal(c->server, "http://three");
	assert_null(c->token.data);
	pd_k8s_config_free(&c);
	o.context = "z";
	assert_int_equal(pd_k8s_config_load(&o, &c, &err), PD_E_INVALID);
	assert_true(pd_has_suffix(err.p, "/one: context: there is no context named \"z\""));
	pd_buf_free(&err);
	free(list);
}

static void test_where_configs_come_from(void **state)
{
	struct rig *r = *state;
	struct pd_k8s_config_options o = {.service_account_dir = r->dir};
	struct pd_k8s_config *c;
	struct pd_buf err = {0};
	char *path = in_dir(r, "none");

	assert_int_equal(pd_k8s_config_load(&o, &c, &err), PD_E_NOTFOUND);
	setenv("KUBECONFIG", path, 1); // as istiod's chart does: the file need not be there
	setenv("KUBERNETES_SERVICE_HOST", "fd00::1", 1);
	setenv("KUBERNETES_SERVICE_PORT", "443", 1);
	pd_buf_reset(&err);
	assert_int_equal(pd_k8s_config_load(&o, &c, &err), PD_E_IO);
	assert_non_null(strstr(err.p, "in-cluster: service account CA: cannot read"));
	rig_write(r->dir, "ca.crt", r->ca.cert);
	rig_write(r->dir, "token", "t");
	rig_write(r->dir, "namespace", "istio-system\n");
	pd_buf_reset(&err);
	assert_int_equal(pd_k8s_config_load(&o, &c, &err), PD_OK);
	assert_string_equal(c->server, "https://[fd00::1]:443");
	assert_string_equal(c->ns, "istio-system");
	pd_k8s_config_free(&c);
	o.kubeconfig = path; // asked for by name: it must be there
	assert_int_equal(pd_k8s_config_load(&o, &c, &err), PD_E_IO);
	assert_true(pd_has_suffix(err.p, "/none: No such file or directory"));
	pd_buf_free(&err);
	free(path);
}

static void test_mistakes(void **state)
{
	static const struct {
		const char *text, *error;
		int rc;
	} cases[] = {
		{"", "config: it is empty", PD_E_INVALID},
		{"a: [", "config: line 2: it is not YAML", PD_E_PARSE},
		{"- a", "config: expected an object, got list", PD_E_INVALID},
		{"a: b", "config: current-context: missing, and no context was asked for", PD_E_INVALID},
		{"current-context: 5", "config: current-context: expected a string, got number (line 1)", PD_E_INVALID},
		{"current-context: x", "config: context: there is no context named \"x\"", PD_E_INVALID},
		{"current-context: x\ncontexts: 7", "config: contexts: expected a list, got number (line 2)",
		 PD_E_INVALID},
		{"current-context: x\ncontexts: [7]", "config: contexts: expected objects, got number (line 2)",
		 PD_E_INVALID},
		{"current-context: x\ncontexts: [{}]", "config: contexts: an entry without a name (line 2)",
		 PD_E_INVALID},
		{"current-context: x\ncontexts: [{name: x}, {name: x}]",
		 "config: contexts: the name x is there twice (line 2)", PD_E_INVALID},
		{"current-context: x\ncontexts: [{name: x}]", "config: contexts[x].context.cluster: missing",
		 PD_E_INVALID},
		{HEAD, "config: contexts[x].context.cluster: there is no cluster named \"c\"", PD_E_INVALID},
		{HEAD CLUSTER, "config: contexts[x].context.user: there is no user named \"u\"", PD_E_INVALID},
		{HEAD "clusters: [{name: c}]", "config: clusters[c].cluster.server: missing", PD_E_INVALID},
		{HEAD "clusters: [{name: c, cluster: {server: 'ftp://h'}}]",
		 "config: clusters[c].cluster.server: expected https://HOST or http://HOST", PD_E_INVALID},
		{HEAD "clusters: [{name: c, cluster: {server: 'https://h?a'}}]",
		 "config: clusters[c].cluster.server: no place for a query or blanks", PD_E_INVALID},
		{HEAD "clusters: [{name: c, cluster: {server: \"https://h\\na\"}}]",
		 "config: clusters[c].cluster.server: it holds a control character", PD_E_INVALID},
		{HEAD "clusters: [{name: c, cluster: {server: 'https://h', proxy-url: 'ssh://x'}}]",
		 "config: clusters[c].cluster.proxy-url: expected a URL with http, https or socks5", PD_E_INVALID},
		{HEAD "clusters: [{name: c, cluster: {server: 'https://h', tls-server-name: 'a:b'}}]",
		 "config: clusters[c].cluster.tls-server-name: expected a host name", PD_E_INVALID},
		{HEAD "clusters: [{name: c, cluster: {server: 'https://h', certificate-authority-data: '!'}}]",
		 "config: clusters[c].cluster.certificate-authority-data: it is not base64 (line 3)", PD_E_INVALID},
		{HEAD "clusters: [{name: c, cluster: {server: 'https://h', certificate-authority-data: YWJj}}]\n"
		      "users: [{name: u}]",
		 "config, context x: clusters[c].cluster.certificate-authority-data: no certificate in PEM form in it",
		 PD_E_INVALID},
		{HEAD "clusters: [{name: c, cluster: {server: 'https://h', insecure-skip-tls-verify: true, "
		      "certificate-authority: x}}]",
		 "config: clusters[c].cluster.insecure-skip-tls-verify: cannot be true beside a certificate authority",
		 PD_E_INVALID},
		{HEAD "clusters: [{name: c, cluster: {server: 'https://h', insecure-skip-tls-verify: 'yes'}}]",
		 "config: clusters[c].cluster.insecure-skip-tls-verify: expected true or false, got string (line 3)",
		 PD_E_INVALID},
		{HEAD CLUSTER "users: [{name: u, user: {client-key: k}}]",
		 "config: users[u].user.client-certificate: missing beside the key", PD_E_INVALID},
		{HEAD CLUSTER "users: [{name: u, user: {password: k}}]",
		 "config: users[u].user.username: missing beside the password", PD_E_INVALID},
		{HEAD CLUSTER "users: [{name: u, user: {token: k, username: k}}]",
		 "config: users[u].user: only one of token, username and exec may be given", PD_E_INVALID},
		{HEAD CLUSTER "users: [{name: u, user: {token: \"k\\n\"}}]",
		 "config: users[u].user.token: it holds a control character", PD_E_INVALID},
		{HEAD CLUSTER "users: [{name: u, user: {auth-provider: {name: oidc}}}]",
		 "config: users[u].user.auth-provider: removed from Kubernetes in 1.26: use exec", PD_E_INVALID},
		{HEAD CLUSTER "users: [{name: u, user: {as: admin}}]",
		 "config: users[u].user.as: impersonation is not supported", PD_E_INVALID},
		{HEAD CLUSTER "users: [{name: u, user: {exec: {}}}]", "config: users[u].user.exec.command: missing",
		 PD_E_INVALID},
		{HEAD CLUSTER "users: [{name: u, user: {exec: {command: a}}}]",
		 "config: users[u].user.exec.apiVersion: missing", PD_E_INVALID},
		{HEAD CLUSTER "users: [{name: u, user: {exec: {command: a, apiVersion: v1}}}]",
		 "config: users[u].user.exec.apiVersion: expected client.authentication.k8s.io/v1 or "
		 "client.authentication.k8s.io/v1beta1",
		 PD_E_INVALID},
		{HEAD CLUSTER
		 "users: [{name: u, user: {exec: {command: a, apiVersion: client.authentication.k8s.io/v1}}}]",
		 "config: users[u].user.exec.interactiveMode: missing", PD_E_INVALID},
		{HEAD CLUSTER
		 "users: [{name: u, user: {exec: {command: a, apiVersion: client.authentication.k8s.io/v1, "
		 "interactiveMode: Always}}}]",
		 "config: users[u].user.exec.interactiveMode: Always: there is no terminal here", PD_E_INVALID},
		{HEAD CLUSTER
		 "users: [{name: u, user: {exec: {command: a, apiVersion: client.authentication.k8s.io/v1beta1, "
		 "env: [{name: 'a=b', value: c}]}}}]",
		 "config: users[u].user.exec.env: expected a name and a value (line 4)", PD_E_INVALID},
		{HEAD CLUSTER
		 "users: [{name: u, user: {exec: {command: a, apiVersion: client.authentication.k8s.io/v1beta1, "
		 "args: [1]}}}]",
		 "config: users[u].user.exec.args: expected strings, got number (line 4)", PD_E_INVALID},
	};
	struct rig *r = *state;
	struct pd_k8s_config *c = NULL;
	char *err;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		int rc = load(r, cases[i].text, &c, &err);

		assert_string_equal(err, cases[i].error);
		assert_int_equal(rc, cases[i].rc);
		assert_null(c);
		free(err);
	}
}

static void test_files_that_are_wrong(void **state)
{
	struct rig *r = *state;
	struct pd_k8s_config *c = NULL;
	char *err;

	assert_int_equal(load(r, HEAD CLUSTER "users: [{name: u, user: {tokenFile: none}}]", &c, &err), PD_E_IO);
	assert_non_null(strstr(err, "users[u].user.tokenFile: cannot read"));
	assert_non_null(strstr(err, "/none: No such file or directory"));
	free(err);
	rig_write(r->dir, "a.crt", r->client.cert);
	rig_write(r->dir, "b.key", r->other.key);
	assert_int_equal(load(r,
			      HEAD CLUSTER "users: [{name: u, user: {client-certificate: a.crt, client-key: b.key}}]",
			      &c, &err),
			 PD_E_INVALID);
	assert_non_null(strstr(err,
			       "users[u].user.client-certificate, users[u].user.client-key: the key does not belong to "
			       "the certificate"));
	free(err);
	assert_null(c);
}

static void test_limits(void **state)
{
	struct rig *r = *state;
	struct pd_k8s_config *c = NULL;
	struct pd_buf b = {0}, e = {0};
	char *err;

	pd_buf_adds(&b, HEAD CLUSTER "users:\n- name: u\n  user:\n    exec:\n      command: a\n      apiVersion: "
				     "client.authentication.k8s.io/v1beta1\n      args:\n");
	for (int i = 0; i <= PD_K8S_EXEC_MAX_ARGS; i++)
		pd_buf_adds(&b, "      - a\n");
	assert_int_equal(load(r, b.p, &c, &err), PD_E_LIMIT);
	assert_string_equal(err, "config: users[u].user.exec.args: more than 256");
	free(err);
	while (b.n <= PD_K8S_CONFIG_MAX_BYTES)
		pd_buf_adds(&b, "# more and more and more and more and more and more and more\n");
	assert_int_equal(load(r, b.p, &c, &err), PD_E_LIMIT);
	assert_string_equal(err, "config: too large");
	free(err);
	assert_int_equal(pd_k8s_config_parse(b.p, b.n, "a secret", NULL, &c, &e), PD_E_LIMIT);
	pd_buf_reset(&b);
	for (int i = 0; i <= PD_K8S_CONFIG_MAX_FILES; i++)
		pd_buf_printf(&b, "%s/none:", r->dir);
	setenv("KUBECONFIG", b.p, 1);
	pd_buf_reset(&e);
	assert_int_equal(pd_k8s_config_load(&(struct pd_k8s_config_options){0}, &c, &e), PD_E_LIMIT);
	assert_string_equal(e.p, "KUBECONFIG: more than 32 files");
	pd_buf_free(&b);
	pd_buf_free(&e);
	assert_null(c);
}

// What somebody else wrote must not make us run or read anything.
static void test_remote_kubeconfigs(void **state)
{
	static const char *const bad[] = {
		"exec: {command: a, apiVersion: client.authentication.k8s.io/v1beta1}",
		"tokenFile: /etc/passwd",
		"client-certificate: a, client-key: b",
		"client-key: b",
	};
	struct pd_k8s_config *c = NULL;
	struct pd_buf err = {0};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		char *text = pd_xasprintf(HEAD CLUSTER "users: [{name: u, user: {%s}}]", bad[i]);

		pd_buf_reset(&err);
		assert_int_equal(pd_k8s_config_parse(text, strlen(text), "secret a", NULL, &c, &err), PD_E_DENIED);
		assert_true(pd_has_prefix(err.p, "secret a: users[u].user."));
		assert_null(c);
		free(text);
	}
	assert_int_equal(pd_k8s_config_parse(HEAD CLUSTER "users: [{name: u, user: {token: t}}]",
					     strlen(HEAD CLUSTER "users: [{name: u, user: {token: t}}]"), "secret a",
					     NULL, &c, &err),
			 PD_OK);
	assert_string_equal(c->token.data, "t");
	pd_k8s_config_free(&c);
	pd_buf_free(&err);
}

// An error never shows what is in the file beside names.
static void test_errors_hold_no_secrets(void **state)
{
	static const char *const texts[] = {
		HEAD CLUSTER "users: [{name: u, user: {token: \"hunter2\\u0001\"}}]",
		HEAD CLUSTER "users: [{name: u, user: {token: hunter2, password: hunter2}}]",
		HEAD CLUSTER "users: [{name: u, user: {client-key-data: hunter2}}]",
		HEAD CLUSTER "users: [{name: u, user: {token: [hunter2]}}]",
		HEAD CLUSTER "users: [{name: u, user: {password: hunter2}}",
		"token: hunter2\n\tx: *hunter2",
	};
	struct rig *r = *state;
	struct pd_k8s_config *c = NULL;
	char *err;

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		assert_int_not_equal(load(r, texts[i], &c, &err), PD_OK);
		assert_null(strstr(err, "hunter2"));
		free(err);
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_everything_inline),
		TEST(test_files_are_relative_to_the_kubeconfig),
		TEST(test_merge),
		TEST(test_where_configs_come_from),
		TEST(test_mistakes),
		TEST(test_files_that_are_wrong),
		TEST(test_limits),
		TEST(test_remote_kubeconfigs),
		TEST(test_errors_hold_no_secrets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
