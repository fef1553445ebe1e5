// Bytes → message → JSON, for several types; the first byte chooses. What is accepted can be packed and read again, and
// two messages of one type can be merged.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/codec.h"
#include "api/pb.h"

static const char *const types[] = {
	"envoy.service.discovery.v3.DiscoveryRequest",
	"envoy.service.discovery.v3.DeltaDiscoveryRequest",
	"envoy.config.core.v3.Node",
	"google.protobuf.Struct",
	"envoy.config.cluster.v3.Cluster",
	"k8s.Pod",
	"k8s.Secret",
	"google.protobuf.FileDescriptorSet",
	"k8s.WatchEvent",
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pd_arena a = {0};
	struct pd_buf text = {0};
	struct pb_error err;
	void *m, *again, *other;

	if (!size)
		return 0;
	const ProtobufCMessageDescriptor *d = pb_find(types[data[0] % (sizeof(types) / sizeof(types[0]))]);
	if (pb_unpack(&a, d, data + 1, size - 1, &m, &err) == PD_OK) {
		int rc = pd_codec_encode(&text, m, 0);
		PD_ASSERT(rc == PD_OK || rc == PD_E_LIMIT);
		ProtobufCBinaryData bytes = pb_pack_arena(&a, m);
		PD_ASSERT(pb_unpack(&a, d, bytes.data, bytes.len, &again, NULL) == PD_OK);
		PD_ASSERT(pb_equal(m, again));
		pb_canonicalise(again);
		PD_ASSERT(pb_equal(m, again));
		if (pb_unpack(&a, d, data + 1, (size - 1) / 2, &other, &err) == PD_OK)
			pb_merge(&a, other, m, PB_MERGE_ANY);
	}
	pd_buf_free(&text);
	pd_arena_free(&a);
	return 0;
}
