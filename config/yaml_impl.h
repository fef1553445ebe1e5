// Shared by yaml.c and yaml_tree.c only.
#ifndef CONFIG_YAML_IMPL_H
#define CONFIG_YAML_IMPL_H

#include <yaml.h>

#include "base/str.h"
#include "config/yaml.h"

struct pd_yaml {
	const char *at, *end; // text that is not cut yet
	uint32_t line;        // of `at`
	const char *piece;    // current piece: piece..at
	uint32_t base_line;   // of `piece`
	bool open;            // parser reads the current piece
	yaml_parser_t parser;
};

// The next document of the current piece; a null node for an empty one. PD_E_NOTFOUND: the piece is at its end.
int pd_yaml_document(struct pd_yaml *y, struct pd_arena *a, struct pd_json **out, uint32_t *line,
		     struct pd_yaml_error *err) PD_MUST_CHECK;
// Adds `by` to all line numbers of a tree that shares nothing.
void pd_yaml_shift_lines(struct pd_json *j, uint32_t by);

#endif
