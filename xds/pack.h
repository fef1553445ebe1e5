// Joins small pieces of bytes into chunks and keeps large ones as references. Inside of response.c and body.c.
#ifndef XDS_PACK_H
#define XDS_PACK_H

#include <grpc/slice.h>

#include "base/vec.h"
#include "discovery/resource.h"

struct pd_pack {
	size_t copy_max;           // pieces up to this size are copied
	PD_VEC(grpc_slice) slices; // one grpc reference each
	size_t bytes;
	PD_VEC(struct pd_piece {
		const void *p;
		size_t n;
	})
	run; // waits to be copied together; borrowed until pd_pack_end
	size_t run_bytes;
};
void pd_pack_bytes(struct pd_pack *, const void *p, size_t n);
void pd_pack_part(struct pd_pack *, const struct pd_resource *r, uint32_t i, bool delta);
void pd_pack_resource(struct pd_pack *, const struct pd_resource *r, bool delta);
void pd_pack_slice(struct pd_pack *, grpc_slice s); // takes a reference of its own
void pd_pack_end(struct pd_pack *);                 // now `slices` is complete
void pd_pack_free(struct pd_pack *);

#endif
