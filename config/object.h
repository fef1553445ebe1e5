// A configuration object: one Kubernetes or mesh resource as it lies in the API server or in a file.
//
// Immutable once it is built and reference-counted (base/hamt.h: pd_obj_ref / pd_obj_unref); every pointer inside is borrowed
// until the last reference goes. It keeps only what translators read: managedFields, unknown annotations and the status of
// kinds whose status nobody reads are cut away before it is built (config/trim.h).
//
// There may be 100,000 of them, so it is one block of memory. Labels and annotations are interned. Kinds of which there are
// most (Service, EndpointSlice, Pod) are read only while something changes: their message is kept as packed bytes, a fifth of
// the structs' size, and unpacked where it is read (pd_object_open).
#ifndef CONFIG_OBJECT_H
#define CONFIG_OBJECT_H

#include <protobuf-c/protobuf-c.h>
#include <stdint.h>

#include "api/kinds.h"
#include "base/hamt.h"
#include "base/mem.h"
#include "config/labels.h"
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

// What Kubernetes itself calls an object by; only of kinds where somebody needs it.
struct pd_object_ids {
	const char *uid, *resource_version; // NULL if not kept
};

struct pd_object {
	struct pd_hamt_item item; // its hash is the object's token (config/store.h)
	struct pd_key key;
	int64_t created_ns; // creationTimestamp; 0 if absent
	int64_t generation; // metadata.generation; 0 if absent
	uint64_t hash;      // semantic hash: equal hash = no reader can tell the difference
	// Built-in kinds: the whole object without metadata; others: the spec message. NULL if it is kept packed.
	const ProtobufCMessage *spec;
	const ProtobufCMessage *status; // status message of kinds whose status is read, else NULL
	const struct pd_label *pairs;   // labels, then annotations; interned, sorted by key
	const void *packed;
	uint32_t n_labels, n_annotations, n_packed;
	const struct pd_object_ids *ids; // or NULL
	const char *origin;              // where it came from, for messages: "bookinfo.yaml:12" or "k8s"
};

// The message of any kind, as `spec` would be. What is unpacked lives in `a`; metadata then holds ownerReferences and
// deletionTimestamp of a Pod, and is NULL where there are none. Never fails: the bytes are our own.
const ProtobufCMessage *pd_object_open(const struct pd_object *o, struct pd_arena *a);

static inline struct pd_labels pd_object_labels(const struct pd_object *o)
{
	return (struct pd_labels){o->n_labels, o->pairs};
}
static inline struct pd_labels pd_object_annotations(const struct pd_object *o)
{
	return (struct pd_labels){o->n_annotations, o->pairs + o->n_labels};
}
// The value of a label or annotation, or NULL.
const char *pd_object_label(const struct pd_object *o, const char *key);
const char *pd_object_annotation(const struct pd_object *o, const char *key);
// creationTimestamp as it was given, but for years beyond 2262; NULL if there was none.
K8s__Time *pd_object_created(const struct pd_object *o, struct pd_arena *a);
// Metadata made again from what is kept, for who prints objects.
K8s__ObjectMeta *pd_object_meta(const struct pd_object *o, struct pd_arena *a);

// "VirtualService/Kubernetes/default/reviews": the text of a key, of which its token is made. The kind is its name, but that of the Gateway API's
// Gateway, which two groups have, is "KubernetesGateway". Returns the length, or PD_E_LIMIT.
int pd_object_key(char *buf, size_t cap, enum pd_kind kind, const char *cluster, const char *ns, const char *name);
// The kind as it is written there. Never NULL.
const char *pd_object_kind_name(enum pd_kind kind);

// Order used wherever "oldest wins": creation time (told in seconds, so often equal), then name, then namespace, as istiod. The
// Gateway API has another rule for equal ages: discovery/gwapi.
int pd_object_cmp_age(const struct pd_object *a, const struct pd_object *b);

// Builds an object from decoded parts, which stay the caller's (they are cut in place); what is left is copied. One reference
// for the caller. Cuts away what nobody reads (config/trim.h) and computes the semantic hash. For a built-in kind `spec` is
// the whole object and `meta` its metadata; strings are UTF-8 without NUL, as both codecs see to.
// Asserts that the key's strings are within the limits above.
struct pd_object *pd_object_build(const struct pd_key *key, K8s__ObjectMeta *meta, ProtobufCMessage *spec,
				  ProtobufCMessage *status, const char *origin);

#endif
