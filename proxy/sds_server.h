// The SDS server for our Envoy: envoy.service.secret.v3.SecretDiscoveryService (StreamSecrets, DeltaSecrets) on a Unix
// socket. Whoever can open the socket gets the workload's key, so only our own user can (mode of the socket: umask 077).
//
// One thread takes requests and sends answers; changed secrets are sent from the thread that changed them.
#ifndef PROXY_SDS_SERVER_H
#define PROXY_SDS_SERVER_H

#include <stdbool.h>

#include "base/err.h"
#include "base/str.h"
#include "proxy/secrets.h"

#define PD_SDS_STREAMS_MAX 1024          // open streams; beyond it RESOURCE_EXHAUSTED. Envoy opens one per secret
#define PD_SDS_REQUEST_MAX (1024 * 1024) // bytes of a request; Envoy's first one names its 500 extensions

struct pd_sds_config {
	const char *socket;         // path; borrowed during the call of start
	struct pd_secrets *secrets; // borrowed for the server's life; its on_change is taken
	// Called for each new name that a stream asks for, with the server's lock held; may be NULL. It must not set secrets
	// itself, but may have another thread do so.
	void (*wanted)(const char *name, void *arg);
	void *arg;
};

struct pd_sds;
// Makes the socket's folder if it is not there, replaces a socket that nobody listens on, and serves. grpc_init must have
// been called. PD_E_EXISTS: somebody listens there already; PD_E_LIMIT: the path is too long for a socket; PD_E_IO. `err` names
// the path and the reason.
int pd_sds_start(const struct pd_sds_config *, struct pd_sds **out, struct pd_buf *err) PD_MUST_CHECK;
// Ends all streams, removes the socket. NULL is fine.
void pd_sds_stop(struct pd_sds **);

// Is a server listening on this Unix socket?
bool pd_sds_somebody_listens(const char *path);

#endif
