#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <malloc.h>
#include <cmocka.h>

#include "api/pb.h"
#include "base/str.h"
#include "config/compact.h"
#include "config/semhash.h"
#include "config/trim.h"
#include "gwapi/gateway.pb-c.h"
#include "istio/networking/service_entry.pb-c.h"
#include "k8s/core.pb-c.h"
#include "k8s/discovery.pb-c.h"
#include "k8s/pod.pb-c.h"
#include "make.h"

static struct pd_object *vs_with(void (*edit)(struct pd_arena *, K8s__ObjectMeta *, Istio__VirtualService *))
{
	struct pd_arena a = {0};
	struct pd_key k = key_of(PD_KIND_VIRTUAL_SERVICE, "a", "x");
	K8s__ObjectMeta *m = make_meta(&a, "a", "x", 7);
	Istio__VirtualService *vs = make_vs(&a, (const char *[]){"h"}, 1);
	struct pd_object *o;

	add_label(&a, m, "one", "1");
	add_label(&a, m, "two", "2");
	edit(&a, m, vs);
	o = pd_object_build(&k, m, &vs->base, NULL, "f.yaml:3");
	pd_arena_free(&a);
	return o;
}

static void edit_nothing(struct pd_arena *a, K8s__ObjectMeta *m, Istio__VirtualService *vs)
{
	(void)a, (void)m, (void)vs;
}

static void edit_noise(struct pd_arena *a, K8s__ObjectMeta *m, Istio__VirtualService *vs)
{
	(void)vs;
	m->resourceversion = pd_arena_strdup(a, "12345");
	m->uid = pd_arena_strdup(a, "u-u-i-d");
	m->selflink = pd_arena_strdup(a, "/apis/x");
	m->has_generation = 1;
	m->generation = 9;
	m->n_finalizers = 1;
	m->finalizers = PD_NEWN(a, char *, 1);
	m->finalizers[0] = pd_arena_strdup(a, "fin");
	m->n_ownerreferences = 1;
	m->ownerreferences = PD_NEWN(a, K8s__OwnerReference *, 1);
	m->ownerreferences[0] = PD_NEW(a, K8s__OwnerReference);
	k8s__owner_reference__init(m->ownerreferences[0]);
	add_annotation(a, m, "kubectl.kubernetes.io/last-applied-configuration", "{...}");
	add_annotation(a, m, "argocd.argoproj.io/tracking-id", "x");
}

static void edit_label_order(struct pd_arena *a, K8s__ObjectMeta *m, Istio__VirtualService *vs)
{
	K8s__ObjectMeta__LabelsEntry *first = m->labels[0];

	(void)a, (void)vs;
	m->labels[0] = m->labels[1];
	m->labels[1] = first;
}

static void edit_label(struct pd_arena *a, K8s__ObjectMeta *m, Istio__VirtualService *vs)
{
	(void)a, (void)vs;
	m->labels[0]->value = m->labels[1]->value;
}

static void edit_annotation(struct pd_arena *a, K8s__ObjectMeta *m, Istio__VirtualService *vs)
{
	(void)vs;
	add_annotation(a, m, "networking.istio.io/exportTo", "*");
}

static void edit_created(struct pd_arena *a, K8s__ObjectMeta *m, Istio__VirtualService *vs)
{
	(void)a, (void)vs;
	m->creationtimestamp->seconds++;
}

static void edit_spec(struct pd_arena *a, K8s__ObjectMeta *m, Istio__VirtualService *vs)
{
	(void)m;
	vs->hosts[0] = pd_arena_strdup(a, "g");
}

static void edit_spec_list(struct pd_arena *a, K8s__ObjectMeta *m, Istio__VirtualService *vs)
{
	(void)m;
	vs->n_gateways = 1;
	vs->gateways = PD_NEWN(a, char *, 1);
	vs->gateways[0] = pd_arena_strdup(a, "mesh");
}

static void expect_hash(void (*edit)(struct pd_arena *, K8s__ObjectMeta *, Istio__VirtualService *), bool equal)
{
	struct pd_object *a = vs_with(edit_nothing), *b = vs_with(edit);

	assert_int_equal(a->hash == b->hash, equal);
	pd_obj_unref(a);
	pd_obj_unref(b);
}

static void test_semantic_hash(void **state)
{
	(void)state;
	expect_hash(edit_nothing, true);
	expect_hash(edit_noise, true);
	expect_hash(edit_label_order, true);
	expect_hash(edit_label, false);
	expect_hash(edit_annotation, false);
	expect_hash(edit_created, false);
	expect_hash(edit_spec, false);
	expect_hash(edit_spec_list, false);
}

static void test_what_is_kept(void **state)
{
	struct pd_object *o = vs_with(edit_noise);

	(void)state;
	assert_int_equal(o->generation, 9);
	assert_int_equal(o->created_ns, 7000000000);
	assert_int_equal(pd_object_annotations(o).n, 0);
	assert_int_equal(pd_object_labels(o).n, 2);
	assert_null(o->ids);
	assert_string_equal(o->origin, "f.yaml:3");
	assert_string_equal(pd_object_label(o, "two"), "2");
	assert_null(pd_object_label(o, "three"));
	assert_null(pd_object_annotation(o, "argocd.argoproj.io/tracking-id"));
	pd_obj_unref(o);
	assert_true(pd_trim_keeps_annotation(PD_KIND_SERVICE, "networking.istio.io/exportTo"));
	assert_true(pd_trim_keeps_annotation(PD_KIND_POD, "istio.io/dry-run"));
	assert_true(pd_trim_keeps_annotation(PD_KIND_KUBERNETES_GATEWAY, "anything.example.com/x"));
	assert_false(pd_trim_keeps_annotation(PD_KIND_KUBERNETES_GATEWAY,
					      "kubectl.kubernetes.io/last-applied-configuration"));
	assert_false(pd_trim_keeps_annotation(PD_KIND_POD, "sidecar.istio.io/status"));
	assert_int_equal(pd_intern_count(), 0);
}

// ---- status ---------------------------------------------------------------------------------------------------------

static uint64_t gateway_hash(const char *address, const char *condition)
{
	struct pd_arena a = {0};
	struct pd_key k = key_of(PD_KIND_KUBERNETES_GATEWAY, "a", "gw");
	Gwapi__GatewaySpec *spec = PB_NEW(&a, Gwapi__GatewaySpec, gwapi__gateway_spec);
	Gwapi__GatewayStatus *status = PB_NEW(&a, Gwapi__GatewayStatus, gwapi__gateway_status);
	struct pd_object *o;
	uint64_t h;

	if (condition) {
		K8s__Condition *c = PB_NEW(&a, K8s__Condition, k8s__condition);

		c->type = pd_arena_strdup(&a, condition);
		PB_PUSH(&a, status, conditions, c);
	}
	if (address) {
		Gwapi__GatewayStatusAddress *ad =
			PB_NEW(&a, Gwapi__GatewayStatusAddress, gwapi__gateway_status_address);

		ad->value = pd_arena_strdup(&a, address);
		PB_PUSH(&a, status, addresses, ad);
	}
	o = pd_object_build(&k, make_meta(&a, "a", "gw", 1), &spec->base, &status->base, "x:1");
	pd_arena_free(&a);
	assert_int_equal(o->status != NULL, address != NULL);
	h = o->hash;
	pd_obj_unref(o);
	return h;
}

static void test_status(void **state)
{
	(void)state;
	assert_true(gateway_hash(NULL, NULL) == gateway_hash(NULL, "Accepted"));
	assert_true(gateway_hash("1.2.3.4", NULL) == gateway_hash("1.2.3.4", "Accepted"));
	assert_true(gateway_hash("1.2.3.4", NULL) != gateway_hash("1.2.3.5", NULL));
	assert_true(gateway_hash("1.2.3.4", NULL) != gateway_hash(NULL, NULL));
}

// ---- Pod ------------------------------------------------------------------------------------------------------------

// A Pod as injection leaves it: two containers with environment and probes, status with all conditions.
static K8s__Pod *make_pod(struct pd_arena *a, const char *heartbeat, const char *ready)
{
	static const char *const labels[][2] = {
		{"app", "reviews"},
		{"version", "v1"},
		{"pod-template-hash", "6f4b9bd5c7"},
		{"security.istio.io/tlsMode", "istio"},
		{"service.istio.io/canonical-name", "reviews"},
		{"service.istio.io/canonical-revision", "v1"},
	};
	static const char *const conditions[] = {"Initialized", "Ready", "ContainersReady", "PodScheduled"};
	K8s__Pod *p = PB_NEW(a, K8s__Pod, k8s__pod);

	p->metadata = make_meta(a, "default", "reviews-v1-6f4b9bd5c7-abcde", 1700000000);
	for (size_t i = 0; i < 6; i++)
		add_label(a, p->metadata, labels[i][0], labels[i][1]);
	add_annotation(a, p->metadata, "sidecar.istio.io/status", "{\"initContainers\":[\"istio-init\"]}");
	p->spec = PB_NEW(a, K8s__PodSpec, k8s__pod_spec);
	p->spec->serviceaccount = pd_arena_strdup(a, "bookinfo-reviews");
	p->spec->nodename = pd_arena_strdup(a, "node-1.example.com");
	for (int i = 0; i < 2; i++) {
		K8s__Container *c = PB_NEW(a, K8s__Container, k8s__container);
		K8s__EnvVar *e = PB_NEW(a, K8s__EnvVar, k8s__env_var);

		c->name = pd_arena_strdup(a, i ? "istio-proxy" : "reviews");
		c->image = pd_arena_strdup(a, "registry.example.com/some/long/image:tag");
		e->name = pd_arena_strdup(a, "VARIABLE");
		PB_PUSH(a, c, env, e);
		if (!i) {
			K8s__ContainerPort *port = PB_NEW(a, K8s__ContainerPort, k8s__container_port);

			port->has_containerport = 1;
			port->containerport = 9080;
			port->name = pd_arena_strdup(a, "http");
			PB_PUSH(a, c, ports, port);
			PB_PUSH(a, c, ports, PB_NEW(a, K8s__ContainerPort, k8s__container_port));
		}
		PB_PUSH(a, p->spec, containers, c);
	}
	p->status = PB_NEW(a, K8s__PodStatus, k8s__pod_status);
	p->status->phase = pd_arena_strdup(a, "Running");
	p->status->podip = pd_arena_strdup(a, "10.1.2.3");
	p->status->hostip = pd_arena_strdup(a, "192.168.1.1");
	for (size_t i = 0; i < 4; i++) {
		K8s__PodCondition *c = PB_NEW(a, K8s__PodCondition, k8s__pod_condition);

		c->type = pd_arena_strdup(a, conditions[i]);
		c->status = pd_arena_strdup(a, ready);
		c->message = pd_arena_strdup(a, heartbeat);
		PB_PUSH(a, p->status, conditions, c);
	}
	return p;
}

static struct pd_object *pod(const char *heartbeat, const char *ready)
{
	struct pd_arena a = {0};
	K8s__Pod *p = make_pod(&a, heartbeat, ready);
	struct pd_key k = key_of(PD_KIND_POD, p->metadata->namespace_, p->metadata->name);
	struct pd_object *o = pd_object_build(&k, p->metadata, &p->base, NULL, "k8s");

	pd_arena_free(&a);
	return o;
}

static void test_pod(void **state)
{
	struct pd_object *a = pod("once", "True"), *b = pod("twice", "True"), *c = pod("once", "False");
	struct pd_arena arena = {0};
	const K8s__Pod *p = (const K8s__Pod *)pd_object_open(a, &arena);

	(void)state;
	assert_null(a->spec);
	assert_true(a->hash == b->hash);
	assert_true(a->hash != c->hash);
	assert_null(p->metadata);
	assert_int_equal(pd_object_labels(a).n, 6);
	assert_string_equal(pd_object_label(a, "version"), "v1");
	assert_int_equal(p->spec->n_containers, 1);
	assert_null(p->spec->containers[0]->image);
	assert_int_equal(p->spec->containers[0]->n_ports, 1);
	assert_int_equal(p->spec->containers[0]->ports[0]->containerport, 9080);
	assert_string_equal(p->spec->serviceaccountname, "bookinfo-reviews");
	assert_int_equal(p->status->n_conditions, 1);
	assert_string_equal(p->status->conditions[0]->type, "Ready");
	assert_string_equal(p->status->podip, "10.1.2.3");
	assert_null(p->status->phase);
	print_message("a Pod takes %zu bytes in one block\n", malloc_usable_size(a));
	assert_true(malloc_usable_size(a) <= 336);
	pd_arena_free(&arena);
	pd_obj_unref(a);
	pd_obj_unref(b);
	pd_obj_unref(c);
}

// What a Pod says besides labels: who owns it, and that it is going away.
static void test_pod_metadata(void **state)
{
	struct pd_arena a = {0}, b = {0};
	K8s__Pod *p = make_pod(&a, "once", "True");
	struct pd_key k = key_of(PD_KIND_POD, "default", "x");
	struct pd_object *o;

	(void)state;
	for (int i = 0; i < 2; i++) {
		K8s__OwnerReference *owner = PB_NEW(&a, K8s__OwnerReference, k8s__owner_reference);

		owner->kind = pd_arena_strdup(&a, i ? "ReplicaSet" : "Bystander");
		owner->name = pd_arena_strdup(&a, "reviews-v1-6f4b9bd5c7");
		owner->has_controller = 1;
		owner->controller = i;
		PB_PUSH(&a, p->metadata, ownerreferences, owner);
	}
	p->metadata->deletiontimestamp = PB_NEW(&a, K8s__Time, k8s__time);
	p->status->phase = pd_arena_strdup(&a, "Failed");
	PB_PUSH(&a, p->status, podips, PB_NEW(&a, K8s__PodIP, k8s__pod_ip));
	PB_PUSH(&a, p->status, podips, PB_NEW(&a, K8s__PodIP, k8s__pod_ip));
	p->status->podips[0]->ip = pd_arena_strdup(&a, "10.1.2.3");
	p->status->podips[1]->ip = pd_arena_strdup(&a, "fd00::3");
	o = pd_object_build(&k, p->metadata, &p->base, NULL, "k8s");
	pd_arena_free(&a);
	p = (K8s__Pod *)pd_object_open(o, &b);
	assert_int_equal(p->metadata->n_ownerreferences, 1);
	assert_string_equal(p->metadata->ownerreferences[0]->kind, "ReplicaSet");
	assert_non_null(p->metadata->deletiontimestamp);
	assert_null(p->metadata->name);
	assert_string_equal(p->status->phase, "Failed");
	assert_int_equal(p->status->n_podips, 1);
	assert_string_equal(p->status->podips[0]->ip, "fd00::3");
	pd_arena_free(&b);
	pd_obj_unref(o);
	assert_int_equal(pd_intern_count(), 0);
}

// One that would be too large to unpack stays a message; a reader sees no difference.
static void test_large_slice(void **state)
{
	struct pd_arena a = {0}, b = {0};
	struct pd_key k = key_of(PD_KIND_ENDPOINT_SLICE, "default", "x");
	K8s__EndpointSlice *s = PB_NEW(&a, K8s__EndpointSlice, k8s__endpoint_slice);
	struct pd_object *o;
	enum { MANY = 120000 };

	(void)state;
	s->metadata = make_meta(&a, "default", "x", 1);
	for (size_t i = 0; i < MANY; i++) {
		K8s__Endpoint *e = PB_NEW(&a, K8s__Endpoint, k8s__endpoint);

		PB_PUSH(&a, e, addresses, pd_arena_printf(&a, "10.1.%zu.%zu", i / 256, i % 256));
		PB_PUSH(&a, s, endpoints, e);
	}
	o = pd_object_build(&k, s->metadata, &s->base, NULL, "k8s");
	pd_arena_free(&a);
	s = (K8s__EndpointSlice *)pd_object_open(o, &b);
	assert_ptr_equal(o->spec, s);
	assert_int_equal(o->n_packed, 0);
	assert_int_equal(s->n_endpoints, MANY);
	assert_null(s->metadata);
	pd_arena_free(&b);
	pd_obj_unref(o);
}

// Fields that nobody knows are not kept; nor is a label that is there twice.
static void test_odd_fields(void **state)
{
	static uint8_t byte[] = {1};
	ProtobufCMessageUnknownField unknown = {.tag = 99,
						.wire_type = PROTOBUF_C_WIRE_TYPE_VARINT,
						.len = 1,
						.data = byte};
	struct pd_arena a = {0}, b = {0};
	struct pd_key k = key_of(PD_KIND_SERVICE, "default", "x");
	K8s__Service *s = PB_NEW(&a, K8s__Service, k8s__service);
	struct pd_object *o;

	(void)state;
	s->metadata = make_meta(&a, "default", "x", 1);
	add_label(&a, s->metadata, "b", "first");
	add_label(&a, s->metadata, "a", "");
	add_label(&a, s->metadata, "b", "last");
	s->spec = PB_NEW(&a, K8s__ServiceSpec, k8s__service_spec);
	s->spec->clusterip = pd_arena_strdup(&a, "");
	s->spec->base.n_unknown_fields = 1;
	s->spec->base.unknown_fields = &unknown;
	o = pd_object_build(&k, s->metadata, &s->base, NULL, "x:1");
	pd_arena_free(&a);
	s = (K8s__Service *)pd_object_open(o, &b);
	assert_int_equal(s->spec->base.n_unknown_fields, 0);
	assert_string_equal(s->spec->clusterip, "");
	assert_int_equal(pd_object_labels(o).n, 2);
	assert_string_equal(pd_object_label(o, "b"), "last");
	assert_string_equal(pd_object_label(o, "a"), "");
	pd_arena_free(&b);
	pd_obj_unref(o);
}

// Metadata for who prints an object.
static void test_metadata_again(void **state)
{
	struct pd_object *o = vs_with(edit_annotation);
	struct pd_arena a = {0};
	K8s__ObjectMeta *m = pd_object_meta(o, &a);

	(void)state;
	assert_string_equal(m->name, "x");
	assert_string_equal(m->namespace_, "a");
	assert_int_equal(m->creationtimestamp->seconds, 7);
	assert_int_equal(m->n_labels, 2);
	assert_string_equal(m->labels[0]->key, "one");
	assert_int_equal(m->n_annotations, 1);
	assert_string_equal(m->annotations[0]->value, "*");
	pd_arena_free(&a);
	pd_obj_unref(o);
}

static void test_secret_string_data(void **state)
{
	struct pd_arena a = {0};
	K8s__Secret *s = PB_NEW(&a, K8s__Secret, k8s__secret);
	struct pd_key k = key_of(PD_KIND_SECRET, "a", "s");
	struct pd_object *o;
	static const char *const keys[] = {"ca.crt", "cert"};

	(void)state;
	s->metadata = make_meta(&a, "a", "s", 0);
	for (size_t i = 0; i < 2; i++) {
		K8s__Secret__DataEntry *e = PB_NEW(&a, K8s__Secret__DataEntry, k8s__secret__data_entry);
		K8s__Secret__StringDataEntry *t =
			PB_NEW(&a, K8s__Secret__StringDataEntry, k8s__secret__string_data_entry);

		e->key = pd_arena_strdup(&a, keys[i]);
		e->has_value = 1;
		e->value = (ProtobufCBinaryData){1, (uint8_t *)pd_arena_strdup(&a, "d")};
		PB_PUSH(&a, s, data, e);
		t->key = pd_arena_strdup(&a, i ? "cert" : "key");
		t->value = pd_arena_strdup(&a, "text");
		PB_PUSH(&a, s, stringdata, t);
	}
	o = pd_object_build(&k, s->metadata, &s->base, NULL, "x:1");
	pd_arena_free(&a);
	s = (K8s__Secret *)o->spec;
	assert_int_equal(s->n_data, 3);
	assert_int_equal(s->n_stringdata, 0);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(s->data[i]->value.len, pd_streq(s->data[i]->key, "ca.crt") ? 1 : 4);
	pd_obj_unref(o);
}

// Nothing but certificates is kept of Secrets and ConfigMaps.
static void test_other_peoples_data(void **state)
{
	struct pd_arena a = {0};
	K8s__ConfigMap *m = PB_NEW(&a, K8s__ConfigMap, k8s__config_map);
	struct pd_key k = key_of(PD_KIND_CONFIG_MAP, "a", "m");
	struct pd_object *o;
	static const char *const keys[] = {"game.properties", "ca.crt", "ca.crt2"};

	(void)state;
	m->metadata = make_meta(&a, "a", "m", 0);
	for (size_t i = 0; i < 3; i++) {
		K8s__ConfigMap__DataEntry *e = PB_NEW(&a, K8s__ConfigMap__DataEntry, k8s__config_map__data_entry);

		e->key = pd_arena_strdup(&a, keys[i]);
		e->value = pd_arena_strdup(&a, "text");
		PB_PUSH(&a, m, data, e);
	}
	o = pd_object_build(&k, m->metadata, &m->base, NULL, "x:1");
	pd_arena_free(&a);
	m = (K8s__ConfigMap *)o->spec;
	assert_int_equal(m->n_data, 1);
	assert_string_equal(m->data[0]->key, "ca.crt");
	pd_obj_unref(o);
}

// A compact copy equals its source, also where the source has empty strings and lists of its own.
static void test_compact_equal(void **state)
{
	struct pd_arena a = {0}, b = {0};
	Istio__VirtualService *vs = make_vs(&a, (const char *[]){"h", "", "long.host.example.com"}, 3);
	Istio__HTTPRoute *r = PB_NEW(&a, Istio__HTTPRoute, istio__httproute);
	struct pd_compact c = {0};
	ProtobufCMessage *copy;

	(void)state;
	r->name = pd_arena_strdup(&a, "");
	PB_PUSH(&a, vs, http, r);
	pd_compact_measure(&c, &vs->base);
	pd_compact_begin(&c, pd_arena_alloc(&b, pd_compact_size(&c)));
	copy = pd_compact_copy(&c, &vs->base);
	assert_true(pb_equal(vs, copy));
	assert_ptr_not_equal(((Istio__VirtualService *)copy)->http[0]->name, r->name);
	assert_true(pd_message_hash(&vs->base) == pd_message_hash(copy));
	pd_arena_free(&a);
	assert_string_equal(((Istio__VirtualService *)copy)->http[0]->name, "");
	pd_arena_free(&b);
	assert_null(pd_compact_copy(&c, NULL));
}

static void test_object_key(void **state)
{
	char buf[PD_OBJECT_KEY_MAX], tiny[8];

	(void)state;
	assert_int_equal(pd_object_key(buf, sizeof(buf), PD_KIND_KUBERNETES_GATEWAY, "c", "n", "x"), 23);
	assert_string_equal(buf, "KubernetesGateway/c/n/x");
	pd_object_key(buf, sizeof(buf), PD_KIND_GATEWAY, "c", "", "x");
	assert_string_equal(buf, "Gateway/c//x");
	assert_int_equal(pd_object_key(tiny, sizeof(tiny), PD_KIND_GATEWAY, "c", "", "x"), PD_E_LIMIT);
}

static void test_far_times(void **state)
{
	static const int64_t seconds[] = {INT64_MIN, -30231619200, 0, 30231619200, INT64_MAX};
	int64_t last = INT64_MIN;

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		struct pd_arena a = {0};
		struct pd_key k = key_of(PD_KIND_VIRTUAL_SERVICE, "a", "x");
		struct pd_object *o = pd_object_build(&k, make_meta(&a, "a", "x", seconds[i]),
						      &make_vs(&a, NULL, 0)->base, NULL, "x");

		pd_arena_free(&a);
		assert_true(o->created_ns >= last);
		last = o->created_ns;
		pd_obj_unref(o);
	}
}

static void test_age(void **state)
{
	static const struct {
		int64_t created;
		const char *ns, *name;
	} order[] = {{5, "z", "z"}, {7, "b", "a"}, {7, "a", "b"}, {7, "b", "b"}, {8, "a", "a"}};

	(void)state;
	for (int i = 0; i < 5; i++) {
		for (int k = 0; k < 5; k++) {
			struct pd_object a = {.key.ns = order[i].ns, .key.name = order[i].name},
					 b = {.key.ns = order[k].ns, .key.name = order[k].name};
			int d;

			a.created_ns = order[i].created;
			b.created_ns = order[k].created;
			d = pd_object_cmp_age(&a, &b);
			assert_int_equal((d > 0) - (d < 0), (i > k) - (i < k));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_semantic_hash),
		cmocka_unit_test(test_what_is_kept),
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_pod),
		cmocka_unit_test(test_pod_metadata),
		cmocka_unit_test(test_large_slice),
		cmocka_unit_test(test_odd_fields),
		cmocka_unit_test(test_metadata_again),
		cmocka_unit_test(test_secret_string_data),
		cmocka_unit_test(test_other_peoples_data),
		cmocka_unit_test(test_compact_equal),
		cmocka_unit_test(test_object_key),
		cmocka_unit_test(test_far_times),
		cmocka_unit_test(test_age),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
