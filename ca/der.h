// Walking through DER (ITU-T X.690) without decoding it all: strict, definite and minimal lengths, one-byte tags.
#ifndef CA_DER_H
#define CA_DER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	PD_DER_INTEGER = 0x02,
	PD_DER_BIT_STRING = 0x03,
	PD_DER_NULL = 0x05,
	PD_DER_OID = 0x06,
	PD_DER_SEQUENCE = 0x30,
	PD_DER_SET = 0x31,
	PD_DER_CONTEXT_0 = 0xa0,
};

// Bytes that are borrowed.
struct pd_der {
	const uint8_t *p;
	size_t n;
};

// Takes the next element off `in`: *content is what is in it, *whole (may be NULL) includes tag and length. False: nothing
// left, another tag, a length that is not minimal or reaches beyond the end; `in` is then unchanged.
bool pd_der_take(struct pd_der *in, uint8_t tag, struct pd_der *content, struct pd_der *whole);
// Likewise, whatever the tag.
bool pd_der_take_any(struct pd_der *in, uint8_t *tag, struct pd_der *content);
// A bit string of whole bytes: *bits is without the count of unused bits, which must be 0.
bool pd_der_take_bits(struct pd_der *in, struct pd_der *bits);
bool pd_der_equal(const struct pd_der *d, const void *bytes, size_t n);

#endif
