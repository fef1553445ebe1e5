// The table of kinds, and that fields of its messages are spelled as users write them.
#include "api/kinds.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "istio/mesh/config.pb-c.h"
#include "k8s/meta.pb-c.h"

static void api_version(char *out, size_t size, const struct pd_kind_info *info, const char *version)
{
	snprintf(out, size, "%s%s%s", info->group, *info->group ? "/" : "", version);
}

static void every_kind_is_complete(void **state)
{
	(void)state;
	for (int k = 0; k < PD_KIND_COUNT; k++) {
		const struct pd_kind_info *info = pd_kind_info((enum pd_kind)k);

		assert_int_equal(info->kind_id, k);
		assert_non_null(info->group);
		assert_non_null(info->kind);
		assert_non_null(info->plural);
		assert_non_null(info->versions[0]);
		assert_non_null(info->debug_name);
		for (const char *p = info->plural; *p; p++)
			assert_true(islower((unsigned char)*p));
		assert_int_equal(info->builtin, info->object != NULL);
		assert_int_equal(info->builtin, info->spec == NULL);
		if (info->builtin) {
			const ProtobufCFieldDescriptor *meta = protobuf_c_message_descriptor_get_field(info->object, 1);

			assert_null(info->status);
			assert_non_null(meta);
			assert_string_equal(meta->name, "metadata");
			assert_ptr_equal(meta->descriptor, &k8s__object_meta__descriptor);
		}
	}
}

static void every_version_resolves(void **state)
{
	(void)state;
	for (int k = 0; k < PD_KIND_COUNT; k++) {
		const struct pd_kind_info *info = pd_kind_info((enum pd_kind)k);

		for (size_t i = 0; info->versions[i]; i++) {
			char text[128];
			enum pd_kind found = PD_KIND_COUNT;

			api_version(text, sizeof(text), info, info->versions[i]);
			assert_int_equal(pd_kind_find(text, info->kind, &found), PD_OK);
			assert_int_equal(found, k);
			found = PD_KIND_COUNT;
			assert_int_equal(pd_kind_find_plural(info->group, info->versions[i], info->plural, &found),
					 PD_OK);
			assert_int_equal(found, k);
		}
	}
}

static void unknown_kind_and_unknown_version_differ(void **state)
{
	enum pd_kind k = PD_KIND_COUNT;

	(void)state;
	assert_int_equal(pd_kind_find("v1", "VirtualService", &k), PD_E_NOTFOUND);
	assert_int_equal(pd_kind_find("networking.istio.io/v1", "VirtualServices", &k), PD_E_NOTFOUND);
	assert_int_equal(pd_kind_find("networking.istio.io", "VirtualService", &k), PD_E_NOTFOUND);
	assert_int_equal(pd_kind_find("", "Service", &k), PD_E_INVALID);
	assert_int_equal(k, PD_KIND_SERVICE);
	k = PD_KIND_COUNT;
	assert_int_equal(pd_kind_find("/v1", "Pod", &k), PD_OK); // an empty group is the core group
	assert_int_equal(pd_kind_find("networking.istio.i/v1", "VirtualService", &k), PD_E_NOTFOUND);
	assert_int_equal(pd_kind_find("networking.istio.io/v2", "VirtualService", &k), PD_E_INVALID);
	assert_int_equal(k, PD_KIND_VIRTUAL_SERVICE);
	assert_int_equal(pd_kind_find("networking.istio.io/v1/x", "Sidecar", &k), PD_E_INVALID);
	assert_int_equal(pd_kind_find("networking.istio.io/v1", "EnvoyFilter", &k), PD_E_INVALID);
	assert_int_equal(k, PD_KIND_ENVOY_FILTER);
	assert_int_equal(pd_kind_find_plural("", "v1", "virtualservices", &k), PD_E_NOTFOUND);
	assert_int_equal(pd_kind_find_plural("", "v2", "pods", &k), PD_E_INVALID);
}

static void same_names_in_different_groups_stay_apart(void **state)
{
	enum pd_kind k = PD_KIND_COUNT;

	(void)state;
	assert_int_equal(pd_kind_find("networking.istio.io/v1", "Gateway", &k), PD_OK);
	assert_int_equal(k, PD_KIND_GATEWAY);
	assert_int_equal(pd_kind_find("gateway.networking.k8s.io/v1", "Gateway", &k), PD_OK);
	assert_int_equal(k, PD_KIND_KUBERNETES_GATEWAY);
	assert_int_equal(pd_kind_find_plural("gateway.networking.k8s.io", "v1", "gateways", &k), PD_OK);
	assert_int_equal(k, PD_KIND_KUBERNETES_GATEWAY);
}

// The name that the proto3 JSON mapping gives to a field.
static void json_name(char *out, size_t size, const char *name)
{
	size_t n = 0;
	bool upper = false;

	for (; *name; name++) {
		assert_true(n + 1 < size);
		if (*name == '_') {
			upper = true;
			continue;
		}
		out[n++] = (char)(upper ? toupper((unsigned char)*name) : *name);
		upper = false;
	}
	out[n] = '\0';
}

// Follows a path of JSON names; lists, map values and members that Kubernetes inlines are passed through.
static const ProtobufCFieldDescriptor *field_at(const ProtobufCMessageDescriptor *d, const char *path)
{
	const ProtobufCFieldDescriptor *field = NULL;

	while (*path) {
		size_t len = strcspn(path, ".");

		if (field)
			d = field->descriptor;
		field = NULL;
		for (unsigned i = 0; i < d->n_fields && !field; i++) {
			char name[128];

			json_name(name, sizeof(name), d->fields[i].name);
			if (strlen(name) == len && memcmp(name, path, len) == 0)
				field = &d->fields[i];
		}
		if (!field)
			return NULL;
		path += len + (path[len] == '.');
	}
	return field;
}

static void fields_have_the_names_that_users_write(void **state)
{
	static const struct {
		enum pd_kind kind;
		const char *path;
		const char *message; // of message fields
	} cases[] = {
		{PD_KIND_SERVICE, "spec.clusterIPs", NULL},
		{PD_KIND_SERVICE, "spec.ports.targetPort", "k8s.IntOrString"},
		{PD_KIND_SERVICE, "spec.publishNotReadyAddresses", NULL},
		{PD_KIND_POD, "spec.containers.ports.containerPort", NULL},
		{PD_KIND_POD, "spec.serviceAccountName", NULL},
		{PD_KIND_POD, "status.podIPs.ip", NULL},
		{PD_KIND_ENDPOINT_SLICE, "endpoints.targetRef.kind", NULL},
		{PD_KIND_ENDPOINT_SLICE, "metadata.creationTimestamp", "k8s.Time"},
		{PD_KIND_LEASE, "spec.renewTime", "k8s.MicroTime"},
		{PD_KIND_KUBERNETES_GATEWAY, "gatewayClassName", NULL},
		{PD_KIND_KUBERNETES_GATEWAY, "listeners.allowedRoutes.namespaces.from", NULL},
		{PD_KIND_KUBERNETES_GATEWAY, "listeners.tls.certificateRefs.name", NULL},
		{PD_KIND_HTTP_ROUTE, "rules.filters.urlRewrite.path.replacePrefixMatch", NULL},
		{PD_KIND_HTTP_ROUTE, "rules.backendRefs.filters.requestHeaderModifier.set.name", NULL},
		{PD_KIND_BACKEND_TLS_POLICY, "validation.wellKnownCACertificates", NULL},
		{PD_KIND_VIRTUAL_SERVICE, "http.route.destination.port.number", NULL},
		{PD_KIND_VIRTUAL_SERVICE, "http.retries.perTryTimeout", "google.protobuf.Duration"},
		{PD_KIND_DESTINATION_RULE, "trafficPolicy.outlierDetection.consecutive5xxErrors",
		 "google.protobuf.UInt32Value"},
		{PD_KIND_DESTINATION_RULE, "subsets.trafficPolicy.connectionPool.http.h2UpgradePolicy", NULL},
		{PD_KIND_SERVICE_ENTRY, "workloadSelector.labels", NULL},
		{PD_KIND_AUTHORIZATION_POLICY, "selector.matchLabels", NULL},
		{PD_KIND_ENVOY_FILTER, "configPatches.patch.value", "google.protobuf.Struct"},
		{PD_KIND_TELEMETRY, "metrics.overrides.tagOverrides", NULL},
		{PD_KIND_WASM_PLUGIN, "pluginConfig", "google.protobuf.Struct"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct pd_kind_info *info = pd_kind_info(cases[i].kind);
		const ProtobufCFieldDescriptor *f = field_at(info->builtin ? info->object : info->spec, cases[i].path);

		if (!f)
			fail_msg("%s has no %s", info->kind, cases[i].path);
		if (cases[i].message)
			assert_string_equal(((const ProtobufCMessageDescriptor *)f->descriptor)->name,
					    cases[i].message);
	}
	assert_non_null(field_at(&istio__mesh_config__descriptor, "defaultConfig.gatewayTopology.numTrustedProxies"));
	assert_null(field_at(&istio__mesh_config__descriptor, "defaultConfig.gatewayTopology.numTrusted"));
}

// Descriptors share the name of their kind, so a row of the table cannot point at its neighbour's message.
static void messages_belong_to_their_kinds(void **state)
{
	(void)state;
	for (int k = 0; k < PD_KIND_COUNT; k++) {
		const struct pd_kind_info *info = pd_kind_info((enum pd_kind)k);
		const char *message = (info->builtin ? info->object : info->spec)->short_name;
		const char *kind = info->kind;
		size_t len;

		if (strstr(info->group, "x-k8s.io"))
			kind++; // XBackend is described by BackendSpec
		len = strlen(kind);
		assert_true(strncmp(message, kind, len) == 0);
		assert_true(message[len] == '\0' || strcmp(message + len, "Spec") == 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_is_complete),
		cmocka_unit_test(every_version_resolves),
		cmocka_unit_test(unknown_kind_and_unknown_version_differ),
		cmocka_unit_test(same_names_in_different_groups_stay_apart),
		cmocka_unit_test(fields_have_the_names_that_users_write),
		cmocka_unit_test(messages_belong_to_their_kinds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
