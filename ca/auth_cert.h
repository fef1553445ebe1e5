// Callers with a client certificate. TLS has verified its chain against the mesh's roots at the handshake.
#ifndef CA_AUTH_CERT_H
#define CA_AUTH_CERT_H

#include "ca/auth.h"
#include "ca/auth_trust.h"

#define PD_AUTH_CERT_NAME "ClientCertificate"
#define PD_AUTH_CERT_CACHE_MS 30000     // what was read from a certificate is remembered for so long
#define PD_AUTH_CERT_CACHE_ENTRIES 4096 // of so many

// `trust` is borrowed for the authenticator's life. As istiod has it: exactly one URI among the names, a SPIFFE ID of the form
// of ca/spiffe.h, of our trust domain or an alias; all names become identities. Beyond that the certificate must be valid
// now: connections live longer than certificates. Answers at once.
struct pd_authenticator pd_auth_cert(struct pd_trust *trust);

#endif
