// Blobs as grpc slices, without copying and without an allocation per send.
//
// The first send makes one grpc reference count per blob and leaves it as the blob's attachment. From then on grpc's count
// rules the memory: the blob (by its own count) holds one reference, every slice on its way to a client another, and the last
// one frees the bytes, on whatever thread that is. So nobody has to hold a blob while grpc reads it.
#ifndef XDS_SLICE_H
#define XDS_SLICE_H

#include <grpc/slice.h>

#include "base/blob.h"

// The bytes from `off` on. One grpc reference for the caller, who holds the blob during the call.
grpc_slice pd_slice_of_blob(struct pd_blob *b, size_t off);

// libgrpc is not built with ThreadSanitizer, which therefore does not see that its reference counts order our writes before
// its free. These say so.
#if defined(__SANITIZE_THREAD__)
#define PD_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define PD_TSAN 1
#endif
#endif
#ifdef PD_TSAN
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
#define pd_handing_over(p) __tsan_release(p)
#define pd_taking_over(p) __tsan_acquire(p)
#else
#define pd_handing_over(p) ((void)(p))
#define pd_taking_over(p) ((void)(p))
#endif

#endif
