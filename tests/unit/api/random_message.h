// Random messages of any type, by descriptor.
#ifndef TESTS_UNIT_API_RANDOM_MESSAGE_H
#define TESTS_UNIT_API_RANDOM_MESSAGE_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"

struct random {
	uint64_t state;  // seed, not 0
	bool no_unknown; // no Any of unknown types, no enum numbers without a name: for readers that refuse them
};
uint64_t random_next(struct random *r);
static inline uint64_t random_below(struct random *r, uint64_t n)
{
	return random_next(r) % n;
}

// A message whose fields are set at random, to `depth` levels of nesting, in a form that JSON can express: times within
// range, a kind in every google.protobuf.Value, maps sorted and without duplicates.
void *random_message(struct pd_arena *a, struct random *r, const ProtobufCMessageDescriptor *d, int depth);

#endif
