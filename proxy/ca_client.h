// Asks the mesh's CA for a certificate: istio.v1.auth.IstioCertificateService/CreateCertificate.
//
// Who we are is told by a token (authorization: Bearer …) or by a client certificate; the CA decides from that which identity
// the certificate gets, whatever the request says. Files are read for every request, because they are replaced: tokens by the
// kubelet, certificates by ourselves.
#ifndef PROXY_CA_CLIENT_H
#define PROXY_CA_CLIENT_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "base/vec.h"

#define PD_CA_TIMEOUT_MS 10000 // of a request
#define PD_TOKEN_MAX 16384     // bytes of a token: what fits into a header

// Borrowed for the client's use. Paths may be "": not given.
struct pd_ca_client {
	const char *address;     // "istiod.istio-system.svc:15012"
	const char *server_name; // that the CA's certificate must bear
	const char *root_file;   // roots for the CA's certificate; "": plaintext
	const char *token_file;  // a token; it is used if the file is there
	const char *cert_file;   // a client certificate and its key, used if the files are there and there is no token
	const char *key_file;
	const char *cluster;     // name of our cluster, header "clusterid"
	const char *signer;      // name of the signer to ask for, "" = the CA's choice
	const atomic_bool *stop; // turning true ends a request; NULL: nothing does
};

// A certificate with what leads to a root. PEM, at least two: leaf, intermediates, last the roots (one or more in one text).
struct pd_ca_chain {
	PD_VEC(char *) v;
};
void pd_ca_chain_free(struct pd_ca_chain *);

// `csr` as PEM, `ttl_s` > 0. PD_E_PARSE: the answer is no chain; PD_E_IO, PD_E_LIMIT: also of files; and what
// pd_unary_call gives. `why` says it in words, and holds no secret.
int pd_ca_client_sign(const struct pd_ca_client *, const char *csr, int64_t ttl_s, struct pd_ca_chain *out,
		      struct pd_buf *why) PD_MUST_CHECK;

#endif
