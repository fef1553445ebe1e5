// Bodies of LIST and WATCH, as they arrive, cut into objects; objects to what the store takes.
//
// A list or a watch comes in pieces of any size. Both readers here take a piece, hand out what became whole, and keep only
// the bytes of the object (or frame) that is not: a page is never in memory as a whole.
//
// Protobuf form (built-in kinds). A body is the magic "k8s\0" and runtime.Unknown{raw 2}; the raw bytes of a list are
// XList{metadata 1, items 2}. A watch is a sequence of frames: 4 bytes length (big-endian), WatchEvent{type 1, object 2 {raw 1}},
// where raw starts with the magic again. JSON form (custom resources): {"metadata": …, "items": [ … ]} and one
// {"type": …, "object": …} after the other. Content-Type says which.
//
// None of it is trusted: lengths have limits, depth, UTF-8 and NUL are checked by the codecs, and what is broken is
// PD_E_PARSE or PD_E_LIMIT with a reason, after which a reader is of no use any more.
#ifndef K8S_WIRE_H
#define K8S_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/issue.h"
#include "config/object.h"
#include "k8s/client.h"

#define PD_K8S_ITEM_MAX (8u << 20)                       // bytes of one object (etcd refuses more than 1.5 MiB)
#define PD_K8S_FRAME_MAX (PD_K8S_ITEM_MAX + (64u << 10)) // bytes of one frame of a watch
#define PD_K8S_LIST_META_MAX (64u << 10)                 // bytes of a list's metadata
#define PD_K8S_RV_MAX 64                                 // bytes of a resourceVersion with its NUL
#define PD_K8S_CONTINUE_MAX 8192                         // bytes of a continue token with its NUL

enum pd_k8s_form { PD_K8S_FORM_JSON, PD_K8S_FORM_PROTOBUF };
// By Content-Type; what is not protobuf counts as JSON.
enum pd_k8s_form pd_k8s_form_of(const char *content_type);

struct pd_k8s_wire_error {
	char text[192]; // "frame of 12345678 bytes is longer than 8454144"
};

// ---- objects

// One object as it was sent. All pointers are borrowed for the callback that gets it.
struct pd_k8s_item {
	enum pd_k8s_form form;
	const void *p; // its bytes, without envelope; only metadata has been looked into
	size_t n;
	struct pd_arena *arena; // scratch for whoever decodes it; emptied after the callback
	// From its metadata; "" = absent.
	char ns[PD_NAMESPACE_MAX + 1], name[PD_NAME_MAX + 1];
	char rv[PD_K8S_RV_MAX]; // resourceVersion
	uint64_t rv_number;     // the same as a number, by which versions of one kind are in order; 0 = it is none
	uint32_t uid_hash;
};

// A resourceVersion as a number; 0 = it is none.
uint64_t pd_k8s_version_number(const char *rv);

// How to make objects of items.
struct pd_k8s_decode {
	enum pd_kind kind;
	const char *cluster;      // of the keys
	struct pd_issues *issues; // mistakes of users go here
};
// The object that the store takes, trimmed, with one reference for the caller (config/object.h: pd_object_build). *out is
// NULL with PD_OK if it has a mistake of its user's, which is an issue then. Issues of an earlier version are dropped.
// Custom resources are read leniently: the API server has checked them against a schema that may be newer than ours.
// PD_E_PARSE, PD_E_LIMIT: the bytes are broken.
int pd_k8s_item_decode(const struct pd_k8s_item *, const struct pd_k8s_decode *, struct pd_object **out,
		       struct pd_k8s_wire_error *) PD_MUST_CHECK;
// Drops the issues of an object that is gone.
void pd_k8s_item_forget(const struct pd_k8s_decode *, const char *ns, const char *name);
// The metadata alone, of an item of any kind, with all labels and annotations; allocated in the item's arena. NULL: broken.
const K8s__ObjectMeta *pd_k8s_item_meta(const struct pd_k8s_item *);

// ---- lists

// Finding the end of a JSON value; private to the readers. All-zero at the value's first byte.
struct pd_k8s_json_scan {
	size_t scanned; // bytes looked at, from the value's start
	unsigned depth;
	bool in_string, escaped;
};

// A negative result ends the reading with it.
typedef int (*pd_k8s_on_item)(void *user, const struct pd_k8s_item *);

// One page. All-zero but `form` at the start.
struct pd_k8s_list {
	enum pd_k8s_form form; // in
	// out, once `pd_k8s_list_end` said PD_OK
	char rv[PD_K8S_RV_MAX]; // the version that the list shows
	char *next;             // continue token of the next page; NULL = this is the last
	// private
	struct pd_buf buf; // what waits for more bytes
	struct pd_arena arena;
	uint64_t skip, raw_left; // protobuf: bytes to skip; bytes left of the list message
	bool magic, in_raw, raw_seen;
	unsigned state, key; // JSON: where in the list, and at which member
	struct pd_k8s_json_scan scan;
};
int pd_k8s_list_feed(struct pd_k8s_list *, const void *p, size_t n, pd_k8s_on_item, void *user,
		     struct pd_k8s_wire_error *) PD_MUST_CHECK;
// After the last byte. PD_E_PARSE: the list is not whole.
int pd_k8s_list_end(struct pd_k8s_list *, struct pd_k8s_wire_error *) PD_MUST_CHECK;
void pd_k8s_list_free(struct pd_k8s_list *);

// ---- watches

enum pd_k8s_event_type { PD_K8S_ADDED, PD_K8S_MODIFIED, PD_K8S_DELETED, PD_K8S_BOOKMARK, PD_K8S_ERROR };
struct pd_k8s_event {
	enum pd_k8s_event_type type;
	struct pd_k8s_item item;     // not of ERROR; of a BOOKMARK only rv counts
	bool initial_end;            // BOOKMARK: all objects that existed have been sent (k8s.io/initial-events-end)
	struct pd_k8s_status status; // ERROR
};
typedef int (*pd_k8s_on_event)(void *user, const struct pd_k8s_event *);

// All-zero but `form` at the start. A watch may end anywhere: what is left then is dropped.
struct pd_k8s_frames {
	enum pd_k8s_form form; // in
	// private
	struct pd_buf buf;
	struct pd_arena arena;
	struct pd_k8s_json_scan scan; // JSON: of the frame that buf starts with
};
int pd_k8s_frames_feed(struct pd_k8s_frames *, const void *p, size_t n, pd_k8s_on_event, void *user,
		       struct pd_k8s_wire_error *) PD_MUST_CHECK;
// Whether a part of a frame waits for the rest.
bool pd_k8s_frames_partial(const struct pd_k8s_frames *);
void pd_k8s_frames_free(struct pd_k8s_frames *);

#endif
