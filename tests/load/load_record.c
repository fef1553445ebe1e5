#include "tests/load/load_record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static const char magic[] = "PDREC1\n";

FILE *pd_record_create(const char *path)
{
	FILE *f = fopen(path, "wbe");
	if (f)
		fwrite(magic, 1, sizeof(magic) - 1, f);
	return f;
}

void pd_record_append(FILE *f, uint8_t phase, bool delta, const grpc_byte_buffer *message)
{
	const grpc_slice_buffer *sb = &message->data.raw.slice_buffer;
	uint32_t n = (uint32_t)sb->length;
	uint8_t head[6] = {phase, delta, n & 255, n >> 8 & 255, n >> 16 & 255, n >> 24};
	flockfile(f);
	fwrite_unlocked(head, 1, sizeof(head), f);
	for (size_t i = 0; i < sb->count; i++)
		fwrite_unlocked(GRPC_SLICE_START_PTR(sb->slices[i]), 1, GRPC_SLICE_LENGTH(sb->slices[i]), f);
	funlockfile(f);
}

FILE *pd_record_open(const char *path)
{
	char got[sizeof(magic)] = "";
	FILE *f = fopen(path, "rbe");
	if (f && (fread(got, 1, sizeof(magic) - 1, f) != sizeof(magic) - 1 || strcmp(got, magic) != 0)) {
		fclose(f);
		errno = 0;
		return NULL;
	}
	return f;
}

int pd_record_next(FILE *f, struct pd_record *r)
{
	uint8_t head[6];
	size_t got = fread(head, 1, sizeof(head), f);
	if (got == 0)
		return 0;
	*r = (struct pd_record){.phase = head[0], .delta = head[1] != 0};
	r->n = head[2] | (uint32_t)head[3] << 8 | (uint32_t)head[4] << 16 | (uint32_t)head[5] << 24;
	if (got != sizeof(head) || r->n > PD_RECORD_MESSAGE_MAX)
		return PD_E_PARSE;
	r->bytes = pd_xmalloc(r->n ? r->n : 1);
	if (fread(r->bytes, 1, r->n, f) == r->n)
		return 1;
	free(r->bytes);
	r->bytes = NULL;
	return PD_E_PARSE;
}
