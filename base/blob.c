#include "base/blob.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"

struct pd_blob *pd_blob_alloc(size_t len)
{
	struct pd_blob *b;

	PD_ASSERT(len <= UINT32_MAX);
	b = pd_xmalloc(sizeof(*b) + len);
	pd_ref_init(&b->ref);
	b->len = (uint32_t)len;
	b->hash = 0;
	atomic_init(&b->attachment, NULL);
	atomic_init(&b->attachment_free, NULL);
	atomic_init(&b->adopted, false);
	return b;
}

struct pd_blob *pd_blob_seal(struct pd_blob *b)
{
	b->hash = pd_hash(b->data, b->len);
	return b;
}

struct pd_blob *pd_blob_new(const void *p, size_t len)
{
	struct pd_blob *b = pd_blob_alloc(len);

	if (len)
		memcpy(b->data, p, len);
	return pd_blob_seal(b);
}

void pd_blob_unref(struct pd_blob *b)
{
	void *attachment;
	void (*release)(void *);
	bool adopted;

	if (!b || !pd_ref_drop(&b->ref))
		return;
	attachment = atomic_load_explicit(&b->attachment, memory_order_relaxed);
	release = atomic_load_explicit(&b->attachment_free, memory_order_relaxed);
	adopted = atomic_load_explicit(&b->adopted, memory_order_relaxed);
	if (attachment && release)
		release(attachment);
	if (!adopted)
		free(b);
}

// The two slots are not written together, but whoever attaches holds a reference: the last pd_blob_unref, which reads
// both, comes after the caller's own and thereby after both writes.
void *pd_blob_attach(struct pd_blob *b, void *attachment, void (*release)(void *))
{
	void *there = NULL;

	if (atomic_compare_exchange_strong_explicit(&b->attachment, &there, attachment, memory_order_acq_rel,
						    memory_order_acquire)) {
		atomic_store_explicit(&b->attachment_free, release, memory_order_relaxed);
		return attachment;
	}
	if (release)
		release(attachment);
	return there;
}

void pd_blob_adopt(struct pd_blob *b, void *attachment, void (*release)(void *))
{
	atomic_store_explicit(&b->attachment_free, release, memory_order_relaxed);
	atomic_store_explicit(&b->adopted, true, memory_order_relaxed);
	PD_ASSERT(!atomic_exchange_explicit(&b->attachment, attachment, memory_order_acq_rel));
}

void pd_blob_free(struct pd_blob *b)
{
	free(b);
}
