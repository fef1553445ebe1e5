// A file with the responses that one proxy received, as they came: written by pilotd-load, served again by pilotd-floor.
// Format: "PDREC1\n", then for each response one byte phase (enum pd_load_phase), one byte protocol (0 state of the world,
// 1 delta), four bytes length (little endian), the message.
#ifndef TESTS_LOAD_RECORD_H
#define TESTS_LOAD_RECORD_H

#include <grpc/grpc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"

enum { PD_RECORD_MESSAGE_MAX = 256 << 20 };

// NULL with errno.
FILE *pd_record_create(const char *path);
// Thread-safe. Errors show when the file is closed (ferror).
void pd_record_append(FILE *f, uint8_t phase, bool delta, const grpc_byte_buffer *message);

struct pd_record {
	uint8_t phase;
	bool delta;
	uint32_t n;
	uint8_t *bytes; // caller frees
};
// NULL with errno, or errno 0 if it is no record file.
FILE *pd_record_open(const char *path);
// 1 and *r, 0 at the end, PD_E_PARSE if the file is cut short.
int pd_record_next(FILE *f, struct pd_record *r) PD_MUST_CHECK;

#endif
