// Allocation: abort-on-failure malloc wrappers and arenas.
//
// An arena owns everything allocated from it and frees it at once. Lifetimes form a tree (process > snapshot > translation
// pass; connection > stream): give each its arena. Arenas are not thread-safe.
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

// Like malloc, calloc, realloc, strdup, but abort when memory is exhausted: there is nothing useful left to do then.
// Caller frees with free().
void *pd_xmalloc(size_t n);
void *pd_xcalloc(size_t count, size_t size);
void *pd_xrealloc(void *p, size_t n);
char *pd_xstrdup(const char *s);
// `n` bytes of `s` plus a NUL.
char *pd_xstrndup(const char *s, size_t n);
char *pd_xasprintf(const char *fmt, ...) PD_PRINTF(1, 2);
// Overwrites `n` bytes, then frees. NULL is fine.
void pd_free_secret(void *p, size_t n);

struct pd_arena_chunk;
// All-zero is a valid empty arena.
struct pd_arena {
	struct pd_arena_chunk *chunks; // newest first
	char *cur, *end;               // free space of the newest chunk
	size_t used;                   // bytes handed out
	size_t reserved;               // bytes taken from malloc
	size_t first_chunk;            // size of the first chunk; 0 = 4 KiB; doubles up to 256 KiB
	bool secret;                   // overwrite memory before it goes back: for keys and tokens
};

// 16-byte aligned; contents undefined. Never NULL. A size of 0 yields a valid pointer.
void *pd_arena_alloc(struct pd_arena *a, size_t n);
void *pd_arena_zalloc(struct pd_arena *a, size_t n);
// Byte-aligned, for strings: packs tighter than pd_arena_alloc.
char *pd_arena_bytes(struct pd_arena *a, size_t n);
char *pd_arena_strdup(struct pd_arena *a, const char *s);
char *pd_arena_strndup(struct pd_arena *a, const char *s, size_t n);
char *pd_arena_printf(struct pd_arena *a, const char *fmt, ...) PD_PRINTF(2, 3);
char *pd_arena_vprintf(struct pd_arena *a, const char *fmt, va_list ap);
// Frees everything; the arena is empty and usable again.
void pd_arena_free(struct pd_arena *a);
// Forgets everything but keeps the largest chunk for the next pass.
void pd_arena_reset(struct pd_arena *a);

#define PD_NEW(a, T) ((T *)pd_arena_zalloc((a), sizeof(T)))
#define PD_NEWN(a, T, n) ((T *)pd_arena_zalloc((a), sizeof(T) * (n)))

#endif
