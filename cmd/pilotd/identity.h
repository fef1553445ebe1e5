// The CA and the TLS port of the daemon: which CA signs, who may ask, whose certificate the port shows.
#ifndef CMD_PILOTD_IDENTITY_H
#define CMD_PILOTD_IDENTITY_H

#include "ca/authority.h"
#include "ca/cacerts.h"
#include "ca/selfsigned.h"
#include "ca/service.h"
#include "ca/tls.h"
#include "config/mesh.h"
#include "xds/server.h"

struct pd_k8s_client;

// All-zero is none.
struct identity {
	struct pd_authority *authority;
	struct pd_secret_store store;
	void (*free_store)(struct pd_secret_store *);
	struct pd_selfsigned *selfsigned; // or
	struct pd_cacerts *cacerts;       // this
	struct pd_issuer issuer;
	struct pd_ca_service *service;
	struct pd_tls *tls;
};

struct identity_options {
	const char *secure_grpc_addr;     // "" = no TLS port
	const char *system_ns;            // own namespace
	const struct pd_mesh *mesh;       // of the start; borrowed during the call
	const struct pd_auth_chain *auth; // who may ask; borrowed until identity_stop
	struct pd_node_authorizer nodes;  // who may ask for others
	// Where the CA's key is kept unless a folder is named for it (--caDir); borrowed until identity_settle; NULL = not there
	struct pd_k8s_client *kubernetes;
};
// Before grpc is used: what applies to the whole process. PD_E_INVALID with a reason.
int identity_limit_tls(struct pd_buf *err) PD_MUST_CHECK;
// Opens or makes the CA, offers its service on `xds`, and adds the TLS port. Before pd_xds_start.
int identity_start(struct identity *, struct pd_xds *xds, const struct identity_options *, struct pd_buf *err)
	PD_MUST_CHECK;
// The mesh configuration changed: its further trust anchors.
void identity_mesh(struct identity *, const struct pd_mesh *);
// The CA signs as it does now and changes no more: Kubernetes is about to go.
void identity_settle(struct identity *);
// The xDS server is gone.
void identity_stop(struct identity *);

#endif
