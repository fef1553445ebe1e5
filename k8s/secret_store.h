// A Secret of the API server as a store of named values (base/secret_store.h): istiod keeps its CA in `istio-ca-secret`, of type
// `istio.io/ca-root`.
//
// Versions are resourceVersions. Labels, annotations and the like of a Secret that exists stay as they are; all of its data is
// replaced. The store's calls block, so they must not be made on the client's loop; what they had in memory is erased.
#ifndef K8S_SECRET_STORE_H
#define K8S_SECRET_STORE_H

#include "base/secret_store.h"
#include "k8s/client.h"

#define PD_K8S_SECRET_TEXT_MAX (2 * PD_SECRET_BYTES_MAX) // bytes of a Secret in JSON that is read
#define PD_K8S_SECRET_TIMEOUT_MS 10000                   // of a call

// `client` is borrowed until pd_k8s_secret_store_free; strings are copied.
void pd_k8s_secret_store_init(struct pd_secret_store *, struct pd_k8s_client *client, const char *ns, const char *name,
			      const char *type);
// Nobody uses it any more. All-zero is fine.
void pd_k8s_secret_store_free(struct pd_secret_store *);

#endif
