// The SDS server as an Envoy sees it, over both protocols, on a Unix socket.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "proxy/files.h"
#include "proxy/sds_server.h"
#include "proxy/sds_session.h"
#include "tests/support/xds_client.h"
#include "tests/unit/proxy/rig.h"

#define STREAM "/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets"
#define DELTA "/envoy.service.secret.v3.SecretDiscoveryService/DeltaSecrets"
#define SOCKET "run/sds/socket"

struct world {
	struct pd_secrets *secrets;
	struct pd_file_secrets *files;
	struct pd_sds *sds;
};

static void wanted(const char *name, void *arg)
{
	pd_file_secrets_want(((struct world *)arg)->files, name);
}

static int start(void **state)
{
	struct world *w = pd_xcalloc(1, sizeof(*w));
	struct pd_buf err = {0};
	w->secrets = pd_secrets_new();
	w->files = pd_file_secrets_new(w->secrets);
	*state = w;
	return pd_sds_start(&(struct pd_sds_config){SOCKET, w->secrets, wanted, w}, &w->sds, &err);
}

static int stop(void **state)
{
	struct world *w = *state;
	pd_sds_stop(&w->sds);
	pd_file_secrets_free(&w->files);
	pd_secrets_free(&w->secrets);
	free(w);
	return access(SOCKET, F_OK) == 0; // it must be gone
}

static struct cli *open_stream(bool delta)
{
	return cli_open(
		&(struct cli_options){.address = "unix:" SOCKET, .delta = delta, .method = delta ? DELTA : STREAM});
}

static void ask(struct cli *c, bool delta, const char *names)
{
	if (delta)
		cli_delta(c, PD_SDS, names, "", "");
	else
		cli_sotw(c, PD_SDS, names, NULL, NULL);
}

static void set(struct world *w, const char *chain)
{
	assert_int_equal(pd_secrets_set_certificate(w->secrets, "default", chain, strlen(chain), "key", 3), PD_OK);
}

static void set_roots(struct world *w, const char *pem)
{
	assert_int_equal(pd_secrets_set_roots(w->secrets, "ROOTCA", pem, strlen(pem)), PD_OK);
}

// Nothing until there is a certificate; then each new one, once.
static void serves_changes(struct world *w, bool delta)
{
	struct cli *c = open_stream(delta);
	ask(c, delta, "default");
	assert_string_equal(cli_next(c, CLI_QUIET_MS), "");
	set(w, "one");
	assert_string_equal(cli_take(c), "SDS{default}");
	set(w, "one");
	assert_string_equal(cli_next(c, CLI_QUIET_MS), "");
	set(w, "two");
	assert_string_equal(cli_take(c), "SDS{default}");
	set_roots(w, "not asked for");
	assert_string_equal(cli_next(c, CLI_QUIET_MS), "");
	cli_close(c);
}

static void test_changes_sotw(void **state)
{
	serves_changes(*state, false);
}

static void test_changes_delta(void **state)
{
	serves_changes(*state, true);
}

static void test_two_names_sotw(void **state)
{
	struct world *w = *state;
	struct cli *c = open_stream(false);
	set(w, "one");
	ask(c, false, "default ROOTCA");
	assert_string_equal(cli_take(c), "SDS{default}");
	set_roots(w, "roots"); // a response replaces the one before it: all names are in it
	assert_string_equal(cli_take(c), "SDS{default,ROOTCA}");
	ask(c, false, "ROOTCA");
	assert_string_equal(cli_next(c, CLI_QUIET_MS), "");
	set(w, "two");
	assert_string_equal(cli_next(c, CLI_QUIET_MS), "");
	ask(c, false, "ROOTCA default");
	assert_string_equal(cli_take(c), "SDS{ROOTCA,default}");
	cli_close(c);
}

static void test_two_names_delta(void **state)
{
	struct world *w = *state;
	struct cli *c = open_stream(true);
	set(w, "one");
	set_roots(w, "roots");
	ask(c, true, "default ROOTCA");
	assert_string_equal(cli_take(c), "SDS{default,ROOTCA}");
	set_roots(w, "other roots");
	assert_string_equal(cli_take(c), "SDS{ROOTCA}");
	cli_delta(c, PD_SDS, "default", "ROOTCA",
		  ""); // asked for again: sent again, which tells that the request was taken
	assert_string_equal(cli_take(c), "SDS{default}");
	set_roots(w, "and others");
	assert_string_equal(cli_next(c, CLI_QUIET_MS), "");
	cli_close(c);
}

// A client that comes back with what it has gets only what is new.
static void test_resumes_delta(void **state)
{
	struct world *w = *state;
	struct cli *c = open_stream(true);
	set(w, "one");
	ask(c, true, "default");
	assert_string_equal(cli_take(c), "SDS{default}");
	char *has = pd_xstrdup(cli_versions(c, PD_SDS));
	cli_close(c);
	c = open_stream(true);
	cli_delta(c, PD_SDS, "default", "", has);
	assert_string_equal(cli_next(c, CLI_QUIET_MS), "");
	set(w, "two");
	assert_string_equal(cli_take(c), "SDS{default}");
	cli_close(c);
	free(has);
}

static void test_rejection(void **state)
{
	struct world *w = *state;
	for (int delta = 0; delta < 2; delta++) {
		struct cli *c = open_stream(delta);
		set(w, delta ? "bad delta" : "bad");
		ask(c, delta, "default");
		assert_string_equal(cli_next(c, CLI_WAIT_MS), "SDS{default}");
		cli_nack(c, PD_SDS, "does not parse");
		assert_string_equal(cli_next(c, CLI_QUIET_MS), "");
		set(w, delta ? "good delta" : "good");
		assert_string_equal(cli_take(c), "SDS{default}");
		cli_close(c);
	}
}

static void test_refuses(void **state)
{
	(void)state;
	struct cli *c = open_stream(false);
	cli_bytes(c, "\xff\xff\xff", 3);
	assert_int_equal(cli_status(c, CLI_WAIT_MS), 3);
	cli_close(c);
	c = open_stream(true);
	cli_type_url(c, "type.googleapis.com/envoy.config.cluster.v3.Cluster");
	assert_int_equal(cli_status(c, CLI_WAIT_MS), 3);
	cli_close(c);
	c = cli_open(&(struct cli_options){.address = "unix:" SOCKET, .method = "/a.B/C"});
	assert_int_equal(cli_status(c, CLI_WAIT_MS), 12);
	cli_close(c);
}

// Too long a name, too many names.
static void test_limits(void **state)
{
	(void)state;
	char name[PD_SECRET_NAME_MAX + 2];
	struct pd_buf names = {0};
	struct cli *c = open_stream(false);
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	ask(c, false, name);
	assert_int_equal(cli_status(c, CLI_WAIT_MS), 3);
	assert_string_equal(cli_status_text(c), "name too long");
	cli_close(c);
	c = open_stream(true);
	for (int i = 0; i <= PD_SECRETS_MAX; i++)
		pd_buf_printf(&names, "n%d ", i);
	ask(c, true, names.p);
	assert_int_equal(cli_status(c, CLI_WAIT_MS), 3);
	assert_string_equal(cli_status_text(c), "too many names");
	cli_close(c);
	pd_buf_free(&names);
}

// The answer to an older response crosses a newer one: it counts for nothing.
static void test_stale_nonce(void **state)
{
	struct world *w = *state;
	struct cli *c = open_stream(false);
	set(w, "one");
	ask(c, false, "default");
	assert_string_equal(cli_take(c), "SDS{default}");
	cli_sotw(c, PD_SDS, "", "0", NULL); // would drop the name
	set(w, "two");
	assert_string_equal(cli_take(c), "SDS{default}");
	cli_half_close(c);
	assert_int_equal(cli_status(c, CLI_WAIT_MS), 0);
	cli_close(c);
}

static void test_socket(void **state)
{
	(void)state;
	struct stat st;
	struct pd_sds *second;
	struct pd_buf err = {0};
	struct pd_secrets *secrets = pd_secrets_new();
	assert_int_equal(stat(SOCKET, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 077, 0); // the key behind it is for nobody else
	assert_true(pd_sds_somebody_listens(SOCKET));
	assert_int_equal(pd_sds_start(&(struct pd_sds_config){SOCKET, secrets, NULL, NULL}, &second, &err),
			 PD_E_EXISTS);
	assert_non_null(strstr(err.p, SOCKET));
	pd_buf_reset(&err);
	char path[200];
	memset(path, 'p', sizeof(path) - 1);
	path[sizeof(path) - 1] = 0;
	assert_int_equal(pd_sds_start(&(struct pd_sds_config){path, secrets, NULL, NULL}, &second, &err), PD_E_LIMIT);
	pd_secrets_free(&secrets);
	pd_buf_free(&err);
}

// What a killed process leaves behind is no obstacle.
static void test_stale_socket(void **state)
{
	(void)state;
	struct pd_sds *sds;
	struct pd_buf err = {0};
	struct pd_secrets *secrets = pd_secrets_new();
	struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "stale"};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	close(fd);
	assert_false(pd_sds_somebody_listens("stale"));
	assert_int_equal(pd_sds_start(&(struct pd_sds_config){"stale", secrets, NULL, NULL}, &sds, &err), PD_OK);
	assert_true(pd_sds_somebody_listens("stale"));
	pd_sds_stop(&sds);
	pd_secrets_free(&secrets);
	pd_buf_free(&err);
}

// Files that Envoy names: served when they are right, as they change; what was served stays while they are wrong.
static void test_files(void **state)
{
	(void)state;
	char *cert[2], *key[2];
	struct pd_signer *root = rig_root("test");
	char *root_pem = rig_root_pem(root);
	for (int i = 0; i < 2; i++)
		rig_leaf(root, "a.example", 600, &cert[i], &key[i]);
	struct cli *c = open_stream(false), *r = open_stream(true), *none = open_stream(false);
	ask(c, false, "file-cert:tls.crt~tls.key");
	ask(r, true, "file-root:ca.crt");
	ask(none, false, "file-cert:no-tilde");
	assert_string_equal(cli_next(c, CLI_QUIET_MS), "");
	rig_write("tls.crt", cert[0]);
	rig_write("tls.key", key[0]);
	rig_write("ca.crt", root_pem);
	assert_string_equal(cli_take(c), "SDS{file-cert:tls.crt~tls.key}");
	assert_string_equal(cli_take(r), "SDS{file-root:ca.crt}");
	rig_write("tls.crt", cert[1]); // now the key is another certificate's
	assert_string_equal(cli_next(c, 2 * PD_FILES_PERIOD_MS), "");
	rig_write("tls.key", key[1]);
	assert_string_equal(cli_take(c), "SDS{file-cert:tls.crt~tls.key}");
	rig_write("ca.crt", "-----BEGIN NONSENSE-----\n");
	assert_string_equal(cli_next(r, 2 * PD_FILES_PERIOD_MS), "");
	unlink("ca.crt");
	assert_string_equal(cli_next(r, 2 * PD_FILES_PERIOD_MS), "");
	assert_string_equal(cli_next(none, CLI_QUIET_MS), "");
	cli_close(c);
	cli_close(r);
	cli_close(none);
	for (int i = 0; i < 2; i++) {
		free(cert[i]);
		free(key[i]);
	}
	free(root_pem);
	pd_signer_unref(&root);
}

// Many streams and a writer that does not pause: everybody ends with the last state.
static void test_storm(void **state)
{
	struct world *w = *state;
	enum { STREAMS = 20, CHANGES = 200 };
	struct cli *c[STREAMS];
	char text[32], last[64];
	for (int i = 0; i < STREAMS; i++) {
		c[i] = open_stream(i % 2);
		ask(c[i], i % 2, "default");
	}
	for (int i = 0; i < CHANGES; i++) {
		snprintf(text, sizeof(text), "certificate %d", i);
		set(w, text);
	}
	struct pd_secret *s = pd_secrets_get(w->secrets, "default");
	snprintf(last, sizeof(last), "default=%s ", s->version);
	pd_secret_unref(s);
	for (int i = 0; i < STREAMS; i++) {
		int n = 0;
		while (*cli_next(c[i], n ? CLI_QUIET_MS : CLI_WAIT_MS))
			n++;
		assert_in_range(n, 1, CHANGES);
		if (i % 2) {
			const char *all = cli_versions(c[i], PD_SDS);
			assert_true(pd_has_suffix(all, last));
		}
		cli_close(c[i]);
	}
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, start, stop)
	const struct CMUnitTest tests[] = {
		T(test_changes_sotw),  T(test_changes_delta), T(test_two_names_sotw), T(test_two_names_delta),
		T(test_resumes_delta), T(test_rejection),     T(test_refuses),        T(test_limits),
		T(test_stale_nonce),   T(test_socket),        T(test_stale_socket),   T(test_files),
		T(test_storm),
	};
	return cmocka_run_group_tests(tests, rig_setup, rig_teardown);
}
