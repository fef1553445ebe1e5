#include "config/trim.h"

#include "base/str.h"
#include "gwapi/gateway.pb-c.h"
#include "istio/meta/status.pb-c.h"
#include "istio/networking/service_entry.pb-c.h"
#include "k8s/core.pb-c.h"
#include "k8s/discovery.pb-c.h"
#include "k8s/networking.pb-c.h"
#include "k8s/pod.pb-c.h"

// Annotations that are read, by prefix, on any kind.
static const char *const annotation_prefixes[] = {
	"ambient.istio.io/",  "gateway.istio.io/",   "inject.istio.io/",
	"internal.istio.io/", "istio.io/",           "networking.istio.io/",
	"proxy.istio.io/",    "security.istio.io/",  "service.istio.io/",
	"sidecar.istio.io/",  "telemetry.istio.io/", "topology.istio.io/",
	"traffic.istio.io/",  "alpha.istio.io/",     "kubernetes.io/ingress.class",
};
// Exceptions from the above: what injection leaves on a Pod, up to 2 KB each, is read by nobody but the webhook.
static const char *const annotations_dropped[] = {"sidecar.istio.io/status", "proxy.istio.io/overrides"};

static const char last_applied[] = "kubectl.kubernetes.io/last-applied-configuration";

// Parts of the metadata that only some kinds need.
enum {
	KEEP_OWNERS = 1,           // workload name of a Pod
	KEEP_DELETION = 2,         // a Pod that is going away
	KEEP_RESOURCE_VERSION = 4, // WasmPlugin: it is handed to the proxy
	KEEP_UID = 8,              // owner of objects that we create
	KEEP_ANNOTATIONS = 16,     // all: they are copied to objects that we create
	KEEP_STATUS = 32,
};
static const unsigned char keep[PD_KIND_COUNT] = {
	[PD_KIND_SERVICE] = KEEP_STATUS,
	[PD_KIND_POD] = KEEP_OWNERS | KEEP_DELETION | KEEP_STATUS,
	[PD_KIND_NODE] = KEEP_STATUS,
	[PD_KIND_WASM_PLUGIN] = KEEP_RESOURCE_VERSION,
	[PD_KIND_KUBERNETES_GATEWAY] = KEEP_UID | KEEP_ANNOTATIONS | KEEP_STATUS,
	[PD_KIND_GATEWAY_CLASS] = KEEP_UID,
	[PD_KIND_WORKLOAD_GROUP] = KEEP_UID,
	[PD_KIND_SERVICE_ENTRY] = KEEP_STATUS,
	[PD_KIND_WORKLOAD_ENTRY] = KEEP_STATUS,
};

bool pd_trim_keeps_status(enum pd_kind kind)
{
	return keep[kind] & KEEP_STATUS;
}

bool pd_trim_keeps_annotation(enum pd_kind kind, const char *key)
{
	if (keep[kind] & KEEP_ANNOTATIONS)
		return !pd_streq(key, last_applied);
	for (size_t i = 0; i < sizeof(annotations_dropped) / sizeof(annotations_dropped[0]); i++)
		if (pd_streq(key, annotations_dropped[i]))
			return false;
	for (size_t i = 0; i < sizeof(annotation_prefixes) / sizeof(annotation_prefixes[0]); i++)
		if (pd_has_prefix(key, annotation_prefixes[i]))
			return true;
	return false;
}

static void trim_meta(enum pd_kind kind, K8s__ObjectMeta *m)
{
	size_t n = 0;

	for (size_t i = 0; i < m->n_annotations; i++)
		if (pd_trim_keeps_annotation(kind, m->annotations[i]->key))
			m->annotations[n++] = m->annotations[i];
	m->n_annotations = n;
	m->generatename = m->selflink = NULL;
	m->n_finalizers = 0;
	m->has_generation = m->has_deletiongraceperiodseconds = 0;
	if (!(keep[kind] & KEEP_UID))
		m->uid = NULL;
	if (!(keep[kind] & KEEP_RESOURCE_VERSION))
		m->resourceversion = NULL;
	if (!(keep[kind] & KEEP_DELETION))
		m->deletiontimestamp = NULL;
	if (!(keep[kind] & KEEP_OWNERS))
		m->n_ownerreferences = 0;
}

// ---- Pod ----------------------------------------------------------------------------------------------------------

static size_t trim_ports(K8s__ContainerPort **v, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		v[i]->hostip = NULL;
		v[i]->has_hostport = 0;
		if (!pd_empty(v[i]->name))
			v[kept++] = v[i];
	}
	return kept;
}

// Of a container only its named ports, which a Service's targetPort may refer to (a number needs no look-up); without any
// it goes.
static size_t trim_containers(K8s__Container **v, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		K8s__Container slim = K8S__CONTAINER__INIT;

		slim.n_ports = trim_ports(v[i]->ports, v[i]->n_ports);
		slim.ports = v[i]->ports;
		slim.restartpolicy = v[i]->restartpolicy;
		if (!slim.n_ports)
			continue;
		*v[i] = slim;
		v[kept++] = v[i];
	}
	return kept;
}

static void trim_pod_spec(K8s__PodSpec *s)
{
	K8s__PodSpec slim = K8S__POD_SPEC__INIT;

	slim.n_containers = trim_containers(s->containers, s->n_containers);
	slim.containers = s->containers;
	slim.n_initcontainers = trim_containers(s->initcontainers, s->n_initcontainers);
	slim.initcontainers = s->initcontainers;
	slim.serviceaccountname = pd_empty(s->serviceaccountname) ? s->serviceaccount : s->serviceaccountname;
	slim.nodename = s->nodename;
	slim.has_hostnetwork = s->has_hostnetwork;
	slim.hostnetwork = s->hostnetwork;
	slim.hostname = s->hostname;
	slim.subdomain = s->subdomain;
	*s = slim;
}

// Whether it is over is all that is read of a Pod's phase. podIPs repeats podIP.
static void trim_pod_status(K8s__PodStatus *s)
{
	K8s__PodStatus slim = K8S__POD_STATUS__INIT;

	if (pd_streq(s->phase, "Succeeded") || pd_streq(s->phase, "Failed"))
		slim.phase = s->phase;
	slim.podip = s->podip;
	slim.podips = s->podips;
	for (size_t i = 0; i < s->n_podips; i++)
		if (!pd_empty(s->podips[i]->ip) && !pd_streq(s->podips[i]->ip, s->podip))
			slim.podips[slim.n_podips++] = s->podips[i];
	slim.conditions = s->conditions;
	for (size_t i = 0; i < s->n_conditions; i++) {
		K8s__PodCondition c = K8S__POD_CONDITION__INIT;

		if (!pd_streq(s->conditions[i]->type, "Ready"))
			continue;
		c.type = s->conditions[i]->type;
		c.status = s->conditions[i]->status;
		*s->conditions[i] = c;
		slim.conditions[slim.n_conditions++] = s->conditions[i];
	}
	*s = slim;
}

// Only the controller: the workload that a Pod belongs to is named after it.
static void trim_owners(K8s__ObjectMeta *m)
{
	size_t kept = 0;

	for (size_t i = 0; i < m->n_ownerreferences; i++) {
		K8s__OwnerReference *o = m->ownerreferences[i];

		if (!o->has_controller || !o->controller)
			continue;
		o->uid = o->apiversion = NULL;
		o->has_blockownerdeletion = 0;
		m->ownerreferences[kept++] = o;
	}
	m->n_ownerreferences = kept;
}

static void trim_pod(K8s__Pod *p)
{
	if (p->spec)
		trim_pod_spec(p->spec);
	if (p->status)
		trim_pod_status(p->status);
	if (p->metadata)
		trim_owners(p->metadata);
}

// ---- other built-in kinds -------------------------------------------------------------------------------------------

static void trim_service(K8s__Service *s)
{
	if (!s->status)
		return;
	s->status->n_conditions = 0;
	if (!s->status->loadbalancer || !s->status->loadbalancer->n_ingress)
		s->status = NULL;
}

static void trim_slice(K8s__EndpointSlice *s)
{
	for (size_t i = 0; i < s->n_endpoints; i++) {
		K8s__Endpoint *e = s->endpoints[i];

		// Where an endpoint runs is taken from its Pod's node.
		e->n_deprecatedtopology = 0;
		e->nodename = e->zone = NULL;
		e->hints = NULL;
		if (e->targetref) {
			e->targetref->uid = e->targetref->resourceversion = NULL;
			e->targetref->fieldpath = e->targetref->apiversion = NULL;
		}
	}
}

static void trim_node(K8s__Node *n)
{
	n->spec = NULL;
	if (n->status) {
		n->status->phase = NULL;
		n->status->n_conditions = 0;
	}
}

// stringData is a convenience for writers: it is merged into data, over what is there.
static void merge_string_data(K8s__Secret *s, struct pd_arena *a)
{
	K8s__Secret__DataEntry **all;
	size_t n = s->n_data;

	if (!s->n_stringdata)
		return;
	all = pd_arena_alloc(a, (n + s->n_stringdata) * sizeof(K8s__Secret__DataEntry *));
	for (size_t i = 0; i < n; i++)
		all[i] = s->data[i];
	for (size_t i = 0; i < s->n_stringdata; i++) {
		const char *key = pd_or(s->stringdata[i]->key, ""), *value = pd_or(s->stringdata[i]->value, "");
		size_t at = 0;

		while (at < n && !pd_streq(all[at]->key, key))
			at++;
		all[at] = pd_arena_alloc(a, sizeof(*all[at]));
		k8s__secret__data_entry__init(all[at]);
		all[at]->key = (char *)key;
		all[at]->has_value = 1;
		all[at]->value = (ProtobufCBinaryData){strlen(value), (uint8_t *)value};
		n += at == n;
	}
	s->data = all;
	s->n_data = n;
	s->n_stringdata = 0;
}

// Certificates, and the mesh configuration, are all that is read of Secrets and ConfigMaps: other people's data is none of our
// memory's business.
static bool is_read(const char *key)
{
	static const char *const keys[] = {"ca.crl",       "ca.crt",  "cacert",          "cert",   "crl", "key", "mesh",
					   "meshNetworks", "tls.crt", "tls.ocsp-staple", "tls.key"};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (pd_streq(key, keys[i]))
			return true;
	return false;
}

static void trim_secret(K8s__Secret *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n_data; i++)
		if (is_read(s->data[i]->key))
			s->data[n++] = s->data[i];
	s->n_data = n;
}

static void trim_config_map(K8s__ConfigMap *m)
{
	size_t n = 0;

	for (size_t i = 0; i < m->n_data; i++)
		if (is_read(m->data[i]->key))
			m->data[n++] = m->data[i];
	m->n_data = n;
	m->n_binarydata = 0;
}

static void trim_builtin(enum pd_kind kind, struct pd_arena *a, ProtobufCMessage *object)
{
	switch (kind) {
	case PD_KIND_SERVICE:
		trim_service((K8s__Service *)object);
		break;
	case PD_KIND_ENDPOINT_SLICE:
		trim_slice((K8s__EndpointSlice *)object);
		break;
	case PD_KIND_POD:
		trim_pod((K8s__Pod *)object);
		break;
	case PD_KIND_NODE:
		trim_node((K8s__Node *)object);
		break;
	case PD_KIND_NAMESPACE:
		((K8s__Namespace *)object)->spec = NULL;
		((K8s__Namespace *)object)->status = NULL;
		break;
	case PD_KIND_SECRET:
		merge_string_data((K8s__Secret *)object, a);
		trim_secret((K8s__Secret *)object);
		break;
	case PD_KIND_CONFIG_MAP:
		trim_config_map((K8s__ConfigMap *)object);
		break;
	case PD_KIND_INGRESS:
		((K8s__Ingress *)object)->status = NULL;
		break;
	case PD_KIND_SERVICE_ACCOUNT:
		((K8s__ServiceAccount *)object)->n_secrets = 0;
		((K8s__ServiceAccount *)object)->n_imagepullsecrets = 0;
		break;
	default:
		break;
	}
}

// ---- status of the other kinds --------------------------------------------------------------------------------------

// Addresses that something assigned to a Gateway; conditions and listeners are what we write ourselves.
static ProtobufCMessage *trim_gateway_status(Gwapi__GatewayStatus *s)
{
	s->n_conditions = s->n_listeners = 0;
	s->has_attached_listener_sets = 0;
	return s->n_addresses ? &s->base : NULL;
}

static ProtobufCMessage *trim_service_entry_status(Istio__ServiceEntryStatus *s)
{
	s->n_conditions = s->n_validation_messages = 0;
	s->observed_generation = 0;
	return s->n_addresses ? &s->base : NULL;
}

// The health that the VM's agent reported.
static ProtobufCMessage *trim_workload_entry_status(Istio__IstioStatus *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n_conditions; i++) {
		Istio__IstioCondition c = ISTIO__ISTIO_CONDITION__INIT;

		if (!pd_streq(s->conditions[i]->type, "Healthy"))
			continue;
		c.type = s->conditions[i]->type;
		c.status = s->conditions[i]->status;
		*s->conditions[i] = c;
		s->conditions[n++] = s->conditions[i];
	}
	s->n_conditions = n;
	s->n_validation_messages = 0;
	s->observed_generation = 0;
	return n ? &s->base : NULL;
}

static ProtobufCMessage *trim_status(enum pd_kind kind, ProtobufCMessage *status)
{
	if (!status || !pd_trim_keeps_status(kind))
		return NULL;
	switch (kind) {
	case PD_KIND_KUBERNETES_GATEWAY:
		return trim_gateway_status((Gwapi__GatewayStatus *)status);
	case PD_KIND_SERVICE_ENTRY:
		return trim_service_entry_status((Istio__ServiceEntryStatus *)status);
	case PD_KIND_WORKLOAD_ENTRY:
		return trim_workload_entry_status((Istio__IstioStatus *)status);
	default:
		return status;
	}
}

void pd_trim(enum pd_kind kind, struct pd_arena *arena, K8s__ObjectMeta *meta, ProtobufCMessage *spec,
	     ProtobufCMessage **status)
{
	trim_meta(kind, meta);
	if (spec && pd_kind_info(kind)->builtin)
		trim_builtin(kind, arena, spec);
	*status = trim_status(kind, *status);
}
