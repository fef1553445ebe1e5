// Which service accounts have pods where: what a node's proxy (ztunnel) may ask certificates for.
#ifndef DISCOVERY_NODE_PODS_H
#define DISCOVERY_NODE_PODS_H

#include "base/str.h"
#include "config/store.h"

// A pod as a token tells of it. Borrowed strings.
struct pd_pod_claim {
	const char *cluster, *ns, *name, *account;
	const char *node; // where it runs; NULL = not told
};

// PD_OK: the pod is there, has that account, runs on that node (if one is told), and on the same node of the same cluster runs
// a pod of account NS/ACCOUNT that has not failed. PD_E_DENIED: not so; `why` says what is missing. UIDs are not compared, they
// are not kept: whoever reviewed the token has done it.
int pd_pods_share_node(const struct pd_config_snap *, const struct pd_pod_claim *, const char *ns, const char *account,
		       struct pd_buf *why) PD_MUST_CHECK;

#endif
