// Answers of discovery, and passes over them.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "k8s/kinds.h"
#include "tests/unit/k8s/fake_api.h"

static struct pd_arena arena;

static int read_answer(const char *text, struct pd_k8s_served *out, struct pd_k8s_paths *paths)
{
	*out = (struct pd_k8s_served){0};
	*paths = (struct pd_k8s_paths){0};
	return pd_k8s_discovery_read(text, strlen(text), &arena, out, paths);
}

#define LW "\"verbs\":[\"create\",\"list\",\"watch\"]"
#define GROUP(name, versions) "{\"metadata\":{\"name\":\"" name "\"},\"versions\":[" versions "]}"
#define VERSION(v, resources) "{\"version\":\"" v "\",\"resources\":[" resources "],\"freshness\":\"Current\"}"

static void aggregated(void **state)
{
	struct pd_k8s_served served;
	struct pd_k8s_paths paths;

	(void)state;
	assert_int_equal(
		read_answer(
			"{\"kind\":\"APIGroupDiscoveryList\",\"items\":["
			// the order of the server does not count, ours does
			GROUP("networking.istio.io",
			      VERSION("v1alpha3",
				      "{\"resource\":\"virtualservices\"," LW "},{\"resource\":"
				      "\"envoyfilters\"," LW
				      "}") "," VERSION("v1",
						       "{\"resource\":\"virtualservices\"," LW
						       "},{\"resource\":\"gateways\","
						       "\"verbs\":[\"list\"]},{\"resource\":\"sidecars\"}")) "," GROUP("gateway.networking.k8s.io",
														       VERSION("v1alpha2", "{\"resource\":\"grpcroutes\"," LW "}") "," VERSION(
															       "v1beta1",
															       "{\"resource\":\"gateways\"," LW
															       "}")) "," GROUP("apps",
																	       VERSION("v1",
																		       "{\"resource\":\"deployments\"," LW
																		       "}")) ",{},[]]}",
			&served, &paths),
		PD_OK);
	assert_string_equal(served.version[PD_KIND_VIRTUAL_SERVICE], "v1");
	assert_string_equal(served.version[PD_KIND_ENVOY_FILTER], "v1alpha3");
	assert_null(served.version[PD_KIND_GATEWAY]);
	assert_null(served.version[PD_KIND_SIDECAR]);
	assert_null(served.version[PD_KIND_GRPC_ROUTE]); // an old bundle: in no version that we read
	assert_string_equal(served.version[PD_KIND_KUBERNETES_GATEWAY], "v1beta1");
}

static void older(void **state)
{
	struct pd_k8s_served served;
	struct pd_k8s_paths paths;

	(void)state;
	assert_int_equal(
		read_answer("{\"kind\":\"APIGroupList\",\"groups\":[{\"name\":\"discovery.k8s.io\",\"versions\":"
			    "[{\"version\":\"v1\"},{\"version\":\"v1beta1\"}]},{\"name\":\"apps\",\"versions\":"
			    "[{\"version\":\"v1\"}]}]}",
			    &served, &paths),
		PD_E_AGAIN);
	assert_int_equal(paths.list.n, 1);
	assert_string_equal(paths.list.v[0], "/apis/discovery.k8s.io/v1");
	assert_int_equal(read_answer("{\"kind\":\"APIVersions\"}", &served, &paths), PD_E_AGAIN);
	assert_string_equal(paths.list.v[0], "/api/v1");
	assert_int_equal(read_answer("{\"kind\":\"APIResourceList\",\"groupVersion\":\"discovery.k8s.io/v1\","
				     "\"resources\":[{\"name\":\"endpointslices\"," LW "}]}",
				     &served, &paths),
			 PD_OK);
	assert_string_equal(served.version[PD_KIND_ENDPOINT_SLICE], "v1");
	assert_int_equal(read_answer("{\"kind\":\"APIResourceList\",\"groupVersion\":\"v1\",\"resources\":[{\"name\":"
				     "\"pods\"," LW "},{\"name\":\"pods/status\"," LW "}]}",
				     &served, &paths),
			 PD_OK);
	assert_string_equal(served.version[PD_KIND_POD], "v1");
	assert_int_equal(read_answer("{\"kind\":\"Status\"}", &served, &paths), PD_E_PARSE);
	assert_int_equal(read_answer("nonsense", &served, &paths), PD_E_PARSE);
}

static void facts(void **state)
{
	struct pd_buf base = {0};
	enum pd_kind kind;

	(void)state;
	assert_int_equal(pd_k8s_kind_of_definition("virtualservices.networking.istio.io", &kind), PD_OK);
	assert_int_equal(kind, PD_KIND_VIRTUAL_SERVICE);
	assert_int_equal(pd_k8s_kind_of_definition("gateways.gateway.networking.k8s.io", &kind), PD_OK);
	assert_int_equal(kind, PD_KIND_KUBERNETES_GATEWAY);
	assert_int_equal(pd_k8s_kind_of_definition("virtualservices", &kind), PD_E_NOTFOUND);
	assert_int_equal(pd_k8s_kind_of_definition("services.", &kind), PD_E_NOTFOUND);
	pd_k8s_kind_base(PD_KIND_POD, "v1", &base);
	assert_string_equal(base.p, "/api/v1");
	pd_buf_reset(&base);
	pd_k8s_kind_base(PD_KIND_GATEWAY, "v1", &base);
	assert_string_equal(base.p, "/apis/networking.istio.io/v1");
	pd_buf_free(&base);
	assert_true(pd_k8s_kind_is_default(PD_KIND_POD));
	assert_false(pd_k8s_kind_is_default(PD_KIND_SECRET));
	assert_non_null(strstr(pd_k8s_kind_selector(PD_KIND_POD), "status.phase!=Succeeded"));
	assert_null(pd_k8s_kind_selector(PD_KIND_SERVICE));
}

static void count(void *user)
{
	++*(unsigned *)user;
}

// A server that answers wrongly is asked again, with patience; a change is told once.
static void passes(void **state)
{
	struct fake_api api;
	struct pd_k8s_kinds *k;
	unsigned changes = 0;
	struct pd_k8s_kinds_config cfg = {.title = "c", .changed = count, .user = &changes};

	(void)state;
	fake_init(&api, 1);
	fake_add(&api, "/apis/apiextensions.k8s.io/v1", "customresourcedefinitions");
	pd_vec_push(&api.answers, (struct fake_answer){.path = "/apis", .code = 503, .body = ""});
	pd_vec_push(&api.answers, (struct fake_answer){.path = "/api", .code = 404, .body = ""});
	cfg.transport = fake_transport(&api);
	k = pd_k8s_kinds_new(&cfg);
	fake_settle(&api, 60000);
	assert_false(pd_k8s_kinds_known(k));
	assert_true(api.answers.v[0].asked > 5 && api.answers.v[0].asked < 30);
	assert_int_equal(changes, 0);
	api.answers.v[0].code = 200;
	api.answers.v[0].body =
		"{\"kind\":\"APIGroupDiscoveryList\",\"items\":[" GROUP("networking.istio.io",
									VERSION("v1", "{\"resource\":\"sidecars\"," LW
										      "}")) "]}";
	fake_settle(&api, 15000);
	assert_true(pd_k8s_kinds_known(k));
	assert_int_equal(changes, 1);
	assert_string_equal(pd_k8s_kinds_version(k, PD_KIND_SIDECAR), "v1");
	assert_null(pd_k8s_kinds_version(k, PD_KIND_POD));
	api.answers.v[0].asked = 0;
	fake_settle(&api, 300000);
	assert_int_equal(api.answers.v[0].asked, 0); // the watch of definitions tells
	pd_k8s_kinds_refresh(k);
	fake_settle(&api, 1000);
	assert_int_equal(api.answers.v[0].asked, 1);
	assert_int_equal(changes, 1);
	pd_k8s_kinds_free(&k);
	assert_int_equal(api.calls.n + api.timers.n, 0);
	fake_free(&api);
}

static int teardown(void **state)
{
	(void)state;
	pd_arena_free(&arena);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(aggregated),
		cmocka_unit_test(older),
		cmocka_unit_test(facts),
		cmocka_unit_test(passes),
	};

	pd_log_set_levels("none") == PD_OK ? (void)0 : abort();
	return cmocka_run_group_tests(tests, NULL, teardown);
}
