#include "ca/spiffe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_parse(void **state)
{
	struct pd_spiffe id;
	char *back;
	(void)state;

	assert_int_equal(pd_spiffe_parse("spiffe://cluster.local/ns/foo/sa/bar-1.x", &id), PD_OK);
	assert_string_equal(id.trust_domain, "cluster.local");
	assert_string_equal(id.namespace_, "foo");
	assert_string_equal(id.service_account, "bar-1.x");
	back = pd_spiffe_format(id.trust_domain, id.namespace_, id.service_account);
	assert_string_equal(back, "spiffe://cluster.local/ns/foo/sa/bar-1.x");
	free(back);
}

static void test_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"spiffe://",
		"http://td/ns/a/sa/b",
		"spiffe://td",
		"spiffe:///ns/a/sa/b",
		"spiffe://td/ns//sa/b",
		"spiffe://td/ns/a/sa/",
		"spiffe://td/ns/a/sa/b/",
		"spiffe://td/ns/a/sa/b/c",
		"spiffe://td/ns/a/sa/b?x=1",
		"spiffe://td/ns/a/sa/b#f",
		"spiffe://TD/ns/a/sa/b",
		"spiffe://user@td/ns/a/sa/b",
		"spiffe://td:1/ns/a/sa/b",
		"spiffe://td/sa/a/ns/b",
		"spiffe://td/ns/a%2fb/sa/b",
		"spiffe://td/ns/a\nb/sa/b",
		" spiffe://td/ns/a/sa/b",
	};
	struct pd_spiffe id;
	char longest[PD_SPIFFE_MAX + 64];
	(void)state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(pd_spiffe_parse(bad[i], &id), PD_E_PARSE);

	memset(longest, 'a', sizeof(longest));
	memcpy(longest, "spiffe://", 9);
	memcpy(longest + 9 + PD_TRUST_DOMAIN_MAX, "/ns/a/sa/b", 11);
	assert_int_equal(pd_spiffe_parse(longest, &id), PD_OK);
	memset(longest + 9, 'a', PD_TRUST_DOMAIN_MAX + 1);
	memcpy(longest + 9 + PD_TRUST_DOMAIN_MAX + 1, "/ns/a/sa/b", 11);
	assert_int_equal(pd_spiffe_parse(longest, &id), PD_E_PARSE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
