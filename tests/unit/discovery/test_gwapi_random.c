// Gateway API: after many random edits of Gateways, routes, grants, namespaces and what they refer to, the objects made bit by
// bit are those that a fresh conversion makes; an edit that means nothing makes nothing.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/str.h"
#include "config/decode.h"
#include "discovery/build.h"

enum { NAMES = 4, NAMESPACES = 3, KINDS = 11, EDITS = 3000, COMPARE_EVERY = 50 };

static const char *const namespaces[NAMESPACES] = {"one", "two", "three"};
static uint64_t seed = 0x1234567;

static unsigned rnd(unsigned n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)((seed >> 11) % n);
}

static const char *pick(const char *const *v, unsigned n)
{
	return v[rnd(n)];
}

// ---- random objects ------------------------------------------------------------------------------------------------------

static const char *const hostnames[] = {"a.example.com", "*.example.com", "b.a.example.com", "*.org", "x.org"};

static void head(struct pd_buf *b, const char *api, const char *kind, unsigned ns, unsigned name)
{
	pd_buf_printf(b, "apiVersion: %s\nkind: %s\nmetadata:\n  name: n%u\n  namespace: %s\n", api, kind, name,
		      namespaces[ns]);
	// The same age for several: then namespace and name decide.
	pd_buf_printf(b, "  creationTimestamp: '2026-08-01T00:%02u:00Z'\n", (ns + name) % 3);
}

static void namespace_yaml(struct pd_buf *b, unsigned ns, unsigned name)
{
	(void)name;
	pd_buf_printf(b, "apiVersion: v1\nkind: Namespace\nmetadata: {name: %s, labels: {team: t%u}}\n", namespaces[ns],
		      rnd(2));
}

static void listeners(struct pd_buf *b, unsigned n)
{
	static const char *const protocols[] = {"HTTP", "HTTP", "HTTP", "HTTPS", "TLS", "TCP", "UDP"};
	static const char *const from[] =
		{"from: Same", "from: All", "from: Selector, selector: {matchLabels: {team: t0}}",
		 "from: Selector, selector: {matchExpressions: [{key: team, operator: Exists}]}"};
	pd_buf_printf(b, "  listeners:\n");
	for (unsigned i = 0; i < n; i++) {
		const char *p = pick(protocols, 7);
		pd_buf_printf(b, "  - {name: l%u, port: %u, protocol: %s", i, rnd(3) ? 80 : 81 + rnd(2), p);
		if (rnd(2) && strcmp(p, "TCP") != 0)
			pd_buf_printf(b, ", hostname: '%s'", pick(hostnames, 5));
		if (!strcmp(p, "HTTPS"))
			pd_buf_printf(b, ", tls: {certificateRefs: [{name: n%u, namespace: %s}]}", rnd(NAMES),
				      pick(namespaces, NAMESPACES));
		if (!strcmp(p, "TLS"))
			pd_buf_printf(b, ", tls: {mode: Passthrough}");
		pd_buf_printf(b, ", allowedRoutes: {namespaces: {%s}}}\n", pick(from, 4));
	}
}

static void gateway(struct pd_buf *b, unsigned ns, unsigned name)
{
	head(b, "gateway.networking.k8s.io/v1", "Gateway", ns, name);
	pd_buf_printf(b, "spec:\n  gatewayClassName: %s\n", rnd(4) ? "istio" : "special");
	if (rnd(3))
		pd_buf_printf(b, "  allowedListeners: {namespaces: {from: %s}}\n", rnd(2) ? "All" : "Same");
	listeners(b, 1 + rnd(3));
}

static void listener_set(struct pd_buf *b, unsigned ns, unsigned name)
{
	head(b, "gateway.networking.k8s.io/v1", "ListenerSet", ns, name);
	pd_buf_printf(b, "spec:\n  parentRef: {name: n%u, namespace: %s}\n", rnd(NAMES), pick(namespaces, NAMESPACES));
	listeners(b, 1 + rnd(2));
}

static void class(struct pd_buf *b, unsigned ns, unsigned name)
{
	(void)ns, (void)name;
	pd_buf_printf(b,
		      "apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: special}\n"
		      "spec: {controllerName: %s}\n",
		      rnd(2) ? "istio.io/gateway-controller" : "example.com/other");
}

static void parents(struct pd_buf *b)
{
	pd_buf_printf(b, "  parentRefs:\n");
	for (unsigned i = 0; i < 1 + rnd(3); i++) {
		unsigned kind = rnd(5);
		pd_buf_printf(b, "  - {name: n%u, namespace: %s", rnd(NAMES), pick(namespaces, NAMESPACES));
		if (kind == 0)
			pd_buf_printf(b, ", group: '', kind: Service%s", rnd(2) ? ", port: 80" : "");
		else if (kind == 1)
			pd_buf_printf(b, ", kind: ListenerSet");
		else if (rnd(3) == 0)
			pd_buf_printf(b, ", sectionName: l%u", rnd(2));
		pd_buf_printf(b, "}\n");
	}
}

static void hosts(struct pd_buf *b)
{
	unsigned n = rnd(3);
	if (n)
		pd_buf_printf(b, "  hostnames: ['%s'%s%s%s]\n", pick(hostnames, 5), n > 1 ? ", '" : "",
			      n > 1 ? pick(hostnames, 5) : "", n > 1 ? "'" : "");
}

static void backends(struct pd_buf *b)
{
	pd_buf_printf(b, "    backendRefs:\n");
	for (unsigned i = 0; i < 1 + rnd(2); i++)
		pd_buf_printf(b, "    - {name: n%u, namespace: %s, port: 80, weight: %u}\n", rnd(NAMES),
			      pick(namespaces, NAMESPACES), rnd(3));
}

static void http_route(struct pd_buf *b, unsigned ns, unsigned name)
{
	static const char *const types[] = {"PathPrefix", "Exact", "RegularExpression"};
	head(b, "gateway.networking.k8s.io/v1", "HTTPRoute", ns, name);
	pd_buf_printf(b, "spec:\n");
	parents(b);
	hosts(b);
	pd_buf_printf(b, "  rules:\n");
	for (unsigned i = 0; i < 1 + rnd(2); i++) {
		pd_buf_printf(b, "  - matches: [{path: {type: %s, value: /p%u}}%s]\n", pick(types, 3), rnd(3),
			      rnd(2) ? ", {method: GET}" : "");
		if (rnd(3) == 0)
			pd_buf_printf(b,
				      "    filters: [{type: RequestMirror, requestMirror: {backendRef: {name: n%u, "
				      "port: 80}}}]\n",
				      rnd(NAMES));
		backends(b);
	}
}

static void grpc_route(struct pd_buf *b, unsigned ns, unsigned name)
{
	head(b, "gateway.networking.k8s.io/v1", "GRPCRoute", ns, name);
	pd_buf_printf(b, "spec:\n");
	parents(b);
	hosts(b);
	pd_buf_printf(b, "  rules:\n  - matches: [{method: {service: s%u, method: m}}]\n", rnd(3));
	backends(b);
}

static void tls_route(struct pd_buf *b, unsigned ns, unsigned name)
{
	head(b, "gateway.networking.k8s.io/v1", "TLSRoute", ns, name);
	pd_buf_printf(b, "spec:\n");
	parents(b);
	pd_buf_printf(b, "  hostnames: ['%s']\n  rules:\n  - name: r\n", pick(hostnames, 5));
	backends(b);
}

static void tcp_route(struct pd_buf *b, unsigned ns, unsigned name)
{
	head(b, "gateway.networking.k8s.io/v1", "TCPRoute", ns, name);
	pd_buf_printf(b, "spec:\n");
	parents(b);
	pd_buf_printf(b, "  rules:\n  - name: r\n");
	backends(b);
}

static void grant(struct pd_buf *b, unsigned ns, unsigned name)
{
	static const char *const from[] = {"HTTPRoute", "GRPCRoute", "Gateway", "ListenerSet", "TCPRoute"};
	const char *kind = pick(from, 5);
	bool secret = !strcmp(kind, "Gateway") || !strcmp(kind, "ListenerSet");
	head(b, "gateway.networking.k8s.io/v1beta1", "ReferenceGrant", ns, name);
	pd_buf_printf(b,
		      "spec: {from: [{group: gateway.networking.k8s.io, kind: %s, namespace: %s}], to: [{group: '', ",
		      kind, pick(namespaces, NAMESPACES));
	pd_buf_printf(b, "kind: %s%s}]}\n", secret ? "Secret" : "Service", rnd(2) ? "" : ", name: n1");
}

static void service(struct pd_buf *b, unsigned ns, unsigned name)
{
	head(b, "v1", "Service", ns, name);
	pd_buf_printf(b, "spec: {clusterIP: 10.96.%u.%u, ports: [{name: http, port: 80}]}\n", ns, name + 1 + rnd(2));
}

static void secret(struct pd_buf *b, unsigned ns, unsigned name)
{
	head(b, "v1", "Secret", ns, name);
	pd_buf_printf(b, "stringData:\n  tls.key: '-----BEGIN PRIVATE KEY----- x -----END PRIVATE KEY-----'\n");
	pd_buf_printf(b, "  tls.crt: '%s'\n",
		      rnd(4) ? "-----BEGIN CERTIFICATE----- x -----END CERTIFICATE-----" : "nonsense");
}

struct maker {
	enum pd_kind kind;
	void (*make)(struct pd_buf *, unsigned ns, unsigned name);
	bool cluster_scoped;
};
static const struct maker makers[KINDS] = {
	{PD_KIND_NAMESPACE, namespace_yaml, true},
	{PD_KIND_GATEWAY_CLASS, class, true},
	{PD_KIND_KUBERNETES_GATEWAY, gateway, false},
	{PD_KIND_LISTENER_SET, listener_set, false},
	{PD_KIND_HTTP_ROUTE, http_route, false},
	{PD_KIND_GRPC_ROUTE, grpc_route, false},
	{PD_KIND_TLS_ROUTE, tls_route, false},
	{PD_KIND_TCP_ROUTE, tcp_route, false},
	{PD_KIND_REFERENCE_GRANT, grant, false},
	{PD_KIND_SERVICE, service, false},
	{PD_KIND_SECRET, secret, false},
};

// ---- a store with a conversion beside it ---------------------------------------------------------------------------------------

struct world {
	struct pd_settings settings;
	struct pd_issues *issues;
	struct pd_store *store;
	struct pd_gwapi *gwapi;
};

static void world_init(struct world *w)
{
	memset(w, 0, sizeof(*w));
	pd_settings_defaults(&w->settings);
	w->issues = pd_issues_new();
	w->store = pd_store_new(pd_indexes, pd_indexes_n);
	w->gwapi = pd_gwapi_new(&w->settings);
}

static void world_free(struct world *w)
{
	pd_gwapi_free(&w->gwapi);
	pd_store_free(&w->store);
	pd_issues_free(&w->issues);
}

// Returns the number of generated objects that changed.
static size_t world_change(struct world *w, struct pd_change *changes, size_t n)
{
	struct pd_changeset set = {0}, generated = {0};
	struct pd_change_vec out = {0};
	pd_store_apply(w->store, changes, n, &set);
	struct pd_config_snap *snap = pd_store_snapshot(w->store);
	pd_gwapi_apply(w->gwapi, snap, &set, &out);
	pd_config_snap_unref(snap);
	size_t given = out.n;
	if (out.n)
		pd_store_apply(w->store, out.v, out.n, &generated);
	assert_true(generated.items.n <= given);
	free(out.v);
	pd_changeset_free(&set);
	pd_changeset_free(&generated);
	return given;
}

static size_t world_apply(struct world *w, const char *yaml)
{
	struct pd_decoded_text text = {0};
	struct pd_decode_config cfg = {.cluster = w->settings.cluster, .origin = "test.yaml", .issues = w->issues};
	pd_decode_text(&cfg, yaml, strlen(yaml), &text);
	struct pd_change *v = pd_xcalloc(text.items.n + 1, sizeof(*v));
	for (size_t i = 0; i < text.items.n; i++) {
		if (!text.items.v[i].object)
			fail_msg("rejected: %s", yaml);
		v[i] = (struct pd_change){text.items.v[i].object->key, pd_obj_ref(text.items.v[i].object)};
	}
	size_t n = world_change(w, v, text.items.n);
	free(v);
	pd_decoded_text_free(&text);
	return n;
}

static size_t world_delete(struct world *w, enum pd_kind kind, const char *ns, const char *name)
{
	struct pd_change c = {{kind, w->settings.cluster, ns, name}, NULL};
	return world_change(w, &c, 1);
}

static bool dump_one(const struct pd_object *o, void *arg)
{
	PD_VEC(char *) *lines = arg;
	pd_vec_push(lines, pd_xasprintf("%s %s/%s %016llx", pd_object_kind_name(o->key.kind), o->key.ns, o->key.name,
					(unsigned long long)o->hash));
	return true;
}

static int cmp_line(const void *x, const void *y)
{
	return strcmp(*(char *const *)x, *(char *const *)y);
}

// All that was generated, one a line, sorted. Caller frees.
static char *world_dump(struct world *w)
{
	PD_VEC(char *) lines = {0};
	struct pd_buf b = {0};
	struct pd_config_snap *snap = pd_store_snapshot(w->store);
	pd_config_each(snap, PD_KIND_GATEWAY, dump_one, &lines);
	pd_config_each(snap, PD_KIND_VIRTUAL_SERVICE, dump_one, &lines);
	pd_config_snap_unref(snap);
	if (lines.n)
		qsort(lines.v, lines.n, sizeof(lines.v[0]), cmp_line);
	pd_buf_adds(&b, "");
	for (size_t i = 0; i < lines.n; i++) {
		pd_buf_printf(&b, "%s\n", lines.v[i]);
		free(lines.v[i]);
	}
	pd_vec_free(&lines);
	return b.p;
}

// ---- the test --------------------------------------------------------------------------------------------------------------

static char *current[KINDS][NAMESPACES][NAMES]; // YAML, NULL = deleted

static size_t edit(struct world *w)
{
	unsigned k = rnd(KINDS), ns = rnd(NAMESPACES), name = rnd(NAMES);
	const struct maker *m = &makers[k];
	char **at = &current[k][ns][name];
	if (m->cluster_scoped) {
		name = 0;
		ns = m->kind == PD_KIND_GATEWAY_CLASS ? 0 : ns;
		at = &current[k][ns][0];
	}
	if (*at && rnd(4) == 0) {
		char key[16];
		snprintf(key, sizeof(key), "n%u", name);
		free(*at);
		*at = NULL;
		if (!m->cluster_scoped)
			return world_delete(w, m->kind, namespaces[ns], key);
		return world_delete(w, m->kind, "", m->kind == PD_KIND_NAMESPACE ? namespaces[ns] : "special");
	}
	struct pd_buf b = {0};
	m->make(&b, ns, name);
	free(*at);
	*at = b.p;
	return world_apply(w, b.p);
}

static void compare_with_fresh(struct world *w)
{
	struct world fresh;
	struct pd_buf all = {0};
	world_init(&fresh);
	pd_buf_adds(&all, "");
	for (int k = 0; k < KINDS; k++)
		for (int ns = 0; ns < NAMESPACES; ns++)
			for (int n = 0; n < NAMES; n++)
				if (current[k][ns][n])
					pd_buf_printf(&all, "---\n%s", current[k][ns][n]);
	world_apply(&fresh, all.p);
	pd_buf_free(&all);
	char *have = world_dump(w), *want = world_dump(&fresh);
	assert_string_equal(have, want);
	free(have);
	free(want);
	world_free(&fresh);
}

static void incremental_equals_fresh(void **state)
{
	struct world w;
	size_t made = 0;
	(void)state;
	world_init(&w);
	for (int i = 1; i <= EDITS; i++) {
		made += edit(&w);
		if (i % COMPARE_EVERY == 0)
			compare_with_fresh(&w);
	}
	assert_true(made > EDITS / 2); // the edits were not all in vain
	for (int k = 0; k < KINDS; k++) {
		for (int ns = 0; ns < NAMESPACES; ns++) {
			for (int n = 0; n < NAMES; n++) {
				char name[16];
				snprintf(name, sizeof(name), "n%d", n);
				if (current[k][ns][n] && !makers[k].cluster_scoped)
					world_delete(&w, makers[k].kind, namespaces[ns], name);
				free(current[k][ns][n]);
			}
		}
	}
	char *rest = world_dump(&w);
	assert_string_equal(rest, "");
	free(rest);
	world_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(incremental_equals_fresh)};
	if (pd_log_set_levels("gwapi:none") != PD_OK) // thousands of mistakes on purpose
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
