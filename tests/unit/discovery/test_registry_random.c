// Thousands of random edits, followed incrementally, end in the same records as a registry that starts from the final state;
// every record that differs between two states was announced; and maps taken on the way stay as they were.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/str.h"
#include "base/vec.h"
#include "config/decode.h"
#include "discovery/registry/internal.h"
#include "registry_world.h"

static uint32_t seed;

static uint32_t rnd(uint32_t n)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % n;
}

static bool chance(uint32_t percent)
{
	return rnd(100) < percent;
}

#define PICK(...) pick((const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))
static const char *pick(const char *const *v, size_t n)
{
	return v[rnd((uint32_t)n)];
}

static const char *ns(void)
{
	return PICK("red", "blue");
}

static const char *app(void)
{
	return PICK("a", "b", "c", "d");
}

static int stamp(void)
{
	return (int)rnd(4);
}

// ---- objects --------------------------------------------------------------------------------------------------------

static void meta(struct pd_buf *b, const char *api, const char *kind, const char *name, const char *space)
{
	pd_buf_printf(b, "apiVersion: %s\nkind: %s\nmetadata:\n  name: %s\n", api, kind, name);
	if (space)
		pd_buf_printf(b, "  namespace: %s\n", space);
	pd_buf_printf(b, "  creationTimestamp: '2026-08-01T00:0%d:00Z'\n", stamp());
}

static void labels(struct pd_buf *b, const char *indent)
{
	pd_buf_printf(b, "%sapp: %s\n", indent, app());
	if (chance(50))
		pd_buf_printf(b, "%sversion: %s\n", indent, PICK("v1", "v2"));
	if (chance(30))
		pd_buf_printf(b, "%ssecurity.istio.io/tlsMode: istio\n", indent);
	if (chance(10))
		pd_buf_printf(b, "%stopology.istio.io/network: net%u\n", indent, rnd(2));
	if (chance(10))
		pd_buf_printf(b, "%sistio-locality: r1.z1\n", indent);
	if (chance(10))
		pd_buf_printf(b, "%sservice.istio.io/canonical-name: x\n", indent);
}

static void selector(struct pd_buf *b, const char *indent)
{
	if (chance(90))
		pd_buf_printf(b, "%sapp: %s\n", indent, app());
	else
		pd_buf_printf(b, "%ssecurity.istio.io/tlsMode: istio\n", indent);
	if (chance(30))
		pd_buf_printf(b, "%sversion: v1\n", indent);
}

static void service(struct pd_buf *b, const char *name, const char *space)
{
	meta(b, "v1", "Service", name, space);
	if (chance(20))
		pd_buf_printf(b, "  annotations:\n    networking.istio.io/exportTo: '%s'\n",
			      PICK("*", ".", "~", "red, blue"));
	if (chance(10))
		pd_buf_adds(b, "  labels:\n    istio.io/persistent-session: c\n");
	pd_buf_adds(b, "spec:\n");
	if (chance(35)) {
		pd_buf_printf(b, "  type: ExternalName\n  externalName: %s\n",
			      PICK("s1.red.svc.cluster.local", "s2.red.svc.cluster.local", "s3.blue.svc.cluster.local",
				   "s4.blue.svc.cluster.local", "se1.example.com"));
		return;
	}
	pd_buf_printf(b, "  clusterIP: %s\n  selector:\n", chance(20) ? "None" : PICK("10.96.0.1", "10.96.0.2"));
	selector(b, "    ");
	if (chance(20))
		pd_buf_printf(b, "  trafficDistribution: %s\n", PICK("PreferClose", "PreferSameNode"));
	pd_buf_printf(b, "  ports:\n  - name: http\n    port: 80\n    targetPort: %s\n", PICK("8080", "web"));
	if (chance(50))
		pd_buf_adds(b, "  - name: tcp\n    port: 90\n");
}

static void slice(struct pd_buf *b, const char *name, const char *space)
{
	size_t n = rnd(4);

	meta(b, "discovery.k8s.io/v1", "EndpointSlice", name, space);
	pd_buf_printf(b, "  labels:\n    kubernetes.io/service-name: s%u\naddressType: %s\nendpoints:\n", 1 + rnd(4),
		      chance(95) ? "IPv4" : "FQDN");
	for (size_t i = 0; i < n; i++) {
		pd_buf_printf(b, "- addresses: [10.1.0.%u]\n  conditions: {ready: %s, terminating: %s}\n", 1 + rnd(6),
			      PICK("true", "false"), PICK("true", "false"));
		if (chance(75))
			pd_buf_printf(b, "  targetRef: {kind: Pod, name: p%u, namespace: %s}\n", 1 + rnd(6), space);
	}
	if (!n)
		pd_buf_adds(b, "- addresses: [10.1.0.7]\n");
	pd_buf_adds(b, "ports:\n- {name: http, port: 8080}\n");
	if (chance(30))
		pd_buf_adds(b, "- {name: tcp, port: 9090}\n");
}

static void pod(struct pd_buf *b, const char *name, const char *space)
{
	unsigned ip = 1 + rnd(6);

	meta(b, "v1", "Pod", name, space);
	if (chance(10))
		pd_buf_adds(b, "  deletionTimestamp: '2026-08-02T00:00:00Z'\n");
	pd_buf_adds(b, "  labels:\n");
	labels(b, "    ");
	pd_buf_printf(b, "spec:\n  serviceAccountName: %s\n  nodeName: n%u\n  hostNetwork: %s\n", PICK("web", "job"),
		      1 + rnd(2), chance(10) ? "true" : "false");
	if (chance(10))
		pd_buf_adds(b, "  subdomain: s1\n");
	pd_buf_adds(b, "  containers:\n  - name: c\n    ports:\n    - {name: http, containerPort: 8081}\n");
	pd_buf_printf(b, "status:\n  phase: %s\n", chance(90) ? "Running" : "Succeeded");
	if (chance(90))
		pd_buf_printf(b, "  podIP: 10.1.0.%u\n  podIPs: [{ip: 10.1.0.%u}%s]\n", ip, ip,
			      chance(20) ? ", {ip: 'fd00::1'}" : "");
	pd_buf_printf(b, "  conditions: [{type: Ready, status: '%s'}]\n", chance(80) ? "True" : "False");
}

static void entry(struct pd_buf *b, const char *name, const char *space)
{
	meta(b, "networking.istio.io/v1", "WorkloadEntry", name, space);
	if (chance(20))
		pd_buf_adds(b, "  annotations:\n    proxy.istio.io/health-checks-enabled: 'true'\n");
	if (chance(50)) {
		pd_buf_adds(b, "  labels:\n");
		selector(b, "    ");
	}
	pd_buf_printf(b, "spec:\n  address: %s\n  weight: %u\n  labels:\n",
		      PICK("10.1.0.1", "192.0.2.1", "192.0.2.2", "vm.example.com"), rnd(3));
	labels(b, "    ");
	if (chance(50))
		pd_buf_adds(b, "  serviceAccount: vm\n");
	if (chance(40))
		pd_buf_printf(b, "  ports: {http: 8088, web: %u}\n", 8089 + rnd(2));
}

static void service_entry(struct pd_buf *b, const char *name, const char *space)
{
	bool select = chance(40);

	meta(b, "networking.istio.io/v1", "ServiceEntry", name, space);
	pd_buf_printf(b, "spec:\n  hosts: [%s%s]\n  resolution: %s\n  location: %s\n",
		      PICK("se1.example.com", "se2.example.com", "s1.red.svc.cluster.local"),
		      chance(30) ? ", se3.example.com" : "",
		      select ? PICK("STATIC", "DNS") : PICK("STATIC", "DNS", "DNS_ROUND_ROBIN"),
		      PICK("MESH_EXTERNAL", "MESH_INTERNAL"));
	if (chance(30))
		pd_buf_printf(b, "  addresses: [%s]\n", PICK("240.0.0.1", "240.0.0.0/24", "240.0.0.2/32"));
	if (chance(20))
		pd_buf_adds(b, "  exportTo: ['.']\n");
	if (chance(20))
		pd_buf_adds(b, "  subjectAltNames: [spiffe://other/ns/a/sa/b]\n");
	pd_buf_printf(b, "  ports:\n  - {name: http, number: %u, protocol: HTTP%s}\n", 80 + rnd(2),
		      chance(30) ? ", targetPort: 8000" : "");
	if (select) {
		pd_buf_adds(b, "  workloadSelector:\n    labels:\n");
		selector(b, "      ");
	} else {
		pd_buf_printf(b, "  endpoints:\n  - {address: 192.0.2.9, labels: {app: %s}}\n", app());
	}
}

static void node(struct pd_buf *b, const char *name)
{
	meta(b, "v1", "Node", name, NULL);
	if (chance(80))
		pd_buf_printf(b, "  labels:\n    topology.kubernetes.io/region: r%u\n", rnd(3));
}

static void namespace(struct pd_buf *b, const char *name)
{
	meta(b, "v1", "Namespace", name, NULL);
	if (chance(50))
		pd_buf_printf(b, "  annotations:\n    networking.istio.io/traffic-distribution: %s\n",
			      PICK("PreferClose", "PreferSameNode"));
	if (chance(50))
		pd_buf_printf(b, "  labels:\n    topology.istio.io/network: sys%u\n", rnd(2));
}

// ---- edits ------------------------------------------------------------------------------------------------------------

struct spot {
	enum pd_kind kind;
	const char *space;
	char name[32];
};

static void choose(struct spot *s)
{
	static const enum pd_kind kinds[] = {PD_KIND_SERVICE,
					     PD_KIND_SERVICE,
					     PD_KIND_ENDPOINT_SLICE,
					     PD_KIND_ENDPOINT_SLICE,
					     PD_KIND_POD,
					     PD_KIND_POD,
					     PD_KIND_POD,
					     PD_KIND_WORKLOAD_ENTRY,
					     PD_KIND_SERVICE_ENTRY,
					     PD_KIND_SERVICE_ENTRY,
					     PD_KIND_NODE,
					     PD_KIND_NAMESPACE};

	s->kind = kinds[rnd(sizeof(kinds) / sizeof(kinds[0]))];
	s->space = ns();
	switch (s->kind) {
	case PD_KIND_NODE:
		s->space = "";
		snprintf(s->name, sizeof(s->name), "n%u", 1 + rnd(2));
		break;
	case PD_KIND_NAMESPACE:
		s->space = "";
		snprintf(s->name, sizeof(s->name), "%s", PICK("red", "blue", "istio-system"));
		break;
	default:
		snprintf(s->name, sizeof(s->name), "%s%u", s->kind == PD_KIND_POD ? "p" : "s",
			 1 + rnd(s->kind == PD_KIND_POD ? 6 : 4));
	}
}

static void write_object(struct pd_buf *b, const struct spot *s)
{
	pd_buf_adds(b, "---\n");
	switch (s->kind) {
	case PD_KIND_SERVICE:
		service(b, s->name, s->space);
		break;
	case PD_KIND_ENDPOINT_SLICE:
		slice(b, s->name, s->space);
		break;
	case PD_KIND_POD:
		pod(b, s->name, s->space);
		break;
	case PD_KIND_WORKLOAD_ENTRY:
		entry(b, s->name, s->space);
		break;
	case PD_KIND_SERVICE_ENTRY:
		service_entry(b, s->name, s->space);
		break;
	case PD_KIND_NODE:
		node(b, s->name);
		break;
	default:
		namespace
		(b, s->name);
	}
}

// One change set of one to five edits; now and then a batch that removes much at once.
static void edit(struct world *w)
{
	struct pd_buf text = {0};
	struct pd_decoded_text objects = {0};
	struct pd_change v[40];
	size_t n = 0, edits = chance(3) ? 30 : 1 + rnd(5);

	pd_buf_adds(&text, "");
	for (size_t i = 0; i < edits; i++) {
		struct spot s;

		choose(&s);
		if (chance(edits > 5 ? 80 : 25))
			v[n++] = (struct pd_change){.key = {.kind = s.kind,
							    .cluster = pd_intern("Kubernetes"),
							    .ns = pd_intern(s.space),
							    .name = pd_intern(s.name)}};
		else
			write_object(&text, &s);
	}
	world_decode(w, text.p, &objects);
	edits = n;
	for (size_t i = 0; i < objects.items.n; i++) {
		assert_non_null(objects.items.v[i].object);
		v[n].key = objects.items.v[i].object->key;
		v[n++].next = pd_obj_ref(objects.items.v[i].object);
	}
	world_changes(w, v, n);
	for (size_t i = 0; i < edits; i++) {
		pd_unintern(v[i].key.cluster);
		pd_unintern(v[i].key.ns);
		pd_unintern(v[i].key.name);
	}
	pd_decoded_text_free(&objects);
	pd_buf_free(&text);
}

// ---- checks ---------------------------------------------------------------------------------------------------------------

// A registry that sees everything for the first time.
static void check_fresh(struct world *w)
{
	struct pd_registry *fresh = pd_registry_new("cluster.local", "Kubernetes");
	struct pd_config_snap *snap = pd_store_snapshot(w->store);
	struct pd_changeset none = {0};
	struct pd_token_vec tokens = {0};
	pd_hamt map;
	char *a, *b;

	pd_registry_apply(fresh, snap, &none, &w->mesh, &tokens);
	map = pd_registry_map(fresh);
	a = world_dump(w->map);
	b = world_dump(map);
	assert_string_equal(a, b);
	free(a);
	free(b);
	free(tokens.v);
	pd_hamt_unref(map);
	pd_config_snap_unref(snap);
	pd_registry_free(&fresh);
}

struct compare {
	const struct world *w;
	pd_hamt other;
};

static uint64_t record_hash(void *value)
{
	void (*release)(struct pd_obj *) = value ? ((struct pd_obj *)value)->release : NULL;
	uint64_t h = 1;

	if (!value)
		return 0;
	if (release == pd_reg_endpoints_release)
		return ((struct pd_endpoints *)value)->hash;
	if (release == pd_reg_workload_release)
		return ((struct pd_workload *)value)->hash;
	if (release == pd_reg_accounts_release)
		return pd_reg_strings_hash(1, ((struct pd_accounts *)value)->v, ((struct pd_accounts *)value)->n);
	for (size_t i = 0; i < ((struct pd_service_list *)value)->n; i++)
		h = pd_hash_mix(h, ((struct pd_service_list *)value)->v[i]->hash);
	return h;
}

static bool check_announced(const char *key, void *value, void *arg)
{
	static const enum pd_derived_index all[] = {PD_IX_SERVICE, PD_IX_ENDPOINTS, PD_IX_ACCOUNTS, PD_IX_TARGETS,
						    PD_IX_WORKLOAD};
	struct compare *c = arg;

	(void)value;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		uint64_t now = record_hash(pd_registry_get(c->w->map, all[i], key));
		uint64_t other = record_hash(pd_registry_get(c->other, all[i], key));

		if ((now != other) != world_touched(c->w, all[i], key))
			fail_msg("index %d key %s: %s", all[i], key,
				 now != other ? "changed unannounced" : "announced unchanged");
	}
	return true;
}

#define KEPT 8
struct kept {
	pd_hamt map;
	char *dump;
};

static void check_kept(struct kept *k)
{
	char *now;

	if (k->dump) {
		now = world_dump(k->map);
		assert_string_equal(now, k->dump);
		free(now);
	}
	free(k->dump);
	pd_hamt_unref(k->map);
	*k = (struct kept){0};
}

static void run(uint32_t with_seed, size_t edits)
{
	struct kept kept[KEPT] = {{0}};
	struct world w;

	seed = with_seed;
	world_init(&w);
	for (size_t i = 0; i < edits; i++) {
		pd_hamt before = pd_hamt_ref(w.map);
		struct compare c = {&w, before};

		edit(&w);
		pd_hamt_each(before, check_announced, &c);
		pd_hamt_each(w.map, check_announced, &c);
		if (chance(20))
			check_fresh(&w);
		if (chance(10)) {
			struct kept *k = &kept[rnd(KEPT)];

			check_kept(k);
			k->map = pd_hamt_ref(w.map);
			k->dump = world_dump(w.map);
		}
		if (chance(2)) {
			w.mesh.trust_domain = PICK("cluster.local", "td2");
			w.export_all[0] = (char *)PICK("*", ".");
			world_mesh_changed(&w);
			assert_true(world_touched(&w, PD_IX_MESH, ""));
			check_fresh(&w);
		}
		pd_hamt_unref(before);
	}
	check_fresh(&w);
	for (size_t i = 0; i < KEPT; i++)
		check_kept(&kept[i]);
	world_free(&w);
}

static void test_random_edits(void **state)
{
	size_t strings = pd_intern_count();

	(void)state;
	for (uint32_t s = 1; s <= 8; s++) {
		run(s, 500);
		assert_int_equal(pd_intern_count(), strings);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_edits)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
