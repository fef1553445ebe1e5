// Leader election by a Lease (coordination.k8s.io/v1) or, as istiod does it for most of its locks, by an annotation of a
// ConfigMap: at most one of several candidates writes.
//
//	FOLLOWING ── lock is free, or its holder was silent for its lease ──► LEADING ── not renewed in renew_ms,
//	    ▲                                                                   │        another holder, release
//	    └───────────────────────────────────────────────────────────────────┘
//
// The protocol is client-go's. A candidate looks every retry_ms (and up to a fifth more, at random). Clocks of different
// machines are never compared: a holder counts as alive for its lease since *we* saw its record change. A leader renews every
// retry_ms; its leadership ends renew_ms after the start of its last good renewal, by our own monotonic clock, even if the
// loop or the network hangs. As renew_ms is below lease_ms, it has ended before anyone else can begin.
//
// On release the holder is cleared, so that the next one need not wait for the lease to end.
#ifndef K8S_LEADER_H
#define K8S_LEADER_H

#include <stdbool.h>
#include <stdint.h>

#include "k8s/client.h"

#define PD_K8S_LEASE_MS 30000 // as istiod
#define PD_K8S_RENEW_MS 15000
#define PD_K8S_RETRY_MS 7500
#define PD_K8S_RELEASE_MS 2000 // a release takes no longer than that

// Names of istiod's locks, in its own namespace. Those of leases get "-REVISION" behind them where there is a revision.
#define PD_K8S_LOCK_INGRESS "istio-leader"
#define PD_K8S_LOCK_NAMESPACES "istio-namespace-controller-election"
#define PD_K8S_LOCK_SERVICE_EXPORT "istio-serviceexport-controller-election"
#define PD_K8S_LOCK_ANALYZE "istio-analyze-leader"
#define PD_K8S_LOCK_NODE_UNTAINT "istio-node-untaint"
#define PD_K8S_LOCK_IP_AUTOALLOCATE "istio-ip-autoallocate"
#define PD_K8S_LOCK_STATUS "istio-status-leader"                  // Lease
#define PD_K8S_LOCK_GATEWAY_STATUS "istio-gateway-status-leader"  // Lease per revision
#define PD_K8S_LOCK_GATEWAY_DEPLOYMENT "istio-gateway-deployment" // Lease per revision

struct pd_k8s_leader_options {
	struct pd_k8s_client *client; // borrowed for the leader's life
	const char *ns, *name;        // of the lock
	const char *identity;         // of us, unique: the pod's name
	bool config_map;              // the lock is a ConfigMap
	uint32_t lease_ms, renew_ms,
		retry_ms; // 0 = istiod's; retry < renew < lease (asserted). A lease counts whole seconds
	// Leadership began (true) or ended (false), on the loop. When it ends, pd_k8s_leader_is is false already. Optional.
	void (*on_change)(void *user, bool leads);
	void *user;
};

struct pd_k8s_leader;
// A candidate from now on. Strings are copied. Any thread. PD_E_CLOSED: the client is shutting down.
int pd_k8s_leader_new(const struct pd_k8s_leader_options *, struct pd_k8s_leader **out) PD_MUST_CHECK;
// Ends leadership (on_change is called), releases the lock, which takes at most PD_K8S_RELEASE_MS, and frees. Not on the loop
// and before the client goes. NULL is fine.
void pd_k8s_leader_free(struct pd_k8s_leader **);

// Whether we lead at this moment. Any thread; one atomic read and the clock.
bool pd_k8s_leader_is(const struct pd_k8s_leader *);

struct pd_k8s_leader_state {
	bool leads;
	char holder[256]; // whose lock it is, as last seen; "" = nobody's or not known
	uint64_t changes; // how often our leadership began or ended
	char error[256];  // of the last look at the lock; "" = it went well
};
void pd_k8s_leader_state(struct pd_k8s_leader *, struct pd_k8s_leader_state *out); // any thread

#endif
