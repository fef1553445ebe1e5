// One unary gRPC call on a connection of its own, waited for. For calls that are made a few times a day (certificates) or to
// next door (health checks).
#ifndef PROXY_UNARY_H
#define PROXY_UNARY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/rpc.h"
#include "base/str.h"

#define PD_UNARY_REPLY_MAX (1024 * 1024) // bytes of a reply
#define PD_UNARY_HEADERS 8               // headers of a call

// All of it is borrowed for the call.
struct pd_unary {
	const char *target;      // "host:port", "[::1]:port"
	const char *roots;       // PEM that the server's certificate must lead to; NULL: plaintext
	const char *server_name; // that the certificate must bear, and SNI; NULL: the host of `target`
	const char *cert, *key;  // PEM to show as client; NULL: none
	const char *method;      // "/package.Service/Method"
	const struct pd_rpc_header *headers;
	size_t n_headers;
	const void *request;
	size_t request_len;
	unsigned timeout_ms;
	const atomic_bool *stop; // turning true ends the call within PD_UNARY_STOP_MS; NULL: nothing does
};
#define PD_UNARY_STOP_MS 100

// PD_OK: `reply` has the message. Else `why` tells status and text: PD_E_CLOSED: stopped; PD_E_TIMEOUT; PD_E_DENIED
// (UNAUTHENTICATED, PERMISSION_DENIED); PD_E_INVALID (INVALID_ARGUMENT); PD_E_IO: any other status. grpc_init must have been
// called.
int pd_unary_call(const struct pd_unary *, struct pd_buf *reply, struct pd_buf *why) PD_MUST_CHECK;

#endif
