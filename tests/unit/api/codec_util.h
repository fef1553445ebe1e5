// Short forms for tests of the codec: text in, text out.
#ifndef TESTS_UNIT_API_CODEC_UTIL_H
#define TESTS_UNIT_API_CODEC_UTIL_H

#include <protobuf-c/protobuf-c.h>

#include "api/codec.h"

// Decodes and encodes again; `expected` NULL means the same text as `json`. Fails the test on any error.
void accepts(const char *type, enum pd_codec_policy policy, const char *json, const char *expected);
// Decodes; the errors must be exactly these lines.
void rejects(const char *type, enum pd_codec_policy policy, const char *json, const char *errors);

#define strict(type, json, expected) accepts(type, PD_CODEC_STRICT, json, expected)
#define lenient(type, json, expected) accepts(type, PD_CODEC_LENIENT, json, expected)
#define refuses(type, json, errors) rejects(type, PD_CODEC_STRICT, json, errors)

#endif
