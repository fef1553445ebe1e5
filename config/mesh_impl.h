// Inside of reading the mesh's documents.
#ifndef CONFIG_MESH_IMPL_H
#define CONFIG_MESH_IMPL_H

#include "api/json.h"
#include "config/mesh.h"

struct mesh_load {
	struct pd_arena arena; // trees, texts
	const char *origin, *object;
	struct pd_issues *issues;
	bool failed; // an error was reported
};
void pd_mesh_report(struct mesh_load *l, enum pd_issue_severity severity, uint32_t line, const char *field,
		    const char *reason);
// The first document of a text; NULL if it is empty or, which is reported, no object.
struct pd_json *pd_mesh_read(struct mesh_load *l, const char *text, size_t len);
// Unknown fields are reported but do not refuse the document, as in istiod; all other mistakes do.
void pd_mesh_check(struct mesh_load *l, const struct pd_json *root, const ProtobufCMessageDescriptor *d);

#endif
