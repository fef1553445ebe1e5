// Where a CA keeps its key without Kubernetes: a file, and memory.
#ifndef CA_STORE_H
#define CA_STORE_H

#include "base/secret_store.h"

// A Secret in JSON, as `kubectl apply` takes it: "istio-ca-secret" of type istio.io/ca-root. Mode 0600, written beside and
// renamed into place; a lock file beside it ("….lock") keeps processes of one host apart. `path` is copied; the folder must
// exist. What others may read is refused at load.
void pd_file_store_init(struct pd_secret_store *, const char *path);
void pd_file_store_free(struct pd_secret_store *);

// Forgets everything at the end of the process.
void pd_memory_store_init(struct pd_secret_store *);
void pd_memory_store_free(struct pd_secret_store *);

#endif
