// Copies of messages that take exactly the memory they need: one block with the structs in front and the strings behind.
#ifndef CONFIG_COMPACT_H
#define CONFIG_COMPACT_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>

// Measured first, filled later. All-zero is empty.
struct pd_compact {
	size_t structs, bytes; // needed (pd_compact_measure adds up)
	char *at, *text;       // where the next struct and the next string go
};

// Adds what a copy of m needs. NULL needs nothing.
void pd_compact_measure(struct pd_compact *c, const ProtobufCMessage *m);
// Total size of the block.
static inline size_t pd_compact_size(const struct pd_compact *c)
{
	return c->structs + c->bytes;
}
// Gives the block: 16-byte aligned, of pd_compact_size bytes.
void pd_compact_begin(struct pd_compact *c, void *block);
// Deep copy of a message that was measured. NULL yields NULL. Unknown fields are left out.
ProtobufCMessage *pd_compact_copy(struct pd_compact *c, const ProtobufCMessage *m);

#endif
