// From nothing to a certificate that Envoy is given, renewed in time, against a CA of our own over TLS.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "ca/pem.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb-c.h"
#include "proxy/csr.h"
#include "proxy/files.h"
#include "proxy/identity.h"
#include "tests/unit/proxy/fake_ca.h"
#include "tests/unit/proxy/rig.h"

#define ID "spiffe://cluster.local/ns/foo/sa/bar"
#define NAME "istiod.istio-system.svc"

typedef Envoy__Extensions__TransportSockets__Tls__V3__Secret Secret;

struct world {
	struct pd_signer *root;
	struct fake_ca *ca;
	struct pd_secrets *secrets;
	struct pd_identity_config cfg;
	char seen[PD_SECRET_VERSION]; // version of `default` that a test has seen
};

static int start(void **state)
{
	struct world *w = pd_xcalloc(1, sizeof(*w));
	w->root = rig_root("test");
	w->ca = fake_ca_start(w->root, NAME);
	w->secrets = pd_secrets_new();
	char *pem = rig_root_pem(w->root);
	rig_write("root.pem", pem);
	rig_write("token", "abc.def.ghi\n");
	free(pem);
	w->cfg = (struct pd_identity_config){
		.ca = {.address = fake_ca_address(w->ca),
		       .server_name = NAME,
		       .root_file = "root.pem",
		       .token_file = "token",
		       .cert_file = "",
		       .key_file = "",
		       .cluster = "one",
		       .signer = ""},
		.secrets = w->secrets,
		.spiffe_id = ID,
		.key_type = PD_KEY_P256,
		.ttl_s = 3600,
		.grace_ratio = 0.5,
		.grace_jitter = 0.01,
		.root_change_ms = 100,
		.output = "",
	};
	fake_ca_plan(w->ca, &(struct fake_ca_plan){.signer = w->root, .ttl_s = 3600});
	*state = w;
	return 0;
}

static int stop(void **state)
{
	struct world *w = *state;
	fake_ca_stop(w->ca);
	pd_secrets_free(&w->secrets);
	pd_signer_unref(&w->root);
	free(w);
	unlink("token");
	return 0;
}

static bool has_new(void *arg)
{
	struct world *w = arg;
	struct pd_secret *s = pd_secrets_get(w->secrets, "default");
	bool is_new = s && strcmp(s->version, w->seen) != 0;
	if (is_new)
		memcpy(w->seen, s->version, sizeof(w->seen));
	pd_secret_unref(s);
	return is_new;
}

static Secret *get(struct world *w, const char *name)
{
	struct pd_secret *s = pd_secrets_get(w->secrets, name);
	assert_non_null(s);
	Secret *m = envoy__extensions__transport_sockets__tls__v3__secret__unpack(NULL, s->n, s->bytes);
	assert_non_null(m);
	assert_string_equal(m->name, name);
	pd_secret_unref(s);
	return m;
}

static char *text(const ProtobufCBinaryData *b)
{
	return pd_xstrndup((const char *)b->data, b->len);
}

// Certificate and key belong together, and the roots are the CA's.
static void check_secrets(struct world *w, const struct pd_signer *signer)
{
	Secret *own = get(w, "default"), *roots = get(w, "ROOTCA");
	char *chain = text(&own->tls_certificate->certificate_chain->inline_bytes);
	char *key = text(&own->tls_certificate->private_key->inline_bytes);
	char *root = text(&roots->validation_context->trusted_ca->inline_bytes), *want = rig_root_pem(signer);
	struct pd_certs certs = {0}, trusted = {0};
	struct pd_buf why = {0};
	EVP_PKEY *k;
	assert_int_equal(pd_certs_from_pem(chain, strlen(chain), &certs, &why), PD_OK);
	assert_int_equal(pd_key_from_pem(key, strlen(key), &k, &why), PD_OK);
	assert_int_equal(pd_cert_check_key(certs.v.v[0], k, &why), PD_OK);
	assert_string_equal(root, want);
	assert_int_equal(pd_certs_from_pem(root, strlen(root), &trusted, &why), PD_OK);
	assert_int_equal(pd_cert_check_chain(certs.v.v[0], &(struct pd_certs){0}, &trusted, time(NULL), &why), PD_OK);
	EVP_PKEY_free(k);
	pd_certs_free(&certs);
	pd_certs_free(&trusted);
	free(chain);
	free(key);
	free(root);
	free(want);
	envoy__extensions__transport_sockets__tls__v3__secret__free_unpacked(own, NULL);
	envoy__extensions__transport_sockets__tls__v3__secret__free_unpacked(roots, NULL);
	pd_buf_free(&why);
}

static void check_header(struct world *w, const char *key, const char *want)
{
	char *value = fake_ca_header(w->ca, key);
	assert_string_equal(value, want);
	free(value);
}

static void test_first(void **state)
{
	struct world *w = *state;
	struct pd_identity *id = pd_identity_start(&w->cfg);
	rig_wait(has_new, w, "the certificate");
	check_secrets(w, w->root);
	check_header(w, "authorization", "Bearer abc.def.ghi");
	check_header(w, "clusterid", "one");
	assert_int_equal(fake_ca_validity(w->ca), 3600);
	assert_int_equal(fake_ca_requests(w->ca), 1);
	pd_identity_stop(&id);
}

// Refused, cut short and nonsense: asked for again until there is a good one.
static void test_retries(void **state)
{
	struct world *w = *state;
	const struct fake_ca_plan bad[] = {
		{.signer = w->root, .ttl_s = 3600, .status = 16, .fail = 2},
		{.signer = w->root, .ttl_s = 3600, .leaf_alone = true},
		{.signer = w->root, .ttl_s = 3600, .other_key = true},
		{.signer = w->root, .ttl_s = 3600, .roots = "no PEM"},
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		unsigned before = fake_ca_requests(w->ca);
		fake_ca_plan(w->ca, &bad[i]);
		struct pd_identity *id = pd_identity_start(&w->cfg);
		if (i) { // these never come right by themselves
			for (int waited = 0; fake_ca_requests(w->ca) < before + 2; waited++) {
				assert_in_range(waited, 0, 2000);
				nanosleep(&(struct timespec){0, 10000000}, NULL);
			}
			fake_ca_plan(w->ca, &(struct fake_ca_plan){.signer = w->root, .ttl_s = 3600});
		}
		rig_wait(has_new, w, "the certificate");
		check_secrets(w, w->root);
		assert_true(fake_ca_requests(w->ca) >= before + 3);
		pd_identity_stop(&id);
	}
}

static void test_renews(void **state)
{
	struct world *w = *state;
	fake_ca_plan(w->ca, &(struct fake_ca_plan){.signer = w->root, .ttl_s = 2});
	struct pd_identity *id = pd_identity_start(&w->cfg);
	rig_wait(has_new, w, "the certificate");
	uint64_t first = pd_now_ms();
	rig_wait(has_new, w, "the next certificate");
	assert_in_range(pd_now_ms() - first, 200, 1900); // half of what was left of 2 s, before they were over
	check_secrets(w, w->root);
	fake_ca_plan(w->ca, &(struct fake_ca_plan){.status = 14, .signer = w->root}); // gone: what there is stays
	nanosleep(&(struct timespec){2, 0}, NULL);
	has_new(w);
	assert_false(has_new(w));
	fake_ca_plan(w->ca, &(struct fake_ca_plan){.signer = w->root, .ttl_s = 3600});
	rig_wait(has_new, w, "a certificate when the CA is back");
	pd_identity_stop(&id);
}

// The CA changes its root; a new file of roots makes everybody ask again at once.
static void test_root_rotates(void **state)
{
	struct world *w = *state;
	struct pd_signer *other = rig_root("another");
	char *old_pem = rig_root_pem(w->root), *new_pem = rig_root_pem(other);
	char *both = pd_xasprintf("%s%s", new_pem, old_pem);
	struct pd_identity *id = pd_identity_start(&w->cfg);
	rig_wait(has_new, w, "the certificate");
	fake_ca_plan(w->ca, &(struct fake_ca_plan){.signer = other, .ttl_s = 3600});
	rig_write("root.pem", both);
	rig_wait(has_new, w, "a certificate of the new root");
	check_secrets(w, other);
	pd_identity_stop(&id);
	fake_ca_stop(w->ca); // before the signer that it uses goes
	w->ca = fake_ca_start(w->root, NAME);
	free(old_pem);
	free(new_pem);
	free(both);
	pd_signer_unref(&other);
}

// A VM: the first certificate with a token, the next ones with the one before, from the folder where they are kept.
static void test_own_certificate(void **state)
{
	struct world *w = *state;
	struct stat st;
	w->cfg.output = "out/deep";
	w->cfg.ca.cert_file = "out/deep/cert-chain.pem";
	w->cfg.ca.key_file = "out/deep/key.pem";
	struct pd_identity *id = pd_identity_start(&w->cfg);
	rig_wait(has_new, w, "the certificate");
	pd_identity_stop(&id);
	assert_int_equal(stat("out/deep/key.pem", &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	unlink("token");
	id = pd_identity_start(&w->cfg);
	rig_wait(has_new, w, "the next certificate");
	pd_identity_stop(&id);
	char *client = fake_ca_client(w->ca), *root = rig_read("out/deep/root-cert.pem"), *want = rig_root_pem(w->root);
	assert_string_equal(client, ID);
	assert_string_equal(root, want);
	check_header(w, "authorization", "");
	free(client);
	free(root);
	free(want);
}

static int sign(struct world *w, const struct pd_ca_client *c, struct pd_buf *why)
{
	struct pd_ca_chain chain = {0};
	struct pd_buf csr = {0};
	EVP_PKEY *key = pd_key_generate(PD_KEY_P256, 0);
	(void)w;
	pd_csr_write(key, ID, &csr);
	pd_buf_reset(why);
	int rc = pd_ca_client_sign(c, csr.p, 60, &chain, why);
	EVP_PKEY_free(key);
	pd_buf_free(&csr);
	pd_ca_chain_free(&chain);
	return rc;
}

// A CA whose name or root is not what it should be gets neither token nor request.
static void test_distrusts(void **state)
{
	struct world *w = *state;
	struct pd_buf why = {0};
	struct pd_ca_client c = w->cfg.ca;
	atomic_bool stop_now = true;
	assert_int_equal(sign(w, &c, &why), PD_OK);
	unsigned before = fake_ca_requests(w->ca);
	c.server_name = "other.istio-system.svc";
	assert_int_equal(sign(w, &c, &why), PD_E_IO);
	c.server_name = NAME;
	struct pd_signer *other = rig_root("other");
	char *pem = rig_root_pem(other);
	rig_write("other.pem", pem);
	c.root_file = "other.pem";
	assert_int_equal(sign(w, &c, &why), PD_E_IO);
	c.root_file = "nowhere.pem";
	assert_int_equal(sign(w, &c, &why), PD_E_IO);
	assert_non_null(strstr(why.p, "nowhere.pem"));
	c.root_file = "root.pem";
	rig_write("token", "two words");
	assert_int_equal(sign(w, &c, &why), PD_E_INVALID);
	assert_null(strstr(why.p, "words"));
	unlink("token");
	assert_int_equal(sign(w, &c, &why), PD_E_NOTFOUND);
	assert_int_equal(fake_ca_requests(w->ca), before);
	rig_write("token", "t");
	fake_ca_plan(w->ca, &(struct fake_ca_plan){.signer = w->root, .ttl_s = 60, .delay_ms = 2000});
	c.stop = &stop_now;
	uint64_t start_ms = pd_now_ms();
	assert_int_equal(sign(w, &c, &why), PD_E_CLOSED);
	assert_in_range(pd_now_ms() - start_ms, 0, 1500);
	c.stop = NULL;
	fake_ca_plan(w->ca, &(struct fake_ca_plan){.status = 3, .signer = w->root});
	assert_int_equal(sign(w, &c, &why), PD_E_INVALID);
	assert_string_equal(why.p, "INVALID_ARGUMENT: not today");
	free(pem);
	pd_signer_unref(&other);
	pd_buf_free(&why);
}

// Each kind of key: the CA can read the request, and it is signed with the key in it.
static void test_requests(void **state)
{
	static const struct {
		enum pd_key_type type;
		unsigned bits;
	} keys[] = {{PD_KEY_P256, 0}, {PD_KEY_P384, 0}, {PD_KEY_RSA, 2048}};
	(void)state;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		EVP_PKEY *key = pd_key_generate(keys[i].type, keys[i].bits);
		struct pd_buf pem = {0}, why = {0};
		struct pd_csr csr;
		pd_csr_write(key, ID, &pem);
		if (pd_csr_parse(pem.p, pem.n, &csr, &why) != PD_OK)
			fail_msg("%s", why.p);
		assert_int_equal(csr.type, keys[i].type);
		assert_int_equal(EVP_PKEY_eq(csr.key, key), 1);
		pd_csr_free(&csr);
		pd_buf_free(&pem);
		pd_buf_free(&why);
		EVP_PKEY_free(key);
	}
}

static void test_when(void **state)
{
	(void)state;
	assert_int_equal(pd_identity_renewal_ms(1000, 0.5, 0, 0.9), 500);
	assert_int_equal(pd_identity_renewal_ms(1000, 0.5, 0.01, 0), 490);
	assert_in_range(pd_identity_renewal_ms(1000, 0.5, 0.01, 0.999), 509, 510);
	assert_int_equal(pd_identity_renewal_ms(1000, 0.2, 0, 0), 800);
	assert_int_equal(pd_identity_renewal_ms(1000, 1, 0.1, 0), 0);       // at once
	assert_int_equal(pd_identity_renewal_ms(1000, 0, 0.5, 0.99), 1000); // not after its end
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, start, stop)
	const struct CMUnitTest tests[] = {
		T(test_first),
		T(test_retries),
		T(test_renews),
		T(test_root_rotates),
		T(test_own_certificate),
		T(test_distrusts),
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_when),
	};
	return cmocka_run_group_tests(tests, rig_setup, rig_teardown);
}
