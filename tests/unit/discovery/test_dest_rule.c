#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/str.h"
#include "discovery/cluster/dest_rule.h"
#include "tests/unit/discovery/fixture.h"

#define HOST "web.prod.svc.cluster.local"
#define RULE(ns, name, second, spec)                                                                                   \
	"apiVersion: networking.istio.io/v1\nkind: DestinationRule\n"                                                  \
	"metadata: {name: " name ", namespace: " ns ", creationTimestamp: '2026-01-01T00:00:0" #second "Z'}\n"         \
	"spec: " spec "\n---\n"
#define SERVICE                                                                                                        \
	"apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: prod}\n"                                      \
	"spec: {clusterIP: 10.0.0.1, ports: [{name: http, port: 80}]}\n---\n"
#define SUBSET(name) "{host: " HOST ", subsets: [{name: " name ", labels: {v: x}}]}"

static const struct pd_dest_rule *rule_for(struct fixture *f, const char *ns)
{
	f->key.ns = ns;
	struct pd_tx *tx = fixture_scope(f);
	const struct pd_service *svc = tx_service(tx, HOST);
	assert_non_null(svc);
	return tx_dest_rule(tx, svc);
}

// The name of the rule in force for a client in `ns`; "" for none.
static const char *name_for(struct fixture *f, const char *ns)
{
	const struct pd_dest_rule *dr = rule_for(f, ns);
	return dr ? dr->object->key.name : "";
}

// ---- where ---------------------------------------------------------------------------------------------------------------

static void test_order_of_namespaces(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "",
		     SERVICE RULE("client", "of-client", 3, SUBSET("a")) RULE("prod", "of-service", 2, SUBSET("b"))
			     RULE("istio-system", "of-root", 1, SUBSET("c")));
	assert_string_equal(name_for(&f, "client"), "of-client");
	assert_string_equal(name_for(&f, "other"), "of-service");
	assert_string_equal(name_for(&f, "prod"), "of-service");
	// What the root namespace exports is for all, so it does not go first there either.
	assert_string_equal(name_for(&f, "istio-system"), "of-service");
	assert_true(fixture_depends(&f, PD_IX_DR_BY_HOST, HOST));
	assert_true(fixture_used(&f, PD_KIND_DESTINATION_RULE, "prod", "of-service"));
	assert_false(fixture_used(&f, PD_KIND_DESTINATION_RULE, "istio-system", "of-root"));
	fixture_free(&f);
}

static void test_root_namespace(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "",
		     SERVICE RULE("istio-system", "for-all", 1, SUBSET("a"))
			     RULE("istio-system", "private", 2, "{host: " HOST ", exportTo: ['.']}"));
	assert_string_equal(name_for(&f, "other"), "for-all");
	assert_string_equal(name_for(&f, "istio-system"), "private");
	fixture_free(&f);
}

static void test_export(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "",
		     SERVICE RULE("prod", "some", 1, "{host: " HOST ", exportTo: [friend, '.']}")
			     RULE("elsewhere", "foreign", 2, SUBSET("a")));
	assert_string_equal(name_for(&f, "prod"), "some");
	assert_string_equal(name_for(&f, "friend"), "some");
	assert_string_equal(name_for(&f, "stranger"), "");
	assert_string_equal(name_for(&f, "elsewhere"),
			    "foreign"); // its own namespace, though the service is of another
	fixture_free(&f);
	fixture_init(&f, "defaultDestinationRuleExportTo: ['.']", SERVICE RULE("prod", "unsaid", 1, SUBSET("a")));
	assert_string_equal(name_for(&f, "prod"), "unsaid");
	assert_string_equal(name_for(&f, "friend"), "");
	fixture_free(&f);
}

static void test_most_specific_host(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "",
		     SERVICE RULE("prod", "all", 1, "{host: '*'}")
			     RULE("prod", "domain", 2, "{host: '*.svc.cluster.local'}")
				     RULE("prod", "namespace", 3, "{host: '*.prod.svc.cluster.local'}")
					     RULE("prod", "not-this", 4, "{host: '*.example.com'}"));
	assert_string_equal(name_for(&f, "other"), "namespace");
	assert_true(fixture_depends(&f, PD_IX_DR_WILDCARD, "prod"));
	fixture_free(&f);
	fixture_init(&f, "",
		     SERVICE RULE("prod", "namespace", 1, "{host: '*.prod.svc.cluster.local'}")
			     RULE("prod", "exact", 2, "{host: web}")); // short: of the rule's own namespace
	assert_string_equal(name_for(&f, "other"), "exact");
	fixture_free(&f);
}

// A rule that may not be seen does not hide a less specific one of the same namespace in the pool of what is exported.
static void test_private_rule_hides_nothing(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "",
		     SERVICE RULE("prod", "exact", 1, "{host: " HOST ", exportTo: ['.']}")
			     RULE("prod", "wide", 2, "{host: '*.prod.svc.cluster.local'}"));
	assert_string_equal(name_for(&f, "other"), "wide");
	assert_string_equal(name_for(&f, "prod"), "exact");
	fixture_free(&f);
}

// ---- merging -------------------------------------------------------------------------------------------------------------

static void test_merge(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "",
		     SERVICE RULE("prod", "z-first", 1, SUBSET("a"))
			     RULE("prod", "a-second", 2,
				  "{host: " HOST
				  ", trafficPolicy: {loadBalancer: {simple: RANDOM}}, subsets: [{name: b, "
				  "labels: {v: z}}]}")
				     RULE("prod", "b-third", 3,
					  "{host: " HOST ", trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}}"));
	const struct pd_dest_rule *dr = rule_for(&f, "other");
	assert_string_equal(dr->object->key.name, "z-first");
	assert_json(&f, dr->spec, "subsets/0/name", "\"a\"");
	assert_json(&f, dr->spec, "subsets/1/name", "\"b\"");
	assert_json(&f, dr->spec, "subsets/2", "");
	assert_json(&f, dr->spec, "traffic_policy/load_balancer/simple", "\"RANDOM\"");
	for (int i = 0; i < 3; i++) {
		static const char *const names[] = {"z-first", "a-second", "b-third"};
		assert_true(fixture_used(&f, PD_KIND_DESTINATION_RULE, "prod", names[i]));
	}
	fixture_free(&f);
}

static void test_duplicate_subset_is_reported(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "", SERVICE RULE("prod", "first", 1, SUBSET("a")) RULE("prod", "second", 2, SUBSET("a")));
	const struct pd_dest_rule *dr = rule_for(&f, "other");
	assert_json(&f, dr->spec, "subsets/1", "");
	assert_int_equal(pd_issues_count(f.issues), 1);
	fixture_free(&f);
}

static void test_different_export_is_not_merged(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "",
		     SERVICE RULE("prod", "first", 1, "{host: " HOST ", exportTo: [a], subsets: [{name: s1}]}")
			     RULE("prod", "second", 2, "{host: " HOST ", exportTo: [b], subsets: [{name: s2}]}"));
	assert_json(&f, rule_for(&f, "a")->spec, "subsets/0/name", "\"s1\"");
	assert_json(&f, rule_for(&f, "b")->spec, "subsets/0/name", "\"s2\"");
	fixture_free(&f);
}

static void test_workload_selector(void **state)
{
	static const struct pd_label app = {"app", "sleep"};
	struct fixture f;
	(void)state;
	fixture_init(&f, "",
		     SERVICE RULE("client", "general", 1, SUBSET("a"))
			     RULE("client", "selected", 2,
				  "{host: " HOST
				  ", workloadSelector: {matchLabels: {app: sleep}}, subsets: [{name: b}]}"));
	assert_string_equal(name_for(&f, "client"), "general");
	f.key.labels = (struct pd_labels){1, &app};
	assert_string_equal(name_for(&f, "client"), "selected");
	assert_string_equal(name_for(&f, "other"), ""); // never exported
	f.key.ns = "client";
	struct pd_tx *tx = fixture_scope(&f);
	assert_string_equal(pd_dest_rule_inbound(tx, tx_service(tx, HOST))->object->key.name, "general");
	fixture_free(&f);
}

// ---- policies --------------------------------------------------------------------------------------------------------------

#define POLICY                                                                                                              \
	"{host: " HOST ", trafficPolicy: {tls: {mode: SIMPLE}, loadBalancer: {simple: RANDOM}, "                            \
	"connectionPool: {tcp: {maxConnections: 1}}, proxyProtocol: {version: V2}, "                                        \
	"portLevelSettings: [{port: {number: 80}, loadBalancer: {simple: ROUND_ROBIN}}]}, subsets: ["                       \
	"{name: plain}, "                                                                                                   \
	"{name: lb, trafficPolicy: {loadBalancer: {simple: LEAST_REQUEST}}}, "                                              \
	"{name: port, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}, portLevelSettings: [{port: {number: 90}, connectionPool: " \
	"{tcp: {maxConnections: 9}}}]}}]}"

static const Istio__TrafficPolicy *policy_of(struct fixture *f, uint32_t port, const char *subset)
{
	const struct pd_dest_rule *dr = rule_for(f, "client");
	return tx_traffic_policy(&f->tx, dr, port, subset);
}

static void test_port_level_replaces(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "", SERVICE RULE("client", "r", 1, POLICY));
	const Istio__TrafficPolicy *p = policy_of(&f, 80, NULL);
	assert_json(&f, p, "load_balancer/simple", "\"ROUND_ROBIN\"");
	assert_json(&f, p, "tls", ""); // not inherited
	assert_json(&f, p, "proxy_protocol", "");
	p = policy_of(&f, 81, NULL);
	assert_json(&f, p, "load_balancer/simple", "\"RANDOM\"");
	assert_json(&f, p, "tls/mode", "\"SIMPLE\"");
	fixture_free(&f);
}

static void test_subset_merges_block_by_block(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "", SERVICE RULE("client", "r", 1, POLICY));
	assert_json(&f, policy_of(&f, 80, "plain"), "load_balancer/simple", "\"ROUND_ROBIN\"");
	const Istio__TrafficPolicy *p = policy_of(&f, 81, "lb");
	assert_json(&f, p, "load_balancer/simple", "\"LEAST_REQUEST\"");
	assert_json(&f, p, "tls/mode", "\"SIMPLE\"");
	assert_json(&f, p, "proxy_protocol/version", "\"V2\"");
	p = policy_of(&f, 81, "port");
	assert_json(&f, p, "tls/mode", "\"ISTIO_MUTUAL\"");
	assert_json(&f, p, "connection_pool/tcp/max_connections", "1");
	p = policy_of(&f, 90, "port"); // the subset's own entry for the port takes the place of all four blocks
	assert_json(&f, p, "connection_pool/tcp/max_connections", "9");
	assert_json(&f, p, "tls", "");
	assert_json(&f, p, "load_balancer", "");
	assert_json(&f, p, "proxy_protocol/version", "\"V2\"");
	assert_json(&f, policy_of(&f, 81, "unknown"), "tls/mode", "\"SIMPLE\"");
	assert_null(tx_traffic_policy(&f.tx, NULL, 80, "x"));
	fixture_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order_of_namespaces),
		cmocka_unit_test(test_root_namespace),
		cmocka_unit_test(test_export),
		cmocka_unit_test(test_most_specific_host),
		cmocka_unit_test(test_private_rule_hides_nothing),
		cmocka_unit_test(test_merge),
		cmocka_unit_test(test_duplicate_subset_is_reported),
		cmocka_unit_test(test_different_export_is_not_merged),
		cmocka_unit_test(test_workload_selector),
		cmocka_unit_test(test_port_level_replaces),
		cmocka_unit_test(test_subset_merges_block_by_block),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
