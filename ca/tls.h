// pilotd's own certificate and the credentials of its TLS port.
//
// The certificate is signed by our own CA and renewed at half of its life and whenever the CA changes, or it is read from files
// that are watched. grpc asks for it at every handshake: connections that are open stay as they are. Clients may show a
// certificate; if they do, it must chain to the mesh's roots (whose it is, the authenticators look at: ca/auth.h).
//
// TLS 1.2 and 1.3. grpc 1.51 has no call for a higher minimum or for cipher suites (a minimum set through its C++ symbol does not
// reach the handshaker that reloads certificates): both go through its environment variable, for the process as a whole.
#ifndef CA_TLS_H
#define CA_TLS_H

#include <stdint.h>

#include <grpc/grpc_security.h>

#include "ca/authority.h"

#define PD_TLS_NAMES_MAX PD_SANS_MAX
#define PD_TLS_TTL_S (90ll * 24 * 3600) // of a certificate that we sign

enum pd_tls_version { PD_TLS_1_2, PD_TLS_1_3 };
// "1.2", "TLSv1_2", "VersionTLS12" and so on; "" is 1.2. PD_E_INVALID: another version, with a reason.
int pd_tls_version_parse(const char *, enum pd_tls_version *, struct pd_buf *why) PD_MUST_CHECK;
// The lowest version, and the suites of TLS 1.2 by their IANA or OpenSSL names (none: grpc's choice), of the process; before grpc
// is used. PD_E_INVALID: an unknown or unsafe suite (none without forward secrecy and AEAD is taken).
int pd_tls_limit(enum pd_tls_version min, const char *const *suites, size_t n, struct pd_buf *why) PD_MUST_CHECK;

struct pd_tls_config {
	struct pd_authority *authority; // whose roots verify clients, and which signs unless there are files; borrowed
	const char *const *names; // DNS names (or addresses) of the certificate that we sign; borrowed during the call
	size_t n_names;
	int64_t ttl_s;                    // of it; 0 = PD_TLS_TTL_S
	const char *cert_file, *key_file; // both or none: serve these instead
	const char *ca_file;              // with files: verifies clients, besides the mesh's roots; NULL or "" = none
};

struct pd_tls;
// PD_E_INVALID, PD_E_PARSE, PD_E_IO with a reason: bad files, nothing to sign with.
int pd_tls_new(const struct pd_tls_config *, struct pd_tls **out, struct pd_buf *why) PD_MUST_CHECK;
// For one pd_xds_listen; lives as long as `tls`, and the server must be gone before that.
grpc_server_credentials *pd_tls_credentials(struct pd_tls *);
// Looks whether the certificate is due (as a thread of its own does every second).
void pd_tls_refresh(struct pd_tls *, int64_t now_s);
// What is served now, as PEM: leaf and intermediates. Caller frees.
char *pd_tls_certificate(struct pd_tls *);
// NULL is fine.
void pd_tls_free(struct pd_tls **);

#endif
