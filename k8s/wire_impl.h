// Parts of the wire readers that share files.
#ifndef K8S_WIRE_IMPL_H
#define K8S_WIRE_IMPL_H

#include "api/pb.h"
#include "k8s/wire.h"

#define PD_K8S_MAGIC "k8s" // with its NUL
#define PD_K8S_MAGIC_LEN 4u

int pd_k8s_wire_fail(struct pd_k8s_wire_error *err, int code, const char *fmt, ...) PD_PRINTF(3, 4);

// The last length-delimited field `id` of a message; NULL data if there is none. False: broken.
bool pd_k8s_find_bytes(const uint8_t *p, size_t n, uint32_t id, struct pb_wire *out);
// Fills in the identity of an item whose form, bytes and arena are set.
int pd_k8s_item_open(struct pd_k8s_item *item, struct pd_k8s_wire_error *err) PD_MUST_CHECK;
// Whether the annotation k8s.io/initial-events-end is "true".
bool pd_k8s_item_is_initial_end(const struct pd_k8s_item *item);

// Whole items of n bytes at p; *used = what is settled.
int pd_k8s_list_pb(struct pd_k8s_list *l, const uint8_t *p, size_t n, size_t *used, pd_k8s_on_item fn, void *user,
		   struct pd_k8s_wire_error *err) PD_MUST_CHECK;
int pd_k8s_list_json(struct pd_k8s_list *l, const char *p, size_t n, size_t *used, pd_k8s_on_item fn, void *user,
		     struct pd_k8s_wire_error *err) PD_MUST_CHECK;
// Whether the bytes so far are a whole list.
bool pd_k8s_list_json_whole(const struct pd_k8s_list *l);

// Looks at further bytes; p is the value's start and n all that is there. The value's length once its end is seen, else 0.
// A number or word ends before the byte behind it. What is in between is not checked; but a value that is nested deeper than
// any parser here takes it ends where that is seen, so that noise is refused, not waited for.
size_t pd_k8s_json_scan(struct pd_k8s_json_scan *s, const char *p, size_t n);
// The text of one member of an object, whose other members are passed over unread.
struct pd_k8s_json_text {
	const char *p; // NULL: there is none of this name
	size_t n;
};
// Finds members by name (of those that are there twice the last). PD_E_PARSE: not an object.
int pd_k8s_json_members(const char *p, size_t n, const char *const *names, size_t n_names, struct pd_k8s_json_text *out)
	PD_MUST_CHECK;

// One event from the bytes of its frame (without the length).
int pd_k8s_event_pb(const uint8_t *p, size_t n, struct pd_arena *arena, struct pd_k8s_event *e,
		    struct pd_k8s_wire_error *err) PD_MUST_CHECK;
int pd_k8s_event_json(const char *p, size_t n, struct pd_arena *arena, struct pd_k8s_event *e,
		      struct pd_k8s_wire_error *err) PD_MUST_CHECK;
int pd_k8s_event_type_of(const char *s, size_t n, enum pd_k8s_event_type *out, struct pd_k8s_wire_error *err)
	PD_MUST_CHECK;
// The length of the JSON frame behind *lead spaces at p; 0 = its end is not there.
size_t pd_k8s_frame_json(struct pd_k8s_frames *f, const char *p, size_t n, size_t *lead);

#endif
