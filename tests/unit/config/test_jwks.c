#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "config/jwks.h"
#include "config/object.h"

static void test_modes(void **state)
{
	static const struct {
		const char *text;
		enum pd_jwks_mode mode;
	} good[] = {
		{"false", PD_JWKS_ISTIOD},  {"Istiod", PD_JWKS_ISTIOD}, {"TRUE", PD_JWKS_HYBRID},
		{"hybrid", PD_JWKS_HYBRID}, {"envoy", PD_JWKS_ENVOY},
	};
	enum pd_jwks_mode mode = PD_JWKS_ENVOY;
	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(pd_jwks_mode_parse(good[i].text, &mode), PD_OK);
		assert_int_equal(mode, good[i].mode);
	}
	assert_int_equal(pd_jwks_mode_parse("", &mode), PD_E_INVALID);
	assert_int_equal(pd_jwks_mode_parse("both", &mode), PD_E_INVALID);
	assert_int_equal(mode, PD_JWKS_ENVOY);
}

// The URI alone tells documents apart; without one it is the issuer; and neither passes for the other.
static void test_names(void **state)
{
	struct pd_arena a = {0};
	(void)state;
	const char *one = pd_jwks_name(&a, "me", "https://a/keys");
	assert_true(strlen(one) <= PD_NAME_MAX);
	assert_string_equal(one, pd_jwks_name(&a, "you", "https://a/keys"));
	assert_string_not_equal(one, pd_jwks_name(&a, "me", "https://b/keys"));
	assert_string_not_equal(one, pd_jwks_name(&a, "https://a/keys", ""));
	assert_string_equal(pd_jwks_name(&a, "me", ""), pd_jwks_name(&a, "me", NULL));
	pd_arena_free(&a);
}

static void check_place(const char *uri, const char *host, unsigned port)
{
	struct pd_arena a = {0};
	struct pd_jwks_place p;
	assert_int_equal(pd_jwks_place(&a, uri, &p), PD_OK);
	assert_string_equal(p.host, host);
	assert_int_equal(p.port, port);
	pd_arena_free(&a);
}

static void test_places(void **state)
{
	struct pd_arena a = {0};
	struct pd_jwks_place p;
	(void)state;
	check_place("https://keys.example.com/a/b?c=d", "keys.example.com", 443);
	check_place("http://keys.default.svc.cluster.local", "keys.default.svc.cluster.local", 80);
	check_place("https://10.0.0.1:8443/", "10.0.0.1", 8443);
	assert_int_equal(pd_jwks_place(&a, "ftp://keys.example.com/", &p), PD_E_PARSE);
	assert_int_equal(pd_jwks_place(&a, "file:///etc/passwd", &p), PD_E_PARSE);
	assert_int_equal(pd_jwks_place(&a, "keys", &p), PD_E_PARSE);
	assert_int_equal(pd_jwks_place(&a, "", &p), PD_E_PARSE);
	pd_arena_free(&a);
}

static void check_document(const char *text, bool ok)
{
	assert_int_equal(pd_jwks_ok(text, strlen(text)), ok);
}

static void test_documents(void **state)
{
	(void)state;
	check_document("{\"keys\": []}", true);
	check_document("{\"keys\": [{\"kty\": \"RSA\"}], \"more\": 1}", true);
	check_document("{\"keys\": {}}", false);
	check_document("{\"other\": []}", false);
	check_document("[]", false);
	check_document("", false);
	check_document("<html>", false);
	check_document("{\"keys\": [\"\xff\"]}", false); // an Envoy would refuse the listener
	assert_false(pd_jwks_ok("{\"keys\": []}\0", 13));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_modes),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_documents),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
