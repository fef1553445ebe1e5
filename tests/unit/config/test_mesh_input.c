// meshNetworks, and what becomes of the texts of files and of the cluster.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/str.h"
#include "config/mesh.h"

static struct pd_issues *issues;
static struct pd_mesh *last;
static unsigned calls;

static void changed(struct pd_mesh *mesh, void *arg)
{
	(void)arg;
	pd_obj_unref(last);
	last = mesh;
	calls++;
}

static void give(struct pd_mesh_input *in, enum pd_mesh_part part, enum pd_mesh_from from, const char *text)
{
	static const char *const origins[2][2] = {{"cm:mesh", "file:mesh"}, {"cm:networks", "file:networks"}};

	pd_mesh_input_text(in, part, from, text, text ? strlen(text) : 0, origins[part][from]);
}

static void expect(unsigned n, const char *trust_domain, size_t networks)
{
	assert_int_equal(calls, n);
	assert_string_equal(last->trust_domain, trust_domain);
	assert_int_equal(last->networks ? last->networks->config->n_networks : 0, networks);
}

static void test_input(void **state)
{
	struct pd_mesh_input *in = pd_mesh_input_new(issues, changed, NULL);

	(void)state;
	calls = 0;
	give(in, PD_MESH_CONFIG, PD_MESH_FROM_CLUSTER, "trustDomain: cm\n");
	assert_int_equal(calls, 0); // not all is there yet
	pd_mesh_input_ready(in);
	expect(1, "cm", 0);
	give(in, PD_MESH_NETWORKS, PD_MESH_FROM_CLUSTER, "networks: {net1: {endpoints: [{fromRegistry: c1}]}}\n");
	expect(2, "cm", 1);
	give(in, PD_MESH_NETWORKS, PD_MESH_FROM_CLUSTER,
	     "# the same\nnetworks: {net1: {endpoints: [{fromRegistry: c1}]}}\n");
	expect(2, "cm", 1);
	give(in, PD_MESH_CONFIG, PD_MESH_FROM_CLUSTER, "trustDomain: [\n");
	expect(2, "cm", 1);
	assert_true(pd_issues_count(issues) > 0);
	give(in, PD_MESH_CONFIG, PD_MESH_FROM_CLUSTER, "trustDomain: cm2\n");
	expect(3, "cm2", 1);
	assert_int_equal(pd_issues_count(issues), 0);
	// A file hides what the cluster says.
	give(in, PD_MESH_CONFIG, PD_MESH_FROM_FILE, "trustDomain: file\n");
	expect(4, "file", 1);
	give(in, PD_MESH_CONFIG, PD_MESH_FROM_CLUSTER, "trustDomain: cm3\n");
	expect(4, "file", 1);
	give(in, PD_MESH_CONFIG, PD_MESH_FROM_FILE, NULL); // gone: stays
	expect(4, "file", 1);
	give(in, PD_MESH_NETWORKS, PD_MESH_FROM_CLUSTER, NULL);
	expect(5, "file", 0);
	pd_mesh_input_free(&in);
	assert_null(in);
	pd_obj_unref(last);
	last = NULL;
}

static struct pd_mesh_networks *parse(const char *text)
{
	struct pd_mesh_networks *n = NULL;
	int rc = pd_mesh_networks_parse(text, strlen(text), "networks", issues, &n);

	assert_int_equal(rc, n ? PD_OK : PD_E_PARSE);
	return n;
}

static void test_networks(void **state)
{
	struct pd_mesh_networks *n = parse("networks:\n"
					   "  wide: {endpoints: [{fromCidr: 10.0.0.0/8}, {fromCidr: 'fd00::/8'}]}\n"
					   "  narrow: {endpoints: [{fromCidr: 10.1.0.0/16}, {fromRegistry: c1}]}\n"
					   "  b: {endpoints: [{fromRegistry: c1}, {fromCidr: 192.168.1.0/24}]}\n");

	(void)state;
	assert_non_null(n);
	assert_string_equal(pd_mesh_networks_of(n, "10.1.2.3"), "wide");
	assert_string_equal(pd_mesh_networks_of(n, "fd00::1"), "wide");
	assert_string_equal(pd_mesh_networks_of(n, "192.168.1.9"), "b");
	assert_string_equal(pd_mesh_networks_of(n, "192.168.2.9"), "");
	assert_string_equal(pd_mesh_networks_of(n, "no address"), "");
	assert_string_equal(pd_mesh_networks_of(NULL, "10.1.2.3"), "");
	assert_string_equal(pd_mesh_networks_of_registry(n, "c1"), "b");
	assert_string_equal(pd_mesh_networks_of_registry(n, "c2"), "");
	pd_obj_unref(n);
	n = parse("");
	assert_int_equal(n->config->n_networks, 0);
	pd_obj_unref(n);
}

static void collect(const struct pd_issue *i, void *arg)
{
	pd_buf_printf(arg, "%s|%s|%s\n", i->object, i->field, i->reason);
}

static void test_mistakes(void **state)
{
	struct pd_buf b = {0};

	(void)state;
	assert_null(parse("networks: {net: {endpoints: [{fromCidr: 10.0.0.0/33}], gateways: [{port: 70000}]}}\n"));
	pd_issues_each(issues, collect, &b);
	assert_string_equal(b.p, "MeshNetworks|networks.net.endpoints[0]|\"10.0.0.0/33\" is no CIDR range\n"
				 "MeshNetworks|networks.net.gateways[0]|port 70000 is not in 1..65535\n"
				 "MeshNetworks|networks.net.gateways[0]|address or registryServiceName is required\n");
	pd_buf_free(&b);
	pd_issues_clear(issues, "networks");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_input),
		cmocka_unit_test(test_networks),
		cmocka_unit_test(test_mistakes),
	};
	int rc;

	if (pd_log_set_levels("none"))
		return 1;
	issues = pd_issues_new();
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	pd_issues_free(&issues);
	return rc;
}
