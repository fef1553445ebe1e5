// A signing certificate with its key, and the certificates that it issues.
//
// A signer never changes: rotation makes another one and swaps it (ca/authority.h). Signing is done by any number of threads
// at once.
#ifndef CA_SIGNER_H
#define CA_SIGNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ref.h"
#include "base/str.h"
#include "ca/cert.h"
#include "ca/csr.h"

#define PD_SANS_MAX 64                   // names in one certificate
#define PD_CLOCK_SKEW_S 120              // how far notBefore is set back
#define PD_COMMON_NAME_MAX 64            // characters (RFC 5280, ub-common-name)
#define PD_DEFAULT_TTL_S (24 * 3600)     // DEFAULT_WORKLOAD_CERT_TTL
#define PD_MAX_TTL_S (90 * 24 * 3600)    // MAX_WORKLOAD_CERT_TTL
#define PD_CA_TTL_S (3650ll * 24 * 3600) // CITADEL_SELF_SIGNED_CA_CERT_TTL

// ---- lifetimes -----------------------------------------------------------------------------------------------------------

struct pd_ttl_rules {
	int64_t default_s, max_s;
};
// What a request of `wanted_s` seconds gets, while the chain ends in `chain_left_s`. Nothing wanted (<= 0): the default, or
// what is left of the chain if that is less. PD_E_LIMIT: more than the maximum. (What outlives the signing certificate is cut
// when it is signed.)
int pd_ttl_pick(const struct pd_ttl_rules *, int64_t wanted_s, int64_t chain_left_s, int64_t *out, struct pd_buf *why)
	PD_MUST_CHECK;

// ---- signer --------------------------------------------------------------------------------------------------------------

struct pd_signer {
	pd_ref ref;
	X509 *cert;
	EVP_PKEY *key;
	struct pd_certs chain; // intermediates above `cert` and below the roots; with `cert` itself unless it is a root
	const EVP_MD *digest;
	X509_EXTENSION
	*extensions[4];          // the same in each certificate: key usage, extended key usage, CA:false, issuer's key
	int64_t chain_not_after; // the earliest end in the chain, seconds since 1970
};

// All are borrowed (references are taken). `chain`: what is sent behind the leaf, without roots; empty for a root that signs
// itself. Nothing is checked here: see pd_cert_check_*.
struct pd_signer *pd_signer_new(X509 *cert, EVP_PKEY *key, const struct pd_certs *chain);
struct pd_signer *pd_signer_ref(struct pd_signer *);
void pd_signer_unref(struct pd_signer **); // NULL is fine; clears

struct pd_leaf {
	// "spiffe://…" becomes a URI, an IP address an IP, all else a DNS name. 1 to PD_SANS_MAX.
	const char *const *sans;
	size_t n_sans;
	int64_t ttl_s,
		now_s; // valid from now − PD_CLOCK_SKEW_S to now + ttl, at most to the end of the signing certificate
	bool common_name; // put the first SAN into the subject too, if it is not too long
};
// The certificate for the key of a checked request, as PEM. PD_E_INVALID: the signing certificate has expired, a SAN is
// empty or holds what no name may; PD_E_LIMIT: too many SANs. *not_after (may be NULL): seconds since 1970.
int pd_signer_issue(const struct pd_signer *, const struct pd_csr *, const struct pd_leaf *, struct pd_buf *pem,
		    int64_t *not_after, struct pd_buf *why) PD_MUST_CHECK;
// The same for a key of our own (pilotd's serving certificate).
int pd_signer_issue_own(const struct pd_signer *, EVP_PKEY *, const struct pd_leaf *, struct pd_buf *pem,
			int64_t *not_after, struct pd_buf *why) PD_MUST_CHECK;

// ---- roots ---------------------------------------------------------------------------------------------------------------

// A new self-signed root, subject "O = organization", valid from now − PD_CLOCK_SKEW_S. Never NULL.
X509 *pd_root_new(EVP_PKEY *, const char *organization, int64_t ttl_s, int64_t now_s);
// A certificate for the subject and key of `root` that `old` signed: who trusts only the old root takes what the new one
// signs. Ends with the earlier of both. Never NULL.
X509 *pd_root_cross(X509 *root, const struct pd_signer *old, int64_t now_s);

#endif
