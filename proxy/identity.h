// The workload's certificate: asked for at start, asked for again in time, handed to Envoy each time it changes.
//
//   start ──► new key, request ──► CA ──► secrets `default` and `ROOTCA` ──► sleep ──┐
//     ▲             │ refused, unreachable: back-off with jitter                     │ grace_ratio of its life is left
//     └─────────────┴───────────────────────────────────────────────────────────────┘ (± jitter), or the root file changed
//
// Each certificate has a new key, which never leaves this process but to Envoy (and to `output`, if that is set). What was
// served stays until the next one is there. ROOTCA is the last element of the CA's chain, which the CA may fill with several
// roots while it changes them. A change of the file with the CA's roots means that the mesh's roots may have changed: then the
// certificate is asked for again soon, so that all proxies trust a new root long before their half-life.
#ifndef PROXY_IDENTITY_H
#define PROXY_IDENTITY_H

#include <stdint.h>

#include "ca/key.h"
#include "proxy/ca_client.h"
#include "proxy/secrets.h"

#define PD_IDENTITY_BACKOFF_FIRST_MS 200
#define PD_IDENTITY_BACKOFF_LAST_MS 15000
#define PD_IDENTITY_LOOK_MS 1000 // how often the root file and the clock are looked at

// Borrowed for the life of the identity.
struct pd_identity_config {
	struct pd_ca_client ca; // `stop` is set by us
	struct pd_secrets *secrets;
	const char *spiffe_id;     // asked for; what the CA grants is its decision
	enum pd_key_type key_type; // PD_KEY_P256 unless there is a reason
	unsigned rsa_bits;         // for PD_KEY_RSA
	int64_t ttl_s;             // asked for
	double grace_ratio;        // 0 to 1: renewed when so much of the life is left
	double grace_jitter;       // plus or minus so much, so that proxies do not come at once
	uint64_t root_change_ms;   // renewed within so long, at random, after the root file changed
	const char *output;        // folder for key.pem, cert-chain.pem, root-cert.pem; "": none
};

struct pd_identity;
// Starts a thread. grpc_init must have been called.
struct pd_identity *pd_identity_start(const struct pd_identity_config *);
// Ends a request under way.
void pd_identity_stop(struct pd_identity **);

// How long after it came a certificate is renewed, in ms: `lifetime_ms` times (1 - ratio ± jitter), at least 0. `unit` is a
// random number in [0, 1).
uint64_t pd_identity_renewal_ms(uint64_t lifetime_ms, double ratio, double jitter, double unit);

// istio_agent_num_outgoing_requests, …_num_failed_outgoing_requests, …_cert_expiry_seconds; once per process.
void pd_identity_register_metrics(void);

#endif
