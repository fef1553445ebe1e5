#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/str.h"
#include "tests/unit/discovery/fixture.h"

static const char *policy(struct fixture *f, const char *ns, const char *name, int age, const char *spec)
{
	return pd_arena_printf(&f->arena,
			       "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n"
			       "metadata: {name: %s, namespace: %s, creationTimestamp: '2026-01-01T00:00:%02dZ'}\n"
			       "spec: %s\n---\n",
			       name, ns, age, spec);
}

static enum pd_mtls namespace_mode(struct fixture *f, const char *ns)
{
	return tx_namespace_mtls(fixture_scope(f), ns);
}

static enum pd_mtls mode(struct fixture *f, const char *ns, const char *app, uint32_t port)
{
	struct pd_label label = {"app", app};
	struct pd_labels labels = {1, &label};
	return tx_workload_mtls(fixture_scope(f), ns, &labels, port);
}

static void test_nothing_is_permissive(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "", "");
	assert_int_equal(namespace_mode(&f, "default"), PD_MTLS_PERMISSIVE);
	assert_int_equal(mode(&f, "default", "web", 80), PD_MTLS_PERMISSIVE);
	// A policy that comes later has to be noticed.
	assert_true(fixture_depends(&f, PD_IX_PEER_AUTHN_BY_NS, "default"));
	assert_true(fixture_depends(&f, PD_IX_PEER_AUTHN_BY_NS, "istio-system"));
	fixture_free(&f);
}

static void test_levels_inherit(void **state)
{
	struct fixture f = {0};
	struct pd_buf y = {0};
	(void)state;
	pd_buf_adds(&y, policy(&f, "istio-system", "mesh", 1, "{mtls: {mode: STRICT}}"));
	pd_buf_adds(&y, policy(&f, "open", "ns", 2, "{mtls: {mode: DISABLE}}"));
	pd_buf_adds(&y, policy(&f, "unset", "ns", 3, "{mtls: {mode: UNSET}}"));
	pd_buf_adds(&y, policy(&f, "empty", "ns", 4, "{}"));
	pd_buf_adds(&y,
		    policy(&f, "open", "web", 5,
			   "{selector: {matchLabels: {app: web}}, portLevelMtls: {8080: {mode: STRICT}, 8081: {mode: "
			   "UNSET}}}"));
	pd_buf_adds(&y,
		    policy(&f, "unset", "api", 6, "{selector: {matchLabels: {app: api}}, mtls: {mode: PERMISSIVE}}"));
	pd_arena_free(&f.arena);
	fixture_init(&f, "", y.p);
	assert_int_equal(namespace_mode(&f, "default"), PD_MTLS_STRICT);
	assert_int_equal(namespace_mode(&f, "istio-system"), PD_MTLS_STRICT);
	assert_int_equal(namespace_mode(&f, "open"), PD_MTLS_DISABLE);
	assert_int_equal(namespace_mode(&f, "unset"), PD_MTLS_STRICT);
	assert_int_equal(namespace_mode(&f, "empty"), PD_MTLS_STRICT);
	assert_int_equal(mode(&f, "open", "other", 8080), PD_MTLS_DISABLE);
	assert_int_equal(mode(&f, "open", "web", 8080), PD_MTLS_STRICT);
	assert_int_equal(mode(&f, "open", "web", 8081), PD_MTLS_DISABLE);
	assert_int_equal(mode(&f, "open", "web", 0), PD_MTLS_DISABLE);
	assert_int_equal(mode(&f, "unset", "api", 1), PD_MTLS_PERMISSIVE);
	assert_true(fixture_used(&f, PD_KIND_PEER_AUTHENTICATION, "unset", "api"));
	fixture_free(&f);
	pd_buf_free(&y);
}

static void test_oldest_counts_alone(void **state)
{
	struct fixture f = {0};
	struct pd_buf y = {0};
	(void)state;
	pd_buf_adds(&y, policy(&f, "default", "a-newer", 9, "{mtls: {mode: DISABLE}}"));
	pd_buf_adds(&y, policy(&f, "default", "z-older", 1, "{mtls: {mode: STRICT}}"));
	pd_buf_adds(&y, policy(&f, "default", "a-web", 8,
			       "{selector: {matchLabels: {app: web}}, portLevelMtls: {80: {mode: DISABLE}}}"));
	pd_buf_adds(&y, policy(&f, "default", "z-web", 2,
			       "{selector: {matchLabels: {app: web}}, mtls: {mode: PERMISSIVE}}"));
	pd_arena_free(&f.arena);
	fixture_init(&f, "", y.p);
	assert_int_equal(namespace_mode(&f, "default"), PD_MTLS_STRICT);
	assert_int_equal(mode(&f, "default", "web", 80), PD_MTLS_PERMISSIVE);
	assert_false(fixture_used(&f, PD_KIND_PEER_AUTHENTICATION, "default", "a-web"));
	fixture_free(&f);
	pd_buf_free(&y);
}

// A selector in the root namespace selects nothing, there or elsewhere.
static void test_selector_in_root_namespace(void **state)
{
	struct fixture f = {0};
	struct pd_buf y = {0};
	(void)state;
	pd_buf_adds(&y,
		    policy(&f, "mesh-root", "sel", 1, "{selector: {matchLabels: {app: web}}, mtls: {mode: STRICT}}"));
	pd_buf_adds(&y, policy(&f, "istio-system", "ns", 2, "{mtls: {mode: DISABLE}}"));
	pd_arena_free(&f.arena);
	fixture_init(&f, "rootNamespace: mesh-root", y.p);
	assert_int_equal(mode(&f, "mesh-root", "web", 80), PD_MTLS_PERMISSIVE);
	assert_int_equal(mode(&f, "default", "web", 80), PD_MTLS_PERMISSIVE);
	assert_int_equal(mode(&f, "istio-system", "web", 80), PD_MTLS_DISABLE); // a namespace like any other then
	fixture_free(&f);
	pd_buf_free(&y);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_is_permissive),
		cmocka_unit_test(test_levels_inherit),
		cmocka_unit_test(test_oldest_counts_alone),
		cmocka_unit_test(test_selector_in_root_namespace),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
