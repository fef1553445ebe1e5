// Which objects of a resource are known, in which version: enough to tell on the next list what is gone and what is new.
//
// A dense array of entries, and an open-addressed index over it (32-bit numbers, at most three quarters full). Names are
// interned; the store interns the same ones, so they cost nothing more here.
#ifndef K8S_REFLECTOR_KNOWN_H
#define K8S_REFLECTOR_KNOWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PD_K8S_KNOWN_MAX (UINT32_MAX / 2) // entries; asserted

struct pd_k8s_known_entry {
	const char *ns, *name; // interned, one reference each
	uint64_t rv;           // version as a number; 0 = unknown
	uint32_t uid_hash;
	uint32_t mark; // of the sync that last saw it
};

// All-zero is empty. The order of `v` is arbitrary.
struct pd_k8s_known {
	struct pd_k8s_known_entry *v;
	uint32_t *index; // number of the entry + 1; 0 = free
	size_t n, cap, index_cap;
};

// By interned strings. NULL if there is none. Valid until the next change of the table.
struct pd_k8s_known_entry *pd_k8s_known_get(const struct pd_k8s_known *, const char *ns, const char *name);
// Adds an entry that is not there; takes references of its own.
struct pd_k8s_known_entry *pd_k8s_known_add(struct pd_k8s_known *, const char *ns, const char *name);
// The last entry takes its place in `v`: walk backwards when removing on the way.
void pd_k8s_known_remove(struct pd_k8s_known *, struct pd_k8s_known_entry *);
void pd_k8s_known_free(struct pd_k8s_known *);
size_t pd_k8s_known_memory(const struct pd_k8s_known *);

#endif
