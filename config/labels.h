// Labels and annotations as they are kept: arrays of interned strings, sorted by key.
#ifndef CONFIG_LABELS_H
#define CONFIG_LABELS_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>

struct pd_label {
	const char *key, *value; // interned
};
struct pd_labels {
	size_t n;
	const struct pd_label *v; // sorted by key, distinct
};
// All map<string, string> entries that protobuf-c generates have this layout.
struct pd_label_entry {
	ProtobufCMessage base;
	const char *key, *value;
} __attribute__((may_alias));
#define PD_LABEL_ENTRIES(list) ((const struct pd_label_entry *const *)(list))

// The value, borrowed from the list; NULL if absent.
const char *pd_labels_get(const struct pd_labels *l, const char *key);
// Every pair of `selector` is in `labels`; an empty selector matches everything.
bool pd_labels_match(const struct pd_labels *selector, const struct pd_labels *labels);

#endif
