// Callers that were accepted a moment ago, by a hash of their credential. Thread-safe, bounded: a full corner of the table
// forgets the entry that ends soonest.
#ifndef CA_AUTH_CACHE_H
#define CA_AUTH_CACHE_H

#include <stddef.h>
#include <stdint.h>

#include "ca/auth.h"

#define PD_AUTH_KEY_BYTES 32 // SHA-256

struct pd_auth_cache;
struct pd_auth_cache *pd_auth_cache_new(size_t entries);
void pd_auth_cache_free(struct pd_auth_cache **); // NULL is fine
// A copy of the caller, or NULL. Times are monotonic.
struct pd_caller *pd_auth_cache_get(struct pd_auth_cache *, const uint8_t key[PD_AUTH_KEY_BYTES], uint64_t now_ns);
// Copies the caller.
void pd_auth_cache_put(struct pd_auth_cache *, const uint8_t key[PD_AUTH_KEY_BYTES], const struct pd_caller *,
		       uint64_t now_ns, uint64_t until_ns);

#endif
