#include "xds/bucket.h"

uint64_t pd_bucket_take(struct pd_bucket *b, uint64_t now_ns, uint64_t max_wait_ns)
{
	double wait;

	if (b->rate <= 0)
		return 0;
	if (now_ns > b->at_ns) {
		b->spent -= (double)(now_ns - b->at_ns) / 1e9 * b->rate;
		b->at_ns = now_ns;
	}
	if (b->spent < 0)
		b->spent = 0;
	wait = b->spent + 1 > b->burst ? (b->spent + 1 - b->burst) / b->rate * 1e9 : 0;
	if (wait > (double)max_wait_ns)
		return UINT64_MAX;
	b->spent += 1;
	return (uint64_t)wait;
}
