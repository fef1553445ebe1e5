// What the proxy hands to its Envoy by SDS: named secrets, encoded once, replaced as a whole.
//
//   writers  the workload's certificate (proxy/identity.h), files (proxy/files.h)
//   reader   the SDS server (proxy/sds_server.h)
//
// Encoded secrets hold private keys: their bytes are erased when the last reference goes.
#ifndef PROXY_SECRETS_H
#define PROXY_SECRETS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/ref.h"

#define PD_SECRETS_MAX 256     // names
#define PD_SECRET_NAME_MAX 512 // bytes of a name, without NUL
#define PD_SECRET_VERSION 48   // bytes of a version, with NUL

#define PD_SECRET_TYPE_URL "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
#define PD_SECRET_WORKLOAD "default" // the workload's certificate, its chain and key
#define PD_SECRET_ROOTS "ROOTCA"     // the mesh's roots

// One encoded envoy.extensions.transport_sockets.tls.v3.Secret. Immutable.
struct pd_secret {
	pd_ref ref;
	char version
		[PD_SECRET_VERSION]; // differs from that of every other state that this or another process has served
	size_t n;
	uint8_t bytes[];
};
void pd_secret_unref(struct pd_secret *); // NULL is fine

// Thread-safe.
struct pd_secrets;
struct pd_secrets *pd_secrets_new(void);
void pd_secrets_free(struct pd_secrets **); // erases all that nobody else references

// A certificate chain (leaf first) with the leaf's private key, both PEM; or trusted roots, PEM. Copied. Setting what is
// there already changes nothing. PD_E_LIMIT: a new name beyond PD_SECRETS_MAX, or one that is too long.
int pd_secrets_set_certificate(struct pd_secrets *, const char *name, const char *chain, size_t chain_n,
			       const char *key, size_t key_n) PD_MUST_CHECK;
int pd_secrets_set_roots(struct pd_secrets *, const char *name, const char *pem, size_t n) PD_MUST_CHECK;

// A reference for the caller; NULL if nobody has set it.
struct pd_secret *pd_secrets_get(struct pd_secrets *, const char *name);

// `fn` is called after each change, on the thread that made it, with no lock held. NULL ends it: once this returns, no call
// is under way.
void pd_secrets_on_change(struct pd_secrets *, void (*fn)(void *), void *arg);

#endif
