// Atomic reference counts. An object starts with one reference; pd_ref_drop says when the last is gone.
#ifndef BASE_REF_H
#define BASE_REF_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/err.h"

typedef struct {
	atomic_uint n;
} pd_ref;

static inline void pd_ref_init(pd_ref *r)
{
	atomic_init(&r->n, 1);
}
static inline void pd_ref_take(pd_ref *r)
{
	atomic_fetch_add_explicit(&r->n, 1, memory_order_relaxed);
}
// True if this was the last reference: the caller must free the object.
static inline bool pd_ref_drop(pd_ref *r)
{
	unsigned before = atomic_fetch_sub_explicit(&r->n, 1, memory_order_acq_rel);
	PD_ASSERT(before > 0);
	return before == 1;
}

#endif
