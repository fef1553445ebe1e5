// A small set of named values that is read and written as a whole, with optimistic locking: where a CA keeps its key. Seen from
// both sides: the layers that have a place for it (a file and memory in ca/store.h, a Secret in k8s/secret_store.h) and the
// layer that has something to keep (ca/selfsigned.h). cmd/ hands the store over.
#ifndef BASE_SECRET_STORE_H
#define BASE_SECRET_STORE_H

#include <stddef.h>

#include "base/err.h"
#include "base/str.h"
#include "base/vec.h"

#define PD_SECRET_BYTES_MAX (1u << 20) // as in Kubernetes
#define PD_SECRET_ENTRIES_MAX 64

struct pd_secret_entry {
	char *key, *value; // the value has a NUL behind its n bytes
	size_t n;
};
// Named values, like the data of a Secret. All-zero is empty; pd_secret_free erases.
struct pd_secret {
	PD_VEC(struct pd_secret_entry) entries;
	char *version; // as read; NULL = it does not exist
};
void pd_secret_free(struct pd_secret *);
// Borrowed until the entry is set or the secret freed; NULL = there is none or it is empty.
const char *pd_secret_get(const struct pd_secret *, const char *key);
// Copies. NULL removes.
void pd_secret_set(struct pd_secret *, const char *key, const char *value);

// Both calls may block, and are made from one thread at a time. `why` gets the reason of a failure.
struct pd_secret_store {
	const char *name; // for logs: "file /var/lib/…", "secret istio-system/istio-ca-secret"
	// PD_E_NOTFOUND: it does not exist; PD_E_PARSE: damaged; PD_E_IO, PD_E_DENIED, PD_E_TIMEOUT: cannot be read.
	int (*load)(void *self, struct pd_secret *out, struct pd_buf *why);
	// Writes all entries if what is stored still has secret->version (NULL: if nothing is stored), and updates the version.
	// PD_E_AGAIN: somebody else wrote meanwhile, load again; PD_E_IO, PD_E_DENIED, PD_E_TIMEOUT: cannot be written.
	int (*save)(void *self, struct pd_secret *, struct pd_buf *why);
	void *self;
};

#endif
