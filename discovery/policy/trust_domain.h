// Trust domains in policies: a mesh that changed its name, or has several, means all of them by any of them.
#ifndef DISCOVERY_POLICY_TRUST_DOMAIN_H
#define DISCOVERY_POLICY_TRUST_DOMAIN_H

#include <stddef.h>

#include "base/mem.h"

// The mesh's trust domain first, then its aliases.
struct pd_trust_domains {
	size_t n;
	const char *const *v;
};
struct pd_texts {
	size_t n, cap;
	const char **v; // in the arena
};

// Principals "DOMAIN/ns/NS/sa/SA": one whose domain is among those of the mesh (or "cluster.local", which always means the
// own one) becomes one for each. What does not have five parts, or "*" as its domain, stays.
struct pd_texts pd_trust_expand_principals(struct pd_arena *a, const struct pd_trust_domains *domains,
					   char *const *principals, size_t n);
// Names of trust domains: one of the mesh's becomes all of them; each once.
struct pd_texts pd_trust_expand_domains(struct pd_arena *a, const struct pd_trust_domains *domains, char *const *names,
					size_t n);

#endif
