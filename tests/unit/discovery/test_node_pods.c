// What a node's proxy may ask for: accounts with a pod beside it that has not failed.
#include "discovery/node_pods.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fixture.h"

#define POD(ns, name, account, node, phase)                                                                            \
	"{apiVersion: v1, kind: Pod, metadata: {namespace: " ns ", name: " name                                        \
	"}, spec: {serviceAccountName: " account ", nodeName: " node "}, status: {phase: " phase "}}\n---\n"

static const char pods[] = POD("sys", "zt-1", "ztunnel", "n1",
			       "Running") POD("sys", "zt-2", "ztunnel", "n2",
					      "Running") POD("sys", "zt-3", "ztunnel", "n1",
							     "Failed") POD("a", "web-1", "web", "n1",
									   "Running") POD("a", "web-2", "web", "n1",
											  "Failed") POD("a", "db-1",
													"db", "n2",
													"Pending")
	POD("a", "job-1", "job", "n1",
	    "Failed") "{apiVersion: v1, kind: Pod, metadata: {namespace: sys, name: zt-new}, spec: {serviceAccountName: ztunnel}}\n";

static void test_who_shares_a_node(void **state)
{
	static const struct {
		const char *pod, *account, *node, *ns, *wanted, *why; // why "" = granted
	} table[] = {
		{"zt-1", "ztunnel", "n1", "a", "web", ""},
		{"zt-1", "ztunnel", NULL, "a", "web", ""},
		{"zt-2", "ztunnel", "n2", "a", "db", ""},
		{"zt-1", "ztunnel", "n1", "sys", "ztunnel", ""},
		{"zt-2", "ztunnel", "n2", "a", "web", "no pod of a/web runs on node n2"},
		{"zt-1", "ztunnel", "n1", "a", "db", "no pod of a/db runs on node n1"},
		{"zt-1", "ztunnel", "n1", "a", "job", "no pod of a/job runs on node n1"},
		{"zt-1", "ztunnel", "n1", "b", "web", "no pod of b/web runs on node n1"},
		{"zt-1", "ztunnel", "n2", "a", "web", "pod sys/zt-1 is not where its token says"},
		{"zt-new", "ztunnel", NULL, "a", "web", "pod sys/zt-new is not where its token says"},
		{"zt-1", "other", "n1", "a", "web", "pod sys/zt-1 is not of account other"},
		{"zt-3", "ztunnel", "n1", "a", "web", "there is no pod sys/zt-3"},
		{"zt-9", "ztunnel", "n1", "a", "web", "there is no pod sys/zt-9"},
	};
	struct fixture f;
	(void)state;

	fixture_init(&f, "", pods);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct pd_pod_claim claim = {f.settings.cluster, "sys", table[i].pod, table[i].account, table[i].node};
		struct pd_buf why = {0};
		int rc = pd_pods_share_node(f.snap.config, &claim, table[i].ns, table[i].wanted, &why);

		assert_string_equal(pd_or(why.p, ""), table[i].why);
		assert_int_equal(rc, *table[i].why ? PD_E_DENIED : PD_OK);
		claim.cluster = "other";
		assert_int_equal(pd_pods_share_node(f.snap.config, &claim, table[i].ns, table[i].wanted, &why),
				 PD_E_DENIED);
		pd_buf_free(&why);
	}
	fixture_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_who_shares_a_node)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
