#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/str.h"
#include "discovery/build.h"

static void test_format(void **state)
{
	struct pd_arena a = {0};
	(void)state;
	assert_string_equal(pd_cluster_name(&a, "outbound", 80, NULL, "a.b.svc.cluster.local"),
			    "outbound|80||a.b.svc.cluster.local");
	assert_string_equal(pd_cluster_name(&a, "outbound", 443, "v1", "*.example.com"),
			    "outbound|443|v1|*.example.com");
	assert_string_equal(pd_cluster_name(&a, "inbound", 8080, "", ""), "inbound|8080||");
	pd_arena_free(&a);
}

static void test_parse(void **state)
{
	struct pd_arena a = {0};
	struct pd_cluster_name n;
	(void)state;
	assert_true(pd_cluster_name_parse(&a, "outbound|80||web.default.svc.cluster.local", &n));
	assert_false(n.sni_form);
	assert_int_equal(n.port, 80);
	assert_string_equal(n.subset, "");
	assert_string_equal(n.host, "web.default.svc.cluster.local");
	assert_true(pd_cluster_name_parse(&a, "outbound|65535|v1_x|*.example.com", &n));
	assert_int_equal(n.port, 65535);
	assert_string_equal(n.subset, "v1_x");
	assert_string_equal(n.host, "*.example.com");
	assert_true(pd_cluster_name_parse(&a, "outbound_.80_._.web.default.svc.cluster.local", &n));
	assert_true(n.sni_form);
	assert_string_equal(n.subset, "");
	assert_string_equal(n.host, "web.default.svc.cluster.local");
	assert_true(pd_cluster_name_parse(&a, "outbound_.80_.v1_.web.default", &n));
	assert_string_equal(n.subset, "v1");
	assert_string_equal(n.host, "web.default");
	pd_arena_free(&a);
}

// Names come from clients: whatever they send must end in "none".
static void test_parse_refuses(void **state)
{
	static const char *const bad[] = {
		"",
		"outbound",
		"outbound|",
		"outbound|80",
		"outbound|80|",
		"outbound|80||",
		"outbound|80|v1",
		"outbound||v1|host",
		"outbound|x||host",
		"outbound|8x||host",
		"outbound|65536||host",
		"outbound|99999999999999999999||host",
		"outbound|-1||host",
		"outbound|80||host|more",
		"inbound|8080||",
		"BlackHoleCluster",
		"outbound_.80",
		"outbound_.80_.",
		"outbound_.80_._.",
		"outbound_|80||host",
	};
	struct pd_arena a = {0};
	struct pd_cluster_name n;
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (pd_cluster_name_parse(&a, bad[i], &n))
			fail_msg("\"%s\" was taken for a cluster name", bad[i]);
	pd_arena_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_format),
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_parse_refuses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
