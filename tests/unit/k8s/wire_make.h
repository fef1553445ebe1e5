// Bodies as an API server sends them.
#ifndef TESTS_UNIT_K8S_WIRE_MAKE_H
#define TESTS_UNIT_K8S_WIRE_MAKE_H

#include "base/str.h"
#include "k8s/wire.h"

// "k8s\0" and runtime.Unknown around a message.
void wire_envelope(struct pd_buf *out, const char *kind, const void *msg);
// A protobuf list: `begin` once, `item` for each, `end` appends the body. All-zero is empty.
struct wire_list {
	struct pd_buf items;
};
void wire_list_item(struct wire_list *l, const void *msg);
void wire_list_end(struct wire_list *l, struct pd_buf *out, const char *rv, const char *next);
// A protobuf frame of a watch.
void wire_frame(struct pd_buf *out, const char *type, const char *kind, const void *object);
// An ObjectMeta in the arena; strings are borrowed.
K8s__ObjectMeta *wire_meta(struct pd_arena *a, const char *ns, const char *name, const char *rv);

#endif
