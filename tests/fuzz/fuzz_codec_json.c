// JSON text → message, for several types. The first byte chooses type and policy.
// What is accepted must survive the way back: encode, decode again, pack, unpack, all equal.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/codec.h"
#include "api/pb.h"

static const char *const types[] = {
	"istio.networking.v1alpha3.VirtualService",
	"istio.networking.v1alpha3.EnvoyFilter",
	"istio.mesh.v1alpha1.MeshConfig",
	"k8s.Pod",
	"k8s.Service",
	"envoy.config.cluster.v3.Cluster",
	"envoy.config.listener.v3.Listener",
	"google.protobuf.Any",
	"google.protobuf.Struct",
	"google.protobuf.Duration",
	"google.protobuf.Timestamp",
	"google.protobuf.FieldMask",
	"k8s.WatchEvent",
};

static void check(struct pd_arena *a, const ProtobufCMessageDescriptor *d, void *m)
{
	struct pd_codec c = {.arena = a, .policy = PD_CODEC_STRICT};
	struct pd_buf text = {0};
	void *again, *back;

	PD_ASSERT(pd_codec_encode(&text, m, PD_ENCODE_INDENT) == PD_OK);
	PD_ASSERT(pd_codec_decode_text(&c, text.p, text.n, d, &again) == PD_OK);
	PD_ASSERT(pb_equal(m, again));
	pd_buf_free(&text);
	ProtobufCBinaryData bytes = pb_pack_arena(a, m);
	PD_ASSERT(pb_unpack(a, d, bytes.data, bytes.len, &back, NULL) == PD_OK);
	PD_ASSERT(pb_equal(m, back));
	PD_ASSERT(pb_equal(m, pb_copy(a, m)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pd_arena a = {0};
	struct pd_buf errors = {0};

	if (!size)
		return 0;
	size_t which = data[0] / 2 % (sizeof(types) / sizeof(types[0]));
	struct pd_codec c = {.arena = &a, .policy = data[0] % 2 ? PD_CODEC_LENIENT : PD_CODEC_STRICT};
	const ProtobufCMessageDescriptor *d = pb_find(types[which]);
	void *m;

	int rc = pd_codec_decode_text(&c, (const char *)data + 1, size - 1, d, &m);
	PD_ASSERT((rc != PD_OK) == (c.n_errors > 0));
	if (rc == PD_OK)
		check(&a, d, m);
	pd_codec_print_errors(&errors, &c);
	pd_buf_free(&errors);
	pd_arena_free(&a);
	return 0;
}
