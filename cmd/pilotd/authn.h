// Who clients are: the authenticators of the daemon, in istiod's order, for the CA's service and for the streams of the TLS port.
#ifndef CMD_PILOTD_AUTHN_H
#define CMD_PILOTD_AUTHN_H

#include "base/fetch.h"
#include "ca/auth.h"
#include "ca/auth_trust.h"
#include "config/mesh.h"
#include "xds/server.h"

struct pd_k8s_client;
struct pd_k8s_reviewer;

// All-zero is none.
struct authn {
	struct pd_trust *trust; // which trust domains are ours
	struct pd_fetcher *fetcher;
	struct pd_k8s_reviewer *reviewer;
	struct pd_auth_chain chain;
};

struct authn_options {
	const struct pd_mesh *mesh; // of the start; borrowed during the call
	const char *cluster;        // our own id
	// Whose tokens are taken; NULL = none. Borrowed until authn_stop, though it may be freed before.
	struct pd_k8s_client *kubernetes;
};
// PD_E_INVALID, PD_E_PARSE, PD_E_LIMIT with a text in `err`: JWT_RULE or TRUSTED_GATEWAY_CIDR is not what it should be.
int authn_start(struct authn *, const struct authn_options *, struct pd_buf *err) PD_MUST_CHECK;
// Has the streams of `xds` authenticated, as XDS_AUTH and its sisters say; before pd_xds_start.
void authn_streams(struct authn *, struct pd_xds *xds);
// The mesh configuration changed: its trust domain. Any thread.
void authn_mesh(struct authn *, const struct pd_mesh *);
// Nobody asks any more: the xDS server is gone, the CA's service too, and the client of Kubernetes.
void authn_stop(struct authn *);

#endif
