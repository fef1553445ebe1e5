// What writers and leader election share. Private to k8s/write*.c and k8s/leader*.c.
#ifndef K8S_WRITE_IMPL_H
#define K8S_WRITE_IMPL_H

#include "api/json.h"
#include "k8s/client.h"

// A token bucket: `burst` tokens at first, `qps` new ones a second.
struct pd_k8s_bucket {
	double tokens, burst, per_ns;
	uint64_t at_ns;
};
void pd_k8s_bucket_init(struct pd_k8s_bucket *, unsigned qps, unsigned burst, uint64_t now_ns);
// Takes a token and returns 0, or returns the ms until there is one.
uint64_t pd_k8s_bucket_take(struct pd_k8s_bucket *, uint64_t now_ns);

// The wait after failure number `n` (from 1): `first` doubled n - 1 times up to `max`, of which a random half.
uint64_t pd_k8s_backoff_ms(unsigned n, uint64_t first, uint64_t max);

// Sets a result's message.
void pd_k8s_result_text(struct pd_k8s_result *, const char *message);

// The member `key` of an object, made if it is not there or no object.
struct pd_json *pd_k8s_json_object(struct pd_arena *, struct pd_json *parent, const char *key);

// Runs fn(user) on the loop and waits for its end. Not on the loop. The client must not be shutting down (asserted).
void pd_k8s_run_wait(struct pd_k8s_client *, void (*fn)(void *user), void *user);

#endif
