#include "api/kinds.h"

#include <string.h>

#include "gwapi/gateway.pb-c.h"
#include "gwapi/grpc_route.pb-c.h"
#include "gwapi/http_route.pb-c.h"
#include "gwapi/l4_route.pb-c.h"
#include "gwapi/mesh.pb-c.h"
#include "gwapi/policy.pb-c.h"
#include "gwapi/shared.pb-c.h"
#include "istio/extensions/traffic_extension.pb-c.h"
#include "istio/extensions/wasm.pb-c.h"
#include "istio/meta/status.pb-c.h"
#include "istio/networking/destination_rule.pb-c.h"
#include "istio/networking/envoy_filter.pb-c.h"
#include "istio/networking/gateway.pb-c.h"
#include "istio/networking/proxy_config.pb-c.h"
#include "istio/networking/service_entry.pb-c.h"
#include "istio/networking/sidecar.pb-c.h"
#include "istio/networking/virtual_service.pb-c.h"
#include "istio/networking/workload_entry.pb-c.h"
#include "istio/networking/workload_group.pb-c.h"
#include "istio/security/authorization_policy.pb-c.h"
#include "istio/security/peer_authentication.pb-c.h"
#include "istio/security/request_authentication.pb-c.h"
#include "istio/telemetry/telemetry.pb-c.h"
#include "k8s/apiextensions.pb-c.h"
#include "k8s/authentication.pb-c.h"
#include "k8s/certificates.pb-c.h"
#include "k8s/coordination.pb-c.h"
#include "k8s/core.pb-c.h"
#include "k8s/discovery.pb-c.h"
#include "k8s/networking.pb-c.h"
#include "k8s/pod.pb-c.h"
#include "pilotd/jwks.pb-c.h"

static const char *const v1[] = {"v1", NULL};
static const char *const v1_beta1[] = {"v1", "v1beta1", NULL};
static const char *const v1_beta1_alpha3[] = {"v1", "v1beta1", "v1alpha3", NULL};
static const char *const v1_alpha1[] = {"v1", "v1alpha1", NULL};
static const char *const v1_alpha2[] = {"v1", "v1alpha2", NULL};
static const char *const v1_alpha3[] = {"v1", "v1alpha3", NULL};
static const char *const v1_alpha3_alpha2[] = {"v1", "v1alpha3", "v1alpha2", NULL};
static const char *const beta1[] = {"v1beta1", NULL};
static const char *const beta1_alpha1[] = {"v1beta1", "v1alpha1", NULL};
static const char *const alpha1[] = {"v1alpha1", NULL};
static const char *const alpha3[] = {"v1alpha3", NULL};

#define GWAPI "gateway.networking.k8s.io"
#define GWAPI_X "gateway.networking.x-k8s.io"
#define NETWORKING "networking.istio.io"
#define SECURITY "security.istio.io"
#define EXTENSIONS "extensions.istio.io"
#define PILOTD "internal.pilotd.io"

// clang-format off
#define BUILTIN(ID, GROUP, KIND, PLURAL, VERSIONS, NAMESPACED, OBJECT, DEBUG) \
	[PD_KIND_##ID] = {PD_KIND_##ID, GROUP, KIND, PLURAL, VERSIONS, NAMESPACED, true, \
	                  &OBJECT##__descriptor, NULL, NULL, DEBUG}
#define CUSTOM(ID, GROUP, KIND, PLURAL, VERSIONS, NAMESPACED, SPEC, STATUS, DEBUG) \
	[PD_KIND_##ID] = {PD_KIND_##ID, GROUP, KIND, PLURAL, VERSIONS, NAMESPACED, false, \
	                  NULL, &SPEC##__descriptor, STATUS, DEBUG}
#define ISTIO(ID, GROUP, KIND, PLURAL, VERSIONS, SPEC, DEBUG) \
	CUSTOM(ID, GROUP, KIND, PLURAL, VERSIONS, true, SPEC, &istio__istio_status__descriptor, DEBUG)
#define ROUTE(ID, KIND, PLURAL, VERSIONS, SPEC, DEBUG) \
	CUSTOM(ID, GWAPI, KIND, PLURAL, VERSIONS, true, SPEC, &gwapi__route_status__descriptor, DEBUG)

static const struct pd_kind_info kinds[PD_KIND_COUNT] = {
	BUILTIN(SERVICE, "", "Service", "services", v1, true, k8s__service, "service"),
	BUILTIN(ENDPOINT_SLICE, "discovery.k8s.io", "EndpointSlice", "endpointslices", v1, true, k8s__endpoint_slice,
	        "endpoint-slice"),
	BUILTIN(POD, "", "Pod", "pods", v1, true, k8s__pod, "pod"),
	BUILTIN(NODE, "", "Node", "nodes", v1, false, k8s__node, "node"),
	BUILTIN(NAMESPACE, "", "Namespace", "namespaces", v1, false, k8s__namespace, "namespace"),
	BUILTIN(SECRET, "", "Secret", "secrets", v1, true, k8s__secret, "secret"),
	BUILTIN(CONFIG_MAP, "", "ConfigMap", "configmaps", v1, true, k8s__config_map, "config-map"),
	BUILTIN(SERVICE_ACCOUNT, "", "ServiceAccount", "serviceaccounts", v1, true, k8s__service_account,
	        "service-account"),
	BUILTIN(EVENT, "", "Event", "events", v1, true, k8s__event, "event"),
	BUILTIN(INGRESS, "networking.k8s.io", "Ingress", "ingresses", v1, true, k8s__ingress, "ingress"),
	BUILTIN(INGRESS_CLASS, "networking.k8s.io", "IngressClass", "ingressclasses", v1, false, k8s__ingress_class,
	        "ingress-class"),
	BUILTIN(LEASE, "coordination.k8s.io", "Lease", "leases", v1, true, k8s__lease, "lease"),
	BUILTIN(TOKEN_REVIEW, "authentication.k8s.io", "TokenReview", "tokenreviews", v1, false, k8s__token_review,
	        "token-review"),
	BUILTIN(CERTIFICATE_SIGNING_REQUEST, "certificates.k8s.io", "CertificateSigningRequest",
	        "certificatesigningrequests", v1, false, k8s__certificate_signing_request, "certificate-signing-request"),
	BUILTIN(CLUSTER_TRUST_BUNDLE, "certificates.k8s.io", "ClusterTrustBundle", "clustertrustbundles",
	        beta1_alpha1, false, k8s__cluster_trust_bundle, "cluster-trust-bundle"),
	BUILTIN(CUSTOM_RESOURCE_DEFINITION, "apiextensions.k8s.io", "CustomResourceDefinition",
	        "customresourcedefinitions", v1, false, k8s__custom_resource_definition, "custom-resource-definition"),

	CUSTOM(GATEWAY_CLASS, GWAPI, "GatewayClass", "gatewayclasses", v1_beta1, false,
	       gwapi__gateway_class_spec, &gwapi__gateway_class_status__descriptor, "gateway-class"),
	CUSTOM(KUBERNETES_GATEWAY, GWAPI, "Gateway", "gateways", v1_beta1, true, gwapi__gateway_spec,
	       &gwapi__gateway_status__descriptor, "gateway"),
	CUSTOM(LISTENER_SET, GWAPI, "ListenerSet", "listenersets", v1, true, gwapi__listener_set_spec,
	       &gwapi__listener_set_status__descriptor, "listener-set"),
	ROUTE(HTTP_ROUTE, "HTTPRoute", "httproutes", v1_beta1, gwapi__httproute_spec, "http-route"),
	ROUTE(GRPC_ROUTE, "GRPCRoute", "grpcroutes", v1, gwapi__grpcroute_spec, "grpc-route"),
	ROUTE(TLS_ROUTE, "TLSRoute", "tlsroutes", v1_alpha3_alpha2, gwapi__tlsroute_spec, "tls-route"),
	ROUTE(TCP_ROUTE, "TCPRoute", "tcproutes", v1_alpha2, gwapi__tcproute_spec, "tcp-route"),
	ROUTE(UDP_ROUTE, "UDPRoute", "udproutes", v1_alpha2, gwapi__udproute_spec, "udp-route"),
	CUSTOM(REFERENCE_GRANT, GWAPI, "ReferenceGrant", "referencegrants", v1_beta1, true,
	       gwapi__reference_grant_spec, NULL, "reference-grant"),
	CUSTOM(BACKEND_TLS_POLICY, GWAPI, "BackendTLSPolicy", "backendtlspolicies", v1_alpha3, true,
	       gwapi__backend_tlspolicy_spec, &gwapi__policy_status__descriptor, "backend-tls-policy"),
	CUSTOM(X_BACKEND_TRAFFIC_POLICY, GWAPI_X, "XBackendTrafficPolicy", "xbackendtrafficpolicies", alpha1, true,
	       gwapi__backend_traffic_policy_spec, &gwapi__policy_status__descriptor, "x-backend-traffic-policy"),
	CUSTOM(X_BACKEND, GWAPI_X, "XBackend", "xbackends", alpha1, true, gwapi__backend_spec,
	       &gwapi__backend_status__descriptor, "x-backend"),
	CUSTOM(X_MESH, GWAPI_X, "XMesh", "xmeshes", alpha1, false, gwapi__mesh_spec,
	       &gwapi__mesh_status__descriptor, "x-mesh"),

	ISTIO(VIRTUAL_SERVICE, NETWORKING, "VirtualService", "virtualservices", v1_beta1_alpha3,
	      istio__virtual_service, "virtual-service"),
	ISTIO(DESTINATION_RULE, NETWORKING, "DestinationRule", "destinationrules", v1_beta1_alpha3,
	      istio__destination_rule, "destination-rule"),
	ISTIO(GATEWAY, NETWORKING, "Gateway", "gateways", v1_beta1_alpha3, istio__gateway, "gateway"),
	CUSTOM(SERVICE_ENTRY, NETWORKING, "ServiceEntry", "serviceentries", v1_beta1_alpha3, true,
	       istio__service_entry, &istio__service_entry_status__descriptor, "service-entry"),
	ISTIO(WORKLOAD_ENTRY, NETWORKING, "WorkloadEntry", "workloadentries", v1_beta1_alpha3, istio__workload_entry,
	      "workload-entry"),
	ISTIO(WORKLOAD_GROUP, NETWORKING, "WorkloadGroup", "workloadgroups", v1_beta1_alpha3, istio__workload_group,
	      "workload-group"),
	ISTIO(SIDECAR, NETWORKING, "Sidecar", "sidecars", v1_beta1_alpha3, istio__sidecar, "sidecar"),
	ISTIO(ENVOY_FILTER, NETWORKING, "EnvoyFilter", "envoyfilters", alpha3, istio__envoy_filter,
	      "envoy-filter"),
	ISTIO(PROXY_CONFIG, NETWORKING, "ProxyConfig", "proxyconfigs", beta1, istio__proxy_config_spec,
	      "proxy-config"),
	ISTIO(AUTHORIZATION_POLICY, SECURITY, "AuthorizationPolicy", "authorizationpolicies", v1_beta1,
	      istio__authorization_policy, "authorization-policy"),
	ISTIO(PEER_AUTHENTICATION, SECURITY, "PeerAuthentication", "peerauthentications", v1_beta1,
	      istio__peer_authentication, "peer-authentication"),
	ISTIO(REQUEST_AUTHENTICATION, SECURITY, "RequestAuthentication", "requestauthentications", v1_beta1,
	      istio__request_authentication, "request-authentication"),
	ISTIO(TELEMETRY, "telemetry.istio.io", "Telemetry", "telemetries", v1_alpha1, istio__telemetry,
	      "telemetry"),
	ISTIO(WASM_PLUGIN, EXTENSIONS, "WasmPlugin", "wasmplugins", alpha1, istio__wasm_plugin, "wasm-plugin"),
	ISTIO(TRAFFIC_EXTENSION, EXTENSIONS, "TrafficExtension", "trafficextensions", alpha1,
	      istio__traffic_extension, "traffic-extension"),

	CUSTOM(JSON_WEB_KEY_SET, PILOTD, "JsonWebKeySet", "jsonwebkeysets", v1, false, pilotd__json_web_key_set, NULL,
	       "json-web-key-set"),
};
// clang-format on

const struct pd_kind_info *pd_kind_info(enum pd_kind kind)
{
	PD_ASSERT((unsigned)kind < PD_KIND_COUNT);
	return &kinds[kind];
}

static int check_version(const struct pd_kind_info *info, const char *version, enum pd_kind *out)
{
	*out = info->kind_id;
	for (size_t i = 0; info->versions[i]; i++)
		if (strcmp(info->versions[i], version) == 0)
			return PD_OK;
	return PD_E_INVALID;
}

int pd_kind_find(const char *api_version, const char *kind, enum pd_kind *out)
{
	const char *slash = strchr(api_version, '/');
	size_t group_len = slash ? (size_t)(slash - api_version) : 0;
	const char *version = slash ? slash + 1 : api_version;

	for (size_t i = 0; i < PD_KIND_COUNT; i++) {
		const struct pd_kind_info *info = &kinds[i];

		if (strcmp(info->kind, kind) == 0 && strlen(info->group) == group_len &&
		    memcmp(info->group, api_version, group_len) == 0)
			return check_version(info, version, out);
	}
	return PD_E_NOTFOUND;
}

int pd_kind_find_plural(const char *group, const char *version, const char *plural, enum pd_kind *out)
{
	for (size_t i = 0; i < PD_KIND_COUNT; i++) {
		const struct pd_kind_info *info = &kinds[i];

		if (strcmp(info->plural, plural) == 0 && strcmp(info->group, group) == 0)
			return check_version(info, version, out);
	}
	return PD_E_NOTFOUND;
}
