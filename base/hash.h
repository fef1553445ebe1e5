// 64-bit content hash (XXH3, fixed seed): equal in every process and version of pilotd. Resource versions are made of it,
// so changing it means one full re-send to every proxy after an upgrade.
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

uint64_t pd_hash(const void *p, size_t n);
uint64_t pd_hash_seed(const void *p, size_t n, uint64_t seed);
static inline uint64_t pd_hash_str(const char *s)
{
	return pd_hash(s ? s : "", s ? strlen(s) : 0);
}

// Mixes b into a; not commutative.
static inline uint64_t pd_hash_mix(uint64_t a, uint64_t b)
{
	uint64_t x = (a ^ (b + 0x9e3779b97f4a7c15ull + (a << 6) + (a >> 2))) * 0xff51afd7ed558ccdull;
	return x ^ (x >> 33);
}

#endif
