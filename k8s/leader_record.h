// The record of a leader, in a Lease's spec or as JSON in a ConfigMap's annotation. Private to k8s/leader*.c.
#ifndef K8S_LEADER_RECORD_H
#define K8S_LEADER_RECORD_H

#include "api/json.h"
#include "base/str.h"

#define PD_K8S_LEADER_ANNOTATION "control-plane.alpha.kubernetes.io/leader"

// All-zero: nobody's.
struct pd_k8s_record {
	const char *holder;          // NULL or "" = nobody
	int64_t duration_s;          // of the holder's lease
	int64_t transitions;         // changes of holder
	const char *acquire, *renew; // times as texts, as found
};

// Reads the record of a lock (borrowed from the tree, or in the arena). A lock without one is nobody's, as is one that cannot
// be read: somebody damaged it, and waiting would not mend it.
void pd_k8s_record_read(struct pd_arena *a, const struct pd_json *lock, bool config_map, struct pd_k8s_record *out);
// Puts the record into a lock, leaving the rest of it as it is.
void pd_k8s_record_write(struct pd_arena *a, struct pd_json *lock, bool config_map, const struct pd_k8s_record *r);
// A new lock without a record.
struct pd_json *pd_k8s_record_lock(struct pd_arena *a, bool config_map, const char *ns, const char *name);
// Now, as the lock wants it: Lease "2026-11-23T12:00:00.000000Z" (exactly six digits), ConfigMap without a fraction.
const char *pd_k8s_record_time(struct pd_arena *a, bool config_map);

#endif
