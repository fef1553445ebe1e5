#include "xds/response.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "xds/body.h"
#include "xds/pack.h"

// DiscoveryResponse and DeltaDiscoveryResponse number these fields alike.
enum { TAG_VERSION = 1 << 3 | 2, TAG_TYPE_URL = 4 << 3 | 2, TAG_NONCE = 5 << 3 | 2, TAG_REMOVED = 6 << 3 | 2 };

static uint8_t *put_text(uint8_t *p, uint8_t tag, const char *text, size_t n)
{
	*p++ = tag;
	p = pd_put_varint(p, n);
	memcpy(p, text, n);
	return p + n;
}

// The fields in front of the resources. Caller frees.
static uint8_t *head_of(const struct pd_session_env *env, const struct pd_answer *a, uint64_t nonce, size_t *len)
{
	const char *url = pd_types[a->type].type_url;
	char version[17], nonce_text[PD_NONCE_TEXT];
	size_t max = 3 * 6 + strlen(url) + sizeof(version) + sizeof(nonce_text);
	uint8_t *head, *p;

	for (size_t i = 0; i < a->removed.n; i++)
		max += 6 + strlen(a->removed.v[i]);
	p = head = pd_xmalloc(max);
	pd_version_text(a->version, version);
	pd_nonce_text(env, nonce, nonce_text);
	p = put_text(p, TAG_VERSION, version, 16);
	p = put_text(p, TAG_TYPE_URL, url, strlen(url));
	p = put_text(p, TAG_NONCE, nonce_text, strlen(nonce_text));
	for (size_t i = 0; i < a->removed.n; i++)
		p = put_text(p, TAG_REMOVED, a->removed.v[i], strlen(a->removed.v[i]));
	*len = (size_t)(p - head);
	return head;
}

static void add_resources(struct pd_pack *pack, struct pd_bodies *bodies, bool delta, const struct pd_answer *a)
{
	for (int k = 0; a->full && k < PD_SET_SEGMENTS; k++) {
		const struct pd_segment *s = a->set->seg[k];
		if (s)
			pd_bodies_pack(bodies, &(struct pd_body_source){delta, a->type, s->v, s->n, s->version}, pack);
	}
	pd_bodies_pack(bodies, &(struct pd_body_source){delta, a->type, a->res.v, a->res.n, 0}, pack);
}

grpc_byte_buffer *pd_response_build(struct pd_bodies *bodies, const struct pd_session_env *env, bool delta,
				    const struct pd_answer *a, uint64_t nonce, size_t *bytes)
{
	struct pd_pack pack = {.copy_max = PD_PIECE_COPY_MAX};
	grpc_byte_buffer *buffer;
	size_t head_len;
	uint8_t *head = head_of(env, a, nonce, &head_len);

	pd_pack_bytes(&pack, head, head_len);
	add_resources(&pack, bodies, delta, a);
	pd_pack_end(&pack);
	buffer = grpc_raw_byte_buffer_create(pack.slices.v, pack.slices.n);
	*bytes = pack.bytes;
	pd_pack_free(&pack);
	free(head);
	return buffer;
}
