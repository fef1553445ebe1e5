// The rules of the JSON mapping, one by one.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "api/pb.h"
#include "tests/unit/api/codec_util.h"

#define NET "istio.networking.v1alpha3."
#define VS NET "VirtualService"
#define CLUSTER "envoy.config.cluster.v3.Cluster"
#define ROUTE "envoy.config.route.v3.Route"
#define ANY "google.protobuf.Any"
#define STRUCT "google.protobuf.Struct"

static void field_names(void **state)
{
	(void)state;
	strict(VS, "{\"exportTo\":[\".\"]}", NULL);
	strict(VS, "{\"export_to\":[\".\"]}", "{\"exportTo\":[\".\"]}");
	strict("k8s.ServiceSpec", "{\"clusterIP\":\"None\",\"externalIPs\":[\"1.2.3.4\"]}", NULL);
	refuses(VS, "{\"export_to\":[\".\"],\n\"exportTo\":[]}", "exportTo: duplicate field (line 2)\n");
	lenient(VS, "{\"export_to\":[\".\"],\"exportTo\":[\"x\"]}", "{\"exportTo\":[\"x\"]}");
}

static void null_is_absent(void **state)
{
	(void)state;
	strict(VS, "{\"http\":null,\"hosts\":null}", "{}");
	strict(NET "HTTPRoute", "{\"timeout\":null,\"name\":null,\"mirrorPercent\":null}", "{}");
	strict(NET "StringMatch", "{\"exact\":null,\"prefix\":\"/\"}", "{\"prefix\":\"/\"}");
	strict("google.protobuf.Value", "null", NULL);
	refuses(VS, "{\"hosts\":[null]}", "hosts[0]: expected string, got null (line 1)\n");
	refuses(VS, "{\"http\":[null]}", "http[0]: expected object, got null (line 1)\n");
}

static void integers(void **state)
{
	(void)state;
	strict(NET "HTTPRetry", "{\"attempts\":3}", NULL);
	strict(NET "HTTPRetry", "{\"attempts\":\"3\"}", "{\"attempts\":3}");
	strict(NET "HTTPRetry", "{\"attempts\":3.0}", "{\"attempts\":3}");
	strict(NET "HTTPRetry", "{\"attempts\":\"3e2\"}", "{\"attempts\":300}");
	strict(NET "HTTPRetry", "{\"attempts\":-2147483648}", NULL);
	refuses(NET "HTTPRetry", "{\"attempts\":2147483648}",
		"attempts: 2147483648 is out of range for int32 (line 1)\n");
	refuses(NET "HTTPRetry", "{\"attempts\":1.5}", "attempts: expected int32, got number 1.5 (line 1)\n");
	refuses(NET "HTTPRetry", "{\"attempts\":\"abc\"}", "attempts: expected int32, got string \"abc\" (line 1)\n");
	refuses(NET "HTTPRetry", "{\"attempts\":\" 3\"}", "attempts: expected int32, got string \" 3\" (line 1)\n");
	refuses(NET "HTTPRetry", "{\"attempts\":\"\"}", "attempts: expected int32, got string \"\" (line 1)\n");
	refuses(NET "HTTPRetry", "{\"attempts\":true}", "attempts: expected int32, got bool true (line 1)\n");
	refuses(NET "HTTPRetry", "{\"attempts\":[1]}", "attempts: expected int32, got list (line 1)\n");

	strict("google.protobuf.UInt64Value", "18446744073709551615", "\"18446744073709551615\"");
	strict("google.protobuf.UInt64Value", "\"18446744073709551615\"", NULL);
	refuses("google.protobuf.UInt64Value", "18446744073709551616",
		"1.8446744073709552e+19 is out of range for uint64 (line 1)\n");
	refuses("google.protobuf.UInt64Value", "-1", "-1 is out of range for uint64 (line 1)\n");
	strict("google.protobuf.Int64Value", "-9223372036854775808", "\"-9223372036854775808\"");
	strict("google.protobuf.Int64Value", "9007199254740993", "\"9007199254740993\"");
	refuses("google.protobuf.Int64Value", "9223372036854775808",
		"9223372036854775808 is out of range for int64 (line 1)\n");
	refuses("google.protobuf.UInt32Value", "4294967296", "4294967296 is out of range for uint32 (line 1)\n");
	refuses("google.protobuf.UInt32Value", "\"99999999999999999999999999\"",
		"1e+26 is out of range for uint32 (line 1)\n");
}

static void reals(void **state)
{
	(void)state;
	strict("google.protobuf.DoubleValue", "0.1", NULL);
	strict("google.protobuf.DoubleValue", "\"-2.5e3\"", "-2500");
	strict("google.protobuf.DoubleValue", "\"NaN\"", NULL);
	strict("google.protobuf.DoubleValue", "\"-Infinity\"", NULL);
	strict("google.protobuf.DoubleValue", "5e-324", "4.94065645841247e-324");
	strict("google.protobuf.FloatValue", "0.1", NULL);
	strict("google.protobuf.FloatValue", "3.4028235e38", "3.4028235e+38");
	refuses("google.protobuf.FloatValue", "1e39", "1e+39 is out of range for float (line 1)\n");
	refuses("google.protobuf.DoubleValue", "\"inf\"", "expected double, got string \"inf\" (line 1)\n");
	refuses("google.protobuf.DoubleValue", "1e999", "number out of range at column 1 (line 1)\n");
}

static void strings_and_bytes(void **state)
{
	(void)state;
	strict("google.protobuf.StringValue", "\"\\u20ac \\ud834\\udd1e \\n\"", "\"€ 𝄞 \\n\"");
	refuses("google.protobuf.StringValue", "\"a\\u0000b\"", "string has a NUL byte (line 1)\n");
	refuses("google.protobuf.StringValue", "\"\xff\"", "string is not UTF-8 (line 1)\n");
	rejects("google.protobuf.StringValue", PD_CODEC_LENIENT, "\"\xc0\x80\"", "string is not UTF-8 (line 1)\n");
	refuses("google.protobuf.StringValue", "1", "expected string, got number 1 (line 1)\n");
	refuses("k8s.ObjectMeta", "{\"labels\":{\"a\":\"\\u0000\"}}",
		"labels[\"a\"]: string has a NUL byte (line 1)\n");
	refuses("k8s.ObjectMeta", "{\"labels\":{\"\\u0000\":\"a\"}}",
		"labels[\"\\u0000\"]: string has a NUL byte (line 1)\n");

	strict("google.protobuf.BytesValue", "\"+/8=\"", NULL);
	strict("google.protobuf.BytesValue", "\"-_8\"", "\"+/8=\"");
	strict("google.protobuf.BytesValue", "\"\"", NULL);
	refuses("google.protobuf.BytesValue", "\"a\"", "expected base64, got string \"a\" (line 1)\n");
	refuses("google.protobuf.BytesValue", "\"a===\"", "expected base64, got string \"a===\" (line 1)\n");
	refuses("google.protobuf.BytesValue", "\"ab c\"", "expected base64, got string \"ab c\" (line 1)\n");
	refuses("google.protobuf.BoolValue", "\"true\"", "expected bool, got string \"true\" (line 1)\n");
}

static void enums(void **state)
{
	(void)state;
	strict(NET "ClientTLSSettings", "{\"mode\":\"MUTUAL\"}", NULL);
	strict(NET "ClientTLSSettings", "{\"mode\":2}", "{\"mode\":\"MUTUAL\"}");
	strict(NET "ClientTLSSettings", "{\"mode\":77}", NULL);
	refuses(NET "ClientTLSSettings", "{\"mode\":\"mutual\"}",
		"mode: expected one of DISABLE, SIMPLE, MUTUAL, ISTIO_MUTUAL, got string \"mutual\" (line 1)\n");
	lenient(NET "ClientTLSSettings", "{\"mode\":\"QUANTUM\",\"sni\":\"a\"}", "{\"sni\":\"a\"}");
	refuses(NET "ClientTLSSettings", "{\"mode\":{}}",
		"mode: expected name or number of an enum, got object (line 1)\n");
}

static void messages_lists_maps(void **state)
{
	(void)state;
	refuses(VS, "{\"http\":{}}", "http: expected list, got object (line 1)\n");
	refuses(VS, "[]", "expected object, got list (line 1)\n");
	strict("k8s.ObjectMeta", "{\"labels\":{\"b\":\"2\",\"a\":\"1\",\"\":\"\"}}",
	       "{\"labels\":{\"\":\"\",\"a\":\"1\",\"b\":\"2\"}}");
	refuses("k8s.ObjectMeta", "{\"labels\":{\"a\":\"1\",\n\"a\":\"2\"}}",
		"labels[\"a\"]: duplicate key (line 2)\n");
	lenient("k8s.ObjectMeta", "{\"labels\":{\"a\":\"1\",\"b\":\"0\",\"a\":\"2\"}}",
		"{\"labels\":{\"a\":\"2\",\"b\":\"0\"}}");
	refuses("k8s.ObjectMeta", "{\"labels\":{\"a\":1}}", "labels[\"a\"]: expected string, got number 1 (line 1)\n");
	refuses("k8s.ObjectMeta", "{\"labels\":[]}", "labels: expected object, got list (line 1)\n");
	strict(NET "WorkloadEntry", "{\"ports\":{\"http\":80}}", NULL);
}

static void oneofs(void **state)
{
	(void)state;
	strict(NET "StringMatch", "{\"exact\":\"\"}", NULL);
	strict(NET "LoadBalancerSettings", "{\"simple\":\"UNSPECIFIED\"}", NULL);
	refuses(NET "StringMatch", "{\"exact\":\"a\",\n\"prefix\":\"b\"}",
		"prefix: \"exact\" is set too, only one of them may be (line 2)\n");
}

static void durations(void **state)
{
	(void)state;
	strict("google.protobuf.Duration", "\"1.5s\"", "\"1.500s\"");
	strict("google.protobuf.Duration", "\"-0.000000001s\"", NULL);
	strict("google.protobuf.Duration", "\"315576000000s\"", NULL);
	strict("google.protobuf.Duration", "\"1h30m\"", "\"5400s\"");
	strict("google.protobuf.Duration", "\"250ms\"", "\"0.250s\"");
	strict("google.protobuf.Duration", "\"1.5us\"", "\"0.000001500s\"");
	strict("google.protobuf.Duration", "\"2µs3ns\"", "\"0.000002003s\"");
	strict("google.protobuf.Duration", "\"0\"", "\"0s\"");
	strict("google.protobuf.Duration", "\"+.5m\"", "\"30s\"");
	refuses("google.protobuf.Duration", "\"\"", "expected duration like \"1.5s\", got string \"\" (line 1)\n");
	refuses("google.protobuf.Duration", "\"5\"", "expected duration like \"1.5s\", got string \"5\" (line 1)\n");
	refuses("google.protobuf.Duration", "\".s\"", "expected duration like \"1.5s\", got string \".s\" (line 1)\n");
	refuses("google.protobuf.Duration", "\"1s \"",
		"expected duration like \"1.5s\", got string \"1s \" (line 1)\n");
	refuses("google.protobuf.Duration", "\"315576000001s\"",
		"expected duration like \"1.5s\", got string \"315576000001s\" (line 1)\n");
	refuses("google.protobuf.Duration", "5", "expected duration like \"1.5s\", got number 5 (line 1)\n");
}

static void timestamps(void **state)
{
	(void)state;
	strict("google.protobuf.Timestamp", "\"1970-01-01T00:00:00Z\"", NULL);
	strict("google.protobuf.Timestamp", "\"0001-01-01T00:00:00Z\"", NULL);
	strict("google.protobuf.Timestamp", "\"9999-12-31T23:59:59.999999999Z\"", NULL);
	strict("google.protobuf.Timestamp", "\"2024-02-29T12:00:00.5+02:30\"", "\"2024-02-29T09:30:00.500Z\"");
	refuses("google.protobuf.Timestamp", "\"2023-02-29T12:00:00Z\"",
		"expected time like \"2006-01-02T15:04:05Z\", got string \"2023-02-29T12:00:00Z\" (line 1)\n");
	refuses("google.protobuf.Timestamp", "\"0001-01-01T00:00:00+00:01\"",
		"expected time like \"2006-01-02T15:04:05Z\", got string \"0001-01-01T00:00:00+00:01\" (line 1)\n");
	refuses("google.protobuf.Timestamp", "\"2024-01-01\"",
		"expected time like \"2006-01-02T15:04:05Z\", got string \"2024-01-01\" (line 1)\n");
}

static void structs(void **state)
{
	(void)state;
	strict(STRUCT, "{\"z\":1,\"a\":{\"b\":[null,true,\"x\",-0.5,{}]}}",
	       "{\"a\":{\"b\":[null,true,\"x\",-0.5,{}]},\"z\":1}");
	strict("google.protobuf.ListValue", "[1,[2],{\"a\":[]}]", NULL);
	strict("google.protobuf.FieldMask", "\"fooBar.baz,x\"", NULL);
	refuses(STRUCT, "{\"a\":1,\"a\":2}", "a: duplicate key (line 1)\n");
	strict("google.protobuf.FieldMask", "\"\"", NULL);
	refuses("google.protobuf.FieldMask", "\",\"",
		"expected field mask like \"fooBar,baz\", got string \",\" (line 1)\n");
	refuses("google.protobuf.FieldMask", "\"a,\"",
		"expected field mask like \"fooBar,baz\", got string \"a,\" (line 1)\n");
	refuses("google.protobuf.FieldMask", "\"foo_bar\"",
		"expected field mask like \"fooBar,baz\", got string \"foo_bar\" (line 1)\n");
}

static void anys(void **state)
{
	(void)state;
	strict(ANY, "{}", NULL);
	strict(ANY, "{\"@type\":\"type.googleapis.com/envoy.config.cluster.v3.Cluster\",\"name\":\"x\"}", NULL);
	strict(ANY, "{\"name\":\"x\",\"@type\":\"type.googleapis.com/envoy.config.cluster.v3.Cluster\"}",
	       "{\"@type\":\"type.googleapis.com/envoy.config.cluster.v3.Cluster\",\"name\":\"x\"}");
	strict(ANY, "{\"@type\":\"type.googleapis.com/google.protobuf.Duration\",\"value\":\"1s\"}", NULL);
	strict(ANY, "{\"@type\":\"type.googleapis.com/google.protobuf.Struct\",\"value\":{\"a\":[1]}}", NULL);
	strict(ANY,
	       "{\"@type\":\"type.googleapis.com/google.protobuf.Any\",\"value\":{\"@type\":\"type.googleapis.com/google."
	       "protobuf.BoolValue\",\"value\":true}}",
	       NULL);
	strict(ANY, "{\"@type\":\"type.googleapis.com/google.protobuf.Empty\",\"value\":{}}",
	       "{\"@type\":\"type.googleapis.com/google.protobuf.Empty\"}");
	strict(ANY, "{\"@type\":\"type.googleapis.com/no.Such\",\"value\":\"AQI=\"}", NULL);
	lenient(ANY, "{\"@type\":\"type.googleapis.com/no.Such\",\"value\":\"AQI=\"}", NULL);
	strict("envoy.config.core.v3.TypedExtensionConfig",
	       "{\"name\":\"a\",\"typedConfig\":{\"@type\":\"x/google.protobuf.UInt32Value\",\"value\":7}}", NULL);

	refuses("envoy.config.core.v3.TypedExtensionConfig", "{\"typedConfig\":\n{\"@type\":\"a/no.Such\",\"x\":1}}",
		"typedConfig: unknown type \"a/no.Such\" (line 2)\n");
	lenient("envoy.config.core.v3.TypedExtensionConfig",
		"{\"name\":\"a\",\"typedConfig\":{\"@type\":\"a/no.Such\",\"x\":1}}", "{\"name\":\"a\"}");
	rejects(ANY, PD_CODEC_LENIENT, "{\"@type\":\"a/no.Such\",\"x\":1}", "nothing left of the value (line 1)\n");
	refuses(ANY, "{\"name\":\"x\"}", "missing \"@type\" (line 1)\n");
	refuses(ANY, "{\"@type\":\"Cluster\"}",
		"expected \"@type\" like \"type.googleapis.com/name\", got string \"Cluster\" (line 1)\n");
	refuses(ANY, "{\"@type\":\"a/google.protobuf.Duration\"}", "missing \"value\" (line 1)\n");
	refuses(ANY, "{\"@type\":\"a/google.protobuf.Duration\",\"value\":\"1s\",\"x\":1}",
		"x: unknown field (line 1)\n");
	refuses(ANY, "{\"@type\":\"a/envoy.config.cluster.v3.Cluster\",\"naem\":1}",
		"naem: unknown field (did you mean \"name\"?) (line 1)\n");
	refuses(ANY, "[]", "expected object with \"@type\", got list (line 1)\n");
}

static void kubernetes(void **state)
{
	(void)state;
	strict("k8s.ServicePort", "{\"targetPort\":8080}", NULL);
	strict("k8s.ServicePort", "{\"targetPort\":\"http\"}", NULL);
	strict("k8s.ServicePort", "{\"port\":0,\"targetPort\":0}", NULL);
	refuses("k8s.ServicePort", "{\"targetPort\":1.5}",
		"targetPort: expected int32 or string, got number 1.5 (line 1)\n");
	strict("k8s.ObjectMeta", "{\"creationTimestamp\":\"2024-01-31T10:00:00Z\",\"generation\":5}",
	       "{\"generation\":5,\"creationTimestamp\":\"2024-01-31T10:00:00Z\"}");
	strict("k8s.ObjectMeta", "{\"creationTimestamp\":null,\"managedFields\":[{\"x\":1}]}", "{}");
	strict("k8s.MicroTime", "\"2024-01-31T10:00:00Z\"", "\"2024-01-31T10:00:00.000000Z\"");
	strict("k8s.Duration", "\"1h30m0.5s\"", NULL);
	strict("k8s.Duration", "\"1500us\"", "\"1.5ms\"");
	strict("k8s.Quantity", "\"100m\"", NULL);
	strict("k8s.Quantity", "2", "\"2\"");
	strict("k8s.Secret", "{\"data\":{\"tls.crt\":\"AQID\"}}", NULL);
	strict("k8s.WatchEvent", "{\"type\":\"ADDED\",\"object\":{\"kind\":\"Pod\",\"x\":[1,2.5]}}", NULL);
	strict("k8s.Service", "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"a\"}}",
	       "{\"metadata\":{\"name\":\"a\"}}");
	refuses("k8s.ServiceSpec", "{\"kind\":\"x\"}", "kind: unknown field (line 1)\n");
	strict("k8s.Probe", "{\"httpGet\":{\"path\":\"/\",\"port\":80},\"periodSeconds\":5}", NULL);
	refuses("k8s.Probe", "{\"httpGet\":{},\"httpGet\":{}}", "httpGet: duplicate field (line 1)\n");
	refuses("k8s.Probe", "{\"inline_handler\":{}}", "inline_handler: unknown field (line 1)\n");
	refuses("k8s.Probe", "{\"httpGet\":{\"path\":1}}", "httpGet.path: expected string, got number 1 (line 1)\n");
}

static void unknown_fields_are_counted(void **state)
{
	(void)state;
	struct pd_arena a = {0};
	struct pd_codec c = {.arena = &a, .policy = PD_CODEC_LENIENT, .path = "spec"};
	const char *text = "{\"nope\":{\"deep\":1},\"http\":[{\"retrys\":{},\"match\":[{\"x\":1}]}]}";
	void *m;

	assert_int_equal(pd_codec_decode_text(&c, text, strlen(text), pb_find(VS), &m), PD_OK);
	assert_int_equal(c.unknown, 3);
	assert_int_equal(c.n_errors, 0);
	pd_arena_free(&a);
}

static void encode_styles(void **state)
{
	(void)state;
	struct pd_arena a = {0};
	struct pd_codec c = {.arena = &a};
	struct pd_buf out = {0};
	const char *text = "{\"httpHeaderName\":\"h\",\"ringHash\":{},\"minimumRingSize\":\"9\"}";
	void *m;

	assert_int_equal(pd_codec_decode_text(&c, text, strlen(text),
					      pb_find(NET "LoadBalancerSettings.ConsistentHashLB"), &m),
			 PD_OK);
	assert_int_equal(pd_codec_encode(&out, m, PD_ENCODE_INDENT | PD_ENCODE_PROTO_NAMES), PD_OK);
	assert_string_equal(
		out.p, "{\n  \"http_header_name\": \"h\",\n  \"minimum_ring_size\": \"9\",\n  \"ring_hash\": {}\n}");
	pd_buf_reset(&out);
	assert_int_equal(pd_codec_encode(&out, m, PD_ENCODE_DEFAULTS | PD_ENCODE_INT64_NUMBERS), PD_OK);
	assert_string_equal(out.p,
			    "{\"httpHeaderName\":\"h\",\"minimumRingSize\":9,\"ringHash\":{\"minimumRingSize\":0}}");
	pd_buf_free(&out);
	pd_arena_free(&a);
}

static void bytes_that_do_not_unpack(void **state)
{
	(void)state;
	struct pd_arena a = {0};
	struct pd_buf out = {0};

	assert_int_equal(pd_codec_encode(&out, pb_any_bytes(&a, CLUSTER, "\xff", 1), 0), PD_OK);
	assert_string_equal(out.p, "{\"@type\":\"type.googleapis.com/" CLUSTER "\",\"value\":\"/w==\"}");
	pd_buf_free(&out);
	pd_arena_free(&a);
}

// EnvoyFilter holds its patches as Structs that stand for messages of Envoy.
static void a_struct_as_message(void **state)
{
	(void)state;
	struct pd_arena a = {0};
	struct pd_codec c = {.arena = &a, .policy = PD_CODEC_STRICT, .path = "value"};
	const char *text =
		"{\"name\":\"c\",\"connect_timeout\":\"5s\",\"type\":1,\"per_connection_buffer_limit_bytes\":1024,"
		"\"lb_subset_config\":{\"locality_weight_aware\":true},\"filters\":[{\"name\":\"f\"}]}";
	void *s, *m, *direct;
	struct pd_buf out = {0};

	assert_int_equal(pd_codec_decode_text(&c, text, strlen(text), pb_find(STRUCT), &s), PD_OK);
	assert_int_equal(pd_codec_decode_struct(&c, s, pb_find(CLUSTER), &m), PD_OK);
	assert_int_equal(pd_codec_decode_text(&c, text, strlen(text), pb_find(CLUSTER), &direct), PD_OK);
	assert_true(pb_equal(m, direct));
	pb_struct_set_number(&a, s, "type", 0.5);
	assert_int_equal(pd_codec_decode_struct(&c, s, pb_find(CLUSTER), &m), PD_E_INVALID);
	pd_codec_print_errors(&out, &c);
	assert_string_equal(out.p, "value.type: expected int32, got number 0.5\n");
	pd_buf_free(&out);
	pd_arena_free(&a);
}

static void encode_stops_at_its_limit(void **state)
{
	(void)state;
	struct pd_arena a = {0};
	struct pd_buf out = {0};
	Google__Protobuf__ListValue *list = pb_list_new(&a);
	Google__Protobuf__Any *any = pb_any(&a, list);

	for (int i = 0; i < PB_MAX_NESTING / 2 - 1; i++) {
		Google__Protobuf__ListValue *outer = pb_list_new(&a);
		pb_list_add(&a, outer, pb_value_list(&a, list));
		list = outer;
	}
	assert_int_equal(pd_codec_encode(&out, list, 0), PD_OK);
	for (int i = 0; i < PB_MAX_NESTING; i++) {
		Google__Protobuf__ListValue *outer = pb_list_new(&a);
		pb_list_add(&a, outer, pb_value_list(&a, list));
		list = outer;
		any = pb_any(&a, any);
	}
	assert_int_equal(pd_codec_encode(&out, list, 0), PD_E_LIMIT);
	assert_int_equal(pd_codec_encode(&out, any, 0), PD_E_LIMIT);
	pd_buf_free(&out);
	pd_arena_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(field_names),
		cmocka_unit_test(null_is_absent),
		cmocka_unit_test(integers),
		cmocka_unit_test(reals),
		cmocka_unit_test(strings_and_bytes),
		cmocka_unit_test(enums),
		cmocka_unit_test(messages_lists_maps),
		cmocka_unit_test(oneofs),
		cmocka_unit_test(durations),
		cmocka_unit_test(timestamps),
		cmocka_unit_test(structs),
		cmocka_unit_test(anys),
		cmocka_unit_test(kubernetes),
		cmocka_unit_test(unknown_fields_are_counted),
		cmocka_unit_test(encode_styles),
		cmocka_unit_test(bytes_that_do_not_unpack),
		cmocka_unit_test(a_struct_as_message),
		cmocka_unit_test(encode_stops_at_its_limit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
