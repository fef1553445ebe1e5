// Base64 (RFC 4648), both alphabets.
#ifndef API_BASE64_H
#define API_BASE64_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/str.h"

// Takes the standard and the URL-safe alphabet, with or without padding; false if malformed (*out is untouched then).
bool pd_base64_decode(struct pd_arena *a, const char *s, size_t n, ProtobufCBinaryData *out);
// Appends the standard alphabet with padding.
void pd_base64_encode(struct pd_buf *out, const uint8_t *p, size_t n);

#endif
