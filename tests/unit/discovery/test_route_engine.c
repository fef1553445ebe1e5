// Routes through the engine: who keeps a domain that several have, and hosts whose routes come and go with other objects.
#include "tests/unit/discovery/route_fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "api/json.h"
#include "tests/unit/discovery/engine_world.h"

#define WEB "web.default.svc.cluster.local"
#define WEB_SVC SVC("default", "web", "10.0.0.1", HTTP_80)
#define DB_SVC SVC("default", "db", "10.0.0.2", "{name: http, port: 9000}")
#define STAR "*.default.svc.cluster.local"
#define EXTERNAL(name, host) SE("default", name, "{hosts: ['" host "'], ports: [" SE_80 "], resolution: NONE}")
#define SE_80 "{number: 80, name: http, protocol: HTTP}"

struct world {
	struct engine_world w;
	struct pd_view *view;
	struct pd_arena arena;
};

static void start(struct world *t, const char *yaml)
{
	*t = (struct world){0};
	engine_world_init(&t->w);
	engine_world_apply(&t->w, yaml);
	t->view = engine_world_view(
		&t->w, "sidecar~10.1.0.6~sleep.default~default.svc.cluster.local",
		"{\"NAMESPACE\": \"default\", \"CLUSTER_ID\": \"Kubernetes\", \"ISTIO_VERSION\": \"1.31.0\"}");
}

static void stop(struct world *t)
{
	engine_world_view_free(&t->w, t->view);
	engine_world_free(&t->w);
	pd_arena_free(&t->arena);
}

static int cmp_text(const void *x, const void *y)
{
	return strcmp(*(const char *const *)x, *(const char *const *)y);
}

// The domains of a virtual host, sorted; NULL without such.
static const char *domains(struct world *t, const char *route_name, const char *vhost)
{
	char *text = engine_world_json(&t->w, t->view, PD_RDS, route_name);
	const char *out = NULL;
	struct pd_json *root;
	assert_int_equal(pd_json_parse(&t->arena, text, strlen(text), &root, NULL), PD_OK);
	const struct pd_json *list = pd_json_get(root, "virtual_hosts");
	for (const struct pd_json *vh = list ? list->first : NULL; vh; vh = vh->next) {
		if (!pd_streq(pd_json_get(vh, "name")->s, vhost))
			continue;
		const char *v[64];
		size_t n = 0;
		for (const struct pd_json *d = pd_json_get(vh, "domains")->first; d; d = d->next)
			v[n++] = d->s;
		qsort(v, n, sizeof(v[0]), cmp_text);
		out = "";
		for (size_t i = 0; i < n; i++)
			out = pd_arena_printf(&t->arena, "%s%s%s", out, i ? " " : "", v[i]);
	}
	free(text);
	return out;
}

static void expect(struct world *t, const char *route_name, const char *vhost, const char *want)
{
	const char *got = domains(t, route_name, vhost);
	if (!want)
		assert_null(got);
	else
		assert_string_equal(pd_or(got, "none"), want);
}

// ---- domains -----------------------------------------------------------------------------------------------------------------

// A short form of a service that is the very name of another goes to that one.
static void names_before_short_forms(void **state)
{
	struct world t;
	(void)state;
	start(&t, WEB_SVC EXTERNAL("a", "web.default") EXTERNAL("b", "Web"));
	expect(&t, "80", WEB ":80", "10.0.0.1 web.default.svc " WEB " " WEB ".");
	expect(&t, "80", "web.default:80", "web.default web.default.");
	expect(&t, "80", "Web:80", "Web Web.");
	stop(&t);
}

// What a VirtualService names so goes to it: a bare host before any service.
static void bare_before_services(void **state)
{
	struct world t;
	(void)state;
	start(&t, WEB_SVC VS("default", "a", "00", "{hosts: [web.default, web.default.svc], http: " TO("web") "}"));
	expect(&t, "80", WEB ":80", "10.0.0.1 web " WEB " " WEB ".");
	expect(&t, "80", "web.default:80", "web.default");
	expect(&t, "80", "web.default.svc:80", "web.default.svc");
	engine_world_delete(&t.w, PD_KIND_VIRTUAL_SERVICE, "default", "a");
	expect(&t, "80", WEB ":80", "10.0.0.1 web web.default web.default.svc " WEB " " WEB ".");
	stop(&t);
}

// Of two services with one address that with a VirtualService has it, else the first by name. One may be left without any.
static void services_with_rules_first(void **state)
{
#define AT(name, host)                                                                                                 \
	SE("default", name, "{hosts: [" host "], addresses: [192.0.2.1], ports: [" SE_80 "], resolution: NONE}")
	struct world t;
	(void)state;
	start(&t, AT("a", "a.test") AT("b", "b.test"));
	expect(&t, "80", "a.test:80", "192.0.2.1 a.test a.test.");
	expect(&t, "80", "b.test:80", "b.test b.test.");
	engine_world_apply(&t.w, VS("default", "b", "00", "{hosts: [b.test], http: " TO("b.test") "}"));
	expect(&t, "80", "a.test:80", "a.test a.test.");
	expect(&t, "80", "b.test:80", "192.0.2.1 b.test b.test.");
	stop(&t);
}

static void alias_with_rules(void **state)
{
	struct world t;
	(void)state;
	start(&t, WEB_SVC ALIAS("default", "www", WEB) VS("default", "a", "00", "{hosts: [www], http: " TO("web") "}"));
	expect(&t, "80", "www.default.svc.cluster.local:80",
	       "www www.default www.default.svc www.default.svc.cluster.local www.default.svc.cluster.local.");
	expect(&t, "80", WEB ":80", "10.0.0.1 web web.default web.default.svc " WEB " " WEB ".");
	engine_world_delete(&t.w, PD_KIND_VIRTUAL_SERVICE, "default", "a");
	expect(&t, "80", "www.default.svc.cluster.local:80", NULL);
	expect(&t, "80", WEB ":80",
	       "10.0.0.1 web web.default web.default.svc " WEB " " WEB
	       ". www www.default www.default.svc www.default.svc.cluster.local www.default.svc.cluster.local.");
	stop(&t);
}

// ---- what comes and goes with objects that do not name the host -------------------------------------------------------------------

static void with_delegates(void **state)
{
	struct world t;
	(void)state;
	start(&t, VS("default", "root", "00", "{hosts: [a.test], http: [{delegate: {name: part}}]}"));
	expect(&t, "80", "a.test:80", NULL);
	engine_world_apply(&t.w, VS("default", "part", "01", "{http: " TO("web") "}"));
	expect(&t, "80", "a.test:80", "a.test");
	engine_world_delete(&t.w, PD_KIND_VIRTUAL_SERVICE, "default", "part");
	expect(&t, "80", "a.test:80", NULL);
	stop(&t);
}

static void with_services_of_the_rule(void **state)
{
	struct world t;
	(void)state;
	start(&t,
	      WEB_SVC VS("default", "a", "00",
			 "{hosts: [a.test, db], http: [{match: [{port: 9000}], route: [{destination: {host: db}}]}]}"));
	expect(&t, "9000", "a.test:9000", NULL);
	engine_world_apply(&t.w, DB_SVC);
	expect(&t, "9000", "a.test:9000", "a.test");
	engine_world_delete(&t.w, PD_KIND_SERVICE, "default", "db");
	expect(&t, "9000", "a.test:9000", NULL);
	stop(&t);
}

// On each port a wildcard is a name of its own until it covers a service there.
static void with_services_under_a_wildcard(void **state)
{
	struct world t;
	(void)state;
	start(&t, DB_SVC VS("default", "a", "00", "{hosts: ['" STAR "'], http: " TO("db") "}"));
	expect(&t, "80", STAR ":80", STAR);
	expect(&t, "9000", STAR ":9000", NULL);
	engine_world_apply(&t.w, WEB_SVC);
	expect(&t, "80", STAR ":80", NULL);
	engine_world_delete(&t.w, PD_KIND_SERVICE, "default", "web");
	expect(&t, "80", STAR ":80", STAR);
	stop(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_before_short_forms),
		cmocka_unit_test(bare_before_services),
		cmocka_unit_test(services_with_rules_first),
		cmocka_unit_test(alias_with_rules),
		cmocka_unit_test(with_delegates),
		cmocka_unit_test(with_services_of_the_rule),
		cmocka_unit_test(with_services_under_a_wildcard),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
