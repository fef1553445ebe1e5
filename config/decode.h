// Documents to objects: text → trees (config/yaml.h) → messages (api/codec.h) → checks (config/validate.h) → objects.
//
// Strictness. The spec of mesh kinds and all metadata are strict: an unknown field, a wrong type or a key that is there twice
// rejects the object. Kubernetes' own kinds are strict where we have all of their fields (Service, EndpointSlice, Secret,
// ConfigMap, Namespace, ServiceAccount) and lenient where we have a subset (Pod, Node, …). The status of mesh kinds is decoded
// only where somebody reads it, and never rejects anything. Objects that an API server serves are read leniently throughout:
// its schema has judged them, and may be newer than ours.
//
// A document of a kind that we do not know (Deployment, …) is ignored, counted and named at debug level. Lists ("kind: List",
// "ServiceList", …) are their items.
#ifndef CONFIG_DECODE_H
#define CONFIG_DECODE_H

#include <stdbool.h>

#include "api/json.h"
#include "base/vec.h"
#include "config/issue.h"
#include "config/object.h"

#define PD_DECODE_MAX_LISTS 4 // lists in lists; how many objects there are is bounded by the limits of config/yaml.h

struct pd_decode_config {
	const char *cluster;      // of the keys
	const char *origin;       // what issues and objects name as their file: "dir/file.yaml"
	struct pd_issues *issues; // mistakes go here
	bool served;              // by an API server, which has checked it: all kinds are read leniently
};

// One object of a text.
struct pd_decoded {
	enum pd_kind kind;
	const char *ns, *name;    // interned, one reference each
	struct pd_object *object; // one reference; NULL = rejected, an issue says why
	uint32_t line;            // of the document
};

// All-zero is empty.
struct pd_decoded_text {
	PD_VEC(struct pd_decoded) items; // in the order of the text; a key may be there twice
	size_t ignored;                  // documents of kinds that nobody reads
	bool incomplete;                 // some document could not be read so far that its identity is known
};

// Decodes all documents. Every mistake becomes an issue; what is well-formed is in `out`.
void pd_decode_text(const struct pd_decode_config *cfg, const char *text, size_t len, struct pd_decoded_text *out);
// One tree (which may be a list). `line` is that of the document.
void pd_decode_tree(const struct pd_decode_config *cfg, const struct pd_json *root, uint32_t line,
		    struct pd_decoded_text *out);
void pd_decoded_text_free(struct pd_decoded_text *);

// "VirtualService default/reviews", "Node n1".
void pd_object_title(struct pd_buf *out, enum pd_kind kind, const char *ns, const char *name);

#endif
