// Token buckets: how often something may happen.
#ifndef XDS_BUCKET_H
#define XDS_BUCKET_H

#include <stdint.h>

// All-zero except `rate` and `burst` is a full bucket. Not thread-safe.
struct pd_bucket {
	double rate;  // tokens per second; 0 = unlimited
	double burst; // most tokens that are saved
	double spent; // below the full bucket; more than burst = reserved ahead
	uint64_t at_ns;
};
// Takes a token. Returns after how many nanoseconds the caller may go ahead (0 = at once), or UINT64_MAX if that would be
// longer than max_wait_ns; then no token is taken.
uint64_t pd_bucket_take(struct pd_bucket *, uint64_t now_ns, uint64_t max_wait_ns);

#endif
