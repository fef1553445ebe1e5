// Packed bodies of large answers, shared by the streams that get the same. Inside of response.c; limits in response.h.
#ifndef XDS_BODY_H
#define XDS_BODY_H

#include <grpc/slice.h>

#include "base/ref.h"
#include "xds/response.h"

struct pd_body {
	pd_ref ref;
	struct pd_body_key {
		uint64_t a, b;
	} key;
	size_t bytes, n;
	uint64_t used_ns;
	grpc_slice v[];
};
// What is packed: a segment of a set, which all streams of a scope share, or a list of resources.
struct pd_body_source {
	bool delta;
	enum pd_type type;
	struct pd_resource *const *v;
	size_t n;
	uint64_t version; // over v, as pd_segment.version; 0 = to be worked out here
};
// The body of these resources, or NULL if they are too few pieces or too many bytes to be worth it. One reference.
struct pd_body *pd_body_get(struct pd_bodies *, const struct pd_body_source *);
void pd_body_unref(struct pd_body *);

#endif
