// Domains of virtual hosts: under which names a client may call a service.
#include "tests/unit/discovery/route_fixture.h"

#define WEB "web.default.svc.cluster.local"
#define EXTERNAL(host) SE("default", "ext", "{hosts: ['" host "'], ports: [" SE_80 "], resolution: NONE}")
#define SE_80 "{number: 80, name: http, protocol: HTTP}"

// Domains of `host` for a client with this DNS domain.
static void expect(const char *yaml, const char *host, const char *dns_domain, const char *want)
{
	struct fixture f;
	fixture_init(&f, "", yaml);
	f.key.dns_domain = dns_domain;
	assert_string_equal(route_domains(&f, host, "80"), want);
	fixture_free(&f);
}

static void services_of_the_cluster(void **state)
{
	static const char yaml[] = SVC("default", "web", "10.0.0.1", HTTP_80);
	(void)state;
	expect(yaml, WEB, "default.svc.cluster.local", "10.0.0.1 web web.default web.default.svc " WEB " " WEB ".");
	expect(yaml, WEB, "other.svc.cluster.local", "10.0.0.1 web.default web.default.svc " WEB " " WEB ".");
	// The namespace is compared as a whole.
	expect(yaml, WEB, "efault.svc.cluster.local", "10.0.0.1 web.default web.default.svc " WEB " " WEB ".");
	// Another cluster's domain: nothing is known of how its resolvers expand names.
	expect(yaml, WEB, "default.svc.other.test", "10.0.0.1 " WEB " " WEB ".");
	expect(yaml, WEB, "", "10.0.0.1 " WEB " " WEB ".");
}

// Clients in the cluster expand to services only: short forms of anything else could be taken for one.
static void other_hosts_in_a_cluster(void **state)
{
	(void)state;
	expect(EXTERNAL("foo.cluster.local"), "foo.cluster.local", "default.svc.cluster.local",
	       "foo.cluster.local foo.cluster.local.");
	expect(EXTERNAL("foo.bar.local"), "foo.bar.local", "default.svc.cluster.local", "foo.bar.local foo.bar.local.");
	expect(EXTERNAL("foo.svc.cluster.local"), "foo.svc.cluster.local", "default.svc.cluster.local",
	       "foo.svc.cluster.local foo.svc.cluster.local.");
	// More labels than a service has: what is behind the first dot is no namespace.
	expect(EXTERNAL("a.web.default.svc.cluster.local"), "a.web.default.svc.cluster.local",
	       "default.svc.cluster.local",
	       "a.web.default a.web.default.svc a.web.default.svc.cluster.local a.web.default.svc.cluster.local.");
}

static void shared_suffix(void **state)
{
	static const char yaml[] = EXTERNAL("foo.local.campus.net");
	(void)state;
	expect(yaml, "foo.local.campus.net", "local.campus.net", "foo foo.local.campus.net foo.local.campus.net.");
	// Two labels of its own, one of which may be like a namespace: with the first shared one too.
	expect(yaml, "foo.local.campus.net", "remote.campus.net",
	       "foo.local foo.local.campus foo.local.campus.net foo.local.campus.net.");
	expect(yaml, "foo.local.campus.net", "net", "foo.local.campus foo.local.campus.net foo.local.campus.net.");
	expect(yaml, "foo.local.campus.net", "example.com", "foo.local.campus.net foo.local.campus.net.");
	expect(yaml, "foo.local.campus.net", "", "foo.local.campus.net foo.local.campus.net.");
	// Labels, not letters.
	expect(yaml, "foo.local.campus.net", "xlocal.campus.net",
	       "foo.local foo.local.campus foo.local.campus.net foo.local.campus.net.");
	// The domain itself, or one above it, has nothing of its own.
	expect(yaml, "foo.local.campus.net", "foo.local.campus.net", "foo.local.campus.net foo.local.campus.net.");
	expect(yaml, "foo.local.campus.net", "a.foo.local.campus.net", "foo.local.campus.net foo.local.campus.net.");
}

static void aliases(void **state)
{
	static const char yaml[] =
		SVC("default", "web", "10.0.0.1", HTTP_80) ALIAS("other", "www", "web.default.svc.cluster.local");
	struct fixture f;
	(void)state;
	expect(yaml, WEB, "default.svc.cluster.local",
	       "10.0.0.1 web web.default web.default.svc " WEB " " WEB ". www.other www.other.svc "
	       "www.other.svc.cluster.local www.other.svc.cluster.local.");
	fixture_init(&f, "", yaml);
	assert_null(route_vhost(&f, "www.other.svc.cluster.local", "80")); // its names are those of its target
	fixture_free(&f);
}

static void headless(void **state)
{
	(void)state;
	expect(SVC("default", "web", "None", HTTP_80), WEB, "other.svc.cluster.local",
	       "*.web.default *.web.default.svc *." WEB " *." WEB ". web.default web.default.svc " WEB " " WEB ".");
	// Not so where clients resolve the host themselves.
	expect(EXTERNAL("a.test"), "a.test", "default.svc.cluster.local", "a.test a.test.");
}

static void wildcards(void **state)
{
	(void)state;
	expect(EXTERNAL("*.a.test"), "*.a.test", "default.svc.cluster.local", "*.a.test *.a.test.");
	// "*" alone, which the rules would give, is not for a single service to take.
	expect(EXTERNAL("*.default.svc.cluster.local"), "*.default.svc.cluster.local", "default.svc.cluster.local",
	       "*.default *.default.svc *.default.svc.cluster.local *.default.svc.cluster.local.");
}

static void addresses(void **state)
{
	struct fixture f;
	(void)state;
	expect(SE("default", "ext",
		  "{hosts: [a.test], addresses: [192.0.2.1, 192.0.2.2], ports: [" SE_80 "], resolution: NONE}"),
	       "a.test", "", "192.0.2.2 a.test a.test.");
	expect(SE("default", "ext",
		  "{hosts: [a.test], addresses: [192.0.2.0/24], ports: [" SE_80 "], resolution: NONE}"),
	       "a.test", "", "192.0.2.0/24 a.test a.test.");
	expect(SE("default", "ext",
		  "{hosts: [a.test], addresses: ['2001:db8::1'], ports: [" SE_80 "], resolution: NONE}"),
	       "a.test", "", "[2001:db8::1] a.test a.test.");
	// Families: those of the proxy, and the first only without dual stack.
	fixture_init(
		&f, "",
		"apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: default}\nspec: {clusterIP: 10.0.0.1, "
		"clusterIPs: [10.0.0.1, 'fd00::1'], ports: [" HTTP_80 "]}\n");
	f.key.dns_domain = "";
	assert_string_equal(route_domains(&f, WEB, "80"), "10.0.0.1 " WEB " " WEB ".");
	f.settings.dual_stack = true;
	assert_string_equal(route_domains(&f, WEB, "80"), "10.0.0.1 " WEB " " WEB ".");
	f.key.ipv6 = true;
	assert_string_equal(route_domains(&f, WEB, "80"), "10.0.0.1 [fd00::1] " WEB " " WEB ".");
	f.key.ipv4 = false;
	assert_string_equal(route_domains(&f, WEB, "80"), "[fd00::1] " WEB " " WEB ".");
	f.settings.dual_stack = false;
	assert_string_equal(route_domains(&f, WEB, "80"), WEB " " WEB ".");
	fixture_free(&f);
}

// Allocated addresses are real for proxies that resolve names themselves.
static void automatic_addresses(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "",
		     "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: e, namespace: default}\n"
		     "spec: {hosts: [a.test], ports: [" SE_80 "], resolution: STATIC}\n"
		     "status: {addresses: [{value: 240.240.0.5, host: a.test}, {value: '2001:2::5', host: a.test}]}\n");
	assert_string_equal(route_domains(&f, "a.test", "80"), "a.test a.test.");
	f.key.dns_capture = true;
	assert_string_equal(route_domains(&f, "a.test", "80"), "240.240.0.5 a.test a.test.");
	f.key.ipv4 = false;
	f.key.ipv6 = true;
	assert_string_equal(route_domains(&f, "a.test", "80"), "[2001:2::5] a.test a.test.");
	fixture_free(&f);
}

// A host that is an address has no other forms.
static void address_as_host(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "",
		     VS("default", "a", "00", "{hosts: ['192.0.2.9'], http: " TO("b") "}")
			     VS("default", "b", "00", "{hosts: ['2001:db8::9'], http: " TO("b") "}"));
	assert_string_equal(route_domains(&f, "192.0.2.9", "80"), "192.0.2.9");
	assert_string_equal(route_domains(&f, "2001:db8::9", "80"), "[2001:db8::9]");
	assert_string_equal(route_vhost(&f, "2001:db8::9", "80")->name, "[2001:db8::9]:80");
	fixture_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(services_of_the_cluster),
		cmocka_unit_test(other_hosts_in_a_cluster),
		cmocka_unit_test(shared_suffix),
		cmocka_unit_test(aliases),
		cmocka_unit_test(headless),
		cmocka_unit_test(wildcards),
		cmocka_unit_test(addresses),
		cmocka_unit_test(automatic_addresses),
		cmocka_unit_test(address_as_host),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
