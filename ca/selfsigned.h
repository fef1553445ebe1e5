// The self-signed CA: made when there is none, kept in a store, replaced before it ends.
//
// Rotation makes a new root with a new key and leaves nobody behind, without waiting for anybody first:
//
//   steady       signer = A                    roots = A
//   overlap      signer = B, chain = B×A       roots = B, A        B×A: B's key signed by A ("cross certificate")
//   steady       signer = B                    roots = B
//
// During the overlap, who trusts only A (it has not renewed since) accepts what B signs because the chain carries B×A, and who
// has renewed trusts both. The overlap ends when the last certificate that A signed has ended, which is known: it is the time
// of the rotation and the longest lifetime ever granted, and both are in the store. So every workload has renewed by then (or
// is gone), also those that asked another replica. pd_authority_renewal tells how many have already. A's key is destroyed at once.
//
// Entries of the store, as istiod has them: ca-cert.pem, ca-key.pem (cert-chain.pem, key.pem, root-cert.pem: empty). Ours:
// previous-ca-cert.pem, cross-cert.pem, overlap-until (RFC 3339), longest-ttl (seconds).
#ifndef CA_SELFSIGNED_H
#define CA_SELFSIGNED_H

#include <stdbool.h>
#include <stdint.h>

#include "ca/authority.h"
#include "ca/store.h"

struct pd_selfsigned_config {
	struct pd_secret_store *store;  // borrowed, as the authority is
	struct pd_authority *authority; // is published to
	const char *organization;       // of the root's subject: the trust domain; borrowed
	unsigned rsa_bits;  // CITADEL_SELF_SIGNED_CA_RSA_KEY_SIZE; 0 = ECDSA P-256, which signs 20 times as fast
	int64_t ca_ttl_s;   // CITADEL_SELF_SIGNED_CA_CERT_TTL
	int64_t leaf_ttl_s; // a lifetime that is granted without being asked for: the overlap lasts as long, at least
	unsigned
		grace_percent; // CITADEL_SELF_SIGNED_ROOT_CERT_GRACE_PERIOD_PERCENTILE: rotate in the last part of the life
	int64_t check_interval_s; // CITADEL_SELF_SIGNED_ROOT_CERT_CHECK_INTERVAL
	bool jitter; // CITADEL_ENABLE_JITTER_FOR_ROOT_CERT_ROTATOR: the first check is late by up to an interval
};

struct pd_selfsigned;
// Loads or makes the root and publishes it. Errors are those of the store, PD_E_PARSE or PD_E_INVALID for what it holds; `why`
// says what.
int pd_selfsigned_open(const struct pd_selfsigned_config *, int64_t now_s, struct pd_selfsigned **out,
		       struct pd_buf *why) PD_MUST_CHECK;
// Checks in the background from now on.
void pd_selfsigned_start(struct pd_selfsigned *);
// Stops and frees. NULL is fine.
void pd_selfsigned_close(struct pd_selfsigned **);

// One check: reads the store (another replica may have changed it), rotates, ends an overlap, remembers the longest lifetime,
// as due at now_s; publishes what is new.
int pd_selfsigned_check(struct pd_selfsigned *, int64_t now_s, struct pd_buf *why) PD_MUST_CHECK;
// Rotates although it is not due. PD_E_AGAIN: the last one is not over yet.
int pd_selfsigned_rotate(struct pd_selfsigned *, int64_t now_s, struct pd_buf *why) PD_MUST_CHECK;
// When the overlap ends, seconds since 1970; 0 = there is none.
int64_t pd_selfsigned_overlap_until(struct pd_selfsigned *);

#endif
