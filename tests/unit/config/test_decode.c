#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/str.h"
#include "config/decode.h"
#include "config/store.h"
#include "config/validate.h"
#include "istio/networking/virtual_service.pb-c.h"
#include "k8s/core.pb-c.h"
#include "k8s/pod.pb-c.h"

static struct pd_issues *issues;
static struct pd_decoded_text text;

static void collect(const struct pd_issue *i, void *arg)
{
	pd_buf_printf(arg, "%s%s|%s|%s|%s\n", i->severity == PD_ISSUE_WARNING ? "warning " : "", i->origin, i->object,
		      i->field, i->reason);
}

// Decodes and returns the issues as text.
static const char *decode_n(const char *yaml, size_t n)
{
	static struct pd_buf out;
	struct pd_decode_config cfg = {.cluster = "Kubernetes", .origin = "f.yaml", .issues = issues};

	pd_decoded_text_free(&text);
	pd_issues_clear(issues, "f.yaml");
	pd_decode_text(&cfg, yaml, n, &text);
	pd_buf_reset(&out);
	pd_buf_adds(&out, "");
	pd_issues_each(issues, collect, &out);
	return out.p ? out.p : "";
}

static const char *decode(const char *yaml)
{
	return decode_n(yaml, strlen(yaml));
}

#define VS "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: r}\nspec:\n  hosts: [reviews]\n"

static void test_good(void **state)
{
	const struct pd_object *o;

	(void)state;
	assert_string_equal(decode("# head\n" VS
				   "  http:\n  - route:\n    - destination: {host: reviews}\n      weight: 95\n"
				   "    - destination: {host: reviews, subset: v2}\n      weight: '5'\n"),
			    "");
	assert_int_equal(text.items.n, 1);
	o = text.items.v[0].object;
	assert_int_equal(o->key.kind, PD_KIND_VIRTUAL_SERVICE);
	assert_string_equal(o->key.ns, "default");
	assert_string_equal(o->key.name, "r");
	assert_string_equal(o->key.cluster, "Kubernetes");
	assert_string_equal(o->origin, "f.yaml:2");
	assert_int_equal(((const Istio__VirtualService *)o->spec)->http[0]->route[1]->weight, 5);
	assert_false(text.incomplete);
}

static void test_strict(void **state)
{
	struct pd_arena a = {0};

	(void)state;
	assert_string_equal(
		decode(VS "  http:\n  - rout:\n    - destination: {host: reviews}\n"
			  "    timeout: abc\n"),
		"f.yaml:7|VirtualService default/r|spec.http[0].rout|unknown field (did you mean \"route\"?)\n"
		"f.yaml:9|VirtualService default/r|spec.http[0].timeout|expected duration like \"1.5s\", got string \"abc\"\n");
	assert_int_equal(text.items.n, 1);
	assert_null(text.items.v[0].object);
	assert_false(text.incomplete);
	// Top-level members, metadata, duplicates.
	assert_non_null(
		strstr(decode(VS "  tcp: [{route: [{destination: {host: a}}]}]\nspce: 1\n"), "|spce|unknown field"));
	assert_non_null(strstr(decode(VS "  hosts: [b]\n"), "duplicate"));
	assert_non_null(strstr(decode("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, lables: {}}\n"),
			       "metadata.lables|unknown field"));
	assert_non_null(strstr(decode("apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {prots: []}\n"),
			       "spec.prots|unknown field"));
	// managedFields and fields of a Pod that we do not have are fine.
	assert_string_equal(decode("apiVersion: v1\nkind: Pod\nmetadata: {name: a, managedFields: [{x: y}]}\n"
				   "spec: {tolerations: [{key: x}], nodeName: nn}\nstatus: {qosClass: Burstable}\n"),
			    "");
	assert_string_equal(((const K8s__Pod *)pd_object_open(text.items.v[0].object, &a))->spec->nodename, "nn");
	pd_arena_free(&a);
	assert_non_null(strstr(decode("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {nodeName: [1]}\n"),
			       "spec.nodeName|expected string"));
}

// One bad document leaves the others.
static void test_isolation(void **state)
{
	(void)state;
	decode(VS "  http: [\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: nn}\n---\n" VS
		  "  tcp: [{route: [{destination: {host: a}}]}]\n");
	assert_int_equal(text.items.n, 2);
	assert_true(text.incomplete);
	assert_int_equal(pd_issues_count(issues), 1);
	assert_string_equal(text.items.v[0].object->key.ns, "");
	assert_non_null(text.items.v[1].object);
}

static void test_identity(void **state)
{
	(void)state;
	assert_string_equal(decode("apiVersion: v1\nkind: Service\nmetadata: {namespace: x}\n"),
			    "f.yaml:3|Service|metadata.name|a name is required\n");
	assert_true(text.incomplete);
	assert_non_null(
		strstr(decode("apiVersion: v1\nkind: Service\nmetadata: {name: A_b}\n"), "metadata.name|a name"));
	assert_non_null(strstr(decode("apiVersion: v1\nkind: Service\nmetadata: {name: a., namespace: x}\n"),
			       "metadata.name|a name"));
	assert_non_null(strstr(decode("apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: x.y}\n"),
			       "metadata.namespace|a namespace"));
	assert_string_equal(decode("apiVersion: v1\nkind: Service\nmetadata: {name: a.b-c}\n"), "");
	assert_string_equal(decode("kind: Service\n"), "f.yaml:1||apiVersion|missing\n");
	assert_string_equal(decode("- 1\n"), "f.yaml:1|||expected an object with apiVersion and kind, got list\n");
	assert_string_equal(decode("apiVersion: v1\nkind: Namespace\nmetadata: {name: a, namespace: b}\n"),
			    "warning f.yaml:1|Namespace a|metadata.namespace|this kind belongs to no namespace\n");
	assert_string_equal(text.items.v[0].object->key.ns, "");
}

static void test_unknown_kinds(void **state)
{
	(void)state;
	assert_string_equal(decode("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n---\n"
				   "apiVersion: extensions/v1\nkind: Service\nmetadata: {name: a}\n"),
			    "");
	assert_int_equal(text.ignored, 2);
	assert_int_equal(text.items.n, 0);
	assert_false(text.incomplete);
	assert_string_equal(
		decode("apiVersion: networking.istio.io/v7\nkind: VirtualService\nmetadata: {name: a}\n"),
		"f.yaml:1|VirtualService default/a|apiVersion|networking.istio.io/v7 of VirtualService is not "
		"known; known are v1, v1beta1, v1alpha3\n");
	assert_int_equal(text.items.n, 1);
	assert_null(text.items.v[0].object);
}

static void test_lists(void **state)
{
	(void)state;
	assert_string_equal(decode("apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Namespace\n"
				   "  metadata: {name: a}\n- apiVersion: v1\n  kind: Service\n  metadata: {name: b}\n"),
			    "");
	assert_int_equal(text.items.n, 2);
	assert_string_equal(text.items.v[1].object->origin, "f.yaml:7");
	assert_string_equal(decode("apiVersion: v1\nkind: ServiceList\nitems:\n- metadata: {name: b}\n"), "");
	assert_int_equal(text.items.n, 1);
	decode("{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: List,"
	       "items: [{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: List, items: []}]}]}]}]}");
	assert_int_equal(pd_issues_count(issues), 1);
	// Shared through an alias: both items are whole.
	decode("apiVersion: v1\nkind: List\nitems:\n- &x {apiVersion: v1, kind: Namespace, metadata: {name: a}}\n- *x\n");
	assert_int_equal(text.items.n, 2);
}

// What a Secret holds is in no message.
static void test_secrets_stay_secret(void **state)
{
	static const char *const parts[] = {
		"data: {key: hunter2}",         "data: hunter2",
		"data: {key: {hunter2: 1}}",    "stringData: [hunter2]",
		"stringData: {key: [hunter2]}", "type: [hunter2]",
		"data: {key: !!int hunter2}",   "data: {key: !!binary 'hunter2*'}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		char yaml[256];

		snprintf(yaml, sizeof(yaml), "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n%s\n", parts[i]);
		assert_null(strstr(decode(yaml), "hunter2"));
		assert_true(i == 0 || pd_issues_count(issues) > 0);
	}
	assert_string_equal(
		decode("apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {tls.crt: aGk=, other: aGk=}\nstringData: {tls.key: hi}\n"),
		"");
	assert_int_equal(((const K8s__Secret *)text.items.v[0].object->spec)->n_data, 2);
}

static void test_validation(void **state)
{
	static const struct {
		const char *yaml, *issue; // NULL: none
	} cases[] = {
		{"  http: [{route: [{destination: {host: a}, weight: -1}]}]",
		 "spec.http[0].route[0].weight|must not be negative"},
		{"  http: [{}]", "spec.http[0]|one of route, redirect"},
		{"  http: [{redirect: {uri: /x}, route: [{destination: {host: a}}]}]", "spec.http[0]|route, redirect"},
		{"  http: [{route: [{destination: {host: a, port: {number: 70000}}}]}]",
		 "port.number|port 70000 is not"},
		{"  http: [{route: [{}]}]", "spec.http[0].route[0].destination|a destination host"},
		{"  http: [{route: [{destination: {host: a}}, {destination: {host: b}}]}]", "must not all be 0"},
		{"  http: [{route: [{destination: {host: a}}], timeout: -1s}]",
		 "timeout|a duration must not be negative"},
		{"  http: [{route: [{destination: {host: a}}], timeout: 0s}]", NULL},
		{"  http: [{route: [{destination: {host: a}}], retries: {perTryTimeout: 1us}}]", "at least 1ms"},
		{"  http: [{directResponse: {status: 99}}]", "99 is not in 200..599"},
		{"  http: [{directResponse: {status: 503}}]", NULL},
		{"  http: [{delegate: {name: x}}]", NULL},
		{"  tls: [{route: [{destination: {host: a}}]}]", "spec.tls[0].match|a match is required"},
		{"  tcp: [{}]", "spec.tcp[0].route|a destination is required"},
		{"  gateways: [x]", "spec|one of http, tls and tcp"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char yaml[1024];
		const char *found;

		snprintf(yaml, sizeof(yaml), VS "%s\n", cases[i].yaml);
		found = decode(yaml);
		if (!cases[i].issue)
			assert_string_equal(found, "");
		else if (!strstr(found, cases[i].issue))
			fail_msg("%s: expected %s, got %s", cases[i].yaml, cases[i].issue, found);
		assert_int_equal(text.items.v[0].object != NULL, !cases[i].issue);
	}
}

static void test_validation_other_kinds(void **state)
{
	static const struct {
		const char *kind, *spec, *issue;
	} cases[] = {
		{"DestinationRule", "{host: ''}", "spec.host|a host name is required"},
		{"DestinationRule", "{host: a, subsets: [{name: v1}, {name: v1}]}", "spec.subsets[1].name|duplicate"},
		{"DestinationRule", "{host: '*.a.com', trafficPolicy: {connectionPool: {tcp: {maxConnections: -1}}}}",
		 "maxConnections|must not be negative"},
		{"DestinationRule", "{host: a, trafficPolicy: {outlierDetection: {maxEjectionPercent: 101}}}",
		 "101 is not in 0..100"},
		{"DestinationRule", "{host: a, trafficPolicy: {loadBalancer: {simple: RANDOM}}}", NULL},
		{"Gateway", "{}", "spec.servers|a server is required"},
		{"Gateway", "{servers: [{port: {number: 0, name: a, protocol: HTTP}, hosts: ['*']}]}", "port 0 is not"},
		{"Gateway", "{servers: [{port: {number: 80, name: a, protocol: HTTP}}]}",
		 "spec.servers[0].hosts|a host"},
		{"Gateway", "{servers: [{port: {number: 443, name: a, protocol: HTTPS}, hosts: [a/b.c]}]}",
		 "tls|TLS settings"},
		{"Gateway", "{servers: [{port: {number: 80, name: a, protocol: XYZ}, hosts: ['./*']}]}",
		 "known protocol"},
		{"Gateway", "{servers: [{port: {number: 80, name: a, protocol: HTTP}, hosts: ['*.x.com']}]}", NULL},
		{"Gateway",
		 "{servers: [{port: {number: 80, name: a, protocol: HTTP}, hosts: ['*-a.x.com', '*b.com']}]}", NULL},
		{"Gateway", "{servers: [{port: {number: 80, name: a, protocol: HTTP}, hosts: ['a.*.com']}]}",
		 "not a DNS name"},
		{"ServiceEntry", "{}", "spec.hosts|a host is required"},
		{"ServiceEntry", "{hosts: [a.com], ports: [{number: 80, name: h}], addresses: [1.2.3.4/33]}",
		 "\"1.2.3.4/33\" is not an address or CIDR"},
		{"ServiceEntry", "{hosts: ['*.a.com'], ports: [{number: 80, name: h}], resolution: DNS}",
		 "a wildcard cannot"},
		{"ServiceEntry",
		 "{hosts: [a.com], ports: [{number: 80, name: h}], resolution: STATIC, endpoints: "
		 "[{address: host}]}",
		 "not an IP address"},
		{"ServiceEntry",
		 "{hosts: [a.com], ports: [{number: 80, name: h, protocol: HTTP}], resolution: STATIC, "
		 "endpoints: [{address: '::1', ports: {h: 81}}]}",
		 NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char yaml[1024];
		const char *found;

		snprintf(yaml, sizeof(yaml),
			 "apiVersion: networking.istio.io/v1\nkind: %s\nmetadata: {name: x}\nspec: %s\n", cases[i].kind,
			 cases[i].spec);
		found = decode(yaml);
		if (!cases[i].issue)
			assert_string_equal(found, "");
		else if (!strstr(found, cases[i].issue))
			fail_msg("%s: expected %s, got %s", cases[i].spec, cases[i].issue, found);
		assert_int_equal(text.items.v[0].object != NULL, !cases[i].issue);
	}
	assert_non_null(
		strstr(decode("apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 0}]}\n"),
		       "spec.ports[0].port|port 0"));
	assert_non_null(strstr(decode("apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: a}\n"
				      "addressType: IPv4\nendpoints: [{addresses: [bad]}]\n"),
			       "endpoints[0].addresses[0]|\"bad\" is not an IP"));
}

static void test_status(void **state)
{
	(void)state;
	assert_string_equal(decode("apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: g}\n"
				   "spec: {gatewayClassName: istio, listeners: [{name: a, port: 80, protocol: HTTP}]}\n"
				   "status: {addresses: [{value: 1.2.3.4}], conditions: [{type: X, unheardOf: 1}]}\n"),
			    "");
	assert_non_null(text.items.v[0].object->status);
	// A status that nobody reads may be anything.
	assert_string_equal(decode(VS "  tcp: [{route: [{destination: {host: a}}]}]\nstatus: {x: [1]}\n"), "");
	assert_null(text.items.v[0].object->status);
}

// Applies the objects of a text to a store; returns how many tokens changed.
static size_t apply(struct pd_store *st, const char *yaml)
{
	struct pd_changeset cs = {0};
	struct pd_change c;
	size_t n;

	assert_string_equal(decode(yaml), "");
	c = (struct pd_change){text.items.v[0].object->key, pd_obj_ref(text.items.v[0].object)};
	pd_store_apply(st, &c, 1, &cs);
	n = cs.tokens.n;
	assert_int_equal(cs.items.n > 0, n > 0);
	pd_changeset_free(&cs);
	return n;
}

// What nobody reads changes nothing.
static void test_semantic(void **state)
{
	static const struct {
		const char *yaml;
		bool change;
	} steps[] = {
		{"kind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 80}]}\n", true},
		{"kind: Service\nmetadata: {name: a, namespace: default}\nspec: {\"ports\": [{\"port\": 0x50}]}\n",
		 false},
		{"kind: Service\nmetadata: {name: a, resourceVersion: '5', uid: x, generation: 3, managedFields: [{a: b}], "
		 "finalizers: [x], annotations: {kubectl.kubernetes.io/last-applied-configuration: '{}', x.com/y: z}}\n"
		 "spec: {ports: [{port: 80}]}\nstatus: {conditions: [{type: X, status: 'True'}]}\n",
		 false},
		{"kind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 80}]}\nstatus: {loadBalancer: {ingress: [{ip: "
		 "1.2.3.4}]}}\n",
		 true},
		{"kind: Service\nmetadata: {name: a, annotations: {networking.istio.io/exportTo: .}}\nspec: {ports: [{port: "
		 "80}]}\n",
		 true},
		{"kind: Node\nmetadata: {name: a, labels: {z: b}}\nstatus: {conditions: [{type: Ready, status: 'True', "
		 "lastHeartbeatTime: '2026-01-01T00:00:00Z'}]}\n",
		 true},
		{"kind: Node\nmetadata: {name: a, labels: {z: b}}\nspec: {taints: [{key: x}]}\nstatus: {conditions: [{type: "
		 "Ready, status: 'False', lastHeartbeatTime: '2026-01-01T00:00:10Z'}], phase: x}\n",
		 false},
	};
	struct pd_store *st = pd_store_new(NULL, 0);

	(void)state;
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		char yaml[1024];

		snprintf(yaml, sizeof(yaml), "apiVersion: v1\n%s", steps[i].yaml);
		if ((apply(st, yaml) > 0) != steps[i].change)
			fail_msg("step %zu", i);
	}
	pd_store_free(&st);
}

static void test_limits(void **state)
{
	struct pd_buf b = {0};

	(void)state;
	pd_buf_adds(&b, VS "  http:\n");
	for (int i = 0; i < PD_VALIDATION_MAX + 8; i++)
		pd_buf_adds(&b, "  - {}\n");
	assert_non_null(strstr(decode(b.p), "8 further findings"));
	assert_int_equal(pd_issues_count(issues), PD_VALIDATION_MAX + 1);
	pd_buf_reset(&b);
	pd_buf_adds(&b, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ");
	for (int i = 0; i < PD_NAME_MAX; i++)
		pd_buf_addc(&b, 'a');
	pd_buf_adds(&b, "}\n");
	assert_string_equal(decode(b.p), "");
	b.p[b.n - 2] = 'a';
	pd_buf_adds(&b, "}\n");
	b.p[b.n - 3] = ' ';
	assert_non_null(strstr(decode(b.p), "metadata.name|a name consists"));
	pd_buf_free(&b);
}

// Everything in the recordings' inputs decodes without an error.
static void test_oracle(void **state)
{
	const char *shared = getenv("PD_SHARED");
	char path[4096], name[8192];
	struct dirent *e;
	size_t objects = 0;
	DIR *d;

	(void)state;
	snprintf(path, sizeof(path), "%s/oracle", shared ? shared : "../shared");
	d = opendir(path);
	if (!d && getenv("CI"))
		fail_msg("%s is not there: set PD_SHARED", path);
	if (!d)
		skip();
	while ((e = readdir(d))) {
		char *buf;
		size_t n;
		FILE *f;

		snprintf(name, sizeof(name), "%s/%s/config.yaml", path, e->d_name);
		f = fopen(name, "r");
		if (!f)
			continue;
		buf = malloc(1 << 20);
		n = fread(buf, 1, 1 << 20, f);
		fclose(f);
		if (*decode_n(buf, n))
			fail_msg("%s: %s", e->d_name, decode_n(buf, n));
		assert_int_equal(text.ignored, 0);
		objects += text.items.n;
		free(buf);
	}
	closedir(d);
	print_message("%zu objects of the recordings\n", objects);
	assert_true(objects > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_strict),
		cmocka_unit_test(test_isolation),
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_unknown_kinds),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_secrets_stay_secret),
		cmocka_unit_test(test_validation),
		cmocka_unit_test(test_validation_other_kinds),
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_semantic),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_oracle),
	};
	int rc;

	if (pd_log_set_levels("none"))
		return 1;
	issues = pd_issues_new();
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	pd_decoded_text_free(&text);
	pd_issues_free(&issues);
	return rc ? rc : pd_intern_count() != 0;
}
