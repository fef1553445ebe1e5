// Credentials of a client: tokens that rotate, plugins, 401 and one more try; certificates and names; proxies.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "certs.h"
#include "client_rig.h"
#include "http_server.h"
#include "k8s/client_auth.h"
#include "k8s/exec.h"

struct rig {
	char *dir;
	struct hs *server;
	struct pd_k8s_client *client;
	struct rig_log served; // "PATH AUTHORIZATION PEER HOST;"
	struct rig_log wanted; // "TOKEN;": who is let in; none = all
	struct tc_pair ca, other_ca, server_cert, client_cert;
};

static void serve(struct hs_conn *c, const struct hs_request *r, void *arg)
{
	struct rig *rig = arg;
	char auth[200], host[200], *wanted;

	hs_header(r, "Authorization", auth, sizeof(auth));
	hs_header(r, "Host", host, sizeof(host));
	rig_note(&rig->served, "%s %s [%s] %s;", r->path, auth, r->peer_name, host);
	wanted = rig_text(&rig->wanted);
	if (*wanted && !strstr(wanted, auth))
		hs_json(c, 401, "{\"kind\":\"Status\",\"reason\":\"Unauthorized\",\"message\":\"who are you\"}");
	else
		hs_json(c, 200, "{}");
	free(wanted);
}

static int set_up(void **state)
{
	struct rig *r = pd_xcalloc(1, sizeof(*r));

	rig_log_init(&r->served);
	rig_log_init(&r->wanted);
	r->dir = rig_dir();
	r->ca = tc_make(NULL, "ca", NULL);
	r->other_ca = tc_make(NULL, "other ca", NULL);
	r->server_cert = tc_make(&r->ca, "server", "IP:127.0.0.1,DNS:kubernetes");
	r->client_cert = tc_make(&r->ca, "somebody", NULL);
	r->server = hs_start(NULL, serve, r);
	*state = r;
	return 0;
}

static int tear_down(void **state)
{
	struct rig *r = *state;

	pd_k8s_client_free(&r->client);
	hs_stop(&r->server);
	rig_dir_free(&r->dir);
	rig_log_free(&r->served);
	rig_log_free(&r->wanted);
	tc_free(&r->ca);
	tc_free(&r->other_ca);
	tc_free(&r->server_cert);
	tc_free(&r->client_cert);
	free(r);
	return 0;
}

static int get(struct rig *r, struct pd_k8s_result *result)
{
	return pd_k8s_call_wait(r->client, &(struct pd_k8s_request){.path = "/x"}, result, NULL);
}

// ---- tokens

static void test_rotated_token(void **state)
{
	struct rig *r = *state;
	struct pd_k8s_result result;
	struct pd_k8s_client_stats stats;

	rig_write(r->dir, "token", "one\n");
	r->client = rig_client(r->dir, hs_port(r->server), "tokenFile: token");
	assert_int_equal(get(r, &result), PD_OK);
	assert_int_equal(rig_count(&r->served, "Bearer one "), 1);
	rig_write(r->dir, "token", "two");
	rig_note(&r->wanted, "Bearer two;");
	assert_int_equal(get(r, &result), PD_OK); // refused, read again, repeated
	assert_int_equal(rig_count(&r->served, "Bearer one "), 2);
	assert_int_equal(rig_count(&r->served, "Bearer two "), 1);
	pd_k8s_client_stats(r->client, &stats);
	assert_int_equal(stats.unauthorized, 1);
	assert_int_equal(stats.renewals, 2);
	assert_int_equal(stats.failures, 0);
	rig_write(r->dir, "token", "three");      // refused too: one more try, not more
	assert_int_equal(get(r, &result), PD_OK); // "two" is still in force
	rig_clear(&r->wanted);
	rig_note(&r->wanted, "Bearer four;");
	assert_int_equal(get(r, &result), PD_E_DENIED);
	assert_string_equal(result.status.message, "who are you");
	assert_int_equal(rig_count(&r->served, "Bearer two "), 3);
	assert_int_equal(rig_count(&r->served, "Bearer three "), 1);
}

static void test_token_file_that_goes(void **state)
{
	struct rig *r = *state;
	struct pd_k8s_result result;

	rig_write(r->dir, "token", "one");
	r->client = rig_client(r->dir, hs_port(r->server), "tokenFile: token");
	assert_int_equal(get(r, &result), PD_OK);
	rig_write(r->dir, "token", "");
	rig_note(&r->wanted, "Bearer two;");
	assert_int_equal(get(r, &result), PD_E_DENIED);
	assert_non_null(strstr(result.status.message, "token holds no token"));
	assert_null(strstr(result.status.message, "one"));
	rig_write(r->dir, "token", "two");
	assert_int_equal(get(r, &result), PD_OK);
}

static void test_basic(void **state)
{
	struct rig *r = *state;
	struct pd_k8s_result result;

	r->client = rig_client(r->dir, hs_port(r->server), "username: me\npassword: secret");
	assert_int_equal(get(r, &result), PD_OK);
	assert_int_equal(rig_count(&r->served, "/x Basic bWU6c2VjcmV0 "), 1);
}

// ---- plugins

#define EXEC                                                                                                                     \
	"exec:\n  command: ./plugin\n  args: [first]\n  apiVersion: client.authentication.k8s.io/v1\n  interactiveMode: Never\n" \
	"  provideClusterInfo: true\n  env: [{name: WHO, value: me}]"
#define CREDENTIAL "{\"apiVersion\":\"client.authentication.k8s.io/v1\",\"kind\":\"ExecCredential\",\"status\":"

static void test_plugin(void **state)
{
	struct rig *r = *state;
	struct pd_k8s_result result;
	struct pd_k8s_client_stats stats;

	// The token is made of all that the plugin is told; the server's address is of the cluster's information.
	rig_write_script(
		r->dir, "plugin",
		"#!/bin/sh\ncd \"${0%/*}\"\necho x >>runs\nn=$(wc -l <runs)\n"
		"case $KUBERNETES_EXEC_INFO in *'\"server\":\"http://127.0.0.1:'*'\"interactive\":false'*) c=yes;; "
		"*'\"interactive\":false'*'\"server\":\"http://127.0.0.1:'*) c=yes;; *) c=no;; esac\n"
		"if read line; then c=input; fi\n"
		"echo '" CREDENTIAL "{\"token\":\"'$1-$WHO-$c-$n'\"}}'\n");
	r->client = rig_client(r->dir, hs_port(r->server), EXEC);
	assert_int_equal(get(r, &result), PD_OK);
	assert_int_equal(get(r, &result), PD_OK);
	assert_int_equal(rig_count(&r->served, "Bearer first-me-yes-1 "), 2);
	rig_note(&r->wanted, "Bearer first-me-yes-2;");
	assert_int_equal(get(r, &result), PD_OK); // 401: it runs again
	pd_k8s_client_stats(r->client, &stats);
	assert_int_equal(stats.renewals, 2);
}

static void test_plugin_whose_token_expires(void **state)
{
	struct rig *r = *state;
	struct pd_k8s_result result;
	char soon[36], *script;
	int64_t second = 1000000000;

	pd_format_time((pd_wall_ns() / second + 4) * second, soon);
	script = pd_xasprintf("#!/bin/sh\ncd \"${0%%/*}\"\necho x >>runs\necho '" CREDENTIAL
			      "{\"token\":\"t'$(wc -l <runs)'\",\"expirationTimestamp\":\"%s\"}}'\n",
			      soon);
	rig_write_script(r->dir, "plugin", script);
	r->client = rig_client(r->dir, hs_port(r->server), EXEC);
	assert_int_equal(get(r, &result), PD_OK);
	assert_int_equal(rig_count(&r->served, "Bearer t1 "), 1);
	while (!rig_count(&r->served, "Bearer t2 "))
		assert_int_equal(get(r, &result), PD_OK);
	free(script);
}

static void test_plugins_that_fail(void **state)
{
	static const struct {
		const char *script, *error;
	} cases[] = {
		{"#!/bin/sh\necho sorry >&2; exit 3", "plugin failed with exit status 3: sorry"},
		{"#!/bin/sh\nkill -9 $$", "plugin was ended by signal 9"},
		{"#!/bin/sh\necho hunter2", "plugin: the output is not JSON"},
		{"#!/bin/sh\necho '{}'", "the output is not an ExecCredential of client.authentication.k8s.io/v1"},
		{"#!/bin/sh\necho '" CREDENTIAL "{}}'", "plugin: status: neither a token nor a client certificate"},
		{"#!/bin/sh\necho '" CREDENTIAL "{\"token\":5}}'",
		 "plugin: status.token: expected a string, got number"},
		{"#!/bin/sh\necho '" CREDENTIAL "{\"token\":\"a b\"}}'", "plugin: status.token: blanks"},
		{"#!/bin/sh\necho '" CREDENTIAL "{\"token\":\"a\",\"expirationTimestamp\":\"x\"}}'",
		 "plugin: status.expirationTimestamp: not a time"},
		{"#!/bin/sh\necho '" CREDENTIAL "{\"token\":\"a\",\"expirationTimestamp\":\"2020-01-01T00:00:00Z\"}}'",
		 "plugin: the credential has expired already"},
		{"#!/bin/sh\necho '" CREDENTIAL "{\"clientCertificateData\":\"a\"}}'",
		 "plugin: status: clientCertificateData and clientKeyData go together"},
		{"#!/bin/sh\nhead -c 1100000 /dev/zero", "plugin printed more than 1048576 bytes"},
		{NULL, "plugin: No such file or directory"},
	};
	struct rig *r = *state;
	struct pd_k8s_result result;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char *path = pd_xasprintf("%s/plugin", r->dir);

		if (cases[i].script)
			rig_write_script(r->dir, "plugin", cases[i].script);
		else
			assert_int_equal(remove(path), 0);
		free(path);
		r->client = rig_client(r->dir, hs_port(r->server), EXEC);
		assert_int_equal(get(r, &result), PD_E_DENIED);
		if (!strstr(result.status.message, cases[i].error))
			fail_msg("%s instead of %s", result.status.message, cases[i].error);
		assert_null(strstr(result.status.message, "hunter2"));
		pd_k8s_client_free(&r->client);
	}
	assert_int_equal(rig_count(&r->served, "/x"), 0);
}

static void test_plugin_that_hangs(void **state)
{
	struct rig *r = *state;
	struct pd_k8s_exec_creds creds;
	struct pd_k8s_exec_run *run;
	struct pd_buf err = {0};
	struct pollfd fds[2];
	uint64_t start = pd_now_ms();
	struct pd_k8s_config *c;
	int rc, timeout;

	rig_write_script(r->dir, "plugin", "#!/bin/sh\nsleep 1000 & wait");
	c = rig_config(r->dir, "http://127.0.0.1:1", NULL, EXEC);
	assert_int_equal(pd_k8s_exec_start(c, 200, &run, &err), PD_OK);
	do {
		timeout = 1000;
		poll(fds, pd_k8s_exec_poll(run, fds, &timeout), timeout);
		rc = pd_k8s_exec_step(run, &creds, &err);
	} while (rc == PD_E_AGAIN);
	assert_int_equal(rc, PD_E_TIMEOUT);
	pd_k8s_exec_free(&run);
	assert_in_range(pd_now_ms() - start, 200, 5000);
	pd_k8s_config_free(&c);
	pd_buf_free(&err);
	// A client goes without waiting for it.
	r->client = rig_client(r->dir, hs_port(r->server), EXEC);
	start = pd_now_ms();
	{
		struct rig_call call = {.client = r->client, .log = &r->served, .req = {.path = "/x"}};

		rig_start(&call);
		rig_settle(r->client);
		pd_k8s_client_free(&r->client);
		assert_int_equal(rig_count(&r->served, "done closed 0"), 1);
	}
	assert_in_range(pd_now_ms() - start, 0, 5000);
}

// ---- TLS

static struct pd_k8s_client *tls_client(struct rig *r, const char *host, const char *cluster, const char *user)
{
	char *server = pd_xasprintf("https://%s:%u", host, hs_port(r->server));
	struct pd_k8s_client_options o = {.config = rig_config(r->dir, server, cluster, user)};
	struct pd_k8s_client *c;

	assert_int_equal(pd_k8s_client_new(&o, &c), PD_OK);
	free(server);
	return c;
}

static void serve_tls(struct rig *r, bool ask)
{
	struct hs_tls tls = {.cert = r->server_cert.cert, .key = r->server_cert.key};

	tls.client_ca = ask ? r->ca.cert : NULL;
	hs_stop(&r->server);
	r->server = hs_start(&tls, serve, r);
	rig_write(r->dir, "ca.crt", r->ca.cert);
	rig_write(r->dir, "client.crt", r->client_cert.cert);
	rig_write(r->dir, "client.key", r->client_cert.key);
}

static void test_server_is_checked(void **state)
{
	struct rig *r = *state;
	struct pd_k8s_result result;
	char host[64];

	serve_tls(r, false);
	r->client = tls_client(r, "127.0.0.1", "certificate-authority: ca.crt", NULL);
	assert_int_equal(get(r, &result), PD_OK);
	pd_k8s_client_free(&r->client);
	r->client = tls_client(r, "localhost", "certificate-authority: ca.crt", NULL); // not its name
	assert_int_equal(get(r, &result), PD_E_IO);
	pd_k8s_client_free(&r->client);
	r->client = tls_client(r, "localhost", "certificate-authority: ca.crt\ntls-server-name: kubernetes", NULL);
	assert_int_equal(get(r, &result), PD_OK);
	snprintf(host, sizeof(host), "localhost:%u;", hs_port(r->server));
	assert_int_equal(rig_count(&r->served, host), 1); // and it is asked for by its address
	pd_k8s_client_free(&r->client);
	r->client = tls_client(r, "127.0.0.1", "insecure-skip-tls-verify: true", NULL);
	assert_int_equal(get(r, &result), PD_OK);
	pd_k8s_client_free(&r->client);
	rig_write(r->dir, "ca.crt", r->other_ca.cert);
	r->client = tls_client(r, "127.0.0.1", "certificate-authority: ca.crt", NULL);
	assert_int_equal(get(r, &result), PD_E_IO);
	assert_int_equal(result.code, 0);
}

static void test_client_certificate(void **state)
{
	struct rig *r = *state;
	struct pd_k8s_result result;
	struct pd_buf script = {0};

	serve_tls(r, true);
	r->client = tls_client(r, "127.0.0.1", "certificate-authority: ca.crt",
			       "client-certificate: client.crt\nclient-key: client.key");
	assert_int_equal(get(r, &result), PD_OK);
	assert_int_equal(rig_count(&r->served, "[somebody]"), 1);
	pd_k8s_client_free(&r->client);
	r->client = tls_client(r, "127.0.0.1", "certificate-authority: ca.crt", NULL);
	assert_int_equal(get(r, &result), PD_E_IO);
	pd_k8s_client_free(&r->client);
	// The same from a plugin.
	pd_buf_adds(&script, "#!/bin/sh\ncat <<'END'\n" CREDENTIAL "{\"clientCertificateData\":");
	pd_buf_json(&script, r->client_cert.cert);
	pd_buf_adds(&script, ",\"clientKeyData\":");
	pd_buf_json(&script, r->client_cert.key);
	pd_buf_adds(&script, "}}\nEND\n");
	rig_write_script(r->dir, "plugin", script.p);
	r->client = tls_client(r, "127.0.0.1", "certificate-authority: ca.crt", EXEC);
	assert_int_equal(get(r, &result), PD_OK);
	assert_int_equal(rig_count(&r->served, "[somebody]"), 2);
	pd_buf_free(&script);
}

// ---- proxies

static void test_proxy(void **state)
{
	struct rig *r = *state;
	struct pd_k8s_result result;
	char *cluster = pd_xasprintf("proxy-url: http://127.0.0.1:%u", hs_port(r->server));
	struct pd_k8s_client_options o = {.config = rig_config(r->dir, "http://kubernetes.invalid:1", cluster, NULL)};

	assert_int_equal(pd_k8s_client_new(&o, &r->client), PD_OK);
	assert_int_equal(get(r, &result), PD_OK);
	assert_int_equal(rig_count(&r->served, "http://kubernetes.invalid:1/x "), 1);
	free(cluster);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_rotated_token),
		TEST(test_token_file_that_goes),
		TEST(test_basic),
		TEST(test_plugin),
		TEST(test_plugin_whose_token_expires),
		TEST(test_plugins_that_fail),
		TEST(test_plugin_that_hangs),
		TEST(test_server_is_checked),
		TEST(test_client_certificate),
		TEST(test_proxy),
	};

	return pd_log_set_levels("none") || cmocka_run_group_tests(tests, NULL, NULL);
}
