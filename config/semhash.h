// A 64-bit hash of what a message says: set fields by number and value; the order of map entries does not matter. Equal in
// every process. Fields that are unset, and fields that the descriptor does not know, are not in it.
#ifndef CONFIG_SEMHASH_H
#define CONFIG_SEMHASH_H

#include <protobuf-c/protobuf-c.h>
#include <stdint.h>

uint64_t pd_message_hash(const ProtobufCMessage *m);
// Without the field of this number (of the message itself, not of those inside).
uint64_t pd_message_hash_without(const ProtobufCMessage *m, uint32_t field);

#endif
