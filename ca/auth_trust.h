// Which trust domains are ours. The mesh configuration says so and may change at any time; authenticators on all threads ask.
#ifndef CA_AUTH_TRUST_H
#define CA_AUTH_TRUST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "ca/spiffe.h"

#define PD_TRUST_ALIASES_MAX 1024 // aliases; further ones are left out

struct pd_trust;
// `domain` is what certificates are issued for; `aliases` are accepted from callers too. All copied.
struct pd_trust *pd_trust_new(const char *domain, const char *const *aliases, size_t n);
void pd_trust_free(struct pd_trust **); // NULL is fine
void pd_trust_set(struct pd_trust *, const char *domain, const char *const *aliases, size_t n);

// Copies the domain; what does not fit is cut. (A domain as long as that is no SPIFFE trust domain: nobody gets an identity.)
void pd_trust_domain(struct pd_trust *, char out[PD_TRUST_DOMAIN_MAX + 1]);
// Is this the domain or an alias?
bool pd_trust_accepts(struct pd_trust *, const char *domain);

#endif
