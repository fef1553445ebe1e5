// Framing of resources: one buffer must be right for both protocols, and ropes must be the same message as a whole one.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/pb.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/str.h"
#include "discovery/resource.h"
#include "envoy/config/cluster/v3/cluster.pb-c.h"
#include "envoy/config/route/v3/route.pb-c.h"
#include "envoy/service/discovery/v3/discovery.pb-c.h"

static void no_provenance_release(struct pd_obj *o)
{
	free(o);
}

static struct pd_provenance *no_provenance(void)
{
	struct pd_provenance *p = pd_xcalloc(1, sizeof(*p));
	pd_obj_init(&p->obj, no_provenance_release);
	return p;
}

static void join(struct pd_buf *out, const struct pd_resource *r, uint32_t skip)
{
	for (uint32_t i = 0; i < r->n_parts; i++) {
		uint32_t off = i == 0 ? skip : 0;
		pd_buf_add(out, r->parts[i]->data + off, r->parts[i]->len - off);
	}
}

static void one_buffer_serves_both_protocols(void **state)
{
	(void)state;
	struct pd_arena a = {0};
	struct pd_provenance *prov = no_provenance();
	Envoy__Config__Cluster__V3__Cluster *c = pb_new(&a, &envoy__config__cluster__v3__cluster__descriptor);
	c->name = "outbound|80||a.b";
	char *big = pd_arena_bytes(&a, 40001); // lengths of one, two and three bytes
	memset(big, 'x', 40000);
	big[40000] = 0;
	char *alt[] = {"", "short", big};
	for (size_t i = 0; i < 3; i++) {
		c->alt_stat_name = alt[i];
		struct pd_resource *r = pd_resource_new(PD_CDS, c->name, &c->base, prov);
		struct pd_buf delta = {0}, sotw = {0};
		void *msg;
		char version[17];
		pd_version_text(r->version, version);

		join(&delta, r, 0);
		assert_int_equal(delta.n, r->delta_len);
		assert_int_equal(pb_unpack(&a, &envoy__service__discovery__v3__delta_discovery_response__descriptor,
					   delta.p, delta.n, &msg, NULL),
				 PD_OK);
		Envoy__Service__Discovery__V3__DeltaDiscoveryResponse *d = msg;
		assert_int_equal(d->n_resources, 1);
		assert_string_equal(d->resources[0]->name, c->name);
		assert_string_equal(d->resources[0]->version, version);
		assert_string_equal(d->resources[0]->resource->type_url, pd_types[PD_CDS].type_url);
		assert_int_equal(d->resources[0]->resource->value.len, pb_packed_size(c));

		join(&sotw, r, r->sotw_off);
		assert_int_equal(pb_unpack(&a, &envoy__service__discovery__v3__discovery_response__descriptor, sotw.p,
					   sotw.n, &msg, NULL),
				 PD_OK);
		Envoy__Service__Discovery__V3__DiscoveryResponse *s = msg;
		assert_int_equal(s->n_resources, 1);
		assert_int_equal(pb_any_unpack(&a, s->resources[0], &msg, NULL), PD_OK);
		assert_true(pb_equal(msg, c));
		pd_buf_free(&delta);
		pd_buf_free(&sotw);
		pd_resource_unref(r);
	}
	pd_obj_unref(prov);
	pd_arena_free(&a);
}

static void rope_is_the_whole_message(void **state)
{
	(void)state;
	struct pd_arena a = {0};
	struct pd_provenance *prov = no_provenance();
	Envoy__Config__Route__V3__RouteConfiguration *head =
		pb_new(&a, &envoy__config__route__v3__route_configuration__descriptor);
	head->name = "80";
	Envoy__Config__Route__V3__RouteConfiguration *tail =
		pb_new(&a, &envoy__config__route__v3__route_configuration__descriptor);
	Envoy__Config__Route__V3__RouteConfiguration *whole =
		pb_new(&a, &envoy__config__route__v3__route_configuration__descriptor);
	whole->name = "80";
	struct pd_blob *children[300];
	for (int i = 0; i < 301; i++) {
		Envoy__Config__Route__V3__VirtualHost *vh =
			pb_new(&a, &envoy__config__route__v3__virtual_host__descriptor);
		vh->name = pd_arena_printf(&a, "host-%d", i);
		PB_PUSH(&a, whole, virtual_hosts, vh);
		if (i < 300)
			children[i] = pd_field_blob(2, &vh->base);
		else
			PB_PUSH(&a, tail, virtual_hosts, vh);
	}
	struct pd_resource *r = pd_resource_new_rope(PD_RDS, "80", &head->base, children, 300, &tail->base, prov);
	struct pd_resource *again = pd_resource_new_rope(PD_RDS, "80", &head->base, children, 300, &tail->base, prov);
	struct pd_resource *shorter = pd_resource_new_rope(PD_RDS, "80", &head->base, children, 299, &tail->base, prov);
	size_t len;
	uint8_t *value = pd_resource_value(r, &len);
	void *msg;
	assert_int_equal(pb_unpack(&a, &envoy__config__route__v3__route_configuration__descriptor, value, len, &msg,
				   NULL),
			 PD_OK);
	assert_true(pb_equal(msg, whole));
	assert_int_equal(r->version, again->version);
	assert_int_not_equal(r->version, shorter->version);
	assert_int_equal(r->n_parts, 302);
	free(value);
	pd_resource_unref(r);
	pd_resource_unref(again);
	pd_resource_unref(shorter);
	for (int i = 0; i < 300; i++)
		pd_blob_unref(children[i]);
	pd_obj_unref(prov);
	pd_arena_free(&a);
}

static void types_by_url(void **state)
{
	(void)state;
	for (unsigned t = 0; t < PD_TYPE_COUNT; t++) {
		assert_int_equal(pd_type_find(pd_types[t].type_url), t);
		assert_non_null(pb_find(pd_types[t].type_url));
	}
	assert_int_equal(pd_type_find("type.googleapis.com/x.Y"), PD_TYPE_COUNT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_buffer_serves_both_protocols),
		cmocka_unit_test(rope_is_the_whole_message),
		cmocka_unit_test(types_by_url),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
