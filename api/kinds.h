// The kinds that pilotd knows: names, versions and message types of each. Table data, immutable, any thread.
//
// Built-in Kubernetes kinds are one message (`object`: metadata is always field 1, then spec, status, data …), which is
// also their protobuf form on the wire. All other kinds share the envelope {apiVersion, kind, metadata, spec, status}:
// metadata is a K8s__ObjectMeta, `spec` and `status` are messages of their own.
#ifndef API_KINDS_H
#define API_KINDS_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

#include "base/err.h"

enum pd_kind {
	// Kubernetes
	PD_KIND_SERVICE,
	PD_KIND_ENDPOINT_SLICE,
	PD_KIND_POD,
	PD_KIND_NODE,
	PD_KIND_NAMESPACE,
	PD_KIND_SECRET,
	PD_KIND_CONFIG_MAP,
	PD_KIND_SERVICE_ACCOUNT,
	PD_KIND_EVENT,
	PD_KIND_INGRESS,
	PD_KIND_INGRESS_CLASS,
	PD_KIND_LEASE,
	PD_KIND_TOKEN_REVIEW,
	PD_KIND_CERTIFICATE_SIGNING_REQUEST,
	PD_KIND_CLUSTER_TRUST_BUNDLE,
	PD_KIND_CUSTOM_RESOURCE_DEFINITION,
	// Gateway API (its Gateway is the one with the prefix)
	PD_KIND_GATEWAY_CLASS,
	PD_KIND_KUBERNETES_GATEWAY,
	PD_KIND_LISTENER_SET,
	PD_KIND_HTTP_ROUTE,
	PD_KIND_GRPC_ROUTE,
	PD_KIND_TLS_ROUTE,
	PD_KIND_TCP_ROUTE,
	PD_KIND_UDP_ROUTE,
	PD_KIND_REFERENCE_GRANT,
	PD_KIND_BACKEND_TLS_POLICY,
	PD_KIND_X_BACKEND_TRAFFIC_POLICY,
	PD_KIND_X_BACKEND,
	PD_KIND_X_MESH,
	// Istio
	PD_KIND_VIRTUAL_SERVICE,
	PD_KIND_DESTINATION_RULE,
	PD_KIND_GATEWAY,
	PD_KIND_SERVICE_ENTRY,
	PD_KIND_WORKLOAD_ENTRY,
	PD_KIND_WORKLOAD_GROUP,
	PD_KIND_SIDECAR,
	PD_KIND_ENVOY_FILTER,
	PD_KIND_PROXY_CONFIG,
	PD_KIND_AUTHORIZATION_POLICY,
	PD_KIND_PEER_AUTHENTICATION,
	PD_KIND_REQUEST_AUTHENTICATION,
	PD_KIND_TELEMETRY,
	PD_KIND_WASM_PLUGIN,
	PD_KIND_TRAFFIC_EXTENSION,
	// our own
	PD_KIND_JSON_WEB_KEY_SET, // keys that were fetched: config/jwks.h
	PD_KIND_COUNT
};

struct pd_kind_info {
	enum pd_kind kind_id;
	const char *group;           // "" for the core group
	const char *kind;            // "VirtualService"
	const char *plural;          // "virtualservices", as in API paths
	const char *const *versions; // preferred first, NULL at the end; one schema serves them all
	bool namespaced;
	bool builtin;                             // one message for the whole object
	const ProtobufCMessageDescriptor *object; // built-in kinds, else NULL
	const ProtobufCMessageDescriptor *spec;   // other kinds, else NULL
	const ProtobufCMessageDescriptor *status; // other kinds that have a status, else NULL
	// As spelled in metadata and debug paths: /apis/networking.istio.io/v1/namespaces/NS/virtual-service/NAME.
	const char *debug_name;
};

// Never NULL; `kind` must be below PD_KIND_COUNT (asserted).
const struct pd_kind_info *pd_kind_info(enum pd_kind kind);

// Finds a kind by what an object says of itself: "networking.istio.io/v1" and "VirtualService", "v1" and "Service".
// PD_E_NOTFOUND: no such kind in that group (*out untouched). PD_E_INVALID: *out is the kind, but the version is none of
// its versions.
int pd_kind_find(const char *api_version, const char *kind, enum pd_kind *out) PD_MUST_CHECK;

// The kind behind an API path /apis/GROUP/VERSION/PLURAL (group "" = core).
// Results as for pd_kind_find.
int pd_kind_find_plural(const char *group, const char *version, const char *plural, enum pd_kind *out) PD_MUST_CHECK;

#endif
