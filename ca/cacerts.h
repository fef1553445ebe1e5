// A CA that somebody plugged in: a folder (Secret `cacerts`, mounted) with the signing certificate, its key, the chain above it
// and the roots. Watched; a bad or unacceptable new set is refused and the one before stays in force.
//
// Files: ca-cert.pem, ca-key.pem, cert-chain.pem (sent behind each leaf; may be empty if the signing certificate is a root),
// root-cert.pem (all of it is trusted); or, as kubernetes.io/tls has it, tls.crt, tls.key, ca.crt (the chain is tls.crt and
// ca.crt). The first layout counts if any of its files is there.
#ifndef CA_CACERTS_H
#define CA_CACERTS_H

#include <stdbool.h>
#include <stdint.h>

#include "ca/authority.h"

struct pd_cacerts_config {
	const char *folder;             // copied
	struct pd_authority *authority; // is published to; borrowed
	bool multi_root;                // ISTIO_MULTIROOT_MESH
};

struct pd_cacerts;
// Reads and publishes. PD_E_NOTFOUND: none of the files is there. PD_E_INVALID, PD_E_PARSE, PD_E_IO with a reason: files are
// missing or damaged, key and certificate do not fit, it is not a CA, has expired, or does not chain to the roots.
int pd_cacerts_open(const struct pd_cacerts_config *, int64_t now_s, struct pd_cacerts **out, struct pd_buf *why)
	PD_MUST_CHECK;
// Reads again. The errors above, and PD_E_DENIED: the roots are others. They may change only with multi_root, and only if one
// bundle contains the other: so everybody trusts both sides at any time.
int pd_cacerts_reload(struct pd_cacerts *, int64_t now_s, struct pd_buf *why) PD_MUST_CHECK;
// Watches from now on.
void pd_cacerts_start(struct pd_cacerts *);
// NULL is fine.
void pd_cacerts_close(struct pd_cacerts **);

#endif
