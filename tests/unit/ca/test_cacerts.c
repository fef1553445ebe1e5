// Plugged-in certificates: both layouts, what is missing or wrong, and what may replace what while we run.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "ca/cacerts.h"
#include "ca/watch.h"
#include "tests/unit/ca/fixtures.h"

struct rig {
	char *folder;
	struct pd_authority *authority;
	struct pd_signer *root, *mid;
};

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	r->folder = fix_folder();
	r->authority = pd_authority_new(&(struct pd_ttl_rules){PD_DEFAULT_TTL_S, PD_MAX_TTL_S});
	r->root = fix_root("root");
	r->mid = fix_intermediate(r->root, true, 3650);
	*state = r;
	return pd_log_set_levels("none");
}

static int teardown(void **state)
{
	struct rig *r = *state;

	pd_signer_unref(&r->root);
	pd_signer_unref(&r->mid);
	pd_authority_free(&r->authority);
	fix_folder_free(r->folder);
	free(r);
	return 0;
}

static void write_cert(struct rig *r, const char *name, X509 *a, X509 *b)
{
	char *x = fix_pem(a), *y = b ? fix_pem(b) : pd_xstrdup(""), *both = pd_xasprintf("%s%s", x, y);

	fix_write(r->folder, name, both);
	free(x);
	free(y);
	free(both);
}

static void write_key(struct rig *r, const char *name, EVP_PKEY *key)
{
	char *pem = fix_key_pem(key);

	fix_write(r->folder, name, pem);
	free(pem);
}

static void plug(struct rig *r, struct pd_signer *mid, struct pd_signer *root)
{
	write_cert(r, "ca-cert.pem", mid->cert, NULL);
	write_key(r, "ca-key.pem", mid->key);
	write_cert(r, "cert-chain.pem", mid->cert, NULL);
	write_cert(r, "root-cert.pem", root->cert, NULL);
}

static int open_it(struct rig *r, bool multi_root, struct pd_cacerts **c, struct pd_buf *why)
{
	pd_buf_reset(why);
	return pd_cacerts_open(&(struct pd_cacerts_config){r->folder, r->authority, multi_root}, FIX_NOW, c, why);
}

static void expect_refused(struct rig *r, int code, const char *reason)
{
	struct pd_cacerts *c;
	struct pd_buf why = {0};

	assert_int_equal(open_it(r, false, &c, &why), code);
	assert_null(c);
	if (!strstr(why.p, reason))
		fail_msg("no \"%s\" in \"%s\"", reason, why.p);
	pd_buf_free(&why);
}

static bool signs(struct rig *r, const struct pd_signer *s)
{
	struct pd_ca_state *t = pd_authority_get(r->authority);
	bool yes = t->signer && X509_cmp(t->signer->cert, s->cert) == 0;

	pd_ca_state_unref(&t);
	return yes;
}

static void test_pem_layout(void **state)
{
	struct rig *r = *state;
	struct pd_cacerts *c;
	struct pd_buf why = {0};
	struct pd_ca_state *t;

	assert_int_equal(open_it(r, false, &c, &why), PD_E_NOTFOUND);
	plug(r, r->mid, r->root);
	assert_int_equal(open_it(r, false, &c, &why), PD_OK);
	t = pd_authority_get(r->authority);
	assert_true(signs(r, r->mid));
	assert_int_equal(t->n_chain, 1);
	assert_int_equal(t->roots.v.n, 1);
	assert_true(pd_has_suffix(t->chain[0], "-----END CERTIFICATE-----\n"));
	pd_ca_state_unref(&t);
	pd_cacerts_close(&c);
	pd_buf_free(&why);
}

static void test_tls_layout(void **state)
{
	struct rig *r = *state;
	struct pd_cacerts *c;
	struct pd_buf why = {0};
	struct pd_ca_state *t;

	write_cert(r, "tls.crt", r->mid->cert, NULL);
	write_key(r, "tls.key", r->mid->key);
	write_cert(r, "ca.crt", r->root->cert, NULL);
	assert_int_equal(open_it(r, false, &c, &why), PD_OK);
	assert_true(signs(r, r->mid));
	t = pd_authority_get(r->authority);
	assert_int_equal(t->n_chain, 2); // tls.crt and ca.crt
	pd_ca_state_unref(&t);
	pd_cacerts_close(&c);
	pd_buf_free(&why);
}

static void test_root_signs_itself(void **state)
{
	struct rig *r = *state;
	struct pd_cacerts *c;
	struct pd_buf why = {0};

	plug(r, r->root, r->root);
	fix_write(r->folder, "cert-chain.pem", "");
	assert_int_equal(open_it(r, false, &c, &why), PD_OK);
	assert_true(signs(r, r->root));
	pd_cacerts_close(&c);
	pd_buf_free(&why);
}

static void test_bad_sets(void **state)
{
	static const char *const names[] = {"ca-cert.pem", "ca-key.pem", "cert-chain.pem", "root-cert.pem"};
	struct rig *r = *state;
	struct pd_signer *other = fix_root("other"), *leaf = fix_intermediate(r->root, false, 30),
			 *old = fix_intermediate(r->root, true, -1);

	for (int i = 0; i < 4; i++) { // none may be missing or damaged
		char *path = pd_xasprintf("%s/%s", r->folder, names[i]);
		plug(r, r->mid, r->root);
		unlink(path);
		expect_refused(r, PD_E_IO, names[i]);
		fix_write(r->folder, names[i], "garbage");
		expect_refused(r, PD_E_PARSE, "no ");
		free(path);
	}
	plug(r, r->mid, r->root);
	write_key(r, "ca-key.pem", other->key);
	expect_refused(r, PD_E_INVALID, "does not belong");
	plug(r, leaf, r->root);
	expect_refused(r, PD_E_INVALID, "not a CA");
	plug(r, old, r->root);
	expect_refused(r, PD_E_INVALID, "expired");
	plug(r, r->mid, other);
	expect_refused(r, PD_E_INVALID, "does not end at a root");
	pd_signer_unref(&other);
	pd_signer_unref(&leaf);
	pd_signer_unref(&old);
}

static void test_replacing(void **state)
{
	struct rig *r = *state;
	struct pd_signer *mid2 = fix_intermediate(r->root, true, 100), *root2 = fix_root("second"),
			 *mid3 = fix_intermediate(root2, true, 100);
	struct pd_cacerts *c;
	struct pd_buf why = {0};

	plug(r, r->mid, r->root);
	assert_int_equal(open_it(r, false, &c, &why), PD_OK);
	plug(r, mid2, r->root);
	assert_int_equal(pd_cacerts_reload(c, FIX_NOW, &why), PD_OK);
	assert_true(signs(r, mid2));
	plug(r, mid3, root2);
	assert_int_equal(pd_cacerts_reload(c, FIX_NOW, &why), PD_E_DENIED);
	assert_non_null(strstr(why.p, "ISTIO_MULTIROOT_MESH"));
	write_cert(r, "root-cert.pem", root2->cert, r->root->cert);
	assert_int_equal(pd_cacerts_reload(c, FIX_NOW, &why), PD_E_DENIED);
	assert_true(signs(r, mid2));
	pd_cacerts_close(&c);

	// With several roots: both, then the new one; never one for the other.
	plug(r, r->mid, r->root);
	assert_int_equal(open_it(r, true, &c, &why), PD_OK);
	plug(r, mid3, root2);
	assert_int_equal(pd_cacerts_reload(c, FIX_NOW, &why), PD_E_DENIED);
	write_cert(r, "root-cert.pem", root2->cert, r->root->cert);
	assert_int_equal(pd_cacerts_reload(c, FIX_NOW, &why), PD_OK);
	assert_true(signs(r, mid3));
	plug(r, mid3, root2);
	assert_int_equal(pd_cacerts_reload(c, FIX_NOW, &why), PD_OK);
	pd_cacerts_close(&c);
	pd_signer_unref(&mid2);
	pd_signer_unref(&root2);
	pd_signer_unref(&mid3);
	pd_buf_free(&why);
}

// The files are followed; a set that is half written is waited for, a bad one changes nothing.
static void test_watched(void **state)
{
	struct rig *r = *state;
	struct pd_signer *mid2 = fix_intermediate(r->root, true, 3600);
	struct timespec nap = {.tv_nsec = 10000000};
	struct pd_cacerts *c;
	struct pd_buf why = {0};
	bool there = false;

	plug(r, r->mid, r->root);
	assert_int_equal(open_it(r, false, &c, &why), PD_OK);
	pd_cacerts_start(c);
	write_key(r, "ca-key.pem", mid2->key);
	nanosleep(&nap, NULL);
	plug(r, mid2, r->root);
	for (int i = 0; i < 2000 && !there; i++) {
		nanosleep(&nap, NULL);
		there = signs(r, mid2);
	}
	assert_true(there);
	pd_cacerts_close(&c);
	pd_signer_unref(&mid2);
	pd_buf_free(&why);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_pem_layout, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tls_layout, setup, teardown),
		cmocka_unit_test_setup_teardown(test_root_signs_itself, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_sets, setup, teardown),
		cmocka_unit_test_setup_teardown(test_replacing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_watched, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
