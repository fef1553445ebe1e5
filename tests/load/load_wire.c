#include "tests/load/load_wire.h"

#include <stdlib.h>

static bool read_varint(struct pd_scan *s, uint64_t *out)
{
	uint64_t v = 0;
	for (unsigned shift = 0; shift < 64 && s->p < s->end; shift += 7) {
		uint8_t c = *s->p++;
		v |= (uint64_t)(c & 0x7f) << shift;
		if (!(c & 0x80)) {
			*out = v;
			return true;
		}
	}
	s->bad = true;
	return false;
}

bool pd_scan_next(struct pd_scan *s, struct pd_field *f)
{
	uint64_t tag = 0, n = 0;
	if (s->p >= s->end || s->bad || !read_varint(s, &tag))
		return false;
	*f = (struct pd_field){.num = (uint32_t)(tag >> 3), .type = tag & 7};
	switch (f->type) {
	case PD_WIRE_VARINT:
		return read_varint(s, &f->value);
	case PD_WIRE_64:
		n = 8;
		break;
	case PD_WIRE_32:
		n = 4;
		break;
	case PD_WIRE_BYTES:
		if (!read_varint(s, &n))
			return false;
		break;
	default:
		s->bad = true;
		return false;
	}
	if (n > (size_t)(s->end - s->p)) {
		s->bad = true;
		return false;
	}
	f->p = s->p;
	f->n = n;
	s->p += n;
	return true;
}

bool pd_scan_find(const void *p, size_t n, uint32_t num, struct pd_field *out)
{
	struct pd_scan s = pd_scan_of(p, n);
	while (pd_scan_next(&s, out))
		if (out->num == num && out->type == PD_WIRE_BYTES)
			return true;
	return false;
}

bool pd_rope_init(struct pd_rope *r, const grpc_byte_buffer *buffer)
{
	*r = (struct pd_rope){.buffer = buffer, .left = buffer->data.raw.slice_buffer.length};
	return buffer->type == GRPC_BB_RAW && buffer->data.raw.compression == GRPC_COMPRESS_NONE;
}

// The bytes from the position to the end of its slice, which is not empty unless the rope is at its end.
static size_t rope_here(struct pd_rope *r, const uint8_t **p)
{
	const grpc_slice_buffer *sb = &r->buffer->data.raw.slice_buffer;
	while (r->slice < sb->count && r->off == GRPC_SLICE_LENGTH(sb->slices[r->slice])) {
		r->slice++;
		r->off = 0;
	}
	if (r->slice == sb->count)
		return 0;
	*p = GRPC_SLICE_START_PTR(sb->slices[r->slice]) + r->off;
	return GRPC_SLICE_LENGTH(sb->slices[r->slice]) - r->off;
}

// Moves on by n bytes, copying them to `to` unless NULL. The caller has checked that they exist.
static void rope_take(struct pd_rope *r, size_t n, uint8_t *to)
{
	r->left -= n;
	while (n > 0) {
		const uint8_t *p = NULL;
		size_t step = rope_here(r, &p);
		if (step > n)
			step = n;
		if (to) {
			memcpy(to, p, step);
			to += step;
		}
		r->off += step;
		n -= step;
	}
}

static bool rope_varint(struct pd_rope *r, uint64_t *out)
{
	uint64_t v = 0;
	for (unsigned shift = 0; shift < 64 && r->left > 0; shift += 7) {
		uint8_t c = 0;
		rope_take(r, 1, &c);
		v |= (uint64_t)(c & 0x7f) << shift;
		if (!(c & 0x80)) {
			*out = v;
			return true;
		}
	}
	r->bad = true;
	return false;
}

static void rope_view(struct pd_rope *r, size_t n, struct pd_scratch *scratch, const uint8_t **view)
{
	if (rope_here(r, view) >= n) {
		rope_take(r, n, NULL);
		return;
	}
	if (scratch->cap < n) {
		scratch->p = pd_xrealloc(scratch->p, n);
		scratch->cap = n;
	}
	*view = scratch->p;
	rope_take(r, n, scratch->p);
}

bool pd_rope_next(struct pd_rope *r, struct pd_field *f, bool want_bytes, struct pd_scratch *scratch)
{
	uint64_t tag = 0, n = 0;
	if (r->left == 0 || r->bad || !rope_varint(r, &tag))
		return false;
	*f = (struct pd_field){.num = (uint32_t)(tag >> 3), .type = tag & 7};
	if (f->type == PD_WIRE_VARINT)
		return rope_varint(r, &f->value);
	if (f->type != PD_WIRE_BYTES || !rope_varint(r, &n) || n > r->left) {
		r->bad = true;
		return false;
	}
	f->n = n;
	if (want_bytes)
		rope_view(r, n, scratch, &f->p);
	else
		rope_take(r, n, NULL);
	return true;
}

void pd_put_varint(struct pd_buf *b, uint64_t v)
{
	uint8_t tmp[10];
	size_t n = 0;
	do {
		tmp[n] = (uint8_t)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
		v >>= 7;
		n++;
	} while (v);
	pd_buf_add(b, tmp, n);
}

void pd_put_bytes(struct pd_buf *b, uint32_t num, const void *p, size_t n)
{
	pd_put_varint(b, (uint64_t)num << 3 | PD_WIRE_BYTES);
	pd_put_varint(b, n);
	pd_buf_add(b, p, n);
}
