// Counters of the CA; names as istiod has them where it has them.
#ifndef CA_METRICS_H
#define CA_METRICS_H

#include "ca/issuer.h"

enum pd_ca_event {
	PD_CA_REQUEST,
	PD_CA_AUTH_FAILED,
	PD_CA_NO_IDENTITY, // authenticated, but without a name for a certificate
	PD_CA_BAD_CSR,
	PD_CA_ISSUED,
	PD_CA_EVENTS,
};
void pd_ca_count(enum pd_ca_event);
void pd_ca_count_fault(enum pd_signing_fault);
// Requests that got no certificate, by reason: a short constant word.
void pd_ca_count_refused(const char *reason);
void pd_ca_observe_time(double seconds); // from the request's arrival to the answer

#endif
