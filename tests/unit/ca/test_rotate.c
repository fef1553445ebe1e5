// The self-signed CA: made, found again, rotated with an overlap that leaves nobody behind; progress; several replicas.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "ca/selfsigned.h"
#include "tests/unit/ca/fixtures.h"

#define YEAR (365ll * FIX_DAY)

struct rig {
	struct pd_secret_store *store;
	struct pd_authority *authority;
	struct pd_selfsigned *s;
};

static struct pd_secret_store store;

static void open_with(struct rig *r, struct pd_secret_store *st, int64_t now, unsigned rsa_bits)
{
	struct pd_selfsigned_config c = {.store = st,
					 .organization = "cluster.local",
					 .rsa_bits = rsa_bits,
					 .ca_ttl_s = 10 * YEAR,
					 .leaf_ttl_s = FIX_DAY,
					 .grace_percent = 20,
					 .check_interval_s = 3600};
	struct pd_buf why = {0};

	r->authority = pd_authority_new(&(struct pd_ttl_rules){PD_DEFAULT_TTL_S, PD_MAX_TTL_S});
	c.authority = r->authority;
	if (pd_selfsigned_open(&c, now, &r->s, &why) != PD_OK)
		fail_msg("%s", why.p);
	pd_buf_free(&why);
}

static void open_rig(struct rig *r, int64_t now)
{
	open_with(r, &store, now, 0);
}

static void close_rig(struct rig *r)
{
	pd_selfsigned_close(&r->s);
	pd_authority_free(&r->authority);
}

static void check_at(struct rig *r, int64_t now)
{
	struct pd_buf why = {0};

	if (pd_selfsigned_check(r->s, now, &why) != PD_OK)
		fail_msg("%s", why.p);
	pd_buf_free(&why);
}

static int setup(void **state)
{
	(void)state;
	pd_memory_store_init(&store);
	return pd_log_set_levels("none");
}

static int teardown(void **state)
{
	(void)state;
	pd_memory_store_free(&store);
	return 0;
}

// A leaf of who signs now, with the chain that goes with it.
struct leaf {
	X509 *cert;
	struct pd_certs between;
};

static struct leaf issue(struct rig *r, int64_t now, int64_t ttl)
{
	static const char *const sans[] = {"spiffe://cluster.local/ns/a/sa/b"};
	struct pd_ca_state *t = pd_authority_get(r->authority);
	EVP_PKEY *key = pd_key_generate(PD_KEY_P256, 0);
	struct pd_buf pem = {0}, why = {0};
	struct leaf l = {0};

	assert_int_equal(pd_signer_issue_own(t->signer, key, &(struct pd_leaf){sans, 1, ttl, now, false}, &pem, NULL,
					     &why),
			 PD_OK);
	l.cert = fix_cert(pem.p);
	for (size_t i = 0; i < t->signer->chain.v.n; i++)
		pd_certs_add(&l.between, t->signer->chain.v.v[i]);
	pd_buf_free(&pem);
	EVP_PKEY_free(key);
	pd_ca_state_unref(&t);
	return l;
}

static void forget(struct leaf *l)
{
	X509_free(l->cert);
	pd_certs_free(&l->between);
}

static struct pd_certs roots_of(struct rig *r)
{
	struct pd_ca_state *t = pd_authority_get(r->authority);
	struct pd_certs out = {0};

	for (size_t i = 0; i < t->roots.v.n; i++)
		pd_certs_add(&out, t->roots.v.v[i]);
	pd_ca_state_unref(&t);
	return out;
}

static bool takes(const struct pd_certs *roots, const struct leaf *l, int64_t now)
{
	struct pd_buf why = {0};
	int rc = pd_cert_check_chain(l->cert, &l->between, roots, now, &why);

	pd_buf_free(&why);
	return rc == PD_OK;
}

static void test_made_once(void **state)
{
	struct rig a, b;
	struct pd_certs ra, rb;
	(void)state;

	open_rig(&a, FIX_NOW);
	open_rig(&b, FIX_NOW + 100);
	ra = roots_of(&a);
	rb = roots_of(&b);
	assert_int_equal(ra.v.n, 1);
	assert_int_equal(X509_cmp(ra.v.v[0], rb.v.v[0]), 0);
	assert_int_equal(pd_cert_not_after(ra.v.v[0]), FIX_NOW + 10 * YEAR);
	pd_certs_free(&ra);
	pd_certs_free(&rb);
	close_rig(&a);
	close_rig(&b);
}

static void test_rsa(void **state)
{
	struct rig r;
	struct pd_certs roots;
	(void)state;

	open_with(&r, &store, FIX_NOW, 2048);
	roots = roots_of(&r);
	assert_int_equal(pd_key_type(X509_get0_pubkey(roots.v.v[0])), PD_KEY_RSA);
	pd_certs_free(&roots);
	close_rig(&r);
}

// Everybody takes everybody's certificate at any time, whether they have renewed or not.
static void test_overlap(void **state)
{
	int64_t rotation = FIX_NOW + 8 * YEAR + FIX_DAY, end;
	struct pd_certs old, both, new;
	struct leaf before, during, after;
	struct rig r;
	(void)state;

	open_rig(&r, FIX_NOW);
	check_at(&r, rotation - 3 * FIX_DAY);
	assert_int_equal(pd_selfsigned_overlap_until(r.s), 0); // not yet in the last fifth
	old = roots_of(&r);
	before = issue(&r, rotation - 10, FIX_DAY);

	check_at(&r, rotation);
	end = pd_selfsigned_overlap_until(r.s);
	assert_int_equal(end, rotation + FIX_DAY + PD_CLOCK_SKEW_S); // the longest lifetime, and the skew
	both = roots_of(&r);
	during = issue(&r, rotation + 1000, FIX_DAY);
	assert_int_equal(both.v.n, 2);
	assert_int_equal(during.between.v.n, 1);
	assert_true(takes(&old, &before, rotation + 1010) && takes(&both, &before, rotation + 1010));
	assert_true(takes(&old, &during, rotation + 1010) && takes(&both, &during, rotation + 1010));

	check_at(&r, end - 1);
	assert_int_equal(pd_selfsigned_overlap_until(r.s), end);
	check_at(&r, end);
	assert_int_equal(pd_selfsigned_overlap_until(r.s), 0);
	new = roots_of(&r);
	after = issue(&r, end, FIX_DAY);
	assert_int_equal(new.v.n, 1);
	assert_int_equal(after.between.v.n, 0);
	// nobody is left who trusts the old root only: by now all of these have ended
	assert_true(takes(&new, &during, end) && takes(&both, &after, end) && takes(&new, &after, end));
	assert_false(takes(&old, &before, end) || takes(&new, &before, rotation + 20));

	forget(&before);
	forget(&during);
	forget(&after);
	pd_certs_free(&old);
	pd_certs_free(&both);
	pd_certs_free(&new);
	close_rig(&r);
}

static void note_issued(enum pd_signing_fault fault, const char *const *chain, size_t n, const char *why, void *arg)
{
	(void)why, (void)arg;
	assert_int_equal(fault, PD_SIGNING_OK);
	assert_true(n >= 2);
	assert_non_null(strstr(chain[n - 1], "BEGIN CERTIFICATE"));
}

// A lifetime that is longer than usual is remembered across restarts and makes the overlap longer.
static void test_longest_lifetime(void **state)
{
	EVP_PKEY *key = pd_key_generate(PD_KEY_P256, 0);
	char *pem = fix_csr_of(key);
	static const char *const sans[] = {"spiffe://cluster.local/ns/a/sa/b"};
	struct pd_signing want = {.sans = sans, .n_sans = 1, .ttl_s = 20 * FIX_DAY};
	int64_t now = pd_wall_ns() / 1000000000;
	struct pd_buf why = {0};
	struct pd_issuer issuer;
	struct pd_csr csr;
	struct rig r;
	(void)state;

	open_rig(&r, now);
	assert_int_equal(pd_csr_parse(pem, strlen(pem), &csr, &why), PD_OK);
	want.csr = &csr;
	pd_authority_issuer(r.authority, &issuer);
	issuer.issue(issuer.self, &want, note_issued, NULL);
	assert_int_equal(pd_authority_longest_ttl(r.authority), 20 * FIX_DAY);
	check_at(&r, now);
	close_rig(&r);

	open_rig(&r, now);
	assert_int_equal(pd_selfsigned_rotate(r.s, now + 5, &why), PD_OK);
	assert_int_equal(pd_selfsigned_overlap_until(r.s), now + 5 + 20 * FIX_DAY + PD_CLOCK_SKEW_S);
	assert_int_equal(pd_selfsigned_rotate(r.s, now + 6, &why), PD_E_AGAIN); // one at a time
	close_rig(&r);
	pd_csr_free(&csr);
	free(pem);
	EVP_PKEY_free(key);
	pd_buf_free(&why);
}

// The percentage of holders that have a certificate of the new root.
static void test_progress(void **state)
{
	EVP_PKEY *key = pd_key_generate(PD_KEY_P256, 0);
	char *pem = fix_csr_of(key);
	static const char *const sans[] = {"spiffe://cluster.local/ns/a/sa/b"};
	struct pd_signing want = {.sans = sans, .n_sans = 1};
	int64_t now = pd_wall_ns() / 1000000000;
	struct pd_renewal p;
	struct pd_buf why = {0};
	struct pd_issuer issuer;
	struct pd_csr csr;
	struct rig r;
	char address[4][24];
	(void)state;

	open_rig(&r, now);
	assert_int_equal(pd_csr_parse(pem, strlen(pem), &csr, &why), PD_OK);
	want.csr = &csr;
	pd_authority_issuer(r.authority, &issuer);
	pd_authority_renewal(r.authority, now, &p);
	assert_true(p.holders == 0 && p.percent == 100 && !p.estimate);
	for (int i = 0; i < 4; i++) {
		snprintf(address[i], sizeof(address[i]), "10.0.%d", i);
		want.holder = address[i];
		issuer.issue(issuer.self, &want, note_issued, NULL);
	}
	pd_authority_renewal(r.authority, now, &p);
	assert_true(p.holders == 4 && p.renewed == 4 && p.percent == 100);
	assert_int_equal(pd_selfsigned_rotate(r.s, now, &why), PD_OK);
	pd_authority_renewal(r.authority, now, &p);
	assert_true(p.holders == 4 && p.renewed == 0 && p.percent == 0);
	want.holder = address[2];
	issuer.issue(issuer.self, &want, note_issued, NULL);
	issuer.issue(issuer.self, &want, note_issued, NULL);
	pd_authority_renewal(r.authority, now, &p);
	assert_true(p.holders == 4 && p.renewed == 1 && p.percent == 25);
	pd_authority_renewal(r.authority, now + 2 * FIX_DAY, &p); // all have ended
	assert_true(p.holders == 0 && p.percent == 100);
	close_rig(&r);
	pd_csr_free(&csr);
	free(pem);
	EVP_PKEY_free(key);
	pd_buf_free(&why);
}

// A second replica follows what the first has done.
static void test_replicas(void **state)
{
	struct pd_buf why = {0};
	struct pd_certs ra, rb;
	struct rig a, b;
	(void)state;

	open_rig(&a, FIX_NOW);
	open_rig(&b, FIX_NOW);
	assert_int_equal(pd_selfsigned_rotate(a.s, FIX_NOW + 50, &why), PD_OK);
	check_at(&b, FIX_NOW + 60);
	ra = roots_of(&a);
	rb = roots_of(&b);
	assert_int_equal(rb.v.n, 2);
	assert_int_equal(X509_cmp(ra.v.v[0], rb.v.v[0]), 0);
	assert_int_equal(pd_selfsigned_overlap_until(b.s), pd_selfsigned_overlap_until(a.s));
	pd_certs_free(&ra);
	pd_certs_free(&rb);
	close_rig(&a);
	close_rig(&b);
	pd_buf_free(&why);
}

static void test_expired_root_is_replaced(void **state)
{
	struct rig r;
	struct pd_certs roots;
	(void)state;

	open_rig(&r, FIX_NOW);
	close_rig(&r);
	open_rig(&r, FIX_NOW + 11 * YEAR);
	roots = roots_of(&r);
	assert_int_equal(roots.v.n, 1);
	assert_int_equal(pd_cert_not_after(roots.v.v[0]), FIX_NOW + 21 * YEAR);
	pd_certs_free(&roots);
	close_rig(&r);
}

static void put(const char *key, const char *value)
{
	struct pd_secret data = {0};
	struct pd_buf why = {0};

	assert_int_equal(store.load(store.self, &data, &why), PD_OK);
	pd_secret_set(&data, key, value);
	assert_int_equal(store.save(store.self, &data, &why), PD_OK);
	pd_secret_free(&data);
	pd_buf_free(&why);
}

// What somebody put into the store is not signed with unless it fits; what was published before stays.
static void test_damaged_store(void **state)
{
	EVP_PKEY *key = pd_key_generate(PD_KEY_P256, 0);
	char *key_pem = fix_key_pem(key);
	struct pd_buf why = {0};
	struct pd_certs before, after;
	struct rig r;
	(void)state;

	open_rig(&r, FIX_NOW);
	before = roots_of(&r);
	put("ca-key.pem", key_pem);
	assert_int_equal(pd_selfsigned_check(r.s, FIX_NOW, &why), PD_E_INVALID);
	assert_non_null(strstr(why.p, "does not belong"));
	put("ca-key.pem", "garbage");
	assert_int_equal(pd_selfsigned_check(r.s, FIX_NOW, &why), PD_E_PARSE);
	put("ca-cert.pem", "garbage");
	assert_int_equal(pd_selfsigned_check(r.s, FIX_NOW, &why), PD_E_PARSE);
	assert_non_null(strstr(why.p, "ca-cert.pem"));
	assert_null(strstr(why.p, "garbage"));
	after = roots_of(&r);
	assert_int_equal(X509_cmp(before.v.v[0], after.v.v[0]), 0);
	pd_certs_free(&before);
	pd_certs_free(&after);
	close_rig(&r);
	pd_buf_free(&why);
	free(key_pem);
	EVP_PKEY_free(key);
}

// The thread does what check does, when something is due.
static void test_thread(void **state)
{
	struct rig r;
	(void)state;

	open_rig(&r, pd_wall_ns() / 1000000000);
	pd_selfsigned_start(r.s);
	close_rig(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_made_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rsa, setup, teardown),
		cmocka_unit_test_setup_teardown(test_overlap, setup, teardown),
		cmocka_unit_test_setup_teardown(test_longest_lifetime, setup, teardown),
		cmocka_unit_test_setup_teardown(test_progress, setup, teardown),
		cmocka_unit_test_setup_teardown(test_replicas, setup, teardown),
		cmocka_unit_test_setup_teardown(test_expired_root_is_replaced, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damaged_store, setup, teardown),
		cmocka_unit_test_setup_teardown(test_thread, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
