// A Secret as a store: what is written comes back, nobody overwrites somebody else's, and failures say what they are.
#include "k8s/secret_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "object_server.h"

#define SECRETS "/api/v1/namespaces/sys/secrets"

struct rig {
	char *dir;
	struct os *server;
	struct pd_k8s_client *client;
	struct pd_secret_store store;
};

static int set_up(void **state)
{
	struct rig *r = pd_xcalloc(1, sizeof(*r));

	r->dir = rig_dir();
	r->server = os_start();
	r->client = rig_client(r->dir, hs_port(r->server->http), NULL);
	pd_k8s_secret_store_init(&r->store, r->client, "sys", "ca", "istio.io/ca-root");
	*state = r;
	return 0;
}

static int tear_down(void **state)
{
	struct rig *r = *state;

	pd_k8s_client_free(&r->client);
	pd_k8s_secret_store_free(&r->store);
	os_stop(&r->server);
	rig_dir_free(&r->dir);
	free(r);
	return 0;
}

static void expect_load(struct rig *r, int code, const char *reason)
{
	struct pd_secret data = {0};
	struct pd_buf why = {0};

	assert_int_equal(r->store.load(r->store.self, &data, &why), code);
	assert_string_equal(pd_or(why.p, ""), reason);
	pd_secret_free(&data);
	pd_buf_free(&why);
}

// Saves `value` as if the Secret had been read in this version.
static void expect_save(struct rig *r, const char *version, const char *value, int code, const char *reason)
{
	struct pd_secret data = {.version = version ? pd_xstrdup(version) : NULL};
	struct pd_buf why = {0};

	pd_secret_set(&data, "k", value);
	assert_int_equal(r->store.save(r->store.self, &data, &why), code);
	assert_string_equal(pd_or(why.p, ""), reason);
	if (code != PD_OK)
		assert_true(pd_streq(data.version, version));
	pd_secret_free(&data);
	pd_buf_free(&why);
}

static void expect_stored(struct rig *r, const char *expected)
{
	char *json = os_get(r->server, SECRETS "/ca");

	assert_string_equal(json, expected);
	free(json);
}

static void test_comes_back(void **state)
{
	struct rig *r = *state;
	struct pd_secret a = {0}, b = {0};
	struct pd_buf why = {0};

	assert_string_equal(r->store.name, "secret sys/ca");
	assert_int_equal(r->store.load(r->store.self, &a, &why), PD_E_NOTFOUND);
	pd_secret_set(&a, "one", "1\n2");
	pd_secret_set(&a, "empty", "");
	assert_int_equal(r->store.save(r->store.self, &a, &why), PD_OK);
	assert_string_equal(a.version, "1");
	expect_stored(
		r,
		"{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"namespace\":\"sys\",\"name\":\"ca\","
		"\"resourceVersion\":\"1\"},\"type\":\"istio.io/ca-root\",\"data\":{\"one\":\"MQoy\",\"empty\":\"\"}}");
	assert_int_equal(r->store.load(r->store.self, &b, &why), PD_OK);
	assert_string_equal(pd_secret_get(&b, "one"), "1\n2");
	assert_null(pd_secret_get(&b, "empty"));
	assert_int_equal(b.entries.n, 2);
	assert_string_equal(b.version, "1");
	pd_secret_free(&a);
	pd_secret_free(&b);
	pd_buf_free(&why);
}

static void test_the_rest_stays(void **state)
{
	struct rig *r = *state;

	os_put(r->server, SECRETS "/ca",
	       "{\"metadata\":{\"name\":\"ca\",\"labels\":{\"a\":\"b\"}},\"type\":\"Opaque\",\"data\":{\"old\":\"eA==\"}}");
	expect_save(r, "1", "v", PD_OK, "");
	expect_stored(r, "{\"metadata\":{\"name\":\"ca\",\"labels\":{\"a\":\"b\"},\"resourceVersion\":\"2\"},"
			 "\"type\":\"Opaque\",\"data\":{\"k\":\"dg==\"}}");
}

#define MEANWHILE "somebody else wrote it meanwhile"

static void test_nobody_is_overwritten(void **state)
{
	struct rig *r = *state;

	expect_save(r, "1", "gone", PD_E_AGAIN, MEANWHILE);
	expect_save(r, NULL, "first", PD_OK, "");
	expect_save(r, NULL, "late", PD_E_AGAIN, MEANWHILE);
	expect_save(r, "1", "second", PD_OK, "");
	expect_save(r, "1", "stale", PD_E_AGAIN, MEANWHILE);
	// between the look and the write
	os_fault(r->server, 0);
	os_fault(r->server, 409);
	expect_save(r, "2", "stale", PD_E_AGAIN, MEANWHILE);
	os_fault(r->server, 0);
	os_fault(r->server, 404);
	expect_save(r, "2", "gone", PD_E_AGAIN, MEANWHILE);
	expect_save(r, "2", "third", PD_OK, "");
}

static void test_failures(void **state)
{
	static const struct {
		int fault, code;
	} table[] = {{403, PD_E_DENIED}, {422, PD_E_IO}, {429, PD_E_IO}, {503, PD_E_IO}};
	struct rig *r = *state;

	expect_save(r, NULL, "v", PD_OK, "");
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		os_fault(r->server, table[i].fault);
		expect_load(r, table[i].code, "injected");
		os_fault(r->server, table[i].fault);
		expect_save(r, "1", "v", table[i].code, "injected");
		os_fault(r->server, 0);
		os_fault(r->server, table[i].fault);
		expect_save(r, "1", "v", table[i].code, "injected");
	}
	os_fault(r->server, 404); // the namespace is not there
	expect_save(r, NULL, "v", PD_E_IO, "injected");
}

static void test_what_is_no_secret(void **state)
{
	struct rig *r = *state;
	struct pd_buf large = {0}, why = {0};
	struct pd_secret data = {0};

	os_put(r->server, SECRETS "/ca", "{\"data\":{\"key\":\"not base64!\"}}");
	expect_load(r, PD_E_PARSE, "it is not a Secret in JSON");
	os_put(r->server, SECRETS "/ca", "{\"data\":7}");
	expect_load(r, PD_E_PARSE, "it is not a Secret in JSON");
	pd_buf_adds(&large, "{\"metadata\":{\"annotations\":{\"a\":\"");
	while (large.n <= PD_K8S_SECRET_TEXT_MAX)
		pd_buf_adds(&large, "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
	pd_buf_adds(&large, "\"}}}");
	os_put(r->server, SECRETS "/ca", large.p);
	pd_buf_free(&large);
	assert_int_equal(r->store.load(r->store.self, &data, &why), PD_E_IO);
	assert_true(why.n > 0);
	pd_secret_free(&data);
	pd_buf_free(&why);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_comes_back), TEST(test_the_rest_stays),    TEST(test_nobody_is_overwritten),
		TEST(test_failures),   TEST(test_what_is_no_secret),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
