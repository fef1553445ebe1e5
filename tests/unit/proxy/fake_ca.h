// A CA for tests, on grpc's C core: CreateCertificate over TLS or plaintext, with a will of its own.
#ifndef TESTS_UNIT_PROXY_FAKE_CA_H
#define TESTS_UNIT_PROXY_FAKE_CA_H

#include <stdbool.h>
#include <stdint.h>

#include "ca/signer.h"

struct fake_ca;
// `server` issues the CA's own certificate, for the DNS name `name`; NULL: plaintext. A client certificate of the same root is
// taken if it is shown.
struct fake_ca *fake_ca_start(const struct pd_signer *server, const char *name);
void fake_ca_stop(struct fake_ca *);
const char *fake_ca_address(struct fake_ca *); // "127.0.0.1:1234"

// What it does from now on. All-zero refuses to sign (no signer).
struct fake_ca_plan {
	const struct pd_signer *signer; // borrowed until another plan
	const char *roots;              // last element of the chain; NULL: the signer's own certificate
	int64_t ttl_s;
	int status;        // this gRPC status instead of an answer; 0 = none
	int fail;          // only so many times, then as if it were 0; 0 = always
	bool leaf_alone;   // a chain of one
	bool other_key;    // the certificate is for another key
	unsigned delay_ms; // before the answer
};
void fake_ca_plan(struct fake_ca *, const struct fake_ca_plan *);

// What it has seen. Caller frees strings of the last request; "" if there was none.
unsigned fake_ca_requests(struct fake_ca *);
char *fake_ca_header(struct fake_ca *, const char *key);
char *fake_ca_client(struct fake_ca *); // SPIFFE ID of the client certificate
int64_t fake_ca_validity(struct fake_ca *);

#endif
