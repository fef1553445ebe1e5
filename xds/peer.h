// Who is at the other end of a call, out of what grpc knows.
#ifndef XDS_PEER_H
#define XDS_PEER_H

#include <grpc/grpc.h>

#include "base/mem.h"
#include "base/rpc.h"

#define PD_PEER_HEADERS 128 // headers that are kept; grpc bounds their bytes (8 KiB) anyway

// "10.1.2.3:4567", "[::1]:4567", "unix:…"; in the arena.
char *pd_peer_address(struct pd_arena *, grpc_call *);
// All of it, copied into the arena. `headers` may be NULL. A certificate counts only if TLS has verified its chain.
void pd_peer_read(struct pd_rpc_peer *, struct pd_arena *, grpc_call *, const grpc_metadata_array *headers);

#endif
