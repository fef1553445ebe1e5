// A server on a loopback port with a fake engine, and clients.
#ifndef TESTS_UNIT_XDS_WIRE_H
#define TESTS_UNIT_XDS_WIRE_H

#include "tests/support/xds_client.h"
#include "tests/unit/xds/fake_engine.h"
#include "xds/server.h"

struct wire {
	struct pd_engine *engine;
	struct pd_xds *x;
	char address[32];
};

// Config may be NULL: the defaults.
void wire_open(struct wire *, const struct pd_xds_config *);
// Likewise, with unary methods.
void wire_open_methods(struct wire *, const struct pd_xds_config *, const struct pd_rpc_method *, size_t n);
// Likewise, with clients that are authenticated, and TLS if there are credentials (they are taken over). In the others nobody is,
// and secrets are for all.
void wire_open_auth(struct wire *, const struct pd_xds_auth *, grpc_server_credentials *);
void wire_close(struct wire *);
// "CDS a=1 b EDS x=2": sets a and x, removes b, publishes.
void wire_config(struct wire *, const char *what);
struct cli *wire_client(struct wire *, bool delta);
struct pd_xds_stats wire_stats(struct wire *);
// Waits until the server has counted n responses as sent (a client may have one a little earlier), and not more.
void wire_wait_responses(struct wire *, uint64_t n);
// Waits until the server has no stream left.
void wire_wait_empty(struct wire *);

#define expect_next(c, want) assert_string_equal(cli_next((c), CLI_WAIT_MS), (want))
#define expect_take(c, want) assert_string_equal(cli_take(c), (want))
#define expect_quiet(c) assert_string_equal(cli_next((c), CLI_QUIET_MS), "")

#endif
