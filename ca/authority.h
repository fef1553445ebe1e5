// What signs now and what is trusted now: one value that changes as a whole.
//
// Sources (ca/selfsigned.h, ca/cacerts.h) publish; the issuer, TLS (ca/tls.h) and whoever hands roots to proxies read. Readers
// take a reference and never wait for a source.
#ifndef CA_AUTHORITY_H
#define CA_AUTHORITY_H

#include <stdint.h>

#include "ca/issuer.h"
#include "ca/signer.h"

#define PD_AUTHORITY_LISTENERS 8
#define PD_HOLDERS_MAX (256u << 10) // holders of certificates that are counted; beyond it progress is an estimate

// Immutable.
struct pd_ca_state {
	pd_ref ref;
	uint64_t version;         // grows with each change
	struct pd_signer *signer; // NULL: nothing can be signed yet
	struct pd_certs roots;    // of the CA first, then further anchors
	char *roots_pem;          // all of them as one text
	char **chain;             // signer->chain as PEM, one each
	size_t n_chain;
};
void pd_ca_state_unref(struct pd_ca_state **); // NULL is fine; clears

struct pd_authority;
// Nothing can be signed until a source has published.
struct pd_authority *pd_authority_new(const struct pd_ttl_rules *);
// Sources, TLS and services that use it are gone by then.
void pd_authority_free(struct pd_authority **);

// From a source: this signs from now on, and these are the CA's roots (both borrowed: references are taken). Tells the listeners
// before it returns.
void pd_authority_publish(struct pd_authority *, struct pd_signer *, const struct pd_certs *roots);
// Further anchors to trust, besides the CA's own (mesh config `caCertificates`, a mounted root-cert.pem). Replaces earlier ones.
void pd_authority_set_anchors(struct pd_authority *, const struct pd_certs *);
// A reference; never NULL.
struct pd_ca_state *pd_authority_get(struct pd_authority *);
// Calls fn after each change, on the thread that made it. For the life of the authority.
void pd_authority_listen(struct pd_authority *, void (*fn)(void *arg), void *arg);

// Signs with what signs at that moment. The fields of *out are borrowed from the authority.
void pd_authority_issuer(struct pd_authority *, struct pd_issuer *out);
// The longest lifetime granted so far, seconds: what a rotation has to wait out.
int64_t pd_authority_longest_ttl(struct pd_authority *);

// How far the holders of certificates have come since the signer changed. A holder is a set of names at an address; it is
// forgotten when its last certificate ends.
struct pd_renewal {
	size_t holders, renewed; // that have a certificate; of those, from the signer of now
	double percent;          // 100 if there are none
	bool estimate;           // there were more than PD_HOLDERS_MAX
};
void pd_authority_renewal(struct pd_authority *, int64_t now_s, struct pd_renewal *out);

#endif
