#include "xds/slice.h"

#include <pthread.h>
#include <stdint.h>

#define STRIPES 16
// clang-format off
static pthread_mutex_t stripes[STRIPES] = {
	PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER,
	PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER,
	PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER,
	PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER,
};
// clang-format on

static void last_reader_gone(void *blob)
{
	struct pd_blob *b = blob;

	pd_taking_over(atomic_load_explicit(&b->attachment, memory_order_relaxed));
	pd_blob_free(b);
}

// The attachment is grpc's reference count.
static grpc_slice slice_with(void *refcount, uint8_t *bytes, size_t len)
{
	grpc_slice s;

	s.refcount = refcount;
	s.data.refcounted.bytes = bytes;
	s.data.refcounted.length = len;
	return s;
}

static void blob_gone(void *refcount)
{
	pd_handing_over(refcount);
	grpc_slice_unref(slice_with(refcount, NULL, 0));
}

static void *wrap(struct pd_blob *b)
{
	pthread_mutex_t *m = &stripes[((uintptr_t)b >> 6) % STRIPES];
	void *refcount;

	pthread_mutex_lock(m);
	refcount = atomic_load_explicit(&b->attachment, memory_order_acquire);
	if (!refcount) {
		refcount = grpc_slice_new_with_user_data(b->data, b->len, last_reader_gone, b).refcount;
		pd_blob_adopt(b, refcount, blob_gone);
	}
	pthread_mutex_unlock(m);
	return refcount;
}

grpc_slice pd_slice_of_blob(struct pd_blob *b, size_t off)
{
	void *refcount = atomic_load_explicit(&b->attachment, memory_order_acquire);

	if (!refcount)
		refcount = wrap(b);
	pd_handing_over(refcount);
	return grpc_slice_ref(slice_with(refcount, b->data + off, b->len - off));
}
