// A client of unary calls for tests, on grpc's C core: one connection, plaintext or TLS, one call at a time.
#ifndef TESTS_SUPPORT_RPC_CLIENT_H
#define TESTS_SUPPORT_RPC_CLIENT_H

#include <grpc/grpc_security.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/rpc.h"
#include "base/str.h"

#define RPC_WAIT_MS 20000

struct rpc_options {
	const char *address;            // "127.0.0.1:1234"
	const char *roots_pem;          // NULL = plaintext
	const char *server_name;        // whose certificate is expected; NULL = the host of the address
	const char *cert_pem, *key_pem; // of the client; NULL = none
};
// For channels of other clients: plaintext or TLS, as the options say; the caller releases them.
grpc_channel_credentials *rpc_credentials(const struct rpc_options *);

struct rpc_cli;
struct rpc_cli *rpc_open(const struct rpc_options *);
void rpc_close(struct rpc_cli *);

struct rpc_wish {
	const char *method;
	const struct pd_rpc_header *headers;
	size_t n_headers;
	const void *bytes; // the message; NULL = none is sent
	size_t n;
	bool keep_open; // do not say that no more comes
	bool cancel;    // reset the call as soon as the message has left
};
// Returns the status code; `response` and `text` (may be NULL) are overwritten.
int rpc_call(struct rpc_cli *, const struct rpc_wish *, struct pd_buf *response, struct pd_buf *text);

#endif
