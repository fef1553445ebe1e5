// A configuration object: one Kubernetes or mesh resource as it lies in the API server or in a file.
//
// Immutable once it is in the store and reference-counted (base/hamt.h: pd_obj_ref / pd_obj_unref); every pointer inside is
// borrowed until the last reference goes. It keeps only what translators read: managedFields, unknown annotations and the
// status of kinds whose status nobody reads are cut away before it is built.
#ifndef CONFIG_OBJECT_H
#define CONFIG_OBJECT_H

#include <protobuf-c/protobuf-c.h>
#include <stdint.h>

#include "api/kinds.h"
#include "base/hamt.h"
#include "base/mem.h"
#include "k8s/meta.pb-c.h"

// Limits on what a key may hold; sources refuse longer ones. Kubernetes allows 253 bytes for most names, 63 for namespaces.
#define PD_NAME_MAX 253
#define PD_NAMESPACE_MAX 63
#define PD_CLUSTER_MAX 128
#define PD_OBJECT_KEY_MAX 512 // "kind/cluster/ns/name" with its NUL

// Identity. Strings are interned, so keys compare by pointer. `ns` is "" for cluster-scoped kinds.
struct pd_key {
	enum pd_kind kind;
	const char *cluster, *ns, *name;
};

struct pd_object {
	struct pd_obj obj;
	struct pd_key key;
	const K8s__ObjectMeta *meta;    // name, namespace, labels, annotations that somebody reads, ...
	int64_t created_ns;             // creationTimestamp; 0 if absent
	int64_t generation;             // metadata.generation; 0 if absent
	const ProtobufCMessage *spec;   // built-in kinds: the whole object; others: the spec message
	const ProtobufCMessage *status; // status message of kinds whose status is read, else NULL
	uint64_t hash;                  // semantic hash: equal hash = no reader can tell the difference
	const char *origin;             // where it came from, for messages: "bookinfo.yaml:12" or "k8s"
	struct pd_arena arena;          // owns all of the above but the key
};

// The value of a label or annotation, or NULL.
const char *pd_object_label(const struct pd_object *o, const char *key);
const char *pd_object_annotation(const struct pd_object *o, const char *key);

// "VirtualService/Kubernetes/default/reviews": the key of PD_INDEX_OBJECT. The kind is its name, but that of the Gateway API's
// Gateway, which two groups have, is "KubernetesGateway". Returns the length, or PD_E_LIMIT.
int pd_object_key(char *buf, size_t cap, enum pd_kind kind, const char *cluster, const char *ns, const char *name);
// The kind as it is written there. Never NULL.
const char *pd_object_kind_name(enum pd_kind kind);

// Order used wherever "oldest wins": creation time (told in seconds, so often equal), then name, then namespace, as istiod. The
// Gateway API has another rule for equal ages: discovery/gwapi.
int pd_object_cmp_age(const struct pd_object *a, const struct pd_object *b);

// Builds an object from decoded parts. `arena` is taken over (it holds meta, spec, status and is emptied in the caller);
// the strings of `key` are interned here. One reference for the caller. Cuts away what nobody reads (config/trim.h) and
// computes the semantic hash. For a built-in kind `spec` is the whole object and `meta` its metadata.
// Asserts that the key's strings are within the limits above.
struct pd_object *pd_object_new(const struct pd_key *key, K8s__ObjectMeta *meta, ProtobufCMessage *spec,
				ProtobufCMessage *status, const char *origin, struct pd_arena *arena);

// The same from parts that stay the caller's (they are cut in place): what is left is copied into one block of exactly the
// size needed. For objects that are kept for long and decoded in a scratch arena.
struct pd_object *pd_object_build(const struct pd_key *key, K8s__ObjectMeta *meta, ProtobufCMessage *spec,
				  ProtobufCMessage *status, const char *origin);

#endif
