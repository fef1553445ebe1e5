// Growable arrays: `PD_VEC(T)` declares one, all-zero is empty. Elements live in malloc memory; pd_vec_free releases it.
// In an arena: pd_vec_push_a grows by copying inside the arena (no free).
#ifndef BASE_VEC_H
#define BASE_VEC_H

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define PD_VEC(T)                                                                                                      \
	struct {                                                                                                       \
		T *v;                                                                                                  \
		size_t n, cap;                                                                                         \
	}

// qsort that may be given NULL where there is nothing to sort, as an empty vector is.
static inline void pd_sort(void *v, size_t n, size_t size, int (*cmp)(const void *, const void *))
{
	if (n > 1)
		qsort(v, n, size, cmp);
}

static inline size_t pd_vec_next_cap(size_t cap)
{
	return cap ? cap * 2 : 4;
}

#define pd_vec_reserve(vec, want)                                                                                      \
	do {                                                                                                           \
		size_t want_ = (want);                                                                                 \
		if (want_ > (vec)->cap) {                                                                              \
			(vec)->v = pd_xrealloc((vec)->v, want_ * sizeof(*(vec)->v));                                   \
			(vec)->cap = want_;                                                                            \
		}                                                                                                      \
	} while (0)

#define pd_vec_push(vec, ...)                                                                                          \
	do {                                                                                                           \
		if ((vec)->n == (vec)->cap)                                                                            \
			pd_vec_reserve((vec), pd_vec_next_cap((vec)->cap));                                            \
		(vec)->v[(vec)->n++] = (__VA_ARGS__);                                                                  \
	} while (0)

#define pd_vec_push_a(arena, vec, ...)                                                                                 \
	do {                                                                                                           \
		if ((vec)->n == (vec)->cap) {                                                                          \
			size_t cap_ = pd_vec_next_cap((vec)->cap);                                                     \
			void *new_ = pd_arena_alloc((arena), cap_ * sizeof(*(vec)->v));                                \
			if ((vec)->n)                                                                                  \
				memcpy(new_, (vec)->v, (vec)->n * sizeof(*(vec)->v));                                  \
			(vec)->v = new_;                                                                               \
			(vec)->cap = cap_;                                                                             \
		}                                                                                                      \
		(vec)->v[(vec)->n++] = (__VA_ARGS__);                                                                  \
	} while (0)

#define pd_vec_free(vec)                                                                                               \
	do {                                                                                                           \
		free((vec)->v);                                                                                        \
		(vec)->v = NULL;                                                                                       \
		(vec)->n = (vec)->cap = 0;                                                                             \
	} while (0)

#endif
