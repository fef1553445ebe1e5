// Packed bodies of large answers, shared by the streams that get the same. Inside of response.c; limits in response.h.
#ifndef XDS_BODY_H
#define XDS_BODY_H

#include "xds/pack.h"
#include "xds/response.h"

// What is packed: a segment of a set, which all streams of a scope share, or a list of resources.
struct pd_body_source {
	bool delta;
	enum pd_type type;
	struct pd_resource *const *v;
	size_t n;
	uint64_t version; // over v, as pd_segment.version; 0 = to be worked out here
};
// Adds the resources to `pack`: as bodies that are kept, or one by one if they are too few pieces to be worth it.
void pd_bodies_pack(struct pd_bodies *, const struct pd_body_source *, struct pd_pack *pack);

#endif
