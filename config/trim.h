// What is kept of an object: exactly what some reader asks for. All else would cost memory and make changes that nobody can
// see look like changes. Whoever reads something new adds it to the tables in trim.c.
#ifndef CONFIG_TRIM_H
#define CONFIG_TRIM_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

#include "api/kinds.h"
#include "base/mem.h"
#include "k8s/meta.pb-c.h"

// Cuts in place: metadata, the whole object of a built-in kind, *status (set to NULL if nothing of it is read). Also brings
// to one form what Kubernetes writes in two (Secret.stringData becomes data); new arrays are allocated from `arena`.
void pd_trim(enum pd_kind kind, struct pd_arena *arena, K8s__ObjectMeta *meta, ProtobufCMessage *spec,
	     ProtobufCMessage **status);

// Whether objects of this kind need their status decoded at all.
bool pd_trim_keeps_status(enum pd_kind kind);
// Whether somebody reads this annotation of this kind.
bool pd_trim_keeps_annotation(enum pd_kind kind, const char *key);

#endif
