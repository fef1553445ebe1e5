// Certificates, keys and roots in Secrets and ConfigMaps: under which keys istiod and Kubernetes look for them.
#ifndef DISCOVERY_CREDENTIAL_H
#define DISCOVERY_CREDENTIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/object.h"

struct pd_pem {
	const uint8_t *p; // borrowed from the object; NULL = none
	size_t n;
};
// What is there is PEM with the right kind of block; whether it can be used is for Envoy to say.
struct pd_key_pair {
	struct pd_pem certificates, key; // both or none
	struct pd_pem staple;            // OCSP response (DER), or none
};
// Of a Secret: "cert" and "key", else "tls.crt" and "tls.key".
struct pd_key_pair pd_credential_key_pair(const struct pd_object *secret);
struct pd_roots {
	struct pd_pem roots, crl;
};
// Of a Secret: "cacert" (with "crl"), else "ca.crt" (with "ca.crl"). Of a ConfigMap: "ca.crt".
struct pd_roots pd_credential_roots(const struct pd_object *o);

#endif
