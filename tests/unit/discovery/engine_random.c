#include "tests/unit/discovery/engine_random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"

enum { NAMES = ENGINE_RANDOM_NAMES, NAMESPACES = ENGINE_RANDOM_NAMESPACES, PROXIES = ENGINE_RANDOM_PROXIES };

static const char *const namespaces[NAMESPACES] = {"default", "shop", "istio-system"};
static uint64_t seed = 0x5eed5eed;

unsigned engine_random(unsigned n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)((seed >> 11) % n);
}

// ---- random objects: few names, so that edits collide ----------------------------------------------------------------------

static void head(struct pd_buf *b, const char *api, const char *kind, const char *prefix, unsigned ns, unsigned name)
{
	pd_buf_printf(b, "apiVersion: %s\nkind: %s\nmetadata:\n  name: %s%u\n  namespace: %s\n", api, kind, prefix,
		      name, namespaces[ns]);
	pd_buf_printf(b, "  creationTimestamp: '2026-08-01T00:%02u:00Z'\n", (ns * NAMES + name) % 60);
}

static void service(struct pd_buf *b, unsigned ns, unsigned name)
{
	static const char *const ports[] = {"http", "tcp", "grpc", "https", "data", "http2"};
	head(b, "v1", "Service", "svc", ns, name);
	if (engine_random(6) == 0)
		pd_buf_printf(b, "  annotations: {networking.istio.io/exportTo: '%s'}\n",
			      engine_random(2) ? "." : "shop");
	if (name == 0)
		pd_buf_printf(b, "  labels: {topology.istio.io/network: net%u}\n", engine_random(2));
	bool headless = engine_random(5) == 0;
	pd_buf_printf(b, "spec:\n  clusterIP: %s\n  selector: {app: a%u}\n  ports:\n", headless ? "None" : "",
		      engine_random(3));
	if (!headless) {
		b->n = (size_t)(strstr(b->p, "clusterIP: ") - b->p);
		pd_buf_printf(b, "clusterIP: 10.96.%u.%u\n  selector: {app: a%u}\n  ports:\n", ns, name + 1,
			      engine_random(3));
	}
	unsigned n = 1 + engine_random(2);
	for (unsigned i = 0; i < n; i++)
		pd_buf_printf(b, "  - {name: %s-%u, port: %u, targetPort: %u, protocol: TCP}\n",
			      ports[engine_random(6)], i, i ? 9000 + engine_random(2) : 80 + engine_random(2),
			      8080 + i);
	if (name == 0 && engine_random(2)) // now and then a gateway between networks
		pd_buf_printf(b, "  externalIPs: [203.0.113.%u, 203.0.113.9]\n", engine_random(3));
}

static void slice(struct pd_buf *b, unsigned ns, unsigned name)
{
	head(b, "discovery.k8s.io/v1", "EndpointSlice", "slice", ns, name);
	pd_buf_printf(b, "  labels: {kubernetes.io/service-name: svc%u}\naddressType: IPv4\nendpoints:\n",
		      engine_random(NAMES));
	for (unsigned i = 0; i < 1 + engine_random(3); i++)
		pd_buf_printf(
			b,
			"- {addresses: [10.1.%u.%u], conditions: {ready: %s}, targetRef: {kind: Pod, name: pod%u, namespace: %s}}\n",
			ns, engine_random(NAMES) + 1, engine_random(4) ? "true" : "false", engine_random(NAMES),
			namespaces[ns]);
	pd_buf_printf(b, "ports:\n");
	static const char *const ports[] = {"http-0", "tcp-0", "grpc-0", "data-0", "http-1", "tcp-1", "https-0"};
	for (unsigned i = 0; i < 7; i++)
		pd_buf_printf(b, "- {name: %s, port: %u, protocol: TCP}\n", ports[i], 8080 + i);
}

static void pod(struct pd_buf *b, unsigned ns, unsigned name)
{
	head(b, "v1", "Pod", "pod", ns, name);
	pd_buf_printf(
		b, "  labels: {app: a%u, version: v%u, topology.istio.io/network: %s, security.istio.io/tlsMode: %s}\n",
		engine_random(3), engine_random(2), engine_random(3) ? "''" : "net1",
		engine_random(3) ? "istio" : "disabled");
	pd_buf_printf(b, "spec: {serviceAccountName: sa%u, nodeName: n%u}\n", engine_random(2), engine_random(2));
	pd_buf_printf(b, "status: {phase: Running, podIP: 10.1.%u.%u, podIPs: [{ip: 10.1.%u.%u}]}\n", ns, name + 1, ns,
		      name + 1);
}

static void vs_hosts(struct pd_buf *b)
{
	static const char *const host[] = {"svc%u",
					   "svc%u.shop.svc.cluster.local",
					   "bare%u.example.com",
					   "*.shop.svc.cluster.local",
					   "ext%u.example.com",
					   "*.example.com",
					   "*-x.example.com"};
	pd_buf_printf(b, "  hosts: [\"");
	pd_buf_printf(b, host[engine_random(3)], engine_random(NAMES));
	pd_buf_printf(b, "\"");
	if (engine_random(3) == 0) {
		pd_buf_printf(b, ", \"");
		pd_buf_printf(b, host[3 + engine_random(4)], engine_random(NAMES));
		pd_buf_printf(b, "\"");
	}
	pd_buf_printf(b, "]\n");
	if (engine_random(3) == 0)
		pd_buf_printf(b, "  gateways: [%s]\n",
			      engine_random(2) ? "mesh, istio-system/gw0" : "istio-system/gw1");
}

static void vs_routes(struct pd_buf *b)
{
	if (engine_random(2))
		pd_buf_printf(
			b,
			"  - match: [{uri: {prefix: /p%u}}]\n    route: [{destination: {host: svc%u, subset: v%u}}]\n    timeout: %us\n",
			engine_random(4), engine_random(NAMES), engine_random(2), 1 + engine_random(5));
	pd_buf_printf(
		b,
		"  - route:\n    - {destination: {host: svc%u.%s.svc.cluster.local, port: {number: %u}}, weight: %u}\n",
		engine_random(NAMES), namespaces[engine_random(2)], 80 + engine_random(2), 1 + engine_random(99));
	if (engine_random(2))
		pd_buf_printf(b, "    - {destination: {host: svc%u}, weight: %u}\n", engine_random(NAMES),
			      engine_random(100));
}

// One in four is a delegate (no hosts), one in four delegates, the last one perhaps to one that does not exist.
static void virtual_service(struct pd_buf *b, unsigned ns, unsigned name)
{
	unsigned what = engine_random(4);
	head(b, "networking.istio.io/v1", "VirtualService", "vs", ns, name);
	pd_buf_printf(b, "spec:\n");
	if (what)
		vs_hosts(b);
	if (engine_random(5) == 0)
		pd_buf_printf(b, "  exportTo: ['%s']\n", engine_random(2) ? "." : "default");
	pd_buf_printf(b, "  http:\n");
	if (what == 1)
		pd_buf_printf(b, "  - match: [{uri: {prefix: /p}}]\n    delegate: {name: vs%u, namespace: %s}\n",
			      engine_random(NAMES), namespaces[engine_random(NAMESPACES)]);
	if (what != 1 || engine_random(2))
		vs_routes(b);
}

static void destination_rule(struct pd_buf *b, unsigned ns, unsigned name)
{
	head(b, "networking.istio.io/v1", "DestinationRule", "dr", ns, name);
	if (engine_random(4) == 0)
		pd_buf_printf(b, "spec:\n  host: '*.%s.svc.cluster.local'\n", namespaces[engine_random(2)]);
	else
		pd_buf_printf(b, "spec:\n  host: svc%u.%s.svc.cluster.local\n", engine_random(NAMES),
			      namespaces[engine_random(2)]);
	pd_buf_printf(b, "  trafficPolicy:\n    connectionPool: {tcp: {maxConnections: %u}}\n", 1 + engine_random(9));
	if (engine_random(2))
		pd_buf_printf(b, "    tls: {mode: %s}\n", engine_random(2) ? "ISTIO_MUTUAL" : "DISABLE");
	if (engine_random(3) == 0)
		pd_buf_printf(b, "    outlierDetection: {consecutive5xxErrors: %u}\n", engine_random(5));
	pd_buf_printf(b, "  subsets: [{name: v%u, labels: {version: v%u}}]\n", engine_random(2), engine_random(2));
}

static void service_entry(struct pd_buf *b, unsigned ns, unsigned name)
{
	head(b, "networking.istio.io/v1", "ServiceEntry", "se", ns, name);
	bool fixed = engine_random(2);
	pd_buf_printf(
		b,
		"spec:\n  hosts: [ext%u.example.com]\n  location: %s\n  resolution: %s\n  ports: [{number: %u, name: http, protocol: HTTP}]\n",
		engine_random(NAMES), engine_random(2) ? "MESH_EXTERNAL" : "MESH_INTERNAL", fixed ? "STATIC" : "DNS",
		80 + engine_random(2));
	if (fixed)
		pd_buf_printf(b, "  endpoints: [{address: 10.9.0.%u}]\n", 1 + engine_random(9));
}

static void gateway(struct pd_buf *b, unsigned ns, unsigned name)
{
	head(b, "networking.istio.io/v1", "Gateway", "gw", ns, name);
	pd_buf_printf(b, "spec:\n  selector: {istio: ingressgateway}\n  servers:\n");
	pd_buf_printf(b, "  - {port: {number: %u, name: http, protocol: HTTP}, hosts: ['%s']}\n", 80 + engine_random(2),
		      engine_random(2) ? "*" : "*.example.com");
}

static void peer_authentication(struct pd_buf *b, unsigned ns, unsigned name)
{
	static const char *const modes[] = {"STRICT", "PERMISSIVE", "DISABLE"};
	head(b, "security.istio.io/v1", "PeerAuthentication", "pa", ns, name);
	pd_buf_printf(b, "spec:\n");
	if (engine_random(2))
		pd_buf_printf(b, "  selector: {matchLabels: {app: a%u}}\n", engine_random(3));
	pd_buf_printf(b, "  mtls: {mode: %s}\n", modes[engine_random(3)]);
}

static void selector(struct pd_buf *b)
{
	switch (engine_random(4)) {
	case 0:
		pd_buf_printf(b, "  selector: {matchLabels: {app: a%u}}\n", engine_random(3));
		break;
	case 1:
		pd_buf_printf(b, "  selector: {matchLabels: {istio: ingressgateway}}\n");
		break;
	default:
		break;
	}
}

static void authorization_policy(struct pd_buf *b, unsigned ns, unsigned name)
{
	static const char *const actions[] = {"ALLOW", "DENY", "AUDIT", "CUSTOM"};
	head(b, "security.istio.io/v1", "AuthorizationPolicy", "authz", ns, name);
	if (engine_random(5) == 0)
		pd_buf_printf(b, "  annotations: {istio.io/dry-run: 'true'}\n");
	unsigned action = engine_random(4);
	pd_buf_printf(b, "spec:\n  action: %s\n", actions[action]);
	if (action == 3)
		pd_buf_printf(b, "  provider: {name: ask%u}\n", engine_random(2));
	selector(b);
	pd_buf_printf(b, "  rules:\n  - to: [{operation: {paths: [/p%u], ports: ['%u']}}]\n", engine_random(4),
		      8080 + engine_random(2));
	if (engine_random(2))
		pd_buf_printf(b, "    from: [{source: {principals: [cluster.local/ns/shop/sa/sa%u]}}]\n",
			      engine_random(2));
}

static void request_authentication(struct pd_buf *b, unsigned ns, unsigned name)
{
	head(b, "security.istio.io/v1", "RequestAuthentication", "ra", ns, name);
	pd_buf_printf(b, "spec:\n");
	selector(b);
	pd_buf_printf(b, "  jwtRules:\n  - {issuer: i%u, jwks: '{\"keys\": []}'}\n", engine_random(3));
	if (engine_random(2))
		pd_buf_printf(b, "  - {issuer: i%u, jwksUri: 'http://keys.invalid/%u'}\n", engine_random(3),
			      engine_random(3));
}

static void http_route(struct pd_buf *b, unsigned ns, unsigned name)
{
	head(b, "gateway.networking.k8s.io/v1", "HTTPRoute", "route", ns, name);
	pd_buf_printf(
		b,
		"spec:\n  parentRefs: [{name: kgw%u, namespace: istio-system}]\n  hostnames: [h%u.example.com]\n  rules:\n",
		engine_random(2), engine_random(3));
	pd_buf_printf(
		b,
		"  - matches: [{path: {type: PathPrefix, value: /%u}}]\n    backendRefs: [{name: svc%u, port: %u, weight: 1}]\n",
		engine_random(3), engine_random(NAMES), 80 + engine_random(2));
}

static void kubernetes_gateway(struct pd_buf *b, unsigned ns, unsigned name)
{
	head(b, "gateway.networking.k8s.io/v1", "Gateway", "kgw", ns, name);
	pd_buf_printf(
		b,
		"spec:\n  gatewayClassName: istio\n  listeners:\n  - {name: http, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: %s}}}\n",
		engine_random(2) ? "All" : "Same");
	pd_buf_printf(b, "  addresses: [{type: Hostname, value: svc%u.istio-system.svc.cluster.local}]\n",
		      engine_random(NAMES));
}

static const struct maker {
	enum pd_kind kind;
	const char *prefix;
	void (*make)(struct pd_buf *, unsigned ns, unsigned name);
	unsigned share;
} makers[] = {
	{PD_KIND_SERVICE, "svc", service, 4},
	{PD_KIND_ENDPOINT_SLICE, "slice", slice, 5},
	{PD_KIND_POD, "pod", pod, 3},
	{PD_KIND_VIRTUAL_SERVICE, "vs", virtual_service, 4},
	{PD_KIND_DESTINATION_RULE, "dr", destination_rule, 3},
	{PD_KIND_SERVICE_ENTRY, "se", service_entry, 2},
	{PD_KIND_GATEWAY, "gw", gateway, 1},
	{PD_KIND_PEER_AUTHENTICATION, "pa", peer_authentication, 1},
	{PD_KIND_AUTHORIZATION_POLICY, "authz", authorization_policy, 2},
	{PD_KIND_REQUEST_AUTHENTICATION, "ra", request_authentication, 1},
	{PD_KIND_HTTP_ROUTE, "route", http_route, 1},
	{PD_KIND_KUBERNETES_GATEWAY, "kgw", kubernetes_gateway, 1},
};
enum { MAKERS = sizeof(makers) / sizeof(makers[0]) };

static char *state[MAKERS][NAMESPACES][NAMES]; // the final configuration

static unsigned pick_maker(void)
{
	unsigned total = 0, i = 0;
	for (unsigned k = 0; k < MAKERS; k++)
		total += makers[k].share;
	for (unsigned r = engine_random(total); r >= makers[i].share; i++)
		r -= makers[i].share;
	return i;
}

void engine_random_init(struct engine_world *w)
{
	static const char text[] = "extensionProviders:\n"
				   "- name: ask0\n"
				   "  envoyExtAuthzGrpc: {service: svc0.shop.svc.cluster.local, port: 9000}\n"
				   "- name: ask1\n"
				   "  envoyExtAuthzHttp: {service: default/svc1.default.svc.cluster.local, port: 80}\n";
	struct pd_mesh *mesh;
	engine_world_init(w);
	assert_int_equal(pd_mesh_parse(text, strlen(text), "mesh", w->issues, &mesh), PD_OK);
	pd_engine_set_mesh(w->engine, mesh);
}

void engine_random_edit(struct engine_world *w)
{
	unsigned m = pick_maker(), ns = engine_random(NAMESPACES), name = engine_random(NAMES);
	char **slot = &state[m][ns][name];
	if (*slot && engine_random(4) == 0) {
		char text[32];
		snprintf(text, sizeof(text), "%s%u", makers[m].prefix, name);
		engine_world_delete(w, makers[m].kind, namespaces[ns], text);
		free(*slot);
		*slot = NULL;
		return;
	}
	struct pd_buf b = {0};
	makers[m].make(&b, ns, name);
	free(*slot);
	*slot = b.p;
	engine_world_apply(w, *slot);
}

// ---- proxies -------------------------------------------------------------------------------------------------------------

const struct engine_random_proxy engine_random_proxies[PROXIES] = {
	{"sidecar~10.1.0.1~pod0.default~default.svc.cluster.local",
	 "{\"NAMESPACE\": \"default\", \"CLUSTER_ID\": \"Kubernetes\", \"ISTIO_VERSION\": \"1.31.0\", \"LABELS\": {\"app\": \"a0\"}}"},
	{"sidecar~10.1.0.9~other.default~default.svc.cluster.local",
	 "{\"NAMESPACE\": \"default\", \"CLUSTER_ID\": \"Kubernetes\", \"ISTIO_VERSION\": \"1.31.0\", \"LABELS\": {\"app\": \"a1\"}}"},
	{"sidecar~10.1.1.9~x.shop~shop.svc.cluster.local",
	 "{\"NAMESPACE\": \"shop\", \"CLUSTER_ID\": \"Kubernetes\", \"ISTIO_VERSION\": \"1.31.0\", \"NETWORK\": \"net0\", \"LABELS\": {\"app\": \"a2\"}}"},
	{"router~10.1.2.9~gw.istio-system~istio-system.svc.cluster.local",
	 "{\"NAMESPACE\": \"istio-system\", \"CLUSTER_ID\": \"Kubernetes\", \"ISTIO_VERSION\": \"1.31.0\", \"LABELS\": {\"istio\": \"ingressgateway\"}}"},
	{"router~10.1.2.8~kgw.istio-system~istio-system.svc.cluster.local",
	 "{\"NAMESPACE\": \"istio-system\", \"CLUSTER_ID\": \"Kubernetes\", \"ISTIO_VERSION\": \"1.31.0\", \"LABELS\": {\"app\": \"a0\"}}"},
};

struct pd_view *engine_random_view(struct engine_world *w, int proxy)
{
	return engine_world_view(w, engine_random_proxies[proxy].id, engine_random_proxies[proxy].metadata);
}

static void compare_resource(struct engine_world *inc, struct engine_world *fresh, struct pd_view *a, struct pd_view *b,
			     enum pd_type type, const char *name, const char *who)
{
	if (engine_world_version(inc, a, type, name) == engine_world_version(fresh, b, type, name))
		return;
	char *x = engine_world_json(inc, a, type, name), *y = engine_world_json(fresh, b, type, name);
	print_error("%s %s %s\n  incremental: %s\n  fresh:       %s\n", who, pd_types[type].short_name, name,
		    x ? x : "none", y ? y : "none");
	free(x);
	free(y);
	fail();
}

struct names {
	const char *v[4096];
	size_t n;
};

static void collect(struct pd_resource *r, void *arg)
{
	struct names *l = arg;
	assert_true(l->n < 4096);
	l->v[l->n++] = pd_intern_ref(r->name);
}

static void ignore_name(const char *name, void *arg)
{
	(void)name;
	(void)arg;
}

static void names_of(struct engine_world *w, struct pd_view *v, enum pd_type type, struct names *out)
{
	struct pd_set *set = pd_view_set(w->engine, v, type);
	pd_set_diff(NULL, set, collect, ignore_name, out);
	pd_obj_unref(set);
}

static void compare_proxy(struct engine_world *inc, struct engine_world *fresh, struct pd_view *a, struct pd_view *b,
			  const char *who)
{
	static const char *const routes[] = {"80",
					     "81",
					     "9000",
					     "9001",
					     "http.80",
					     "http.81",
					     "http.8080",
					     "svc0.default.svc.cluster.local:80",
					     "svc1.shop.svc.cluster.local:9000"};
	for (int pass = 0; pass < 2; pass++) { // names of either side
		struct names clusters = {0}, listeners = {0};
		names_of(pass ? fresh : inc, pass ? b : a, PD_CDS, &clusters);
		names_of(pass ? fresh : inc, pass ? b : a, PD_LDS, &listeners);
		for (size_t i = 0; i < clusters.n; i++) {
			compare_resource(inc, fresh, a, b, PD_CDS, clusters.v[i], who);
			compare_resource(inc, fresh, a, b, PD_EDS, clusters.v[i], who);
			pd_unintern(clusters.v[i]);
		}
		for (size_t i = 0; i < listeners.n; i++) {
			compare_resource(inc, fresh, a, b, PD_LDS, listeners.v[i], who);
			pd_unintern(listeners.v[i]);
		}
	}
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++)
		compare_resource(inc, fresh, a, b, PD_RDS, routes[i], who);
	struct pd_set *x = pd_view_set(inc->engine, a, PD_CDS), *y = pd_view_set(fresh->engine, b, PD_CDS);
	assert_int_equal(x->version, y->version);
	pd_obj_unref(x);
	pd_obj_unref(y);
}

static void apply_state(struct engine_world *w)
{
	for (unsigned m = 0; m < MAKERS; m++)
		for (unsigned ns = 0; ns < NAMESPACES; ns++)
			for (unsigned n = 0; n < NAMES; n++)
				if (state[m][ns][n])
					engine_world_apply(w, state[m][ns][n]);
}

void engine_random_compare(struct engine_world *inc)
{
	struct engine_world fresh;
	engine_random_init(&fresh);
	apply_state(&fresh);
	for (int i = 0; i < PROXIES; i++) {
		struct pd_view *a = engine_random_view(inc, i), *b = engine_random_view(&fresh, i);
		compare_proxy(inc, &fresh, a, b, engine_random_proxies[i].id);
		engine_world_view_free(inc, a);
		engine_world_view_free(&fresh, b);
	}
	engine_world_free(&fresh);
}

void engine_random_free(void)
{
	for (unsigned m = 0; m < MAKERS; m++)
		for (unsigned ns = 0; ns < NAMESPACES; ns++)
			for (unsigned n = 0; n < NAMES; n++) {
				free(state[m][ns][n]);
				state[m][ns][n] = NULL;
			}
}
