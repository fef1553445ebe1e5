// Where the CA's key is kept: what is written comes back, only its owner may read it, and nobody overwrites somebody else's.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sys/stat.h>

#include "ca/store.h"
#include "tests/unit/ca/fixtures.h"

static int save_one(struct pd_secret_store *s, const char *key, const char *value)
{
	struct pd_secret data = {0};
	struct pd_buf why = {0};
	int rc;

	rc = s->load(s->self, &data, &why);
	assert_true(rc == PD_OK || rc == PD_E_NOTFOUND);
	pd_secret_set(&data, key, value);
	rc = s->save(s->self, &data, &why);
	pd_secret_free(&data);
	pd_buf_free(&why);
	return rc;
}

static void check_store(struct pd_secret_store *s)
{
	struct pd_secret a = {0}, b = {0};
	struct pd_buf why = {0};

	assert_int_equal(s->load(s->self, &a, &why), PD_E_NOTFOUND);
	pd_secret_set(&a, "one", "1\n2");
	pd_secret_set(&a, "empty", "");
	assert_int_equal(s->save(s->self, &a, &why), PD_OK);
	assert_int_equal(s->load(s->self, &b, &why), PD_OK);
	assert_string_equal(pd_secret_get(&b, "one"), "1\n2");
	assert_null(pd_secret_get(&b, "empty"));
	assert_null(pd_secret_get(&b, "nothing"));
	assert_string_equal(a.version, b.version);

	// a writes, then b must not
	pd_secret_set(&a, "one", "new");
	assert_int_equal(s->save(s->self, &a, &why), PD_OK);
	pd_secret_set(&b, "one", "stale");
	assert_int_equal(s->save(s->self, &b, &why), PD_E_AGAIN);
	pd_secret_free(&b);
	// nor who thinks that there is nothing
	pd_secret_set(&b, "one", "stale");
	assert_int_equal(s->save(s->self, &b, &why), PD_E_AGAIN);
	pd_secret_free(&b);
	assert_int_equal(s->load(s->self, &b, &why), PD_OK);
	assert_string_equal(pd_secret_get(&b, "one"), "new");
	pd_secret_free(&a);
	pd_secret_free(&b);
	pd_buf_free(&why);
	assert_int_equal(save_one(s, "two", "2"), PD_OK);
}

static void test_memory(void **state)
{
	struct pd_secret_store s;
	(void)state;

	pd_memory_store_init(&s);
	check_store(&s);
	pd_memory_store_free(&s);
}

static void expect_load(struct pd_secret_store *s, int code, const char *reason)
{
	struct pd_secret data = {0};
	struct pd_buf why = {0};

	assert_int_equal(s->load(s->self, &data, &why), code);
	assert_non_null(strstr(why.p, reason));
	pd_secret_free(&data);
	pd_buf_free(&why);
}

static void test_file(void **state)
{
	char *folder = fix_folder(), *path = pd_xasprintf("%s/ca.json", folder), *text;
	struct pd_secret_store s;
	struct stat st;
	(void)state;

	pd_file_store_init(&s, path);
	check_store(&s);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	text = fix_read(folder, "ca.json");
	assert_non_null(strstr(text, "\"kind\": \"Secret\""));
	assert_non_null(strstr(text, "\"type\": \"istio.io/ca-root\""));
	free(text);

	assert_int_equal(chmod(path, 0640), 0);
	expect_load(&s, PD_E_DENIED, "others may read");
	assert_int_equal(chmod(path, 0600), 0);
	fix_write(folder, "ca.json", "{\"data\": {\"k\": \"not base64!\"}}");
	expect_load(&s, PD_E_PARSE, "not a Secret");
	fix_write(folder, "ca.json", "secret text");
	expect_load(&s, PD_E_PARSE, "not a Secret");
	pd_file_store_free(&s);
	free(path);
	fix_folder_free(folder);
}

static void test_file_nowhere(void **state)
{
	struct pd_secret_store s;
	(void)state;

	pd_file_store_init(&s, "/nonexistent/folder/ca.json");
	assert_int_equal(save_one(&s, "a", "b"), PD_E_IO);
	pd_file_store_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_file_nowhere),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
