// Responses on the wire: a head (version, type, nonce, removed names), then the resources' bytes as they are.
//
// Large pieces are referenced, small ones copied together: a slice costs grpc about 0.2 microseconds and 100 bytes per send,
// as much as copying some hundred bytes. What many streams get (the clusters of a scope, the endpoints of a subscription, a
// long route configuration) is packed once into chunks, kept for a while as a *body*, and sent to each of them by reference.
#ifndef XDS_RESPONSE_H
#define XDS_RESPONSE_H

#include <grpc/byte_buffer.h>

#include "xds/pass.h"

#define PD_PIECE_COPY_MAX 512               // bytes of a piece that is rather copied than referenced
#define PD_BODY_COPY_MAX 4096               // the same within a body, where the copy is shared
#define PD_CHUNK_MAX (64 * 1024)            // bytes copied together
#define PD_BODY_PIECES_MIN 16               // fewer are not worth keeping
#define PD_BODY_BYTES_MAX (4 * 1024 * 1024) // what is larger becomes several bodies
#define PD_BODIES_MAX 64                    // bodies kept
#define PD_BODIES_BYTES_MAX (64 * 1024 * 1024)
#define PD_BODY_IDLE_NS (5ull * 1000 * 1000 * 1000) // a body that nobody asked for so long is dropped

// Packed bodies, thread-safe.
struct pd_bodies;
struct pd_bodies *pd_bodies_new(void);
void pd_bodies_free(struct pd_bodies **);
size_t pd_bodies_expire(struct pd_bodies *, uint64_t now_ns); // returns the bytes that were dropped
struct pd_bodies_stats {
	uint64_t hits, misses;
	size_t n, bytes;
};
void pd_bodies_stats(struct pd_bodies *, struct pd_bodies_stats *out);

// The message for an answer. Caller destroys it (grpc_byte_buffer_destroy). *bytes is its size.
grpc_byte_buffer *pd_response_build(struct pd_bodies *, const struct pd_session_env *, bool delta,
				    const struct pd_answer *, uint64_t nonce, size_t *bytes);

#endif
