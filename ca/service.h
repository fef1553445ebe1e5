// istio.v1.auth.IstioCertificateService/CreateCertificate: authenticate, impersonate, sign, answer.
//
//   call ──► queue ──► worker: authenticators ──(at once or later)──► worker: request, signature ──► answer
//
// SANs come from who asks, never from the request. Errors as istiod's: UNAUTHENTICATED ("request authenticate failure",
// "request impersonation authentication failure"), INVALID_ARGUMENT and INTERNAL ("CSR signing error (…)"), and
// RESOURCE_EXHAUSTED when too many wait. The reason of a refused authentication is logged and counted, not told.
#ifndef CA_SERVICE_H
#define CA_SERVICE_H

#include <stddef.h>
#include <stdint.h>

#include "ca/auth.h"
#include "ca/authority.h"
#include "ca/issuer.h"
#include "ca/spiffe.h"

#define PD_CA_REQUEST_MAX (128u << 10) // bytes of a request
#define PD_CA_WAITING_MAX 16384        // calls that wait for an answer; with the above and max_calls a bound of memory
#define PD_TRUSTED_ACCOUNTS_MAX 64

// May a node's proxy ask for the certificates of pods there? (ztunnel in shared mode.) Given to the service by whoever knows
// pods; without it nobody may.
struct pd_node_authorizer {
	// The caller is one of the trusted accounts. PD_OK: its pod (name, UID and account as the token says) exists in `cluster`
	// and a pod of the wanted identity that has not failed runs on the same node. PD_E_DENIED: not so; `why` says what.
	int (*check)(void *self, const struct pd_caller *, const struct pd_spiffe *wanted, struct pd_buf *why);
	void *self;
};

struct pd_ca_config {
	const struct pd_auth_chain *auth; // borrowed, as all here
	const struct pd_issuer *issuer;
	unsigned threads;                // 0 = one per CPU, 1 to 4
	size_t max_waiting;              // 0 = PD_CA_WAITING_MAX
	const char *trusted_accounts;    // CA_TRUSTED_NODE_ACCOUNTS: "namespace/account,…"; NULL or "" = none
	struct pd_node_authorizer nodes; // all-zero = none
};

struct pd_ca_service;
// PD_E_INVALID: trusted_accounts is malformed.
int pd_ca_service_new(const struct pd_ca_config *, struct pd_ca_service **out, struct pd_buf *why) PD_MUST_CHECK;
// For pd_xds_add_methods; lives as long as the service.
const struct pd_rpc_method *pd_ca_service_methods(const struct pd_ca_service *, size_t *n);
// All calls were answered: the server that carries them is gone. NULL is fine.
void pd_ca_service_free(struct pd_ca_service **);

// citadel_server_…, once per process. The gauges read the authority, which lives as long as the process.
void pd_ca_register_metrics(struct pd_authority *);

#endif
