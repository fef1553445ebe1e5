// The protobuf wire format, walked by hand: the load client must leave the processor to the server, so it never unpacks a
// message but looks at the few fields that an Envoy acts on.
#ifndef TESTS_LOAD_WIRE_H
#define TESTS_LOAD_WIRE_H

#include <grpc/grpc.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "base/vec.h"

enum { PD_WIRE_VARINT = 0, PD_WIRE_64 = 1, PD_WIRE_BYTES = 2, PD_WIRE_32 = 5 };

// One field. Bytes are borrowed from the scanned message.
struct pd_field {
	uint32_t num;
	uint32_t type;    // PD_WIRE_*
	uint64_t value;   // varint only
	const uint8_t *p; // PD_WIRE_BYTES only
	size_t n;
};

// A message in contiguous memory.
struct pd_scan {
	const uint8_t *p, *end;
	bool bad; // malformed; the scan ended there
};

static inline struct pd_scan pd_scan_of(const void *p, size_t n)
{
	return (struct pd_scan){.p = p, .end = (const uint8_t *)p + n};
}
// The next field; false at the end or when malformed.
bool pd_scan_next(struct pd_scan *s, struct pd_field *f);
// The (first) length-delimited field `num` of a message; false if there is none.
bool pd_scan_find(const void *p, size_t n, uint32_t num, struct pd_field *out);

// A message spread over several slices, as grpc receives it. Only fields that cross a slice are copied.
struct pd_rope {
	const grpc_byte_buffer *buffer; // borrowed, must be raw and uncompressed
	size_t slice, off;              // position
	size_t left;                    // bytes to the end
	bool bad;
};

// Where fields that cross slices are put together; reused from field to field.
struct pd_scratch {
	uint8_t *p;
	size_t cap;
};

// False if the buffer is compressed.
bool pd_rope_init(struct pd_rope *r, const grpc_byte_buffer *buffer);
// The next field. With `want_bytes` false the bytes of a length-delimited field are skipped and f->p is NULL.
// f->p is valid until the next call with the same scratch.
bool pd_rope_next(struct pd_rope *r, struct pd_field *f, bool want_bytes, struct pd_scratch *scratch);

// Writers; they append to `b`.
void pd_put_varint(struct pd_buf *b, uint64_t v);
void pd_put_bytes(struct pd_buf *b, uint32_t num, const void *p, size_t n);
static inline void pd_put_str(struct pd_buf *b, uint32_t num, const char *s)
{
	pd_put_bytes(b, num, s, strlen(s));
}

#endif
