// Who holds a certificate of which signer, and until when: a table of fixed-size records, for the progress of a rotation.
#ifndef CA_HOLDERS_H
#define CA_HOLDERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Not thread-safe. All-zero is empty.
struct pd_holders {
	struct pd_holder {
		uint64_t key;    // hash of who; 0 = free
		int64_t end_s;   // when its last certificate ends
		uint64_t signer; // who signed that
	} * v;
	size_t n, cap; // cap: a power of two
	bool overflow; // one did not fit
};
// Notes a certificate. `max` bounds the table; those that have ended at now_s make room first.
void pd_holders_note(struct pd_holders *, uint64_t key, uint64_t signer, int64_t end_s, int64_t now_s, size_t max);
// Counts those that have not ended, and of those the ones of `signer`.
void pd_holders_count(const struct pd_holders *, uint64_t signer, int64_t now_s, size_t *all, size_t *of_signer);
void pd_holders_free(struct pd_holders *);

#endif
