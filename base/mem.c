#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Under AddressSanitizer the free part of a chunk is poisoned and each piece is followed by a red zone, so that an overflow
// inside an arena is found like one on the heap.
#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif
#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
#define RED_ZONE 16
#define POISON(p, n) ASAN_POISON_MEMORY_REGION(p, n)
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#else
#define RED_ZONE 0
#define POISON(p, n) ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
#endif

#define CHUNK_MIN 4096
#define CHUNK_MAX (256 * 1024)
#define ALIGN 16

struct pd_arena_chunk {
	struct pd_arena_chunk *next;
	size_t size; // bytes in data
	_Alignas(ALIGN) char data[];
};

static _Noreturn void out_of_memory(size_t n)
{
	fprintf(stderr, "out of memory: cannot allocate %zu bytes\n", n);
	abort();
}

void *pd_xmalloc(size_t n)
{
	void *p = malloc(n ? n : 1);

	if (!p)
		out_of_memory(n);
	return p;
}

void *pd_xcalloc(size_t count, size_t size)
{
	void *p = calloc(count ? count : 1, size ? size : 1);

	if (!p)
		out_of_memory(count * size);
	return p;
}

void *pd_xrealloc(void *p, size_t n)
{
	void *q = realloc(p, n ? n : 1);

	if (!q)
		out_of_memory(n);
	return q;
}

char *pd_xstrdup(const char *s)
{
	return pd_xstrndup(s, strlen(s));
}

char *pd_xstrndup(const char *s, size_t n)
{
	char *p = pd_xmalloc(n + 1);

	if (n)
		memcpy(p, s, n);
	p[n] = 0;
	return p;
}

char *pd_xasprintf(const char *fmt, ...)
{
	va_list ap;
	char *s;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&s, fmt, ap);
	va_end(ap);
	if (n < 0)
		out_of_memory(0);
	return s;
}

void pd_free_secret(void *p, size_t n)
{
	if (p)
		explicit_bzero(p, n);
	free(p);
}

static struct pd_arena_chunk *chunk_new(struct pd_arena *a, size_t size)
{
	struct pd_arena_chunk *c;

	if (size > SIZE_MAX - sizeof(*c))
		out_of_memory(size);
	c = pd_xmalloc(sizeof(*c) + size);
	c->size = size;
	a->reserved += sizeof(*c) + size;
	POISON(c->data, size);
	return c;
}

static void chunk_wipe(const struct pd_arena *a, struct pd_arena_chunk *c)
{
	UNPOISON(c->data, c->size);
	if (a->secret)
		explicit_bzero(c->data, c->size);
}

static void chunk_free(const struct pd_arena *a, struct pd_arena_chunk *c)
{
	chunk_wipe(a, c);
	free(c);
}

// Makes room for `need` bytes and returns them. What does not fit an ordinary chunk gets one of its own, placed second, so
// that the free space of the newest stays in use.
static char *arena_grow(struct pd_arena *a, size_t need)
{
	struct pd_arena_chunk *c;
	size_t size = a->chunks ? a->chunks->size * 2 : (a->first_chunk ? a->first_chunk : CHUNK_MIN);

	if (size > CHUNK_MAX && size > a->first_chunk)
		size = CHUNK_MAX > a->first_chunk ? CHUNK_MAX : a->first_chunk;
	if (need > size / 4 && a->chunks) {
		c = chunk_new(a, need);
		c->next = a->chunks->next;
		a->chunks->next = c;
		return c->data;
	}
	c = chunk_new(a, need > size ? need : size);
	c->next = a->chunks;
	a->chunks = c;
	a->cur = c->data + need;
	a->end = c->data + c->size;
	return c->data;
}

static void *arena_take(struct pd_arena *a, size_t n, size_t align)
{
	size_t pad = a->cur ? -(uintptr_t)a->cur & (align - 1) : 0;
	size_t need = n + RED_ZONE;
	char *p;

	if (need < n || n > SIZE_MAX / 2)
		out_of_memory(n);
	if (a->cur && pad + need <= (size_t)(a->end - a->cur)) {
		p = a->cur + pad;
		a->cur = p + need;
	} else {
		p = arena_grow(a, need);
	}
	a->used += n;
	UNPOISON(p, n);
	return p;
}

void *pd_arena_alloc(struct pd_arena *a, size_t n)
{
	return arena_take(a, n, ALIGN);
}

void *pd_arena_zalloc(struct pd_arena *a, size_t n)
{
	return memset(arena_take(a, n, ALIGN), 0, n);
}

char *pd_arena_bytes(struct pd_arena *a, size_t n)
{
	return arena_take(a, n, 1);
}

char *pd_arena_strdup(struct pd_arena *a, const char *s)
{
	return pd_arena_strndup(a, s, strlen(s));
}

char *pd_arena_strndup(struct pd_arena *a, const char *s, size_t n)
{
	char *p = pd_arena_bytes(a, n + 1);

	if (n)
		memcpy(p, s, n);
	p[n] = 0;
	return p;
}

char *pd_arena_printf(struct pd_arena *a, const char *fmt, ...)
{
	va_list ap;
	char *s;

	va_start(ap, fmt);
	s = pd_arena_vprintf(a, fmt, ap);
	va_end(ap);
	return s;
}

char *pd_arena_vprintf(struct pd_arena *a, const char *fmt, va_list ap)
{
	char small[256], *s;
	va_list again;
	int n;

	va_copy(again, ap);
	n = vsnprintf(small, sizeof(small), fmt, ap);
	PD_ASSERT(n >= 0);
	if ((size_t)n < sizeof(small)) {
		s = pd_arena_strndup(a, small, (size_t)n);
	} else {
		s = pd_arena_bytes(a, (size_t)n + 1);
		vsnprintf(s, (size_t)n + 1, fmt, again);
	}
	va_end(again);
	return s;
}

void pd_arena_free(struct pd_arena *a)
{
	struct pd_arena_chunk *c, *next;

	for (c = a->chunks; c; c = next) {
		next = c->next;
		chunk_free(a, c);
	}
	a->chunks = NULL;
	a->cur = a->end = NULL;
	a->used = a->reserved = 0;
}

void pd_arena_reset(struct pd_arena *a)
{
	struct pd_arena_chunk *c, *next, *largest = a->chunks;

	if (!largest)
		return;
	for (c = a->chunks; c; c = c->next)
		if (c->size > largest->size)
			largest = c;
	for (c = a->chunks; c; c = next) {
		next = c->next;
		if (c != largest)
			chunk_free(a, c);
	}
	largest->next = NULL;
	a->chunks = largest;
	a->cur = largest->data;
	a->end = largest->data + largest->size;
	a->used = 0;
	a->reserved = sizeof(*largest) + largest->size;
	chunk_wipe(a, largest);
	POISON(largest->data, largest->size);
}
