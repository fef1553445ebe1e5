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
// The resources of an answer (set or list, not both), or NULL if it is too small or too large to be worth it. One reference.
struct pd_body *pd_body_get(struct pd_bodies *, bool delta, const struct pd_answer *);
void pd_body_unref(struct pd_body *);

#endif
