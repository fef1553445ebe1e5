#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/str.h"
#include "config/issue.h"

static void collect(const struct pd_issue *i, void *arg)
{
	pd_buf_printf(arg, "%s|%s|%s|%s\n", i->origin, i->object, i->field, i->reason);
}

static void test_by_file(void **state)
{
	struct pd_issues *is = pd_issues_new();
	struct pd_buf out = {0};
	struct pd_issue a = {PD_ISSUE_ERROR, "d/a.yaml:3", "Service x/y", "spec.ports[0]", "bad", 1};
	struct pd_issue b = {PD_ISSUE_WARNING, "d/a.yaml:9", NULL, NULL, "also bad", 0};
	struct pd_issue c = {PD_ISSUE_ERROR, "d/a.yaml2:1", "", "", "other file", 0};

	(void)state;
	pd_issues_add(is, &a);
	pd_issues_add(is, &c);
	pd_issues_add(is, &b);
	pd_issues_add(is, &a); // found again
	pd_issues_add(is, &b);
	assert_int_equal(pd_issues_count(is), 3);
	pd_issues_clear(is, "d/none.yaml");
	pd_issues_drop(is, "d/a.yaml:3", "Service x/y", "other");
	pd_issues_drop(is, "d/none.yaml:3", "", "");
	assert_int_equal(pd_issues_count(is), 3);
	pd_issues_each(is, collect, &out);
	assert_non_null(strstr(out.p, "d/a.yaml:3|Service x/y|spec.ports[0]|bad\nd/a.yaml:9|||also bad\n"));
	pd_issues_drop(is, "d/a.yaml:3", "Service x/y", "spec.ports[0]");
	assert_int_equal(pd_issues_count(is), 2);
	pd_issues_clear(is, "d/a.yaml");
	assert_int_equal(pd_issues_count(is), 1);
	pd_buf_reset(&out);
	pd_issues_each(is, collect, &out);
	assert_string_equal(out.p, "d/a.yaml2:1|||other file\n");
	pd_buf_free(&out);
	pd_issues_free(&is);
	assert_null(is);
	pd_issues_free(&is);
}

static void count(const struct pd_issue *i, void *arg)
{
	(void)i;
	++*(size_t *)arg;
}

static void test_limit(void **state)
{
	struct pd_issues *is = pd_issues_new();
	struct pd_issue a = {PD_ISSUE_WARNING, "many:1", "", "", "r", 0};
	size_t kept = 0;
	char reason[16];

	(void)state;
	a.reason = reason;
	for (int i = 0; i < PD_ISSUES_MAX + 5; i++) {
		snprintf(reason, sizeof(reason), "%d", i);
		pd_issues_add(is, &a);
	}
	assert_int_equal(pd_issues_count(is), PD_ISSUES_MAX + 5);
	pd_issues_each(is, count, &kept);
	assert_int_equal(kept, PD_ISSUES_MAX);
	pd_issues_clear(is, "many");
	assert_int_equal(pd_issues_count(is), 0);
	pd_issues_add(is, &a);
	kept = 0;
	pd_issues_each(is, count, &kept);
	assert_int_equal(kept, 1);
	pd_issues_free(&is);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_by_file),
		cmocka_unit_test(test_limit),
	};

	if (pd_log_set_levels("none"))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
