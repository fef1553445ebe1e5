// What answers of discovery say, and facts about kinds.
#include <string.h>

#include "api/json.h"
#include "k8s/kinds.h"

// ---- kinds ----------------------------------------------------------------------------------------------------------

bool pd_k8s_kind_is_default(enum pd_kind kind)
{
	switch (kind) {
	case PD_KIND_SECRET: // read one by one, by whoever is allowed to use them
	case PD_KIND_CONFIG_MAP:
	case PD_KIND_SERVICE_ACCOUNT:
	case PD_KIND_EVENT:
	case PD_KIND_INGRESS:
	case PD_KIND_INGRESS_CLASS:
	case PD_KIND_LEASE:
	case PD_KIND_TOKEN_REVIEW:
	case PD_KIND_CERTIFICATE_SIGNING_REQUEST:
	case PD_KIND_CLUSTER_TRUST_BUNDLE:
	case PD_KIND_CUSTOM_RESOURCE_DEFINITION:
	case PD_KIND_JSON_WEB_KEY_SET: // our own: keys must not come from elsewhere
		return false;
	default:
		return true;
	}
}

const char *pd_k8s_kind_selector(enum pd_kind kind)
{
	switch (kind) {
	case PD_KIND_POD: // one that has ended has no address
		return "status.phase!=Succeeded,status.phase!=Failed";
	case PD_KIND_SECRET:
		return "type!=helm.sh/release.v1,type!=kubernetes.io/service-account-token";
	default:
		return NULL;
	}
}

void pd_k8s_kind_base(enum pd_kind kind, const char *version, struct pd_buf *out)
{
	const char *group = pd_kind_info(kind)->group;

	if (*group)
		pd_buf_printf(out, "/apis/%s/%s", group, version);
	else
		pd_buf_printf(out, "/api/%s", version);
}

int pd_k8s_kind_of_definition(const char *name, enum pd_kind *out)
{
	for (int i = 0; i < PD_KIND_COUNT; i++) {
		const struct pd_kind_info *info = pd_kind_info((enum pd_kind)i);
		size_t n = strlen(info->plural);

		if (!info->builtin && !strncmp(name, info->plural, n) && name[n] == '.' &&
		    !strcmp(name + n + 1, info->group)) {
			*out = info->kind_id;
			return PD_OK;
		}
	}
	return PD_E_NOTFOUND;
}

// ---- answers --------------------------------------------------------------------------------------------------------

// Takes note of a version, unless a better one is known.
static void serve(struct pd_k8s_served *out, const char *group, const char *version, const char *plural)
{
	const struct pd_kind_info *info;
	enum pd_kind kind;

	if (pd_kind_find_plural(group, version, plural, &kind) != PD_OK)
		return;
	info = pd_kind_info(kind);
	for (const char *const *v = info->versions; *v && *v != out->version[kind]; v++)
		if (!strcmp(*v, version))
			out->version[kind] = *v;
}

static const struct pd_json *first(const struct pd_json *object, const char *name)
{
	const struct pd_json *list = pd_json_get(object, name);

	return list && list->type == PD_JSON_ARRAY ? list->first : NULL;
}

static bool can(const struct pd_json *resource, const char *verb)
{
	for (const struct pd_json *v = first(resource, "verbs"); v; v = v->next)
		if (v->type == PD_JSON_STRING && !strcmp(v->s, verb))
			return true;
	return false;
}

static bool can_be_followed(const struct pd_json *resource)
{
	return can(resource, "list") && can(resource, "watch");
}

static void read_aggregated(const struct pd_json *root, struct pd_k8s_served *out)
{
	for (const struct pd_json *g = first(root, "items"); g; g = g->next) {
		const char *group = pd_or(pd_json_get_string(pd_json_get(g, "metadata"), "name"), "");

		for (const struct pd_json *v = first(g, "versions"); v; v = v->next)
			for (const struct pd_json *r = first(v, "resources"); r; r = r->next)
				if (can_be_followed(r))
					serve(out, group, pd_or(pd_json_get_string(v, "version"), ""),
					      pd_or(pd_json_get_string(r, "resource"), ""));
	}
}

static void read_resources(const struct pd_json *root, struct pd_arena *a, struct pd_k8s_served *out)
{
	const char *group_version = pd_or(pd_json_get_string(root, "groupVersion"), "");
	const char *slash = strchr(group_version, '/');
	const char *group = slash ? pd_arena_strndup(a, group_version, (size_t)(slash - group_version)) : "";

	for (const struct pd_json *r = first(root, "resources"); r; r = r->next)
		if (can_be_followed(r))
			serve(out, group, slash ? slash + 1 : group_version, pd_or(pd_json_get_string(r, "name"), ""));
}

static bool has_our_kinds(const char *group, const char *version)
{
	for (int i = 0; i < PD_KIND_COUNT; i++) {
		const struct pd_kind_info *info = pd_kind_info((enum pd_kind)i);

		for (const char *const *v = info->versions; !strcmp(info->group, group) && *v; v++)
			if (!strcmp(*v, version))
				return true;
	}
	return false;
}

static void read_groups(const struct pd_json *root, struct pd_arena *a, struct pd_k8s_paths *paths)
{
	for (const struct pd_json *g = first(root, "groups"); g; g = g->next) {
		const char *group = pd_or(pd_json_get_string(g, "name"), "");

		for (const struct pd_json *v = first(g, "versions"); v; v = v->next) {
			const char *version = pd_or(pd_json_get_string(v, "version"), "");

			if (has_our_kinds(group, version))
				pd_vec_push_a(a, &paths->list, pd_arena_printf(a, "/apis/%s/%s", group, version));
		}
	}
}

int pd_k8s_discovery_read(const char *text, size_t len, struct pd_arena *a, struct pd_k8s_served *out,
			  struct pd_k8s_paths *paths)
{
	struct pd_json *root;
	const char *kind;
	int rc = pd_json_parse(a, text, len, &root, NULL);

	if (rc)
		return rc;
	kind = pd_or(pd_json_get_string(root, "kind"), "");
	if (!strcmp(kind, "APIGroupDiscoveryList")) {
		read_aggregated(root, out);
		return PD_OK;
	}
	if (!strcmp(kind, "APIResourceList")) {
		read_resources(root, a, out);
		return PD_OK;
	}
	if (!strcmp(kind, "APIGroupList"))
		read_groups(root, a, paths);
	else if (!strcmp(kind, "APIVersions"))
		pd_vec_push_a(a, &paths->list, "/api/v1");
	else
		return PD_E_PARSE;
	return PD_E_AGAIN;
}
