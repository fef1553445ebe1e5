// Immutable, reference-counted bytes: what is encoded once and shared by all proxies.
//
// `attachment` is one slot for a layer above (the xDS server keeps its grpc_slice there, so that a resource is wrapped once
// and not once per send). It is set at most once; the loser of a race is released at once.
#ifndef BASE_BLOB_H
#define BASE_BLOB_H

#include <stddef.h>
#include <stdint.h>

#include "base/ref.h"

struct pd_blob {
	pd_ref ref;
	uint32_t len;               // bytes in data
	uint64_t hash;              // pd_hash of data
	_Atomic(void *) attachment; // NULL or owned by the blob
	_Atomic(void (*)(void *)) attachment_free;
	_Atomic(_Bool) adopted; // the attachment frees the blob
	uint8_t data[];
};

// A new blob with `len` undefined bytes, one reference. Fill data, then call pd_blob_seal before sharing it.
struct pd_blob *pd_blob_alloc(size_t len);
// Computes the hash.
struct pd_blob *pd_blob_seal(struct pd_blob *b);
struct pd_blob *pd_blob_new(const void *p, size_t len);
static inline struct pd_blob *pd_blob_ref(struct pd_blob *b)
{
	pd_ref_take(&b->ref);
	return b;
}
// NULL is allowed. Safe on any thread.
void pd_blob_unref(struct pd_blob *b);
// Returns the attachment in force: `attachment` if the slot was empty, else the earlier one (and frees the new one).
void *pd_blob_attach(struct pd_blob *b, void *attachment, void (*release)(void *));
// The attachment outlives the blob's references: when the last is dropped, `release` is called instead of freeing, and
// pd_blob_free must be called once nobody reads the bytes any more. For readers that count references in their own way. The
// slot must be empty, and the caller sees to it that nobody else attaches at the same time.
void pd_blob_adopt(struct pd_blob *b, void *attachment, void (*release)(void *));
void pd_blob_free(struct pd_blob *b); // of an adopted blob

#endif
