// Unary remote calls, seen from both sides: the server that carries them (xds/ has the connections) and the layer that
// answers them (ca/). Neither includes the other; cmd/ hands the method tables over.
//
//   server: has a whole request ──► method->handle(call, arg)            on a thread that does I/O: hand it over, return
//   owner:  … any thread, later …  ──► pd_rpc_reply or pd_rpc_fail        exactly once; the call is gone with it
#ifndef BASE_RPC_H
#define BASE_RPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

// A header of the call. Keys are in lower case; binary headers ("…-bin") are left out. Both are NUL-terminated.
struct pd_rpc_header {
	const char *key, *value;
};

// Who is at the other end, as far as the transport knows. What it says in headers is not verified by anyone yet.
// All-zero is an unknown peer on a plaintext connection.
struct pd_rpc_peer {
	const char *address; // "10.1.2.3:4567", "[::1]:4567", "unix:…"; NULL = unknown
	bool tls;            // the connection is encrypted, with or without a client certificate
	const char
		*cert_pem; // the client's certificate, its chain verified by TLS against the mesh's roots; NULL = none
	const char *chain_pem; // the client's intermediates, one PEM after the other; NULL = none
	const struct pd_rpc_header *headers;
	size_t n_headers;
};
// The first value of a header, or NULL. `key` in lower case.
const char *pd_rpc_header(const struct pd_rpc_peer *, const char *key);

// Codes of gRPC that we answer with; the numbers are those of the wire.
enum pd_rpc_status {
	PD_RPC_INVALID_ARGUMENT = 3,
	PD_RPC_PERMISSION_DENIED = 7,
	PD_RPC_RESOURCE_EXHAUSTED = 8,
	PD_RPC_INTERNAL = 13,
	PD_RPC_UNAVAILABLE = 14,
	PD_RPC_UNAUTHENTICATED = 16,
};

// One call under way; the server embeds it in its own record. All of it is borrowed until the call is answered.
struct pd_rpc_call {
	const uint8_t *request; // one message, without framing
	size_t request_len;
	struct pd_rpc_peer peer;
	// Private to the server. `bytes`: response (NULL if it fails), `text`: details of a failure.
	void (*done)(struct pd_rpc_call *, enum pd_rpc_status, const void *bytes, size_t n, const char *text);
};

// Copies the response. Safe on any thread.
static inline void pd_rpc_reply(struct pd_rpc_call *call, const void *bytes, size_t n)
{
	call->done(call, 0, bytes, n, NULL);
}
// Copies the text, which the client sees.
static inline void pd_rpc_fail(struct pd_rpc_call *call, enum pd_rpc_status status, const char *text)
{
	call->done(call, status, NULL, 0, text);
}

struct pd_rpc_method {
	const char *path;   // "/package.Service/Method"
	size_t max_request; // bytes; a longer one is answered with RESOURCE_EXHAUSTED by the server
	void (*handle)(struct pd_rpc_call *, void *arg);
	void *arg;
};

#endif
