#include "discovery/resource.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/pb.h"
#include "base/hash.h"
#include "base/str.h"

// clang-format off
const struct pd_type_info pd_types[PD_TYPE_COUNT] = {
	[PD_CDS] = {"type.googleapis.com/envoy.config.cluster.v3.Cluster", "CDS", true},
	[PD_EDS] = {"type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment", "EDS", false},
	[PD_LDS] = {"type.googleapis.com/envoy.config.listener.v3.Listener", "LDS", true},
	[PD_RDS] = {"type.googleapis.com/envoy.config.route.v3.RouteConfiguration", "RDS", false},
	[PD_ECDS] = {"type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig", "ECDS", false},
	[PD_SDS] = {"type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret", "SDS", false},
	[PD_NDS] = {"type.googleapis.com/istio.networking.nds.v1.NameTable", "NDS", true},
};
// clang-format on

enum pd_type pd_type_find(const char *type_url)
{
	for (unsigned t = 0; t < PD_TYPE_COUNT; t++)
		if (pd_streq(type_url, pd_types[t].type_url))
			return t;
	return PD_TYPE_COUNT;
}

size_t pd_varint_len(uint64_t v)
{
	size_t n = 1;
	while (v >= 0x80) {
		v >>= 7;
		n++;
	}
	return n;
}

uint8_t *pd_put_varint(uint8_t *p, uint64_t v)
{
	while (v >= 0x80) {
		*p++ = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	*p++ = (uint8_t)v;
	return p;
}

void pd_version_text(uint64_t version, char out[17])
{
	static const char hex[] = "0123456789abcdef";
	for (int i = 15; i >= 0; i--, version >>= 4)
		out[i] = hex[version & 15];
	out[16] = 0;
}

static uint8_t *put_bytes(uint8_t *p, uint8_t tag, const void *bytes, size_t n)
{
	*p++ = tag;
	p = pd_put_varint(p, n);
	memcpy(p, bytes, n);
	return p + n;
}

static size_t bytes_len(size_t n)
{
	return 1 + pd_varint_len(n) + n;
}

enum {
	TAG_RESOURCES = 0x12,
	TAG_NAME = 0x1a,
	TAG_VERSION = 0x0a,
	TAG_RESOURCE = 0x12,
	TAG_TYPE_URL = 0x0a,
	TAG_VALUE = 0x12
};

static void resource_release(struct pd_obj *o)
{
	struct pd_resource *r = (struct pd_resource *)o;
	for (uint32_t i = 0; i < r->n_parts; i++)
		pd_blob_unref(r->parts[i]);
	pd_obj_unref(r->prov);
	pd_unintern(r->name);
	free(r);
}

// The frames in front of `value_len` bytes of value, of which the first `head_len` go into the same part.
static struct pd_blob *frame_head(enum pd_type type, const char *name, uint64_t version, size_t value_len,
				  size_t head_len, uint32_t *sotw_off, uint8_t **head)
{
	const char *url = pd_types[type].type_url;
	size_t url_len = strlen(url), name_len = strlen(name);
	size_t any_len = bytes_len(url_len) + bytes_len(value_len);
	size_t resource_len = bytes_len(name_len) + bytes_len(16) + bytes_len(any_len);
	size_t outer = 1 + pd_varint_len(resource_len);
	size_t part_len = outer + resource_len - value_len + head_len;

	struct pd_blob *b = pd_blob_alloc(part_len);
	char text[17];
	pd_version_text(version, text);
	uint8_t *p = b->data;
	*p++ = TAG_RESOURCES;
	p = pd_put_varint(p, resource_len);
	p = put_bytes(p, TAG_NAME, name, name_len);
	p = put_bytes(p, TAG_VERSION, text, 16);
	*sotw_off = (uint32_t)(p - b->data);
	*p++ = TAG_RESOURCE;
	p = pd_put_varint(p, any_len);
	p = put_bytes(p, TAG_TYPE_URL, url, url_len);
	*p++ = TAG_VALUE;
	p = pd_put_varint(p, value_len);
	PD_ASSERT(p + head_len == b->data + part_len);
	*head = p;
	return b;
}

static struct pd_resource *resource_alloc(enum pd_type type, const char *name, uint64_t version,
					  struct pd_provenance *prov, uint32_t n_parts)
{
	struct pd_resource *r = pd_xcalloc(1, sizeof(*r) + n_parts * sizeof(r->parts[0]));
	pd_obj_init(&r->obj, resource_release);
	r->name = pd_intern(name);
	r->type = type;
	r->version = version;
	r->prov = pd_obj_ref(prov);
	r->n_parts = n_parts;
	return r;
}

struct pd_resource *pd_resource_new(enum pd_type type, const char *name, const ProtobufCMessage *msg,
				    struct pd_provenance *prov)
{
	size_t len = pb_packed_size(msg);
	uint8_t stack[4096], *value = len <= sizeof(stack) ? stack : pd_xmalloc(len);
	PD_ASSERT(pb_pack(msg, value) == len);
	uint64_t version = pd_hash_seed(value, len, type);

	struct pd_resource *r = resource_alloc(type, name, version, prov, 1);
	uint8_t *p;
	r->parts[0] = frame_head(type, name, version, len, len, &r->sotw_off, &p);
	memcpy(p, value, len);
	pd_blob_seal(r->parts[0]);
	r->delta_len = r->parts[0]->len;
	if (value != stack)
		free(value);
	return r;
}

struct pd_resource *pd_resource_new_rope(enum pd_type type, const char *name, const ProtobufCMessage *head,
					 struct pd_blob *const *children, size_t n, const ProtobufCMessage *tail,
					 struct pd_provenance *prov)
{
	size_t head_len = pb_packed_size(head), tail_len = tail ? pb_packed_size(tail) : 0, len = head_len + tail_len;
	struct pd_blob *tail_blob = NULL;
	if (tail_len) {
		tail_blob = pd_blob_alloc(tail_len);
		pb_pack(tail, tail_blob->data);
		pd_blob_seal(tail_blob);
	}
	uint8_t *tmp = pd_xmalloc(head_len);
	pb_pack(head, tmp);
	// The parts' hashes stand for the parts: the same children in the same order give the same version everywhere.
	uint64_t version = pd_hash_seed(tmp, head_len, type);
	for (size_t i = 0; i < n; i++) {
		len += children[i]->len;
		version = pd_hash_mix(version, children[i]->hash);
	}
	version = pd_hash_mix(version, tail_blob ? tail_blob->hash : 0);

	struct pd_resource *r = resource_alloc(type, name, version, prov, (uint32_t)(1 + n + (tail_blob ? 1 : 0)));
	uint8_t *p;
	r->parts[0] = frame_head(type, name, version, len, head_len, &r->sotw_off, &p);
	memcpy(p, tmp, head_len);
	free(tmp);
	pd_blob_seal(r->parts[0]);
	r->delta_len = (uint32_t)(r->parts[0]->len + len - head_len);
	for (size_t i = 0; i < n; i++)
		r->parts[1 + i] = pd_blob_ref(children[i]);
	if (tail_blob)
		r->parts[1 + n] = tail_blob;
	return r;
}

struct pd_blob *pd_field_blob(uint32_t field, const ProtobufCMessage *msg)
{
	size_t len = pb_packed_size(msg);
	uint64_t tag = (uint64_t)field << 3 | 2;
	struct pd_blob *b = pd_blob_alloc(pd_varint_len(tag) + pd_varint_len(len) + len);
	uint8_t *p = pd_put_varint(pd_put_varint(b->data, tag), len);
	pb_pack(msg, p);
	return pd_blob_seal(b);
}

static uint64_t get_varint(const uint8_t **p)
{
	uint64_t v = 0;
	for (unsigned shift = 0;; shift += 7) {
		uint8_t c = *(*p)++;
		v |= (uint64_t)(c & 0x7f) << shift;
		if (!(c & 0x80))
			return v;
	}
}

uint8_t *pd_resource_value(const struct pd_resource *r, size_t *len)
{
	const uint8_t *p = r->parts[0]->data + r->sotw_off + 1, *end = r->parts[0]->data + r->parts[0]->len;
	get_varint(&p);
	p++;
	uint64_t url_len = get_varint(&p);
	p += url_len + 1;
	*len = get_varint(&p);
	uint8_t *out = pd_xmalloc(*len ? *len : 1), *q = out;
	memcpy(q, p, (size_t)(end - p));
	q += end - p;
	for (uint32_t i = 1; i < r->n_parts; i++) {
		memcpy(q, r->parts[i]->data, r->parts[i]->len);
		q += r->parts[i]->len;
	}
	PD_ASSERT((size_t)(q - out) == *len);
	return out;
}
