// Checks of meaning, beyond types and field names, on objects that were decoded without error.
//
// Only what would harm: values that Envoy refuses (and with them a whole listener or route table), or with which nothing
// sensible can be built. istiod's validating webhook refuses the same; in a cluster it has run already, for files this is it.
// Regular expressions are left to Envoy. An error rejects the object; a warning is only reported.
#ifndef CONFIG_VALIDATE_H
#define CONFIG_VALIDATE_H

#include <protobuf-c/protobuf-c.h>

#include "api/kinds.h"
#include "base/vec.h"
#include "config/issue.h"
#include "k8s/meta.pb-c.h"

#define PD_VALIDATION_MAX 32 // findings kept for one object

struct pd_finding {
	enum pd_issue_severity severity;
	const char *field, *reason; // in the arena
};
struct pd_validation {
	struct pd_arena *arena; // in
	struct {
		struct pd_finding v[PD_VALIDATION_MAX];
		size_t n;
	} found;        // out
	size_t dropped; // out: findings beyond the limit
	size_t errors;  // out: findings of severity error, those dropped included
};

// `spec` is the whole object of built-in kinds. Kinds without a row in the table have nothing to check.
void pd_validate(enum pd_kind kind, const K8s__ObjectMeta *meta, const ProtobufCMessage *spec, struct pd_validation *v);

#endif
