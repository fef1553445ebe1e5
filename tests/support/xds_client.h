// An xDS client for tests, on grpc's C core: one connection, one stream, calls that wait.
#ifndef TESTS_SUPPORT_XDS_CLIENT_H
#define TESTS_SUPPORT_XDS_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "discovery/resource.h"

#define CLI_NODE "sidecar~1.1.1.1~a.default~default.svc.cluster.local"
#define CLI_WAIT_MS 20000 // for what must come
#define CLI_QUIET_MS 150  // for what must not

struct rpc_options; // tests/support/rpc_client.h
struct cli;

struct cli_options {
	const char *address; // "127.0.0.1:1234"
	bool delta;
	const char *node;              // id; NULL = CLI_NODE
	const char *method;            // NULL = ADS
	int ping_ms;                   // pings of an idle connection; 0 = none
	int window;                    // HTTP/2 window of the stream; 0 = grpc's choice
	const struct rpc_options *tls; // roots, name of the server, certificate and key of the client; NULL = plaintext
	const char *bearer;            // token of the header "authorization"; NULL = none
	const char *account;           // the Node's metadata SERVICE_ACCOUNT; NULL = none
};
struct cli *cli_open(const struct cli_options *);
void cli_close(struct cli *); // drops the connection without a word

// Requests. Names are words separated by blanks. The Node goes with the first. nonce NULL = that of the last response of the
// type ("" if there is none); error NULL = none.
void cli_sotw(struct cli *, enum pd_type, const char *names, const char *nonce, const char *error);
// `initial`: "name=VERSION ...".
void cli_delta(struct cli *, enum pd_type, const char *add, const char *del, const char *initial);
void cli_ack(struct cli *, enum pd_type); // SotW: with the names of the last request of this type
void cli_nack(struct cli *, enum pd_type, const char *error);
void cli_type_url(struct cli *, const char *type_url);     // a request for any type
void cli_bytes(struct cli *, const void *bytes, size_t n); // a message of any bytes
void cli_half_close(struct cli *);

// The next response as text: "CDS{a=1,b=2,-c}"; "" if none comes within ms, "status N: text" when the stream has ended.
const char *cli_next(struct cli *, int ms);
// As cli_next, and acknowledges what came.
const char *cli_take(struct cli *);
const char *cli_nonce(struct cli *, enum pd_type);
const char *cli_version(struct cli *, enum pd_type);
// Versions of the resources that came over the delta protocol: "a=0123456789abcdef ...", in order of their coming.
const char *cli_versions(struct cli *, enum pd_type);
size_t cli_bytes_received(struct cli *);
// The status of the stream, -1 while it goes on; waits up to ms and drops the responses that come meanwhile.
int cli_status(struct cli *, int ms);
const char *cli_status_text(struct cli *);

#endif
