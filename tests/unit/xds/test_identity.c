// Who the client of a stream is: authentication before the first request, the Node against the identity, and secrets.
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <grpc/grpc_security.h>
#include <grpc/status.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/str.h"
#include "base/vec.h"
#include "ca/signer.h"
#include "tests/support/rpc_client.h"
#include "tests/unit/xds/wire.h"

// ---- an authenticator --------------------------------------------------------------------------------------------------

struct seen {
	int n;
	bool tls, cert;
	char address[64];
};

// Tokens are "NS/SA" (accepted as that account), "two" (has two identities), "nobody" (none), "later:NS/SA" (when
// `answer_waiting` is called), anything else is refused. A client with a certificate is "certified/sa".
static struct {
	pthread_mutex_t lock;
	pthread_cond_t asked;
	struct seen seen;
	struct waiting {
		pd_xds_authenticated done;
		void *stream;
		const char *token;
	} waiting;
} door = {.lock = PTHREAD_MUTEX_INITIALIZER, .asked = PTHREAD_COND_INITIALIZER};

static void answer(const char *token, pd_xds_authenticated done, void *stream)
{
	const struct pd_xds_identity two[] = {{"spiffe://td/ns/other/sa/x", "other", "x"}, {"dns.name", NULL, NULL}};
	char ns[64], sa[64], name[200];
	const char *slash = strchr(token, '/');

	if (strcmp(token, "two") == 0) {
		done(stream, two, 2, NULL);
	} else if (strcmp(token, "nobody") == 0) {
		done(stream, NULL, 0, NULL);
	} else if (!slash) {
		done(stream, NULL, 0, "this is for the log only");
	} else {
		snprintf(ns, sizeof(ns), "%.*s", (int)(slash - token), token);
		snprintf(sa, sizeof(sa), "%s", slash + 1);
		snprintf(name, sizeof(name), "spiffe://td/ns/%s/sa/%s", ns, sa);
		done(stream, &(struct pd_xds_identity){name, ns, sa}, 1, NULL);
	}
}

static void authenticate(void *arg, const struct pd_rpc_peer *peer, pd_xds_authenticated done, void *stream)
{
	const char *header = pd_rpc_header(peer, "authorization");
	const char *token = header ? header + strlen("Bearer ") : peer->cert_pem ? "certified/sa" : "";
	bool later = pd_has_prefix(token, "later:");

	assert_ptr_equal(arg, &door);
	pthread_mutex_lock(&door.lock);
	door.seen.n++;
	door.seen.tls = peer->tls;
	door.seen.cert = peer->cert_pem != NULL;
	snprintf(door.seen.address, sizeof(door.seen.address), "%s", peer->address);
	if (later)
		door.waiting = (struct waiting){done, stream, token + strlen("later:")};
	pthread_cond_signal(&door.asked);
	pthread_mutex_unlock(&door.lock);
	if (!later)
		answer(token, done, stream);
}

// What was asked since the last call; forgets it.
static struct seen take_seen(void)
{
	struct seen s;

	pthread_mutex_lock(&door.lock);
	s = door.seen;
	door.seen = (struct seen){0};
	pthread_mutex_unlock(&door.lock);
	return s;
}

static void wait_asked(void)
{
	pthread_mutex_lock(&door.lock);
	while (!door.seen.n)
		pthread_cond_wait(&door.asked, &door.lock);
	pthread_mutex_unlock(&door.lock);
}

// On a thread of its own, as others would.
static void *answer_waiting(void *arg)
{
	(void)arg;
	answer(door.waiting.token, door.waiting.done, door.waiting.stream);
	return NULL;
}

// ---- the server --------------------------------------------------------------------------------------------------------

static struct wire w;

static void open_server(const struct pd_xds_auth *auth, grpc_server_credentials *creds)
{
	take_seen();
	wire_open_auth(&w, auth, creds);
	wire_config(&w, "CDS a=1 SDS k=1");
}

static int close_server(void **state)
{
	(void)state;
	wire_close(&w);
	return 0;
}

// Plaintext, yet authenticated.
static const struct pd_xds_auth usual = {authenticate, &door, .plaintext = true, .check_node = true};

static struct cli *client(const char *bearer, const char *account)
{
	return cli_open(&(struct cli_options){.address = w.address, .bearer = bearer, .account = account});
}

static void expect_served(struct cli *c, const char *identity)
{
	cli_sotw(c, PD_CDS, "", "", NULL);
	expect_take(c, "CDS{a=1}");
	cli_sotw(c, PD_SDS, "k", "", NULL);
	if (identity)
		expect_take(c, "SDS{k=1}");
	else
		expect_quiet(c);
	cli_close(c);
	wire_wait_empty(&w);
}

static void expect_refused(struct cli *c, int status, const char *text)
{
	cli_sotw(c, PD_CDS, "", "", NULL);
	assert_int_equal(cli_status(c, CLI_WAIT_MS), status);
	assert_string_equal(cli_status_text(c), text);
	cli_close(c);
	wire_wait_empty(&w);
}

// ---- tests -------------------------------------------------------------------------------------------------------------

static void test_node_matches(void **state)
{
	(void)state;

	open_server(&usual, NULL);
	expect_served(client("default/sa", NULL), "spiffe://td/ns/default/sa/sa");
	expect_served(client("default/sa", "sa"), "spiffe://td/ns/default/sa/sa");
	assert_true(pd_has_prefix(take_seen().address, "127.0.0.1:"));
}

static void test_node_lies(void **state)
{
	(void)state;

	open_server(&usual, NULL);
	expect_refused(client("elsewhere/sa", NULL), GRPC_STATUS_PERMISSION_DENIED,
		       "authorization failed: no identities ([spiffe://td/ns/elsewhere/sa/sa]) matched default/");
	expect_refused(client("default/sa", "admin"), GRPC_STATUS_PERMISSION_DENIED,
		       "authorization failed: no identities ([spiffe://td/ns/default/sa/sa]) matched default/admin");
	expect_refused(client("two", NULL), GRPC_STATUS_PERMISSION_DENIED,
		       "authorization failed: no identities ([spiffe://td/ns/other/sa/x dns.name]) matched default/");
	expect_refused(client("nobody", NULL), GRPC_STATUS_PERMISSION_DENIED,
		       "authorization failed: no identities ([]) matched default/");
	assert_int_equal(wire_stats(&w).connected, 0);
	expect_served(client("default/sa", NULL), "spiffe://td/ns/default/sa/sa"); // others notice nothing
}

static void test_unauthenticated(void **state)
{
	(void)state;

	open_server(&usual, NULL);
	expect_refused(client("secret", NULL), GRPC_STATUS_UNAUTHENTICATED, "authentication failure");
	expect_refused(client(NULL, NULL), GRPC_STATUS_UNAUTHENTICATED, "authentication failure");
	assert_int_equal(wire_stats(&w).refused, 2);
}

static void test_check_switched_off(void **state)
{
	const struct pd_xds_auth lenient = {authenticate, &door, .plaintext = true};
	(void)state;

	open_server(&lenient, NULL);
	expect_served(client("elsewhere/sa", NULL), NULL); // but no secrets of another namespace
	expect_served(client("default/sa", NULL), "spiffe://td/ns/default/sa/sa");
	expect_refused(client("secret", NULL), GRPC_STATUS_UNAUTHENTICATED, "authentication failure");
}

// Plaintext streams are not asked, need not match, and see no secrets.
static void test_plaintext(void **state)
{
	const struct pd_xds_auth tls_only = {authenticate, &door, .check_node = true};
	struct cli *c;
	(void)state;

	open_server(&tls_only, NULL);
	expect_served(client(NULL, NULL), NULL);
	expect_served(client("elsewhere/sa", "x"), NULL);
	assert_int_equal(take_seen().n, 0);
	c = wire_client(&w, true);
	cli_delta(c, PD_SDS, "k", "", "");
	expect_take(c, "SDS{-k}"); // does not exist, for this client
	wire_config(&w, "SDS k=2");
	expect_quiet(c);
	cli_close(c);
}

static void test_answer_later(void **state)
{
	pthread_t t;
	struct cli *c;
	(void)state;

	open_server(&usual, NULL);
	c = client("later:default/sa", NULL);
	cli_sotw(c, PD_CDS, "", "", NULL);
	wait_asked();
	expect_quiet(c); // nothing is read before
	assert_int_equal(wire_stats(&w).connected, 0);
	assert_int_equal(pthread_create(&t, NULL, answer_waiting, NULL), 0);
	expect_take(c, "CDS{a=1}");
	pthread_join(t, NULL);
	cli_close(c);
	wire_wait_empty(&w);

	take_seen();
	c = client("later:secret", NULL);
	wait_asked();
	assert_int_equal(pthread_create(&t, NULL, answer_waiting, NULL), 0);
	assert_int_equal(cli_status(c, CLI_WAIT_MS), GRPC_STATUS_UNAUTHENTICATED);
	pthread_join(t, NULL);
	cli_close(c);
}

// The client is gone when the answer comes, whatever it is.
static void test_client_vanishes(void **state)
{
	static const char *const tokens[] = {"later:default/sa", "later:secret"};
	(void)state;

	open_server(&usual, NULL);
	for (int i = 0; i < 2; i++) {
		struct cli *c = client(tokens[i], NULL);

		take_seen();
		cli_sotw(c, PD_CDS, "", "", NULL);
		wait_asked();
		cli_close(c);
		wire_wait_empty(&w);
		answer_waiting(NULL);
	}
	expect_served(client("default/sa", NULL), "spiffe://td/ns/default/sa/sa");
}

static void note_identity(const struct pd_xds_client *c, void *arg)
{
	snprintf(arg, 64, "%s", c->identity ? c->identity : "(none)");
}

// ---- TLS ---------------------------------------------------------------------------------------------------------------

struct pki {
	struct pd_signer *signer;
	struct pd_buf root;
};

static struct pki pki_new(void)
{
	const struct pd_certs no_chain = {.v = {0}};
	EVP_PKEY *key = pd_key_generate(PD_KEY_P256, 0);
	X509 *root = pd_root_new(key, "test", 3600, pd_wall_ns() / 1000000000);
	struct pki p;

	memset(&p, 0, sizeof(p));
	p.signer = pd_signer_new(root, key, &no_chain);
	pd_cert_to_pem(root, &p.root);
	X509_free(root);
	EVP_PKEY_free(key);
	return p;
}

static void pki_free(struct pki *p)
{
	pd_signer_unref(&p->signer);
	pd_buf_free(&p->root);
}

static void pki_leaf(const struct pki *p, const char *san, struct pd_buf *cert, struct pd_buf *key_pem)
{
	EVP_PKEY *key = pd_key_generate(PD_KEY_P256, 0);
	struct pd_leaf leaf = {.sans = &san, .n_sans = 1, .ttl_s = 3600, .now_s = pd_wall_ns() / 1000000000};
	struct pd_buf why = {0};

	pd_buf_reset(cert);
	pd_buf_reset(key_pem);
	assert_int_equal(pd_signer_issue_own(p->signer, key, &leaf, cert, NULL, &why), PD_OK);
	pd_key_to_pem(key, key_pem);
	EVP_PKEY_free(key);
}

static grpc_server_credentials *server_credentials(const struct pki *p)
{
	struct pd_buf cert = {0}, key = {0};
	grpc_ssl_pem_key_cert_pair pair;
	grpc_server_credentials *creds;

	pki_leaf(p, "istiod.istio-system.svc", &cert, &key);
	pair = (grpc_ssl_pem_key_cert_pair){key.p, cert.p};
	creds = grpc_ssl_server_credentials_create_ex(p->root.p, &pair, 1,
						      GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY, NULL);
	assert_non_null(creds);
	pd_buf_free(&cert);
	pd_buf_free(&key);
	return creds;
}

static void test_tls(void **state)
{
	const struct pd_xds_auth tls_only = {authenticate, &door, .check_node = true};
	struct pki ours = pki_new(), theirs = pki_new();
	struct rpc_options tls = {.roots_pem = ours.root.p, .server_name = "istiod.istio-system.svc"};
	struct cli_options o = {.tls = &tls, .node = "sidecar~1.1.1.1~a.certified~certified.svc.cluster.local"};
	struct pd_buf cert = {0}, key = {0};
	char identity[64];
	struct seen seen;
	struct cli *c;
	(void)state;

	open_server(&tls_only, server_credentials(&ours));
	o.address = w.address;
	expect_refused(cli_open(&o), GRPC_STATUS_UNAUTHENTICATED, "authentication failure");
	seen = take_seen();
	assert_true(seen.tls && !seen.cert);

	o.bearer = "certified/token";
	c = cli_open(&o);
	cli_sotw(c, PD_CDS, "", "", NULL);
	expect_take(c, "CDS{a=1}");
	assert_int_equal(pd_xds_each_client(w.x, note_identity, identity), 0);
	assert_string_equal(identity, "spiffe://td/ns/certified/sa/token");
	cli_close(c);
	wire_wait_empty(&w);

	o.bearer = NULL;
	pki_leaf(&ours, "spiffe://td/ns/certified/sa/sa", &cert, &key);
	tls.cert_pem = cert.p;
	tls.key_pem = key.p;
	expect_served(cli_open(&o), "spiffe://td/ns/certified/sa/sa");
	seen = take_seen();
	assert_true(seen.tls && seen.cert);

	// Somebody else's CA: TLS refuses it before anybody is asked.
	take_seen();
	pki_leaf(&theirs, "spiffe://td/ns/certified/sa/sa", &cert, &key);
	tls.cert_pem = cert.p;
	tls.key_pem = key.p;
	c = cli_open(&o);
	cli_sotw(c, PD_CDS, "", "", NULL);
	assert_int_equal(cli_status(c, CLI_WAIT_MS), GRPC_STATUS_UNAVAILABLE);
	assert_int_equal(take_seen().n, 0);
	cli_close(c);
	pd_buf_free(&cert);
	pd_buf_free(&key);
	pki_free(&ours);
	pki_free(&theirs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_node_matches, close_server),
		cmocka_unit_test_teardown(test_node_lies, close_server),
		cmocka_unit_test_teardown(test_unauthenticated, close_server),
		cmocka_unit_test_teardown(test_check_switched_off, close_server),
		cmocka_unit_test_teardown(test_plaintext, close_server),
		cmocka_unit_test_teardown(test_answer_later, close_server),
		cmocka_unit_test_teardown(test_client_vanishes, close_server),
		cmocka_unit_test_teardown(test_tls, close_server),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
