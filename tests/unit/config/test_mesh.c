#include <dirent.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/str.h"
#include "config/mesh.h"

static struct pd_issues *issues;

static void collect(const struct pd_issue *i, void *arg)
{
	pd_buf_printf(arg, "%s%s|%s|%s\n", i->severity == PD_ISSUE_WARNING ? "warning " : "", i->origin, i->field,
		      i->reason);
}

static const char *found(void)
{
	static struct pd_buf out;

	pd_buf_reset(&out);
	pd_buf_adds(&out, "");
	pd_issues_each(issues, collect, &out);
	return out.p ? out.p : "";
}

// NULL if it is refused.
static struct pd_mesh *parse(const char *text)
{
	struct pd_mesh *m = NULL;
	int rc;

	pd_issues_clear(issues, "mesh");
	rc = pd_mesh_parse(text, strlen(text), "mesh", issues, &m);
	assert_int_equal(rc, m ? PD_OK : PD_E_PARSE);
	return m;
}

static void test_defaults(void **state)
{
	struct pd_mesh *m = parse("");
	const Istio__MeshConfig *c = m->config;

	(void)state;
	assert_string_equal(found(), "");
	assert_string_equal(m->root_namespace, "istio-system");
	assert_string_equal(m->trust_domain, "cluster.local");
	assert_string_equal(m->domain_suffix, "cluster.local");
	assert_int_equal(c->proxy_listen_port, 15001);
	assert_int_equal(c->proxy_inbound_listen_port, 15006);
	assert_int_equal(c->connect_timeout->seconds, 10);
	assert_int_equal(c->dns_refresh_rate->seconds, 60);
	assert_int_equal(c->protocol_detection_timeout->seconds, 0);
	assert_int_equal(c->outbound_traffic_policy->mode,
			 ISTIO__MESH_CONFIG__OUTBOUND_TRAFFIC_POLICY__MODE__ALLOW_ANY);
	assert_true(c->enable_auto_mtls->value);
	assert_true(c->enable_tracing);
	assert_true(c->locality_lb_setting->enabled->value);
	assert_int_equal(c->n_extension_providers, 3);
	assert_string_equal(c->extension_providers[2]->envoy_file_access_log->path, "/dev/stdout");
	assert_int_equal(c->default_providers->n_metrics, 0);
	assert_string_equal(c->default_config->service_cluster, "istio-proxy");
	assert_int_equal(c->default_config->drain_duration->seconds, 45);
	assert_int_equal(c->default_config->stat_name_length, 189);
	assert_string_equal(c->default_service_export_to[0], "*");
	pd_obj_unref(m);
}

static void test_overrides(void **state)
{
	struct pd_mesh *m = parse(
		"enableTracing: false\ntrust_domain: td\nenableAutoMtls: false\naccessLogFile: ''\n"
		"localityLbSetting: {failoverPriority: [a]}\nrootNamespace: null\n"
		"defaultServiceExportTo: ['.']\n"
		"defaultConfig: {proxyMetadata: {A: b}, tracingServiceName: CANONICAL_NAME_ONLY, drainDuration: 1s}\n"
		"defaultProviders: {metrics: [prometheus]}\n"
		"extensionProviders:\n- name: envoy\n  envoyFileAccessLog: {path: /tmp/x}\n- name: mine\n  zipkin: "
		"{service: z, port: 1}\n");
	const Istio__MeshConfig *c;

	(void)state;
	assert_string_equal(found(), "");
	c = m->config;
	assert_false(c->enable_tracing);
	assert_false(c->enable_auto_mtls->value);
	assert_string_equal(m->trust_domain, "td");
	assert_string_equal(m->root_namespace, "istio-system");
	assert_null(c->locality_lb_setting->enabled); // the whole message is replaced
	assert_int_equal(c->n_default_service_export_to, 1);
	assert_string_equal(c->default_service_export_to[0], ".");
	assert_int_equal(c->default_config->drain_duration->seconds, 1);
	assert_int_equal(c->default_config->termination_drain_duration->seconds, 5);
	assert_int_equal(c->default_config->cluster_name_case, ISTIO__PROXY_CONFIG__CLUSTER_NAME_TRACING_SERVICE_NAME);
	assert_string_equal(c->default_config->proxy_metadata[0]->value, "b");
	assert_int_equal(c->n_extension_providers, 4);
	assert_string_equal(c->extension_providers[2]->envoy_file_access_log->path, "/tmp/x");
	assert_string_equal(c->extension_providers[3]->name, "mine");
	pd_obj_unref(m);
}

static void test_mistakes(void **state)
{
	static const char *const refused[][2] = {
		{"enableTracing: maybe", "mesh:1|enableTracing|"},
		{"a: [\n", "||did not find"},
		{"- 1", "mesh:1||expected an object"},
		{"outboundTrafficPolicy: {mode: REGISTRY_ONLI}", "outboundTrafficPolicy.mode"},
		{"trustDomain: a\ntrustDomain: b", "duplicate"},
		{"proxyListenPort: 70000", "proxyListenPort|port 70000"},
		{"connectTimeout: 0s", "connectTimeout|a duration must be at least 1ms"},
		{"extensionProviders: [{name: ''}]", "extensionProviders[3].name|a name is required"},
		{"defaultConfig: 5", "defaultConfig|"},
	};
	struct pd_mesh *m;

	(void)state;
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		assert_null(parse(refused[i][0]));
		if (!strstr(found(), refused[i][1]))
			fail_msg("%s: %s", refused[i][0], found());
	}
	m = parse("trustDomain: x\nnewField: 1\ndefaultConfig: {unheardOf: 2}\n");
	assert_non_null(m);
	assert_string_equal(m->trust_domain, "x");
	assert_string_equal(found(), "warning mesh:2|newField|unknown field\n"
				     "warning mesh:3|defaultConfig.unheardOf|unknown field\n");
	pd_obj_unref(m);
}

static void test_hash(void **state)
{
	struct pd_mesh *a = parse(""), *b = parse("trustDomain: cluster.local\nenableTracing: true"),
		       *c = parse("trustDomain: x");

	(void)state;
	assert_true(a->hash == b->hash);
	assert_true(a->hash != c->hash);
	pd_obj_unref(a);
	pd_obj_unref(b);
	pd_obj_unref(c);
}

// The recordings' documents are all fine.
static void test_oracle(void **state)
{
	const char *shared = getenv("PD_SHARED");
	char path[4096], name[8192], text[65536];
	struct dirent *e;
	size_t files = 0;
	DIR *d;

	(void)state;
	snprintf(path, sizeof(path), "%s/oracle", shared ? shared : "../shared");
	d = opendir(path);
	if (!d && getenv("CI"))
		fail_msg("%s is not there: set PD_SHARED", path);
	if (!d)
		skip();
	while ((e = readdir(d))) {
		struct pd_mesh *m;
		FILE *f;

		snprintf(name, sizeof(name), "%s/%s/mesh.yaml", path, e->d_name);
		f = fopen(name, "r");
		if (!f)
			continue;
		text[fread(text, 1, sizeof(text) - 1, f)] = 0;
		fclose(f);
		m = parse(text);
		if (*found())
			fail_msg("%s: %s", e->d_name, found());
		pd_obj_unref(m);
		files++;
	}
	closedir(d);
	assert_true(files > 5);
}

// ---- the file -------------------------------------------------------------------------------------------------------

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char domain[64];
static unsigned versions;

static void changed(struct pd_mesh *m, void *arg)
{
	(void)arg;
	pthread_mutex_lock(&lock);
	snprintf(domain, sizeof(domain), "%s", m->trust_domain);
	versions++;
	pthread_mutex_unlock(&lock);
	pd_obj_unref(m);
}

static void expect_version(unsigned n, const char *want)
{
	for (int i = 0; i < 1000; i++) {
		pthread_mutex_lock(&lock);
		bool there = versions >= n;
		pthread_mutex_unlock(&lock);
		if (there)
			break;
		usleep(5000);
	}
	usleep(20000);
	pthread_mutex_lock(&lock);
	assert_int_equal(versions, n);
	assert_string_equal(domain, want);
	pthread_mutex_unlock(&lock);
}

static void put(const char *folder, const char *name, const char *text)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	f = fopen(path, "w");
	fputs(text, f);
	fclose(f);
}

static void wait_issues(bool some)
{
	for (int i = 0; i < 1000 && (pd_issues_count(issues) > 0) != some; i++)
		usleep(5000);
	assert_int_equal(pd_issues_count(issues) > 0, some);
}

static char dir[] = "/tmp/pd-mesh-test-XXXXXX";

static const char *at(const char *name)
{
	static char buf[4][256];
	static unsigned next;
	char *p = buf[next++ % 4];

	snprintf(p, sizeof(buf[0]), "%s/%s", dir, name);
	return p;
}

static void test_file(void **state)
{
	struct pd_mesh_input *in = pd_mesh_input_new(issues, changed, NULL);
	struct pd_mesh_file *f;
	char command[64];

	(void)state;
	pd_issues_clear(issues, "mesh");
	assert_non_null(mkdtemp(dir));
	assert_int_equal(pd_mesh_file_start(at("conf/mesh"), PD_MESH_CONFIG, in, issues, &f), PD_OK);
	pd_mesh_input_ready(in);
	expect_version(1, "cluster.local"); // neither folder nor file
	mkdir(at("conf"), 0755);
	put(dir, "conf/mesh", "trustDomain: one\n");
	expect_version(2, "one");
	put(dir, "conf/mesh", "trustDomain: two\n");
	expect_version(3, "two");
	put(dir, "conf/mesh", "trustDomain: two # the same\n");
	expect_version(3, "two");
	put(dir, "conf/mesh", "trustDomain: [\n"); // bad
	wait_issues(true);
	expect_version(3, "two");
	put(dir, "conf/new", "trustDomain: three\n");
	rename(at("conf/new"), at("conf/mesh"));
	expect_version(4, "three");
	wait_issues(false);
	unlink(at("conf/mesh")); // stays
	wait_issues(true);
	expect_version(4, "three");
	// A ConfigMap's links.
	mkdir(at("conf/..v1"), 0755);
	put(dir, "conf/..v1/mesh", "trustDomain: four\n");
	assert_int_equal(symlink("..v1", at("conf/..data")), 0);
	assert_int_equal(symlink("..data/mesh", at("conf/mesh")), 0);
	expect_version(5, "four");
	wait_issues(false);
	mkdir(at("conf/..v2"), 0755);
	put(dir, "conf/..v2/mesh", "trustDomain: five\n");
	assert_int_equal(symlink("..v2", at("conf/..tmp")), 0);
	rename(at("conf/..tmp"), at("conf/..data"));
	expect_version(6, "five");
	assert_int_equal(truncate(at("conf/..v2/mesh"), PD_MESH_MAX_BYTES + 1), 0);
	put(dir, "conf/poke", ""); // any event in the folder
	wait_issues(true);
	expect_version(6, "five");
	pd_mesh_file_stop(&f);
	assert_null(f);
	pd_mesh_input_free(&in);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults), cmocka_unit_test(test_overrides), cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_hash),     cmocka_unit_test(test_oracle),    cmocka_unit_test(test_file),
	};
	int rc;

	if (pd_log_set_levels("none"))
		return 1;
	issues = pd_issues_new();
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	pd_issues_free(&issues);
	return rc;
}
