// PEM blocks (RFC 7468): finding, decoding, writing. What a block holds is for ca/key.h, ca/cert.h and ca/csr.h to say.
#ifndef CA_PEM_H
#define CA_PEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

#define PD_PEM_INPUT_MAX (1u << 20) // bytes of text that the readers of keys and certificates take
#define PD_PEM_LABEL_MAX 64         // bytes of a label

// One decoded block. All-zero is none. Free with pd_pem_free.
struct pd_pem {
	const char *label; // "CERTIFICATE": points into the input
	size_t label_len;
	bool text_before; // something other than blanks stood before the block
	uint8_t *der;
	size_t n;
};
// Erases the bytes, which may be a key. Frees and clears.
void pd_pem_free(struct pd_pem *);
bool pd_pem_is(const struct pd_pem *, const char *label);

// The next block of *at … end; moves *at behind it. PD_E_NOTFOUND: there is none. PD_E_PARSE with a reason appended to `why`:
// no end, end of another label, headers (as encrypted keys have), not base64, nothing in it.
int pd_pem_next(const char **at, const char *end, struct pd_pem *out, struct pd_buf *why) PD_MUST_CHECK;
// Is there anything but blanks in s … end?
bool pd_pem_only_blanks(const char *s, const char *end);

// Appends a block, lines of 64 characters.
void pd_pem_write(struct pd_buf *, const char *label, const uint8_t *der, size_t n);
// Erases what was written, then frees: for a buffer that holds a key.
void pd_pem_wipe(struct pd_buf *);

#endif
