// SPIFFE IDs of workloads: "spiffe://TRUST_DOMAIN/ns/NAMESPACE/sa/SERVICE_ACCOUNT" (SPIFFE-ID specification, with the path
// that Istio gives it).
#ifndef CA_SPIFFE_H
#define CA_SPIFFE_H

#include "base/err.h"

#define PD_SPIFFE_MAX 2048      // bytes of an ID, without NUL (the specification's limit)
#define PD_TRUST_DOMAIN_MAX 255 // bytes (likewise)
#define PD_SPIFFE_NAME_MAX 253  // bytes of a namespace or service account

struct pd_spiffe {
	char trust_domain[PD_TRUST_DOMAIN_MAX + 1];
	char namespace_[PD_SPIFFE_NAME_MAX + 1];
	char service_account[PD_SPIFFE_NAME_MAX + 1];
};

// Strict: exactly this form, no query, no further path, only characters that such names may have (letters, digits, "-", ".",
// "_"; the trust domain in lower case). PD_E_PARSE.
int pd_spiffe_parse(const char *id, struct pd_spiffe *out) PD_MUST_CHECK;
// The inverse; caller frees.
char *pd_spiffe_format(const char *trust_domain, const char *namespace_, const char *service_account);

#endif
