// One interface for whoever turns a request into a chain: our own key (ca/authority.h: self-signed or plugged in), or a signer
// elsewhere that answers later (a CertificateSigningRequest of Kubernetes).
#ifndef CA_ISSUER_H
#define CA_ISSUER_H

#include <stddef.h>
#include <stdint.h>

#include "ca/csr.h"

// What is wanted. Borrowed until `done` is called.
struct pd_signing {
	const struct pd_csr *csr;
	const char *csr_pem; // the same, for who passes it on
	size_t csr_pem_len;
	const char *const *sans; // at least one; what the CSR asks for does not count
	size_t n_sans;
	int64_t ttl_s;      // as asked for: 0 or less = the default
	const char *signer; // metadata CertSigner: "" = the usual one
	const char *
		holder; // where the certificate will live (address of the peer), to tell replicas apart; NULL = unknown
};

enum pd_signing_fault {
	PD_SIGNING_OK,
	PD_SIGNING_CSR,       // the request is not acceptable
	PD_SIGNING_TTL,       // the lifetime is over the maximum
	PD_SIGNING_NOT_READY, // there is nothing to sign with
	PD_SIGNING_FAILED,    // signing went wrong
};
// "CSR_ERROR", as istiod's metrics name them.
const char *pd_signing_fault_name(enum pd_signing_fault);

// Exactly once per request. On success `chain` is: the leaf, each intermediate (PEM), the whole bundle of roots last; borrowed
// during the call. Otherwise n is 0 and `why` tells the reason.
typedef void (*pd_signing_done)(enum pd_signing_fault, const char *const *chain, size_t n, const char *why, void *arg);

struct pd_issuer {
	const char *name; // static
	// May block for as long as signing takes; is called on the workers of ca/service.h.
	void (*issue)(void *self, const struct pd_signing *, pd_signing_done done, void *arg);
	void *self;
};

#endif
