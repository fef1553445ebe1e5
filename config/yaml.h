// YAML text to JSON trees (api/json.h) with source lines, by the rules of sigs.k8s.io/yaml, which kubectl and istiod use:
// YAML 1.1 scalars (yes, on, 0777, 1_000), dates and 1:30 as strings, null keys and .inf refused, other keys as strings.
//
// A text may hold many documents. It is cut at lines that start with "---" before anything is parsed, so that a mistake in
// one document leaves the others readable. JSON text is read too (it is nearly a subset; what YAML cannot read of it goes
// through the JSON parser).
//
// Aliases share what they refer to: the tree is then a graph without cycles, whose size as a tree is bounded below.
// Merge keys ("<<") are resolved: a member of the mapping itself wins, then the earlier of several merged mappings.
// Members may be there twice; the codec decides what that means.
#ifndef CONFIG_YAML_H
#define CONFIG_YAML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/json.h"
#include "base/err.h"

#define PD_YAML_MAX_BYTES (64u << 20)       // one text
#define PD_YAML_MAX_DEPTH 100               // nested collections, aliases followed
#define PD_YAML_MAX_NODES PD_JSON_MAX_NODES // values of one document, aliases followed
#define PD_YAML_MAX_ALIAS_NODES 200000      // of these, values that come from aliases and merges
#define PD_YAML_MAX_ANCHORS 10000           // in one document

struct pd_yaml_error {
	uint32_t line;  // 1-based
	char text[200]; // "did not find expected key, while parsing a block mapping that starts in line 3"
};

// Reads one text; use from one thread at a time.
struct pd_yaml;
// `text` is borrowed for the reader's life. PD_E_LIMIT: longer than PD_YAML_MAX_BYTES. PD_E_PARSE: not UTF-8, or a NUL byte.
// *out is set on success only.
int pd_yaml_open(const char *text, size_t len, struct pd_yaml **out, struct pd_yaml_error *err) PD_MUST_CHECK;
void pd_yaml_close(struct pd_yaml **);

// The next document that is not empty, in `a`; *line is its first line.
// PD_E_NOTFOUND: no more. PD_E_PARSE, PD_E_LIMIT: this document cannot be read, err tells why; go on with the next call.
int pd_yaml_next(struct pd_yaml *y, struct pd_arena *a, struct pd_json **out, uint32_t *line, struct pd_yaml_error *err)
	PD_MUST_CHECK;

// Resolves one plain scalar by the rules above into a node (type and value only). False: it is a string.
bool pd_yaml_resolve(const char *s, size_t n, struct pd_json *out);

#endif
