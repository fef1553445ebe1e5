// TLS parts that clusters and listeners share: where secrets come from, mesh mTLS on both ends, transport sockets.
//
// All messages are new ones in the arena, which the caller may change.
#ifndef DISCOVERY_TLS_H
#define DISCOVERY_TLS_H

#include "discovery/envoy.h"
#include "discovery/tx.h"

// The secrets that every agent has: the workload's certificate and the roots of the mesh.
#define PD_SDS_DEFAULT "default"
#define PD_SDS_ROOT "ROOTCA"
#define PD_SDS_SYSTEM_ROOT "file-root:system"

// A secret served by the proxy's own agent (cluster "sds-grpc"): "default", "ROOTCA", "file-cert:CERT~KEY", "file-root:CA".
// The first two may be waited for without end (the mesh does not work without them), files have Envoy's usual 15 s.
EnvoySdsSecretConfig *pd_tls_agent_secret(struct pd_arena *a, const char *name);
// A secret named by credentialName, served by us over ADS: "NAME" means "kubernetes://NAME"; "kubernetes://",
// "kubernetes-gateway://", "configmap://" and "invalid://" names are kept; "builtin://" and "builtin://-cacert" are the
// agent's own two; "sds://NAME" is taken as NAME.
EnvoySdsSecretConfig *pd_tls_credential_secret(struct pd_arena *a, const char *credential);
// The same for "CREDENTIAL-cacert", the roots that belong to a credential.
EnvoySdsSecretConfig *pd_tls_credential_ca_secret(struct pd_arena *a, const char *credential);

// The same two for a server's credentials, where "sds://NAME" is served by the mesh's extension provider for secrets, if it has
// one and its service exists.
EnvoySdsSecretConfig *pd_tls_server_secret(struct pd_tx *tx, const char *credential);
EnvoySdsSecretConfig *pd_tls_server_ca_secret(struct pd_tx *tx, const char *credential);

// Sets combined_validation_context: `roots` with a default context that accepts these names exactly (n may be 0: any
// name). Returns the default context, for further settings.
EnvoyCertificateValidationContext *pd_tls_set_validation(struct pd_arena *a, EnvoyCommonTlsContext *ctx,
							 EnvoySdsSecretConfig *roots, const char *const *sans,
							 size_t n);
// Adds an exact / prefix matcher to match_subject_alt_names.
void pd_tls_add_san(struct pd_arena *a, EnvoyCertificateValidationContext *vc, const char *name, bool prefix);
// ALPN list, replaced. `list` is comma-separated: "h2,http/1.1".
void pd_tls_set_alpn(struct pd_arena *a, EnvoyCommonTlsContext *ctx, const char *list);

// Server side of mesh mTLS on a sidecar: own certificate, client certificate required and of a trusted domain, TLS version
// and ciphers of the mesh. ALPN "h2,http/1.1", in front of it "istio-peer-exchange" where `tcp` is set and the proxy has
// that filter.
EnvoyDownstreamTlsContext *pd_tls_downstream_mtls(struct pd_tx *tx, bool tcp);
// "spiffe://TD/" of the mesh's trust domain, its aliases and the domains of further CA certificates, in that order, distinct.
struct pd_tls_domains {
	size_t n;
	const char *const *v;
};
struct pd_tls_domains pd_tls_trust_prefixes(struct pd_tx *tx);
// Client side: certificate and roots of the mesh, these SANs (0 = any), TLS 1.2 to 1.3; no ALPN, no SNI.
EnvoyUpstreamTlsContext *pd_tls_upstream_mtls(struct pd_tx *tx, const char *const *sans, size_t n);
// An empty client context: TLS 1.2 to 1.3.
EnvoyUpstreamTlsContext *pd_tls_upstream(struct pd_arena *a);

// "envoy.transport_sockets.tls" with an UpstreamTlsContext or a DownstreamTlsContext.
EnvoyTransportSocket *pd_tls_socket(struct pd_arena *a, const void *context);
// "envoy.transport_sockets.raw_buffer".
EnvoyTransportSocket *pd_tls_raw_socket(struct pd_arena *a);

#endif
