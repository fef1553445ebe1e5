// What an authenticator said, for tests: waits for answers that come on other threads.
#ifndef TESTS_UNIT_CA_AUTH_OUTCOME_H
#define TESTS_UNIT_CA_AUTH_OUTCOME_H

#include <pthread.h>

#include "ca/auth.h"

struct auth_outcome {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int times;
	enum pd_auth_fault fault;
	char identity[256], why[512]; // identity: the first; "" = refused
	struct pd_caller *caller;     // of the last answer
};

// Asks once with these credentials and waits for the answer. All pointers may be NULL.
struct auth_ask {
	const char *address, *cert_pem, *bearer, *cluster, *xfcc;
};
void auth_begin(const struct pd_authenticator *, const struct auth_ask *, struct auth_outcome *); // does not wait
void auth_wait(struct auth_outcome *);
void auth_end(struct auth_outcome *);
// The identity, or "fault: why": borrowed until the next call.
const char *auth_ask(const struct pd_authenticator *, const struct auth_ask *);

#endif
