#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "api/pb.h"
#include "base/str.h"
#include "discovery/build.h"
#include "discovery/listener/http_manager.h"
#include "discovery/listener/proxy.h"
#include "discovery/listener/stat_name.h"
#include "tests/unit/discovery/fixture.h"

#define NODE(type, meta)                                                                                               \
	"{\"id\":\"" type                                                                                              \
	"~10.0.0.1~x.default~default.svc.cluster.local\",\"metadata\":{\"NAMESPACE\":\"default\"" meta "}}"
#define ISTIO ",\"ISTIO_VERSION\":\"1.31.0\""

static EnvoyHttpManager *manager(struct fixture *f, const char *node, enum pd_listener_class class)
{
	struct pd_http_manager m = {.class = class, .stat_prefix = "p;", .route_name = "80", .protocol = PD_PROTO_HTTP};
	return pd_http_manager(fixture_view(f, node), &m);
}

static const char *filter_names(struct fixture *f, const EnvoyHttpManager *hcm)
{
	struct pd_buf b = {0};
	for (size_t i = 0; i < hcm->n_http_filters; i++) {
		const char *dot = strrchr(hcm->http_filters[i]->name, '.');
		pd_buf_printf(&b, "%s%s", i ? " " : "", dot + 1);
	}
	const char *text = pd_arena_strdup(&f->arena, b.p);
	pd_buf_free(&b);
	return text;
}

// ---- filters -------------------------------------------------------------------------------------------------------------------

static void test_filters_by_class(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "", "");
	EnvoyHttpManager *hcm = manager(&f, NODE("sidecar", ISTIO), PD_CLASS_SIDECAR_OUTBOUND);
	assert_string_equal(filter_names(&f, hcm), "metadata_exchange grpc_stats alpn fault cors router");
	hcm = manager(&f, NODE("sidecar", ISTIO), PD_CLASS_SIDECAR_INBOUND);
	assert_string_equal(filter_names(&f, hcm), "metadata_exchange grpc_stats fault cors router");
	hcm = manager(&f, NODE("router", ISTIO), PD_CLASS_GATEWAY);
	assert_string_equal(filter_names(&f, hcm), "metadata_exchange grpc_stats alpn fault cors router");
	// A stock Envoy would refuse what it does not know.
	hcm = manager(&f, NODE("sidecar", ""), PD_CLASS_SIDECAR_OUTBOUND);
	assert_string_equal(filter_names(&f, hcm), "grpc_stats fault cors router");
	struct pd_http_manager web = {.stat_prefix = "p;", .route_name = "80", .protocol = PD_PROTO_GRPC_WEB};
	hcm = pd_http_manager(&f.tx, &web);
	assert_string_equal(filter_names(&f, hcm), "grpc_web grpc_stats fault cors router");
	fixture_free(&f);
}

// What is shared between managers must not be written to through one of them.
static void test_filters_are_copies(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "", "");
	EnvoyHttpManager *one = manager(&f, NODE("sidecar", ISTIO), PD_CLASS_SIDECAR_OUTBOUND);
	one->http_filters[0]->name = "changed";
	one->http_filters[0]->typed_config->type_url = "changed";
	EnvoyHttpManager *two = manager(&f, NODE("sidecar", ISTIO), PD_CLASS_SIDECAR_OUTBOUND);
	assert_string_equal(two->http_filters[0]->name, "istio.metadata_exchange");
	assert_string_equal(pb_any_type(two->http_filters[0]->typed_config), "udpa.type.v1.TypedStruct");
	fixture_free(&f);
}

// ---- classes -------------------------------------------------------------------------------------------------------------------

static void test_defaults_by_class(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "", "");
	EnvoyHttpManager *hcm = manager(&f, NODE("sidecar", ISTIO), PD_CLASS_SIDECAR_OUTBOUND);
	assert_json(&f, hcm, "server_name", "");
	assert_json(&f, hcm, "use_remote_address", "false");
	assert_json(&f, hcm, "http_protocol_options", "");
	assert_json(&f, hcm, "rds/route_config_name", "\"80\"");
	assert_json(&f, hcm, "rds/config_source/initial_fetch_timeout", "\"0s\"");
	hcm = manager(&f, NODE("sidecar", ISTIO), PD_CLASS_SIDECAR_INBOUND);
	assert_json(&f, hcm, "server_name", "\"istio-envoy\"");
	assert_json(&f, hcm, "forward_client_cert_details", "\"APPEND_FORWARD\"");
	assert_json(&f, hcm, "set_current_client_cert_details", "{\"subject\":true,\"dns\":true,\"uri\":true}");
	hcm = manager(&f, NODE("router", ISTIO), PD_CLASS_GATEWAY);
	assert_json(&f, hcm, "use_remote_address", "true");
	assert_json(&f, hcm, "http_protocol_options", "{}");
	assert_json(&f, hcm, "forward_client_cert_details", "\"SANITIZE_SET\"");
	fixture_free(&f);
}

static void test_proxy_headers(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "", "");
#define HEADERS                                                                                                        \
	",\"PROXY_CONFIG\":{\"proxyHeaders\":{\"server\":{\"disabled\":true},\"requestId\":{\"disabled\":true},"       \
	"\"envoyDebugHeaders\":{\"disabled\":true},\"metadataExchangeHeaders\":{\"mode\":\"IN_MESH\"},"                \
	"\"forwardedClientCert\":\"SANITIZE\",\"setCurrentClientCertDetails\":{\"uri\":false,\"chain\":true},"         \
	"\"preserveHttp1HeaderCase\":true,\"xForwardedPort\":{\"enabled\":true}}}"
	EnvoyHttpManager *hcm = manager(&f, NODE("sidecar", ISTIO HEADERS), PD_CLASS_SIDECAR_OUTBOUND);
	assert_json(&f, hcm, "server_header_transformation", "\"PASS_THROUGH\"");
	assert_json(&f, hcm, "generate_request_id", "false");
	assert_json(&f, hcm, "append_x_forwarded_port", "true");
	assert_json(&f, hcm, "http_protocol_options/header_key_format/stateful_formatter/name", "\"preserve_case\"");
	assert_json(&f, hcm, "http_filters/0/typed_config/value/upstream_propagation",
		    "[{\"istio_headers\":{\"skip_external_clusters\":true}}]");
	assert_json(&f, hcm, "http_filters/5/typed_config/suppress_envoy_headers", "true");
	hcm = manager(&f, NODE("sidecar", ISTIO HEADERS), PD_CLASS_SIDECAR_INBOUND);
	assert_json(&f, hcm, "server_name", "");
	assert_json(&f, hcm, "forward_client_cert_details", ""); // SANITIZE, Envoy's default
	assert_json(&f, hcm, "set_current_client_cert_details", "{\"subject\":true,\"dns\":true,\"chain\":true}");
	fixture_free(&f);
}

static void test_gateway_topology(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f,
		     "defaultConfig: {gatewayTopology: {numTrustedProxies: 2, forwardClientCertDetails: FORWARD_ONLY}}",
		     "");
	EnvoyHttpManager *hcm = manager(&f, NODE("router", ISTIO), PD_CLASS_GATEWAY);
	assert_json(&f, hcm, "xff_num_trusted_hops", "2");
	assert_json(&f, hcm, "forward_client_cert_details", "\"FORWARD_ONLY\"");
	assert_json(&f, hcm, "set_current_client_cert_details", "");
	fixture_free(&f);
}

static void test_connection_settings(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(
		&f,
		"defaultConfig: {connectionSettings: {profile: EDGE, httpIdleTimeout: 9s, httpMergeSlashes: false}}",
		"");
	EnvoyHttpManager *hcm = manager(&f, NODE("router", ISTIO), PD_CLASS_GATEWAY);
	assert_json(&f, hcm, "common_http_protocol_options",
		    "{\"idle_timeout\":\"9s\",\"headers_with_underscores_action\":\"REJECT_REQUEST\"}");
	assert_json(&f, hcm, "http2_protocol_options",
		    "{\"max_concurrent_streams\":100,\"initial_stream_window_size\":65536,"
		    "\"initial_connection_window_size\":1048576}");
	assert_json(&f, hcm, "merge_slashes", "");
	assert_json(&f, hcm, "path_with_escaped_slashes_action", "\"UNESCAPE_AND_REDIRECT\"");
	assert_json(&f, hcm, "request_timeout", "\"300s\"");
	assert_json(&f, hcm, "stream_idle_timeout", "\"300s\"");
	hcm = manager(&f, NODE("sidecar", ISTIO), PD_CLASS_SIDECAR_OUTBOUND); // the edge is elsewhere
	assert_json(&f, hcm, "common_http_protocol_options", "{\"idle_timeout\":\"9s\"}");
	assert_json(&f, hcm, "stream_idle_timeout", "\"0s\"");
	fixture_free(&f);
}

static void test_paths_and_metadata(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "pathNormalization: {normalization: DECODE_AND_MERGE_SLASHES}", "");
	EnvoyHttpManager *hcm = manager(&f, NODE("sidecar", ISTIO ",\"IDLE_TIMEOUT\":\"1m30s\",\"HTTP10\":\"1\""),
					PD_CLASS_SIDECAR_INBOUND);
	assert_json(&f, hcm, "merge_slashes", "true");
	assert_json(&f, hcm, "path_with_escaped_slashes_action", "\"UNESCAPE_AND_FORWARD\"");
	assert_json(&f, hcm, "common_http_protocol_options/idle_timeout", "\"90s\"");
	assert_json(&f, hcm, "http_protocol_options/accept_http_10", "true");
	hcm = manager(&f, NODE("sidecar", ISTIO ",\"IDLE_TIMEOUT\":\"soon\""), PD_CLASS_SIDECAR_INBOUND);
	assert_json(&f, hcm, "common_http_protocol_options", "");
	fixture_free(&f);
	fixture_init(&f, "pathNormalization: {normalization: NONE}", "");
	hcm = manager(&f, NODE("sidecar", ISTIO), PD_CLASS_SIDECAR_INBOUND);
	assert_json(&f, hcm, "normalize_path", "false");
	fixture_free(&f);
}

// ---- tracing -------------------------------------------------------------------------------------------------------------------

static void test_tracing(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(
		&f,
		"defaultConfig: {tracing: {sampling: 250, enableIstioTags: false, customTags: {b: {environment: {name: E, "
		"defaultValue: d}}, a: {header: {name: h}}, none: {}}}}",
		"");
	EnvoyHttpManager *hcm = manager(&f, NODE("sidecar", ISTIO), PD_CLASS_SIDECAR_OUTBOUND);
	assert_json(&f, hcm, "tracing/random_sampling", "{\"value\":1}"); // out of range
	assert_json(&f, hcm, "tracing/custom_tags",
		    "[{\"tag\":\"a\",\"request_header\":{\"name\":\"h\"}},"
		    "{\"tag\":\"b\",\"environment\":{\"name\":\"E\",\"default_value\":\"d\"}}]");
	// What the proxy says of itself stands for all of the mesh's defaults.
	f.settings.trace_sampling = 5;
	hcm = manager(&f, NODE("sidecar", ISTIO ",\"PROXY_CONFIG\":{\"concurrency\":2}"), PD_CLASS_SIDECAR_OUTBOUND);
	assert_json(&f, hcm, "tracing/random_sampling", "{\"value\":5}");
	assert_json(&f, hcm, "tracing/custom_tags/4",
		    "{\"tag\":\"istio.canonical_revision\",\"literal\":{\"value\":\"latest\"}}");
	assert_json(&f, hcm, "tracing/custom_tags/5",
		    "{\"tag\":\"istio.canonical_service\",\"literal\":{\"value\":\"unknown\"}}");
	fixture_free(&f);
	fixture_init(&f, "enableTracing: false", "");
	hcm = manager(&f, NODE("sidecar", ISTIO), PD_CLASS_SIDECAR_OUTBOUND);
	assert_json(&f, hcm, "tracing", "");
	fixture_free(&f);
}

// ---- access log ----------------------------------------------------------------------------------------------------------------

#define LOG "access_log/0/typed_config"

static void test_access_log(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "accessLogFile: /dev/stdout\naccessLogFormat: '%REQ_WITHOUT_QUERY(:PATH)%'", "");
	EnvoyHttpManager *hcm = manager(&f, NODE("sidecar", ISTIO), PD_CLASS_SIDECAR_OUTBOUND);
	assert_json(&f, hcm, LOG "/log_format/text_format_source/inline_string", "\"%REQ_WITHOUT_QUERY(:PATH)%\\n\"");
	assert_json(&f, hcm, LOG "/log_format/formatters/0/name", "\"envoy.formatter.req_without_query\"");
	fixture_free(&f);
	fixture_init(
		&f,
		"accessLogFile: /x\naccessLogEncoding: JSON\naccessLogFormat: 'no json'\nenableEnvoyAccessLogService: true",
		"");
	hcm = manager(&f, NODE("sidecar", ISTIO), PD_CLASS_SIDECAR_OUTBOUND);
	assert_json(&f, hcm, LOG "/log_format/json_format/method", "\"%REQ(:METHOD)%\""); // the default instead
	assert_json(&f, hcm, "access_log/1/name", "\"envoy.access_loggers.http_grpc\"");
	assert_json(&f, hcm, "access_log/1/typed_config/common_config/log_name", "\"http_envoy_accesslog\"");
	fixture_free(&f);
}

// ---- small parts ---------------------------------------------------------------------------------------------------------------

static void test_stat_names(void **state)
{
	struct fixture f;
	struct pd_service svc = {.name = "web", .ns = "shop", .kubernetes = true};
	struct pd_stat_name n = {.host = "web.shop.svc.x",
				 .svc = &svc,
				 .subset = "v1",
				 .port_name = "http",
				 .port = 80,
				 .target_port = 8080};
	(void)state;
	fixture_init(&f, "", "");
	assert_string_equal(pd_stat_name(&f.arena, "%SERVICE%|%SERVICE_FQDN%|%SUBSET_NAME%|%SERVICE_PORT_NAME%", &n),
			    "web.shop|web.shop.svc.x|v1|http");
	assert_string_equal(pd_stat_name(&f.arena, "a%b%SERVICE_PORT%c%TARGET_PORT%%", &n), "a%b80c8080%");
	svc.kubernetes = false;
	assert_string_equal(pd_stat_name(&f.arena, "%SERVICE%,%SERVICE_NAME%", &n), "web.shop.svc.x,web.shop.svc.x");
	assert_string_equal(pd_stat_name(&f.arena, "", &n), "");
	fixture_free(&f);
}

static void test_ports_taken(void **state)
{
	struct fixture f;
	(void)state;
	fixture_init(&f, "", "");
	struct pd_tx *tx =
		fixture_view(&f, NODE("sidecar", ISTIO ",\"ENVOY_STATUS_PORT\":15021,\"UNPRIVILEGED_POD\":\"true\""));
	assert_false(pd_proxy_can_bind(tx, "0.0.0.0", 15021, false, false, true));
	assert_false(pd_proxy_can_bind(tx, "", 15021, true, false, true));
	assert_true(pd_proxy_can_bind(tx, "", 15021, false, false, true)); // gets an address of its own
	assert_true(pd_proxy_can_bind(tx, "10.0.0.1", 15021, true, false, true));
	assert_false(pd_proxy_can_bind(tx, "0.0.0.0", 15006, false, false, true));
	assert_true(pd_proxy_can_bind(tx, "0.0.0.0", 15006, false, false, false));
	assert_false(pd_proxy_can_bind(tx, "127.0.0.1", 80, true, true, true));
	assert_true(pd_proxy_can_bind(tx, "127.0.0.1", 80, true, false, true));
	assert_true(pd_proxy_can_bind(tx, "127.0.0.1", 0, true, true, true));
	fixture_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_filters_by_class),   cmocka_unit_test(test_filters_are_copies),
		cmocka_unit_test(test_defaults_by_class),  cmocka_unit_test(test_proxy_headers),
		cmocka_unit_test(test_gateway_topology),   cmocka_unit_test(test_connection_settings),
		cmocka_unit_test(test_paths_and_metadata), cmocka_unit_test(test_tracing),
		cmocka_unit_test(test_access_log),         cmocka_unit_test(test_stat_names),
		cmocka_unit_test(test_ports_taken),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
