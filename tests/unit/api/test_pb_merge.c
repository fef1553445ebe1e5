// Merge, by JSON: what is there, what is merged in, what comes out.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "api/codec.h"
#include "api/pb.h"

#define CLUSTER "envoy.config.cluster.v3.Cluster"
#define TYPE "\"@type\":\"type.googleapis.com/"

static void *message(struct pd_arena *a, const char *type, const char *json)
{
	struct pd_codec c = {.arena = a, .policy = PD_CODEC_STRICT};
	struct pd_buf errors = {0};
	void *m;

	if (pd_codec_decode_text(&c, json, strlen(json), pb_find(type), &m)) {
		pd_codec_print_errors(&errors, &c);
		fail_msg("%s", errors.p);
	}
	return m;
}

static void merges(const char *type, unsigned flags, const char *dst, const char *src, const char *expected)
{
	struct pd_arena a = {0}, kept = {0};
	struct pd_buf out = {0}, before = {0}, after = {0};
	void *m = message(&a, type, dst);
	void *other = message(&kept, type, src);

	assert_int_equal(pd_codec_encode(&before, other, 0), PD_OK);
	pb_merge(&a, m, other, flags);
	assert_int_equal(pd_codec_encode(&after, other, 0), PD_OK);
	assert_string_equal(before.p, after.p);
	pd_arena_free(&kept); // nothing of the source may be referenced
	assert_int_equal(pd_codec_encode(&out, m, 0), PD_OK);
	assert_string_equal(out.p, expected);
	pd_buf_free(&out);
	pd_buf_free(&before);
	pd_buf_free(&after);
	pd_arena_free(&a);
}

static void scalars_and_messages(void **state)
{
	(void)state;
	merges(CLUSTER, 0, "{\"name\":\"a\",\"altStatName\":\"s\"}", "{\"name\":\"b\",\"altStatName\":\"\"}",
	       "{\"name\":\"b\",\"altStatName\":\"s\"}");
	merges(CLUSTER, 0, "{\"upstreamConnectionOptions\":{\"tcpKeepalive\":{\"keepaliveTime\":5}}}",
	       "{\"upstreamConnectionOptions\":{\"tcpKeepalive\":{\"keepaliveInterval\":7}}}",
	       "{\"upstreamConnectionOptions\":{\"tcpKeepalive\":{\"keepaliveTime\":5,\"keepaliveInterval\":7}}}");
	// A wrapper of zero is a message without a set field: it changes nothing.
	merges("envoy.config.core.v3.TcpKeepalive", 0, "{\"keepaliveTime\":5}", "{\"keepaliveTime\":0}",
	       "{\"keepaliveTime\":5}");
	merges("k8s.ServicePort", 0, "{\"name\":\"a\",\"port\":5}", "{\"name\":\"\",\"port\":0}",
	       "{\"name\":\"\",\"port\":0}");
}

static void durations_are_replaced_whole(void **state)
{
	(void)state;
	merges(CLUSTER, 0, "{\"connectTimeout\":\"1.500s\"}", "{\"connectTimeout\":\"2s\"}",
	       "{\"connectTimeout\":\"2s\"}");
	merges("google.protobuf.Duration", 0, "\"1.500s\"", "\"2s\"", "\"2s\"");
	merges("google.protobuf.Timestamp", 0, "\"1970-01-01T00:00:01.500Z\"", "\"1970-01-01T00:00:02Z\"",
	       "\"1970-01-01T00:00:02.500Z\"");
}

static void lists(void **state)
{
	(void)state;
	const char *dst = "{\"hosts\":[\"a\"],\"http\":[{\"name\":\"x\"}],\"gateways\":[\"g\"]}";
	const char *src = "{\"hosts\":[\"b\"],\"http\":[{\"name\":\"y\"}]}";

	merges("istio.networking.v1alpha3.VirtualService", 0, dst, src,
	       "{\"hosts\":[\"a\",\"b\"],\"gateways\":[\"g\"],\"http\":[{\"name\":\"x\"},{\"name\":\"y\"}]}");
	merges("istio.networking.v1alpha3.VirtualService", PB_MERGE_REPLACE_LISTS, dst, src,
	       "{\"hosts\":[\"b\"],\"gateways\":[\"g\"],\"http\":[{\"name\":\"y\"}]}");
}

static void maps(void **state)
{
	(void)state;
	// Entries are set by key; a value is not merged into the old one, with neither flag.
	const char *dst = "{\"filterMetadata\":{\"b\":{\"x\":1},\"c\":{}}}",
		   *src = "{\"filterMetadata\":{\"b\":{\"y\":2},\"a\":{}}}";
	const char *expected = "{\"filterMetadata\":{\"a\":{},\"b\":{\"y\":2},\"c\":{}}}";

	merges("envoy.config.core.v3.Metadata", 0, dst, src, expected);
	merges("envoy.config.core.v3.Metadata", PB_MERGE_REPLACE_LISTS, dst, src, expected);
	merges("k8s.ObjectMeta", 0, "{\"labels\":{\"b\":\"1\"}}", "{\"labels\":{\"b\":\"2\",\"a\":\"0\"}}",
	       "{\"labels\":{\"a\":\"0\",\"b\":\"2\"}}");
}

static void oneofs(void **state)
{
	(void)state;
	const char *match = "istio.networking.v1alpha3.StringMatch";

	merges(match, 0, "{\"exact\":\"a\"}", "{\"prefix\":\"b\"}", "{\"prefix\":\"b\"}");
	merges(match, 0, "{\"exact\":\"a\"}", "{}", "{\"exact\":\"a\"}");
	merges("envoy.config.core.v3.Address", 0, "{\"socketAddress\":{\"address\":\"1.2.3.4\",\"portValue\":80}}",
	       "{\"socketAddress\":{\"namedPort\":\"http\"}}",
	       "{\"socketAddress\":{\"address\":\"1.2.3.4\",\"namedPort\":\"http\"}}");
	merges("envoy.config.core.v3.Address", 0, "{\"socketAddress\":{\"address\":\"1.2.3.4\"}}",
	       "{\"pipe\":{\"path\":\"/x\"}}", "{\"pipe\":{\"path\":\"/x\"}}");
}

static void anys(void **state)
{
	(void)state;
	const char *filter = "envoy.config.core.v3.TypedExtensionConfig";
	const char *dst = "{\"name\":\"f\",\"typedConfig\":{" TYPE CLUSTER "\",\"name\":\"a\",\"altStatName\":\"s\"}}";
	const char *src = "{\"typedConfig\":{" TYPE CLUSTER "\",\"name\":\"b\"}}";
	const char *other = "{\"typedConfig\":{" TYPE "google.protobuf.BoolValue\",\"value\":true}}";
	const char *unknown = "{\"typedConfig\":{" TYPE "no.Such\",\"value\":\"AQ==\"}}";

	merges(filter, PB_MERGE_ANY, dst, src,
	       "{\"name\":\"f\",\"typedConfig\":{" TYPE CLUSTER "\",\"name\":\"b\",\"altStatName\":\"s\"}}");
	merges(filter, 0, dst, src, "{\"name\":\"f\",\"typedConfig\":{" TYPE CLUSTER "\",\"name\":\"b\"}}");
	merges(filter, PB_MERGE_ANY, dst, other,
	       "{\"name\":\"f\",\"typedConfig\":{" TYPE "google.protobuf.BoolValue\",\"value\":true}}");
	merges(filter, PB_MERGE_ANY, unknown, "{\"typedConfig\":{" TYPE "no.Such\",\"value\":\"Ag==\"}}",
	       "{\"typedConfig\":{" TYPE "no.Such\",\"value\":\"Ag==\"}}");
	merges("google.protobuf.Any", PB_MERGE_ANY, "{" TYPE CLUSTER "\",\"name\":\"a\"}",
	       "{" TYPE CLUSTER "\",\"altStatName\":\"s\"}",
	       "{" TYPE CLUSTER "\",\"name\":\"a\",\"altStatName\":\"s\"}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scalars_and_messages),
		cmocka_unit_test(durations_are_replaced_whole),
		cmocka_unit_test(lists),
		cmocka_unit_test(maps),
		cmocka_unit_test(oneofs),
		cmocka_unit_test(anys),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
