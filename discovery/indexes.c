#include "discovery/indexes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/str.h"
#include "gwapi/grpc_route.pb-c.h"
#include "gwapi/http_route.pb-c.h"
#include "gwapi/l4_route.pb-c.h"
#include "istio/networking/destination_rule.pb-c.h"
#include "istio/networking/gateway.pb-c.h"
#include "istio/networking/service_entry.pb-c.h"
#include "istio/networking/virtual_service.pb-c.h"
#include "istio/networking/workload_entry.pb-c.h"
#include "k8s/core.pb-c.h"
#include "k8s/discovery.pb-c.h"
#include "k8s/pod.pb-c.h"

static char domain_suffix[256] = "cluster.local";

void pd_indexes_set_domain(const char *suffix)
{
	size_t n = strlen(suffix);

	PD_ASSERT(n < sizeof(domain_suffix));
	memcpy(domain_suffix, suffix, n + 1);
}

// ---- names --------------------------------------------------------------------------------------------------------

static bool is_short(const char *host)
{
	return *host && !strchr(host, '.') && strcmp(host, "*") != 0 && !pd_is_ip(host);
}

const char *pd_expand_host(struct pd_arena *a, const char *host, const char *ns, const char *domain)
{
	if (!host || !is_short(host))
		return host;
	return pd_arena_printf(a, "%s.%s.svc.%s", host, ns, domain);
}

const char *pd_expand_gateway(struct pd_arena *a, const char *gateway, const char *ns)
{
	const char *dot;

	if (pd_has_prefix(gateway, "./"))
		return pd_arena_printf(a, "%s%s", ns, gateway + 1);
	if (strchr(gateway, '/') || pd_streq(gateway, "mesh"))
		return gateway;
	dot = strchr(gateway, '.');
	if (!dot)
		return pd_arena_printf(a, "%s/%s", ns, gateway);
	return pd_arena_printf(a, "%.*s/%.*s", (int)strcspn(dot + 1, "."), dot + 1, (int)(dot - gateway), gateway);
}

bool pd_host_covers(const char *pattern, const char *host)
{
	if (*pattern != '*')
		return strcmp(pattern, host) == 0;
	if (*host == '*')
		return strlen(host) >= strlen(pattern) && pd_has_suffix(host + 1, pattern + 1);
	return pd_has_suffix(host, pattern + 1);
}

// ---- emitting -----------------------------------------------------------------------------------------------------

// Keys are short nearly always; what users may make long goes through the heap.
static void PD_PRINTF(3, 4) emitf(pd_emit_key emit, void *ctx, const char *fmt, ...)
{
	char small[512], *big = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(small, sizeof(small), fmt, ap);
	va_end(ap);
	if (n >= (int)sizeof(small)) {
		big = pd_xmalloc((size_t)n + 1);
		va_start(ap, fmt);
		vsnprintf(big, (size_t)n + 1, fmt, ap);
		va_end(ap);
	}
	emit(ctx, big ? big : small);
	free(big);
}

// `prefix` is "NS/" or "".
static void emit_first_pair(const struct pd_label_entry *const *v, size_t n, const char *ns, pd_emit_key emit,
			    void *ctx)
{
	const struct pd_label_entry *first = NULL;

	for (size_t i = 0; i < n; i++)
		if (!first || pd_strcmp(v[i]->key, first->key) < 0)
			first = v[i];
	if (first)
		emitf(emit, ctx, "%s%s%s=%s", ns, *ns ? "/" : "", pd_or(first->key, ""), pd_or(first->value, ""));
}

static void emit_labels(const struct pd_object *o, pd_emit_key emit, void *ctx)
{
	struct pd_labels l = pd_object_labels(o);

	for (size_t i = 0; i < l.n; i++)
		if (pd_label_indexed(l.v[i].key))
			emitf(emit, ctx, "%s/%s=%s", o->key.ns, l.v[i].key, l.v[i].value);
}

static void emit_pairs(const struct pd_label_entry *const *v, size_t n, const char *ns, pd_emit_key emit, void *ctx)
{
	for (size_t i = 0; i < n; i++)
		if (pd_label_indexed(v[i]->key))
			emitf(emit, ctx, "%s/%s=%s", ns, pd_or(v[i]->key, ""), pd_or(v[i]->value, ""));
}

#define PD_LABEL_ENTRIES(list) ((const struct pd_label_entry *const *)(list))

bool pd_label_indexed(const char *key)
{
	static const char *const noise[] = {
		"apps.kubernetes.io/pod-index",
		"controller-revision-hash",
		"istio.io/rev",
		"pod-template-generation",
		"pod-template-hash",
		"security.istio.io/tlsMode",
		"service.istio.io/canonical-name",
		"service.istio.io/canonical-revision",
		"sidecar.istio.io/inject",
		"statefulset.kubernetes.io/pod-name",
		"topology.istio.io/network",
	};

	for (size_t i = 0; i < sizeof(noise) / sizeof(noise[0]); i++)
		if (pd_streq(key, noise[i]))
			return false;
	return true;
}

static void by_ns(const struct pd_object *o, pd_emit_key emit, void *ctx)
{
	emit(ctx, o->key.ns);
}

// ---- Kubernetes ---------------------------------------------------------------------------------------------------

// Slices of the multi-cluster services API describe services of other clusters.
static bool slice_counts(const struct pd_object *o)
{
	return !pd_object_label(o, "multicluster.kubernetes.io/service-name");
}

static void slice_by_service(const struct pd_object *o, pd_emit_key emit, void *ctx)
{
	const char *service = pd_object_label(o, "kubernetes.io/service-name");

	if (!pd_empty(service) && slice_counts(o))
		emitf(emit, ctx, "%s/%s", o->key.ns, service);
}

enum { POD_CHUNK = 1024 }; // enough for nearly every Pod or Service that is unpacked

static bool refers_to_pod(const K8s__Endpoint *e)
{
	return e->targetref && pd_streq(e->targetref->kind, "Pod");
}

static void slice_by_pod(const struct pd_object *o, pd_emit_key emit, void *ctx)
{
	struct pd_arena a = {0};
	const K8s__EndpointSlice *s = (const K8s__EndpointSlice *)pd_object_open(o, &a);

	for (size_t i = 0; i < s->n_endpoints; i++)
		if (refers_to_pod(s->endpoints[i]))
			emitf(emit, ctx, "%s/%s", pd_or(s->endpoints[i]->targetref->namespace_, ""),
			      pd_or(s->endpoints[i]->targetref->name, ""));
	pd_arena_free(&a);
}

static void slice_by_ip(const struct pd_object *o, pd_emit_key emit, void *ctx)
{
	struct pd_arena a = {0};
	const K8s__EndpointSlice *s = (const K8s__EndpointSlice *)pd_object_open(o, &a);

	for (size_t i = 0; i < s->n_endpoints; i++)
		for (size_t k = 0; k < s->endpoints[i]->n_addresses && !refers_to_pod(s->endpoints[i]); k++)
			emitf(emit, ctx, "%s/%s", o->key.ns, s->endpoints[i]->addresses[k]);
	pd_arena_free(&a);
}

static void emit_pod_ips(const K8s__Pod *p, pd_emit_key emit, void *ctx)
{
	if (!p->status || (p->spec && p->spec->hostnetwork))
		return;
	if (!pd_empty(p->status->podip))
		emit(ctx, p->status->podip);
	for (size_t i = 0; i < p->status->n_podips; i++)
		if (!pd_empty(p->status->podips[i]->ip))
			emit(ctx, p->status->podips[i]->ip);
}

static void pod_by_ip(const struct pd_object *o, pd_emit_key emit, void *ctx)
{
	struct pd_arena a = {.first_chunk = POD_CHUNK};

	emit_pod_ips((const K8s__Pod *)pd_object_open(o, &a), emit, ctx);
	pd_arena_free(&a);
}

static void pod_by_node(const struct pd_object *o, pd_emit_key emit, void *ctx)
{
	struct pd_arena a = {.first_chunk = POD_CHUNK};
	const K8s__Pod *p = (const K8s__Pod *)pd_object_open(o, &a);

	if (p->spec && !pd_empty(p->spec->nodename))
		emit(ctx, p->spec->nodename);
	pd_arena_free(&a);
}

static void pod_by_label(const struct pd_object *o, pd_emit_key emit, void *ctx)
{
	emit_labels(o, emit, ctx);
}

static void service_by_selector(const struct pd_object *o, pd_emit_key emit, void *ctx)
{
	struct pd_arena a = {.first_chunk = POD_CHUNK};
	const K8s__ServiceSpec *s = ((const K8s__Service *)pd_object_open(o, &a))->spec;

	if (s)
		emit_first_pair(PD_LABEL_ENTRIES(s->selector), s->n_selector, o->key.ns, emit, ctx);
	pd_arena_free(&a);
}

static void service_by_external_name(const struct pd_object *o, pd_emit_key emit, void *ctx)
{
	struct pd_arena a = {.first_chunk = POD_CHUNK};
	const K8s__ServiceSpec *s = ((const K8s__Service *)pd_object_open(o, &a))->spec;

	if (s && pd_streq(s->type, "ExternalName") && !pd_empty(s->externalname))
		emit(ctx, s->externalname);
	pd_arena_free(&a);
}

static void network_gateway(const struct pd_object *o, pd_emit_key emit, void *ctx)
{
	if (!pd_empty(pd_object_label(o, "topology.istio.io/network")))
		emit(ctx, "");
}

// ---- Istio --------------------------------------------------------------------------------------------------------

static void we_by_label(const struct pd_object *o, pd_emit_key emit, void *ctx)
{
	const Istio__WorkloadEntry *w = (const Istio__WorkloadEntry *)o->spec;

	emit_pairs(PD_LABEL_ENTRIES(w->labels), w->n_labels, o->key.ns, emit, ctx);
	emit_labels(o, emit, ctx);
}

static void we_by_ip(const struct pd_object *o, pd_emit_key emit, void *ctx)
{
	const Istio__WorkloadEntry *w = (const Istio__WorkloadEntry *)o->spec;

	if (!pd_empty(w->address))
		emit(ctx, w->address);
}

static void se_by_host(const struct pd_object *o, pd_emit_key emit, void *ctx)
{
	const Istio__ServiceEntry *s = (const Istio__ServiceEntry *)o->spec;

	for (size_t i = 0; i < s->n_hosts; i++)
		emit(ctx, s->hosts[i]);
}

static void se_by_selector(const struct pd_object *o, pd_emit_key emit, void *ctx)
{
	const Istio__WorkloadLabelSelector *s = ((const Istio__ServiceEntry *)o->spec)->workload_selector;

	if (s && s->n_labels)
		emit_first_pair(PD_LABEL_ENTRIES(s->labels), s->n_labels, o->key.ns, emit, ctx);
	else if (s)
		emitf(emit, ctx, "%s/", o->key.ns);
}

static void emit_host(const char *host, const char *ns, pd_emit_key emit, void *ctx)
{
	if (is_short(host))
		emitf(emit, ctx, "%s.%s.svc.%s", host, ns, domain_suffix);
	else
		emit(ctx, host);
}

static void dr_by_host(const struct pd_object *o, pd_emit_key emit, void *ctx)
{
	emit_host(((const Istio__DestinationRule *)o->spec)->host, o->key.ns, emit, ctx);
}

static void dr_wildcard(const struct pd_object *o, pd_emit_key emit, void *ctx)
{
	if (*((const Istio__DestinationRule *)o->spec)->host == '*') {
		emit(ctx, o->key.ns);
		emit(ctx, ""); // whether there are any at all: saves a look into each namespace
	}
}

static bool in_mesh(const Istio__VirtualService *v)
{
	for (size_t i = 0; i < v->n_gateways; i++)
		if (pd_streq(v->gateways[i], "mesh"))
			return true;
	return !v->n_gateways;
}

// "*-canary.example.com" is found where "*.example.com" is: who looks for what covers a host cuts it at dots.
static void emit_partial_wildcard(const char *host, const char *ns, pd_emit_key emit, void *ctx)
{
	const char *dot = strchr(host, '.');

	if (host[0] != '*' || !host[1] || host[1] == '.')
		return;
	if (dot)
		emitf(emit, ctx, "*%s", dot);
	else // short for a name in the namespace, as without the star
		emitf(emit, ctx, "*.%s.svc.%s", ns, domain_suffix);
}

static void vs_by_host(const struct pd_object *o, pd_emit_key emit, void *ctx)
{
	const Istio__VirtualService *v = (const Istio__VirtualService *)o->spec;

	for (size_t i = 0; i < v->n_hosts && in_mesh(v); i++) {
		emit_host(v->hosts[i], o->key.ns, emit, ctx);
		emit_partial_wildcard(v->hosts[i], o->key.ns, emit, ctx);
	}
}

static void vs_wildcard(const struct pd_object *o, pd_emit_key emit, void *ctx)
{
	const Istio__VirtualService *v = (const Istio__VirtualService *)o->spec;

	for (size_t i = 0; i < v->n_hosts && in_mesh(v); i++)
		if (*v->hosts[i] == '*')
			emit(ctx, "");
}

static bool in_domain(const char *host)
{
	size_t n = strlen(host), d = strlen(domain_suffix);

	return n > d && host[n - d - 1] == '.' && strcmp(host + n - d, domain_suffix) == 0;
}

static void vs_mesh(const struct pd_object *o, pd_emit_key emit, void *ctx)
{
	const Istio__VirtualService *v = (const Istio__VirtualService *)o->spec;

	for (size_t i = 0; i < v->n_hosts && in_mesh(v); i++)
		if (*v->hosts[i] == '*' || (!is_short(v->hosts[i]) && !in_domain(v->hosts[i])))
			emit(ctx, "");
}

// ---- labels by which rules tell clients apart -------------------------------------------------------------------------

static void vs_client_labels(const struct pd_object *o, pd_emit_key emit, void *ctx)
{
	const Istio__VirtualService *v = (const Istio__VirtualService *)o->spec;
	bool any = false;

#define EMIT_SOURCE_LABELS(list)                                                                                       \
	for (size_t i = 0; i < v->n_##list; i++)                                                                       \
		for (size_t k = 0; k < v->list[i]->n_match; k++)                                                       \
			for (size_t l = 0; l < v->list[i]->match[k]->n_source_labels; l++) {                           \
				emit(ctx, v->list[i]->match[k]->source_labels[l]->key);                                \
				any = true;                                                                            \
			}
	EMIT_SOURCE_LABELS(http)
	EMIT_SOURCE_LABELS(tls)
	EMIT_SOURCE_LABELS(tcp)
#undef EMIT_SOURCE_LABELS
	if (any)
		emit(ctx, "");
}

// failoverPriority compares labels of client and endpoint: "KEY" or "KEY=VALUE". What says where the proxy is, and not what
// it is, is read by other ways.
static bool emit_failover(char *const *priority, size_t n, pd_emit_key emit, void *ctx)
{
	for (size_t i = 0; i < n; i++) {
		char key[256];
		size_t len = strcspn(priority[i], "=");

		if (len >= sizeof(key) || pd_has_prefix(priority[i], "topology.") ||
		    pd_has_prefix(priority[i], "kubernetes.io/hostname"))
			continue;
		memcpy(key, priority[i], len);
		key[len] = 0;
		emit(ctx, key);
	}
	return n > 0;
}

static bool policy_client_labels(const Istio__LoadBalancerSettings *lb, pd_emit_key emit, void *ctx)
{
	bool any = false;

	if (lb && lb->locality_lb_setting)
		any |= emit_failover(lb->locality_lb_setting->failover_priority,
				     lb->locality_lb_setting->n_failover_priority, emit, ctx);
	if (lb && lb->zone_aware_lb_setting)
		any |= emit_failover(lb->zone_aware_lb_setting->failover_priority,
				     lb->zone_aware_lb_setting->n_failover_priority, emit, ctx);
	return any;
}

static bool traffic_client_labels(const Istio__TrafficPolicy *t, pd_emit_key emit, void *ctx)
{
	bool any = t && policy_client_labels(t->load_balancer, emit, ctx);

	for (size_t i = 0; t && i < t->n_port_level_settings; i++)
		any |= policy_client_labels(t->port_level_settings[i]->load_balancer, emit, ctx);
	return any;
}

static void dr_client_labels(const struct pd_object *o, pd_emit_key emit, void *ctx)
{
	const Istio__DestinationRule *d = (const Istio__DestinationRule *)o->spec;
	bool any = traffic_client_labels(d->traffic_policy, emit, ctx);

	for (size_t i = 0; i < d->n_subsets; i++)
		any |= traffic_client_labels(d->subsets[i]->traffic_policy, emit, ctx);
	for (size_t i = 0; d->workload_selector && i < d->workload_selector->n_match_labels; i++)
		emit(ctx, d->workload_selector->match_labels[i]->key);
	if (any || d->workload_selector)
		emit(ctx, "");
}

static void vs_by_gateway(const struct pd_object *o, pd_emit_key emit, void *ctx)
{
	const Istio__VirtualService *v = (const Istio__VirtualService *)o->spec;
	struct pd_arena a = {.first_chunk = 512};

	for (size_t i = 0; i < v->n_gateways; i++)
		if (!pd_streq(v->gateways[i], "mesh"))
			emit(ctx, pd_expand_gateway(&a, v->gateways[i], o->key.ns));
	pd_arena_free(&a);
}

static void gateway_by_selector(const struct pd_object *o, pd_emit_key emit, void *ctx)
{
	const Istio__Gateway *g = (const Istio__Gateway *)o->spec;

	if (g->n_selector)
		emit_first_pair(PD_LABEL_ENTRIES(g->selector), g->n_selector, "", emit, ctx);
	else
		emit(ctx, "");
}

// ---- Gateway API ----------------------------------------------------------------------------------------------------

static void emit_parents(Gwapi__ParentReference *const *v, size_t n, const char *ns, pd_emit_key emit, void *ctx)
{
	for (size_t i = 0; i < n; i++)
		emitf(emit, ctx, "%s/%s/%s", pd_or(v[i]->kind, "Gateway"), pd_or(v[i]->namespace_, ns),
		      pd_or(v[i]->name, ""));
}

#define ROUTE_KEYS(name, Type)                                                                                         \
	static void name(const struct pd_object *o, pd_emit_key emit, void *ctx)                                       \
	{                                                                                                              \
		const Type *r = (const Type *)o->spec;                                                                 \
		emit_parents(r->parent_refs, r->n_parent_refs, o->key.ns, emit, ctx);                                  \
	}
ROUTE_KEYS(http_parents, Gwapi__HTTPRouteSpec)
ROUTE_KEYS(grpc_parents, Gwapi__GRPCRouteSpec)
ROUTE_KEYS(tls_parents, Gwapi__TLSRouteSpec)
ROUTE_KEYS(tcp_parents, Gwapi__TCPRouteSpec)

#define ROW(ID, KIND, keys)                                                                                            \
	{                                                                                                              \
		PD_IX_##ID, #ID, PD_KIND_##KIND, keys                                                                  \
	}
const struct pd_index pd_indexes[] = {
	ROW(SLICE_BY_SERVICE, ENDPOINT_SLICE, slice_by_service),
	ROW(SLICE_BY_POD, ENDPOINT_SLICE, slice_by_pod),
	ROW(SLICE_BY_IP, ENDPOINT_SLICE, slice_by_ip),
	ROW(POD_BY_IP, POD, pod_by_ip),
	ROW(POD_BY_NODE, POD, pod_by_node),
	ROW(POD_BY_LABEL, POD, pod_by_label),
	ROW(SERVICE_BY_SELECTOR, SERVICE, service_by_selector),
	ROW(SERVICE_BY_EXTERNAL_NAME, SERVICE, service_by_external_name),
	ROW(NETWORK_GATEWAY, SERVICE, network_gateway),
	ROW(WE_BY_LABEL, WORKLOAD_ENTRY, we_by_label),
	ROW(WE_BY_IP, WORKLOAD_ENTRY, we_by_ip),
	ROW(SE_BY_HOST, SERVICE_ENTRY, se_by_host),
	ROW(SE_BY_SELECTOR, SERVICE_ENTRY, se_by_selector),
	ROW(DR_BY_HOST, DESTINATION_RULE, dr_by_host),
	ROW(DR_WILDCARD, DESTINATION_RULE, dr_wildcard),
	ROW(VS_BY_HOST, VIRTUAL_SERVICE, vs_by_host),
	ROW(VS_WILDCARD, VIRTUAL_SERVICE, vs_wildcard),
	ROW(VS_BY_GATEWAY, VIRTUAL_SERVICE, vs_by_gateway),
	ROW(VS_MESH, VIRTUAL_SERVICE, vs_mesh),
	ROW(GATEWAY_BY_SELECTOR, GATEWAY, gateway_by_selector),
	ROW(SIDECAR_BY_NS, SIDECAR, by_ns),
	ROW(PEER_AUTHN_BY_NS, PEER_AUTHENTICATION, by_ns),
	ROW(AUTHZ_BY_NS, AUTHORIZATION_POLICY, by_ns),
	ROW(REQUEST_AUTHN_BY_NS, REQUEST_AUTHENTICATION, by_ns),
	ROW(TELEMETRY_BY_NS, TELEMETRY, by_ns),
	ROW(ENVOY_FILTER_BY_NS, ENVOY_FILTER, by_ns),
	ROW(CLIENT_LABEL, VIRTUAL_SERVICE, vs_client_labels),
	ROW(CLIENT_LABEL, DESTINATION_RULE, dr_client_labels),
	ROW(ROUTE_BY_PARENT, HTTP_ROUTE, http_parents),
	ROW(ROUTE_BY_PARENT, GRPC_ROUTE, grpc_parents),
	ROW(ROUTE_BY_PARENT, TLS_ROUTE, tls_parents),
	ROW(ROUTE_BY_PARENT, TCP_ROUTE, tcp_parents),
	ROW(GRANT_BY_NS, REFERENCE_GRANT, by_ns),
};
const size_t pd_indexes_n = sizeof(pd_indexes) / sizeof(pd_indexes[0]);
