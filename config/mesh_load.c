#include "api/codec.h"
#include "base/str.h"
#include "config/mesh_impl.h"
#include "config/yaml.h"

void pd_mesh_report(struct mesh_load *l, enum pd_issue_severity severity, uint32_t line, const char *field,
		    const char *reason)
{
	struct pd_issue i = {
		.severity = severity,
		.origin = pd_arena_printf(&l->arena, "%s:%u", l->origin, line ? line : 1),
		.object = l->object,
		.field = field,
		.reason = reason,
	};

	l->failed |= severity == PD_ISSUE_ERROR;
	pd_issues_add(l->issues, &i);
}

struct pd_json *pd_mesh_read(struct mesh_load *l, const char *text, size_t len)
{
	struct pd_yaml *y;
	struct pd_yaml_error err;
	struct pd_json *root = NULL;
	uint32_t line;
	int rc = pd_yaml_open(text, len, &y, &err);

	if (rc) {
		pd_mesh_report(l, PD_ISSUE_ERROR, err.line, "", pd_arena_strdup(&l->arena, err.text));
		return NULL;
	}
	rc = pd_yaml_next(y, &l->arena, &root, &line, &err);
	pd_yaml_close(&y);
	if (rc == PD_E_NOTFOUND)
		return NULL;
	if (rc)
		pd_mesh_report(l, PD_ISSUE_ERROR, err.line, "", pd_arena_strdup(&l->arena, err.text));
	else if (root->type != PD_JSON_OBJECT)
		pd_mesh_report(l, PD_ISSUE_ERROR, line, "", "expected an object");
	return root;
}

void pd_mesh_check(struct mesh_load *l, const struct pd_json *root, const ProtobufCMessageDescriptor *d)
{
	struct pd_codec c = {.arena = &l->arena, .policy = PD_CODEC_STRICT};
	void *ignored;

	if (pd_codec_decode(&c, root, d, &ignored) == PD_OK)
		return;
	for (uint32_t i = 0; i < c.n_errors; i++)
		pd_mesh_report(l,
			       pd_has_prefix(c.errors[i].reason, "unknown field") ? PD_ISSUE_WARNING : PD_ISSUE_ERROR,
			       c.errors[i].line, c.errors[i].path, c.errors[i].reason);
	if (c.errors_dropped)
		pd_mesh_report(l, PD_ISSUE_ERROR, 0, "", "too many errors");
}
